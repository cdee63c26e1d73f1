/*
 * Which SSTables to compact next, and to what level: sizes in, choice out, no I/O.
 *
 *   levelled (COMPACT_LEVELLED): a flush is at level 0; four of them are merged with level 1. In
 *     each level from 1 on SSTables do not overlap, so a lookup asks one; level n holds 8^n of
 *     them, and what is too much is merged with those below it in level n + 1. As long as level 0
 *     is little beside level 1, it is merged within itself (Cassandra: LeveledCompactionStrategy).
 *   tiered (COMPACT_GARBAGE): runs of a size, by factors of 64, are merged once there are 64 of
 *     them: only so that there are not too many (Cassandra: SizeTieredCompactionStrategy). The
 *     pieces of one compaction's output are one run. They are cut at fixed bounds of the ring, and
 *     one range of it is merged at a time: that is all the space it takes.
 *
 * When much of a levelled table is deleted all of it is merged, as tombstones go at once when
 * nothing lies below them. Of a tiered one, what has much garbage is written again without it, one
 * by one (Cassandra: nodetool garbagecollect), so that nothing else is; so are all tables on a disk
 * that is nearly full and has no room for more, each time giving back more than was taken.
 */
#ifndef SSTFS_COMPACTION_STRATEGY_H
#define SSTFS_COMPACTION_STRATEGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/schema.h"

#define LEVEL0_RUNS_MAX 4 /* one more flush, and they are merged */
#define LEVEL_FACTOR 8
#define LEVEL_MAX 9
#define TIER_FACTOR 64

struct strategy_sstable {
    uint64_t run;   /* rises with age: pieces of one output have one */
    unsigned level; /* COMPACT_LEVELLED: from 1 on those of a level do not overlap */
    uint64_t bytes;
    uint64_t garbage_bytes; /* about so many of them newer SSTables delete or replace */
    uint64_t rows, partitions;
    uint64_t tombstones, partition_tombstones; /* the second a part of the first */
    int64_t first_token, last_token;
    bool compacted; /* the output of a compaction, not of a flush */
    bool held;      /* by snapshots as well: replaced, it takes its space until they go */
    bool outdated;  /* rows that its tombstones delete were collected since it was written */
    bool skip;      /* damaged */
};

struct strategy_limits {
    uint64_t piece_bytes;     /* at which an output is cut */
    uint64_t sstable_bytes;   /* the same from level 1 on */
    size_t inputs_max;        /* of a merge by tiers: each takes memory */
    uint64_t bytes_max;       /* what the disk has room for, the reserve included */
    uint64_t merge_bytes_max; /* the same for what gives nothing back */
    bool short_of_space;      /* deleted rows are worth going after early */
    bool near_full;           /* as little as the reserve is left */
    bool full;                /* nothing is left: all that can be had is wanted */
    bool held_rest;           /* what snapshots hold was collected a short while ago */
    bool tombstones_stay;     /* gc_grace: they cannot go yet, so nothing is to be had for them */
};

/**
 * Sets chosen[i] for the SSTables to be merged and returns their number; 0: nothing to do.
 * `ret_level`: of the output.
 */
size_t strategy_choose(enum compaction_policy policy, const struct strategy_sstable *sstables,
    size_t count, const struct strategy_limits *limits, bool *chosen, unsigned *ret_level);
/** The level at which `bytes` are all of a table. */
unsigned strategy_level_of_all(
    enum compaction_policy policy, uint64_t bytes, const struct strategy_limits *limits);

/**
 * The SSTable to be written again without what newer ones delete or replace: of those with enough
 * garbage the one that needs the least space for it. False: there is none, or no room. Of one that
 * snapshots hold half must be garbage, or three quarters, as it gives nothing back for now and the
 * next backup has to copy what it becomes; where space is short it is left alone.
 */
bool strategy_choose_collection(enum compaction_policy policy,
    const struct strategy_sstable *sstables, size_t count, const struct strategy_limits *limits,
    size_t *ret_chosen);
/**
 * An SSTable whose tombstones may have nothing left to delete: written again by itself it is rid of
 * them, without room for the merge of all. False: none.
 */
bool strategy_choose_outdated(const struct strategy_sstable *sstables, size_t count,
    const struct strategy_limits *limits, size_t *ret_chosen);

/* ---- one each, for strategy_choose() ---- */

size_t strategy_choose_levelled(const struct strategy_sstable *sstables, size_t count,
    const struct strategy_limits *limits, bool *chosen, unsigned *ret_level);
size_t strategy_choose_tier(const struct strategy_sstable *sstables, size_t count,
    const struct strategy_limits *limits, bool *chosen);

static inline uint64_t add_saturating(uint64_t a, uint64_t b)
{
    uint64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

#endif
