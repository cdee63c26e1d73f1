/*
 * Inodes of the past: what the kernel has walked to under .past, and the trees they are of.
 *
 *   DIR/.past ─┬─ TAG ── DIR's files as they were
 *              └─ …
 *
 * A tree is a whole file system of its own over one tag's SSTables, read-only: it answers as the
 * live one does (past.c). It is opened by the first who walks to it, and closed when the kernel has
 * forgotten the last of its inodes. A node is one inode of a tree, reached through one `.past`: the
 * kernel wants one dentry for a directory, and ROOT/.past/TAG/a and ROOT/a/.past/TAG are two.
 *
 * The mutex is held for moments, and while a tag is opened, deleted or renamed; never over a read.
 */
#ifndef SSTFS_FS_CORE_PAST_NODE_H
#define SSTFS_FS_CORE_PAST_NODE_H

#include "core/core.h"

struct snapshot_tag_info;

struct past_tree {
    struct past_tree *next;
    struct past *past;
    char tag[SNAPSHOT_TAG_MAX + 1];
    uint64_t point_us, created_us; /* by which a tag made anew is told from this one */
    struct source *source;
    struct fs *fs;
    uint64_t refs;    /* nodes */
    uint64_t users;   /* operations under way */
    uint64_t handles; /* open files and directories */
    bool closing;     /* its tag is being deleted or renamed: who wants to use it waits */
    bool gone;        /* it was: nodes answer -ESTALE */
};

struct past_node {
    struct past_node *next_by_number, *next_by_inode; /* in their chains */
    struct past_tree *tree;                           /* NULL: `.past` itself */
    uint64_t number;                                  /* nodeid */
    uint64_t base;                                    /* the directory whose .past leads here */
    uint64_t ino;                                     /* in the tree; of `.past`: `base` */
    uint64_t lookups;
};

#define PAST_CHAINS 4096u

struct past {
    struct fs *fs; /* the live one */
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* users left, or a tree is no longer closing */
    struct past_node *by_number[PAST_CHAINS];
    struct past_node *by_inode[PAST_CHAINS];
    struct past_tree *trees;
    uint64_t next_number;
};

/** An operation on a node: neither it nor its tree goes before past_leave(). */
struct past_use {
    struct past_node *node;
    struct past_tree *tree; /* NULL: the node is a `.past` */
    uint64_t ino, base;
};
/** -ESTALE: the kernel does not know it, or its tag has gone. */
MUST_USE int past_enter(struct past *past, uint64_t nodeid, struct past_use *ret_use);
void past_leave(struct past *past, struct past_use *use);

/** Opens the tag, if it is not open, and uses its tree: `ret_use->node` is NULL. -ENOENT. */
MUST_USE int past_enter_tag(
    struct past *past, const struct snapshot_tag_info *info, struct past_use *ret_use);

/** The nodeid of an inode of a tree (NULL: of the `.past` of `base`), with one lookup counted. */
MUST_USE int past_node_look_up(
    struct past *past, struct past_tree *tree, uint64_t base, uint64_t ino, uint64_t *ret_nodeid);
/** The kernel forgets: here and in the tree. */
void past_node_forget(struct past *past, uint64_t nodeid, uint64_t count);
/** One lookup was not given to the kernel: here alone. */
void past_node_take_back(struct past *past, uint64_t nodeid);

/** st_ino: the same for ever, and no other file's. */
uint64_t past_number(uint64_t point_us, uint64_t created_us, uint64_t ino);

#endif
