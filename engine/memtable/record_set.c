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

/* Room for `count` more. */
static int reserve_locked(struct record_set *set, uint32_t count)
{
    int r = 0;

    while (r == 0 && 2 * (set->count + count) > set->capacity)
        r = grow(set);
    return r;
}

int record_set_add(
    struct record_set *set, struct record_memory *const *memories, uint32_t count, uint64_t *bytes)
{
    int r;

    if (count == 0)
        return 0;
    mutex_lock(&set->lock);
    r = reserve_locked(set, count);
    for (uint32_t i = 0; r == 0 && i < count; i++) {
        struct held_record *slot = &set->slots[find(set->slots, set->capacity, memories[i])];

        if (!slot->memory) {
            slot->memory = record_memory_ref(memories[i]);
            set->count++;
            *bytes += memories[i]->bytes;
        }
        slot->uses++;
    }
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

/* True when it was the last use. */
static bool remove_locked(struct record_set *set, const struct record_memory *memory)
{
    size_t at = find(set->slots, set->capacity, memory);

    ASSERT(set->slots[at].memory == memory && set->slots[at].uses > 0);
    if (--set->slots[at].uses > 0)
        return false;
    clear_slot_locked(set, at);
    return true;
}

void record_set_remove(
    struct record_set *set, struct record_memory **memories, uint32_t count, uint64_t *bytes)
{
    uint32_t unused = 0;

    if (count == 0)
        return;
    mutex_lock(&set->lock);
    for (uint32_t i = 0; i < count; i++) {
        struct record_memory *memory = memories[i];

        if (!remove_locked(set, memory))
            continue;
        *bytes -= memory->bytes;
        memories[i] = memories[unused];
        memories[unused++] = memory;
    }
    mutex_unlock(&set->lock);
    /* Freeing them is not for the lock. */
    for (uint32_t i = 0; i < unused; i++)
        record_memory_unref(memories[i]);
}
