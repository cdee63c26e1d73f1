/*
 * Checksums beside Data.db: Digest.crc32, of the whole file as stored, and CRC.db, of each 64 KiB
 * of a table that is not compressed (FORMAT.md, "Digest.crc32", "CRC.db").
 */
#ifndef SSTFS_SSTABLE_DIGEST_H
#define SSTFS_SSTABLE_DIGEST_H

#include "engine/buf.h"
#include "engine/auto.h"

/** Cassandra's write buffer, hence the piece that one checksum of CRC.db covers. */
#define CRC_CHUNK_BYTES 65536u

void digest_encode(struct buf *to, uint32_t crc);
/** -EUCLEAN: not the decimal digits of a u32. */
MUST_USE int digest_decode(struct bytes text, uint32_t *ret_crc);

/** The header of CRC.db: chunk bytes; behind it a big-endian CRC-32 a chunk. */
#define CRC_HEADER_BYTES 4u
/** Checks size and header of CRC.db for a Data.db of `data_bytes`; the chunk's size is given back.
 */
MUST_USE int crc_table_check(struct bytes content, uint64_t data_bytes, uint32_t *ret_chunk_bytes);
uint32_t crc_table_get(struct bytes content, uint64_t chunk);

#endif
