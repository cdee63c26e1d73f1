/*
 * Who is between log and memtable.
 *
 * A writer is inside an epoch from before it appends to after it has applied. A switch of memtables
 * publishes the new ones at position P and ends the epoch: whoever has a position below P is of
 * that epoch or an older one. Once they have left, the old memtable is complete up to P.
 */
#ifndef SSTFS_ENGINE_WRITERS_H
#define SSTFS_ENGINE_WRITERS_H

#include "engine/io.h"
#include "engine/mutex.h"

struct writer {
    uint64_t epoch;
    struct writer *next, *previous;
};

struct writers {
    struct mutex mutex;
    uint64_t epoch;                 /* of those who enter now */
    struct writer *oldest, *newest; /* epochs ascend */
    bool awaited;                   /* somebody wants to know when the oldest epoch ends */
};

void writers_init(struct writers *writers);
void writers_release(struct writers *writers);
void writers_enter(struct writers *writers, struct writer *writer);
/** True: the oldest epoch ended with this one, and writers_left() was asked about it. */
MUST_USE bool writers_leave(struct writers *writers, struct writer *writer);
/** Begins a new epoch; returns the one that ended. */
uint64_t writers_end_epoch(struct writers *writers);
uint64_t writers_epoch(struct writers *writers);
/** Whether all of `epoch` and before have left; if not, a writers_leave() will say when. */
MUST_USE bool writers_left(struct writers *writers, uint64_t epoch);

#endif
