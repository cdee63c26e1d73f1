/*
 * One partition in a memtable. Written under its shard's mutex, read without a lock: each pointer
 * below leads to something immutable and is replaced by a release store.
 */
#ifndef SSTFS_MEMTABLE_PARTITION_H
#define SSTFS_MEMTABLE_PARTITION_H

#include "memtable/range_tombstones.h"
#include "memtable/skiplist.h"
#include "memtable/version.h"

struct row_node {
    struct clustering clustering;
    _Atomic(const struct row_version *) version; /* NULL: the partition's deletion took it */
    struct skiplist_node node;
};

struct memtable_partition {
    struct decorated_key key;
    _Atomic(const struct deletion *) deletion;      /* NULL: none */
    _Atomic(const struct row_version *) static_row; /* NULL: none */
    _Atomic(struct range_tombstones *) ranges;      /* NULL: none */
    struct skiplist rows;                           /* of row_node */
    _Atomic(struct memtable_partition *) next;      /* in the shard */
};

/** What a writer works with, besides the partition; `scratch` is forgotten after each call. */
struct partition_writer {
    const struct table_schema *schema;
    struct arena *arena;
    struct arena *scratch;
    struct versions *versions;
};

static inline struct row_node *row_node_of(const struct skiplist_node *node)
{
    return CONTAINER_OF(node, struct row_node, node);
}

/** The key under which a row, or where a bound would be, is found; borrows all. */
struct skiplist_key row_key(const struct table_schema *schema, const struct clustering *clustering);

/** Whether the row is before a bound (in the form of a key). */
bool row_node_is_before(const struct row_node *node, const struct skiplist_key *bound);

/** An empty one, not yet in any list; the key is copied. NULL: no memory. */
struct memtable_partition *partition_new(const struct decorated_key *key, struct arena *arena);
/** Nothing was ever in it: it found no memory for its first update. */
bool partition_is_empty(const struct memtable_partition *partition);
/** As memtable_get_row(). */
void partition_get_row(const struct memtable_partition *partition,
    const struct table_schema *schema, const struct clustering *clustering,
    const struct row **ret_row, struct deletion *ret_deletion);

/**
 * Rows that are all older give their memory back. `ret_dropped`: how many. 0, or -ENOMEM and
 * nothing changed.
 */
MUST_USE int partition_delete(struct memtable_partition *partition,
    const struct partition_writer *writer, struct deletion deletion, uint64_t *ret_dropped);
/** 0, or -ENOMEM and nothing changed. */
MUST_USE int partition_delete_range(struct memtable_partition *partition,
    const struct partition_writer *writer, const struct slice *slice, struct deletion deletion);
/** 1 when it made a row that was not there; 0, -ENOMEM. `memory`: where large values may stay, or
 * NULL. */
MUST_USE int partition_apply_row(struct memtable_partition *partition,
    const struct partition_writer *writer, const struct row *row, struct record_memory *memory);

#endif
