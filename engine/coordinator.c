/*
 * The seed of the system: how a batch of mutations becomes a fact.
 */
#include "state.h"

#include "engine/error.h"
#include "rows/compare.h"
#include "rows/update.h"

/* ---- updates into memtables ---- */

struct apply {
    const struct view *view;
    uint64_t position;
    struct record_memory *memory;
};

static int apply_partition_deletion(
    void *arg, unsigned table, const struct decorated_key *key, struct deletion deletion)
{
    struct apply *apply = arg;

    return memtable_delete_partition(
        view_memtable_at(apply->view, table, apply->position), key, deletion);
}

static int apply_range_tombstone(void *arg, unsigned table, const struct decorated_key *key,
    const struct slice *slice, struct deletion deletion)
{
    struct apply *apply = arg;

    return memtable_delete_range(
        view_memtable_at(apply->view, table, apply->position), key, slice, deletion);
}

static int apply_row(
    void *arg, unsigned table, const struct decorated_key *key, const struct row *row)
{
    struct apply *apply = arg;

    return memtable_apply_row(
        view_memtable_at(apply->view, table, apply->position), key, row, apply->memory);
}

int engine_apply_updates(struct engine *engine, const struct view *view, uint64_t position,
    int64_t timestamp_us, const struct updates *updates, unsigned update_count, uint64_t wanted,
    struct record_memory *memory)
{
    static const struct update_visitor visitor = {
        apply_partition_deletion, apply_range_tombstone, apply_row};
    struct apply apply = {view, position, memory};

    return batch_visit(engine->tables, engine->table_count, updates, update_count, timestamp_us,
        wanted, &visitor, &apply);
}

/* ---- the write ---- */

/* The log meets a full disk only when it begins a segment; the reserve is there for that. */
static int append(struct engine *engine, const struct batch *batch, uint64_t *ret_position,
    uint64_t *ret_end, int64_t *ret_timestamp_us)
{
    int r = commitlog_append(engine->log, batch, ret_position, ret_end, ret_timestamp_us);

    if (r == -ENOSPC && disk_space_open_reserve(&engine->disk_space))
        r = commitlog_append(engine->log, batch, ret_position, ret_end, ret_timestamp_us);
    if (r < 0 && r != -ENOSPC && r != -ENOMEM)
        engine_fail(engine, r, "append to the commit log");
    return r;
}

/* Step 2 cannot be refused: the log has the batch, so memory must come to have it as well. */
static int apply(
    struct engine *engine, struct batch *batch, uint64_t position, int64_t timestamp_us)
{
    unsigned update_count = batch_update_count(batch);
    struct updates updates = batch_updates(batch);
    struct record_memory *memory = batch_take_memory(batch);
    struct epoch_slot *slot;
    const struct view *view = views_enter(&engine->views, &slot);
    bool flush_wanted = engine_log_is_short(engine);
    int r;

    /* Taking may have moved the bytes: from here on they are the record's. */
    updates.encoded = bytes_of(memory->data, memory->size);
    r = engine_apply_updates(
        engine, view, position, timestamp_us, &updates, update_count, TABLES_ALL, memory);
    flush_wanted |= engine_memtable_is_full(engine, view);
    views_leave(&engine->views, slot);
    record_memory_unref(memory);
    if (r < 0)
        engine_fail(engine, r, "apply a batch that is in the commit log");
    else if (flush_wanted)
        flusher_kick(&engine->flusher);
    return r;
}

/* The memory of the partition that the batch begins with comes while the log is written. */
static void expect_first_partition(struct engine *engine, const struct batch *batch)
{
    unsigned table;
    struct decorated_key key = decorated_key_of(batch_first_key(batch, &table));
    struct epoch_slot *slot;
    const struct view *view = views_enter(&engine->views, &slot);

    memtable_expect(view->tables[table].active, &key);
    views_leave(&engine->views, slot);
}

int engine_write_batch(struct engine *engine, struct batch *batch, uint64_t *ret_end)
{
    struct epoch_slot *writer;
    uint64_t position;
    int64_t timestamp_us;
    int r;

    /* Inside the epoch, no memtable that the batch may belong to is flushed. */
    writer = epochs_enter(&engine->writers);
    expect_first_partition(engine, batch);

    /* (1) The log gives place and timestamp, both at one moment: timestamp order is log order. */
    r = append(engine, batch, &position, ret_end, &timestamp_us);

    /* (2) The memtables are those of the place: of a view loaded after the append, as a switch
     * publishes its own before any place behind it is given. */
    if (r == 0)
        r = apply(engine, batch, position, timestamp_us);

    if (epochs_leave(&engine->writers, writer))
        flusher_kick(&engine->flusher);
    return r;
}

static int write_users_batch(struct engine *engine, struct batch *batch, uint64_t *ret_position)
{
    int r = engine_check_writable(engine);

    if (r == 0)
        r = batch_finish(batch);
    if (r < 0)
        return r;
    if (batch_is_empty(batch)) {
        *ret_position = COMMITLOG_POSITION_NONE;
        return 0;
    }
    atomic_fetch_add_explicit(&engine->counters.batches, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(
        &engine->counters.batch_bytes, batch_bytes(batch), memory_order_relaxed);
    return engine_write_batch(engine, batch, ret_position);
}

int engine_apply(struct engine *engine, struct batch *batch, uint64_t *ret_position)
{
    uint64_t began_us = engine_sample_us(engine);
    int r = write_users_batch(engine, batch, ret_position);

    engine_note_latency(engine, LATENCY_APPLY, began_us);
    engine_discard_batch(engine, batch);
    return r;
}

/* (3) Wait, if the sync mode asks for it; then the caller acknowledges. */
int engine_await(struct engine *engine, uint64_t position, bool force, engine_go go, void *arg)
{
    uint64_t delay_us = 0;

    if (!engine->log || position == COMMITLOG_POSITION_NONE)
        return 0;
    if (!force && engine->options.sync_mode == SYNC_PERIODIC)
        return 0;
    if (commitlog_synced(engine->log) >= position)
        return 0;
    if (!force && engine->options.sync_mode == SYNC_GROUP)
        delay_us = SYNC_GROUP_US;
    return sync_queue_add(&engine->sync_queue, position, delay_us, go, arg);
}

uint64_t engine_position(struct engine *engine)
{
    return engine->log ? commitlog_end(engine->log) : COMMITLOG_POSITION_NONE;
}

int64_t engine_now(struct engine *engine)
{
    return engine->log ? commitlog_last_timestamp_us(engine->log) : engine->recovered_timestamp_us;
}
