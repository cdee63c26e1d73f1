/*
 * Random numbers for tests, the same in every run: a failure is replayed with the seed it prints
 * (SSTFS_SEED=… meson test …).
 */
#ifndef SSTFS_TESTS_RANDOM_H
#define SSTFS_TESTS_RANDOM_H

#include <stdint.h>

struct random {
    uint64_t state;
};

/** The seed of SSTFS_SEED, or `otherwise`. */
uint64_t random_seed(uint64_t otherwise);
uint64_t random_next(struct random *random);

/** 0 … below - 1. */
static inline unsigned random_below(struct random *random, unsigned below)
{
    return (unsigned)(random_next(random) % below);
}

#endif
