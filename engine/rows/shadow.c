#include "rows/shadow.h"

#include <errno.h>

#include "rows/compare.h"
#include "rows/reconcile.h"

/*
 * Of a partition that has a cover, the cover's unfiltereds are followed up to each row of the
 * source: its markers say which range deletion is open there, its row of the same clustering what
 * it has of the row's own.
 */

#define ROW_ARENA_BYTES 8192

struct shadowed_partition {
    struct partition_iterator base;
    struct partition_iterator *source, *cover;
    const struct unfiltered *covering; /* of the cover, not passed yet; NULL: its end */
    bool begun;                        /* `covering` is set */
    bool is_dead;                      /* nothing is left of it */
    struct deletion open;              /* of the cover, after its last marker passed */
    struct arena arena, static_arena;
    struct row static_row;
    struct unfiltered out;
};

struct shadow_scanner {
    struct partition_scanner base;
    struct partition_scanner *source;
    int64_t newest_us; /* of the source */
    shadow_cover cover;
    void *arg;
    struct shadowed_partition partition;
};

/* ---- rows ---- */

static bool is_superseded(const struct column *columns, const struct cell *cell,
    const struct row *covering, uint32_t *deletion_at, uint32_t *cell_at)
{
    const struct complex_deletion *deletions = covering->complex_deletions;
    const struct cell *cells = covering->cells;

    while (*deletion_at < covering->complex_deletion_count &&
           deletions[*deletion_at].column < cell->column)
        ++*deletion_at;
    if (*deletion_at < covering->complex_deletion_count &&
        deletions[*deletion_at].column == cell->column &&
        deletion_deletes(deletions[*deletion_at].deletion, cell->timestamp_us))
        return true;
    while (*cell_at < covering->cell_count && cell_order(columns, &cells[*cell_at], cell) < 0)
        ++*cell_at;
    return *cell_at < covering->cell_count && cell_order(columns, &cells[*cell_at], cell) == 0 &&
           cell_reconcile(cell, &cells[*cell_at]) != cell;
}

/* What the row of the cover hides of `row`, which is changed in place. */
static int shadow_by_row(
    const struct column *columns, const struct row *covering, struct arena *arena, struct row *row)
{
    struct cell *cells = arena_alloc(arena, row->cell_count * sizeof(*cells));
    uint32_t deletion_at = 0, cell_at = 0, count = 0;

    if (!cells)
        return -ENOMEM;
    /* A newer liveness says all that this one does. */
    if (row->liveness.timestamp_us < covering->liveness.timestamp_us)
        row->liveness = LIVENESS_NONE;
    for (uint32_t i = 0; i < row->cell_count; i++)
        if (!is_superseded(columns, &row->cells[i], covering, &deletion_at, &cell_at))
            cells[count++] = row->cells[i];
    row->cells = cells;
    row->cell_count = count;
    return 0;
}

/* 1: `to` is what is left of the row; 0: nothing is. `covering` NULL: the cover has no such row. */
static int shadow_row(const struct column *columns, const struct row *row, struct deletion active,
    const struct row *covering, struct arena *arena, struct row *to)
{
    int r;

    if (covering)
        active = deletion_newest(active, covering->deletion);
    r = row_merge(columns, &row, 1, active, arena, to);
    if (r > 0 && covering) {
        r = shadow_by_row(columns, covering, arena, to);
        if (r == 0)
            r = !row_is_empty(to);
    }
    return r;
}

/* ---- a partition ---- */

/* 1: `ret` is what the cover's partition deletion leaves of the marker; 0: nothing is. */
static int shadow_marker(struct shadowed_partition *partition, const struct unfiltered *unfiltered,
    const struct unfiltered **ret)
{
    const struct marker *marker = &unfiltered->marker;
    struct deletion deletion = partition->cover->deletion;

    return marker_without(unfiltered, !deletion_supersedes(marker->closes, deletion),
        !deletion_supersedes(marker->opens, deletion), &partition->out, ret);
}

static int advance_cover(struct shadowed_partition *partition)
{
    int r = partition_next(partition->cover, &partition->covering);

    if (r <= 0)
        partition->covering = NULL;
    return r < 0 ? r : 0;
}

/* Follows the cover up to the clustering; `ret_row`: its row there, or NULL. */
static int follow_cover(struct shadowed_partition *partition, const struct clustering *clustering,
    const struct row **ret_row)
{
    int r = partition->begun ? 0 : advance_cover(partition);

    partition->begun = true;
    *ret_row = NULL;
    while (r == 0 && partition->covering) {
        const struct unfiltered *covering = partition->covering;
        int order = clustering_compare(partition->base.schema,
            covering->is_marker ? &covering->marker.bound : &covering->row.clustering, clustering);

        if (order == 0 && !covering->is_marker)
            *ret_row = &covering->row;
        if (order >= 0)
            return 0;
        if (covering->is_marker)
            partition->open = covering->marker.opens;
        r = advance_cover(partition);
    }
    return r;
}

static int shadowed_next(struct partition_iterator *iterator, const struct unfiltered **ret)
{
    struct shadowed_partition *partition = CONTAINER_OF(iterator, struct shadowed_partition, base);
    const struct unfiltered *next;
    int r;

    if (partition->is_dead)
        return 0;
    while ((r = partition_next(partition->source, &next)) > 0) {
        const struct row *covering;
        struct deletion active;

        if (next->is_marker) {
            if (shadow_marker(partition, next, ret) > 0)
                return 1;
            continue;
        }
        r = follow_cover(partition, &next->row.clustering, &covering);
        if (r < 0)
            return r;
        active = deletion_newest(partition->cover->deletion, partition->open);
        if (deletion_is_live(active) && !covering) {
            *ret = next;
            return 1;
        }
        arena_reset(&partition->arena);
        partition->out = (struct unfiltered){.position = next->position};
        r = shadow_row(partition->base.schema->regulars, &next->row, active, covering,
            &partition->arena, &partition->out.row);
        *ret = &partition->out;
        if (r != 0)
            return r;
    }
    return r;
}

/* It is the scanner's. */
static void shadowed_close(struct partition_iterator *iterator)
{
    (void)iterator;
}

static const struct partition_iterator_ops shadowed_ops = {shadowed_next, shadowed_close, NULL};

static int shadowed_begin(struct shadowed_partition *partition, struct partition_iterator *source,
    struct partition_iterator *cover)
{
    int r;

    partition->base = *source;
    partition->base.ops = &shadowed_ops;
    partition->source = source;
    partition->cover = cover;
    partition->begun = false;
    partition->covering = NULL;
    partition->open = DELETION_LIVE;
    if (!deletion_supersedes(source->deletion, cover->deletion))
        partition->base.deletion = DELETION_LIVE;
    if (!source->static_row)
        return 0;
    arena_reset(&partition->static_arena);
    r = shadow_row(source->schema->statics, source->static_row, cover->deletion, cover->static_row,
        &partition->static_arena, &partition->static_row);
    partition->base.static_row = r > 0 ? &partition->static_row : NULL;
    return r < 0 ? r : 0;
}

/* ---- all partitions ---- */

static void close_cover(struct shadowed_partition *partition)
{
    partition_close(partition->cover);
    partition->cover = NULL;
}

static int shadow_next(struct partition_scanner *base, struct partition_iterator **ret_partition)
{
    struct shadow_scanner *scanner = CONTAINER_OF(base, struct shadow_scanner, base);
    struct partition_iterator *source, *cover;
    int r;

    close_cover(&scanner->partition);
    r = scanner_next(scanner->source, &source);
    if (r <= 0)
        return r;
    r = scanner->cover(scanner->arg, &source->key, &cover);
    *ret_partition = source;
    if (r > 0) {
        r = shadowed_begin(&scanner->partition, source, cover);
        scanner->partition.is_dead = deletion_deletes(cover->deletion, scanner->newest_us);
        *ret_partition = &scanner->partition.base;
    }
    return r < 0 ? r : 1;
}

static void shadow_close(struct partition_scanner *base)
{
    struct shadow_scanner *scanner = CONTAINER_OF(base, struct shadow_scanner, base);

    close_cover(&scanner->partition);
    scanner_close(scanner->source);
    arena_release(&scanner->partition.arena);
    arena_release(&scanner->partition.static_arena);
    free(scanner);
}

static const struct partition_scanner_ops shadow_ops = {shadow_next, shadow_close};

int shadow_scanner(struct partition_scanner *source, int64_t newest_us, shadow_cover cover,
    void *arg, struct partition_scanner **ret_scanner)
{
    struct shadow_scanner *scanner = calloc(1, sizeof(*scanner));

    if (!scanner) {
        scanner_close(source);
        return -ENOMEM;
    }
    scanner->base = (struct partition_scanner){&shadow_ops, source->schema};
    scanner->source = source;
    scanner->newest_us = newest_us;
    scanner->cover = cover;
    scanner->arg = arg;
    arena_init(&scanner->partition.arena, ROW_ARENA_BYTES);
    arena_init(&scanner->partition.static_arena, ROW_ARENA_BYTES);
    *ret_scanner = &scanner->base;
    return 0;
}
