/*
 * Content that is to be deleted: rows of `meta`, section `orphans`, and the reclaimer, which works
 * them off in the background.
 *
 *   key   be64 ino, u8 kind, be32 first extent
 *   value be64 partition in `small` (0: none), be32 one past the last extent
 *
 * ORPHAN_FILE: a file without a name, that was open when it lost it, or known when it was replaced,
 * or made without one, or was too large to be deleted in one batch. ORPHAN_RANGE: the cut of a
 * living file, too large for one batch (cut.h); it is worked off under the file's lock, and by
 * fs_open() before anybody can see the file.
 */
#ifndef SSTFS_FS_CORE_RECLAIM_H
#define SSTFS_FS_CORE_RECLAIM_H

#include <pthread.h>

#include "core/node.h"

enum orphan_kind { ORPHAN_FILE = 1, ORPHAN_RANGE = 2 };

struct orphan {
    uint64_t ino;
    uint64_t small;        /* its content is the row (small, ino) of `small`; 0: it is not */
    uint32_t first_extent; /* ORPHAN_FILE: 0 */
    uint32_t extent_end;   /* one past the last */
    uint8_t kind;          /* enum orphan_kind */
};

#define ORPHAN_KEY_BYTES 13
#define ORPHAN_VALUE_BYTES 12

/** That of a file of which `inode` is what is to go. */
static inline struct orphan orphan_of_file(uint64_t ino, const struct inode *inode)
{
    return (struct orphan){
        .ino = ino,
        .small = inode->small,
        .extent_end = extents_of(inode->size),
        .kind = ORPHAN_FILE,
    };
}

struct reclaim_work; /* one in the queue */

struct reclaimer {
    struct task *task;
    pthread_mutex_t mutex;
    struct event event;
    struct batch *batch; /* admitted for the task; set by the engine while `pending` */

    /* Guarded by mutex. */
    struct reclaim_work *first, *last; /* the first may be in work */
    uint64_t count;
    bool pending; /* an admission */
    bool closing;
    int result; /* of the last admission that was pending */
};

/** Adds the row of an orphan to a batch (again: over the former). */
void reclaim_put(struct batch *batch, const struct orphan *orphan);
void reclaim_delete(struct batch *batch, const struct orphan *orphan);
/** A row of section `orphans` read. -EUCLEAN. */
MUST_USE int reclaim_decode(const struct row *row, struct orphan *ret_orphan);
/** Each row of section `orphans`, until `each` fails. */
MUST_USE int reclaim_each(
    struct fs *fs, int (*each)(void *arg, const struct orphan *orphan), void *arg);

/** Deletes the content of a file in `batch`: true, or false: it has too many extents for one. */
bool reclaim_content(struct batch *batch, uint64_t ino, uint64_t small, uint64_t size);

/** Works an orphan off, its row too, and returns when that is applied: admits for itself. */
MUST_USE int reclaim_now(struct fs *fs, const struct orphan *orphan);
/** Leaves an orphan, whose row is there, to the background. Never fails: without memory it waits
 * for the next mount. */
void reclaim_later(struct fs *fs, const struct orphan *orphan);

/** Has the background write the atime of a node (attr.h), which is kept until then. */
void reclaim_atime(struct node *node);

/** At fs_open(): starts the task, finishes ranges, queues files. Not with read_only. */
MUST_USE int reclaimer_open(struct fs *fs);
/** Ends the task and works off what is queued. */
int reclaimer_close(struct fs *fs);

#endif
