#include "core/facts.h"

#include <errno.h>

#define FACTS_MIN 1024u

static size_t fact_place(const struct facts *facts, uint64_t ino)
{
    size_t mask = facts->capacity - 1;
    size_t at = (size_t)(ino * UINT64_C(0x9e3779b97f4a7c15) >> 20) & mask;

    while (facts->table[at].ino != 0 && facts->table[at].ino != ino)
        at = (at + 1) & mask;
    return at;
}

struct fact *facts_find(const struct facts *facts, uint64_t ino)
{
    struct fact *fact = &facts->table[fact_place(facts, ino)];

    return fact->ino ? fact : NULL;
}

static int facts_grow(struct facts *facts)
{
    struct fact *before = facts->table;
    size_t count = facts->capacity;
    struct fact *table = calloc(count ? count * 2 : FACTS_MIN, sizeof(*table));

    if (!table)
        return -ENOMEM;
    facts->table = table;
    facts->capacity = count ? count * 2 : FACTS_MIN;
    for (size_t i = 0; i < count; i++) {
        if (before[i].ino)
            table[fact_place(facts, before[i].ino)] = before[i];
    }
    free(before);
    return 0;
}

int facts_ensure(struct facts *facts, uint64_t ino, struct fact **ret_fact, bool *ret_made)
{
    struct fact *fact;
    int r;

    if (facts->count >= facts->capacity / 4 * 3) {
        r = facts_grow(facts);
        if (r < 0)
            return r;
    }
    fact = &facts->table[fact_place(facts, ino)];
    *ret_made = fact->ino == 0;
    if (*ret_made) {
        fact->ino = ino;
        facts->count++;
    }
    *ret_fact = fact;
    return 0;
}

int facts_init(struct facts *facts)
{
    *facts = (struct facts){.count = 0};
    return facts_grow(facts);
}

void facts_release(struct facts *facts)
{
    free(facts->table);
    free(facts->orphans);
}

/* ---- orphans ---- */

static int orphan_order(const void *a, const void *b)
{
    const struct orphan *left = a, *right = b;

    if (left->ino != right->ino)
        return left->ino < right->ino ? -1 : 1;
    return left->first_extent < right->first_extent ? -1 : left->first_extent > right->first_extent;
}

int facts_keep_orphan(struct facts *facts, const struct orphan *orphan)
{
    if (facts->orphan_count == facts->orphan_capacity) {
        size_t capacity = facts->orphan_capacity ? facts->orphan_capacity * 2 : 64;
        struct orphan *orphans = reallocarray(facts->orphans, capacity, sizeof(*facts->orphans));

        if (!orphans)
            return -ENOMEM;
        facts->orphans = orphans;
        facts->orphan_capacity = capacity;
    }
    facts->orphans[facts->orphan_count++] = *orphan;
    return 0;
}

void facts_sort_orphans(struct facts *facts)
{
    if (facts->orphan_count)
        qsort(facts->orphans, facts->orphan_count, sizeof(*facts->orphans), orphan_order);
}

/* Of one inode: the row that follows `after` (NULL: its first); NULL at the end. */
static const struct orphan *orphan_next(
    const struct facts *facts, uint64_t ino, const struct orphan *after)
{
    size_t low = 0, high = facts->orphan_count;

    if (after) {
        low = (size_t)(after - facts->orphans) + 1;
    } else {
        while (low < high) {
            size_t middle = low + (high - low) / 2;

            if (facts->orphans[middle].ino < ino)
                low = middle + 1;
            else
                high = middle;
        }
    }
    return low < facts->orphan_count && facts->orphans[low].ino == ino ? &facts->orphans[low]
                                                                       : NULL;
}

bool facts_orphan_extent(const struct facts *facts, uint64_t ino, uint32_t extent)
{
    for (const struct orphan *at = orphan_next(facts, ino, NULL); at;
         at = orphan_next(facts, ino, at)) {
        if (extent >= at->first_extent && extent < at->extent_end)
            return true;
    }
    return false;
}

bool facts_orphan_small(const struct facts *facts, uint64_t ino, uint64_t small)
{
    for (const struct orphan *at = orphan_next(facts, ino, NULL); at;
         at = orphan_next(facts, ino, at)) {
        if (at->kind == ORPHAN_FILE && at->small == small)
            return true;
    }
    return false;
}
