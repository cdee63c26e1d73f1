/*
 * The flush of one sealed memtable: split by token into parts, which several tasks may write at the
 * same time, and made known by one manifest edit.
 *
 *   flush_job_new --> flush_part_step … of each part --> flush_job_commit --> flush_job_free
 */
#ifndef SSTFS_ENGINE_FLUSH_JOB_H
#define SSTFS_ENGINE_FLUSH_JOB_H

#include "compaction/garbage.h"
#include "purge_scope.h"
#include "run_writer.h"

#define FLUSH_PARTS_MAX 8

struct flush_part {
    struct flush_job *job;
    int64_t first_token, last_token;
    struct run_writer *run;         /* NULL: not begun */
    struct purge_scope purge_scope; /* while a step runs */
    struct garbage_count garbage;   /* that it makes of older SSTables */
};

struct flush_job {
    struct engine *engine;
    unsigned table;
    struct memtable *memtable; /* counted */
    uint64_t end_position;
    bool may_carry;          /* its only part is carried forward if it can be */
    uint64_t carried_before; /* where in the log that was done; 0: it was not */
    struct flush_part parts[FLUSH_PARTS_MAX];
    unsigned part_count;

    /* The flusher's, under its mutex. */
    struct flush_job *next;
    unsigned parts_taken, parts_written;
    _Atomic int failure; /* of a part: the first; negative errno or 0 */
};

/** `sealed`: the oldest of the table, without writers. NULL: no memory. */
struct flush_job *flush_job_new(
    struct engine *engine, unsigned table, const struct sealed_memtable *sealed);
/** Writes some 1 MiB more. 1: there is more to do; 0: the part is written and synced. */
MUST_USE int flush_part_step(struct flush_part *part);
/** All parts are written: into place, log before table, one edit, the log freed. */
MUST_USE int flush_job_commit(struct flush_job *job);
/** Removes what was not committed. NULL does nothing. */
void flush_job_free(struct flush_job *job);

#endif
