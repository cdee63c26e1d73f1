#include "sstable/index_map.h"

#include <errno.h>

#include "base/crc32.h"
#include "engine/error.h"
#include "rows/compare.h"
#include "sstable/reader.h"

#define READ_BYTES (256u << 10)
#define SAMPLE_BYTES 1024u

static int read_failed(struct sstable *sstable, int64_t count, size_t want, uint64_t at)
{
    if (count >= 0)
        count = err_new(-EUCLEAN, "file ends at %llu of %llu",
            (unsigned long long)(at + (uint64_t)count), (unsigned long long)(at + want));
    return sstable_damaged(sstable, (int)count, COMPONENT_INDEX, at);
}

/** The checksum of each page, and of all. */
static int sum_pages(struct sstable *sstable, struct index_map *map, uint8_t *piece)
{
    uint64_t size = sstable->index_bytes;
    uint32_t crc = 0;

    for (uint64_t at = 0; at < size; at += READ_BYTES) {
        size_t want = size - at < READ_BYTES ? (size_t)(size - at) : READ_BYTES;
        int64_t count = io_read(sstable->env, sstable->index_fd, piece, want, at);

        if (count < 0 || (size_t)count < want)
            return read_failed(sstable, count, want, at);
        crc = crc32_update(crc, piece, want);
        for (size_t i = 0; i < want; i += INDEX_PAGE_BYTES)
            map->page_crcs[(at + i) / INDEX_PAGE_BYTES] = crc32_update(
                0, piece + i, want - i < INDEX_PAGE_BYTES ? want - i : INDEX_PAGE_BYTES);
    }
    return sstable_check_digest(sstable, COMPONENT_INDEX, crc);
}

static int add_sample(struct index_map *map, int64_t token, uint64_t position)
{
    if (map->count == map->capacity) {
        size_t capacity = map->capacity ? map->capacity * 2 : 64;
        int64_t *tokens = reallocarray(map->tokens, capacity, sizeof(*tokens));
        uint64_t *positions;

        if (!tokens)
            return err_new(-ENOMEM, "%zu entries of an index", capacity);
        map->tokens = tokens;
        positions = reallocarray(map->positions, capacity, sizeof(*positions));
        if (!positions)
            return err_new(-ENOMEM, "%zu entries of an index", capacity);
        map->positions = positions;
        map->capacity = capacity;
    }
    map->tokens[map->count] = token;
    map->positions[map->count++] = position;
    return 0;
}

static int keep_key(struct buf *to, struct bytes key)
{
    buf_clear(to);
    buf_append_bytes(to, key);
    return buf_error(to) < 0 ? err_new(-ENOMEM, "a key of %zu bytes", key.size) : 0;
}

static int add_entry(struct sstable *sstable, struct index_map *map, struct bytes key, uint64_t at)
{
    int64_t token;
    int r;

    if (map->count > 0 && at / SAMPLE_BYTES == map->positions[map->count - 1] / SAMPLE_BYTES)
        return 0;
    token = decorated_key_of(key).token;
    if (map->count > 0 && token < map->tokens[map->count - 1]) {
        err_new(-EUCLEAN, "entry does not come after the ones before");
        return sstable_damaged(sstable, -EUCLEAN, COMPONENT_INDEX, at);
    }
    r = add_sample(map, token, at);
    return r < 0 || map->count > 1 ? r : keep_key(&map->first_key, key);
}

static int sample_entries(struct sstable *sstable, struct index_map *map)
{
    AUTO(stream_release) struct stream index;
    struct index_entry entry = {.key = BYTES_NONE};
    uint64_t at = 0;
    int r;

    stream_init(&index, sstable, STREAM_INDEX, STREAM_SEQUENTIAL);
    index.index_map = map;
    while (at < sstable->index_bytes) {
        r = stream_get_entry(&index, at, &entry);
        if (r == 0)
            r = add_entry(sstable, map, entry.key, at);
        if (r < 0)
            return r;
        at += entry.entry_bytes;
    }
    r = keep_key(&map->last_key, entry.key);
    /* Nothing else tells an index that was cut between two entries, if its digest is not known. */
    if (r == 0 && sstable->last_key.data && !bytes_equal(sstable->last_key, entry.key)) {
        err_new(-EUCLEAN, "ends before the last key's entry");
        r = sstable_damaged(sstable, -EUCLEAN, COMPONENT_INDEX, at);
    }
    return r;
}

int index_map_build(struct sstable *sstable, struct index_map *map)
{
    AUTO(freep) uint8_t *piece = malloc(READ_BYTES);
    uint64_t pages = (sstable->index_bytes - 1) / INDEX_PAGE_BYTES + 1;
    int r;

    *map = INDEX_MAP_INIT;
    map->page_crcs = reallocarray(NULL, pages, sizeof(*map->page_crcs));
    if (!piece || !map->page_crcs)
        return err_new(-ENOMEM, "an index of %llu pages", (unsigned long long)pages);
    r = sum_pages(sstable, map, piece);
    return r < 0 ? r : sample_entries(sstable, map);
}

void index_map_release(struct index_map *map)
{
    free(map->page_crcs);
    free(map->tokens);
    free(map->positions);
    buf_release(&map->first_key);
    buf_release(&map->last_key);
    *map = INDEX_MAP_INIT;
}

/** The first sample with a token of at least `token`; all are smaller: their count. */
static size_t first_from(const struct index_map *map, int64_t token)
{
    size_t low = 0, high = map->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (map->tokens[middle] < token)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void index_map_find(const struct index_map *map, int64_t token, uint64_t index_bytes,
    uint64_t *ret_start, uint64_t *ret_end)
{
    size_t from = first_from(map, token), behind = from;

    while (behind < map->count && map->tokens[behind] == token)
        behind++;
    *ret_start = from > 0 ? map->positions[from - 1] : 0;
    *ret_end = behind < map->count ? map->positions[behind] : index_bytes;
}
