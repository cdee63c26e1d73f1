/*
 * What get, scans and table scans share: one partition out of all memtables and SSTables of a view,
 * and copies of rows that outlive them.
 */
#ifndef SSTFS_ENGINE_READ_H
#define SSTFS_ENGINE_READ_H

#include "state.h"

/**
 * The view to read from, until source_leave(). Who reads a snapshot enters among the readers of the
 * live views too: what they borrow of SSTables that are open is kept for all alike.
 */
const struct view *source_enter(const struct source *source, struct epoch_slot **ret_slot);
void source_leave(const struct source *source, struct epoch_slot *slot);
/** The same with a reference: view_unref(). */
struct view *source_acquire(const struct source *source);

/** 1 and the merged partition within the slice; 0: nowhere. Needs the view no longer. */
MUST_USE int read_partition(const struct view *view, unsigned table,
    const struct decorated_key *key, const struct slice *slice,
    struct partition_iterator **ret_iterator);

/** Bytes that row_flatten() needs for the row with these columns. */
size_t row_flat_bytes(const struct row *row, uint64_t columns);
/** The row with all it points to in `memory`, which is aligned to 8. Live rows only. */
struct row row_flatten(const struct row *row, uint64_t columns, void *memory);

/** Seconds since 1970, for what has expired. */
int64_t read_now_s(struct engine *engine);
/** Counts and logs a read that failed, and returns its code. */
int read_failed(struct engine *engine, unsigned table, const char *what, int r);
/** -EINVAL: no such table. */
MUST_USE int read_check_table(const struct engine *engine, unsigned table);

#endif
