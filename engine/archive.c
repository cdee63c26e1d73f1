#include "archive.h"

#include "commitlog/archive.h"
#include "engine/error.h"
#include "engine/log.h"
#include "state.h"

uint64_t engine_archive_from(const struct engine *engine)
{
    const struct manifest_state *state = manifest_state(engine->manifest);
    uint64_t from = COMMITLOG_ARCHIVE_NOTHING;

    /* Where in the log it is, is not known of one that a repair found in its folder, made by an
     * earlier version: nothing can be replayed over that. */
    for (size_t i = 0; i < state->snapshot_count; i++)
        if (state->snapshots[i].position != COMMITLOG_POSITION_NONE &&
            state->snapshots[i].position < from)
            from = state->snapshots[i].position;
    return from;
}

/* As snapshots are, no other is made meanwhile: so none wants what is listed and not wanted now. */
static int list_all(struct engine *engine, uint64_t *ret_from, struct archive_list *ret_list,
    uint64_t *ret_archived, uint64_t *ret_archived_bytes)
{
    struct commitlog_stats stats;
    int r;

    mutex_lock(&engine->change);
    *ret_from = engine_archive_from(engine);
    commitlog_archive_from(engine->log, *ret_from);
    commitlog_get_stats(engine->log, &stats);
    *ret_archived = stats.archived;
    *ret_archived_bytes = stats.archived_bytes;
    r = archive_list(engine->env, ARCHIVE_FOLDER, ret_list);
    mutex_unlock(&engine->change);
    return r;
}

void engine_archive_settle(struct engine *engine)
{
    AUTO(archive_list_release) struct archive_list list = {0};
    uint64_t from, archived, archived_bytes, segments = 0, bytes = 0;
    int r = list_all(engine, &from, &list, &archived, &archived_bytes);

    if (r < 0) {
        log_warning("op=archive: %s", err_text(r));
        return;
    }
    for (size_t i = 0; i < list.count; i++) {
        char path[ARCHIVE_PATH_BYTES];
        struct io_stat stat;

        archive_path(list.segments[i], path);
        if (list.segments[i] < from >> 32) {
            sweeper_remove(&engine->sweeper, path);
        } else if (io_stat(engine->env, path, &stat) == 0) {
            segments++;
            bytes += stat.size;
        }
    }
    /* What the log archives from here on it counts itself. */
    atomic_store(&engine->counters.archive_segments, segments - archived);
    atomic_store(&engine->counters.archive_bytes, bytes - archived_bytes);
}

int engine_archive_log(struct engine *engine)
{
    return engine->log ? commitlog_archive_all(engine->log) : 0;
}

void engine_archive_get(struct engine *engine, uint64_t *ret_segments, uint64_t *ret_bytes)
{
    struct commitlog_stats stats = {0};

    if (engine->log)
        commitlog_get_stats(engine->log, &stats);
    *ret_segments = atomic_load(&engine->counters.archive_segments) + stats.archived;
    *ret_bytes = atomic_load(&engine->counters.archive_bytes) + stats.archived_bytes;
}
