/*
 * The files of a snapshot's folder that are not of SSTables: SHA256SUMS and what it lists beside
 * them, snapshot.json, manifest.json, schema.cql; proved, and healed from another copy.
 */
#ifndef SSTFS_TOOLS_SCRUB_LISTS_H
#define SSTFS_TOOLS_SCRUB_LISTS_H

#include "engine/io.h"

/** Where a snapshot's folder is: in the env, "" for the env's own. */
struct lists_place {
    struct env *env;
    const char *folder;
};

/** One that is damaged, and the words for it; 0, or what healing it has failed with: -ENOENT when
 * there is nothing to heal it from. */
typedef void (*lists_each)(void *arg, const char *path, const char *text, int healed);

/**
 * `from`: another copy of the same snapshot, or of whatever; env NULL: there is none. A file is
 * taken from it only with the sum that it must have. Negative: what could not be looked at.
 */
MUST_USE int scrub_lists(
    const struct lists_place *place, const struct lists_place *from, lists_each each, void *arg);

#endif
