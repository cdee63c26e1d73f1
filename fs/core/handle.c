/*
 * Open files and directories, and fsync.
 */
#include <errno.h>
#include <inttypes.h>

#include "core/attr.h"
#include "core/dir.h"
#include "core/entry.h"
#include "core/info.h"
#include "core/past.h"
#include "engine/assert.h"

/* One that only writes cannot map. */
static uint32_t maps_to_write(const struct fs_handle *handle)
{
    return (handle->flags & O_ACCMODE) == O_RDWR;
}

int handle_new(
    struct fs *fs, struct node *node, uint64_t ino, int flags, struct fs_handle **ret_handle)
{
    struct fs_handle *handle = calloc(1, sizeof(*handle));

    if (!handle)
        return err_new(-ENOMEM, "a handle");
    handle->node = node;
    handle->ino = ino;
    handle->flags = flags;
    handle->keep_cache = true;
    if (node) {
        atomic_fetch_add(&node->handles, 1);
        atomic_fetch_add(&node->mappable, maps_to_write(handle));
    }
    atomic_fetch_add(&fs->handle_count, 1);
    *ret_handle = handle;
    return 0;
}

uint32_t handle_leave(struct fs_handle *handle)
{
    atomic_fetch_sub(&handle->node->mappable, maps_to_write(handle));
    return atomic_fetch_sub(&handle->node->handles, 1);
}

void handle_free(struct fs *fs, struct fs_handle *handle)
{
    atomic_fetch_sub(&fs->handle_count, 1);
    free(handle);
}

bool fs_handle_keep_cache(const struct fs_handle *handle)
{
    return handle->keep_cache;
}

bool fs_handle_is_direct(const struct fs_handle *handle)
{
    return handle->is_direct;
}

int fs_open_file(struct fs *fs, struct fs_request *request, uint64_t ino, int open_flags,
    struct fs_handle **ret_handle)
{
    struct fs_setattr cut = {.set = FS_SET_SIZE, .size = 0};
    AUTO(node_unpinp) struct node *node = NULL;
    struct fs_handle *handle;
    bool truncate = (open_flags & O_TRUNC) != 0;
    uint32_t mode;
    int r;

    if (ino_is_past(ino))
        return past_open_file(fs, ino, open_flags, ret_handle);
    if (ino_is_info(ino))
        return info_open_file(fs, ino, open_flags, ret_handle);
    if (ino_is_synthetic(ino))
        return snapshot_dir_open_file(fs, ino, open_flags, ret_handle);
    if (fs->options.read_only && ((open_flags & O_ACCMODE) != O_RDONLY || truncate))
        return err_new(-EROFS, "mounted read-only");
    r = node_pin(fs, ino, &node);
    if (r < 0)
        return r;
    if (truncate)
        node_lock_exclusive(node);
    else
        node_lock_shared(node);
    r = node_check_content(node);
    if (r == 0 && truncate) {
        ASSERT(request);
        if (open_flags & FS_OPEN_KILL_SUID)
            cut.set |= FS_SET_KILL_SUID;
        mode = node->inode.mode;
        r = attr_set_locked(fs, request, node, &cut);
        request->killed_privileges = r == 0 && node->inode.mode != mode;
    }
    if (r == 0)
        r = handle_new(fs, node, ino, open_flags & ~FS_OPEN_KILL_SUID, &handle);
    node_unlock(node);
    if (r == 0)
        *ret_handle = handle;
    return r;
}

/* The last handle of an orphan is gone: what it held goes too. */
static void orphan_release(struct node *node)
{
    struct fs *fs = node->fs;
    struct orphan orphan = {.kind = 0};

    node_lock_exclusive(node);
    /* Opened again meanwhile through /proc, or released by another thread. */
    if (node->home == HOME_ORPHAN && atomic_load(&node->handles) == 0) {
        orphan = orphan_of_file(node->ino, &node->inode);
        xattr_list_free(node->xattrs);
        node->xattrs = NULL;
        node->linkable = false;
        node_set_home(node, HOME_NONE, 0, NULL, 0);
        atomic_fetch_sub(&fs->open_orphans, 1);
    }
    node_unlock(node);
    if (orphan.kind != 0)
        reclaim_later(fs, &orphan);
}

void fs_release(struct fs *fs, uint64_t ino, struct fs_handle *handle)
{
    AUTO(node_unpinp) struct node *node = NULL;
    bool last_of_orphan;

    if (ino_is_past(ino)) {
        past_release(fs, ino, handle);
        return;
    }
    if (ino_is_info(ino)) {
        info_release(fs, handle);
        return;
    }
    if (ino_is_synthetic(ino)) {
        snapshot_dir_release(fs, handle);
        return;
    }
    /* Pinned by the handle until here, by this from here. */
    node_pin_held(handle->node);
    node = handle->node;
    node_lock_shared(node);
    last_of_orphan = handle_leave(handle) == 1 && node->home == HOME_ORPHAN && !node->awaited;
    node_unlock(node);
    handle_free(fs, handle);
    if (last_of_orphan)
        orphan_release(node);
}

int fs_sync(struct fs *fs, uint64_t ino, engine_go go, void *arg)
{
    AUTO(node_unpinp) struct node *node = NULL;
    uint64_t position;

    node_assert_none_locked();
    if (ino_is_synthetic(ino))
        return 0;
    if (node_pin(fs, ino, &node) < 0)
        position = engine_position(fs->engine);
    else
        position = atomic_load(&node->position);
    return engine_await(fs->engine, position, true, go, arg);
}

/* ---- directories ---- */

int fs_open_directory(struct fs *fs, uint64_t ino, struct fs_handle **ret_handle)
{
    AUTO(node_unpinp) struct node *node = NULL;
    struct fs_handle *handle;
    int r;

    if (ino_is_past(ino))
        return past_open_directory(fs, ino, ret_handle);
    if (ino_is_info(ino))
        return info_open_directory(fs, ino, ret_handle);
    if (ino_is_synthetic(ino))
        return snapshot_dir_open_directory(fs, ino, ret_handle);
    r = directory_pin(fs, ino, &node);
    if (r < 0)
        return r;
    node_lock_shared(node);
    r = handle_new(fs, node, ino, O_RDONLY | O_DIRECTORY, &handle);
    if (r == 0) {
        r = directory_cursor_new(fs, &handle->cursor);
        if (r < 0) {
            handle_leave(handle);
            handle_free(fs, handle);
        }
    }
    node_unlock(node);
    if (r == 0)
        *ret_handle = handle;
    return r;
}

void fs_release_directory(struct fs *fs, struct fs_handle *handle)
{
    struct node *node = handle->node;

    if (ino_is_past(handle->ino)) {
        past_release_directory(fs, handle);
        return;
    }
    if (ino_is_info(handle->ino)) {
        info_release(fs, handle);
        return;
    }
    if (!node) {
        snapshot_dir_release(fs, handle);
        return;
    }
    directory_cursor_free(handle->cursor);
    node_pin_held(node);
    handle_leave(handle);
    handle_free(fs, handle);
    node_unpin(node);
}
