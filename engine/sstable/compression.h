/*
 * The stream of Data.db cut in chunks, each compressed by LZ4 or stored raw, and
 * CompressionInfo.db, which says where each lies (FORMAT.md, "Compression"; Cassandra:
 * io/compress/CompressedSequentialWriter.java, CompressionMetadata.java).
 *
 *   Data.db:  payload crc32  payload crc32  …      payload = u32 LE length, LZ4 block | raw bytes
 */
#ifndef SSTFS_SSTABLE_COMPRESSION_H
#define SSTFS_SSTABLE_COMPRESSION_H

#include "engine/auto.h"
#include "engine/buf.h"

#define CHUNK_CRC_BYTES 4u
#define CHUNK_BYTES_MIN 512u
#define CHUNK_BYTES_MAX (16u << 20)
/** `max_compressed_bytes` of a table whose chunks are never stored raw. */
#define CHUNK_ALWAYS_COMPRESSED 0x7fffffffu

struct compression_info {
    uint32_t chunk_bytes;          /* of the stream: power of two */
    uint32_t max_compressed_bytes; /* a payload this long is raw */
    uint64_t stream_bytes;
    uint64_t chunk_count;   /* those of the stream, and maybe empty ones behind them */
    const uint8_t *offsets; /* chunk_count of i64, big-endian; borrowed from what was decoded */
};

/** What `min_compress_ratio` makes of a chunk's size: from where on it is stored raw. */
uint32_t compression_max_bytes(uint32_t chunk_bytes, double min_compress_ratio);

void compression_info_encode(struct buf *to, const struct compression_info *info);
/**
 * Checks all of it but that the offsets ascend, which is seen where they are used. With
 * `header_only` what follows the chunk count need not be there.
 */
MUST_USE int compression_info_decode(
    struct bytes content, bool header_only, struct compression_info *ret_info);
/** CompressionInfo.db of ours is at least this long in front of its offsets, and at most … */
#define COMPRESSION_INFO_HEADER_MAX 4096u

/** File offset and stored bytes (payload and CRC) of a chunk; -EUCLEAN if they cannot be. */
MUST_USE int compression_chunk_place(const struct compression_info *info, uint64_t chunk,
    uint64_t file_bytes, uint64_t *ret_offset, uint32_t *ret_stored_bytes);

/** What a chunk takes when it is stored, at most, CRC included. */
size_t compression_stored_max(const struct compression_info *info);
/**
 * Makes payload and CRC of the `size` bytes at `chunk`, in their place, where
 * compression_stored_max() bytes must fit, as in `scratch`. Returns the payload's size.
 */
size_t compression_store_chunk(
    const struct compression_info *info, uint8_t *chunk, size_t size, uint8_t *scratch);
/**
 * Decodes a stored chunk of `size` bytes uncompressed: -EBADMSG when its CRC does not fit,
 * -EUCLEAN when what it covers cannot be.
 */
MUST_USE int compression_get_chunk(
    const struct compression_info *info, struct bytes stored, uint8_t *to, size_t size);

#endif
