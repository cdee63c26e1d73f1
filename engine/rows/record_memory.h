/*
 * Memory of a batch or of a replayed record, shared by the memtables whose cells point into it.
 */
#ifndef SSTFS_ROWS_RECORD_MEMORY_H
#define SSTFS_ROWS_RECORD_MEMORY_H

#include <stdatomic.h>

#include "engine/bytes.h"
#include "engine/value_buffer.h"

#define RECORD_BUFFERS_MAX 8 /* as many as a FUSE write of 1 MiB fills */

struct record_memory {
    _Atomic uint32_t references;
    size_t bytes; /* of all that it keeps: data[] and the buffers, whole */
    size_t size;  /* of data[] */
    uint8_t *data;
    unsigned buffer_count;
    struct value_buffer *buffers[RECORD_BUFFERS_MAX]; /* a reference each */
};

/** Takes over `data` (from malloc), with one reference; NULL: no memory (data stays the caller's).
 */
struct record_memory *record_memory_new(uint8_t *data, size_t size);
struct record_memory *record_memory_ref(struct record_memory *memory);
void record_memory_unref(struct record_memory *memory);
/** Has it keep the buffer too; false: it has all that it can. Before it is shared. */
bool record_memory_keep(struct record_memory *memory, struct value_buffer *buffer);
bool record_memory_has_in_buffers(const struct record_memory *memory, struct bytes value);
/** Does the value lie in it? */
static inline bool record_memory_has(const struct record_memory *memory, struct bytes value)
{
    if (value.data >= memory->data && value.data < memory->data + memory->size)
        return true;
    return memory->buffer_count > 0 && record_memory_has_in_buffers(memory, value);
}

#endif
