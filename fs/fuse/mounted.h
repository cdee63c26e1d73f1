/*
 * Names that something may be mounted on.
 *
 * When the kernel is told that a name is not valid any more, it takes away what is mounted there,
 * as if the file had gone. So before a name is asked to be forgotten, which happens for files
 * alone, it is looked for among the mountpoints of this process' mount namespace, by its last
 * component: that spares some more names than it must, and needs no walk. (What is mounted in
 * another namespace alone is not seen.)
 *
 * Thread-safe.
 */
#ifndef SSTFS_FUSE_MOUNTED_H
#define SSTFS_FUSE_MOUNTED_H

#include <pthread.h>
#include <stdbool.h>

#include "engine/buf.h"

struct mounted {
    pthread_mutex_t mutex;
    int fd;           /* of the kernel's list, which tells by it that it has changed; -1: none */
    bool is_read;     /* `names` are as it was told last */
    struct buf names; /* each with its NUL */
};

/** Without /proc there is a warning, and no name. */
void mounted_init(struct mounted *mounted);
void mounted_release(struct mounted *mounted);

/** Whether a mountpoint may have that name. True as well when that cannot be read. */
bool mounted_may_be(struct mounted *mounted, struct bytes name);

#endif
