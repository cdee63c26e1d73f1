#include "sstable/compression.h"

#include <errno.h>
#include <lz4.h>

#include "base/crc32.h"
#include "engine/coding.h"
#include "engine/error.h"

#define COMPRESSOR "LZ4Compressor"
#define LZ4_PREFIX_BYTES 4u

uint32_t compression_max_bytes(uint32_t chunk_bytes, double min_compress_ratio)
{
    double most;

    /* Cassandra: schema/CompressionParams.java, calcMaxCompressedLength(). */
    if (min_compress_ratio <= 0)
        return CHUNK_ALWAYS_COMPRESSED;
    if (min_compress_ratio < 1)
        return chunk_bytes;
    most = chunk_bytes / min_compress_ratio;
    return (uint32_t)most + ((double)(uint32_t)most < most);
}

static void put_utf(struct buf *to, const char *text)
{
    put_sbytes(to, bytes_of_string(text));
}

void compression_info_encode(struct buf *to, const struct compression_info *info)
{
    put_utf(to, COMPRESSOR);
    put_be32(to, 0);
    put_be32(to, info->chunk_bytes);
    put_be32(to, info->max_compressed_bytes);
    put_be64(to, info->stream_bytes);
    put_be32(to, (uint32_t)info->chunk_count);
    buf_append(to, info->offsets, info->chunk_count * 8);
}

static bool chunk_bytes_valid(uint32_t bytes)
{
    return bytes >= CHUNK_BYTES_MIN && bytes <= CHUNK_BYTES_MAX && (bytes & (bytes - 1)) == 0;
}

int compression_info_decode(
    struct bytes content, bool header_only, struct compression_info *ret_info)
{
    struct decoder d = decoder_of(content);
    struct bytes name = get_sbytes(&d);
    uint32_t options = get_be32(&d);
    struct compression_info info = {0};

    if (decoder_failed(&d) || !bytes_equal(name, BYTES_LITERAL(COMPRESSOR)))
        return err_new(-EUCLEAN, "compressor is not " COMPRESSOR);
    for (; options > 0 && !decoder_failed(&d); options--) {
        get_sbytes(&d);
        get_sbytes(&d);
    }
    info.chunk_bytes = get_be32(&d);
    info.max_compressed_bytes = get_be32(&d);
    info.stream_bytes = get_be64(&d);
    info.chunk_count = get_be32(&d);
    if (decoder_failed(&d))
        return err_new(-EUCLEAN, "ends within its header");
    if (!chunk_bytes_valid(info.chunk_bytes))
        return err_new(-EUCLEAN, "chunk length %u", info.chunk_bytes);
    if (info.max_compressed_bytes == 0 || (info.max_compressed_bytes > info.chunk_bytes &&
                                              info.max_compressed_bytes != CHUNK_ALWAYS_COMPRESSED))
        return err_new(-EUCLEAN, "max compressed length %u", info.max_compressed_bytes);
    if (info.stream_bytes == 0 || info.stream_bytes > INT64_MAX ||
        info.chunk_count < (info.stream_bytes - 1) / info.chunk_bytes + 1)
        return err_new(-EUCLEAN, "%llu chunks of %u for %llu bytes",
            (unsigned long long)info.chunk_count, info.chunk_bytes,
            (unsigned long long)info.stream_bytes);
    if (!header_only && decoder_left(&d) != info.chunk_count * 8)
        return err_new(-EUCLEAN, "%zu bytes of offsets for %llu chunks", decoder_left(&d),
            (unsigned long long)info.chunk_count);
    info.offsets = header_only ? NULL : d.at;
    *ret_info = info;
    return 0;
}

int compression_chunk_place(const struct compression_info *info, uint64_t chunk,
    uint64_t file_bytes, uint64_t *ret_offset, uint32_t *ret_stored_bytes)
{
    bool last = chunk + 1 == info->chunk_count;
    uint64_t offset = load_be64(info->offsets + chunk * 8);
    uint64_t end = last ? file_bytes : load_be64(info->offsets + (chunk + 1) * 8);
    uint64_t stored_max = (uint64_t)info->chunk_bytes + info->chunk_bytes / 128 + 64;

    /* LZ4 makes nothing longer than by a 255th and 16 bytes. */
    if (end > file_bytes || offset > end || end - offset <= CHUNK_CRC_BYTES ||
        end - offset > stored_max || (chunk == 0 && offset != 0))
        return err_new(-EUCLEAN, "chunk %llu from %llu to %llu of %llu", (unsigned long long)chunk,
            (unsigned long long)offset, (unsigned long long)end, (unsigned long long)file_bytes);
    *ret_offset = offset;
    *ret_stored_bytes = (uint32_t)(end - offset);
    return 0;
}

size_t compression_stored_max(const struct compression_info *info)
{
    return LZ4_PREFIX_BYTES + (size_t)LZ4_compressBound((int)info->chunk_bytes) + CHUNK_CRC_BYTES;
}

/* The payload of a compressed chunk; 0: it is to be raw. LZ4 is given no room for more than what
 * would be used, so that it gives up on what does not compress before it copies it. */
static size_t compress(
    const struct compression_info *info, const uint8_t *chunk, size_t size, uint8_t *to)
{
    uint32_t room = (uint32_t)LZ4_compressBound((int)size);
    int compressed;

    if (info->max_compressed_bytes <= LZ4_PREFIX_BYTES)
        return 0;
    if (room >= info->max_compressed_bytes - LZ4_PREFIX_BYTES)
        room = info->max_compressed_bytes - LZ4_PREFIX_BYTES - 1;
    store_le32(to, (uint32_t)size);
    compressed = LZ4_compress_default(
        (const char *)chunk, (char *)to + LZ4_PREFIX_BYTES, (int)size, (int)room);
    return compressed > 0 ? LZ4_PREFIX_BYTES + (size_t)compressed : 0;
}

size_t compression_store_chunk(
    const struct compression_info *info, uint8_t *chunk, size_t size, uint8_t *scratch)
{
    size_t payload = compress(info, chunk, size, scratch);

    if (payload > 0) {
        memcpy(chunk, scratch, payload);
    } else {
        payload = size;
        /* What is shorter than a compressed payload may be (only the last chunk can) is filled up,
         * or its length would say that it is compressed. */
        if (payload < info->max_compressed_bytes) {
            payload = info->max_compressed_bytes;
            memset(chunk + size, 0, payload - size);
        }
    }
    store_be32(chunk + payload, crc32_update(0, chunk, payload));
    return payload;
}

int compression_get_chunk(
    const struct compression_info *info, struct bytes stored, uint8_t *to, size_t size)
{
    size_t payload = stored.size - CHUNK_CRC_BYTES;
    int decoded;

    if (crc32_update(0, stored.data, payload) != load_be32(stored.data + payload))
        return err_new(-EBADMSG, "checksum of %zu bytes does not fit", payload);
    if (payload >= info->max_compressed_bytes) {
        if (payload < size)
            return err_new(-EUCLEAN, "raw chunk of %zu bytes, want %zu", payload, size);
        memcpy(to, stored.data, size);
        return 0;
    }
    if (payload < LZ4_PREFIX_BYTES || load_le32(stored.data) != size)
        return err_new(-EUCLEAN, "compressed chunk does not have %zu bytes", size);
    decoded = LZ4_decompress_safe((const char *)stored.data + LZ4_PREFIX_BYTES, (char *)to,
        (int)(payload - LZ4_PREFIX_BYTES), (int)size);
    if (decoded < 0 || (size_t)decoded != size)
        return err_new(-EUCLEAN, "LZ4 block gives %d bytes, want %zu", decoded, size);
    return 0;
}
