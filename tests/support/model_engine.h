/*
 * A storage engine for tests: engine/engine.h in memory, as plain as it can be, so that fs/core is
 * tested without the engine, and a failure that both show is the file system's.
 *
 * Every batch is applied at once under one mutex: what it deletes is taken out, then what it writes
 * is put in. As timestamps only rise, that leaves what reconciling by newest timestamp leaves, and
 * no tombstone need be kept. Nothing is durable: the store is the struct engine, and ends with it.
 * There are no background tasks, no snapshots (-EOPNOTSUPP) and no SSTables.
 *
 * Link it before the engine's library: it defines every function of engine/engine.h.
 */
#ifndef SSTFS_TESTS_MODEL_ENGINE_H
#define SSTFS_TESTS_MODEL_ENGINE_H

#include "engine/engine.h"

/** An empty store. engine_close() frees it. Aborts without memory. */
struct engine *model_engine_new(const struct table_schema *tables, unsigned table_count);

/** From now on engine_admit() answers `r` (negative errno) to what is not ADMIT_RECLAIM; 0: admits
 * again. */
void model_engine_refuse(struct engine *engine, int r);
/** The `nth` engine_apply() from now (1: the next) fails with `r` and changes nothing. */
void model_engine_fail_apply(struct engine *engine, unsigned nth, int r);

/** Applies a batch of the test's own making: what a broken store would hold. */
struct batch *model_engine_batch(struct engine *engine);

/** Live rows in a table, static rows not counted. */
uint64_t model_engine_rows(struct engine *engine, unsigned table);
uint64_t model_engine_partitions(struct engine *engine, unsigned table);

#endif
