#include "compaction/strategy.h"

#include <stdlib.h>

/* Below this, sizes do not matter: all such runs are similar (Cassandra: min_sstable_size). */
#define SMALL_BYTES (4u << 20)
#define GARBAGE_SHARE 0.33
#define GARBAGE_SHARE_SHORT 0.05
#define GARBAGE_SHARE_FULL 0.005

struct sized_run {
    uint64_t bytes;
    int64_t max_timestamp_us;
    size_t index;
};

/* Small before large, old before new. */
static int compare_runs(const void *a, const void *b)
{
    const struct sized_run *x = a, *y = b;

    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    if (x->max_timestamp_us != y->max_timestamp_us)
        return x->max_timestamp_us < y->max_timestamp_us ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static uint64_t add_saturating(uint64_t a, uint64_t b)
{
    uint64_t sum;

    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* ---- deleted rows ---- */

/* Share of all rows that is deleted. A partition's tombstone counts for the rows of one. */
static double garbage_share(const struct strategy_run *runs, size_t count)
{
    uint64_t rows = 0, partitions = 0, single = 0, whole = 0;
    double deleted;

    for (size_t i = 0; i < count; i++) {
        rows = add_saturating(rows, runs[i].rows);
        partitions = add_saturating(partitions, runs[i].partitions);
        single = add_saturating(single, runs[i].tombstones - runs[i].partition_tombstones);
        whole = add_saturating(whole, runs[i].partition_tombstones);
    }
    if (single == 0 && whole == 0)
        return 0;
    /* Partitions that hold nothing but their tombstone have no part in the average. */
    partitions = partitions > whole ? partitions - whole : 1;
    deleted = (double)single + (double)whole * ((double)rows / (double)partitions);
    return deleted >= (double)rows ? 1 : deleted / (double)rows;
}

/* All of the table, if that can give anything back: what was compacted alone already was purged. */
static size_t choose_garbage(const struct strategy_run *runs, size_t count,
    const struct strategy_limits *limits, bool *chosen)
{
    double share, wanted = limits->short_of_space ? GARBAGE_SHARE_SHORT : GARBAGE_SHARE;
    uint64_t bytes = 0;

    if (count == 0 || limits->tombstones_stay || (count == 1 && runs[0].compacted))
        return 0;
    share = garbage_share(runs, count);
    if (share < wanted)
        return 0;
    for (size_t i = 0; i < count; i++)
        bytes = add_saturating(bytes, runs[i].bytes);
    /* Only what is not deleted is written again. But the share is a guess, too high when what was
     * deleted is gone already: where space is short, garbage is collected first, and the guess not
     * relied upon. */
    if (limits->short_of_space || limits->near_full)
        share = 0;
    if ((double)bytes * (1 - share) > (double)limits->bytes_max)
        return 0;
    for (size_t i = 0; i < count; i++)
        chosen[i] = true;
    return count;
}

/* ---- similar sizes ---- */

/* The first of `sorted` as many as are similar to their average: from half of it to half more. */
static size_t tier_length(const struct sized_run *sorted, size_t count)
{
    uint64_t sum = 0;
    size_t length = 0;

    while (length < count && length < STRATEGY_RUNS_MAX) {
        uint64_t grown = add_saturating(sum, sorted[length].bytes);
        uint64_t average = grown / (length + 1);

        if (sorted[length].bytes > SMALL_BYTES &&
            (sorted[length].bytes > average + average / 2 || sorted[0].bytes < average / 2))
            break;
        sum = grown;
        length++;
    }
    return length;
}

static size_t take(const struct sized_run *sorted, size_t count, uint64_t bytes_max, bool *chosen)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes = add_saturating(bytes, sorted[i].bytes);
    if (bytes > bytes_max)
        return 0;
    for (size_t i = 0; i < count; i++)
        chosen[sorted[i].index] = true;
    return count;
}

/* The smallest tier that is full: it costs least and comes up most often. */
static size_t choose_tier(
    const struct sized_run *sorted, size_t count, uint64_t bytes_max, bool *chosen)
{
    for (size_t first = 0; first + STRATEGY_RUNS_MIN <= count; first++) {
        size_t length = tier_length(sorted + first, count - first);

        if (length >= STRATEGY_RUNS_MIN) {
            size_t taken = take(sorted + first, length, bytes_max, chosen);

            if (taken > 0)
                return taken;
        }
    }
    return 0;
}

/* ---- too many ---- */

/* As many of the smallest (of one size: the oldest) as bring the number back under its bound. */
static size_t choose_excess(
    const struct sized_run *sorted, size_t count, uint64_t bytes_max, bool *chosen)
{
    size_t wanted;

    if (count <= STRATEGY_RUNS_LIMIT)
        return 0;
    wanted = count - STRATEGY_RUNS_LIMIT + STRATEGY_RUNS_MIN;
    if (wanted > STRATEGY_RUNS_MAX)
        wanted = STRATEGY_RUNS_MAX;
    return take(sorted, wanted, bytes_max, chosen);
}

size_t strategy_choose(const struct strategy_run *runs, size_t count,
    const struct strategy_limits *limits, bool *chosen)
{
    struct sized_run *sorted;
    size_t taken;

    for (size_t i = 0; i < count; i++)
        chosen[i] = false;
    taken = choose_garbage(runs, count, limits, chosen);
    if (taken > 0 || count < STRATEGY_RUNS_MIN)
        return taken;
    sorted = calloc(count, sizeof(*sorted));
    if (!sorted)
        return 0; /* there will be another occasion */
    for (size_t i = 0; i < count; i++)
        sorted[i] = (struct sized_run){runs[i].bytes, runs[i].max_timestamp_us, i};
    qsort(sorted, count, sizeof(*sorted), compare_runs);
    taken = choose_tier(sorted, count, limits->merge_bytes_max, chosen);
    if (taken == 0)
        taken = choose_excess(sorted, count, limits->merge_bytes_max, chosen);
    free(sorted);
    return taken;
}

/* ---- one by one ---- */

bool strategy_choose_collection(const struct strategy_sstable *sstables, size_t count,
    const struct strategy_limits *limits, size_t *ret_chosen)
{
    double share = limits->full ? GARBAGE_SHARE_FULL : GARBAGE_SHARE_SHORT;
    uint64_t least = UINT64_MAX;

    for (size_t i = 0; i < count; i++) {
        const struct strategy_sstable *sstable = &sstables[i];
        uint64_t wanted;

        if (sstable->skip || sstable->garbage_bytes == 0 ||
            (double)sstable->garbage_bytes < (double)sstable->bytes * share)
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
                (double)sstable->tombstones < (double)sstable->rows * GARBAGE_SHARE))
            continue;
        if (sstable->bytes <= limits->bytes_max && sstable->bytes < least) {
            least = sstable->bytes;
            *ret_chosen = i;
        }
    }
    return least != UINT64_MAX;
}
