/*
 * K-way merges: newest timestamp wins. Memory is one unfiltered a source, never a partition.
 */
#ifndef SSTFS_ROWS_MERGE_H
#define SSTFS_ROWS_MERGE_H

#include "base/arena.h"
#include "engine/unfiltered.h"

/**
 * One partition out of `count` (at least 1) iterators over the same partition and slice; takes
 * them over, also on failure. Deletions are kept (as Cassandra's UnfilteredRowIterators.merge).
 * A single source is handed back as it is: what its own deletions cover is dropped only by those
 * that read on (live_partition(), purge_scanner()).
 */
MUST_USE int merge_partitions(const struct table_schema *schema,
    struct partition_iterator **sources, unsigned count, struct partition_iterator **ret_iterator);

/** The same over whole scanners; takes them over, also on failure. */
MUST_USE int merge_scanners(const struct table_schema *schema, struct partition_scanner **sources,
    unsigned count, struct partition_scanner **ret_scanner);

/**
 * Which tombstones may go: of local deletion time below `gc_before_s`, and of a timestamp below
 * what `max_purgeable` answers for the partition: the smallest timestamp of any data outside the
 * merge that may belong to it; INT64_MAX when there is none. It is asked at most once a partition.
 */
struct purge {
    int64_t now_s;       /* expired cells become tombstones as of now */
    int64_t gc_before_s; /* now - gc_grace, or now + 1 when grace is 0: everything */
    int64_t (*max_purgeable)(void *arg, const struct decorated_key *key);
    void *arg;
};

/**
 * `scanner` without what may be purged; partitions that become empty are left out. Takes it over,
 * also on failure. Live data is never dropped; an expired cell that may not go becomes a tombstone
 * with local deletion time expiry - ttl. Cassandra: db/partitions/PurgeFunction.java.
 */
MUST_USE int purge_scanner(struct partition_scanner *scanner, const struct purge *purge,
    struct partition_scanner **ret_scanner);

/** Nothing in it is deleted, by itself or by `active`, or could expire: it lives as it is. */
bool row_lives(const struct row *row, struct deletion active);
/**
 * Merges versions of one row, as row_merge(), and takes away what is not live at `now_s`. 1: `to`,
 * whose arrays are in `arena`; 0: nothing lives; -ENOMEM.
 */
MUST_USE int live_row(const struct column *columns, const struct row *const *rows, unsigned count,
    struct deletion active, int64_t now_s, struct arena *arena, struct row *to);

/** Only rows live at `now_s`, with live cells only, no markers: what a SELECT sees. Takes it over.
 */
MUST_USE int live_partition(
    struct partition_iterator *source, int64_t now_s, struct partition_iterator **ret_iterator);
/** Rows that such an iterator has left out so far. */
uint64_t live_partition_dead_rows(const struct partition_iterator *iterator);

#endif
