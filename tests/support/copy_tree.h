/*
 * Files from one world to another.
 */
#ifndef SSTFS_TESTS_COPY_TREE_H
#define SSTFS_TESTS_COPY_TREE_H

#include "engine/io.h"

/** The folder `from_path` with all below it, into `to_path` of `to`, which must exist. */
int copy_tree(struct env *from, const char *from_path, struct env *to, const char *to_path);

#endif
