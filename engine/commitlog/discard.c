/*
 * What becomes of segments that nothing more comes to.
 *
 *   sealed, synced --archive wants it--> has a name in archive/ too
 *       | flushed beyond it, which the log itself says
 *       v
 *   slot cleared, to be used again       slot dropped, if its file has that other name
 *
 * One at a time does this (`tending`): either who discards, or the log's task, which comes to what
 * nobody discards just now, and again to what found no space in the archive.
 */
#include <stdlib.h>

#include "commitlog/archive.h"
#include "commitlog/log.h"
#include "engine/error.h"

/* To try again when the disk was full. */
#define RETRY_US 1000000

bool commitlog_wants_archived_locked(const struct commitlog *log, uint64_t segment)
{
    return log->archives && segment >= position_segment(log->archive_from);
}

void commitlog_archive_from(struct commitlog *log, uint64_t position)
{
    mutex_lock(&log->mutex);
    log->archive_from = position;
    if (log->archives)
        task_kick(log->env, log->grower);
    mutex_unlock(&log->mutex);
}

/* ---- archiving ---- */

static bool is_to_be_archived_locked(const struct commitlog *log, const struct segment *segment)
{
    return segment->synced && !segment->archived &&
           commitlog_wants_archived_locked(log, segment->id);
}

static struct segment *find_to_archive(struct commitlog *log)
{
    struct segment *segment;

    mutex_lock(&log->mutex);
    for (segment = log->segments; segment; segment = segment->next)
        if (is_to_be_archived_locked(log, segment))
            break;
    mutex_unlock(&log->mutex);
    return segment;
}

static int archive(struct commitlog *log, struct segment *segment)
{
    int r = archive_link(log->env, segment->slot, segment->id);

    mutex_lock(&log->mutex);
    if (r == 0) {
        segment->archived = true;
        log->stats.archived++;
        log->stats.archived_bytes += segment->slot->bytes;
    } else if (!commitlog_may_try_again(r)) {
        commitlog_fail_locked(log, r);
    }
    mutex_unlock(&log->mutex);
    return r;
}

/* ---- freeing ---- */

static bool oldest_is_free_locked(const struct commitlog *log, uint64_t position)
{
    const struct segment *oldest = log->segments;

    return oldest && oldest->synced && oldest->id < position_segment(position);
}

/* Before a segment is cleared the log itself says, durably, how far tables are flushed. Where there
 * is no space for that, the segment goes without: this is for whoever may have lost the manifest.
 */
static int tell_flushed(struct commitlog *log, uint64_t position)
{
    uint64_t end;
    bool frees;
    int r;

    mutex_lock(&log->mutex);
    frees = oldest_is_free_locked(log, position);
    mutex_unlock(&log->mutex);
    if (!frees)
        return 0;
    r = commitlog_append_note(log, false, &end);
    if (commitlog_may_try_again(r))
        return 0;
    return r < 0 ? r : commitlog_sync_before_flushed(log, end, UINT64_MAX);
}

/* The slot of the oldest segment, taken out, if that is flushed, not in use, and not wanted in the
 * archive where it is not yet; NULL: it is not so. */
static struct slot *take_oldest(struct commitlog *log)
{
    struct slot *slot = NULL;
    struct segment *oldest;

    mutex_lock(&log->mutex);
    oldest = log->segments;
    if (oldest_is_free_locked(log, log->free_before) && !is_to_be_archived_locked(log, oldest)) {
        log->segments = oldest->next;
        log->stats.segments--;
        slot = oldest->slot;
        free(oldest);
    }
    mutex_unlock(&log->mutex);
    return slot;
}

/* Its number is used again once its name is gone. */
static int drop_slot(struct commitlog *log, struct slot *slot)
{
    unsigned number = slot->number;
    int r = slot_drop(log->env, slot);

    if (r < 0)
        return err_with(r, "delete a commit log slot");
    mutex_lock(&log->mutex);
    pool_drop_number(&log->pool, number);
    commitlog_note_pool_locked(log);
    mutex_unlock(&log->mutex);
    return 0;
}

/* Cleared, and then to be used again, unless it was made in need. */
static int clear_slot(struct commitlog *log, struct slot *slot)
{
    int cleared = slot_clear(log->env, slot), r = 0;
    bool is_wanted;

    mutex_lock(&log->mutex);
    is_wanted = log->pool.count <= POOL_SLOTS_MAX;
    if (is_wanted)
        pool_give(&log->pool, slot);
    commitlog_note_pool_locked(log);
    mutex_unlock(&log->mutex);
    if (!is_wanted)
        r = drop_slot(log, slot);
    return cleared < 0 ? err_with(cleared, "clear a commit log slot") : r;
}

/* ---- one at a time ---- */

/* Frees the oldest segment, or archives one. 1: there may be more to do. */
static int tend_once(struct commitlog *log)
{
    struct slot *slot = take_oldest(log);
    struct segment *segment;
    int r = 0;

    if (slot)
        r = slot->is_shared ? drop_slot(log, slot) : clear_slot(log, slot);
    else if ((segment = find_to_archive(log)))
        r = archive(log, segment);
    else
        return 0;
    return r < 0 ? r : 1;
}

static void begin_tending_locked(struct commitlog *log)
{
    while (log->tending)
        pthread_cond_wait(&log->progress, &log->mutex.mutex);
    log->tending = true;
}

static void end_tending_locked(struct commitlog *log)
{
    log->tending = false;
    pthread_cond_broadcast(&log->progress);
}

int64_t commitlog_tend(struct commitlog *log)
{
    bool begun;
    int r;

    mutex_lock(&log->mutex);
    begun = log->archives && !log->failed && !log->tending;
    log->tending |= begun;
    mutex_unlock(&log->mutex);
    if (!begun)
        return TASK_IDLE;
    r = tend_once(log);
    mutex_lock(&log->mutex);
    end_tending_locked(log);
    mutex_unlock(&log->mutex);
    if (r > 0)
        return TASK_AGAIN;
    return r < 0 ? RETRY_US : TASK_IDLE;
}

static int tend_to_the_end(struct commitlog *log)
{
    int r;

    do
        r = tend_once(log);
    while (r > 0);
    return r;
}

int commitlog_archive_all(struct commitlog *log)
{
    uint64_t end;
    int r;

    if (!log->archives)
        return 0;
    /* Of a log to which nothing was appended yet there is no segment to end. */
    r = commitlog_append_note(log, false, &end);
    if (r == 0)
        r = commitlog_append_note(log, true, &end);
    if (r == 0)
        r = commitlog_sync(log, end);
    if (r < 0)
        return err_with(r, "archive the commit log");
    mutex_lock(&log->mutex);
    begin_tending_locked(log);
    mutex_unlock(&log->mutex);
    r = tend_to_the_end(log);
    mutex_lock(&log->mutex);
    end_tending_locked(log);
    task_kick(log->env, log->grower); /* a new slot, and what came to be sealed meanwhile */
    mutex_unlock(&log->mutex);
    return r < 0 ? r : 1;
}

int commitlog_discard(struct commitlog *log, struct commitlog_flushed flushed)
{
    uint64_t position = commitlog_lowest(flushed);
    int r;

    mutex_lock(&log->mutex);
    values_flushed(&log->values, flushed.positions, flushed.table_count);
    /* Values that are in SSTables now were what still kept the log from being called synced. */
    for (unsigned i = 0; i < flushed.table_count; i++)
        commitlog_note_synced_locked(log, flushed.positions[i]);
    begin_tending_locked(log);
    mutex_unlock(&log->mutex);
    r = tell_flushed(log, position);
    mutex_lock(&log->mutex);
    if (r == 0 && position > log->free_before)
        log->free_before = position;
    mutex_unlock(&log->mutex);
    if (r == 0)
        r = tend_to_the_end(log);
    mutex_lock(&log->mutex);
    end_tending_locked(log);
    /* New slots for those that were dropped, and what came to be sealed meanwhile. */
    if (log->archives || pool_wants_more(&log->pool))
        task_kick(log->env, log->grower);
    mutex_unlock(&log->mutex);
    return r;
}
