#include "purge_scope.h"

#include <errno.h>

static bool is_among(
    const struct sstable_handle *handle, struct sstable_handle *const *among, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (among[i] == handle)
            return true;
    return false;
}

static void add_memtable(struct purge_scope *scope, struct memtable *memtable)
{
    struct memtable_stats stats;

    memtable_get_stats(memtable, &stats);
    scope->memtable_min_us[scope->memtable_count] = stats.min_timestamp_us;
    scope->memtables[scope->memtable_count++] = memtable;
}

int purge_scope_init(struct purge_scope *scope, const struct view *view, unsigned table_number,
    const struct memtable *job_memtable, struct sstable_handle *const *job_handles,
    size_t job_handle_count)
{
    const struct table_view *table = &view->tables[table_number];
    const struct sstable_set *set = table->sstables;

    *scope = PURGE_SCOPE_INIT;
    scope->handles = calloc(set->count + 1, sizeof(struct sstable_handle *));
    if (!scope->handles)
        return -ENOMEM;
    for (size_t i = 0; i < set->count; i++)
        if (!is_among(set->handles[i], job_handles, job_handle_count))
            scope->handles[scope->handle_count++] = set->handles[i];
    if (table->active != job_memtable)
        add_memtable(scope, table->active);
    for (unsigned i = 0; i < table->sealed_count; i++)
        if (table->sealed[i].memtable != job_memtable)
            add_memtable(scope, table->sealed[i].memtable);
    return 0;
}

void purge_scope_release(struct purge_scope *scope)
{
    free(scope->handles);
    *scope = PURGE_SCOPE_INIT;
}

/* What cannot be asked, or is damaged, may hold anything. */
static bool may_contain(struct sstable_handle *handle, const struct decorated_key *key)
{
    const struct sstable_facts *facts = &handle->entry.facts;

    if (atomic_load(&handle->suspect))
        return key->token >= facts->first_token && key->token <= facts->last_token;
    return sstable_handle_may_contain(handle, key) != 0;
}

int64_t purge_scope_max_purgeable(void *arg, const struct decorated_key *key)
{
    const struct purge_scope *scope = arg;
    int64_t min_us = INT64_MAX;

    for (unsigned i = 0; i < scope->memtable_count; i++)
        if (scope->memtable_min_us[i] < min_us && memtable_may_contain(scope->memtables[i], key))
            min_us = scope->memtable_min_us[i];
    for (size_t i = 0; i < scope->handle_count; i++) {
        int64_t handle_us = scope->handles[i]->entry.facts.min_timestamp_us;

        if (handle_us < min_us && may_contain(scope->handles[i], key))
            min_us = handle_us;
    }
    return min_us;
}
