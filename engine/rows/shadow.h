/*
 * What newer tables hide of an older one, taken out of the older one alone (Cassandra: nodetool
 * garbagecollect -g CELL; db/compaction/CompactionIterator.java, GarbageSkipper).
 */
#ifndef SSTFS_ROWS_SHADOW_H
#define SSTFS_ROWS_SHADOW_H

#include "engine/unfiltered.h"

/** 1 and what newer tables have of the partition, merged; 0: nothing. */
typedef int (*shadow_cover)(
    void *arg, const struct decorated_key *key, struct partition_iterator **ret_iterator);

/**
 * `source` without what partition deletions, range tombstones, rows, maps and cells of its cover
 * delete or supersede; nothing of the cover itself is given out. Merged with the cover, the result
 * reads as `source` merged with it does. Takes `source` over, also on failure. Range tombstones of
 * `source` go only with their whole partition. Partitions may become empty, and are given out so.
 * `newest_us`: nothing in the source is newer, so that a partition that is wholly deleted need not
 * be read.
 */
MUST_USE int shadow_scanner(struct partition_scanner *source, int64_t newest_us, shadow_cover cover,
    void *arg, struct partition_scanner **ret_scanner);

#endif
