/*
 * The records whose memory a memtable's values point into: one reference each, however many rows
 * of a record are in the memtable. Thread-safe.
 */
#ifndef SSTFS_MEMTABLE_RECORD_SET_H
#define SSTFS_MEMTABLE_RECORD_SET_H

#include "engine/mutex.h"
#include "rows/update.h"

struct record_set {
    struct mutex lock;
    struct record_memory **slots; /* open addressing; NULL: free */
    size_t capacity;              /* power of two, or 0 */
    size_t count;
};

void record_set_init(struct record_set *set, int rank);
/** Gives all references back. */
void record_set_release(struct record_set *set);
/** Keeps a reference: 1 when it had none of this record yet, 0 when it had, -ENOMEM. */
MUST_USE int record_set_add(struct record_set *set, struct record_memory *memory);

#endif
