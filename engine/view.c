#include "view.h"

#include <errno.h>

#include "engine/assert.h"
#include "ranks.h"

/* ---- sets of SSTables ---- */

static struct sstable_set *set_new(size_t count_max)
{
    struct sstable_set *set = calloc(1,
        sizeof(*set) + count_max * (sizeof(struct sstable_handle *) + sizeof(struct token_range)));

    if (set) {
        atomic_init(&set->references, 1);
        set->ranges = (struct token_range *)(void *)(set->handles + count_max);
    }
    return set;
}

struct sstable_set *sstable_set_ref(struct sstable_set *set)
{
    atomic_fetch_add_explicit(&set->references, 1, memory_order_relaxed);
    return set;
}

void sstable_set_unref(struct sstable_set *set)
{
    if (!set || atomic_fetch_sub_explicit(&set->references, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < set->count; i++)
        sstable_handle_unref(set->handles[i]);
    free(set);
}

static int newer_first(const void *a, const void *b)
{
    const struct sstable_handle *const *x = a, *const *y = b;
    int64_t tx = (*x)->entry.facts.max_timestamp_us, ty = (*y)->entry.facts.max_timestamp_us;

    if (tx != ty)
        return tx > ty ? -1 : 1;
    return (*x)->entry.number > (*y)->entry.number ? -1 : 1;
}

/* ---- views ---- */

void views_init(struct views *views)
{
    mutex_init(&views->mutex, RANK_VIEW);
    epochs_init(&views->readers);
    atomic_init(&views->current, NULL);
    views->retired = NULL;
}

/* Lets go of the retired views that nobody can be inside of any more. */
static void reclaim(struct views *views)
{
    struct view *gone;
    struct view **at = &views->retired;

    mutex_lock(&views->mutex);
    while (*at && !epochs_await(&views->readers, (*at)->retired_in))
        at = &(*at)->next_retired;
    gone = *at;
    *at = NULL;
    mutex_unlock(&views->mutex);
    while (gone) {
        struct view *next = gone->next_retired;

        view_unref(gone);
        gone = next;
    }
}

void views_release(struct views *views)
{
    views_publish(views, NULL);
    ASSERT(!views->retired);
    mutex_release(&views->mutex);
}

const struct view *views_enter(struct views *views, struct epoch_slot **ret_slot)
{
    *ret_slot = epochs_enter(&views->readers);
    return atomic_load(&views->current);
}

void views_leave(struct views *views, struct epoch_slot *slot)
{
    if (epochs_leave(&views->readers, slot))
        reclaim(views);
}

struct view *views_acquire(struct views *views)
{
    struct epoch_slot *slot = epochs_enter(&views->readers);
    struct view *view = atomic_load(&views->current);

    view_ref(view);
    views_leave(views, slot);
    return view;
}

void views_publish(struct views *views, struct view *view)
{
    struct view *old = atomic_exchange(&views->current, view);

    if (!old)
        return;
    mutex_lock(&views->mutex);
    old->retired_in = epochs_end(&views->readers);
    old->next_retired = views->retired;
    views->retired = old;
    mutex_unlock(&views->mutex);
    reclaim(views);
}

struct view *view_ref(struct view *view)
{
    atomic_fetch_add_explicit(&view->references, 1, memory_order_relaxed);
    return view;
}

static struct view *view_alloc(unsigned table_count)
{
    struct view *view = calloc(1, sizeof(*view) + table_count * sizeof(struct table_view));

    if (view) {
        atomic_init(&view->references, 1);
        view->table_count = table_count;
    }
    return view;
}

struct view *view_new(const struct table_schema *tables, unsigned table_count,
    const uint64_t *first_positions, uint64_t now_us, struct epochs *readers)
{
    struct view *view = view_alloc(table_count);

    if (!view)
        return NULL;
    for (unsigned i = 0; i < table_count; i++) {
        struct table_view *table = &view->tables[i];

        table->active = memtable_new(&tables[i], first_positions[i], readers);
        table->active_since_us = now_us;
        table->sstables = set_new(0);
        if (!table->active || !table->sstables) {
            view_unref(view);
            return NULL;
        }
    }
    return view;
}

struct view *view_copy(const struct view *view)
{
    struct view *copy = view_alloc(view->table_count);

    if (!copy)
        return NULL;
    for (unsigned i = 0; i < view->table_count; i++) {
        copy->tables[i] = view->tables[i];
        memtable_ref(copy->tables[i].active);
        for (unsigned j = 0; j < copy->tables[i].sealed_count; j++)
            memtable_ref(copy->tables[i].sealed[j].memtable);
        sstable_set_ref(copy->tables[i].sstables);
    }
    return copy;
}

void view_unref(struct view *view)
{
    if (!view || atomic_fetch_sub_explicit(&view->references, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < view->table_count; i++) {
        struct table_view *table = &view->tables[i];

        memtable_unref(table->active);
        for (unsigned j = 0; j < table->sealed_count; j++)
            memtable_unref(table->sealed[j].memtable);
        sstable_set_unref(table->sstables);
    }
    free(view);
}

void view_seal(struct view *view, unsigned table_number, struct memtable *fresh, uint64_t position,
    uint64_t epoch, uint64_t now_us)
{
    struct table_view *table = &view->tables[table_number];

    ASSERT(table->sealed_count < SEALED_MAX);
    memmove(table->sealed + 1, table->sealed, table->sealed_count * sizeof(*table->sealed));
    table->sealed[0] = (struct sealed_memtable){
        .memtable = table->active, .end_position = position, .epoch = epoch};
    table->sealed_count++;
    table->active = fresh;
    table->active_since_us = now_us;
}

void view_drop_sealed(struct view *view, unsigned table_number)
{
    struct table_view *table = &view->tables[table_number];

    ASSERT(table->sealed_count > 0);
    table->sealed_count--;
    /* Who still reads it does not keep writers out. */
    memtable_set_account(table->sealed[table->sealed_count].memtable, NULL);
    memtable_unref(table->sealed[table->sealed_count].memtable);
}

static bool is_among(
    struct sstable_handle *handle, struct sstable_handle *const *among, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (among[i] == handle)
            return true;
    return false;
}

int view_replace_sstables(struct view *view, unsigned table_number,
    struct sstable_handle *const *remove, size_t remove_count, struct sstable_handle *const *add,
    size_t add_count)
{
    struct table_view *table = &view->tables[table_number];
    const struct sstable_set *old = table->sstables;
    struct sstable_set *set = set_new(old->count + add_count);

    if (!set)
        return -ENOMEM;
    for (size_t i = 0; i < old->count; i++)
        if (!is_among(old->handles[i], remove, remove_count))
            set->handles[set->count++] = sstable_handle_ref(old->handles[i]);
    for (size_t i = 0; i < add_count; i++)
        set->handles[set->count++] = sstable_handle_ref(add[i]);
    qsort(set->handles, set->count, sizeof(*set->handles), newer_first);
    for (size_t i = 0; i < set->count; i++) {
        const struct sstable_facts *facts = &set->handles[i]->entry.facts;

        set->ranges[i] = (struct token_range){facts->first_token, facts->last_token};
    }
    sstable_set_unref(table->sstables);
    table->sstables = set;
    return 0;
}

struct memtable *view_memtable_at(const struct view *view, unsigned table_number, uint64_t position)
{
    const struct table_view *table = &view->tables[table_number];

    if (memtable_first_position(table->active) <= position)
        return table->active;
    for (unsigned i = 0; i < table->sealed_count; i++)
        if (memtable_first_position(table->sealed[i].memtable) <= position)
            return table->sealed[i].memtable;
    /* Its writers have not left, so it cannot have been flushed. */
    ASSERT(!"a write below every memtable");
    return NULL;
}

uint64_t view_memtable_bytes(const struct view *view, unsigned table_number)
{
    const struct table_view *table = &view->tables[table_number];
    uint64_t bytes = memtable_bytes(table->active);

    for (unsigned i = 0; i < table->sealed_count; i++)
        bytes += memtable_bytes(table->sealed[i].memtable);
    return bytes;
}
