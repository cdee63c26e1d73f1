/*
 * Carrying a small memtable forward: what keeps an old segment of the log from being freed is
 * written again at the log's end, with the timestamps that it has, instead of to an SSTable. A row
 * that is overwritten for ever so never leaves memory, and costs no compaction.
 *
 *   sealed memtable --> batch --> log --> active memtable       then, as after a flush: log synced
 *                                                               --> manifest edit "flushed to P"
 */
#ifndef SSTFS_ENGINE_CARRY_H
#define SSTFS_ENGINE_CARRY_H

#include "engine/engine.h"

struct memtable;

/**
 * `memtable` is the oldest sealed one of the table, without writers. 0: all that is in it is in the
 * log before `*ret_log_end`, and in the active memtable. 1: it is not to be carried but flushed,
 * being too large, holding what a batch cannot say, being wanted in an SSTable by a snapshot or a
 * flush on demand, or because the log has no room. Takes `change`.
 */
MUST_USE int engine_carry_forward(
    struct engine *engine, unsigned table, struct memtable *memtable, uint64_t *ret_log_end);

#endif
