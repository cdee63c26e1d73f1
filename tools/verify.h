/*
 * Proving what a folder holds: SSTables, the tree, sums. Findings are told as they come.
 */
#ifndef SSTFS_TOOLS_VERIFY_H
#define SSTFS_TOOLS_VERIFY_H

#include <jansson.h>

#include "engine/engine.h"

#define VERIFY_MEMORY_BYTES (128ull << 20)

struct known {
    unsigned table;
    struct sstable_id id;
};

/** Zero, but for the first ones. */
struct verify {
    const char *folder;
    const char *tables;        /* the folder of the tables' folders, in the env */
    const char *what;          /* what findings begin with, or NULL */
    const struct verify *seen; /* SSTables that it knows were proved, or NULL */
    uint64_t memory_bytes;     /* 0: VERIFY_MEMORY_BYTES */
    json_t *told;              /* borrowed: findings and strangers go to it; NULL: to stdout */
    bool is_snapshot;          /* its folder, or a copy of it */
    bool all_sstables;         /* it is no snapshot of ours, but of Cassandra's */
    bool is_quick;             /* of SSTables, whether their files are there, in their sizes */

    struct env *env;
    struct engine *engine;
    struct known *known; /* sorted */
    size_t known_count, known_capacity;
    uint64_t findings, strangers, files, directories, sums;
};

/** Read-only, as a mount would: the manifest is read, the log replayed in memory. */
MUST_USE int verify_open(struct verify *verify);
/** All of it, or what is_quick says; negative only for what is no damage. */
MUST_USE int verify_prove(struct verify *verify);
/** Its SSTables alone. */
MUST_USE int verify_sstables(struct verify *verify);
/** What `other` knows was proved. */
MUST_USE int verify_note_seen(struct verify *verify, const struct verify *other);
void verify_finding_of(struct verify *verify, int r, const char *what);
MUST_USE int verify_close(struct verify *verify);
void verify_release(struct verify *verify);

#endif
