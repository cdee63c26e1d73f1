#include "compaction/pace.h"

#define SHARE_MIN 0.25
#define LEVEL0_RUNS_DEBT 12   /* at so many, all the disk is wanted */
#define TIERED_RUNS_NORMAL 64 /* of all tiers */
#define TIERED_RUNS_DEBT 256
#define REST_US_MAX 1000000 /* a step that hung says nothing of the disk */

static size_t runs_at_level0(const struct strategy_sstable *sstables, size_t count)
{
    size_t runs = 0;

    for (size_t i = 0; i < count; i++) {
        bool begins = sstables[i].level == 0;

        for (size_t j = 0; j < i && begins; j++)
            begins = sstables[j].level != 0 || sstables[j].run != sstables[i].run;
        runs += begins;
    }
    return runs;
}

double pace_debt(
    enum compaction_policy policy, const struct strategy_sstable *sstables, size_t count)
{
    size_t runs = runs_at_level0(sstables, count);
    size_t normal = policy == COMPACT_LEVELLED ? LEVEL0_RUNS_MAX : TIERED_RUNS_NORMAL;
    size_t debt = policy == COMPACT_LEVELLED ? LEVEL0_RUNS_DEBT : TIERED_RUNS_DEBT;

    return runs <= normal ? 0 : (double)(runs - normal) / (double)(debt - normal);
}

uint64_t pace_rest_us(uint64_t step_us, double debt)
{
    double share = SHARE_MIN + (1 - SHARE_MIN) * debt;
    double rest_us = share >= 1 ? 0 : (double)step_us * (1 / share - 1);

    return rest_us < REST_US_MAX ? (uint64_t)rest_us : REST_US_MAX;
}
