/*
 * The inside of fs/core: the file system's state, and what its parts ask of each other.
 *
 * A change, in every part alike (engine.md: reads that justify a batch and its application are
 * under one lock; no wait is):
 *
 *   pin nodes -> lock -> check -> struct inode to = node->inode; to.size = … -> home_write()
 *     -> core_apply() -> node->inode = to -> unlock -> unpin
 *
 * When core_apply() fails nothing has happened, and memory is left as it was.
 */
#ifndef SSTFS_FS_CORE_CORE_H
#define SSTFS_FS_CORE_CORE_H

#include "engine/buf.h"
#include "engine/error.h"
#include "engine/mutex.h"
#include "core/cut.h"
#include "core/forget.h"
#include "core/node.h"
#include "core/reclaim.h"

#define NODE_SHARDS 64u

struct node_shard {
    pthread_mutex_t mutex;
    struct node **chains;
    size_t chain_count; /* power of two */
    size_t node_count;
};

struct snapshot_dir; /* state of snapshot_dir.c */
struct past;         /* state of past_node.c */

struct fs {
    struct engine *engine;
    struct env *env;
    struct source *live;
    struct fs_options options;
    uint32_t node; /* of the store: top bits of inode numbers made here */

    struct node_shard shards[NODE_SHARDS];
    _Atomic uint64_t node_count;        /* of all shards */
    _Atomic uint64_t forgotten_changes; /* nodes freed whose rows had been written: node.c */
    _Atomic uint64_t handle_count;
    _Atomic uint64_t open_orphans;
    struct node *root; /* pinned */

    pthread_mutex_t lease_mutex;
    uint64_t lease_next, lease_end; /* counters of inode numbers: ino.c */

    struct reclaimer reclaimer;
    struct cuts cuts;
    struct forgetter forgetter;
    struct snapshot_dir *snapshots; /* NULL: a tree of the past */
    struct past *past;              /* NULL: the same */

    struct {
        const struct fs_info_file *files; /* borrowed */
        unsigned count;
        void *arg;
    } info; /* .sstfs; count 0: there is none */
};

/** What a batch holds beside its payload: rows, keys, parents. */
#define REQUEST_BYTES 1024u

/** The tree that a snapshot of `live` holds, read-only, to be given to fs_close(). */
MUST_USE int core_open_source(const struct fs *live, struct source *source, struct fs **ret_fs);

/** Now, for times of inodes. */
int64_t core_now_ns(struct fs *fs);

/**
 * Applies the request's batch and keeps its position, in the request and in the `count` nodes it
 * concerns. Under their exclusive locks. The batch is gone afterwards, also on failure.
 */
MUST_USE int core_apply(
    struct fs *fs, struct fs_request *request, struct node *const *nodes, unsigned count);

/* ---- inode numbers (ino.c) ---- */

/** A number that was never used and never will be again. Outside of all locks: may write a lease.
 */
MUST_USE int ino_new(struct fs *fs, uint64_t *ret_ino);

/* ---- open files and directories (handle.c, dir.c) ---- */

struct directory_cursor; /* dir.c */

struct fs_handle {
    struct node *node; /* NULL: synthetic */
    uint64_t ino;
    int flags; /* of open(2) */
    bool keep_cache;
    bool is_direct;                  /* st_size does not say how much there is to read */
    struct directory_cursor *cursor; /* directories */
    void *synthetic;                 /* snapshot_handle.c's, past.c's, info.c's own */
};

/** With one more handle counted in `node`, whose lock is held. `node` NULL: synthetic. */
MUST_USE int handle_new(
    struct fs *fs, struct node *node, uint64_t ino, int flags, struct fs_handle **ret_handle);
/** It counts in its node no more: how many did before, it included. */
uint32_t handle_leave(struct fs_handle *handle);
/** Only the memory (and the count of handles in `fs`, not that of the node). */
void handle_free(struct fs *fs, struct fs_handle *handle);

/* ---- attributes (attr.c) ---- */

/** A content or a directory was read: with the option relatime its atime follows, later. No lock
 * may be held. */
void atime_read(struct node *node);

/* ---- content (data.c): fs_read, fs_write, fs_fallocate, fs_seek, and ---- */

/**
 * The content's part of setting a size: adds to `batch` what cuts, moves (small to blocks) or
 * zeroes, and sets `to->size`, `to->small` and `to->allocated`; times are the caller's. Exclusive
 * lock held, node_check_content() done; `size` is checked against FS_FILE_BYTES_MAX here (-EFBIG).
 *
 * 0; or 1: over EXTENTS_PER_BATCH_MAX extents are to be cut. Then the batch holds a row of
 * `orphans` (reclaim_put()), `*ret_range` says it, and the caller goes on as cut.h says, under the
 * same lock.
 */
MUST_USE int data_truncate(struct fs *fs, const struct node *node, struct batch *batch,
    struct inode *to, uint64_t size, struct orphan *ret_range);

/* ---- extended attributes (xattr.c): fs_getxattr, …, and ---- */

/**
 * The file is being unlinked while open: keep what `row` (of its home, column `column`) has of
 * extended attributes in node->xattrs. Before the batch is applied; exclusive lock held.
 */
MUST_USE int xattr_keep(struct node *node, const struct row *row, unsigned column);
/** Adds what an orphan has of them, in node->xattrs, to the row begun last. Under the lock. */
void xattr_put_kept(struct batch *batch, unsigned column, const struct node *node);
/** 1 and the ACL (checked) of that name; 0: it has none. Under the node's lock. */
MUST_USE int xattr_get_acl(struct node *node, const char *name, struct buf *ret_acl);
/** An orphan's access ACL, which lives in node->xattrs, has become `acl`. */
void xattr_change_acl(struct node *node, struct bytes acl);
/** The batch was not applied, or the node goes. NULL does nothing. */
void xattr_list_free(struct xattr_list *list);

/* ---- .snapshots (snapshot_dir.c): fs_settle(), and for synthetic inodes ---- */

/** At fs_open() and fs_close(). */
MUST_USE int snapshot_dir_open(struct fs *fs);
void snapshot_dir_close(struct fs *fs);
/** `parent`: the root (then `name` is ".snapshots") or synthetic. Counts a lookup. */
MUST_USE int snapshot_dir_lookup(
    struct fs *fs, uint64_t parent, struct bytes name, struct fs_entry *ret_entry);
void snapshot_dir_forget(struct fs *fs, uint64_t nodeid, uint64_t count);
MUST_USE int snapshot_dir_getattr(struct fs *fs, uint64_t nodeid, struct stat *ret_attributes);
/* Tags. The request's batch stays empty. -EROFS, -EPERM where a user may not write. */
MUST_USE int snapshot_dir_mkdir(struct fs *fs, const struct fs_caller *caller, uint64_t parent,
    struct bytes name, struct fs_entry *ret_entry);
MUST_USE int snapshot_dir_rmdir(struct fs *fs, uint64_t parent, struct bytes name);
/** Both parents synthetic; any other pairing is -EXDEV before it is called. */
MUST_USE int snapshot_dir_rename(struct fs *fs, uint64_t parent, struct bytes name,
    uint64_t new_parent, struct bytes new_name, unsigned flags);
/* Extended attributes of a tag: snapshot_keep.c. */
MUST_USE int snapshot_dir_getxattr(
    struct fs *fs, uint64_t nodeid, const char *name, struct buf *ret_value);
MUST_USE int snapshot_dir_setxattr(
    struct fs *fs, uint64_t nodeid, const char *name, struct bytes value);
MUST_USE int snapshot_dir_removexattr(struct fs *fs, uint64_t nodeid, const char *name);
/** Files: uses handle_new(fs, NULL, …). `open_flags` to write: -EROFS. */
MUST_USE int snapshot_dir_open_file(
    struct fs *fs, uint64_t nodeid, int open_flags, struct fs_handle **ret_handle);
MUST_USE int snapshot_dir_read(struct fs *fs, uint64_t nodeid, struct fs_handle *handle,
    uint64_t offset, size_t size, struct buf *to);
void snapshot_dir_release(struct fs *fs, struct fs_handle *handle); /* files and directories */
MUST_USE int snapshot_dir_open_directory(
    struct fs *fs, uint64_t nodeid, struct fs_handle **ret_handle);
MUST_USE int snapshot_dir_read_directory(struct fs *fs, struct fs_handle *handle, uint64_t cookie,
    bool plus, fs_dirent_each each, void *arg);

#endif
