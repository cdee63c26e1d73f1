/*
 * The compactor: one background task that looks at each table after a flush, and merges what the
 * strategy chooses, or what engine_compact() asked for, one job at a time.
 */
#ifndef SSTFS_COMPACTION_MANAGER_H
#define SSTFS_COMPACTION_MANAGER_H

#include "engine/engine.h"

struct compaction_job;

struct compaction {
    struct engine *engine;
    struct task *task;
    struct compaction_job *job; /* under way */
    /* SSTables of lower numbers are older than the last collection (garbage.h). */
    uint64_t collected[ENGINE_TABLES_MAX];

    /* With `change` held. */
    uint64_t asked[ENGINE_TABLES_MAX]; /* by engine_compact(), in all */
    uint64_t done[ENGINE_TABLES_MAX];  /* of those */
    int results[ENGINE_TABLES_MAX];    /* of the last one done */
};

void compaction_init(struct compaction *compaction, struct engine *engine);
MUST_USE int compaction_start(struct compaction *compaction);
/** The job under way is abandoned. */
void compaction_stop(struct compaction *compaction);
void compaction_kick(struct compaction *compaction);

#endif
