/*
 * What lies outside of a flush or compaction and may hold what its tombstones delete: the other
 * SSTables and memtables of the table. A tombstone may go only if all of them have nothing older in
 * its partition.
 *
 * What is written after the scope was made does not matter: its timestamps are newer.
 */
#ifndef SSTFS_ENGINE_PURGE_SCOPE_H
#define SSTFS_ENGINE_PURGE_SCOPE_H

#include "view.h"

struct purge_scope {
    struct sstable_handle **handles; /* borrowed from the view, as all */
    size_t handle_count;
    struct memtable *memtables[SEALED_MAX + 1];
    int64_t memtable_min_us[SEALED_MAX + 1];
    unsigned memtable_count;
};
#define PURGE_SCOPE_INIT ((struct purge_scope){0})

/** All of the table in `view` but the memtable and the SSTables of the job itself. */
MUST_USE int purge_scope_init(struct purge_scope *scope, const struct view *view, unsigned table,
    const struct memtable *job_memtable, struct sstable_handle *const *job_handles,
    size_t job_handle_count);
void purge_scope_release(struct purge_scope *scope);
/** For struct purge: the smallest timestamp that may belong to the partition; `arg`: the scope. */
int64_t purge_scope_max_purgeable(void *arg, const struct decorated_key *key);

#endif
