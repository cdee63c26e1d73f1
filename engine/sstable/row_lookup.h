/*
 * One row out of one SSTable, without an iterator: what engine_get() asks for.
 */
#ifndef SSTFS_SSTABLE_ROW_LOOKUP_H
#define SSTFS_SSTABLE_ROW_LOOKUP_H

#include "sstable/reader.h"

/** As many cells are decoded without allocating. */
#define ROW_LOOKUP_CELLS 32

/** The caller's memory, to be released only if the partition was found. */
struct row_lookup {
    struct deletion deletion; /* newest of the partition's and of the range's that is open there */
    const struct row *row;    /* NULL: the partition has none; borrowed until release */
    bool may_have_more;       /* cells that are not needed, by which the row exists */
    struct stream data;
    struct partition_cursor cursor;
    struct cell cells[ROW_LOOKUP_CELLS];
};

/**
 * 1 and `lookup`, if the partition is here; 0: it is not (also: the table has no such row and no
 * deletion that could matter); negative: error. `clustering`, of a row, NULL: the static row; it
 * and the key must outlive the lookup. `columns`: bits of those that are needed, by the schema's
 * numbers; of a large row the others may be missing. The SSTable must be kept open by the caller.
 */
MUST_USE int sstable_lookup_row(struct sstable *sstable, const struct decorated_key *key,
    const struct clustering *clustering, uint64_t columns, struct row_lookup *lookup);
void row_lookup_release(struct row_lookup *lookup);

#endif
