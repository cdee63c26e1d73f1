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

#include "commitlog/pool.h"
#include "engine/coding.h"
#include "engine/error.h"
#include "io/fault.h"
#include "io/mem.h"
#include "rows/compare.h"
#include "state.h"
#include "support/test_tables.h"

#define SEED 3
/* Before and behind the other, as tables are taken in turn. */
#define EMPTY 0u
#define DIRENTS EMPTY
#define SMALL 1u
#define TABLES 3u

static struct table_schema tables[TABLES];

static void check(int r)
{
    if (r < 0)
        fail_msg("%d: %s", r, err_text(r));
}

static struct engine *open_store(struct env *env, unsigned tasks, uint64_t part_bytes)
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

    check(engine_open(env, &options, &engine));
    return engine;
}

/* `disk_bytes` 0: a large one. */
static struct engine *new_store_on(
    uint64_t disk_bytes, struct env **ret_env, unsigned tasks, uint64_t part_bytes)
{
    tables[EMPTY] = test_table_dirents;
    tables[SMALL] = test_table_small;
    tables[SMALL + 1] = test_table_blocks;
    check(env_fault_new(SEED, ret_env));
    if (disk_bytes > 0)
        env_mem_set_space(*ret_env, disk_bytes);
    check(engine_create(*ret_env, tables, TABLES));
    return open_store(*ret_env, tasks, part_bytes);
}

static struct engine *new_store(struct env **ret_env, unsigned tasks, uint64_t part_bytes)
{
    return new_store_on(0, ret_env, tasks, part_bytes);
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

/* ---- carried forward ---- */

static void put_name(struct engine *engine, int64_t dir, int64_t ino, uint64_t *ret_position)
{
    uint8_t key[KEY_BYTES_BIGINT];
    struct bytes name = BYTES_LITERAL("name");
    struct batch *batch;

    key_bigint(key, dir);
    check(engine_admit(engine, DIRENTS, 100, ADMIT_RECLAIM, NULL, NULL, &batch));
    batch_row(batch, DIRENTS, bytes_of(key, sizeof(key)), &CLUSTERING_ROW(&name, 1), true);
    batch_cell_bigint(batch, 0, ino);
    check(engine_apply(engine, batch, ret_position));
}

static int64_t get_ino(struct engine *engine, int64_t dir)
{
    uint8_t key[KEY_BYTES_BIGINT];
    struct bytes name = BYTES_LITERAL("name");
    struct rowref row;
    int64_t ino;

    key_bigint(key, dir);
    assert_int_equal(engine_get(engine_live(engine), DIRENTS, bytes_of(key, sizeof(key)),
                         &CLUSTERING_ROW(&name, 1), 1, &row),
        1);
    ino = (int64_t)load_be64(row.row.cells[0].value.data);
    rowref_release(&row);
    return ino;
}

/* The log goes round once, by writes of another table. */
static void fill_log(struct engine *engine)
{
    struct engine_stats stats;
    uint64_t end;

    engine_get_stats(engine, &stats);
    end = stats.log_bytes + POOL_SLOTS_MAX * engine->segment_bytes;
    for (int64_t dir = 0; stats.log_bytes < end; dir++) {
        put(engine, dir % 10, 8000);
        while (env_run_task(engine->env))
            ;
        engine_get_stats(engine, &stats);
    }
}

static size_t count_sstables(struct engine *engine, unsigned table)
{
    struct view *view = views_acquire(&engine->views);
    size_t count = view->tables[table].sstables->count;

    view_unref(view);
    return count;
}

/* A row that is overwritten and one that is left alone; and both are there after a power cut, which
 * loses what was not synced: what was carried is, as its old place in the log is gone. */
static void a_small_memtable_that_pins_the_log_stays_in_memory(void **state)
{
    struct env *env;
    struct engine *engine = new_store_on(256 << 20, &env, 1, 1);
    struct engine_stats stats;
    uint64_t position;

    (void)state;
    put_name(engine, 1, 11, &position);
    for (int64_t i = 0; i < 5; i++) {
        put_name(engine, 2, i, &position);
        fill_log(engine);
    }
    engine_get_stats(engine, &stats);
    assert_true(stats.carries > 2);
    assert_true(stats.log_segments <= POOL_SLOTS_MAX);
    assert_int_equal(count_sstables(engine, DIRENTS), 0);
    assert_int_equal(get_ino(engine, 1), 11);
    assert_int_equal(get_ino(engine, 2), 4);

    env_fault_stop(env);
    (void)engine_close(engine, 0);
    env_fault_crash(env, ENV_FAULT_LOST);
    engine = open_store(env, 1, 1);
    assert_int_equal(get_ino(engine, 1), 11);
    assert_int_equal(get_ino(engine, 2), 4);
    check(engine_close(engine, 0));
    env_free(env);
}

/* Whether it was carried before or is about to be. */
static void a_flush_on_demand_has_it_in_an_sstable(void **state)
{
    struct env *env;
    struct engine *engine = new_store_on(256 << 20, &env, 1, 1);
    struct engine_stats stats;
    uint64_t position;

    (void)state;
    put_name(engine, 1, 11, &position);
    fill_log(engine);
    engine_get_stats(engine, &stats);
    assert_int_equal(stats.carries, 1);
    check(engine_flush(engine, TABLES_ALL));
    assert_int_equal(count_sstables(engine, DIRENTS), 1);

    put_name(engine, 1, 12, &position);
    for (int64_t dir = 0; !engine_log_is_short(engine); dir++)
        put(engine, dir % 10, 8000);
    engine_seal_due(engine);
    assert_true(engine->views.current->tables[DIRENTS].sealed[0].pins_log);
    check(engine_flush(engine, TABLES_ALL));
    engine_get_stats(engine, &stats);
    assert_int_equal(stats.carries, 1);
    assert_int_equal(count_sstables(engine, DIRENTS), 2);
    assert_int_equal(get_ino(engine, 1), 12);
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
        cmocka_unit_test(a_small_memtable_that_pins_the_log_stays_in_memory),
        cmocka_unit_test(a_flush_on_demand_has_it_in_an_sstable),
    };

    return cmocka_run_group_tests_name("flush", tests, NULL, NULL);
}
