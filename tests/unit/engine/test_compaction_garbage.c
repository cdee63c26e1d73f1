/*
 * Goal: what is compacted next is what gives space back for the least space, and it ends.
 * Method: small tables of sizes, and the choice looked at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "compaction/strategy.h"

#define MIB (1ull << 20)

static struct strategy_sstable sstable(uint64_t mib, uint64_t garbage_mib)
{
    return (struct strategy_sstable){
        .bytes = mib * MIB, .garbage_bytes = garbage_mib * MIB, .rows = 1000};
}

static void the_collection_that_needs_least_space_goes_first(void **state)
{
    struct strategy_sstable sstables[] = {sstable(8, 4), sstable(8, 8), sstable(2, 1)};
    struct strategy_limits limits = {.bytes_max = 4 * MIB, .near_full = true};
    size_t chosen;
    (void)state;

    assert_true(strategy_choose_collection(COMPACT_GARBAGE, sstables, 3, &limits, &chosen));
    assert_int_equal(chosen, 1);
    sstables[1].skip = true;
    assert_true(strategy_choose_collection(COMPACT_GARBAGE, sstables, 3, &limits, &chosen));
    assert_int_equal(chosen, 2);
    sstables[2].garbage_bytes = 0;
    assert_true(strategy_choose_collection(COMPACT_GARBAGE, sstables, 3, &limits, &chosen));
    assert_int_equal(chosen, 0);
}

static void a_collection_without_room_is_not_begun(void **state)
{
    struct strategy_sstable sstables[] = {sstable(8, 3)};
    struct strategy_limits limits = {.bytes_max = 4 * MIB, .near_full = true};
    size_t chosen;
    (void)state;

    assert_false(strategy_choose_collection(COMPACT_GARBAGE, sstables, 1, &limits, &chosen));
    limits.bytes_max = 5 * MIB;
    assert_true(strategy_choose_collection(COMPACT_GARBAGE, sstables, 1, &limits, &chosen));
}

static void little_garbage_is_collected_only_when_nothing_else_is_left(void **state)
{
    struct strategy_sstable sstables[] = {sstable(100, 1)};
    struct strategy_limits limits = {.bytes_max = 1000 * MIB, .near_full = true};
    size_t chosen;
    (void)state;

    assert_false(strategy_choose_collection(COMPACT_GARBAGE, sstables, 1, &limits, &chosen));
    limits.full = true;
    assert_true(strategy_choose_collection(COMPACT_GARBAGE, sstables, 1, &limits, &chosen));
    sstables[0].garbage_bytes = 0;
    assert_false(strategy_choose_collection(COMPACT_GARBAGE, sstables, 1, &limits, &chosen));
}

static void tombstones_are_looked_at_again_once_something_was_collected(void **state)
{
    struct strategy_sstable sstables[] = {sstable(1, 0), sstable(8, 0)};
    struct strategy_limits limits = {.bytes_max = 8 * MIB};
    size_t chosen;
    (void)state;

    sstables[0].tombstones = sstables[1].tombstones = 10;
    assert_false(strategy_choose_outdated(sstables, 2, &limits, &chosen));
    sstables[0].outdated = sstables[1].outdated = true;
    assert_true(strategy_choose_outdated(sstables, 2, &limits, &chosen));
    assert_int_equal(chosen, 0);
    sstables[0].outdated = false;
    /* Large, and hardly any of it is tombstones. */
    assert_false(strategy_choose_outdated(sstables, 2, &limits, &chosen));
    sstables[1].tombstones = 500;
    assert_true(strategy_choose_outdated(sstables, 2, &limits, &chosen));
    assert_int_equal(chosen, 1);
    limits.tombstones_stay = true;
    assert_false(strategy_choose_outdated(sstables, 2, &limits, &chosen));
}

static struct strategy_sstable flushed(uint64_t run)
{
    return (struct strategy_sstable){
        .run = run, .bytes = 60 * MIB, .rows = 1000, .partitions = 100, .tombstones = 900};
}

static void a_guess_of_garbage_is_relied_upon_only_where_there_is_space(void **state)
{
    struct strategy_sstable sstables[] = {flushed(1), flushed(2)};
    struct strategy_limits limits = {
        .sstable_bytes = MIB, .bytes_max = 50 * MIB, .merge_bytes_max = 50 * MIB};
    unsigned level;
    bool chosen[2];
    (void)state;

    assert_int_equal(strategy_choose(COMPACT_LEVELLED, sstables, 2, &limits, chosen, &level), 2);
    limits.near_full = true;
    assert_int_equal(strategy_choose(COMPACT_LEVELLED, sstables, 2, &limits, chosen, &level), 0);
    limits.bytes_max = 120 * MIB;
    assert_int_equal(strategy_choose(COMPACT_LEVELLED, sstables, 2, &limits, chosen, &level), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_collection_that_needs_least_space_goes_first),
        cmocka_unit_test(a_collection_without_room_is_not_begun),
        cmocka_unit_test(little_garbage_is_collected_only_when_nothing_else_is_left),
        cmocka_unit_test(tombstones_are_looked_at_again_once_something_was_collected),
        cmocka_unit_test(a_guess_of_garbage_is_relied_upon_only_where_there_is_space),
    };

    return cmocka_run_group_tests_name("compaction/garbage", tests, NULL, NULL);
}
