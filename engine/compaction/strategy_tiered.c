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

/* Of `runs`, all of one tier and sorted: how many of the smallest to merge; 0: none. */
static size_t tier_length(
    const struct sized_run *runs, size_t count, const struct strategy_limits *limits)
{
    size_t wanted = runs[0].bytes < SMALL_BYTES ? SMALL_RUNS_MAX : TIER_FACTOR;
    uint64_t bytes = 0;
    size_t length = 0;

    if (count < wanted)
        return 0;
    while (length < count && length < limits->inputs_max) {
        bytes = add_saturating(bytes, runs[length].bytes);
        if (bytes > limits->merge_bytes_max)
            break;
        length++;
    }
    /* For few of them it is not worth what is written. */
    return length < SMALL_RUNS_MAX ? 0 : length;
}

static size_t take(const struct strategy_sstable *sstables, size_t count,
    const struct sized_run *runs, size_t run_count, bool *chosen)
{
    size_t taken = 0;

    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < run_count && !chosen[i]; j++)
            chosen[i] = !sstables[i].skip && sstables[i].run == runs[j].run;
        taken += chosen[i];
    }
    return taken;
}

size_t strategy_choose_tier(const struct strategy_sstable *sstables, size_t count,
    const struct strategy_limits *limits, bool *chosen)
{
    struct sized_run *runs = calloc(count + 1, sizeof(*runs));
    size_t run_count, length = 0, taken = 0;

    for (size_t i = 0; i < count; i++)
        chosen[i] = false;
    if (!runs)
        return 0; /* there will be another occasion */
    run_count = add_up_runs(sstables, count, runs);
    /* The lowest tier first: it costs least and comes up most often. */
    for (size_t first = 0; first < run_count && length == 0;) {
        size_t end = first;

        while (end < run_count && tier_of(runs[end].bytes) == tier_of(runs[first].bytes))
            end++;
        length = tier_length(runs + first, end - first, limits);
        if (length > 0)
            taken = take(sstables, count, runs + first, length, chosen);
        first = end;
    }
    free(runs);
    return taken;
}
