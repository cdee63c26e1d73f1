#include "flush_job.h"

#include "carry.h"
#include "engine/assert.h"
#include "engine/error.h"
#include "engine/log.h"
#include "rows/merge.h"
#include "state.h"

/* ---- parts ---- */

/* No more than there are tasks to write them, and none smaller than what is worth an SSTable. */
static unsigned count_parts(const struct engine *engine, uint64_t bytes)
{
    uint64_t most = bytes / engine->options.flush_part_bytes;
    unsigned tasks = engine->options.flush_tasks;

    if (most < 1)
        return 1;
    return most < tasks ? (unsigned)most : tasks;
}

/* The ring in equal ranges: tokens are spread evenly. */
static void cut_parts(struct flush_job *job, unsigned count)
{
    uint64_t width = count > 1 ? UINT64_MAX / count + 1 : 0;
    uint64_t first = (uint64_t)INT64_MIN;

    job->part_count = count;
    for (unsigned i = 0; i < count; i++) {
        job->parts[i] = (struct flush_part){
            .job = job,
            .first_token = (int64_t)first,
            .last_token = i + 1 == count ? INT64_MAX : (int64_t)(first + width - 1),
        };
        first += width;
    }
}

struct flush_job *flush_job_new(
    struct engine *engine, unsigned table, const struct sealed_memtable *sealed)
{
    struct flush_job *job = calloc(1, sizeof(*job));
    uint64_t bytes = memtable_bytes(sealed->memtable);

    if (!job)
        return NULL;
    job->engine = engine;
    job->table = table;
    job->memtable = memtable_ref(sealed->memtable);
    job->end_position = sealed->end_position;
    job->may_carry = sealed->pins_log;
    cut_parts(job, count_parts(engine, bytes));
    admission_flush_begins(&engine->admission, table, bytes);
    return job;
}

static int begin_part(struct flush_part *part, const struct view *view)
{
    struct flush_job *job = part->job;
    struct run_writer_options options = {.table = job->table, .bytes_max = UINT64_MAX};
    struct purge purge = {.max_purgeable = purge_scope_max_purgeable, .arg = &part->purge_scope};
    struct partition_scanner *scanner = NULL;
    struct memtable_stats stats;
    int r;

    memtable_get_stats(job->memtable, &stats);
    options.writer = (struct sstable_writer_options){
        .expected_partitions = stats.partitions / job->part_count + 64,
        .expected_rows = stats.rows / job->part_count + 64,
        .min_timestamp_us = stats.min_timestamp_us,
        .min_local_deletion_time_s = stats.min_local_deletion_time_s,
        .min_ttl_s = stats.min_ttl_s,
    };
    /* A tombstone that has nothing below it, in no SSTable and no other memtable, need not go to
     * the disk: what was made and deleted between two flushes costs nothing there. */
    engine_purge_times(job->engine, &purge);
    r = memtable_scan(job->memtable, part->first_token, part->last_token, &scanner);
    if (r < 0)
        return r;
    r = purge_scanner(scanner, &purge, &scanner);
    if (r < 0)
        return r;
    r = garbage_scanner(scanner, view, job->table, &part->garbage, &scanner);
    if (r < 0)
        return r;
    return run_writer_new(job->engine, &options, scanner, &part->run);
}

static int write_step(struct flush_part *part)
{
    struct flush_job *job = part->job;
    struct view *view = views_acquire(&job->engine->views);
    /* As of now in each step: a view kept from the begin would keep its memtables too. */
    int r = purge_scope_init(&part->purge_scope, view, job->table, job->memtable, NULL, 0);

    if (r == 0 && !part->run)
        r = begin_part(part, view);
    if (r == 0)
        r = run_writer_step(part->run);
    purge_scope_release(&part->purge_scope);
    view_unref(view);
    return r;
}

int flush_part_step(struct flush_part *part)
{
    struct flush_job *job = part->job;

    /* What has more than one part is too large. */
    if (job->may_carry && job->part_count == 1) {
        int r = engine_carry_forward(job->engine, job->table, job->memtable, &job->carried_before);

        if (r <= 0)
            return r;
        job->may_carry = false;
    }
    return write_step(part);
}

/* ---- the edit ---- */

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

/* The SSTable of each part that has one; together they are a run. */
static int add_outputs(struct flush_job *job, struct manifest_edit *edit,
    struct sstable_handle *handles[FLUSH_PARTS_MAX], size_t *ret_count)
{
    uint64_t first = manifest_next_number(job->engine->manifest);

    for (unsigned i = 0; i < job->part_count; i++) {
        struct manifest_sstable *entry;
        size_t count;

        if (!job->parts[i].run)
            continue;
        entry = run_writer_sstables(job->parts[i].run, &count);
        if (count == 0)
            continue;
        ASSERT(count == 1); /* no part is cut again */
        entry->number = first + *ret_count;
        entry->run = first;
        handles[*ret_count] = engine_new_handle(job->engine, entry);
        if (!handles[*ret_count])
            return -ENOMEM;
        (*ret_count)++;
        manifest_edit_add(edit, entry);
        add_to_snapshots(job->engine, edit, entry, job->end_position);
    }
    return 0;
}

/* Whether the view has it still: an empty one may have gone along with another table's flush. */
static bool is_sealed_still(const struct flush_job *job, struct view *view)
{
    const struct sealed_memtable *sealed = oldest_sealed(view, job->table);

    return sealed && sealed->memtable == job->memtable;
}

static int commit_locked(
    struct flush_job *job, struct sstable_handle *handles[FLUSH_PARTS_MAX], size_t *ret_count)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    AUTO(view_unrefp) struct view *view = NULL;
    struct engine *engine = job->engine;
    int r;

    if (engine->views.current)
        view = view_copy(engine->views.current);
    if (!view)
        return -ENOMEM;
    if (!is_sealed_still(job, view))
        return 0;
    r = add_outputs(job, &edit, handles, ret_count);
    if (r == 0)
        r = view_replace_sstables(view, job->table, NULL, 0, handles, *ret_count);
    if (r == 0)
        r = snapshots_make_room(&engine->snapshots, *ret_count);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < job->part_count; i++)
        if (job->parts[i].run)
            garbage_record(&job->parts[i].garbage, view, &edit);
    retire_sealed(&edit, view, job->table);
    retire_empty(engine, &edit, view, job->end_position);
    engine_edit_clock(engine, &edit);
    r = engine_commit(engine, &edit, "record a flush");
    if (r == 0) {
        for (size_t i = 0; i < *ret_count; i++)
            snapshots_take_new(&engine->snapshots, handles[i], job->end_position);
        views_publish(&engine->views, view);
        view = NULL;
    }
    /* Named or not, that is not known after a failure that is final: the files stay either way. */
    for (unsigned i = 0; i < job->part_count; i++)
        if (job->parts[i].run && (r == 0 || manifest_failure(engine->manifest) < 0))
            run_writer_keep(job->parts[i].run);
    return r;
}

/* Files into place, their names synced once. */
static int link_outputs(struct flush_job *job)
{
    struct run_writer *runs[FLUSH_PARTS_MAX];

    for (unsigned i = 0; i < job->part_count; i++)
        runs[i] = job->parts[i].run;
    return run_writer_link(runs, job->part_count);
}

/* Log before table: up to the end of what is flushed; of what is carried, all of the log that
 * replay reads before it comes to it. */
static int sync_log(struct flush_job *job)
{
    struct commitlog *log = job->engine->log;
    int r;

    if (job->carried_before)
        r = commitlog_sync(log, job->carried_before);
    else
        r = commitlog_sync_before_flushed(log, job->end_position, 1ull << job->table);
    if (r < 0)
        engine_fail(job->engine, r, "sync the commit log before a flush");
    return r;
}

static int prepare(struct flush_job *job)
{
    int r = job->carried_before ? 0 : link_outputs(job);

    return r < 0 || !job->engine->log ? r : sync_log(job);
}

int flush_job_commit(struct flush_job *job)
{
    struct sstable_handle *handles[FLUSH_PARTS_MAX];
    struct engine *engine = job->engine;
    uint64_t flushed[ENGINE_TABLES_MAX], bytes = 0;
    size_t count = 0;
    int r = prepare(job);

    if (r < 0)
        return r;
    mutex_lock(&engine->change);
    r = commit_locked(job, handles, &count);
    memcpy(flushed, manifest_state(engine->manifest)->flushed, sizeof(flushed));
    mutex_unlock(&engine->change);
    for (size_t i = 0; i < count; i++) {
        bytes += handles[i]->entry.facts.total_bytes;
        sstable_handle_unref(handles[i]);
    }
    if (r < 0)
        return r;
    admission_flush_ends(&engine->admission, job->table);
    atomic_fetch_add(
        job->carried_before ? &engine->counters.carries : &engine->counters.flushes, 1);
    atomic_fetch_add(&engine->counters.flush_bytes, bytes);
    if (engine->log) {
        r = commitlog_discard(
            engine->log, (struct commitlog_flushed){flushed, engine->table_count});
        if (r < 0)
            log_warning("op=discard-log: %s", err_text(r));
    }
    return 0;
}

static void free_part(struct flush_part *part)
{
    run_writer_free(part->run);
    garbage_count_release(&part->garbage);
}

void flush_job_free(struct flush_job *job)
{
    if (!job)
        return;
    for (unsigned i = 0; i < job->part_count; i++)
        free_part(&job->parts[i]);
    memtable_unref(job->memtable);
    free(job);
}
