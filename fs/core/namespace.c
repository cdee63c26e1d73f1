/*
 * Names: lookup, links, and removing entries. Making is in make.c, renaming in rename.c.
 */
#include "core/info.h"
#include "core/namespace.h"
#include "core/past.h"

#include <errno.h>
#include <inttypes.h>

#include "engine/assert.h"

#define LINKS_MAX INT32_MAX

/* ---- lookup ---- */

int fs_lookup(struct fs *fs, uint64_t parent, struct bytes name, struct fs_entry *ret_entry)
{
    AUTO(node_unpinp) struct node *directory = NULL;
    struct entry entry;
    int r;

    *ret_entry = (struct fs_entry){0};
    r = name_check(name);
    if (r < 0)
        return r;
    if (ino_is_past(parent))
        return past_lookup(fs, parent, name, ret_entry);
    if (fs->past && !ino_is_synthetic(parent) && name_is_past(name))
        return past_lookup_list(fs, parent, ret_entry);
    if (ino_is_info(parent))
        return info_lookup(fs, parent, name, ret_entry);
    if (ino_is_synthetic(parent) || (fs->snapshots && name_is_snapshots(parent, name)))
        return snapshot_dir_lookup(fs, parent, name, ret_entry);
    if (name_is_info(parent, name))
        return info_lookup_root(fs, ret_entry);
    if (name_is_reserved(parent, name))
        return -ENOENT;
    r = directory_pin(fs, parent, &directory);
    if (r < 0)
        return r;

    for (;;) {
        bool unread;
        bool gone;

        entry = (struct entry){.parent = directory, .name = name};
        r = entry_find(&entry);
        if (r < 0)
            return r;
        if (r == 0) {
            ret_entry->entry_timeout_s = FS_TIMEOUT_FOREVER;
            return -ENOENT;
        }
        /* Not under the parent's lock: the child's number may be the lower one. */
        node_lock_shared(entry.child);
        unread = !atomic_load(&entry.child->loaded);
        gone = unread || entry.child->home == HOME_NONE || entry.child->home == HOME_ORPHAN;
        if (!gone) {
            node_entry(entry.child, ret_entry);
            node_add_lookup(entry.child);
        }
        node_unlock(entry.child);
        entry_forget(&entry);
        if (!gone)
            return 0;
        /* Removed between the two locks: what does the name mean now? But a name that did not
         * change and leads nowhere would lead there for ever. */
        if (atomic_load(&directory->name_changes) == entry.name_changes && !unread)
            return err_new(
                -EUCLEAN, "'%.*s' names a removed inode", (int)name.size, (const char *)name.data);
    }
}

int fs_lookup_directory(struct fs *fs, uint64_t ino, struct fs_entry *ret_entry)
{
    return node_look_up_directory(fs, ino, ret_entry);
}

/* ---- rows of names ---- */

void dirent_put(struct batch *batch, uint64_t dir, struct bytes name, const struct node *child,
    const struct inode *inode, enum home_kind kind)
{
    struct row_key key;

    row_key_dirent(&key, dir, name);
    batch_row(batch, TABLE_DIRENTS, key.key, &key.clustering, true);
    batch_cell_bigint(batch, DIRENT_INO, (int64_t)child->ino);
    if (kind == HOME_DIRENT)
        inode_put(batch, HOME_DIRENT, inode);
    else
        batch_cell_int(batch, DIRENT_MODE, (int32_t)(inode->mode & S_IFMT));
}

int name_check_free(struct fs *fs, const struct node *directory, struct bytes name)
{
    AUTO(rowref_release) struct rowref ref = ROWREF_INIT;
    uint64_t ino;
    uint32_t type;
    int r = dirent_get(fs->live, directory->ino, name,
        COLUMN_BIT(DIRENT_INO) | COLUMN_BIT(DIRENT_MODE), &ref, &ino, &type);

    if (r > 0)
        return err_new(-EEXIST, "'%.*s' exists", (int)name.size, (const char *)name.data);
    return r;
}

/* ---- link ---- */

/**
 * The file had one name: its attributes go from that name's row to `inodes`. The row is deleted
 * and inserted anew without them, and keeps the time of its name in `named`.
 */
static int move_to_inodes(struct batch *batch, struct node *child, const struct inode *to)
{
    AUTO(rowref_release) struct rowref ref = ROWREF_INIT;
    struct row_key key;
    int64_t named;
    uint64_t ino;
    uint32_t type;
    int r;

    r = dirent_get(child->fs->live, child->dir, node_name(child), COLUMNS_ALL, &ref, &ino, &type);
    if (r == 0 || (r > 0 && ino != child->ino))
        return err_new(-EUCLEAN, "inode %#" PRIx64 " is not where it should be", child->ino);
    if (r > 0)
        r = dirent_named(&ref.row, &named);
    if (r < 0)
        return r;

    row_key_inode(&key, child->ino);
    batch_row(batch, TABLE_INODES, key.key, &key.clustering, true);
    inode_put(batch, HOME_INODE, to);
    inode_put_blobs(batch, HOME_INODE, &ref.row, HOME_DIRENT);

    row_key_dirent(&key, child->dir, node_name(child));
    batch_delete_row(batch, TABLE_DIRENTS, key.key, &key.clustering);
    dirent_put(batch, child->dir, node_name(child), child, to, HOME_INODE);
    batch_cell_bigint(batch, DIRENT_NAMED, named);
    return 0;
}

void name_added(struct node *parent, struct node *child, uint64_t position)
{
    atomic_fetch_add(&parent->name_changes, 1);
    atomic_store(&child->changed, true);
    atomic_store(&child->position, position);
}

/* A file made without a name gets its first. Both exclusive locks held. */
static int link_orphan(struct fs *fs, struct fs_request *request, struct node *parent,
    struct node *child, struct bytes name)
{
    struct orphan orphan = {.ino = child->ino, .kind = ORPHAN_FILE};
    AUTO(freep) uint8_t *copy = name_copy(name);
    struct changes changes = CHANGES_NONE;
    int64_t now = core_now_ns(fs);
    struct inode to = child->inode;
    int r;

    if (!copy)
        return -ENOMEM;
    to.nlink = 1;
    to.ctime_ns = now;
    reclaim_delete(request->batch, &orphan);
    dirent_put(request->batch, parent->ino, name, child, &to, HOME_DIRENT);
    xattr_put_kept(request->batch, DIRENT_XATTRS, child);
    inode_touch(changes_of(&changes, parent), now);
    r = changes_apply(fs, request, &changes);
    if (r < 0)
        return r;

    name_added(parent, child, request->position);
    child->inode = to;
    child->linkable = false;
    xattr_list_free(child->xattrs);
    child->xattrs = NULL;
    node_set_home(child, HOME_DIRENT, parent->ino, copy, name.size);
    copy = NULL;
    atomic_fetch_sub(&fs->open_orphans, 1);
    return 0;
}

/* Both exclusive locks held. */
static int link_locked(struct fs *fs, struct fs_request *request, struct node *parent,
    struct node *child, struct bytes name)
{
    struct changes changes = CHANGES_NONE;
    int64_t now = core_now_ns(fs);
    struct inode to = child->inode;
    int r;

    r = directory_check(parent);
    if (r < 0)
        return r;
    if (child->home != HOME_DIRENT && child->home != HOME_INODE && !child->linkable)
        return err_new(-ENOENT, "inode %#" PRIx64 " was removed", child->ino);
    if (child->inode.nlink >= LINKS_MAX)
        return err_new(-EMLINK, "inode %#" PRIx64 " has too many names", child->ino);
    r = name_check_free(fs, parent, name);
    if (r < 0)
        return r;
    if (child->linkable)
        return link_orphan(fs, request, parent, child, name);

    to.nlink++;
    to.ctime_ns = now;
    if (child->home == HOME_DIRENT) {
        r = move_to_inodes(request->batch, child, &to);
        if (r < 0)
            return r;
    } else {
        home_write(request->batch, child, &to);
    }
    dirent_put(request->batch, parent->ino, name, child, &to, HOME_INODE);
    inode_touch(changes_of(&changes, parent), now);
    r = changes_apply(fs, request, &changes);
    if (r < 0)
        return r;

    name_added(parent, child, request->position);
    child->inode = to;
    node_set_home(child, HOME_INODE, 0, NULL, 0);
    return 0;
}

int fs_link(struct fs *fs, struct fs_request *request, uint64_t ino, uint64_t parent,
    struct bytes name, struct fs_entry *ret_entry)
{
    AUTO(node_unpinp) struct node *directory = NULL;
    AUTO(node_unpinp) struct node *child = NULL;
    struct lock_set locks = {.count = 0};
    int r;

    if (ino_is_synthetic(parent))
        return err_new(-EROFS, "snapshots are read-only");
    if (ino_is_synthetic(ino))
        return err_new(-EXDEV, "a link into a snapshot");
    r = name_check_new(parent, name);
    if (r < 0)
        return r;
    r = directory_pin(fs, parent, &directory);
    if (r < 0)
        return r;
    r = node_pin(fs, ino, &child);
    if (r < 0)
        return r;

    lock_set_add(&locks, directory);
    lock_set_add(&locks, child);
    lock_set_take(&locks);
    if (!atomic_load(&child->loaded))
        r = err_new(-ESTALE, "inode %#" PRIx64 " was not read", ino);
    else if (node_is_directory(child))
        r = err_new(-EPERM, "a second name for a directory");
    else
        r = link_locked(fs, request, directory, child, name);
    if (r == 0) {
        node_entry(child, ret_entry);
        node_add_lookup(child);
    }
    lock_set_release(&locks);
    return r;
}

/* ---- removing ---- */

int directory_is_empty(struct fs *fs, uint64_t ino)
{
    const struct slice all = SLICE_ALL;
    struct cursor *cursor = NULL;
    const struct row *row;
    struct row_key key;
    uint64_t child;
    uint32_t type;
    int r;

    row_key_directory(&key, ino);
    r = engine_scan(fs->live, TABLE_DIRENTS, key.key, &all,
        COLUMN_BIT(DIRENT_INO) | COLUMN_BIT(DIRENT_MODE), &cursor);
    if (r < 0)
        return err_with(r, "names in directory %#" PRIx64, ino);
    while ((r = cursor_next(cursor, &row)) > 0) {
        r = dirent_decode(row, &child, &type);
        if (r != 0)
            break;
    }
    cursor_close(cursor);
    if (r < 0)
        return err_with(r, "names in directory %#" PRIx64, ino);
    return r == 0;
}

int removal_prepare(
    struct removal *removal, struct batch *batch, struct node *child, bool is_replaced, int64_t now)
{
    struct inode *to = &removal->to;
    struct row_key key;
    int r;

    *removal = (struct removal){.child = child, .to = child->inode, .home = HOME_NONE};
    to->ctime_ns = now;
    if (node_is_directory(child)) {
        row_key_directory(&key, child->ino);
        batch_delete_partition(batch, TABLE_DIRENTS, key.key);
        to->subdirs = 0;
        return 0;
    }
    to->nlink -= to->nlink > 0;
    if (child->home == HOME_INODE && to->nlink > 0) {
        removal->home = HOME_INODE;
        home_write(batch, child, to);
        return 0;
    }

    removal->awaited = is_replaced && child->type == S_IFREG && node_is_looked_up(child);
    if (removal->awaited || (atomic_load(&child->handles) > 0 && child->type == S_IFREG)) {
        removal->home = HOME_ORPHAN;
        if (child->inode.xattr_bits) {
            AUTO(rowref_release) struct rowref ref = ROWREF_INIT;
            unsigned column;

            r = home_read(child, HOME_XATTRS, &ref, &column, NULL);
            if (r > 0)
                r = xattr_keep(child, &ref.row, column);
            if (r < 0)
                return r;
        }
    }
    if (child->home == HOME_INODE) {
        row_key_inode(&key, child->ino);
        batch_delete_partition(batch, TABLE_INODES, key.key);
    }
    if (child->type != S_IFREG)
        return 0;
    if (removal->home == HOME_NONE && reclaim_content(batch, child->ino, to->small, to->size))
        return 0;
    removal->orphan = orphan_of_file(child->ino, to);
    reclaim_put(batch, &removal->orphan);
    return 0;
}

void removal_done(struct fs *fs, struct removal *removal, uint64_t position)
{
    struct node *child = removal->child;

    atomic_store(&child->changed, true);
    atomic_store(&child->position, position);
    child->inode = removal->to;
    child->awaited = removal->awaited;
    if (removal->home != (enum home_kind)child->home)
        node_set_home(child, removal->home, 0, NULL, 0);
    if (removal->home == HOME_ORPHAN)
        atomic_fetch_add(&fs->open_orphans, 1);
    else if (removal->orphan.kind != 0)
        reclaim_later(fs, &removal->orphan);
}

void removal_undo(struct removal *removal)
{
    if (removal->home != HOME_ORPHAN)
        return;
    xattr_list_free(removal->child->xattrs);
    removal->child->xattrs = NULL;
}

/* Both exclusive locks held. */
static int remove_locked(
    struct fs *fs, struct fs_request *request, const struct entry *entry, bool directory)
{
    struct changes changes = CHANGES_NONE;
    struct node *parent = entry->parent;
    struct node *child = entry->child;
    int64_t now = core_now_ns(fs);
    struct removal removal;
    struct row_key key;
    struct inode *to;
    int r;

    r = directory_check(parent);
    if (r < 0)
        return r;
    if (!directory && node_is_directory(child))
        return err_new(-EISDIR, "unlink of a directory");
    if (directory && !node_is_directory(child))
        return err_new(-ENOTDIR, "rmdir of what is no directory");
    if (directory) {
        r = directory_is_empty(fs, child->ino);
        if (r <= 0)
            return r < 0 ? r : err_new(-ENOTEMPTY, "directory %#" PRIx64, child->ino);
    }

    row_key_dirent(&key, parent->ino, entry->name);
    batch_delete_row(request->batch, TABLE_DIRENTS, key.key, &key.clustering);
    to = changes_of(&changes, parent);
    inode_touch(to, now);
    to->subdirs -= directory && to->subdirs > 0;
    r = removal_prepare(&removal, request->batch, child, false, now);
    if (r == 0)
        r = changes_apply(fs, request, &changes);
    if (r < 0) {
        removal_undo(&removal);
        return r;
    }
    atomic_fetch_add(&parent->name_changes, 1);
    removal_done(fs, &removal, request->position);
    return 0;
}

static int remove_entry(
    struct fs *fs, struct fs_request *request, uint64_t parent, struct bytes name, bool directory)
{
    AUTO(node_unpinp) struct node *pinned = NULL;
    int r;

    r = directory_pin(fs, parent, &pinned);
    if (r < 0)
        return r;
    for (;;) {
        struct entry entry = {.parent = pinned, .name = name};
        struct lock_set locks = {.count = 0};
        bool again = false;

        r = entry_find(&entry);
        if (r <= 0)
            return r < 0 ? r : -ENOENT;
        lock_set_add(&locks, pinned);
        lock_set_add(&locks, entry.child);
        lock_set_take(&locks);
        r = entry_still(&entry);
        again = r == 0;
        if (r > 0)
            r = remove_locked(fs, request, &entry, directory);
        lock_set_release(&locks);
        entry_forget(&entry);
        if (!again)
            return r;
    }
}

int fs_unlink(struct fs *fs, struct fs_request *request, uint64_t parent, struct bytes name)
{
    int r = name_check(name);

    if (r < 0)
        return r;
    if (ino_is_synthetic(parent))
        return err_new(-EROFS, "snapshots are read-only");
    if (name_is_reserved(parent, name))
        return err_new(-EISDIR, "unlink of a reserved name");
    return remove_entry(fs, request, parent, name, false);
}

int fs_rmdir(struct fs *fs, struct fs_request *request, uint64_t parent, struct bytes name)
{
    int r = name_check(name);

    if (r < 0)
        return r;
    if (ino_is_synthetic(parent))
        return snapshot_dir_rmdir(fs, parent, name);
    if (name_is_reserved(parent, name))
        return err_new(-EBUSY, "rmdir of a reserved name");
    return remove_entry(fs, request, parent, name, true);
}

/* ---- readlink ---- */

int fs_readlink(struct fs *fs, uint64_t ino, struct buf *ret_target)
{
    AUTO(rowref_release) struct rowref ref = ROWREF_INIT;
    AUTO(node_unpinp) struct node *node = NULL;
    struct bytes target = BYTES_NONE;
    unsigned column;
    int r;

    if (ino_is_past(ino))
        return past_readlink(fs, ino, ret_target);
    if (ino_is_synthetic(ino))
        return err_new(-EINVAL, "no link");
    r = node_pin(fs, ino, &node);
    if (r < 0)
        return r;
    node_lock_shared(node);
    if (!atomic_load(&node->loaded))
        r = err_new(-ESTALE, "inode %#" PRIx64 " was not read", ino);
    else if (node->type != S_IFLNK)
        r = err_new(-EINVAL, "inode %#" PRIx64 " is no link", ino);
    else
        r = home_read(node, HOME_TARGET, &ref, NULL, &column);
    node_unlock(node);
    if (r < 0)
        return r;
    if (r > 0)
        target = row_blob(&ref.row, column);
    if (!target.data)
        return err_new(-EUCLEAN, "link %#" PRIx64 " has no target", ino);
    buf_append_bytes(ret_target, target);
    r = buf_error(ret_target);
    if (r == 0)
        atime_read(node);
    return r;
}
