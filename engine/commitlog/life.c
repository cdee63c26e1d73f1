/*
 * The life of a log and of its segments: opening behind what was there, closing so that no tail is
 * left to be judged, discarding what is flushed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "commitlog/log.h"
#include "engine/assert.h"
#include "engine/error.h"

#define DISCARD_RANK 29
#define LOG_RANK 30

int commitlog_sync_segments(struct env *env)
{
    struct segment_ids ids;
    int r = segment_list(env, &ids);

    if (r < 0)
        return r;
    for (unsigned i = 0; i < ids.count && r == 0; i++) {
        char path[SEGMENT_PATH_BYTES];
        int fd;

        segment_path(ids.all[i], path);
        r = io_open(env, path, O_RDWR, &fd);
        if (r == 0) {
            r = io_sync(env, fd);
            io_close(env, fd);
        }
        if (r < 0)
            r = err_with(r, "sync the commit log of before");
    }
    if (r == 0 && ids.count > 0)
        r = io_sync_directory(env, COMMITLOG_FOLDER);
    segment_ids_release(&ids);
    return r;
}

static void free_log(struct commitlog *log)
{
    while (log->segments) {
        struct segment *segment = log->segments;

        log->segments = segment->next;
        if (segment->fd >= 0)
            io_close(log->env, segment->fd);
        free(segment);
    }
    pthread_cond_destroy(&log->progress);
    mutex_release(&log->mutex);
    mutex_release(&log->discard_mutex);
    free(log);
}

/* Takes note of the segments that are there: to come after them, and to discard them one day. */
static int adopt_segments(struct commitlog *log)
{
    struct segment_ids ids;
    int r = segment_list(log->env, &ids);

    if (r < 0)
        return r;
    for (unsigned i = 0; i < ids.count && r == 0; i++) {
        struct segment *segment = commitlog_segment_new(ids.all[i]);

        if (segment) {
            segment->sealed = true;
            commitlog_add_segment_locked(log, segment);
        } else {
            r = err_new(-ENOMEM, "no memory for a commit log segment");
        }
    }
    if (ids.count > 0) {
        log->previous_segment = ids.all[ids.count - 1];
        if (log->next_segment <= log->previous_segment)
            log->next_segment = log->previous_segment + 1;
    }
    segment_ids_release(&ids);
    return r;
}

static int prepare_folder(struct env *env)
{
    int r = io_ensure_directory(env, COMMITLOG_FOLDER);

    if (r == 0)
        r = io_sync_directory(env, "");
    /* What a killed daemon wrote may be in the page cache alone. It was replayed, so it counts, and
     * must be on the device before anything that comes after it. */
    if (r == 0)
        r = commitlog_sync_segments(env);
    return r;
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
    if (r < 0)
        return err_with(r, "open the commit log");
    log = calloc(1, sizeof(*log));
    if (!log)
        return err_new(-ENOMEM, "no memory for the commit log");
    log->env = env;
    memcpy(log->store_uuid, options->store_uuid, sizeof(log->store_uuid));
    log->salt = record_salt(options->store_uuid);
    log->segment_bytes = options->segment_bytes;
    log->last_timestamp_us = options->last_timestamp_us;
    log->next_segment = options->next_segment > 0 ? options->next_segment : 1;
    mutex_init(&log->discard_mutex, DISCARD_RANK);
    mutex_init(&log->mutex, LOG_RANK);
    pthread_cond_init(&log->progress, NULL);
    r = adopt_segments(log);
    if (r < 0) {
        free_log(log);
        return err_with(r, "open the commit log");
    }
    log->next_position = position_of(log->next_segment, 0);
    log->written = log->next_position;
    log->synced = log->next_position;
    *ret_log = log;
    return 0;
}

/* Two syncs: the first lets a SYNC record vouch for everything, the second is for that record. */
static int end_log_locked(struct commitlog *log)
{
    uint64_t end;
    int r;

    if (log->written > log->synced) {
        r = commitlog_sync_written_locked(log);
        if (r < 0)
            return r;
    }
    r = commitlog_write_end(log, log->next_position, log->last_timestamp_us, log->synced, &end);
    if (r < 0)
        return r;
    log->next_position = end;
    log->written = end;
    log->active->sealed = true;
    return commitlog_sync_written_locked(log);
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

void commitlog_get_stats(struct commitlog *log, struct commitlog_stats *ret_stats)
{
    mutex_lock(&log->mutex);
    *ret_stats = log->stats;
    mutex_unlock(&log->mutex);
}

/* The oldest segment, if it ends before `position` and is not in use. */
static bool oldest_discardable(struct commitlog *log, uint64_t position, uint64_t *ret_id)
{
    const struct segment *oldest;
    bool discardable;

    mutex_lock(&log->mutex);
    oldest = log->segments;
    discardable = oldest && oldest != log->active && oldest->fd < 0 &&
                  oldest->id < position_segment(position);
    if (discardable)
        *ret_id = oldest->id;
    mutex_unlock(&log->mutex);
    return discardable;
}

/* Oldest first, and each name goes before the segment is forgotten: what fails is tried again. */
static int discard_oldest(struct commitlog *log, uint64_t id)
{
    char path[SEGMENT_PATH_BYTES];
    struct segment *oldest;
    int r;

    segment_path(id, path);
    r = io_unlink(log->env, path);
    if (r < 0 && r != -ENOENT)
        return r;
    mutex_lock(&log->mutex);
    oldest = log->segments;
    log->segments = oldest->next;
    log->stats.segments--;
    mutex_unlock(&log->mutex);
    free(oldest);
    return 0;
}

int commitlog_discard(struct commitlog *log, uint64_t position)
{
    uint64_t id;
    int r = 0;

    mutex_lock(&log->discard_mutex);
    while (r == 0 && oldest_discardable(log, position, &id))
        r = discard_oldest(log, id);
    mutex_unlock(&log->discard_mutex);
    if (r < 0)
        return err_with(r, "discard commit log segments");
    return 0;
}
