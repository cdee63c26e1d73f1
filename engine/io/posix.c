/*
 * The real disk, real clocks, real threads.
 *
 * A waiting thread sleeps on one of a few buckets (mutex and condition variable) chosen by the
 * address of the event, so that an event is one number and needs neither init nor release.
 */
#include "engine/io.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "engine/assert.h"
#include "engine/error.h"
#include "io/env.h"

/* Whoever may read the store may read every user's files: the daemon alone. */
#define FILE_MODE 0600
#define DIRECTORY_MODE 0700

#define VECTOR_MAX IOV_MAX /* of one pwritev; more are written in turns */
#define GATHERED_COUNT_MAX 8
#define GATHERED_BYTES_MAX 4096u
#define PREWRITE_BYTES 4096
#define EVENT_BUCKETS 64
#define MONOTONIC_NEVER INT64_MAX

struct event_bucket {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    unsigned waiters; /* atomic: a signal that nobody waits for takes no lock */
};

struct posix_env {
    struct env env;
    int directory; /* what paths are relative to */
    struct event_bucket buckets[EVENT_BUCKETS];
};

struct task {
    const char *name;
    task_step step;
    void *arg;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* Under the mutex. */
    int64_t due_us; /* when the next step runs; MONOTONIC_NEVER: idle */
    bool stopping;
};

static struct posix_env *posix_of(struct env *env)
{
    return CONTAINER_OF(env, struct posix_env, env);
}

static const char *path_or_dot(const char *path)
{
    return path[0] ? path : ".";
}

/* ---- files ---- */

static int posix_open(struct env *env, const char *path, int flags, int *ret_fd)
{
    int fd;

    do {
        fd = openat(posix_of(env)->directory, path_or_dot(path), flags | O_CLOEXEC, FILE_MODE);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

static void posix_close(struct env *env, int fd)
{
    (void)env;
    /* Linux has let go of the descriptor whatever close() returns; what counts was synced. */
    (void)close(fd);
}

static int64_t posix_read(struct env *env, int fd, void *to, size_t size, uint64_t offset)
{
    size_t done = 0;

    (void)env;
    while (done < size) {
        ssize_t n = pread(fd, (uint8_t *)to + done, size - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (int64_t)done;
}

/* Of small pieces the kernel's look at the vector costs more than a copy. True: all is in `to`. */
static bool gather(
    const struct iovec *vector, int count, uint8_t to[GATHERED_BYTES_MAX], size_t *ret_size)
{
    size_t size = 0;

    for (int i = 0; i < count; i++) {
        if (vector[i].iov_len > GATHERED_BYTES_MAX - size)
            return false;
        memcpy(to + size, vector[i].iov_base, vector[i].iov_len);
        size += vector[i].iov_len;
    }
    *ret_size = size;
    return true;
}

/* Writes all of `vector`, which it uses up. */
static int write_some(int fd, struct iovec *vector, int count, uint64_t *offset)
{
    while (count > 0) {
        ssize_t n;

        if (vector->iov_len == 0) {
            vector++;
            count--;
            continue;
        }
        n = count > 1 ? pwritev(fd, vector, count, (off_t)*offset)
                      : pwrite(fd, vector->iov_base, vector->iov_len, (off_t)*offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return -EIO;
        *offset += (uint64_t)n;
        while (count > 0 && (size_t)n >= vector->iov_len) {
            n -= (ssize_t)vector->iov_len;
            vector++;
            count--;
        }
        if (count > 0) {
            vector->iov_base = (uint8_t *)vector->iov_base + n;
            vector->iov_len -= (size_t)n;
        }
    }
    return 0;
}

static int posix_writev(
    struct env *env, int fd, const struct iovec *vector, int count, uint64_t offset)
{
    struct iovec part[VECTOR_MAX];
    uint8_t gathered[GATHERED_BYTES_MAX];

    (void)env;
    if (count > 1 && count <= GATHERED_COUNT_MAX &&
        gather(vector, count, gathered, &part[0].iov_len)) {
        part[0].iov_base = gathered;
        return write_some(fd, part, 1, &offset);
    }
    while (count > 0) {
        int n = count < VECTOR_MAX ? count : VECTOR_MAX;
        int r;

        memcpy(part, vector, (size_t)n * sizeof(part[0]));
        r = write_some(fd, part, n, &offset);
        if (r < 0)
            return r;
        vector += n;
        count -= n;
    }
    return 0;
}

static int posix_set_direct(struct env *env, int fd, bool direct)
{
    int flags = fcntl(fd, F_GETFL);

    (void)env;
    if (flags < 0)
        return -errno;
    flags = direct ? flags | O_DIRECT : flags & ~O_DIRECT;
    return fcntl(fd, F_SETFL, flags) < 0 ? -errno : 0;
}

static int posix_sync(struct env *env, int fd)
{
    (void)env;
    /* Never repeated, not even for EINTR: a second call may report success for lost pages. */
    return fdatasync(fd) < 0 ? -errno : 0;
}

static int posix_truncate(struct env *env, int fd, uint64_t size)
{
    int r;

    (void)env;
    do {
        r = ftruncate(fd, (off_t)size);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

static int posix_allocate(struct env *env, int fd, uint64_t size)
{
    int r;

    (void)env;
    do {
        r = fallocate(fd, 0, 0, (off_t)size);
    } while (r < 0 && errno == EINTR);
    if (r < 0)
        return errno == ENOSYS ? -EOPNOTSUPP : -errno;
    return 0;
}

/* By pages: ext4 keeps in the page cache what one write brought as one folio, and walks the whole
 * of a large one for every small write into it (2.2 us instead of 0.9 us for 1 KiB). */
static int posix_prewrite(struct env *env, int fd, uint64_t size)
{
    static const uint8_t zeros[PREWRITE_BYTES];
    struct iovec part = {.iov_base = (void *)(uintptr_t)zeros};

    for (uint64_t at = 0; at < size; at += part.iov_len) {
        int r;

        part.iov_len = size - at < sizeof(zeros) ? (size_t)(size - at) : sizeof(zeros);
        r = posix_writev(env, fd, &part, 1, at);
        if (r < 0)
            return r;
    }
    return 0;
}

static void posix_write_behind(struct env *env, int fd, uint64_t offset, uint64_t size)
{
    (void)env;
    (void)sync_file_range(fd, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE);
}

static void posix_forget(struct env *env, int fd, uint64_t offset, uint64_t size)
{
    (void)env;
    (void)posix_fadvise(fd, (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED);
}

static void posix_expect_random(struct env *env, int fd)
{
    (void)env;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
}

static void stat_of(const struct stat *from, struct io_stat *ret_stat)
{
    ret_stat->size = (uint64_t)from->st_size;
    ret_stat->inode = from->st_ino;
    ret_stat->links = from->st_nlink;
    ret_stat->mtime_ns = from->st_mtim.tv_sec * 1000000000ll + from->st_mtim.tv_nsec;
    ret_stat->is_directory = S_ISDIR(from->st_mode);
}

static int posix_fstat(struct env *env, int fd, struct io_stat *ret_stat)
{
    struct stat stat;

    (void)env;
    if (fstat(fd, &stat) < 0)
        return -errno;
    stat_of(&stat, ret_stat);
    return 0;
}

static int posix_lock(struct env *env, int fd, enum io_lock how)
{
    int r;

    (void)env;
    do {
        r = flock(fd, (how == IO_LOCK_EXCLUSIVE ? LOCK_EX : LOCK_SH) | LOCK_NB);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

/* ---- names ---- */

static int posix_stat(struct env *env, const char *path, struct io_stat *ret_stat)
{
    struct stat stat;

    if (fstatat(posix_of(env)->directory, path_or_dot(path), &stat, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    stat_of(&stat, ret_stat);
    return 0;
}

static int posix_rename(struct env *env, const char *from, const char *to)
{
    int directory = posix_of(env)->directory;

    return renameat(directory, from, directory, to) < 0 ? -errno : 0;
}

static int posix_link(struct env *env, const char *from, const char *to)
{
    int directory = posix_of(env)->directory;

    return linkat(directory, from, directory, to, 0) < 0 ? -errno : 0;
}

static int posix_unlink(struct env *env, const char *path)
{
    return unlinkat(posix_of(env)->directory, path, 0) < 0 ? -errno : 0;
}

static int posix_mkdir(struct env *env, const char *path)
{
    return mkdirat(posix_of(env)->directory, path, DIRECTORY_MODE) < 0 ? -errno : 0;
}

static int posix_rmdir(struct env *env, const char *path)
{
    return unlinkat(posix_of(env)->directory, path, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static int posix_sync_directory(struct env *env, const char *path)
{
    int fd = -1;
    int r;

    r = posix_open(env, path, O_RDONLY | O_DIRECTORY, &fd);
    if (r < 0)
        return r;
    r = fsync(fd) < 0 ? -errno : 0;
    posix_close(env, fd);
    return r;
}

static int list_directory(DIR *directory, io_list_each each, void *arg)
{
    for (;;) {
        struct dirent *entry;
        int r;

        errno = 0;
        entry = readdir(directory);
        if (!entry)
            return -errno;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        r = each(arg, entry->d_name);
        if (r != 0)
            return r;
    }
}

static int posix_list(struct env *env, const char *path, io_list_each each, void *arg)
{
    DIR *directory;
    int fd = -1;
    int r;

    r = posix_open(env, path, O_RDONLY | O_DIRECTORY, &fd);
    if (r < 0)
        return r;
    directory = fdopendir(fd);
    if (!directory) {
        r = -errno;
        posix_close(env, fd);
        return r;
    }
    r = list_directory(directory, each, arg);
    (void)closedir(directory);
    return r;
}

static int posix_space(struct env *env, struct io_space *ret_space)
{
    struct statvfs space;

    if (fstatvfs(posix_of(env)->directory, &space) < 0)
        return -errno;
    ret_space->total_bytes = (uint64_t)space.f_blocks * space.f_frsize;
    ret_space->available_bytes = (uint64_t)space.f_bavail * space.f_frsize;
    return 0;
}

/* ---- clock and chance ---- */

static uint64_t clock_us(clockid_t clock)
{
    struct timespec now;
    int r = clock_gettime(clock, &now);

    ASSERT(r == 0);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static uint64_t posix_wall_us(struct env *env)
{
    (void)env;
    return clock_us(CLOCK_REALTIME);
}

static uint64_t posix_monotonic_us(struct env *env)
{
    (void)env;
    return clock_us(CLOCK_MONOTONIC);
}

static uint64_t posix_random(struct env *env)
{
    uint64_t value;
    ssize_t n;

    (void)env;
    do {
        n = getrandom(&value, sizeof(value), 0);
    } while (n < 0 && errno == EINTR);
    ASSERT(n == (ssize_t)sizeof(value));
    return value;
}

static unsigned posix_processors(struct env *env)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    (void)env;
    return count > 0 ? (unsigned)count : 1;
}

/* ---- events ---- */

static struct event_bucket *event_bucket_of(struct env *env, const struct event *event)
{
    uint64_t hash = (uint64_t)(uintptr_t)event * 0x9e3779b97f4a7c15ull;

    return &posix_of(env)->buckets[hash >> 58];
}
_Static_assert(EVENT_BUCKETS == 1 << 6, "the hash above takes the 6 highest bits");

/*
 * No wake-up is lost: the waiter counts itself in before it looks at the count, the signaller
 * counts up before it looks for waiters, so at least one of them sees the other. A signaller that
 * sees a waiter takes the mutex, and so comes before the look or after the sleep began.
 */
static void posix_signal(struct env *env, struct event *event)
{
    /* By address only, from here on: once counted up, the event may be gone. */
    struct event_bucket *bucket = event_bucket_of(env, event);

    __atomic_fetch_add(&event->count, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&bucket->waiters, __ATOMIC_SEQ_CST) == 0)
        return;
    pthread_mutex_lock(&bucket->mutex);
    pthread_cond_broadcast(&bucket->changed);
    pthread_mutex_unlock(&bucket->mutex);
}

static void posix_wait(struct env *env, struct event *event, uint64_t ticket)
{
    struct event_bucket *bucket = event_bucket_of(env, event);

    pthread_mutex_lock(&bucket->mutex);
    __atomic_fetch_add(&bucket->waiters, 1, __ATOMIC_SEQ_CST);
    while (event_ticket(event) == ticket)
        pthread_cond_wait(&bucket->changed, &bucket->mutex);
    __atomic_fetch_sub(&bucket->waiters, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&bucket->mutex);
}

/* ---- tasks ---- */

static int64_t monotonic_now(void)
{
    return (int64_t)clock_us(CLOCK_MONOTONIC);
}

/* Sleeps until a step is due (true) or the task is to end (false). The mutex is held. */
static bool task_await_due_locked(struct task *task)
{
    while (!task->stopping) {
        if (task->due_us == MONOTONIC_NEVER) {
            pthread_cond_wait(&task->changed, &task->mutex);
        } else if (task->due_us <= monotonic_now()) {
            return true;
        } else {
            struct timespec until = {
                .tv_sec = task->due_us / 1000000, .tv_nsec = task->due_us % 1000000 * 1000};
            int r = pthread_cond_timedwait(&task->changed, &task->mutex, &until);

            ASSERT(r == 0 || r == ETIMEDOUT);
        }
    }
    return false;
}

static void *task_run(void *arg)
{
    struct task *task = arg;

    (void)pthread_setname_np(pthread_self(), task->name); /* a long name is left out */
    pthread_mutex_lock(&task->mutex);
    while (task_await_due_locked(task)) {
        int64_t next;

        /* Idle before the step: a kick during it must bring another. */
        task->due_us = MONOTONIC_NEVER;
        pthread_mutex_unlock(&task->mutex);
        next = task->step(task->arg);
        pthread_mutex_lock(&task->mutex);
        if (next == TASK_DONE)
            break;
        if (next >= 0) {
            int64_t due = monotonic_now() + next;

            if (due < task->due_us)
                task->due_us = due;
        }
    }
    pthread_mutex_unlock(&task->mutex);
    return NULL;
}

/* A condition variable that measures time by the monotonic clock. */
static void condition_init(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    int r = pthread_condattr_init(&attributes);

    ASSERT(r == 0);
    r = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    ASSERT(r == 0);
    r = pthread_cond_init(condition, &attributes);
    ASSERT(r == 0);
    pthread_condattr_destroy(&attributes);
}

static void task_free(struct task *task)
{
    pthread_cond_destroy(&task->changed);
    pthread_mutex_destroy(&task->mutex);
    free(task);
}

static int posix_task_start(
    struct env *env, const char *name, task_step step, void *arg, struct task **ret_task)
{
    struct task *task = calloc(1, sizeof(*task));
    int r;

    (void)env;
    if (!task)
        return -ENOMEM;
    task->name = name;
    task->step = step;
    task->arg = arg;
    task->due_us = MONOTONIC_NEVER;
    pthread_mutex_init(&task->mutex, NULL);
    condition_init(&task->changed);
    r = pthread_create(&task->thread, NULL, task_run, task);
    if (r != 0) {
        task_free(task);
        return -r;
    }
    *ret_task = task;
    return 0;
}

static void posix_task_kick(struct env *env, struct task *task)
{
    (void)env;
    pthread_mutex_lock(&task->mutex);
    task->due_us = 0;
    pthread_cond_signal(&task->changed);
    pthread_mutex_unlock(&task->mutex);
}

static void posix_task_stop(struct env *env, struct task *task)
{
    (void)env;
    pthread_mutex_lock(&task->mutex);
    task->stopping = true;
    pthread_cond_signal(&task->changed);
    pthread_mutex_unlock(&task->mutex);
    pthread_join(task->thread, NULL);
    task_free(task);
}

/* ---- the world ---- */

static void posix_free(struct env *env)
{
    struct posix_env *posix = posix_of(env);

    for (unsigned i = 0; i < EVENT_BUCKETS; i++) {
        pthread_cond_destroy(&posix->buckets[i].changed);
        pthread_mutex_destroy(&posix->buckets[i].mutex);
    }
    (void)close(posix->directory);
    free(posix);
}

static const struct env_ops posix_ops = {
    .open = posix_open,
    .close = posix_close,
    .read = posix_read,
    .writev = posix_writev,
    .set_direct = posix_set_direct,
    .sync = posix_sync,
    .truncate = posix_truncate,
    .allocate = posix_allocate,
    .prewrite = posix_prewrite,
    .write_behind = posix_write_behind,
    .forget = posix_forget,
    .expect_random = posix_expect_random,
    .fstat = posix_fstat,
    .lock = posix_lock,
    .stat = posix_stat,
    .rename = posix_rename,
    .link = posix_link,
    .unlink = posix_unlink,
    .mkdir = posix_mkdir,
    .rmdir = posix_rmdir,
    .sync_directory = posix_sync_directory,
    .list = posix_list,
    .space = posix_space,
    .wall_us = posix_wall_us,
    .monotonic_us = posix_monotonic_us,
    .random = posix_random,
    .processors = posix_processors,
    .signal = posix_signal,
    .wait = posix_wait,
    .task_start = posix_task_start,
    .task_kick = posix_task_kick,
    .task_stop = posix_task_stop,
    .free = posix_free,
};

int env_posix_new(const char *path, struct env **ret_env)
{
    struct posix_env *posix = calloc(1, sizeof(*posix));

    if (!posix)
        return err_new(-ENOMEM, "no memory to open folder '%s'", path);
    posix->env.ops = &posix_ops;
    posix->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (posix->directory < 0) {
        int r = -errno;

        free(posix);
        return err_new(r, "open folder '%s': %s", path, strerror(-r));
    }
    for (unsigned i = 0; i < EVENT_BUCKETS; i++) {
        pthread_mutex_init(&posix->buckets[i].mutex, NULL);
        condition_init(&posix->buckets[i].changed);
    }
    *ret_env = &posix->env;
    return 0;
}
