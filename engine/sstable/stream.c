#include "sstable/reader.h"

#include <errno.h>

#include "base/crc32.h"
#include "engine/error.h"
#include "sstable/digest.h"

#define READ_AHEAD_BYTES (256u << 10)
#define EXPECTED_BYTES_MAX (256u << 10)
#define DECODE_BYTES_MIN 64u

void stream_init(
    struct stream *stream, struct sstable *sstable, enum stream_kind kind, enum stream_use use)
{
    bool is_data = kind == STREAM_DATA;

    *stream = (struct stream){
        .sstable = sstable,
        .kind = kind,
        .use = use,
        .size = is_data ? sstable->facts.stream_bytes : sstable->index_bytes,
        .piece_bytes = is_data ? sstable->chunk_bytes : INDEX_PAGE_BYTES,
        .window = BUF_INIT,
        .raw = BUF_INIT,
    };
}

static bool is_sequential(const struct stream *stream)
{
    return stream->use == STREAM_SEQUENTIAL;
}

static enum sstable_component component_of(const struct stream *stream)
{
    return stream->kind == STREAM_DATA ? COMPONENT_DATA : COMPONENT_INDEX;
}

static int fd_of(const struct stream *stream)
{
    const struct sstable *sstable = stream->sstable;

    if (stream->kind == STREAM_INDEX)
        return sstable->index_fd;
    return stream->use == STREAM_ONE_ROW ? sstable->lookup_fd : sstable->data_fd;
}

/** Who reads straight through leaves nothing of it in the kernel's cache: what was read, up to
 * `end`, is not read again. */
static void forget_read(struct stream *stream, uint64_t end)
{
    if (is_sequential(stream) && stream->raw.size > 0 && end > stream->raw_offset)
        io_forget(
            stream->sstable->env, fd_of(stream), stream->raw_offset, end - stream->raw_offset);
}

void stream_release(struct stream *stream)
{
    forget_read(stream, stream->raw_offset + stream->raw.size);
    if (stream->held)
        chunk_release(stream->sstable->cache, stream->held);
    stream->held = NULL;
    buf_release(&stream->window);
    buf_release(&stream->raw);
}

/** Stored bytes of the file, borrowed until the next call; `ahead` if they must be read, or more.
 */
static int read_raw(
    struct stream *stream, uint64_t offset, size_t size, size_t ahead, struct bytes *ret_raw)
{
    struct sstable *sstable = stream->sstable;
    bool is_data = stream->kind == STREAM_DATA;
    size_t wanted = size < ahead ? ahead : size;
    int64_t count;

    if (offset >= stream->raw_offset && offset + size <= stream->raw_offset + stream->raw.size) {
        *ret_raw = bytes_of(stream->raw.data + (offset - stream->raw_offset), size);
        return 0;
    }
    forget_read(stream, offset);
    buf_clear(&stream->raw);
    if (!buf_extend(&stream->raw, wanted))
        return err_new(-ENOMEM, "%zu bytes to read into", wanted);
    atomic_fetch_add_explicit(
        is_data ? &sstable->chunk_reads : &sstable->index_reads, 1, memory_order_relaxed);
    count = io_read(sstable->env, fd_of(stream), stream->raw.data, wanted, offset);
    if (count < 0) {
        buf_clear(&stream->raw);
        return sstable_damaged(sstable, (int)count, component_of(stream), offset);
    }
    stream->raw.size = (size_t)count;
    stream->raw_offset = offset;
    if ((size_t)count < size) {
        err_new(-EUCLEAN, "file ends at %llu", (unsigned long long)(offset + (uint64_t)count));
        return sstable_damaged(sstable, -EUCLEAN, component_of(stream), offset);
    }
    *ret_raw = bytes_of(stream->raw.data, size);
    return 0;
}

static int place_chunk(struct stream *stream, const struct chunk_table *table, uint64_t number,
    uint64_t *ret_offset, uint32_t *ret_stored_bytes)
{
    int r = compression_chunk_place(&table->compression, number, stream->sstable->facts.data_bytes,
        ret_offset, ret_stored_bytes);

    return r < 0 ? sstable_damaged(stream->sstable, r, COMPONENT_COMPRESSION_INFO, 0) : 0;
}

/** How much to read from the chunk at `offset` on, if it must be read at all. */
static int reach_of(struct stream *stream, const struct chunk_table *table, uint64_t number,
    uint64_t offset, size_t *ret_bytes)
{
    uint64_t last, last_offset;
    uint32_t last_bytes;
    int r;

    *ret_bytes = is_sequential(stream) ? READ_AHEAD_BYTES : 0;
    if (is_sequential(stream) || stream->expected_end <= (number + 1) * stream->piece_bytes)
        return 0;
    last = (stream->expected_end - 1) / stream->piece_bytes;
    r = place_chunk(stream, table, last, &last_offset, &last_bytes);
    if (r == 0 && last_offset + last_bytes - offset <= EXPECTED_BYTES_MAX)
        *ret_bytes = (size_t)(last_offset + last_bytes - offset);
    return r;
}

static int load_compressed(struct stream *stream, const struct chunk_table *table, uint64_t number,
    uint8_t *to, size_t size)
{
    uint64_t offset;
    uint32_t stored_bytes;
    struct bytes stored;
    size_t reach;
    int r;

    r = place_chunk(stream, table, number, &offset, &stored_bytes);
    if (r == 0)
        r = reach_of(stream, table, number, offset, &reach);
    if (r == 0)
        r = read_raw(stream, offset, stored_bytes, reach, &stored);
    if (r < 0)
        return r;
    r = compression_get_chunk(&table->compression, stored, to, size);
    if (r < 0) {
        r = err_with(r, "chunk %llu", (unsigned long long)number);
        return sstable_damaged(stream->sstable, r, COMPONENT_DATA, offset);
    }
    return 0;
}

/** What the checksum of a stored piece must be; false: nothing is known. */
static bool checksum_of(
    struct stream *stream, const struct chunk_table *table, uint64_t number, uint32_t *ret_crc)
{
    if (stream->kind == STREAM_INDEX)
        *ret_crc = stream->index_map->page_crcs[number];
    else if (table->content.size > 0)
        *ret_crc = crc_table_get(buf_bytes(&table->content), number);
    else
        return false;
    return true;
}

static int load_plain(struct stream *stream, const struct chunk_table *table, uint64_t number,
    uint8_t *to, size_t size)
{
    uint64_t offset = number * stream->piece_bytes;
    struct bytes stored;
    uint32_t crc;
    int r;

    r = read_raw(stream, offset, size, is_sequential(stream) ? READ_AHEAD_BYTES : 0, &stored);
    if (r < 0)
        return r;
    if (checksum_of(stream, table, number, &crc) && crc32_update(0, stored.data, size) != crc) {
        err_new(-EBADMSG, "chunk %llu: checksum of %zu bytes does not fit",
            (unsigned long long)number, size);
        return sstable_damaged(stream->sstable, -EBADMSG, component_of(stream), offset);
    }
    memcpy(to, stored.data, size);
    return 0;
}

/** The piece `number` of the stream into `to`. */
static int load_piece(struct stream *stream, uint64_t number, uint8_t *to, size_t size)
{
    const struct chunk_table *table = NULL;
    int r = 0;

    if (stream->kind == STREAM_DATA)
        r = sstable_get_chunks(stream->sstable, &table);
    else if (!stream->index_map)
        r = sstable_get_index_map(stream->sstable, &stream->index_map);
    if (r < 0)
        return r;
    return stream->kind == STREAM_DATA && stream->sstable->is_compressed
               ? load_compressed(stream, table, number, to, size)
               : load_plain(stream, table, number, to, size);
}

static size_t piece_size(const struct stream *stream, uint64_t number)
{
    uint64_t left = stream->size - number * stream->piece_bytes;

    return left < stream->piece_bytes ? (size_t)left : stream->piece_bytes;
}

/** Makes `number` the piece that is held, out of the cache or into it. */
static int hold_piece(struct stream *stream, uint64_t number)
{
    struct chunk_cache *cache = stream->sstable->cache;
    bool is_data = stream->kind == STREAM_DATA;
    struct chunk_key key = {
        stream->sstable->cache_file, number, is_data ? CHUNK_DATA : CHUNK_INDEX};
    struct chunk *chunk;
    int r;

    if (stream->held && stream->held_number == number)
        return 0;
    chunk_release(cache, stream->held);
    stream->held = chunk_cache_get(cache, key);
    stream->held_number = number;
    if (stream->held)
        return 0;
    chunk = chunk_new(cache, piece_size(stream, number));
    if (!chunk)
        return err_new(-ENOMEM, "a piece of %zu bytes", piece_size(stream, number));
    r = load_piece(stream, number, (uint8_t *)(uintptr_t)chunk->content.data, chunk->content.size);
    if (r < 0) {
        chunk_release(cache, chunk);
        return r;
    }
    stream->held = chunk_cache_put(cache, key, chunk);
    return 0;
}

/** Out of the held piece where all of it lies in one, else gathered. */
static int random_window(
    struct stream *stream, uint64_t position, size_t want, struct bytes *ret_window)
{
    uint64_t number = position / stream->piece_bytes;
    size_t offset = (size_t)(position % stream->piece_bytes);
    struct bytes piece;
    int r;

    r = hold_piece(stream, number);
    if (r < 0)
        return r;
    piece = stream->held->content;
    if (piece.size - offset >= want) {
        *ret_window = bytes_of(piece.data + offset, piece.size - offset);
        return 0;
    }
    buf_clear(&stream->window);
    buf_append(&stream->window, piece.data + offset, piece.size - offset);
    while (stream->window.size < want) {
        size_t missing = want - stream->window.size;

        r = hold_piece(stream, ++number);
        if (r < 0)
            return r;
        piece = stream->held->content;
        buf_append(&stream->window, piece.data, piece.size < missing ? piece.size : missing);
        if (buf_error(&stream->window) < 0)
            return err_new(-ENOMEM, "%zu bytes of a row", want);
    }
    *ret_window = buf_bytes(&stream->window);
    return 0;
}

/** Slides the window forward; a jump over its end starts it anew at that piece. */
static int sequential_window(
    struct stream *stream, uint64_t position, size_t want, struct bytes *ret_window)
{
    uint64_t end = stream->window_position + stream->window.size;

    if (position < stream->window_position || position >= end) {
        buf_clear(&stream->window);
        stream->window_position = position - position % stream->piece_bytes;
        end = stream->window_position;
    }
    if (position + want > end && position > stream->window_position && stream->window.size > 0) {
        size_t gone = (size_t)(position - stream->window_position);

        stream->window.size -= gone;
        memmove(stream->window.data, stream->window.data + gone, stream->window.size);
        stream->window_position = position;
    }
    while (end < position + want) {
        uint64_t number = end / stream->piece_bytes;
        size_t size = piece_size(stream, number);
        uint8_t *to = buf_extend(&stream->window, size);
        int r;

        if (!to) {
            buf_clear(&stream->window);
            return err_new(-ENOMEM, "%zu bytes of a row", want);
        }
        r = load_piece(stream, number, to, size);
        if (r < 0) {
            stream->window.size -= size;
            return r;
        }
        end += size;
    }
    *ret_window = bytes_of(
        stream->window.data + (position - stream->window_position), (size_t)(end - position));
    return 0;
}

/** A slice of rows that are larger than a piece is read on, once, as file content is by the kernel,
 * which keeps it: the cache has better use for its memory, and the row is decompressed where it is
 * wanted. */
static bool goes_straight(struct stream *stream, size_t want)
{
    stream->rows_are_large |=
        stream->kind == STREAM_DATA && stream->use == STREAM_SLICE && want > stream->piece_bytes;
    return is_sequential(stream) || stream->rows_are_large;
}

int stream_window(struct stream *stream, uint64_t position, size_t want, struct bytes *ret_window)
{
    if (position >= stream->size) {
        err_new(-EUCLEAN, "the stream ends at %llu", (unsigned long long)stream->size);
        return sstable_damaged(stream->sstable, -EUCLEAN, component_of(stream), position);
    }
    if (want > stream->size - position)
        want = (size_t)(stream->size - position);
    return goes_straight(stream, want) ? sequential_window(stream, position, want, ret_window)
                                       : random_window(stream, position, want, ret_window);
}

int stream_get(struct stream *stream, uint64_t position, size_t max, const char *what,
    stream_decode decode, void *arg, struct bytes *ret_window, size_t *ret_bytes)
{
    size_t want = DECODE_BYTES_MIN;

    for (;;) {
        enum data_result result;
        struct bytes window;
        struct decoder d;
        int r;

        r = stream_window(stream, position, want, &window);
        if (r < 0)
            return r;
        d = decoder_of(window);
        result = decode(&d, arg);
        if (result == DATA_OK) {
            *ret_window = window;
            *ret_bytes = window.size - decoder_left(&d);
            return 0;
        }
        if (result == DATA_BAD || window.size >= max || window.size >= stream->size - position) {
            err_new(
                -EUCLEAN, "%s %s", what, result == DATA_BAD ? "cannot be" : "goes over the end");
            return sstable_damaged(stream->sstable, -EUCLEAN, component_of(stream), position);
        }
        want = window.size * 2;
    }
}
