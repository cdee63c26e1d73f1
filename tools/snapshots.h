/*
 * What commands do with the tags of a running mount. `path` is the mountpoint or any path in it.
 */
#ifndef SSTFS_TOOLS_SNAPSHOTS_H
#define SSTFS_TOOLS_SNAPSHOTS_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/auto.h"

/** The folder that shows the tag. -EINVAL: it can be none. malloc. */
MUST_USE int snapshot_path(const char *path, const char *tag, char **ret_path);
/** A tag that tells the time. */
#define SNAPSHOT_NOW_MAX 32
void snapshot_tag_of_now(char to[SNAPSHOT_NOW_MAX]);
/** Has the kernel write back what it holds, then makes the tag. */
MUST_USE int snapshot_make(const char *path, const char *tag);
/** Until all of it is on the disk. */
MUST_USE int snapshot_await(const char *path, const char *tag);
MUST_USE int snapshot_remove(const char *path, const char *tag);
MUST_USE int snapshot_hold(const char *path, const char *tag, const char *name);
MUST_USE int snapshot_release(const char *path, const char *tag, const char *name);
/** What removing all of them gives back. */
MUST_USE int snapshot_freed(const char *path, char *const *tags, size_t count, uint64_t *ret_bytes);
/** The document that says so. */
json_t *snapshots_would_go(const char *const *tags, size_t count, uint64_t bytes);

/* Subcommands, as the commands of tools.h. */
int snapshot_list_command(int argc, char **argv);
int snapshot_holders_command(int argc, char **argv);
int snapshot_prune_command(int argc, char **argv);

#endif
