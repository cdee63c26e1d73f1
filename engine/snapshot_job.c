/*
 * Snapshots that are not complete: which SSTables each has pinned, in service and after a crash.
 */
#include "snapshot.h"

#include "engine/assert.h"
#include "state.h"

void snapshot_job_free(struct snapshot_job *job)
{
    for (size_t i = 0; i < job->count; i++)
        sstable_handle_unref(job->handles[i]);
    free(job->handles);
    free(job);
}

static int make_room(struct snapshot_job *job, size_t more)
{
    size_t capacity = job->count + more > 2 * job->capacity ? job->count + more : 2 * job->capacity;
    struct sstable_handle **grown;

    if (job->count + more <= job->capacity)
        return 0;
    grown = reallocarray(job->handles, capacity, sizeof(struct sstable_handle *));
    if (!grown)
        return -ENOMEM;
    job->handles = grown;
    job->capacity = capacity;
    return 0;
}

static void take(struct snapshot_job *job, struct sstable_handle *handle)
{
    ASSERT(job->count < job->capacity);
    sstable_handle_ref(handle);
    job->handles[job->count++] = handle;
}

int snapshot_job_take(struct snapshot_job *job, struct sstable_handle *handle)
{
    int r = make_room(job, 1);

    if (r == 0)
        take(job, handle);
    return r;
}

void snapshot_job_append(struct snapshots *snapshots, struct snapshot_job *job)
{
    struct snapshot_job **at = &snapshots->jobs;

    while (*at)
        at = &(*at)->next;
    *at = job;
}

void snapshot_job_remove(struct snapshots *snapshots, struct snapshot_job *job)
{
    struct snapshot_job **at = &snapshots->jobs;

    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    snapshot_job_free(job);
}

struct snapshot_job *snapshot_job_find(struct snapshots *snapshots, uint64_t number)
{
    struct snapshot_job *job = snapshots->jobs;

    while (job && job->number != number)
        job = job->next;
    return job;
}

void snapshots_take_new(
    struct snapshots *snapshots, struct sstable_handle *handle, uint64_t end_position)
{
    for (struct snapshot_job *job = snapshots->jobs; job; job = job->next)
        if (job->position >= end_position && !job->deleted)
            take(job, handle);
}

int snapshots_make_room(struct snapshots *snapshots, size_t more)
{
    int r = 0;

    for (struct snapshot_job *job = snapshots->jobs; job && r == 0; job = job->next)
        r = make_room(job, more);
    return r;
}

/* ---- after a crash ---- */

static struct sstable_handle *find_live(const struct view *view, uint64_t number, unsigned table)
{
    const struct sstable_set *set = view->tables[table].sstables;

    for (size_t i = 0; i < set->count; i++)
        if (set->handles[i]->entry.number == number)
            return set->handles[i];
    return NULL;
}

/* One that another snapshot has taken already. */
static struct sstable_handle *find_taken(struct snapshots *snapshots, uint64_t number)
{
    for (struct snapshot_job *job = snapshots->jobs; job; job = job->next)
        for (size_t i = 0; i < job->count; i++)
            if (job->handles[i]->entry.number == number)
                return job->handles[i];
    return NULL;
}

/* One that was replaced by a compaction before the snapshot was complete: its files are there. */
static int take_replaced(
    struct engine *engine, struct snapshot_job *job, const struct manifest_sstable *entry)
{
    struct sstable_handle *handle = find_taken(&engine->snapshots, entry->number);
    int r;

    if (handle)
        return snapshot_job_take(job, handle);
    handle = engine_new_handle(engine, entry);
    r = handle ? snapshot_job_take(job, handle) : -ENOMEM;
    if (r == 0)
        sweeper_retire(&engine->sweeper, &handle, 1);
    sstable_handle_unref(handle);
    return r;
}

static int recover_job(struct engine *engine, const struct manifest_snapshot *entry)
{
    struct snapshot_job *job = calloc(1, sizeof(*job));
    int r = 0;

    if (!job)
        return -ENOMEM;
    job->number = entry->number;
    job->position = entry->position;
    snapshot_job_append(&engine->snapshots, job);
    for (size_t i = 0; r == 0 && i < entry->sstable_count; i++) {
        const struct manifest_sstable *sstable =
            manifest_find(manifest_state(engine->manifest), entry->sstables[i]);
        struct sstable_handle *live =
            find_live(engine->views.current, sstable->number, sstable->table);

        r = live ? snapshot_job_take(job, live) : take_replaced(engine, job, sstable);
    }
    return r;
}

int snapshots_recover(struct snapshots *snapshots)
{
    struct engine *engine = snapshots->engine;
    const struct manifest_state *state = manifest_state(engine->manifest);

    for (size_t i = 0; i < state->snapshot_count; i++) {
        int r = 0;

        if (!state->snapshots[i].complete)
            r = recover_job(engine, &state->snapshots[i]);
        if (r == 0 && state->snapshots[i].previous_tag[0])
            r = snapshot_settle_rename(engine, state->snapshots[i].number);
        if (r < 0)
            return r;
    }
    return 0;
}

void snapshots_release(struct snapshots *snapshots)
{
    while (snapshots->jobs) {
        struct snapshot_job *job = snapshots->jobs;

        snapshots->jobs = job->next;
        snapshot_job_free(job);
    }
}
