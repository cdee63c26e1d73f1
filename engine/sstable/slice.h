/*
 * The iterator that sstable_read() gives: the unfiltereds of one partition within a slice.
 */
#ifndef SSTFS_SSTABLE_SLICE_H
#define SSTFS_SSTABLE_SLICE_H

#include "sstable/reader.h"

/**
 * `entry_at`: place of `entry` in Index.db, which is read through `index` during the call. What
 * `slice` points to is copied.
 */
MUST_USE int slice_iterator_new(struct sstable *sstable, struct stream *index,
    const struct decorated_key *key, const struct index_entry *entry, uint64_t entry_at,
    const struct slice *slice, struct partition_iterator **ret_iterator);

#endif
