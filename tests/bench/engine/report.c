#include "report.h"

#include <stdio.h>

/* ---- metrics and bars ---- */

struct metric {
    const char *name;
    const char *text;
    int decimals;
    bool more_is_better;
};

static const struct metric metrics[] = {
    {"rate", "operations/s", 0, true},
    {"mb_s", "MB/s", 0, true},
    {"cpu_us", "CPU us each, background included", 2, false},
    {"cpu_put_us", "CPU us each, until the last put", 2, false},
    {"cpu_s_gib", "CPU s a GiB", 2, false},
    {"put_p999_us", "put p99.9, us", 0, false},
    {"put_worst_ms", "put worst, ms", 1, false},
    {"written_ratio", "device bytes / bytes put", 2, false},
    {"bound_mib", "memory bound, page cache included, MiB", 0, true},
    {"reads", "read calls each", 2, false},
    {"read_kib", "KiB read from the device each", 1, false},
    {"list_deleted_ms", "listing at once, ms", 2, false},
    {"list_compacted_ms", "listing after compaction, ms", 2, false},
    {"flushes", "flushes", 0, false},
    {"dirents_rows", "rows of dirents flushed / live", 2, false},
    {"insert_us", "insert, us", 2, false},
    {"insert_ratio", "insert / directories of 10,000", 2, false},
    {"lookup_us", "lookup, us", 2, false},
    {"lookup_ratio", "lookup / directories of 10,000", 2, false},
    {"list_us", "listing, us a name", 3, false},
    {"list_ratio", "listing / directories of 10,000", 2, false},
    {"open_ms", "open, ms", 1, false},
    {"open_rss_mib", "RSS after open, MiB", 0, false},
    {"first_get_ms", "first get, ms", 2, false},
    {"get_p99_us", "get p99, us", 0, false},
    {"space_ratio", "SSTables / live data", 2, false},
    {"sync_us", "append and sync p50, us", 0, false},
    {"sync_ratio", "append and sync / plain file's", 2, false},
    {"rss_mib", "RSS peak, MiB", 0, false},
    {"store_mib", "store, MiB", 0, false},
};
#define METRICS ARRAY_COUNT(metrics)

/* What issue 4 asks for: of our value alone, or of its ratio to the best of others. */
struct bar {
    const char *load; /* or the beginning of its name */
    const char *metric;
    const char *peer; /* NULL: our value; "best": of all; or its name */
    double limit;
};

static const struct bar bars[] = {
    {"fill", "rate", "best", 1.8},
    {"fill", "cpu_us", "best", 0.8},
    {"fill", "put_worst_ms", NULL, 30},
    {"fill", "put_p999_us", NULL, 1000},
    {"values", "mb_s", "best", 1.5},
    {"values", "written_ratio", NULL, 1.15},
    {"values", "cpu_s_gib", "best", 0.5},
    {"get", "rate", "leveldb", 1.0},
    {"cold", "rate", "best", 1.0},
    {"cold", "reads", NULL, 1.1},
    {"scan", "rate", "leveldb", 0.5},
    {"deleted", "list_deleted_ms", NULL, 50},
    {"deleted", "list_compacted_ms", NULL, 5},
    {"overwrites", "dirents_rows", NULL, 1},
    {"creates", "dirents_rows", NULL, 1},
    {"directory", "insert_ratio", NULL, 1.5},
    {"directory", "lookup_ratio", NULL, 1.5},
    {"open", "open_ms", NULL, 1000},
    {"open", "open_rss_mib", NULL, 100},
    {"throttled", "get_p99_us", NULL, 5000},
    {"space", "space_ratio", NULL, 1.5},
    {"slow", "put_worst_ms", NULL, 250},
    {"append", "sync_ratio", NULL, 1.3},
};

/* RSS above `memory=`, in every load. */
#define RSS_ABOVE_MEMORY_MIB 64

/* ---- values ---- */

struct values {
    unsigned count;
    double of_runs[RUNS_MAX];
};

struct report {
    const struct load *load;
    struct values values[METRICS][ENGINES_MAX];
};

struct report *report_new(const struct load *load)
{
    struct report *report = calloc(1, sizeof(*report));

    if (!report)
        die("no memory");
    report->load = load;
    return report;
}

void report_free(struct report *report)
{
    free(report);
}

void report_metric(const char *metric, double value)
{
    printf("%s %.9g\n", metric, value);
    fflush(stdout);
}

bool report_add_line(struct report *report, unsigned engine, const char *line)
{
    char name[64];
    double value;

    if (sscanf(line, "%63s %lf", name, &value) != 2)
        return false;
    for (unsigned i = 0; i < METRICS; i++) {
        struct values *values = &report->values[i][engine];
        if (strcmp(metrics[i].name, name) != 0)
            continue;
        if (values->count < RUNS_MAX)
            values->of_runs[values->count++] = value;
        return true;
    }
    return false;
}

static int double_order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const struct values *values)
{
    double sorted[RUNS_MAX];

    memcpy(sorted, values->of_runs, sizeof(sorted));
    qsort(sorted, values->count, sizeof(*sorted), double_order);
    return (sorted[values->count / 2] + sorted[(values->count - 1) / 2]) / 2;
}

/* ---- printing ---- */

/* The engine (not ours) whose median is the best, or the one of that name; 0: there is none. */
static unsigned best_peer(const struct report *report, unsigned metric,
    const struct bench_engine *const *engines, unsigned engine_count, const char *peer)
{
    unsigned best = 0;

    for (unsigned i = 1; i < engine_count; i++) {
        const struct values *values = &report->values[metric][i];
        double difference;

        if (values->count == 0 || (strcmp(peer, "best") != 0 && strcmp(peer, engines[i]->name)))
            continue;
        difference = best ? median(values) - median(&report->values[metric][best]) : 0;
        if (!best || (metrics[metric].more_is_better ? difference > 0 : difference < 0))
            best = i;
    }
    return best;
}

/* True if missed. */
static bool print_bar(const struct metric *metric, double value, const char *of, double limit)
{
    bool missed = metric->more_is_better ? value < limit : value > limit;

    printf("  %s%.2f%s%s (%s %g)", missed ? "MISSED " : "", value, of ? " x " : "", of ? of : "",
        metric->more_is_better ? ">=" : "<=", limit);
    return missed;
}

static unsigned print_bars(const struct report *report, unsigned metric,
    const struct bench_engine *const *engines, unsigned engine_count,
    const struct settings *settings)
{
    double ours = median(&report->values[metric][0]);
    unsigned missed = 0;

    for (unsigned i = 0; i < ARRAY_COUNT(bars); i++) {
        const struct bar *bar = &bars[i];
        unsigned peer;

        if (strncmp(bar->load, report->load->name, strlen(bar->load)) != 0 ||
            strcmp(bar->metric, metrics[metric].name) != 0)
            continue;
        if (!bar->peer) {
            missed += print_bar(&metrics[metric], ours, NULL, bar->limit);
            continue;
        }
        peer = best_peer(report, metric, engines, engine_count, bar->peer);
        if (peer)
            missed += print_bar(&metrics[metric], ours / median(&report->values[metric][peer]),
                engines[peer]->name, bar->limit);
    }
    if (strcmp(metrics[metric].name, "rss_mib") == 0)
        missed += print_bar(&metrics[metric], ours, NULL,
            (double)(settings->memory_bytes >> 20) + RSS_ABOVE_MEMORY_MIB);
    return missed;
}

unsigned report_print(const struct report *report, const struct bench_engine *const *engines,
    unsigned engine_count, const struct settings *settings)
{
    unsigned missed = 0;

    printf("\n%s: %s\n%-34s", report->load->name, report->load->title, "");
    for (unsigned i = 0; i < engine_count; i++)
        printf(" %12s", engines[i]->name);
    printf("\n");
    for (unsigned metric = 0; metric < METRICS; metric++) {
        bool measured = false;

        for (unsigned i = 0; i < engine_count; i++)
            measured |= report->values[metric][i].count > 0;
        if (!measured)
            continue;
        printf("%-34s", metrics[metric].text);
        for (unsigned i = 0; i < engine_count; i++)
            if (report->values[metric][i].count > 0)
                printf(" %12.*f", metrics[metric].decimals, median(&report->values[metric][i]));
            else
                printf(" %12s", "-");
        if (report->values[metric][0].count > 0)
            missed += print_bars(report, metric, engines, engine_count, settings);
        printf("\n");
    }
    fflush(stdout);
    return missed;
}
