/*
 * An SSTable that the engine counts as its own: what the manifest says of it, opened on first use.
 *
 *   LIVE --replaced by a compaction--> OBSOLETE --named in trash/released, last reference gone-->
 *                                                                                         deleted
 *
 * Views, running jobs and snapshots that are not yet complete hold references. A manifest rebuilt
 * from the directories takes none that is named in trash/released (released.h). Thread-safe.
 */
#ifndef SSTFS_ENGINE_SSTABLE_HANDLE_H
#define SSTFS_ENGINE_SSTABLE_HANDLE_H

#include <stdatomic.h>

#include "engine/mutex.h"
#include "manifest.h"
#include "open_sstables.h"
#include "sums.h"

struct sweeper;

struct sstable_handle {
    _Atomic uint32_t references;
    _Atomic bool obsolete;
    _Atomic bool suspect; /* damage was met in it: not compacted, and it blocks purging */
    struct env *env;
    struct sweeper *sweeper;
    const struct table_schema *schema;
    struct chunk_cache *cache;
    const char *folder; /* of its table in data/ */
    struct manifest_sstable entry;
    struct sstable_handle *next_obsolete; /* the sweeper's list */
    bool listed, released; /* the sweeper's own: in the list being written; in the one that is */
    struct open_sstables *open_sstables;
    struct sstable_handle *open_next, *open_previous; /* its ring; NULL: not in it */
    _Atomic bool used;                                /* since the hand of the ring came by */
    _Atomic uint64_t garbage_bytes; /* as the manifest says (compaction/garbage.h); and less, where
                                       less of it than believed could be had */
    uint64_t successor_run; /* what it was compacted into, 0; with the engine's `change` held */

    /* NULL: not open. Written with both this mutex and that of open_sstables held, but for the
     * first time. */
    _Atomic(struct sstable *) sstable;

    struct mutex mutex;                   /* guards what follows */
    struct sstable_read_stats read_stats; /* of when it was open before */
    bool summed[COMPONENT_COUNT];
    uint8_t sha256[COMPONENT_COUNT][SHA256_BYTES]; /* computed for one snapshot, used by all */
};

struct sstable_handle_options {
    struct env *env;
    struct sweeper *sweeper; /* NULL: nothing is ever deleted (read-only) */
    const struct table_schema *schema;
    struct chunk_cache *cache;
    struct open_sstables *open_sstables;
    const char *folder;
};

/** One reference; NULL: no memory. What `options` point to must outlive it. */
struct sstable_handle *sstable_handle_new(
    const struct sstable_handle_options *options, const struct manifest_sstable *entry);
struct sstable_handle *sstable_handle_ref(struct sstable_handle *handle);
/** NULL does nothing. */
void sstable_handle_unref(struct sstable_handle *handle);

/** The table itself, with a reference: to be given to sstable_unref(). */
MUST_USE int sstable_handle_open(struct sstable_handle *handle, struct sstable **ret_sstable);
/** The same without a reference, for as long as the caller is inside of the readers' epochs. */
MUST_USE int sstable_handle_borrow(struct sstable_handle *handle, struct sstable **ret_sstable);
/** For open_sstables.c, of one that is open: the next who asks opens it again, also when it is
 * obsolete: its files stay as long as somebody has a reference. What is returned is to be given up
 * when those who may have borrowed it have left. */
struct sstable *sstable_handle_close(struct sstable_handle *handle);
void sstable_handle_get_read_stats(
    struct sstable_handle *handle, struct sstable_read_stats *ret_stats);
/** Judged by the token range first, for which nothing is opened. Negative: it cannot be opened. */
MUST_USE int sstable_handle_may_contain(
    struct sstable_handle *handle, const struct decorated_key *key);

/** The components an SSTable of `schema` consists of, a bit each. */
unsigned sstable_components(const struct table_schema *schema);

#endif
