/*
 * .past in every directory (past.c), for the requests of inodes that ino_is_past() says are there.
 * All that would change something is refused before it comes here. Struct past: past_node.h.
 */
#ifndef SSTFS_FS_CORE_PAST_H
#define SSTFS_FS_CORE_PAST_H

#include "core/core.h"

/* At fs_open() and fs_close(). */
MUST_USE int past_open(struct fs *fs);
void past_close(struct fs *fs);
/** Inodes of snapshots that the kernel knows, and about what they take of memory. */
void past_count_nodes(struct fs *fs, uint64_t *ret_nodes, uint64_t *ret_bytes);
/** Of fs_unbound_nodes(). */
void past_unbound_nodes(struct fs *fs);

/** The `.past` of a live directory. Counts a lookup. */
MUST_USE int past_lookup_list(struct fs *fs, uint64_t base, struct fs_entry *ret_entry);

/* As the functions fs_…() of fs.h. */
MUST_USE int past_settle(
    struct fs *fs, uint64_t nodeid, struct bytes name, engine_go go, void *arg);
MUST_USE int past_lookup(
    struct fs *fs, uint64_t parent, struct bytes name, struct fs_entry *ret_entry);
MUST_USE int past_statx(
    struct fs *fs, uint64_t nodeid, struct stat *ret_attributes, int64_t *ret_birth_ns);
MUST_USE int past_readlink(struct fs *fs, uint64_t nodeid, struct buf *ret_target);
MUST_USE int past_getxattr(struct fs *fs, uint64_t nodeid, const char *name, struct buf *ret_value);
MUST_USE int past_listxattr(struct fs *fs, uint64_t nodeid, bool trusted, struct buf *ret_names);
MUST_USE int past_open_file(
    struct fs *fs, uint64_t nodeid, int open_flags, struct fs_handle **ret_handle);
MUST_USE int past_read(struct fs *fs, uint64_t nodeid, struct fs_handle *handle, uint64_t offset,
    size_t size, struct buf *to);
MUST_USE int past_seek(struct fs *fs, uint64_t nodeid, uint64_t offset, int whence,
    uint64_t *ret_offset, struct fs_hole *ret_hole);
void past_release(struct fs *fs, uint64_t nodeid, struct fs_handle *handle);
MUST_USE int past_open_directory(struct fs *fs, uint64_t nodeid, struct fs_handle **ret_handle);
MUST_USE int past_read_directory(struct fs *fs, struct fs_handle *handle, uint64_t cookie,
    bool plus, fs_dirent_each each, void *arg);
void past_release_directory(struct fs *fs, struct fs_handle *handle);

/**
 * Around the deletion or renaming of a tag, which must not be in use: -EBUSY while a file of it is
 * open under .past. After 0 nobody can use it until past_close_end(), which must be called;
 * `has_gone`: there is no tag of that name any more.
 */
MUST_USE int past_close_begin(struct fs *fs, const char *tag);
void past_close_end(struct fs *fs, const char *tag, bool has_gone);

#endif
