/*
 * A disk on which everything that reaches the device takes longer: direct writes and syncs. Writes
 * that stay in the kernel's cache are as fast as ever, as they are above any slow disk.
 */
#ifndef SSTFS_BENCH_SLOW_ENV_H
#define SSTFS_BENCH_SLOW_ENV_H

#include "engine/io.h"

/** Over the real folder `path`. */
struct env *slow_env_new(const char *path, uint64_t delay_us);

#endif
