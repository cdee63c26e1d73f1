/*
 * The golden SSTables, which Cassandra wrote, copied into a world in memory, where a test may
 * damage them.
 */
#ifndef SSTFS_TESTS_GOLDEN_TABLES_H
#define SSTFS_TESTS_GOLDEN_TABLES_H

#include "engine/buf.h"
#include "engine/io.h"
#include "engine/sstable.h"

#define GOLDEN_COUNT 13
extern const char *const golden_names[GOLDEN_COUNT];

struct golden {
    const char *name;
    struct env *env;  /* in memory, holds the table in `folder` */
    char folder[128]; /* sstfs/NAME-<id> */
    struct sstable_id id;
    bool has[COMPONENT_COUNT];
};

/** Fails the test when anything is amiss. */
void golden_open(struct golden *golden, const char *name);
void golden_close(struct golden *golden);

/** A whole file of the golden folder in the source tree, relative to it. */
struct buf golden_source(const char *path);
/** A whole file of a world; a component of a table in it. */
struct buf file_content(struct env *env, const char *path);
struct buf component_content(struct env *env, const char *folder, const struct sstable_id *id,
    enum sstable_component component);
/** Writes a file anew. */
void file_replace(struct env *env, const char *path, struct bytes content);

#endif
