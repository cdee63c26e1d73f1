/*
 * The codes of encoded updates (UPDATES.md), for who writes and who reads them.
 */
#ifndef SSTFS_ROWS_UPDATE_FORMAT_H
#define SSTFS_ROWS_UPDATE_FORMAT_H

#include "engine/unfiltered.h"
#include "rows/compare.h"

enum mutation_code {
    MUTATION_PARTITION_DELETION = 1,
    MUTATION_RANGE = 2,
    MUTATION_ROW_DELETION = 3,
    MUTATION_ROW = 4,
    MUTATION_ROW_INSERT = 5,
    MUTATION_STATIC_ROW = 6,
    MUTATION_ROW_INSERT_EXPIRING = 7,
    MUTATION_TIMESTAMP = 8,
};

enum item_type {
    ITEM_VALUE = 0,
    ITEM_TOMBSTONE = 1,
    ITEM_COMPLEX_DELETION = 2,
    ITEM_EXPIRING = 3,
};
#define ITEM_TYPE_BITS 2
#define ITEM_TYPE_MASK 3u

#define UPDATE_HEADER_BYTES 5 /* table, body bytes */
#define UPDATES_MAX 65535u
#define UPDATE_KEY_BYTES_MAX 65535u
#define UPDATE_CLUSTERING_BYTES_MAX 65535u
#define UPDATE_TABLES_MAX 64u /* a bit per table */

/** Whether a value of the type may have so many bytes. */
static inline bool value_width_is_valid(const struct type *type, size_t size)
{
    unsigned width = type_fixed_width(type);

    return width == 0 || size == 0 || size == width;
}

#endif
