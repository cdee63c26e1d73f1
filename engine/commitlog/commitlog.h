/*
 * The commit log: where a batch of mutations becomes a fact, before it is acknowledged.
 *
 *   append --> [active segment] --page cache--> position, timestamp
 *                     | full                          | await: fdatasync, shared
 *                     v                               v
 *              [dirty segments] --flushed-->  ack   (used again)
 *
 * Large values are written beside, by whoever appends, and are synced only if they are in no
 * SSTable when a sync is due. Any number of threads may append; the first in line leads, gives
 * places and timestamps, and writes for all. Byte layout: commitlog/FORMAT.md. A position is
 * segment id << 32 | offset. Cassandra 5.0.5: db/commitlog/CommitLog.java.
 */
#ifndef SSTFS_COMMITLOG_H
#define SSTFS_COMMITLOG_H

#include "engine/io.h"
#include "rows/update.h"

#define COMMITLOG_POSITION_NONE 0
/** Tables of a log at most. */
#define COMMITLOG_TABLES_MAX 16
/** Files for large values at most. */
#define VALUE_SLOTS_MAX 16

struct commitlog;

/** A torn tail that an earlier recovery dropped: what lies in [from, segment `to`) never counts. */
struct commitlog_cut {
    uint64_t from_position;
    uint64_t to_segment;
};

/** Who needs the values of one slot: `tables` (a bit each), for records from first to last. */
struct commitlog_value_use {
    uint64_t tables;
    uint64_t first_position, last_position;
};

/** How far each table is flushed, as a durable manifest says: what lies before is not replayed. */
struct commitlog_flushed {
    const uint64_t *positions;
    unsigned table_count; /* at most COMMITLOG_TABLES_MAX */
};

struct commitlog_options {
    uint8_t store_uuid[16];
    uint64_t segment_bytes;
    int64_t last_timestamp_us; /* the newest that the manifest or replay knows */
    uint64_t next_segment;     /* first id never used */
    uint64_t cut_from;         /* as replay found it: noted in the new segment */
    struct commitlog_flushed flushed;
    bool archives;         /* segments are kept in archive/, and large values in their records */
    uint64_t archive_from; /* as commitlog_archive_from() */
    const struct commitlog_value_use *value_uses; /* of VALUE_SLOTS_MAX slots, from replay */
};

/** What replay found. */
struct commitlog_replay_result {
    uint64_t end_position; /* first position not replayed: where the torn tail begins, or the end */
    uint64_t cut_from;     /* the same, before the cuts that led there and had no record behind */
    uint64_t next_segment; /* first segment id never used */
    int64_t last_timestamp_us;
    uint64_t records;
    uint64_t dropped_bytes; /* of a torn tail */
    bool torn;              /* a cut must be written to the manifest before the first append */
    struct commitlog_value_use value_uses[VALUE_SLOTS_MAX];
};

/**
 * Reads the log of the folder "commitlog" from the lowest flushed position on and hands each whole
 * BATCH record to `each`, in order. A record is bad if its checksum is, or a value's of a table not
 * flushed beyond it. A bad record below the highest flushed position, or below what a later SYNC
 * record covers, is damage: -EUCLEAN with segment, offset, length of the hole and the first good
 * record after it. Otherwise it is a torn tail, and replay ends before it. `cuts` (of earlier
 * recoveries) are skipped. `memory` holds the updates; each() may keep a reference. Updates of
 * tables that are flushed beyond the record may have zeros for their large values.
 */
MUST_USE int commitlog_replay(struct env *env, const uint8_t store_uuid[16],
    struct commitlog_flushed flushed, const struct commitlog_cut *cuts, unsigned cut_count,
    int (*each)(void *arg, uint64_t position, int64_t timestamp_us, struct bytes updates,
        unsigned update_count, struct record_memory *memory),
    void *arg, struct commitlog_replay_result *ret_result);

/** A place where no good record is, though others follow or what lay there was durable. */
struct commitlog_hole {
    uint64_t position;
    uint64_t next;        /* the first good record after it; 0: there is none */
    bool durable;         /* it had reached the device: this is damage, not a torn tail */
    uint64_t missing;     /* the record there is good, but large values of these tables are gone */
    uint64_t record_end;  /* just past that record */
    unsigned records;     /* about so many were in the hole, by what is left; 0: not known */
    int64_t timestamp_us; /* of that record; else the newest before the hole */
};

/** What to do about a hole. */
enum commitlog_verdict {
    HOLE_ENDS,  /* as replay: a torn tail is the end, damage fails */
    HOLE_STEP,  /* go on behind it, if there is anything, else end there */
    HOLE_AGAIN, /* the positions of `flushed` were moved: look once more */
};

/** Whoever looks at all of a log; each member may be NULL. */
struct commitlog_visitor {
    int (*batch)(void *arg, uint64_t position, int64_t timestamp_us, struct bytes updates,
        unsigned update_count, struct record_memory *memory);
    /** A SYNC (which covers all before `covered`) or END record. */
    int (*mark)(void *arg, uint64_t position, int64_t timestamp_us, uint64_t covered);
    /** A NOTE that says how far tables are flushed. With it and without `batch` large values are
     * not looked at. */
    int (*note)(void *arg, uint64_t position, const uint64_t flushed[COMMITLOG_TABLES_MAX]);
    /** An enum commitlog_verdict, or a negative errno. */
    int (*hole)(void *arg, const struct commitlog_hole *hole);
    /** Not NULL: large values that are gone are zeros, and no hole; which tables', is set before
     * batch() is called. */
    uint64_t *missing;
    /** Not NULL: not the folder "commitlog" is looked at, but these (commitlog/segment.h). */
    const struct segment_files *files;
};

/** As commitlog_replay(), for a log with holes. `store_uuid` NULL: of any store. */
MUST_USE int commitlog_visit(struct env *env, const uint8_t *store_uuid,
    struct commitlog_flushed flushed, const struct commitlog_cut *cuts, unsigned cut_count,
    const struct commitlog_visitor *visitor, void *arg, struct commitlog_replay_result *ret_result);

/**
 * Brings to the device what commitlog_replay() will find. To be called before it by a mount that
 * writes: what is replayed counts, so it must not be lost by a power cut later, when a table was
 * flushed that comes after it, or the log went on behind it. A sync alone would not do: after one
 * that failed (of which a daemon died, say) the kernel has pages that it calls clean, and that
 * never reached the device. So all that is good is written back to its place, and then synced.
 */
MUST_USE int commitlog_secure(struct env *env, const uint8_t store_uuid[16],
    struct commitlog_flushed flushed, const struct commitlog_cut *cuts, unsigned cut_count);

/**
 * Begins a new segment (on the first append); nothing old is ever appended to. Only after
 * commitlog_secure() and when the cut of the old tail is durable: what it cut off may be written
 * over.
 */
MUST_USE int commitlog_open(
    struct env *env, const struct commitlog_options *options, struct commitlog **ret_log);
/** Syncs, ends the segment with an END record, and frees. */
MUST_USE int commitlog_close(struct commitlog *log);
/** Frees without a sync, as a crash would. */
void commitlog_abandon(struct commitlog *log);

/**
 * Append one batch (finished): after this it survives the death of the daemon, not yet that of the
 * machine. Order of positions is order of timestamps: both are given by the leader at one moment.
 * `ret_position`: of the record; `ret_end`: just past it (what commitlog_sync() wants).
 *
 * Errors: -EIO and the like, and from then on always: a hole in the log cannot be mended.
 * -ENOSPC when no slot is free and none can be made, after which it may be tried again.
 * Thread-safe.
 */
MUST_USE int commitlog_append(struct commitlog *log, const struct batch *batch,
    uint64_t *ret_position, uint64_t *ret_end, int64_t *ret_timestamp_us);

/**
 * Runs `at_position(arg, P)` while no append is in flight to get a place: P is the position that
 * the next record will have at least. How memtables are switched (engine.c).
 */
void commitlog_at_next_position(
    struct commitlog *log, void (*at_position)(void *arg, uint64_t position), void *arg);

/**
 * Everything before `position` to the device; returns at once if it is there. One fdatasync serves
 * all that wait. A failed one is final: -EIO now and for ever. Thread-safe; not in a task's step of
 * env_mem/env_fault while appends wait (it never waits for tasks: whoever finds no sync running
 * does one).
 */
MUST_USE int commitlog_sync(struct commitlog *log, uint64_t position);
/**
 * The same before a manifest says that `tables` (a bit each) are flushed up to `position`: their
 * large values before it are left out, as they are in SSTables by now.
 */
MUST_USE int commitlog_sync_before_flushed(
    struct commitlog *log, uint64_t position, uint64_t tables);
/** What needs no more of a sync: everything before this position. */
uint64_t commitlog_synced(struct commitlog *log);
/** Just past the newest record. */
uint64_t commitlog_end(struct commitlog *log);
/** The newest timestamp given. */
int64_t commitlog_last_timestamp_us(struct commitlog *log);

/**
 * Tables are flushed so far, as a durable manifest says. Segments before the lowest position may be
 * used again, but for the one it is in, the active one, and what is not synced; slots of values
 * when nobody needs any of them. May be called with older positions, which do nothing.
 */
MUST_USE int commitlog_discard(struct commitlog *log, struct commitlog_flushed flushed);
/**
 * Segments that end beyond this position are wanted in the archive, others are not
 * (COMMITLOG_ARCHIVE_NOTHING: none). Each is there soon after it was sealed and synced, and before
 * it is discarded: one that finds no space there stays.
 */
void commitlog_archive_from(struct commitlog *log, uint64_t position);
#define COMMITLOG_ARCHIVE_NOTHING UINT64_MAX
/**
 * Ends the active segment, so that all that was appended by now is in the archive as far as it is
 * wanted there. 1; 0: nothing is archived. -ENOSPC and the like: not all of it, now.
 */
MUST_USE int commitlog_archive_all(struct commitlog *log);
/** Timestamps given from here on are later than this one. */
void commitlog_pass_timestamp(struct commitlog *log, int64_t timestamp_us);
/** Have all of the tables (a bit each) been flushed beyond the position, as commitlog_discard() was
 * told? */
bool commitlog_is_flushed(struct commitlog *log, uint64_t tables, uint64_t position);
/** Bytes of large values that a sync of everything would write now, and whose they are. */
uint64_t commitlog_unsynced_values(struct commitlog *log, uint64_t *ret_tables);

/**
 * Segments that can be begun before flushes have to free some. At 0 the log grows beyond its
 * bounds, or fails with -ENOSPC. Cheap.
 */
unsigned commitlog_segments_left(struct commitlog *log);
/** Id of the oldest segment; 0: there is none. */
uint64_t commitlog_oldest_segment(struct commitlog *log);

struct commitlog_stats {
    uint64_t records, bytes, syncs, value_syncs, segments, sync_us_max;
    uint64_t archived, archived_bytes; /* segments since it was opened */
};
void commitlog_get_stats(struct commitlog *log, struct commitlog_stats *ret_stats);

#endif
