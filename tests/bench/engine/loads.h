/*
 * What each load does; loads.c has their list. Those of loads_rows.c run on every engine.
 */
#ifndef SSTFS_BENCH_LOADS_H
#define SSTFS_BENCH_LOADS_H

#include "bench.h"
#include "measure.h"

#define THREADS_MAX 17u

/* loads_rows.c */
void load_fill_one(const struct run *run);
void load_fill_two(const struct run *run);
void load_values(const struct run *run);
void load_get_one(const struct run *run);
void load_get_two(const struct run *run);
void load_get_cold(const struct run *run);
void load_scan(const struct run *run);

/* loads_directory.c */
void load_deleted(const struct run *run);
void load_overwrites(const struct run *run);
void load_creates(const struct run *run);
void load_directory(const struct run *run);

/* loads_store.c */
void load_open(const struct run *run);
void load_throttled(const struct run *run);
void load_space(const struct run *run);
void load_slow(const struct run *run);
void load_append(const struct run *run);

/* ---- common to the loads (loads.c) ---- */

/** Runs `prepare` in a process of its own and waits for it: what it used is not the run's. */
void run_in_child(const struct run *run, void (*prepare)(const struct run *run));

/** Runs `work` on `count` threads, numbered from 0, and waits for all. */
void run_threads(unsigned count, void (*work)(void *arg, unsigned thread), void *arg);

/** Reports "time_s", "cpu_us", "rate" of `operations` between two moments. */
void report_rate(const struct usage *from, const struct usage *to, uint64_t operations);
/** Reports "put_p999_us" and "put_worst_ms". */
void report_put_latency(const struct latencies *latencies);
/** Reports the largest RSS so far. */
void report_rss(void);

static inline double seconds_between(uint64_t from_ns, uint64_t to_ns)
{
    return (double)(to_ns - from_ns) / 1e9;
}

#endif
