#include "sstable/row_lookup.h"

#include "rows/compare.h"
#include "sstable/landmarks.h"

/** From where the cursor is to the row; 1: it is in cursor->unfiltered; 0: there is none. */
static int find_row(struct partition_cursor *cursor, const struct table_schema *schema,
    const struct clustering *clustering, struct landmarks *landmarks, struct deletion *open)
{
    for (;;) {
        const struct unfiltered_head *head = &cursor->head;
        int order, r = partition_cursor_peek(cursor);

        if (r < 0)
            return r;
        if (r == 0)
            return partition_cursor_check_closed(cursor, *open);
        if (!head->is_marker && landmarks_wants(landmarks, cursor->position) &&
            deletion_is_live(*open))
            landmarks_add(landmarks, cursor->position, &head->clustering);
        order = clustering_compare(schema, &head->clustering, clustering);
        if (order > 0)
            return 0;
        if (order < 0 && !head->is_marker) {
            partition_cursor_skip(cursor);
            continue;
        }
        r = partition_cursor_take(cursor);
        if (r < 0)
            return r;
        if (!cursor->unfiltered.is_marker)
            return 1;
        r = partition_cursor_follow(cursor, &cursor->unfiltered, open);
        if (r < 0)
            return r;
    }
}

/** To the last landmark before the row, or else to the first row of its block, all of which, up to
 * `end`, comes with one read then. */
static int seek_in_block(struct partition_cursor *cursor, const struct decorated_key *key,
    const struct index_entry *entry, uint64_t end, const struct clustering *clustering,
    const struct landmarks *landmarks, struct deletion *open)
{
    uint64_t position;
    int r;

    if (landmarks_find(landmarks, clustering, &position, &cursor->deletion)) {
        cursor->key = *key;
        *open = DELETION_LIVE;
        partition_cursor_jump(cursor, position);
        return 0;
    }
    stream_expect(cursor->data, end);
    if (entry->block_count > 0) {
        cursor->deletion = entry->deletion;
        partition_cursor_jump(cursor, landmarks->block);
        return 0;
    }
    r = partition_cursor_enter(cursor, entry->position, key);
    return r < 0 ? r : partition_cursor_pass_static_row(cursor, false);
}

/** The row in its block; 1, 0 as find_row(). */
static int read_row_of_block(struct row_lookup *lookup, const struct decorated_key *key,
    const struct index_entry *entry, uint64_t end, const struct clustering *clustering,
    struct landmarks *landmarks, struct deletion *open)
{
    struct partition_cursor *cursor = &lookup->cursor;
    int r = seek_in_block(cursor, key, entry, end, clustering, landmarks, open);

    return r < 0 ? r : find_row(cursor, lookup->data.sstable->schema, clustering, landmarks, open);
}

/** By the promoted index. 1, 0 as find_row(). */
static int read_row_by_index(struct row_lookup *lookup, struct stream *index,
    const struct decorated_key *key, const struct partition_place *place,
    const struct clustering *clustering, struct deletion *open)
{
    const struct index_entry *entry = &place->entry;
    struct landmarks landmarks;
    struct block_place block;
    int r;

    lookup->cursor.deletion = entry->deletion;
    r = promoted_index_seek(index, entry, place->entry_at, clustering, &block);
    if (r <= 0)
        return r;
    *open = block.open;
    landmarks_open_block(&landmarks, lookup->data.sstable, block.position);
    r = read_row_of_block(lookup, key, entry, block.end, clustering, &landmarks, open);
    landmarks_close(&landmarks, lookup->cursor.deletion);
    return r;
}

static int read_static_row(struct partition_cursor *cursor, const struct decorated_key *key,
    const struct index_entry *entry)
{
    int r = partition_cursor_enter(cursor, entry->position, key);

    if (r < 0 || cursor->header->statics.count == 0)
        return r;
    r = partition_cursor_pass_static_row(cursor, true);
    return r < 0 ? r : 1;
}

static int read_partition(struct row_lookup *lookup, struct stream *index,
    const struct decorated_key *key, const struct partition_place *place,
    const struct clustering *clustering, struct landmarks *landmarks)
{
    struct partition_cursor *cursor = &lookup->cursor;
    const struct index_entry *entry = &place->entry;
    struct deletion open = DELETION_LIVE;
    int r;

    if (!clustering) {
        r = read_static_row(cursor, key, entry);
    } else if (entry->block_count > 0) {
        r = read_row_by_index(lookup, index, key, place, clustering, &open);
    } else {
        r = read_row_of_block(lookup, key, entry, place->end, clustering, landmarks, &open);
    }
    if (r < 0)
        return r;
    lookup->deletion = deletion_newest(cursor->deletion, open);
    lookup->row = r > 0 && !row_is_empty(&cursor->unfiltered.row) ? &cursor->unfiltered.row : NULL;
    return 1;
}

/** 1 and the place, learned before or now; 0: the partition is not here. */
static int find_partition(struct stream *index, const struct decorated_key *key,
    const struct clustering *clustering, struct landmarks *landmarks,
    struct partition_place *ret_place)
{
    struct index_entry *entry = &ret_place->entry;
    int r;

    if (landmarks_open_partition(landmarks, index->sstable, key, ret_place))
        return 1;
    r = sstable_find_partition(
        index->sstable, index, key, clustering, clustering, entry, &ret_place->entry_at);
    if (r <= 0)
        return r;
    entry->key = key->key;
    r = sstable_partition_end(index, ret_place->entry_at, entry->entry_bytes, &ret_place->end);
    if (r < 0)
        return r;
    landmarks_set_place(landmarks, ret_place);
    return 1;
}

int sstable_lookup_row(struct sstable *sstable, const struct decorated_key *key,
    const struct clustering *clustering, struct row_lookup *lookup)
{
    AUTO(stream_release) struct stream index;
    struct partition_place place;
    struct landmarks landmarks;
    int r;

    stream_init(&index, sstable, STREAM_INDEX, STREAM_ONE_ROW);
    if (clustering ? !sstable_may_contain_row(sstable, key, clustering)
                   : !sstable_may_contain(sstable, key))
        return 0;
    r = find_partition(&index, key, clustering, &landmarks, &place);
    if (r > 0) {
        stream_init(&lookup->data, sstable, STREAM_DATA, STREAM_ONE_ROW);
        partition_cursor_init(&lookup->cursor, &lookup->data);
        lookup->cursor.row_memory = row_memory_lent(lookup->cells, ROW_LOOKUP_CELLS);
        r = read_partition(lookup, &index, key, &place, clustering, &landmarks);
        landmarks_close(&landmarks, lookup->cursor.deletion);
        if (r < 0)
            row_lookup_release(lookup);
    }
    return r;
}

void row_lookup_release(struct row_lookup *lookup)
{
    partition_cursor_release(&lookup->cursor);
    stream_release(&lookup->data);
}
