/*
 * The engine benchmark: the same loads on our engine and on others, one process a run.
 *
 *   main.c ──fork, exec──> the same program with --run LOAD ENGINE ──"metric value" lines──>
 * report.c
 *
 * A run does one load on one engine in a new folder, prints what it measured, and ends. Whatever
 * fails ends the run with one line (die()): a benchmark that goes on after an error measures it.
 */
#ifndef SSTFS_BENCH_ENGINE_H
#define SSTFS_BENCH_ENGINE_H

#include "engine/auto.h"
#include "engine/bytes.h"

/* ---- rows of the loads that all engines run ---- */

/** Rows of a partition, which is what a scan reads. */
#define PARTITION_ROWS 100u

/** Ours: partition key and clustering. The others: 16 bytes, big-endian, in this order. */
struct bench_key {
    uint64_t partition;
    uint64_t row;
};
#define BENCH_KEY_BYTES 16

/** What of a store's content an engine may lay out in its own best way. */
enum content {
    CONTENT_ROWS,   /* 200 bytes with the key, half compressible, in random order */
    CONTENT_VALUES, /* 128 KiB, incompressible, in ascending order */
};

struct settings {
    uint64_t memory_bytes; /* as our option `memory=`; the others get the same shares of it */
    enum content content;
};

/** An engine under test. A session belongs to one thread. All die on errors. */
struct bench_engine {
    const char *name;
    void *(*open)(const char *folder, const struct settings *settings);
    void (*close)(void *store);
    void *(*open_session)(void *store);
    void (*close_session)(void *session);

    /** Survives the death of the process on return, not that of the machine. */
    void (*put)(void *session, const struct bench_key *key, struct bytes value);
    /** Size of the value (0: there is none) and its first 8 bytes. */
    size_t (*get)(void *session, const struct bench_key *key, uint64_t *ret_stamp);
    /** Rows of the partition, in order, and the sum of their sizes. */
    unsigned (*scan)(void *session, uint64_t partition, uint64_t *ret_bytes);
    /** What is in memory only to tables on the disk. */
    void (*flush)(void *store);
};

extern const struct bench_engine engine_sstfs, engine_rocksdb, engine_leveldb, engine_wiredtiger;

/* Shares of memory_bytes, which are those of our own plan (engine/memory_plan.c). */
static inline uint64_t settings_write_buffer_bytes(const struct settings *settings)
{
    return settings->memory_bytes / 64 * 18;
}

static inline uint64_t settings_cache_bytes(const struct settings *settings)
{
    return settings->memory_bytes / 64 * 12;
}

/* ---- a run ---- */

struct run {
    const struct bench_engine *engine;
    const char *folder; /* empty at first; the run may leave what it likes in it */
    struct settings settings;
    double scale; /* 1: as many rows as the bars name */
};

struct load {
    const char *name;
    const char *title;
    bool ours_alone; /* there is nothing to compare: its bars are not ratios to the others */
    void (*execute)(const struct run *run);
};
extern const struct load loads[];
extern const unsigned load_count;

/** `count` by the run's scale, at least 1. */
uint64_t scaled(const struct run *run, uint64_t count);

/* ---- what loads say ---- */

/** One line for report.c, which knows the metric's unit. */
void report_metric(const char *metric, double value);
void die(const char *format, ...) PRINTF_LIKE(1, 2) __attribute__((noreturn));

#endif
