/*
 * From whatever a crash left to a view and an open log: the manifest says which SSTables there are
 * and how far each table is flushed, the log has the rest.
 */
#include <inttypes.h>

#include "archive.h"
#include "engine/error.h"
#include "engine/log.h"
#include "rows/update.h"
#include "state.h"

/* One thread, and nobody reads yet: the current view may be changed in place. */
static int seal(struct engine *engine, unsigned table, uint64_t position)
{
    struct memtable *fresh = memtable_new(&engine->tables[table], position, &engine->views.readers);

    if (!fresh)
        return -ENOMEM;
    memtable_set_account(fresh, admission_account(&engine->admission, table));
    view_seal(engine->views.current, table, fresh, position, 0, env_monotonic_us(engine->env));
    return 0;
}

/* ---- the view ---- */

static int make_view(struct engine *engine)
{
    const struct manifest_state *state = manifest_state(engine->manifest);
    struct view *view = view_new(engine->tables, engine->table_count, state->flushed,
        env_monotonic_us(engine->env), &engine->views.readers);
    int r = view ? 0 : -ENOMEM;

    for (unsigned i = 0; r == 0 && i < engine->table_count; i++) {
        memtable_set_account(view->tables[i].active, admission_account(&engine->admission, i));
        r = engine_add_sstables(engine, view, i, state->sstables, state->sstable_count);
    }
    if (r < 0)
        view_unref(view);
    else
        views_publish(&engine->views, view);
    return r;
}

/* ---- room ---- */

/* As in service, memtables are flushed when they fill the budget, which may be smaller now. */
static int make_room(struct engine *engine, uint64_t position)
{
    int r = 0;

    if (engine->options.read_only) {
        if (admission_bytes(&engine->admission) < engine->options.memory_bytes / 2)
            return 0;
        return err_new(-ENOMEM,
            "the commit log holds more than half of memory=%" PRIu64
            " can take: open read-only with more, or once for writing",
            engine->options.memory_bytes);
    }
    if (!engine_memtable_is_full(engine, engine->views.current))
        return 0;
    for (unsigned i = 0; r == 0 && i < engine->table_count; i++)
        if (memtable_first_position(engine->views.current->tables[i].active) < position)
            r = seal(engine, i, position);
    return r < 0 ? r : flush_sealed_now(&engine->flusher);
}

/* ---- replay ---- */

/* A snapshot not complete yet wants what lies below its point, and nothing else. */
static int seal_for_snapshots(struct engine *engine, uint64_t position)
{
    for (const struct snapshot_job *job = engine->snapshots.jobs; job; job = job->next) {
        if (job->position > position)
            continue;
        for (unsigned i = 0; i < engine->table_count; i++) {
            const struct table_view *table = &engine->views.current->tables[i];
            int r = 0;

            if (memtable_first_position(table->active) >= job->position)
                continue;
            if (table->sealed_count == SEALED_MAX)
                r = flush_sealed_now(&engine->flusher);
            if (r == 0)
                r = seal(engine, i, job->position);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int replay_record(void *arg, uint64_t position, int64_t timestamp_us, struct bytes updates,
    unsigned update_count, struct record_memory *memory)
{
    struct engine *engine = arg;
    const struct view *view;
    struct updates whole;
    uint64_t wanted = 0;
    int r;

    r = seal_for_snapshots(engine, position);
    if (r == 0)
        r = make_room(engine, position);
    if (r < 0)
        return r;
    view = engine->views.current;
    for (unsigned i = 0; i < engine->table_count; i++) {
        /* Flushed up to here: what a sealed memtable has not, the active one begins with. */
        const struct table_view *table = &view->tables[i];
        const struct memtable *oldest = table->sealed_count > 0
                                            ? table->sealed[table->sealed_count - 1].memtable
                                            : table->active;

        if (memtable_first_position((struct memtable *)(uintptr_t)oldest) <= position)
            wanted |= 1ull << i;
    }
    whole = updates_of(updates);
    return engine_apply_updates(
        engine, view, position, timestamp_us, &whole, update_count, wanted, memory);
}

/* Where the log ends and where it goes on is in the manifest before anything is appended there:
 * else the next recovery would meet a torn tail again, with newer records behind it, and refuse or
 * replay it; or look for a segment that was begun, and lost with its name. */
static int record_cut(struct engine *engine)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    const struct manifest_state *state = manifest_state(engine->manifest);
    struct commitlog_cut cut = {engine->replay.end_position, engine->replay.next_segment};
    uint64_t after_flushed = engine_segment_after(manifest_flushed_max(state));

    /* Nothing that the manifest ever called used may be given out again. */
    if (state->next_segment > cut.to_segment)
        cut.to_segment = state->next_segment;
    if (after_flushed > cut.to_segment)
        cut.to_segment = after_flushed;
    if (cut.to_segment == 0)
        cut.to_segment = 1;
    engine->replay.next_segment = cut.to_segment;
    if (engine->replay.dropped_bytes > 0)
        log_warning("op=replay: dropped %" PRIu64
                    " bytes at the end of the commit log that were never synced",
            engine->replay.dropped_bytes);
    if (cut.from_position == cut.to_segment << 32)
        return 0;
    manifest_edit_cut(&edit, &cut);
    engine_edit_clock(engine, &edit);
    return manifest_commit(engine->manifest, &edit);
}

static int replay_log(struct engine *engine)
{
    const struct manifest_state *state = manifest_state(engine->manifest);
    struct commitlog_flushed flushed = {state->flushed, engine->table_count};
    unsigned cut_count = (unsigned)state->cut_count;
    int r = 0;

    /* What is replayed may be named by a flush, and comes before what is appended from now on. */
    if (!engine->options.read_only)
        r = commitlog_secure(engine->env, engine->identity.uuid, flushed, state->cuts, cut_count);
    if (r == 0)
        r = commitlog_replay(engine->env, engine->identity.uuid, flushed, state->cuts, cut_count,
            replay_record, engine, &engine->replay);
    if (r < 0)
        return r == -EUCLEAN ? engine_tell_remedy(r, "--log") : r;
    engine->recovered_timestamp_us = state->last_timestamp_us;
    if (engine->replay.last_timestamp_us > engine->recovered_timestamp_us)
        engine->recovered_timestamp_us = engine->replay.last_timestamp_us;
    if (engine->options.read_only)
        return 0;
    r = seal_for_snapshots(engine, UINT64_MAX);
    return r < 0 ? r : record_cut(engine);
}

static int open_log(struct engine *engine)
{
    struct commitlog_options options = {
        .segment_bytes = engine->segment_bytes,
        .last_timestamp_us = engine->recovered_timestamp_us,
        .next_segment = engine->replay.next_segment,
        .cut_from = engine->replay.cut_from,
        .flushed = {manifest_state(engine->manifest)->flushed, engine->table_count},
        .archives = engine->options.archive,
        .archive_from = engine_archive_from(engine),
        .value_uses = engine->replay.value_uses,
    };

    memcpy(options.store_uuid, engine->identity.uuid, sizeof(options.store_uuid));
    return commitlog_open(engine->env, &options, &engine->log);
}

int engine_recover(struct engine *engine)
{
    int r = make_view(engine);

    if (r == 0 && !engine->options.read_only)
        r = snapshots_recover(&engine->snapshots);
    if (r == 0)
        r = replay_log(engine);
    if (r == 0 && !engine->options.read_only)
        r = open_log(engine);
    return r;
}
