/*
 * What is put: numbers in an order that looks random and repeats, and bytes that do not compress.
 */
#ifndef SSTFS_BENCH_MATERIAL_H
#define SSTFS_BENCH_MATERIAL_H

#include "bench.h"

/** Every number below `count` once, in no order: number `i` of them. */
struct permutation {
    uint64_t count;
    unsigned half_bits;
};
void permutation_init(struct permutation *permutation, uint64_t count);
uint64_t permutation_at(const struct permutation *permutation, uint64_t i);

/** xorshift64: a state of the caller's, not 0. */
static inline uint64_t random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

#define VALUE_BYTES (128u << 10)
#define ROW_BYTES 200u /* with the key */
#define ROW_VALUE_BYTES (ROW_BYTES - BENCH_KEY_BYTES)

/** The value of row `number`: its first 8 bytes are the number, half of the rest is zeros. */
struct bytes material_row(uint8_t to[ROW_VALUE_BYTES], uint64_t number);
/** A page's, or anything else that does not compress; borrowed, and the same for the same number.
 */
struct bytes material_noise(uint64_t number, size_t size);
static inline struct bench_key key_of_row(uint64_t number)
{
    return (struct bench_key){number / PARTITION_ROWS + 1, number % PARTITION_ROWS};
}

#endif
