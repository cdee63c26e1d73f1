#include "flush.h"

#include "engine/error.h"
#include "engine/log.h"
#include "rows/merge.h"
#include "state.h"

#define LOOK_US 10000000
#define NEAR_FULL_LOOK_US 1000000
#define FULL_DISK_US 1000000

/* ---- one flush ---- */

/* The sealed memtable with the lowest end, if its writers have left. */
static bool pick(struct flusher *flusher, struct view *view, unsigned *ret_table)
{
    struct sealed_memtable *best = NULL;

    for (unsigned i = 0; i < view->table_count; i++) {
        struct table_view *table = &view->tables[i];
        struct sealed_memtable *oldest;

        if (table->sealed_count == 0)
            continue;
        oldest = &table->sealed[table->sealed_count - 1];
        if (!best || oldest->end_position < best->end_position) {
            best = oldest;
            *ret_table = i;
        }
    }
    return best && epochs_await(&flusher->engine->writers, best->epoch);
}

static int begin(struct flusher *flusher)
{
    struct engine *engine = flusher->engine;
    struct run_writer_options options = {.table = flusher->table, .bytes_max = UINT64_MAX};
    struct purge purge = {.max_purgeable = purge_scope_max_purgeable, .arg = &flusher->purge_scope};
    struct partition_scanner *scanner = NULL;
    struct memtable_stats stats;
    int r;

    memtable_get_stats(flusher->memtable, &stats);
    admission_flush_begins(&engine->admission, flusher->table, stats.bytes);
    options.writer = (struct sstable_writer_options){
        .expected_partitions = stats.partitions,
        .min_timestamp_us = stats.min_timestamp_us,
        .min_local_deletion_time_s = stats.min_local_deletion_time_s,
        .min_ttl_s = stats.min_ttl_s,
    };
    /* A tombstone that has nothing below it, in no SSTable and no other memtable, need not go to
     * the disk: what was made and deleted between two flushes costs nothing there. */
    engine_purge_times(engine, &purge);
    r = purge_scope_init(
        &flusher->purge_scope, flusher->view, flusher->table, flusher->memtable, NULL, 0);
    if (r < 0)
        return r;
    r = memtable_scan(flusher->memtable, INT64_MIN, INT64_MAX, &scanner);
    if (r < 0)
        return r;
    r = purge_scanner(scanner, &purge, &scanner);
    if (r < 0)
        return r;
    r = garbage_scanner(scanner, flusher->view, flusher->table, &flusher->garbage_count, &scanner);
    if (r < 0)
        return r;
    return run_writer_new(engine, &options, scanner, &flusher->run);
}

static struct sealed_memtable *oldest_sealed(struct view *view, unsigned table)
{
    unsigned count = view->tables[table].sealed_count;

    return count > 0 ? &view->tables[table].sealed[count - 1] : NULL;
}

/* Says in `edit` and `view` that the oldest sealed memtable of the table is flushed. */
static void retire_sealed(struct manifest_edit *edit, struct view *view, unsigned table)
{
    manifest_edit_flushed(edit, table, oldest_sealed(view, table)->end_position);
    view_drop_sealed(view, table);
}

/* Empty memtables ride along with any flush: only their position advances. Not beyond what is
 * durable of the log, though: that a table has nothing below P is said of a log that has P. Up to
 * `synced` that is so, but for the values of the table that this edit names. */
static void retire_empty(
    struct engine *engine, struct manifest_edit *edit, struct view *view, uint64_t synced)
{
    uint64_t durable = engine->log ? commitlog_synced(engine->log) : UINT64_MAX;

    if (durable < synced)
        durable = synced;
    for (unsigned i = 0; i < engine->table_count; i++) {
        struct sealed_memtable *sealed = oldest_sealed(view, i);
        struct memtable_stats stats;

        if (!sealed || !epochs_await(&engine->writers, sealed->epoch))
            continue;
        if (sealed->end_position > durable)
            continue;
        memtable_get_stats(sealed->memtable, &stats);
        if (stats.partitions == 0)
            retire_sealed(edit, view, i);
    }
}

/* The new SSTable belongs to the snapshots taken after its writes and not complete yet. */
static void add_to_snapshots(struct engine *engine, struct manifest_edit *edit,
    const struct manifest_sstable *entry, uint64_t end_position)
{
    const struct manifest_state *state = manifest_state(engine->manifest);

    for (size_t i = 0; i < state->snapshot_count; i++) {
        const struct manifest_snapshot *snapshot = &state->snapshots[i];

        if (!snapshot->complete && snapshot->position >= end_position)
            manifest_edit_snapshot_append(edit, snapshot->number, entry->number);
    }
}

static int commit_locked(struct flusher *flusher, uint64_t end_position)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    AUTO(view_unrefp) struct view *view = NULL;
    struct engine *engine = flusher->engine;
    struct sstable_handle *handle = NULL;
    struct manifest_sstable *sstables;
    size_t count;
    int r;

    sstables = run_writer_sstables(flusher->run, &count);
    if (engine->views.current)
        view = view_copy(engine->views.current);
    if (!view)
        return -ENOMEM;
    if (count > 0) { /* it is one: a flush is never cut */
        sstables[0].number = sstables[0].run = manifest_next_number(engine->manifest);
        handle = engine_new_handle(engine, &sstables[0]);
        if (!handle)
            return -ENOMEM;
        manifest_edit_add(&edit, &sstables[0]);
        add_to_snapshots(engine, &edit, &sstables[0], end_position);
        r = view_replace_sstables(view, flusher->table, NULL, 0, &handle, 1);
        if (r < 0) {
            sstable_handle_unref(handle);
            return r;
        }
    }
    garbage_record(&flusher->garbage_count, view, &edit);
    retire_sealed(&edit, view, flusher->table);
    retire_empty(engine, &edit, view, end_position);
    engine_edit_clock(engine, &edit);
    r = manifest_commit(engine->manifest, &edit);
    if (r == 0) {
        if (handle)
            snapshots_take_new(&engine->snapshots, handle, end_position);
        views_publish(&engine->views, view);
        view = NULL;
    } else {
        engine_fail(engine, r, "record a flush");
    }
    /* Named or not, that is not known after a failure: the files stay either way. */
    run_writer_keep(flusher->run);
    sstable_handle_unref(handle);
    return r;
}

static int finish(struct flusher *flusher)
{
    struct engine *engine = flusher->engine;
    struct manifest_sstable *sstables;
    uint64_t flushed[ENGINE_TABLES_MAX];
    uint64_t end_position;
    size_t count;
    int r;

    end_position = oldest_sealed(flusher->view, flusher->table)->end_position;
    r = run_writer_link(flusher->run);
    if (r < 0)
        return r;
    /* Log before table. */
    if (engine->log) {
        r = commitlog_sync_before_flushed(engine->log, end_position, 1ull << flusher->table);
        if (r < 0) {
            engine_fail(engine, r, "sync the commit log before a flush");
            return r;
        }
    }
    mutex_lock(&engine->change);
    r = commit_locked(flusher, end_position);
    memcpy(flushed, manifest_state(engine->manifest)->flushed, sizeof(flushed));
    mutex_unlock(&engine->change);
    if (r < 0)
        return r;
    admission_flush_ends(&engine->admission, flusher->table);
    sstables = run_writer_sstables(flusher->run, &count);
    atomic_fetch_add(&engine->counters.flushes, 1);
    if (count > 0)
        atomic_fetch_add(&engine->counters.flush_bytes, sstables[0].facts.total_bytes);
    if (engine->log) {
        r = commitlog_discard(
            engine->log, (struct commitlog_flushed){flushed, engine->table_count});
        if (r < 0)
            log_warning("op=discard-log: %s", err_text(r));
    }
    return 0;
}

static void end(struct flusher *flusher)
{
    run_writer_free(flusher->run);
    flusher->run = NULL;
    purge_scope_release(&flusher->purge_scope);
    garbage_count_release(&flusher->garbage_count);
    view_unref(flusher->view);
    flusher->view = NULL;
    flusher->memtable = NULL;
}

/* 1: more to do; 0: the flush is done; negative: it failed, and is to be ended. */
static int go_on(struct flusher *flusher)
{
    int r = flusher->run ? 0 : begin(flusher);

    if (r == 0)
        r = run_writer_step(flusher->run);
    if (r == 0)
        r = finish(flusher);
    if (r == 0)
        end(flusher);
    return r;
}

/* ---- the task ---- */

/* Who waits for a flush is told that it will be long; the task itself goes on trying. */
static int64_t give_up_for_now(struct flusher *flusher, int r)
{
    struct engine *engine = flusher->engine;

    atomic_store(&flusher->given_up_with, r);
    atomic_fetch_add(&flusher->given_up, 1);
    event_signal(engine->env, &engine->progress);
    return engine_failure(engine) < 0 ? TASK_IDLE : FULL_DISK_US;
}

/* How long to wait after a failure before the next try. */
static int64_t failed(struct flusher *flusher, int r)
{
    struct engine *engine = flusher->engine;

    if (r != flusher->last_failure)
        log_error("op=flush table=%s: %s", engine->tables[flusher->table].name, err_text(r));
    flusher->last_failure = r;
    end(flusher);
    if (r == -ENOSPC && disk_space_open_reserve(&engine->disk_space))
        return TASK_AGAIN;
    if (engine_failure(engine) == 0 && r != -ENOSPC && r != -ENOMEM) {
        /* Once more, into a new file. That is not a retry of the sync that failed. */
        if (++flusher->failures < 2)
            return TASK_AGAIN;
        engine_fail(engine, r, "flush a memtable for the second time");
    }
    return give_up_for_now(flusher, r);
}

static void succeeded(struct flusher *flusher)
{
    struct engine *engine = flusher->engine;

    flusher->failures = 0;
    flusher->last_failure = 0;
    admission_kick(&engine->admission);
    compaction_kick(&engine->compaction);
    snapshots_kick(&engine->snapshots);
    event_signal(engine->env, &engine->progress);
}

/* A job for the oldest sealed memtable; false: there is none, or it still has writers. */
static bool next_job(struct flusher *flusher)
{
    flusher->view = views_acquire(&flusher->engine->views);
    if (pick(flusher, flusher->view, &flusher->table)) {
        flusher->memtable = oldest_sealed(flusher->view, flusher->table)->memtable;
        return true;
    }
    end(flusher);
    return false;
}

static int64_t step(void *arg)
{
    struct flusher *flusher = arg;
    int r;

    if (engine_failure(flusher->engine) < 0) {
        end(flusher);
        return TASK_IDLE;
    }
    if (!flusher->view) {
        engine_seal_due(flusher->engine);
        if (!next_job(flusher))
            return disk_space_is_near_full(&flusher->engine->disk_space) ? NEAR_FULL_LOOK_US
                                                                         : LOOK_US;
    }
    r = go_on(flusher);
    if (r < 0)
        return failed(flusher, r);
    if (r == 0)
        succeeded(flusher);
    return TASK_AGAIN;
}

int flush_sealed_now(struct flusher *flusher)
{
    int r = 0;

    while (r >= 0 && (flusher->view || next_job(flusher)))
        r = go_on(flusher);
    end(flusher);
    return r < 0 ? r : 0;
}

void flusher_init(struct flusher *flusher, struct engine *engine)
{
    *flusher = (struct flusher){.engine = engine};
}

int flusher_start(struct flusher *flusher)
{
    struct env *env = flusher->engine->env;
    int r = task_start(env, "flush", step, flusher, &flusher->task);

    if (r == 0)
        task_kick(env, flusher->task);
    return r;
}

void flusher_stop(struct flusher *flusher)
{
    if (flusher->task)
        task_stop(flusher->engine->env, flusher->task);
    flusher->task = NULL;
    end(flusher);
}

void flusher_kick(struct flusher *flusher)
{
    if (flusher->task)
        task_kick(flusher->engine->env, flusher->task);
}

/* ---- on demand ---- */

static bool is_flushed(struct engine *engine, uint64_t tables, uint64_t position)
{
    const struct manifest_state *state;
    bool flushed = true;

    mutex_lock(&engine->change);
    state = manifest_state(engine->manifest);
    for (unsigned i = 0; i < engine->table_count; i++)
        flushed &= !(tables & 1ull << i) || state->flushed[i] >= position;
    mutex_unlock(&engine->change);
    return flushed;
}

int flusher_check(const struct flusher *flusher, uint64_t given_up)
{
    int r = engine_check_writable(flusher->engine);

    if (r < 0 || atomic_load(&flusher->given_up) == given_up)
        return r;
    return err_new(atomic_load(&flusher->given_up_with), "memtables could not be flushed");
}

int engine_flush(struct engine *engine, uint64_t tables)
{
    uint64_t given_up = atomic_load(&engine->flusher.given_up);
    uint64_t position;
    int r = engine_switch_and_hold(engine, tables, &position);

    if (r < 0)
        return r;
    mutex_unlock(&engine->change);
    for (;;) {
        uint64_t ticket = event_ticket(&engine->progress);

        if (is_flushed(engine, tables, position))
            return 0;
        r = flusher_check(&engine->flusher, given_up);
        if (r < 0)
            return r;
        env_wait(engine->env, &engine->progress, ticket);
    }
}
