#include "commitlog/reader.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "engine/error.h"

#define WINDOW_BYTES (1u << 20)

void segment_reader_close(struct segment_reader *reader)
{
    if (reader->id)
        io_close(reader->env, reader->fd);
    reader->id = 0;
    reader->window_bytes = 0;
}

void segment_reader_note_good(struct segment_reader *reader, uint64_t offset)
{
    reader->good_to = offset;
}

int segment_reader_settle(struct segment_reader *reader)
{
    uint64_t from = reader->good_from, to = reader->good_to;

    if (!reader->writes_back || !reader->id || to <= from)
        return 0;
    reader->good_from = to;
    return io_write(
        reader->env, reader->fd, reader->window + (from - reader->window_offset), to - from, from);
}

int segment_reader_open(struct segment_reader *reader, const struct segment_place *place)
{
    struct io_stat stat;
    int fd;
    int r = segment_reader_settle(reader);

    if (r < 0)
        return r;
    segment_reader_close(reader);
    r = io_open(reader->env, place->path, reader->writes_back ? O_RDWR : O_RDONLY, &fd);
    if (r < 0)
        return r;
    r = io_fstat(reader->env, fd, &stat);
    if (r < 0) {
        io_close(reader->env, fd);
        return r;
    }
    reader->fd = fd;
    reader->id = place->header.id;
    reader->salt = record_salt(&place->header);
    /* Offsets have 32 bits; what comes after was not written by us. */
    reader->file_bytes = stat.size < UINT32_MAX ? stat.size : UINT32_MAX;
    if (reader->writes_back) {
        const uint8_t *header;

        r = segment_reader_get(reader, 0, SEGMENT_HEADER_BYTES, &header);
        if (r > 0)
            segment_reader_note_good(reader, SEGMENT_HEADER_BYTES);
    }
    return r < 0 ? r : 0;
}

void segment_reader_release(struct segment_reader *reader)
{
    segment_reader_close(reader);
    free(reader->window);
    reader->window = NULL;
    reader->window_capacity = 0;
}

int segment_reader_get(
    struct segment_reader *reader, uint64_t offset, uint64_t size, const uint8_t **ret)
{
    uint64_t window_end = reader->window_offset + reader->window_bytes;
    uint64_t wanted = size > WINDOW_BYTES ? size : WINDOW_BYTES;
    int64_t n;
    int r;

    if (offset > reader->file_bytes || size > reader->file_bytes - offset)
        return 0;
    if (offset >= reader->window_offset && offset + size <= window_end) {
        *ret = reader->window + (offset - reader->window_offset);
        return 1;
    }
    if (wanted > reader->window_capacity) {
        uint8_t *window = realloc(reader->window, wanted);

        if (!window)
            return err_new(-ENOMEM, "no memory to read the commit log");
        reader->window = window;
        reader->window_capacity = wanted;
    }
    r = segment_reader_settle(reader);
    if (r < 0)
        return r;
    reader->good_from = reader->good_to = offset;
    reader->window_bytes = 0;
    n = io_read(reader->env, reader->fd, reader->window, wanted, offset);
    if (n < 0)
        return err_with(
            (int)n, "commit log segment %016" PRIx64 " at %" PRIu64, reader->id, offset);
    reader->window_offset = offset;
    reader->window_bytes = (uint64_t)n;
    if ((uint64_t)n < size)
        return 0; /* it has shrunk since */
    *ret = reader->window;
    return 1;
}

int segment_reader_record(struct segment_reader *reader, uint64_t offset, struct record *ret_record)
{
    const uint8_t *bytes = NULL;
    uint32_t size;
    int r;

    r = segment_reader_get(reader, offset, RECORD_HEADER_BYTES, &bytes);
    if (r <= 0)
        return r;
    size = record_plausible_size(bytes);
    if (size == 0)
        return 0;
    r = segment_reader_get(reader, offset, size, &bytes);
    if (r <= 0)
        return r;
    return record_decode(bytes, size, reader->salt, position_of(reader->id, offset), ret_record);
}
