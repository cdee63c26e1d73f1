/*
 * The inside of an open log, shared by commitlog.c (append), outline.c (large values), sync.c,
 * life.c (open, close) and discard.c (what becomes of segments). Lock rank: 30.
 */
#ifndef SSTFS_COMMITLOG_LOG_H
#define SSTFS_COMMITLOG_LOG_H

#include "commitlog/commitlog.h"
#include "commitlog/pool.h"
#include "commitlog/values.h"
#include "engine/mutex.h"

#define GROUP_BYTES_MAX (1u << 20)
#define GROUP_COUNT_MAX 300
#define PAGE_BYTES 4096
#define VECTOR_PER_RECORD 3 /* header, body, padding */
#define ROOM_FOR_END (RECORD_SYNC_BYTES + RECORD_END_BYTES)

_Static_assert(SEGMENT_NOTE_TABLES == COMMITLOG_TABLES_MAX, "a note tells of all tables");

struct segment {
    struct segment *next;
    uint64_t id;
    struct slot *slot;
    bool sealed;
    bool synced; /* and sealed: nothing more is to come */
    bool archived;
};

struct outline;

/* What one who is in the queue is to do. */
enum turn {
    TURN_WAIT,  /* look again: somebody else leads */
    TURN_SLEEP, /* the same, and is to be woken */
    TURN_LEAD,  /* first in line */
    TURN_DONE,  /* written, or refused */
};

/* One append, on its caller's stack. */
struct request {
    struct request *next;
    const struct outline *outline; /* its body, and what else it names */
    bool begins_segment;           /* whatever room the active one has */
    uint32_t size;
    uint32_t checksum;
    uint8_t header[RECORD_HEADER_BYTES];
    _Atomic enum turn turn; /* set by who leads, and to TURN_SLEEP by its owner, under the mutex */
    pthread_cond_t wake;
    int result;
    uint64_t position;
    int64_t timestamp_us;
};

struct commitlog {
    struct env *env;
    uint8_t store_uuid[16];
    uint64_t segment_bytes;
    bool archives;       /* what is done with is kept; all of a record is in its segment */
    struct task *grower; /* makes slots before they are needed, and archives */

    struct mutex mutex;
    /* Under the mutex. */
    struct request *queue, *queue_last;
    struct segment *segments, *active; /* oldest first; active: the last, or NULL */
    struct slot_pool pool;
    struct values values;
    _Atomic unsigned slots_left; /* pool_left(), to be read without the mutex */
    uint64_t next_segment;
    uint64_t previous_segment; /* what the next one comes after */
    uint64_t cut_from;         /* where the log of before ended */
    uint64_t next_position;    /* places given: all before this */
    uint64_t written;          /* written: all before this */
    uint64_t synced;           /* on the device, or in SSTables: all before this */
    uint64_t records_synced;   /* the same, but for values */
    uint64_t sync_wanted;      /* by who waits, the most */
    int64_t last_timestamp_us;
    bool syncing;
    bool sync_untold;        /* the next append begins with a SYNC record */
    pthread_cond_t progress; /* something was written, or a sync ended */
    uint64_t archive_from;   /* segments that end beyond it are wanted in the archive */
    uint64_t free_before;    /* those before the one of this position are flushed, and it is told */
    uint64_t begun_us;       /* when the active segment was (monotonic) … */
    uint64_t filled_us;      /* … and how long it took to fill the one before; UINT64_MAX: none */
    bool tending;            /* somebody archives and frees segments: none goes but by them */
    int failed;              /* 0, or -EIO: this log is at its end */
    char failed_text[160];
    struct commitlog_stats stats;

    /* The leader's alone. */
    uint64_t salt; /* of the active segment */
    uint8_t sync_record[RECORD_SYNC_BYTES];
    struct iovec vector[2 + VECTOR_PER_RECORD * GROUP_COUNT_MAX];
};

/** 0, or the error that ended this log, with its words. */
int commitlog_failure_locked(const struct commitlog *log);
/** For good: after this only a reopen can tell what there is. The first error stays. */
void commitlog_fail_locked(struct commitlog *log, int error);
/** Does an error in making a slot tell of want, not of a broken disk? */
bool commitlog_may_try_again(int error);
/** Takes over the slot; NULL: no memory. */
struct segment *commitlog_segment_new(uint64_t id, struct slot *slot);
/** To be called when the pool has changed. */
void commitlog_note_pool_locked(struct commitlog *log);
/** As the newest. */
void commitlog_add_segment_locked(struct commitlog *log, struct segment *segment);
/**
 * Writes a last SYNC (if `covered` is not 0) and END into the active segment, at `position`. For
 * whoever knows that nobody else appends.
 */
MUST_USE int commitlog_write_end(struct commitlog *log, uint64_t position, int64_t timestamp_us,
    uint64_t covered, uint64_t *ret_end);
/** Appends a NOTE of how far tables are flushed by now, as commitlog_append() a batch; into a new
 * segment if `begins_segment`. */
MUST_USE int commitlog_append_note(struct commitlog *log, bool begins_segment, uint64_t *ret_end);
/** The lowest of them; none: 0. */
uint64_t commitlog_lowest(struct commitlog_flushed flushed);
/** Is the segment to be kept in the archive when nothing more comes to it? */
bool commitlog_wants_archived_locked(const struct commitlog *log, uint64_t segment);
/** A step of the log's task: archives a segment that nothing more comes to, or frees one that is
 * flushed. Gives what a step returns. */
int64_t commitlog_tend(struct commitlog *log);
/** What was synced or flushed up to `position` by now: more of the log may count as synced. */
void commitlog_note_synced_locked(struct commitlog *log, uint64_t position);
/**
 * Syncs the records written by now, and the values of those before `target` but of the tables
 * `but`; says so. Nobody else may be syncing.
 */
MUST_USE int commitlog_sync_now_locked(struct commitlog *log, uint64_t target, uint64_t but);

#endif
