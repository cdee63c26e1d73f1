/*
 * The memtable of one table: what the commit log holds and no SSTable has yet, in the order of the
 * SSTable it will become.
 *
 *   shard (of 64, by token) -> buckets of partitions, by token (partitions.h)
 *     partition { key, deletion, static row, range tombstones, skip list of rows by clustering }
 *
 * Writers of one shard take its mutex; readers take no lock: nodes are only ever added, a changed
 * row is published whole, and the version it replaces is used again when the readers of then have
 * left (version.h). Small values are copied into the shard's arena; large ones stay in the record's
 * memory, of which a reference is kept.
 */
#ifndef SSTFS_MEMTABLE_H
#define SSTFS_MEMTABLE_H

#include "base/epochs.h"
#include "rows/update.h"

struct memtable;

/**
 * One reference. `first_position`: log position from which its writes come. `readers`: what those
 * are inside of who read it beside writers; must outlive the writes. NULL: no memory.
 */
struct memtable *memtable_new(
    const struct table_schema *schema, uint64_t first_position, struct epochs *readers);
/** Keeps its bytes counted in `account` too, which must outlive it; NULL: no longer. Not beside
 * writers. */
void memtable_set_account(struct memtable *memtable, _Atomic uint64_t *account);
struct memtable *memtable_ref(struct memtable *memtable);
void memtable_unref(struct memtable *memtable);

/** A hint that the partition will be written soon: its memory comes into the processor's cache. */
void memtable_expect(const struct memtable *memtable, const struct decorated_key *key);
/* Apply, thread-safe. `memory`: what `row` points into (NULL: copy everything); it is kept only if
 * the row's large values are a fair part of it. -ENOMEM. */
MUST_USE int memtable_delete_partition(
    struct memtable *memtable, const struct decorated_key *key, struct deletion deletion);
MUST_USE int memtable_delete_range(struct memtable *memtable, const struct decorated_key *key,
    const struct slice *slice, struct deletion deletion);
MUST_USE int memtable_apply_row(struct memtable *memtable, const struct decorated_key *key,
    const struct row *row, struct record_memory *memory);

/**
 * 1 and the partition within the slice; 0: not here; -ENOMEM. The iterator holds a reference. While
 * the memtable is written, the caller is inside `readers` until it has closed the iterator.
 */
MUST_USE int memtable_read(struct memtable *memtable, const struct decorated_key *key,
    const struct slice *slice, struct partition_iterator **ret_iterator);
/**
 * One row, `clustering` NULL: the static one. False: the partition is not here. `ret_row`, NULL:
 * there is none, may hold what `ret_deletion` hides, the newest over it of partition and ranges. It
 * is borrowed for as long as the caller is inside `readers`.
 */
bool memtable_get_row(struct memtable *memtable, const struct decorated_key *key,
    const struct clustering *clustering, const struct row **ret_row, struct deletion *ret_deletion);
/**
 * All partitions with token in [first, last], in order. Holds a reference, and for its whole life
 * all replaced versions of rows: it may last longer than an epoch should.
 */
MUST_USE int memtable_scan(struct memtable *memtable, int64_t first_token, int64_t last_token,
    struct partition_scanner **ret_scanner);

bool memtable_may_contain(struct memtable *memtable, const struct decorated_key *key);

/** Facts for the flush and for budgets. */
struct memtable_stats {
    uint64_t bytes; /* memory held, records included */
    uint64_t partitions, rows;
    int64_t min_timestamp_us, max_timestamp_us; /* INT64_MAX, INT64_MIN when empty */
    int32_t min_local_deletion_time_s;          /* LOCAL_DELETION_TIME_NONE: none */
    int32_t min_ttl_s;                          /* INT32_MAX: none */
    uint64_t first_position;
};
void memtable_get_stats(struct memtable *memtable, struct memtable_stats *ret_stats);
/** Cheap: only the bytes. */
uint64_t memtable_bytes(struct memtable *memtable);
uint64_t memtable_first_position(struct memtable *memtable);

#endif
