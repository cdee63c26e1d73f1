#include "support/reseal.h"

#include "base/crc32.h"
#include "engine/coding.h"
#include "sstable/compression.h"
#include "sstable/digest.h"

static void seal(struct buf *content, uint64_t start, uint64_t size)
{
    store_be32(content->data + start + size, crc32_update(0, content->data + start, size));
}

/* Of compressed tables: behind each chunk that CompressionInfo.db places in the file. */
static void reseal_chunks(struct buf *data, const struct buf *info_content)
{
    struct compression_info info;

    if (compression_info_decode(buf_bytes(info_content), false, &info) < 0)
        return;
    for (uint64_t i = 0; i < info.chunk_count; i++) {
        uint64_t offset;
        uint32_t stored;

        if (compression_chunk_place(&info, i, data->size, &offset, &stored) == 0)
            seal(data, offset, stored - CHUNK_CRC_BYTES);
    }
}

/* Of others: CRC.db anew. */
static void reseal_crc_table(const struct buf *data, struct buf *table)
{
    buf_clear(table);
    put_be32(table, CRC_CHUNK_BYTES);
    for (size_t at = 0; at < data->size; at += CRC_CHUNK_BYTES) {
        size_t left = data->size - at;

        put_be32(table,
            crc32_update(0, data->data + at, left < CRC_CHUNK_BYTES ? left : CRC_CHUNK_BYTES));
    }
}

/* FORMAT.md, "Statistics.db": count, CRC, entries (type, offset), CRC; parts, each with its CRC. */
static void reseal_statistics(struct buf *statistics)
{
    uint32_t count = statistics->size >= 8 ? load_be32(statistics->data) : 0;
    uint64_t head = 8 + 8 * (uint64_t)count;
    uint8_t *toc = statistics->data + 8;

    if (count == 0 || statistics->size < head + 4)
        return;
    seal(statistics, 0, 4);
    store_be32(toc + 8 * (uint64_t)count,
        crc32_update(crc32_update(0, statistics->data, 4), toc, 8 * (uint64_t)count));
    for (uint32_t i = 0; i < count; i++) {
        uint64_t start = load_be32(toc + 8 * (uint64_t)i + 4);
        uint64_t end = i + 1 < count ? load_be32(toc + 8 * (uint64_t)i + 12) : statistics->size;

        if (start >= head + 4 && end <= statistics->size && start + 4 <= end)
            seal(statistics, start, end - start - 4);
    }
}

static void reseal_digest(struct buf contents[COMPONENT_COUNT])
{
    struct component_digests digests = {0};

    for (unsigned i = 0; i < COMPONENT_COUNT; i++) {
        if (contents[i].size == 0 || i == COMPONENT_DIGEST || i == COMPONENT_TOC)
            continue;
        digests.known |= 1u << i;
        digests.crc[i] = crc32_update(0, contents[i].data, contents[i].size);
    }
    buf_clear(&contents[COMPONENT_DIGEST]);
    digest_encode(&contents[COMPONENT_DIGEST], &digests);
}

void sstable_reseal(struct buf contents[COMPONENT_COUNT])
{
    if (contents[COMPONENT_COMPRESSION_INFO].size > 0)
        reseal_chunks(&contents[COMPONENT_DATA], &contents[COMPONENT_COMPRESSION_INFO]);
    else
        reseal_crc_table(&contents[COMPONENT_DATA], &contents[COMPONENT_CRC]);
    reseal_statistics(&contents[COMPONENT_STATISTICS]);
    reseal_digest(contents);
}
