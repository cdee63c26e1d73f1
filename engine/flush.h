/*
 * Sealed memtables become SSTables, oldest first.
 *
 *   seal (switch at position P) --> writers below P leave --> write to tmp/ --> rename into data/
 *     --> sync the log up to P --> manifest edit "SSTable, flushed to P" --> view --> free the log
 *
 * The order of the last steps is the one ordering rule between log and tables: if a table were
 * flushed past what is durable of the log, a power loss could keep one half of a batch.
 */
#ifndef SSTFS_ENGINE_FLUSH_H
#define SSTFS_ENGINE_FLUSH_H

#include "compaction/garbage.h"
#include "engine/engine.h"
#include "purge_scope.h"
#include "run_writer.h"

struct flusher {
    struct engine *engine;
    struct task *task;
    struct run_writer *run; /* of the flush that is under way */
    struct view *view;      /* with which it began */
    unsigned table;
    struct memtable *memtable; /* borrowed from the view */
    struct purge_scope purge_scope;
    struct garbage_count garbage_count;
    unsigned failures;         /* in a row, of this memtable */
    int last_failure;          /* logged once */
    _Atomic uint64_t given_up; /* tries that failed and are made again later, if ever */
    _Atomic int given_up_with; /* the last one's negative errno */
};

void flusher_init(struct flusher *flusher, struct engine *engine);
MUST_USE int flusher_start(struct flusher *flusher);
/** What is half written is discarded. */
void flusher_stop(struct flusher *flusher);
void flusher_kick(struct flusher *flusher);

/** 0, or why who waits for a flush is to give up: the store takes no writes, or a flush has failed
 * since the count given_up was `given_up`, for want of space perhaps, which may last. */
MUST_USE int flusher_check(const struct flusher *flusher, uint64_t given_up);
/** Flushes all sealed memtables now, in this thread: recovery, before there are tasks. */
MUST_USE int flush_sealed_now(struct flusher *flusher);

#endif
