/*
 * Versions of rows: each change of a row publishes another one, whole, and the one it replaces is
 * used again when no reader can have it any more.
 *
 *   published --replaced--> retired --a batch of them, an epoch ends--> waiting --left--> free list
 *
 *   | row_version | cells | complex deletions | records | small values |      one piece of memory
 *
 * Small values are copied into the version; large ones stay in the memory of their record, of which
 * it holds a use (record_set.h). Memory comes from the shard's arena and never goes back there: it
 * is the free list of its size that it goes to. Without that, a file rewritten in place, or the
 * directory that files are created in, would fill a memtable with what nobody can read.
 *
 * One writer at a time: the shard's mutex.
 */
#ifndef SSTFS_MEMTABLE_VERSION_H
#define SSTFS_MEMTABLE_VERSION_H

#include "base/arena.h"
#include "base/epochs.h"
#include "engine/unfiltered.h"
#include "memtable/record_set.h"

/** Values up to this are copied; larger ones stay in the record's memory. */
#define VERSION_COPIED_BYTES_MAX 1023u

/** A row as of some batch. Readers see it immutable. */
struct row_version {
    struct row row;
    int64_t min_timestamp_us; /* of all in it: an older deletion has nothing to hide, */
    int64_t max_timestamp_us; /* a newer one hides it all */
    /* The writer's: */
    uint32_t bytes; /* of the piece of memory */
    uint32_t record_count;
    struct record_memory **records; /* that its large values are in */
    struct row_version *next;       /* of the list that it is on, once replaced */
};

/** Who may read versions: those inside the epochs, and scans, which last longer. */
struct version_readers {
    struct epochs *epochs;
    _Atomic uint64_t scans;
};

void version_readers_init(struct version_readers *readers, struct epochs *epochs);
/** A scan keeps all that is replaced until it ends. Any thread. */
void version_readers_begin_scan(struct version_readers *readers);
void version_readers_end_scan(struct version_readers *readers);

struct version_list {
    struct row_version *first;
    uint32_t count;
    uint64_t bytes; /* records included */
};

struct versions {
    struct arena *arena;
    struct record_set *records;
    struct version_readers *readers;
    uint64_t record_bytes;     /* of records first used here, less those last used here */
    struct row_version **free; /* by class of size; NULL: nothing was ever replaced */
    struct version_list retired;
    struct version_list waiting;
    uint64_t waiting_epoch; /* what waits was replaced in this one or before */
};

void versions_init(struct versions *versions, struct arena *arena, struct record_set *records,
    struct version_readers *readers);

/**
 * A version of `row`, not yet published. Its large values may stay in `memory` (NULL: none may) and
 * in the records of `old` (or NULL); all else is copied, but for the clustering. `scratch` is for
 * the call. NULL: no memory.
 */
struct row_version *version_new(struct versions *versions, const struct row *row,
    struct record_memory *memory, const struct row_version *old, struct arena *scratch);
/** Replaced (or never published): nobody gets it who comes from now on. NULL does nothing. */
void version_retire(struct versions *versions, const struct row_version *version);
/** After each write: what was retired goes on, if it is worth to ask whether readers have left. */
void versions_reclaim(struct versions *versions);

#endif
