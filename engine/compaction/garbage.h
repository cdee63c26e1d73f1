/*
 * Space back on a disk nearly full: which SSTables hold rows that newer ones delete, and the jobs
 * that write one such SSTable again without them (Cassandra: nodetool garbagecollect).
 *
 *   survey:  each SSTable with tombstones is read once; each partition it deletes in is looked up
 *            in the index of the others, and its bytes there noted (sstable_handle.garbage)
 *   collect: one SSTable A, in the view of the tombstones of all others --> A'
 *   outdated: the SSTables of tombstones, written again by themselves, when nothing lies below
 *
 * It ends: an SSTable is surveyed once against each flush's tombstones, known by lineage, whatever
 * they are merged into, and collected once for what a survey finds.
 */
#ifndef SSTFS_COMPACTION_GARBAGE_H
#define SSTFS_COMPACTION_GARBAGE_H

#include "compaction/manager.h"
#include "compaction/strategy.h"
#include "view.h"

/** 1: some was surveyed, come again; 0: all is; negative: error. */
MUST_USE int garbage_survey(const struct view *view, unsigned table);
/** 1 and a job; 0: there is nothing to be had. After the survey. Changes `sstables`. */
MUST_USE int garbage_choose(struct compaction *compaction, const struct view *view, unsigned table,
    struct strategy_sstable *sstables, const struct strategy_limits *limits);

#endif
