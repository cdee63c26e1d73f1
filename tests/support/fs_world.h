/*
 * An empty file system to test with: an env, an engine, a struct fs, and each operation as one
 * call, from admission to reply.
 *
 * Two libraries have these functions: fs_world_model.c over the model engine, fs_world_engine.c
 * over the real one, so that each test of fs/core asks both.
 */
#ifndef SSTFS_TESTS_FS_WORLD_H
#define SSTFS_TESTS_FS_WORLD_H

#include "engine/io.h"
#include "fs/fs.h"

struct world {
    struct env *env;
    struct engine *engine;
    struct fs *fs;
    struct fs_caller caller; /* 1000:1000 */
    struct fs_options options;
    char *folder; /* of env_posix; else NULL */
    uint64_t seed;
};

/* cmocka's setup and teardown; the state is the struct world. */
int world_setup(void **state);          /* one thread, env_mem */
int world_setup_threads(void **state);  /* many, env_posix */
int world_setup_relatime(void **state); /* as world_setup(), with that option */
int world_teardown(void **state);

/** Ends the file system as a kill would: nothing is finished; opens it again. */
void world_crash(struct world *world);
/** After world_die_at(): opens what `variant` (env_fault_variant) leaves of what was not synced. */
void world_rise(struct world *world, unsigned variant);
/** Ends it in order, and opens it again. */
void world_reopen(struct world *world);
/** Lets background tasks run until none has work. */
void world_settle(struct world *world);
/** The next engine_apply() fails with `r`. false: it cannot be made to. */
bool world_fail_apply(struct world *world, int r);
/** Fails the test with what fs_verify_tree() finds. */
void world_verify(struct world *world);
/** Findings, without failing. */
int64_t world_findings(struct world *world);

/* Each fails the test when admission or the end of the request fail; the rest is what is returned.
 * `ret_ino` may be NULL. What counts lookups leaves them counted. */
int world_create(
    struct world *w, uint64_t parent, const char *name, uint32_t mode, uint64_t *ret_ino);
int world_create_open(struct world *w, uint64_t parent, const char *name, uint64_t *ret_ino,
    struct fs_handle **ret_handle);
int world_tmpfile(
    struct world *w, uint64_t parent, uint64_t *ret_ino, struct fs_handle **ret_handle);
int world_mknod(struct world *w, uint64_t parent, const char *name, uint32_t mode, uint64_t rdev,
    uint64_t *ret_ino);
int world_mkdir(
    struct world *w, uint64_t parent, const char *name, uint32_t mode, uint64_t *ret_ino);
int world_symlink(
    struct world *w, uint64_t parent, const char *name, const char *target, uint64_t *ret_ino);
int world_link(struct world *w, uint64_t ino, uint64_t parent, const char *name);
int world_unlink(struct world *w, uint64_t parent, const char *name);
int world_rmdir(struct world *w, uint64_t parent, const char *name);
int world_rename(struct world *w, uint64_t parent, const char *name, uint64_t new_parent,
    const char *new_name, unsigned flags);
int world_setattr(struct world *w, uint64_t ino, const struct fs_setattr *change);
int world_write(struct world *w, uint64_t ino, const void *data, size_t size, uint64_t offset);
int world_setxattr(struct world *w, uint64_t ino, const char *name, const char *value);
int world_removexattr(struct world *w, uint64_t ino, const char *name);

int world_lookup(struct world *w, uint64_t parent, const char *name, uint64_t *ret_ino);
/** Fails the test when there are none. */
struct stat world_stat(struct world *w, uint64_t ino);
/** Whole content; the size, or an error. */
int64_t world_read(struct world *w, uint64_t ino, void *to, size_t size);
bool world_exists(struct world *w, uint64_t parent, const char *name);
/** Names in order, each followed by '/'; without "." and "..". */
void world_list(struct world *w, uint64_t ino, char *to, size_t size);
/** Live rows of a table, of the whole store. */
uint64_t world_rows(struct world *w, enum fs_table table);
/** Time that passes between operations. */
void world_advance(struct world *w, uint64_t us);

/* What the two libraries do differently. */
/** The env of one thread. */
int world_env_new(struct world *world);
struct engine *world_engine_new(struct world *world);
/** As after a kill (`crash`) or an orderly end. */
struct engine *world_engine_reopen(struct world *world, bool crash);
void world_engine_free(struct world *world);
/** What world_rise() goes on with. */
struct engine *world_engine_rise(struct world *world, unsigned variant);
/** The nth engine_apply() from now (1: the next) fails with `r`. false: it cannot be made to. */
bool world_fail_nth_apply(struct world *world, unsigned nth, int r);
/** From the nth change of a file from now on all I/O fails, until world_rise(). false: there are no
 * files. */
bool world_die_at(struct world *world, uint64_t nth);
/** Whether that has come to pass. */
bool world_is_dead(struct world *world);
/** A batch of the test's own making. */
struct batch *world_batch(struct world *world);

#endif
