/*
 * Clusterings of the memtable's own: copies in an arena, and the 64 bits that stand for them.
 */
#ifndef SSTFS_MEMTABLE_CLUSTERING_COPY_H
#define SSTFS_MEMTABLE_CLUSTERING_COPY_H

#include "base/arena.h"
#include "engine/unfiltered.h"

/** False: no memory. */
MUST_USE bool clustering_copy(
    struct arena *arena, const struct clustering *from, struct clustering *ret_copy);

/**
 * Never against clustering_compare(): a < b implies prefix(a) <= prefix(b), for rows and bounds.
 * For a first column that is a blob, text, bigint or int it nearly always decides.
 */
uint64_t clustering_prefix(const struct table_schema *schema, const struct clustering *clustering);

#endif
