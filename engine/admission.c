#include "admission.h"

#include <inttypes.h>

#include "engine/error.h"
#include "engine/log.h"
#include "ranks.h"
#include "rows/update.h"
#include "sleeper.h"
#include "state.h"

#define SPACE_LOOK_US 50000
#define RESERVE_LOOK_US 1000000
#define RESERVE_BYTES_USUAL (8u << 20)
#define RESERVE_BYTES_MAX (1u << 30)
#define ACTIVE_BYTES_MAX (128u << 20)
#define PIECE_BYTES_MIN (4u << 20)
#define PIECE_BYTES_MAX (1u << 30)
#define FLUSH_KICK_US 500000
#define NEAR_FULL_BYTES_MAX (1u << 30)
#define RESERVE_FILE "reserve"

struct parked {
    struct parked *next;
    unsigned table;
    uint64_t bytes;
    enum admission class;
    struct batch **ret_batch;
    engine_go go;
    void *arg;
    int r;
};

static uint64_t reserve_bytes(const struct io_space *space)
{
    uint64_t bytes = space->total_bytes / 100;

    if (bytes < RESERVE_BYTES_USUAL)
        bytes = RESERVE_BYTES_USUAL;
    if (bytes > space->total_bytes / 32)
        bytes = space->total_bytes / 32;
    return bytes > RESERVE_BYTES_MAX ? RESERVE_BYTES_MAX : bytes;
}

/* A memtable becomes one SSTable, and that is to fit the reserve when it is written again. */
static void limit_to_disk(struct admissions *admission)
{
    uint64_t bytes_max = PIECE_BYTES_MIN;
    struct io_space space;

    if (io_space(admission->engine->env, &space) < 0)
        return;
    if (bytes_max < space.total_bytes / 64)
        bytes_max = space.total_bytes / 64;
    if (admission->active_bytes_max <= bytes_max)
        return;
    admission->active_bytes_max = bytes_max;
    /* Two: one is flushed while the other is filled. */
    admission->table_bytes_max = 2 * bytes_max;
}

void admission_init(struct admissions *admission, struct engine *engine)
{
    uint64_t budget = engine->options.memory_bytes / 2;

    *admission = (struct admissions){.engine = engine};
    mutex_init(&admission->mutex, RANK_ADMISSION);
    /* One table's flood leaves a quarter to the others: metadata never waits for file data. */
    admission->bytes_max = budget;
    admission->table_bytes_max = budget / 4 * 3;
    admission->active_bytes_max = admission->table_bytes_max / 2;
    if (admission->active_bytes_max > ACTIVE_BYTES_MAX)
        admission->active_bytes_max = ACTIVE_BYTES_MAX;
    limit_to_disk(admission);
}

void admission_release(struct admissions *admission)
{
    mutex_release(&admission->mutex);
}

/* ---- the disk ---- */

static int fill_reserve(struct env *env, uint64_t bytes)
{
    int fd, r;

    r = io_open(env, RESERVE_FILE, O_RDWR | O_CREAT, &fd);
    if (r < 0)
        return r;
    r = io_allocate(env, fd, bytes);
    if (r == -EOPNOTSUPP) {
        static const uint8_t zeros[64 << 10];

        r = 0;
        for (uint64_t at = 0; at < bytes && r == 0; at += sizeof(zeros))
            r = io_write(env, fd, zeros, sizeof(zeros), at);
    }
    if (r < 0 && io_truncate(env, fd, 0) < 0)
        log_warning("op=reserve: the part that was taken is not given back");
    io_close(env, fd);
    return r;
}

int admission_make_reserve(struct env *env)
{
    struct io_space space;
    int r = io_space(env, &space);

    return r < 0 ? r : fill_reserve(env, reserve_bytes(&space));
}

bool admission_open_reserve(struct admissions *admission)
{
    struct env *env = admission->engine->env;
    bool given = false;
    int fd;

    mutex_lock(&admission->mutex);
    if (!admission->reserve_given && io_open(env, RESERVE_FILE, O_RDWR, &fd) == 0) {
        given = io_truncate(env, fd, 0) == 0;
        io_close(env, fd);
        admission->reserve_given = true;
        atomic_store(&admission->space_checked_us, 0);
    }
    mutex_unlock(&admission->mutex);
    if (given) {
        log_warning("op=reserve: the disk is full, %" PRIu64 " reserved bytes are in use",
            admission->reserve_bytes);
        admission_kick(admission);
    }
    return given;
}

static void look_at_space_locked(struct admissions *admission)
{
    uint64_t now_us = env_monotonic_us(admission->engine->env);

    uint64_t checked_us = atomic_load(&admission->space_checked_us);

    if (checked_us && now_us - checked_us < SPACE_LOOK_US)
        return;
    /* What cannot be known counts as no obstacle: the writes themselves will tell. */
    if (io_space(admission->engine->env, &admission->space) < 0)
        admission->space = (struct io_space){UINT64_MAX / 2, UINT64_MAX / 2};
    atomic_store(&admission->space_checked_us, now_us ? now_us : 1);
    admission->admitted_bytes = 0;
}

/* What the store needs for itself to go on working: log segments, the manifest. */
static uint64_t low_mark(const struct admissions *admission)
{
    return 4 * admission->engine->segment_bytes;
}

struct usage {
    uint64_t total;
    uint64_t table; /* of the one asked about */
};

static struct usage usage_locked(struct admissions *admission, unsigned table)
{
    struct engine *engine = admission->engine;
    struct view *view = views_acquire(&engine->views);
    struct usage usage = {0};

    for (unsigned i = 0; i < engine->table_count; i++) {
        uint64_t bytes = view_memtable_bytes(view, i) + admission->reserved[i];

        usage.total += bytes;
        if (i == table)
            usage.table = bytes;
    }
    view_unref(view);
    if (usage.total >
        atomic_load_explicit(&engine->counters.memtable_bytes_max, memory_order_relaxed))
        atomic_store_explicit(
            &engine->counters.memtable_bytes_max, usage.total, memory_order_relaxed);
    return usage;
}

static uint64_t available_locked(struct admissions *admission)
{
    uint64_t taken;

    look_at_space_locked(admission);
    taken = usage_locked(admission, 0).total + low_mark(admission) + admission->admitted_bytes;
    if (admission->reserve_given)
        taken += admission->reserve_bytes;
    return admission->space.available_bytes > taken ? admission->space.available_bytes - taken : 0;
}

void admission_space(struct admissions *admission, uint64_t *ret_total, uint64_t *ret_available)
{
    mutex_lock(&admission->mutex);
    *ret_available = available_locked(admission);
    *ret_total = admission->space.total_bytes;
    mutex_unlock(&admission->mutex);
}

/* Compactions take space for a while, up to as much as they merge: after a write was refused for
 * it, what is available may be much again, and yet the next writes will be refused. */
static bool is_near_full_locked(struct admissions *admission)
{
    uint64_t available = available_locked(admission);
    uint64_t plenty = admission->space.total_bytes / 4;

    if (available >= plenty)
        admission->refused = false;
    else if (admission->refused)
        return true;
    return available < low_mark(admission) + admission->reserve_bytes +
                           (plenty < NEAR_FULL_BYTES_MAX ? plenty : NEAR_FULL_BYTES_MAX);
}

bool admission_is_near_full(struct admissions *admission)
{
    bool near_full;

    mutex_lock(&admission->mutex);
    near_full = is_near_full_locked(admission);
    mutex_unlock(&admission->mutex);
    return near_full;
}

uint64_t admission_piece_bytes(struct admissions *admission)
{
    uint64_t bytes;

    mutex_lock(&admission->mutex);
    look_at_space_locked(admission);
    bytes = admission->space.total_bytes / 128;
    mutex_unlock(&admission->mutex);
    if (bytes < PIECE_BYTES_MIN)
        return PIECE_BYTES_MIN;
    return bytes > PIECE_BYTES_MAX ? PIECE_BYTES_MAX : bytes;
}

static bool disk_is_full_locked(struct admissions *admission, uint64_t bytes, uint64_t unflushed)
{
    uint64_t wanted = low_mark(admission) + unflushed + bytes;

    look_at_space_locked(admission);
    /* What was admitted goes to the log, and once more to its SSTable. */
    wanted += admission->admitted_bytes + bytes;
    /* Space that was reserved is for what frees space, also while it is given out. */
    if (admission->reserve_given)
        wanted += admission->reserve_bytes;
    return admission->space.available_bytes < wanted;
}

/* ---- admitting ---- */

/* 0: admitted and reserved; -EAGAIN: no memory now; -ENOSPC. */
static int try_locked(
    struct admissions *admission, unsigned table, uint64_t bytes, enum admission class)
{
    struct usage usage = usage_locked(admission, table);

    if (class == ADMIT_RECLAIM) {
        /* What frees space goes ahead of what takes it, up to where memory is in danger. */
        if (usage.total + bytes > 2 * admission->bytes_max)
            return -EAGAIN;
    } else {
        if (disk_is_full_locked(admission, bytes, usage.total)) {
            admission->refused = true;
            if (compaction_gives_space(&admission->engine->compaction))
                return -EAGAIN;
            return err_new(-ENOSPC, "the store's disk is full");
        }
        if (usage.total + bytes > admission->bytes_max ||
            usage.table + bytes > admission->table_bytes_max)
            return -EAGAIN;
    }
    admission->reserved[table] += bytes;
    admission->admitted_bytes += bytes;
    return 0;
}

/* What deletes on a disk nearly full is not to wait in memory for more. A kick now and then is
 * enough, as the flusher looks again by itself once it has been told. */
static bool wants_flush_locked(struct admissions *admission, enum admission class)
{
    uint64_t now_us;

    if (class != ADMIT_RECLAIM)
        return false;
    now_us = env_monotonic_us(admission->engine->env);
    if (admission->flush_kicked_us && now_us - admission->flush_kicked_us < FLUSH_KICK_US)
        return false;
    if (!is_near_full_locked(admission))
        return false;
    admission->flush_kicked_us = now_us ? now_us : 1;
    return true;
}

static void give_back_locked(struct admissions *admission, unsigned table, uint64_t bytes)
{
    admission->reserved[table] -= bytes;
}

void admission_give_back(struct admissions *admission, unsigned table, uint64_t bytes)
{
    bool parked;

    mutex_lock(&admission->mutex);
    give_back_locked(admission, table, bytes);
    parked = admission->first_parked != NULL;
    mutex_unlock(&admission->mutex);
    if (parked)
        admission_kick(admission);
}

static int make_batch(
    struct engine *engine, unsigned table, uint64_t bytes, struct batch **ret_batch)
{
    struct batch *batch = batch_new(engine->tables, engine->table_count);

    if (!batch) {
        admission_give_back(&engine->admission, table, bytes);
        return -ENOMEM;
    }
    *batch_reservation(batch) = (struct batch_reservation){table, bytes};
    *ret_batch = batch;
    return 0;
}

static int park_locked(struct admissions *admission, const struct parked *wanted)
{
    struct parked *parked = malloc(sizeof(*parked));

    if (!parked)
        return -ENOMEM;
    *parked = *wanted;
    if (admission->last_parked)
        admission->last_parked->next = parked;
    else
        admission->first_parked = parked;
    admission->last_parked = parked;
    atomic_fetch_add_explicit(
        &admission->engine->counters.admissions_parked, 1, memory_order_relaxed);
    return -EINPROGRESS;
}

static bool is_waited_for_locked(const struct admissions *admission, unsigned table)
{
    for (const struct parked *each = admission->first_parked; each; each = each->next)
        if (each->table == table)
            return true;
    return false;
}

int engine_admit(struct engine *engine, unsigned table, uint64_t bytes, enum admission class,
    engine_go go, void *arg, struct batch **ret_batch)
{
    struct admissions *admission = &engine->admission;
    struct sleeper sleeper = SLEEPER_INIT(engine);
    bool wants_flush;
    int r = engine_check_writable(engine);

    if (r < 0)
        return r;
    if (table >= engine->table_count)
        return err_new(-EINVAL, "there is no table %u", table);
    if (bytes > BATCH_BYTES_MAX)
        bytes = BATCH_BYTES_MAX;

    mutex_lock(&admission->mutex);
    /* Behind who waits for the same table already, but for the class that never waits long. */
    r = class == ADMIT_GROW && is_waited_for_locked(admission, table)
            ? -EAGAIN
            : try_locked(admission, table, bytes, class);
    if (r == -EAGAIN)
        r = park_locked(admission, &(struct parked){NULL, table, bytes, class, ret_batch,
                                       go ? go : sleeper_wake, go ? arg : &sleeper, 0});
    wants_flush = wants_flush_locked(admission, class);
    mutex_unlock(&admission->mutex);

    if (wants_flush)
        flusher_kick(&engine->flusher);
    if (r == 0)
        return make_batch(engine, table, bytes, ret_batch);
    if (r != -EINPROGRESS)
        return r;
    flusher_kick(&engine->flusher);
    admission_kick(admission);
    return go ? r : sleeper_wait(&sleeper);
}

void engine_discard_batch(struct engine *engine, struct batch *batch)
{
    struct batch_reservation reservation;

    if (!batch)
        return;
    reservation = *batch_reservation(batch);
    batch_free(batch);
    if (reservation.bytes > 0)
        admission_give_back(&engine->admission, reservation.table, reservation.bytes);
}

/* ---- the pacer ---- */

/* Takes out of the queue who can go on, in order; a table whose first must wait waits whole. */
static struct parked *take_ready_locked(struct admissions *admission)
{
    struct parked **at = &admission->first_parked, *ready = NULL, **ready_end = &ready;
    struct parked *last = NULL;
    uint64_t blocked = 0;
    int failure = engine_check_writable(admission->engine);

    while (*at) {
        struct parked *parked = *at;

        parked->r = admission->closing ? -ESHUTDOWN : failure;
        if (parked->r == 0)
            parked->r = blocked & 1ull << parked->table
                            ? -EAGAIN
                            : try_locked(admission, parked->table, parked->bytes, parked->class);
        if (parked->r == -EAGAIN) {
            blocked |= 1ull << parked->table;
            last = parked;
            at = &parked->next;
            continue;
        }
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
        ready->go(ready->arg, r);
        free(ready);
        ready = next;
    }
}

/* Once there is room for it without being full again. */
static void retake_reserve(struct admissions *admission)
{
    int r = 0;

    mutex_lock(&admission->mutex);
    if (admission->reserve_given && !disk_is_full_locked(admission, admission->reserve_bytes,
                                        usage_locked(admission, 0).total)) {
        r = fill_reserve(admission->engine->env, admission->reserve_bytes);
        admission->reserve_given = r < 0;
        atomic_store(&admission->space_checked_us, 0);
    }
    mutex_unlock(&admission->mutex);
    if (r < 0 && r != -ENOSPC)
        log_warning("op=reserve: %s", err_text(r));
}

static int64_t step(void *arg)
{
    struct admissions *admission = arg;
    int64_t look_us = TASK_IDLE;

    serve(admission);
    if (engine_check_writable(admission->engine) < 0)
        return TASK_IDLE;
    retake_reserve(admission);
    mutex_lock(&admission->mutex);
    if (admission->reserve_given)
        look_us = RESERVE_LOOK_US;
    /* What they wait for may be space, which comes without a kick. */
    if (admission->first_parked)
        look_us = SPACE_LOOK_US;
    mutex_unlock(&admission->mutex);
    return look_us;
}

int admission_start(struct admissions *admission)
{
    struct env *env = admission->engine->env;
    struct io_stat stat;
    int r;

    mutex_lock(&admission->mutex);
    look_at_space_locked(admission);
    admission->reserve_bytes = reserve_bytes(&admission->space);
    admission->reserve_given = io_stat(env, RESERVE_FILE, &stat) < 0 || stat.size == 0;
    mutex_unlock(&admission->mutex);
    r = task_start(env, "pacer", step, admission, &admission->pacer);
    if (r == 0)
        task_kick(env, admission->pacer);
    return r;
}

void admission_kick(struct admissions *admission)
{
    /* What was unflushed may be an SSTable now: it must be counted somewhere. */
    atomic_store(&admission->space_checked_us, 0);
    if (admission->pacer)
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
