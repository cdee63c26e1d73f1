#include "sstable/reader.h"

#include <errno.h>

#include "engine/error.h"
#include "rows/compare.h"

struct info_request {
    const struct serialization_header *header;
    struct index_info info;
};

static enum data_result decode_info(struct decoder *d, void *arg)
{
    struct info_request *request = arg;

    return index_get_info(d, request->header, &request->info);
}

/**
 * The IndexInfo of block `number`; clusterings are borrowed until the next use of `index`. Offsets
 * lie apart from what they point to, so they are read through a stream of their own, and each keeps
 * the page that it is at.
 */
static int read_info(struct stream *offsets, struct stream *index, const struct index_entry *entry,
    uint64_t entry_at, uint32_t number, struct info_request *request)
{
    uint64_t offset_at = entry_at + entry->offsets_at + (uint64_t)number * 4, info_at;
    uint64_t infos_bytes = entry->offsets_at - entry->infos_at;
    struct bytes window;
    size_t bytes;
    int r;

    r = stream_window(offsets, offset_at, 4, &window);
    if (r < 0)
        return r;
    if (window.size < 4 || load_be32(window.data) >= infos_bytes) {
        err_new(-EUCLEAN, "offset of block %u", number);
        return sstable_damaged(index->sstable, -EUCLEAN, COMPONENT_INDEX, offset_at);
    }
    info_at = entry_at + entry->infos_at + load_be32(window.data);
    return stream_get(
        index, info_at, INDEX_INFO_BYTES_MAX, "index block", decode_info, request, &window, &bytes);
}

/** Where a block ends in the stream. */
static int block_end(struct stream *index, const struct index_entry *entry, uint64_t entry_at,
    const struct index_info *info, uint64_t *ret_end)
{
    if (__builtin_add_overflow(entry->position + info->offset, info->width, ret_end)) {
        err_new(-EUCLEAN, "block lies behind all data");
        return sstable_damaged(index->sstable, -EUCLEAN, COMPONENT_INDEX, entry_at);
    }
    return 0;
}

int promoted_index_seek(struct stream *index, const struct index_entry *entry, uint64_t entry_at,
    const struct clustering *start, struct block_place *ret_place)
{
    struct info_request request = {.header = &index->sstable->header};
    uint32_t low = 0, high = entry->block_count;
    AUTO(stream_release) struct stream offsets;
    int r;

    *ret_place = (struct block_place){
        .position = entry->position + entry->header_bytes,
        .open = DELETION_LIVE,
    };
    stream_init(&offsets, index->sstable, STREAM_INDEX, STREAM_SLICE);
    /* The first block whose last clustering is not before the start. */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint64_t end = 0;

        r = read_info(&offsets, index, entry, entry_at, middle, &request);
        if (r == 0)
            r = block_end(index, entry, entry_at, &request.info, &end);
        if (r < 0)
            return r;
        if (clustering_compare(index->sstable->schema, &request.info.last, start) < 0) {
            ret_place->position = end;
            ret_place->open = request.info.open;
            low = middle + 1;
        } else {
            ret_place->end = end;
            high = middle;
        }
    }
    return low < entry->block_count;
}

/* The widths of the blocks that hold anything of the slice. */
static int add_up_blocks(struct stream *index, const struct index_entry *entry, uint64_t entry_at,
    const struct slice *slice, uint64_t *ret_bytes)
{
    AUTO(freep) struct info_request *request = malloc(sizeof(*request));
    const struct table_schema *schema = index->sstable->schema;
    uint64_t at = entry_at + entry->infos_at;

    if (!request)
        return err_new(-ENOMEM, "index block");
    request->header = &index->sstable->header;
    *ret_bytes = 0;
    for (uint32_t i = 0; i < entry->block_count; i++) {
        struct bytes window;
        size_t bytes;
        int r = stream_get(
            index, at, INDEX_INFO_BYTES_MAX, "index block", decode_info, request, &window, &bytes);

        if (r < 0)
            return r;
        if (clustering_compare(schema, &request->info.first, &slice->end) > 0)
            break;
        if (clustering_compare(schema, &request->info.last, &slice->start) >= 0)
            *ret_bytes += request->info.width;
        at += bytes;
    }
    return 1;
}

int sstable_slice_bytes(struct sstable *sstable, const struct decorated_key *key,
    const struct slice *slice, uint64_t *ret_bytes)
{
    AUTO(stream_release) struct stream index;
    struct index_entry entry;
    uint64_t at;
    int r;

    stream_init(&index, sstable, STREAM_INDEX, STREAM_SLICE);
    if (sstable_rows_are_outside(sstable, &slice->start, &slice->end) ||
        !sstable_may_contain(sstable, key))
        return 0;
    r = sstable_find_entry(sstable, &index, key, &entry, &at);
    if (r <= 0)
        return r;
    if (entry.block_count > 0)
        return add_up_blocks(&index, &entry, at, slice, ret_bytes);
    return sstable_partition_bytes(sstable, key, ret_bytes);
}
