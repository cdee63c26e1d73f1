#include "core/entry.h"

#include <errno.h>
#include <inttypes.h>

#include "engine/assert.h"

static const struct bytes name_past = BYTES_LITERAL(".past");
static const struct bytes name_snapshots = BYTES_LITERAL(".snapshots");
static const struct bytes name_sstfs = BYTES_LITERAL(".sstfs");

int name_check(struct bytes name)
{
    if (name.size > FS_NAME_MAX)
        return err_new(-ENAMETOOLONG, "a name of %zu bytes", name.size);
    if (name.size == 0)
        return err_new(-ENOENT, "an empty name");
    if (memchr(name.data, '/', name.size) || memchr(name.data, 0, name.size))
        return err_new(-EINVAL, "a name with '/' or NUL");
    return 0;
}

bool name_is_past(struct bytes name)
{
    return bytes_equal(name, name_past);
}

bool name_is_snapshots(uint64_t parent, struct bytes name)
{
    return parent == FS_ROOT_INO && bytes_equal(name, name_snapshots);
}

bool name_is_info(uint64_t parent, struct bytes name)
{
    return parent == FS_ROOT_INO && bytes_equal(name, name_sstfs);
}

bool name_is_reserved(uint64_t parent, struct bytes name)
{
    return bytes_equal(name, name_past) || name_is_snapshots(parent, name) ||
           name_is_info(parent, name);
}

int name_check_new(uint64_t parent, struct bytes name)
{
    int r = name_check(name);

    if (r < 0)
        return r;
    if (name_is_reserved(parent, name) || bytes_equal(name, BYTES_LITERAL(".")) ||
        bytes_equal(name, BYTES_LITERAL("..")))
        return err_new(
            -EEXIST, "the name '%.*s' is reserved", (int)name.size, (const char *)name.data);
    return 0;
}

uint8_t *name_copy(struct bytes name)
{
    uint8_t *copy = malloc(name.size);

    if (copy)
        memcpy(copy, name.data, name.size);
    else
        (void)err_new(-ENOMEM, "a name");
    return copy;
}

int directory_pin(struct fs *fs, uint64_t ino, struct node **ret_node)
{
    struct node *node;
    int r;

    r = node_pin(fs, ino, &node);
    if (r < 0)
        return r;
    /* A node that another thread is loading has no type yet: its lock says when it has. */
    if (!atomic_load(&node->loaded)) {
        node_lock_shared(node);
        node_unlock(node);
    }
    if (!atomic_load(&node->loaded))
        r = err_new(-ESTALE, "inode %#" PRIx64 " was not read", ino);
    else if (!node_is_directory(node))
        r = err_new(-ENOTDIR, "inode %#" PRIx64 " is no directory", ino);
    if (r < 0) {
        node_unpin(node);
        return r;
    }
    *ret_node = node;
    return 0;
}

int directory_check(const struct node *directory)
{
    if (directory->home == HOME_NONE)
        return err_new(-ENOENT, "directory %#" PRIx64 " was removed", directory->ino);
    return 0;
}

/* Parent's shared lock held. */
static int find_locked(struct entry *entry)
{
    AUTO(rowref_release) struct rowref ref = ROWREF_INIT;
    struct fs *fs = entry->parent->fs;
    uint64_t forgotten = node_forgotten_changes(fs);
    uint64_t ino;
    uint32_t type;
    bool created;
    int r;

    r = directory_check(entry->parent);
    if (r < 0)
        return r;
    entry->name_changes = atomic_load(&entry->parent->name_changes);
    r = dirent_get(fs->live, entry->parent->ino, entry->name, COLUMNS_ALL, &ref, &ino, &type);
    if (r <= 0)
        return r;
    r = node_find_or_create(fs, ino, &entry->child, &created);
    if (r < 0)
        return r;
    if (!created)
        return 1;

    r = node_load(entry->child, entry->parent->ino, entry->name, &ref.row, forgotten);
    node_unlock(entry->child);
    return r < 0 ? r : 1;
}

int entry_find(struct entry *entry)
{
    int r;

    entry->child = NULL;
    node_lock_shared(entry->parent);
    r = find_locked(entry);
    node_unlock(entry->parent);
    if (r < 0)
        entry_forget(entry);
    return r;
}

int entry_still(struct entry *entry)
{
    AUTO(rowref_release) struct rowref ref = ROWREF_INIT;
    uint64_t ino;
    uint32_t type;
    int r;

    /* Loading failed in the thread that was first. */
    if (entry->child && !atomic_load(&entry->child->loaded))
        return 0;
    if (entry->name_changes == atomic_load(&entry->parent->name_changes))
        return 1;
    r = dirent_get(entry->parent->fs->live, entry->parent->ino, entry->name,
        COLUMN_BIT(DIRENT_INO) | COLUMN_BIT(DIRENT_MODE), &ref, &ino, &type);
    if (r < 0)
        return r;
    return entry->child ? r == 1 && ino == entry->child->ino : r == 0;
}

void entry_forget(struct entry *entry)
{
    if (entry->child)
        node_unpin(entry->child);
    entry->child = NULL;
}
