/*
 * Synthetic inodes: what the kernel has walked to under .snapshots.
 *
 *   .snapshots ─┬─ TAG ── sstfs ── dirents-… ── nb-…-Data.db
 *               ├─ latest ── (what the newest complete tag holds)
 *               └─ log ── 000000000000002a.log
 *
 * A node is one (parent, name) that was walked, of one tag: its number is a counter of this mount,
 * since the kernel wants one dentry for a directory. Numbers that programs see (st_ino) are stable:
 * snapshot_dir.c. Nodes below `latest` are of the tag that was the newest when they were walked to.
 * `log`, the store's archive of its log, is as a tag of that name, which no snapshot can have.
 *
 * All of it is guarded by the mutex of struct snapshot_dir, which is held over reads of the store's
 * folder, the deletion and the renaming of tags: nothing outside of .snapshots ever waits for it.
 */
#ifndef SSTFS_FS_CORE_SNAPSHOT_NODE_H
#define SSTFS_FS_CORE_SNAPSHOT_NODE_H

#include <pthread.h>

#include "engine/buf.h"
#include "engine/engine.h"

#define SNAPSHOTS_NAME ".snapshots"
#define LATEST_NAME "latest"
#define LOG_NAME "log"
#define SNAPSHOTS_FOLDER "snapshots"
/** What `log` is in the store. */
#define LOG_FOLDER "archive"

/** A tag that nodes belong to. A tag deleted and made anew is another one, by its times; two tags
 * of one point (nothing was written between) differ in when they were made. */
struct snapshot_tag {
    struct snapshot_tag *next;
    uint64_t refs;
    uint64_t point_us, created_us;
    uint64_t open_files;
    bool complete; /* known to be; false: ask the engine */
    bool gone;     /* deleted: what is below answers -ENOENT */
    char name[SNAPSHOT_TAG_MAX + 1];
};

enum snapshot_kind {
    SNAPSHOT_ROOT,   /* .snapshots */
    SNAPSHOT_LATEST, /* .snapshots/latest */
    SNAPSHOT_TAG,    /* .snapshots/TAG */
    SNAPSHOT_INSIDE, /* a file or directory of the tag's folder */
};

struct snapshot_node {
    struct snapshot_node *next_by_number, *next_by_name; /* in their chains */
    struct snapshot_node *parent;                        /* referenced; NULL: .snapshots */
    struct snapshot_tag *tag;                            /* referenced; NULL: .snapshots, latest */
    uint64_t number;                                     /* nodeid */
    uint64_t lookups;
    uint64_t refs; /* children and open handles */
    enum snapshot_kind kind;
    unsigned depth;    /* below .snapshots */
    struct bytes name; /* behind the struct; a tag's is in the tag */
    uint8_t data[];
};

#define SNAPSHOT_CHAINS 4096u
/** A tag's folder is four levels deep; whoever puts deeper ones there cannot walk into them. */
#define SNAPSHOT_DEPTH_MAX 8u

struct snapshot_dir {
    pthread_mutex_t mutex;
    struct snapshot_node *by_number[SNAPSHOT_CHAINS];
    struct snapshot_node *by_name[SNAPSHOT_CHAINS];
    struct snapshot_tag *tags;
    struct snapshot_node *root; /* .snapshots; never freed before the end */
    uint64_t next_number;
    struct task *expiry; /* NULL: mounted read-only */
};

MUST_USE int snapshot_nodes_open(struct snapshot_dir **ret_dir);
/** Whatever counts there are. NULL does nothing. */
void snapshot_nodes_close(struct snapshot_dir *dir);

/* All below: mutex held. */

/** NULL: there is none. */
struct snapshot_node *snapshot_node_find(struct snapshot_dir *dir, uint64_t number);
/** The node of a name, made if there is none; neither lookups nor refs are counted. `tag` NULL or
 * borrowed. */
MUST_USE int snapshot_node_ensure(struct snapshot_dir *dir, struct snapshot_node *parent,
    enum snapshot_kind kind, struct bytes name, struct snapshot_tag *tag,
    struct snapshot_node **ret_node);
/** Frees it, and the parents it was the last to hold, if nothing counts on it. */
void snapshot_node_settle(struct snapshot_dir *dir, struct snapshot_node *node);

/** The tag of that name and times, made if there is none; referenced only by nodes: without one,
 * snapshot_tag_settle() frees it. */
MUST_USE int snapshot_tag_ensure(struct snapshot_dir *dir, const char *name, uint64_t point_us,
    uint64_t created_us, struct snapshot_tag **ret_tag);
void snapshot_tag_settle(struct snapshot_dir *dir, struct snapshot_tag *tag);
/** NULL: nobody walked to it. */
struct snapshot_tag *snapshot_tag_find(struct snapshot_dir *dir, const char *name);
/** The engine has renamed it: its nodes are found by the new name. */
void snapshot_tag_rename(struct snapshot_dir *dir, struct snapshot_tag *tag, const char *name);

/** "snapshots/TAG", or what `log` is: where the store has a tag's files; without a NUL. */
void snapshot_tag_path(const struct snapshot_tag *tag, struct buf *to);
size_t snapshot_tag_path_size(const struct snapshot_tag *tag);
bool snapshot_tag_is_log(const struct snapshot_tag *tag);

/** "snapshots/TAG/…": where the store has it. Not for .snapshots and latest. */
void snapshot_node_path(const struct snapshot_node *node, struct buf *to);

/** 64 bits of a run of bytes, the same for ever; `seed`: 0, or what came of the run before. */
uint64_t snapshot_hash(uint64_t seed, struct bytes bytes);

/* ---- of snapshot_dir.c, for snapshot_handle.c ---- */

struct fs;

/** What the engine says of a tag. */
struct snapshot_tag_info {
    char name[SNAPSHOT_TAG_MAX + 1];
    uint64_t point_us, created_us;
    bool complete;
};
void snapshot_tag_info_take(struct snapshot_tag_info *to, const struct snapshot_info *from);
/** 1 and the tag of that name (NULL: the newest that is complete); 0: there is none. */
MUST_USE int snapshot_tag_search(
    struct fs *fs, const char *name, struct snapshot_tag_info *ret_info);
/** 1 and what `log` is as a tag; 0: the store never archived its log. */
MUST_USE int snapshot_log_info(struct fs *fs, struct snapshot_tag_info *ret_info);
/** A name as a tag; false: it cannot be one. */
bool snapshot_tag_of_name(struct bytes name, char to[SNAPSHOT_TAG_MAX + 1]);
/** st_ino of a path within a tag's folder, "" for itself. */
uint64_t snapshot_number_inside(const struct snapshot_tag *tag, const char *path);
/** st_ino of .snapshots and of `latest`. */
uint64_t snapshot_number_of_name(const char *name);
/** The tag that a directory's content is of; of `latest`, the newest now: snapshot_tag_settle() it
 * when no node was made. -ENOENT. */
MUST_USE int snapshot_tag_below(
    struct fs *fs, const struct snapshot_node *node, struct snapshot_tag **ret_tag);
/** Deletes a tag. -EBUSY: a file of it is open, or somebody holds it. */
MUST_USE int snapshot_delete_locked(struct fs *fs, const char *name);

/* ---- of snapshot_keep.c, for snapshot_dir.c ---- */

MUST_USE int snapshot_expiry_start(struct fs *fs);
void snapshot_expiry_stop(struct fs *fs);

#endif
