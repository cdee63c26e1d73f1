/*
 * Checksums beside Data.db: Digest.crc32, of whole files as stored, and CRC.db, of each 64 KiB
 * of a table that is not compressed (FORMAT.md, "Digest.crc32", "CRC.db").
 */
#ifndef SSTFS_SSTABLE_DIGEST_H
#define SSTFS_SSTABLE_DIGEST_H

#include "engine/buf.h"
#include "engine/auto.h"
#include "sstable/descriptor.h"

/** Cassandra's write buffer, hence the piece that one checksum of CRC.db covers. */
#define CRC_CHUNK_BYTES 65536u

/** CRC-32 of whole components, of those that are known; and what else the writer said of them. */
struct component_digests {
    component_set known;
    uint32_t crc[COMPONENT_COUNT];
    bool rows_are_even; /* those of Data.db that may be by their size (data.h) */
};

/** That of Data.db, and in lines behind it, which Cassandra does not look at, the others'. */
void digest_encode(struct buf *to, const struct component_digests *digests);
/** That of Data.db is known then, others if they are there. -EUCLEAN: not as it is written. */
MUST_USE int digest_decode(struct bytes text, struct component_digests *ret_digests);

/** The header of CRC.db: chunk bytes; behind it a big-endian CRC-32 a chunk. */
#define CRC_HEADER_BYTES 4u
/** Checks size and header of CRC.db for a Data.db of `data_bytes`; the chunk's size is given back.
 */
MUST_USE int crc_table_check(struct bytes content, uint64_t data_bytes, uint32_t *ret_chunk_bytes);
uint32_t crc_table_get(struct bytes content, uint64_t chunk);

#endif
