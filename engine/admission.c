#include "admission.h"

#include "engine/error.h"
#include "engine/log.h"
#include "ranks.h"
#include "rows/update.h"
#include "sleeper.h"
#include "state.h"

#define RESERVE_LOOK_US 1000000
#define FLUSH_KICK_US 500000
/* Up to this a batch has memory at once. Of more, most may be values that stay where they are: who
 * fills it says what will not (batch_expect()). */
#define EXPECTED_BYTES_MAX (16u << 10)

struct parked {
    struct parked *next;
    unsigned table;
    uint64_t bytes;
    enum admission class;
    uint64_t began_us; /* monotonic: when it came */
    uint64_t due_us;   /* monotonic: admitted, but not to go on before; 0: not admitted yet */
    struct batch **ret_batch;
    engine_go go;
    void *arg;
    int r;
};

void admission_init(struct admissions *admission, struct engine *engine)
{
    struct io_space space = {UINT64_MAX, UINT64_MAX};

    *admission = (struct admissions){.engine = engine};
    mutex_init(&admission->mutex, RANK_ADMISSION);
    if (io_space(engine->env, &space) < 0)
        space.total_bytes = UINT64_MAX;
    memtable_budgets_init(
        &admission->budgets, &engine->memory, engine->table_count, space.total_bytes);
    for (unsigned i = 0; i < engine->table_count; i++) {
        atomic_init(&admission->tables[i].waiting, 0);
        pace_init(&admission->tables[i].pace);
    }
}

void admission_release(struct admissions *admission)
{
    mutex_release(&admission->mutex);
}

/* ---- memory ---- */

uint64_t admission_bytes(const struct admissions *admission)
{
    return memtable_budgets_look(&admission->budgets).bytes;
}

_Atomic uint64_t *admission_account(struct admissions *admission, unsigned table)
{
    return &admission->budgets.tables[table].bytes;
}

void admission_flush_begins(struct admissions *admission, unsigned table, uint64_t bytes)
{
    pace_flush_begins(
        &admission->tables[table].pace, bytes, env_monotonic_us(admission->engine->env));
}

void admission_flush_ends(struct admissions *admission, unsigned table)
{
    struct engine *engine = admission->engine;
    uint64_t began_us =
        pace_flush_ends(&admission->tables[table].pace, env_monotonic_us(engine->env));

    engine_note_latency(engine, LATENCY_FLUSH, began_us);
}

static void give_back(struct admissions *admission, unsigned table, uint64_t bytes)
{
    atomic_fetch_sub(&admission->budgets.tables[table].bytes, bytes);
    if (atomic_load(&admission->tables[table].waiting) > 0 && admission->pacer)
        task_kick(admission->engine->env, admission->pacer);
}

static void note_bytes_max(struct admissions *admission, uint64_t bytes)
{
    _Atomic uint64_t *max = &admission->engine->counters.memtable_bytes_max;

    if (bytes > atomic_load_explicit(max, memory_order_relaxed))
        atomic_store_explicit(max, bytes, memory_order_relaxed);
}

/* Whether the table has room for `bytes`, which then are counted. What frees space goes ahead of
 * what takes it. */
static bool take_memory(
    struct admissions *admission, unsigned table, uint64_t bytes, enum admission class)
{
    struct memtable_budgets *budgets = &admission->budgets;
    struct memory_use use = memtable_budgets_look(budgets);
    uint64_t budget = memtable_budget(budgets, &use, table);

    if (class == ADMIT_RECLAIM)
        budget += budget / 4;
    if (!memtable_budget_take(&budgets->tables[table], bytes, budget))
        return false;
    note_bytes_max(admission, use.bytes + bytes);
    return true;
}

/* ---- admitting ---- */

/* 0: admitted, its bytes are counted; -EAGAIN: no memory now; -ENOSPC. */
static int try(struct admissions *admission, unsigned table, uint64_t bytes, enum admission class)
{
    struct engine *engine = admission->engine;

    if (class == ADMIT_GROW && disk_space_is_short(&engine->disk_space, bytes)) {
        disk_space_note_refused(&engine->disk_space);
        if (compaction_gives_space(&engine->compaction))
            return -EAGAIN;
        return err_new(-ENOSPC, "the store's disk is full");
    }
    if (atomic_load_explicit(&admission->sync_is_late, memory_order_relaxed))
        return -EAGAIN;
    /* The log is bounded: it has room again when tables are flushed. */
    if (commitlog_segments_left(engine->log) == 0)
        return -EAGAIN;
    if (!take_memory(admission, table, bytes, class))
        return -EAGAIN;
    disk_space_note_admitted(&engine->disk_space, bytes);
    return 0;
}

/* When who was admitted may go on: 0: at once. */
static uint64_t due_us(
    struct admissions *admission, unsigned table, uint64_t bytes, enum admission class)
{
    struct memory_use use = memtable_budgets_look(&admission->budgets);
    uint64_t budget = memtable_budget(&admission->budgets, &use, table);
    uint64_t used = atomic_load(&admission->budgets.tables[table].bytes);
    uint64_t now_us, delay_us;

    if (class == ADMIT_RECLAIM || used <= pace_free_bytes(budget))
        return 0;
    now_us = env_monotonic_us(admission->engine->env);
    delay_us = pace_delay_us(&admission->tables[table].pace, bytes, used, budget, now_us);
    return delay_us > 0 ? now_us + delay_us : 0;
}

/* What deletes on a disk nearly full is not to wait in memory for more. A kick now and then is
 * enough, as the flusher looks again by itself once it has been told. */
static void flush_deletions(struct admissions *admission)
{
    struct engine *engine = admission->engine;
    uint64_t now_us = env_monotonic_us(engine->env);
    uint64_t kicked_us = atomic_load(&admission->flush_kicked_us);

    if (kicked_us && now_us - kicked_us < FLUSH_KICK_US)
        return;
    if (!disk_space_is_near_full(&engine->disk_space))
        return;
    atomic_store(&admission->flush_kicked_us, now_us ? now_us : 1);
    flusher_kick(&engine->flusher);
}

static int make_batch(
    struct engine *engine, unsigned table, uint64_t bytes, struct batch **ret_batch)
{
    struct batch *batch = batch_new(engine->tables, engine->table_count);

    if (!batch) {
        give_back(&engine->admission, table, bytes);
        return -ENOMEM;
    }
    if (bytes <= EXPECTED_BYTES_MAX)
        batch_expect(batch, bytes);
    *batch_reservation(batch) = (struct batch_reservation){table, bytes};
    *ret_batch = batch;
    return 0;
}

static int park(struct admissions *admission, const struct parked *wanted)
{
    struct engine *engine = admission->engine;
    struct parked *parked = malloc(sizeof(*parked));

    if (!parked) {
        if (wanted->due_us)
            give_back(admission, wanted->table, wanted->bytes);
        return -ENOMEM;
    }
    *parked = *wanted;
    parked->began_us = env_monotonic_us(engine->env);
    mutex_lock(&admission->mutex);
    if (admission->last_parked)
        admission->last_parked->next = parked;
    else
        admission->first_parked = parked;
    admission->last_parked = parked;
    if (!parked->due_us)
        atomic_fetch_add(&admission->tables[parked->table].waiting, 1);
    mutex_unlock(&admission->mutex);
    if (wanted->due_us) {
        atomic_fetch_add_explicit(&engine->counters.admissions_paced, 1, memory_order_relaxed);
    } else {
        atomic_fetch_add_explicit(&engine->counters.admissions_parked, 1, memory_order_relaxed);
        flusher_kick(&engine->flusher);
    }
    task_kick(engine->env, admission->pacer);
    return -EINPROGRESS;
}

int engine_admit(struct engine *engine, unsigned table, uint64_t bytes, enum admission class,
    engine_go go, void *arg, struct batch **ret_batch)
{
    struct admissions *admission = &engine->admission;
    struct sleeper sleeper = SLEEPER_INIT(engine);
    struct parked wanted = {.table = table,
        .class = class,
        .ret_batch = ret_batch,
        .go = go ? go : sleeper_wake,
        .arg = go ? arg : &sleeper};
    uint64_t bytes_max;
    int r = engine_check_writable(engine);

    if (r < 0)
        return r;
    if (table >= engine->table_count)
        return err_new(-EINVAL, "there is no table %u", table);
    bytes_max = memtable_budget_batch_max(&admission->budgets, table);
    wanted.bytes = bytes < bytes_max ? bytes : bytes_max;

    /* Behind who waits for the same table already, but for the class that never waits long. */
    r = class == ADMIT_GROW && atomic_load(&admission->tables[table].waiting) > 0
            ? -EAGAIN
            : try(admission, table, wanted.bytes, class);
    if (class == ADMIT_RECLAIM)
        flush_deletions(admission);
    if (r == 0) {
        wanted.due_us = due_us(admission, table, wanted.bytes, class);
        if (!wanted.due_us)
            return make_batch(engine, table, wanted.bytes, ret_batch);
    } else if (r != -EAGAIN) {
        return r;
    }
    r = park(admission, &wanted);
    return go || r != -EINPROGRESS ? r : sleeper_wait(&sleeper);
}

void engine_discard_batch(struct engine *engine, struct batch *batch)
{
    struct batch_reservation reservation;

    if (!batch)
        return;
    reservation = *batch_reservation(batch);
    batch_free(batch);
    if (reservation.bytes > 0)
        give_back(&engine->admission, reservation.table, reservation.bytes);
}

/* ---- the pacer ---- */

/* 0: it may go on; -EAGAIN: not yet; else it must not. */
static int look_at_parked(struct admissions *admission, const struct parked *parked,
    uint64_t now_us, uint64_t blocked, int failure)
{
    int r = admission->closing ? -ESHUTDOWN : failure;

    if (parked->due_us) {
        if (r < 0)
            give_back(admission, parked->table, parked->bytes);
        return r < 0 || now_us >= parked->due_us ? r : -EAGAIN;
    }
    if (r == 0)
        r = blocked & 1ull << parked->table
                ? -EAGAIN
                : try(admission, parked->table, parked->bytes, parked->class);
    return r;
}

/* Takes out of the queue who can go on, in order; a table whose first must wait waits whole. */
static struct parked *take_ready_locked(struct admissions *admission)
{
    struct parked **at = &admission->first_parked, *ready = NULL, **ready_end = &ready;
    struct parked *last = NULL;
    uint64_t blocked = 0, now_us = env_monotonic_us(admission->engine->env);
    int failure = engine_check_writable(admission->engine);

    while (*at) {
        struct parked *parked = *at;

        parked->r = look_at_parked(admission, parked, now_us, blocked, failure);
        if (parked->r == -EAGAIN) {
            if (!parked->due_us)
                blocked |= 1ull << parked->table;
            last = parked;
            at = &parked->next;
            continue;
        }
        if (!parked->due_us)
            atomic_fetch_sub(&admission->tables[parked->table].waiting, 1);
        *at = parked->next;
        parked->next = NULL;
        *ready_end = parked;
        ready_end = &parked->next;
    }
    admission->last_parked = last;
    return ready;
}

static void serve(struct admissions *admission)
{
    struct parked *ready;

    mutex_lock(&admission->mutex);
    ready = take_ready_locked(admission);
    mutex_unlock(&admission->mutex);
    while (ready) {
        struct parked *next = ready->next;
        int r = ready->r;

        if (r == 0)
            r = make_batch(admission->engine, ready->table, ready->bytes, ready->ret_batch);
        engine_note_latency(admission->engine, LATENCY_ADMISSION, ready->began_us);
        ready->go(ready->arg, r);
        free(ready);
        ready = next;
    }
}

/* Here and not by each writer, who would have to read the clock. */
static void note_late_sync(struct admissions *admission)
{
    struct engine *engine = admission->engine;
    bool is_late = env_monotonic_us(engine->env) >= sync_queue_late_us(&engine->sync_queue);

    atomic_store_explicit(&admission->sync_is_late, is_late, memory_order_relaxed);
}

static int64_t until_sync_is_late(const struct admissions *admission, uint64_t now_us)
{
    uint64_t late_us = sync_queue_late_us(&admission->engine->sync_queue);

    return late_us == UINT64_MAX || late_us <= now_us ? TASK_IDLE : (int64_t)(late_us - now_us);
}

/* When to look at those still parked: what they wait for may be space, which comes without a kick.
 */
static int64_t next_look_us(struct admissions *admission)
{
    uint64_t now_us = env_monotonic_us(admission->engine->env);
    int64_t look_us = until_sync_is_late(admission, now_us);

    if (atomic_load(&admission->engine->disk_space.reserve_given) &&
        (look_us == TASK_IDLE || look_us > RESERVE_LOOK_US))
        look_us = RESERVE_LOOK_US;
    mutex_lock(&admission->mutex);
    for (const struct parked *each = admission->first_parked; each; each = each->next) {
        int64_t wait_us = DISK_LOOK_US;

        if (each->due_us)
            wait_us = each->due_us > now_us ? (int64_t)(each->due_us - now_us) : TASK_AGAIN;
        if (look_us == TASK_IDLE || wait_us < look_us)
            look_us = wait_us;
    }
    mutex_unlock(&admission->mutex);
    return look_us;
}

static int64_t step(void *arg)
{
    struct admissions *admission = arg;

    note_late_sync(admission);
    serve(admission);
    if (engine_check_writable(admission->engine) < 0)
        return TASK_IDLE;
    disk_space_retake_reserve(&admission->engine->disk_space);
    return next_look_us(admission);
}

int admission_start(struct admissions *admission)
{
    struct env *env = admission->engine->env;
    int r;

    disk_space_start(&admission->engine->disk_space);
    r = task_start(env, "pacer", step, admission, &admission->pacer);
    if (r == 0)
        task_kick(env, admission->pacer);
    return r;
}

void admission_kick(struct admissions *admission)
{
    disk_space_look_again(&admission->engine->disk_space);
    if (admission->pacer)
        task_kick(admission->engine->env, admission->pacer);
}

void admission_sync_ended(struct admissions *admission)
{
    if (atomic_load(&admission->sync_is_late) && admission->pacer)
        task_kick(admission->engine->env, admission->pacer);
}

void admission_stop(struct admissions *admission)
{
    if (!admission->pacer)
        return;
    task_stop(admission->engine->env, admission->pacer);
    admission->pacer = NULL;
    mutex_lock(&admission->mutex);
    admission->closing = true;
    mutex_unlock(&admission->mutex);
    serve(admission);
}
