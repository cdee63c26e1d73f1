/*
 * Goal: a memtable is flushed in parts that become one run at one moment, by any number of tasks,
 * and the next is sealed behind it meanwhile.
 * Method: many partitions in a world in memory; what the flush left is looked at in the view.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/error.h"
#include "io/fault.h"
#include "rows/compare.h"
#include "state.h"
#include "support/test_tables.h"

#define SEED 3
/* Before and behind the other, as tables are taken in turn. */
#define EMPTY 0u
#define SMALL 1u
#define TABLES 3u

static struct table_schema tables[TABLES];

static void check(int r)
{
    if (r < 0)
        fail_msg("%d: %s", r, err_text(r));
}

static struct engine *new_store(struct env **ret_env, unsigned tasks, uint64_t part_bytes)
{
    struct engine_options options = {
        .tables = tables,
        .table_count = TABLES,
        .memory_bytes = 256 << 20,
        .sync_period_us = 5000000,
        .flush_tasks = tasks,
        .flush_part_bytes = part_bytes,
    };
    struct engine *engine;

    tables[EMPTY] = test_table_dirents;
    tables[SMALL] = test_table_small;
    tables[SMALL + 1] = test_table_blocks;
    check(env_fault_new(SEED, ret_env));
    check(engine_create(*ret_env, tables, TABLES));
    check(engine_open(*ret_env, &options, &engine));
    return engine;
}

static void put(struct engine *engine, int64_t dir, size_t bytes)
{
    uint8_t key[KEY_BYTES_BIGINT], ino[8] = {1};
    struct bytes clustering = bytes_of(ino, sizeof(ino));
    uint8_t *value = calloc(1, bytes);
    struct batch *batch;
    uint64_t position;

    key_bigint(key, dir);
    check(engine_admit(engine, SMALL, bytes, ADMIT_RECLAIM, NULL, NULL, &batch));
    batch_row(batch, SMALL, bytes_of(key, sizeof(key)), &CLUSTERING_ROW(&clustering, 1), true);
    batch_cell(batch, 0, bytes_of(value, bytes));
    check(engine_apply(engine, batch, &position));
    free(value);
}

static unsigned count_partitions(struct engine *engine)
{
    struct partition_scanner *scanner;
    struct partition_iterator *partition;
    unsigned count = 0;

    check(engine_scan_table_live(engine_live(engine), SMALL, &scanner));
    while (scanner_next(scanner, &partition) > 0)
        count++;
    scanner_close(scanner);
    return count;
}

static void assert_is_one_run(struct engine *engine, size_t pieces)
{
    struct view *view = views_acquire(&engine->views);
    const struct sstable_set *set = view->tables[SMALL].sstables;

    assert_int_equal(set->count, pieces);
    for (size_t i = 0; i < set->count; i++) {
        const struct manifest_sstable *one = &set->handles[i]->entry;

        assert_int_equal(one->run, set->handles[0]->entry.run);
        for (size_t j = 0; j < i; j++) {
            const struct manifest_sstable *other = &set->handles[j]->entry;

            assert_true(one->facts.last_token < other->facts.first_token ||
                        other->facts.last_token < one->facts.first_token);
        }
    }
    view_unref(view);
}

static void parts_of_a_flush_are_one_run(void **state)
{
    static const unsigned tasks[] = {1, 2, 3, FLUSH_TASKS_MAX};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(tasks); i++) {
        struct env *env;
        struct engine *engine = new_store(&env, tasks[i], 1);

        for (int64_t dir = 0; dir < 200; dir++)
            put(engine, dir, 10);
        check(engine_flush(engine, TABLES_ALL));
        assert_is_one_run(engine, tasks[i]);
        assert_int_equal(count_partitions(engine), 200);
        check(engine_close(engine, 0));
        env_free(env);
    }
}

static void a_small_memtable_is_not_split(void **state)
{
    struct env *env;
    struct engine *engine = new_store(&env, 4, 64 << 20);

    (void)state;
    for (int64_t dir = 0; dir < 200; dir++)
        put(engine, dir, 10);
    check(engine_flush(engine, TABLES_ALL));
    assert_is_one_run(engine, 1);
    check(engine_close(engine, 0));
    env_free(env);
}

/* Their own flushes would sync the values that the others are about to have in an SSTable. */
static void empty_memtables_go_along(void **state)
{
    struct env *env;
    struct engine *engine = new_store(&env, 1, 1);
    struct engine_stats stats;

    (void)state;
    for (unsigned flush = 1; flush <= 3; flush++) {
        put(engine, flush, 10);
        check(engine_flush(engine, TABLES_ALL));
        engine_get_stats(engine, &stats);
        assert_int_equal(stats.flushes, flush);
    }
    check(engine_flush(engine, 1ull << EMPTY));
    check(engine_close(engine, 0));
    env_free(env);
}

static unsigned count_sealed(struct engine *engine)
{
    struct view *view = views_acquire(&engine->views);
    unsigned count = view->tables[SMALL].sealed_count;

    view_unref(view);
    return count;
}

/* Of the memtable being filled, when nothing is in any. */
static uint64_t active_budget(const struct engine *engine)
{
    struct memory_use use = memtable_budgets_look(&engine->admission.budgets);

    return memtable_budget_active(&engine->admission.budgets, &use, SMALL);
}

static void put_much(struct engine *engine, int64_t *dir, uint64_t bytes)
{
    for (uint64_t put_bytes = 0; put_bytes < bytes; put_bytes += 1 << 16)
        put(engine, (*dir)++, 1 << 16);
}

static void the_next_is_sealed_while_one_is_flushed(void **state)
{
    struct env *env;
    struct engine *engine = new_store(&env, 1, 1);
    uint64_t full = active_budget(engine), position;
    int64_t dir = 0;

    (void)state;
    put_much(engine, &dir, full / 2);
    check(engine_switch_and_hold(engine, TABLES_ALL, &position));
    mutex_unlock(&engine->change);
    while (!engine->flusher.jobs)
        assert_true(env_run_task(env));
    put_much(engine, &dir, full);
    assert_int_equal(count_sealed(engine), 1);
    while (count_sealed(engine) < 2)
        assert_true(env_run_task(env));
    while (count_sealed(engine) > 0)
        assert_true(env_run_task(env));
    assert_int_equal(count_partitions(engine), dir);
    check(engine_close(engine, 0));
    env_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_of_a_flush_are_one_run),
        cmocka_unit_test(a_small_memtable_is_not_split),
        cmocka_unit_test(empty_memtables_go_along),
        cmocka_unit_test(the_next_is_sealed_while_one_is_flushed),
    };

    return cmocka_run_group_tests_name("flush", tests, NULL, NULL);
}
