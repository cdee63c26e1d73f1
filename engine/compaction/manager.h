/*
 * The compactor: one background task that looks at each table after a flush, and merges what the
 * strategy chooses, or what engine_compact() asked for, one job at a time.
 */
#ifndef SSTFS_COMPACTION_MANAGER_H
#define SSTFS_COMPACTION_MANAGER_H

#include <stdatomic.h>

#include "compaction/target.h"
#include "engine/engine.h"

struct compaction_job;

struct compaction {
    struct engine *engine;
    struct task *task;
    struct compaction_job *job; /* under way */
    bool in_haste;              /* it is waited for, or there is no space */
    double debt;                /* of its table */
    uint64_t activity;          /* of others, as of the last step */
    struct compaction_target target;
    /* SSTables of lower numbers are older than the last collection of garbage. */
    uint64_t collected[ENGINE_TABLES_MAX];
    /* What snapshots hold is not collected, but for much, until so much was flushed in all. */
    uint64_t held_rest_until;

    _Atomic bool merging; /* the job takes much space for a while, for no pressing need */
    _Atomic bool yields;  /* and is to be abandoned */
    _Atomic uint64_t space_comes_us; /* monotonic: until then the sweeper may give some back */

    /* With `change` held. */
    uint64_t asked[ENGINE_TABLES_MAX]; /* by engine_compact(), in all */
    uint64_t done[ENGINE_TABLES_MAX];  /* of those */
    int results[ENGINE_TABLES_MAX];    /* of the last one done */
};

void compaction_init(struct compaction *compaction, struct engine *engine);
void compaction_release(struct compaction *compaction);
MUST_USE int compaction_start(struct compaction *compaction);
/** The job under way is abandoned. */
void compaction_stop(struct compaction *compaction);
void compaction_kick(struct compaction *compaction);
/** A scan of the partition met many dead rows, and fewer live ones. From any thread. */
void compaction_note_dead(struct compaction *compaction, unsigned table, struct bytes key);
/**
 * Somebody has no room on the disk. True: there will be some soon, as a merge is under way, which
 * is abandoned, or something was compacted a moment ago; the pacer is kicked then.
 */
bool compaction_gives_space(struct compaction *compaction);

#endif
