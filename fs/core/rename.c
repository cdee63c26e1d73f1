/*
 * rename(2) in all its forms, as one batch.
 *
 *   1. find both names, lock up to four inodes (two parents, what moves, what it replaces)
 *   2. check; a name with another meaning by now: from the start
 *   3. rows: both names deleted at T - 1, what moves inserted at T under its new name
 *   4. parents' times and subdirectories; of what moves ctime, and dir_parent of a directory
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "core/namespace.h"
#include "engine/assert.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1u
#define RENAME_EXCHANGE 2u
#endif

struct renaming {
    struct fs *fs;
    struct fs_request *request;
    struct entry from, to;
    unsigned flags;
    int64_t now_ns;
    struct changes changes;
};

/* One inode under its new name. */
struct move {
    struct node *child;
    const struct entry *target;
    struct rowref row; /* of the old name */
    struct inode to;
    uint8_t *name;
};

static void move_release(struct move *move)
{
    rowref_release(&move->row);
    free(move->name);
}

/* Reads what cannot be known from memory: target and xattrs, which move with the row. */
static int move_prepare(struct move *move, struct renaming *renaming, const struct entry *source,
    const struct entry *target)
{
    uint64_t ino;
    uint32_t type;
    int r;

    move->child = source->child;
    move->target = target;
    move->to = source->child->inode;
    move->to.ctime_ns = renaming->now_ns;
    move->name = name_copy(target->name);
    if (!move->name)
        return -ENOMEM;
    if (move->child->home == HOME_DIRENT && (move->child->dir != source->parent->ino ||
                                                !bytes_equal(node_name(move->child), source->name)))
        return err_new(-EUCLEAN, "inode %#" PRIx64 " has its home elsewhere", move->child->ino);
    if (move->child->home != HOME_DIRENT ||
        (move->child->type != S_IFLNK && !move->child->inode.xattr_bits))
        return 0;
    r = dirent_get(renaming->fs->live, source->parent->ino, source->name, COLUMNS_ALL, &move->row,
        &ino, &type);
    if (r == 0)
        return err_new(-EUCLEAN, "inode %#" PRIx64 " is not where it should be", move->child->ino);
    return r < 0 ? r : 0;
}

/* `named`: 0, or when the new name came to be, if it was there before. */
static void move_write(struct move *move, struct renaming *renaming, int64_t named)
{
    struct batch *batch = renaming->request->batch;
    struct node *child = move->child;

    dirent_put(batch, move->target->parent->ino, move->target->name, child, &move->to,
        (enum home_kind)child->home);
    if (child->home == HOME_DIRENT)
        inode_put_blobs(batch, HOME_DIRENT, &move->row.row, HOME_DIRENT);
    if (named != 0)
        batch_cell_bigint(batch, DIRENT_NAMED, named);

    /* A row that was inserted anew holds the new ctime already. */
    if (child->home == HOME_DIRENT)
        return;
    changes_of(&renaming->changes, child)->ctime_ns = renaming->now_ns;
    if (node_is_directory(child))
        changes_of(&renaming->changes, child)->parent = move->target->parent->ino;
}

static void move_done(struct move *move, struct renaming *renaming)
{
    struct node *child = move->child;

    atomic_store(&child->changed, true);
    atomic_store(&child->position, renaming->request->position);
    if (child->home != HOME_DIRENT)
        return;
    child->inode = move->to;
    node_set_home(
        child, HOME_DIRENT, move->target->parent->ino, move->name, move->target->name.size);
    move->name = NULL;
}

static void delete_name(struct renaming *renaming, const struct entry *entry)
{
    struct row_key key;

    row_key_dirent(&key, entry->parent->ino, entry->name);
    batch_delete_row(renaming->request->batch, TABLE_DIRENTS, key.key, &key.clustering);
}

/* When the name of an entry that will be replaced came to be. */
static int read_named(struct renaming *renaming, const struct entry *entry, int64_t *ret_us)
{
    AUTO(rowref_release) struct rowref ref = ROWREF_INIT;
    uint64_t ino;
    uint32_t type;
    int r;

    r = dirent_get(renaming->fs->live, entry->parent->ino, entry->name,
        COLUMN_BIT(DIRENT_INO) | COLUMN_BIT(DIRENT_MODE) | COLUMN_BIT(DIRENT_NAMED), &ref, &ino,
        &type);
    if (r == 0)
        return err_new(-EUCLEAN, "the name of inode %#" PRIx64 " has gone", entry->child->ino);
    return r < 0 ? r : dirent_named(&ref.row, ret_us);
}

static void touch_parents(struct renaming *renaming)
{
    inode_touch(changes_of(&renaming->changes, renaming->from.parent), renaming->now_ns);
    inode_touch(changes_of(&renaming->changes, renaming->to.parent), renaming->now_ns);
}

static void count_subdirectory(struct renaming *renaming, struct node *parent, int by)
{
    struct inode *to = changes_of(&renaming->changes, parent);

    if (by > 0 || to->subdirs > 0)
        to->subdirs = (uint32_t)((int64_t)to->subdirs + by);
}

static void names_changed(struct renaming *renaming)
{
    atomic_fetch_add(&renaming->from.parent->name_changes, 1);
    if (renaming->to.parent != renaming->from.parent)
        atomic_fetch_add(&renaming->to.parent->name_changes, 1);
}

static int exchange_prepared(struct renaming *renaming, struct move *there, struct move *back)
{
    int64_t from_named, to_named;
    int r;

    r = move_prepare(there, renaming, &renaming->from, &renaming->to);
    if (r == 0)
        r = move_prepare(back, renaming, &renaming->to, &renaming->from);
    if (r == 0)
        r = read_named(renaming, &renaming->from, &from_named);
    if (r == 0)
        r = read_named(renaming, &renaming->to, &to_named);
    if (r < 0)
        return r;

    touch_parents(renaming);
    if (node_is_directory(there->child)) {
        count_subdirectory(renaming, renaming->from.parent, -1);
        count_subdirectory(renaming, renaming->to.parent, 1);
    }
    if (node_is_directory(back->child)) {
        count_subdirectory(renaming, renaming->to.parent, -1);
        count_subdirectory(renaming, renaming->from.parent, 1);
    }
    delete_name(renaming, &renaming->from);
    move_write(back, renaming, from_named);
    delete_name(renaming, &renaming->to);
    move_write(there, renaming, to_named);
    r = changes_apply(renaming->fs, renaming->request, &renaming->changes);
    if (r < 0)
        return r;
    names_changed(renaming);
    move_done(there, renaming);
    move_done(back, renaming);
    return 0;
}

static int exchange_locked(struct renaming *renaming)
{
    struct move there = {.child = NULL};
    struct move back = {.child = NULL};
    int r;

    r = exchange_prepared(renaming, &there, &back);
    move_release(&there);
    move_release(&back);
    return r;
}

/* Whether what moves may replace what is there. */
static int check_replacement(struct renaming *renaming)
{
    struct node *child = renaming->from.child;
    struct node *target = renaming->to.child;
    int r;

    if (renaming->flags & RENAME_NOREPLACE)
        return err_new(-EEXIST, "rename, which may not replace");
    if (node_is_directory(target) && !node_is_directory(child))
        return err_new(-EISDIR, "rename of a file over a directory");
    if (!node_is_directory(target) && node_is_directory(child))
        return err_new(-ENOTDIR, "rename of a directory over a file");
    if (!node_is_directory(target))
        return 0;
    if (target == renaming->from.parent)
        return err_new(-ENOTEMPTY, "rename over a directory above");
    r = directory_is_empty(renaming->fs, target->ino);
    if (r == 0)
        return err_new(-ENOTEMPTY, "rename over directory %#" PRIx64, target->ino);
    return r < 0 ? r : 0;
}

static int move_prepared(struct renaming *renaming, struct move *move)
{
    struct node *target = renaming->to.child;
    struct removal removal;
    int64_t named = 0;
    int r;

    r = move_prepare(move, renaming, &renaming->from, &renaming->to);
    if (r == 0 && target)
        r = check_replacement(renaming);
    if (r == 0 && target)
        r = read_named(renaming, &renaming->to, &named);
    if (r < 0)
        return r;

    touch_parents(renaming);
    if (node_is_directory(move->child)) {
        count_subdirectory(renaming, renaming->from.parent, -1);
        count_subdirectory(renaming, renaming->to.parent, target ? 0 : 1);
    }
    delete_name(renaming, &renaming->from);
    if (target)
        delete_name(renaming, &renaming->to);
    move_write(move, renaming, named);
    if (target) {
        r = removal_prepare(&removal, renaming->request->batch, target, true, renaming->now_ns);
        if (r < 0) {
            removal_undo(&removal);
            return r;
        }
    }
    r = changes_apply(renaming->fs, renaming->request, &renaming->changes);
    if (r < 0) {
        if (target)
            removal_undo(&removal);
        return r;
    }
    names_changed(renaming);
    move_done(move, renaming);
    if (target)
        removal_done(renaming->fs, &removal, renaming->request->position);
    return 0;
}

static int move_locked(struct renaming *renaming)
{
    struct move move = {.child = NULL};
    int r;

    r = move_prepared(renaming, &move);
    move_release(&move);
    return r;
}

/* All exclusive locks held, both names as they were found. */
static int rename_locked(struct renaming *renaming)
{
    int r;

    r = directory_check(renaming->from.parent);
    if (r == 0)
        r = directory_check(renaming->to.parent);
    if (r < 0)
        return r;
    if (renaming->flags & RENAME_EXCHANGE) {
        if (!renaming->to.child)
            return err_new(-ENOENT, "exchange with a name that is not");
        if (renaming->to.child == renaming->from.parent)
            return err_new(-EINVAL, "exchange of a directory with what is in it");
    }
    if (renaming->from.child == renaming->to.parent)
        return err_new(-EINVAL, "rename of a directory into itself");
    /* Two names of one file: POSIX wants both to stay. */
    if (renaming->from.child == renaming->to.child)
        return renaming->flags & RENAME_NOREPLACE ? -EEXIST : 0;
    return renaming->flags & RENAME_EXCHANGE ? exchange_locked(renaming) : move_locked(renaming);
}

/* 1: done (`*ret` says how); 0: a name changed meanwhile, start over. */
static int rename_once(struct renaming *renaming, int *ret)
{
    struct lock_set locks = {.count = 0};
    int from_still = 1;
    int to_still = 1;
    int r;

    r = entry_find(&renaming->from);
    if (r == 0)
        r = -ENOENT;
    if (r > 0)
        r = entry_find(&renaming->to);
    if (r >= 0) {
        lock_set_add(&locks, renaming->from.parent);
        lock_set_add(&locks, renaming->to.parent);
        lock_set_add(&locks, renaming->from.child);
        lock_set_add(&locks, renaming->to.child);
        lock_set_take(&locks);
        from_still = entry_still(&renaming->from);
        to_still = entry_still(&renaming->to);
        r = from_still < 0 ? from_still : to_still < 0 ? to_still : 0;
        if (from_still > 0 && to_still > 0)
            r = rename_locked(renaming);
        lock_set_release(&locks);
    }
    entry_forget(&renaming->from);
    entry_forget(&renaming->to);
    *ret = r;
    return from_still != 0 && to_still != 0;
}

static int rename_check(
    uint64_t parent, struct bytes name, uint64_t new_parent, struct bytes new_name, unsigned flags)
{
    int r;

    if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) ||
        flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
        return err_new(-EINVAL, "rename with flags %#x", flags);
    r = name_check(name);
    if (r == 0)
        r = name_check(new_name);
    if (r < 0)
        return r;
    if (ino_is_synthetic(parent) != ino_is_synthetic(new_parent))
        return err_new(-EXDEV, "rename into or out of snapshots");
    if (ino_is_synthetic(parent))
        return 0;
    if (name_is_reserved(parent, name))
        return err_new(-EBUSY, "rename of a reserved name");
    return name_check_new(new_parent, new_name);
}

int fs_rename(struct fs *fs, struct fs_request *request, uint64_t parent, struct bytes name,
    uint64_t new_parent, struct bytes new_name, unsigned flags)
{
    AUTO(node_unpinp) struct node *from = NULL;
    AUTO(node_unpinp) struct node *to = NULL;
    int result;
    int r;

    r = rename_check(parent, name, new_parent, new_name, flags);
    if (r < 0)
        return r;
    if (ino_is_synthetic(parent))
        return snapshot_dir_rename(fs, parent, name, new_parent, new_name, flags);
    r = directory_pin(fs, parent, &from);
    if (r < 0)
        return r;
    r = directory_pin(fs, new_parent, &to);
    if (r < 0)
        return r;
    do {
        struct renaming renaming = {
            .fs = fs,
            .request = request,
            .from = {.parent = from, .name = name},
            .to = {.parent = to, .name = new_name},
            .flags = flags,
            .now_ns = core_now_ns(fs),
        };

        r = rename_once(&renaming, &result);
    } while (r == 0);
    return result;
}
