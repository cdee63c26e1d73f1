/*
 * The commit log: where a batch of mutations becomes a fact, before it is acknowledged.
 *
 *   append --> [active segment] --page cache--> position, timestamp
 *                     | full                          | await: fdatasync, shared
 *                     v                               v
 *              [dirty segments] --flushed-->  ack   (used again)
 *
 * Any number of threads may append; the first in line leads, gives places and timestamps, and
 * writes for all. Byte layout: commitlog/FORMAT.md. A position is segment id << 32 | offset.
 * Cassandra 5.0.5: db/commitlog/CommitLog.java.
 */
#ifndef SSTFS_COMMITLOG_H
#define SSTFS_COMMITLOG_H

#include "engine/io.h"
#include "rows/update.h"

#define COMMITLOG_POSITION_NONE 0

struct commitlog;

/** A torn tail that an earlier recovery dropped: what lies in [from, segment `to`) never counts. */
struct commitlog_cut {
    uint64_t from_position;
    uint64_t to_segment;
};

struct commitlog_options {
    uint8_t store_uuid[16];
    uint64_t segment_bytes;
    int64_t last_timestamp_us; /* the newest that the manifest or replay knows */
    uint64_t next_segment;     /* first id never used */
    uint64_t from_position;    /* where replay began: what lies before is free to be written over */
};

/** What replay found. */
struct commitlog_replay_result {
    uint64_t end_position; /* first position not replayed: where the torn tail begins, or the end */
    uint64_t next_segment; /* first segment id never used */
    int64_t last_timestamp_us;
    uint64_t records;
    uint64_t dropped_bytes; /* of a torn tail */
    bool torn;              /* a cut must be written to the manifest before the first append */
};

/**
 * Reads the log of the folder "commitlog" from `from_position` (the lowest flushed position) on and
 * hands each whole BATCH record to `each`, in order. `flushed_max`: the highest flushed position of
 * any table; a bad record below it, or below what a later SYNC record covers, is damage: -EUCLEAN
 * with segment, offset, length of the hole and the first good record after it. Otherwise it is a
 * torn tail, and replay ends before it. `cuts` (of earlier recoveries) are skipped.
 * `memory` holds the updates; each() may keep a reference.
 */
MUST_USE int commitlog_replay(struct env *env, const uint8_t store_uuid[16], uint64_t from_position,
    uint64_t flushed_max, const struct commitlog_cut *cuts, unsigned cut_count,
    int (*each)(void *arg, uint64_t position, int64_t timestamp_us, struct bytes updates,
        unsigned update_count, struct record_memory *memory),
    void *arg, struct commitlog_replay_result *ret_result);

/**
 * Syncs what a killed daemon may have left in the page cache. To be called before the replay of a
 * mount that writes: else a flush during replay could name a table whose log a power cut takes
 * away. commitlog_open() does it again, which then costs nothing.
 */
MUST_USE int commitlog_sync_segments(struct env *env);

/**
 * Begins a new segment (on the first append); nothing old is ever appended to. Only after the cut
 * of the old tail is durable: what it cut off may be written over.
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
/** What is known to be on the device: everything before this position. */
uint64_t commitlog_synced(struct commitlog *log);
/** Just past the newest record. */
uint64_t commitlog_end(struct commitlog *log);
/** The newest timestamp given. */
int64_t commitlog_last_timestamp_us(struct commitlog *log);

/**
 * Gives the segments before the one that `position` is in to be used again, oldest first; never the
 * active one, nor one that is not synced. The segment of `position` stays: replay begins there.
 * The lowest flushed position in a durable manifest must have come to `position`.
 */
MUST_USE int commitlog_discard(struct commitlog *log, uint64_t position);

/**
 * Segments that can be begun before flushes have to free some. At 0 the log grows beyond its
 * bounds, or fails with -ENOSPC. Cheap.
 */
unsigned commitlog_segments_left(struct commitlog *log);
/** Id of the oldest segment; 0: there is none. */
uint64_t commitlog_oldest_segment(struct commitlog *log);

struct commitlog_stats {
    uint64_t records, bytes, syncs, segments, sync_us_max;
};
void commitlog_get_stats(struct commitlog *log, struct commitlog_stats *ret_stats);

#endif
