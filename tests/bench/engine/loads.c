#include "loads.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

const struct load loads[] = {
    {"fill-1", "2 million rows of 200 B, 1 thread", false, load_fill_one},
    {"fill-2", "2 million rows of 200 B, 2 threads", false, load_fill_two},
    {"values", "4 GiB of 128 KiB values, incompressible", false, load_values},
    {"get-1", "warm point reads, 1 thread", false, load_get_one},
    {"get-2", "warm point reads, 2 threads", false, load_get_two},
    {"cold", "cold point reads, store 10 x the cache", false, load_get_cold},
    {"scan", "scans of 100 rows, warm", false, load_scan},
    {"deleted", "a directory of 100,010 rows, 100,000 deleted", true, load_deleted},
    {"overwrites", "1 million 4 KiB overwrites in one file", true, load_overwrites},
    {"creates", "1 million creates in one directory", true, load_creates},
    {"directory", "one directory of 10 million rows", true, load_directory},
    {"open", "10 million files in 100,000 directories", true, load_open},
    {"throttled", "16 throttled writers, another thread's gets", true, load_throttled},
    {"space", "everything overwritten 10 times", true, load_space},
    {"slow", "a disk that takes 10 ms more for each write", true, load_slow},
    {"append", "4 KiB append and forced sync", true, load_append},
};
const unsigned load_count = ARRAY_COUNT(loads);

uint64_t scaled(const struct run *run, uint64_t count)
{
    uint64_t result = (uint64_t)((double)count * run->scale);

    return result > 0 ? result : 1;
}

void run_in_child(const struct run *run, void (*prepare)(const struct run *run))
{
    pid_t pid = fork();
    int status;

    if (pid < 0)
        die("fork: %m");
    if (pid == 0) {
        prepare(run);
        _exit(0);
    }
    if (waitpid(pid, &status, 0) < 0)
        die("waitpid: %m");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        die("preparing the store failed");
}

/* ---- threads ---- */

struct thread {
    pthread_t thread;
    unsigned number;
    void (*work)(void *arg, unsigned thread);
    void *arg;
};

static void *thread_main(void *of)
{
    struct thread *thread = of;

    thread->work(thread->arg, thread->number);
    return NULL;
}

void run_threads(unsigned count, void (*work)(void *arg, unsigned thread), void *arg)
{
    struct thread threads[THREADS_MAX];

    for (unsigned i = 0; i < count; i++) {
        threads[i] = (struct thread){.number = i, .work = work, .arg = arg};
        if (pthread_create(&threads[i].thread, NULL, thread_main, &threads[i]) != 0)
            die("no thread");
    }
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i].thread, NULL);
}

/* ---- what loads have to say ---- */

void report_rate(const struct usage *from, const struct usage *to, uint64_t operations)
{
    report_metric("rate", (double)operations / seconds_between(from->at_ns, to->at_ns));
    report_metric("cpu_us", (double)(to->cpu_ns - from->cpu_ns) / 1e3 / (double)operations);
}

void report_put_latency(const struct latencies *latencies)
{
    report_metric("put_p999_us", (double)latencies_quantile(latencies, 0.999) / 1e3);
    report_metric("put_worst_ms", (double)latencies->max_ns / 1e6);
}

void report_rss(void)
{
    report_metric("rss_mib", (double)rss_peak_bytes() / (1 << 20));
}
