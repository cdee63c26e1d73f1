/*
 * What a world has to provide: the inside of struct env. Each of posix.c, mem.c and fault.c puts a
 * struct env first in its own struct and points it at its table; env.c dispatches and finds the
 * words for errors, so that the functions here return a bare negative errno.
 */
#ifndef SSTFS_IO_ENV_H
#define SSTFS_IO_ENV_H

#include "engine/io.h"

struct env_ops {
    int (*open)(struct env *env, const char *path, int flags, int *ret_fd);
    void (*close)(struct env *env, int fd);
    int64_t (*read)(struct env *env, int fd, void *to, size_t size, uint64_t offset);
    int (*writev)(struct env *env, int fd, const struct iovec *vector, int count, uint64_t offset);
    int (*set_direct)(struct env *env, int fd, bool direct);
    int (*sync)(struct env *env, int fd);
    int (*truncate)(struct env *env, int fd, uint64_t size);
    int (*allocate)(struct env *env, int fd, uint64_t size);
    int (*prewrite)(struct env *env, int fd, uint64_t size);
    void (*write_behind)(struct env *env, int fd, uint64_t offset, uint64_t size);
    void (*forget)(struct env *env, int fd, uint64_t offset, uint64_t size);
    void (*expect_random)(struct env *env, int fd);
    int (*fstat)(struct env *env, int fd, struct io_stat *ret_stat);
    int (*lock)(struct env *env, int fd, enum io_lock how);

    int (*stat)(struct env *env, const char *path, struct io_stat *ret_stat);
    int (*rename)(struct env *env, const char *from, const char *to);
    int (*link)(struct env *env, const char *from, const char *to);
    int (*unlink)(struct env *env, const char *path);
    int (*mkdir)(struct env *env, const char *path);
    int (*rmdir)(struct env *env, const char *path);
    int (*sync_directory)(struct env *env, const char *path);
    int (*list)(struct env *env, const char *path, io_list_each each, void *arg);
    int (*space)(struct env *env, struct io_space *ret_space);

    uint64_t (*wall_us)(struct env *env);
    uint64_t (*monotonic_us)(struct env *env);
    uint64_t (*random)(struct env *env);
    unsigned (*processors)(struct env *env);

    void (*signal)(struct env *env, struct event *event);
    void (*wait)(struct env *env, struct event *event, uint64_t ticket);
    int (*task_start)(
        struct env *env, const char *name, task_step step, void *arg, struct task **ret_task);
    void (*task_kick)(struct env *env, struct task *task);
    void (*task_stop)(struct env *env, struct task *task);

    void (*free)(struct env *env);
};

struct env {
    const struct env_ops *ops;
};

#endif
