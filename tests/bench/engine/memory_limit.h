/*
 * A bound of the memory of one run, the page cache of what it reads included: a memory control
 * group of its own (cgroup-v1/memory.rst, cgroup-v2.rst). Without it an engine that maps its files,
 * or reads them through the page cache, has the whole machine as its cache.
 */
#ifndef SSTFS_BENCH_MEMORY_LIMIT_H
#define SSTFS_BENCH_MEMORY_LIMIT_H

#include "bench.h"

/** For this process, until it ends. False: the machine does not let us; nothing is bounded. */
bool memory_limit_enter(uint64_t bytes);
/** Of a process that has ended; does nothing if it was not bounded. */
void memory_limit_remove(pid_t pid);

#endif
