/*
 * The world outside: files, directories, clock, randomness, background tasks. Nothing in the
 * engine calls the operating system but through a struct env, so that the same code runs on
 *
 *   env_posix   the real disk, threads, clocks            (io/posix.c)
 *   env_mem     files in memory, nothing is ever lost     (io/mem.c)
 *   env_fault   as mem, but loses what was not synced, tears writes, fails the nth call, and runs
 *               background steps in an order drawn from a seed (io/fault.c)
 *
 * Paths are relative to the folder that the env was made for; "" is that folder. Descriptors are
 * small non-negative ints of that env. All functions return 0 or a result, or a negative errno, and
 * keep words for it (engine/error.h). Transfers are whole: short reads end at the end of file only,
 * short writes are continued or fail.
 */
#ifndef SSTFS_ENGINE_IO_H
#define SSTFS_ENGINE_IO_H

#include <fcntl.h>
#include <sys/uio.h>

#include "engine/auto.h"
#include "engine/bytes.h"

struct env;
struct task;

struct io_stat {
    uint64_t size; /* bytes */
    uint64_t inode;
    uint64_t links;
    int64_t mtime_ns;
    bool is_directory;
};

struct io_space {
    uint64_t total_bytes;
    uint64_t available_bytes; /* to us, without the root reserve */
};

enum io_lock { IO_LOCK_EXCLUSIVE, IO_LOCK_SHARED };

/* ---- files ---- */

/** `flags` as open(2) (O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC); O_CLOEXEC is implied. */
MUST_USE int io_open(struct env *env, const char *path, int flags, int *ret_fd);
/** Never fails in a way that loses data: what must last was synced before. */
void io_close(struct env *env, int fd);
/** Up to `size` bytes at `offset`; less only at the end of the file. Returns the count. */
MUST_USE int64_t io_read(struct env *env, int fd, void *to, size_t size, uint64_t offset);
/** All of the vector at `offset`, or an error after which any part may have been written. */
MUST_USE int io_writev(
    struct env *env, int fd, const struct iovec *vector, int count, uint64_t offset);
MUST_USE int io_write(struct env *env, int fd, const void *from, size_t size, uint64_t offset);
/**
 * Whether writes to `fd` go past the kernel's cache. Memory, offset and size of each are then
 * multiples of IO_DIRECT_BYTES; what was written is in the cache or past it, never partly so, and
 * must be synced all the same. -EINVAL: this disk cannot; some say so at the first write only.
 */
MUST_USE int io_set_direct(struct env *env, int fd, bool direct);
#define IO_DIRECT_BYTES 4096u
/** Content (and what is needed to find it) to the device. A failure is final: pages may be gone. */
MUST_USE int io_sync(struct env *env, int fd);
MUST_USE int io_truncate(struct env *env, int fd, uint64_t size);
/** Space for [0, size) so that writing there meets no ENOSPC; -EOPNOTSUPP: the disk cannot. */
MUST_USE int io_allocate(struct env *env, int fd, uint64_t size);
/**
 * Zeros over [0, size): after a sync, overwriting them changes nothing but the data itself, so that
 * a sync of what is written there is as cheap as it can be. Costs CPU and the device `size` bytes.
 */
MUST_USE int io_prewrite(struct env *env, int fd, uint64_t size);
/** Asks the kernel to start writing a range out, without waiting; an error is of no consequence. */
void io_write_behind(struct env *env, int fd, uint64_t offset, uint64_t size);
/** Tells that a range will not be read again soon. */
void io_forget(struct env *env, int fd, uint64_t offset, uint64_t size);
/** What is read through this descriptor lies here and there: nothing is to be read around it. */
void io_expect_random(struct env *env, int fd);
MUST_USE int io_fstat(struct env *env, int fd, struct io_stat *ret_stat);
/** Advisory lock of the whole file, kept until close; -EWOULDBLOCK: another holds it. */
MUST_USE int io_lock(struct env *env, int fd, enum io_lock how);

/* ---- names ---- */

MUST_USE int io_stat(struct env *env, const char *path, struct io_stat *ret_stat);
MUST_USE int io_rename(struct env *env, const char *from, const char *to);
MUST_USE int io_link(struct env *env, const char *from, const char *to);
MUST_USE int io_unlink(struct env *env, const char *path);
MUST_USE int io_mkdir(struct env *env, const char *path);
MUST_USE int io_rmdir(struct env *env, const char *path);
/** Names made, renamed and removed in the directory, to the device. */
MUST_USE int io_sync_directory(struct env *env, const char *path);
typedef int (*io_list_each)(void *arg, const char *name);
/** Each name but "." and "..", in no order; stops at, and returns, the first non-zero of `each`. */
MUST_USE int io_list(struct env *env, const char *path, io_list_each each, void *arg);
MUST_USE int io_space(struct env *env, struct io_space *ret_space);

/* ---- conveniences over the above ---- */

/** A whole file, at most `size_max` bytes (-EFBIG), to be released by the caller. */
struct buf;
MUST_USE int io_read_file(struct env *env, const char *path, size_t size_max, struct buf *ret);
/** Writes and syncs a new file (O_EXCL unless `replace`); the directory is not synced. */
MUST_USE int io_write_file(struct env *env, const char *path, struct bytes content, bool replace);
/** mkdir, which an existing directory satisfies. */
MUST_USE int io_ensure_directory(struct env *env, const char *path);

/* ---- clock and chance ---- */

uint64_t env_wall_us(struct env *env); /* since 1970 */
uint64_t env_monotonic_us(struct env *env);
uint64_t env_random(struct env *env);

/** How many processors the machine has for us. */
unsigned env_processors(struct env *env);

/* ---- waiting and background work ---- */

/*
 * An event count: wait for a condition that others make true, without losing a wake-up:
 *
 *   for (;;) { ticket = event_ticket(&e); if (condition()) break; env_wait(env, &e, ticket); }
 *
 * and whoever makes it true does so first, and then calls event_signal(). In env_posix a waiting
 * thread sleeps. In env_mem and env_fault, which have one thread, env_wait() runs other tasks'
 * steps until the event was signalled; if none can run, that is a deadlock, and it aborts.
 * Never wait in a task's step, nor with a mutex held.
 */
struct event {
    uint64_t count; /* private: signals so far */
};
#define EVENT_INIT ((struct event){0})

uint64_t event_ticket(struct event *event);
void event_signal(struct env *env, struct event *event);
void env_wait(struct env *env, struct event *event, uint64_t ticket);

/** What a step returns to say when the next should run: so many microseconds from now, or these. */
#define TASK_AGAIN 0
#define TASK_IDLE (-1) /* when it is kicked */
#define TASK_DONE (-2) /* never */

/**
 * One bounded piece of background work: some I/O, then return. Runs on a thread of its own
 * (env_posix) or when the simulator chooses it; never twice at once for one task.
 */
typedef int64_t (*task_step)(void *arg);

/** Starts a background task, idle until kicked. `name` is kept by reference. */
MUST_USE int task_start(
    struct env *env, const char *name, task_step step, void *arg, struct task **ret_task);
/** Makes an idle or delayed task run its step soon. Any thread, any time before task_stop(). */
void task_kick(struct env *env, struct task *task);
/** Waits for the running step to return and ends the task. NULL does nothing. */
void task_stop(struct env *env, struct task *task);

/* ---- the worlds ---- */

/** On the real folder `path`, which must exist. */
MUST_USE int env_posix_new(const char *path, struct env **ret_env);
/** Everything in memory; time stands still unless steps are delayed. For tests. */
MUST_USE int env_mem_new(uint64_t seed, struct env **ret_env);
void env_free(struct env *env);

#endif
