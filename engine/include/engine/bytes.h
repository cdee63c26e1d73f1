/*
 * A borrowed run of bytes: names, keys, values. Never a string: it may hold NUL, it has no
 * terminator. Whoever hands one out says how long it lives.
 */
#ifndef SSTFS_ENGINE_BYTES_H
#define SSTFS_ENGINE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t
        *data; /* NULL means "no value" where that is a case; an empty value is not NULL */
    size_t size;
};

#define BYTES_NONE ((struct bytes){NULL, 0})
#define BYTES_LITERAL(text) ((struct bytes){(const uint8_t *)(text), sizeof(text) - 1})

static inline struct bytes bytes_of(const void *data, size_t size)
{
    return (struct bytes){(const uint8_t *)data, size};
}

static inline struct bytes bytes_of_string(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

/** Unsigned byte order, a prefix before what it begins. <0, 0, >0. */
static inline int bytes_compare(struct bytes a, struct bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int r = common ? memcmp(a.data, b.data, common) : 0;

    if (r != 0)
        return r;
    return a.size < b.size ? -1 : a.size > b.size;
}

static inline bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

#endif
