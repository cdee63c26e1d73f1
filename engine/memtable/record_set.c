#include "memtable/record_set.h"

#include <errno.h>
#include <stdlib.h>

#define CAPACITY_MIN 64u

void record_set_init(struct record_set *set, int rank)
{
    *set = (struct record_set){0};
    mutex_init(&set->lock, rank);
}

void record_set_release(struct record_set *set)
{
    for (size_t i = 0; i < set->capacity; i++) {
        if (set->slots[i])
            record_memory_unref(set->slots[i]);
    }
    free(set->slots);
    mutex_release(&set->lock);
}

/* Where `memory` is, or would be. There is always a free slot. */
static struct record_memory **find(
    struct record_memory **slots, size_t capacity, const struct record_memory *memory)
{
    size_t i = (size_t)(((uint64_t)(uintptr_t)memory * 0x9e3779b97f4a7c15u) >> 32);

    for (;; i++) {
        struct record_memory **slot = &slots[i & (capacity - 1)];

        if (!*slot || *slot == memory)
            return slot;
    }
}

static int grow(struct record_set *set)
{
    size_t capacity = set->capacity ? 2 * set->capacity : CAPACITY_MIN;
    struct record_memory **slots = calloc(capacity, sizeof(struct record_memory *));

    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i < set->capacity; i++) {
        if (set->slots[i])
            *find(slots, capacity, set->slots[i]) = set->slots[i];
    }
    free(set->slots);
    set->slots = slots;
    set->capacity = capacity;
    return 0;
}

static int add_locked(struct record_set *set, struct record_memory *memory)
{
    struct record_memory **slot;

    if (2 * set->count >= set->capacity) {
        int r = grow(set);
        if (r < 0)
            return r;
    }
    slot = find(set->slots, set->capacity, memory);
    if (*slot)
        return 0;
    *slot = record_memory_ref(memory);
    set->count++;
    return 1;
}

int record_set_add(struct record_set *set, struct record_memory *memory)
{
    int r;

    mutex_lock(&set->lock);
    r = add_locked(set, memory);
    mutex_unlock(&set->lock);
    return r;
}
