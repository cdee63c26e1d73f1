/*
 * Cuts of living files that one batch cannot hold (over EXTENTS_PER_BATCH_MAX extents).
 *
 *   cut_begin()    memory for what may go wrong later
 *   core_apply()   size, times and the row ORPHAN_RANGE in one batch: from here on the cut is a
 *                  fact, and nobody is told of a failure any more
 *   cut_end()      the extents go, in batches of their own
 *
 * All of it is under the file's exclusive lock. A crash in between leaves the row, and the next
 * fs_open() works it off before anybody sees the file. A failure in between (no memory) leaves a
 * file that lives on with the row: were it written there, that row would take what was written.
 * So the cut is remembered as unfinished: reading finds zeros in it (SEEK_DATA may still call them
 * data), and whoever changes the content finishes it first or fails.
 *
 * A read-only file system cannot finish what it finds in its tables; it reads it as cut.
 */
#ifndef SSTFS_FS_CORE_CUT_H
#define SSTFS_FS_CORE_CUT_H

#include "core/reclaim.h"

struct cut {
    struct cut *next;
    struct orphan range;
};

struct cuts {
    pthread_mutex_t mutex;
    struct cut *first; /* guarded; one of a file at most, which stays while the file is locked */
    _Atomic uint64_t count;
};

/** Before the batch with the row of `range` is applied; malloc, the caller's. -ENOMEM. */
MUST_USE int cut_begin(const struct orphan *range, struct cut **ret_cut);
/** After it: works it off, or remembers it as unfinished and takes it: `*begun` is NULL then.
 * Without a cut there, does nothing. */
void cut_end(struct fs *fs, struct cut **begun);

/** Before the content of a file is changed, under its exclusive lock: finishes what is unfinished.
 */
MUST_USE int cut_finish(struct fs *fs, uint64_t ino);
/** Zeros, in what was read of [offset, offset + size), where an unfinished cut is. Under the lock.
 */
void cut_hide(struct fs *fs, uint64_t ino, uint64_t offset, size_t size, uint8_t *data);

/** Read-only: remembers the cuts that the tables say are not worked off. */
MUST_USE int cuts_load(struct fs *fs);
/** Forgets what is unfinished: it is left to the next fs_open(). */
void cuts_close(struct fs *fs);

#endif
