#include "base/value_buffer.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/assert.h"

/* Rank (engine/README.md, "Locks"): memtables let go of buffers under theirs. */
#define POOL_LOCK_RANK 50

struct value_buffer {
    _Atomic uint32_t references;
    uint8_t *data;
    struct value_buffer_pool *pool;
    struct value_buffer *next; /* of the idle */
};

void value_buffer_pool_init(struct value_buffer_pool *pool, uint64_t idle_bytes_max)
{
    *pool = (struct value_buffer_pool){.idle_bytes_max = idle_bytes_max};
    mutex_init(&pool->mutex, POOL_LOCK_RANK);
}

/* Mapped by itself, so that freeing it gives the memory back whatever lies around it. */
static struct value_buffer *map_buffer(struct value_buffer_pool *pool)
{
    struct value_buffer *buffer = calloc(1, sizeof(*buffer));

    if (!buffer)
        return NULL;
    buffer->data =
        mmap(NULL, VALUE_BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer->data == MAP_FAILED) {
        free(buffer);
        return NULL;
    }
    buffer->pool = pool;
    return buffer;
}

static void unmap_buffer(struct value_buffer *buffer)
{
    int r = munmap(buffer->data, VALUE_BUFFER_BYTES);

    ASSERT(r == 0);
    free(buffer);
}

void value_buffer_pool_release(struct value_buffer_pool *pool)
{
    ASSERT(pool->held == 0);
    while (pool->idle) {
        struct value_buffer *buffer = pool->idle;

        pool->idle = buffer->next;
        unmap_buffer(buffer);
    }
    mutex_release(&pool->mutex);
}

/* NULL: none is idle. */
static struct value_buffer *take_idle(struct value_buffer_pool *pool)
{
    struct value_buffer *buffer;

    mutex_lock(&pool->mutex);
    pool->held++;
    buffer = pool->idle;
    if (buffer) {
        pool->idle = buffer->next;
        pool->idle_bytes -= VALUE_BUFFER_BYTES;
    }
    mutex_unlock(&pool->mutex);
    return buffer;
}

/* False: enough are idle. */
static bool give_idle(struct value_buffer_pool *pool, struct value_buffer *buffer)
{
    bool kept;

    mutex_lock(&pool->mutex);
    pool->held--;
    kept = buffer && pool->idle_bytes + VALUE_BUFFER_BYTES <= pool->idle_bytes_max;
    if (kept) {
        buffer->next = pool->idle;
        pool->idle = buffer;
        pool->idle_bytes += VALUE_BUFFER_BYTES;
    }
    mutex_unlock(&pool->mutex);
    return kept;
}

struct value_buffer *value_buffer_new(struct value_buffer_pool *pool)
{
    struct value_buffer *buffer = take_idle(pool);

    if (!buffer)
        buffer = map_buffer(pool);
    if (!buffer) {
        (void)give_idle(pool, NULL);
        return NULL;
    }
    atomic_init(&buffer->references, 1);
    return buffer;
}

uint8_t *value_buffer_data(struct value_buffer *buffer)
{
    return buffer->data;
}

struct value_buffer *value_buffer_ref(struct value_buffer *buffer)
{
    uint32_t before = atomic_fetch_add_explicit(&buffer->references, 1, memory_order_relaxed);

    ASSERT(before > 0 && before < UINT32_MAX);
    return buffer;
}

void value_buffer_unref(struct value_buffer *buffer)
{
    uint32_t before;

    if (!buffer)
        return;
    before = atomic_fetch_sub_explicit(&buffer->references, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before == 1 && !give_idle(buffer->pool, buffer))
        unmap_buffer(buffer);
}
