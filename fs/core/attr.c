/*
 * Attributes: getattr from memory, setattr as one batch, and atimes that follow reads.
 */
#include <errno.h>
#include <inttypes.h>

#include "core/acl.h"
#include "core/attr.h"
#include "core/info.h"
#include "core/past.h"

int fs_statx(struct fs *fs, uint64_t ino, struct stat *ret_attributes, int64_t *ret_birth_ns)
{
    AUTO(node_unpinp) struct node *node = NULL;
    int r;

    if (ino_is_past(ino))
        return past_statx(fs, ino, ret_attributes, ret_birth_ns);
    if (ino_is_info(ino))
        return info_getattr(fs, ino, ret_attributes);
    if (ino_is_synthetic(ino))
        return snapshot_dir_getattr(fs, ino, ret_attributes);
    r = node_pin(fs, ino, &node);
    if (r < 0)
        return r;
    node_lock_shared(node);
    if (atomic_load(&node->loaded)) {
        node_stat(node, ret_attributes);
        *ret_birth_ns = node->inode.btime_ns;
        r = 1;
    } else {
        r = err_new(-ESTALE, "inode %#" PRIx64 " was not read", ino);
    }
    node_unlock(node);
    return r;
}

int fs_getattr(struct fs *fs, uint64_t ino, struct stat *ret_attributes)
{
    int64_t birth_ns;
    int r = fs_statx(fs, ino, ret_attributes, &birth_ns);

    return r < 0 ? r : 0;
}

static void set_owner(const struct fs_setattr *change, struct inode *to)
{
    if (change->set & FS_SET_UID)
        to->uid = change->uid;
    if (change->set & FS_SET_GID)
        to->gid = change->gid;
    inode_kill_privileges(to, true);
}

static void set_times(const struct fs_setattr *change, int64_t now_ns, struct inode *to)
{
    if (change->set & FS_SET_ATIME)
        to->atime_ns = change->atime_ns;
    if (change->set & FS_SET_MTIME)
        to->mtime_ns = change->mtime_ns;
    if (change->set & FS_SET_ATIME_NOW)
        to->atime_ns = now_ns;
    if (change->set & FS_SET_MTIME_NOW)
        to->mtime_ns = now_ns;
}

/* The mode, and in `acl` (empty: it has none) the access ACL that goes with it, which is added to
 * the batch. */
static int set_mode(
    struct node *node, struct batch *batch, uint32_t mode, struct inode *to, struct buf *acl)
{
    unsigned column;
    int r = xattr_get_acl(node, ACL_ACCESS_NAME, acl);

    if (r < 0)
        return r;
    to->mode = (to->mode & S_IFMT) | (mode & 07777);
    if (r == 0)
        return 0;
    acl_set_mode(acl->data, acl->size, mode);
    if (home_begin(batch, node, &column))
        batch_map_put(batch, column, BYTES_LITERAL(ACL_ACCESS_NAME), buf_bytes(acl));
    return 0;
}

int attr_set_locked(
    struct fs *fs, struct fs_request *request, struct node *node, const struct fs_setattr *change)
{
    AUTO(buf_release) struct buf acl = BUF_INIT;
    struct changes changes = CHANGES_NONE;
    int64_t now = core_now_ns(fs);
    AUTO(freep) struct cut *cut = NULL;
    struct orphan range;
    struct inode *to;
    int r;

    if (!atomic_load(&node->loaded))
        return err_new(-ESTALE, "inode %#" PRIx64 " was not read", node->ino);
    if (change->set == 0)
        return 0;
    to = changes_of(&changes, node);
    to->ctime_ns = now;
    if (change->set & FS_SET_SIZE) {
        r = node_check_content(node);
        if (r == 0)
            r = cut_finish(fs, node->ino);
        if (r == 0)
            r = data_truncate(fs, node, request->batch, to, change->size, &range);
        if (r > 0)
            r = cut_begin(&range, &cut);
        if (r < 0)
            return r;
        inode_touch(to, now);
        inode_kill_privileges(to, (change->set & FS_SET_KILL_SUID) != 0);
    } else if (change->set & FS_SET_KILL_SUID) {
        inode_kill_privileges(to, true);
    }
    if (change->set & (FS_SET_UID | FS_SET_GID))
        set_owner(change, to);
    /* After chown's own clearing: who sets both at once means this mode. */
    if (change->set & FS_SET_MODE) {
        r = set_mode(node, request->batch, change->mode, to, &acl);
        if (r < 0)
            return r;
    }
    set_times(change, now, to);
    r = changes_apply(fs, request, &changes);
    if (r < 0)
        return r;
    /* What was set is later than what was read. */
    if (change->set & (FS_SET_ATIME | FS_SET_ATIME_NOW))
        atomic_store(&node->read_ns, 0);
    if (acl.size > 0)
        xattr_change_acl(node, buf_bytes(&acl));
    cut_end(fs, &cut);
    return 0;
}

int fs_setattr(struct fs *fs, struct fs_request *request, uint64_t ino,
    const struct fs_setattr *change, struct stat *ret_attributes)
{
    AUTO(node_unpinp) struct node *node = NULL;
    int r;

    if (ino_is_synthetic(ino))
        return change->set ? err_new(-EROFS, "what is synthetic is read-only")
                           : fs_getattr(fs, ino, ret_attributes);
    r = node_pin(fs, ino, &node);
    if (r < 0)
        return r;
    node_lock_exclusive(node);
    r = attr_set_locked(fs, request, node, change);
    if (r == 0)
        node_stat(node, ret_attributes);
    node_unlock(node);
    return r;
}

/* ---- atimes ---- */

#define DAY_NS (INT64_C(86400) * 1000000000)

/* As the kernel's relatime: once after each change, and once a day. */
static bool atime_is_due(const struct inode *inode, int64_t now_ns)
{
    return inode->atime_ns <= inode->mtime_ns || inode->atime_ns <= inode->ctime_ns ||
           now_ns - inode->atime_ns >= DAY_NS;
}

void atime_read(struct node *node)
{
    struct fs *fs = node->fs;
    int64_t now;
    bool due;

    if (!fs->options.relatime || fs->options.read_only)
        return;
    now = core_now_ns(fs);
    node_lock_shared(node);
    due = node->home != HOME_NONE && atime_is_due(&node->inode, now);
    due = due && !atomic_exchange(&node->atime_queued, true);
    /* Told from now on, written a little later. */
    if (due)
        atomic_store(&node->read_ns, now);
    node_unlock(node);
    if (due)
        reclaim_atime(node);
}

int atime_write(struct node *node, struct batch *batch, uint64_t *ret_position)
{
    struct inode to;
    int64_t read_ns;
    int r;

    node_lock_exclusive(node);
    atomic_store(&node->atime_queued, false);
    read_ns = atomic_exchange(&node->read_ns, 0);
    to = node->inode;
    if (read_ns != 0)
        to.atime_ns = read_ns;
    home_write(batch, node, &to);
    atomic_store(&node->changed, true);
    r = engine_apply(node->fs->engine, batch, ret_position);
    if (r == 0)
        node->inode = to;
    node_unlock(node);
    return r;
}
