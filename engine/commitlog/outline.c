#include "commitlog/outline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32.h"
#include "engine/assert.h"
#include "engine/error.h"

/* A row of `blocks`: of each of 32 cells what is before its value, and the value. */
#define PIECES_PER_WRITE 65

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

/* The next bytes of the updates, as many as the value has, to its place; in whole pages: else the
 * kernel might have to read the last one first. */
static int write_value(
    struct commitlog *log, struct updates_reader *reader, struct value_reference *reference)
{
    static const uint8_t zeros[VALUE_ALIGN];
    int fd = log->values.slots[reference->slot].slot->fd;
    uint64_t at = (uint64_t)reference->page * VALUE_ALIGN;
    size_t left = reference->size, written = 0;
    int r = 0;

    reference->crc = 0;
    while (r == 0 && left > 0) {
        struct iovec vector[PIECES_PER_WRITE + 1];
        size_t bytes = 0;
        int count = 0;

        while (left > 0 && count < PIECES_PER_WRITE) {
            struct bytes piece = updates_read(reader, left);

            ASSERT(piece.size > 0);
            reference->crc = crc32_update(reference->crc, piece.data, piece.size);
            vector[count++] = (struct iovec){(void *)(uintptr_t)piece.data, piece.size};
            bytes += piece.size;
            left -= piece.size;
        }
        if (left == 0) {
            size_t rest = aligned(reference->size) - reference->size;

            vector[count++] = (struct iovec){(void *)(uintptr_t)zeros, rest};
            bytes += rest;
        }
        r = io_writev(log->env, fd, vector, count, at + written);
        written += bytes;
    }
    return r;
}

/* The next `size` bytes of the updates; where what follows them goes. */
static uint8_t *copy_pieces(uint8_t *to, struct updates_reader *reader, size_t size)
{
    while (size > 0) {
        struct bytes piece = updates_read(reader, size);

        ASSERT(piece.size > 0);
        memcpy(to, piece.data, piece.size);
        to += piece.size;
        size -= piece.size;
    }
    return to;
}

/* The values to their places; to the body the references, then what lies between the values. */
static int write_outline(
    struct commitlog *log, const struct updates *updates, struct outline *outline)
{
    struct updates_reader reader = {.updates = updates};
    size_t at = 0;
    uint8_t *to = outline->memory + outline->count * VALUE_REFERENCE_BYTES;

    for (unsigned i = 0; i < outline->count; i++) {
        struct value_reference *reference = &outline->references[i];
        int r;

        to = copy_pieces(to, &reader, reference->at - at);
        r = write_value(log, &reader, reference);
        if (r < 0)
            return r;
        value_reference_encode(reference, outline->memory + i * VALUE_REFERENCE_BYTES);
        at = reference->at + reference->size;
    }
    copy_pieces(to, &reader, updates->bytes - at);
    return 0;
}

static int make_body(struct commitlog *log, const struct updates *updates, struct outline *outline)
{
    size_t size = updates->bytes + outline->count * VALUE_REFERENCE_BYTES;
    int r;

    for (unsigned i = 0; i < outline->count; i++)
        size -= outline->references[i].size;
    outline->memory = malloc(size);
    if (!outline->memory)
        return err_new(-ENOMEM, "no memory for a record of the commit log");
    outline->body = bytes_of(outline->memory, size);
    r = write_outline(log, updates, outline);
    if (r < 0) {
        mutex_lock(&log->mutex);
        commitlog_fail_locked(log, r);
        mutex_unlock(&log->mutex);
    }
    return r;
}

int outline_begin(struct commitlog *log, const struct batch *batch, struct outline *ret_outline)
{
    struct updates updates = batch_updates(batch);
    const struct batch_span *spans;
    unsigned span_count;
    int r;

    ret_outline->count = 0;
    ret_outline->memory = NULL;
    ret_outline->body = updates.encoded;
    spans = batch_spans(batch, &span_count);
    /* An archived segment is to be whole by itself. */
    if (span_count > 0 && !log->archives)
        take_places(log, spans, span_count, ret_outline);
    if (ret_outline->count == 0 && updates.shared_count == 0)
        return 0;
    r = make_body(log, &updates, ret_outline);
    if (r < 0) {
        outline_drop_values(log, ret_outline);
        outline_release(ret_outline);
    }
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
    free(outline->memory);
}
