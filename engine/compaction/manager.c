#include "compaction/manager.h"

#include "compaction/choose.h"
#include "compaction/pace.h"
#include "compaction/task.h"
#include "engine/error.h"
#include "engine/log.h"
#include "state.h"

#define FULL_DISK_US 5000000
#define SWEEP_US 1000000 /* how long those who wait for space wait for the sweeper */

static uint64_t asked_for(struct compaction *compaction, unsigned table)
{
    struct engine *engine = compaction->engine;
    uint64_t asked;

    mutex_lock(&engine->change);
    asked = compaction->asked[table] > compaction->done[table] ? compaction->asked[table] : 0;
    mutex_unlock(&engine->change);
    return asked;
}

static void answer(struct compaction *compaction, unsigned table, uint64_t asked, int r)
{
    struct engine *engine = compaction->engine;

    if (asked == 0)
        return;
    mutex_lock(&engine->change);
    compaction->done[table] = asked;
    compaction->results[table] = r;
    mutex_unlock(&engine->change);
    event_signal(engine->env, &engine->progress);
}

/* 1: there is more to do; 0: there is nothing to do. What was asked for goes first. */
static int next_job(struct compaction *compaction)
{
    AUTO(view_unrefp) struct view *view = views_acquire(&compaction->engine->views);
    int r = 0;

    for (unsigned i = 0; i < view->table_count && r == 0; i++) {
        uint64_t asked = asked_for(compaction, i);

        if (asked == 0)
            continue;
        r = choose_merge(compaction, view, i, true);
        if (r == 1)
            compaction_job_set_asked(compaction->job, asked);
        else
            answer(compaction, i, asked, r);
    }
    if (r == 0)
        r = choose_target(compaction, view);
    for (unsigned i = 0; i < view->table_count && r == 0; i++) {
        r = choose_garbage(compaction, view, i);
        if (r == 0) {
            r = choose_merge(compaction, view, i, false);
            atomic_store(&compaction->yields, false);
            atomic_store(&compaction->merging, r == 1);
        }
    }
    return r;
}

/* ---- the task ---- */

static void end_job(struct compaction *compaction)
{
    atomic_store(&compaction->merging, false);
    atomic_store(&compaction->yields, false);
    atomic_store(&compaction->space_comes_us, env_monotonic_us(compaction->engine->env) + SWEEP_US);
    compaction_job_free(compaction->job);
    compaction->job = NULL;
    admission_kick(&compaction->engine->admission);
}

static int64_t failed(struct compaction *compaction, int r)
{
    struct engine *engine = compaction->engine;
    bool reserve_given;

    log_error("op=compaction table=%s: %s",
        engine->tables[compaction_job_table(compaction->job)].name, err_text(r));
    answer(compaction, compaction_job_table(compaction->job), compaction_job_asked(compaction->job),
        r);
    if (err_is_damage(r))
        compaction_job_suspect(compaction->job);
    reserve_given = r == -ENOSPC && disk_space_open_reserve(&engine->disk_space);
    if (r == -ENOSPC && !reserve_given)
        compaction_job_has_no_room(compaction->job);
    end_job(compaction);
    if (engine_failure(engine) < 0)
        return TASK_IDLE;
    return reserve_given ? TASK_AGAIN : FULL_DISK_US;
}

/* What its tombstones deleted is gone: those of older SSTables may be able to go. */
static void note_collection(struct compaction *compaction)
{
    struct engine *engine = compaction->engine;

    if (!compaction_job_collects(compaction->job))
        return;
    mutex_lock(&engine->change);
    compaction->collected[compaction_job_table(compaction->job)] =
        manifest_next_number(engine->manifest);
    mutex_unlock(&engine->change);
}

static bool is_waited_for(struct compaction *compaction)
{
    struct engine *engine = compaction->engine;
    bool waited_for = false;

    mutex_lock(&engine->change);
    for (unsigned i = 0; i < engine->table_count; i++)
        waited_for |= compaction->asked[i] > compaction->done[i];
    mutex_unlock(&engine->change);
    return waited_for;
}

/* Whether anybody read or wrote since the last step. */
static bool others_are_at_work(struct compaction *compaction)
{
    struct counters *counters = &compaction->engine->counters;
    uint64_t activity = atomic_load_explicit(&counters->batches, memory_order_relaxed) +
                        atomic_load_explicit(&counters->gets, memory_order_relaxed) +
                        atomic_load_explicit(&counters->scans, memory_order_relaxed);
    bool at_work = activity != compaction->activity;

    compaction->activity = activity;
    return at_work;
}

static int64_t rest_after(struct compaction *compaction, uint64_t step_us)
{
    if (!others_are_at_work(compaction) || compaction->in_haste || is_waited_for(compaction))
        return TASK_AGAIN;
    return (int64_t)pace_rest_us(step_us, compaction->debt);
}

static int64_t step(void *arg)
{
    struct compaction *compaction = arg;
    struct engine *engine = compaction->engine;
    uint64_t began_us = env_monotonic_us(engine->env);
    int r;

    if (engine_failure(engine) < 0)
        return TASK_IDLE;
    if (!compaction->job) {
        r = next_job(compaction);
        if (r < 0) {
            log_error("op=compaction: %s", err_text(r));
            return FULL_DISK_US;
        }
        return r == 1 ? TASK_AGAIN : TASK_IDLE;
    }
    if (atomic_load(&compaction->merging) && atomic_load(&compaction->yields)) {
        end_job(compaction);
        return FULL_DISK_US;
    }
    r = compaction_job_step(compaction->job);
    if (r < 0)
        return failed(compaction, r);
    if (r == 0) {
        answer(compaction, compaction_job_table(compaction->job),
            compaction_job_asked(compaction->job), 0);
        note_collection(compaction);
        end_job(compaction);
    }
    return rest_after(compaction, env_monotonic_us(engine->env) - began_us);
}

void compaction_init(struct compaction *compaction, struct engine *engine)
{
    *compaction = (struct compaction){.engine = engine};
    target_init(&compaction->target);
}

void compaction_release(struct compaction *compaction)
{
    target_release(&compaction->target);
}

int compaction_start(struct compaction *compaction)
{
    struct env *env = compaction->engine->env;
    int r = task_start(env, "compact", step, compaction, &compaction->task);

    if (r == 0)
        task_kick(env, compaction->task);
    return r;
}

void compaction_stop(struct compaction *compaction)
{
    if (compaction->task)
        task_stop(compaction->engine->env, compaction->task);
    compaction->task = NULL;
    atomic_store(&compaction->merging, false);
    compaction_job_free(compaction->job);
    compaction->job = NULL;
}

void compaction_kick(struct compaction *compaction)
{
    if (compaction->task)
        task_kick(compaction->engine->env, compaction->task);
}

void compaction_note_dead(struct compaction *compaction, unsigned table, struct bytes key)
{
    if (compaction->task && target_set(&compaction->target, table, key))
        compaction_kick(compaction);
}

bool compaction_gives_space(struct compaction *compaction)
{
    if (atomic_load(&compaction->merging)) {
        atomic_store(&compaction->yields, true);
        return true;
    }
    return env_monotonic_us(compaction->engine->env) < atomic_load(&compaction->space_comes_us);
}

/* ---- on demand ---- */

static bool is_answered(struct engine *engine, unsigned table, uint64_t asked, int *ret_result)
{
    bool answered;

    mutex_lock(&engine->change);
    answered = engine->compaction.done[table] >= asked;
    *ret_result = engine->compaction.results[table];
    mutex_unlock(&engine->change);
    return answered;
}

static int await_answer(struct engine *engine, unsigned table, uint64_t asked)
{
    for (;;) {
        uint64_t ticket = event_ticket(&engine->progress);
        int result, r;

        if (is_answered(engine, table, asked, &result))
            return result;
        r = engine_check_writable(engine);
        if (r < 0)
            return r;
        env_wait(engine->env, &engine->progress, ticket);
    }
}

int engine_compact(struct engine *engine, uint64_t tables)
{
    uint64_t asked[ENGINE_TABLES_MAX] = {0};
    int first = 0, r = engine_check_writable(engine);

    if (r < 0)
        return r;
    mutex_lock(&engine->change);
    for (unsigned i = 0; i < engine->table_count; i++)
        if (tables & 1ull << i)
            asked[i] = ++engine->compaction.asked[i];
    mutex_unlock(&engine->change);
    compaction_kick(&engine->compaction);
    for (unsigned i = 0; i < engine->table_count; i++) {
        if (asked[i] == 0)
            continue;
        r = await_answer(engine, i, asked[i]);
        if (r < 0 && first == 0)
            first = r;
    }
    return first;
}
