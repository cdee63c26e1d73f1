#include "memtable/version.h"

#include "engine/assert.h"

/* Sizes are rounded up to classes: every 32 bytes up to 1 KiB, then eight to each power of two. */
#define SMALL_BITS 10u
#define SMALL_STEP_BITS 5u
#define STEPS_BITS 3u
#define SMALL_CLASSES (1u << (SMALL_BITS - SMALL_STEP_BITS))
#define BYTES_BITS_MAX 22u
/* What is larger has a million small values, and goes with the memtable. */
#define CLASS_COUNT (SMALL_CLASSES + ((BYTES_BITS_MAX - SMALL_BITS) << STEPS_BITS))

/* So much is retired, or waits, before the question is asked whether readers have left. */
#define RETIRED_COUNT 64u
#define RETIRED_BYTES (64u << 10)

/* ---- memory ---- */

/* The class of a size (from 1), and the size of all in it. */
static unsigned size_class(size_t size, size_t *ret_size)
{
    unsigned step_bits = SMALL_STEP_BITS, first = 0;
    size_t steps;

    if (size > 1u << SMALL_BITS) {
        unsigned bits = 63u - (unsigned)__builtin_clzll(size - 1);

        step_bits = bits - STEPS_BITS;
        first = SMALL_CLASSES + ((bits - SMALL_BITS) << STEPS_BITS);
        steps = ((size - 1) >> step_bits) + 1;
        *ret_size = steps << step_bits;
        return first + (unsigned)(steps - (1u << STEPS_BITS)) - 1;
    }
    steps = ((size - 1) >> step_bits) + 1;
    *ret_size = steps << step_bits;
    return (unsigned)steps - 1;
}

static struct row_version *take_memory(struct versions *versions, size_t size)
{
    unsigned class = size_class(size, &size);
    struct row_version *version = NULL;

    if (size > UINT32_MAX)
        return NULL;
    if (versions->free && class < CLASS_COUNT)
        version = versions->free[class];
    if (version)
        versions->free[class] = version->next;
    else
        version = arena_alloc(versions->arena, size);
    if (version)
        version->bytes = (uint32_t)size;
    return version;
}

/* Without memory for the lists themselves it goes with the memtable. */
static void give_memory(struct versions *versions, struct row_version *version)
{
    size_t size;
    unsigned class = size_class(version->bytes, &size);

    ASSERT(size == version->bytes);
    if (!versions->free) {
        versions->free = arena_alloc(versions->arena, CLASS_COUNT * sizeof(struct row_version *));
        if (!versions->free)
            return;
        memset(versions->free, 0, CLASS_COUNT * sizeof(struct row_version *));
    }
    if (class >= CLASS_COUNT)
        return;
    version->next = versions->free[class];
    versions->free[class] = version;
}

/* ---- records ---- */

/* What a version will need, and the records that it leans on, each once. */
struct plan {
    struct record_memory *memory;
    const struct row_version *old;
    uint32_t found_at;              /* of the old's records, the one that was found last */
    struct record_memory **records; /* scratch */
    uint32_t record_count;
    size_t copied_bytes;
};

/* The record that the value stays in; NULL: it is copied. */
static struct record_memory *record_of(struct plan *plan, struct bytes value)
{
    uint32_t old_count = plan->old ? plan->old->record_count : 0;

    if (value.size <= VERSION_COPIED_BYTES_MAX)
        return NULL;
    if (plan->memory && record_memory_has(plan->memory, value))
        return plan->memory;
    /* Records stand in the order of their first values: the next one is that of the last value, or
     * follows it. */
    for (uint32_t i = 0, at = plan->found_at; i < old_count; i++, at++) {
        if (at >= old_count)
            at = 0;
        if (record_memory_has(plan->old->records[at], value)) {
            plan->found_at = at;
            return plan->old->records[at];
        }
    }
    return NULL;
}

static void plan_value(struct plan *plan, struct bytes value)
{
    struct record_memory *record = record_of(plan, value);

    if (!record) {
        plan->copied_bytes += value.size;
        return;
    }
    for (uint32_t i = plan->record_count; i > 0; i--)
        if (plan->records[i - 1] == record)
            return;
    plan->records[plan->record_count++] = record;
}

static bool make_plan(struct plan *plan, const struct row *row, struct arena *scratch)
{
    uint32_t record_count_max = (plan->memory ? 1 : 0) + (plan->old ? plan->old->record_count : 0);

    plan->records = arena_alloc(scratch, record_count_max * sizeof(struct record_memory *));
    if (!plan->records)
        return false;
    for (uint32_t i = 0; i < row->cell_count; i++) {
        plan_value(plan, row->cells[i].path);
        plan_value(plan, row->cells[i].value);
    }
    return true;
}

/* ---- making ---- */

static void note_timestamp(struct row_version *version, int64_t timestamp_us)
{
    if (timestamp_us < version->min_timestamp_us)
        version->min_timestamp_us = timestamp_us;
    if (timestamp_us > version->max_timestamp_us)
        version->max_timestamp_us = timestamp_us;
}

static void note_timestamps(struct row_version *version)
{
    const struct row *row = &version->row;

    version->min_timestamp_us = INT64_MAX;
    version->max_timestamp_us = INT64_MIN;
    if (row->liveness.timestamp_us != TIMESTAMP_NONE)
        note_timestamp(version, row->liveness.timestamp_us);
    if (!deletion_is_live(row->deletion))
        note_timestamp(version, row->deletion.marked_for_delete_at_us);
    for (uint32_t i = 0; i < row->complex_deletion_count; i++)
        note_timestamp(version, row->complex_deletions[i].deletion.marked_for_delete_at_us);
    for (uint32_t i = 0; i < row->cell_count; i++)
        note_timestamp(version, row->cells[i].timestamp_us);
}

static void *place(uint8_t **at, const void *data, size_t bytes)
{
    void *to = *at;

    if (bytes > 0)
        memcpy(to, data, bytes);
    *at += bytes;
    return to;
}

static struct bytes place_value(struct plan *plan, uint8_t **at, struct bytes value)
{
    if (!value.data || record_of(plan, value))
        return value;
    return bytes_of(place(at, value.data, value.size), value.size);
}

static void fill(struct row_version *version, const struct row *row, struct plan *plan)
{
    uint8_t *at = (uint8_t *)(version + 1);
    struct cell *cells = place(&at, row->cells, row->cell_count * sizeof(*cells));

    version->row = *row;
    version->row.cells = cells;
    version->row.complex_deletions = place(
        &at, row->complex_deletions, row->complex_deletion_count * sizeof(*row->complex_deletions));
    version->records = place(&at, plan->records, plan->record_count * sizeof(*plan->records));
    version->record_count = plan->record_count;
    for (uint32_t i = 0; i < row->cell_count; i++) {
        cells[i].path = place_value(plan, &at, cells[i].path);
        cells[i].value = place_value(plan, &at, cells[i].value);
    }
    note_timestamps(version);
}

struct row_version *version_new(struct versions *versions, const struct row *row,
    struct record_memory *memory, const struct row_version *old, struct arena *scratch)
{
    struct plan plan = {.memory = memory, .old = old};
    struct row_version *version;

    if (!make_plan(&plan, row, scratch))
        return NULL;
    version =
        take_memory(versions, sizeof(*version) + row->cell_count * sizeof(*row->cells) +
                                  row->complex_deletion_count * sizeof(*row->complex_deletions) +
                                  plan.record_count * sizeof(*plan.records) + plan.copied_bytes);
    if (!version)
        return NULL;
    if (record_set_add(
            versions->records, plan.records, plan.record_count, &versions->record_bytes) < 0) {
        give_memory(versions, version);
        return NULL;
    }
    fill(version, row, &plan);
    return version;
}

/* ---- what was replaced ---- */

void version_readers_init(struct version_readers *readers, struct epochs *epochs)
{
    readers->epochs = epochs;
    atomic_init(&readers->scans, 0);
}

void version_readers_begin_scan(struct version_readers *readers)
{
    atomic_fetch_add(&readers->scans, 1);
    /* As on entering an epoch: who saw no scan had ended its epoch before, which is seen now. */
    (void)epochs_now(readers->epochs);
}

void version_readers_end_scan(struct version_readers *readers)
{
    atomic_fetch_sub(&readers->scans, 1);
}

/* Whether nobody is left who came before the end of `epoch`. */
static bool have_left(struct version_readers *readers, uint64_t epoch)
{
    return atomic_load(&readers->scans) == 0 && epochs_have_left(readers->epochs, epoch);
}

void versions_init(struct versions *versions, struct arena *arena, struct record_set *records,
    struct version_readers *readers)
{
    *versions = (struct versions){.arena = arena, .records = records, .readers = readers};
}

static void reuse(struct versions *versions, struct version_list *list)
{
    struct row_version *version = list->first;

    *list = (struct version_list){0};
    while (version) {
        struct row_version *next = version->next;

        record_set_remove(
            versions->records, version->records, version->record_count, &versions->record_bytes);
        give_memory(versions, version);
        version = next;
    }
}

void version_retire(struct versions *versions, const struct row_version *replaced)
{
    struct version_list *list = &versions->retired;
    struct row_version *version = (struct row_version *)(uintptr_t)replaced;

    if (!version)
        return;
    version->next = list->first;
    list->first = version;
    list->count++;
    list->bytes += version->bytes;
    for (uint32_t i = 0; i < version->record_count; i++)
        list->bytes += version->records[i]->bytes;
}

void versions_reclaim(struct versions *versions)
{
    struct version_list *retired = &versions->retired, *waiting = &versions->waiting;

    if (retired->count < RETIRED_COUNT && retired->bytes < RETIRED_BYTES &&
        waiting->bytes < RETIRED_BYTES)
        return;
    if (waiting->first) {
        if (!have_left(versions->readers, versions->waiting_epoch))
            return;
        reuse(versions, waiting);
    }
    *waiting = *retired;
    versions->waiting_epoch = epochs_end(versions->readers->epochs);
    *retired = (struct version_list){0};
}
