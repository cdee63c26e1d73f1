/*
 * What the engine tells of itself.
 */
#include "state.h"

#include "archive.h"

/* A thread's own count of calls: of those that take less than the clock does, one is timed and
 * fifteen are not. */
#define SAMPLED_EVERY 16u

const char *engine_latency_name(enum engine_latency latency)
{
    static const char *const names[] = {
        [LATENCY_ADMISSION] = "admission",
        [LATENCY_APPLY] = "apply",
        [LATENCY_SYNC] = "sync",
        [LATENCY_GET] = "get",
        [LATENCY_SCAN] = "scan",
        [LATENCY_FLUSH] = "flush",
    };

    return names[latency];
}

uint64_t engine_sample_us(struct engine *engine)
{
    static _Thread_local unsigned calls;

    return calls++ % SAMPLED_EVERY == 0 ? env_monotonic_us(engine->env) : 0;
}

void engine_note_latency(struct engine *engine, enum engine_latency latency, uint64_t began_us)
{
    if (began_us)
        latency_add(&engine->latencies[latency], env_monotonic_us(engine->env) - began_us);
}

static void add_sstable_stats(struct engine *engine, struct engine_stats *stats)
{
    struct view *view = views_acquire(&engine->views);

    for (unsigned i = 0; i < view->table_count; i++) {
        const struct sstable_set *set = view->tables[i].sstables;

        stats->memtable_bytes += view_memtable_bytes(view, i);
        stats->sstables += set->count;
        for (size_t j = 0; j < set->count; j++) {
            struct sstable_handle *handle = set->handles[j];
            struct sstable_read_stats read;

            stats->sstable_bytes += handle->entry.facts.total_bytes;
            sstable_handle_get_read_stats(handle, &read);
            stats->filter_negatives += read.filter_negatives;
            stats->filter_false_positives += read.filter_false_positives;
        }
    }
    view_unref(view);
}

void engine_get_stats(struct engine *engine, struct engine_stats *ret_stats)
{
    struct counters *c = &engine->counters;
    struct engine_stats stats = {
        .batches = c->batches,
        .batch_bytes = c->batch_bytes,
        .gets = c->gets,
        .scans = c->scans,
        .scan_rows = c->scan_rows,
        .memtable_bytes_max = c->memtable_bytes_max,
        .carries = c->carries,
        .flushes = c->flushes,
        .flush_bytes = c->flush_bytes,
        .compactions = c->compactions,
        .compaction_bytes_read = c->compaction_bytes_read,
        .compaction_bytes_written = c->compaction_bytes_written,
        .admissions_paced = c->admissions_paced,
        .admissions_parked = c->admissions_parked,
        .replayed_records = engine->replay.records,
        .replay_dropped_bytes = engine->replay.dropped_bytes,
        .bad_reads = c->bad_reads,
    };
    struct chunk_cache_stats cache;

    chunk_cache_get_stats(engine->cache, &cache);
    stats.cache_hits = cache.hits[CHUNK_DATA] + cache.hits[CHUNK_INDEX];
    stats.cache_misses = cache.misses[CHUNK_DATA] + cache.misses[CHUNK_INDEX];
    stats.key_cache_hits = cache.hits[CHUNK_PARTITION];
    stats.key_cache_misses = cache.misses[CHUNK_PARTITION];
    stats.landmark_hits = cache.hits[CHUNK_LANDMARKS];
    stats.landmark_misses = cache.misses[CHUNK_LANDMARKS];
    stats.cache_bytes = cache.bytes;
    add_sstable_stats(engine, &stats);
    open_sstables_get(&engine->open_sstables, &stats.sstables_open, &stats.sstable_memory_bytes,
        &stats.sstables_closed);
    engine_archive_get(engine, &stats.archive_segments, &stats.archive_bytes);
    if (engine->log) {
        struct commitlog_stats log;

        commitlog_get_stats(engine->log, &log);
        stats.log_records = log.records;
        stats.log_bytes = log.bytes;
        stats.log_syncs = log.syncs;
        stats.log_value_syncs = log.value_syncs;
        stats.log_segments = log.segments;
    }
    if (engine->manifest) {
        mutex_lock(&engine->change);
        stats.snapshots = manifest_state(engine->manifest)->snapshot_count;
        mutex_unlock(&engine->change);
    }
    disk_space_get(&engine->disk_space, &stats.disk_total_bytes, &stats.disk_available_bytes);
    for (unsigned i = 0; i < ENGINE_LATENCIES; i++)
        latency_get(&engine->latencies[i], &stats.latencies[i]);
    *ret_stats = stats;
}
