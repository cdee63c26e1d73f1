/*
 * Entries: a name in a directory, found first and locked afterwards.
 *
 *   entry_find()   reads under the parent's shared lock, pins the child, lets go
 *   (locks)        parent and child together, in the order of their numbers
 *   entry_still()  whether that is still what the name means; else all over again
 */
#ifndef SSTFS_FS_CORE_ENTRY_H
#define SSTFS_FS_CORE_ENTRY_H

#include "core/core.h"

struct entry {
    struct node *parent; /* pinned by the caller, a directory */
    struct bytes name;
    struct node *child;    /* pinned; NULL: no such name */
    uint64_t name_changes; /* of the parent, when it was read */
};

/** 1 found, 0 not. `entry`: parent and name are set. */
MUST_USE int entry_find(struct entry *entry);
/** Under the parent's exclusive lock and the child's. 1; 0: start over (after entry_forget()). */
MUST_USE int entry_still(struct entry *entry);
/** Unpins the child. Without locks. */
void entry_forget(struct entry *entry);

/** Pins a directory. -ENOTDIR, -ESTALE. */
MUST_USE int directory_pin(struct fs *fs, uint64_t ino, struct node **ret_node);
/** Under its lock: -ENOENT if the directory was removed. */
MUST_USE int directory_check(const struct node *directory);

/** -ENAMETOOLONG, -EINVAL (NUL, '/'), -ENOENT (empty). */
MUST_USE int name_check(struct bytes name);
/** A name that no row may have there: .past anywhere, .snapshots and .sstfs in the root. */
bool name_is_reserved(uint64_t parent, struct bytes name);
bool name_is_snapshots(uint64_t parent, struct bytes name);
bool name_is_past(struct bytes name);
/** `.sstfs` in the root. */
bool name_is_info(uint64_t parent, struct bytes name);
/** name_check(), then -EEXIST for reserved and dot names. For names about to be made. */
MUST_USE int name_check_new(uint64_t parent, struct bytes name);
/** malloc'ed; NULL: no memory. */
uint8_t *name_copy(struct bytes name);

#endif
