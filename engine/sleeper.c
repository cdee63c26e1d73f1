#include "state.h"

#include "sleeper.h"

void sleeper_wake(void *arg, int r)
{
    struct sleeper *sleeper = arg;
    /* Read first: once `done` is set the sleeper's stack is its own again. The event is the
     * engine's for the same reason. */
    struct engine *engine = sleeper->engine;

    sleeper->r = r;
    atomic_store(&sleeper->done, true);
    event_signal(engine->env, &engine->progress);
}

int sleeper_wait(struct sleeper *sleeper)
{
    struct engine *engine = sleeper->engine;

    for (;;) {
        uint64_t ticket = event_ticket(&engine->progress);

        if (atomic_load(&sleeper->done))
            return sleeper->r;
        env_wait(engine->env, &engine->progress, ticket);
    }
}
