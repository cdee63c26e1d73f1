#include "commitlog/values.h"

#include "engine/assert.h"

#define SLOTS_MIN 3 /* once there is any */

/* ---- slots ---- */

void values_add_slot(
    struct values *values, struct slot *slot, const struct commitlog_value_use *use)
{
    struct value_slot *added = &values->slots[slot->number];

    ASSERT(!added->slot);
    *added = (struct value_slot){.slot = slot};
    values->wanted = false;
    if (!use || use->tables == 0)
        return;
    added->in_use = true;
    added->end = slot->bytes;
    added->use = *use;
    added->synced = UINT64_MAX;
}

int values_new_number(struct values *values)
{
    unsigned count = 0, free = 0;
    int number = -1;

    for (unsigned i = 0; i < VALUE_SLOTS_MAX; i++) {
        const struct value_slot *slot = &values->slots[i];

        count += slot->slot != NULL;
        free += slot->slot && !slot->in_use;
        if (!slot->slot && number < 0)
            number = (int)i;
    }
    /* The first one only when there is a large value: most logs have none. */
    if (free > 0 && count >= SLOTS_MIN)
        return -1;
    return count > 0 || values->wanted ? number : -1;
}

void values_close(struct values *values, struct env *env)
{
    for (unsigned i = 0; i < VALUE_SLOTS_MAX; i++)
        if (values->slots[i].slot)
            slot_close(env, values->slots[i].slot);
}

/* ---- places ---- */

/* The lowest number first: fewer slots are in the page cache so. */
static struct value_slot *next_free(struct values *values, uint64_t bytes)
{
    for (unsigned i = 0; i < VALUE_SLOTS_MAX; i++) {
        struct value_slot *slot = &values->slots[i];

        if (slot->slot && !slot->in_use && slot->slot->bytes >= bytes)
            return slot;
    }
    return NULL;
}

bool values_take(struct values *values, uint64_t bytes, struct value_reference *ret_reference)
{
    struct value_slot *active = values->active;

    if (!active || active->end + bytes > active->slot->bytes) {
        active = next_free(values, bytes);
        if (!active) {
            values->wanted = true;
            return false;
        }
        active->in_use = true;
        values->active = active;
    }
    ret_reference->slot = (uint8_t)active->slot->number;
    ret_reference->page = (uint32_t)(active->end / VALUE_ALIGN);
    active->end += bytes;
    active->writers++;
    return true;
}

void values_named(struct values *values, const struct value_reference *reference, uint64_t position)
{
    struct value_slot *slot = &values->slots[reference->slot];

    ASSERT(slot->writers > 0);
    slot->writers--;
    if (slot->use.tables == 0)
        slot->use.first_position = position;
    slot->use.last_position = position;
    slot->use.tables |= 1ull << reference->table;
    slot->unsynced_bytes += reference->size;
}

void values_dropped(struct values *values, const struct value_reference *reference)
{
    ASSERT(values->slots[reference->slot].writers > 0);
    values->slots[reference->slot].writers--;
}

/* ---- who needs them ---- */

/* Its tables that are not flushed beyond all that it holds. */
static uint64_t tables_unflushed(const struct values *values, const struct value_slot *slot)
{
    uint64_t tables = slot->use.tables;

    for (unsigned i = 0; i < COMMITLOG_TABLES_MAX; i++)
        if (values->flushed[i] > slot->use.last_position)
            tables &= ~(1ull << i);
    return tables;
}

void values_flushed(struct values *values, const uint64_t *flushed, unsigned table_count)
{
    ASSERT(table_count <= COMMITLOG_TABLES_MAX);
    for (unsigned i = 0; i < table_count; i++)
        if (flushed[i] > values->flushed[i])
            values->flushed[i] = flushed[i];
    for (unsigned i = 0; i < VALUE_SLOTS_MAX; i++) {
        struct value_slot *slot = &values->slots[i];

        if (slot->in_use && slot->writers == 0 && tables_unflushed(values, slot) == 0)
            *slot = (struct value_slot){.slot = slot->slot, .in_use = slot == values->active};
    }
}

bool values_slot_needs_sync(
    const struct values *values, const struct value_slot *slot, uint64_t position, uint64_t but)
{
    uint64_t tables = tables_unflushed(values, slot) & ~but;
    uint64_t from = UINT64_MAX; /* where the first one may be that is in need */

    for (unsigned i = 0; i < COMMITLOG_TABLES_MAX; i++)
        if (tables >> i & 1 && values->flushed[i] < from)
            from = values->flushed[i];
    if (from < slot->use.first_position)
        from = slot->use.first_position;
    if (from < slot->synced)
        from = slot->synced;
    return tables != 0 && from <= slot->use.last_position && from < position;
}

bool values_need_sync(const struct values *values, uint64_t position)
{
    for (unsigned i = 0; i < VALUE_SLOTS_MAX; i++)
        if (values_slot_needs_sync(values, &values->slots[i], position, 0))
            return true;
    return false;
}

uint64_t values_unsynced(const struct values *values, uint64_t *ret_tables)
{
    uint64_t bytes = 0;

    *ret_tables = 0;
    for (unsigned i = 0; i < VALUE_SLOTS_MAX; i++) {
        const struct value_slot *slot = &values->slots[i];

        if (!values_slot_needs_sync(values, slot, UINT64_MAX, 0))
            continue;
        bytes += slot->unsynced_bytes;
        *ret_tables |= tables_unflushed(values, slot);
    }
    return bytes;
}
