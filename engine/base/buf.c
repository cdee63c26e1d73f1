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
