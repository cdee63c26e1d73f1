/*
 * Where value buffers come from. Those that nobody holds are kept for the next who wants one, up to
 * a bound: a page that was just written to is in a cache, and a fresh one costs a fault.
 */
#ifndef SSTFS_BASE_VALUE_BUFFER_H
#define SSTFS_BASE_VALUE_BUFFER_H

#include "engine/mutex.h"
#include "engine/value_buffer.h"

struct value_buffer_pool {
    struct mutex mutex;
    struct value_buffer *idle; /* the newest first */
    uint64_t idle_bytes, idle_bytes_max;
    uint64_t held; /* buffers that somebody has */
};

/** Keeps up to `idle_bytes_max` at hand. */
void value_buffer_pool_init(struct value_buffer_pool *pool, uint64_t idle_bytes_max);
/** Nobody holds any. */
void value_buffer_pool_release(struct value_buffer_pool *pool);
/** With one reference, its bytes undefined. Thread-safe. NULL: no memory. */
struct value_buffer *value_buffer_new(struct value_buffer_pool *pool);

#endif
