#include "sstable_handle.h"

#include "engine/error.h"
#include "ranks.h"
#include "sweeper.h"

struct sstable_handle *sstable_handle_new(
    const struct sstable_handle_options *options, const struct manifest_sstable *entry)
{
    struct sstable_handle *handle = calloc(1, sizeof(*handle));

    if (!handle)
        return NULL;
    atomic_init(&handle->references, 1);
    handle->env = options->env;
    handle->sweeper = options->sweeper;
    handle->schema = options->schema;
    handle->cache = options->cache;
    handle->open_sstables = options->open_sstables;
    handle->folder = options->folder;
    handle->entry = *entry;
    atomic_init(&handle->garbage_bytes, entry->garbage_bytes);
    mutex_init(&handle->mutex, RANK_SSTABLE_HANDLE);
    return handle;
}

struct sstable_handle *sstable_handle_ref(struct sstable_handle *handle)
{
    atomic_fetch_add_explicit(&handle->references, 1, memory_order_relaxed);
    return handle;
}

void sstable_handle_unref(struct sstable_handle *handle)
{
    uint32_t before;
    struct sweeper *sweeper;
    bool obsolete;

    if (!handle)
        return;
    /* Read first: after the decrement it may be freed by another thread. */
    sweeper = handle->sweeper;
    obsolete = atomic_load(&handle->obsolete);
    before = atomic_fetch_sub_explicit(&handle->references, 1, memory_order_acq_rel);
    if (before == 2 && obsolete)
        sweeper_kick(sweeper);
    if (before != 1)
        return;
    open_sstables_remove(handle->open_sstables, handle);
    sstable_unref(atomic_load(&handle->sstable));
    mutex_release(&handle->mutex);
    free(handle);
}

static int open_locked(struct sstable_handle *handle, struct sstable **ret_sstable)
{
    struct sstable *sstable = NULL;
    int r = sstable_open(handle->env, handle->folder, &handle->entry.facts.id, handle->schema,
        handle->cache, &sstable);

    /* The manifest says that there is one. */
    if (r == -ENOENT)
        return err_with(-EUCLEAN, "an SSTable of %s is lost", handle->folder);
    if (r == 0)
        atomic_store(&handle->sstable, sstable);
    *ret_sstable = sstable;
    return r;
}

static int get_open(
    struct sstable_handle *handle, bool with_reference, struct sstable **ret_sstable)
{
    struct sstable *sstable;
    bool is_new = false;
    int r = 0;

    mutex_lock(&handle->mutex);
    sstable = atomic_load(&handle->sstable);
    if (!sstable) {
        r = open_locked(handle, &sstable);
        is_new = r == 0;
    }
    if (r == 0)
        *ret_sstable = with_reference ? sstable_ref(sstable) : sstable;
    mutex_unlock(&handle->mutex);
    if (is_new)
        open_sstables_add(handle->open_sstables, handle);
    return r;
}

static void note_use(struct sstable_handle *handle)
{
    if (!atomic_load_explicit(&handle->used, memory_order_relaxed))
        atomic_store_explicit(&handle->used, true, memory_order_relaxed);
}

int sstable_handle_open(struct sstable_handle *handle, struct sstable **ret_sstable)
{
    note_use(handle);
    return get_open(handle, true, ret_sstable);
}

int sstable_handle_borrow(struct sstable_handle *handle, struct sstable **ret_sstable)
{
    note_use(handle);
    *ret_sstable = atomic_load(&handle->sstable);
    return *ret_sstable ? 0 : get_open(handle, false, ret_sstable);
}

static void add_read_stats(struct sstable *sstable, struct sstable_read_stats *to)
{
    struct sstable_read_stats stats;

    sstable_get_read_stats(sstable, &stats);
    to->filter_negatives += stats.filter_negatives;
    to->filter_false_positives += stats.filter_false_positives;
    to->chunk_reads += stats.chunk_reads;
    to->index_reads += stats.index_reads;
}

struct sstable *sstable_handle_close(struct sstable_handle *handle)
{
    struct sstable *closed;

    mutex_lock(&handle->mutex);
    closed = atomic_exchange(&handle->sstable, NULL);
    add_read_stats(closed, &handle->read_stats);
    mutex_unlock(&handle->mutex);
    return closed;
}

void sstable_handle_get_read_stats(
    struct sstable_handle *handle, struct sstable_read_stats *ret_stats)
{
    struct sstable *sstable;

    mutex_lock(&handle->mutex);
    *ret_stats = handle->read_stats;
    sstable = atomic_load(&handle->sstable);
    if (sstable)
        add_read_stats(sstable, ret_stats);
    mutex_unlock(&handle->mutex);
}

int sstable_handle_may_contain(struct sstable_handle *handle, const struct decorated_key *key)
{
    const struct sstable_facts *facts = &handle->entry.facts;
    AUTO(sstable_unrefp) struct sstable *sstable = NULL;
    int r;

    if (key->token < facts->first_token || key->token > facts->last_token)
        return 0;
    r = sstable_handle_open(handle, &sstable);
    if (r < 0)
        return r;
    return sstable_may_contain(sstable, key);
}

unsigned sstable_components(const struct table_schema *schema)
{
    unsigned compression =
        schema->chunk_bytes ? 1u << COMPONENT_COMPRESSION_INFO : 1u << COMPONENT_CRC;

    return 1u << COMPONENT_DATA | 1u << COMPONENT_INDEX | 1u << COMPONENT_SUMMARY |
           1u << COMPONENT_FILTER | 1u << COMPONENT_STATISTICS | 1u << COMPONENT_DIGEST |
           1u << COMPONENT_TOC | compression;
}
