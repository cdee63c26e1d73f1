#include "commitlog/pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/assert.h"
#include "engine/error.h"

/* ---- the pool ---- */

int pool_new_number(struct slot_pool *pool)
{
    for (unsigned number = 0; number < SLOT_NUMBERS_MAX; number++) {
        if (pool->numbers >> number & 1)
            continue;
        pool_add_number(pool, number);
        return (int)number;
    }
    return err_new(-ENOSPC, "the commit log has %u files, and none is free", pool->count);
}

void pool_add_number(struct slot_pool *pool, unsigned number)
{
    ASSERT(number < SLOT_NUMBERS_MAX && !(pool->numbers >> number & 1));
    pool->numbers |= 1ull << number;
    pool->count++;
}

void pool_drop_number(struct slot_pool *pool, unsigned number)
{
    ASSERT(pool->numbers >> number & 1);
    pool->numbers &= ~(1ull << number);
    pool->count--;
}

struct slot *pool_take(struct slot_pool *pool)
{
    struct slot *slot = pool->free;

    if (!slot)
        return NULL;
    pool->free = slot->next;
    pool->free_count--;
    slot->next = NULL;
    return slot;
}

void pool_give(struct slot_pool *pool, struct slot *slot)
{
    slot->next = pool->free;
    pool->free = slot;
    pool->free_count++;
}

void pool_release(struct slot_pool *pool, struct env *env)
{
    struct slot *slot;

    while ((slot = pool_take(pool)))
        slot_close(env, slot);
}

bool pool_wants_more(const struct slot_pool *pool)
{
    return pool->count < POOL_SLOTS_MIN || (pool->free_count == 0 && pool->count < POOL_SLOTS_MAX);
}

unsigned pool_left(const struct slot_pool *pool)
{
    bool may_grow = !pool->disk_is_full && pool->count < POOL_SLOTS_MAX;

    return pool->free_count + (may_grow ? POOL_SLOTS_MAX - pool->count : 0);
}

/* ---- slots ---- */

static struct slot *slot_new(enum slot_kind kind, unsigned number, int fd, uint64_t bytes)
{
    struct slot *slot = malloc(sizeof(*slot));

    if (slot)
        *slot = (struct slot){.kind = kind, .number = number, .fd = fd, .bytes = bytes};
    return slot;
}

static int fill(struct env *env, int fd, uint64_t bytes, bool prewrite)
{
    int r = prewrite ? -EOPNOTSUPP : io_allocate(env, fd, bytes);

    /* On a disk that cannot allocate, space is had by writing it. */
    return r == -EOPNOTSUPP ? io_prewrite(env, fd, bytes) : r;
}

/* A file that a crash leaves without its name is as lost as one without its content. */
static int settle(struct env *env, int fd)
{
    int r = io_sync(env, fd);

    if (r == 0)
        r = io_sync_directory(env, COMMITLOG_FOLDER);
    return r == 0 ? 0 : err_new(-EIO, "sync a new commit log slot: %s", err_text(r));
}

int slot_make(struct env *env, enum slot_kind kind, unsigned number, uint64_t bytes, bool prewrite,
    struct slot **ret_slot)
{
    char path[SLOT_PATH_BYTES], cause[128];
    struct slot *slot = slot_new(kind, number, -1, bytes);
    int r, unlinked;

    if (!slot)
        return err_new(-ENOMEM, "no memory for a commit log slot");
    slot_path(kind, number, path);
    r = io_open(env, path, O_RDWR | O_CREAT | O_EXCL, &slot->fd);
    if (r < 0) {
        free(slot);
        return r;
    }
    r = fill(env, slot->fd, bytes, prewrite);
    if (r == 0)
        r = settle(env, slot->fd);
    if (r == 0) {
        *ret_slot = slot;
        return 0;
    }
    snprintf(cause, sizeof(cause), "%s", err_text(r));
    unlinked = slot_drop(env, slot);
    if (unlinked < 0)
        return err_new(-EIO, "half of '%s' is left: %s; then %s", path, cause, err_text(unlinked));
    return err_new(r, "new commit log slot '%s': %s", path, cause);
}

int slot_open(struct env *env, enum slot_kind kind, unsigned number, struct slot **ret_slot)
{
    char path[SLOT_PATH_BYTES];
    struct io_stat stat;
    int fd, r;

    slot_path(kind, number, path);
    r = io_open(env, path, O_RDWR, &fd);
    if (r < 0)
        return r;
    r = io_fstat(env, fd, &stat);
    if (r == 0) {
        *ret_slot = slot_new(kind, number, fd, stat.size < UINT32_MAX ? stat.size : UINT32_MAX);
        r = *ret_slot ? 0 : err_new(-ENOMEM, "no memory for a commit log slot");
    }
    if (r < 0)
        io_close(env, fd);
    else
        (*ret_slot)->is_shared = stat.links > 1;
    return r;
}

int slot_extend(struct env *env, struct slot *slot, uint64_t bytes)
{
    int r;

    if (slot->bytes >= bytes)
        return 0;
    r = fill(env, slot->fd, bytes, false);
    if (r == 0)
        slot->bytes = bytes;
    return r;
}

int slot_clear(struct env *env, struct slot *slot)
{
    static const uint8_t zeros[SEGMENT_HEADER_BYTES];
    int r = io_write(env, slot->fd, zeros, sizeof(zeros), 0);

    return r < 0 ? r : io_sync(env, slot->fd);
}

void slot_close(struct env *env, struct slot *slot)
{
    io_close(env, slot->fd);
    free(slot);
}

int slot_drop(struct env *env, struct slot *slot)
{
    char path[SLOT_PATH_BYTES];
    int r;

    slot_path(slot->kind, slot->number, path);
    slot_close(env, slot);
    r = io_unlink(env, path);
    return r == -ENOENT ? 0 : r;
}

static int sync_kind(struct env *env, enum slot_kind kind)
{
    uint64_t slots;
    int r = slot_list(env, kind, &slots);

    for (unsigned number = 0; number < SLOT_NUMBERS_MAX && r == 0; number++) {
        struct slot *slot;

        if (!(slots >> number & 1))
            continue;
        r = slot_open(env, kind, number, &slot);
        if (r == 0) {
            r = io_sync(env, slot->fd);
            slot_close(env, slot);
        }
    }
    return r;
}

int slots_sync(struct env *env)
{
    struct io_stat stat;
    int r = io_stat(env, COMMITLOG_FOLDER, &stat);

    if (r == -ENOENT)
        return 0;
    if (r == 0)
        r = sync_kind(env, SLOT_VALUES);
    if (r == 0)
        r = sync_kind(env, SLOT_RECORDS);
    if (r == 0)
        r = io_sync_directory(env, COMMITLOG_FOLDER);
    return r;
}
