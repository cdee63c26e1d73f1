/*
 * How much of the disk compaction takes: all of it while nobody else is at work, a quarter while
 * somebody is, and more the longer it is behind. Arithmetic only.
 */
#ifndef SSTFS_COMPACTION_PACE_H
#define SSTFS_COMPACTION_PACE_H

#include <stddef.h>

#include "compaction/strategy.h"

/** 0: as many SSTables a lookup as there should be; 1 and more: far too many. */
double pace_debt(
    enum compaction_policy policy, const struct strategy_sstable *sstables, size_t count);
/** How long to rest after a step that took `step_us`, when others are at work. */
uint64_t pace_rest_us(uint64_t step_us, double debt);

#endif
