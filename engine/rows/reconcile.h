/*
 * Which of two facts is true: Cassandra's reconcile rules (sstable/FORMAT.md, "Reconciliation";
 * db/rows/Cells.java, db/rows/Rows.java, db/DeletionTime.java).
 */
#ifndef SSTFS_ROWS_RECONCILE_H
#define SSTFS_ROWS_RECONCILE_H

#include "engine/unfiltered.h"
#include "base/arena.h"

bool deletion_supersedes(struct deletion a, struct deletion b);
static inline bool deletion_deletes(struct deletion d, int64_t timestamp_us)
{
    return timestamp_us <= d.marked_for_delete_at_us;
}
struct deletion deletion_newest(struct deletion a, struct deletion b);

/** The winner of two cells of one row, column and path: `a` or `b`. */
const struct cell *cell_reconcile(const struct cell *a, const struct cell *b);
struct liveness liveness_reconcile(struct liveness a, struct liveness b);

/** Order of cells in a row: column, then path. `columns`: the list of the row's kind. */
int cell_order(const struct column *columns, const struct cell *a, const struct cell *b);

/**
 * Merges versions of one row under the active deletion (of the partition, or of the open range if
 * that supersedes it): result in `ret_row`, whose arrays are in `arena` (values are not copied).
 * Returns 1, or 0 if nothing is left, or -ENOMEM. `columns`: the list of the row's kind.
 */
MUST_USE int row_merge(const struct column *columns, const struct row *const *rows, unsigned count,
    struct deletion active, struct arena *arena, struct row *ret_row);

/** Whether there is nothing in it: no liveness, no deletion, no cell. */
static inline bool row_is_empty(const struct row *row)
{
    return row->liveness.timestamp_us == TIMESTAMP_NONE && deletion_is_live(row->deletion) &&
           row->cell_count == 0 && row->complex_deletion_count == 0;
}
bool liveness_is_live(struct liveness liveness, int64_t now_s);
/** Live at `now_s`: has liveness that is not expired, or a live cell. */
bool row_is_live(const struct row *row, int64_t now_s);
bool cell_is_live(const struct cell *cell, int64_t now_s);

/**
 * A marker without the deletion that it closes, or opens, or both: a boundary becomes the bound of
 * the other side. 1: `*ret_unfiltered` is the marker itself or, changed, `out`; 0: nothing is left.
 */
MUST_USE int marker_without(const struct unfiltered *unfiltered, bool close_goes, bool open_goes,
    struct unfiltered *out, const struct unfiltered **ret_unfiltered);

#endif
