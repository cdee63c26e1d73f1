/*
 * Who may write: memory that memtables take, and disk that their flush will take.
 *
 * With plenty of both a batch is admitted by a few atomic operations. From 0.6 of its table's
 * budget on it is paced (pace.h), at the budget it is parked, in order of arrival, until a flush
 * has freed some; the pacer task calls back in both cases. A full disk is answered with -ENOSPC
 * before the log is touched, but for batches that give space back. Nobody is admitted while a
 * periodic sync is overdue by half a period: what a power loss may cost is bounded. Each table has
 * a budget of its own (memtable_budget.h): metadata never waits for file data.
 */
#ifndef SSTFS_ENGINE_ADMISSION_H
#define SSTFS_ENGINE_ADMISSION_H

#include <stdatomic.h>

#include "engine/engine.h"
#include "engine/mutex.h"
#include "memtable_budget.h"
#include "pace.h"

struct parked;

/** What one table's writers wait for. */
struct table_admission {
    _Alignas(64) _Atomic uint32_t waiting; /* parked until there is room */
    struct pace pace;
};

struct admissions {
    struct engine *engine;
    struct task *pacer;
    struct memtable_budgets budgets;
    struct table_admission tables[ENGINE_TABLES_MAX];
    struct mutex mutex; /* guards who is parked */
    struct parked *first_parked, *last_parked;
    bool closing;
    _Atomic bool sync_is_late;        /* sync_queue_late_us() has come, the pacer found */
    _Atomic uint64_t flush_kicked_us; /* monotonic: for deletions on a disk nearly full */
};

void admission_init(struct admissions *admission, struct engine *engine);
MUST_USE int admission_start(struct admissions *admission);
/** Parked batches are refused. */
void admission_stop(struct admissions *admission);
void admission_release(struct admissions *admission);

/** Memory was freed, or the disk may have space again. */
void admission_kick(struct admissions *admission);
/** A periodic sync has: who waits for one that was late may go on. */
void admission_sync_ended(struct admissions *admission);
/** Bytes in use and admitted, of all tables. */
uint64_t admission_bytes(const struct admissions *admission);
/** The counter that the memtables of a table keep. */
_Atomic uint64_t *admission_account(struct admissions *admission, unsigned table);
/** A memtable of `bytes` begins to be flushed; it has been. */
void admission_flush_begins(struct admissions *admission, unsigned table, uint64_t bytes);
void admission_flush_ends(struct admissions *admission, unsigned table);

#endif
