#include "measure.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define QUIET_STEP_NS 200000000
#define QUIET_STEPS 5        /* in a row */
#define QUIET_CPU_NS 4000000 /* in a step: timers of idle threads */
#define SECTOR_BYTES 512

uint64_t now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static uint64_t timeval_ns(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_usec * 1000;
}

static uint64_t cpu_ns(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) < 0)
        die("getrusage: %m");
    return timeval_ns(usage.ru_utime) + timeval_ns(usage.ru_stime);
}

/* The number behind `field` in a file of /proc, which is `field number` a line. */
static uint64_t proc_field(const char *path, const char *field)
{
    FILE *file = fopen(path, "r");
    size_t size = strlen(field);
    uint64_t value = 0;
    bool found = false;
    char line[256];

    if (!file)
        die("%s: %m", path);
    while (!found && fgets(line, sizeof(line), file))
        if (strncmp(line, field, size) == 0)
            found = sscanf(line + size, "%lu", &value) == 1;
    fclose(file);
    if (!found)
        die("%s: there is no %s", path, field);
    return value;
}

static uint64_t device_bytes(const char *folder)
{
    uint64_t sectors_written;
    struct stat stat_of_folder;
    char path[64];
    FILE *file;
    int r;

    if (stat(folder, &stat_of_folder) < 0)
        die("%s: %m", folder);
    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/stat", major(stat_of_folder.st_dev),
        minor(stat_of_folder.st_dev));
    file = fopen(path, "r");
    if (!file)
        return 0; /* not on a block device of its own: tmpfs, overlays */
    r = fscanf(file, "%*u %*u %*u %*u %*u %*u %lu", &sectors_written);
    fclose(file);
    if (r != 1)
        die("%s: not what a block device says", path);
    return sectors_written * SECTOR_BYTES;
}

void usage_now(const char *folder, struct usage *ret_usage)
{
    *ret_usage = (struct usage){
        .device_bytes = device_bytes(folder),
        .read_calls = proc_field("/proc/self/io", "syscr:"),
        .read_bytes = proc_field("/proc/self/io", "read_bytes:"),
        .cpu_ns = cpu_ns(),
        .at_ns = now_ns(),
    };
}

void rss_reset_peak(void)
{
    FILE *file = fopen("/proc/self/clear_refs", "w");

    if (!file || fputs("5", file) < 0 || fclose(file) != 0)
        die("/proc/self/clear_refs: %m");
}

uint64_t rss_peak_bytes(void)
{
    return proc_field("/proc/self/status", "VmHWM:") << 10;
}

uint64_t rss_bytes(void)
{
    return proc_field("/proc/self/status", "VmRSS:") << 10;
}

void wait_until_quiet(void)
{
    const struct timespec step = {0, QUIET_STEP_NS};
    uint64_t cpu = cpu_ns(), written = proc_field("/proc/self/io", "write_bytes:");

    for (unsigned quiet = 0; quiet < QUIET_STEPS;) {
        uint64_t cpu_before = cpu, written_before = written;

        nanosleep(&step, NULL);
        cpu = cpu_ns();
        written = proc_field("/proc/self/io", "write_bytes:");
        quiet = cpu - cpu_before < QUIET_CPU_NS && written == written_before ? quiet + 1 : 0;
    }
}

/* ---- latencies ---- */

/* Below 32 ns a bucket each; above, 16 a power of two. */
static unsigned bucket_of(uint64_t ns)
{
    unsigned shift;

    if (ns < 32)
        return (unsigned)ns;
    shift = 63 - (unsigned)__builtin_clzll(ns) - 4;
    return shift * 16 + (unsigned)(ns >> shift);
}

static uint64_t bucket_end(unsigned bucket)
{
    unsigned shift;

    if (bucket < 32)
        return bucket;
    shift = bucket / 16 - 1;
    return ((uint64_t)(bucket % 16 + 16 + 1) << shift) - 1;
}

void latencies_add(struct latencies *latencies, uint64_t ns)
{
    latencies->counts[bucket_of(ns)]++;
    latencies->total++;
    if (ns > latencies->max_ns)
        latencies->max_ns = ns;
}

void latencies_merge(struct latencies *into, const struct latencies *from)
{
    for (unsigned i = 0; i < LATENCIES_BUCKETS; i++)
        into->counts[i] += from->counts[i];
    into->total += from->total;
    if (from->max_ns > into->max_ns)
        into->max_ns = from->max_ns;
}

uint64_t latencies_quantile(const struct latencies *latencies, double share)
{
    uint64_t rank = (uint64_t)((double)latencies->total * share), seen = 0;

    for (unsigned i = 0; i < LATENCIES_BUCKETS; i++) {
        seen += latencies->counts[i];
        if (seen > rank)
            return bucket_end(i) < latencies->max_ns ? bucket_end(i) : latencies->max_ns;
    }
    return latencies->max_ns;
}
