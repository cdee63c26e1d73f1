/*
 * The range tombstones of one partition: pieces that do not overlap, in clustering order; where two
 * tombstones overlapped, the newer deletion won. Pieces that touch have different deletions.
 *
 *   inserted   [a ------- m]@3    [k ------- z]@5      pieces   [a --- k)@3 [k ------- z]@5
 *
 * A reader takes the list once and then sees it unchanged: the writer publishes a new one, or adds
 * behind the end of what readers know. Lists live in the arena, as long as it does.
 */
#ifndef SSTFS_MEMTABLE_RANGE_TOMBSTONES_H
#define SSTFS_MEMTABLE_RANGE_TOMBSTONES_H

#include <stdatomic.h>

#include "base/arena.h"
#include "engine/unfiltered.h"

struct range_piece {
    struct slice slice; /* start kind: INCL_START, EXCL_START; end kind: INCL_END, EXCL_END */
    struct deletion deletion;
};

struct range_tombstones {
    _Atomic uint32_t count; /* of pieces that are complete */
    uint32_t capacity;
    struct range_piece pieces[];
};

/**
 * Adds a tombstone over a slice that is not empty; its values are copied. `list` is what the
 * partition has, or NULL. Returns what it shall have (the same, or another to be published with a
 * release store), or NULL: no memory, nothing changed.
 */
struct range_tombstones *range_tombstones_add(const struct table_schema *schema,
    struct range_tombstones *list, const struct slice *slice, struct deletion deletion,
    struct arena *arena);

/** The first of `count` pieces that ends behind `bound`; `count` if none does. */
uint32_t range_tombstones_seek(const struct table_schema *schema, const struct range_piece *pieces,
    uint32_t count, const struct clustering *bound);

#endif
