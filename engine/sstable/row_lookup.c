#include "sstable/row_lookup.h"

#include "rows/compare.h"

/** From where the cursor is to the row; 1: it is in cursor->unfiltered; 0: there is none. */
static int find_row(struct partition_cursor *cursor, const struct table_schema *schema,
    const struct clustering *clustering, struct deletion *open)
{
    for (;;) {
        int order, r = partition_cursor_peek(cursor);

        if (r < 0)
            return r;
        if (r == 0)
            return partition_cursor_check_closed(cursor, *open);
        order = clustering_compare(schema, &cursor->head.clustering, clustering);
        if (order > 0)
            return 0;
        if (order < 0 && !cursor->head.is_marker) {
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

/** To the partition's first row, or to the block in which the row would lie; 0: in none. */
static int seek_row(struct partition_cursor *cursor, struct stream *index,
    const struct decorated_key *key, const struct index_entry *entry, uint64_t entry_at,
    const struct clustering *clustering, struct deletion *open)
{
    struct block_place place;
    int r;

    if (entry->block_count == 0) {
        r = partition_cursor_enter(cursor, entry->position, key);
        if (r == 0)
            r = partition_cursor_pass_static_row(cursor, false);
        return r < 0 ? r : 1;
    }
    cursor->deletion = entry->deletion;
    r = promoted_index_seek(index, entry, entry_at, clustering, &place);
    if (r > 0) {
        *open = place.open;
        partition_cursor_jump(cursor, place.position);
    }
    return r;
}

static int read_row(struct row_lookup *lookup, struct stream *index,
    const struct decorated_key *key, const struct index_entry *entry, uint64_t entry_at,
    const struct clustering *clustering)
{
    struct partition_cursor *cursor = &lookup->cursor;
    struct deletion open = DELETION_LIVE;
    int r;

    if (clustering) {
        r = seek_row(cursor, index, key, entry, entry_at, clustering, &open);
        if (r > 0)
            r = find_row(cursor, index->sstable->schema, clustering, &open);
    } else {
        r = partition_cursor_enter(cursor, entry->position, key);
        if (r == 0 && cursor->header->statics.count > 0) {
            r = partition_cursor_pass_static_row(cursor, true);
            if (r == 0)
                r = 1;
        }
    }
    if (r < 0)
        return r;
    lookup->deletion = deletion_newest(cursor->deletion, open);
    lookup->row = r > 0 && !row_is_empty(&cursor->unfiltered.row) ? &cursor->unfiltered.row : NULL;
    return 1;
}

int sstable_lookup_row(struct sstable *sstable, const struct decorated_key *key,
    const struct clustering *clustering, struct row_lookup *lookup)
{
    AUTO(stream_release) struct stream index;
    struct index_entry entry;
    uint64_t entry_at;
    int r;

    stream_init(&index, sstable, STREAM_INDEX, false);
    if (clustering ? !sstable_may_contain_row(sstable, key, clustering)
                   : !sstable_may_contain(sstable, key))
        return 0;
    r = sstable_find_partition(sstable, &index, key, clustering, clustering, &entry, &entry_at);
    if (r <= 0)
        return r;
    stream_init(&lookup->data, sstable, STREAM_DATA, false);
    partition_cursor_init(&lookup->cursor, &lookup->data);
    lookup->cursor.row_memory = row_memory_lent(lookup->cells, ROW_LOOKUP_CELLS);
    r = read_row(lookup, &index, key, &entry, entry_at, clustering);
    if (r < 0)
        row_lookup_release(lookup);
    return r;
}

void row_lookup_release(struct row_lookup *lookup)
{
    partition_cursor_release(&lookup->cursor);
    stream_release(&lookup->data);
}
