/*
 * Nodes: what the file system remembers of an inode that the kernel knows or somebody has open.
 *
 *   table (64 shards, by inode number) --> node: attributes, home, counts, one rwlock
 *
 * A node is there while the kernel has looked it up (lookups), a handle is open (handles) or an
 * operation uses it (pins). All changes of an inode go through its node: a row of a file is written
 * under its node's exclusive lock only, so the attributes in memory are those of the row, and
 * getattr and write need no read.
 *
 * Locks. node_lock_exclusive() for changes, node_lock_shared() to read attributes or content.
 * Whoever needs several takes them together with lock_set_take(), which orders them by inode
 * number; with one lock of a node held, no other may be waited for. Locks of nodes come after no
 * other lock; the table's mutexes and the engine's come after them. Nothing waits (admission, sync)
 * under one.
 *
 * Home: the row that holds an inode's attributes. A file's is the row of its name, or, once it had
 * a second name, its row of `inodes`; a directory's is the static row of its own partition. An open
 * file without a name is an orphan: its attributes live in its node alone.
 */
#ifndef SSTFS_FS_CORE_NODE_H
#define SSTFS_FS_CORE_NODE_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/tables.h"

struct node;
struct xattr_list; /* of orphans: xattr.h */

/** Attributes of an inode of any type. Comparing two says what cells have changed: home_write(). */
struct inode {
    uint32_t mode; /* with type */
    uint32_t uid, gid;
    uint32_t nlink; /* of files; directories: see subdirs */
    uint64_t size;
    int64_t atime_ns, mtime_ns, ctime_ns, btime_ns; /* since 1970 */
    uint64_t rdev;
    uint64_t small;     /* partition of its content in `small`; 0: none there */
    int64_t allocated;  /* bytes of stored pages; ALLOCATED_ALL: no hole, so no cell */
    uint64_t parent;    /* directories */
    uint32_t subdirs;   /* directories */
    uint8_t xattr_bits; /* XATTR_… */
};
#define ALLOCATED_ALL (-1)
#define XATTR_ANY 1u        /* it has extended attributes; 0: none, no need to look */
#define XATTR_CAPABILITY 2u /* security.capability is one of them */
#define XATTR_CAPABILITY_NAME "security.capability"

enum home_kind {
    HOME_NONE,      /* removed, and its content with it: operations answer -ESTALE */
    HOME_DIRENT,    /* row (dir, name) of `dirents` */
    HOME_INODE,     /* row of `inodes` */
    HOME_DIRECTORY, /* static row of `dirents` */
    HOME_ORPHAN,    /* a row in section `orphans`; attributes in memory only */
};

struct node {
    struct node *next; /* in its chain; guarded by the shard */
    struct fs *fs;
    uint64_t ino;
    uint64_t lookups; /* guarded by the shard */
    uint32_t pins;    /* guarded by the shard */
    _Atomic uint32_t handles;
    pthread_rwlock_t lock;

    /* Below: guarded by `lock`. */
    struct inode inode;
    uint64_t dir; /* HOME_DIRENT: the directory */
    uint8_t *name;
    struct xattr_list *xattrs; /* HOME_ORPHAN: xattr.h; else NULL */
    uint64_t orphan_small;     /* HOME_ORPHAN: what its row says */
    uint32_t orphan_extents;
    uint8_t name_size;
    uint8_t home;                  /* enum home_kind */
    bool loaded;                   /* false: who made it failed to read it */
    _Atomic bool changed;          /* its row was written since it was loaded */
    _Atomic uint64_t position;     /* in the log, of its last change (fsync) */
    _Atomic uint64_t name_changes; /* directories: names added, removed, replaced in it */
};

/** Whether it is a directory: type never changes, so no lock is needed. */
static inline bool node_is_directory(const struct node *node)
{
    return (node->inode.mode & S_IFMT) == S_IFDIR;
}

/* ---- finding and keeping ---- */

/** Pins the node of an inode the kernel knows. -ESTALE: it is not known (or synthetic). */
MUST_USE int node_pin(struct fs *fs, uint64_t ino, struct node **ret_node);
void node_unpin(struct node *node);
/** For AUTO(); NULL does nothing. Declare it before the locks are taken, unlock by hand. */
void node_unpinp(struct node **node);

/* ---- locks ---- */

void node_lock_shared(struct node *node);
void node_lock_exclusive(struct node *node);
void node_unlock(struct node *node);

/** Nodes of one operation, locked together. At most four; NULL and duplicates are left out. */
struct lock_set {
    struct node *nodes[4];
    unsigned count;
};
void lock_set_add(struct lock_set *set, struct node *node);
/** Exclusive locks of all, in ascending order of inode numbers. */
void lock_set_take(struct lock_set *set);
void lock_set_release(struct lock_set *set);

/**
 * Under the lock: that this is a regular file with content to read or write. -ESTALE: removed;
 * -EISDIR; -EINVAL: another type.
 */
MUST_USE int node_check_content(const struct node *node);

/* ---- attributes ---- */

/** Under the lock (shared will do). */
void node_stat(const struct node *node, struct stat *to);
void inode_stat(uint64_t ino, const struct inode *inode, struct stat *to);
/** The same as an entry with the timeouts of ordinary inodes. */
void node_entry(const struct node *node, struct fs_entry *to);

/** Marks content as changed: mtime and ctime. */
static inline void inode_touch(struct inode *inode, int64_t now_ns)
{
    inode->mtime_ns = now_ns;
    inode->ctime_ns = now_ns;
}

/**
 * What every write, truncation and chown of a regular file takes away: security.capability always,
 * and with `kill_suid` S_ISUID, and S_ISGID of a file that its group may execute.
 */
void inode_kill_privileges(struct inode *inode, bool kill_suid);

/* ---- the home row ---- */

/**
 * Adds to `batch` the cells in which `to` differs from node->inode, as an update of its home (of
 * an orphan: of its row in `orphans`, when content lies elsewhere now or in more extents).
 * Under the exclusive lock. After the batch is applied the caller does node->inode = *to.
 *
 * Writes the xattr map never, but for one deletion: XATTR_CAPABILITY gone from xattr_bits.
 */
void home_write(struct batch *batch, const struct node *node, const struct inode *to);

/**
 * Begins an update of the home row in `batch`, to which cells may be added (xattr.c), and says the
 * number of its xattrs column. false: it has none (orphan: node->xattrs; HOME_NONE: -ESTALE).
 * Together with home_write() in one batch: use home_write() first, then this.
 */
bool home_begin(struct batch *batch, const struct node *node, unsigned *ret_xattrs_column);

/**
 * Reads columns of the home row. `ret_xattrs_column` and `ret_target_column` (may be NULL): their
 * numbers in what is returned. As engine_get(); -ESTALE for HOME_NONE, -ENODATA for HOME_ORPHAN.
 */
enum home_part { HOME_XATTRS = 1, HOME_TARGET = 2 };
MUST_USE int home_read(const struct node *node, unsigned parts, struct rowref *ret_row,
    unsigned *ret_xattrs_column, unsigned *ret_target_column);

#endif
