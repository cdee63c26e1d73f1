/*
 * How long things took, counted so cheaply that it is always on: buckets by powers of two, in
 * shards, so that threads do not share a cache line. Thread-safe; zero is a legal beginning.
 */
#ifndef SSTFS_ENGINE_LATENCY_H
#define SSTFS_ENGINE_LATENCY_H

#include <stdatomic.h>
#include <stdint.h>

/** Bucket i: shorter than 2^i µs; the last has all that took longer. */
#define LATENCY_BUCKETS 28u
#define LATENCY_SHARDS 8u

struct latency_histogram {
    struct {
        _Alignas(64) _Atomic uint64_t sum_us;
        _Atomic uint64_t buckets[LATENCY_BUCKETS];
    } shards[LATENCY_SHARDS];
};

struct latency_values {
    uint64_t count, sum_us;
    uint64_t buckets[LATENCY_BUCKETS];
};

void latency_add(struct latency_histogram *histogram, uint64_t us);
void latency_get(const struct latency_histogram *histogram, struct latency_values *ret_values);
/** µs that `thousandths` of all did not exceed, rounded up to the bucket's end; 0: there are none.
 */
uint64_t latency_quantile_us(const struct latency_values *values, unsigned thousandths);

#endif
