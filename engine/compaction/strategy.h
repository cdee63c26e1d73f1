/*
 * Which SSTables to merge next: sizes in, choice out, no I/O.
 *
 * Size-tiered, as Cassandra's SizeTieredCompactionStrategy: runs of similar size are merged once
 * there are four. Two rules beside it: when much of a table is deleted all of it is merged, as
 * tombstones go at once when nothing lies below them; and the number of runs is bounded, whatever
 * their sizes. The pieces of one compaction's output are one run.
 *
 * A disk that is nearly full has no room for the merge of all. There SSTables with deleted rows are
 * written again one by one (Cassandra: nodetool garbagecollect), each time giving back more than
 * was taken.
 */
#ifndef SSTFS_COMPACTION_STRATEGY_H
#define SSTFS_COMPACTION_STRATEGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STRATEGY_RUNS_MIN 4    /* of similar size */
#define STRATEGY_RUNS_MAX 32   /* merged in one job */
#define STRATEGY_RUNS_LIMIT 32 /* of a table */

struct strategy_run {
    uint64_t bytes;
    uint64_t rows, partitions;
    uint64_t tombstones, partition_tombstones; /* the second a part of the first */
    int64_t max_timestamp_us;                  /* its age */
    bool compacted;
};

struct strategy_limits {
    uint64_t bytes_max;       /* what the disk has room for, the reserve included */
    uint64_t merge_bytes_max; /* the same for what gives nothing back */
    bool short_of_space;      /* deleted rows are worth going after early */
    bool near_full;           /* as little as the reserve is left */
    bool full;                /* nothing is left: all that can be had is wanted */
    bool tombstones_stay;     /* gc_grace: they cannot go yet, so nothing is to be had for them */
};

/** An SSTable as the choice of garbage sees it. */
struct strategy_sstable {
    uint64_t bytes;
    uint64_t garbage_bytes; /* of rows that newer SSTables delete */
    uint64_t rows, tombstones;
    bool outdated; /* rows that its tombstones delete were collected since it was written */
    bool skip;     /* damaged */
};

/** Sets chosen[i] for the runs to be merged and returns their number; 0: nothing to do. */
size_t strategy_choose(const struct strategy_run *runs, size_t count,
    const struct strategy_limits *limits, bool *chosen);

/**
 * Of SSTables whose garbage is known: that to be written again without what newer ones delete, the
 * one that needs the least space for it first. False: none has enough garbage, or there is no room.
 */
bool strategy_choose_collection(const struct strategy_sstable *sstables, size_t count,
    const struct strategy_limits *limits, size_t *ret_chosen);
/**
 * An SSTable whose tombstones may have nothing left to delete: written again by itself it is rid of
 * them, without room for the merge of all. False: none.
 */
bool strategy_choose_outdated(const struct strategy_sstable *sstables, size_t count,
    const struct strategy_limits *limits, size_t *ret_chosen);

#endif
