/*
 * How memory= is shared out. Each part keeps to its own line: what would go over it waits, or
 * evicts. All in bytes.
 */
#ifndef SSTFS_ENGINE_MEMORY_PLAN_H
#define SSTFS_ENGINE_MEMORY_PLAN_H

#include "engine/engine.h"

struct memory_plan {
    uint64_t memtables[ENGINE_TABLES_MAX]; /* each table's share (memtable_budget.h), for the one
                                              being filled and those being flushed together */
    uint64_t memtables_total;
    uint64_t chunks;             /* chunk cache: decompressed pieces of Data.db */
    uint64_t index_pages;        /* pieces of Index.db and CompressionInfo.db */
    uint64_t filters;            /* bloom filters, summaries, row filters, open SSTables */
    uint64_t background;         /* buffers of flushes and compactions */
    uint64_t callers;            /* left to who uses the engine */
    uint64_t idle_value_buffers; /* those that nobody holds; who does counts them as his own */
};

/** `memory_bytes` for these tables, by their memory_share. */
void memory_plan_init(struct memory_plan *plan, uint64_t memory_bytes,
    const struct table_schema *tables, unsigned table_count);

#endif
