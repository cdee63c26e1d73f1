#include "sstable/reader.h"

#include <errno.h>

#include "engine/error.h"
#include "rows/compare.h"
#include "sstable/digest.h"
#include "sstable/slice.h"

/*
 * A lookup: token range, bloom filter, clustering range; then the index map says which part of
 * Index.db may hold the key, and its entry where the partition lies (slice.c and row_lookup.c go on
 * from there).
 */

#define COMPONENT_BYTES_MAX (8ull << 30)

/* ---- what is loaded when it is first needed ---- */

static void free_chunks(struct chunk_table *chunks)
{
    if (chunks)
        buf_release(&chunks->content);
    free(chunks);
}

static void free_index_map(struct index_map *map)
{
    if (map)
        index_map_release(map);
    free(map);
}

static void free_filters(struct sstable_filters *filters)
{
    if (filters)
        filters_release(filters);
    free(filters);
}

void sstable_free_loaded(struct sstable *sstable)
{
    free_chunks(atomic_load(&sstable->chunks));
    free_index_map(atomic_load(&sstable->index_map));
    free_filters(atomic_load(&sstable->filters));
}

static int load_chunks(struct sstable *sstable, struct chunk_table *chunks)
{
    enum sstable_component component =
        sstable->is_compressed ? COMPONENT_COMPRESSION_INFO : COMPONENT_CRC;
    uint32_t chunk_bytes;
    int r;

    if (!component_set_has(sstable->components, component))
        return 0;
    r = sstable_read_component(sstable, component, COMPONENT_BYTES_MAX, &chunks->content);
    if (r < 0)
        return r;
    if (sstable->is_compressed)
        r = compression_info_decode(buf_bytes(&chunks->content), false, &chunks->compression);
    else
        r = crc_table_check(buf_bytes(&chunks->content), sstable->facts.data_bytes, &chunk_bytes);
    return r < 0 ? sstable_damaged(sstable, r, component, 0) : 0;
}

int sstable_get_chunks(struct sstable *sstable, const struct chunk_table **ret_chunks)
{
    struct chunk_table *chunks = atomic_load_explicit(&sstable->chunks, memory_order_acquire);
    struct chunk_table *others = NULL;
    int r;

    if (!chunks) {
        chunks = calloc(1, sizeof(*chunks));
        r = chunks ? load_chunks(sstable, chunks) : err_new(-ENOMEM, "table of chunks");
        if (r < 0) {
            free_chunks(chunks);
            return r;
        }
        if (!atomic_compare_exchange_strong(&sstable->chunks, &others, chunks)) {
            free_chunks(chunks);
            chunks = others;
        }
    }
    *ret_chunks = chunks;
    return 0;
}

int sstable_get_index_map(struct sstable *sstable, const struct index_map **ret_map)
{
    struct index_map *map = atomic_load_explicit(&sstable->index_map, memory_order_acquire);
    struct index_map *others = NULL;
    int r;

    if (!map) {
        map = calloc(1, sizeof(*map));
        r = map ? index_map_build(sstable, map) : err_new(-ENOMEM, "an index");
        if (r < 0) {
            free_index_map(map);
            return r;
        }
        if (!atomic_compare_exchange_strong(&sstable->index_map, &others, map)) {
            free_index_map(map);
            map = others;
        }
    }
    *ret_map = map;
    return 0;
}

static int load_filters(struct sstable *sstable, struct sstable_filters *filters)
{
    struct buf content = BUF_INIT;
    int r = 0;

    /* Without one every key may be there: slower, never wrong. */
    if (component_set_has(sstable->components, COMPONENT_FILTER))
        r = sstable_read_component(sstable, COMPONENT_FILTER, COMPONENT_BYTES_MAX, &content);
    if (r == 0) {
        r = filters_decode(buf_bytes(&content), filters);
        if (r < 0)
            r = sstable_damaged(sstable, r, COMPONENT_FILTER, 0);
    }
    buf_release(&content);
    return r;
}

int sstable_get_filters(struct sstable *sstable, const struct sstable_filters **ret_filters)
{
    struct sstable_filters *filters = atomic_load_explicit(&sstable->filters, memory_order_acquire);
    struct sstable_filters *others = NULL;
    int r;

    if (!filters) {
        filters = calloc(1, sizeof(*filters));
        r = filters ? load_filters(sstable, filters) : err_new(-ENOMEM, "a bloom filter");
        if (r < 0) {
            free_filters(filters);
            return r;
        }
        if (!atomic_compare_exchange_strong(&sstable->filters, &others, filters)) {
            free_filters(filters);
            filters = others;
        }
    }
    *ret_filters = filters;
    return 0;
}

/* ---- the index ---- */

static enum data_result decode_entry(struct decoder *d, void *arg)
{
    return index_get_entry(d, arg);
}

int stream_get_entry(struct stream *index, uint64_t at, struct index_entry *ret_entry)
{
    struct bytes window;
    size_t bytes;
    int r;

    r = stream_get(
        index, at, KEY_BYTES_MAX + 64, "index entry", decode_entry, ret_entry, &window, &bytes);
    if (r < 0)
        return r;
    if (ret_entry->entry_bytes > index->size - at ||
        ret_entry->position >= index->sstable->facts.stream_bytes) {
        err_new(-EUCLEAN, "entry of %llu bytes for position %llu",
            (unsigned long long)ret_entry->entry_bytes, (unsigned long long)ret_entry->position);
        return sstable_damaged(index->sstable, -EUCLEAN, COMPONENT_INDEX, at);
    }
    return 0;
}

/** How many bytes of the window are whole entries of other keys: most of a section is only passed.
 */
static size_t skip_others(struct bytes window, struct bytes key)
{
    struct decoder d = decoder_of(window);
    size_t skipped = 0;

    for (;;) {
        struct bytes found = get_sbytes(&d);
        int32_t promoted_size;

        get_uvint(&d);
        promoted_size = get_uvint32(&d);
        if (decoder_failed(&d) || promoted_size < 0 || bytes_equal(found, key) ||
            decoder_left(&d) <= (size_t)promoted_size)
            return skipped;
        d.at += promoted_size;
        skipped = (size_t)(d.at - window.data);
    }
}

int sstable_find_entry(struct sstable *sstable, struct stream *index,
    const struct decorated_key *key, struct index_entry *ret_entry, uint64_t *ret_entry_at)
{
    const struct index_map *map;
    struct bytes window;
    uint64_t at, end;
    int r;

    r = sstable_get_index_map(sstable, &map);
    if (r < 0)
        return r;
    index_map_find(map, key->token, sstable->index_bytes, &at, &end);
    while (at < end) {
        r = stream_window(index, at, 1, &window);
        if (r < 0)
            return r;
        if (window.size > end - at)
            window.size = (size_t)(end - at);
        at += skip_others(window, key->key);
        r = stream_get_entry(index, at, ret_entry);
        if (r < 0)
            return r;
        if (bytes_equal(ret_entry->key, key->key)) {
            *ret_entry_at = at;
            return 1;
        }
        at += ret_entry->entry_bytes;
    }
    return 0;
}

int sstable_find_token(
    struct sstable *sstable, struct stream *index, int64_t token, struct index_entry *ret_entry)
{
    const struct index_map *map;
    uint64_t at, end;
    int r;

    r = sstable_get_index_map(sstable, &map);
    if (r < 0)
        return r;
    index_map_find(map, token, sstable->index_bytes, &at, &end);
    while (at < sstable->index_bytes) {
        r = stream_get_entry(index, at, ret_entry);
        if (r < 0)
            return r;
        if (decorated_key_of(ret_entry->key).token >= token)
            return 1;
        at += ret_entry->entry_bytes;
    }
    return 0;
}

/* ---- lookups ---- */

bool sstable_may_contain(struct sstable *sstable, const struct decorated_key *key)
{
    const struct sstable_filters *filters;

    if (key->token < sstable->facts.first_token || key->token > sstable->facts.last_token)
        return false;
    /* A filter that cannot be read says nothing: whoever reads then, meets the error if it lasts.
     */
    if (sstable_get_filters(sstable, &filters) < 0)
        return true;
    if (filter_may_contain(&filters->partitions, key->key))
        return true;
    atomic_fetch_add_explicit(&sstable->filter_negatives, 1, memory_order_relaxed);
    return false;
}

bool sstable_may_contain_row(
    struct sstable *sstable, const struct decorated_key *key, const struct clustering *clustering)
{
    const struct sstable_filters *filters;

    if (!sstable_may_contain(sstable, key))
        return false;
    if (sstable_get_filters(sstable, &filters) < 0 ||
        row_filter_may_contain(&filters->rows, key->key, clustering) ||
        row_filter_may_contain(&filters->rows, key->key, NULL))
        return true;
    atomic_fetch_add_explicit(&sstable->filter_negatives, 1, memory_order_relaxed);
    return false;
}

bool sstable_rows_are_outside(
    const struct sstable *sstable, const struct clustering *start, const struct clustering *end)
{
    const struct statistics *statistics = &sstable->statistics;
    struct clustering min = {
        statistics->min_clustering, (uint8_t)statistics->min_clustering_count, KIND_INCL_START};
    struct clustering max = {
        statistics->max_clustering, (uint8_t)statistics->max_clustering_count, KIND_INCL_END};

    if (min.count > sstable->schema->clustering_count ||
        max.count > sstable->schema->clustering_count)
        return false;
    return clustering_compare(sstable->schema, end, &min) < 0 ||
           clustering_compare(sstable->schema, start, &max) > 0;
}

/* Nor anything else that a reader of the partition must know: a static row, or any deletion. */
static bool is_outside(
    const struct sstable *sstable, const struct clustering *start, const struct clustering *end)
{
    return sstable->header.statics.count == 0 &&
           sstable->statistics.min_local_deletion_time_s == LOCAL_DELETION_TIME_NONE &&
           sstable_rows_are_outside(sstable, start, end);
}

int sstable_find_partition(struct sstable *sstable, struct stream *index,
    const struct decorated_key *key, const struct clustering *start, const struct clustering *end,
    struct index_entry *ret_entry, uint64_t *ret_entry_at)
{
    int r;

    if (start && is_outside(sstable, start, end))
        return 0;
    r = sstable_find_entry(sstable, index, key, ret_entry, ret_entry_at);
    if (r == 0)
        atomic_fetch_add_explicit(&sstable->filter_false_positives, 1, memory_order_relaxed);
    return r;
}

int sstable_read(struct sstable *sstable, const struct decorated_key *key,
    const struct slice *slice, struct partition_iterator **ret_iterator)
{
    AUTO(stream_release) struct stream index;
    struct index_entry entry;
    uint64_t entry_at;
    int r;

    stream_init(&index, sstable, STREAM_INDEX, STREAM_SLICE);
    if (!sstable_may_contain(sstable, key))
        return 0;
    r = sstable_find_partition(sstable, &index, key, &slice->start, &slice->end, &entry, &entry_at);
    if (r <= 0)
        return r;
    r = slice_iterator_new(sstable, &index, key, &entry, entry_at, slice, ret_iterator);
    return r < 0 ? r : 1;
}

int sstable_partition_end(
    struct stream *index, uint64_t entry_at, uint64_t entry_bytes, uint64_t *ret_end)
{
    uint64_t next_at = entry_at + entry_bytes;
    struct index_entry next;
    int r;

    if (next_at == index->size) {
        *ret_end = index->sstable->facts.stream_bytes;
        return 0;
    }
    r = stream_get_entry(index, next_at, &next);
    *ret_end = next.position;
    return r;
}

int sstable_partition_bytes(
    struct sstable *sstable, const struct decorated_key *key, uint64_t *ret_bytes)
{
    AUTO(stream_release) struct stream index;
    struct index_entry entry;
    uint64_t at, position, end;
    int r;

    stream_init(&index, sstable, STREAM_INDEX, STREAM_SLICE);
    if (!sstable_may_contain(sstable, key))
        return 0;
    r = sstable_find_entry(sstable, &index, key, &entry, &at);
    if (r <= 0)
        return r;
    position = entry.position;
    r = sstable_partition_end(&index, at, entry.entry_bytes, &end);
    if (r < 0)
        return r;
    *ret_bytes = end > position ? end - position : 0;
    return 1;
}
