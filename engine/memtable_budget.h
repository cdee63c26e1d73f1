/*
 * How much memory the memtables of each table may take. All in bytes.
 *
 * Each table has a share. What the others leave of theirs it may borrow, three quarters of it: a
 * load on one table alone makes few large SSTables, and a table that comes to need its share finds
 * the fourth while the borrower is flushed, whose budget shrinks with each byte that is asked back.
 * All together never take more than the sum of the shares, and a quarter of each is never lent, so
 * that what is written little never waits for what is written much.
 *
 * Budgets move with what is in use, without jumps. Thread-safe, without a lock: threads that look
 * at the same moment may admit a batch each too many.
 */
#ifndef SSTFS_ENGINE_MEMTABLE_BUDGET_H
#define SSTFS_ENGINE_MEMTABLE_BUDGET_H

#include <stdatomic.h>

#include "memory_plan.h"

/** What is in use, at one look. */
struct memory_use {
    uint64_t bytes;
    uint64_t claimed;  /* with what is never lent of the shares */
    uint64_t idle;     /* of shares, not claimed */
    uint64_t borrowed; /* beyond shares */
};

struct table_memory {
    _Alignas(64) _Atomic uint64_t bytes; /* of memtables, and admitted but not yet applied */
    uint64_t share;
};

struct memtable_budgets {
    unsigned table_count;
    uint64_t total;     /* of the shares */
    uint64_t table_max; /* of any table, however much is idle: for the size of its SSTables */
    struct table_memory tables[ENGINE_TABLES_MAX];
};

/** Shares of the plan, but smaller on a small disk. */
void memtable_budgets_init(struct memtable_budgets *budgets, const struct memory_plan *plan,
    unsigned table_count, uint64_t disk_bytes);
struct memory_use memtable_budgets_look(const struct memtable_budgets *budgets);
/** Of all memtables of the table: the one being filled and those being flushed. */
uint64_t memtable_budget(
    const struct memtable_budgets *budgets, const struct memory_use *use, unsigned table);
/**
 * Of the one being filled, which then is to be flushed: half, as another is filled meanwhile. When
 * a batch of no more than memtable_budget_batch_max() has to wait, some table is there or is being
 * flushed.
 */
uint64_t memtable_budget_active(
    const struct memtable_budgets *budgets, const struct memory_use *use, unsigned table);
/** The most that a batch may ask for: more might wait for ever. */
uint64_t memtable_budget_batch_max(const struct memtable_budgets *budgets, unsigned table);
/** Counts `bytes` more, unless that is over `budget`. */
bool memtable_budget_take(struct table_memory *memory, uint64_t bytes, uint64_t budget);

#endif
