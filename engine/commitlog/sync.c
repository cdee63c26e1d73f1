/*
 * Syncing the log: lock, sleep while another syncs; if that did not cover us: note what is written,
 * unlock, sync the values and then the records, lock, say so, wake all.
 *
 * Values first, as a record whose value is torn is torn. And only those in need: what is in an
 * SSTable by now, and what a flush that asks for the sync is about to name, is left alone.
 */
#include "commitlog/log.h"
#include "engine/error.h"

static int sync_values_locked(struct commitlog *log, uint64_t target, uint64_t but)
{
    int r = 0;

    for (unsigned i = 0; i < VALUE_SLOTS_MAX && r == 0; i++) {
        struct value_slot *slot = &log->values.slots[i];
        /* A record gets its place after its values were written. */
        uint64_t written = log->written, bytes = slot->unsynced_bytes;

        if (!values_slot_needs_sync(&log->values, slot, target, but))
            continue;
        mutex_unlock(&log->mutex);
        r = io_sync(log->env, slot->slot->fd);
        mutex_lock(&log->mutex);
        log->stats.value_syncs++;
        slot->synced = written;
        /* It may have become free meanwhile, and been used again. */
        slot->unsynced_bytes -= bytes < slot->unsynced_bytes ? bytes : slot->unsynced_bytes;
    }
    return r;
}

/* No segment goes that is not synced, so that one found under the mutex stays valid without. */
static int sync_records_locked(struct commitlog *log, uint64_t target)
{
    struct segment *segment = log->segments;
    int r = 0;

    while (r == 0 && segment && segment->id <= position_segment(target)) {
        bool sealed = segment->sealed;

        if (!segment->synced) {
            mutex_unlock(&log->mutex);
            r = io_sync(log->env, segment->slot->fd);
            mutex_lock(&log->mutex);
        }
        if (r == 0 && sealed && !segment->synced && log->archives)
            task_kick(log->env, log->grower);
        if (r == 0)
            segment->synced = sealed;
        segment = segment->next;
    }
    return r;
}

void commitlog_note_synced_locked(struct commitlog *log, uint64_t position)
{
    if (position > log->records_synced)
        return;
    if (!values_need_sync(&log->values, log->records_synced))
        position = log->records_synced;
    if (position <= log->synced || values_need_sync(&log->values, position))
        return;
    log->synced = position;
    log->sync_untold = true;
}

int commitlog_sync_now_locked(struct commitlog *log, uint64_t target, uint64_t but)
{
    uint64_t written = log->written;
    uint64_t start_us = env_monotonic_us(log->env);
    uint64_t took_us;
    int r;

    log->syncing = true;
    r = sync_values_locked(log, target, but);
    if (r == 0 && log->records_synced < target) {
        r = sync_records_locked(log, written);
        if (r == 0)
            log->records_synced = written;
    }
    log->syncing = false;
    took_us = env_monotonic_us(log->env) - start_us;
    if (took_us > log->stats.sync_us_max)
        log->stats.sync_us_max = took_us;
    log->stats.syncs++;
    if (r < 0)
        commitlog_fail_locked(log, r);
    else
        commitlog_note_synced_locked(log, target);
    pthread_cond_broadcast(&log->progress);
    return r;
}

int commitlog_sync(struct commitlog *log, uint64_t position)
{
    int r;

    mutex_lock(&log->mutex);
    if (position > log->next_position)
        position = log->next_position; /* there is nothing beyond */
    if (position > log->sync_wanted)
        log->sync_wanted = position;
    for (;;) {
        r = commitlog_failure_locked(log);
        if (r < 0 || position <= log->synced)
            break;
        if (log->syncing || position > log->written)
            pthread_cond_wait(&log->progress, &log->mutex.mutex);
        else
            /* For all who wait by now. A failure is found at the head of the loop. */
            (void)!commitlog_sync_now_locked(
                log, log->sync_wanted < log->written ? log->sync_wanted : log->written, 0);
    }
    mutex_unlock(&log->mutex);
    return r < 0 ? err_with(r, "sync the commit log") : 0;
}

int commitlog_sync_before_flushed(struct commitlog *log, uint64_t position, uint64_t tables)
{
    int r;

    mutex_lock(&log->mutex);
    for (;;) {
        r = commitlog_failure_locked(log);
        if (r < 0 || position <= log->synced)
            break;
        if (!log->syncing && position <= log->written) {
            r = commitlog_sync_now_locked(log, position, tables);
            break;
        }
        pthread_cond_wait(&log->progress, &log->mutex.mutex);
    }
    mutex_unlock(&log->mutex);
    return r < 0 ? err_with(r, "sync the commit log") : 0;
}
