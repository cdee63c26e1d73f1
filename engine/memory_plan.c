#include "memory_plan.h"

/* An empty memtable takes more than 1 MiB once it is written to all over its key space. */
#define MEMTABLES_MIN (4u << 20)

static unsigned share_of(const struct table_schema *table)
{
    return table->memory_share ? table->memory_share : 1;
}

void memory_plan_init(struct memory_plan *plan, uint64_t memory_bytes,
    const struct table_schema *tables, unsigned table_count)
{
    uint64_t part = memory_bytes / 64;
    uint64_t shares = 0;

    /* What is left over, five parts of 64, is for requests and for what no line counts. Idle value
     * buffers are what a memtable of the largest share has when it is flushed. */
    *plan = (struct memory_plan){
        .chunks = 12 * part,
        .index_pages = 2 * part,
        .filters = 4 * part,
        .background = 2 * part,
        .callers = 16 * part,
        .idle_value_buffers = 5 * part,
    };
    for (unsigned i = 0; i < table_count; i++)
        shares += share_of(&tables[i]);
    for (unsigned i = 0; i < table_count; i++) {
        plan->memtables[i] = 18 * part / shares * share_of(&tables[i]);
        if (plan->memtables[i] < MEMTABLES_MIN)
            plan->memtables[i] = MEMTABLES_MIN;
        plan->memtables_total += plan->memtables[i];
    }
}
