/*
 * The next job of the compactor: what the strategy says of a table as it is now, on this disk. Each
 * is 1 and a job (compaction->job), 0: there is none, or negative.
 */
#ifndef SSTFS_COMPACTION_CHOOSE_H
#define SSTFS_COMPACTION_CHOOSE_H

#include "compaction/manager.h"
#include "view.h"

/** For the partition in which a scan met many dead rows. */
MUST_USE int choose_target(struct compaction *compaction, const struct view *view);
/** What gives space back: one SSTable, written again without its garbage or its tombstones. */
MUST_USE int choose_garbage(struct compaction *compaction, const struct view *view, unsigned table);
/** A merge. `all`: of all SSTables of the table, whatever the strategy says. */
MUST_USE int choose_merge(
    struct compaction *compaction, const struct view *view, unsigned table, bool all);

#endif
