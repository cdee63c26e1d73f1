/*
 * What look-ups have learned of where partitions and rows lie, kept in memory.
 *
 *   of a partition   its entry in Index.db, so that the index is not asked again
 *   of a block       (a block of the promoted index; all rows of a partition that has none)
 *                    landmarks: the places of rows that were passed, one each LANDMARK_BYTES
 *
 *       row row row row row row row row row row row row row …
 *        ^               ^               ^
 *
 * A block has up to 64 KiB, and a look-up that begins at its start passes half of its rows: the
 * landmarks are a finer promoted index. All of it is pieces of the chunk cache, which bounds them
 * and lets them go.
 */
#ifndef SSTFS_SSTABLE_LANDMARKS_H
#define SSTFS_SSTABLE_LANDMARKS_H

#include "sstable/reader.h"

/** From one landmark to the next at least. */
#define LANDMARK_BYTES 512u

/** What the index says of a partition. */
struct partition_place {
    struct index_entry entry;
    uint64_t entry_at; /* in Index.db */
    uint64_t end;      /* behind it in the stream */
};

/** What is known of a partition or block, and what a look-up in it adds. */
struct landmarks {
    struct sstable *sstable; /* borrowed */
    struct chunk_key name;
    struct chunk *known; /* referenced; NULL: nothing */
    struct bytes key;    /* of the partition, if its place is new; borrowed */
    struct partition_place place;
    bool has_new_place;
    uint64_t block;                 /* where the rows begin in the stream */
    uint64_t next_at;               /* from here on a row that is passed is a landmark */
    struct buf places, clusterings; /* of landmarks that are new */
};

/** The place of a partition, whose key must outlive this; false: not known. Its rows are a block if
 * it has no promoted index. */
bool landmarks_open_partition(struct landmarks *landmarks, struct sstable *sstable,
    const struct decorated_key *key, struct partition_place *ret_place);
/** The place that was not known. */
void landmarks_set_place(struct landmarks *landmarks, const struct partition_place *place);
/** A block of the promoted index, by the place where it begins. */
void landmarks_open_block(struct landmarks *landmarks, struct sstable *sstable, uint64_t block);
/** Keeps what is new, and ends. `deletion`: of the partition. Without memory nothing is kept. */
void landmarks_close(struct landmarks *landmarks, struct deletion deletion);

/**
 * True: the last landmark at or before the row, where no range tombstone is open; and the deletion
 * of the partition.
 */
bool landmarks_find(const struct landmarks *landmarks, const struct clustering *clustering,
    uint64_t *ret_position, struct deletion *ret_deletion);
/** Whether a row that is passed at `position`, where no range tombstone is open, is one. */
static inline bool landmarks_wants(const struct landmarks *landmarks, uint64_t position)
{
    return position >= landmarks->next_at;
}
void landmarks_add(
    struct landmarks *landmarks, uint64_t position, const struct clustering *clustering);

#endif
