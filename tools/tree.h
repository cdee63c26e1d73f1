/*
 * The tree in a folder that nobody has mounted: a store, a snapshot or a copy of one, read without
 * a mount.
 */
#ifndef SSTFS_TOOLS_TREE_H
#define SSTFS_TOOLS_TREE_H

#include "fs/fs.h"

struct tree {
    struct env *env;
    struct engine *engine;
    struct fs *fs;
    struct fs_entry start; /* what PATH names */
    char *path;            /* PATH; "" the root */
};

/** "FOLDER" or "FOLDER:PATH". Says on stderr what is wrong, and returns an exit code. */
int tree_open(const char *argument, struct tree *ret_tree);
/** The same of a command's whole line: "[--all-sstables] [--json] FOLDER[:PATH]", which
 * `ret_argument` gets; `ret_json` NULL: there is no --json. */
int tree_open_command(
    int argc, char **argv, bool *ret_json, const char **ret_argument, struct tree *ret_tree);
void tree_close(struct tree *tree);

/** What lies at the path, from the root on ("": the root), looked up once. -ENOENT, -ENOTDIR. */
MUST_USE int tree_find(const struct tree *tree, const char *path, struct fs_entry *ret_entry);

/** Names of a directory one after the other, a page of them in memory. */
struct tree_cursor;
MUST_USE int tree_cursor_open(
    const struct tree *tree, uint64_t directory, struct tree_cursor **ret_cursor);
/** NULL does nothing. */
void tree_cursor_close(struct tree_cursor *cursor);
/** 1: tree_cursor_name() is the next, valid until the call after tree_cursor_take(); 0: the end. */
MUST_USE int tree_cursor_next(struct tree_cursor *cursor);
/** NUL-terminated. */
struct bytes tree_cursor_name(const struct tree_cursor *cursor);
/** Looks it up, to be given to fs_forget(), and goes on behind it. */
MUST_USE int tree_cursor_take(struct tree_cursor *cursor, struct fs_entry *ret_entry);
/** "directory/name"; malloc; NULL: no memory. */
char *tree_path(const char *directory, struct bytes name);

/** One entry of a directory, looked up for the call. 0: go on. */
typedef int (*tree_each)(void *arg, struct bytes name, const struct fs_entry *entry);
/** In the order of the table, which is that of the names' bytes. */
MUST_USE int tree_list(const struct tree *tree, uint64_t directory, tree_each each, void *arg);
/** The content of a file, a piece at a time. */
MUST_USE int tree_read(const struct tree *tree, const struct fs_entry *entry,
    int (*each)(void *arg, struct bytes piece), void *arg);

#endif
