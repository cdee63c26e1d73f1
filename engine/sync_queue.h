/*
 * Who waits for a sync of the log, and the task that does it: one fdatasync serves all that came
 * before it, and no worker thread sleeps. The same task makes the syncs of SYNC_PERIODIC.
 */
#ifndef SSTFS_ENGINE_SYNC_QUEUE_H
#define SSTFS_ENGINE_SYNC_QUEUE_H

#include <stdatomic.h>

#include "engine/engine.h"
#include "engine/mutex.h"

/** How long SYNC_GROUP gathers a group. */
#define SYNC_GROUP_US 15000

struct sync_waiter;

struct sync_queue {
    struct engine *engine;
    struct task *task;
    struct mutex mutex;
    struct sync_waiter *first, *last;
    uint64_t due_us; /* monotonic: the earliest moment that a waiter asks for */

    /* monotonic: when a periodic sync that has not ended is overdue by half a period */
    _Atomic uint64_t late_us;

    /* Of the periodic sync; the task's alone. Times are monotonic. */
    uint64_t periodic_us;       /* when it is due, or to be looked at again */
    uint64_t periodic_position; /* what it is to make durable; 0: none is under way */
    uint64_t flush_until_us;    /* by when it is to be done, flushed or not */
    uint64_t flush_tables;      /* whose flush it waits for */
    uint64_t flush_position;    /* up to which; 0: they are not sealed yet */
};

void sync_queue_init(struct sync_queue *queue, struct engine *engine);
MUST_USE int sync_queue_start(struct sync_queue *queue);
/**
 * From when on, by the monotonic clock, no write is to be acknowledged before the periodic sync has
 * ended: else a disk that has become slow could make a power loss cost any time. Moves on with each
 * such sync; UINT64_MAX: never.
 */
uint64_t sync_queue_late_us(const struct sync_queue *queue);
/** Waiters left are answered by one last sync. */
void sync_queue_stop(struct sync_queue *queue);
void sync_queue_release(struct sync_queue *queue);
/** go(arg, r) once all below `position` is durable, or it is known that it never will be. */
MUST_USE int sync_queue_add(
    struct sync_queue *queue, uint64_t position, uint64_t delay_us, engine_go go, void *arg);

#endif
