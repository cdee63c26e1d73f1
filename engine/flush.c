#include "flush.h"

#include "engine/error.h"
#include "engine/log.h"
#include "ranks.h"
#include "state.h"

#define LOOK_US 10000000
#define NEAR_FULL_LOOK_US 1000000
#define FULL_DISK_US 1000000

/* ---- how it went ---- */

/* Who waits for a flush is told that it will be long; it is tried again all the same. */
static void give_up_for_now(struct flusher *flusher, int r)
{
    atomic_store(&flusher->given_up_with, r);
    atomic_fetch_add(&flusher->given_up, 1);
    event_signal(flusher->engine->env, &flusher->engine->progress);
}

static void failed(struct flusher *flusher, unsigned table, int r)
{
    struct flush_history *history = &flusher->history[table];
    struct engine *engine = flusher->engine;

    if (r != history->last_failure)
        log_error("op=flush table=%s: %s", engine->tables[table].name, err_text(r));
    history->last_failure = r;
    history->retry_us = 0;
    if (r == -ENOSPC && disk_space_open_reserve(&engine->disk_space))
        return;
    if (engine_failure(engine) == 0 && r != -ENOSPC && r != -ENOMEM) {
        /* Once more, into a new file. That is not a retry of the sync that failed. */
        if (++history->failures < 2)
            return;
        engine_fail(engine, r, "flush a memtable for the second time");
    }
    history->retry_us = env_monotonic_us(engine->env) + FULL_DISK_US;
    give_up_for_now(flusher, r);
}

static void succeeded(struct engine *engine)
{
    admission_kick(&engine->admission);
    compaction_kick(&engine->compaction);
    snapshots_kick(&engine->snapshots);
    event_signal(engine->env, &engine->progress);
}

/* ---- jobs ---- */

static bool is_flushing_locked(const struct flusher *flusher, unsigned table)
{
    for (const struct flush_job *job = flusher->jobs; job; job = job->next)
        if (job->table == table)
            return true;
    return false;
}

static bool is_empty(const struct sealed_memtable *sealed)
{
    struct memtable_stats stats;

    memtable_get_stats(sealed->memtable, &stats);
    return stats.partitions == 0;
}

/* An empty one goes with the edit of one that is not and ends no earlier: a flush of its own would
 * sync all values before its end, which the other's need not. */
static bool goes_with_another(const struct view *view, const struct sealed_memtable *sealed)
{
    if (!is_empty(sealed))
        return false;
    for (unsigned i = 0; i < view->table_count; i++) {
        const struct table_view *table = &view->tables[i];
        const struct sealed_memtable *oldest;

        if (table->sealed_count == 0)
            continue;
        oldest = &table->sealed[table->sealed_count - 1];
        if (oldest->end_position >= sealed->end_position && !is_empty(oldest))
            return true;
    }
    return false;
}

/* Lower ends first; of those with one end the largest: when its values are in an SSTable, the log
 * need not be synced with them for the others. */
static bool comes_before(const struct sealed_memtable *a, const struct sealed_memtable *b)
{
    if (a->end_position != b->end_position)
        return a->end_position < b->end_position;
    return memtable_bytes(a->memtable) > memtable_bytes(b->memtable);
}

/* The oldest sealed memtable that may be flushed now, by its end; NULL: none. In the order in which
 * they were sealed, so that the log can be freed: none goes ahead of one that has writers. */
static const struct sealed_memtable *pick_locked(
    struct flusher *flusher, const struct view *view, unsigned *ret_table)
{
    uint64_t now_us = env_monotonic_us(flusher->engine->env);
    const struct sealed_memtable *best = NULL;

    for (unsigned i = 0; i < view->table_count; i++) {
        const struct table_view *table = &view->tables[i];
        const struct sealed_memtable *oldest;

        if (table->sealed_count == 0 || is_flushing_locked(flusher, i) ||
            flusher->history[i].retry_us > now_us)
            continue;
        oldest = &table->sealed[table->sealed_count - 1];
        if (goes_with_another(view, oldest))
            continue;
        if (!best || comes_before(oldest, best)) {
            best = oldest;
            *ret_table = i;
        }
    }
    return best && epochs_await(&flusher->engine->writers, best->epoch) ? best : NULL;
}

/* 1 and a new job; 0: there is nothing to flush; -ENOMEM. */
static int begin_job_locked(struct flusher *flusher, struct flush_job **ret_job)
{
    struct view *view = views_acquire(&flusher->engine->views);
    unsigned table;
    const struct sealed_memtable *sealed = pick_locked(flusher, view, &table);
    struct flush_job *job = sealed ? flush_job_new(flusher->engine, table, sealed) : NULL;
    struct flush_job **end = &flusher->jobs;

    view_unref(view);
    if (!sealed)
        return 0;
    if (!job) {
        failed(flusher, table, err_new(-ENOMEM, "begin a flush"));
        return -ENOMEM;
    }
    while (*end)
        end = &(*end)->next;
    *end = job;
    *ret_job = job;
    return 1;
}

/* A part that nobody writes yet, of the job begun first that has one, or of a new job: 1; 0 when
 * there is none; -ENOMEM. */
static int take_part_locked(struct flusher *flusher, struct flush_part **ret_part)
{
    struct flush_job *job = flusher->jobs;
    int r = 1;

    while (job && (job->parts_taken == job->part_count || job->failure < 0))
        job = job->next;
    if (!job)
        r = begin_job_locked(flusher, &job);
    if (r > 0)
        *ret_part = &job->parts[job->parts_taken++];
    return r;
}

/* The worker's part is written, or failed with `r`. NULL, or the job, when no part of it is left:
 * to be ended. Of one that failed, no other part is begun. */
static struct flush_job *leave_part(struct flush_worker *worker, int r)
{
    struct flush_job *job = worker->part->job;
    bool ended;

    worker->part = NULL;
    mutex_lock(&worker->flusher->mutex);
    job->parts_written++;
    if (r < 0 && job->failure == 0)
        job->failure = r;
    ended = job->parts_written == (job->failure < 0 ? job->parts_taken : job->part_count);
    mutex_unlock(&worker->flusher->mutex);
    return ended ? job : NULL;
}

/* Commits it, unless a part of it failed, and frees it. What is noted of it is so before another of
 * its table can begin; its memory is free before others are told. */
static int end_job(struct flusher *flusher, struct flush_job *job)
{
    struct flush_job **at = &flusher->jobs;
    int failure = atomic_load(&job->failure);
    int r = failure < 0 ? failure : flush_job_commit(job);

    if (r < 0)
        failed(flusher, job->table, r);
    else
        flusher->history[job->table] = (struct flush_history){0};
    mutex_lock(&flusher->mutex);
    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    mutex_unlock(&flusher->mutex);
    flush_job_free(job);
    if (r == 0)
        succeeded(flusher->engine);
    return r;
}

/* ---- tasks ---- */

/* One step of the part at hand; the last to leave ends the job. 1 until then, and what
 * became of the job after. */
static int write_on(struct flush_worker *worker)
{
    struct flush_job *job = worker->part->job;
    int r = engine_failure(job->engine);

    if (r == 0)
        r = atomic_load(&job->failure);
    if (r == 0)
        r = flush_part_step(worker->part);
    if (r > 0)
        return 1;
    job = leave_part(worker, r);
    return job ? end_job(worker->flusher, job) : 1;
}

/* When to look again, nothing being there to flush. */
static int64_t idle_us_locked(struct flusher *flusher)
{
    struct engine *engine = flusher->engine;
    uint64_t now_us = env_monotonic_us(engine->env);
    uint64_t idle_us = disk_space_is_near_full(&engine->disk_space) ? NEAR_FULL_LOOK_US : LOOK_US;

    for (unsigned i = 0; i < engine->table_count; i++) {
        uint64_t retry_us;

        if (is_flushing_locked(flusher, i))
            continue;
        retry_us = flusher->history[i].retry_us;
        if (retry_us > now_us && retry_us - now_us < idle_us)
            idle_us = retry_us - now_us;
    }
    return (int64_t)idle_us;
}

static int64_t step(void *arg)
{
    struct flush_worker *worker = arg;
    struct flusher *flusher = worker->flusher;
    int64_t idle_us = 0;

    if (engine_failure(flusher->engine) < 0 && !worker->part)
        return TASK_IDLE;
    mutex_lock(&flusher->mutex);
    /* Also while one is written: writers go on into a fresh one. */
    engine_seal_due(flusher->engine);
    if (!worker->part && take_part_locked(flusher, &worker->part) <= 0)
        idle_us = idle_us_locked(flusher);
    mutex_unlock(&flusher->mutex);
    if (!worker->part)
        return idle_us;
    (void)write_on(worker);
    return TASK_AGAIN;
}

int flush_sealed_now(struct flusher *flusher)
{
    struct flush_worker worker = {.flusher = flusher};
    int r = 0;

    while (r >= 0) {
        if (!worker.part) {
            mutex_lock(&flusher->mutex);
            r = take_part_locked(flusher, &worker.part);
            mutex_unlock(&flusher->mutex);
            if (r <= 0)
                return r;
        }
        r = write_on(&worker);
    }
    return r;
}

void flusher_init(struct flusher *flusher, struct engine *engine)
{
    *flusher = (struct flusher){.engine = engine};
    mutex_init(&flusher->mutex, RANK_FLUSH);
    for (unsigned i = 0; i < FLUSH_TASKS_MAX; i++)
        flusher->workers[i].flusher = flusher;
}

int flusher_start(struct flusher *flusher)
{
    struct engine *engine = flusher->engine;
    int r = 0;

    for (unsigned i = 0; r == 0 && i < engine->options.flush_tasks; i++)
        r = task_start(engine->env, "flush", step, &flusher->workers[i], &flusher->workers[i].task);
    if (r == 0)
        flusher_kick(flusher);
    return r;
}

void flusher_stop(struct flusher *flusher)
{
    for (unsigned i = 0; i < FLUSH_TASKS_MAX; i++) {
        task_stop(flusher->engine->env, flusher->workers[i].task);
        flusher->workers[i].task = NULL;
        flusher->workers[i].part = NULL;
    }
    while (flusher->jobs) {
        struct flush_job *job = flusher->jobs;

        flusher->jobs = job->next;
        flush_job_free(job);
    }
}

void flusher_release(struct flusher *flusher)
{
    flusher_stop(flusher);
    mutex_release(&flusher->mutex);
}

void flusher_kick(struct flusher *flusher)
{
    for (unsigned i = 0; i < FLUSH_TASKS_MAX; i++)
        if (flusher->workers[i].task)
            task_kick(flusher->engine->env, flusher->workers[i].task);
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
