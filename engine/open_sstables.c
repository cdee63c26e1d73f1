#include "open_sstables.h"

#include "ranks.h"
#include "sstable_handle.h"

/** Somebody may have borrowed it, who entered in `epoch` or before. */
struct closed_sstable {
    struct closed_sstable *next;
    struct sstable *sstable;
    uint64_t epoch;
};

void open_sstables_init(struct open_sstables *all, uint64_t bytes_max, struct epochs *readers)
{
    *all = (struct open_sstables){.bytes_max = bytes_max, .readers = readers};
    mutex_init(&all->mutex, RANK_OPEN_SSTABLES);
}

static void free_closed(struct closed_sstable *closed)
{
    while (closed) {
        struct closed_sstable *next = closed->next;

        sstable_unref(closed->sstable);
        free(closed);
        closed = next;
    }
}

void open_sstables_release(struct open_sstables *all)
{
    free_closed(all->kept);
    mutex_release(&all->mutex);
}

/* Those that were closed before one are not older than it: all from there on go. */
static void free_kept_locked(struct open_sstables *all)
{
    struct closed_sstable **at = &all->kept;

    while (*at && !epochs_have_left(all->readers, (*at)->epoch))
        at = &(*at)->next;
    free_closed(*at);
    *at = NULL;
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
        bytes += sstable_memory_bytes(atomic_load(&each->sstable));
    return bytes;
}

/* False: it stays open. */
static bool close_locked(struct open_sstables *all, struct sstable_handle *handle)
{
    struct closed_sstable *closed = malloc(sizeof(*closed));

    if (!closed)
        return false;
    closed->sstable = sstable_handle_close(handle);
    closed->epoch = epochs_end(all->readers);
    closed->next = all->kept;
    all->kept = closed;
    return true;
}

static void evict_locked(struct open_sstables *all, const struct sstable_handle *kept)
{
    uint64_t bytes = bytes_locked(all);

    /* Two rounds: the first may only take marks away. */
    for (uint64_t steps = 2 * all->count; steps > 0 && bytes > all->bytes_max; steps--) {
        struct sstable_handle *handle = all->hand;
        uint64_t its_bytes = sstable_memory_bytes(atomic_load(&handle->sstable));

        all->hand = handle->open_next;
        if (handle == kept || atomic_exchange(&handle->used, false) || !close_locked(all, handle))
            continue;
        remove_locked(all, handle);
        all->closed++;
        bytes -= its_bytes;
    }
}

void open_sstables_add(struct open_sstables *all, struct sstable_handle *handle)
{
    mutex_lock(&all->mutex);
    free_kept_locked(all);
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

void open_sstables_close_all(struct open_sstables *all)
{
    mutex_lock(&all->mutex);
    for (uint64_t steps = all->count; steps > 0; steps--) {
        struct sstable_handle *handle = all->hand;

        all->hand = handle->open_next;
        if (close_locked(all, handle))
            remove_locked(all, handle);
    }
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
