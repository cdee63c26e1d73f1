/*
 * An empty file system over the real engine, on an env in memory whose background tasks run only
 * when the test lets them.
 */
#ifndef SSTFS_TESTS_FS_STORE_H
#define SSTFS_TESTS_FS_STORE_H

#include "engine/engine.h"
#include "fs/fs.h"

struct fs_store {
    struct env *env;
    struct engine *engine;
    struct fs *fs;
};

void fs_store_open(struct fs_store *store);
void fs_store_close(struct fs_store *store);
/** Some tasks come back for ever, after a while: so many times a second passes. */
void fs_store_run_tasks(struct fs_store *store, unsigned seconds);

#endif
