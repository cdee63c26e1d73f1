/*
 * The life of a log and of its segments: opening behind what was there, closing so that no tail is
 * left to be judged. What becomes of a segment that is done with: discard.c.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "commitlog/archive.h"
#include "commitlog/log.h"
#include "engine/assert.h"
#include "engine/error.h"

#define LOG_RANK 30
/* A log that archives prewrites its slots if a segment takes longer than that to fill. */
#define PREWRITE_FILL_US 2000000

/* ---- the pool ---- */

void commitlog_note_pool_locked(struct commitlog *log)
{
    atomic_store_explicit(&log->slots_left, pool_left(&log->pool), memory_order_relaxed);
}

unsigned commitlog_segments_left(struct commitlog *log)
{
    return atomic_load_explicit(&log->slots_left, memory_order_relaxed);
}

uint64_t commitlog_oldest_segment(struct commitlog *log)
{
    uint64_t id;

    mutex_lock(&log->mutex);
    id = log->segments ? log->segments->id : 0;
    mutex_unlock(&log->mutex);
    return id;
}

/* For want of space it will be tried again when the next one is wanted. */
static int64_t grown_locked(struct commitlog *log, int r)
{
    if (r < 0 && !commitlog_may_try_again(r))
        commitlog_fail_locked(log, r);
    return r == 0 ? TASK_AGAIN : TASK_IDLE;
}

static int64_t grow_records(struct commitlog *log)
{
    struct slot *slot = NULL;
    bool prewrite;
    int64_t next;
    int number, r;

    mutex_lock(&log->mutex);
    prewrite = log->archives ? log->filled_us > PREWRITE_FILL_US : log->pool.count < POOL_SLOTS_MIN;
    number = log->failed || !pool_wants_more(&log->pool) ? -ENOSPC : pool_new_number(&log->pool);
    mutex_unlock(&log->mutex);
    if (number < 0)
        return TASK_IDLE;
    /* The first are there for whoever syncs what he writes. It takes many writes to want more than
     * those, which are not worth writing before they are used. Where a slot is used but once, it is
     * the time that it takes to fill one that tells. */
    r = slot_make(log->env, SLOT_RECORDS, (unsigned)number, log->segment_bytes, prewrite, &slot);
    mutex_lock(&log->mutex);
    if (r == 0)
        pool_give(&log->pool, slot);
    else
        pool_drop_number(&log->pool, (unsigned)number);
    log->pool.disk_is_full = r == -ENOSPC;
    commitlog_note_pool_locked(log);
    next = grown_locked(log, r);
    mutex_unlock(&log->mutex);
    return next;
}

/* Values are rarely synced: their slots are not worth the writing beforehand. */
static int64_t grow_values(struct commitlog *log)
{
    struct slot *slot = NULL;
    int64_t next;
    int number, r;

    mutex_lock(&log->mutex);
    number = log->failed || log->archives ? -1 : values_new_number(&log->values);
    mutex_unlock(&log->mutex);
    if (number < 0)
        return TASK_IDLE;
    r = slot_make(log->env, SLOT_VALUES, (unsigned)number, log->segment_bytes, false, &slot);
    mutex_lock(&log->mutex);
    if (r == 0)
        values_add_slot(&log->values, slot, NULL);
    next = grown_locked(log, r);
    mutex_unlock(&log->mutex);
    return next;
}

/* Makes slots before they are needed, one a step; then sees to segments that are done with. */
static int64_t grow(void *arg)
{
    struct commitlog *log = arg;

    if (grow_values(log) == TASK_AGAIN || grow_records(log) == TASK_AGAIN)
        return TASK_AGAIN;
    return commitlog_tend(log);
}

static void free_log(struct commitlog *log)
{
    if (log->grower)
        task_stop(log->env, log->grower);
    while (log->segments) {
        struct segment *segment = log->segments;

        log->segments = segment->next;
        slot_close(log->env, segment->slot);
        free(segment);
    }
    pool_release(&log->pool, log->env);
    values_close(&log->values, log->env);
    pthread_cond_destroy(&log->progress);
    mutex_release(&log->mutex);
    free(log);
}

/* ---- opening ---- */

/* A segment that replay begins with, or may: it is kept until it is discarded. */
static int adopt_segment(struct commitlog *log, const struct segment_place *place)
{
    struct segment *segment;
    struct slot *slot;
    int r = slot_open(log->env, SLOT_RECORDS, place->slot, &slot);

    if (r < 0)
        return r;
    pool_add_number(&log->pool, slot->number);
    segment = commitlog_segment_new(place->header.id, slot);
    if (!segment) {
        pool_give(&log->pool, slot);
        return err_new(-ENOMEM, "no memory for a commit log segment");
    }
    segment->sealed = segment->synced = true;
    commitlog_add_segment_locked(log, segment);
    return 0;
}

/* One that is free; `stale`: it has a segment still, which is flushed. What the archive has too is
 * no slot any more: a daemon died before it was dropped. */
static int adopt_free_slot(struct commitlog *log, unsigned number, bool stale)
{
    struct slot *slot;
    int r = slot_open(log->env, SLOT_RECORDS, number, &slot);

    if (r < 0)
        return r;
    if (slot->is_shared)
        return slot_drop(log->env, slot);
    pool_add_number(&log->pool, number);
    pool_give(&log->pool, slot);
    return stale ? slot_clear(log->env, slot) : 0;
}

/* The oldest first, as in service. What is flushed but wanted in the archive goes there first. */
static int adopt_segments(
    struct commitlog *log, const struct segment_list *list, uint64_t from_position)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < list->count; i++) {
        const struct segment_place *place = &list->all[i];

        if (place->header.id >= position_segment(from_position) ||
            commitlog_wants_archived_locked(log, place->header.id))
            r = adopt_segment(log, place);
        else
            r = adopt_free_slot(log, place->slot, true);
    }
    return r;
}

/* Those without a segment. */
static int adopt_free_slots(struct commitlog *log, const struct segment_list *list)
{
    uint64_t slots = list->slots;
    int r = 0;

    for (unsigned i = 0; i < list->count; i++)
        slots &= ~(1ull << list->all[i].slot);
    for (unsigned number = 0; number < SLOT_NUMBERS_MAX && r == 0; number++)
        if (slots >> number & 1)
            r = adopt_free_slot(log, number, false);
    return r;
}

uint64_t commitlog_lowest(struct commitlog_flushed flushed)
{
    uint64_t position = flushed.table_count > 0 ? flushed.positions[0] : COMMITLOG_POSITION_NONE;

    for (unsigned i = 1; i < flushed.table_count; i++)
        if (flushed.positions[i] < position)
            position = flushed.positions[i];
    return position;
}

/* Those with values that replay found in need, and the others. */
static int adopt_values(struct commitlog *log, const struct commitlog_value_use *uses)
{
    uint64_t slots;
    int r = slot_list(log->env, SLOT_VALUES, &slots);

    for (unsigned number = 0; number < VALUE_SLOTS_MAX && r == 0; number++) {
        struct slot *slot;

        if (!(slots >> number & 1))
            continue;
        r = slot_open(log->env, SLOT_VALUES, number, &slot);
        if (r == 0)
            values_add_slot(&log->values, slot, uses ? &uses[number] : NULL);
    }
    return r;
}

/* What is there: segments from that of `from_position` on hold what was not flushed; the others are
 * free to be used again. */
static int adopt_slots(struct commitlog *log, uint64_t from_position)
{
    struct segment_list list;
    int r = segment_list(log->env, log->store_uuid, &list);

    if (r < 0)
        return r;
    r = adopt_segments(log, &list, from_position);
    if (r == 0)
        r = adopt_free_slots(log, &list);
    if (list.count > 0) {
        log->previous_segment = list.all[list.count - 1].header.id;
        if (log->next_segment <= log->previous_segment)
            log->next_segment = log->previous_segment + 1;
    }
    segment_list_release(&list);
    return r;
}

static int prepare_folder(struct env *env)
{
    int r = io_ensure_directory(env, COMMITLOG_FOLDER);

    return r < 0 ? r : io_sync_directory(env, "");
}

int commitlog_open(
    struct env *env, const struct commitlog_options *options, struct commitlog **ret_log)
{
    struct commitlog *log;
    int r;

    if (options->segment_bytes <= SEGMENT_HEADER_BYTES ||
        options->segment_bytes > SEGMENT_BYTES_MAX)
        return err_new(-EINVAL, "commit log segments of %" PRIu64 " bytes", options->segment_bytes);
    r = prepare_folder(env);
    if (r == 0 && options->archives)
        r = archive_prepare(env);
    if (r < 0)
        return err_with(r, "open the commit log");
    log = calloc(1, sizeof(*log));
    if (!log)
        return err_new(-ENOMEM, "no memory for the commit log");
    log->env = env;
    memcpy(log->store_uuid, options->store_uuid, sizeof(log->store_uuid));
    log->segment_bytes = options->segment_bytes;
    log->last_timestamp_us = options->last_timestamp_us;
    log->next_segment = options->next_segment > 0 ? options->next_segment : 1;
    log->cut_from = options->cut_from;
    log->archives = options->archives;
    log->archive_from = options->archive_from;
    log->free_before = commitlog_lowest(options->flushed);
    log->filled_us = UINT64_MAX;
    mutex_init(&log->mutex, LOG_RANK);
    pthread_cond_init(&log->progress, NULL);
    values_flushed(&log->values, options->flushed.positions, options->flushed.table_count);
    r = adopt_slots(log, log->free_before);
    if (r == 0)
        r = adopt_values(log, options->value_uses);
    if (r == 0)
        r = task_start(env, "log-pool", grow, log, &log->grower);
    if (r < 0) {
        free_log(log);
        return err_with(r, "open the commit log");
    }
    commitlog_note_pool_locked(log);
    log->next_position = position_of(log->next_segment, 0);
    log->written = log->next_position;
    log->synced = log->records_synced = log->next_position;
    /* One now, so that the first append need not; the others behind its back. */
    if (log->pool.free_count > 0 || grow_records(log) == TASK_AGAIN || log->archives)
        task_kick(env, log->grower);
    *ret_log = log;
    return 0;
}

/* Two syncs: the first lets a SYNC record vouch for everything, the second is for that record. */
static int end_log_locked(struct commitlog *log)
{
    uint64_t end;
    int r;

    if (log->written > log->synced) {
        r = commitlog_sync_now_locked(log, log->written, 0);
        if (r < 0)
            return r;
    }
    r = commitlog_write_end(log, log->next_position, log->last_timestamp_us, log->synced, &end);
    if (r < 0)
        return r;
    log->next_position = end;
    log->written = end;
    log->active->sealed = true;
    return commitlog_sync_now_locked(log, log->written, 0);
}

int commitlog_close(struct commitlog *log)
{
    int r;

    mutex_lock(&log->mutex);
    ASSERT(!log->queue && !log->syncing);
    r = commitlog_failure_locked(log);
    if (r == 0 && log->active)
        r = end_log_locked(log);
    if (r < 0 && log->failed)
        r = commitlog_failure_locked(log);
    mutex_unlock(&log->mutex);
    free_log(log);
    if (r < 0)
        return err_with(r, "close the commit log");
    return 0;
}

void commitlog_abandon(struct commitlog *log)
{
    if (log)
        free_log(log);
}

/* ---- what it holds ---- */

uint64_t commitlog_synced(struct commitlog *log)
{
    uint64_t synced;

    mutex_lock(&log->mutex);
    synced = log->synced;
    mutex_unlock(&log->mutex);
    return synced;
}

uint64_t commitlog_end(struct commitlog *log)
{
    uint64_t end;

    mutex_lock(&log->mutex);
    end = log->written;
    mutex_unlock(&log->mutex);
    return end;
}

int64_t commitlog_last_timestamp_us(struct commitlog *log)
{
    int64_t last_us;

    mutex_lock(&log->mutex);
    last_us = log->last_timestamp_us;
    mutex_unlock(&log->mutex);
    return last_us;
}

void commitlog_pass_timestamp(struct commitlog *log, int64_t timestamp_us)
{
    mutex_lock(&log->mutex);
    if (timestamp_us > log->last_timestamp_us)
        log->last_timestamp_us = timestamp_us;
    mutex_unlock(&log->mutex);
}

void commitlog_get_stats(struct commitlog *log, struct commitlog_stats *ret_stats)
{
    mutex_lock(&log->mutex);
    *ret_stats = log->stats;
    mutex_unlock(&log->mutex);
}

uint64_t commitlog_unsynced_values(struct commitlog *log, uint64_t *ret_tables)
{
    uint64_t bytes;

    mutex_lock(&log->mutex);
    bytes = values_unsynced(&log->values, ret_tables);
    mutex_unlock(&log->mutex);
    return bytes;
}

bool commitlog_is_flushed(struct commitlog *log, uint64_t tables, uint64_t position)
{
    bool flushed = true;

    mutex_lock(&log->mutex);
    for (unsigned i = 0; i < COMMITLOG_TABLES_MAX; i++)
        flushed &= !(tables >> i & 1) || log->values.flushed[i] >= position;
    mutex_unlock(&log->mutex);
    return flushed;
}
