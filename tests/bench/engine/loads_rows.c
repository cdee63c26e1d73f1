/*
 * The loads that every engine runs: filling, and reading what was filled.
 */
#include "loads.h"

#include "folder.h"
#include "material.h"
#include "memory_limit.h"

#define FILL_ROWS 2000000u
#define VALUES_BYTES (UINT64_C(4) << 30)
#define WARM_ROWS 500000u /* they fit into every cache */
#define COLD_ROWS 4000000u
#define COLD_MEMORY_BYTES (128u << 20)       /* its cache is a tenth of those rows, and less */
#define COLD_MEMORY_BESIDE_BYTES (64u << 20) /* what a process may take beside memory= */
#define COLD_GETS 20000u
#define WARM_GETS 2000000u
#define WARM_SCANS 100000u

/* ---- filling ---- */

struct fill {
    const struct run *run;
    void *store;
    struct permutation permutation;
    unsigned threads;
    struct latencies latencies[THREADS_MAX];
};

static void fill_rows(void *arg, unsigned thread)
{
    struct fill *fill = arg;
    const struct bench_engine *engine = fill->run->engine;
    void *session = engine->open_session(fill->store);
    uint8_t value[ROW_VALUE_BYTES];

    for (uint64_t i = thread; i < fill->permutation.count; i += fill->threads) {
        uint64_t number = permutation_at(&fill->permutation, i);
        struct bench_key key = key_of_row(number);
        struct bytes bytes = material_row(value, number);
        uint64_t begin = now_ns();

        engine->put(session, &key, bytes);
        latencies_add(&fill->latencies[thread], now_ns() - begin);
    }
    engine->close_session(session);
}

static void fill_values(void *arg, unsigned thread)
{
    struct fill *fill = arg;
    const struct bench_engine *engine = fill->run->engine;
    void *session = engine->open_session(fill->store);

    for (uint64_t number = 0; number < fill->permutation.count; number++) {
        struct bench_key key = key_of_row(number);
        struct bytes bytes = material_noise(number, VALUE_BYTES);
        uint64_t begin = now_ns();

        engine->put(session, &key, bytes);
        latencies_add(&fill->latencies[thread], now_ns() - begin);
    }
    engine->close_session(session);
}

/* Opens, fills, comes to rest; reports all of it but the closing. */
static void fill_and_report(const struct run *run, struct settings settings, uint64_t count,
    uint64_t row_bytes, unsigned threads, void (*work)(void *arg, unsigned thread))
{
    static struct fill fill;
    struct usage before, filled, rested;

    fill = (struct fill){.run = run, .threads = threads};
    permutation_init(&fill.permutation, count);
    fill.store = run->engine->open(run->folder, &settings);
    usage_now(run->folder, &before);
    run_threads(threads, work, &fill);
    usage_now(run->folder, &filled);
    run->engine->flush(fill.store);
    wait_until_quiet();
    usage_now(run->folder, &rested);
    for (unsigned i = 1; i < threads; i++)
        latencies_merge(&fill.latencies[0], &fill.latencies[i]);

    report_metric("rate", (double)count / seconds_between(before.at_ns, filled.at_ns));
    report_metric("cpu_us", (double)(rested.cpu_ns - before.cpu_ns) / 1e3 / (double)count);
    report_metric("cpu_put_us", (double)(filled.cpu_ns - before.cpu_ns) / 1e3 / (double)count);
    if (settings.content == CONTENT_VALUES) {
        report_metric("mb_s",
            (double)(count * row_bytes) / 1e6 / seconds_between(before.at_ns, filled.at_ns));
        report_metric("cpu_s_gib", (double)(rested.cpu_ns - before.cpu_ns) / 1e9 /
                                       ((double)(count * row_bytes) / (1 << 30)));
    }
    report_put_latency(&fill.latencies[0]);
    report_metric("written_ratio",
        (double)(rested.device_bytes - before.device_bytes) / (double)(count * row_bytes));
    report_rss();
    run->engine->close(fill.store);
    report_metric("store_mib", (double)folder_bytes(run->folder) / (1 << 20));
}

void load_fill_one(const struct run *run)
{
    fill_and_report(run, run->settings, scaled(run, FILL_ROWS), ROW_BYTES, 1, fill_rows);
}

void load_fill_two(const struct run *run)
{
    fill_and_report(run, run->settings, scaled(run, FILL_ROWS), ROW_BYTES, 2, fill_rows);
}

void load_values(const struct run *run)
{
    struct settings settings = run->settings;

    settings.content = CONTENT_VALUES;
    fill_and_report(
        run, settings, scaled(run, VALUES_BYTES / VALUE_BYTES), VALUE_BYTES, 1, fill_values);
}

/* ---- reading ---- */

/* Leaves a store at rest, and closed, with rows in it. */
static void prepare_rows(const struct run *run, const struct settings *settings, uint64_t count)
{
    static struct fill fill;

    fill = (struct fill){.run = run, .threads = 1};
    permutation_init(&fill.permutation, count);
    fill.store = run->engine->open(run->folder, settings);
    fill_rows(&fill, 0);
    run->engine->flush(fill.store);
    wait_until_quiet();
    run->engine->close(fill.store);
}

static void prepare_warm_rows(const struct run *run)
{
    prepare_rows(run, &run->settings, scaled(run, WARM_ROWS));
}

static struct settings cold_settings(const struct run *run)
{
    struct settings settings = run->settings;

    if (settings.memory_bytes > COLD_MEMORY_BYTES)
        settings.memory_bytes = COLD_MEMORY_BYTES;
    return settings;
}

/* With the memory that the reads will have: another may not be at rest with its files. */
static void prepare_cold_rows(const struct run *run)
{
    struct settings settings = cold_settings(run);

    prepare_rows(run, &settings, scaled(run, COLD_ROWS));
}

struct reading {
    const struct run *run;
    void *store;
    uint64_t rows, operations;
    unsigned threads;
};

static void get_rows(void *arg, unsigned thread)
{
    struct reading *reading = arg;
    const struct bench_engine *engine = reading->run->engine;
    void *session = engine->open_session(reading->store);
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15) + thread;

    for (uint64_t i = thread; i < reading->operations; i += reading->threads) {
        uint64_t number = random_next(&state) % reading->rows, stamp = 0;
        struct bench_key key = key_of_row(number);

        if (engine->get(session, &key, &stamp) != ROW_VALUE_BYTES || stamp != number)
            die("row %lu is not what was put", number);
    }
    engine->close_session(session);
}

static void scan_partitions(struct reading *reading, bool all)
{
    const struct bench_engine *engine = reading->run->engine;
    void *session = engine->open_session(reading->store);
    uint64_t partitions = reading->rows / PARTITION_ROWS, state = UINT64_C(0x9e3779b97f4a7c15);

    for (uint64_t i = 0; i < (all ? partitions : reading->operations); i++) {
        uint64_t partition = (all ? i : random_next(&state) % partitions) + 1, bytes;

        if (engine->scan(session, partition, &bytes) != PARTITION_ROWS ||
            bytes != (uint64_t)PARTITION_ROWS * ROW_BYTES)
            die("partition %lu is not what was put", partition);
    }
    engine->close_session(session);
}

/* Whole partitions only. */
static uint64_t round_rows(uint64_t rows)
{
    return rows < PARTITION_ROWS ? PARTITION_ROWS : rows / PARTITION_ROWS * PARTITION_ROWS;
}

static struct reading open_warm(const struct run *run, uint64_t operations, unsigned threads)
{
    struct reading reading = {
        .run = run,
        .operations = scaled(run, operations),
        .rows = round_rows(scaled(run, WARM_ROWS)),
        .threads = threads,
    };

    run_in_child(run, prepare_warm_rows);
    reading.store = run->engine->open(run->folder, &run->settings);
    scan_partitions(&reading, true);
    return reading;
}

static void get_and_report(struct reading *reading)
{
    const struct run *run = reading->run;
    struct usage before, after;

    usage_now(run->folder, &before);
    run_threads(reading->threads, get_rows, reading);
    usage_now(run->folder, &after);
    report_rate(&before, &after, reading->operations);
    report_metric(
        "reads", (double)(after.read_calls - before.read_calls) / (double)reading->operations);
    report_metric("read_kib",
        (double)(after.read_bytes - before.read_bytes) / 1024 / (double)reading->operations);
    report_rss();
    run->engine->close(reading->store);
}

void load_get_one(const struct run *run)
{
    struct reading reading = open_warm(run, WARM_GETS, 1);

    get_and_report(&reading);
}

void load_get_two(const struct run *run)
{
    struct reading reading = open_warm(run, WARM_GETS, 2);

    get_and_report(&reading);
}

void load_scan(const struct run *run)
{
    struct reading reading = open_warm(run, WARM_SCANS, 1);
    struct usage before, after;

    usage_now(run->folder, &before);
    scan_partitions(&reading, false);
    usage_now(run->folder, &after);
    report_rate(&before, &after, reading.operations * PARTITION_ROWS);
    report_rss();
    run->engine->close(reading.store);
}

void load_get_cold(const struct run *run)
{
    struct settings settings = cold_settings(run);
    struct reading reading = {
        .run = run,
        .operations = scaled(run, COLD_GETS),
        .rows = round_rows(scaled(run, COLD_ROWS)),
        .threads = 1,
    };

    run_in_child(run, prepare_cold_rows);
    folder_make_cold(run->folder);
    if (memory_limit_enter(settings.memory_bytes + COLD_MEMORY_BESIDE_BYTES))
        report_metric(
            "bound_mib", (double)((settings.memory_bytes + COLD_MEMORY_BESIDE_BYTES) >> 20));
    reading.store = run->engine->open(run->folder, &settings);
    get_and_report(&reading);
}
