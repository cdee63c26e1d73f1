#include "engine/io.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "engine/assert.h"
#include "engine/buf.h"
#include "engine/error.h"
#include "io/env.h"

/* Absolute paths would leave the folder of the env: nobody has a reason to pass one. */
static void check_path(const char *path)
{
    ASSERT(path && path[0] != '/');
}

/* ---- files ---- */

int io_open(struct env *env, const char *path, int flags, int *ret_fd)
{
    int r;

    check_path(path);
    r = env->ops->open(env, path, flags, ret_fd);
    if (r < 0)
        return err_new(r, "open '%s': %s", path, strerror(-r));
    return 0;
}

void io_close(struct env *env, int fd)
{
    env->ops->close(env, fd);
}

int64_t io_read(struct env *env, int fd, void *to, size_t size, uint64_t offset)
{
    int64_t n = env->ops->read(env, fd, to, size, offset);

    if (n < 0)
        return err_new(
            (int)n, "read %zu bytes at %" PRIu64 ": %s", size, offset, strerror((int)-n));
    return n;
}

int io_writev(struct env *env, int fd, const struct iovec *vector, int count, uint64_t offset)
{
    int r = env->ops->writev(env, fd, vector, count, offset);

    if (r < 0)
        return err_new(r, "write at %" PRIu64 ": %s", offset, strerror(-r));
    return 0;
}

int io_write(struct env *env, int fd, const void *from, size_t size, uint64_t offset)
{
    struct iovec one = {.iov_base = (void *)(uintptr_t)from, .iov_len = size};

    return io_writev(env, fd, &one, 1, offset);
}

int io_set_direct(struct env *env, int fd, bool direct)
{
    int r = env->ops->set_direct(env, fd, direct);

    if (r < 0)
        return err_new(r, "write past the kernel's cache: %s", strerror(-r));
    return 0;
}

int io_sync(struct env *env, int fd)
{
    int r = env->ops->sync(env, fd);

    if (r < 0)
        return err_new(r, "sync: %s", strerror(-r));
    return 0;
}

int io_truncate(struct env *env, int fd, uint64_t size)
{
    int r = env->ops->truncate(env, fd, size);

    if (r < 0)
        return err_new(r, "truncate to %" PRIu64 " bytes: %s", size, strerror(-r));
    return 0;
}

int io_allocate(struct env *env, int fd, uint64_t size)
{
    int r = env->ops->allocate(env, fd, size);

    if (r < 0)
        return err_new(r, "allocate %" PRIu64 " bytes: %s", size, strerror(-r));
    return 0;
}

int io_prewrite(struct env *env, int fd, uint64_t size)
{
    int r = env->ops->prewrite(env, fd, size);

    if (r < 0)
        return err_new(r, "write %" PRIu64 " bytes of zeros: %s", size, strerror(-r));
    return 0;
}

void io_write_behind(struct env *env, int fd, uint64_t offset, uint64_t size)
{
    env->ops->write_behind(env, fd, offset, size);
}

void io_forget(struct env *env, int fd, uint64_t offset, uint64_t size)
{
    env->ops->forget(env, fd, offset, size);
}

void io_expect_random(struct env *env, int fd)
{
    env->ops->expect_random(env, fd);
}

int io_fstat(struct env *env, int fd, struct io_stat *ret_stat)
{
    int r = env->ops->fstat(env, fd, ret_stat);

    if (r < 0)
        return err_new(r, "stat of an open file: %s", strerror(-r));
    return 0;
}

int io_lock(struct env *env, int fd, enum io_lock how)
{
    int r = env->ops->lock(env, fd, how);

    if (r < 0)
        return err_new(r, "lock: %s", strerror(-r));
    return 0;
}

/* ---- names ---- */

int io_stat(struct env *env, const char *path, struct io_stat *ret_stat)
{
    int r;

    check_path(path);
    r = env->ops->stat(env, path, ret_stat);
    if (r < 0)
        return err_new(r, "stat '%s': %s", path, strerror(-r));
    return 0;
}

int io_rename(struct env *env, const char *from, const char *to)
{
    int r;

    check_path(from);
    check_path(to);
    r = env->ops->rename(env, from, to);
    if (r < 0)
        return err_new(r, "rename '%s' to '%s': %s", from, to, strerror(-r));
    return 0;
}

int io_link(struct env *env, const char *from, const char *to)
{
    int r;

    check_path(from);
    check_path(to);
    r = env->ops->link(env, from, to);
    if (r < 0)
        return err_new(r, "link '%s' as '%s': %s", from, to, strerror(-r));
    return 0;
}

int io_unlink(struct env *env, const char *path)
{
    int r;

    check_path(path);
    r = env->ops->unlink(env, path);
    if (r < 0)
        return err_new(r, "unlink '%s': %s", path, strerror(-r));
    return 0;
}

int io_mkdir(struct env *env, const char *path)
{
    int r;

    check_path(path);
    r = env->ops->mkdir(env, path);
    if (r < 0)
        return err_new(r, "make directory '%s': %s", path, strerror(-r));
    return 0;
}

int io_rmdir(struct env *env, const char *path)
{
    int r;

    check_path(path);
    r = env->ops->rmdir(env, path);
    if (r < 0)
        return err_new(r, "remove directory '%s': %s", path, strerror(-r));
    return 0;
}

int io_sync_directory(struct env *env, const char *path)
{
    int r;

    check_path(path);
    r = env->ops->sync_directory(env, path);
    if (r < 0)
        return err_new(r, "sync directory '%s': %s", path, strerror(-r));
    return 0;
}

/* Tells a callback's stop, whose words must be kept, from a failure of the listing. */
struct list_watch {
    io_list_each each;
    void *arg;
    int result;
};

static int list_watch_each(void *arg, const char *name)
{
    struct list_watch *watch = arg;

    watch->result = watch->each(watch->arg, name);
    return watch->result;
}

int io_list(struct env *env, const char *path, io_list_each each, void *arg)
{
    struct list_watch watch = {.each = each, .arg = arg};
    int r;

    check_path(path);
    r = env->ops->list(env, path, list_watch_each, &watch);
    if (watch.result != 0)
        return watch.result;
    if (r < 0)
        return err_new(r, "list '%s': %s", path, strerror(-r));
    return 0;
}

int io_space(struct env *env, struct io_space *ret_space)
{
    int r = env->ops->space(env, ret_space);

    if (r < 0)
        return err_new(r, "ask for free space: %s", strerror(-r));
    return 0;
}

/* ---- conveniences ---- */

static int read_open_file(struct env *env, int fd, size_t size_max, struct buf *into)
{
    struct io_stat stat;
    uint8_t *to;
    int64_t n;
    int r;

    r = io_fstat(env, fd, &stat);
    if (r < 0)
        return r;
    if (stat.size > size_max)
        return err_new(
            -EFBIG, "%" PRIu64 " bytes where at most %zu are taken", stat.size, size_max);
    to = buf_extend(into, (size_t)stat.size);
    if (!to)
        return err_new(-ENOMEM, "no memory for %" PRIu64 " bytes", stat.size);
    n = io_read(env, fd, to, (size_t)stat.size, 0);
    if (n < 0)
        return (int)n;
    into->size = (size_t)n; /* it may have shrunk since */
    return 0;
}

int io_read_file(struct env *env, const char *path, size_t size_max, struct buf *ret)
{
    struct buf content = BUF_INIT;
    int fd;
    int r;

    r = io_open(env, path, O_RDONLY, &fd);
    if (r < 0)
        return r;
    r = read_open_file(env, fd, size_max, &content);
    io_close(env, fd);
    if (r < 0) {
        buf_release(&content);
        return err_with(r, "read file '%s'", path);
    }
    *ret = content;
    return 0;
}

int io_write_file(struct env *env, const char *path, struct bytes content, bool replace)
{
    int fd;
    int r;

    r = io_open(env, path, O_WRONLY | O_CREAT | (replace ? O_TRUNC : O_EXCL), &fd);
    if (r < 0)
        return r;
    r = io_write(env, fd, content.data, content.size, 0);
    if (r == 0)
        r = io_sync(env, fd);
    io_close(env, fd);
    if (r < 0)
        return err_with(r, "write file '%s'", path);
    return 0;
}

int io_ensure_directory(struct env *env, const char *path)
{
    struct io_stat stat;
    int r = io_mkdir(env, path);

    if (r != -EEXIST)
        return r;
    r = io_stat(env, path, &stat);
    if (r < 0)
        return r;
    if (!stat.is_directory)
        return err_new(-ENOTDIR, "'%s' is there and is not a directory", path);
    return 0;
}

/* ---- clock, chance, waiting, tasks ---- */

uint64_t env_wall_us(struct env *env)
{
    return env->ops->wall_us(env);
}

uint64_t env_monotonic_us(struct env *env)
{
    return env->ops->monotonic_us(env);
}

uint64_t env_random(struct env *env)
{
    return env->ops->random(env);
}

unsigned env_processors(struct env *env)
{
    return env->ops->processors(env);
}

uint64_t event_ticket(struct event *event)
{
    return __atomic_load_n(&event->count, __ATOMIC_SEQ_CST);
}

void event_signal(struct env *env, struct event *event)
{
    env->ops->signal(env, event);
}

void env_wait(struct env *env, struct event *event, uint64_t ticket)
{
    env->ops->wait(env, event, ticket);
}

int task_start(struct env *env, const char *name, task_step step, void *arg, struct task **ret_task)
{
    int r = env->ops->task_start(env, name, step, arg, ret_task);

    if (r < 0)
        return err_new(r, "start background task '%s': %s", name, strerror(-r));
    return 0;
}

void task_kick(struct env *env, struct task *task)
{
    env->ops->task_kick(env, task);
}

void task_stop(struct env *env, struct task *task)
{
    if (task)
        env->ops->task_stop(env, task);
}

void env_free(struct env *env)
{
    if (env)
        env->ops->free(env);
}
