#include "io/fault.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/assert.h"
#include "engine/error.h"

struct fault_env *fault_env_of(struct env *env)
{
    return CONTAINER_OF(mem_env_of(env), struct fault_env, mem);
}

/*
 * Called first by every I/O call: what it shall return in the end, and whether it takes effect.
 */
static int judge(struct fault_env *fault, bool changes, bool *ret_effect)
{
    fault_take_time(fault);
    fault->io_count++;
    fault->change_count += changes;
    *ret_effect = false;
    if (fault->dead)
        return -EIO;
    if (fault->io_count == fault->fail_at)
        return fault->fail_error;
    *ret_effect = true;
    if (changes && fault->change_count == fault->crash_at) {
        fault->dead = true;
        return -EIO;
    }
    return 0;
}

/* For calls that change nothing: 0 to go on, or the error. */
static int judge_read(struct env *env)
{
    bool effect;

    return judge(fault_env_of(env), false, &effect);
}

/* ---- files ---- */

static int fault_open(struct env *env, const char *path, int flags, int *ret_fd)
{
    struct fault_env *fault = fault_env_of(env);
    bool changes = flags & (O_CREAT | O_TRUNC);
    struct mem_inode *inode;
    uint64_t size = 0;
    bool created;
    bool effect;
    int verdict;
    int fd;
    int r;

    fault_trace_path(fault, FAULT_OPEN, path);
    verdict = judge(fault, changes, &effect);
    if (!effect)
        return verdict;
    created = mem_lookup(&fault->mem, path, &inode) < 0;
    if (!created)
        size = inode->size;
    r = mem_ops.open(env, path, flags, &fd);
    if (r < 0)
        return r;
    inode = mem_open_of(&fault->mem, fd)->inode;
    if (created) {
        struct mem_inode *directory;
        const char *name;

        r = mem_lookup_parent(&fault->mem, path, &directory, &name);
        ASSERT(r == 0);
        fault_change_add(directory, ++fault->sequence, NULL, name, inode, NULL);
    }
    if (inode->size < size)
        fault_mark(inode, inode->size, size);
    if (verdict < 0) {
        mem_ops.close(env, fd);
        return verdict;
    }
    *ret_fd = fd;
    return 0;
}

static void fault_close(struct env *env, int fd)
{
    mem_ops.close(env, fd);
}

static int64_t fault_read(struct env *env, int fd, void *to, size_t size, uint64_t offset)
{
    struct iovec got = {.iov_base = to};
    int64_t n;
    int r;

    fault_trace_file(fault_env_of(env), FAULT_READ, fd, offset, size);
    r = judge_read(env);
    n = r < 0 ? r : mem_ops.read(env, fd, to, size, offset);
    got.iov_len = n > 0 ? (size_t)n : 0;
    fault_trace_data(fault_env_of(env), &got, 1);
    return n;
}

static void note_write(
    struct fault_env *fault, int fd, uint64_t old_size, uint64_t offset, uint64_t bytes)
{
    struct mem_inode *inode = mem_open_of(&fault->mem, fd)->inode;

    if (bytes == 0)
        return;
    fault_mark(inode, offset < old_size ? offset : old_size, offset + bytes);
    fault->last_number = inode->number;
    fault->last_offset = offset;
    fault->last_bytes = bytes;
}

/* The first `bytes` of the vector. */
static int write_first(
    struct env *env, int fd, const struct iovec *vector, int count, uint64_t offset, uint64_t bytes)
{
    struct fault_env *fault = fault_env_of(env);
    struct mem_open *open = mem_open_of(&fault->mem, fd);
    uint64_t old_size = open ? open->inode->size : 0;
    uint64_t done = 0;

    for (int i = 0; i < count && done < bytes; i++) {
        struct iovec part = vector[i];
        int r;

        if (part.iov_len > bytes - done)
            part.iov_len = (size_t)(bytes - done);
        r = mem_ops.writev(env, fd, &part, 1, offset + done);
        if (r < 0)
            return r;
        done += part.iov_len;
        note_write(fault, fd, old_size, offset, done);
    }
    return 0;
}

static int fault_writev(
    struct env *env, int fd, const struct iovec *vector, int count, uint64_t offset)
{
    struct fault_env *fault = fault_env_of(env);
    const struct mem_open *open = mem_open_of(&fault->mem, fd);
    uint64_t bytes = 0;
    bool effect;
    int verdict;
    int r;

    for (int i = 0; i < count; i++)
        bytes += vector[i].iov_len;
    fault_trace_file(fault, FAULT_WRITE, fd, offset, bytes);
    fault_trace_data(fault, vector, count);
    verdict = judge(fault, true, &effect);
    if (!effect && fault->dead)
        return verdict;
    if (!effect)
        bytes = mem_random(&fault->mem) % (bytes + 1);
    if (!effect && open && open->is_direct)
        bytes -= bytes % IO_DIRECT_BYTES;
    r = write_first(env, fd, vector, count, offset, bytes);
    return verdict < 0 ? verdict : r;
}

static int fault_set_direct(struct env *env, int fd, bool direct)
{
    return mem_ops.set_direct(env, fd, direct);
}

/* As a disk does it, or as one does that puts a sector where another belongs. */
static void sync_somehow(struct fault_env *fault, struct mem_inode *inode)
{
    if (fault->misdirect_in == 1 && fault_misdirect_file(inode))
        fault->misdirect_in = 0;
    else if (fault->misdirect_in > 1)
        fault->misdirect_in--;
    fault_sync_file(inode);
}

static int fault_sync(struct env *env, int fd)
{
    struct fault_env *fault = fault_env_of(env);
    struct mem_open *open = mem_open_of(&fault->mem, fd);
    bool effect;
    int verdict;

    fault_trace_file(fault, FAULT_SYNC, fd, 0, 0);
    verdict = judge(fault, true, &effect);
    if (!open)
        return -EBADF;
    if (++fault->sync_count == fault->fail_sync_at && verdict == 0)
        verdict = -EIO;
    if (verdict == 0)
        sync_somehow(fault, open->inode);
    else if (!fault->dead)
        fault_drop_file(open->inode);
    return verdict;
}

static int resize(struct env *env, int fd, uint64_t size, enum fault_call call,
    int (*how)(struct env *env, int fd, uint64_t size))
{
    struct fault_env *fault = fault_env_of(env);
    struct mem_open *open = mem_open_of(&fault->mem, fd);
    uint64_t old_size;
    bool effect;
    int verdict;
    int r;

    fault_trace_file(fault, call, fd, 0, size);
    verdict = judge(fault, true, &effect);
    if (!effect)
        return verdict;
    if (!open)
        return -EBADF;
    old_size = open->inode->size;
    r = how(env, fd, size);
    if (r < 0)
        return r;
    if (old_size < open->inode->size)
        fault_mark(open->inode, old_size, open->inode->size);
    else
        fault_mark(open->inode, open->inode->size, old_size);
    return verdict;
}

static int fault_truncate(struct env *env, int fd, uint64_t size)
{
    return resize(env, fd, size, FAULT_TRUNCATE, mem_ops.truncate);
}

static int fault_allocate(struct env *env, int fd, uint64_t size)
{
    return resize(env, fd, size, FAULT_ALLOCATE, mem_ops.allocate);
}

static int fault_prewrite(struct env *env, int fd, uint64_t size)
{
    struct fault_env *fault = fault_env_of(env);
    struct mem_open *open = mem_open_of(&fault->mem, fd);
    bool effect;
    int verdict;
    int r;

    fault_trace_file(fault, FAULT_PREWRITE, fd, 0, size);
    verdict = judge(fault, true, &effect);
    if (!effect)
        return verdict;
    r = mem_ops.prewrite(env, fd, size);
    if (r < 0)
        return r;
    fault_mark(open->inode, 0, size);
    return verdict;
}

static void fault_advise(struct env *env, int fd, uint64_t offset, uint64_t size)
{
    mem_ops.forget(env, fd, offset, size);
}

static void fault_expect_random(struct env *env, int fd)
{
    mem_ops.expect_random(env, fd);
}

static int fault_fstat(struct env *env, int fd, struct io_stat *ret_stat)
{
    int r;

    fault_trace_file(fault_env_of(env), FAULT_FSTAT, fd, 0, 0);
    r = judge_read(env);
    return r < 0 ? r : mem_ops.fstat(env, fd, ret_stat);
}

static int fault_lock(struct env *env, int fd, enum io_lock how)
{
    int r;

    fault_trace_file(fault_env_of(env), FAULT_LOCK, fd, 0, 0);
    r = judge_read(env);
    return r < 0 ? r : mem_ops.lock(env, fd, how);
}

/* ---- names ---- */

static int fault_stat(struct env *env, const char *path, struct io_stat *ret_stat)
{
    int r;

    fault_trace_path(fault_env_of(env), FAULT_STAT, path);
    r = judge_read(env);
    return r < 0 ? r : mem_ops.stat(env, path, ret_stat);
}

static void note_rename(struct fault_env *fault, struct mem_inode *from_directory, const char *from,
    struct mem_inode *to_directory, const char *to)
{
    struct mem_inode *inode =
        to_directory->names.all[mem_names_find(&to_directory->names, to)].inode;
    uint64_t sequence = ++fault->sequence;

    if (from_directory == to_directory) {
        fault_change_add(from_directory, sequence, from, to, inode, NULL);
        return;
    }
    /* The old name goes only once the new one is there. A directory is never in two places. */
    fault_change_add(
        to_directory, sequence, NULL, to, inode, inode->is_directory ? from_directory : NULL);
    fault_change_add(from_directory, sequence, from, NULL, NULL, to_directory);
}

static int fault_rename(struct env *env, const char *from, const char *to)
{
    struct fault_env *fault = fault_env_of(env);
    struct mem_inode *from_directory;
    struct mem_inode *to_directory;
    const char *from_name;
    const char *to_name;
    bool effect;
    int verdict;
    int r;

    fault_trace_paths(fault, FAULT_RENAME, from, to);
    verdict = judge(fault, true, &effect);
    if (!effect)
        return verdict;
    r = mem_lookup_parent(&fault->mem, from, &from_directory, &from_name);
    if (r == 0)
        r = mem_lookup_parent(&fault->mem, to, &to_directory, &to_name);
    if (r == 0)
        r = mem_ops.rename(env, from, to);
    if (r < 0)
        return r;
    /* A rename between two names of one file does nothing. */
    if (mem_names_find(&from_directory->names, from_name) < 0)
        note_rename(fault, from_directory, from_name, to_directory, to_name);
    return verdict;
}

/* Notes that `path` now names what it names, or nothing. */
static void note_name(struct fault_env *fault, const char *path)
{
    struct mem_inode *directory;
    const char *name;
    int r = mem_lookup_parent(&fault->mem, path, &directory, &name);
    int at;

    ASSERT(r == 0);
    at = mem_names_find(&directory->names, name);
    if (at < 0)
        fault_change_add(directory, ++fault->sequence, name, NULL, NULL, NULL);
    else
        fault_change_add(
            directory, ++fault->sequence, NULL, name, directory->names.all[at].inode, NULL);
}

static int fault_link(struct env *env, const char *from, const char *to)
{
    struct fault_env *fault = fault_env_of(env);
    bool effect;
    int verdict;
    int r;

    fault_trace_paths(fault, FAULT_LINK, from, to);
    verdict = judge(fault, true, &effect);
    if (!effect)
        return verdict;
    r = mem_ops.link(env, from, to);
    if (r < 0)
        return r;
    note_name(fault, to);
    return verdict;
}

static int change_name(
    struct env *env, const char *path, enum fault_call call, int (*how)(struct env *, const char *))
{
    struct fault_env *fault = fault_env_of(env);
    bool effect;
    int verdict;
    int r;

    fault_trace_path(fault, call, path);
    verdict = judge(fault, true, &effect);
    if (!effect)
        return verdict;
    r = how(env, path);
    if (r < 0)
        return r;
    note_name(fault, path);
    return verdict;
}

static int fault_unlink(struct env *env, const char *path)
{
    return change_name(env, path, FAULT_UNLINK, mem_ops.unlink);
}

static int fault_mkdir(struct env *env, const char *path)
{
    return change_name(env, path, FAULT_MKDIR, mem_ops.mkdir);
}

static int fault_rmdir(struct env *env, const char *path)
{
    return change_name(env, path, FAULT_RMDIR, mem_ops.rmdir);
}

static int fault_sync_directory(struct env *env, const char *path)
{
    struct fault_env *fault = fault_env_of(env);
    struct mem_inode *directory;
    bool effect;
    int verdict;
    int r;

    fault_trace_path(fault, FAULT_SYNC_DIRECTORY, path);
    verdict = judge(fault, true, &effect);
    if (verdict < 0)
        return verdict;
    r = mem_ops.sync_directory(env, path);
    if (r < 0)
        return r;
    r = mem_lookup(&fault->mem, path, &directory);
    ASSERT(r == 0);
    fault_settle(directory, UINT64_MAX);
    return 0;
}

static int fault_list(struct env *env, const char *path, io_list_each each, void *arg)
{
    int r;

    fault_trace_path(fault_env_of(env), FAULT_LIST, path);
    r = judge_read(env);
    return r < 0 ? r : mem_ops.list(env, path, each, arg);
}

static int fault_space(struct env *env, struct io_space *ret_space)
{
    int r;

    fault_trace_path(fault_env_of(env), FAULT_SPACE, "");
    r = judge_read(env);
    return r < 0 ? r : mem_ops.space(env, ret_space);
}

/* ---- clock and chance ---- */

static uint64_t fault_wall_us(struct env *env)
{
    return mem_ops.wall_us(env);
}

static uint64_t fault_monotonic_us(struct env *env)
{
    return mem_ops.monotonic_us(env);
}

static uint64_t fault_random(struct env *env)
{
    return mem_ops.random(env);
}

static unsigned fault_processors(struct env *env)
{
    return mem_ops.processors(env);
}

/* ---- control ---- */

void env_fault_fail_at(struct env *env, uint64_t nth, int error)
{
    struct fault_env *fault = fault_env_of(env);

    fault->fail_at = nth ? fault->io_count + nth : 0;
    fault->fail_error = error;
}

void env_fault_fail_sync_at(struct env *env, uint64_t nth)
{
    struct fault_env *fault = fault_env_of(env);

    fault->fail_sync_at = nth > 0 ? fault->sync_count + nth : 0;
}

void env_fault_crash_at(struct env *env, uint64_t nth)
{
    struct fault_env *fault = fault_env_of(env);

    fault->crash_at = nth ? fault->change_count + nth : 0;
}

void env_fault_misdirect_at(struct env *env, uint64_t nth)
{
    fault_env_of(env)->misdirect_in = nth;
}

uint64_t env_fault_io_count(struct env *env)
{
    return fault_env_of(env)->io_count;
}

uint64_t env_fault_change_count(struct env *env)
{
    return fault_env_of(env)->change_count;
}

void env_fault_flip_bit(struct env *env, const char *path, uint64_t offset, unsigned bit)
{
    struct mem_inode *inode;
    struct fault_disk *disk;
    int r = mem_lookup(mem_env_of(env), path, &inode);

    ASSERT(r == 0 && !inode->is_directory && offset < inode->size && bit < 8);
    inode->data[offset] ^= (uint8_t)(1u << bit);
    disk = fault_disk_of(inode);
    if (offset < disk->size)
        disk->data[offset] ^= (uint8_t)(1u << bit);
}

static void fault_free(struct env *env)
{
    struct fault_env *fault = fault_env_of(env);
    struct mem_inode *inode;

    /* What the disk has and what readers see may name each other in a circle. */
    for (inode = fault->mem.inodes; inode; inode = inode->next)
        mem_inode_ref(inode);
    for (inode = fault->mem.inodes; inode; inode = inode->next)
        fault_disk_free(inode);
    for (inode = fault->mem.inodes; inode;) {
        struct mem_inode *next = inode->next;

        /* Those that come after cannot go with this one: each has its reference of above. */
        mem_inode_unref(inode);
        inode = next;
    }
    mem_release(&fault->mem);
    free(fault);
}

static const struct env_ops fault_ops = {
    .open = fault_open,
    .close = fault_close,
    .read = fault_read,
    .writev = fault_writev,
    .set_direct = fault_set_direct,
    .sync = fault_sync,
    .truncate = fault_truncate,
    .allocate = fault_allocate,
    .prewrite = fault_prewrite,
    .write_behind = fault_advise,
    .forget = fault_advise,
    .expect_random = fault_expect_random,
    .fstat = fault_fstat,
    .lock = fault_lock,
    .stat = fault_stat,
    .rename = fault_rename,
    .link = fault_link,
    .unlink = fault_unlink,
    .mkdir = fault_mkdir,
    .rmdir = fault_rmdir,
    .sync_directory = fault_sync_directory,
    .list = fault_list,
    .space = fault_space,
    .wall_us = fault_wall_us,
    .monotonic_us = fault_monotonic_us,
    .random = fault_random,
    .processors = fault_processors,
    .signal = mem_signal,
    .wait = mem_wait,
    .task_start = mem_task_start,
    .task_kick = mem_task_kick,
    .task_stop = mem_task_stop,
    .free = fault_free,
};

int env_fault_new(uint64_t seed, struct env **ret_env)
{
    struct fault_env *fault = calloc(1, sizeof(*fault));
    int r;

    if (!fault)
        return err_new(-ENOMEM, "no memory for a simulated disk");
    fault->mem.inode_gone = fault_disk_free;
    fault_trace_init(fault);
    r = mem_init(&fault->mem, &fault_ops, seed);
    if (r < 0) {
        free(fault);
        return err_new(r, "no memory for a simulated disk");
    }
    *ret_env = &fault->mem.env;
    return 0;
}
