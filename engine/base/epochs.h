/*
 * Who is inside: a thread enters, does something that ends soon, and leaves. Whoever took something
 * away from those who come learns when the last that may still have it has left; nobody is stopped.
 *
 *   slots   [ 7 ] [ 0 ] [ 8 ] [ 0 ] ...     one per thread inside: the epoch it entered in, 0: free
 *   now       8                             epochs_end() made it so; epoch 7 has not left yet
 *
 * A thread writes only its own slot, on a cache line of its own. All accesses are sequentially
 * consistent: either the one who asks sees a slot taken, or the one who took it sees all that was
 * done before the question.
 */
#ifndef SSTFS_ENGINE_EPOCHS_H
#define SSTFS_ENGINE_EPOCHS_H

#include <stdatomic.h>

#include "engine/io.h"

/** As many can be inside at once; more wait for one to leave. */
#define EPOCH_SLOTS 256

struct epoch_slot {
    _Alignas(64) _Atomic uint64_t epoch;
};

struct epochs {
    _Alignas(64) _Atomic uint64_t now; /* of those who enter, from 1 */
    _Atomic uint64_t awaited; /* somebody wants to know when this one has left; 0: nobody */
    struct epoch_slot slots[EPOCH_SLOTS];
};

void epochs_init(struct epochs *epochs);
/** Any thread, any number of times at once. */
struct epoch_slot *epochs_enter(struct epochs *epochs);
/** True: whoever asked epochs_await() in vain should ask again. */
MUST_USE bool epochs_leave(struct epochs *epochs, struct epoch_slot *slot);
/** The epoch of those who enter now. */
uint64_t epochs_now(struct epochs *epochs);
/** Begins a new epoch; returns the one that ended. */
uint64_t epochs_end(struct epochs *epochs);
/** Whether all of `epoch` and before have left. */
MUST_USE bool epochs_have_left(struct epochs *epochs, uint64_t epoch);
/** The same; if not, an epochs_leave() will say when to ask again. */
MUST_USE bool epochs_await(struct epochs *epochs, uint64_t epoch);

#endif
