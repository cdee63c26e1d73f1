/*
 * The power is cut under an engine.
 */
#ifndef SSTFS_TESTS_CUT_POWER_H
#define SSTFS_TESTS_CUT_POWER_H

#include "engine/engine.h"
#include "io/fault.h"

/** Ends the engine, with nothing written any more; the disk is what `variant` leaves of it then. */
static inline void cut_power(struct env *env, struct engine *engine, unsigned variant)
{
    env_fault_stop(env);
    (void)engine_close(engine, 0);
    env_fault_crash(env, variant);
}

#endif
