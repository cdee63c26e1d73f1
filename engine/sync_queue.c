#include "sync_queue.h"

#include "engine/error.h"
#include "engine/log.h"
#include "ranks.h"
#include "sleeper.h"
#include "state.h"

/* More than this is flushed rather than synced when a period ends. */
#define VALUES_SYNCED_MAX (32u << 20)
#define FLUSH_LOOK_US 20000

struct sync_waiter {
    struct sync_waiter *next;
    uint64_t position;
    engine_go go;
    void *arg;
};

void sync_queue_init(struct sync_queue *queue, struct engine *engine)
{
    *queue = (struct sync_queue){.engine = engine, .due_us = UINT64_MAX};
    atomic_init(&queue->late_us, UINT64_MAX);
    mutex_init(&queue->mutex, RANK_SYNC_WAIT);
}

void sync_queue_release(struct sync_queue *queue)
{
    mutex_release(&queue->mutex);
}

static int sync_log(struct engine *engine, uint64_t position)
{
    uint64_t began_us = env_monotonic_us(engine->env);
    int r = commitlog_sync(engine->log, position);

    engine_note_latency(engine, LATENCY_SYNC, began_us);
    if (r < 0)
        engine_fail(engine, r, "sync the commit log");
    return r;
}

/* One sync for all that wait now; those who come meanwhile are for the next. */
static void serve(struct sync_queue *queue)
{
    struct sync_waiter *waiter;
    uint64_t position = 0;
    int r = 0;

    mutex_lock(&queue->mutex);
    waiter = queue->first;
    queue->first = queue->last = NULL;
    queue->due_us = UINT64_MAX;
    mutex_unlock(&queue->mutex);
    for (const struct sync_waiter *each = waiter; each; each = each->next)
        if (each->position > position)
            position = each->position;
    if (waiter)
        r = sync_log(queue->engine, position);
    while (waiter) {
        struct sync_waiter *next = waiter->next;

        waiter->go(waiter->arg, r);
        free(waiter);
        waiter = next;
    }
}

/* ---- the periodic sync ---- */

/* Values of tables that are being flushed, or should be, come to the device by that. */
static void seal_values(struct sync_queue *queue)
{
    struct engine *engine = queue->engine;
    int r;

    mutex_lock(&engine->change);
    r = engine_switch_memtables(engine, queue->flush_tables, &queue->flush_position);
    mutex_unlock(&engine->change);
    if (r < 0 && r != -EAGAIN) {
        log_error("op=switch: %s", err_text(r));
        queue->flush_until_us = 0;
    }
}

static void plan_periodic(struct sync_queue *queue)
{
    struct engine *engine = queue->engine;
    uint64_t period_us = engine->options.sync_period_us;

    queue->periodic_us = env_monotonic_us(engine->env) + period_us;
    if (engine->options.sync_mode == SYNC_PERIODIC)
        atomic_store(&queue->late_us, queue->periodic_us + period_us / 2);
}

uint64_t sync_queue_late_us(const struct sync_queue *queue)
{
    return atomic_load_explicit(&queue->late_us, memory_order_relaxed);
}

static void begin_periodic(struct sync_queue *queue, uint64_t now_us)
{
    struct engine *engine = queue->engine;
    uint64_t tables;

    queue->periodic_position = commitlog_end(engine->log);
    queue->flush_position = 0;
    queue->flush_until_us = 0;
    if (commitlog_unsynced_values(engine->log, &tables) <= VALUES_SYNCED_MAX)
        return;
    queue->flush_tables = tables;
    queue->flush_until_us = now_us + engine->options.sync_period_us / 2;
}

/* Is it to wait for a flush, which writes the same bytes, but once and for all? */
static bool waits_for_flush(struct sync_queue *queue, uint64_t now_us)
{
    if (now_us >= queue->flush_until_us || engine_failure(queue->engine) < 0)
        return false;
    if (queue->flush_position == 0)
        seal_values(queue);
    return queue->flush_position == 0 ||
           !commitlog_is_flushed(queue->engine->log, queue->flush_tables, queue->flush_position);
}

/*
 * What was written by now is durable within half a period. Many values are flushed instead of
 * synced: else a stream would be written twice, as it is flushed soon anyway.
 */
static void sync_periodically(struct sync_queue *queue, uint64_t now_us)
{
    struct engine *engine = queue->engine;

    if (queue->periodic_us > now_us)
        return;
    if (queue->periodic_position == 0)
        begin_periodic(queue, now_us);
    if (waits_for_flush(queue, now_us)) {
        queue->periodic_us = now_us + FLUSH_LOOK_US;
        return;
    }
    if (commitlog_synced(engine->log) < queue->periodic_position)
        (void)sync_log(engine, queue->periodic_position); /* a failure is kept by the engine */
    queue->periodic_position = 0;
    plan_periodic(queue);
    admission_sync_ended(&engine->admission);
}

/* ---- the task ---- */

static int64_t step(void *arg)
{
    struct sync_queue *queue = arg;
    struct engine *engine = queue->engine;
    uint64_t now_us = env_monotonic_us(engine->env);
    bool periodic = engine->options.sync_mode == SYNC_PERIODIC;
    uint64_t due_us;

    mutex_lock(&queue->mutex);
    due_us = queue->due_us;
    mutex_unlock(&queue->mutex);
    if (due_us <= now_us)
        serve(queue);
    if (periodic)
        sync_periodically(queue, now_us);

    mutex_lock(&queue->mutex);
    due_us = queue->due_us;
    mutex_unlock(&queue->mutex);
    if (periodic && queue->periodic_us < due_us)
        due_us = queue->periodic_us;
    if (due_us == UINT64_MAX)
        return TASK_IDLE;
    now_us = env_monotonic_us(engine->env);
    return due_us <= now_us ? TASK_AGAIN : (int64_t)(due_us - now_us);
}

int sync_queue_start(struct sync_queue *queue)
{
    struct engine *engine = queue->engine;
    int r;

    plan_periodic(queue);
    r = task_start(engine->env, "sync", step, queue, &queue->task);
    if (r == 0)
        task_kick(engine->env, queue->task);
    return r;
}

void sync_queue_stop(struct sync_queue *queue)
{
    if (!queue->task)
        return;
    task_stop(queue->engine->env, queue->task);
    queue->task = NULL;
    serve(queue);
}

static int enqueue(
    struct sync_queue *queue, uint64_t position, uint64_t delay_us, engine_go go, void *arg)
{
    struct sync_waiter *waiter = malloc(sizeof(*waiter));
    uint64_t due_us = env_monotonic_us(queue->engine->env) + delay_us;

    if (!waiter)
        return -ENOMEM;
    *waiter = (struct sync_waiter){NULL, position, go, arg};
    mutex_lock(&queue->mutex);
    if (queue->last)
        queue->last->next = waiter;
    else
        queue->first = waiter;
    queue->last = waiter;
    if (due_us < queue->due_us)
        queue->due_us = due_us;
    mutex_unlock(&queue->mutex);
    task_kick(queue->engine->env, queue->task);
    return -EINPROGRESS;
}

int sync_queue_add(
    struct sync_queue *queue, uint64_t position, uint64_t delay_us, engine_go go, void *arg)
{
    struct sleeper sleeper = SLEEPER_INIT(queue->engine);
    int r;

    if (go)
        return enqueue(queue, position, delay_us, go, arg);
    /* Who waits anyhow and for no group leads or joins a sync in its own thread. */
    if (delay_us == 0)
        return sync_log(queue->engine, position);
    r = enqueue(queue, position, delay_us, sleeper_wake, &sleeper);
    return r == -EINPROGRESS ? sleeper_wait(&sleeper) : r;
}
