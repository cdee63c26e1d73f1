#include "engine/buf.h"

#include <errno.h>
#include <stdlib.h>

#define BUF_CAPACITY_MIN 64

void buf_release(struct buf *buf)
{
    free(buf->data);
    *buf = BUF_INIT;
}

void buf_clear(struct buf *buf)
{
    buf->size = 0;
    buf->error = 0;
}

void buf_reserve(struct buf *buf, size_t capacity)
{
    uint8_t *data;

    if (buf->error < 0 || capacity <= buf->capacity)
        return;
    data = realloc(buf->data, capacity);
    if (!data) {
        buf->error = -ENOMEM;
        return;
    }
    buf->data = data;
    buf->capacity = capacity;
}

uint8_t *buf_grow_and_extend(struct buf *buf, size_t size)
{
    size_t wanted, capacity = buf->capacity ? buf->capacity : BUF_CAPACITY_MIN;
    uint8_t *start;

    if (__builtin_add_overflow(buf->size, size, &wanted))
        buf->error = -ENOMEM;
    while (buf->error == 0 && capacity < wanted) {
        if (__builtin_mul_overflow(capacity, (size_t)2, &capacity))
            capacity = wanted;
    }
    buf_reserve(buf, capacity);
    if (buf->error < 0)
        return NULL;
    start = buf->data + buf->size;
    buf->size = wanted;
    return start;
}

void buf_append(struct buf *buf, const void *data, size_t size)
{
    uint8_t *to = buf_extend(buf, size);

    if (to && size > 0)
        memcpy(to, data, size);
}

void buf_append_bytes(struct buf *buf, struct bytes bytes)
{
    buf_append(buf, bytes.data, bytes.size);
}

void buf_append_u8(struct buf *buf, uint8_t value)
{
    uint8_t *to = buf_extend(buf, 1);

    if (to)
        *to = value;
}
