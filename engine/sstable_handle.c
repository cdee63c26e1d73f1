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
    sstable_unref(handle->sstable);
    mutex_release(&handle->mutex);
    free(handle);
}

int sstable_handle_open(struct sstable_handle *handle, struct sstable **ret_sstable)
{
    int r = 0;

    mutex_lock(&handle->mutex);
    if (!handle->sstable)
        r = sstable_open(handle->env, handle->folder, &handle->entry.facts.id, handle->schema,
            handle->cache, &handle->sstable);
    /* The manifest says that there is one. */
    if (r == -ENOENT)
        r = err_with(-EUCLEAN, "an SSTable of %s is lost", handle->folder);
    *ret_sstable = handle->sstable;
    mutex_unlock(&handle->mutex);
    return r;
}

int sstable_handle_may_contain(struct sstable_handle *handle, const struct decorated_key *key)
{
    const struct sstable_facts *facts = &handle->entry.facts;
    struct sstable *sstable = NULL;
    int r;

    if (key->token < facts->first_token || key->token > facts->last_token)
        return 0;
    r = sstable_handle_open(handle, &sstable);
    if (r < 0)
        return r;
    return sstable_may_contain(sstable, key);
}

void sstable_handle_pin(struct sstable_handle *handle)
{
    sstable_handle_ref(handle);
    mutex_lock(&handle->mutex);
    handle->pins++;
    mutex_unlock(&handle->mutex);
}

void sstable_handle_unpin(struct sstable_handle *handle)
{
    struct sweeper *sweeper = handle->sweeper;

    mutex_lock(&handle->mutex);
    handle->pins--;
    mutex_unlock(&handle->mutex);
    if (atomic_load(&handle->obsolete))
        sweeper_kick(sweeper);
    sstable_handle_unref(handle);
}

unsigned sstable_components(const struct table_schema *schema)
{
    unsigned compression =
        schema->chunk_bytes ? 1u << COMPONENT_COMPRESSION_INFO : 1u << COMPONENT_CRC;

    return 1u << COMPONENT_DATA | 1u << COMPONENT_INDEX | 1u << COMPONENT_SUMMARY |
           1u << COMPONENT_FILTER | 1u << COMPONENT_STATISTICS | 1u << COMPONENT_DIGEST |
           1u << COMPONENT_TOC | compression;
}
