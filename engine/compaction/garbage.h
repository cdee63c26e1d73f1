/*
 * How much of each SSTable is garbage: rows that newer ones delete or replace. Each flush looks its
 * partitions up in the indexes of the older SSTables, and the edit that records it says what each
 * has of them in all (manifest_sstable.garbage_bytes). It is an estimate: of a partition deleted it
 * is exact, of rows it goes by their average, of what is overwritten by the blocks that hold it.
 *
 *   garbage_scanner: memtable --> counted on the way to the SSTable --> garbage_record: the edit
 */
#ifndef SSTFS_COMPACTION_GARBAGE_H
#define SSTFS_COMPACTION_GARBAGE_H

#include "view.h"

struct garbage_count {
    struct sstable_set *set; /* as the flush found it */
    unsigned table;
    bool overwrites; /* count them too */
    uint64_t *bytes; /* of each SSTable of the set */
};
#define GARBAGE_COUNT_INIT ((struct garbage_count){0})

/** Counts what is read through it into `count`, which must outlive it. Takes `source` over. */
MUST_USE int garbage_scanner(struct partition_scanner *source, const struct view *view,
    unsigned table, struct garbage_count *count, struct partition_scanner **ret_scanner);
void garbage_count_release(struct garbage_count *count);
/** Adds it to the SSTables of `now` and says so in `edit`. With the engine's `change` held. */
void garbage_record(
    const struct garbage_count *count, const struct view *now, struct manifest_edit *edit);

#endif
