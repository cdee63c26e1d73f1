/*
 * What a store as a whole must bear: millions of files at its opening, writers that are too fast,
 * little space, a slow disk, syncs. On our engine alone.
 */
#include "loads.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "engine_sstfs.h"
#include "folder.h"
#include "material.h"
#include "slow_env.h"

#define FILES 10000000u
#define FILES_OF_DIRECTORY 100u
#define WRITERS 16u
#define THROTTLED_VALUES 32768u /* 4 GiB */
#define THROTTLED_NAMES 10000u
#define LIVE_VALUES 2048u /* 256 MiB */
#define LIVE_NAMES 200000u
#define ROUNDS 10u
#define SLOW_VALUES 8192u /* 1 GiB */
#define SLOW_DELAY_US 10000u
#define APPEND_TURNS 20u
#define APPENDS_IN_TURN 100u
#define EXTENT_INO 1000u
#define DIR 2u

/* Block `number` of as many files as are wanted, one after the other. */
static void put_value(struct bench_store *store, uint64_t number)
{
    sstfs_put_block(store, EXTENT_INO + number / EXTENT_BLOCKS, (uint32_t)(number % EXTENT_BLOCKS),
        material_noise(number, VALUE_BYTES));
}

/* ---- opening ---- */

static void prepare_files(const struct run *run)
{
    struct bench_store *store = sstfs_open(run->folder, run->settings.memory_bytes);
    struct permutation permutation;

    permutation_init(&permutation, scaled(run, FILES));
    for (uint64_t i = 0; i < permutation.count; i++) {
        uint64_t file = permutation_at(&permutation, i);
        sstfs_put_name(store, DIR + file / FILES_OF_DIRECTORY, file);
    }
    sstfs_close(store);
}

void load_open(const struct run *run)
{
    struct bench_store *store;
    uint64_t begin, opened, found;

    run_in_child(run, prepare_files);
    folder_make_cold(run->folder);
    begin = now_ns();
    store = sstfs_open(run->folder, run->settings.memory_bytes);
    opened = now_ns();
    report_metric("open_rss_mib", (double)rss_bytes() / (1 << 20));
    if (!sstfs_has_name(store, DIR, 0))
        die("the first file is not there");
    found = now_ns();
    report_metric("open_ms", seconds_between(begin, opened) * 1e3);
    report_metric("first_get_ms", seconds_between(opened, found) * 1e3);
    report_rss();
    sstfs_close(store);
}

/* ---- writers that are too fast ---- */

struct throttled {
    struct bench_store *store;
    uint64_t values, names;
    _Atomic unsigned writers;
    struct latencies gets, puts[WRITERS];
};

static void write_or_get(void *arg, unsigned thread)
{
    struct throttled *t = arg;
    uint64_t state = 88172645463325252u;

    if (thread == WRITERS) {
        while (atomic_load(&t->writers) > 0) {
            uint64_t name = random_next(&state) % t->names, begin = now_ns();

            if (!sstfs_has_name(t->store, DIR, name))
                die("name %lu is not there", name);
            latencies_add(&t->gets, now_ns() - begin);
        }
        return;
    }
    for (uint64_t i = thread; i < t->values; i += WRITERS) {
        uint64_t begin = now_ns();

        put_value(t->store, i);
        latencies_add(&t->puts[thread], now_ns() - begin);
    }
    atomic_fetch_sub(&t->writers, 1);
}

void load_throttled(const struct run *run)
{
    static struct throttled t;

    t.store = sstfs_open(run->folder, run->settings.memory_bytes);
    t.values = scaled(run, THROTTLED_VALUES);
    t.names = scaled(run, THROTTLED_NAMES);
    t.writers = WRITERS;
    for (uint64_t i = 0; i < t.names; i++)
        sstfs_put_name(t.store, DIR, i);
    sstfs_check(engine_flush(t.store->engine, TABLES_ALL), "flush");
    run_threads(WRITERS + 1, write_or_get, &t);
    for (unsigned i = 1; i < WRITERS; i++)
        latencies_merge(&t.puts[0], &t.puts[i]);
    report_metric("get_p99_us", (double)latencies_quantile(&t.gets, 0.99) / 1e3);
    report_put_latency(&t.puts[0]);
    report_rss();
    sstfs_close(t.store);
}

/* ---- everything overwritten ---- */

static void overwrite_everything(struct bench_store *store, const struct run *run)
{
    for (uint64_t i = 0; i < scaled(run, LIVE_VALUES); i++)
        put_value(store, i);
    for (uint64_t i = 0; i < scaled(run, LIVE_NAMES); i++)
        sstfs_put_name(store, DIR + i / FILES_OF_DIRECTORY, i);
    sstfs_check(engine_flush(store->engine, TABLES_ALL), "flush");
}

static uint64_t sstable_bytes(struct bench_store *store)
{
    struct engine_stats stats;

    wait_until_quiet();
    engine_get_stats(store->engine, &stats);
    return stats.sstable_bytes;
}

void load_space(const struct run *run)
{
    struct bench_store *store = sstfs_open(run->folder, run->settings.memory_bytes);
    uint64_t live, rested;

    overwrite_everything(store, run);
    sstfs_check(engine_compact(store->engine, TABLES_ALL), "compact");
    live = sstable_bytes(store);
    for (unsigned round = 0; round < ROUNDS; round++)
        overwrite_everything(store, run);
    rested = sstable_bytes(store);
    report_metric("space_ratio", (double)rested / (double)live);
    report_rss();
    sstfs_close(store);
}

/* ---- a slow disk ---- */

void load_slow(const struct run *run)
{
    struct bench_store *store =
        sstfs_open_on(slow_env_new(run->folder, SLOW_DELAY_US), run->settings.memory_bytes);
    static struct latencies puts;
    uint64_t count = scaled(run, SLOW_VALUES);
    struct usage before, after;

    usage_now(run->folder, &before);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t begin = now_ns();

        put_value(store, i);
        latencies_add(&puts, now_ns() - begin);
    }
    usage_now(run->folder, &after);
    report_rate(&before, &after, count);
    report_put_latency(&puts);
    report_rss();
    sstfs_close(store);
}

/* ---- append and sync ---- */

/* A page of a new file's end and its size, and a wait for the disk to have them. */
static void append_page(struct bench_store *store, uint64_t page)
{
    struct batch *batch = sstfs_admit(store, TABLE_BLOCKS, PAGE_BYTES + REQUEST_BYTES);
    struct row_key block, name;
    uint64_t position;

    row_key_block(&block, EXTENT_INO, (uint32_t)(page / BLOCK_PAGES));
    batch_row(batch, TABLE_BLOCKS, block.key, &block.clustering, false);
    batch_cell(batch, (unsigned)(page % BLOCK_PAGES), material_noise(page, PAGE_BYTES));
    row_key_dirent(&name, DIR, BYTES_LITERAL("file"));
    batch_row(batch, TABLE_DIRENTS, name.key, &name.clustering, false);
    batch_cell_bigint(batch, DIRENT_SIZE, (int64_t)((page + 1) * PAGE_BYTES));
    sstfs_check(engine_apply(store->engine, batch, &position), "apply");
    sstfs_check(engine_await(store->engine, position, true, NULL, NULL), "sync");
}

static void append_to_file(int fd, uint64_t page)
{
    if (pwrite(fd, material_noise(page, PAGE_BYTES).data, PAGE_BYTES, (off_t)(page * PAGE_BYTES)) !=
            PAGE_BYTES ||
        fdatasync(fd) < 0)
        die("plain file: %m");
}

/* A file whose blocks have all been written: what a sync of it costs is the least there is. */
static int open_prewritten(const struct run *run, uint64_t pages)
{
    char path[4096];
    int fd;

    snprintf(path, sizeof(path), "%s/plain", run->folder);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        die("%s: %m", path);
    for (uint64_t i = 0; i < pages; i++)
        if (pwrite(fd, material_noise(i, PAGE_BYTES).data, PAGE_BYTES, (off_t)(i * PAGE_BYTES)) !=
            PAGE_BYTES)
            die("%s: %m", path);
    if (fsync(fd) < 0)
        die("%s: %m", path);
    return fd;
}

/* So many appends to the store, then as many to the plain file. */
static void append_in_turn(struct bench_store *store, int fd, uint64_t first,
    struct latencies *ours, struct latencies *plain)
{
    for (uint64_t page = first; page < first + APPENDS_IN_TURN; page++) {
        uint64_t begin = now_ns();

        append_page(store, page);
        latencies_add(ours, now_ns() - begin);
    }
    for (uint64_t page = first; page < first + APPENDS_IN_TURN; page++) {
        uint64_t begin = now_ns();

        append_to_file(fd, page);
        latencies_add(plain, now_ns() - begin);
    }
}

void load_append(const struct run *run)
{
    uint64_t turns = scaled(run, APPEND_TURNS);
    static struct latencies ours, plain;
    struct bench_store *store;
    char folder[4096];
    int fd = open_prewritten(run, turns * APPENDS_IN_TURN);

    snprintf(folder, sizeof(folder), "%s/store", run->folder);
    folder_make_empty(folder);
    store = sstfs_open(folder, run->settings.memory_bytes);
    for (uint64_t turn = 0; turn < turns; turn++)
        append_in_turn(store, fd, turn * APPENDS_IN_TURN, &ours, &plain);
    report_metric("sync_us", (double)latencies_quantile(&ours, 0.5) / 1e3);
    report_metric("sync_ratio",
        (double)latencies_quantile(&ours, 0.5) / (double)latencies_quantile(&plain, 0.5));
    report_rss();
    sstfs_close(store);
    close(fd);
}
