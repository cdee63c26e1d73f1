#include "rows/record_memory.h"

#include <stdlib.h>

#include "engine/assert.h"

struct record_memory *record_memory_new(uint8_t *data, size_t size)
{
    struct record_memory *memory = malloc(sizeof(*memory));

    if (!memory)
        return NULL;
    atomic_init(&memory->references, 1);
    memory->bytes = memory->size = size;
    memory->data = data;
    memory->buffer_count = 0;
    return memory;
}

struct record_memory *record_memory_ref(struct record_memory *memory)
{
    uint32_t before = atomic_fetch_add_explicit(&memory->references, 1, memory_order_relaxed);

    ASSERT(before > 0 && before < UINT32_MAX);
    return memory;
}

void record_memory_unref(struct record_memory *memory)
{
    uint32_t before;

    if (!memory)
        return;
    before = atomic_fetch_sub_explicit(&memory->references, 1, memory_order_acq_rel);
    ASSERT(before > 0);
    if (before > 1)
        return;
    for (unsigned i = 0; i < memory->buffer_count; i++)
        value_buffer_unref(memory->buffers[i]);
    free(memory->data);
    free(memory);
}

bool record_memory_keep(struct record_memory *memory, struct value_buffer *buffer)
{
    unsigned count = memory->buffer_count;

    if (count > 0 && memory->buffers[count - 1] == buffer)
        return true;
    if (count == RECORD_BUFFERS_MAX)
        return false;
    memory->buffers[count] = value_buffer_ref(buffer);
    memory->buffer_count++;
    memory->bytes += VALUE_BUFFER_BYTES;
    return true;
}

bool record_memory_has_in_buffers(const struct record_memory *memory, struct bytes value)
{
    for (unsigned i = 0; i < memory->buffer_count; i++) {
        const uint8_t *data = value_buffer_data(memory->buffers[i]);

        if (value.data >= data && value.data < data + VALUE_BUFFER_BYTES)
            return true;
    }
    return false;
}
