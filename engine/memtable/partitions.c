#include "memtable/partitions.h"

#include <errno.h>

#include "rows/compare.h"

#define BITS_MIN 2u
#define BITS_MAX 32u

struct buckets {
    unsigned bits;
    _Atomic(struct memtable_partition *) first[];
};

void partitions_init(struct partitions *partitions)
{
    atomic_init(&partitions->buckets, NULL);
    partitions->count = 0;
}

static size_t bucket_count(const struct buckets *buckets)
{
    return (size_t)1 << buckets->bits;
}

/* The sign turned, tokens ascend as unsigned numbers, and buckets with them. */
static size_t bucket_of(const struct buckets *buckets, int64_t token)
{
    uint64_t unsigned_token = (uint64_t)token ^ (1ull << 63);

    return (size_t)(unsigned_token << SHARD_BITS >> (64 - buckets->bits));
}

static struct memtable_partition *load_first(const struct buckets *buckets, size_t bucket)
{
    return atomic_load_explicit(&buckets->first[bucket], memory_order_acquire);
}

/* ---- growing ---- */

static struct buckets *make_buckets(unsigned bits, struct arena *arena)
{
    size_t bytes = sizeof(struct buckets) + (sizeof(struct memtable_partition *) << bits);
    struct buckets *buckets = arena_alloc(arena, bytes);

    if (!buckets)
        return NULL;
    buckets->bits = bits;
    for (size_t i = 0; i < bucket_count(buckets); i++)
        atomic_init(&buckets->first[i], NULL);
    return buckets;
}

/* The same list under twice as many buckets. The array of before stays for who still reads by it.
 */
static struct buckets *split(const struct buckets *old, struct arena *arena)
{
    struct buckets *buckets = make_buckets(old->bits + 1, arena);
    struct memtable_partition *partition = NULL;

    if (!buckets)
        return NULL;
    for (size_t i = 0; !partition && i < bucket_count(old); i++)
        partition = load_first(old, i);
    for (; partition; partition = partitions_next(partition)) {
        size_t bucket = bucket_of(buckets, partition->key.token);

        if (!load_first(buckets, bucket))
            atomic_init(&buckets->first[bucket], partition);
    }
    return buckets;
}

/* Room for one more: twice as many buckets as partitions at least, as each step from one partition
 * to the next waits for memory. NULL: no memory. */
static struct buckets *make_room(struct partitions *partitions, struct arena *arena)
{
    struct buckets *buckets = atomic_load_explicit(&partitions->buckets, memory_order_relaxed);

    if (buckets && (partitions->count < bucket_count(buckets) / 2 || buckets->bits == BITS_MAX))
        return buckets;
    buckets = buckets ? split(buckets, arena) : make_buckets(BITS_MIN, arena);
    if (buckets)
        atomic_store_explicit(&partitions->buckets, buckets, memory_order_release);
    return buckets;
}

/* ---- finding ---- */

/* Walks on from `before` (NULL: from `at`) to the first partition that is not before the key; what
 * is before that is left in `before`. */
static struct memtable_partition *walk(struct memtable_partition *at,
    const struct decorated_key *key, struct memtable_partition **before)
{
    while (at && decorated_key_compare(&at->key, key) < 0) {
        *before = at;
        at = partitions_next(at);
    }
    return at;
}

struct memtable_partition *partitions_find(
    const struct partitions *partitions, const struct decorated_key *key)
{
    const struct buckets *buckets =
        atomic_load_explicit(&partitions->buckets, memory_order_acquire);
    struct memtable_partition *found, *before = NULL;

    if (!buckets)
        return NULL;
    found = walk(load_first(buckets, bucket_of(buckets, key->token)), key, &before);
    return found && decorated_key_compare(&found->key, key) == 0 ? found : NULL;
}

void partitions_expect(const struct partitions *partitions, const struct decorated_key *key)
{
    const struct buckets *buckets =
        atomic_load_explicit(&partitions->buckets, memory_order_acquire);
    const struct memtable_partition *first;

    if (!buckets)
        return;
    first = load_first(buckets, bucket_of(buckets, key->token));
    __builtin_prefetch(first);
    __builtin_prefetch(first + 1); /* the bytes of its key */
}

struct memtable_partition *partitions_seek(const struct partitions *partitions, int64_t first_token)
{
    const struct buckets *buckets =
        atomic_load_explicit(&partitions->buckets, memory_order_acquire);
    struct memtable_partition *partition = NULL;

    if (!buckets)
        return NULL;
    for (size_t i = bucket_of(buckets, first_token); !partition && i < bucket_count(buckets); i++)
        partition = load_first(buckets, i);
    while (partition && partition->key.token < first_token)
        partition = partitions_next(partition);
    return partition;
}

/* ---- adding ---- */

/* The last partition of the buckets before `bucket`; NULL: none. */
static struct memtable_partition *last_before(const struct buckets *buckets, size_t bucket)
{
    struct memtable_partition *last = NULL, *next;

    while (!last && bucket > 0)
        last = load_first(buckets, --bucket);
    if (!last)
        return NULL;
    while ((next = partitions_next(last)) && bucket_of(buckets, next->key.token) == bucket)
        last = next;
    return last;
}

/* The first partition of all; NULL: none. */
static struct memtable_partition *first_of(const struct buckets *buckets)
{
    struct memtable_partition *first = NULL;

    for (size_t i = 0; !first && i < bucket_count(buckets); i++)
        first = load_first(buckets, i);
    return first;
}

int partitions_get(struct partitions *partitions, const struct decorated_key *key,
    struct arena *arena, struct memtable_partition **ret_partition)
{
    struct buckets *buckets = make_room(partitions, arena);
    struct memtable_partition *partition, *next, *before = NULL;
    size_t bucket;

    if (!buckets)
        return -ENOMEM;
    bucket = bucket_of(buckets, key->token);
    next = walk(load_first(buckets, bucket), key, &before);
    if (next && decorated_key_compare(&next->key, key) == 0) {
        *ret_partition = next;
        return 0;
    }
    partition = partition_new(key, arena);
    if (!partition)
        return -ENOMEM;
    if (before) {
        atomic_init(&partition->next, next);
        atomic_store_explicit(&before->next, partition, memory_order_release);
    } else {
        /* The first of its bucket: it goes behind the last of those before. */
        before = last_before(buckets, bucket);
        atomic_init(&partition->next, before ? partitions_next(before) : first_of(buckets));
        if (before)
            atomic_store_explicit(&before->next, partition, memory_order_release);
        atomic_store_explicit(&buckets->first[bucket], partition, memory_order_release);
    }
    partitions->count++;
    *ret_partition = partition;
    return 1;
}
