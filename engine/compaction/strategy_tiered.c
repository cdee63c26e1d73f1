#include <stdlib.h>

#include "compaction/strategy.h"

/* All below it are of one size, and few enough of them to be merged sooner: they cost little. */
#define SMALL_BYTES (4u << 20)
#define SMALL_RUNS_MAX 8

struct sized_run {
    uint64_t run;
    uint64_t bytes;
};

static unsigned tier_of(uint64_t bytes)
{
    unsigned tier = 0;

    for (uint64_t bound = SMALL_BYTES; bytes >= bound && bound <= UINT64_MAX / TIER_FACTOR; tier++)
        bound *= TIER_FACTOR;
    return tier;
}

/* Small before large, old before new. */
static int compare_runs(const void *a, const void *b)
{
    const struct sized_run *x = a, *y = b;

    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? -1 : 1;
    return x->run < y->run ? -1 : x->run > y->run;
}

static size_t add_up_runs(
    const struct strategy_sstable *sstables, size_t count, struct sized_run *runs)
{
    size_t run_count = 0;

    for (size_t i = 0; i < count; i++) {
        size_t place = 0;

        if (sstables[i].skip)
            continue;
        while (place < run_count && runs[place].run != sstables[i].run)
            place++;
        if (place == run_count)
            runs[run_count++] = (struct sized_run){.run = sstables[i].run};
        runs[place].bytes = add_saturating(runs[place].bytes, sstables[i].bytes);
    }
    qsort(runs, run_count, sizeof(*runs), compare_runs);
    return run_count;
}

/* Of `runs`, sorted: how many of the smallest have no more than `bytes_max` together. */
static size_t fitting(const struct sized_run *runs, size_t count, uint64_t bytes_max)
{
    uint64_t bytes = 0;
    size_t length = 0;

    for (; length < count; length++) {
        bytes = add_saturating(bytes, runs[length].bytes);
        if (bytes > bytes_max)
            break;
    }
    return length;
}

static void take(const struct strategy_sstable *sstables, size_t count,
    const struct sized_run *runs, size_t run_count, bool *chosen)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < run_count && !chosen[i]; j++)
            chosen[i] = !sstables[i].skip && sstables[i].run == runs[j].run;
}

/* ---- one range ---- */

struct span {
    int64_t first, last;
};

/* Those of `chosen` that overlap, directly or by others, with the one at `place`. */
static struct span span_around(
    const struct strategy_sstable *sstables, size_t count, const bool *chosen, size_t place)
{
    struct span span = {sstables[place].first_token, sstables[place].last_token};
    bool grown = true;

    while (grown) {
        grown = false;
        for (size_t i = 0; i < count; i++) {
            const struct strategy_sstable *other = &sstables[i];

            if (!chosen[i] || other->first_token > span.last || other->last_token < span.first)
                continue;
            grown |= other->first_token < span.first || other->last_token > span.last;
            span.first = other->first_token < span.first ? other->first_token : span.first;
            span.last = other->last_token > span.last ? other->last_token : span.last;
        }
    }
    return span;
}

/* Leaves of `chosen` one range, in which there is more than one to be merged; 0: none is. */
static size_t narrow(const struct strategy_sstable *sstables, size_t count, bool *chosen)
{
    for (size_t place = 0; place < count; place++) {
        struct span span;
        size_t within = 0;

        if (!chosen[place])
            continue;
        span = span_around(sstables, count, chosen, place);
        for (size_t i = 0; i < count; i++)
            within += chosen[i] && sstables[i].first_token >= span.first &&
                      sstables[i].last_token <= span.last;
        if (within < 2)
            continue;
        for (size_t i = 0; i < count; i++)
            chosen[i] &=
                sstables[i].first_token >= span.first && sstables[i].last_token <= span.last;
        return within;
    }
    for (size_t i = 0; i < count; i++)
        chosen[i] = false;
    return 0;
}

/* Of `runs`, all of one tier and sorted, as many as memory allows, in one range; if that has no
 * room, fewer. */
static size_t choose_of_tier(const struct strategy_sstable *sstables, size_t count,
    const struct sized_run *runs, size_t run_count, const struct strategy_limits *limits,
    bool *chosen)
{
    size_t length = run_count < limits->inputs_max ? run_count : limits->inputs_max;
    uint64_t bytes = 0;
    size_t taken;

    if (run_count < (runs[0].bytes < SMALL_BYTES ? SMALL_RUNS_MAX : TIER_FACTOR))
        return 0;
    take(sstables, count, runs, length, chosen);
    taken = narrow(sstables, count, chosen);
    for (size_t i = 0; i < count; i++)
        bytes = chosen[i] ? add_saturating(bytes, sstables[i].bytes) : bytes;
    if (bytes <= limits->merge_bytes_max)
        return taken;
    for (size_t i = 0; i < count; i++)
        chosen[i] = false;
    length = fitting(runs, length, limits->merge_bytes_max);
    /* For few of them it is not worth what is written. */
    if (length < SMALL_RUNS_MAX)
        return 0;
    take(sstables, count, runs, length, chosen);
    return narrow(sstables, count, chosen);
}

size_t strategy_choose_tier(const struct strategy_sstable *sstables, size_t count,
    const struct strategy_limits *limits, bool *chosen)
{
    struct sized_run *runs = calloc(count + 1, sizeof(*runs));
    size_t run_count, taken = 0;

    for (size_t i = 0; i < count; i++)
        chosen[i] = false;
    if (!runs)
        return 0; /* there will be another occasion */
    run_count = add_up_runs(sstables, count, runs);
    /* The lowest tier first: it costs least and comes up most often. */
    for (size_t first = 0; first < run_count && taken == 0;) {
        size_t end = first;

        while (end < run_count && tier_of(runs[end].bytes) == tier_of(runs[first].bytes))
            end++;
        taken = choose_of_tier(sstables, count, runs + first, end - first, limits, chosen);
        first = end;
    }
    free(runs);
    return taken;
}
