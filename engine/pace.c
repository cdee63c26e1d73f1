#include "pace.h"

/* Until a flush was measured; of a slow disk, for a first guess that stops is worse than one that
 * slows. */
#define BYTES_PER_S_FIRST (16u << 20)
#define BYTES_PER_S_MIN (64u << 10)
#define MEASURED_BYTES_MIN (1u << 20)
/* Costs below are gathered: a wait has a price of its own. */
#define GATHERED_NS 1000000

void pace_init(struct pace *pace)
{
    atomic_init(&pace->bytes_per_s, BYTES_PER_S_FIRST);
    atomic_init(&pace->began_us, 0);
    atomic_init(&pace->flushing_bytes, 0);
    atomic_init(&pace->line_ns, 0);
}

void pace_flush_begins(struct pace *pace, uint64_t bytes, uint64_t now_us)
{
    atomic_store(&pace->flushing_bytes, bytes);
    atomic_store(&pace->began_us, now_us ? now_us : 1);
}

uint64_t pace_flush_ends(struct pace *pace, uint64_t now_us)
{
    uint64_t began_us = atomic_exchange(&pace->began_us, 0);
    uint64_t bytes = atomic_load(&pace->flushing_bytes);
    uint64_t before, measured;

    if (began_us == 0 || bytes < MEASURED_BYTES_MIN)
        return began_us;
    before = atomic_load(&pace->bytes_per_s);
    measured = bytes * 1000000 / (now_us > began_us ? now_us - began_us : 1);
    /* Slower is believed at once. */
    if (measured > before)
        measured = (before + measured) / 2;
    atomic_store(&pace->bytes_per_s, measured > BYTES_PER_S_MIN ? measured : BYTES_PER_S_MIN);
    return began_us;
}

/* How long it is until memory comes back. A flush that is overdue has some time to go still: half
 * of what it has lasted. One that has not begun takes what fills half the budget. */
static uint64_t flush_remaining_us(struct pace *pace, uint64_t used, uint64_t now_us)
{
    uint64_t began_us = atomic_load(&pace->began_us);
    uint64_t bytes = began_us ? atomic_load(&pace->flushing_bytes) : used / 2;
    uint64_t whole_us = bytes * 1000000 / atomic_load(&pace->bytes_per_s);
    uint64_t lasted_us = began_us && now_us > began_us ? now_us - began_us : 0;

    return whole_us > lasted_us + lasted_us / 2 ? whole_us - lasted_us : lasted_us / 2;
}

uint64_t pace_free_bytes(uint64_t budget)
{
    return budget / 10 * 6;
}

static uint64_t cost_ns(
    struct pace *pace, uint64_t bytes, uint64_t used, uint64_t budget, uint64_t now_us)
{
    uint64_t unpaced = pace_free_bytes(budget);
    double room = used < budget ? (double)(budget - used) : 1;
    double cost;

    if (used <= unpaced)
        return 0;
    cost = (double)bytes / room * (double)flush_remaining_us(pace, used, now_us) *
           (double)(used - unpaced) / (double)(budget - unpaced);
    return cost < PACE_DELAY_US_MAX ? (uint64_t)(cost * 1000) : PACE_DELAY_US_MAX * 1000;
}

uint64_t pace_delay_us(
    struct pace *pace, uint64_t bytes, uint64_t used, uint64_t budget, uint64_t now_us)
{
    uint64_t cost = cost_ns(pace, bytes, used, budget, now_us);
    uint64_t line_ns = atomic_load(&pace->line_ns), now_ns = now_us * 1000, paid_ns;

    if (cost == 0)
        return 0;
    do {
        paid_ns = (line_ns > now_ns ? line_ns : now_ns) + cost;
        if (paid_ns > now_ns + PACE_DELAY_US_MAX * 1000)
            paid_ns = now_ns + PACE_DELAY_US_MAX * 1000;
    } while (!atomic_compare_exchange_weak(&pace->line_ns, &line_ns, paid_ns));
    return paid_ns - now_ns < GATHERED_NS ? 0 : (paid_ns - now_ns) / 1000;
}
