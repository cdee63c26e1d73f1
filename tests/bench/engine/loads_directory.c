/*
 * Directories: rows of `dirents` as the file system writes them. On our engine alone.
 */
#include "loads.h"

#include <stdio.h>

#include "engine_sstfs.h"
#include "folder.h"
#include "material.h"

#define DELETED_NAMES 100000u
#define DELETED_LEFT 10u
#define CREATES 1000000u
#define OVERWRITES 1000000u
#define OVERWRITTEN_BLOCKS 512u /* of the file: 64 MiB */
#define BIG_NAMES 10000000u
#define SMALL_DIRECTORY_NAMES 10000u
#define LOOKUPS 200000u
#define DIR 2u

/* ---- what lies on the disk ---- */

struct table_sum {
    unsigned table;
    uint64_t sstables, bytes, rows, tombstones;
};

static int add_sstable(void *arg, const struct engine_sstable *sstable)
{
    const struct sstable_facts *facts = sstable->facts;
    struct table_sum *sum = arg;

    if (sstable->table == sum->table) {
        sum->sstables++;
        sum->bytes += facts->total_bytes;
        sum->rows += facts->rows;
        sum->tombstones += facts->tombstones;
    }
    return 0;
}

static struct table_sum sum_of_table(struct bench_store *store, unsigned table)
{
    struct table_sum sum = {.table = table};

    sstfs_check(engine_sstables(store->engine, add_sstable, &sum), "SSTables");
    return sum;
}

static uint64_t flushes_of(struct bench_store *store)
{
    struct engine_stats stats;

    engine_get_stats(store->engine, &stats);
    return stats.flushes;
}

/* ---- a directory whose names are nearly all deleted ---- */

/* Milliseconds. */
static double time_of_listing(struct bench_store *store, uint64_t expected)
{
    uint64_t begin = now_ns(), end;

    if (sstfs_list(store, DIR) != expected)
        die("the directory does not list %lu names", expected);
    end = now_ns();
    return seconds_between(begin, end) * 1e3;
}

void load_deleted(const struct run *run)
{
    struct bench_store *store = sstfs_open(run->folder, run->settings.memory_bytes);
    uint64_t names = scaled(run, DELETED_NAMES) + DELETED_LEFT;
    double in_memory, flushed, compacted;

    for (uint64_t i = 0; i < names; i++)
        sstfs_put_name(store, DIR, i);
    sstfs_check(engine_flush(store->engine, TABLES_ALL), "flush");
    for (uint64_t i = DELETED_LEFT; i < names; i++)
        sstfs_delete_name(store, DIR, i);
    in_memory = time_of_listing(store, DELETED_LEFT);
    sstfs_check(engine_flush(store->engine, TABLES_ALL), "flush");
    flushed = time_of_listing(store, DELETED_LEFT);
    sstfs_check(engine_compact(store->engine, TABLES_ALL), "compact");
    compacted = time_of_listing(store, DELETED_LEFT);
    report_metric("list_deleted_ms", in_memory > flushed ? in_memory : flushed);
    report_metric("list_compacted_ms", compacted);
    report_rss();
    sstfs_close(store);
}

/* ---- rows replaced and rows made, in memory ---- */

/* Bytes of `dirents` beyond what they are once compacted: what flushes wrote for nothing. */
static void report_dirents(struct bench_store *store, uint64_t flushes)
{
    struct table_sum before, after;

    sstfs_check(engine_flush(store->engine, TABLES_ALL), "flush");
    before = sum_of_table(store, TABLE_DIRENTS);
    sstfs_check(engine_compact(store->engine, UINT64_C(1) << TABLE_DIRENTS), "compact");
    after = sum_of_table(store, TABLE_DIRENTS);
    report_metric("flushes", (double)flushes);
    report_metric("dirents_rows", (double)before.rows / (double)after.rows);
}

/* A page of a file's block, and the file's size and times, as one batch. */
static void overwrite_page(struct bench_store *store, uint64_t number, uint64_t page)
{
    struct batch *batch = sstfs_admit(store, TABLE_BLOCKS, PAGE_BYTES + REQUEST_BYTES);
    struct row_key block, name;

    row_key_block(&block, DIR + 1, (uint32_t)(page / BLOCK_PAGES));
    batch_row(batch, TABLE_BLOCKS, block.key, &block.clustering, false);
    batch_cell(batch, (unsigned)(page % BLOCK_PAGES), material_noise(number, PAGE_BYTES));
    row_key_dirent(&name, DIR, BYTES_LITERAL("file"));
    batch_row(batch, TABLE_DIRENTS, name.key, &name.clustering, false);
    batch_cell_bigint(batch, DIRENT_CTIME, (int64_t)number);
    batch_cell_bigint(batch, DIRENT_MTIME, (int64_t)number);
    sstfs_apply(store, batch);
}

void load_overwrites(const struct run *run)
{
    struct bench_store *store = sstfs_open(run->folder, run->settings.memory_bytes);
    uint64_t count = scaled(run, OVERWRITES), state = 88172645463325252u;
    struct usage before, after;

    usage_now(run->folder, &before);
    for (uint64_t i = 0; i < count; i++)
        overwrite_page(store, i, random_next(&state) % (OVERWRITTEN_BLOCKS * BLOCK_PAGES));
    usage_now(run->folder, &after);
    report_rate(&before, &after, count);
    report_dirents(store, flushes_of(store));
    report_rss();
    sstfs_close(store);
}

void load_creates(const struct run *run)
{
    struct bench_store *store = sstfs_open(run->folder, run->settings.memory_bytes);
    uint64_t count = scaled(run, CREATES);
    struct usage before, after;

    usage_now(run->folder, &before);
    for (uint64_t i = 0; i < count; i++)
        sstfs_put_name(store, DIR, i);
    usage_now(run->folder, &after);
    report_rate(&before, &after, count);
    report_dirents(store, flushes_of(store));
    report_rss();
    sstfs_close(store);
}

/* ---- one directory of very many names ---- */

struct big {
    struct bench_store *store;
    uint64_t names, names_of_directory;
    double insert_us, lookup_us, list_us;
};

/* The same names in the same order, in one directory or in many. */
static void measure_directories(struct big *big)
{
    struct permutation permutation;
    uint64_t begin, state = 88172645463325252u;
    uint64_t directories = (big->names + big->names_of_directory - 1) / big->names_of_directory;

    permutation_init(&permutation, big->names);
    begin = now_ns();
    for (uint64_t i = 0; i < big->names; i++) {
        uint64_t name = permutation_at(&permutation, i);
        sstfs_put_name(big->store, DIR + name / big->names_of_directory, name);
    }
    big->insert_us = seconds_between(begin, now_ns()) * 1e6 / (double)big->names;
    sstfs_check(engine_flush(big->store->engine, TABLES_ALL), "flush");
    wait_until_quiet();

    begin = now_ns();
    for (uint64_t i = 0; i < LOOKUPS; i++) {
        uint64_t name = random_next(&state) % big->names;
        if (!sstfs_has_name(big->store, DIR + name / big->names_of_directory, name))
            die("name %lu is not there", name);
    }
    big->lookup_us = seconds_between(begin, now_ns()) * 1e6 / LOOKUPS;

    begin = now_ns();
    for (uint64_t i = 0; i < directories; i++)
        if (sstfs_list(big->store, DIR + i) == 0)
            die("directory %lu is empty", i);
    big->list_us = seconds_between(begin, now_ns()) * 1e6 / (double)big->names;
}

static struct big big_directory(
    const struct run *run, const char *name, uint64_t names_of_directory)
{
    struct big big = {
        .names = scaled(run, BIG_NAMES),
        .names_of_directory = names_of_directory,
    };
    char folder[4096];
    struct env *env;

    snprintf(folder, sizeof(folder), "%s/%s", run->folder, name);
    folder_make_empty(folder);
    sstfs_check(env_posix_new(folder, &env), "folder");
    big.store = sstfs_open_on(env, run->settings.memory_bytes);
    measure_directories(&big);
    sstfs_close(big.store);
    return big;
}

void load_directory(const struct run *run)
{
    struct big small = big_directory(run, "small", SMALL_DIRECTORY_NAMES);
    struct big big = big_directory(run, "big", scaled(run, BIG_NAMES));

    report_metric("insert_us", big.insert_us);
    report_metric("insert_ratio", big.insert_us / small.insert_us);
    report_metric("lookup_us", big.lookup_us);
    report_metric("lookup_ratio", big.lookup_us / small.lookup_us);
    report_metric("list_us", big.list_us);
    report_metric("list_ratio", big.list_us / small.list_us);
    report_rss();
}
