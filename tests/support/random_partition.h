/*
 * Random partitions of any table with a valid shape: rows and markers in order, range tombstones
 * that nest never, cells of every kind. They need not make sense as data: rows may lie under
 * range tombstones that delete them. Deletions of a row and of a map are up to 2 ms older than what
 * is in them, as Cassandra does not even read a cell that its own row deletes.
 */
#ifndef SSTFS_TESTS_RANDOM_PARTITION_H
#define SSTFS_TESTS_RANDOM_PARTITION_H

#include "base/arena.h"
#include "support/array_partition.h"
#include "support/random.h"

struct random_shape {
    unsigned rows_max;
    unsigned value_bytes_max;      /* of blobs */
    int64_t timestamp_us;          /* of values the smallest; others are up to an hour later */
    int32_t local_deletion_time_s; /* likewise */
    bool no_tombstones;
};

/** All it points to is in `arena`. */
void random_partition(struct random *random, struct arena *arena, const struct table_schema *schema,
    const struct random_shape *shape, struct array_partition *ret_partition);

/** `count` at most, with distinct keys, in order; returns how many there are. */
size_t random_partitions(struct random *random, struct arena *arena,
    const struct table_schema *schema, const struct random_shape *shape, size_t count,
    struct array_partition *ret_partitions);

/** A clustering of the table, near those that partitions have; in the arena. */
struct clustering random_clustering(
    struct random *random, struct arena *arena, const struct table_schema *schema);

#endif
