/*
 * Making inodes: with a name, or without one (O_TMPFILE).
 */
#include "core/acl.h"
#include "core/namespace.h"
#include "core/xattr.h"

#include <errno.h>
#include <fcntl.h>

struct making {
    struct bytes name;
    uint32_t mode; /* with type */
    uint64_t rdev;
    struct bytes target; /* symlinks */
};

/* What a new inode has of its directory's default ACL. */
struct inherited {
    struct buf access;  /* empty: the mode says it all */
    struct buf inherit; /* a directory's own default ACL */
};
#define INHERITED_NONE ((struct inherited){BUF_INIT, BUF_INIT})

static void inherited_release(struct inherited *inherited)
{
    buf_release(&inherited->access);
    buf_release(&inherited->inherit);
}

/* Sets the permissions of `to`, which are as asked for: the umask takes some away, or a default ACL
 * of the directory, which is locked, says what is left (acl(5), "Object creation"). */
static int inherit(struct node *parent, const struct fs_caller *caller, struct inode *to,
    struct inherited *inherited)
{
    struct buf *acl = &inherited->access;
    int r;

    if (S_ISLNK(to->mode))
        return 0;
    r = xattr_get_acl(parent, ACL_DEFAULT_NAME, acl);
    if (r < 0)
        return r;
    if (r == 0) {
        to->mode &= ~(caller->umask & 0777u);
        return 0;
    }
    if (S_ISDIR(to->mode))
        buf_append_bytes(&inherited->inherit, buf_bytes(acl));
    to->mode = acl_inherit(acl->data, acl->size, to->mode);
    if (acl_is_minimal(buf_bytes(acl)))
        buf_clear(acl);
    if (acl->size > 0 || inherited->inherit.size > 0)
        to->xattr_bits |= XATTR_ANY | XATTR_ACL;
    return buf_error(&inherited->inherit);
}

static void put_inherited(struct batch *batch, unsigned column, const struct inherited *inherited)
{
    if (inherited->access.size > 0)
        batch_map_put(batch, column, BYTES_LITERAL(ACL_ACCESS_NAME), buf_bytes(&inherited->access));
    if (inherited->inherit.size > 0)
        batch_map_put(
            batch, column, BYTES_LITERAL(ACL_DEFAULT_NAME), buf_bytes(&inherited->inherit));
}

static void making_inode(struct fs *fs, const struct making *making, const struct node *parent,
    const struct fs_caller *caller, struct inode *to)
{
    int64_t now = core_now_ns(fs);

    *to = (struct inode){
        .mode = making->mode,
        .uid = caller->uid,
        .gid = caller->gid,
        .nlink = 1,
        .size = making->target.size,
        .atime_ns = now,
        .mtime_ns = now,
        .ctime_ns = now,
        .btime_ns = now,
        .rdev = making->rdev,
        .allocated = ALLOCATED_ALL,
    };
    if (parent->inode.mode & S_ISGID) {
        to->gid = parent->inode.gid;
        if (S_ISDIR(to->mode))
            to->mode |= S_ISGID;
    }
    if (S_ISDIR(to->mode))
        to->parent = parent->ino;
}

/* Parent's exclusive lock held; `child` is known to nobody. */
static int make_locked(struct fs *fs, struct fs_request *request, const struct fs_caller *caller,
    struct node *parent, struct node *child, const struct making *making)
{
    AUTO(inherited_release) struct inherited inherited = INHERITED_NONE;
    AUTO(freep) uint8_t *name = NULL;
    struct changes changes = CHANGES_NONE;
    bool directory = S_ISDIR(making->mode);
    struct inode *to;
    int r;

    r = directory_check(parent);
    if (r < 0)
        return r;
    r = name_check_free(fs, parent, making->name);
    if (r < 0)
        return r;
    name = name_copy(making->name);
    if (!name)
        return -ENOMEM;

    making_inode(fs, making, parent, caller, &child->inode);
    r = inherit(parent, caller, &child->inode, &inherited);
    if (r < 0)
        return r;
    dirent_put(request->batch, parent->ino, making->name, child, &child->inode,
        directory ? HOME_DIRECTORY : HOME_DIRENT);
    if (making->target.size > 0)
        batch_cell(request->batch, DIRENT_TARGET, making->target);
    if (!directory)
        put_inherited(request->batch, DIRENT_XATTRS, &inherited);
    to = changes_of(&changes, parent);
    inode_touch(to, child->inode.btime_ns);
    if (directory) {
        struct row_key key;

        to->subdirs++;
        row_key_directory(&key, child->ino);
        batch_static_row(request->batch, TABLE_DIRENTS, key.key);
        inode_put(request->batch, HOME_DIRECTORY, &child->inode);
        put_inherited(request->batch, STATIC_DIR_XATTRS, &inherited);
    }
    r = changes_apply(fs, request, &changes);
    if (r < 0)
        return r;

    name_added(parent, child, request->position);
    if (directory) {
        node_set_home(child, HOME_DIRECTORY, 0, NULL, 0);
    } else {
        node_set_home(child, HOME_DIRENT, parent->ino, name, making->name.size);
        name = NULL;
    }
    return 0;
}

/* A node with a new number, pinned, and if `ret_handle` is not NULL a handle of it. */
static int new_child(
    struct fs *fs, int open_flags, struct node **ret_child, struct fs_handle **ret_handle)
{
    uint64_t ino;
    int r = ino_new(fs, &ino);

    if (r == 0)
        r = node_new(fs, ino, ret_child);
    if (r == 0 && ret_handle)
        r = handle_new(fs, *ret_child, ino, open_flags, ret_handle);
    return r;
}

/* The child was not made: nobody will release its handle. */
static void drop_handle(struct fs *fs, struct fs_handle *handle)
{
    handle_leave(handle);
    handle_free(fs, handle);
}

static int make(struct fs *fs, struct fs_request *request, const struct fs_caller *caller,
    uint64_t parent, const struct making *making, int open_flags, struct fs_entry *ret_entry,
    struct fs_handle **ret_handle)
{
    AUTO(node_unpinp) struct node *directory = NULL;
    AUTO(node_unpinp) struct node *child = NULL;
    struct fs_handle *handle = NULL;
    int r;

    if (ino_is_synthetic(parent))
        return err_new(-EROFS, "snapshots are read-only");
    r = name_check_new(parent, making->name);
    if (r < 0)
        return r;
    r = directory_pin(fs, parent, &directory);
    if (r < 0)
        return r;
    r = new_child(fs, open_flags, &child, ret_handle ? &handle : NULL);
    if (r < 0)
        return r;

    node_lock_exclusive(directory);
    r = make_locked(fs, request, caller, directory, child, making);
    if (r == 0) {
        /* Before the name can be found by others. */
        node_entry(child, ret_entry);
        node_publish(child, 1);
    }
    node_unlock(directory);
    if (r < 0 && handle)
        drop_handle(fs, handle);
    if (r == 0 && ret_handle)
        *ret_handle = handle;
    return r;
}

int fs_create(struct fs *fs, struct fs_request *request, const struct fs_caller *caller,
    uint64_t parent, struct bytes name, uint32_t mode, int open_flags, struct fs_entry *ret_entry,
    struct fs_handle **ret_handle)
{
    struct making making = {.name = name, .mode = S_IFREG | (mode & 07777)};

    return make(fs, request, caller, parent, &making, open_flags, ret_entry, ret_handle);
}

int fs_mknod(struct fs *fs, struct fs_request *request, const struct fs_caller *caller,
    uint64_t parent, struct bytes name, uint32_t mode, uint64_t rdev, struct fs_entry *ret_entry)
{
    struct making making = {.name = name, .mode = mode & (S_IFMT | 07777)};

    if (!(mode & S_IFMT))
        making.mode |= S_IFREG;
    if (S_ISDIR(making.mode) || S_ISLNK(making.mode))
        return err_new(-EINVAL, "mknod of type %#o", mode & S_IFMT);
    if (S_ISCHR(making.mode) || S_ISBLK(making.mode))
        making.rdev = rdev;
    return make(fs, request, caller, parent, &making, 0, ret_entry, NULL);
}

int fs_mkdir(struct fs *fs, struct fs_request *request, const struct fs_caller *caller,
    uint64_t parent, struct bytes name, uint32_t mode, struct fs_entry *ret_entry)
{
    struct making making = {.name = name, .mode = S_IFDIR | (mode & 07777)};

    if (ino_is_synthetic(parent)) {
        int r = name_check(name);

        return r < 0 ? r : snapshot_dir_mkdir(fs, caller, parent, name, ret_entry);
    }
    return make(fs, request, caller, parent, &making, 0, ret_entry, NULL);
}

int fs_symlink(struct fs *fs, struct fs_request *request, const struct fs_caller *caller,
    uint64_t parent, struct bytes name, struct bytes target, struct fs_entry *ret_entry)
{
    struct making making = {.name = name, .mode = S_IFLNK | 0777, .target = target};

    if (target.size > FS_TARGET_MAX)
        return err_new(-ENAMETOOLONG, "a link's target of %zu bytes", target.size);
    if (target.size == 0)
        return err_new(-ENOENT, "a link without target");
    return make(fs, request, caller, parent, &making, 0, ret_entry, NULL);
}

/* ---- without a name ---- */

/* Parent's lock held, shared will do: nothing of it changes. `child` is known to nobody. */
static int make_orphan_locked(struct fs *fs, struct fs_request *request,
    const struct fs_caller *caller, struct node *parent, struct node *child, uint32_t mode)
{
    AUTO(inherited_release) struct inherited inherited = INHERITED_NONE;
    struct making making = {.mode = S_IFREG | (mode & 07777)};
    struct orphan orphan = {.ino = child->ino, .kind = ORPHAN_FILE};
    int r;

    r = directory_check(parent);
    if (r < 0)
        return r;
    making_inode(fs, &making, parent, caller, &child->inode);
    child->inode.nlink = 0;
    r = inherit(parent, caller, &child->inode, &inherited);
    if (r < 0)
        return r;
    if (inherited.access.size > 0) {
        child->xattrs =
            xattr_list_new(BYTES_LITERAL(ACL_ACCESS_NAME), buf_bytes(&inherited.access));
        if (!child->xattrs)
            return -ENOMEM;
    }
    reclaim_put(request->batch, &orphan);
    r = core_apply(fs, request, &child, 1);
    if (r < 0)
        return r;

    child->linkable = true;
    /* Its content goes where that of its neighbours is, so that a small file can be small. */
    node_set_home(child, HOME_ORPHAN, parent->ino, NULL, 0);
    atomic_fetch_add(&fs->open_orphans, 1);
    return 0;
}

int fs_tmpfile(struct fs *fs, struct fs_request *request, const struct fs_caller *caller,
    uint64_t parent, uint32_t mode, int open_flags, struct fs_entry *ret_entry,
    struct fs_handle **ret_handle)
{
    AUTO(node_unpinp) struct node *directory = NULL;
    AUTO(node_unpinp) struct node *child = NULL;
    struct fs_handle *handle = NULL;
    int r;

    if (ino_is_synthetic(parent))
        return err_new(-EROFS, "snapshots are read-only");
    r = directory_pin(fs, parent, &directory);
    if (r < 0)
        return r;
    r = new_child(fs, open_flags & ~O_TMPFILE, &child, &handle);
    if (r < 0)
        return r;

    node_lock_shared(directory);
    r = make_orphan_locked(fs, request, caller, directory, child, mode);
    node_unlock(directory);
    if (r < 0) {
        drop_handle(fs, handle);
        return r;
    }
    node_entry(child, ret_entry);
    node_publish(child, 1);
    *ret_handle = handle;
    return 0;
}
