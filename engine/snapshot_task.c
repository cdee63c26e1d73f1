/*
 * The task that completes snapshots, one at a time, and those who wait for it.
 */
#include "snapshot.h"

#include <inttypes.h>
#include <stdio.h>

#include "engine/assert.h"
#include "engine/error.h"
#include "engine/log.h"
#include "sleeper.h"
#include "state.h"

#define RETRY_US (60ull * 1000000)

struct snapshot_waiter {
    struct snapshot_waiter *next;
    uint64_t number;
    engine_go go;
    void *arg;
    int r;
};

/* ---- who waits ---- */

struct snapshot_waiter *snapshot_waiters_take(struct snapshots *snapshots, uint64_t number, int r)
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

void snapshot_waiters_tell(struct snapshot_waiter *waiter)
{
    while (waiter) {
        struct snapshot_waiter *next = waiter->next;

        waiter->go(waiter->arg, waiter->r);
        free(waiter);
        waiter = next;
    }
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
    job = snapshot_job_find(snapshots, entry->number);
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

/* ---- the task ---- */

/* Each try has a folder of its own: what is left of the one before is still being removed. All end
 * with the number that is this process's alone, by which its leftovers are told from others. */
static void build_folder(struct snapshots *snapshots, char to[SNAPSHOT_FOLDER_MAX])
{
    snprintf(to, SNAPSHOT_FOLDER_MAX, "tmp/snapshot-%" PRIu64 "-%016" PRIx64, ++snapshots->builds,
        snapshots->engine->id_low_bits);
}

/* The folder gets its name, and the manifest hears of it. */
static int publish_locked(struct engine *engine, struct snapshot_job *job, const char *from)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    const struct manifest_snapshot *entry =
        manifest_find_snapshot(manifest_state(engine->manifest), job->number);
    char to[SNAPSHOT_PATH_MAX];
    int r;

    ASSERT(entry);
    snapshot_tag_folder(entry->tag, to);
    r = snapshot_clear_place(engine, to);
    if (r == 0)
        r = io_rename(engine->env, from, to);
    if (r == 0)
        r = io_sync_directory(engine->env, "snapshots");
    if (r < 0)
        return r;
    manifest_edit_snapshot_complete(&edit, job->number);
    return engine_commit(engine, &edit, "record that a snapshot is complete");
}

/* Of those whose memtables are all flushed the one least often tried, so that one that cannot be
 * completed (a damaged SSTable, say) does not keep the others from it; of these the oldest.
 * Deleted ones go. */
static struct snapshot_job *next_ready_locked(struct snapshots *snapshots)
{
    struct engine *engine = snapshots->engine;
    uint64_t flushed = manifest_flushed_min(manifest_state(engine->manifest));
    struct snapshot_job *best = NULL, *next;

    for (struct snapshot_job *job = snapshots->jobs; job; job = next) {
        next = job->next;
        if (job->deleted)
            snapshot_job_remove(snapshots, job);
        else if (flushed >= job->position && (!best || job->tries < best->tries))
            best = job;
    }
    return best;
}

static int begin(struct snapshots *snapshots)
{
    struct engine *engine = snapshots->engine;
    struct snapshot_waiter *told = NULL;
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
        if (r < 0) {
            job->failure = r;
            job->tries++;
            told = snapshot_waiters_take(snapshots, job->number, r);
        }
    }
    mutex_unlock(&engine->change);
    snapshot_waiters_tell(told);
    return r < 0 ? r : job != NULL;
}

/* Whether a snapshot is left that was tried less often than `tries`. */
static bool is_other_ready_locked(struct snapshots *snapshots, uint64_t tries)
{
    const struct snapshot_job *next = next_ready_locked(snapshots);

    return next && next->tries < tries;
}

/* The build came to an end with `r`, 0 or worse. */
static int64_t end(struct snapshots *snapshots, int r)
{
    struct engine *engine = snapshots->engine;
    uint64_t number = snapshot_build_number(snapshots->build);
    struct snapshot_waiter *told = NULL;
    struct snapshot_job *job;
    bool go_on = true;

    mutex_lock(&engine->change);
    job = snapshot_job_find(snapshots, number);
    ASSERT(job);
    if (job->deleted)
        r = -ENOENT;
    if (r == 0)
        r = publish_locked(engine, job, snapshot_build_folder(snapshots->build));
    if (r < 0 && !job->deleted) {
        log_error("op=snapshot number=%" PRIu64 ": %s", number, err_text(r));
        go_on = is_other_ready_locked(snapshots, ++job->tries);
    }
    job->failure = r;
    told = snapshot_waiters_take(snapshots, number, r);
    if (r == 0 || job->deleted)
        snapshot_job_remove(snapshots, job);
    mutex_unlock(&engine->change);
    if (r < 0)
        sweeper_remove(&engine->sweeper, snapshot_build_folder(snapshots->build));
    snapshot_build_free(snapshots->build);
    snapshots->build = NULL;
    snapshot_waiters_tell(told);
    if (r == -ENOSPC && disk_space_open_reserve(&engine->disk_space))
        go_on = true;
    return go_on ? TASK_AGAIN : (int64_t)RETRY_US;
}

static bool is_unwanted(struct snapshots *snapshots)
{
    struct engine *engine = snapshots->engine;
    const struct snapshot_job *job;
    bool unwanted;

    mutex_lock(&engine->change);
    job = snapshot_job_find(snapshots, snapshot_build_number(snapshots->build));
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
    told = snapshot_waiters_take(snapshots, 0, engine_failure(engine));
    mutex_unlock(&engine->change);
    snapshot_waiters_tell(told);
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

/* ---- life ---- */

void snapshots_init(struct snapshots *snapshots, struct engine *engine)
{
    *snapshots = (struct snapshots){.engine = engine};
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
    told = snapshot_waiters_take(snapshots, 0, -ESHUTDOWN);
    mutex_unlock(&engine->change);
    snapshot_waiters_tell(told);
}

void snapshots_kick(struct snapshots *snapshots)
{
    if (snapshots->task)
        task_kick(snapshots->engine->env, snapshots->task);
}
