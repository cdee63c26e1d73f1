#include "carry.h"

#include "rows/batch_copy.h"
#include "state.h"

/* Of a segment at most, so that carrying takes little of the log, however often it goes round. */
#define SEGMENT_SHARE 32
#define ROWS_MAX 4096

/* 1: not to be carried. */
static int copy_all(
    struct batch *batch, unsigned table, struct memtable *memtable, size_t bytes_max)
{
    AUTO(scanner_closep) struct partition_scanner *scanner = NULL;
    struct partition_iterator *partition;
    int r = memtable_scan(memtable, INT64_MIN, INT64_MAX, &scanner);

    while (r == 0 && (r = scanner_next(scanner, &partition)) > 0) {
        r = batch_copy_partition(batch, table, partition);
        if (r == 0 && batch_bytes(batch) > bytes_max)
            r = 1;
    }
    if (r != 0)
        return r;
    r = batch_finish(batch);
    return r == -EFBIG ? 1 : r;
}

/* Who sealed one behind it waits for both in SSTables, as a snapshot does that is not complete. */
static bool may_stay_in_memory_locked(
    struct engine *engine, unsigned table, const struct memtable *memtable)
{
    const struct manifest_state *state = manifest_state(engine->manifest);
    const struct table_view *now = &engine->views.current->tables[table];

    for (size_t i = 0; i < state->snapshot_count; i++)
        if (!state->snapshots[i].complete)
            return false;
    return now->sealed_count == 1 && now->sealed[0].memtable == memtable;
}

/* With `change` held no memtable is sealed: the batch comes into the active one, and lies before
 * the point of whatever snapshot or flush comes next. */
static int write_again(struct engine *engine, unsigned table, const struct memtable *memtable,
    struct batch *batch, uint64_t *ret_log_end)
{
    int r = 1;

    mutex_lock(&engine->change);
    if (may_stay_in_memory_locked(engine, table, memtable))
        r = engine_write_batch(engine, batch, ret_log_end);
    mutex_unlock(&engine->change);
    return r == -ENOSPC ? 1 : r;
}

int engine_carry_forward(
    struct engine *engine, unsigned table, struct memtable *memtable, uint64_t *ret_log_end)
{
    struct memtable_stats stats;
    struct batch *batch;
    int r;

    memtable_get_stats(memtable, &stats);
    if (stats.rows > ROWS_MAX)
        return 1;
    batch = batch_new(engine->tables, engine->table_count);
    if (!batch)
        return -ENOMEM;
    r = copy_all(batch, table, memtable, engine->segment_bytes / SEGMENT_SHARE);
    if (r == 0)
        r = write_again(engine, table, memtable, batch, ret_log_end);
    batch_free(batch);
    return r;
}
