/*
 * The mount table of this process: /proc/self/mountinfo.
 */
#ifndef SSTFS_TOOLS_MOUNTINFO_H
#define SSTFS_TOOLS_MOUNTINFO_H

#include <stdbool.h>

#include "engine/auto.h"

struct mount {
    char *mountpoint;
    char *source; /* the store: fsname= */
    unsigned major, minor;
};

void mount_release(struct mount *mount);
/**
 * The sstfs mount that `path` (absolute, resolved) lies in; with `exactly` the one whose
 * mountpoint it is. The topmost, where several are mounted on one another. 1; 0: none.
 */
MUST_USE int mount_find(const char *path, bool exactly, struct mount *ret_mount);
/** As a user names it: any path in a mount, also a dead one. -ENOENT with words: not in one. */
MUST_USE int mount_of(const char *path, struct mount *ret_mount);

#endif
