/*
 * Deletes what no longer counts, in the background and a little at a time: replaced SSTables once
 * nobody reads them, folders of deleted snapshots, and what an earlier life of the store left in
 * tmp/, trash/, snapshots/ and, unnamed by the manifest, in data/. What goes from data/ is named in
 * trash/released first (released.h).
 */
#ifndef SSTFS_ENGINE_SWEEPER_H
#define SSTFS_ENGINE_SWEEPER_H

#include "engine/buf.h"
#include "engine/mutex.h"
#include "sstable_handle.h"

struct engine;

/* One name that is to go, with all below it. */
struct leftover {
    struct leftover *next;
    bool is_directory; /* known to be one: it has been emptied of files */
    char path[];
};

struct sweeper {
    struct engine *engine;
    struct env *env;
    struct task *task; /* NULL until sweeper_start() */
    struct mutex mutex;
    struct sstable_handle *obsolete; /* a reference each */
    struct leftover *leftovers;
    char own_id_tail[SSTABLE_ID_TEXT_MAX + 1]; /* with which all ids given by this process end */
    struct sstable_id *known; /* at open, sorted: they are deleted as obsolete or not at all */
    size_t known_count;

    /* The task's own. */
    bool tables_scanned;
    unsigned scan_next; /* next place to look for leftovers of an earlier life */
    struct buf unnamed; /* lines of the list: of SSTables that are among the leftovers */
    bool list_is_due;   /* it has not all of these yet */
    bool has_list;      /* trash/released may be there */
};

void sweeper_init(struct sweeper *sweeper, struct engine *engine);
/** Begins with the leftovers. The manifest must be open. */
MUST_USE int sweeper_start(struct sweeper *sweeper);
void sweeper_stop(struct sweeper *sweeper);
void sweeper_release(struct sweeper *sweeper);
/** NULL and one not started do nothing. */
void sweeper_kick(struct sweeper *sweeper);
/** The manifest names them no more, and no view of now has them: all that one edit replaced. */
void sweeper_retire(struct sweeper *sweeper, struct sstable_handle *const *handles, size_t count);
/** A file or folder to be deleted with all in it; without memory it stays until the next open. */
void sweeper_remove(struct sweeper *sweeper, const char *path);

#endif
