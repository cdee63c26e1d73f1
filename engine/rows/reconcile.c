#include "rows/reconcile.h"

#include <errno.h>

#include "rows/compare.h"
#include "rows/type.h"

/* A liveness with this ttl is expired from the start (materialized views). */
#define TTL_EXPIRED INT32_MAX

bool deletion_supersedes(struct deletion a, struct deletion b)
{
    if (a.marked_for_delete_at_us != b.marked_for_delete_at_us)
        return a.marked_for_delete_at_us > b.marked_for_delete_at_us;
    return a.local_deletion_time_s > b.local_deletion_time_s;
}

struct deletion deletion_newest(struct deletion a, struct deletion b)
{
    return deletion_supersedes(b, a) ? b : a;
}

const struct cell *cell_reconcile(const struct cell *a, const struct cell *b)
{
    bool ends_a, ends_b;

    if (a->timestamp_us != b->timestamp_us)
        return a->timestamp_us > b->timestamp_us ? a : b;

    /* Whatever must not last beats what lasts, so that every replica decides alike now and later.
     */
    ends_a = a->local_deletion_time_s != LOCAL_DELETION_TIME_NONE;
    ends_b = b->local_deletion_time_s != LOCAL_DELETION_TIME_NONE;
    if (ends_a != ends_b)
        return ends_a ? a : b;
    if (ends_a) {
        if (cell_is_expiring(a) != cell_is_expiring(b))
            return cell_is_expiring(a) ? b : a;
        if (a->local_deletion_time_s != b->local_deletion_time_s)
            return a->local_deletion_time_s > b->local_deletion_time_s ? a : b;
        if (a->ttl_s != b->ttl_s)
            return a->ttl_s < b->ttl_s ? a : b;
    }
    return bytes_compare(a->value, b->value) >= 0 ? a : b;
}

struct liveness liveness_reconcile(struct liveness a, struct liveness b)
{
    bool b_wins;

    if (a.timestamp_us != b.timestamp_us)
        b_wins = b.timestamp_us > a.timestamp_us;
    else if ((a.ttl_s == TTL_EXPIRED) != (b.ttl_s == TTL_EXPIRED))
        b_wins = b.ttl_s == TTL_EXPIRED;
    else if ((a.ttl_s != 0) != (b.ttl_s != 0))
        b_wins = b.ttl_s != 0;
    else if (a.local_deletion_time_s != b.local_deletion_time_s)
        b_wins = b.local_deletion_time_s > a.local_deletion_time_s;
    else
        b_wins = b.ttl_s < a.ttl_s;
    return b_wins ? b : a;
}

int cell_order(const struct column *columns, const struct cell *a, const struct cell *b)
{
    const struct type *type;

    if (a->column != b->column)
        return a->column < b->column ? -1 : 1;
    type = columns[a->column].type;
    return type_is_complex(type) ? type_compare(type_path(type), a->path, b->path) : 0;
}

/* ---- rows ---- */

struct row_merge {
    const struct column *columns;
    const struct row *const *rows;
    unsigned count;
    uint32_t *at; /* by row: the first complex deletion, then cell, that was not taken yet */
};

/* The newest complex deletion of each column that supersedes `active`; returns how many. */
static uint32_t merge_complex_deletions(
    struct row_merge *merge, struct deletion active, struct complex_deletion *to)
{
    uint32_t kept = 0;

    memset(merge->at, 0, merge->count * sizeof(*merge->at));
    for (;;) {
        struct complex_deletion best = {.column = UINT16_MAX, .deletion = DELETION_LIVE};
        bool any = false;

        for (unsigned i = 0; i < merge->count; i++) {
            const struct row *row = merge->rows[i];
            if (merge->at[i] == row->complex_deletion_count)
                continue;
            if (!any || row->complex_deletions[merge->at[i]].column < best.column)
                best.column = row->complex_deletions[merge->at[i]].column;
            any = true;
        }
        if (!any)
            return kept;
        for (unsigned i = 0; i < merge->count; i++) {
            const struct row *row = merge->rows[i];
            const struct complex_deletion *next = row->complex_deletions + merge->at[i];
            if (merge->at[i] == row->complex_deletion_count || next->column != best.column)
                continue;
            best.deletion = deletion_newest(best.deletion, next->deletion);
            merge->at[i]++;
        }
        if (deletion_supersedes(best.deletion, active))
            to[kept++] = best;
    }
}

/* The least cell not taken yet of all rows; NULL: none is left. */
static const struct cell *least_cell(const struct row_merge *merge)
{
    const struct cell *least = NULL;

    for (unsigned i = 0; i < merge->count; i++) {
        const struct cell *next = merge->rows[i]->cells + merge->at[i];
        if (merge->at[i] == merge->rows[i]->cell_count)
            continue;
        if (!least || cell_order(merge->columns, next, least) < 0)
            least = next;
    }
    return least;
}

static uint32_t merge_cells(struct row_merge *merge, struct deletion active,
    const struct complex_deletion *complex_deletions, uint32_t complex_deletion_count,
    struct cell *to)
{
    const struct cell *least;
    uint32_t kept = 0, complex = 0;

    memset(merge->at, 0, merge->count * sizeof(*merge->at));
    while ((least = least_cell(merge)) != NULL) {
        struct deletion deletion = active;
        const struct cell *winner = NULL;

        while (
            complex < complex_deletion_count && complex_deletions[complex].column < least->column)
            complex++;
        if (complex < complex_deletion_count && complex_deletions[complex].column == least->column)
            deletion = complex_deletions[complex].deletion;

        for (unsigned i = 0; i < merge->count; i++) {
            const struct cell *next = merge->rows[i]->cells + merge->at[i];
            if (merge->at[i] == merge->rows[i]->cell_count ||
                cell_order(merge->columns, next, least) != 0)
                continue;
            merge->at[i]++;
            if (!deletion_deletes(deletion, next->timestamp_us))
                winner = winner ? cell_reconcile(winner, next) : next;
        }
        if (winner)
            to[kept++] = *winner;
    }
    return kept;
}

/* Whether the deletion leaves no cell of any row, and none has a map's own deletion. */
static bool all_cells_go(const struct row *const *rows, unsigned count, struct deletion deletion)
{
    for (unsigned i = 0; i < count; i++) {
        if (rows[i]->complex_deletion_count > 0)
            return false;
        for (uint32_t j = 0; j < rows[i]->cell_count; j++)
            if (!deletion_deletes(deletion, rows[i]->cells[j].timestamp_us))
                return false;
    }
    return true;
}

int row_merge(const struct column *columns, const struct row *const *rows, unsigned count,
    struct deletion active, struct arena *arena, struct row *ret_row)
{
    struct row_merge merge = {.columns = columns, .rows = rows, .count = count};
    struct row out = *rows[0];
    uint64_t cell_count = 0, complex_deletion_count = 0;
    struct complex_deletion *complex_deletions;
    struct cell *cells;

    if (count == 1 && deletion_is_live(active) && deletion_is_live(out.deletion) &&
        out.complex_deletion_count == 0) {
        *ret_row = out;
        return !row_is_empty(&out);
    }

    for (unsigned i = 0; i < count; i++) {
        if (i > 0) {
            out.liveness = liveness_reconcile(out.liveness, rows[i]->liveness);
            out.deletion = deletion_newest(out.deletion, rows[i]->deletion);
        }
        cell_count += rows[i]->cell_count;
        complex_deletion_count += rows[i]->complex_deletion_count;
    }
    if (deletion_supersedes(out.deletion, active))
        active = out.deletion;
    else
        out.deletion = DELETION_LIVE;
    if (deletion_deletes(active, out.liveness.timestamp_us))
        out.liveness = LIVENESS_NONE;

    /* A row that was deleted: of that, a scan may meet very many. */
    if (all_cells_go(rows, count, active)) {
        out.cell_count = 0;
        out.complex_deletion_count = 0;
        *ret_row = out;
        return !row_is_empty(&out);
    }
    if (cell_count > UINT32_MAX || complex_deletion_count > UINT32_MAX)
        return -ENOMEM;
    merge.at = arena_alloc(arena, count * sizeof(*merge.at));
    complex_deletions = arena_alloc(arena, complex_deletion_count * sizeof(*complex_deletions));
    cells = arena_alloc(arena, cell_count * sizeof(*cells));
    if (!merge.at || !complex_deletions || !cells)
        return -ENOMEM;
    out.complex_deletion_count = merge_complex_deletions(&merge, active, complex_deletions);
    out.complex_deletions = complex_deletions;
    out.cell_count =
        merge_cells(&merge, active, complex_deletions, out.complex_deletion_count, cells);
    out.cells = cells;
    *ret_row = out;
    return !row_is_empty(&out);
}

/* ---- at a time ---- */

bool cell_is_live(const struct cell *cell, int64_t now_s)
{
    if (cell->local_deletion_time_s == LOCAL_DELETION_TIME_NONE)
        return true;
    return cell_is_expiring(cell) && now_s < cell->local_deletion_time_s;
}

bool liveness_is_live(struct liveness liveness, int64_t now_s)
{
    if (liveness.timestamp_us == TIMESTAMP_NONE || liveness.ttl_s == TTL_EXPIRED)
        return false;
    return liveness.ttl_s == 0 || now_s < liveness.local_deletion_time_s;
}

bool row_is_live(const struct row *row, int64_t now_s)
{
    if (liveness_is_live(row->liveness, now_s))
        return true;
    for (uint32_t i = 0; i < row->cell_count; i++) {
        if (cell_is_live(&row->cells[i], now_s))
            return true;
    }
    return false;
}

/* ---- markers ---- */

int marker_without(const struct unfiltered *unfiltered, bool close_goes, bool open_goes,
    struct unfiltered *out, const struct unfiltered **ret_unfiltered)
{
    uint8_t kind = unfiltered->marker.bound.kind;

    *ret_unfiltered = unfiltered;
    if (!close_goes && !open_goes)
        return 1;
    *out = *unfiltered;
    if (close_goes)
        out->marker.closes = DELETION_LIVE;
    if (open_goes)
        out->marker.opens = DELETION_LIVE;
    if (deletion_is_live(out->marker.closes) && deletion_is_live(out->marker.opens))
        return 0;
    out->marker.bound.kind =
        deletion_is_live(out->marker.closes) ? kind_as_start(kind) : kind_as_end(kind);
    *ret_unfiltered = out;
    return 1;
}
