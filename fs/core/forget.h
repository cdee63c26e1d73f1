/*
 * What is remembered of inodes is bounded: above that the kernel, which holds them in its cache, is
 * asked to forget names of files that nobody has open; its FORGETs then free the nodes.
 *
 *   shards and chains in turn (CLOCK): used since the hand came by -> the mark goes
 *                                      not used, no handle, home is a name -> ask for that name
 *
 * A task does it, with no lock held while it asks: the kernel may wait for requests meanwhile.
 * Nodes of directories and of files with several names keep no name, and stay.
 */
#ifndef SSTFS_FS_CORE_FORGET_H
#define SSTFS_FS_CORE_FORGET_H

#include <stdatomic.h>

#include "fs/fs.h"

struct task;

struct forgetter {
    struct task *task; /* NULL: nodes are not bounded */
    _Atomic uint64_t nodes_max;
    fs_ask_to_forget ask;
    void *arg;
    unsigned shard; /* the hand */
    size_t chain;
    uint64_t last_count; /* of nodes, when the task ran last */
    int64_t wait_us;     /* before it runs again */
};

/** There is one node more, `count` now. Any lock may be held. */
void forget_note_count(struct fs *fs, uint64_t count);

/** Another bound for one that has a task. Any lock may be held. */
void forget_set_max(struct fs *fs, uint64_t nodes_max);

#endif
