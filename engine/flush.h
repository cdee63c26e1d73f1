/*
 * Sealed memtables become SSTables: of each table oldest first, of several tables at the same time.
 *
 *   seal (switch at position P) --> writers below P leave --> write to tmp/ --> rename into data/
 *     --> sync the log up to P --> manifest edit "SSTables, flushed to P" --> view --> free the log
 *
 * The order of the last steps is the one ordering rule between log and tables: if a table were
 * flushed past what is durable of the log, a power loss could keep one half of a batch.
 *
 * Each task takes a part of a memtable's flush (flush_job.h), and who writes the last part commits.
 */
#ifndef SSTFS_ENGINE_FLUSH_H
#define SSTFS_ENGINE_FLUSH_H

#include "engine/engine.h"
#include "engine/mutex.h"
#include "flush_job.h"

#define FLUSH_TASKS_MAX FLUSH_PARTS_MAX

struct flush_worker {
    struct flusher *flusher;
    struct task *task;
    struct flush_part *part; /* being written; NULL: none */
};

/** What is known of one table's flushes: its job's, while it has one, else under the mutex. */
struct flush_history {
    unsigned failures; /* in a row, of one memtable */
    int last_failure;  /* logged once */
    uint64_t retry_us; /* monotonic: not to be tried before */
};

struct flusher {
    struct engine *engine;
    struct flush_worker workers[FLUSH_TASKS_MAX]; /* as many as options.flush_tasks */
    _Atomic uint64_t given_up; /* tries that failed and are made again later, if ever */
    _Atomic int given_up_with; /* the last one's negative errno */

    struct mutex mutex;     /* sealing, and what follows */
    struct flush_job *jobs; /* under way, one of a table, oldest first */
    struct flush_history history[ENGINE_TABLES_MAX];
};

void flusher_init(struct flusher *flusher, struct engine *engine);
MUST_USE int flusher_start(struct flusher *flusher);
/** What is half written is discarded. */
void flusher_stop(struct flusher *flusher);
void flusher_release(struct flusher *flusher);
void flusher_kick(struct flusher *flusher);

/** 0, or why who waits for a flush is to give up: the store takes no writes, or a flush has failed
 * since the count given_up was `given_up`, for want of space perhaps, which may last. */
MUST_USE int flusher_check(const struct flusher *flusher, uint64_t given_up);
/** Flushes all sealed memtables now, in this thread: recovery, before there are tasks. */
MUST_USE int flush_sealed_now(struct flusher *flusher);

#endif
