/*
 * Goal: levelled tables are few SSTables deep, and tiered ones are hardly ever written again;
 * deleted rows bring a table together; what there is no room or no reason for is left alone.
 * Method: sizes in, choice out; and long random lives of a table, whose merges are only counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "compaction/pace.h"
#include "support/random.h"

#define MIB (1ull << 20)
#define SSTABLES_MAX 4096

static const struct strategy_limits roomy = {
    .piece_bytes = UINT64_MAX,
    .sstable_bytes = 128 * MIB,
    .inputs_max = 64,
    .bytes_max = UINT64_MAX,
    .merge_bytes_max = UINT64_MAX,
};

/* Of the whole ring, if nothing else is said. */
static struct strategy_sstable sstable_of(uint64_t run, uint64_t bytes)
{
    return (struct strategy_sstable){
        .run = run,
        .bytes = bytes,
        .rows = bytes / 100 + 1,
        .partitions = 10,
        .first_token = INT64_MIN,
        .last_token = INT64_MAX,
    };
}

static struct strategy_sstable sstable_at(
    unsigned level, uint64_t bytes, int64_t first_token, int64_t last_token)
{
    struct strategy_sstable sstable = sstable_of(1000, bytes);

    sstable.level = level;
    sstable.first_token = first_token;
    sstable.last_token = last_token;
    sstable.compacted = true;
    return sstable;
}

static size_t choose(enum compaction_policy policy, const struct strategy_sstable *sstables,
    size_t count, bool *chosen, unsigned *ret_level)
{
    return strategy_choose(policy, sstables, count, &roomy, chosen, ret_level);
}

/* ---- levelled ---- */

static void up_to_three_flushes_are_left_alone(void **state)
{
    struct strategy_sstable sstables[] = {
        sstable_of(1, 10 * MIB), sstable_of(2, 10 * MIB), sstable_of(3, 10 * MIB)};
    unsigned level;
    bool chosen[3];

    (void)state;
    assert_int_equal(choose(COMPACT_LEVELLED, sstables, 0, chosen, &level), 0);
    assert_int_equal(choose(COMPACT_LEVELLED, sstables, 3, chosen, &level), 0);
}

static void four_flushes_go_to_level_one_with_what_they_overlap_there(void **state)
{
    struct strategy_sstable sstables[] = {
        sstable_at(0, 60 * MIB, 0, 100),
        sstable_at(1, 100 * MIB, 50, 150),
        sstable_at(1, 100 * MIB, 200, 300),
        sstable_at(0, 60 * MIB, 0, 100),
        sstable_at(2, 100 * MIB, 0, 100),
        sstable_at(0, 60 * MIB, 0, 100),
        sstable_at(0, 60 * MIB, 0, 100),
    };
    static const bool expected[] = {true, true, false, true, false, true, true};
    unsigned level;
    bool chosen[7];

    (void)state;
    for (size_t i = 0; i < 7; i++)
        sstables[i].run = i;
    assert_int_equal(choose(COMPACT_LEVELLED, sstables, 7, chosen, &level), 5);
    assert_int_equal(level, 1);
    assert_memory_equal(chosen, expected, sizeof(expected));
}

static void little_is_merged_within_level_zero(void **state)
{
    struct strategy_sstable sstables[] = {
        sstable_at(1, 900 * MIB, INT64_MIN, INT64_MAX), sstable_of(1, 10 * MIB),
        sstable_of(2, 160 * MIB), sstable_of(3, MIB), sstable_of(4, 7 * MIB),
        sstable_of(5, 10 * MIB), sstable_of(3, 3 * MIB), /* the other piece of that run */
    };
    static const bool expected[] = {false, true, false, true, true, true, true};
    unsigned level;
    bool chosen[7];

    (void)state;
    assert_int_equal(choose(COMPACT_LEVELLED, sstables, 7, chosen, &level), 5);
    assert_int_equal(level, 0);
    assert_memory_equal(chosen, expected, sizeof(expected));
    /* It is much beside what it overlaps with. */
    sstables[0].bytes = 700 * MIB;
    assert_int_equal(choose(COMPACT_LEVELLED, sstables, 7, chosen, &level), 7);
    assert_int_equal(level, 1);
}

static void tiny_flushes_stay_at_level_zero(void **state)
{
    struct strategy_sstable sstables[] = {
        sstable_of(1, MIB), sstable_of(2, MIB), sstable_of(3, MIB), sstable_of(4, 4 * MIB)};
    unsigned level;
    bool chosen[4];

    (void)state;
    assert_int_equal(choose(COMPACT_LEVELLED, sstables, 4, chosen, &level), 4);
    assert_int_equal(level, 0);
    sstables[3].bytes = 5 * MIB;
    assert_int_equal(choose(COMPACT_LEVELLED, sstables, 4, chosen, &level), 4);
    assert_int_equal(level, 1);
}

static void what_a_level_has_too_much_goes_down_where_least_lies_below(void **state)
{
    struct strategy_sstable sstables[12];
    static const bool expected[12] = {[4] = true, [11] = true};
    unsigned level;
    bool chosen[12];

    (void)state;
    for (int i = 0; i < 9; i++)
        sstables[i] = sstable_at(1, 128 * MIB, i * 100, i * 100 + 99);
    sstables[9] = sstable_at(2, 128 * MIB, 0, 350);
    sstables[10] = sstable_at(2, 128 * MIB, 500, 899);
    sstables[11] = sstable_at(2, 10 * MIB, 400, 499);
    assert_int_equal(choose(COMPACT_LEVELLED, sstables, 8, chosen, &level), 0);
    assert_int_equal(choose(COMPACT_LEVELLED, sstables, 12, chosen, &level), 2);
    assert_int_equal(level, 2);
    assert_memory_equal(chosen, expected, sizeof(expected));
}

static void without_room_for_level_one_level_zero_is_kept_short(void **state)
{
    struct strategy_sstable sstables[] = {
        sstable_at(1, 100 * MIB, INT64_MIN, INT64_MAX),
        sstable_of(1, 30 * MIB),
        sstable_of(2, 10 * MIB),
        sstable_of(3, 40 * MIB),
        sstable_of(4, 20 * MIB),
    };
    static const bool expected[] = {false, true, true, false, true};
    struct strategy_limits limits = roomy;
    unsigned level;
    bool chosen[5];

    (void)state;
    limits.merge_bytes_max = 70 * MIB;
    assert_int_equal(strategy_choose(COMPACT_LEVELLED, sstables, 5, &limits, chosen, &level), 3);
    assert_int_equal(level, 0);
    assert_memory_equal(chosen, expected, sizeof(expected));
    limits.merge_bytes_max = 29 * MIB;
    assert_int_equal(strategy_choose(COMPACT_LEVELLED, sstables, 5, &limits, chosen, &level), 0);
}

static void what_is_damaged_is_never_chosen(void **state)
{
    struct strategy_sstable sstables[5];
    unsigned level;
    bool chosen[5];

    (void)state;
    for (size_t i = 0; i < 5; i++)
        sstables[i] = sstable_of(i + 1, 60 * MIB);
    sstables[2].skip = true;
    assert_int_equal(choose(COMPACT_LEVELLED, sstables, 5, chosen, &level), 4);
    assert_false(chosen[2]);
    assert_int_equal(choose(COMPACT_LEVELLED, sstables, 4, chosen, &level), 0);
}

/* ---- by tiers ---- */

static void only_sixty_four_of_a_size_are_merged(void **state)
{
    struct strategy_sstable sstables[66];
    unsigned level;
    bool chosen[66];

    (void)state;
    for (size_t i = 0; i < 66; i++)
        sstables[i] = sstable_of(i + 1, (20 + i % 5 * 40) * MIB);
    sstables[7].bytes = 8192 * MIB;
    assert_int_equal(choose(COMPACT_GARBAGE, sstables, 64, chosen, &level), 0);
    assert_int_equal(choose(COMPACT_GARBAGE, sstables, 66, chosen, &level), 64);
    assert_int_equal(level, 0);
    assert_false(chosen[7]);
}

static void a_run_of_many_pieces_counts_once_and_goes_as_a_whole(void **state)
{
    struct strategy_sstable sstables[65];
    unsigned level;
    bool chosen[65];

    (void)state;
    for (size_t i = 0; i < 65; i++)
        sstables[i] = sstable_of(i + 1, 40 * MIB);
    sstables[3].run = sstables[4].run;
    sstables[5].run = sstables[4].run;
    assert_int_equal(choose(COMPACT_GARBAGE, sstables, 65, chosen, &level), 0);
    sstables[5].run = 6;
    assert_int_equal(choose(COMPACT_GARBAGE, sstables, 65, chosen, &level), 65);
}

static void eight_small_ones_are_enough(void **state)
{
    struct strategy_sstable sstables[9];
    unsigned level;
    bool chosen[9];

    (void)state;
    for (size_t i = 0; i < 9; i++)
        sstables[i] = sstable_of(i + 1, i * 100000 + 1);
    sstables[0].bytes = 90 * MIB;
    assert_int_equal(choose(COMPACT_GARBAGE, sstables, 8, chosen, &level), 0);
    assert_int_equal(choose(COMPACT_GARBAGE, sstables, 9, chosen, &level), 8);
    assert_false(chosen[0]);
}

static void a_tier_is_merged_as_far_as_there_is_room(void **state)
{
    struct strategy_sstable sstables[64];
    struct strategy_limits limits = roomy;
    unsigned level;
    bool chosen[64];

    (void)state;
    for (size_t i = 0; i < 64; i++)
        sstables[i] = sstable_of(i + 1, 10 * MIB);
    limits.merge_bytes_max = 200 * MIB;
    assert_int_equal(strategy_choose(COMPACT_GARBAGE, sstables, 64, &limits, chosen, &level), 20);
    limits.inputs_max = 10;
    assert_int_equal(strategy_choose(COMPACT_GARBAGE, sstables, 64, &limits, chosen, &level), 10);
    limits.merge_bytes_max = 79 * MIB;
    assert_int_equal(strategy_choose(COMPACT_GARBAGE, sstables, 64, &limits, chosen, &level), 0);
}

static void of_cut_runs_one_range_is_merged_at_a_time(void **state)
{
    struct strategy_sstable sstables[128];
    struct strategy_limits limits = roomy;
    size_t taken = 0;
    unsigned level;
    bool chosen[128];

    (void)state;
    for (size_t i = 0; i < 128; i++) {
        sstables[i] = sstable_of(i / 2 + 1, 40 * MIB);
        sstables[i].first_token = i % 2 ? 0 : INT64_MIN;
        sstables[i].last_token = i % 2 ? INT64_MAX : -1;
    }
    /* There is room for the merge of one range, not of all. */
    limits.merge_bytes_max = 64 * 40 * MIB;
    assert_int_equal(strategy_choose(COMPACT_GARBAGE, sstables, 128, &limits, chosen, &level), 64);
    for (size_t i = 0; i < 128; i++)
        taken += chosen[i] && sstables[i].first_token == INT64_MIN;
    assert_int_equal(taken, 64);
    /* What is left of the range, of the newest run, is not merged with itself. */
    for (size_t i = 0; i < 128; i += 2)
        sstables[i].skip = i != 126;
    assert_int_equal(strategy_choose(COMPACT_GARBAGE, sstables, 128, &limits, chosen, &level), 64);
    assert_false(chosen[126]);
}

/* ---- deleted rows ---- */

static void deleted_rows_bring_the_whole_table_together(void **state)
{
    struct strategy_sstable sstables[2] = {sstable_of(1, 900 * MIB), sstable_of(2, MIB)};
    struct strategy_limits limits = roomy;
    unsigned level;
    bool chosen[2];

    (void)state;
    sstables[1].tombstones = sstables[0].rows / 10;
    assert_int_equal(choose(COMPACT_LEVELLED, sstables, 2, chosen, &level), 0);
    sstables[1].tombstones = sstables[0].rows / 2;
    assert_int_equal(choose(COMPACT_LEVELLED, sstables, 2, chosen, &level), 2);
    assert_int_equal(level, 1);
    sstables[0].bytes = 1200 * MIB;
    assert_int_equal(choose(COMPACT_LEVELLED, sstables, 2, chosen, &level), 2);
    assert_int_equal(level, 2);
    sstables[0].bytes = 900 * MIB;
    /* Not if they must stay; nor if what would be left has no room. */
    limits.tombstones_stay = true;
    assert_int_equal(strategy_choose(COMPACT_LEVELLED, sstables, 2, &limits, chosen, &level), 0);
    limits.tombstones_stay = false;
    limits.bytes_max = limits.merge_bytes_max = 100 * MIB;
    assert_int_equal(strategy_choose(COMPACT_LEVELLED, sstables, 2, &limits, chosen, &level), 0);
    sstables[1].tombstones = sstables[0].rows;
    assert_int_equal(strategy_choose(COMPACT_LEVELLED, sstables, 2, &limits, chosen, &level), 2);
}

static void a_tombstone_of_a_partition_counts_for_its_rows(void **state)
{
    struct strategy_sstable sstables[2] = {sstable_of(1, 900 * MIB), sstable_of(2, 1000)};
    unsigned level;
    bool chosen[2];

    (void)state;
    sstables[0].rows = 512000;
    sstables[0].partitions = 1000;
    sstables[1].rows = 0;
    sstables[1].partitions = sstables[1].tombstones = sstables[1].partition_tombstones = 500;
    assert_int_equal(choose(COMPACT_LEVELLED, sstables, 2, chosen, &level), 2);
}

static void short_of_space_fewer_deletions_will_do(void **state)
{
    struct strategy_sstable sstables[2] = {sstable_of(1, 90 * MIB), sstable_of(2, MIB)};
    struct strategy_limits limits = roomy;
    unsigned level;
    bool chosen[2];

    (void)state;
    limits.bytes_max = limits.merge_bytes_max = 100 * MIB;
    limits.short_of_space = true;
    sstables[1].tombstones = sstables[0].rows / 10;
    assert_int_equal(strategy_choose(COMPACT_LEVELLED, sstables, 2, &limits, chosen, &level), 2);
}

static void garbage_is_collected_sooner_when_it_is_much_of_what_is_free(void **state)
{
    struct strategy_sstable sstables[] = {
        sstable_of(1, 100 * MIB), sstable_of(2, 100 * MIB), sstable_of(3, 100 * MIB)};
    struct strategy_limits limits = roomy;
    size_t chosen = 3;

    (void)state;
    sstables[0].garbage_bytes = 5 * MIB;
    sstables[1].garbage_bytes = 20 * MIB;
    assert_false(strategy_choose_collection(COMPACT_GARBAGE, sstables, 3, &limits, &chosen));
    limits.bytes_max = 199 * MIB;
    assert_true(strategy_choose_collection(COMPACT_GARBAGE, sstables, 3, &limits, &chosen));
    assert_int_equal(chosen, 1);
    limits.bytes_max = 201 * MIB;
    assert_false(strategy_choose_collection(COMPACT_GARBAGE, sstables, 3, &limits, &chosen));
}

/* Its space comes back with the last snapshot, and the next backup has to copy what it becomes. */
static void what_snapshots_hold_is_collected_later(void **state)
{
    struct strategy_sstable sstables[] = {
        sstable_of(1, 100 * MIB), sstable_of(2, 100 * MIB), sstable_of(3, 100 * MIB)};
    struct strategy_limits limits = roomy;
    size_t chosen = 3;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        sstables[i].garbage_bytes = 40 * MIB;
        sstables[i].held = i != 2;
    }
    assert_true(strategy_choose_collection(COMPACT_GARBAGE, sstables, 3, &limits, &chosen));
    assert_int_equal(chosen, 2);
    sstables[2].skip = true;
    assert_false(strategy_choose_collection(COMPACT_GARBAGE, sstables, 3, &limits, &chosen));
    sstables[1].garbage_bytes = 50 * MIB;
    assert_true(strategy_choose_collection(COMPACT_GARBAGE, sstables, 3, &limits, &chosen));
    assert_int_equal(chosen, 1);
    limits.held_rest = true;
    assert_false(strategy_choose_collection(COMPACT_GARBAGE, sstables, 3, &limits, &chosen));
    sstables[1].garbage_bytes = 75 * MIB;
    assert_true(strategy_choose_collection(COMPACT_GARBAGE, sstables, 3, &limits, &chosen));
    /* It would take space where that is wanted. */
    limits.short_of_space = true;
    assert_false(strategy_choose_collection(COMPACT_GARBAGE, sstables, 3, &limits, &chosen));
}

static void what_was_just_purged_is_not_purged_again(void **state)
{
    struct strategy_sstable sstables[2] = {sstable_of(1, MIB), sstable_of(1, MIB)};
    unsigned level;
    bool chosen[2];

    (void)state;
    sstables[0].tombstones = sstables[1].tombstones = sstables[0].rows;
    assert_int_equal(choose(COMPACT_LEVELLED, sstables, 2, chosen, &level), 2);
    sstables[0].compacted = true;
    assert_int_equal(choose(COMPACT_LEVELLED, sstables, 2, chosen, &level), 2);
    sstables[1].compacted = true;
    assert_int_equal(choose(COMPACT_LEVELLED, sstables, 2, chosen, &level), 0);
}

/* ---- pace ---- */

static void compaction_rests_three_quarters_of_the_time_and_less_when_behind(void **state)
{
    struct strategy_sstable sstables[300];

    (void)state;
    for (size_t i = 0; i < 300; i++)
        sstables[i] = sstable_of(i + 1, MIB);
    assert_int_equal(pace_rest_us(1000, pace_debt(COMPACT_LEVELLED, sstables, 4)), 3000);
    assert_in_range(pace_rest_us(1000, pace_debt(COMPACT_LEVELLED, sstables, 8)), 100, 2000);
    assert_int_equal(pace_rest_us(1000, pace_debt(COMPACT_LEVELLED, sstables, 12)), 0);
    assert_int_equal(pace_rest_us(1000, pace_debt(COMPACT_LEVELLED, sstables, 300)), 0);
    assert_int_equal(pace_rest_us(1000, pace_debt(COMPACT_GARBAGE, sstables, 64)), 3000);
    assert_in_range(pace_rest_us(1000, pace_debt(COMPACT_GARBAGE, sstables, 160)), 100, 2000);
    assert_int_equal(pace_rest_us(1000, pace_debt(COMPACT_GARBAGE, sstables, 256)), 0);
    /* Of a levelled table only what is at level 0 counts. */
    for (size_t i = 4; i < 300; i++)
        sstables[i].level = 1;
    assert_int_equal(pace_rest_us(1000, pace_debt(COMPACT_LEVELLED, sstables, 300)), 3000);
    assert_int_equal(pace_rest_us(UINT64_MAX, 0), 1000000);
}

/* ---- lives ---- */

struct life {
    struct strategy_sstable sstables[SSTABLES_MAX];
    size_t count;
    uint64_t next_run;
    uint64_t flushed, written;
};

/* What was chosen becomes pieces of equal ranges, as of keys that are spread over the ring. */
static void merge(struct life *life, enum compaction_policy policy, const bool *chosen,
    unsigned level, uint64_t piece_bytes)
{
    int64_t first = INT64_MAX, last = INT64_MIN;
    uint64_t bytes = 0, pieces = 1, step, newest = 0;
    size_t kept = 0;

    for (size_t i = 0; i < life->count; i++) {
        const struct strategy_sstable *sstable = &life->sstables[i];

        if (!chosen[i]) {
            life->sstables[kept++] = *sstable;
            continue;
        }
        bytes += sstable->bytes;
        newest = sstable->run > newest ? sstable->run : newest;
        first = sstable->first_token < first ? sstable->first_token : first;
        last = sstable->last_token > last ? sstable->last_token : last;
    }
    life->count = kept;
    life->written += bytes;
    while (bytes / pieces > piece_bytes && (level > 0 || policy == COMPACT_GARBAGE))
        pieces *= 2;
    step = ((uint64_t)last - (uint64_t)first) / pieces + 1;
    for (uint64_t i = 0; i < pieces; i++) {
        struct strategy_sstable piece =
            sstable_of(policy == COMPACT_GARBAGE ? newest : life->next_run, bytes / pieces);

        piece.level = level;
        piece.compacted = true;
        piece.first_token = (int64_t)((uint64_t)first + i * step);
        piece.last_token = i + 1 == pieces ? last : (int64_t)((uint64_t)first + (i + 1) * step - 1);
        assert_true(life->count < SSTABLES_MAX);
        life->sstables[life->count++] = piece;
    }
    life->next_run++;
}

static void check_levels_do_not_overlap(const struct life *life)
{
    for (size_t i = 0; i < life->count; i++)
        for (size_t j = 0; j < i; j++) {
            const struct strategy_sstable *a = &life->sstables[i], *b = &life->sstables[j];

            if (a->level > 0 && a->level == b->level)
                assert_true(a->last_token < b->first_token || b->last_token < a->first_token);
        }
}

/* How many SSTables a lookup may have to ask, at worst. */
static size_t depth(const struct life *life)
{
    size_t deepest = 0;

    for (unsigned place = 0; place < 64; place++) {
        int64_t token = (int64_t)((uint64_t)INT64_MIN + place * (1ull << 58) + 12345);
        size_t deep = 0;

        for (size_t i = 0; i < life->count; i++)
            deep += life->sstables[i].first_token <= token && life->sstables[i].last_token >= token;
        deepest = deep > deepest ? deep : deepest;
    }
    return deepest;
}

static void live(struct life *life, enum compaction_policy policy, unsigned flushes,
    uint64_t bytes_max, uint64_t piece_bytes, size_t depth_max)
{
    struct random random = {random_seed(5)};
    static bool chosen[SSTABLES_MAX];
    unsigned level;

    *life = (struct life){.next_run = 1};
    for (unsigned i = 0; i < flushes; i++) {
        uint64_t bytes = 1 + random_next(&random) % bytes_max;

        life->sstables[life->count++] = sstable_of(life->next_run++, bytes);
        life->flushed += bytes;
        while (strategy_choose(policy, life->sstables, life->count, &roomy, chosen, &level) > 0) {
            merge(life, policy, chosen, level, piece_bytes);
            check_levels_do_not_overlap(life);
        }
        assert_true(depth(life) <= depth_max);
    }
}

static void a_levelled_table_stays_few_sstables_deep(void **state)
{
    static struct life life;

    (void)state;
    /* Up to 1 GiB in level 1, then 8: two levels below three flushes. */
    live(&life, COMPACT_LEVELLED, 200, 64 * MIB, 128 * MIB, 3 + 2);
    assert_true(life.written < life.flushed * 8);
    /* Three SSTables are few to add up 256 flushes in. */
    live(&life, COMPACT_LEVELLED, 2000, MIB, 128 * MIB, 3 + 1);
    assert_true(life.written < life.flushed * 12);
}

static void a_tiered_table_is_hardly_written_again(void **state)
{
    static struct life life;

    (void)state;
    live(&life, COMPACT_GARBAGE, 2000, 128 * MIB, 1024 * MIB, 2 * 64);
    assert_true(life.written < life.flushed * 2);
    /* Cut into many pieces, and 64 times 64 of them. */
    live(&life, COMPACT_GARBAGE, 6000, 16 * MIB, 64 * MIB, 3 * 64);
    assert_true(life.written < life.flushed * 3);
    live(&life, COMPACT_GARBAGE, 500, 1000000, 1024 * MIB, 64 + 8);
    assert_true(life.written < life.flushed * 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(up_to_three_flushes_are_left_alone),
        cmocka_unit_test(four_flushes_go_to_level_one_with_what_they_overlap_there),
        cmocka_unit_test(little_is_merged_within_level_zero),
        cmocka_unit_test(tiny_flushes_stay_at_level_zero),
        cmocka_unit_test(what_a_level_has_too_much_goes_down_where_least_lies_below),
        cmocka_unit_test(without_room_for_level_one_level_zero_is_kept_short),
        cmocka_unit_test(what_is_damaged_is_never_chosen),
        cmocka_unit_test(only_sixty_four_of_a_size_are_merged),
        cmocka_unit_test(a_run_of_many_pieces_counts_once_and_goes_as_a_whole),
        cmocka_unit_test(eight_small_ones_are_enough),
        cmocka_unit_test(a_tier_is_merged_as_far_as_there_is_room),
        cmocka_unit_test(of_cut_runs_one_range_is_merged_at_a_time),
        cmocka_unit_test(deleted_rows_bring_the_whole_table_together),
        cmocka_unit_test(a_tombstone_of_a_partition_counts_for_its_rows),
        cmocka_unit_test(short_of_space_fewer_deletions_will_do),
        cmocka_unit_test(garbage_is_collected_sooner_when_it_is_much_of_what_is_free),
        cmocka_unit_test(what_snapshots_hold_is_collected_later),
        cmocka_unit_test(what_was_just_purged_is_not_purged_again),
        cmocka_unit_test(compaction_rests_three_quarters_of_the_time_and_less_when_behind),
        cmocka_unit_test(a_levelled_table_stays_few_sstables_deep),
        cmocka_unit_test(a_tiered_table_is_hardly_written_again),
    };

    return cmocka_run_group_tests_name("compaction/strategy", tests, NULL, NULL);
}
