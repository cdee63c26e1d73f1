/*
 * Where listings of a directory stand: one cursor per open handle.
 *
 * A name's cookie is 3 + batch * 2^16 + its place in the batch; a batch is what one call of
 * fs_read_directory() handed out. 1 and 2 are "." and "..". The kernel may come back with the
 * cookie of any entry it was given: to go on after it means to go on at the first name that is
 * greater, so nothing that is removed meanwhile makes a listing skip or repeat a name.
 *
 *   newest two batches   every name
 *   older ones           the first name, and 4 bytes of hash of each
 *   beyond 64 MiB        the first name: counted from there
 */
#ifndef SSTFS_FS_CORE_DIR_H
#define SSTFS_FS_CORE_DIR_H

#include "core/core.h"

/** Names younger than now will not be listed. The directory's lock is held (shared will do): what
 * has a timestamp by now is then applied. */
MUST_USE int directory_cursor_new(struct fs *fs, struct directory_cursor **ret_cursor);
void directory_cursor_free(struct directory_cursor *cursor);

#endif
