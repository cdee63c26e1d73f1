#include "sstable/index.h"

#include <errno.h>

#include "engine/error.h"

/* Widths are stored as differences to it, whatever the size of blocks really is. */
#define WIDTH_BASE 65536

void index_builder_init(
    struct index_builder *builder, const struct serialization_header *header, uint32_t block_bytes)
{
    *builder = (struct index_builder){
        .header = header,
        .block_bytes = block_bytes,
        .infos = BUF_INIT,
        .offsets = BUF_INIT,
        .first = BUF_INIT,
        .last = BUF_INIT,
        .open = DELETION_LIVE,
    };
}

void index_builder_release(struct index_builder *builder)
{
    buf_release(&builder->infos);
    buf_release(&builder->offsets);
    buf_release(&builder->first);
    buf_release(&builder->last);
}

void index_builder_begin(struct index_builder *builder)
{
    buf_clear(&builder->infos);
    buf_clear(&builder->offsets);
    builder->block_is_open = false;
    builder->open = DELETION_LIVE;
}

/* First and last are begun anew, with their errors, by each block and row: `infos` keeps them. */
static void keep_error(struct index_builder *builder, const struct buf *part)
{
    if (buf_error(part) < 0)
        builder->infos.error = buf_error(part);
}

static void close_block(struct index_builder *builder, uint64_t end)
{
    bool has_open = !deletion_is_live(builder->open);

    put_be32(&builder->offsets, (uint32_t)builder->infos.size);
    buf_append_bytes(&builder->infos, buf_bytes(&builder->first));
    buf_append_bytes(&builder->infos, buf_bytes(&builder->last));
    put_uvint(&builder->infos, builder->block_start);
    put_svint(&builder->infos, (int64_t)(end - builder->block_start) - WIDTH_BASE);
    buf_append_u8(&builder->infos, has_open);
    if (has_open)
        data_put_deletion(&builder->infos, builder->open);
    builder->block_is_open = false;
}

void index_builder_add(struct index_builder *builder, const struct unfiltered *unfiltered,
    uint64_t start, uint64_t end)
{
    const struct clustering *clustering =
        unfiltered->is_marker ? &unfiltered->marker.bound : &unfiltered->row.clustering;

    buf_clear(&builder->last);
    data_put_clustering_prefix(&builder->last, builder->header, clustering);
    keep_error(builder, &builder->last);
    if (!builder->block_is_open) {
        buf_clear(&builder->first);
        buf_append_bytes(&builder->first, buf_bytes(&builder->last));
        keep_error(builder, &builder->first);
        builder->block_start = start;
        builder->block_is_open = true;
    }
    if (unfiltered->is_marker)
        builder->open = unfiltered->marker.opens;
    if (end - builder->block_start >= builder->block_bytes)
        close_block(builder, end);
}

int index_builder_finish(struct index_builder *builder, struct buf *to, struct bytes key,
    uint64_t position, struct deletion deletion, uint64_t header_bytes, uint64_t end)
{
    uint64_t blocks, size;

    /* The last block reaches over the byte that ends the partition; one that was closed for its
     * size does not. So Cassandra does it. */
    if (builder->block_is_open)
        close_block(builder, end);
    if (buf_error(&builder->infos) < 0 || buf_error(&builder->offsets) < 0)
        return err_new(-ENOMEM, "promoted index of %zu bytes", builder->infos.size);

    put_sbytes(to, key);
    put_uvint(to, position);
    blocks = builder->offsets.size / 4;
    if (blocks < 2) {
        put_uvint32(to, 0);
        return 0;
    }
    size = uvint_size(header_bytes) + DELETION_BYTES + uvint_size(blocks) + builder->infos.size +
           builder->offsets.size;
    if (size > INT32_MAX)
        return err_new(-EFBIG, "promoted index of %llu bytes", (unsigned long long)size);
    put_uvint32(to, (int32_t)size);
    put_uvint(to, header_bytes);
    data_put_deletion(to, deletion);
    put_uvint32(to, (int32_t)blocks);
    buf_append_bytes(to, buf_bytes(&builder->infos));
    buf_append_bytes(to, buf_bytes(&builder->offsets));
    return 0;
}

enum data_result index_get_entry(struct decoder *d, struct index_entry *ret_entry)
{
    const uint8_t *start = d->at;
    struct index_entry entry = {.deletion = DELETION_LIVE};
    const uint8_t *promoted;
    int32_t size, blocks;

    entry.key = get_sbytes(d);
    entry.position = get_uvint(d);
    size = get_uvint32(d);
    if (decoder_failed(d))
        return DATA_MORE;
    if (size < 0)
        return DATA_BAD;
    entry.promoted_size = (uint32_t)size;
    entry.entry_bytes = (uint64_t)(d->at - start) + entry.promoted_size;
    if (size > 0) {
        promoted = d->at;
        entry.header_bytes = get_uvint(d);
        entry.deletion = data_get_deletion(d);
        blocks = get_uvint32(d);
        if (decoder_failed(d))
            return DATA_MORE;
        entry.infos_at = (uint32_t)(d->at - start);
        if (blocks < 1 || (uint64_t)(d->at - promoted) + (uint64_t)blocks * 4 > (uint64_t)size)
            return DATA_BAD;
        entry.block_count = (uint32_t)blocks;
        entry.offsets_at = (uint32_t)(entry.entry_bytes - (uint64_t)blocks * 4);
    }
    *ret_entry = entry;
    return DATA_OK;
}

enum data_result index_get_info(
    struct decoder *d, const struct serialization_header *header, struct index_info *ret_info)
{
    enum data_result r;
    uint8_t has_open;
    int64_t width;

    r = data_get_clustering_prefix(d, header, &ret_info->first_memory, &ret_info->first);
    if (r != DATA_OK)
        return r;
    r = data_get_clustering_prefix(d, header, &ret_info->last_memory, &ret_info->last);
    if (r != DATA_OK)
        return r;
    ret_info->offset = get_uvint(d);
    width = get_svint(d);
    has_open = get_u8(d);
    ret_info->open = has_open ? data_get_deletion(d) : DELETION_LIVE;
    if (decoder_failed(d))
        return DATA_MORE;
    if (has_open > 1 || width <= -WIDTH_BASE || width > INT64_MAX - WIDTH_BASE ||
        ret_info->offset > INT64_MAX)
        return DATA_BAD;
    ret_info->width = (uint64_t)(width + WIDTH_BASE);
    return DATA_OK;
}
