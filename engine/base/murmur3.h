/*
 * Cassandra's hashes: MurmurHash3 x64 128 and MurmurHash64A, both with tail bytes sign-extended
 * (utils/MurmurHash.java, hash3_x64_128 and hash2_64; sstable/FORMAT.md, "Token" and "HLL").
 */
#ifndef SSTFS_BASE_MURMUR3_H
#define SSTFS_BASE_MURMUR3_H

#include "engine/bytes.h"

struct murmur3_hash {
    int64_t h1;
    int64_t h2;
};

/** Seed 0. */
struct murmur3_hash murmur3_hash(struct bytes key);
/** MurmurHash64A, seed 0. */
uint64_t murmur2_hash64(struct bytes key);
/** Murmur3Partitioner's token: h1, but INT64_MAX for INT64_MIN and INT64_MIN for an empty key. */
int64_t murmur3_token(struct bytes key);

#endif
