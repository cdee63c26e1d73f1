/*
 * The partitions of a shard, in token order: a list that is only ever added to, and an array of
 * places in it by the next bits of the token.
 *
 *   bucket   00     01     10     11           2^bits of them, doubled as partitions come
 *             |      .      |      |           the first partition of the bucket, or none
 *             v             v      v
 *             a --> b ----> c ---> d --> e     partitions by (token, key)
 *
 * Tokens are hashes: a lookup is one bucket and the partition or two in it, and yet a walk over all
 * needs no sort. One writer at a time (the shard's mutex), any number of readers without a lock;
 * one that still has the array of before misses at most what came after.
 */
#ifndef SSTFS_MEMTABLE_PARTITIONS_H
#define SSTFS_MEMTABLE_PARTITIONS_H

#include "memtable/partition.h"

/** Shards share the tokens by as many of their first bits. */
#define SHARD_BITS 6

struct buckets;

struct partitions {
    _Atomic(struct buckets *) buckets; /* NULL: no partitions */
    uint64_t count;                    /* the writer's */
};

void partitions_init(struct partitions *partitions);

/** For the writer: the partition of this key, made in `arena` if need be: 1 made, 0, -ENOMEM. */
MUST_USE int partitions_get(struct partitions *partitions, const struct decorated_key *key,
    struct arena *arena, struct memtable_partition **ret_partition);

/** A hint, from anybody, that the partition will be looked for soon. */
void partitions_expect(const struct partitions *partitions, const struct decorated_key *key);

/* For anybody, at any time. NULL: none. */

struct memtable_partition *partitions_find(
    const struct partitions *partitions, const struct decorated_key *key);
/** The first whose token is `first_token` or behind it (a token of this shard). */
struct memtable_partition *partitions_seek(
    const struct partitions *partitions, int64_t first_token);

static inline struct memtable_partition *partitions_next(const struct memtable_partition *partition)
{
    return atomic_load_explicit(&partition->next, memory_order_acquire);
}

#endif
