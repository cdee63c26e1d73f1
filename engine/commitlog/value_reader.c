#include "commitlog/value_reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32.h"
#include "engine/error.h"

void value_reader_release(struct value_reader *reader)
{
    for (unsigned i = 0; i < VALUE_SLOTS_MAX; i++)
        if (reader->open >> i & 1)
            io_close(reader->env, reader->fds[i]);
    reader->open = 0;
}

/* 1; 0: there is no such slot. */
static int open_slot(struct value_reader *reader, unsigned number)
{
    char path[SLOT_PATH_BYTES];
    const char *name = path;
    int r;

    if (reader->open >> number & 1)
        return 1;
    slot_path(SLOT_VALUES, number, path);
    if (reader->is_bare)
        name += sizeof(COMMITLOG_FOLDER);
    r = io_open(reader->env, name, reader->writes_back ? O_RDWR : O_RDONLY, &reader->fds[number]);
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    reader->open |= 1ull << number;
    return 1;
}

/* Is it still in no SSTable? */
static bool is_needed(
    const struct value_reader *reader, const struct value_reference *reference, uint64_t position)
{
    return reference->table >= reader->flushed.table_count ||
           reader->flushed.positions[reference->table] <= position;
}

/* 1; 0: it is not there. */
static int read_value(
    struct value_reader *reader, const struct value_reference *reference, uint8_t *to)
{
    uint64_t offset = (uint64_t)reference->page * VALUE_ALIGN;
    int64_t n;
    int r = open_slot(reader, reference->slot);

    if (r <= 0)
        return r;
    n = io_read(reader->env, reader->fds[reference->slot], to, reference->size, offset);
    if (n < 0)
        return err_with((int)n, "read a value of the commit log");
    if (n < (int64_t)reference->size || crc32_update(0, to, reference->size) != reference->crc)
        return 0;
    if (reader->writes_back)
        r = io_write(reader->env, reader->fds[reference->slot], to, reference->size, offset);
    return r < 0 ? r : 1;
}

static bool is_possible(const struct value_reference *reference, uint64_t at, uint64_t size)
{
    return reference->slot < VALUE_SLOTS_MAX && reference->table < COMMITLOG_TABLES_MAX &&
           reference->at >= at && (uint64_t)reference->at + reference->size <= size;
}

static void note_use(
    struct value_reader *reader, const struct value_reference *reference, uint64_t position)
{
    struct commitlog_value_use *use = &reader->uses[reference->slot];

    if (use->tables == 0)
        use->first_position = position;
    use->last_position = position;
    use->tables |= 1ull << reference->table;
}

/* Fills `to` with the updates, `size` bytes. 1; 0: not what the record says. */
static int put_together(struct value_reader *reader, const struct record *record, uint64_t position,
    uint8_t *to, uint64_t size)
{
    const uint8_t *references = record->body;
    const uint8_t *between = references + (size_t)record->value_count * VALUE_REFERENCE_BYTES;
    uint64_t at = 0;

    reader->missing = 0;
    for (unsigned i = 0; i < record->value_count; i++) {
        struct value_reference reference;
        int r = 1;

        value_reference_decode(references + i * VALUE_REFERENCE_BYTES, &reference);
        if (!is_possible(&reference, at, size))
            return 0;
        memcpy(to + at, between, reference.at - at);
        between += reference.at - at;
        if (is_needed(reader, &reference, position)) {
            r = read_value(reader, &reference, to + reference.at);
            note_use(reader, &reference, position);
        } else {
            memset(to + reference.at, 0, reference.size);
        }
        if (r == 0)
            reader->missing |= 1ull << reference.table;
        if (r < 0 || (r == 0 && !reader->is_lenient))
            return r;
        if (r == 0)
            memset(to + reference.at, 0, reference.size);
        at = (uint64_t)reference.at + reference.size;
    }
    memcpy(to + at, between, size - at);
    return 1;
}

int value_reader_updates(struct value_reader *reader, const struct record *record,
    uint64_t position, struct record_memory **ret_memory)
{
    uint64_t size = record->size - RECORD_HEADER_BYTES;
    uint8_t *data;
    int r;

    for (unsigned i = 0; i < record->value_count; i++) {
        struct value_reference reference;

        value_reference_decode(record->body + i * VALUE_REFERENCE_BYTES, &reference);
        size += reference.size;
    }
    size -= (uint64_t)record->value_count * VALUE_REFERENCE_BYTES;
    if (size > BATCH_BYTES_MAX)
        return 0;
    data = malloc(size > 0 ? size : 1);
    if (!data)
        return err_new(-ENOMEM, "no memory for a record of %zu bytes", (size_t)size);
    r = put_together(reader, record, position, data, size);
    if (r > 0) {
        *ret_memory = record_memory_new(data, size);
        r = *ret_memory ? 1 : err_new(-ENOMEM, "no memory for a record");
    }
    if (r <= 0)
        free(data);
    return r;
}
