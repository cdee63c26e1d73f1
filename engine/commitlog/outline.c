#include "commitlog/outline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32.h"
#include "engine/error.h"

static uint64_t aligned(uint64_t bytes)
{
    return (bytes + VALUE_ALIGN - 1) / VALUE_ALIGN * VALUE_ALIGN;
}

/* Places for the spans, in their order, as far as there are. */
static void take_places(
    struct commitlog *log, const struct batch_span *spans, unsigned count, struct outline *outline)
{
    mutex_lock(&log->mutex);
    for (unsigned i = 0; i < count && outline->count < VALUES_MAX; i++) {
        struct value_reference *reference = &outline->references[outline->count];

        if (!values_take(&log->values, aligned(spans[i].size), reference))
            continue;
        reference->at = spans[i].offset;
        reference->size = spans[i].size;
        reference->table = (uint8_t)spans[i].table;
        outline->count++;
    }
    if (values_new_number(&log->values) >= 0)
        task_kick(log->env, log->grower);
    mutex_unlock(&log->mutex);
}

/* Whole pages: else the kernel might have to read the last one first. */
static int write_value(
    struct commitlog *log, const uint8_t *updates, struct value_reference *reference)
{
    static const uint8_t zeros[VALUE_ALIGN];
    const uint8_t *value = updates + reference->at;
    const struct iovec vector[] = {
        {(void *)(uintptr_t)value, reference->size},
        {(void *)(uintptr_t)zeros, aligned(reference->size) - reference->size},
    };

    reference->crc = crc32_update(0, value, reference->size);
    return io_writev(log->env, log->values.slots[reference->slot].slot->fd, vector, 2,
        (uint64_t)reference->page * VALUE_ALIGN);
}

/* The references, then what lies between the values. */
static int make_body(struct outline *outline, struct bytes updates)
{
    size_t size = updates.size + outline->count * VALUE_REFERENCE_BYTES;
    size_t at = 0;
    uint8_t *body, *to;

    for (unsigned i = 0; i < outline->count; i++)
        size -= outline->references[i].size;
    body = malloc(size);
    if (!body)
        return err_new(-ENOMEM, "no memory for a record of the commit log");
    to = body;
    for (unsigned i = 0; i < outline->count; i++, to += VALUE_REFERENCE_BYTES)
        value_reference_encode(&outline->references[i], to);
    for (unsigned i = 0; i <= outline->count; i++) {
        const struct value_reference *next = i < outline->count ? &outline->references[i] : NULL;
        size_t end = next ? next->at : updates.size;

        memcpy(to, updates.data + at, end - at);
        to += end - at;
        at = next ? end + next->size : end;
    }
    outline->body = bytes_of(body, size);
    return 0;
}

int outline_begin(struct commitlog *log, const struct batch *batch, struct outline *ret_outline)
{
    struct bytes updates = batch_updates(batch);
    const struct batch_span *spans;
    unsigned span_count;
    int r = 0;

    ret_outline->count = 0;
    ret_outline->body = updates;
    spans = batch_spans(batch, &span_count);
    if (span_count == 0)
        return 0;
    take_places(log, spans, span_count, ret_outline);
    if (ret_outline->count == 0)
        return 0;
    for (unsigned i = 0; i < ret_outline->count && r == 0; i++)
        r = write_value(log, updates.data, &ret_outline->references[i]);
    if (r < 0) {
        mutex_lock(&log->mutex);
        commitlog_fail_locked(log, r);
        mutex_unlock(&log->mutex);
    } else {
        r = make_body(ret_outline, updates);
    }
    if (r < 0)
        outline_drop_values(log, ret_outline);
    return r;
}

void outline_drop_values(struct commitlog *log, const struct outline *outline)
{
    mutex_lock(&log->mutex);
    for (unsigned i = 0; i < outline->count; i++)
        values_dropped(&log->values, &outline->references[i]);
    mutex_unlock(&log->mutex);
}

void outline_release(struct outline *outline)
{
    if (outline->count > 0)
        free((void *)(uintptr_t)outline->body.data);
}
