/*
 * Goal: a power cut at any moment of carrying a small memtable forward loses nothing of it.
 * Method: one row is overwritten with rising numbers beside a table that sends the log round and
 * round, so that the row is carried at each; for each changing I/O call and each variant of the
 * disk, cut the power there, open, look at the number, go round once more and look again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/coding.h"
#include "engine/engine.h"
#include "engine/error.h"
#include "engine/log.h"
#include "io/fault.h"
#include "io/mem.h"
#include "support/cut_power.h"
#include "support/test_tables.h"

#define SEED 5
#define DISK_BYTES (16u << 20)
#define DIRENTS 0u
#define SMALL 1u
#define TABLES 2u
/* Short of what the log keeps beside its records. */
#define FILL_BYTES 30000u
/* Some rounds of the log. */
#define NUMBERS 90
#define NUMBERS_AFTER 40
/* Every call; with a sanitizer, which is ten times as slow, some of them. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STRIDE 9
#else
#define STRIDE 1
#endif

static struct table_schema tables[TABLES];

struct world {
    struct env *env;
    struct engine *engine;
    int64_t applied, durable; /* numbers, from 1 */
};

static int open_store(struct world *world)
{
    struct engine_options options = {
        .tables = tables,
        .table_count = TABLES,
        .memory_bytes = 32 << 20,
        .sync_period_us = 5000000,
        .flush_tasks = 1,
    };

    return engine_open(world->env, &options, &world->engine);
}

static void world_init(struct world *world)
{
    *world = (struct world){0};
    tables[DIRENTS] = test_table_dirents;
    tables[SMALL] = test_table_small;
    assert_int_equal(env_fault_new(SEED, &world->env), 0);
    env_mem_set_space(world->env, DISK_BYTES);
    assert_int_equal(engine_create(world->env, tables, TABLES), 0);
    assert_int_equal(open_store(world), 0);
}

static int put(struct world *world, unsigned table, struct bytes name, struct bytes value,
    uint64_t *ret_position)
{
    uint8_t key[KEY_BYTES_BIGINT];
    struct batch *batch;
    int r = engine_admit(world->engine, table, value.size, ADMIT_RECLAIM, NULL, NULL, &batch);

    if (r < 0)
        return r;
    key_bigint(key, 1);
    batch_row(batch, table, bytes_of(key, sizeof(key)), &CLUSTERING_ROW(&name, 1), true);
    batch_cell(batch, 0, value);
    return engine_apply(world->engine, batch, ret_position);
}

/* The next number, and every fourth time all so far durable. */
static int write_number(struct world *world)
{
    uint8_t number[8];
    uint64_t position;
    int r;

    store_be64(number, (uint64_t)world->applied + 1);
    r = put(world, DIRENTS, BYTES_LITERAL("name"), bytes_of(number, sizeof(number)), &position);
    if (r < 0)
        return r;
    world->applied++;
    if (world->applied % 4 != 0)
        return 0;
    r = engine_await(world->engine, position, true, NULL, NULL);
    if (r == 0)
        world->durable = world->applied;
    return r;
}

static int fill(struct world *world)
{
    static const uint8_t zeros[FILL_BYTES];
    uint8_t ino[8] = {(uint8_t)(world->applied % 5)};
    uint64_t position;

    return put(world, SMALL, bytes_of(ino, sizeof(ino)), bytes_of(zeros, sizeof(zeros)), &position);
}

static int go_on(struct world *world, unsigned numbers)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < numbers; i++) {
        r = write_number(world);
        if (r == 0)
            r = fill(world);
        while (r == 0 && env_run_task(world->env))
            ;
    }
    return r;
}

static int64_t read_number(struct world *world)
{
    uint8_t key[KEY_BYTES_BIGINT];
    struct bytes name = BYTES_LITERAL("name");
    struct rowref row;
    int64_t number = 0;
    int r;

    key_bigint(key, 1);
    r = engine_get(engine_live(world->engine), DIRENTS, bytes_of(key, sizeof(key)),
        &CLUSTERING_ROW(&name, 1), 1, &row);
    assert_true(r >= 0);
    if (r > 0) {
        number = (int64_t)load_be64(row.row.cells[0].value.data);
        rowref_release(&row);
    }
    return number;
}

static void cut_and_open(struct world *world, unsigned variant)
{
    int64_t number;
    int r;

    cut_power(world->env, world->engine, variant);
    r = open_store(world);
    if (r < 0)
        fail_msg("open: %d %s", r, err_text(r));
    number = read_number(world);
    if (number < world->durable || number > world->applied + 1)
        fail_msg("%d, of %d durable and %d applied", (int)number, (int)world->durable,
            (int)world->applied);
    world->applied = number;
    world->durable = number;
}

static void world_release(struct world *world)
{
    assert_int_equal(engine_close(world->engine, 0), 0);
    env_free(world->env);
}

static uint64_t count_changes(void)
{
    struct engine_stats stats;
    struct world world;
    uint64_t before;

    world_init(&world);
    before = env_fault_change_count(world.env);
    assert_int_equal(go_on(&world, NUMBERS), 0);
    before = env_fault_change_count(world.env) - before;
    engine_get_stats(world.engine, &stats);
    assert_true(stats.carries >= 2); /* else this asks about nothing */
    world_release(&world);
    return before;
}

static void every_cut_leaves_what_was_carried(void **state)
{
    uint64_t changes = count_changes();

    (void)state;
    for (uint64_t cut_at = 1; cut_at <= changes; cut_at += STRIDE) {
        for (unsigned variant = 0; variant < ENV_FAULT_VARIANTS; variant++) {
            struct world world;

            world_init(&world);
            env_fault_crash_at(world.env, cut_at);
            (void)go_on(&world, NUMBERS);
            cut_and_open(&world, variant);
            assert_int_equal(go_on(&world, NUMBERS_AFTER), 0);
            assert_int_equal(read_number(&world), world.applied);
            cut_and_open(&world, variant);
            world_release(&world);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_leaves_what_was_carried),
    };

    log_set_level(LOG_LEVEL_ERROR);
    log_to(fopen("/dev/null", "w"));
    return cmocka_run_group_tests_name("crash/carry", tests, NULL, NULL);
}
