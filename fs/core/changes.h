/*
 * The inodes that one operation changes: their new attributes, until the batch is applied.
 */
#ifndef SSTFS_FS_CORE_CHANGES_H
#define SSTFS_FS_CORE_CHANGES_H

#include "core/core.h"

struct changes {
    struct node *nodes[4];
    struct inode to[4];
    unsigned count;
};
#define CHANGES_NONE ((struct changes){.count = 0})

/** The new attributes of `node`, at first those that it has. Its exclusive lock is held. */
struct inode *changes_of(struct changes *changes, struct node *node);

/** Adds what differs to the batch, applies it, and makes it the truth in memory. On failure
 * memory is as it was. */
MUST_USE int changes_apply(struct fs *fs, struct fs_request *request, struct changes *changes);

#endif
