/*
 * One compaction: all of its inputs, merged and purged, become its outputs in one manifest edit.
 *
 * Never one input without the others: a tombstone may be gone from the outputs while an input that
 * stays still has what it deleted, which would rise again. To take out of one SSTable what others
 * delete is safe without touching these, as the tombstones stay where they are.
 */
#ifndef SSTFS_COMPACTION_TASK_H
#define SSTFS_COMPACTION_TASK_H

#include "engine/engine.h"
#include "view.h"

struct compaction_job;

/** `chosen`: a flag for each SSTable of the table in `view`. `level` and size: of the outputs. */
MUST_USE int compaction_job_new(struct engine *engine, const struct view *view, unsigned table,
    const bool *chosen, unsigned level, uint64_t bytes_max, struct compaction_job **ret_job);
/**
 * The SSTable at `place` alone is written again, without what `covers` (newer SSTables of the
 * table, which stay as they are) delete of it; their tombstones stay theirs.
 */
MUST_USE int compaction_job_new_single(struct engine *engine, const struct view *view,
    unsigned table, size_t place, uint64_t bytes_max, struct sstable_handle *const *covers,
    size_t cover_count, struct compaction_job **ret_job);
/** Some more of it. 1: there is more to do; 0: it is done and recorded. */
MUST_USE int compaction_job_step(struct compaction_job *job);
unsigned compaction_job_table(const struct compaction_job *job);
/** The engine_compact() that it serves, by number; 0: none. */
void compaction_job_set_asked(struct compaction_job *job, uint64_t asked);
uint64_t compaction_job_asked(const struct compaction_job *job);
/** Whether it has covers. */
bool compaction_job_collects(const struct compaction_job *job);
/** The disk was full: there is less garbage than was believed. So it is not tried for ever. */
void compaction_job_has_no_room(struct compaction_job *job);
/** Damage was met: its inputs are left alone from now on. */
void compaction_job_suspect(struct compaction_job *job);
/** NULL does nothing. Not done: as if it had never been. */
void compaction_job_free(struct compaction_job *job);

#endif
