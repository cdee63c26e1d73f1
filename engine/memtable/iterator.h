/*
 * A partition of the memtable as an iterator: rows and range tombstones in one order, without what
 * the partition's own deletions hide. Takes no lock: rows that come while it runs may be seen.
 */
#ifndef SSTFS_MEMTABLE_ITERATOR_H
#define SSTFS_MEMTABLE_ITERATOR_H

#include "memtable/partition.h"

struct memtable_iterator {
    struct partition_iterator base; /* its ops are the owner's */
    const struct memtable_partition *partition;
    struct deletion partition_deletion; /* as of the begin */
    struct arena arena;      /* of what base.static_row points to, when that is filtered */
    struct arena next_arena; /* of what `current` points to, when that is filtered */
    struct row static_row;
    struct slice slice;      /* borrowed */
    struct skiplist_key end; /* of the slice */

    const struct range_piece *pieces;
    uint32_t piece_count, next_piece;
    bool has_piece; /* `piece` is ahead, or open when in_piece */
    bool in_piece;
    struct range_piece piece;       /* clipped to the slice */
    struct clustering marker_bound; /* where the next marker will be */
    struct skiplist_key marker_key;

    const struct skiplist_node *row; /* the next, or NULL */
    struct unfiltered current;
};

/** `slice` must outlive it, as must the memtable. 0 or -ENOMEM; then nothing is to be released. */
MUST_USE int memtable_iterator_init(struct memtable_iterator *iterator,
    const struct table_schema *schema, const struct memtable_partition *partition,
    const struct slice *slice);
void memtable_iterator_release(struct memtable_iterator *iterator);
MUST_USE int memtable_iterator_next(
    struct partition_iterator *base, const struct unfiltered **ret_unfiltered);

#endif
