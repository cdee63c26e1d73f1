#include "open_sstables.h"

#include "ranks.h"
#include "sstable_handle.h"

void open_sstables_init(struct open_sstables *all, uint64_t bytes_max)
{
    *all = (struct open_sstables){.bytes_max = bytes_max};
    mutex_init(&all->mutex, RANK_OPEN_SSTABLES);
}

void open_sstables_release(struct open_sstables *all)
{
    mutex_release(&all->mutex);
}

static void remove_locked(struct open_sstables *all, struct sstable_handle *handle)
{
    if (!handle->open_next)
        return;
    if (handle->open_next == handle) {
        all->hand = NULL;
    } else {
        handle->open_next->open_previous = handle->open_previous;
        handle->open_previous->open_next = handle->open_next;
        if (all->hand == handle)
            all->hand = handle->open_next;
    }
    handle->open_next = handle->open_previous = NULL;
    all->count--;
}

/* Behind the hand: the last that it comes to. */
static void insert_locked(struct open_sstables *all, struct sstable_handle *handle)
{
    if (all->hand) {
        handle->open_next = all->hand;
        handle->open_previous = all->hand->open_previous;
        handle->open_previous->open_next = handle;
        handle->open_next->open_previous = handle;
    } else {
        handle->open_next = handle->open_previous = handle;
        all->hand = handle;
    }
    all->count++;
}

/* What those in the ring have loaded grows while they are open, so it is added up each time. */
static uint64_t bytes_locked(const struct open_sstables *all)
{
    const struct sstable_handle *each = all->hand;
    uint64_t bytes = 0;

    for (uint64_t i = 0; i < all->count; i++, each = each->open_next)
        bytes += sstable_memory_bytes(each->sstable);
    return bytes;
}

static void evict_locked(struct open_sstables *all, const struct sstable_handle *kept)
{
    uint64_t bytes = bytes_locked(all);

    /* Two rounds: the first may only take marks away. */
    for (uint64_t steps = 2 * all->count; steps > 0 && bytes > all->bytes_max; steps--) {
        struct sstable_handle *handle = all->hand;
        uint64_t its_bytes = sstable_memory_bytes(handle->sstable);

        all->hand = handle->open_next;
        if (handle == kept || atomic_exchange(&handle->used, false) ||
            !sstable_handle_close(handle))
            continue;
        remove_locked(all, handle);
        all->closed++;
        bytes -= its_bytes;
    }
}

void open_sstables_add(struct open_sstables *all, struct sstable_handle *handle)
{
    mutex_lock(&all->mutex);
    insert_locked(all, handle);
    evict_locked(all, handle);
    mutex_unlock(&all->mutex);
}

void open_sstables_remove(struct open_sstables *all, struct sstable_handle *handle)
{
    mutex_lock(&all->mutex);
    remove_locked(all, handle);
    mutex_unlock(&all->mutex);
}

void open_sstables_get(
    struct open_sstables *all, uint64_t *ret_count, uint64_t *ret_bytes, uint64_t *ret_closed)
{
    mutex_lock(&all->mutex);
    *ret_count = all->count;
    *ret_bytes = bytes_locked(all);
    *ret_closed = all->closed;
    mutex_unlock(&all->mutex);
}
