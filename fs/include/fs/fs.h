/*
 * The file system without FUSE: POSIX semantics over the engine, called by fs/fuse and by tests.
 *
 * Life of a request that changes something:
 *
 *   fs_begin()   outside all locks: admission; may say -EINPROGRESS and call back later
 *   fs_create()… one operation: locks, reads, one batch applied, locks released
 *   fs_end()     what must be waited for before the reply (sync mode, O_SYNC); may call back later
 *
 * Requests that only read are called alone. Functions return 0 or a result or a negative errno.
 * Inodes are named by number; whoever was given an entry (lookup, create, …) owes a fs_forget().
 * All functions are thread-safe. docs: fs/SCHEMA.md.
 */
#ifndef SSTFS_FS_FS_H
#define SSTFS_FS_FS_H

#include <sys/stat.h>
#include <sys/statvfs.h>

#include "engine/engine.h"

struct fs;
struct fs_handle; /* an open file or directory */

#define FS_ROOT_INO 1ull
#define FS_NAME_MAX 255
#define FS_TARGET_MAX 4095
#define FS_FILE_BYTES_MAX (256ull << 40) /* 256 TiB */
#define FS_WRITE_BYTES_MAX (1u << 20)
#define FS_SMALL_BYTES_MAX 8192 /* content up to here lives in the table `small` */

/* The tables, in the order of their numbers. */
enum fs_table {
    TABLE_DIRENTS,
    TABLE_SMALL,
    TABLE_BLOCKS,
    TABLE_INODES,
    TABLE_META,
    FS_TABLE_COUNT
};
extern const struct table_schema fs_tables[FS_TABLE_COUNT];

struct fs_options {
    bool read_only;
    bool relatime;          /* default: atimes never follow reads */
    bool lists_snapshots;   /* the root lists .snapshots; default: reachable by name only */
    uint64_t owner;         /* uid << 32 | gid of who mounted: owns .snapshots */
    uint32_t snapshots_gid; /* but for their group, which may read them */
};

/** Who asks. */
struct fs_caller {
    uint32_t uid, gid;
    uint32_t umask; /* applied to new modes, unless the directory has a default ACL */
    int32_t pid;
    const uint32_t *groups; /* supplementary; of who sets an ACL only */
    unsigned group_count;
};

/** An inode as a reply to lookup, create, … tells it. */
struct fs_entry {
    uint64_t nodeid; /* what the kernel calls it; st_ino but for synthetic inodes */
    struct stat attributes;
    uint32_t attribute_timeout_s; /* 0: do not cache */
    uint32_t entry_timeout_s;
};
#define FS_TIMEOUT_FOREVER 1000000000u

/** Opens the file system of an open engine: makes the root of an empty store, finishes what a crash
 * left half done (orphans in the background). */
MUST_USE int fs_open(
    struct engine *engine, struct env *env, const struct fs_options *options, struct fs **ret_fs);
/** A file of .sstfs, the hidden directory in the root: `make` appends the text as of now. */
struct fs_info_file {
    const char *name;
    int (*make)(void *arg, struct buf *to);
};
/** Before the first request. `files` are borrowed; without them there is no .sstfs. */
void fs_set_info(struct fs *fs, const struct fs_info_file *files, unsigned count, void *arg);
/** Deletes data of files still open but unlinked, then frees; the engine stays open. */
int fs_close(struct fs *fs);

/** Asks whoever looked it up to forget the name; it may refuse. `name` is followed by a NUL. */
typedef void (*fs_ask_to_forget)(void *arg, uint64_t parent, struct bytes name);
/**
 * From now on, while the inodes that were looked up take more than `bytes_max`, calls `ask` for
 * names of files not open, one at a time, from a thread of its own that holds no lock.
 */
MUST_USE int fs_bound_nodes(struct fs *fs, uint64_t bytes_max, fs_ask_to_forget ask, void *arg);
/** No longer; no call is under way when it returns. Nobody else uses the file system. */
void fs_unbound_nodes(struct fs *fs);

/* ---- changing requests: begin, operation, end ---- */

/** One changing request; zero-initialise (FS_REQUEST_INIT). Lives until fs_end() or its callback.
 */
struct fs_request {
    struct batch *batch;
    uint64_t position; /* in the log, of what it applied */
    bool synchronous;  /* O_SYNC, dirsync: fs_end() waits for the disk */
    /* It took set-user-id or set-group-id bits away, which who asked for it may not know. */
    bool killed_privileges;
};
#define FS_REQUEST_INIT ((struct fs_request){0})

/** `bytes`: payload. `reclaim`: unlink, rmdir, truncate down, chmod and the like: goes when full.
 */
MUST_USE int fs_begin(struct fs *fs, struct fs_request *request, enum fs_table table,
    uint64_t bytes, bool reclaim, engine_go go, void *arg);
/** Without the operation: gives back what fs_begin() took. Legal after the operation too. */
void fs_cancel(struct fs *fs, struct fs_request *request);
/** 0, an error, or -EINPROGRESS: go() will be called. */
MUST_USE int fs_end(struct fs *fs, struct fs_request *request, engine_go go, void *arg);

/* Name: bytes without '/' and NUL; -ENAMETOOLONG over FS_NAME_MAX is said here. */
MUST_USE int fs_create(struct fs *fs, struct fs_request *request, const struct fs_caller *caller,
    uint64_t parent, struct bytes name, uint32_t mode, int open_flags, struct fs_entry *ret_entry,
    struct fs_handle **ret_handle); /* -EEXIST: always exclusive */
/** O_TMPFILE: a file without a name, open, which goes with its last handle unless fs_link() gives
 * it one. The directory says where it belongs, and is not changed. */
MUST_USE int fs_tmpfile(struct fs *fs, struct fs_request *request, const struct fs_caller *caller,
    uint64_t parent, uint32_t mode, int open_flags, struct fs_entry *ret_entry,
    struct fs_handle **ret_handle);
/** Files, FIFOs, sockets, devices. */
MUST_USE int fs_mknod(struct fs *fs, struct fs_request *request, const struct fs_caller *caller,
    uint64_t parent, struct bytes name, uint32_t mode, uint64_t rdev, struct fs_entry *ret_entry);
MUST_USE int fs_mkdir(struct fs *fs, struct fs_request *request, const struct fs_caller *caller,
    uint64_t parent, struct bytes name, uint32_t mode, struct fs_entry *ret_entry);
MUST_USE int fs_symlink(struct fs *fs, struct fs_request *request, const struct fs_caller *caller,
    uint64_t parent, struct bytes name, struct bytes target, struct fs_entry *ret_entry);
MUST_USE int fs_link(struct fs *fs, struct fs_request *request, uint64_t ino, uint64_t parent,
    struct bytes name, struct fs_entry *ret_entry);
MUST_USE int fs_unlink(
    struct fs *fs, struct fs_request *request, uint64_t parent, struct bytes name);
MUST_USE int fs_rmdir(
    struct fs *fs, struct fs_request *request, uint64_t parent, struct bytes name);
/** `flags`: 0, RENAME_NOREPLACE, RENAME_EXCHANGE; others -EINVAL. */
MUST_USE int fs_rename(struct fs *fs, struct fs_request *request, uint64_t parent,
    struct bytes name, uint64_t new_parent, struct bytes new_name, unsigned flags);

enum fs_set {
    FS_SET_MODE = 1,
    FS_SET_UID = 2,
    FS_SET_GID = 4,
    FS_SET_SIZE = 8,
    FS_SET_ATIME = 16,
    FS_SET_MTIME = 32,
    FS_SET_ATIME_NOW = 64,
    FS_SET_MTIME_NOW = 128,
    FS_SET_KILL_SUID = 256, /* truncate by one who may not keep the bits */
};
struct fs_setattr {
    unsigned set; /* enum fs_set */
    uint32_t mode, uid, gid;
    uint64_t size;
    int64_t atime_ns, mtime_ns; /* since 1970 */
};
MUST_USE int fs_setattr(struct fs *fs, struct fs_request *request, uint64_t ino,
    const struct fs_setattr *change, struct stat *ret_attributes);

MUST_USE int fs_write(struct fs *fs, struct fs_request *request, uint64_t ino, struct bytes data,
    uint64_t offset, bool kill_suid);
/** A part of what is written. One that lies in a buffer, and fills more than half of it, stays
 * there (engine/value_buffer.h): its bytes must not change any more. Others (`buffer` NULL) are
 * copied. */
struct fs_piece {
    struct bytes bytes;
    struct value_buffer *buffer;
};
/** For pieces to come, with one reference; NULL: no memory. */
struct value_buffer *fs_value_buffer(struct fs *fs);
/** What fs_begin() is to be told of a write of these. */
uint64_t fs_pieces_memory(const struct fs_piece *pieces, unsigned count);
/** fs_write() of pieces that follow each other. */
MUST_USE int fs_write_pieces(struct fs *fs, struct fs_request *request, uint64_t ino,
    const struct fs_piece *pieces, unsigned count, uint64_t offset, bool kill_suid);
/** fallocate(2): modes 0, KEEP_SIZE, PUNCH_HOLE|KEEP_SIZE, ZERO_RANGE; others -EOPNOTSUPP. */
MUST_USE int fs_fallocate(struct fs *fs, struct fs_request *request, uint64_t ino, int mode,
    uint64_t offset, uint64_t size, bool kill_suid);

/** `flags`: XATTR_CREATE, XATTR_REPLACE. An access ACL sets the mode as well. */
MUST_USE int fs_setxattr(struct fs *fs, struct fs_request *request, const struct fs_caller *caller,
    uint64_t ino, const char *name, struct bytes value, int flags);
MUST_USE int fs_removexattr(
    struct fs *fs, struct fs_request *request, uint64_t ino, const char *name);

/* ---- reading requests ---- */

/** -ENOENT when there is none (the caller may tell the kernel to remember that for
 * `ret_entry->entry_timeout_s`). */
MUST_USE int fs_lookup(
    struct fs *fs, uint64_t parent, struct bytes name, struct fs_entry *ret_entry);
/** A directory by its number, whether or not it was looked up. -ENOENT: there is none. */
MUST_USE int fs_lookup_directory(struct fs *fs, uint64_t ino, struct fs_entry *ret_entry);
/** Memory only, O(1). */
void fs_forget(struct fs *fs, uint64_t ino, uint64_t count);
MUST_USE int fs_getattr(struct fs *fs, uint64_t ino, struct stat *ret_attributes);
/** As fs_getattr(); 1: and when it was made, ns since 1970; 0: that is not known (of synthetic
 * inodes). */
MUST_USE int fs_statx(
    struct fs *fs, uint64_t ino, struct stat *ret_attributes, int64_t *ret_birth_ns);
MUST_USE int fs_readlink(struct fs *fs, uint64_t ino, struct buf *ret_target);
/** One value; -ENODATA. */
MUST_USE int fs_getxattr(struct fs *fs, uint64_t ino, const char *name, struct buf *ret_value);
/** NUL-terminated names. `trusted`: those of trusted.* too. */
MUST_USE int fs_listxattr(struct fs *fs, uint64_t ino, bool trusted, struct buf *ret_names);
void fs_statfs(struct fs *fs, struct statvfs *ret_statvfs);

/* ---- open files ---- */

/** In `open_flags`, with O_TRUNC: by one who may not keep set-user-id bits. */
#define FS_OPEN_KILL_SUID (1 << 30)
/** O_TRUNC in `open_flags` needs a begun request; else `request` may be NULL. -ESTALE: gone. */
MUST_USE int fs_open_file(struct fs *fs, struct fs_request *request, uint64_t ino, int open_flags,
    struct fs_handle **ret_handle);
/** Whether the kernel may keep cached pages of this file over opens (false: snapshot SHA256SUMS).
 */
bool fs_handle_keep_cache(const struct fs_handle *handle);
/** Whether reads end where the content does, not at st_size (files of .sstfs). */
bool fs_handle_is_direct(const struct fs_handle *handle);
/** Appends exactly min(size, file size - offset) bytes to `to`; holes are zeros. */
MUST_USE int fs_read(struct fs *fs, uint64_t ino, struct fs_handle *handle, uint64_t offset,
    size_t size, struct buf *to);
/** Bytes [start, end) of a file; start = end: none. */
struct fs_hole {
    uint64_t start, end;
    uint64_t file_size;
};
/**
 * SEEK_DATA and SEEK_HOLE; -ENXIO past the end. `ret_hole`: the hole that the answer rests on, also
 * that of -ENXIO, if a mapping may have written there what the kernel has not written back yet.
 * When that has been done, and no page of it is cached any more, the answer is to be asked for
 * again.
 */
MUST_USE int fs_seek(struct fs *fs, uint64_t ino, uint64_t offset, int whence, uint64_t *ret_offset,
    struct fs_hole *ret_hole);
/** Never fails: the last close of an unlinked file deletes its data in the background. */
void fs_release(struct fs *fs, uint64_t ino, struct fs_handle *handle);
/** fsync, fdatasync, fsyncdir: all earlier changes of the inode and the names that lead to it. */
MUST_USE int fs_sync(struct fs *fs, uint64_t ino, engine_go go, void *arg);

/* ---- open directories ---- */

MUST_USE int fs_open_directory(struct fs *fs, uint64_t ino, struct fs_handle **ret_handle);
void fs_release_directory(struct fs *fs, struct fs_handle *handle);

struct fs_dirent {
    struct bytes name;
    uint64_t cookie;       /* the position after it */
    struct fs_entry entry; /* plain: only st_ino and the type in st_mode are set */
};
/** 0: go on; anything else: it did not fit, and is the first of the next call. */
typedef int (*fs_dirent_each)(void *arg, const struct fs_dirent *dirent);
/**
 * Entries from `cookie` on (0: from the start, "." and ".." first). `plus`: entries are complete
 * and counted as looked up (but for "." and "..", and where nodeid is 0): `each` takes those that
 * it returned 0 for. Cookies are the handle's own. One caller per handle at a time.
 */
MUST_USE int fs_read_directory(struct fs *fs, struct fs_handle *handle, uint64_t cookie, bool plus,
    fs_dirent_each each, void *arg);

/* ---- snapshots (under .snapshots) and the inside ---- */

/** A request that concerns what is inside a tag that is not complete, or looks such a tag up in a
 * `.past` (`name`; else none), waits outside of workers: 0, or -EINPROGRESS and go() is called.
 * Cheap for inodes that are not synthetic. */
MUST_USE int fs_settle(struct fs *fs, uint64_t ino, struct bytes name, engine_go go, void *arg);

/** When the tag is deleted by itself, µs since 1970 (0: never), unless it is held or open then. */
MUST_USE int fs_snapshot_set_expiry(struct fs *fs, const char *tag, uint64_t expires_us);

struct fs_stats {
    uint64_t nodes, node_bytes, handles, orphans;
    uint64_t past_nodes, past_node_bytes; /* of snapshots, under .past */
};
void fs_get_stats(struct fs *fs, struct fs_stats *ret_stats);

/* ---- proving a tree (sstfs verify) ---- */

/** Called for each violated invariant of data-model "What verify proves". */
typedef void (*fs_verify_finding)(void *arg, const char *text);
/** Number of findings, or a negative errno. `node`: the store's, whose leases are known; 0: of
 * none. `ret_files`, `ret_directories`: counts. */
MUST_USE int64_t fs_verify_tree(struct source *source, uint32_t node, fs_verify_finding finding,
    void *arg, uint64_t *ret_files, uint64_t *ret_directories);

#endif
