/*
 * Pieces of immutable files in memory: decompressed chunks of Data.db, pages of Index.db, and what
 * was learned of them (sstable/landmarks.h). Bounded in bytes; CLOCK. A piece in use is not
 * evicted. Thread-safe.
 */
#ifndef SSTFS_CHUNK_CACHE_H
#define SSTFS_CHUNK_CACHE_H

#include "engine/auto.h"
#include "engine/bytes.h"

struct chunk_cache;

enum chunk_kind {
    CHUNK_DATA,      /* of Data.db, decompressed; its number in the file */
    CHUNK_INDEX,     /* page of Index.db; its number in the file */
    CHUNK_PARTITION, /* entry of a partition in Index.db; the key's token */
    CHUNK_LANDMARKS, /* of a block of rows; its place in the stream */
    CHUNK_KINDS
};

/** `file` names what is closed as one, and is unique in the process (chunk_cache_new_file()). */
struct chunk_key {
    uint64_t file;
    uint64_t number;
    enum chunk_kind kind;
};

/** A counted reference to a piece; `content` lives until chunk_release(). */
struct chunk {
    struct bytes content;
};

struct chunk_cache *chunk_cache_new(uint64_t bytes_max);
void chunk_cache_free(struct chunk_cache *cache);
uint64_t chunk_cache_new_file(struct chunk_cache *cache);

/** The piece if it is here, with a reference; else NULL. */
struct chunk *chunk_cache_get(struct chunk_cache *cache, struct chunk_key key);
/**
 * Memory for a piece of `size` bytes, to be filled by the caller and then given to
 * chunk_cache_put() or chunk_release(). NULL: no memory.
 */
struct chunk *chunk_new(struct chunk_cache *cache, size_t size);
/** Puts it in (unless another thread was faster) and returns the one to use, with a reference. */
struct chunk *chunk_cache_put(struct chunk_cache *cache, struct chunk_key key, struct chunk *chunk);
/** The same, but what was there before goes; who holds it keeps it. */
struct chunk *chunk_cache_replace(
    struct chunk_cache *cache, struct chunk_key key, struct chunk *chunk);
/** NULL does nothing. */
void chunk_release(struct chunk_cache *cache, struct chunk *chunk);
/** Forgets all pieces of a file that is closed, of all kinds. */
void chunk_cache_drop_file(struct chunk_cache *cache, uint64_t file);

struct chunk_cache_stats {
    uint64_t hits[CHUNK_KINDS], misses[CHUNK_KINDS];
    uint64_t evictions, bytes, bytes_max;
};
void chunk_cache_get_stats(struct chunk_cache *cache, struct chunk_cache_stats *ret_stats);

#endif
