#include "sstable/slice.h"

#include <errno.h>

#include "engine/error.h"
#include "rows/compare.h"

/*
 *   1. begin at the partition's first row, or by the promoted index at the first block that ends
 *      at or behind the slice's start, with the range tombstone open that was open before it
 *   2. step over what is before the slice, following which range tombstone is open
 *   3. open it at the slice's start, hand out what is within, close what is open at its end
 *
 * Whoever merges this with a newer range tombstone has blocks skipped that lie under it.
 */

enum slice_state { SLICE_BEFORE, SLICE_WITHIN, SLICE_DONE };

struct slice_iterator {
    struct partition_iterator base;
    struct sstable *sstable;
    struct stream data;
    struct partition_cursor cursor;
    struct owned_clustering start, end;
    bool from_start, to_end;  /* the slice is open on that side */
    struct index_entry entry; /* its key is not kept */
    uint64_t entry_at,
        block_end; /* of the promoted index, and where its block ends that was found */
    enum slice_state state;
    struct deletion open;
    struct unfiltered marker; /* of our own making, at the slice's ends */
};

static void iterator_close(struct partition_iterator *iterator)
{
    struct slice_iterator *slice = (struct slice_iterator *)iterator;

    partition_cursor_release(&slice->cursor);
    stream_release(&slice->data);
    owned_clustering_release(&slice->start);
    owned_clustering_release(&slice->end);
    sstable_unref(slice->sstable);
    free(slice);
}

static int give_marker(struct slice_iterator *slice, const struct clustering *bound,
    struct deletion closes, struct deletion opens, const struct unfiltered **ret_unfiltered)
{
    slice->marker = (struct unfiltered){
        .is_marker = true,
        .marker = {*bound, closes, opens},
    };
    *ret_unfiltered = &slice->marker;
    return 1;
}

/** Behind the slice, or at the partition's end. */
static int finish(struct slice_iterator *slice, const struct unfiltered **ret_unfiltered)
{
    struct deletion open = slice->open;

    slice->state = SLICE_DONE;
    slice->open = DELETION_LIVE;
    if (deletion_is_live(open))
        return 0;
    return give_marker(slice, &slice->end.clustering, open, DELETION_LIVE, ret_unfiltered);
}

/** Over all that is before the slice; 1: the head is of something in it or behind; 0: the end. */
static int reach_start(struct slice_iterator *slice)
{
    struct partition_cursor *cursor = &slice->cursor;

    for (;;) {
        int order, r = partition_cursor_peek(cursor);

        if (r <= 0 || slice->from_start)
            return r;
        order = clustering_compare(
            slice->base.schema, &cursor->head.clustering, &slice->start.clustering);
        if (order > 0 || (order == 0 && !cursor->head.is_marker))
            return 1;
        if (!cursor->head.is_marker) {
            partition_cursor_skip(cursor);
            continue;
        }
        /* A marker at the very start only says what is open there. */
        r = partition_cursor_take(cursor);
        if (r == 0)
            r = partition_cursor_follow(cursor, &cursor->unfiltered, &slice->open);
        if (r < 0)
            return r;
    }
}

static bool is_behind(const struct slice_iterator *slice)
{
    const struct unfiltered_head *head = &slice->cursor.head;
    int order;

    if (slice->to_end)
        return false;
    order = clustering_compare(slice->base.schema, &head->clustering, &slice->end.clustering);
    return order > 0 || (order == 0 && head->is_marker);
}

static int iterator_next(
    struct partition_iterator *iterator, const struct unfiltered **ret_unfiltered)
{
    struct slice_iterator *slice = (struct slice_iterator *)iterator;
    struct partition_cursor *cursor = &slice->cursor;
    int r;

    if (slice->state == SLICE_DONE)
        return 0;
    if (slice->state == SLICE_BEFORE) {
        r = reach_start(slice);
        if (r < 0)
            return r;
        slice->state = SLICE_WITHIN;
        if (!deletion_is_live(slice->open)) {
            if (r == 0)
                return partition_cursor_check_closed(cursor, slice->open);
            return give_marker(
                slice, &slice->start.clustering, DELETION_LIVE, slice->open, ret_unfiltered);
        }
    }
    for (;;) {
        r = partition_cursor_peek(cursor);
        if (r < 0)
            return r;
        if (r == 0) {
            r = partition_cursor_check_closed(cursor, slice->open);
            return r < 0 ? r : finish(slice, ret_unfiltered);
        }
        if (is_behind(slice))
            return finish(slice, ret_unfiltered);
        r = partition_cursor_take(cursor);
        if (r == 0)
            r = partition_cursor_follow(cursor, &cursor->unfiltered, &slice->open);
        if (r < 0)
            return r;
        if (cursor->unfiltered.is_marker || !row_is_empty(&cursor->unfiltered.row)) {
            *ret_unfiltered = &cursor->unfiltered;
            return 1;
        }
    }
}

/** One search for each block that is met: within it the rows are passed. */
static int iterator_skip(
    struct partition_iterator *iterator, const struct clustering *bound, struct deletion *ret_open)
{
    struct slice_iterator *slice = (struct slice_iterator *)iterator;
    struct partition_cursor *cursor = &slice->cursor;
    AUTO(stream_release) struct stream index;
    struct block_place place;
    int r;

    stream_init(&index, slice->sstable, STREAM_INDEX, STREAM_SLICE);
    if (slice->state != SLICE_WITHIN || slice->entry.block_count == 0 ||
        cursor->position < slice->block_end)
        return 0;
    r = promoted_index_seek(&index, &slice->entry, slice->entry_at, bound, &place);
    if (r < 0)
        return r;
    if (r == 0) {
        slice->state = SLICE_DONE;
        *ret_open = slice->open = DELETION_LIVE;
        return 0;
    }
    slice->block_end = place.end;
    if (place.position > cursor->position) {
        partition_cursor_jump(cursor, place.position);
        *ret_open = slice->open = place.open;
    }
    return 0;
}

static const struct partition_iterator_ops iterator_ops = {
    iterator_next, iterator_close, iterator_skip};

/** By the promoted index: where reading begins, and which range tombstone is open there. */
static int seek_block(struct slice_iterator *slice, struct stream *index,
    const struct index_entry *entry, uint64_t entry_at)
{
    struct block_place place;
    int r;

    r = promoted_index_seek(index, entry, entry_at, &slice->start.clustering, &place);
    if (r < 0)
        return r;
    if (r == 0) {
        slice->state = SLICE_DONE;
        return 0;
    }
    slice->open = place.open;
    partition_cursor_jump(&slice->cursor, place.position);
    return 0;
}

/** Key, deletion and static row: out of the data, or if there is no static row out of the index. */
static int open_partition(
    struct slice_iterator *slice, const struct decorated_key *key, const struct index_entry *entry)
{
    struct partition_cursor *cursor = &slice->cursor;
    int r;

    if (entry->promoted_size > 0 && slice->sstable->header.statics.count == 0) {
        buf_append_bytes(&cursor->key_memory, key->key);
        if (buf_error(&cursor->key_memory) < 0)
            return err_new(-ENOMEM, "key of %zu bytes", key->key.size);
        cursor->key = (struct decorated_key){key->token, buf_bytes(&cursor->key_memory)};
        cursor->deletion = entry->deletion;
        cursor->start = entry->position;
        cursor->position = cursor->rows_position = entry->position + entry->header_bytes;
        return 0;
    }
    r = partition_cursor_open(cursor, entry->position);
    if (r < 0)
        return r;
    if (!bytes_equal(cursor->key.key, key->key)) {
        err_new(-EUCLEAN, "another partition than the index says");
        return sstable_damaged(slice->sstable, -EUCLEAN, COMPONENT_DATA, entry->position);
    }
    return 0;
}

static int open_slice(struct slice_iterator *slice, struct stream *index,
    const struct decorated_key *key, const struct index_entry *entry, uint64_t entry_at,
    const struct slice *of)
{
    int r;

    r = owned_clustering_set(&slice->start, &of->start);
    if (r == 0)
        r = owned_clustering_set(&slice->end, &of->end);
    if (r == 0)
        r = open_partition(slice, key, entry);
    if (r < 0)
        return r;
    slice->entry = *entry;
    slice->entry.key = BYTES_NONE;
    slice->entry_at = entry_at;
    slice->from_start = of->start.count == 0;
    slice->to_end = of->end.count == 0;
    slice->base = (struct partition_iterator){
        .ops = &iterator_ops,
        .schema = slice->sstable->schema,
        .key = slice->cursor.key,
        .deletion = slice->cursor.deletion,
        .static_row = slice->cursor.has_static_row ? &slice->cursor.static_row.row : NULL,
        .newest_us = slice->sstable->facts.max_timestamp_us,
        .position = slice->cursor.start,
        .rows_position = slice->cursor.rows_position,
    };
    if (entry->block_count > 0 && !slice->from_start)
        return seek_block(slice, index, entry, entry_at);
    return 0;
}

int slice_iterator_new(struct sstable *sstable, struct stream *index,
    const struct decorated_key *key, const struct index_entry *entry, uint64_t entry_at,
    const struct slice *slice, struct partition_iterator **ret_iterator)
{
    struct slice_iterator *iterator = calloc(1, sizeof(*iterator));
    int r;

    if (!iterator)
        return err_new(-ENOMEM, "an iterator");
    iterator->sstable = sstable_ref(sstable);
    iterator->open = DELETION_LIVE;
    owned_clustering_init(&iterator->start);
    owned_clustering_init(&iterator->end);
    stream_init(&iterator->data, sstable, STREAM_DATA, STREAM_SLICE);
    partition_cursor_init(&iterator->cursor, &iterator->data);
    r = open_slice(iterator, index, key, entry, entry_at, slice);
    if (r < 0) {
        iterator_close(&iterator->base);
        return r;
    }
    *ret_iterator = &iterator->base;
    return 0;
}
