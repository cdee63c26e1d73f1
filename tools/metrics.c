#include "metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

#include "engine/buf.h"
#include "engine/error.h"
#include "tools.h"

struct all_stats {
    struct engine_stats engine;
    struct fs_stats fs;
};

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

static const struct metric {
    const char *name;
    enum metric_kind kind;
    size_t offset; /* in struct all_stats */
    const char *help;
} metrics[] = {
#define ENGINE(field, kind, help)                                                                  \
    {                                                                                              \
#field, kind, offsetof(struct all_stats, engine.field), help                               \
    }
#define FS(field, kind, help)                                                                      \
    {                                                                                              \
#field, kind, offsetof(struct all_stats, fs.field), help                                   \
    }
    ENGINE(batches, METRIC_COUNTER, "batches of mutations applied"),
    ENGINE(batch_bytes, METRIC_COUNTER, "their size"),
    ENGINE(gets, METRIC_COUNTER, "rows asked for by key"),
    ENGINE(scans, METRIC_COUNTER, "slices opened"),
    ENGINE(scan_rows, METRIC_COUNTER, "rows that slices gave"),
    ENGINE(log_records, METRIC_COUNTER, "records appended to the commit log"),
    ENGINE(log_bytes, METRIC_COUNTER, "their size"),
    ENGINE(log_syncs, METRIC_COUNTER, "syncs of the commit log"),
    ENGINE(log_value_syncs, METRIC_COUNTER,
        "files of large values that a sync of the commit log wrote"),
    ENGINE(log_segments, METRIC_GAUGE, "segments of the commit log in use"),
    ENGINE(archive_segments, METRIC_GAUGE, "segments of the commit log in the archive"),
    ENGINE(archive_bytes, METRIC_GAUGE, "their size"),
    ENGINE(memtable_bytes, METRIC_GAUGE, "memory of memtables"),
    ENGINE(memtable_bytes_max, METRIC_GAUGE, "the most that it ever was, with what was admitted"),
    ENGINE(flushes, METRIC_COUNTER, "memtables flushed"),
    ENGINE(carries, METRIC_COUNTER, "small memtables written to the log again instead"),
    ENGINE(flush_bytes, METRIC_COUNTER, "size of the SSTables made by that"),
    ENGINE(compactions, METRIC_COUNTER, "compactions finished"),
    ENGINE(compaction_bytes_read, METRIC_COUNTER, "size of the SSTables they merged"),
    ENGINE(compaction_bytes_written, METRIC_COUNTER, "size of the SSTables they made"),
    ENGINE(sstables, METRIC_GAUGE, "live SSTables"),
    ENGINE(sstable_bytes, METRIC_GAUGE, "their size"),
    ENGINE(sstables_open, METRIC_GAUGE, "SSTables that are open"),
    ENGINE(sstable_memory_bytes, METRIC_GAUGE, "memory of their filters, indexes, chunk tables"),
    ENGINE(sstables_closed, METRIC_COUNTER, "SSTables closed for want of that memory"),
    ENGINE(cache_hits, METRIC_COUNTER, "chunks and index pages found in the chunk cache"),
    ENGINE(cache_misses, METRIC_COUNTER, "chunks and index pages read"),
    ENGINE(cache_bytes, METRIC_GAUGE, "memory of the chunk cache, key cache and landmarks"),
    ENGINE(key_cache_hits, METRIC_COUNTER, "partitions found without their index"),
    ENGINE(key_cache_misses, METRIC_COUNTER, "partitions looked for in an index"),
    ENGINE(landmark_hits, METRIC_COUNTER, "index blocks whose rows' places were known"),
    ENGINE(landmark_misses, METRIC_COUNTER, "index blocks that were read from their start"),
    ENGINE(admissions_paced, METRIC_COUNTER, "batches that were slowed to what a flush takes"),
    ENGINE(admissions_parked, METRIC_COUNTER, "batches that waited for memory or space"),
    ENGINE(filter_negatives, METRIC_COUNTER, "SSTables that a bloom filter spared a read"),
    ENGINE(filter_false_positives, METRIC_COUNTER, "SSTables that it did not, in vain"),
    ENGINE(replayed_records, METRIC_GAUGE, "records of the commit log replayed at the mount"),
    ENGINE(replay_dropped_bytes, METRIC_GAUGE, "end of the commit log dropped as never synced"),
    ENGINE(snapshots, METRIC_GAUGE, "snapshots there are"),
    ENGINE(bad_reads, METRIC_COUNTER, "reads that met damage"),
    ENGINE(disk_total_bytes, METRIC_GAUGE, "size of the store's disk"),
    ENGINE(disk_available_bytes, METRIC_GAUGE, "left on it, less reserve and what is unflushed"),
    FS(nodes, METRIC_GAUGE, "inodes remembered"),
    FS(node_bytes, METRIC_GAUGE, "memory they take, about"),
    FS(past_nodes, METRIC_GAUGE, "inodes of snapshots that the kernel knows"),
    FS(past_node_bytes, METRIC_GAUGE, "memory they take, about"),
    FS(handles, METRIC_GAUGE, "open files and directories"),
    FS(orphans, METRIC_GAUGE, "files removed whose content is not yet"),
#undef ENGINE
#undef FS
};

static void take_all(const struct metrics_sources *sources, struct all_stats *to)
{
    engine_get_stats(sources->engine, &to->engine);
    fs_get_stats(sources->fs, &to->fs);
}

static uint64_t value_of(const struct all_stats *all, const struct metric *metric)
{
    uint64_t value;

    memcpy(&value, (const char *)all + metric->offset, sizeof(value));
    return value;
}

/* ---- JSON ---- */

static void put_latency(json_t *to, const char *name, const struct latency_values *values)
{
    if (values->count == 0)
        return;
    json_object_set_new(to, name,
        json_pack("{s:I, s:I, s:I, s:I, s:I}", "count", (json_int_t)values->count, "sum_us",
            (json_int_t)values->sum_us, "p50_us", (json_int_t)latency_quantile_us(values, 500),
            "p99_us", (json_int_t)latency_quantile_us(values, 990), "p999_us",
            (json_int_t)latency_quantile_us(values, 999)));
}

json_t *metrics_to_json(const struct metrics_sources *sources)
{
    struct all_stats all;
    json_t *to = json_object(), *latencies = json_object();

    take_all(sources, &all);
    for (size_t i = 0; i < ARRAY_COUNT(metrics); i++)
        json_object_set_new(
            to, metrics[i].name, json_integer((json_int_t)value_of(&all, &metrics[i])));
    json_object_set_new(to, "failure", json_integer(engine_failure(sources->engine)));
    for (unsigned i = 0; i < ENGINE_LATENCIES; i++)
        put_latency(latencies, engine_latency_name(i), &all.engine.latencies[i]);
    for (unsigned i = 0; sources->session && i < SESSION_OPERATIONS; i++) {
        struct latency_values values;
        char name[64];

        session_get_latency(sources->session, i, &values);
        snprintf(name, sizeof(name), "request_%s", session_operation_name(i));
        put_latency(latencies, name, &values);
    }
    json_object_set_new(to, "latencies", latencies);
    return to;
}

/* ---- a table for people ---- */

static long long number_in(const json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}

static void print_latencies(struct buf *to, json_t *latencies)
{
    const char *name;
    json_t *value;

    print_to(to, "\n%-26s %12s %10s %10s %10s %10s\n", "took, us", "count", "mean", "50 %", "99 %",
        "99.9 %");
    json_object_foreach(latencies, name, value)
    {
        long long count = number_in(value, "count");

        print_to(to, "%-26s %12lld %10lld %10lld %10lld %10lld\n", name, count,
            number_in(value, "sum_us") / (count ? count : 1), number_in(value, "p50_us"),
            number_in(value, "p99_us"), number_in(value, "p999_us"));
    }
}

int metrics_to_table(const json_t *stats, struct buf *to)
{
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)stats, name, value)
    {
        long long number = (long long)json_integer_value(value);
        char size[SIZE_TEXT_MAX];

        if (json_is_object(value))
            continue;
        if (strstr(name, "bytes") && number >= 1024) {
            format_size((uint64_t)number, size);
            print_to(to, "%-26s %20lld  %s\n", name, number, size);
        } else {
            print_to(to, "%-26s %20lld\n", name, number);
        }
    }
    print_latencies(to, json_object_get(stats, "latencies"));
    return buf_error(to);
}

/* ---- OpenMetrics ---- */

static void print_metric(struct buf *to, const struct metric *metric, uint64_t value)
{
    bool is_counter = metric->kind == METRIC_COUNTER;
    size_t size = strlen(metric->name);

    print_to(to, "# TYPE sstfs_%s %s\n", metric->name, is_counter ? "counter" : "gauge");
    if (size > 6 && strcmp(metric->name + size - 6, "_bytes") == 0)
        print_to(to, "# UNIT sstfs_%s bytes\n", metric->name);
    print_to(to, "# HELP sstfs_%s %s\n", metric->name, metric->help);
    print_to(to, "sstfs_%s%s %" PRIu64 "\n", metric->name, is_counter ? "_total" : "", value);
}

static void print_latency_head(struct buf *to, const char *family, const char *help)
{
    print_to(to, "# TYPE sstfs_%s_seconds histogram\n", family);
    print_to(to, "# UNIT sstfs_%s_seconds seconds\n", family);
    print_to(to, "# HELP sstfs_%s_seconds %s\n", family, help);
}

static void print_latency(struct buf *to, const char *family, const char *label, const char *name,
    const struct latency_values *values)
{
    uint64_t count = 0;

    if (values->count == 0)
        return;
    for (unsigned i = 0; i < LATENCY_BUCKETS - 1; i++) {
        count += values->buckets[i];
        print_to(to, "sstfs_%s_seconds_bucket{%s=\"%s\",le=\"%.6f\"} %" PRIu64 "\n", family, label,
            name, (double)(1ull << i) / 1e6, count);
    }
    print_to(to, "sstfs_%s_seconds_bucket{%s=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", family, label,
        name, values->count);
    print_to(
        to, "sstfs_%s_seconds_count{%s=\"%s\"} %" PRIu64 "\n", family, label, name, values->count);
    print_to(to, "sstfs_%s_seconds_sum{%s=\"%s\"} %.6f\n", family, label, name,
        (double)values->sum_us / 1e6);
}

int metrics_to_text(const struct metrics_sources *sources, struct buf *to)
{
    struct all_stats all;

    take_all(sources, &all);
    for (size_t i = 0; i < ARRAY_COUNT(metrics); i++)
        print_metric(to, &metrics[i], value_of(&all, &metrics[i]));
    print_latency_head(to, "engine", "how long parts of the engine took; apply, get: every 16th");
    for (unsigned i = 0; i < ENGINE_LATENCIES; i++)
        print_latency(to, "engine", "part", engine_latency_name(i), &all.engine.latencies[i]);
    print_latency_head(to, "request", "how long requests of the kernel took to be answered");
    for (unsigned i = 0; sources->session && i < SESSION_OPERATIONS; i++) {
        struct latency_values values;

        session_get_latency(sources->session, i, &values);
        print_latency(to, "request", "operation", session_operation_name(i), &values);
    }
    print_to(to, "# EOF\n");
    return buf_error(to);
}
