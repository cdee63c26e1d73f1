#include "engine/latency.h"

static unsigned shard_of_thread(void)
{
    static _Atomic unsigned threads;
    static _Thread_local unsigned number; /* from 1 */

    if (number == 0)
        number = atomic_fetch_add(&threads, 1) + 1;
    return number % LATENCY_SHARDS;
}

static unsigned bucket_of(uint64_t us)
{
    unsigned bits = us == 0 ? 0 : 64 - (unsigned)__builtin_clzll(us);

    return bits < LATENCY_BUCKETS ? bits : LATENCY_BUCKETS - 1;
}

void latency_add(struct latency_histogram *histogram, uint64_t us)
{
    unsigned shard = shard_of_thread();

    atomic_fetch_add_explicit(&histogram->shards[shard].sum_us, us, memory_order_relaxed);
    atomic_fetch_add_explicit(
        &histogram->shards[shard].buckets[bucket_of(us)], 1, memory_order_relaxed);
}

void latency_get(const struct latency_histogram *histogram, struct latency_values *ret_values)
{
    struct latency_values values = {0};

    for (unsigned i = 0; i < LATENCY_SHARDS; i++) {
        values.sum_us += atomic_load_explicit(&histogram->shards[i].sum_us, memory_order_relaxed);
        for (unsigned j = 0; j < LATENCY_BUCKETS; j++)
            values.buckets[j] +=
                atomic_load_explicit(&histogram->shards[i].buckets[j], memory_order_relaxed);
    }
    for (unsigned j = 0; j < LATENCY_BUCKETS; j++)
        values.count += values.buckets[j];
    *ret_values = values;
}

uint64_t latency_quantile_us(const struct latency_values *values, unsigned thousandths)
{
    uint64_t wanted = (values->count * thousandths + 999) / 1000, seen = 0;

    if (values->count == 0)
        return 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        seen += values->buckets[i];
        if (seen >= wanted)
            return 1ull << i;
    }
    return 1ull << (LATENCY_BUCKETS - 1);
}
