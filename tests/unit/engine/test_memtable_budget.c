/*
 * What each table's memtables may take, as others come and go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "memtable_budget.h"

#define MIB (1ull << 20)
#define LARGE_DISK (1ull << 40)
#define A 0
#define B 1
#define C 2
#define TABLES 3

static const struct memory_plan plan = {.memtables = {64 * MIB, 128 * MIB, 8 * MIB}};
static const uint64_t total = 200 * MIB;

static void set_up(struct memtable_budgets *budgets, uint64_t a, uint64_t b, uint64_t c)
{
    memtable_budgets_init(budgets, &plan, TABLES, LARGE_DISK);
    budgets->tables[A].bytes = a;
    budgets->tables[B].bytes = b;
    budgets->tables[C].bytes = c;
}

static uint64_t budget_of(const struct memtable_budgets *budgets, unsigned table)
{
    struct memory_use use = memtable_budgets_look(budgets);

    return memtable_budget(budgets, &use, table);
}

static uint64_t active_of(const struct memtable_budgets *budgets, unsigned table)
{
    struct memory_use use = memtable_budgets_look(budgets);

    return memtable_budget_active(budgets, &use, table);
}

static bool take(struct memtable_budgets *budgets, unsigned table, uint64_t bytes)
{
    return memtable_budget_take(&budgets->tables[table], bytes, budget_of(budgets, table));
}

static void who_is_alone_has_most_of_what_the_others_lend(void **state)
{
    struct memtable_budgets budgets;

    (void)state;
    set_up(&budgets, 0, 0, 0);
    /* Three quarters of a share can be lent. */
    assert_int_equal(budget_of(&budgets, A), 64 * MIB + (96 + 6) * MIB * 3 / 4);
    assert_int_equal(active_of(&budgets, A), budget_of(&budgets, A) / 2);
    assert_int_equal(budget_of(&budgets, C), 8 * MIB + (48 + 96) * MIB * 3 / 4);
}

static void what_a_table_comes_to_need_is_taken_back(void **state)
{
    struct memtable_budgets budgets;
    uint64_t before, now;

    (void)state;
    set_up(&budgets, 100 * MIB, 32 * MIB, 0);
    before = budget_of(&budgets, A);
    for (uint64_t b = 32; b < 128; b++) {
        budgets.tables[B].bytes = (b + 1) * MIB;
        now = budget_of(&budgets, A);
        /* Little by little: a byte that is used has no more than a byte asked back. */
        assert_in_range(now, before - MIB, before - 1);
        before = now;
    }
    assert_true(active_of(&budgets, A) < 64 * MIB);
}

static void much_of_its_share_is_there_at_once_while_another_has_all_it_may(void **state)
{
    struct memtable_budgets budgets;

    (void)state;
    set_up(&budgets, 0, 0, 0);
    while (take(&budgets, A, MIB))
        continue;
    /* The quarter that is never lent, and a quarter of the rest. */
    for (unsigned i = 0; i < 56; i++)
        assert_true(take(&budgets, B, MIB));
}

static void two_that_borrow_do_not_get_the_same_bytes(void **state)
{
    struct memtable_budgets budgets;

    (void)state;
    set_up(&budgets, 0, 0, 0);
    while (take(&budgets, A, MIB))
        continue;
    assert_int_equal(budget_of(&budgets, C), 8 * MIB);
}

/* Whatever the order in which they come. */
static void all_together_keep_to_the_total(void **state)
{
    uint64_t random = 1;

    (void)state;
    for (unsigned round = 0; round < 200; round++) {
        struct memtable_budgets budgets;
        unsigned refused = 0;

        set_up(&budgets, 0, 0, 0);
        while (refused < 100) {
            unsigned table;

            random = random * 6364136223846793005u + 1442695040888963407u;
            table = (unsigned)(random >> 33) % TABLES;
            if (!take(&budgets, table, MIB / 2 + (random >> 44)))
                refused++;
            /* As a flush does. */
            if (random >> 58 == 0)
                budgets.tables[table].bytes = 0;
            assert_true(memtable_budgets_look(&budgets).bytes <= total);
        }
    }
}

static void who_uses_a_quarter_of_his_share_waits_for_nobody(void **state)
{
    struct memtable_budgets budgets;

    (void)state;
    set_up(&budgets, 0, 0, 0);
    while (take(&budgets, A, MIB))
        continue;
    while (take(&budgets, B, MIB))
        continue;
    assert_true(take(&budgets, C, 2 * MIB));
}

/* Else all would wait for each other. */
static void when_one_has_to_wait_there_is_one_to_be_flushed(void **state)
{
    uint64_t random = 3;

    (void)state;
    for (unsigned round = 0; round < 2000; round++) {
        struct memtable_budgets budgets;
        bool is_due = false;
        unsigned table;

        set_up(&budgets, 0, 0, 0);
        do {
            random = random * 6364136223846793005u + 1442695040888963407u;
            table = (unsigned)(random >> 33) % TABLES;
        } while (take(&budgets, table,
            memtable_budget_batch_max(&budgets, table) * (1 + (random >> 60)) / 16));
        for (unsigned i = 0; i < TABLES; i++)
            is_due |= budgets.tables[i].bytes >= active_of(&budgets, i);
        assert_true(is_due);
    }
}

static void no_memtable_outgrows_a_small_disk(void **state)
{
    struct memtable_budgets budgets;

    (void)state;
    memtable_budgets_init(&budgets, &plan, TABLES, 256 * MIB);
    for (unsigned i = 0; i < TABLES; i++)
        assert_true(active_of(&budgets, i) <= 4 * MIB);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_alone_has_most_of_what_the_others_lend),
        cmocka_unit_test(what_a_table_comes_to_need_is_taken_back),
        cmocka_unit_test(much_of_its_share_is_there_at_once_while_another_has_all_it_may),
        cmocka_unit_test(two_that_borrow_do_not_get_the_same_bytes),
        cmocka_unit_test(all_together_keep_to_the_total),
        cmocka_unit_test(who_uses_a_quarter_of_his_share_waits_for_nobody),
        cmocka_unit_test(when_one_has_to_wait_there_is_one_to_be_flushed),
        cmocka_unit_test(no_memtable_outgrows_a_small_disk),
    };

    return cmocka_run_group_tests_name("memtable_budget", tests, NULL, NULL);
}
