/*
 * A thread that waits for an engine_go call: for callers that gave none of their own.
 */
#ifndef SSTFS_ENGINE_SLEEPER_H
#define SSTFS_ENGINE_SLEEPER_H

#include <stdatomic.h>
#include <stdbool.h>

struct engine;

struct sleeper {
    struct engine *engine;
    _Atomic bool done;
    int r;
};
#define SLEEPER_INIT(engine_pointer) ((struct sleeper){.engine = (engine_pointer)})

/** The engine_go: `arg` is the sleeper, which may be gone when this returns. */
void sleeper_wake(void *arg, int r);
/** What sleeper_wake() was given. */
int sleeper_wait(struct sleeper *sleeper);

#endif
