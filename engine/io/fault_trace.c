/*
 * How long each call takes, and one number for all calls there were: what must be the same when a
 * seed is run again.
 */
#include <string.h>

#include "base/crc32.h"
#include "io/fault.h"

#define FNV_START 0xcbf29ce484222325ull
#define FNV_PRIME 0x100000001b3ull
/* One call in so many is slow; the others take a hundredth of that at most. */
#define SLOW_ONE_IN 32

static void mix(struct fault_env *fault, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        fault->trace = (fault->trace ^ (value >> i * 8 & 0xff)) * FNV_PRIME;
}

static void mix_path(struct fault_env *fault, const char *path)
{
    mix(fault, crc32_update(0, path, strlen(path)));
}

void fault_trace_init(struct fault_env *fault)
{
    fault->trace = FNV_START;
}

void fault_trace_path(struct fault_env *fault, enum fault_call call, const char *path)
{
    mix(fault, call);
    mix(fault, fault->mem.monotonic_us);
    mix_path(fault, path);
}

void fault_trace_paths(
    struct fault_env *fault, enum fault_call call, const char *from, const char *to)
{
    fault_trace_path(fault, call, from);
    mix_path(fault, to);
}

/* An open file by its inode's number: its path may have changed since, and its data says more. */
void fault_trace_file(
    struct fault_env *fault, enum fault_call call, int fd, uint64_t offset, uint64_t size)
{
    const struct mem_open *open = mem_open_of(&fault->mem, fd);

    mix(fault, call);
    mix(fault, fault->mem.monotonic_us);
    mix(fault, open ? open->inode->number : 0);
    mix(fault, offset);
    mix(fault, size);
}

void fault_trace_data(struct fault_env *fault, const struct iovec *vector, int count)
{
    uint32_t crc = 0;

    for (int i = 0; i < count; i++)
        if (vector[i].iov_len > 0)
            crc = crc32_update(crc, vector[i].iov_base, vector[i].iov_len);
    mix(fault, crc);
}

void fault_take_time(struct fault_env *fault)
{
    uint64_t most = fault->latency_us_max;

    if (most == 0)
        return;
    if (mem_random(&fault->mem) % SLOW_ONE_IN != 0)
        most = most / 100 + 1;
    fault->mem.monotonic_us += mem_random(&fault->mem) % most;
}

uint64_t env_fault_trace(struct env *env)
{
    return fault_env_of(env)->trace;
}

void env_fault_set_latency(struct env *env, uint64_t us_max)
{
    fault_env_of(env)->latency_us_max = us_max;
}
