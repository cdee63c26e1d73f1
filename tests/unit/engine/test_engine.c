/*
 * Goal: the engine holds what it was given: through flushes, compactions, snapshots, reopenings,
 * faults and full disks.
 * Method: random batches on three small tables, compared with a model of them, in a world in
 * memory where background steps run in an order drawn from a seed.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/error.h"
#include "engine/log.h"
#include "io/fault.h"
#include "support/engine_model.h"

#define SEED 7
#define PAYLOAD_MAX 400

static struct env *new_env(uint64_t total_bytes)
{
    struct env *env;

    assert_int_equal(env_fault_new(SEED, &env), 0);
    env_mem_set_space(env, total_bytes);
    return env;
}

static void check(int r)
{
    if (r < 0)
        fail_msg("%d: %s", r, err_text(r));
}

static struct engine *open_with(struct env *env, const struct engine_options *options)
{
    struct engine *engine = NULL;

    check(engine_open(env, options, &engine));
    return engine;
}

static struct engine *open_store(struct env *env)
{
    struct engine_options options = model_options();

    return open_with(env, &options);
}

static struct engine *new_store(struct env *env)
{
    check(engine_create(env, model_tables, MODEL_TABLES));
    return open_store(env);
}

static void write_batches(struct engine *engine, uint64_t from, uint64_t to)
{
    for (uint64_t number = from; number <= to; number++) {
        uint64_t position;

        check(model_write(engine, SEED, number, PAYLOAD_MAX, &position));
    }
}

static void expect_source(struct source *source, uint64_t count)
{
    AUTO(buf_release) struct buf expected = BUF_INIT, found = BUF_INIT;
    struct model model = {0};

    for (uint64_t number = 1; number <= count; number++)
        model_batch(SEED, number, PAYLOAD_MAX, NULL, &model);
    model_print(&model, TABLES_ALL, &expected);
    check(model_print_store(source, SEED, PAYLOAD_MAX, TABLES_ALL, &found));
    buf_append_u8(&expected, 0);
    buf_append_u8(&found, 0);
    assert_string_equal((const char *)found.data, (const char *)expected.data);
}

static void expect(struct engine *engine, uint64_t count)
{
    expect_source(engine_live(engine), count);
}

static void run_tasks(struct env *env)
{
    for (unsigned n = 0; n < 10000 && env_run_task(env); n++)
        continue;
}

static void what_is_applied_is_read(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);

    (void)state;
    for (uint64_t n = 1; n <= 60; n++) {
        write_batches(engine, n, n);
        expect(engine, n);
    }
    check(engine_close(engine, 0));
    env_free(env);
}

static void what_is_flushed_is_read_and_survives_reopening(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);

    (void)state;
    write_batches(engine, 1, 100);
    check(engine_flush(engine, TABLES_ALL));
    expect(engine, 100);
    write_batches(engine, 101, 150);
    expect(engine, 150);
    check(engine_close(engine, 0));
    engine = open_store(env);
    expect(engine, 150);
    write_batches(engine, 151, 200);
    expect(engine, 200);
    check(engine_close(engine, CLOSE_FLUSH));
    engine = open_store(env);
    expect(engine, 200);
    check(engine_close(engine, 0));
    env_free(env);
}

static void compaction_changes_nothing_that_is_read(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);
    struct engine_stats stats;

    (void)state;
    for (uint64_t n = 0; n < 12; n++) {
        write_batches(engine, n * 20 + 1, n * 20 + 20);
        check(engine_flush(engine, TABLES_ALL));
        run_tasks(env);
        expect(engine, n * 20 + 20);
    }
    check(engine_compact(engine, TABLES_ALL));
    expect(engine, 240);
    engine_get_stats(engine, &stats);
    assert_true(stats.sstables <= MODEL_TABLES);
    assert_true(stats.compactions > 0);
    check(engine_close(engine, 0));
    engine = open_store(env);
    expect(engine, 240);
    check(engine_close(engine, 0));
    env_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_applied_is_read),
        cmocka_unit_test(what_is_flushed_is_read_and_survives_reopening),
        cmocka_unit_test(compaction_changes_nothing_that_is_read),
    };

    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
