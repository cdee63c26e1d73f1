/*
 * The files of the log. Each is a slot: made once, with its space taken, and then used for one
 * segment after the other, so that a log at work creates and deletes nothing.
 *
 *   make (in the background: also written) --> free --take--> holds a segment --give--> free
 *
 * Those that came back last are taken first: their pages are in the page cache. What an older
 * segment left in one is harmless, as a record's checksum is good in its own segment alone; its
 * header is cleared before, so that none is ever met half written over.
 * A pool is guarded by its owner; making, opening and dropping slots touches none.
 */
#ifndef SSTFS_COMMITLOG_POOL_H
#define SSTFS_COMMITLOG_POOL_H

#include "commitlog/segment.h"

/** A pool grows to so many at once, in the background. */
#define POOL_SLOTS_MIN 3
/** And to so many when none is free; what is made above that in need is dropped when it is free. */
#define POOL_SLOTS_MAX 12

struct slot {
    struct slot *next; /* of the free ones */
    enum slot_kind kind;
    unsigned number;
    int fd;
    uint64_t bytes;
    bool is_shared; /* the file has another name, in the archive or a copy: never to be written */
};

struct slot_pool {
    uint64_t numbers; /* in use, a bit each */
    unsigned count;   /* free or not */
    unsigned free_count;
    struct slot *free;
    bool disk_is_full; /* the last one wanted could not be made */
};

/** A number for a new slot, which is in use from then on; -ENOSPC: there are too many. */
MUST_USE int pool_new_number(struct slot_pool *pool);
/** The number is one of a slot that is there. */
void pool_add_number(struct slot_pool *pool, unsigned number);
/** The slot of the number came to nothing, or is no more. */
void pool_drop_number(struct slot_pool *pool, unsigned number);
/** A free one, or NULL. */
struct slot *pool_take(struct slot_pool *pool);
void pool_give(struct slot_pool *pool, struct slot *slot);
/** Closes and frees the free ones. */
void pool_release(struct slot_pool *pool, struct env *env);
/** Is a new one wanted, to have one when it is needed? */
bool pool_wants_more(const struct slot_pool *pool);
/** How many can be taken before one has to be given back. */
unsigned pool_left(const struct slot_pool *pool);

/**
 * A new slot, of zeros, its name durable. `prewrite`: written, so that syncs of what is written
 * there are cheap; else its space is taken, which is done at once. What fails leaves nothing
 * behind, but -EIO, after which nobody knows what is there.
 */
MUST_USE int slot_make(struct env *env, enum slot_kind kind, unsigned number, uint64_t bytes,
    bool prewrite, struct slot **ret_slot);
/** One that is there. */
MUST_USE int slot_open(
    struct env *env, enum slot_kind kind, unsigned number, struct slot **ret_slot);
/** Makes it at least so large. */
MUST_USE int slot_extend(struct env *env, struct slot *slot, uint64_t bytes);
/** Holds no segment from then on, durably: a log is what its slots hold, whoever looks at it. */
MUST_USE int slot_clear(struct env *env, struct slot *slot);
void slot_close(struct env *env, struct slot *slot);
/** Syncs all slots that there are, and their names. */
MUST_USE int slots_sync(struct env *env);
/** Deletes the file, and closes. A failure leaves the file, and does no harm. */
MUST_USE int slot_drop(struct env *env, struct slot *slot);

#endif
