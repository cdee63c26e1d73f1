#include "cache/chunk_cache.h"

#include <stdatomic.h>

#include "engine/assert.h"
#include "engine/mutex.h"

/*
 * Shards by a hash of the key, each with its own lock, table and clock:
 *
 *   get    found: reference + 1, marked as used
 *   put    the hand goes round: marked pieces lose the mark, unmarked ones that nobody holds go,
 *          until the new piece fits
 *
 * Being in a table is one reference. A piece that leaves its table while someone holds it lives on
 * until that reference is released, and no longer counts.
 *
 * The table is open, and its slots say the hash: a look-up goes to no piece but the right one, as
 * what it costs is going to memory.
 */

/* More of them meet less often, but each must have room for a good number of pieces. */
#define SHARDS_MAX 64u
#define SHARDS_MIN 16u
#define SHARD_BYTES_MIN (1u << 20)
#define SLOTS_MIN 64u
/* Taken last of all: nothing is called with a shard locked (engine/README.md, "Locks"). */
#define SHARD_LOCK_RANK 60

/* What a look-up needs comes first, in one cache line of the processor. */
struct piece {
    struct chunk chunk; /* first: what callers hold */
    _Atomic uint32_t references;
    bool used; /* since the hand came by */
    struct chunk_key key;
    size_t bytes; /* memory that it stands for */
    struct piece *clock_next, *clock_previous;
    _Alignas(16) uint8_t data[];
};

struct slot {
    uint64_t hash;
    struct piece *piece; /* NULL: free */
};

struct shard {
    struct mutex lock;
    struct slot
        *slots; /* a piece is in the first free one from its hash on; half at most are used */
    size_t slot_count; /* power of two */
    size_t piece_count;
    struct piece *hand;
    uint64_t bytes, bytes_max;
    uint64_t hits[CHUNK_KINDS], misses[CHUNK_KINDS];
    uint64_t evictions;
};

struct chunk_cache {
    _Atomic uint64_t last_file;
    unsigned shard_count; /* power of two */
    struct shard shards[];
};

static uint64_t hash_key(struct chunk_key key)
{
    uint64_t h = (key.file * CHUNK_KINDS + key.kind) * 0x9e3779b97f4a7c15ULL ^ key.number;

    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93ULL;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93ULL;
    return h ^ h >> 32;
}

static struct shard *shard_of(struct chunk_cache *cache, uint64_t hash)
{
    /* The low bits choose the slot. */
    return &cache->shards[(hash >> 32) & (cache->shard_count - 1)];
}

static bool key_equal(struct chunk_key a, struct chunk_key b)
{
    return a.file == b.file && a.number == b.number && a.kind == b.kind;
}

struct chunk_cache *chunk_cache_new(uint64_t bytes_max)
{
    struct chunk_cache *cache;
    unsigned count = SHARDS_MAX;

    while (count > SHARDS_MIN && bytes_max / count < SHARD_BYTES_MIN)
        count /= 2;
    cache = calloc(1, sizeof(*cache) + count * sizeof(struct shard));
    if (!cache)
        return NULL;
    cache->shard_count = count;
    for (unsigned i = 0; i < count; i++) {
        struct shard *shard = &cache->shards[i];

        mutex_init(&shard->lock, SHARD_LOCK_RANK);
        shard->bytes_max = bytes_max / count;
        shard->slot_count = SLOTS_MIN;
        shard->slots = calloc(SLOTS_MIN, sizeof(struct slot));
        if (!shard->slots) {
            chunk_cache_free(cache);
            return NULL;
        }
    }
    return cache;
}

static void piece_unref(struct piece *piece)
{
    uint32_t before = atomic_fetch_sub_explicit(&piece->references, 1, memory_order_acq_rel);

    ASSERT(before > 0);
    if (before == 1)
        free(piece);
}

/** The slot of the piece, or the free one in which the search for it ends. */
static struct slot *find_slot(const struct shard *shard, uint64_t hash, struct chunk_key key)
{
    size_t mask = shard->slot_count - 1, at = hash & mask;

    while (shard->slots[at].piece &&
           (shard->slots[at].hash != hash || !key_equal(shard->slots[at].piece->key, key)))
        at = (at + 1) & mask;
    return &shard->slots[at];
}

/** Frees a slot; those behind it that would not be found any more move up. */
static void free_slot(struct shard *shard, struct slot *slot)
{
    size_t mask = shard->slot_count - 1, hole = (size_t)(slot - shard->slots);

    for (size_t at = (hole + 1) & mask; shard->slots[at].piece; at = (at + 1) & mask) {
        size_t wanted = shard->slots[at].hash & mask;

        if (((at - wanted) & mask) >= ((at - hole) & mask)) {
            shard->slots[hole] = shard->slots[at];
            hole = at;
        }
    }
    shard->slots[hole].piece = NULL;
}

/** Takes it out of table and clock; the table's reference is now the caller's. */
static void remove_locked(struct shard *shard, struct piece *piece)
{
    free_slot(shard, find_slot(shard, hash_key(piece->key), piece->key));
    if (piece->clock_next == piece) {
        shard->hand = NULL;
    } else {
        piece->clock_next->clock_previous = piece->clock_previous;
        piece->clock_previous->clock_next = piece->clock_next;
        if (shard->hand == piece)
            shard->hand = piece->clock_next;
    }
    shard->piece_count--;
    shard->bytes -= piece->bytes;
}

void chunk_cache_free(struct chunk_cache *cache)
{
    if (!cache)
        return;
    for (unsigned i = 0; i < cache->shard_count; i++) {
        struct shard *shard = &cache->shards[i];

        while (shard->hand) {
            struct piece *piece = shard->hand;

            remove_locked(shard, piece);
            piece_unref(piece);
        }
        free(shard->slots);
        if (shard->slot_count != 0)
            mutex_release(&shard->lock);
    }
    free(cache);
}

uint64_t chunk_cache_new_file(struct chunk_cache *cache)
{
    return cache ? atomic_fetch_add(&cache->last_file, 1) + 1 : 0;
}

struct chunk *chunk_cache_get(struct chunk_cache *cache, struct chunk_key key)
{
    uint64_t hash = hash_key(key);
    struct shard *shard;
    struct piece *piece;

    if (!cache)
        return NULL;
    shard = shard_of(cache, hash);
    mutex_lock(&shard->lock);
    piece = find_slot(shard, hash, key)->piece;
    if (piece) {
        atomic_fetch_add_explicit(&piece->references, 1, memory_order_relaxed);
        piece->used = true;
        shard->hits[key.kind]++;
    } else {
        shard->misses[key.kind]++;
    }
    mutex_unlock(&shard->lock);
    return piece ? &piece->chunk : NULL;
}

struct chunk *chunk_new(struct chunk_cache *cache, size_t size)
{
    struct piece *piece;

    (void)cache;
    if (size > SIZE_MAX - sizeof(*piece))
        return NULL;
    piece = malloc(sizeof(*piece) + size);
    if (!piece)
        return NULL;
    *piece = (struct piece){.bytes = sizeof(*piece) + size};
    atomic_init(&piece->references, 1);
    piece->chunk.content = bytes_of(piece->data, size);
    return &piece->chunk;
}

/** Twice the slots when half would be used; false: no memory. */
static bool grow_locked(struct shard *shard)
{
    struct shard larger = {.slot_count = shard->slot_count * 2};

    if ((shard->piece_count + 1) * 2 <= shard->slot_count)
        return true;
    larger.slots = calloc(larger.slot_count, sizeof(struct slot));
    if (!larger.slots)
        return false;
    for (size_t i = 0; i < shard->slot_count; i++) {
        struct slot *slot = &shard->slots[i];

        if (slot->piece)
            *find_slot(&larger, slot->hash, slot->piece->key) = *slot;
    }
    free(shard->slots);
    shard->slots = larger.slots;
    shard->slot_count = larger.slot_count;
    return true;
}

static void insert_locked(struct shard *shard, uint64_t hash, struct piece *piece)
{
    *find_slot(shard, hash, piece->key) = (struct slot){hash, piece};

    /* Behind the hand: the last that it comes to. */
    if (shard->hand) {
        piece->clock_next = shard->hand;
        piece->clock_previous = shard->hand->clock_previous;
        piece->clock_previous->clock_next = piece;
        piece->clock_next->clock_previous = piece;
    } else {
        piece->clock_next = piece->clock_previous = piece;
        shard->hand = piece;
    }
    shard->piece_count++;
    shard->bytes += piece->bytes;
}

/** Makes room for `bytes`; false when all that is here is in use. */
static bool evict_locked(struct shard *shard, size_t bytes)
{
    /* Two rounds: the first may only take marks away. */
    for (size_t steps = 2 * shard->piece_count + 1; steps > 0; steps--) {
        struct piece *piece = shard->hand;

        if (shard->bytes + bytes <= shard->bytes_max)
            return true;
        if (!piece)
            return false;
        shard->hand = piece->clock_next;
        if (atomic_load_explicit(&piece->references, memory_order_acquire) > 1)
            continue;
        if (piece->used) {
            piece->used = false;
            continue;
        }
        remove_locked(shard, piece);
        piece_unref(piece);
        shard->evictions++;
    }
    return shard->bytes + bytes <= shard->bytes_max;
}

/* What is there already goes or is returned, as `replaces` says. */
static struct chunk *put(
    struct chunk_cache *cache, struct chunk_key key, struct chunk *chunk, bool replaces)
{
    struct piece *piece = CONTAINER_OF(chunk, struct piece, chunk);
    struct piece *other, *gone = NULL;
    uint64_t hash = hash_key(key);
    struct shard *shard;

    if (!cache)
        return chunk;
    shard = shard_of(cache, hash);
    mutex_lock(&shard->lock);
    other = find_slot(shard, hash, key)->piece;
    if (other && replaces) {
        remove_locked(shard, other);
        gone = other;
        other = NULL;
    }
    if (other) {
        atomic_fetch_add_explicit(&other->references, 1, memory_order_relaxed);
        other->used = true;
        gone = piece;
    } else if (evict_locked(shard, piece->bytes) && grow_locked(shard)) {
        piece->key = key;
        atomic_fetch_add_explicit(&piece->references, 1, memory_order_relaxed);
        insert_locked(shard, hash, piece);
    }
    mutex_unlock(&shard->lock);
    if (gone)
        piece_unref(gone);
    return other ? &other->chunk : chunk;
}

struct chunk *chunk_cache_put(struct chunk_cache *cache, struct chunk_key key, struct chunk *chunk)
{
    return put(cache, key, chunk, false);
}

struct chunk *chunk_cache_replace(
    struct chunk_cache *cache, struct chunk_key key, struct chunk *chunk)
{
    return put(cache, key, chunk, true);
}

void chunk_release(struct chunk_cache *cache, struct chunk *chunk)
{
    (void)cache;
    if (chunk)
        piece_unref(CONTAINER_OF(chunk, struct piece, chunk));
}

void chunk_cache_drop_file(struct chunk_cache *cache, uint64_t file)
{
    if (!cache)
        return;
    for (unsigned i = 0; i < cache->shard_count; i++) {
        struct shard *shard = &cache->shards[i];
        struct piece *piece;
        size_t count;

        mutex_lock(&shard->lock);
        piece = shard->hand;
        for (count = shard->piece_count; count > 0; count--) {
            struct piece *next = piece->clock_next;

            if (piece->key.file == file) {
                remove_locked(shard, piece);
                piece_unref(piece);
            }
            piece = next;
        }
        mutex_unlock(&shard->lock);
    }
}

void chunk_cache_get_stats(struct chunk_cache *cache, struct chunk_cache_stats *ret_stats)
{
    struct chunk_cache_stats stats = {0};

    for (unsigned i = 0; i < cache->shard_count; i++) {
        struct shard *shard = &cache->shards[i];

        mutex_lock(&shard->lock);
        for (unsigned kind = 0; kind < CHUNK_KINDS; kind++) {
            stats.hits[kind] += shard->hits[kind];
            stats.misses[kind] += shard->misses[kind];
        }
        stats.evictions += shard->evictions;
        stats.bytes += shard->bytes;
        stats.bytes_max += shard->bytes_max;
        mutex_unlock(&shard->lock);
    }
    *ret_stats = stats;
}
