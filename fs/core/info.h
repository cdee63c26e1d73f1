/*
 * .sstfs in the root: a hidden, read-only directory of files about the running mount, whose texts
 * whoever mounts makes (fs_set_info()). For inodes that ino_is_info() says are there.
 *
 * A text is made when its file is opened, and the handle keeps it: a reader never meets two states
 * in one text. As in /proc st_size is 0; the kernel is told to ask until the end (direct_io).
 *
 * Inodes are constant numbers and live as long as the mount: lookups are not counted.
 */
#ifndef SSTFS_FS_CORE_INFO_H
#define SSTFS_FS_CORE_INFO_H

#include "core/core.h"

/** The directory itself, if there is any: -ENOENT. */
MUST_USE int info_lookup_root(struct fs *fs, struct fs_entry *ret_entry);

/* As the functions fs_…() of fs.h. */
MUST_USE int info_lookup(
    struct fs *fs, uint64_t parent, struct bytes name, struct fs_entry *ret_entry);
MUST_USE int info_getattr(struct fs *fs, uint64_t nodeid, struct stat *ret_attributes);
MUST_USE int info_open_file(
    struct fs *fs, uint64_t nodeid, int open_flags, struct fs_handle **ret_handle);
MUST_USE int info_read(
    const struct fs_handle *handle, uint64_t offset, size_t size, struct buf *to);
MUST_USE int info_open_directory(struct fs *fs, uint64_t nodeid, struct fs_handle **ret_handle);
MUST_USE int info_read_directory(struct fs *fs, const struct fs_handle *handle, uint64_t cookie,
    bool plus, fs_dirent_each each, void *arg);
/** Files and directories. */
void info_release(struct fs *fs, struct fs_handle *handle);

#endif
