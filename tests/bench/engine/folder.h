/*
 * Folders of stores: their size, their removal, and their pages in the kernel's cache.
 */
#ifndef SSTFS_BENCH_FOLDER_H
#define SSTFS_BENCH_FOLDER_H

#include "bench.h"

/** Bytes allocated to the files below, but for our `reserve`, which is not a store's content. */
uint64_t folder_bytes(const char *folder);
/** A folder that exists and is empty. */
void folder_make_empty(const char *folder);
void folder_remove(const char *folder);
/** Syncs every file and drops its pages, so that the next read of it is the device's. */
void folder_make_cold(const char *folder);

#endif
