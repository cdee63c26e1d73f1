#include "sstable/reader.h"

#include <errno.h>

#include "engine/error.h"
#include "rows/compare.h"

/*
 * Reads Data.db from a first partition on, straight through, with buffers of its own: a compaction
 * must not push out of the cache what readers want.
 */

#define PASS_BYTES (256u << 10)

struct sstable_scanner {
    struct partition_scanner base;
    struct partition_iterator partition; /* the one handed out */
    struct sstable *sstable;
    struct stream data;
    struct partition_cursor cursor;
    uint64_t next_position;
    int64_t first_token, last_token;
    bool is_positioned, has_partition, at_end;
    struct deletion open;
    struct buf previous_key;
    struct owned_clustering previous;
    bool has_previous; /* clustering, in this partition */
};

/** Rows ascend: what is merged with others must. */
static int check_order(struct sstable_scanner *scanner)
{
    const struct unfiltered *unfiltered = &scanner->cursor.unfiltered;
    const struct clustering *clustering =
        unfiltered->is_marker ? &unfiltered->marker.bound : &unfiltered->row.clustering;

    if (scanner->has_previous &&
        clustering_compare(scanner->base.schema, &scanner->previous.clustering, clustering) >= 0) {
        err_new(-EUCLEAN, "row does not come after the one before");
        return sstable_damaged(scanner->sstable, -EUCLEAN, COMPONENT_DATA, unfiltered->position);
    }
    scanner->has_previous = true;
    return owned_clustering_set(&scanner->previous, clustering);
}

static int partition_next_unfiltered(
    struct partition_iterator *iterator, const struct unfiltered **ret_unfiltered)
{
    struct sstable_scanner *scanner = CONTAINER_OF(iterator, struct sstable_scanner, partition);
    struct partition_cursor *cursor = &scanner->cursor;

    for (;;) {
        int r = partition_cursor_peek(cursor);

        if (r < 0)
            return r;
        if (r == 0)
            return partition_cursor_check_closed(cursor, scanner->open);
        r = partition_cursor_take(cursor);
        if (r == 0)
            r = partition_cursor_follow(cursor, &cursor->unfiltered, &scanner->open);
        if (r == 0)
            r = check_order(scanner);
        if (r < 0)
            return r;
        if (cursor->unfiltered.is_marker || !row_is_empty(&cursor->unfiltered.row)) {
            *ret_unfiltered = &cursor->unfiltered;
            return 1;
        }
    }
}

/* It is the scanner's, and goes with it. */
static void partition_close_nothing(struct partition_iterator *iterator)
{
    (void)iterator;
}

static const struct partition_iterator_ops partition_ops = {
    partition_next_unfiltered, partition_close_nothing, NULL};

/** Where the first partition of the token range begins. */
static int find_start(struct sstable_scanner *scanner)
{
    struct sstable *sstable = scanner->sstable;
    struct index_entry entry;
    struct stream index;
    int r;

    if (scanner->first_token <= sstable->facts.first_token)
        return 1;
    if (scanner->first_token > sstable->facts.last_token)
        return 0;
    stream_init(&index, sstable, STREAM_INDEX, STREAM_SLICE);
    r = sstable_find_token(sstable, &index, scanner->first_token, &entry);
    stream_release(&index);
    if (r > 0)
        scanner->next_position = entry.position;
    return r;
}

/** Behind the partition at hand, by the index. */
static int leave_by_index(struct sstable_scanner *scanner)
{
    AUTO(stream_release) struct stream index;
    struct index_entry entry;
    uint64_t at;
    int r;

    stream_init(&index, scanner->sstable, STREAM_INDEX, STREAM_SLICE);
    r = sstable_find_entry(scanner->sstable, &index, &scanner->cursor.key, &entry, &at);
    if (r == 0) {
        err_new(-EUCLEAN, "a partition that the index does not have");
        r = sstable_damaged(scanner->sstable, -EUCLEAN, COMPONENT_DATA, scanner->cursor.start);
    }
    if (r < 0)
        return r;
    at += entry.entry_bytes;
    if (at == scanner->sstable->index_bytes) {
        scanner->next_position = scanner->data.size;
        return 0;
    }
    r = stream_get_entry(&index, at, &entry);
    if (r == 0)
        scanner->next_position = entry.position;
    return r;
}

/** Over what the caller did not read: what is near by reading on. */
static int leave_partition(struct sstable_scanner *scanner)
{
    struct partition_cursor *cursor = &scanner->cursor;
    uint64_t near = cursor->position + PASS_BYTES;
    int r;

    while ((r = partition_cursor_peek(cursor)) > 0) {
        if (cursor->position > near)
            return leave_by_index(scanner);
        partition_cursor_skip(cursor);
    }
    scanner->next_position = cursor->position;
    return r;
}

/** Opens the partition at next_position; it must come after the one before. */
static int enter_partition(struct sstable_scanner *scanner)
{
    struct partition_cursor *cursor = &scanner->cursor;
    struct decorated_key previous;
    int r;

    r = partition_cursor_open(cursor, scanner->next_position);
    if (r < 0)
        return r;
    if (scanner->has_partition) {
        previous = decorated_key_of(buf_bytes(&scanner->previous_key));
        if (decorated_key_compare(&previous, &cursor->key) >= 0) {
            err_new(-EUCLEAN, "partition does not come after the one before");
            return sstable_damaged(
                scanner->sstable, -EUCLEAN, COMPONENT_DATA, scanner->next_position);
        }
    }
    buf_clear(&scanner->previous_key);
    buf_append_bytes(&scanner->previous_key, cursor->key.key);
    if (buf_error(&scanner->previous_key) < 0)
        return err_new(-ENOMEM, "key of %zu bytes", cursor->key.key.size);
    scanner->has_partition = true;
    scanner->has_previous = false;
    scanner->open = DELETION_LIVE;
    return 0;
}

static int next_partition(struct partition_scanner *base, struct partition_iterator **ret_partition)
{
    struct sstable_scanner *scanner = (struct sstable_scanner *)base;
    struct partition_cursor *cursor = &scanner->cursor;
    int r;

    if (scanner->at_end)
        return 0;
    if (!scanner->is_positioned) {
        r = find_start(scanner);
        if (r <= 0) {
            scanner->at_end = r == 0;
            return r;
        }
        scanner->is_positioned = true;
    } else if (scanner->has_partition) {
        r = leave_partition(scanner);
        if (r < 0)
            return r;
    }
    if (scanner->next_position == scanner->data.size) {
        scanner->at_end = true;
        return 0;
    }
    r = enter_partition(scanner);
    if (r < 0)
        return r;
    if (cursor->key.token > scanner->last_token) {
        scanner->at_end = true;
        return 0;
    }
    scanner->partition = (struct partition_iterator){
        .ops = &partition_ops,
        .schema = base->schema,
        .key = cursor->key,
        .deletion = cursor->deletion,
        .static_row = cursor->has_static_row ? &cursor->static_row.row : NULL,
        .position = cursor->start,
        .rows_position = cursor->rows_position,
    };
    *ret_partition = &scanner->partition;
    return 1;
}

static void close_scanner(struct partition_scanner *base)
{
    struct sstable_scanner *scanner = (struct sstable_scanner *)base;

    partition_cursor_release(&scanner->cursor);
    stream_release(&scanner->data);
    buf_release(&scanner->previous_key);
    owned_clustering_release(&scanner->previous);
    sstable_unref(scanner->sstable);
    free(scanner);
}

static const struct partition_scanner_ops scanner_ops = {next_partition, close_scanner};

int sstable_scan(struct sstable *sstable, int64_t first_token, int64_t last_token,
    struct partition_scanner **ret_scanner)
{
    struct sstable_scanner *scanner = calloc(1, sizeof(*scanner));

    if (!scanner)
        return err_new(-ENOMEM, "a scanner");
    scanner->base = (struct partition_scanner){&scanner_ops, sstable->schema};
    scanner->sstable = sstable_ref(sstable);
    scanner->first_token = first_token;
    scanner->last_token = last_token;
    stream_init(&scanner->data, sstable, STREAM_DATA, STREAM_SEQUENTIAL);
    partition_cursor_init(&scanner->cursor, &scanner->data);
    owned_clustering_init(&scanner->previous);
    *ret_scanner = &scanner->base;
    return 0;
}
