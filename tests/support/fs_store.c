#include "support/fs_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "io/mem.h"

#define STEPS_MAX 100000

void fs_store_open(struct fs_store *store)
{
    static const struct fs_options fs_options = {
        .owner = UINT64_C(1000) << 32 | 100, .snapshots_gid = 100};
    struct engine_options options = {
        .tables = fs_tables,
        .table_count = FS_TABLE_COUNT,
        .memory_bytes = 64u << 20,
        .sync_mode = SYNC_PERIODIC,
        .sync_period_us = 1000000,
    };

    assert_int_equal(env_mem_new(1, &store->env), 0);
    env_mem_set_space(store->env, UINT64_C(1) << 30); /* small segments of the log */
    assert_int_equal(engine_create(store->env, fs_tables, FS_TABLE_COUNT), 0);
    assert_int_equal(engine_open(store->env, &options, &store->engine), 0);
    assert_int_equal(fs_open(store->engine, store->env, &fs_options, &store->fs), 0);
}

void fs_store_close(struct fs_store *store)
{
    assert_int_equal(fs_close(store->fs), 0);
    assert_int_equal(engine_close(store->engine, 0), 0);
    env_free(store->env);
}

void fs_store_run_tasks(struct fs_store *store, unsigned seconds)
{
    unsigned steps = 0;

    for (unsigned i = 0; i < seconds; i++) {
        while (env_run_task(store->env) && steps++ < STEPS_MAX)
            continue;
        env_mem_advance(store->env, 1000000);
    }
}
