#include "memtable/record_set.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/assert.h"

#define CAPACITY_MIN 64u

void record_set_init(struct record_set *set, int rank)
{
    *set = (struct record_set){0};
    mutex_init(&set->lock, rank);
}

void record_set_release(struct record_set *set)
{
    for (size_t i = 0; i < set->capacity; i++)
        record_memory_unref(set->slots[i].memory);
    free(set->slots);
    mutex_release(&set->lock);
}

static size_t home_of(const struct record_memory *memory)
{
    return (size_t)(((uint64_t)(uintptr_t)memory * 0x9e3779b97f4a7c15u) >> 32);
}

/* Where `memory` is, or would be. There is always a free slot. */
static size_t find(
    const struct held_record *slots, size_t capacity, const struct record_memory *memory)
{
    size_t i = home_of(memory) & (capacity - 1);

    while (slots[i].memory && slots[i].memory != memory)
        i = (i + 1) & (capacity - 1);
    return i;
}

static int grow(struct record_set *set)
{
    size_t capacity = set->capacity ? 2 * set->capacity : CAPACITY_MIN;
    struct held_record *slots = calloc(capacity, sizeof(*slots));

    if (!slots)
        return -ENOMEM;
    for (size_t i = 0; i < set->capacity; i++) {
        if (set->slots[i].memory)
            slots[find(slots, capacity, set->slots[i].memory)] = set->slots[i];
    }
    free(set->slots);
    set->slots = slots;
    set->capacity = capacity;
    return 0;
}

static int add_locked(struct record_set *set, struct record_memory *memory)
{
    struct held_record *slot;

    if (2 * set->count >= set->capacity) {
        int r = grow(set);
        if (r < 0)
            return r;
    }
    slot = &set->slots[find(set->slots, set->capacity, memory)];
    if (!slot->memory) {
        slot->memory = record_memory_ref(memory);
        set->count++;
    }
    return ++slot->uses == 1;
}

int record_set_add(struct record_set *set, struct record_memory *memory)
{
    int r;

    mutex_lock(&set->lock);
    r = add_locked(set, memory);
    mutex_unlock(&set->lock);
    return r;
}

/* Frees the slot, and moves up what was pushed on by it: no search ends before what it seeks. */
static void clear_slot_locked(struct record_set *set, size_t empty)
{
    size_t mask = set->capacity - 1;

    for (size_t i = (empty + 1) & mask; set->slots[i].memory; i = (i + 1) & mask) {
        size_t home = home_of(set->slots[i].memory) & mask;

        if (((i - home) & mask) < ((i - empty) & mask))
            continue;
        set->slots[empty] = set->slots[i];
        empty = i;
    }
    set->slots[empty] = (struct held_record){NULL, 0};
    set->count--;
}

bool record_set_remove(struct record_set *set, struct record_memory *memory)
{
    bool last;
    size_t at;

    mutex_lock(&set->lock);
    at = find(set->slots, set->capacity, memory);
    ASSERT(set->slots[at].memory == memory && set->slots[at].uses > 0);
    last = --set->slots[at].uses == 0;
    if (last)
        clear_slot_locked(set, at);
    mutex_unlock(&set->lock);
    if (last)
        record_memory_unref(memory);
    return last;
}
