#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/error.h"
#include "io/fault.h"
#include "io/mem.h"
#include "support/fs_world.h"

int world_env_new(struct world *w)
{
    int r = env_fault_new(w->seed, &w->env);

    /* Of a small disk the log takes small segments, which are made in less time. */
    if (r == 0)
        env_mem_set_space(w->env, 1u << 30);
    return r;
}

static struct engine *open_engine(struct world *w)
{
    const struct engine_options options = {
        .tables = fs_tables,
        .table_count = FS_TABLE_COUNT,
        .memory_bytes = 32u << 20,
        .sync_mode = SYNC_PERIODIC,
        .sync_period_us = 1000000,
    };
    struct engine *engine;
    int r = engine_open(w->env, &options, &engine);

    if (r < 0)
        fail_msg("engine_open: %s", err_text(r));
    return engine;
}

struct engine *world_engine_new(struct world *w)
{
    int r = engine_create(w->env, fs_tables, FS_TABLE_COUNT);

    if (r < 0)
        fail_msg("engine_create: %s", err_text(r));
    return open_engine(w);
}

struct engine *world_engine_reopen(struct world *w, bool crash)
{
    if (!crash) {
        assert_int_equal(engine_close(w->engine, 0), 0);
        return open_engine(w);
    }
    /* What was acknowledged, to the disk; then nothing can be written any more. */
    assert_int_equal(engine_await(w->engine, engine_position(w->engine), true, NULL, NULL), 0);
    env_fault_crash_at(w->env, 1);
    (void)fs_close(w->fs);
    (void)engine_close(w->engine, 0);
    env_fault_crash(w->env, ENV_FAULT_LOST);
    return open_engine(w);
}

void world_engine_free(struct world *w)
{
    assert_int_equal(engine_close(w->engine, CLOSE_FLUSH), 0);
}

bool world_fail_nth_apply(struct world *w, unsigned nth, int r)
{
    (void)w, (void)nth, (void)r;
    return false;
}

bool world_die_at(struct world *w, uint64_t nth)
{
    assert_int_equal(engine_await(w->engine, engine_position(w->engine), true, NULL, NULL), 0);
    env_fault_crash_at(w->env, nth);
    return true;
}

bool world_is_dead(struct world *w)
{
    return env_fault_is_stopped(w->env);
}

struct engine *world_engine_rise(struct world *w, unsigned variant)
{
    env_fault_stop(w->env);
    (void)fs_close(w->fs);
    (void)engine_close(w->engine, 0);
    env_fault_crash(w->env, (enum env_fault_variant)variant);
    return open_engine(w);
}

struct batch *world_batch(struct world *w)
{
    struct batch *batch = NULL;

    assert_int_equal(
        engine_admit(w->engine, TABLE_DIRENTS, 4096, ADMIT_GROW, NULL, NULL, &batch), 0);
    return batch;
}
