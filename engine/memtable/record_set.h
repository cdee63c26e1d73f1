/*
 * The records whose memory a memtable's values point into: one reference each, however many rows of
 * a record are in the memtable; it is given back with the last of them. Thread-safe.
 */
#ifndef SSTFS_MEMTABLE_RECORD_SET_H
#define SSTFS_MEMTABLE_RECORD_SET_H

#include "engine/mutex.h"
#include "rows/update.h"

struct held_record {
    struct record_memory *memory; /* NULL: a free slot */
    uint64_t uses;
};

struct record_set {
    struct mutex lock;
    struct held_record *slots; /* open addressing */
    size_t capacity;           /* power of two, or 0 */
    size_t count;
};

void record_set_init(struct record_set *set, int rank);
/** Gives all references back. */
void record_set_release(struct record_set *set);
/** One use more of each of `count` records; of those that had none, `*bytes` grows by what they
 * hold. -ENOMEM: of none. */
MUST_USE int record_set_add(
    struct record_set *set, struct record_memory *const *memories, uint32_t count, uint64_t *bytes);
/** One use less of each, which were added; `*bytes` shrinks by what those hold that have none left,
 * and may be gone. The order of `memories` changes. */
void record_set_remove(
    struct record_set *set, struct record_memory **memories, uint32_t count, uint64_t *bytes);

#endif
