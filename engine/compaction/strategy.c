#include "compaction/strategy.h"

/* Below this, sizes do not matter. */
#define SMALL_BYTES (4u << 20)
#define DELETED_SHARE 0.33
#define DELETED_SHARE_SHORT 0.05
/* Of an SSTable; when a quarter of all is garbage some have a quarter, and of the table's bytes
 * never more than a third is garbage for long. */
#define GARBAGE_SHARE 0.5
#define GARBAGE_SHARE_OF_ALL 0.25
#define GARBAGE_SHARE_HELD_REST 0.75
/* When garbage is so much beside what the disk has left, it is worth being collected sooner. */
#define GARBAGE_MUCH_OF_FREE 0.125
#define GARBAGE_SHARE_MUCH 0.1
#define GARBAGE_SHARE_SHORT 0.05
#define GARBAGE_SHARE_FULL 0.005

/* ---- deleted rows ---- */

/* Share of all rows that is deleted. A partition's tombstone counts for the rows of one. */
static double deleted_share(const struct strategy_sstable *sstables, size_t count)
{
    uint64_t rows = 0, partitions = 0, single = 0, whole = 0;
    double deleted;

    for (size_t i = 0; i < count; i++) {
        const struct strategy_sstable *sstable = &sstables[i];

        if (sstable->skip)
            continue;
        rows = add_saturating(rows, sstable->rows);
        partitions = add_saturating(partitions, sstable->partitions);
        single = add_saturating(single, sstable->tombstones - sstable->partition_tombstones);
        whole = add_saturating(whole, sstable->partition_tombstones);
    }
    if (single == 0 && whole == 0)
        return 0;
    /* Partitions that hold nothing but their tombstone have no part in the average. */
    partitions = partitions > whole ? partitions - whole : 1;
    deleted = (double)single + (double)whole * ((double)rows / (double)partitions);
    return deleted >= (double)rows ? 1 : deleted / (double)rows;
}

/* Of all that are sound: their bytes, and whether they are one run that was purged already. */
static uint64_t sum_up(const struct strategy_sstable *sstables, size_t count, bool *ret_is_purged)
{
    const struct strategy_sstable *first = NULL;
    uint64_t bytes = 0;

    *ret_is_purged = true;
    for (size_t i = 0; i < count; i++) {
        if (sstables[i].skip)
            continue;
        if (!first)
            first = &sstables[i];
        *ret_is_purged &= sstables[i].compacted && sstables[i].run == first->run;
        bytes = add_saturating(bytes, sstables[i].bytes);
    }
    return bytes;
}

/* All of the table, if that can give anything back: what was compacted alone already was purged. */
static size_t choose_deleted(const struct strategy_sstable *sstables, size_t count,
    const struct strategy_limits *limits, bool *chosen, unsigned *ret_level)
{
    double share, wanted = limits->short_of_space ? DELETED_SHARE_SHORT : DELETED_SHARE;
    size_t taken = 0;
    bool is_purged;
    uint64_t bytes = sum_up(sstables, count, &is_purged);

    if (limits->tombstones_stay || is_purged)
        return 0;
    share = deleted_share(sstables, count);
    if (share < wanted)
        return 0;
    /* Only what is not deleted is written again. But the share is a guess, too high when what was
     * deleted is gone already: where space is short, garbage is collected first, and the guess not
     * relied upon. */
    if (limits->short_of_space || limits->near_full)
        share = 0;
    if ((double)bytes * (1 - share) > (double)limits->bytes_max)
        return 0;
    for (size_t i = 0; i < count; i++) {
        chosen[i] = !sstables[i].skip;
        taken += chosen[i];
    }
    *ret_level = strategy_level_of_all(COMPACT_LEVELLED, bytes, limits);
    return taken;
}

size_t strategy_choose(enum compaction_policy policy, const struct strategy_sstable *sstables,
    size_t count, const struct strategy_limits *limits, bool *chosen, unsigned *ret_level)
{
    size_t taken;

    *ret_level = 0;
    if (policy != COMPACT_LEVELLED)
        return strategy_choose_tier(sstables, count, limits, chosen);
    taken = choose_deleted(sstables, count, limits, chosen, ret_level);
    if (taken == 0)
        taken = strategy_choose_levelled(sstables, count, limits, chosen, ret_level);
    return taken;
}

/* ---- one by one ---- */

/* Of which it is enough garbage; more than 1: of none. */
static double garbage_share(enum compaction_policy policy, const struct strategy_sstable *sstables,
    size_t count, const struct strategy_limits *limits)
{
    uint64_t bytes = 0, garbage = 0;

    if (limits->full)
        return GARBAGE_SHARE_FULL;
    if (limits->near_full || limits->short_of_space)
        return GARBAGE_SHARE_SHORT;
    if (policy == COMPACT_LEVELLED)
        return 2;
    for (size_t i = 0; i < count; i++) {
        bytes = add_saturating(bytes, sstables[i].bytes);
        garbage = add_saturating(garbage, sstables[i].garbage_bytes);
    }
    if ((double)garbage > (double)limits->bytes_max * GARBAGE_MUCH_OF_FREE)
        return GARBAGE_SHARE_MUCH;
    return (double)garbage < (double)bytes * GARBAGE_SHARE_OF_ALL ? GARBAGE_SHARE
                                                                  : GARBAGE_SHARE_OF_ALL;
}

/* Of this one, when `share` is enough of others; more than 1: none is enough. */
static double share_wanted(
    const struct strategy_sstable *sstable, double share, const struct strategy_limits *limits)
{
    if (!sstable->held)
        return share;
    if (limits->full || limits->near_full || limits->short_of_space)
        return 2;
    return limits->held_rest ? GARBAGE_SHARE_HELD_REST : GARBAGE_SHARE;
}

bool strategy_choose_collection(enum compaction_policy policy,
    const struct strategy_sstable *sstables, size_t count, const struct strategy_limits *limits,
    size_t *ret_chosen)
{
    double share = garbage_share(policy, sstables, count, limits);
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; i < count; i++) {
        const struct strategy_sstable *sstable = &sstables[i];
        double garbage_wanted = (double)sstable->bytes * share_wanted(sstable, share, limits);
        uint64_t wanted;

        if (sstable->skip || sstable->garbage_bytes == 0 ||
            (double)sstable->garbage_bytes < garbage_wanted)
            continue;
        wanted =
            sstable->bytes > sstable->garbage_bytes ? sstable->bytes - sstable->garbage_bytes : 0;
        if (wanted <= limits->bytes_max && wanted < least) {
            least = wanted;
            *ret_chosen = i;
        }
    }
    return least != UINT64_MAX;
}

bool strategy_choose_outdated(const struct strategy_sstable *sstables, size_t count,
    const struct strategy_limits *limits, size_t *ret_chosen)
{
    uint64_t least = UINT64_MAX;

    if (limits->tombstones_stay)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct strategy_sstable *sstable = &sstables[i];

        if (sstable->skip || !sstable->outdated || sstable->tombstones == 0 ||
            (sstable->bytes > SMALL_BYTES &&
                (double)sstable->tombstones < (double)sstable->rows * DELETED_SHARE))
            continue;
        if (sstable->bytes <= limits->bytes_max && sstable->bytes < least) {
            least = sstable->bytes;
            *ret_chosen = i;
        }
    }
    return least != UINT64_MAX;
}
