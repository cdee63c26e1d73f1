#include "base/arena.h"

#include <stdlib.h>

#define ARENA_ALIGN 8u

struct arena_piece {
    struct arena_piece *next;
    size_t bytes; /* of data[] */
    _Alignas(16) uint8_t data[];
};

void arena_init(struct arena *arena, size_t piece_bytes)
{
    *arena = (struct arena){.piece_bytes = piece_bytes, .used = piece_bytes};
}

static void free_pieces(struct arena_piece *piece)
{
    while (piece) {
        struct arena_piece *next = piece->next;
        free(piece);
        piece = next;
    }
}

void arena_release(struct arena *arena)
{
    free_pieces(arena->pieces);
    arena_init(arena, arena->piece_bytes);
}

void arena_reset(struct arena *arena)
{
    struct arena_piece *kept = arena->pieces;

    if (!kept)
        return; /* as it was: nothing was asked of it */
    if (kept->bytes != arena->piece_bytes) {
        arena_release(arena);
        return;
    }
    free_pieces(kept->next);
    kept->next = NULL;
    arena->used = 0;
    arena->total_bytes = sizeof(*kept) + kept->bytes;
}

static struct arena_piece *new_piece(struct arena *arena, size_t bytes)
{
    struct arena_piece *piece = malloc(sizeof(*piece) + bytes);

    if (!piece)
        return NULL;
    piece->bytes = bytes;
    arena->total_bytes += sizeof(*piece) + bytes;
    return piece;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    struct arena_piece *piece;
    void *at;

    if (size > SIZE_MAX / 2)
        return NULL;
    /* Of nothing, too, there is a place. */
    size = size ? (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1) : ARENA_ALIGN;
    if (size > arena->piece_bytes / 4) {
        /* A piece of its own goes behind the newest, which stays in use. */
        piece = new_piece(arena, size);
        if (!piece)
            return NULL;
        if (arena->pieces) {
            piece->next = arena->pieces->next;
            arena->pieces->next = piece;
        } else {
            piece->next = NULL;
            arena->pieces = piece;
            arena->used = arena->piece_bytes;
        }
        return piece->data;
    }
    if (arena->piece_bytes - arena->used < size) {
        piece = new_piece(arena, arena->piece_bytes);
        if (!piece)
            return NULL;
        piece->next = arena->pieces;
        arena->pieces = piece;
        arena->used = 0;
    }
    at = arena->pieces->data + arena->used;
    arena->used += size;
    return at;
}

struct bytes arena_copy(struct arena *arena, struct bytes bytes)
{
    uint8_t *to = arena_alloc(arena, bytes.size ? bytes.size : 1);

    if (!to)
        return BYTES_NONE;
    if (bytes.size > 0)
        memcpy(to, bytes.data, bytes.size);
    return bytes_of(to, bytes.size);
}
