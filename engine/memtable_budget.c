#include "memtable_budget.h"

/* A memtable becomes one SSTable, and that is to fit the reserve when it is written again. */
#define ACTIVE_PER_DISK 64
#define ACTIVE_BYTES_ON_SMALL_DISKS (3u << 20)

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What is there for the table alone, whatever the others do. */
static uint64_t floor_of(const struct table_memory *memory)
{
    return memory->share / 4;
}

void memtable_budgets_init(struct memtable_budgets *budgets, const struct memory_plan *plan,
    unsigned table_count, uint64_t disk_bytes)
{
    uint64_t active_max = disk_bytes / ACTIVE_PER_DISK;

    if (active_max < ACTIVE_BYTES_ON_SMALL_DISKS)
        active_max = ACTIVE_BYTES_ON_SMALL_DISKS;
    *budgets = (struct memtable_budgets){.table_count = table_count, .table_max = 2 * active_max};
    for (unsigned i = 0; i < table_count; i++) {
        atomic_init(&budgets->tables[i].bytes, 0);
        budgets->tables[i].share = least(plan->memtables[i], budgets->table_max);
        budgets->total += budgets->tables[i].share;
    }
}

/* Adds what one table has to what all have. */
static void add_use(struct memory_use *use, const struct table_memory *memory)
{
    uint64_t bytes = atomic_load_explicit(&memory->bytes, memory_order_relaxed);
    uint64_t claimed = bytes > floor_of(memory) ? bytes : floor_of(memory);

    use->bytes += bytes;
    use->claimed += claimed;
    if (claimed < memory->share)
        use->idle += memory->share - claimed;
    else
        use->borrowed += claimed - memory->share;
}

struct memory_use memtable_budgets_look(const struct memtable_budgets *budgets)
{
    struct memory_use use = {0};

    for (unsigned i = 0; i < budgets->table_count; i++)
        add_use(&use, &budgets->tables[i]);
    return use;
}

uint64_t memtable_budget(
    const struct memtable_budgets *budgets, const struct memory_use *use, unsigned table)
{
    const struct table_memory *memory = &budgets->tables[table];
    struct memory_use own = {0};
    uint64_t lent, lent_to_others, left, budget;

    add_use(&own, memory);
    /* Of two looks, the second may find what the first did not. */
    lent = use->idle > own.idle ? (use->idle - own.idle) * 3 / 4 : 0;
    lent_to_others = use->borrowed > own.borrowed ? use->borrowed - own.borrowed : 0;
    left = budgets->total > use->claimed ? budgets->total - use->claimed : 0;

    budget = memory->share + (lent > lent_to_others ? lent - lent_to_others : 0);
    return least(least(budget, own.claimed + left), budgets->table_max);
}

uint64_t memtable_budget_active(
    const struct memtable_budgets *budgets, const struct memory_use *use, unsigned table)
{
    return memtable_budget(budgets, use, table) / 2;
}

uint64_t memtable_budget_batch_max(const struct memtable_budgets *budgets, unsigned table)
{
    return floor_of(&budgets->tables[table]);
}

bool memtable_budget_take(struct table_memory *memory, uint64_t bytes, uint64_t budget)
{
    uint64_t used = atomic_load(&memory->bytes);

    do {
        if (used + bytes > budget)
            return false;
    } while (!atomic_compare_exchange_weak(&memory->bytes, &used, used + bytes));
    return true;
}
