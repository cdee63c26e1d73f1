/*
 * Goal: the strategy merges what is similar, goes after deleted rows, bounds the number of runs,
 * and leaves alone what there is no room or no reason for.
 * Method: sizes in, choice out; and long random lives of a table, whose merges are only counted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "compaction/strategy.h"
#include "support/random.h"

#define MIB (1ull << 20)
#define RUNS_MAX 4096

static const struct strategy_limits roomy = {
    .bytes_max = UINT64_MAX, .merge_bytes_max = UINT64_MAX};

static struct strategy_run run_of(uint64_t bytes)
{
    return (struct strategy_run){.bytes = bytes, .rows = bytes / 100 + 1, .partitions = 10};
}

static size_t choose(const uint64_t *sizes, size_t count, bool *chosen)
{
    struct strategy_run runs[64] = {{0}};

    for (size_t i = 0; i < count; i++) {
        runs[i] = run_of(sizes[i]);
        runs[i].max_timestamp_us = (int64_t)i;
    }
    return strategy_choose(runs, count, &roomy, chosen);
}

static void fewer_than_four_of_a_size_are_left_alone(void **state)
{
    bool chosen[64];

    (void)state;
    assert_int_equal(choose((uint64_t[]){0}, 0, chosen), 0);
    assert_int_equal(choose((uint64_t[]){10 * MIB, 11 * MIB, 12 * MIB}, 3, chosen), 0);
    assert_int_equal(
        choose((uint64_t[]){10 * MIB, 100 * MIB, 1000 * MIB, 10000 * MIB}, 4, chosen), 0);
}

static void four_of_a_size_are_merged_and_the_others_not(void **state)
{
    bool chosen[64];

    (void)state;
    assert_int_equal(
        choose((uint64_t[]){900 * MIB, 10 * MIB, 11 * MIB, 5 * MIB + 1, 10 * MIB, 12 * MIB}, 6,
            chosen),
        5);
    assert_false(chosen[0]);
    assert_true(chosen[1] && chosen[2] && chosen[3] && chosen[4] && chosen[5]);
}

static void tiny_ones_are_all_of_a_size(void **state)
{
    bool chosen[64];

    (void)state;
    assert_int_equal(choose((uint64_t[]){1, 1000, 100000, 4 * MIB}, 4, chosen), 4);
}

static void of_two_full_tiers_the_smaller_goes_first(void **state)
{
    bool chosen[64];

    (void)state;
    assert_int_equal(choose((uint64_t[]){800 * MIB, 800 * MIB, 800 * MIB, 800 * MIB, 50 * MIB,
                                50 * MIB, 50 * MIB, 50 * MIB},
                         8, chosen),
        4);
    assert_true(chosen[4] && chosen[5] && chosen[6] && chosen[7]);
}

static void what_the_disk_has_no_room_for_is_not_chosen(void **state)
{
    struct strategy_run runs[4];
    struct strategy_limits limits = {.bytes_max = 100 * MIB, .merge_bytes_max = 100 * MIB};
    bool chosen[4];

    (void)state;
    for (size_t i = 0; i < 4; i++)
        runs[i] = run_of(30 * MIB);
    assert_int_equal(strategy_choose(runs, 4, &limits, chosen), 0);
    limits.bytes_max = limits.merge_bytes_max = 120 * MIB;
    assert_int_equal(strategy_choose(runs, 4, &limits, chosen), 4);
}

static void deleted_rows_bring_the_whole_table_together(void **state)
{
    struct strategy_run runs[2] = {run_of(900 * MIB), run_of(MIB)};
    struct strategy_limits limits = roomy;
    bool chosen[2];

    (void)state;
    runs[1].tombstones = runs[0].rows / 10;
    assert_int_equal(strategy_choose(runs, 2, &roomy, chosen), 0);
    runs[1].tombstones = runs[0].rows / 2;
    assert_int_equal(strategy_choose(runs, 2, &roomy, chosen), 2);
    /* Not if they must stay; nor if what would be left has no room. */
    limits.tombstones_stay = true;
    assert_int_equal(strategy_choose(runs, 2, &limits, chosen), 0);
    limits = (struct strategy_limits){.bytes_max = 100 * MIB, .merge_bytes_max = 100 * MIB};
    assert_int_equal(strategy_choose(runs, 2, &limits, chosen), 0);
    runs[1].tombstones = runs[0].rows;
    assert_int_equal(strategy_choose(runs, 2, &limits, chosen), 2);
}

static void a_tombstone_of_a_partition_counts_for_its_rows(void **state)
{
    struct strategy_run runs[2] = {
        {.bytes = 900 * MIB, .rows = 512000, .partitions = 1000},
        {.bytes = 1000,
            .rows = 0,
            .partitions = 500,
            .tombstones = 500,
            .partition_tombstones = 500},
    };
    bool chosen[2];

    (void)state;
    assert_int_equal(strategy_choose(runs, 2, &roomy, chosen), 2);
}

static void short_of_space_fewer_deletions_will_do(void **state)
{
    struct strategy_run runs[2] = {run_of(90 * MIB), run_of(MIB)};
    struct strategy_limits limits = {
        .bytes_max = 100 * MIB, .merge_bytes_max = 100 * MIB, .short_of_space = true};
    bool chosen[2];

    (void)state;
    runs[1].tombstones = runs[0].rows / 10;
    assert_int_equal(strategy_choose(runs, 2, &limits, chosen), 2);
}

static void what_was_just_purged_is_not_purged_again(void **state)
{
    struct strategy_run run = run_of(MIB);
    bool chosen[1];

    (void)state;
    run.tombstones = run.rows;
    assert_int_equal(strategy_choose(&run, 1, &roomy, chosen), 1);
    run.compacted = true;
    assert_int_equal(strategy_choose(&run, 1, &roomy, chosen), 0);
}

/* A table that only grows: each flush adds a run, and merges happen as they are chosen. */
static void whatever_the_sizes_the_number_of_runs_is_bounded_and_so_is_the_writing(void **state)
{
    struct random random = {random_seed(5)};

    (void)state;
    for (unsigned life = 0; life < 20; life++) {
        static struct strategy_run runs[RUNS_MAX];
        static bool chosen[RUNS_MAX];
        size_t count = 0, most = 0;
        uint64_t flushed = 0, written = 0;

        for (unsigned flush = 0; flush < 2000; flush++) {
            uint64_t bytes = 1 + random_next(&random) % ((life % 5 + 1) * 30 * MIB);
            size_t taken;

            runs[count++] = run_of(bytes);
            flushed += bytes;
            while ((taken = strategy_choose(runs, count, &roomy, chosen)) > 0) {
                struct strategy_run merged = run_of(0);
                size_t kept = 0;

                assert_true(taken >= 2 && taken <= STRATEGY_RUNS_MAX);
                for (size_t i = 0; i < count; i++) {
                    if (chosen[i])
                        merged.bytes += runs[i].bytes;
                    else
                        runs[kept++] = runs[i];
                }
                assert_int_equal(count - kept, taken);
                runs[kept++] = merged;
                count = kept;
                written += merged.bytes;
            }
            if (count > most)
                most = count;
        }
        assert_true(most <= STRATEGY_RUNS_LIMIT);
        assert_true(written < flushed * 12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fewer_than_four_of_a_size_are_left_alone),
        cmocka_unit_test(four_of_a_size_are_merged_and_the_others_not),
        cmocka_unit_test(tiny_ones_are_all_of_a_size),
        cmocka_unit_test(of_two_full_tiers_the_smaller_goes_first),
        cmocka_unit_test(what_the_disk_has_no_room_for_is_not_chosen),
        cmocka_unit_test(deleted_rows_bring_the_whole_table_together),
        cmocka_unit_test(a_tombstone_of_a_partition_counts_for_its_rows),
        cmocka_unit_test(short_of_space_fewer_deletions_will_do),
        cmocka_unit_test(what_was_just_purged_is_not_purged_again),
        cmocka_unit_test(whatever_the_sizes_the_number_of_runs_is_bounded_and_so_is_the_writing),
    };

    return cmocka_run_group_tests_name("compaction/strategy", tests, NULL, NULL);
}
