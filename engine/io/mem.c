#include "io/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/assert.h"
#include "engine/error.h"

#define WALL_START_US 1700000000000000ull
#define DISK_BYTES_DEFAULT (1ull << 40)

struct mem_env *mem_env_of(struct env *env)
{
    return CONTAINER_OF(env, struct mem_env, env);
}

uint64_t mem_random(struct mem_env *mem)
{
    uint64_t z = mem->random_state += 0x9e3779b97f4a7c15ull; /* splitmix64 */

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

/* ---- open files ---- */

struct mem_open *mem_open_of(struct mem_env *mem, int fd)
{
    if (fd < 0 || fd >= mem->open_count || !mem->open[fd].inode)
        return NULL;
    return &mem->open[fd];
}

static int open_inode(struct mem_env *mem, struct mem_inode *inode, int flags, int *ret_fd)
{
    if (mem->open_count == mem->open_capacity) {
        int capacity = mem->open_capacity ? mem->open_capacity * 2 : 64;
        struct mem_open *open = realloc(mem->open, (size_t)capacity * sizeof(*open));

        if (!open)
            return -ENOMEM;
        mem->open = open;
        mem->open_capacity = capacity;
    }
    mem->open[mem->open_count] =
        (struct mem_open){.inode = mem_inode_ref(inode), .flags = flags, .lock = MEM_UNLOCKED};
    *ret_fd = mem->open_count++;
    return 0;
}

static int create_file(
    struct mem_env *mem, const char *path, int flags, struct mem_inode **ret_inode)
{
    struct mem_inode *directory;
    struct mem_inode *inode;
    const char *name;
    int r;

    if (!(flags & O_CREAT))
        return -ENOENT;
    r = mem_lookup_parent(mem, path, &directory, &name);
    if (r < 0)
        return r;
    inode = mem_inode_new(mem, false);
    if (!inode)
        return -ENOMEM;
    inode->links = 1;
    r = mem_names_set(&directory->names, name, inode);
    mem_inode_unref(inode); /* the name keeps it, or nothing does */
    if (r < 0)
        return r;
    *ret_inode = inode;
    return 0;
}

static int mem_file_open(struct env *env, const char *path, int flags, int *ret_fd)
{
    struct mem_env *mem = mem_env_of(env);
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    struct mem_inode *inode;
    int r;

    r = mem_lookup(mem, path, &inode);
    if (r == 0 && (flags & O_CREAT) && (flags & O_EXCL))
        return -EEXIST;
    if (r == -ENOENT)
        r = create_file(mem, path, flags, &inode);
    if (r < 0)
        return r;
    if (inode->is_directory && (writes || (flags & O_CREAT)))
        return -EISDIR;
    if (!inode->is_directory && (flags & O_DIRECTORY))
        return -ENOTDIR;
    if (writes && (flags & O_TRUNC)) {
        r = mem_inode_resize(inode, 0);
        if (r < 0)
            return r;
    }
    return open_inode(mem, inode, flags, ret_fd);
}

static void unlock(struct mem_open *open)
{
    if (open->lock == MEM_LOCKED_SHARED)
        open->inode->locks_shared--;
    if (open->lock == MEM_LOCKED_EXCLUSIVE)
        open->inode->locked_exclusive = false;
    open->lock = MEM_UNLOCKED;
}

static void mem_close(struct env *env, int fd)
{
    struct mem_env *mem = mem_env_of(env);
    struct mem_open *open = mem_open_of(mem, fd);

    if (!open) {
        /* Whoever outlived a crash may tidy up; all else is a descriptor closed twice. */
        ASSERT(fd >= 0 && fd < mem->open_dead);
        return;
    }
    unlock(open);
    mem_inode_unref(open->inode);
    open->inode = NULL;
}

void mem_kill_open_files(struct mem_env *mem)
{
    for (int fd = 0; fd < mem->open_count; fd++) {
        if (mem->open[fd].inode)
            mem_close(&mem->env, fd);
    }
    mem->open_dead = mem->open_count;
}

static int64_t mem_read(struct env *env, int fd, void *to, size_t size, uint64_t offset)
{
    struct mem_open *open = mem_open_of(mem_env_of(env), fd);

    if (!open || (open->flags & O_ACCMODE) == O_WRONLY)
        return -EBADF;
    if (open->inode->is_directory)
        return -EISDIR;
    if (offset >= open->inode->size)
        return 0;
    if (size > open->inode->size - offset)
        size = open->inode->size - offset;
    if (size > 0)
        memcpy(to, open->inode->data + offset, size);
    return (int64_t)size;
}

/* An open file that may be written. */
static int writable(struct env *env, int fd, struct mem_inode **ret_inode)
{
    struct mem_open *open = mem_open_of(mem_env_of(env), fd);

    if (!open || (open->flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    *ret_inode = open->inode;
    return 0;
}

/* What a disk would refuse or, worse, some disk would not: every test finds it. */
static int check_direct(
    const struct mem_env *mem, const struct iovec *vector, int count, uint64_t offset)
{
    if (mem->direct == ENV_DIRECT_REFUSED_LATE)
        return -EINVAL;
    ASSERT(offset % IO_DIRECT_BYTES == 0);
    for (int i = 0; i < count; i++) {
        ASSERT((uintptr_t)vector[i].iov_base % IO_DIRECT_BYTES == 0);
        ASSERT(vector[i].iov_len % IO_DIRECT_BYTES == 0);
    }
    return 0;
}

static int mem_writev(
    struct env *env, int fd, const struct iovec *vector, int count, uint64_t offset)
{
    struct mem_inode *inode;
    uint64_t end = offset;
    int r = writable(env, fd, &inode);

    if (r == 0 && mem_env_of(env)->open[fd].is_direct)
        r = check_direct(mem_env_of(env), vector, count, offset);
    if (r < 0)
        return r;
    for (int i = 0; i < count; i++) {
        if (__builtin_add_overflow(end, vector[i].iov_len, &end))
            return -EFBIG;
    }
    if (end == offset)
        return 0;
    if (end > inode->size) {
        r = mem_inode_resize(inode, end);
        if (r < 0)
            return r;
    }
    for (int i = 0; i < count; i++) {
        if (vector[i].iov_len == 0)
            continue;
        memcpy(inode->data + offset, vector[i].iov_base, vector[i].iov_len);
        offset += vector[i].iov_len;
    }
    inode->mtime_ns = mem_now_ns(inode->env);
    return 0;
}

static int mem_set_direct(struct env *env, int fd, bool direct)
{
    struct mem_env *mem = mem_env_of(env);
    struct mem_open *open = mem_open_of(mem, fd);

    if (!open)
        return -EBADF;
    if (direct && mem->direct == ENV_DIRECT_REFUSED)
        return -EINVAL;
    open->is_direct = direct;
    return 0;
}

static int mem_sync(struct env *env, int fd)
{
    return mem_open_of(mem_env_of(env), fd) ? 0 : -EBADF;
}

static int mem_truncate(struct env *env, int fd, uint64_t size)
{
    struct mem_inode *inode;
    int r = writable(env, fd, &inode);

    return r < 0 ? r : mem_inode_resize(inode, size);
}

static int mem_allocate(struct env *env, int fd, uint64_t size)
{
    struct mem_inode *inode;
    int r = writable(env, fd, &inode);

    if (r < 0 || size <= inode->size)
        return r;
    return mem_inode_resize(inode, size);
}

static int mem_prewrite(struct env *env, int fd, uint64_t size)
{
    struct mem_inode *inode;
    int r = writable(env, fd, &inode);

    if (r == 0 && size > inode->size)
        r = mem_inode_resize(inode, size);
    if (r == 0)
        memset(inode->data, 0, size);
    return r;
}

static void mem_advise(struct env *env, int fd, uint64_t offset, uint64_t size)
{
    (void)env;
    (void)fd;
    (void)offset;
    (void)size;
}

static void mem_expect_random(struct env *env, int fd)
{
    (void)env;
    (void)fd;
}

static void stat_of(const struct mem_inode *inode, struct io_stat *ret_stat)
{
    *ret_stat = (struct io_stat){
        .size = inode->size,
        .inode = inode->number,
        .links = inode->links,
        .mtime_ns = inode->mtime_ns,
        .is_directory = inode->is_directory,
    };
}

static int mem_fstat(struct env *env, int fd, struct io_stat *ret_stat)
{
    struct mem_open *open = mem_open_of(mem_env_of(env), fd);

    if (!open)
        return -EBADF;
    stat_of(open->inode, ret_stat);
    return 0;
}

static int mem_lock(struct env *env, int fd, enum io_lock how)
{
    struct mem_open *open = mem_open_of(mem_env_of(env), fd);
    struct mem_inode *inode;
    unsigned others_shared;
    bool other_exclusive;

    if (!open)
        return -EBADF;
    inode = open->inode;
    others_shared = inode->locks_shared - (open->lock == MEM_LOCKED_SHARED);
    other_exclusive = inode->locked_exclusive && open->lock != MEM_LOCKED_EXCLUSIVE;
    if (other_exclusive || (how == IO_LOCK_EXCLUSIVE && others_shared > 0))
        return -EWOULDBLOCK;
    unlock(open);
    if (how == IO_LOCK_EXCLUSIVE) {
        open->lock = MEM_LOCKED_EXCLUSIVE;
        inode->locked_exclusive = true;
    } else {
        open->lock = MEM_LOCKED_SHARED;
        inode->locks_shared++;
    }
    return 0;
}

/* ---- names ---- */

static int mem_stat(struct env *env, const char *path, struct io_stat *ret_stat)
{
    struct mem_inode *inode;
    int r = mem_lookup(mem_env_of(env), path, &inode);

    if (r < 0)
        return r;
    stat_of(inode, ret_stat);
    return 0;
}

/* May `moved` take the place of `replaced`? */
static int check_replace(const struct mem_inode *moved, const struct mem_inode *replaced)
{
    if (replaced->is_directory && !moved->is_directory)
        return -EISDIR;
    if (!replaced->is_directory && moved->is_directory)
        return -ENOTDIR;
    if (replaced->is_directory && replaced->names.count > 0)
        return -ENOTEMPTY;
    return 0;
}

/* Is `inode` `tree` or in it? */
static bool tree_has(const struct mem_inode *tree, const struct mem_inode *inode)
{
    if (tree == inode)
        return true;
    for (unsigned i = 0; i < tree->names.count; i++) {
        if (tree_has(tree->names.all[i].inode, inode))
            return true;
    }
    return false;
}

static int mem_rename(struct env *env, const char *from, const char *to)
{
    struct mem_env *mem = mem_env_of(env);
    struct mem_inode *from_directory;
    struct mem_inode *to_directory;
    struct mem_inode *inode;
    const char *from_name;
    const char *to_name;
    int at;
    int r;

    r = mem_lookup_parent(mem, from, &from_directory, &from_name);
    if (r < 0)
        return r;
    r = mem_lookup_parent(mem, to, &to_directory, &to_name);
    if (r < 0)
        return r;
    at = mem_names_find(&from_directory->names, from_name);
    if (at < 0)
        return -ENOENT;
    inode = from_directory->names.all[at].inode;
    if (inode->is_directory && tree_has(inode, to_directory))
        return -EINVAL;
    at = mem_names_find(&to_directory->names, to_name);
    if (at >= 0) {
        struct mem_inode *replaced = to_directory->names.all[at].inode;

        if (replaced == inode)
            return 0;
        r = check_replace(inode, replaced);
        if (r < 0)
            return r;
        replaced->links--;
    }
    r = mem_names_set(&to_directory->names, to_name, inode);
    if (r < 0)
        return r;
    mem_names_remove(&from_directory->names, from_name);
    return 0;
}

static int mem_link(struct env *env, const char *from, const char *to)
{
    struct mem_env *mem = mem_env_of(env);
    struct mem_inode *directory;
    struct mem_inode *inode;
    const char *name;
    int r;

    r = mem_lookup(mem, from, &inode);
    if (r < 0)
        return r;
    if (inode->is_directory)
        return -EPERM;
    r = mem_lookup_parent(mem, to, &directory, &name);
    if (r < 0)
        return r;
    if (mem_names_find(&directory->names, name) >= 0)
        return -EEXIST;
    r = mem_names_set(&directory->names, name, inode);
    if (r < 0)
        return r;
    inode->links++;
    return 0;
}

static int remove_name(struct env *env, const char *path, bool directory_wanted)
{
    struct mem_inode *directory;
    struct mem_inode *inode;
    const char *name;
    int at;
    int r;

    r = mem_lookup_parent(mem_env_of(env), path, &directory, &name);
    if (r < 0)
        return r;
    at = mem_names_find(&directory->names, name);
    if (at < 0)
        return -ENOENT;
    inode = directory->names.all[at].inode;
    if (inode->is_directory != directory_wanted)
        return directory_wanted ? -ENOTDIR : -EISDIR;
    if (inode->names.count > 0)
        return -ENOTEMPTY;
    inode->links--;
    mem_names_remove(&directory->names, name);
    return 0;
}

static int mem_unlink(struct env *env, const char *path)
{
    return remove_name(env, path, false);
}

static int mem_rmdir(struct env *env, const char *path)
{
    return remove_name(env, path, true);
}

static int mem_mkdir(struct env *env, const char *path)
{
    struct mem_env *mem = mem_env_of(env);
    struct mem_inode *directory;
    struct mem_inode *inode;
    const char *name;
    int r;

    r = mem_lookup_parent(mem, path, &directory, &name);
    if (r == -EBUSY)
        return -EEXIST;
    if (r < 0)
        return r;
    if (mem_names_find(&directory->names, name) >= 0)
        return -EEXIST;
    inode = mem_inode_new(mem, true);
    if (!inode)
        return -ENOMEM;
    inode->links = 1;
    r = mem_names_set(&directory->names, name, inode);
    mem_inode_unref(inode);
    return r;
}

static int lookup_directory(struct env *env, const char *path, struct mem_inode **ret_inode)
{
    int r = mem_lookup(mem_env_of(env), path, ret_inode);

    if (r < 0)
        return r;
    return (*ret_inode)->is_directory ? 0 : -ENOTDIR;
}

static int mem_sync_directory(struct env *env, const char *path)
{
    struct mem_inode *inode;

    return lookup_directory(env, path, &inode);
}

static void free_names(char **names, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

static int mem_list(struct env *env, const char *path, io_list_each each, void *arg)
{
    struct mem_inode *directory;
    unsigned count;
    char **names;
    int r = lookup_directory(env, path, &directory);

    if (r < 0)
        return r;
    /* A copy, as each() may make and remove names. */
    count = directory->names.count;
    names = calloc(count ? count : 1, sizeof(*names));
    if (!names)
        return -ENOMEM;
    for (unsigned i = 0; i < count && r == 0; i++) {
        names[i] = strdup(directory->names.all[i].name);
        if (!names[i])
            r = -ENOMEM;
    }
    for (unsigned i = 0; i < count && r == 0; i++)
        r = each(arg, names[i]);
    free_names(names, count);
    return r;
}

static int mem_space(struct env *env, struct io_space *ret_space)
{
    struct mem_env *mem = mem_env_of(env);

    ret_space->total_bytes = mem->total_bytes;
    ret_space->available_bytes = mem_available_bytes(mem);
    return 0;
}

/* ---- clock and chance ---- */

static uint64_t mem_wall_us(struct env *env)
{
    struct mem_env *mem = mem_env_of(env);

    return mem->monotonic_us + (uint64_t)mem->wall_ahead_us;
}

static uint64_t mem_monotonic_us(struct env *env)
{
    return mem_env_of(env)->monotonic_us;
}

static uint64_t mem_ops_random(struct env *env)
{
    return mem_random(mem_env_of(env));
}

static unsigned mem_processors(struct env *env)
{
    (void)env;
    return 1;
}

void env_mem_advance(struct env *env, uint64_t us)
{
    mem_env_of(env)->monotonic_us += us;
}

void env_mem_set_wall(struct env *env, uint64_t wall_us)
{
    struct mem_env *mem = mem_env_of(env);

    mem->wall_ahead_us = (int64_t)(wall_us - mem->monotonic_us);
}

void env_mem_set_direct(struct env *env, enum env_direct direct)
{
    mem_env_of(env)->direct = direct;
}

void env_mem_set_space(struct env *env, uint64_t total_bytes)
{
    mem_env_of(env)->total_bytes = total_bytes;
}

/* ---- the world ---- */

int mem_init(struct mem_env *mem, const struct env_ops *ops, uint64_t seed)
{
    mem->env.ops = ops;
    mem->random_state = seed;
    mem->total_bytes = DISK_BYTES_DEFAULT;
    mem->monotonic_us = 1000000;
    mem->wall_ahead_us = (int64_t)(WALL_START_US - mem->monotonic_us);
    mem->next_number = 1;
    mem->root = mem_inode_new(mem, true);
    if (!mem->root)
        return -ENOMEM;
    mem->root->links = 1;
    return 0;
}

void mem_release(struct mem_env *mem)
{
    ASSERT(!mem->tasks);
    mem_kill_open_files(mem);
    if (mem->root)
        mem_inode_unref(mem->root);
    ASSERT(!mem->inodes);
    free(mem->open);
}

static void mem_free(struct env *env)
{
    struct mem_env *mem = mem_env_of(env);

    mem_release(mem);
    free(mem);
}

const struct env_ops mem_ops = {
    .open = mem_file_open,
    .close = mem_close,
    .read = mem_read,
    .writev = mem_writev,
    .set_direct = mem_set_direct,
    .sync = mem_sync,
    .truncate = mem_truncate,
    .allocate = mem_allocate,
    .prewrite = mem_prewrite,
    .write_behind = mem_advise,
    .forget = mem_advise,
    .expect_random = mem_expect_random,
    .fstat = mem_fstat,
    .lock = mem_lock,
    .stat = mem_stat,
    .rename = mem_rename,
    .link = mem_link,
    .unlink = mem_unlink,
    .mkdir = mem_mkdir,
    .rmdir = mem_rmdir,
    .sync_directory = mem_sync_directory,
    .list = mem_list,
    .space = mem_space,
    .wall_us = mem_wall_us,
    .monotonic_us = mem_monotonic_us,
    .random = mem_ops_random,
    .processors = mem_processors,
    .signal = mem_signal,
    .wait = mem_wait,
    .task_start = mem_task_start,
    .task_kick = mem_task_kick,
    .task_stop = mem_task_stop,
    .free = mem_free,
};

int env_mem_new(uint64_t seed, struct env **ret_env)
{
    struct mem_env *mem = calloc(1, sizeof(*mem));
    int r;

    if (!mem)
        return err_new(-ENOMEM, "no memory for a world in memory");
    r = mem_init(mem, &mem_ops, seed);
    if (r < 0) {
        free(mem);
        return err_new(r, "no memory for a world in memory");
    }
    *ret_env = &mem->env;
    return 0;
}
