#include "snapshot.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "engine/assert.h"
#include "engine/error.h"
#include "engine/log.h"
#include "sleeper.h"
#include "state.h"

#define RETRY_US (60ull * 1000000)
#define FOLDER_PATH_MAX (10 + SNAPSHOT_TAG_MAX + 1)

struct snapshot_waiter {
    struct snapshot_waiter *next;
    uint64_t number;
    engine_go go;
    void *arg;
    int r;
};

bool snapshot_tag_is_valid(const char *tag)
{
    size_t length = strlen(tag);

    if (length == 0 || length > SNAPSHOT_TAG_MAX || !isalnum((unsigned char)tag[0]))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)tag[i]) && !strchr("._:+-", tag[i]))
            return false;
    return strcmp(tag, "latest") != 0 && strcmp(tag, "log") != 0;
}

/* Each try has a folder of its own: what is left of the one before is still being removed. All end
 * with the number that is this process's alone, by which its leftovers are told from others. */
static void build_folder(struct snapshots *snapshots, char to[SNAPSHOT_FOLDER_MAX])
{
    snprintf(to, SNAPSHOT_FOLDER_MAX, "tmp/snapshot-%" PRIu64 "-%016" PRIx64, ++snapshots->builds,
        snapshots->engine->id_low_bits);
}

static void tag_folder(const char *tag, char to[FOLDER_PATH_MAX])
{
    snprintf(to, FOLDER_PATH_MAX, "snapshots/%s", tag);
}

/* ---- jobs ---- */

static void job_free(struct snapshot_job *job)
{
    for (size_t i = 0; i < job->count; i++)
        sstable_handle_unpin(job->handles[i]);
    free(job->handles);
    free(job);
}

static int job_take(struct snapshot_job *job, struct sstable_handle *handle)
{
    struct sstable_handle **grown =
        reallocarray(job->handles, job->count + 1, sizeof(struct sstable_handle *));

    if (!grown)
        return -ENOMEM;
    job->handles = grown;
    sstable_handle_pin(handle);
    grown[job->count++] = handle;
    return 0;
}

static void job_append(struct snapshots *snapshots, struct snapshot_job *job)
{
    struct snapshot_job **at = &snapshots->jobs;

    while (*at)
        at = &(*at)->next;
    *at = job;
}

static void job_remove(struct snapshots *snapshots, struct snapshot_job *job)
{
    struct snapshot_job **at = &snapshots->jobs;

    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    job_free(job);
}

static struct snapshot_job *find_job(struct snapshots *snapshots, uint64_t number)
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
        if (job->position >= end_position && !job->deleted && job_take(job, handle) < 0)
            job->failure =
                -ENOMEM; /* it is short of one; the next open has all from the manifest */
}

/* ---- create ---- */

/* Asked once, and before anything is promised: not every disk has hard links. */
static int probe_links(struct snapshots *snapshots)
{
    struct env *env = snapshots->engine->env;
    int r;

    if (snapshots->links_probed)
        return 0;
    r = io_link(env, "store.json", "tmp/link-probe");
    if (r == -EEXIST)
        r = 0;
    if (r < 0)
        return r == -EPERM || r == -EOPNOTSUPP || r == -ENOSYS || r == -EMLINK
                   ? err_new(
                         -EOPNOTSUPP, "snapshots need hard links, which this disk does not have")
                   : r;
    r = io_unlink(env, "tmp/link-probe");
    snapshots->links_probed = r == 0;
    return r;
}

/* All SSTables of now, in the order of their numbers as the manifest wants them. */
static int pin_live(struct engine *engine, struct snapshot_job *job)
{
    const struct view *view = engine->views.current;

    for (unsigned i = 0; i < view->table_count; i++) {
        const struct sstable_set *set = view->tables[i].sstables;

        for (size_t j = 0; j < set->count; j++) {
            int r = job_take(job, set->handles[j]);

            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int record(struct engine *engine, const char *tag, uint64_t position)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    const struct manifest_state *state = manifest_state(engine->manifest);
    struct manifest_snapshot entry = {
        .number = manifest_next_number(engine->manifest),
        .position = position,
        .point_us = (uint64_t)engine_now(engine),
        .created_us = env_wall_us(engine->env),
    };
    struct snapshot_job *job = calloc(1, sizeof(*job));
    int r = job ? pin_live(engine, job) : -ENOMEM;

    entry.sstables = calloc(state->sstable_count + 1, sizeof(*entry.sstables));
    if (!entry.sstables)
        r = -ENOMEM;
    if (r == 0) {
        job->number = entry.number;
        job->position = position;
        strcpy(entry.tag, tag);
        for (size_t i = 0; i < state->sstable_count; i++)
            if (state->sstables[i].live)
                entry.sstables[entry.sstable_count++] = state->sstables[i].number;
        manifest_edit_snapshot(&edit, &entry);
        engine_edit_clock(engine, &edit);
        r = manifest_commit(engine->manifest, &edit);
        if (r < 0)
            engine_fail(engine, r, "record a snapshot");
    }
    free(entry.sstables);
    if (r == 0)
        job_append(&engine->snapshots, job);
    else if (job)
        job_free(job);
    return r;
}

static int check_new_tag(struct engine *engine, const char *tag)
{
    if (!snapshot_tag_is_valid(tag))
        return err_new(-EINVAL,
            "snapshot tag '%s': want 1 to %d of [A-Za-z0-9._:+-], a letter or digit first", tag,
            SNAPSHOT_TAG_MAX);
    if (manifest_find_tag(manifest_state(engine->manifest), tag))
        return err_new(-EEXIST, "there is a snapshot '%s' already", tag);
    return 0;
}

int engine_snapshot_create(struct engine *engine, const char *tag)
{
    uint64_t position;
    int r = engine_check_writable(engine);

    if (r < 0)
        return r;
    mutex_lock(&engine->change);
    r = check_new_tag(engine, tag);
    if (r == 0)
        r = probe_links(&engine->snapshots);
    mutex_unlock(&engine->change);
    if (r < 0)
        return r;

    /* One position for all tables: what is below it is in, what is above it is not. From here on
     * no SSTable comes or goes until the snapshot is recorded. */
    r = engine_switch_and_hold(engine, TABLES_ALL, &position);
    if (r < 0)
        return err_with(r, "switch memtables for snapshot '%s'", tag);
    r = check_new_tag(engine, tag); /* again: somebody else may have made it */

    /* Sync, then name: a name that power loss can outlive its content is a lie. */
    if (r == 0) {
        r = commitlog_sync(engine->log, position);
        if (r < 0)
            engine_fail(engine, r, "sync the commit log before a snapshot");
    }
    /* From here on the snapshot is a fact. Flush and links follow in the background, and after a
     * crash recovery sees to them. */
    if (r == 0)
        r = record(engine, tag, position);
    mutex_unlock(&engine->change);
    if (r < 0)
        return err_with(r, "snapshot '%s'", tag);
    flusher_kick(&engine->flusher);
    snapshots_kick(&engine->snapshots);
    return 0;
}

/* ---- completion ---- */

/* Takes the waiters of a snapshot (0: of all) off the list, each to be told `r`. */
static struct snapshot_waiter *take_waiters_locked(
    struct snapshots *snapshots, uint64_t number, int r)
{
    struct snapshot_waiter **at = &snapshots->waiters, *taken = NULL;

    while (*at) {
        struct snapshot_waiter *waiter = *at;

        if (number != 0 && waiter->number != number) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        waiter->next = taken;
        waiter->r = r;
        taken = waiter;
    }
    return taken;
}

static void tell(struct snapshot_waiter *waiter)
{
    while (waiter) {
        struct snapshot_waiter *next = waiter->next;

        waiter->go(waiter->arg, waiter->r);
        free(waiter);
        waiter = next;
    }
}

/* A folder of that name that the manifest does not know: of a tag deleted before a crash. */
static int clear_place(struct engine *engine, const char *folder)
{
    char away[SNAPSHOT_FOLDER_MAX];
    struct io_stat stat;
    int r = io_stat(engine->env, folder, &stat);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    snprintf(away, sizeof(away), "trash/snapshot-%" PRIx64, env_random(engine->env));
    r = io_rename(engine->env, folder, away);
    if (r == 0)
        sweeper_remove(&engine->sweeper, away);
    return r;
}

/* The folder gets its name, and the manifest hears of it. */
static int publish_locked(struct engine *engine, struct snapshot_job *job, const char *from)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    const struct manifest_snapshot *entry =
        manifest_find_snapshot(manifest_state(engine->manifest), job->number);
    char to[FOLDER_PATH_MAX];
    int r;

    ASSERT(entry);
    tag_folder(entry->tag, to);
    r = clear_place(engine, to);
    if (r == 0)
        r = io_rename(engine->env, from, to);
    if (r == 0)
        r = io_sync_directory(engine->env, "snapshots");
    if (r < 0)
        return r;
    manifest_edit_snapshot_complete(&edit, job->number);
    r = manifest_commit(engine->manifest, &edit);
    if (r < 0)
        engine_fail(engine, r, "record that a snapshot is complete");
    return r;
}

/* The oldest one whose memtables are all flushed; deleted ones go. */
static struct snapshot_job *next_ready_locked(struct snapshots *snapshots)
{
    struct engine *engine = snapshots->engine;
    uint64_t flushed = manifest_flushed_min(manifest_state(engine->manifest));
    struct snapshot_job *job = snapshots->jobs;

    while (job) {
        struct snapshot_job *next = job->next;

        if (job->deleted)
            job_remove(snapshots, job);
        else if (flushed >= job->position)
            return job;
        job = next;
    }
    return NULL;
}

static int begin(struct snapshots *snapshots)
{
    struct engine *engine = snapshots->engine;
    struct snapshot_job *job;
    int r = 0;

    mutex_lock(&engine->change);
    job = next_ready_locked(snapshots);
    if (job) {
        char folder[SNAPSHOT_FOLDER_MAX];

        build_folder(snapshots, folder);
        r = snapshot_build_new(engine, folder,
            manifest_find_snapshot(manifest_state(engine->manifest), job->number), job,
            &snapshots->build);
        if (r < 0)
            job->failure = r;
    }
    mutex_unlock(&engine->change);
    return r < 0 ? r : job != NULL;
}

static void abandon(struct snapshots *snapshots)
{
    sweeper_remove(&snapshots->engine->sweeper, snapshot_build_folder(snapshots->build));
    snapshot_build_free(snapshots->build);
    snapshots->build = NULL;
}

/* The build came to an end with `r`, 0 or worse. */
static int64_t end(struct snapshots *snapshots, int r)
{
    struct engine *engine = snapshots->engine;
    uint64_t number = snapshot_build_number(snapshots->build);
    struct snapshot_waiter *told = NULL;
    struct snapshot_job *job;

    mutex_lock(&engine->change);
    job = find_job(snapshots, number);
    ASSERT(job);
    if (job->deleted)
        r = -ENOENT;
    if (r == 0)
        r = publish_locked(engine, job, snapshot_build_folder(snapshots->build));
    if (r < 0 && !job->deleted)
        log_error("op=snapshot number=%" PRIu64 ": %s", number, err_text(r));
    job->failure = r;
    told = take_waiters_locked(snapshots, number, r);
    if (r == 0 || job->deleted)
        job_remove(snapshots, job);
    mutex_unlock(&engine->change);
    if (r < 0) {
        abandon(snapshots);
    } else {
        snapshot_build_free(snapshots->build);
        snapshots->build = NULL;
    }
    tell(told);
    if (r == -ENOSPC && admission_open_reserve(&engine->admission))
        return TASK_AGAIN;
    return r < 0 && r != -ENOENT ? (int64_t)RETRY_US : TASK_AGAIN;
}

static bool is_unwanted(struct snapshots *snapshots)
{
    struct engine *engine = snapshots->engine;
    const struct snapshot_job *job;
    bool unwanted;

    mutex_lock(&engine->change);
    job = find_job(snapshots, snapshot_build_number(snapshots->build));
    unwanted = !job || job->deleted;
    mutex_unlock(&engine->change);
    return unwanted;
}

/* The store takes no writes any more: nothing will be completed. */
static void give_up(struct snapshots *snapshots)
{
    struct engine *engine = snapshots->engine;
    struct snapshot_waiter *told;

    mutex_lock(&engine->change);
    told = take_waiters_locked(snapshots, 0, engine_failure(engine));
    mutex_unlock(&engine->change);
    tell(told);
}

static int64_t step(void *arg)
{
    struct snapshots *snapshots = arg;
    int r;

    if (engine_failure(snapshots->engine) < 0) {
        give_up(snapshots);
        return TASK_IDLE;
    }
    if (!snapshots->build) {
        r = begin(snapshots);
        if (r < 0) {
            log_error("op=snapshot: %s", err_text(r));
            return RETRY_US;
        }
        return r > 0 ? TASK_AGAIN : TASK_IDLE;
    }
    r = is_unwanted(snapshots) ? -ENOENT : snapshot_build_step(snapshots->build);
    return r > 0 ? TASK_AGAIN : end(snapshots, r);
}

bool snapshots_is_being_built(struct snapshots *snapshots, const char *name)
{
    char tail[20];
    size_t size = strlen(name);

    snprintf(tail, sizeof(tail), "-%016" PRIx64, snapshots->engine->id_low_bits);
    return strncmp(name, "snapshot-", 9) == 0 && size > strlen(tail) &&
           strcmp(name + size - strlen(tail), tail) == 0;
}

/* ---- list, await, rename, delete ---- */

static struct snapshot_info describe_locked(
    struct engine *engine, const struct manifest_snapshot *entry)
{
    const struct snapshot_job *job = find_job(&engine->snapshots, entry->number);
    struct snapshot_info info = {
        .point_us = entry->point_us,
        .created_us = entry->created_us,
        .complete = entry->complete,
        .failure = job ? job->failure : 0,
        .sstables = entry->sstable_count,
    };

    for (size_t i = 0; i < entry->sstable_count; i++) {
        const struct manifest_sstable *sstable =
            manifest_find(manifest_state(engine->manifest), entry->sstables[i]);

        info.total_bytes += sstable->facts.total_bytes;
        if (sstable->holders == 1)
            info.unique_bytes += sstable->facts.total_bytes;
    }
    return info;
}

struct listed {
    struct snapshot_info info;
    char tag[SNAPSHOT_TAG_MAX + 1];
};

int engine_snapshot_list(struct engine *engine, snapshot_each each, void *arg)
{
    AUTO(freep) struct listed *all = NULL;
    const struct manifest_state *state;
    size_t count;
    int r = 0;

    if (!engine->manifest)
        return 0;
    /* Copied first: `each` may take its time, and may call the engine. */
    mutex_lock(&engine->change);
    state = manifest_state(engine->manifest);
    count = state->snapshot_count;
    all = calloc(count + 1, sizeof(*all));
    for (size_t i = 0; all && i < count; i++) {
        all[i].info = describe_locked(engine, &state->snapshots[i]);
        strcpy(all[i].tag, state->snapshots[i].tag);
        all[i].info.tag = all[i].tag;
    }
    mutex_unlock(&engine->change);
    if (!all)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = each(arg, &all[i].info);
    return r;
}

static int await_locked(struct engine *engine, const char *tag, engine_go go, void *arg)
{
    struct snapshots *snapshots = &engine->snapshots;
    const struct manifest_snapshot *entry =
        manifest_find_tag(manifest_state(engine->manifest), tag);
    const struct snapshot_job *job;
    struct snapshot_waiter *waiter;

    if (!entry)
        return err_new(-ENOENT, "there is no snapshot '%s'", tag);
    if (entry->complete)
        return 0;
    job = find_job(snapshots, entry->number);
    if (job && job->failure < 0)
        return err_new(job->failure, "snapshot '%s' could not be completed yet", tag);
    if (!snapshots->task)
        return err_new(-EROFS, "snapshot '%s' was not completed, and nothing is written now", tag);
    if (engine_failure(engine) < 0)
        return engine_check_writable(engine);
    waiter = malloc(sizeof(*waiter));
    if (!waiter)
        return -ENOMEM;
    *waiter = (struct snapshot_waiter){snapshots->waiters, entry->number, go, arg, 0};
    snapshots->waiters = waiter;
    return -EINPROGRESS;
}

int engine_snapshot_await(struct engine *engine, const char *tag, engine_go go, void *arg)
{
    struct sleeper sleeper = SLEEPER_INIT(engine);
    int r;

    if (!engine->manifest)
        return err_new(-ENOENT, "there is no snapshot '%s'", tag);
    mutex_lock(&engine->change);
    r = await_locked(engine, tag, go ? go : sleeper_wake, go ? arg : &sleeper);
    mutex_unlock(&engine->change);
    return r == -EINPROGRESS && !go ? sleeper_wait(&sleeper) : r;
}

/* Makes the folder's name what the manifest says; `entry` has a previous tag. */
static int settle_rename(struct engine *engine, uint64_t number)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    const struct manifest_snapshot *entry =
        manifest_find_snapshot(manifest_state(engine->manifest), number);
    char from[FOLDER_PATH_MAX], to[FOLDER_PATH_MAX];
    struct io_stat stat;
    int r = 0;

    tag_folder(entry->previous_tag, from);
    tag_folder(entry->tag, to);
    if (entry->complete) {
        /* Not there under the old name: a crash came between the rename and its record. */
        r = io_stat(engine->env, from, &stat);
        if (r == 0)
            r = clear_place(engine, to);
        if (r == 0)
            r = io_rename(engine->env, from, to);
        if (r == 0 || r == -ENOENT)
            r = io_sync_directory(engine->env, "snapshots");
    }
    if (r < 0)
        return err_with(r, "rename folder '%s' to '%s'", from, to);
    manifest_edit_snapshot_rename(&edit, number, entry->tag, true);
    r = manifest_commit(engine->manifest, &edit);
    if (r < 0)
        engine_fail(engine, r, "record that a snapshot is renamed");
    return r;
}

int engine_snapshot_rename(struct engine *engine, const char *tag, const char *to)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    const struct manifest_snapshot *entry;
    int r = engine_check_writable(engine);

    if (r < 0)
        return r;
    mutex_lock(&engine->change);
    entry = manifest_find_tag(manifest_state(engine->manifest), tag);
    r = entry ? check_new_tag(engine, to) : err_new(-ENOENT, "there is no snapshot '%s'", tag);
    if (r == 0 && entry->previous_tag[0])
        r = settle_rename(engine, entry->number);
    if (r == 0) {
        uint64_t number = entry->number;

        /* The manifest first: from its edit on, recovery makes the folder follow. */
        manifest_edit_snapshot_rename(&edit, number, to, false);
        r = manifest_commit(engine->manifest, &edit);
        if (r < 0)
            engine_fail(engine, r, "record that a snapshot is to be renamed");
        else
            r = settle_rename(engine, number);
    }
    mutex_unlock(&engine->change);
    return r;
}

int engine_snapshot_delete(struct engine *engine, const char *tag)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    struct snapshot_waiter *told = NULL;
    const struct manifest_snapshot *entry;
    char folder[FOLDER_PATH_MAX];
    int r = engine_check_writable(engine);

    if (r < 0)
        return r;
    mutex_lock(&engine->change);
    entry = manifest_find_tag(manifest_state(engine->manifest), tag);
    r = entry ? 0 : err_new(-ENOENT, "there is no snapshot '%s'", tag);
    if (r == 0 && entry->previous_tag[0])
        r = settle_rename(engine, entry->number);
    if (r == 0) {
        struct snapshot_job *job = find_job(&engine->snapshots, entry->number);

        if (job)
            job->deleted = true;
        told = take_waiters_locked(&engine->snapshots, entry->number, -ENOENT);
        manifest_edit_snapshot_remove(&edit, entry->number);
        r = manifest_commit(engine->manifest, &edit);
        if (r < 0)
            engine_fail(engine, r, "record that a snapshot is deleted");
    }
    if (r == 0) {
        /* Out of the way at once, as the tag may be used again; gone a little later. */
        tag_folder(tag, folder);
        r = clear_place(engine, folder);
    }
    mutex_unlock(&engine->change);
    tell(told);
    snapshots_kick(&engine->snapshots);
    return r;
}

/* ---- life ---- */

void snapshots_init(struct snapshots *snapshots, struct engine *engine)
{
    *snapshots = (struct snapshots){.engine = engine};
}

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
        return job_take(job, handle);
    handle = engine_new_handle(engine, entry);
    r = handle ? job_take(job, handle) : -ENOMEM;
    if (r == 0)
        sweeper_retire(&engine->sweeper, handle);
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
    job_append(&engine->snapshots, job);
    for (size_t i = 0; r == 0 && i < entry->sstable_count; i++) {
        const struct manifest_sstable *sstable =
            manifest_find(manifest_state(engine->manifest), entry->sstables[i]);
        struct sstable_handle *live =
            find_live(engine->views.current, sstable->number, sstable->table);

        r = live ? job_take(job, live) : take_replaced(engine, job, sstable);
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
            r = settle_rename(engine, state->snapshots[i].number);
        if (r < 0)
            return r;
    }
    return 0;
}

int snapshots_start(struct snapshots *snapshots)
{
    struct env *env = snapshots->engine->env;
    int r = task_start(env, "snapshot", step, snapshots, &snapshots->task);

    if (r == 0)
        task_kick(env, snapshots->task);
    return r;
}

void snapshots_stop(struct snapshots *snapshots)
{
    struct engine *engine = snapshots->engine;
    struct snapshot_waiter *told;

    if (snapshots->task)
        task_stop(engine->env, snapshots->task);
    snapshots->task = NULL;
    snapshot_build_free(snapshots->build);
    snapshots->build = NULL;
    mutex_lock(&engine->change);
    told = take_waiters_locked(snapshots, 0, -ESHUTDOWN);
    mutex_unlock(&engine->change);
    tell(told);
}

void snapshots_release(struct snapshots *snapshots)
{
    while (snapshots->jobs) {
        struct snapshot_job *job = snapshots->jobs;

        snapshots->jobs = job->next;
        job_free(job);
    }
}

void snapshots_kick(struct snapshots *snapshots)
{
    if (snapshots->task)
        task_kick(snapshots->engine->env, snapshots->task);
}
