/*
 * Sealing memtables: at a position of the log fresh ones take the place of those that are full, old
 * or asked for, which then wait to be flushed.
 */
#ifndef SSTFS_ENGINE_SEAL_H
#define SSTFS_ENGINE_SEAL_H

#include "engine/engine.h"

struct view;

/**
 * Switches the memtables of `tables` at one position. With `change` held. -EAGAIN: too many are
 * sealed already; wait for engine->progress without `change` and come again.
 */
MUST_USE int engine_switch_memtables(
    struct engine *engine, uint64_t tables, uint64_t *ret_position);
/** The same, waiting, and taking `change` by itself: held on success. */
MUST_USE int engine_switch_and_hold(struct engine *engine, uint64_t tables, uint64_t *ret_position);
/** Is an active memtable to be flushed for its size? */
bool engine_memtable_is_full(const struct engine *engine, const struct view *view);
/** Switches what is large, old, or keeps the log from being freed. Not from two threads at once. */
void engine_seal_due(struct engine *engine);

#endif
