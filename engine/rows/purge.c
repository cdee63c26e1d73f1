/*
 * What is dead: which of it compaction may forget, and what a SELECT sees of the rest (Cassandra:
 * db/partitions/PurgeFunction.java, db/rows/BTreeRow.java, db/rows/AbstractCell.java).
 *
 * A deletion is applied to the rows of its own source before it may be forgotten: a row it covers
 * should not lie beside it (the format allows it), and would rise again without it.
 */
#include <errno.h>

#include "rows/compare.h"
#include "rows/merge.h"
#include "rows/reconcile.h"

#define ROW_ARENA_BYTES 8192

/* What both iterators keep of a partition that they read. */
struct reading {
    struct partition_iterator *source;
    struct deletion open; /* of the source's range tombstones, after its last marker */
    struct arena arena;   /* of the row handed out */
    struct arena static_arena;
    struct row static_row;
    struct unfiltered out;
};

static void reading_init(struct reading *reading)
{
    *reading = (struct reading){.open = DELETION_LIVE};
    arena_init(&reading->arena, ROW_ARENA_BYTES);
    arena_init(&reading->static_arena, ROW_ARENA_BYTES);
}

static void reading_release(struct reading *reading)
{
    arena_release(&reading->arena);
    arena_release(&reading->static_arena);
}

static struct deletion active_deletion(const struct reading *reading)
{
    return deletion_newest(reading->source->deletion, reading->open);
}

/* ---- purging ---- */

struct purged_partition {
    struct partition_iterator base;
    struct purge purge;
    struct reading reading;
    bool asked; /* max_purgeable has answered */
    int64_t max_purgeable_us;
    const struct unfiltered *pending; /* read already, to see that the partition is not empty */
};

static bool may_go(struct purged_partition *partition, int64_t timestamp_us, int64_t local_time_s)
{
    /* The time first: mostly it answers, and then nobody need be asked. */
    if (local_time_s >= partition->purge.gc_before_s)
        return false;
    if (!partition->asked) {
        partition->max_purgeable_us =
            partition->purge.max_purgeable(partition->purge.arg, &partition->base.key);
        partition->asked = true;
    }
    return timestamp_us < partition->max_purgeable_us;
}

static bool deletion_may_go(struct purged_partition *partition, struct deletion deletion)
{
    return !deletion_is_live(deletion) &&
           may_go(partition, deletion.marked_for_delete_at_us, deletion.local_deletion_time_s);
}

/* False: it is gone. */
static bool purge_cell(struct purged_partition *partition, const struct cell *cell, struct cell *to)
{
    *to = *cell;
    if (cell_is_live(cell, partition->purge.now_s))
        return true;
    if (may_go(partition, cell->timestamp_us, cell->local_deletion_time_s))
        return false;
    if (!cell_is_expiring(cell))
        return true;
    /* Without its value, and as old as the write: so gc_grace counts from there. */
    to->local_deletion_time_s = cell->local_deletion_time_s - cell->ttl_s;
    to->ttl_s = 0;
    to->value = bytes_of("", 0);
    return !may_go(partition, to->timestamp_us, to->local_deletion_time_s);
}

/* 1: `to` is what is left of the row; 0: nothing is. */
static int purge_row(struct purged_partition *partition, const struct column *columns,
    const struct row *row, struct deletion active, struct arena *arena, struct row *to)
{
    struct complex_deletion *complex_deletions;
    struct cell *cells;
    uint32_t complex_count = 0, cell_count = 0;
    int r = row_merge(columns, &row, 1, active, arena, to);

    if (r <= 0)
        return r;
    cells = arena_alloc(arena, to->cell_count * sizeof(*cells));
    complex_deletions = arena_alloc(arena, to->complex_deletion_count * sizeof(*complex_deletions));
    if (!cells || !complex_deletions)
        return -ENOMEM;
    if (deletion_may_go(partition, to->deletion))
        to->deletion = DELETION_LIVE;
    if (!liveness_is_live(to->liveness, partition->purge.now_s) &&
        may_go(partition, to->liveness.timestamp_us, to->liveness.local_deletion_time_s))
        to->liveness = LIVENESS_NONE;
    for (uint32_t i = 0; i < to->complex_deletion_count; i++) {
        if (!deletion_may_go(partition, to->complex_deletions[i].deletion))
            complex_deletions[complex_count++] = to->complex_deletions[i];
    }
    for (uint32_t i = 0; i < to->cell_count; i++)
        cell_count += purge_cell(partition, &to->cells[i], &cells[cell_count]);
    to->complex_deletions = complex_deletions;
    to->complex_deletion_count = complex_count;
    to->cells = cells;
    to->cell_count = cell_count;
    return !row_is_empty(to);
}

/* 1: `ret` is what is left of the marker; 0: nothing is. */
static int purge_marker(struct purged_partition *partition, const struct unfiltered *unfiltered,
    const struct unfiltered **ret)
{
    const struct marker *marker = &unfiltered->marker;

    return marker_without(unfiltered, deletion_may_go(partition, marker->closes),
        deletion_may_go(partition, marker->opens), &partition->reading.out, ret);
}

static int purged_read(struct purged_partition *partition, const struct unfiltered **ret)
{
    struct reading *reading = &partition->reading;
    const struct unfiltered *next;
    int r;

    while ((r = partition_next(reading->source, &next)) > 0) {
        if (next->is_marker) {
            reading->open = next->marker.opens;
            if (purge_marker(partition, next, ret) > 0)
                return 1;
            continue;
        }
        if (row_lives(&next->row, active_deletion(reading))) {
            *ret = next;
            return 1;
        }
        arena_reset(&reading->arena);
        reading->out = (struct unfiltered){.position = next->position};
        r = purge_row(partition, partition->base.schema->regulars, &next->row,
            active_deletion(reading), &reading->arena, &reading->out.row);
        *ret = &reading->out;
        if (r != 0)
            return r;
    }
    return r;
}

static int purged_next(struct partition_iterator *iterator, const struct unfiltered **ret)
{
    struct purged_partition *partition = CONTAINER_OF(iterator, struct purged_partition, base);

    if (partition->pending) {
        *ret = partition->pending;
        partition->pending = NULL;
        return 1;
    }
    return purged_read(partition, ret);
}

/* It is the scanner's. */
static void purged_close(struct partition_iterator *iterator)
{
    (void)iterator;
}

static const struct partition_iterator_ops purged_ops = {purged_next, purged_close, NULL};

/* 1: something is left of `source`, which `partition` now reads; 0: nothing is. */
static int purged_begin(struct purged_partition *partition, struct partition_iterator *source)
{
    struct reading *reading = &partition->reading;
    int r = 0;

    partition->base = *source;
    partition->base.ops = &purged_ops;
    partition->base.static_row = NULL;
    partition->asked = false;
    partition->pending = NULL;
    reading->source = source;
    reading->open = DELETION_LIVE;
    if (deletion_may_go(partition, source->deletion))
        partition->base.deletion = DELETION_LIVE;
    if (source->static_row) {
        arena_reset(&reading->static_arena);
        r = purge_row(partition, source->schema->statics, source->static_row, source->deletion,
            &reading->static_arena, &reading->static_row);
        if (r < 0)
            return r;
        if (r > 0)
            partition->base.static_row = &reading->static_row;
    }
    if (r > 0 || !deletion_is_live(partition->base.deletion))
        return 1;
    return purged_read(partition, &partition->pending);
}

struct purging_scanner {
    struct partition_scanner base;
    struct partition_scanner *source;
    struct purged_partition partition;
};

static int purging_next(struct partition_scanner *base, struct partition_iterator **ret_partition)
{
    struct purging_scanner *scanner = CONTAINER_OF(base, struct purging_scanner, base);
    struct partition_iterator *source;
    int r;

    while ((r = scanner_next(scanner->source, &source)) > 0) {
        r = purged_begin(&scanner->partition, source);
        if (r < 0)
            return r;
        if (r > 0) {
            *ret_partition = &scanner->partition.base;
            return 1;
        }
    }
    return r;
}

static void purging_close(struct partition_scanner *base)
{
    struct purging_scanner *scanner = CONTAINER_OF(base, struct purging_scanner, base);

    scanner_close(scanner->source);
    reading_release(&scanner->partition.reading);
    free(scanner);
}

static const struct partition_scanner_ops purging_ops = {purging_next, purging_close};

int purge_scanner(struct partition_scanner *source, const struct purge *purge,
    struct partition_scanner **ret_scanner)
{
    struct purging_scanner *scanner = calloc(1, sizeof(*scanner));

    if (!scanner) {
        scanner_close(source);
        return -ENOMEM;
    }
    scanner->base = (struct partition_scanner){&purging_ops, source->schema};
    scanner->source = source;
    scanner->partition.purge = *purge;
    reading_init(&scanner->partition.reading);
    *ret_scanner = &scanner->base;
    return 0;
}

/* ---- only what lives ---- */

bool row_lives(const struct row *row, struct deletion active)
{
    if (!deletion_is_live(row->deletion) || row->complex_deletion_count > 0 ||
        row->liveness.ttl_s != 0)
        return false;
    if (row->liveness.timestamp_us != TIMESTAMP_NONE &&
        deletion_deletes(active, row->liveness.timestamp_us))
        return false;
    for (uint32_t i = 0; i < row->cell_count; i++) {
        const struct cell *cell = &row->cells[i];

        if (cell->local_deletion_time_s != LOCAL_DELETION_TIME_NONE ||
            deletion_deletes(active, cell->timestamp_us))
            return false;
    }
    return true;
}

struct live_iterator {
    struct partition_iterator base;
    uint64_t dead_rows;
    int64_t now_s;
    struct reading reading;
};

int live_row(const struct column *columns, const struct row *const *rows, unsigned count,
    struct deletion active, int64_t now_s, struct arena *arena, struct row *to)
{
    struct cell *cells;
    uint32_t kept = 0;
    int r = row_merge(columns, rows, count, active, arena, to);

    if (r <= 0)
        return r;
    cells = arena_alloc(arena, to->cell_count * sizeof(*cells));
    if (!cells)
        return -ENOMEM;
    for (uint32_t i = 0; i < to->cell_count; i++) {
        if (cell_is_live(&to->cells[i], now_s))
            cells[kept++] = to->cells[i];
    }
    to->cells = cells;
    to->cell_count = kept;
    to->complex_deletion_count = 0;
    to->deletion = DELETION_LIVE;
    if (!liveness_is_live(to->liveness, now_s))
        to->liveness = LIVENESS_NONE;
    return !row_is_empty(to);
}

static int live_next(struct partition_iterator *base, const struct unfiltered **ret)
{
    struct live_iterator *iterator = CONTAINER_OF(base, struct live_iterator, base);
    struct reading *reading = &iterator->reading;
    const struct unfiltered *next;
    const struct row *row;
    int r;

    while ((r = partition_next(reading->source, &next)) > 0) {
        if (next->is_marker) {
            reading->open = next->marker.opens;
            continue;
        }
        if (row_lives(&next->row, active_deletion(reading))) {
            *ret = next;
            return 1;
        }
        arena_reset(&reading->arena);
        reading->out = (struct unfiltered){.position = next->position};
        row = &next->row;
        r = live_row(base->schema->regulars, &row, 1, active_deletion(reading), iterator->now_s,
            &reading->arena, &reading->out.row);
        *ret = &reading->out;
        if (r != 0)
            return r;
        iterator->dead_rows++;
    }
    return r;
}

uint64_t live_partition_dead_rows(const struct partition_iterator *iterator)
{
    return CONTAINER_OF(iterator, struct live_iterator, base)->dead_rows;
}

static void live_close(struct partition_iterator *base)
{
    struct live_iterator *iterator = CONTAINER_OF(base, struct live_iterator, base);

    partition_close(iterator->reading.source);
    reading_release(&iterator->reading);
    free(iterator);
}

static const struct partition_iterator_ops live_ops = {live_next, live_close, NULL};

int live_partition(
    struct partition_iterator *source, int64_t now_s, struct partition_iterator **ret_iterator)
{
    struct live_iterator *iterator = calloc(1, sizeof(*iterator));
    struct reading *reading;
    int r = 0;

    if (!iterator) {
        partition_close(source);
        return -ENOMEM;
    }
    reading = &iterator->reading;
    reading_init(reading);
    reading->source = source;
    iterator->now_s = now_s;
    iterator->base = *source;
    iterator->base.ops = &live_ops;
    iterator->base.deletion = DELETION_LIVE;
    iterator->base.static_row = NULL;
    if (source->static_row) {
        r = live_row(source->schema->statics, &source->static_row, 1, source->deletion, now_s,
            &reading->static_arena, &reading->static_row);
        if (r > 0)
            iterator->base.static_row = &reading->static_row;
    }
    if (r < 0) {
        live_close(&iterator->base);
        return r;
    }
    *ret_iterator = &iterator->base;
    return 0;
}
