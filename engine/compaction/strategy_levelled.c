#include "compaction/strategy.h"

/* Level 0 is merged within itself as long as it is tiny, or little beside what it overlaps with in
 * level 1: that would all be written again for it. */
#define TINY_BYTES (8u << 20)
#define LITTLE_FACTOR 4

static bool overlap(const struct strategy_sstable *a, const struct strategy_sstable *b)
{
    return a->first_token <= b->last_token && b->first_token <= a->last_token;
}

static uint64_t level_bytes_max(unsigned level, const struct strategy_limits *limits)
{
    uint64_t bytes = limits->sstable_bytes;

    while (level-- > 0)
        if (__builtin_mul_overflow(bytes, LEVEL_FACTOR, &bytes))
            return UINT64_MAX;
    return bytes;
}

unsigned strategy_level_of_all(
    enum compaction_policy policy, uint64_t bytes, const struct strategy_limits *limits)
{
    unsigned level = 1;

    if (policy != COMPACT_LEVELLED)
        return 0;
    while (level < LEVEL_MAX && bytes > level_bytes_max(level, limits))
        level++;
    return level;
}

/* ---- a choice being made ---- */

struct choice {
    const struct strategy_sstable *sstables;
    size_t count;
    bool *chosen;
    size_t taken;
    uint64_t bytes;
};

static void take(struct choice *choice, size_t place)
{
    if (choice->chosen[place])
        return;
    choice->chosen[place] = true;
    choice->taken++;
    choice->bytes = add_saturating(choice->bytes, choice->sstables[place].bytes);
}

static void clear(struct choice *choice)
{
    for (size_t i = 0; i < choice->count; i++)
        choice->chosen[i] = false;
    choice->taken = 0;
    choice->bytes = 0;
}

static bool is_at(const struct choice *choice, size_t place, unsigned level)
{
    return !choice->sstables[place].skip && choice->sstables[place].level == level;
}

/* Those of `level` that overlap with what was taken of the level above it. */
static void take_below(struct choice *choice, unsigned level)
{
    for (size_t i = 0; i < choice->count; i++) {
        if (!is_at(choice, i, level))
            continue;
        for (size_t j = 0; j < choice->count && !choice->chosen[i]; j++)
            if (choice->chosen[j] && is_at(choice, j, level - 1) &&
                overlap(&choice->sstables[i], &choice->sstables[j]))
                take(choice, i);
    }
}

/* ---- level 0 ---- */

static bool begins_run(const struct choice *choice, size_t place)
{
    for (size_t i = 0; i < place; i++)
        if (is_at(choice, i, 0) && choice->sstables[i].run == choice->sstables[place].run)
            return false;
    return is_at(choice, place, 0);
}

static size_t level0_runs(const struct choice *choice)
{
    size_t runs = 0;

    for (size_t i = 0; i < choice->count; i++)
        runs += begins_run(choice, i);
    return runs;
}

static uint64_t run_bytes(const struct choice *choice, size_t place)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < choice->count; i++)
        if (is_at(choice, i, 0) && choice->sstables[i].run == choice->sstables[place].run)
            bytes = add_saturating(bytes, choice->sstables[i].bytes);
    return bytes;
}

static void take_run(struct choice *choice, uint64_t run)
{
    for (size_t i = 0; i < choice->count; i++)
        if (is_at(choice, i, 0) && choice->sstables[i].run == run)
            take(choice, i);
}

/* The smallest run of level 0 not taken yet; SIZE_MAX: none. */
static size_t smallest_left(const struct choice *choice, uint64_t *ret_bytes)
{
    size_t smallest = SIZE_MAX;

    for (size_t i = 0; i < choice->count; i++) {
        uint64_t bytes;

        if (choice->chosen[i] || !begins_run(choice, i))
            continue;
        bytes = run_bytes(choice, i);
        if (smallest == SIZE_MAX || bytes < *ret_bytes) {
            smallest = i;
            *ret_bytes = bytes;
        }
    }
    return smallest;
}

/* Of level 0 the smaller runs, two at least, up to one that is large beside all of them. */
static size_t choose_within_level0(struct choice *choice, uint64_t bytes_max)
{
    uint64_t bytes = 0;
    size_t runs = 0, next;

    clear(choice);
    while ((next = smallest_left(choice, &bytes)) != SIZE_MAX &&
           (runs < 2 || bytes / 2 <= choice->bytes) &&
           add_saturating(choice->bytes, bytes) <= bytes_max) {
        take_run(choice, choice->sstables[next].run);
        runs++;
    }
    if (runs < 2)
        clear(choice);
    return choice->taken;
}

static size_t choose_level0(
    struct choice *choice, const struct strategy_limits *limits, unsigned *ret_level)
{
    uint64_t bytes;
    size_t taken;

    if (level0_runs(choice) < LEVEL0_RUNS_MAX)
        return 0;
    for (size_t i = 0; i < choice->count; i++)
        if (is_at(choice, i, 0))
            take(choice, i);
    bytes = choice->bytes;
    take_below(choice, 1);
    *ret_level = 0;
    if (bytes < TINY_BYTES || bytes < (choice->bytes - bytes) / LITTLE_FACTOR ||
        choice->bytes > limits->merge_bytes_max) {
        taken = choose_within_level0(choice, limits->merge_bytes_max);
        if (taken > 0)
            return taken;
    }
    for (size_t i = 0; i < choice->count; i++)
        if (is_at(choice, i, 0))
            take(choice, i);
    take_below(choice, 1);
    if (choice->bytes > limits->merge_bytes_max)
        clear(choice);
    *ret_level = 1;
    return choice->taken;
}

/* ---- the levels below ---- */

static uint64_t level_bytes(const struct choice *choice, unsigned level)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < choice->count; i++)
        if (is_at(choice, i, level))
            bytes = add_saturating(bytes, choice->sstables[i].bytes);
    return bytes;
}

/* The one of `level` that has the least below it, for its size; with that. */
static size_t choose_from_level(struct choice *choice, unsigned level, uint64_t bytes_max)
{
    size_t best = SIZE_MAX;
    double best_share = 0;

    for (size_t i = 0; i < choice->count; i++) {
        double share;

        if (!is_at(choice, i, level))
            continue;
        clear(choice);
        take(choice, i);
        take_below(choice, level + 1);
        share = (double)choice->bytes / (double)(choice->sstables[i].bytes + 1);
        if (choice->bytes <= bytes_max && (best == SIZE_MAX || share < best_share)) {
            best = i;
            best_share = share;
        }
    }
    clear(choice);
    if (best == SIZE_MAX)
        return 0;
    take(choice, best);
    take_below(choice, level + 1);
    return choice->taken;
}

size_t strategy_choose_levelled(const struct strategy_sstable *sstables, size_t count,
    const struct strategy_limits *limits, bool *chosen, unsigned *ret_level)
{
    struct choice choice = {.sstables = sstables, .count = count, .chosen = chosen};
    size_t taken;

    clear(&choice);
    taken = choose_level0(&choice, limits, ret_level);
    for (unsigned level = 1; taken == 0 && level < LEVEL_MAX; level++) {
        if (level_bytes(&choice, level) <= level_bytes_max(level, limits))
            continue;
        taken = choose_from_level(&choice, level, limits->merge_bytes_max);
        *ret_level = level + 1;
    }
    return taken;
}
