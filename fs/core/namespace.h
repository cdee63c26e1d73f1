/*
 * What make.c, namespace.c and rename.c share: rows of names, and the end of what a name stood for.
 */
#ifndef SSTFS_FS_CORE_NAMESPACE_H
#define SSTFS_FS_CORE_NAMESPACE_H

#include "core/changes.h"
#include "core/entry.h"

/**
 * Begins the row (dir, name), inserted, of an inode whose home is of `kind`: with all its
 * attributes (HOME_DIRENT), else with number and type only. Further cells may follow.
 */
void dirent_put(struct batch *batch, uint64_t dir, struct bytes name, const struct node *child,
    const struct inode *inode, enum home_kind kind);

/** -EEXIST: the directory, whose lock is held, has an entry of that name. */
MUST_USE int name_check_free(struct fs *fs, const struct node *directory, struct bytes name);

/** 1, 0, or an error. Ghosts do not count. Its exclusive lock is held. */
MUST_USE int directory_is_empty(struct fs *fs, uint64_t ino);

/** An inode that loses a name: what becomes of it. */
struct removal {
    struct node *child;
    struct inode to;
    enum home_kind home;  /* afterwards: HOME_INODE, HOME_ORPHAN, HOME_NONE */
    struct orphan orphan; /* kind 0: none */
    bool awaited;         /* it stays until it is forgotten */
};

/** A name of `child` in `parent` is in the log, at that position. */
void name_added(struct node *parent, struct node *child, uint64_t position);

/**
 * Adds to the batch what the loss of one name does to `child` (a directory: empty): fewer links,
 * or its content deleted, or an orphan. Not the row of the name itself. Exclusive lock held.
 *
 * `is_replaced`: the name is another file's now, so whoever opens it has to find one of the two.
 * open(2) looks the name up and opens what it has found, in two requests: a file that is looked up
 * stays until it is forgotten. After an unlink it may as well be told that there is none.
 */
MUST_USE int removal_prepare(struct removal *removal, struct batch *batch, struct node *child,
    bool is_replaced, int64_t now);
/** The batch is applied. */
void removal_done(struct fs *fs, struct removal *removal, uint64_t position);
/** It is not. */
void removal_undo(struct removal *removal);

#endif
