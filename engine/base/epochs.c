#include "base/epochs.h"

#include <sched.h>

/* Where this thread finds its slot: threads begin at different places, and stay where they were. */
static unsigned *thread_place(void)
{
    static _Atomic unsigned threads;
    static _Thread_local unsigned place = EPOCH_SLOTS;

    if (place == EPOCH_SLOTS)
        place = atomic_fetch_add_explicit(&threads, 1, memory_order_relaxed) % EPOCH_SLOTS;
    return &place;
}

void epochs_init(struct epochs *epochs)
{
    atomic_init(&epochs->now, 1);
    atomic_init(&epochs->awaited, 0);
    for (unsigned i = 0; i < EPOCH_SLOTS; i++)
        atomic_init(&epochs->slots[i].epoch, 0);
}

uint64_t epochs_now(struct epochs *epochs)
{
    return atomic_load(&epochs->now);
}

struct epoch_slot *epochs_enter(struct epochs *epochs)
{
    unsigned *place = thread_place();
    /* It may have ended when it is written down: then this thread is waited for without need. */
    uint64_t epoch = atomic_load(&epochs->now);

    for (unsigned tries = 1;; tries++) {
        struct epoch_slot *slot = &epochs->slots[*place];
        uint64_t free = 0;

        if (atomic_compare_exchange_strong(&slot->epoch, &free, epoch)) {
            /* Who looked before this slot was taken ended its epoch before that as well: what it
             * did before is seen from here on. */
            (void)epochs_now(epochs);
            return slot;
        }
        *place = (*place + 1) % EPOCH_SLOTS;
        if (tries % EPOCH_SLOTS == 0)
            sched_yield();
    }
}

bool epochs_leave(struct epochs *epochs, struct epoch_slot *slot)
{
    uint64_t epoch = atomic_exchange(&slot->epoch, 0);

    return epoch <= atomic_load(&epochs->awaited) && atomic_exchange(&epochs->awaited, 0) != 0;
}

uint64_t epochs_end(struct epochs *epochs)
{
    return atomic_fetch_add(&epochs->now, 1);
}

bool epochs_have_left(struct epochs *epochs, uint64_t epoch)
{
    for (unsigned i = 0; i < EPOCH_SLOTS; i++) {
        uint64_t entered = atomic_load(&epochs->slots[i].epoch);

        if (entered != 0 && entered <= epoch)
            return false;
    }
    return true;
}

bool epochs_await(struct epochs *epochs, uint64_t epoch)
{
    uint64_t awaited = atomic_load(&epochs->awaited);

    if (epochs_have_left(epochs, epoch))
        return true;
    while (awaited < epoch && !atomic_compare_exchange_weak(&epochs->awaited, &awaited, epoch))
        ;
    /* The last may have left before it could see that it is waited for. */
    return epochs_have_left(epochs, epoch);
}
