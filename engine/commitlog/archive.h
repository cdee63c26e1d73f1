/*
 * archive/: segments of the log that are kept for whoever restores to a point in time, each under
 * a name of its own. Such a name is a second one of the slot's file, and from then on the file is
 * never written to again: its slot is dropped, not used again, when the segment is flushed.
 *
 *   commitlog/r07 --sealed, synced: link--> archive/000000000000002a.log, the same file
 *       | flushed: dropped
 */
#ifndef SSTFS_COMMITLOG_ARCHIVE_H
#define SSTFS_COMMITLOG_ARCHIVE_H

#include "commitlog/pool.h"
#include "engine/archive_name.h"

#define ARCHIVE_FOLDER "archive"
/** A name in the folder, with the NUL. */
#define ARCHIVE_PATH_BYTES (sizeof(ARCHIVE_FOLDER "/") - 1 + ARCHIVE_NAME_BYTES)

void archive_path(uint64_t segment, char to[ARCHIVE_PATH_BYTES]);

/** Makes the folder, durably. -EOPNOTSUPP: this disk has no hard links. */
MUST_USE int archive_prepare(struct env *env);
/**
 * Names the slot's file, which holds the segment and is synced, in the archive too, durably. That
 * it is named there already is fine. -ENOSPC and the like: not now; -EIO: nobody knows.
 */
MUST_USE int archive_link(struct env *env, struct slot *slot, uint64_t segment);

struct archive_list {
    uint64_t *segments; /* ascending; from malloc */
    size_t count;
};
/** Those in a folder of the env. No folder: none. */
MUST_USE int archive_list(struct env *env, const char *folder, struct archive_list *ret_list);
void archive_list_release(struct archive_list *list);

#endif
