/*
 * A batch writes with one timestamp at a time, a row has many: it is put once for each of them,
 * with what it got then.
 */
#include "rows/batch_copy.h"

#define US_PER_S 1000000

struct copy {
    struct batch *batch;
    unsigned table;
    struct bytes key;
};

/* ---- times ---- */

/* When what a batch of timestamp T deletes was deleted, and when what it puts with a ttl expires.
 */
static int32_t seconds_after(int64_t timestamp_us, int32_t ttl_s)
{
    int64_t seconds = (timestamp_us > 0 ? timestamp_us / US_PER_S : 0) + ttl_s;

    return seconds < LOCAL_DELETION_TIME_MAX ? (int32_t)seconds : LOCAL_DELETION_TIME_MAX;
}

/* The T of the batch that made it: deletions have T - 1. */
static int64_t written_at(struct deletion deletion)
{
    return deletion.marked_for_delete_at_us + 1;
}

static bool can_delete(struct deletion deletion)
{
    return deletion.local_deletion_time_s == seconds_after(written_at(deletion), 0);
}

static int64_t cell_written_at(const struct cell *cell)
{
    return cell->timestamp_us + cell_is_tombstone(cell);
}

static bool can_put_cell(const struct cell *cell)
{
    if (cell->local_deletion_time_s == LOCAL_DELETION_TIME_NONE)
        return true;
    return cell->local_deletion_time_s == seconds_after(cell_written_at(cell), cell->ttl_s);
}

static bool can_put_liveness(struct liveness liveness)
{
    return liveness.ttl_s == 0 ||
           liveness.local_deletion_time_s == seconds_after(liveness.timestamp_us, liveness.ttl_s);
}

static bool can_put(const struct row *row)
{
    bool can = (deletion_is_live(row->deletion) || can_delete(row->deletion)) &&
               can_put_liveness(row->liveness);

    for (uint32_t i = 0; i < row->complex_deletion_count; i++)
        can &= can_delete(row->complex_deletions[i].deletion);
    for (uint32_t i = 0; i < row->cell_count; i++)
        can &= can_put_cell(&row->cells[i]);
    return can;
}

static void take_if_next(int64_t timestamp_us, int64_t after_us, int64_t *next_us)
{
    if (timestamp_us > after_us && timestamp_us < *next_us)
        *next_us = timestamp_us;
}

/* The lowest T of the row above `after_us`; INT64_MAX: there is none. */
static int64_t next_timestamp(const struct row *row, int64_t after_us)
{
    int64_t next_us = INT64_MAX;

    take_if_next(row->liveness.timestamp_us, after_us, &next_us);
    for (uint32_t i = 0; i < row->complex_deletion_count; i++)
        take_if_next(written_at(row->complex_deletions[i].deletion), after_us, &next_us);
    for (uint32_t i = 0; i < row->cell_count; i++)
        take_if_next(cell_written_at(&row->cells[i]), after_us, &next_us);
    return next_us;
}

/* ---- rows ---- */

static void copy_cell(const struct copy *copy, const struct column *column, const struct cell *cell)
{
    bool complex = type_is_complex(column->type), gone = cell_is_tombstone(cell);

    batch_set_ttl(copy->batch, cell->ttl_s);
    if (complex && gone)
        batch_map_delete(copy->batch, cell->column, cell->path);
    else if (complex)
        batch_map_put(copy->batch, cell->column, cell->path, cell->value);
    else if (gone)
        batch_delete_cell(copy->batch, cell->column);
    else
        batch_cell(copy->batch, cell->column, cell->value);
}

/* What the row got at one moment. */
static void copy_moment(const struct copy *copy, const struct column *columns,
    const struct row *row, int64_t timestamp_us)
{
    batch_set_timestamp(copy->batch, timestamp_us);
    batch_set_ttl(copy->batch, row->liveness.ttl_s);
    if (row->clustering.kind == KIND_STATIC)
        batch_static_row(copy->batch, copy->table, copy->key);
    else
        batch_row(copy->batch, copy->table, copy->key, &row->clustering,
            row->liveness.timestamp_us == timestamp_us);
    for (uint32_t i = 0; i < row->complex_deletion_count; i++)
        if (written_at(row->complex_deletions[i].deletion) == timestamp_us)
            batch_map_clear(copy->batch, row->complex_deletions[i].column);
    for (uint32_t i = 0; i < row->cell_count; i++)
        if (cell_written_at(&row->cells[i]) == timestamp_us)
            copy_cell(copy, &columns[row->cells[i].column], &row->cells[i]);
    batch_set_ttl(copy->batch, 0);
}

static int copy_row(const struct copy *copy, const struct column *columns, const struct row *row)
{
    int64_t timestamp_us = TIMESTAMP_NONE;

    if (!can_put(row))
        return 1;
    if (!deletion_is_live(row->deletion)) {
        batch_set_timestamp(copy->batch, written_at(row->deletion));
        batch_delete_row(copy->batch, copy->table, copy->key, &row->clustering);
    }
    while ((timestamp_us = next_timestamp(row, timestamp_us)) != INT64_MAX)
        copy_moment(copy, columns, row, timestamp_us);
    return 0;
}

int batch_copy_partition(struct batch *batch, unsigned table, struct partition_iterator *partition)
{
    const struct table_schema *schema = partition->schema;
    struct copy copy = {batch, table, partition->key.key};
    const struct unfiltered *unfiltered;
    int r = 0;

    if (!deletion_is_live(partition->deletion)) {
        if (!can_delete(partition->deletion))
            return 1;
        batch_set_timestamp(batch, written_at(partition->deletion));
        batch_delete_partition(batch, table, copy.key);
    }
    if (partition->static_row)
        r = copy_row(&copy, schema->statics, partition->static_row);
    while (r == 0 && (r = partition_next(partition, &unfiltered)) > 0)
        r = unfiltered->is_marker ? 1 : copy_row(&copy, schema->regulars, &unfiltered->row);
    batch_set_timestamp(batch, TIMESTAMP_NONE);
    return r;
}
