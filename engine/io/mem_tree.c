/*
 * The tree of files and directories in memory: inodes, names, paths.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "io/mem.h"

#define CAPACITY_MIN 4096

int64_t mem_now_ns(const struct mem_env *mem)
{
    return ((int64_t)mem->monotonic_us + mem->wall_ahead_us) * 1000;
}

/* ---- inodes ---- */

struct mem_inode *mem_inode_new(struct mem_env *mem, bool is_directory)
{
    struct mem_inode *inode = calloc(1, sizeof(*inode));

    if (!inode)
        return NULL;
    inode->env = mem;
    inode->references = 1;
    inode->is_directory = is_directory;
    inode->number = mem->next_number++;
    inode->mtime_ns = mem_now_ns(mem);
    inode->next = mem->inodes;
    if (mem->inodes)
        mem->inodes->previous = inode;
    mem->inodes = inode;
    return inode;
}

struct mem_inode *mem_inode_ref(struct mem_inode *inode)
{
    inode->references++;
    return inode;
}

void mem_inode_unref(struct mem_inode *inode)
{
    struct mem_env *mem = inode->env;

    if (--inode->references > 0)
        return;
    mem_names_release(&inode->names);
    if (mem->inode_gone)
        mem->inode_gone(inode);
    if (inode->previous)
        inode->previous->next = inode->next;
    else
        mem->inodes = inode->next;
    if (inode->next)
        inode->next->previous = inode->previous;
    mem->used_bytes -= inode->size;
    free(inode->data);
    free(inode);
}

/* After a crash there may be more than the disk's size: what was being deleted is back. */
uint64_t mem_available_bytes(const struct mem_env *mem)
{
    return mem->total_bytes > mem->used_bytes ? mem->total_bytes - mem->used_bytes : 0;
}

int mem_inode_resize(struct mem_inode *inode, uint64_t size)
{
    struct mem_env *mem = inode->env;

    if (size > inode->size && size - inode->size > mem_available_bytes(mem))
        return -ENOSPC;
    if (size > inode->capacity) {
        uint64_t capacity = inode->capacity ? inode->capacity : CAPACITY_MIN;
        uint8_t *data;

        while (capacity < size) {
            if (__builtin_mul_overflow(capacity, 2, &capacity))
                return -EFBIG;
        }
        data = realloc(inode->data, capacity);
        if (!data)
            return -ENOMEM;
        inode->data = data;
        inode->capacity = capacity;
    }
    if (size > inode->size)
        memset(inode->data + inode->size, 0, size - inode->size);
    mem->used_bytes += size - inode->size;
    inode->size = size;
    inode->mtime_ns = mem_now_ns(mem);
    return 0;
}

/* ---- names of a directory ---- */

int mem_names_find(const struct mem_names *names, const char *name)
{
    for (unsigned i = 0; i < names->count; i++) {
        if (strcmp(names->all[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

int mem_names_set(struct mem_names *names, const char *name, struct mem_inode *inode)
{
    int at = mem_names_find(names, name);
    char *copy;

    if (at >= 0) {
        struct mem_inode *old = names->all[at].inode;

        names->all[at].inode = mem_inode_ref(inode);
        mem_inode_unref(old);
        return 0;
    }
    if (names->count == names->capacity) {
        unsigned capacity = names->capacity ? names->capacity * 2 : 8;
        struct mem_name *all = realloc(names->all, capacity * sizeof(*all));

        if (!all)
            return -ENOMEM;
        names->all = all;
        names->capacity = capacity;
    }
    copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    names->all[names->count++] = (struct mem_name){copy, mem_inode_ref(inode)};
    return 0;
}

void mem_names_remove(struct mem_names *names, const char *name)
{
    int at = mem_names_find(names, name);

    if (at < 0)
        return;
    free(names->all[at].name);
    mem_inode_unref(names->all[at].inode);
    names->all[at] = names->all[--names->count];
}

void mem_names_release(struct mem_names *names)
{
    for (unsigned i = 0; i < names->count; i++) {
        free(names->all[i].name);
        mem_inode_unref(names->all[i].inode);
    }
    free(names->all);
    *names = (struct mem_names){0};
}

/* ---- paths ---- */

/* The inode that the first `size` bytes of `path` lead to. */
static int walk(struct mem_env *mem, const char *path, size_t size, struct mem_inode **ret_inode)
{
    struct mem_inode *at = mem->root;
    const char *end = path + size;

    while (path < end) {
        const char *slash = memchr(path, '/', (size_t)(end - path));
        size_t length = (size_t)((slash ? slash : end) - path);
        char name[NAME_MAX + 1];
        int index;

        if (!at->is_directory)
            return -ENOTDIR;
        if (length > NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(name, path, length);
        name[length] = '\0';
        path += length + (slash ? 1 : 0);
        if (length == 0 || strcmp(name, ".") == 0)
            continue;
        index = mem_names_find(&at->names, name);
        if (index < 0)
            return -ENOENT;
        at = at->names.all[index].inode;
    }
    *ret_inode = at;
    return 0;
}

int mem_lookup(struct mem_env *mem, const char *path, struct mem_inode **ret_inode)
{
    return walk(mem, path, strlen(path), ret_inode);
}

int mem_lookup_parent(
    struct mem_env *mem, const char *path, struct mem_inode **ret_directory, const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    struct mem_inode *directory;
    int r = walk(mem, path, slash ? (size_t)(slash - path) : 0, &directory);

    if (r < 0)
        return r;
    if (!directory->is_directory)
        return -ENOTDIR;
    if (name[0] == '\0' || strcmp(name, ".") == 0)
        return -EBUSY; /* the folder itself */
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    *ret_directory = directory;
    *ret_name = name;
    return 0;
}
