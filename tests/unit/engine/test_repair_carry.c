/*
 * Goal: a row that was carried forward in the log and deleted stays deleted: without the manifest,
 * though what deleted it lay in a segment that is gone, and is in no SSTable; and when replay has
 * to flush between what deleted it and where it comes again.
 * Method: a row is carried round and round by another table's writes; it is deleted at any moment
 * of that, then all is flushed; the manifest is deleted and rebuilt. Or the log is written as that
 * would leave it, and read with less memory.
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
#include "engine/repair.h"
#include "io/fault.h"
#include "rows/update.h"
#include "support/test_tables.h"

#define SEED 5
#define DISK_BYTES (16u << 20)
#define DIRENTS 0u
#define SMALL 1u
#define TABLES 2u
/* Short of what the log keeps beside its records. */
#define FILL_BYTES 30000u
#define FILLS_BEFORE 60
/* More than the memtables take of 32 MiB of memory, and on this disk less than the log may hold. */
#define FILLS_LARGE 500
#define DISK_BYTES_LARGE (2ull << 30)

static struct table_schema tables[TABLES];

static void check(int r)
{
    if (r < 0)
        fail_msg("%d: %s", r, err_text(r));
}

static struct engine *open_with(struct env *env, uint64_t memory_bytes)
{
    struct engine_options options = {.tables = tables,
        .table_count = TABLES,
        .memory_bytes = memory_bytes,
        .sync_period_us = 5000000,
        .flush_tasks = 1};
    struct engine *engine = NULL;

    check(engine_open(env, &options, &engine));
    return engine;
}

static struct engine *open_store(struct env *env)
{
    return open_with(env, 32 << 20);
}

static struct env *new_store_on(uint64_t disk_bytes)
{
    struct env *env;

    tables[DIRENTS] = test_table_dirents;
    tables[SMALL] = test_table_small;
    check(env_fault_new(SEED, &env));
    env_mem_set_space(env, disk_bytes);
    check(engine_create(env, tables, TABLES));
    return env;
}

static struct env *new_store(void)
{
    return new_store_on(DISK_BYTES);
}

/* As of then; TIMESTAMP_NONE: as of now. */
static void write_row_at(struct engine *engine, unsigned table, struct bytes name,
    struct bytes value, int64_t timestamp_us)
{
    uint8_t key[KEY_BYTES_BIGINT];
    struct batch *batch;
    uint64_t position;

    check(engine_admit(engine, table, value.size, ADMIT_RECLAIM, NULL, NULL, &batch));
    key_bigint(key, 1);
    batch_set_timestamp(batch, timestamp_us);
    if (value.size > 0) {
        batch_row(batch, table, bytes_of(key, sizeof(key)), &CLUSTERING_ROW(&name, 1), true);
        batch_cell(batch, 0, value);
    } else {
        batch_delete_row(batch, table, bytes_of(key, sizeof(key)), &CLUSTERING_ROW(&name, 1));
    }
    check(engine_apply(engine, batch, &position));
}

static void write_row(struct engine *engine, unsigned table, struct bytes name, struct bytes value)
{
    write_row_at(engine, table, name, value, TIMESTAMP_NONE);
}

static void fill(struct engine *engine, unsigned n)
{
    static const uint8_t zeros[FILL_BYTES];
    uint8_t ino[8] = {(uint8_t)(n % 5)};

    write_row(engine, SMALL, bytes_of(ino, sizeof(ino)), bytes_of(zeros, sizeof(zeros)));
}

static bool row_is_there(struct engine *engine)
{
    uint8_t key[KEY_BYTES_BIGINT];
    struct bytes name = BYTES_LITERAL("doomed");
    struct rowref row = ROWREF_INIT;
    int r;

    key_bigint(key, 1);
    r = engine_get(engine_live(engine), DIRENTS, bytes_of(key, sizeof(key)),
        &CLUSTERING_ROW(&name, 1), COLUMNS_ALL, &row);
    check(r);
    rowref_release(&row);
    return r == 1;
}

static void run_tasks(struct env *env, unsigned count)
{
    for (unsigned n = 0; n < count && env_run_task(env); n++)
        continue;
}

static int remove_manifest(void *arg, const char *name)
{
    char path[64];

    snprintf(path, sizeof(path), "manifest/%s", name);
    check(io_unlink(arg, path));
    return 0;
}

static void tell(void *arg, bool is_loss, const char *text)
{
    (void)arg;
    if (is_loss)
        fail_msg("%s", text);
}

static void lose_and_rebuild(struct env *env)
{
    struct repair *repair = NULL;

    check(io_list(env, "manifest", remove_manifest, env));
    assert_int_equal(repair_manifest_begin(env, tables, TABLES, tell, NULL, &repair), 1);
    check(repair_commit(repair));
    repair_discard(repair);
}

/* Returns how often something was carried. */
static uint64_t carry_and_delete(unsigned fills, unsigned tasks, unsigned fills_after)
{
    struct env *env = new_store();
    struct engine *engine = open_store(env);
    struct engine_stats stats;

    write_row(engine, DIRENTS, BYTES_LITERAL("doomed"), BYTES_LITERAL("12345678"));
    for (unsigned n = 0; n < fills; n++) {
        fill(engine, n);
        run_tasks(env, UINT32_MAX);
    }
    fill(engine, fills);
    run_tasks(env, tasks);
    write_row(engine, DIRENTS, BYTES_LITERAL("doomed"), BYTES_NONE);
    for (unsigned n = 0; n < fills_after; n++)
        fill(engine, n);
    run_tasks(env, UINT32_MAX);
    check(engine_flush(engine, TABLES_ALL));
    run_tasks(env, UINT32_MAX);
    engine_get_stats(engine, &stats);

    env_fault_stop(env);
    (void)engine_close(engine, 0);
    if (fills % 2)
        env_fault_restart(env);
    else
        env_fault_crash(env, ENV_FAULT_LOST);
    lose_and_rebuild(env);
    engine = open_store(env);
    if (row_is_there(engine))
        fail_msg("%u fills, %u tasks, %u fills: the row is back", fills, tasks, fills_after);
    check(engine_close(engine, 0));
    env_free(env);
    return stats.carries;
}

static void what_was_carried_forward_and_deleted_stays_so(void **state)
{
    uint64_t carries = 0;

    (void)state;
    for (unsigned fills = 1; fills <= FILLS_BEFORE; fills++)
        for (unsigned tasks = 0; tasks < 4; tasks++)
            for (unsigned after = 0; after < 4; after++)
                carries += carry_and_delete(fills, tasks, after);
    assert_true(carries > 0);
}

static void what_comes_again_in_replay_stays_deleted(void **state)
{
    static const uint8_t zeros[FILL_BYTES];
    struct env *env = new_store_on(DISK_BYTES_LARGE);
    struct engine *engine = open_with(env, 256 << 20);
    struct engine_stats stats;
    int64_t then_us;

    (void)state;
    write_row(engine, DIRENTS, BYTES_LITERAL("doomed"), BYTES_LITERAL("12345678"));
    then_us = engine_now(engine);
    write_row(engine, DIRENTS, BYTES_LITERAL("doomed"), BYTES_NONE);
    for (uint64_t n = 0; n < FILLS_LARGE; n++) {
        uint8_t ino[8];

        store_be64(ino, n);
        write_row(engine, SMALL, bytes_of(ino, sizeof(ino)), bytes_of(zeros, sizeof(zeros)));
    }
    write_row_at(engine, DIRENTS, BYTES_LITERAL("doomed"), BYTES_LITERAL("12345678"), then_us);
    assert_false(row_is_there(engine));
    engine_get_stats(engine, &stats);
    assert_int_equal(stats.flushes, 0); /* else this asks about nothing */
    check(engine_close(engine, 0));
    engine = open_store(env);
    engine_get_stats(engine, &stats);
    assert_true(stats.flushes > 0);
    assert_false(row_is_there(engine));
    check(engine_close(engine, 0));
    env_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_carried_forward_and_deleted_stays_so),
        cmocka_unit_test(what_comes_again_in_replay_stays_deleted),
    };

    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests_name("engine/repair, carried", tests, NULL, NULL);
}
