#include "sstable/reader.h"

#include <errno.h>

#include "base/crc32.h"
#include "engine/error.h"
#include "rows/compare.h"
#include "rows/reconcile.h"
#include "sstable/digest.h"

/*
 *   1. TOC.txt lists the files there are; Digest.crc32 is that of all of Data.db
 *   2. the stream from its first byte to its last, beside Index.db: partitions ascend, each has its
 *      entry, each row decodes and ascends, each block of a promoted index begins and ends with
 *      the rows that it names
 *   3. every key and row passes its filter; every entry of the summary is one of the index
 *   4. what Statistics.db says is true of all that was seen
 */

#define DIGEST_PIECE_BYTES (1u << 20)

struct verifier {
    struct sstable *sstable;
    struct summary summary;
    const struct sstable_filters *filters;
    struct stream data, index;
    struct stream blocks; /* of Index.db too: IndexInfos of the partition at hand */
    struct partition_cursor cursor;
    struct stats_collector seen;
    struct index_entry entry;
    uint64_t entry_at;
    uint32_t summary_at; /* entries of the summary that were met */
    struct buf previous_key;
    struct owned_clustering previous;
    bool has_previous;
    struct deletion open;
    uint32_t block;         /* of the promoted index, that is being read */
    struct index_info info; /* its IndexInfo */
    bool block_is_open;
};

static int damaged(const struct verifier *verifier, enum sstable_component component,
    uint64_t offset, const char *text)
{
    err_new(-EUCLEAN, "%s", text);
    return sstable_damaged(verifier->sstable, -EUCLEAN, component, offset);
}

/** A server that was streamed an SSTable whole (sstableloader) keeps neither TOC.txt nor
 * Digest.crc32. Of ours the latter tells of all components. */
static bool may_lack_toc(const struct sstable *sstable)
{
    return !component_set_has(sstable->components, COMPONENT_TOC) &&
           !component_set_has(sstable->components, COMPONENT_DIGEST);
}

static int verify_files(struct sstable *sstable)
{
    AUTO(buf_release) struct buf toc = BUF_INIT;
    component_set listed;
    int r;

    if (may_lack_toc(sstable))
        return 0;
    r = sstable_read_component(sstable, COMPONENT_TOC, 1u << 16, &toc);
    if (r < 0)
        return r;
    listed = toc_decode(buf_bytes(&toc));
    for (unsigned c = 0; c < COMPONENT_COUNT; c++) {
        bool is_listed = component_set_has(listed, (enum sstable_component)c);

        if (is_listed == component_set_has(sstable->components, (enum sstable_component)c))
            continue;
        err_new(-EUCLEAN, is_listed ? "%s is listed, but missing" : "%s is there, but not listed",
            component_name((enum sstable_component)c));
        return sstable_damaged(sstable, -EUCLEAN, COMPONENT_TOC, 0);
    }
    return 0;
}

static int verify_digest(struct sstable *sstable)
{
    AUTO(freep) uint8_t *piece = NULL;
    uint64_t at = 0;
    uint32_t crc = 0;

    if (!component_set_has(sstable->components, COMPONENT_DIGEST))
        return 0;
    piece = malloc(DIGEST_PIECE_BYTES);
    if (!piece)
        return err_new(-ENOMEM, "%u bytes to read into", DIGEST_PIECE_BYTES);
    for (;;) {
        int64_t count = io_read(sstable->env, sstable->data_fd, piece, DIGEST_PIECE_BYTES, at);

        if (count < 0)
            return sstable_damaged(sstable, (int)count, COMPONENT_DATA, at);
        if (count == 0)
            break;
        crc = crc32_update(crc, piece, (size_t)count);
        at += (uint64_t)count;
    }
    return sstable_check_digest(sstable, COMPONENT_DATA, crc);
}

/* ---- the promoted index ---- */

static enum data_result decode_info(struct decoder *d, void *arg)
{
    struct verifier *verifier = arg;

    return index_get_info(d, &verifier->sstable->header, &verifier->info);
}

/** Loads the IndexInfo of the block that begins at `offset` of the partition. */
static int begin_block(struct verifier *verifier, uint64_t offset)
{
    const struct index_entry *entry = &verifier->entry;
    uint64_t infos_at = verifier->entry_at + entry->infos_at;
    uint64_t offset_at = verifier->entry_at + entry->offsets_at + (uint64_t)verifier->block * 4;
    struct bytes window;
    uint64_t info_at;
    size_t bytes;
    int r;

    if (verifier->block >= entry->block_count)
        return damaged(verifier, COMPONENT_INDEX, verifier->entry_at, "rows behind the last block");
    r = stream_window(&verifier->blocks, offset_at, 4, &window);
    if (r < 0)
        return r;
    info_at = infos_at + load_be32(window.data);
    if (info_at >= verifier->entry_at + entry->offsets_at)
        return damaged(verifier, COMPONENT_INDEX, offset_at, "offset of a block");
    r = stream_get(&verifier->blocks, info_at, INDEX_INFO_BYTES_MAX, "index block", decode_info,
        verifier, &window, &bytes);
    if (r < 0)
        return r;
    if (verifier->info.offset != offset)
        return damaged(verifier, COMPONENT_INDEX, info_at, "block does not begin with a row");
    verifier->block_is_open = true;
    return 0;
}

/** The last row of a block was seen. */
static int end_block(struct verifier *verifier)
{
    const struct index_info *info = &verifier->info;

    if (clustering_compare(
            verifier->sstable->schema, &info->last, &verifier->previous.clustering) != 0 ||
        info->open.marked_for_delete_at_us != verifier->open.marked_for_delete_at_us ||
        info->open.local_deletion_time_s != verifier->open.local_deletion_time_s)
        return damaged(
            verifier, COMPONENT_INDEX, verifier->entry_at, "block does not end as its entry says");
    verifier->block++;
    verifier->block_is_open = false;
    return 0;
}

/** An unfiltered from `start` to `end` of the partition. */
static int check_block(
    struct verifier *verifier, const struct clustering *clustering, uint64_t start, uint64_t end)
{
    int r;

    if (verifier->entry.block_count == 0)
        return 0;
    if (!verifier->block_is_open) {
        r = begin_block(verifier, start);
        if (r < 0)
            return r;
        if (clustering_compare(verifier->sstable->schema, &verifier->info.first, clustering) != 0)
            return damaged(verifier, COMPONENT_INDEX, verifier->entry_at,
                "block does not begin as its entry says");
    }
    return end == verifier->info.offset + verifier->info.width ? end_block(verifier) : 0;
}

/* ---- rows ---- */

static int check_cells(struct verifier *verifier, const struct row *row,
    const struct column *columns, uint64_t position)
{
    for (uint32_t i = 1; i < row->cell_count; i++) {
        if (cell_order(columns, &row->cells[i - 1], &row->cells[i]) >= 0)
            return damaged(verifier, COMPONENT_DATA, position, "cells are out of order");
    }
    return 0;
}

/** `clustering` NULL: what deletes more than a row. */
static int check_row_filter(struct verifier *verifier, const struct clustering *clustering)
{
    if (row_filter_may_contain(&verifier->filters->rows, verifier->cursor.key.key, clustering))
        return 0;
    return damaged(verifier, COMPONENT_FILTER, 0, "a row of Data.db is not in it");
}

/** Readers rely on it. */
static int check_evenness(struct verifier *verifier)
{
    const struct partition_cursor *cursor = &verifier->cursor;
    const struct unfiltered *unfiltered = &cursor->unfiltered;
    struct even_row even;

    if (unfiltered->is_marker || !verifier->sstable->digests.rows_are_even ||
        !data_may_be_even(cursor->header, &cursor->head, cursor->body, &even) ||
        data_is_even(cursor->header, &unfiltered->row))
        return 0;
    return damaged(verifier, COMPONENT_DIGEST, 0, "a row is not even, as it says");
}

static int check_unfiltered(struct verifier *verifier)
{
    const struct table_schema *schema = verifier->sstable->schema;
    struct partition_cursor *cursor = &verifier->cursor;
    const struct unfiltered *unfiltered = &cursor->unfiltered;
    const struct clustering *clustering =
        unfiltered->is_marker ? &unfiltered->marker.bound : &unfiltered->row.clustering;
    int r;

    r = partition_cursor_take(cursor);
    if (r == 0)
        r = partition_cursor_follow(cursor, unfiltered, &verifier->open);
    if (r < 0)
        return r;
    if (verifier->has_previous &&
        clustering_compare(schema, &verifier->previous.clustering, clustering) >= 0)
        return damaged(verifier, COMPONENT_DATA, unfiltered->position,
            "row does not come after the one before");
    verifier->has_previous = true;
    r = owned_clustering_set(&verifier->previous, clustering);
    if (r == 0 && !unfiltered->is_marker)
        r = check_cells(verifier, &unfiltered->row, schema->regulars, unfiltered->position);
    if (r == 0)
        r = check_evenness(verifier);
    if (r == 0)
        r = check_row_filter(verifier, unfiltered->is_marker ? NULL : clustering);
    if (r == 0)
        r = check_block(verifier, clustering, unfiltered->position - cursor->start,
            cursor->position - cursor->start);
    if (r < 0)
        return r;
    return unfiltered->is_marker ? stats_add_marker(&verifier->seen, &unfiltered->marker)
                                 : stats_add_row(&verifier->seen, &unfiltered->row);
}

static int check_rows(struct verifier *verifier)
{
    struct partition_cursor *cursor = &verifier->cursor;
    int r;

    verifier->has_previous = false;
    verifier->open = DELETION_LIVE;
    verifier->block = 0;
    verifier->block_is_open = false;
    for (;;) {
        r = partition_cursor_peek(cursor);
        if (r == 0)
            break;
        if (r > 0)
            r = check_unfiltered(verifier);
        if (r < 0)
            return r;
    }
    r = partition_cursor_check_closed(cursor, verifier->open);
    if (r < 0)
        return r;
    /* The last block takes in the byte that ends the partition, if its size did not end it. */
    if (verifier->block_is_open) {
        if (cursor->position - cursor->start != verifier->info.offset + verifier->info.width)
            return damaged(verifier, COMPONENT_INDEX, verifier->entry_at,
                "last block does not end with the partition");
        r = end_block(verifier);
        if (r < 0)
            return r;
    }
    if (verifier->block != verifier->entry.block_count)
        return damaged(verifier, COMPONENT_INDEX, verifier->entry_at, "blocks behind the last row");
    return 0;
}

/* ---- partitions ---- */

static int check_entry(struct verifier *verifier, uint64_t position)
{
    const struct index_entry *entry = &verifier->entry;
    const struct partition_cursor *cursor = &verifier->cursor;

    if (entry->position != position || !bytes_equal(entry->key, cursor->key.key))
        return damaged(verifier, COMPONENT_INDEX, verifier->entry_at,
            "entry is not of the partition that follows in Data.db");
    if (entry->promoted_size > 0 &&
        (entry->header_bytes != cursor->rows_position - cursor->start ||
            entry->deletion.marked_for_delete_at_us != cursor->deletion.marked_for_delete_at_us ||
            entry->deletion.local_deletion_time_s != cursor->deletion.local_deletion_time_s))
        return damaged(verifier, COMPONENT_INDEX, verifier->entry_at,
            "header of the partition is not what the entry says");
    return 0;
}

static int check_summary_entry(struct verifier *verifier)
{
    const struct summary *summary = &verifier->summary;
    const struct summary_entry *entry = &summary->entries[verifier->summary_at];

    if (verifier->summary_at == summary->count || entry->index_position > verifier->entry_at)
        return 0;
    if (entry->index_position != verifier->entry_at ||
        !bytes_equal(entry->key, verifier->cursor.key.key))
        return damaged(
            verifier, COMPONENT_SUMMARY, 0, "an entry is not the one of Index.db that it names");
    verifier->summary_at++;
    return 0;
}

static int check_key(struct verifier *verifier)
{
    const struct decorated_key *key = &verifier->cursor.key;
    uint64_t position = verifier->cursor.start;
    struct decorated_key previous;

    if (verifier->seen.partitions == 0) {
        if (!bytes_equal(key->key, verifier->sstable->first_key))
            return damaged(verifier, COMPONENT_SUMMARY, 0, "first key is not that of Data.db");
    } else {
        previous = decorated_key_of(buf_bytes(&verifier->previous_key));
        if (decorated_key_compare(&previous, key) >= 0)
            return damaged(
                verifier, COMPONENT_DATA, position, "partition does not come after the one before");
    }
    if (!filter_may_contain(&verifier->filters->partitions, key->key))
        return damaged(verifier, COMPONENT_FILTER, 0, "a key of Data.db is not in it");
    buf_clear(&verifier->previous_key);
    buf_append_bytes(&verifier->previous_key, key->key);
    return buf_error(&verifier->previous_key) < 0 ? err_new(-ENOMEM, "a key") : 0;
}

static int check_partition(struct verifier *verifier, uint64_t position)
{
    const struct table_schema *schema = verifier->sstable->schema;
    struct partition_cursor *cursor = &verifier->cursor;
    int r;

    r = partition_cursor_open(cursor, position);
    if (r < 0)
        return r;
    if (verifier->entry_at >= verifier->index.size)
        return damaged(verifier, COMPONENT_INDEX, verifier->entry_at, "ends before Data.db does");
    r = stream_get_entry(&verifier->index, verifier->entry_at, &verifier->entry);
    if (r == 0)
        r = check_entry(verifier, position);
    if (r == 0)
        r = check_key(verifier);
    if (r == 0)
        r = check_summary_entry(verifier);
    if (r < 0)
        return r;
    if (!deletion_is_live(cursor->deletion)) {
        r = check_row_filter(verifier, NULL);
        if (r < 0)
            return r;
    }
    stats_add_partition(&verifier->seen, cursor->key.key, cursor->deletion);
    if (cursor->has_static_row) {
        r = check_cells(verifier, &cursor->static_row.row, schema->statics, position);
        if (r == 0)
            r = stats_add_row(&verifier->seen, &cursor->static_row.row);
        if (r < 0)
            return r;
    }
    r = check_rows(verifier);
    if (r < 0)
        return r;
    stats_end_partition(&verifier->seen, cursor->position - cursor->start);
    verifier->entry_at += verifier->entry.entry_bytes;
    return 0;
}

/* ---- Statistics.db ---- */

/** Wider than the truth is slower, narrower loses rows. */
static bool bounds_hold(const struct verifier *verifier)
{
    const struct statistics *stored = &verifier->sstable->statistics;
    const struct stats_collector *seen = &verifier->seen;

    if (seen->has_timestamp && (stored->min_timestamp_us > seen->min_timestamp_us ||
                                   stored->max_timestamp_us < seen->max_timestamp_us))
        return false;
    if (seen->has_local_deletion_time &&
        (stored->min_local_deletion_time_s > seen->min_local_deletion_time_s ||
            stored->max_local_deletion_time_s < seen->max_local_deletion_time_s))
        return false;
    return !seen->has_ttl ||
           (stored->min_ttl_s <= seen->min_ttl_s && stored->max_ttl_s >= seen->max_ttl_s);
}

static bool clusterings_hold(const struct verifier *verifier)
{
    const struct statistics *stored = &verifier->sstable->statistics;
    const struct table_schema *schema = verifier->sstable->schema;
    const struct stats_collector *seen = &verifier->seen;
    struct clustering min = {
        stored->min_clustering, (uint8_t)stored->min_clustering_count, KIND_INCL_START};
    struct clustering max = {
        stored->max_clustering, (uint8_t)stored->max_clustering_count, KIND_INCL_END};

    if (min.count > schema->clustering_count || max.count > schema->clustering_count)
        return false;
    return !seen->has_clustering ||
           (clustering_compare(schema, &min, &seen->min_clustering.clustering) <= 0 &&
               clustering_compare(schema, &max, &seen->max_clustering.clustering) >= 0);
}

static int verify_statistics(struct verifier *verifier)
{
    const struct statistics *stored = &verifier->sstable->statistics;
    const struct stats_collector *seen = &verifier->seen;

    if (!bounds_hold(verifier))
        return damaged(verifier, COMPONENT_STATISTICS, 0,
            "timestamps, deletion times or ttls in Data.db are outside of its bounds");
    if (!clusterings_hold(verifier))
        return damaged(
            verifier, COMPONENT_STATISTICS, 0, "rows in Data.db are outside of its clusterings");
    if (stored->rows != seen->rows || stored->columns_set != seen->columns_set ||
        stored->partitions != seen->partitions) {
        err_new(-EUCLEAN,
            "says %llu partitions, %llu rows, %llu columns; Data.db has %llu, %llu, %llu",
            (unsigned long long)stored->partitions, (unsigned long long)stored->rows,
            (unsigned long long)stored->columns_set, (unsigned long long)seen->partitions,
            (unsigned long long)seen->rows, (unsigned long long)seen->columns_set);
        return sstable_damaged(verifier->sstable, -EUCLEAN, COMPONENT_STATISTICS, 0);
    }
    return 0;
}

/** Nothing but its first and last key is read else; without one there is nothing to verify. */
static int load_summary(struct verifier *verifier)
{
    struct sstable *sstable = verifier->sstable;
    struct buf content = BUF_INIT;
    int r;

    if (!component_set_has(sstable->components, COMPONENT_SUMMARY))
        return 0;
    r = sstable_read_component(sstable, COMPONENT_SUMMARY, SUMMARY_BYTES_MAX, &content);
    if (r < 0) {
        buf_release(&content);
        return r;
    }
    r = summary_decode(content.data, content.size, &verifier->summary);
    return r < 0 ? sstable_damaged(sstable, r, COMPONENT_SUMMARY, 0) : 0;
}

static int verify_partitions(struct verifier *verifier)
{
    struct sstable *sstable = verifier->sstable;
    uint64_t position = 0;
    int r;

    r = load_summary(verifier);
    if (r == 0)
        r = sstable_get_filters(sstable, &verifier->filters);
    if (r < 0)
        return r;
    while (position < verifier->data.size) {
        r = check_partition(verifier, position);
        if (r < 0)
            return r;
        position = verifier->cursor.position;
    }
    if (verifier->entry_at != verifier->index.size)
        return damaged(
            verifier, COMPONENT_INDEX, verifier->entry_at, "entries behind the last partition");
    if (verifier->summary_at != verifier->summary.count)
        return damaged(verifier, COMPONENT_SUMMARY, 0, "entries behind the last partition");
    if (!bytes_equal(buf_bytes(&verifier->previous_key), sstable->last_key))
        return damaged(verifier, COMPONENT_SUMMARY, 0, "last key is not that of Data.db");
    return verify_statistics(verifier);
}

int sstable_verify(struct sstable *sstable)
{
    struct verifier *verifier;
    int r;

    r = verify_files(sstable);
    if (r == 0)
        r = verify_digest(sstable);
    if (r < 0)
        return r;
    verifier = calloc(1, sizeof(*verifier));
    if (!verifier)
        return err_new(-ENOMEM, "a verifier");
    verifier->sstable = sstable;
    stream_init(&verifier->data, sstable, STREAM_DATA, STREAM_SEQUENTIAL);
    stream_init(&verifier->index, sstable, STREAM_INDEX, STREAM_SEQUENTIAL);
    stream_init(&verifier->blocks, sstable, STREAM_INDEX, STREAM_SLICE);
    partition_cursor_init(&verifier->cursor, &verifier->data);
    owned_clustering_init(&verifier->previous);
    stats_collector_init(&verifier->seen, sstable->schema);
    r = verify_partitions(verifier);
    summary_release(&verifier->summary);
    stats_collector_release(&verifier->seen);
    owned_clustering_release(&verifier->previous);
    partition_cursor_release(&verifier->cursor);
    stream_release(&verifier->blocks);
    stream_release(&verifier->index);
    stream_release(&verifier->data);
    buf_release(&verifier->previous_key);
    free(verifier);
    return r;
}
