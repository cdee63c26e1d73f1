/*
 * Orders (sstable/FORMAT.md: order of partitions, of clusterings, kinds and comparison).
 */
#ifndef SSTFS_ROWS_COMPARE_H
#define SSTFS_ROWS_COMPARE_H

#include "engine/unfiltered.h"

struct decorated_key decorated_key_of(struct bytes key);
int decorated_key_compare(const struct decorated_key *a, const struct decorated_key *b);

/** Two values by their type; reversed types compare the other way round. NULL data: null. */
int type_compare(const struct type *type, struct bytes a, struct bytes b);
/** Bytes of a fixed-width value (section 4 of the format), or 0 for length-prefixed types. */
unsigned type_fixed_width(const struct type *type);

/** Rows, bounds and boundaries of one table among each other. */
int clustering_compare(
    const struct table_schema *schema, const struct clustering *a, const struct clustering *b);

bool kind_is_start(uint8_t kind);    /* opens a range: 1, 7 and boundaries */
bool kind_is_end(uint8_t kind);      /* closes a range: 0, 6 and boundaries */
bool kind_is_boundary(uint8_t kind); /* 2, 5 */
/** The kind of the same place that only closes (opens): of a boundary, or of a bound turned round.
 */
uint8_t kind_as_end(uint8_t kind);
uint8_t kind_as_start(uint8_t kind);

/** Whether a row's clustering lies within the slice. */
bool slice_contains(const struct table_schema *schema, const struct slice *slice,
    const struct clustering *clustering);

#endif
