/*
 * A filesystem in memory, a virtual clock, and tasks whose steps run one at a time: the world of
 * tests. One thread. The first part is for tests, the second for fault.c, which is the same world
 * with a disk under it.
 */
#ifndef SSTFS_IO_MEM_H
#define SSTFS_IO_MEM_H

#include "io/env.h"

/* ---- for tests: of env_mem_new() and of env_fault_new() ---- */

/** Runs one step of a task that is due, chosen by the seed; false: none is due. */
bool env_run_task(struct env *env);
/** Lets time pass, both clocks; delayed tasks become due, but do not run. */
void env_mem_advance(struct env *env, uint64_t us);
/** Sets the wall clock alone, forward or back. */
void env_mem_set_wall(struct env *env, uint64_t wall_us);
/** The size of the disk: what would make the files larger in sum fails with -ENOSPC. */
void env_mem_set_space(struct env *env, uint64_t total_bytes);
/** Whether the disk takes writes past the kernel's cache (io_set_direct()). */
enum env_direct { ENV_DIRECT, ENV_DIRECT_REFUSED, ENV_DIRECT_REFUSED_LATE /* at the write */ };
void env_mem_set_direct(struct env *env, enum env_direct direct);

/* ---- for fault.c ---- */

struct mem_inode;

struct mem_name {
    char *name;
    struct mem_inode *inode; /* counted */
};

/** The names of one directory, in no order. */
struct mem_names {
    struct mem_name *all;
    unsigned count;
    unsigned capacity;
};

struct mem_inode {
    struct mem_env *env;
    struct mem_inode *next, *previous; /* all inodes of the env */
    unsigned references;               /* names, on disk too, and open files */
    bool is_directory;
    uint64_t number;
    uint64_t links;
    int64_t mtime_ns;
    unsigned locks_shared;
    bool locked_exclusive;
    struct mem_names names; /* of a directory */
    uint8_t *data;          /* of a file */
    uint64_t size;
    uint64_t capacity;
    void *disk; /* fault.c's: what is on the disk */
};

enum mem_lock { MEM_UNLOCKED, MEM_LOCKED_SHARED, MEM_LOCKED_EXCLUSIVE };

struct mem_open {
    struct mem_inode *inode; /* NULL: closed, or of before a crash */
    int flags;
    enum mem_lock lock;
    bool is_direct;
};

struct mem_env {
    struct env env;
    struct mem_inode *root;
    struct mem_inode *inodes;
    uint64_t next_number;
    struct mem_open *open; /* by descriptor; a descriptor is never given twice */
    int open_count;
    int open_capacity;
    int open_dead; /* descriptors below this are of before the last crash */
    enum env_direct direct;
    uint64_t total_bytes;
    uint64_t used_bytes;
    uint64_t monotonic_us;
    int64_t wall_ahead_us; /* wall clock less monotonic clock */
    uint64_t random_state;
    struct task *tasks;
    bool in_step;
    void (*inode_gone)(struct mem_inode *inode); /* frees ->disk; may be NULL */
};

/** The table of env_mem_new(), which fault.c calls through. */
extern const struct env_ops mem_ops;

struct mem_env *mem_env_of(struct env *env);
MUST_USE int mem_init(struct mem_env *mem, const struct env_ops *ops, uint64_t seed);
/** Frees all but the struct itself. All tasks must have been stopped. */
void mem_release(struct mem_env *mem);

/* mem_tree.c */

/** With one reference, the caller's; NULL: no memory. */
struct mem_inode *mem_inode_new(struct mem_env *mem, bool is_directory);
/** After a crash there may be more than the disk's size: what was being deleted is back. */
uint64_t mem_available_bytes(const struct mem_env *mem);
int64_t mem_now_ns(const struct mem_env *mem);
/** The inode at `path`, borrowed. */
MUST_USE int mem_lookup(struct mem_env *mem, const char *path, struct mem_inode **ret_inode);
/** The directory of `path`, borrowed, and the last name in `path`. */
MUST_USE int mem_lookup_parent(
    struct mem_env *mem, const char *path, struct mem_inode **ret_directory, const char **ret_name);
/** The open file, or NULL. */
struct mem_open *mem_open_of(struct mem_env *mem, int fd);
struct mem_inode *mem_inode_ref(struct mem_inode *inode);
void mem_inode_unref(struct mem_inode *inode);
/** Grows with zeros or cuts. */
MUST_USE int mem_inode_resize(struct mem_inode *inode, uint64_t size);

/** Index of the name, or -1. */
int mem_names_find(const struct mem_names *names, const char *name);
/** Puts the name there, replacing what had it; takes its own reference. */
MUST_USE int mem_names_set(struct mem_names *names, const char *name, struct mem_inode *inode);
void mem_names_remove(struct mem_names *names, const char *name);
void mem_names_release(struct mem_names *names);
/** Forgets all open files and their locks: the process is gone. */
void mem_kill_open_files(struct mem_env *mem);
uint64_t mem_random(struct mem_env *mem);

/* mem_tasks.c */
void mem_signal(struct env *env, struct event *event);
void mem_wait(struct env *env, struct event *event, uint64_t ticket);
int mem_task_start(
    struct env *env, const char *name, task_step step, void *arg, struct task **ret_task);
void mem_task_kick(struct env *env, struct task *task);
void mem_task_stop(struct env *env, struct task *task);

#endif
