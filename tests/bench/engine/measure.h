/*
 * What a run costs: time, CPU of all threads, memory, bytes to the device, and latencies.
 */
#ifndef SSTFS_BENCH_MEASURE_H
#define SSTFS_BENCH_MEASURE_H

#include "bench.h"

uint64_t now_ns(void); /* monotonic */

/** Everything this process (and the disk below `folder`) had used by a moment. */
struct usage {
    uint64_t at_ns;
    uint64_t cpu_ns;       /* user and system, all threads */
    uint64_t device_bytes; /* written by the block device, whoever asked for it */
    uint64_t read_calls;   /* read(2) and its kin */
    uint64_t read_bytes;   /* from the device, for this process */
};
void usage_now(const char *folder, struct usage *ret_usage);

/** Forgets the peak so far, so that rss_peak_bytes() is that of what follows. */
void rss_reset_peak(void);
uint64_t rss_peak_bytes(void);
uint64_t rss_bytes(void);

/** Waits until the process has come to rest: no CPU and no writes for some time. */
void wait_until_quiet(void);

/** Latencies: buckets of 1/16 of a power of two, so a quantile is right within 6 %. */
#define LATENCIES_BUCKETS 1024u
struct latencies {
    uint64_t counts[LATENCIES_BUCKETS];
    uint64_t total;
    uint64_t max_ns;
};
void latencies_add(struct latencies *latencies, uint64_t ns);
void latencies_merge(struct latencies *into, const struct latencies *from);
uint64_t latencies_quantile(const struct latencies *latencies, double share);

#endif
