/*
 * Setting attributes under a lock that is held, and the background's part of atimes.
 */
#ifndef SSTFS_FS_CORE_ATTR_H
#define SSTFS_FS_CORE_ATTR_H

#include "core/changes.h"

/** As fs_setattr(); exclusive lock held. */
MUST_USE int attr_set_locked(
    struct fs *fs, struct fs_request *request, struct node *node, const struct fs_setattr *change);

/** Writes the atime that atime_read() found due. Takes the batch over; without locks. */
MUST_USE int atime_write(struct node *node, struct batch *batch, uint64_t *ret_position);

#endif
