#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/fs_world.h"
#include "support/model_engine.h"

int world_env_new(struct world *w)
{
    return env_mem_new(w->seed, &w->env);
}

struct engine *world_engine_new(struct world *w)
{
    (void)w;
    return model_engine_new(fs_tables, FS_TABLE_COUNT);
}

/* The store is the model itself, so a kill is an end in which nothing can be written any more. */
struct engine *world_engine_reopen(struct world *w, bool crash)
{
    if (crash) {
        model_engine_fail_apply(w->engine, 1, -5);
        (void)fs_close(w->fs);
        model_engine_fail_apply(w->engine, 0, 0);
    }
    return w->engine;
}

void world_engine_free(struct world *w)
{
    assert_int_equal(engine_close(w->engine, 0), 0);
}

bool world_fail_nth_apply(struct world *w, unsigned nth, int r)
{
    model_engine_fail_apply(w->engine, nth, r);
    return true;
}

bool world_die_at(struct world *w, uint64_t nth)
{
    (void)w, (void)nth;
    return false;
}

bool world_is_dead(struct world *w)
{
    (void)w;
    return false;
}

struct engine *world_engine_rise(struct world *w, unsigned variant)
{
    (void)variant;
    return world_engine_reopen(w, true);
}

struct batch *world_batch(struct world *w)
{
    return model_engine_batch(w->engine);
}
