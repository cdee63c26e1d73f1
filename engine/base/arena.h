/*
 * Memory given back all at once: a memtable's rows, a request's scratch.
 *
 * Not thread-safe: whoever shares an arena locks it.
 */
#ifndef SSTFS_BASE_ARENA_H
#define SSTFS_BASE_ARENA_H

#include "engine/bytes.h"

struct arena_piece;
struct arena {
    struct arena_piece *pieces; /* newest first */
    size_t used;                /* bytes handed out of the newest piece */
    size_t piece_bytes;         /* size of an ordinary piece */
    size_t total_bytes;         /* memory held, all pieces */
};

/** `piece_bytes`: size of each piece asked of malloc; what is over a quarter of it gets its own. */
void arena_init(struct arena *arena, size_t piece_bytes);
void arena_release(struct arena *arena);
/** Forgets everything, keeps one ordinary piece for the next round. */
void arena_reset(struct arena *arena);

/** `size` bytes, aligned to 8, uninitialised, alive until release or reset; NULL: no memory. */
void *arena_alloc(struct arena *arena, size_t size);
/** A copy of `bytes` in the arena; `.data` NULL: no memory. An empty one is not NULL. */
struct bytes arena_copy(struct arena *arena, struct bytes bytes);

#endif
