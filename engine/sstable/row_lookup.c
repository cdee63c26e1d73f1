#include "sstable/row_lookup.h"

#include "rows/compare.h"
#include "sstable/landmarks.h"

/** What is asked for. */
struct wanted {
    const struct decorated_key *key;
    const struct clustering *clustering; /* NULL: the static row */
    struct column_run part; /* few columns of large rows; or none: all of a row is read */
};

/** From where the cursor is to the row; 1: it is in cursor->unfiltered; 0: there is none. Once a
 * row is passed, all up to `expected_end` comes with one read. */
static int find_row(struct partition_cursor *cursor, const struct wanted *wanted,
    uint64_t expected_end, struct landmarks *landmarks, struct deletion *open)
{
    const struct table_schema *schema = cursor->data->sstable->schema;

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
        order = clustering_compare(schema, &head->clustering, wanted->clustering);
        if (order > 0)
            return 0;
        if (order == 0 && !head->is_marker) {
            r = wanted->part.count > 0
                    ? partition_cursor_take_part(cursor, wanted->clustering, &wanted->part)
                    : partition_cursor_take(cursor);
            return r < 0 ? r : 1;
        }
        stream_expect(cursor->data, expected_end);
        if (!head->is_marker) {
            partition_cursor_skip(cursor);
            continue;
        }
        r = partition_cursor_take(cursor);
        if (r == 0)
            r = partition_cursor_follow(cursor, &cursor->unfiltered, open);
        if (r < 0)
            return r;
    }
}

/** Up to where a block is likely to be read: of one that is long enough for an even row, and so
 * mostly is one, up to the part. */
static uint64_t expected_end_of(
    const struct sstable *sstable, const struct column_run *part, uint64_t position, uint64_t end)
{
    uint64_t columns = sstable->header.regulars.count;

    if (part->count == 0 || end - position < EVEN_ROW_BYTES_MIN)
        return end;
    return position + (end - position) * (part->first + part->count) / columns +
           EVEN_ROW_START_BYTES;
}

/** The row in its block, which goes up to `end`: from the last landmark before it, or else from the
 * block's first row. 1, 0 as find_row(). */
static int read_row_of_block(struct partition_cursor *cursor, const struct wanted *wanted,
    const struct index_entry *entry, uint64_t end, struct landmarks *landmarks,
    struct deletion *open)
{
    uint64_t position;
    int r = 0;

    if (landmarks_find(landmarks, wanted->clustering, &position, &cursor->deletion)) {
        cursor->key = *wanted->key;
        *open = DELETION_LIVE;
        partition_cursor_jump(cursor, position);
        return find_row(cursor, wanted, 0, landmarks, open);
    }
    position = entry->block_count > 0 ? landmarks->block : entry->position;
    stream_expect(
        cursor->data, expected_end_of(cursor->data->sstable, &wanted->part, position, end));
    if (entry->block_count > 0) {
        cursor->deletion = entry->deletion;
        partition_cursor_jump(cursor, position);
    } else {
        r = partition_cursor_enter(cursor, position, wanted->key);
        if (r == 0)
            r = partition_cursor_pass_static_row(cursor, false);
    }
    return r < 0 ? r : find_row(cursor, wanted, end, landmarks, open);
}

/** By the promoted index. 1, 0 as find_row(). */
static int read_row_by_index(struct partition_cursor *cursor, struct stream *index,
    const struct wanted *wanted, const struct partition_place *place, struct deletion *open)
{
    const struct index_entry *entry = &place->entry;
    struct landmarks landmarks;
    struct block_place block;
    int r;

    cursor->deletion = entry->deletion;
    r = promoted_index_seek(index, entry, place->entry_at, wanted->clustering, &block);
    if (r <= 0)
        return r;
    *open = block.open;
    landmarks_open_block(&landmarks, index->sstable, block.position);
    r = read_row_of_block(cursor, wanted, entry, block.end, &landmarks, open);
    landmarks_close(&landmarks, cursor->deletion);
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
    const struct wanted *wanted, const struct partition_place *place, struct landmarks *landmarks)
{
    struct partition_cursor *cursor = &lookup->cursor;
    const struct index_entry *entry = &place->entry;
    struct deletion open = DELETION_LIVE;
    int r;

    if (!wanted->clustering)
        r = read_static_row(cursor, wanted->key, entry);
    else if (entry->block_count > 0)
        r = read_row_by_index(cursor, index, wanted, place, &open);
    else
        r = read_row_of_block(cursor, wanted, entry, place->end, landmarks, &open);
    if (r < 0)
        return r;
    lookup->deletion = deletion_newest(cursor->deletion, open);
    lookup->row = r > 0 && !row_is_empty(&cursor->unfiltered.row) ? &cursor->unfiltered.row : NULL;
    lookup->may_have_more = wanted->part.count > 0 && lookup->row &&
                            lookup->row->liveness.timestamp_us == TIMESTAMP_NONE;
    return 1;
}

/** 1 and the place, learned before or now; 0: the partition is not here. */
static int find_partition(struct stream *index, const struct wanted *wanted,
    struct landmarks *landmarks, struct partition_place *ret_place)
{
    struct index_entry *entry = &ret_place->entry;
    int r;

    if (landmarks_open_partition(landmarks, index->sstable, wanted->key, ret_place))
        return 1;
    r = sstable_find_partition(index->sstable, index, wanted->key, wanted->clustering,
        wanted->clustering, entry, &ret_place->entry_at);
    if (r <= 0)
        return r;
    entry->key = wanted->key->key;
    r = sstable_partition_end(index, ret_place->entry_at, entry->entry_bytes, &ret_place->end);
    if (r < 0)
        return r;
    landmarks_set_place(landmarks, ret_place);
    return 1;
}

int sstable_lookup_row(struct sstable *sstable, const struct decorated_key *key,
    const struct clustering *clustering, uint64_t columns, struct row_lookup *lookup)
{
    struct wanted wanted = {.key = key, .clustering = clustering};
    AUTO(stream_release) struct stream index;
    struct partition_place place;
    struct landmarks landmarks;
    int r;

    stream_init(&index, sstable, STREAM_INDEX, STREAM_ONE_ROW);
    if (clustering ? !sstable_may_contain_row(sstable, key, clustering)
                   : !sstable_may_contain(sstable, key))
        return 0;
    r = find_partition(&index, &wanted, &landmarks, &place);
    if (r > 0) {
        (void)sstable_find_part(sstable, columns, &wanted.part);
        stream_init(&lookup->data, sstable, STREAM_DATA, STREAM_ONE_ROW);
        partition_cursor_init(&lookup->cursor, &lookup->data);
        lookup->cursor.row_memory = row_memory_lent(lookup->cells, ROW_LOOKUP_CELLS);
        r = read_partition(lookup, &index, &wanted, &place, &landmarks);
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
