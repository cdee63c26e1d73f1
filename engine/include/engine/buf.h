/*
 * A growing byte buffer with a sticky error: a run of appends is checked once, at its end.
 *
 *   struct buf b = BUF_INIT;
 *   buf_append(&b, data, size); put_be32(&b, 7); …
 *   if (buf_error(&b) < 0) …          -ENOMEM: one of the appends found no memory
 */
#ifndef SSTFS_ENGINE_BUF_H
#define SSTFS_ENGINE_BUF_H

#include "engine/bytes.h"

struct buf {
    uint8_t *data;
    size_t size;
    size_t capacity;
    int error; /* 0, or -ENOMEM from the first append that failed; later ones do nothing */
};

#define BUF_INIT ((struct buf){NULL, 0, 0, 0})

/** Frees the memory; the buffer is then as BUF_INIT. */
void buf_release(struct buf *buf);

/** Empties it and clears the error, keeping the memory. */
void buf_clear(struct buf *buf);

/** Memory for `capacity` bytes in all, where it is known how much will come. */
void buf_reserve(struct buf *buf, size_t capacity);
/** As buf_extend(), when the memory at hand is not enough. */
uint8_t *buf_grow_and_extend(struct buf *buf, size_t size);

/** Room for `size` more bytes at the end, now part of the buffer, uninitialised; NULL if none. */
static inline uint8_t *buf_extend(struct buf *buf, size_t size)
{
    uint8_t *start;

    if (buf->error < 0 || !buf->data || buf->capacity - buf->size < size)
        return buf_grow_and_extend(buf, size);
    start = buf->data + buf->size;
    buf->size += size;
    return start;
}

static inline void buf_append(struct buf *buf, const void *data, size_t size)
{
    uint8_t *to = buf_extend(buf, size);

    if (to && size > 0)
        memcpy(to, data, size);
}

static inline void buf_append_bytes(struct buf *buf, struct bytes bytes)
{
    buf_append(buf, bytes.data, bytes.size);
}

static inline void buf_append_u8(struct buf *buf, uint8_t value)
{
    uint8_t *to = buf_extend(buf, 1);

    if (to)
        *to = value;
}

static inline int buf_error(const struct buf *buf)
{
    return buf->error;
}

static inline struct bytes buf_bytes(const struct buf *buf)
{
    return (struct bytes){buf->data, buf->size};
}

#endif
