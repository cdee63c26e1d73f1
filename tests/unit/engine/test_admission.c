/*
 * Who may write when a table's memory runs short: in a world of one thread, whose flush runs when
 * the test says so.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "engine/error.h"
#include "io/mem.h"
#include "pace.h"
#include "state.h"
#include "support/engine_model.h"

#define SEED 7
#define TABLE 0
#define OTHER_TABLE 1
/* With the model's memory the share of each of the three is 4 MiB. One alone has three
 * quarters of what the others lend of theirs as well. */
#define TABLE_BYTES_MAX (17u << 19)
#define VALUE_BYTES (64u << 10)
#define WRITERS_MAX 256

struct writer {
    struct batch *batch;
    int r; /* 1: not called back */
};

struct world {
    struct env *env;
    struct engine *engine;
    unsigned applied, waiting;
    struct writer writers[WRITERS_MAX];
};

static void check(int r)
{
    if (r < 0)
        print_message("%s\n", err_text(r));
    assert_int_equal(r, 0);
}

static struct engine_stats stats_of(struct world *world)
{
    struct engine_stats stats;

    engine_get_stats(world->engine, &stats);
    return stats;
}

static struct world *world_new(uint64_t seed)
{
    struct world *world = calloc(1, sizeof(*world));
    struct engine_options options = model_options();

    check(env_mem_new(seed, &world->env));
    env_mem_set_space(world->env, 1ull << 30);
    check(engine_create(world->env, model_tables, MODEL_TABLES));
    check(engine_open(world->env, &options, &world->engine));
    return world;
}

static void world_free(struct world *world)
{
    if (world->engine)
        check(engine_close(world->engine, 0));
    env_free(world->env);
    free(world);
}

static int set_up(void **state)
{
    *state = world_new(SEED);
    return 0;
}

static int tear_down(void **state)
{
    world_free(*state);
    return 0;
}

static void note(void *arg, int r)
{
    ((struct writer *)arg)->r = r;
}

static void run_tasks(struct world *world)
{
    while (env_run_task(world->env))
        continue;
}

static void put(struct world *world, struct batch *batch)
{
    uint8_t *value = calloc(1, VALUE_BYTES);
    uint8_t name[4] = {(uint8_t)(world->applied >> 8), (uint8_t)world->applied};
    struct bytes names = bytes_of(name, sizeof(name));
    struct clustering clustering = CLUSTERING_ROW(&names, 1);
    uint64_t position;

    batch_row(batch, TABLE, model_key(TABLE, 0), &clustering, true);
    batch_cell(batch, 0, bytes_of(value, VALUE_BYTES));
    check(engine_apply(world->engine, batch, &position));
    world->applied++;
    free(value);
}

static struct batch *admit_small(struct world *world)
{
    struct batch *batch = NULL;

    check(engine_admit(world->engine, TABLE, 100, ADMIT_GROW, NULL, NULL, &batch));
    return batch;
}

/* Writes until a writer is not let in at once: that one is the result. */
static struct writer *write_until_stopped(struct world *world)
{
    for (;;) {
        struct writer *writer = &world->writers[world->waiting];
        int r;

        *writer = (struct writer){NULL, 1};
        r = engine_admit(
            world->engine, TABLE, VALUE_BYTES, ADMIT_GROW, note, writer, &writer->batch);
        if (r == -EINPROGRESS) {
            world->waiting++;
            return writer;
        }
        check(r);
        put(world, writer->batch);
    }
}

/* Until one waits for memory; those before it are admitted, and paced. */
static struct writer *write_until_full(struct world *world)
{
    struct writer *writer;

    do {
        writer = write_until_stopped(world);
        assert_true(world->waiting < WRITERS_MAX);
    } while (stats_of(world).admissions_parked == 0);
    return writer;
}

static void a_writer_near_the_budget_is_let_in_when_its_time_has_come(void **state)
{
    struct world *world = *state;
    struct writer *writer = write_until_stopped(world);

    assert_in_range(world->applied * VALUE_BYTES, TABLE_BYTES_MAX / 2, TABLE_BYTES_MAX);
    assert_int_equal(stats_of(world).admissions_paced, 1);
    assert_int_equal(stats_of(world).admissions_parked, 0);
    run_tasks(world);
    assert_int_equal(writer->r, 1);
    env_mem_advance(world->env, PACE_DELAY_US_MAX);
    run_tasks(world);
    check(writer->r);
    put(world, writer->batch);
}

static void a_writer_that_gave_no_callback_sleeps_it_off(void **state)
{
    struct world *world = *state;
    struct writer *writer = write_until_stopped(world);
    struct batch *batch = NULL;
    uint64_t before_us = env_monotonic_us(world->env);

    check(engine_admit(world->engine, TABLE, VALUE_BYTES, ADMIT_GROW, NULL, NULL, &batch));
    assert_in_range(env_monotonic_us(world->env), before_us + 1, before_us + PACE_DELAY_US_MAX);
    check(writer->r); /* it was before */
    engine_discard_batch(world->engine, batch);
    engine_discard_batch(world->engine, writer->batch);
}

static void at_the_budget_writers_wait_for_a_flush(void **state)
{
    struct world *world = *state;
    struct writer *first = write_until_full(world), *second;

    assert_true(stats_of(world).memtable_bytes_max <= TABLE_BYTES_MAX);
    second = write_until_stopped(world);
    assert_int_equal(stats_of(world).admissions_parked, 2);
    env_mem_advance(world->env, PACE_DELAY_US_MAX);
    run_tasks(world);
    env_mem_advance(world->env, PACE_DELAY_US_MAX);
    run_tasks(world);
    check(first->r);
    check(second->r);
    for (unsigned i = 0; i < world->waiting; i++) {
        check(world->writers[i].r);
        engine_discard_batch(world->engine, world->writers[i].batch);
    }
    assert_true(stats_of(world).flushes > 0);
}

static void neither_other_tables_nor_deletions_wait(void **state)
{
    struct world *world = *state;
    struct writer *full = write_until_full(world);
    struct batch *batch = NULL;

    check(engine_admit(world->engine, OTHER_TABLE, VALUE_BYTES, ADMIT_GROW, note, full, &batch));
    engine_discard_batch(world->engine, batch);
    check(engine_admit(world->engine, TABLE, 100, ADMIT_RECLAIM, note, full, &batch));
    engine_discard_batch(world->engine, batch);
    assert_int_equal(full->r, 1);
    for (unsigned i = 0; i < world->waiting - 1; i++)
        assert_int_equal(world->writers[i].r, 1);
    check(engine_close(world->engine, 0));
    world->engine = NULL;
}

static void who_waits_while_the_store_is_closed_is_refused(void **state)
{
    struct world *world = *state;

    write_until_full(world);
    check(engine_close(world->engine, 0));
    world->engine = NULL;
    for (unsigned i = 0; i < world->waiting; i++)
        assert_int_equal(world->writers[i].r, -ESHUTDOWN);
}

/* One try to write, after each step that a task makes, until the log has been synced once more.
 * Whether one had to wait. */
static bool waits_until_synced(struct world *world)
{
    uint64_t syncs = stats_of(world).log_syncs;
    struct writer *writer = &world->writers[0];
    bool has_waited = false;

    *writer = (struct writer){NULL, 0};
    while (stats_of(world).log_syncs == syncs) {
        int r = writer->r == 1 ? -EINPROGRESS
                               : engine_admit(world->engine, TABLE, 100, ADMIT_GROW, note, writer,
                                     &writer->batch);

        if (r == -EINPROGRESS) {
            has_waited = true;
            writer->r = 1;
        } else {
            check(r);
            engine_discard_batch(world->engine, writer->batch);
        }
        assert_true(env_run_task(world->env));
    }
    run_tasks(world);
    if (has_waited) {
        check(writer->r);
        engine_discard_batch(world->engine, writer->batch);
    }
    return has_waited;
}

/* The steps come in an order of the seed: in that of some, the sync is the last. */
static unsigned count_waiting(uint64_t overdue_us)
{
    uint64_t period_us = model_options().sync_period_us;
    unsigned waiting = 0;

    for (uint64_t seed = 1; seed <= 16; seed++) {
        struct world *world = world_new(seed);

        run_tasks(world);
        put(world, admit_small(world));
        env_mem_advance(world->env, period_us + overdue_us);
        waiting += waits_until_synced(world);
        assert_int_equal(world->engine->admission.sync_is_late, false);
        world_free(world);
    }
    return waiting;
}

static void who_comes_when_a_sync_is_long_overdue_waits_for_it(void **state)
{
    uint64_t period_us = model_options().sync_period_us;

    (void)state;
    assert_int_equal(count_waiting(period_us / 2 - 1), 0);
    assert_true(count_waiting(period_us / 2) > 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_writer_near_the_budget_is_let_in_when_its_time_has_come, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_writer_that_gave_no_callback_sleeps_it_off, set_up, tear_down),
        cmocka_unit_test_setup_teardown(at_the_budget_writers_wait_for_a_flush, set_up, tear_down),
        cmocka_unit_test_setup_teardown(neither_other_tables_nor_deletions_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            who_waits_while_the_store_is_closed_is_refused, set_up, tear_down),
        cmocka_unit_test(who_comes_when_a_sync_is_long_overdue_waits_for_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
