/*
 * What newer tables hide of an older one, taken out of the older one alone (Cassandra: nodetool
 * garbagecollect -g CELL; db/compaction/CompactionIterator.java, GarbageSkipper).
 */
#ifndef SSTFS_ROWS_SHADOW_H
#define SSTFS_ROWS_SHADOW_H

#include "engine/unfiltered.h"

/**
 * `source` without what partition deletions, range tombstones, rows, maps and cells of `cover`
 * delete or supersede; nothing of `cover` itself is given out. Merged with `cover`, the result
 * reads as `source` merged with it does. Takes both over, also on failure. Range tombstones of
 * `source` go only with their whole partition. Partitions may become empty, and are given out so.
 */
MUST_USE int shadow_scanner(struct partition_scanner *source, struct partition_scanner *cover,
    struct partition_scanner **ret_scanner);

#endif
