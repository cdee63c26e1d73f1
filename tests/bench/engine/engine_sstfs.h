/*
 * Our engine as loads that run on it alone see it: opened with the tables of the file system.
 */
#ifndef SSTFS_BENCH_ENGINE_SSTFS_H
#define SSTFS_BENCH_ENGINE_SSTFS_H

#include "bench.h"

#include "core/tables.h"
#include "engine/engine.h"

/** A store in a folder, made if the folder is empty; `env` is closed with it. */
struct bench_store {
    struct env *env;
    struct engine *engine;
};
struct bench_store *sstfs_open(const char *folder, uint64_t memory_bytes);
/** The same on an env of the caller's, which the store takes over. */
struct bench_store *sstfs_open_on(struct env *env, uint64_t memory_bytes);
void sstfs_close(struct bench_store *store);

/** Dies unless `r` is a success; returns it. */
int sstfs_check(int r, const char *what);

/** What the file system adds to the bytes of a write when it asks for admission. */
#define REQUEST_BYTES 1024u
/** Admits, to be followed by sstfs_apply(). */
struct batch *sstfs_admit(struct bench_store *store, unsigned table, uint64_t bytes);
/** Applies, and waits as the store's sync mode asks (periodic: not at all). */
void sstfs_apply(struct bench_store *store, struct batch *batch);

/** A whole block of 128 KiB: 32 pages of one row. */
void sstfs_put_block(struct bench_store *store, uint64_t ino, uint32_t block, struct bytes value);
/** A new name in a directory, with the cells that a file of ours has. */
void sstfs_put_name(struct bench_store *store, uint64_t dir, uint64_t number);
void sstfs_delete_name(struct bench_store *store, uint64_t dir, uint64_t number);
/** Whether the directory has the name. */
bool sstfs_has_name(struct bench_store *store, uint64_t dir, uint64_t number);
/** Live rows of a directory. */
uint64_t sstfs_list(struct bench_store *store, uint64_t dir);

#endif
