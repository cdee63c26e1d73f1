/*
 * The memtables and SSTables that are "now". A view never changes; a change publishes a new one,
 * and whoever reads pins the one it began with.
 *
 *   view --> per table: active memtable | sealed memtables | set of SSTables
 *
 * Changes are made with the engine's `change` mutex held, so there is one at a time. Nobody who
 * reads takes a lock: the view that another one replaces is retired, and goes when all who may have
 * loaded it have left.
 */
#ifndef SSTFS_ENGINE_VIEW_H
#define SSTFS_ENGINE_VIEW_H

#include <stdatomic.h>

#include "engine/mutex.h"
#include "base/epochs.h"
#include "memtable/memtable.h"
#include "sstable_handle.h"

/** More than can wait for a flush: the memory budget seals none at this depth. */
#define SEALED_MAX 16

struct token_range {
    int64_t first, last;
};

/** Immutable, shared by the views in which the table has the same SSTables. Newest first. */
struct sstable_set {
    _Atomic uint32_t references;
    size_t count;
    struct token_range *ranges; /* of the handles: looked through by each read, so side by side */
    struct sstable_handle *handles[];
};

/** The first SSTable from place `from` on that may have the token; `count`: there is none. */
static inline size_t sstable_set_find(const struct sstable_set *set, int64_t token, size_t from)
{
    while (from < set->count && (token < set->ranges[from].first || token > set->ranges[from].last))
        from++;
    return from;
}

struct sstable_set *sstable_set_ref(struct sstable_set *set);
/** NULL does nothing. */
void sstable_set_unref(struct sstable_set *set);

/** A memtable that takes no more writes but those below its end that are under way. */
struct sealed_memtable {
    struct memtable *memtable;
    uint64_t end_position; /* first position that is not in it */
    uint64_t epoch;        /* its last writers entered in this one */
    bool pins_log;         /* sealed for that alone: it may be carried forward (carry.h) */
};

struct table_view {
    struct memtable *active;
    uint64_t active_since_us; /* monotonic clock */
    unsigned sealed_count;
    struct sealed_memtable sealed[SEALED_MAX]; /* newest first */
    struct sstable_set *sstables;
};

struct view {
    _Atomic uint32_t references;
    struct view *next_retired;
    uint64_t retired_in; /* the epoch: who entered later has not seen it */
    unsigned table_count;
    struct table_view tables[];
};

/** The pointer that everybody starts from. */
struct views {
    _Atomic(struct view *) current;
    struct epochs readers;
    struct mutex mutex;
    struct view *retired; /* newest first */
};

void views_init(struct views *views);
/** Drops the current view. */
void views_release(struct views *views);
/**
 * The current view, and all that is in it, until views_leave(): for what ends soon, as whatever is
 * replaced meanwhile is kept. On the way out the caller may free what it was the last to see.
 */
const struct view *views_enter(struct views *views, struct epoch_slot **ret_slot);
void views_leave(struct views *views, struct epoch_slot *slot);
/** The current view with a reference, for who keeps it long. */
struct view *views_acquire(struct views *views);
/** Takes `view` over. */
void views_publish(struct views *views, struct view *view);

/** A view of empty memtables, read inside of `readers`, and no SSTables. NULL: no memory. */
struct view *view_new(const struct table_schema *tables, unsigned table_count,
    const uint64_t *first_positions, uint64_t now_us, struct epochs *readers);
/** The same again, to be changed before it is published. NULL: no memory. */
struct view *view_copy(const struct view *view);
struct view *view_ref(struct view *view);
/** NULL does nothing. */
void view_unref(struct view *view);
static inline void view_unrefp(struct view **view)
{
    view_unref(*view);
}

/* Changes of a view not yet published. */

/** Seals the active memtable; `fresh` (taken over) is active from `position` on. */
void view_seal(struct view *view, unsigned table, struct memtable *fresh, uint64_t position,
    uint64_t epoch, uint64_t now_us);
/** Drops the oldest sealed memtable. */
void view_drop_sealed(struct view *view, unsigned table);
/** Takes out those of `remove` and puts those of `add` in, newest first. References are added. */
MUST_USE int view_replace_sstables(struct view *view, unsigned table,
    struct sstable_handle *const *remove, size_t remove_count, struct sstable_handle *const *add,
    size_t add_count);

/** The memtable that writes at `position` belong to. */
struct memtable *view_memtable_at(const struct view *view, unsigned table, uint64_t position);
/** Bytes of all memtables of the table. */
uint64_t view_memtable_bytes(const struct view *view, unsigned table);

#endif
