#include "sstable/reader.h"

#include <errno.h>

#include "engine/error.h"
#include "rows/compare.h"

#define PARTITION_HEADER_BYTES_MAX (2 + KEY_BYTES_MAX + DELETION_BYTES)

void partition_cursor_init(struct partition_cursor *cursor, struct stream *data)
{
    *cursor = (struct partition_cursor){
        .data = data,
        .header = &data->sstable->header,
        .key_memory = BUF_INIT,
        .static_memory = BUF_INIT,
        .static_row_memory = ROW_MEMORY_INIT,
        .row_memory = ROW_MEMORY_INIT,
    };
}

void partition_cursor_release(struct partition_cursor *cursor)
{
    buf_release(&cursor->key_memory);
    buf_release(&cursor->static_memory);
    row_memory_release(&cursor->static_row_memory);
    row_memory_release(&cursor->row_memory);
}

struct partition_header {
    struct bytes key;
    struct deletion deletion;
};

static enum data_result decode_partition_header(struct decoder *d, void *arg)
{
    struct partition_header *header = arg;

    return data_get_partition_header(d, &header->key, &header->deletion);
}

static enum data_result decode_head(struct decoder *d, void *arg)
{
    struct partition_cursor *cursor = arg;

    return data_get_head(d, cursor->header, &cursor->clustering_memory, &cursor->head);
}

/** Mostly it lies in the window that is at hand. */
static int look_at_head(struct partition_cursor *cursor)
{
    struct decoder d = decoder_of(cursor->window);

    if (cursor->window.size > 0 && decode_head(&d, cursor) == DATA_OK) {
        cursor->head_bytes = (size_t)(d.at - cursor->window.data);
        return 0;
    }
    return stream_get(cursor->data, cursor->position, HEAD_BYTES_MAX, "row", decode_head, cursor,
        &cursor->window, &cursor->head_bytes);
}

/** Over `bytes` from the window's begin. */
static void pass(struct partition_cursor *cursor, uint64_t bytes)
{
    cursor->position += bytes;
    if (bytes < cursor->window.size)
        cursor->window = bytes_of(cursor->window.data + bytes, cursor->window.size - (size_t)bytes);
    else
        cursor->window = BYTES_NONE;
}

static int bad_row(struct partition_cursor *cursor, int code)
{
    return sstable_damaged(cursor->data->sstable, code, COMPONENT_DATA, cursor->position);
}

/** The window over what was looked at and `body_bytes` behind it; pointers of the head are into it.
 */
static int widen_window(struct partition_cursor *cursor, uint64_t body_bytes)
{
    uint64_t size = cursor->head_bytes + body_bytes;
    struct decoder d;
    int r;

    if (cursor->window.size >= size)
        return 0;
    if (size > cursor->data->size - cursor->position) {
        err_new(-EUCLEAN, "row of %llu bytes goes over the end", (unsigned long long)size);
        return bad_row(cursor, -EUCLEAN);
    }
    stream_expect(cursor->data, cursor->position + size);
    r = stream_window(cursor->data, cursor->position, size, &cursor->window);
    if (r < 0)
        return r;
    d = decoder_of(cursor->window);
    if (decode_head(&d, cursor) != DATA_OK)
        return bad_row(cursor, err_new(-EUCLEAN, "row changed while it was read"));
    return 0;
}

/** Looks at the head of the static row, which the partition must have if the table may. */
static int look_at_static_row(struct partition_cursor *cursor)
{
    int r = look_at_head(cursor);

    if (r < 0)
        return r;
    if (cursor->head.is_end || !cursor->head.is_static)
        return bad_row(cursor, err_new(-EUCLEAN, "static row expected"));
    return 0;
}

/** A copy, as it is given out for as long as the partition is. */
static int read_static_row(struct partition_cursor *cursor)
{
    struct bytes body;
    int r;

    r = look_at_static_row(cursor);
    if (r == 0)
        r = widen_window(cursor, cursor->head.body_bytes);
    if (r < 0)
        return r;
    body = bytes_of(cursor->window.data + cursor->head_bytes, (size_t)cursor->head.body_bytes);
    buf_clear(&cursor->static_memory);
    buf_append_bytes(&cursor->static_memory, body);
    if (buf_error(&cursor->static_memory) < 0)
        return err_new(-ENOMEM, "static row of %zu bytes", body.size);
    cursor->static_row.position = cursor->position;
    r = data_get_body(cursor->header, &cursor->head, buf_bytes(&cursor->static_memory),
        &cursor->static_row_memory, &cursor->static_row);
    if (r < 0)
        return bad_row(cursor, r);
    cursor->has_static_row = !row_is_empty(&cursor->static_row.row);
    pass(cursor, cursor->head_bytes + cursor->head.body_bytes);
    return 0;
}

/** Key (borrowed from the window) and deletion; the cursor is behind them then. */
static int read_partition_header(
    struct partition_cursor *cursor, uint64_t position, struct bytes *ret_key)
{
    struct partition_header header = {BYTES_NONE, DELETION_LIVE};
    size_t bytes;
    int r;

    cursor->at_end = false;
    cursor->has_static_row = false;
    cursor->position = cursor->start = position;
    r = stream_get(cursor->data, position, PARTITION_HEADER_BYTES_MAX, "partition header",
        decode_partition_header, &header, &cursor->window, &bytes);
    if (r < 0) {
        cursor->window = BYTES_NONE;
        return r;
    }
    *ret_key = header.key;
    cursor->deletion = header.deletion;
    pass(cursor, bytes);
    return 0;
}

int partition_cursor_open(struct partition_cursor *cursor, uint64_t position)
{
    struct bytes key;
    int r;

    r = read_partition_header(cursor, position, &key);
    if (r < 0)
        return r;
    buf_clear(&cursor->key_memory);
    buf_append_bytes(&cursor->key_memory, key);
    if (buf_error(&cursor->key_memory) < 0)
        return err_new(-ENOMEM, "key of %zu bytes", key.size);
    cursor->key = decorated_key_of(buf_bytes(&cursor->key_memory));
    r = cursor->header->statics.count > 0 ? read_static_row(cursor) : 0;
    cursor->rows_position = cursor->position;
    return r;
}

int partition_cursor_enter(
    struct partition_cursor *cursor, uint64_t position, const struct decorated_key *key)
{
    struct bytes found;
    int r;

    r = read_partition_header(cursor, position, &found);
    if (r < 0)
        return r;
    if (!bytes_equal(found, key->key)) {
        err_new(-EUCLEAN, "another partition than the index says");
        return sstable_damaged(cursor->data->sstable, -EUCLEAN, COMPONENT_DATA, position);
    }
    cursor->key = *key;
    return 0;
}

int partition_cursor_pass_static_row(struct partition_cursor *cursor, bool take)
{
    int r;

    if (cursor->header->statics.count == 0)
        return 0;
    r = look_at_static_row(cursor);
    if (r < 0)
        return r;
    if (take)
        return partition_cursor_take(cursor);
    partition_cursor_skip(cursor);
    return 0;
}

void partition_cursor_jump(struct partition_cursor *cursor, uint64_t position)
{
    cursor->position = position;
    cursor->window = BYTES_NONE;
}

int partition_cursor_peek(struct partition_cursor *cursor)
{
    int r;

    if (cursor->at_end)
        return 0;
    r = look_at_head(cursor);
    if (r < 0)
        return r;
    if (cursor->head.is_end) {
        cursor->at_end = true;
        pass(cursor, cursor->head_bytes);
        return 0;
    }
    if (cursor->head.is_static)
        return bad_row(cursor, err_new(-EUCLEAN, "static row among the others"));
    return 1;
}

void partition_cursor_skip(struct partition_cursor *cursor)
{
    pass(cursor, cursor->head_bytes + cursor->head.body_bytes);
}

int partition_cursor_take(struct partition_cursor *cursor)
{
    struct bytes body;
    int r;

    r = widen_window(cursor, cursor->head.body_bytes);
    if (r < 0)
        return r;
    body = bytes_of(cursor->window.data + cursor->head_bytes, (size_t)cursor->head.body_bytes);
    cursor->unfiltered.position = cursor->position;
    cursor->body = body;
    r = data_get_body(
        cursor->header, &cursor->head, body, &cursor->row_memory, &cursor->unfiltered);
    if (r < 0)
        return bad_row(cursor, r);
    pass(cursor, cursor->head_bytes + cursor->head.body_bytes);
    return 0;
}

bool sstable_find_part(const struct sstable *sstable, uint64_t columns, struct column_run *ret_part)
{
    const struct header_columns *header = &sstable->header.regulars;
    unsigned first = header->count, end = 0;

    if (!sstable->digests.rows_are_even)
        return false;
    for (unsigned i = 0; i < header->count; i++) {
        unsigned number = header->columns[i].number;

        if (number >= 64)
            return false;
        if (columns >> number & 1) {
            first = i < first ? i : first;
            end = i + 1;
        }
    }
    if (first >= end || end - first > header->count / 2)
        return false;
    *ret_part = (struct column_run){first, end - first};
    return true;
}

/** 1, and its shape: it is even. */
static int look_for_even_row(struct partition_cursor *cursor, struct even_row *ret_even)
{
    struct bytes start;
    int r;

    if (cursor->head.body_bytes < EVEN_ROW_BYTES_MIN)
        return 0;
    r = widen_window(cursor, EVEN_ROW_START_BYTES);
    if (r < 0)
        return r;
    start = bytes_of(cursor->window.data + cursor->head_bytes, EVEN_ROW_START_BYTES);
    return data_may_be_even(cursor->header, &cursor->head, start, ret_even);
}

int partition_cursor_take_part(struct partition_cursor *cursor, const struct clustering *clustering,
    const struct column_run *part)
{
    struct unfiltered *unfiltered = &cursor->unfiltered;
    uint64_t body_at = cursor->position + cursor->head_bytes, cells_at, size;
    struct even_row even;
    struct bytes cells;
    int r;

    r = look_for_even_row(cursor, &even);
    if (r < 0)
        return r;
    if (r == 0)
        return partition_cursor_take(cursor);
    cells_at = body_at + even.cells_at + part->first * even.cell_bytes;
    size = part->count * even.cell_bytes;
    r = stream_window(cursor->data, cells_at, size, &cells);
    if (r < 0)
        return r;
    if (cells.size > size)
        cells.size = size;
    unfiltered->position = cursor->position;
    unfiltered->is_marker = false;
    r = data_get_part(cursor->header, &even, part, cells, &cursor->row_memory, &unfiltered->row);
    if (r < 0)
        return bad_row(cursor, r);
    unfiltered->row.clustering = *clustering;
    partition_cursor_jump(cursor, body_at + cursor->head.body_bytes);
    return 0;
}

int partition_cursor_follow(
    struct partition_cursor *cursor, const struct unfiltered *unfiltered, struct deletion *open)
{
    const struct marker *marker = &unfiltered->marker;

    if (!unfiltered->is_marker)
        return 0;
    if (marker->closes.marked_for_delete_at_us != open->marked_for_delete_at_us) {
        err_new(-EUCLEAN, "marker closes a range tombstone that is not open");
        return sstable_damaged(
            cursor->data->sstable, -EUCLEAN, COMPONENT_DATA, unfiltered->position);
    }
    *open = marker->opens;
    return 0;
}

int partition_cursor_check_closed(struct partition_cursor *cursor, struct deletion open)
{
    if (deletion_is_live(open))
        return 0;
    err_new(-EUCLEAN, "partition ends within a range tombstone");
    return bad_row(cursor, -EUCLEAN);
}
