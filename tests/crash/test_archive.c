/*
 * Goal: a power cut at any moment leaves an archive whose segments are whole and follow on each
 * other, and which is as long as it was promised to be.
 * Method: one row is overwritten with rising numbers, over some rounds of the log, with a snapshot
 * taken at the begin; for each changing I/O call and each variant of the disk, cut the power there,
 * open, go on, with the archive on or off, and read the numbers back from archive and log.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "commitlog/archive.h"
#include "commitlog/archive_walk.h"
#include "engine/coding.h"
#include "engine/engine.h"
#include "engine/error.h"
#include "engine/log.h"
#include "io/fault.h"
#include "io/mem.h"
#include "rows/update.h"
#include "state.h"
#include "support/cut_power.h"
#include "support/test_tables.h"

#define SEED 7
#define DISK_BYTES (16u << 20)
#define NUMBERS 60
#define NUMBERS_AFTER 30
#define SMALL 0u
/* A few of them make a segment. */
#define VALUE_BYTES 20000u
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STRIDE 29
#else
#define STRIDE 1
#endif

static struct table_schema tables[1];

struct world {
    struct env *env;
    struct engine *engine;
    uint64_t applied, durable; /* numbers, from 1 */
    struct archive_walk walk;  /* of all since the snapshot */
    uint64_t seen;             /* by it */
};

static int open_to_read(struct world *world)
{
    struct engine_options options = {
        .tables = tables, .table_count = 1, .memory_bytes = 32 << 20, .read_only = true};

    return engine_open(world->env, &options, &world->engine);
}

static int open_store(struct world *world, bool archive)
{
    struct engine_options options = {.tables = tables,
        .table_count = 1,
        .memory_bytes = 32 << 20,
        .sync_period_us = 5000000,
        .flush_tasks = 1,
        .archive = archive};

    return engine_open(world->env, &options, &world->engine);
}

static void find_point(struct world *world)
{
    AUTO(snapshot_facts_release) struct snapshot_facts facts = {0};

    assert_int_equal(snapshot_json_read(world->env, "snapshots/begin", tables, 1, &facts), 0);
    world->walk = (struct archive_walk){.env = world->env,
        .folder = ARCHIVE_FOLDER,
        .with_slots = true,
        .from_position = facts.log_position,
        .until_us = INT64_MAX};
    memcpy(world->walk.store_uuid, facts.store.uuid, sizeof(facts.store.uuid));
}

static void world_init(struct world *world)
{
    *world = (struct world){0};
    tables[SMALL] = test_table_small;
    assert_int_equal(env_fault_new(SEED, &world->env), 0);
    env_mem_set_space(world->env, DISK_BYTES);
    assert_int_equal(engine_create(world->env, tables, 1), 0);
    assert_int_equal(open_store(world, true), 0);
    assert_int_equal(engine_snapshot_create(world->engine, "begin"), 0);
    assert_int_equal(engine_snapshot_await(world->engine, "begin", NULL, NULL), 0);
    find_point(world);
}

/* The next number, and every fourth time all so far durable, every tenth flushed. */
static int write_number(struct world *world)
{
    static uint8_t value[VALUE_BYTES];
    uint8_t ino[8] = {1}, key[KEY_BYTES_BIGINT];
    struct bytes clustering = bytes_of(ino, sizeof(ino));
    struct batch *batch;
    uint64_t position;
    int r = engine_admit(world->engine, SMALL, sizeof(value), ADMIT_GROW, NULL, NULL, &batch);

    if (r < 0)
        return r;
    store_be64(value, world->applied + 1);
    key_bigint(key, 1);
    batch_row(batch, SMALL, bytes_of(key, sizeof(key)), &CLUSTERING_ROW(&clustering, 1), true);
    batch_cell(batch, 0, bytes_of(value, sizeof(value)));
    r = engine_apply(world->engine, batch, &position);
    if (r < 0)
        return r;
    world->applied++;
    if (world->applied % 4 == 0) {
        r = engine_await(world->engine, position, true, NULL, NULL);
        if (r == 0)
            world->durable = world->applied;
    }
    return r == 0 && world->applied % 10 == 0 ? engine_flush(world->engine, TABLES_ALL) : r;
}

static int go_on(struct world *world, unsigned numbers)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < numbers; i++) {
        r = write_number(world);
        while (r == 0 && env_run_task(world->env))
            ;
    }
    return r;
}

static int take_number(
    void *arg, unsigned table, const struct decorated_key *key, const struct row *row)
{
    struct world *world = arg;
    uint64_t number = load_be64(row->cells[0].value.data);

    (void)table, (void)key;
    /* What is carried forward comes again. */
    if (number > world->seen + 1)
        fail_msg("%d after %d", (int)number, (int)world->seen);
    if (number > world->seen)
        world->seen = number;
    return 0;
}

static int take_batch(void *arg, int64_t timestamp_us, struct bytes updates, unsigned update_count)
{
    static const struct update_visitor visitor = {.row = take_number};
    struct updates whole = updates_of(updates);

    return batch_visit(tables, 1, &whole, update_count, timestamp_us, UINT64_MAX, &visitor, arg);
}

/* All numbers from the snapshot on; the newest. */
static uint64_t read_back(struct world *world)
{
    struct archive_walk_result result;
    int r;

    world->walk.cuts = manifest_state(world->engine->manifest)->cuts;
    world->walk.cut_count = manifest_state(world->engine->manifest)->cut_count;
    world->walk.flushed_max = manifest_flushed_max(manifest_state(world->engine->manifest));
    world->seen = 0;
    r = archive_walk(&world->walk, take_batch, world, &result);
    if (r < 0)
        fail_msg("walk: %d %s", r, err_text(r));
    return world->seen;
}

/* What the log has before it was opened to be written to, is what it has then. */
static void cut_and_open(struct world *world, unsigned variant, bool archive)
{
    uint64_t seen;
    int r;

    cut_power(world->env, world->engine, variant);
    r = open_to_read(world);
    if (r < 0)
        fail_msg("open to read: %d %s", r, err_text(r));
    seen = read_back(world);
    assert_int_equal(engine_close(world->engine, 0), 0);
    r = open_store(world, archive);
    if (r < 0)
        fail_msg("open: %d %s", r, err_text(r));
    if (seen != read_back(world))
        fail_msg("variant %u: %d before the open", variant, (int)seen);
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
    assert_true(stats.archive_segments >= 4); /* else this asks about nothing */
    assert_true(read_back(&world) == world.applied);
    assert_int_equal(engine_close(world.engine, 0), 0);
    env_free(world.env);
    return before;
}

static uint64_t stride(void)
{
    const char *given = getenv("SSTFS_STRIDE");

    return given && atoll(given) > 0 ? (uint64_t)atoll(given) : STRIDE;
}

static void every_cut_leaves_an_archive_that_is_whole(void **state)
{
    uint64_t changes = count_changes();

    (void)state;
    for (uint64_t cut_at = 1; cut_at <= changes; cut_at += stride()) {
        for (unsigned variant = 0; variant < ENV_FAULT_VARIANTS; variant++) {
            struct world world;
            uint64_t kept;

            world_init(&world);
            env_fault_crash_at(world.env, cut_at);
            (void)go_on(&world, NUMBERS);
            cut_and_open(&world, variant, true);
            kept = read_back(&world);
            if (kept < world.durable || kept > world.applied + 1)
                fail_msg("cut at %d, variant %u: %d, of %d durable", (int)cut_at, variant,
                    (int)kept, (int)world.durable);
            world.applied = kept;
            assert_int_equal(go_on(&world, NUMBERS_AFTER), 0);
            assert_true(read_back(&world) == world.applied);

            /* One that archives nothing leaves alone what there is. */
            cut_and_open(&world, variant, false);
            kept = read_back(&world);
            world.walk.until_us = engine_now(world.engine);
            assert_int_equal(go_on(&world, NUMBERS_AFTER), 0);
            world.walk.with_slots = false;
            (void)read_back(&world);
            assert_true(world.seen <= kept);
            assert_int_equal(engine_close(world.engine, 0), 0);
            env_free(world.env);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_leaves_an_archive_that_is_whole),
    };

    log_set_level(LOG_LEVEL_ERROR);
    log_to(fopen("/dev/null", "w"));
    return cmocka_run_group_tests_name("crash/archive", tests, NULL, NULL);
}
