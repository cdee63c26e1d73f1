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
 * file without a name is an orphan: its attributes live in its node alone. It lost its name while
 * open, or was made without one (O_TMPFILE) and may be linked to a name.
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
#define XATTR_ACL 4u        /* an access or a default ACL is one of them */
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
    bool used;        /* since forget.c came by; guarded by the shard */
    _Atomic uint32_t handles;
    _Atomic bool was_read;     /* so the page cache may have any page of it */
    _Atomic uint32_t mappable; /* handles by which a mapping may be written to */
    uint32_t type;             /* S_IFMT of mode; constant once `loaded` */
    pthread_rwlock_t lock;

    /* Below: guarded by `lock`. */
    struct inode inode;
    uint64_t dir; /* HOME_DIRENT: the directory; `linkable`: that it was made in; else 0 */
    uint8_t *name;
    struct xattr_list *xattrs; /* HOME_ORPHAN: xattr.h; else NULL */
    uint8_t name_size;
    uint8_t home;  /* enum home_kind */
    bool loaded;   /* false: who made it failed to read it */
    bool linkable; /* HOME_ORPHAN: made without a name, and may yet get one */
    bool awaited;  /* HOME_ORPHAN: who looked its name up before it was replaced may yet open it */
    bool detached; /* in no chain; guarded by the shard */
    _Atomic bool atime_queued;
    _Atomic int64_t read_ns;       /* the atime that is queued, as getattr tells it; 0: none */
    _Atomic bool changed;          /* its row was written since it was loaded */
    _Atomic uint64_t position;     /* in the log, of its last change (fsync) */
    _Atomic uint64_t name_changes; /* directories: names added, removed, replaced in it */
};

/** A node with what the allocator and the table need, and a name of usual length. */
#define NODE_BYTES (sizeof(struct node) + 80)

/** Whether it is a directory: a loaded node's type never changes, so no lock is needed. */
static inline bool node_is_directory(const struct node *node)
{
    return node->type == S_IFDIR;
}

/* ---- making, finding and keeping ---- */

/**
 * Pins the node of `ino`, making it if there is none: then `*ret_created`, and it is locked
 * exclusively (nobody else knows it, so this never waits, whatever locks are held), to be given to
 * node_load() and unlocked.
 */
MUST_USE int node_find_or_create(
    struct fs *fs, uint64_t ino, struct node **ret_node, bool *ret_created);
/**
 * Fills a node just created from the row of its name, as it was read under a lock of the
 * directory; `forgotten_changes` is what node_forgotten_changes() said before that read. Reads
 * again when a node was forgotten meanwhile whose row had been written (it may have been this
 * one), and reads the static row of a directory or the `inodes` row of a file of many names. On
 * failure the node is taken out of the table, and whoever waits for it gets -ESTALE.
 */
MUST_USE int node_load(struct node *node, uint64_t dir, struct bytes name, const struct row *row,
    uint64_t forgotten_changes);
uint64_t node_forgotten_changes(struct fs *fs);

/** A directory by its number alone, of a tree that does not change. -ENOENT. Counts a lookup. */
MUST_USE int node_look_up_directory(struct fs *fs, uint64_t ino, struct fs_entry *ret_entry);
/** 1, 0, or an error. */
MUST_USE int node_directory_exists(struct fs *fs, uint64_t ino);

/** A node that is in no table yet, pinned, for an inode about to be made. */
MUST_USE int node_new(struct fs *fs, uint64_t ino, struct node **ret_node);
/** Its inode is a fact now: others may find it. `lookups`: counted at once. */
void node_publish(struct node *node, uint64_t lookups);

/** The kernel was (or: was not, after all) told of it. */
void node_add_lookup(struct node *node);
void node_drop_lookups(struct node *node, uint64_t count);
bool node_is_looked_up(struct node *node);

/**
 * Sets the home. HOME_DIRENT: the row (dir, name), and `name` (malloc'ed, at most FS_NAME_MAX
 * bytes) is taken over, so that this cannot fail after the batch is applied. Exclusive lock.
 */
void node_set_home(
    struct node *node, enum home_kind kind, uint64_t dir, uint8_t *name, size_t name_size);
static inline struct bytes node_name(const struct node *node)
{
    return bytes_of(node->name, node->name_size);
}

/** At fs_close(), when nobody else uses the file system. */
void node_each(struct fs *fs, void (*each)(struct node *node));
/** All nodes go, whatever their counts. */
void node_sweep(struct fs *fs);
MUST_USE int node_table_open(struct fs *fs);
uint64_t node_table_count(struct fs *fs);

/** Pins the node of an inode the kernel knows. -ESTALE: it is not known (or synthetic). */
MUST_USE int node_pin(struct fs *fs, uint64_t ino, struct node **ret_node);
/** Once more, of a node that something else keeps (a handle, a pin). */
void node_pin_held(struct node *node);
void node_unpin(struct node *node);
/** For AUTO(); NULL does nothing. Declare it before the locks are taken, unlock by hand. */
void node_unpinp(struct node **node);

/* ---- locks ---- */

void node_lock_shared(struct node *node);
void node_lock_exclusive(struct node *node);
void node_unlock(struct node *node);
/** 0 or -EBUSY: whoever has the lock need not be waited for. */
MUST_USE int node_try_lock_shared(struct node *node);
/** Asserts that this thread has no node locked: nothing that may wait, for memory or for a sync, is
 * asked for under a lock, or one slow disk would stop every look-up in a directory. */
void node_assert_none_locked(void);

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
/** The root, if it is to: .snapshots is listed and counted as a directory in it. */
bool directory_lists_snapshots(const struct node *node);
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

/* ---- rows ---- */

/** What a row of `kind` (HOME_DIRENT, HOME_INODE, HOME_DIRECTORY) says. -EUCLEAN. */
MUST_USE int inode_decode(const struct row *row, enum home_kind kind, struct inode *to);
/** All cells of an inode, for the row begun last, which is of `kind`; neither target nor xattrs. */
void inode_put(struct batch *batch, enum home_kind kind, const struct inode *inode);
/** Target and xattrs of `row` (of `from`), for the row begun last, which is of `kind`. */
void inode_put_blobs(
    struct batch *batch, enum home_kind kind, const struct row *row, enum home_kind from);

/**
 * The row of a name. 1; 0: there is none, or it is a ghost (no `ino`, so no entry). `*ret_ino` and
 * `*ret_type` (S_IFMT) are what every such row holds. -EUCLEAN.
 */
MUST_USE int dirent_get(struct source *source, uint64_t dir, struct bytes name, uint64_t columns,
    struct rowref *ret_row, uint64_t *ret_ino, uint32_t *ret_type);
/** The same for a row read by a scan. */
MUST_USE int dirent_decode(const struct row *row, uint64_t *ret_ino, uint32_t *ret_type);
/** Whether the row holds the attributes of its file; else they are in `inodes`, or it is a
 * directory, with its own. */
bool dirent_is_home(const struct row *row);
/** When the name came to be, µs: `named`, or the row's own timestamp. */
MUST_USE int dirent_named(const struct row *row, int64_t *ret_us);

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
