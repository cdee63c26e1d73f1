/*
 * Who may write: memory that memtables take, and disk that their flush will take.
 *
 * Below its limits a batch is admitted at once. Above the memory limit it is parked, in order of
 * arrival, until a flush has freed some; the pacer task then calls back. A full disk is answered
 * with -ENOSPC before the log is touched, but for batches that give space back.
 */
#ifndef SSTFS_ENGINE_ADMISSION_H
#define SSTFS_ENGINE_ADMISSION_H

#include <stdatomic.h>

#include "engine/engine.h"
#include "engine/mutex.h"

struct parked;

struct admissions {
    struct engine *engine;
    struct task *pacer;
    uint64_t bytes_max;        /* of all memtables */
    uint64_t table_bytes_max;  /* of one table's */
    uint64_t active_bytes_max; /* of an active memtable, which is then flushed */
    struct mutex mutex;
    uint64_t reserved[ENGINE_TABLES_MAX]; /* admitted, not yet applied */
    struct parked *first_parked, *last_parked;
    bool closing;

    _Atomic uint64_t space_checked_us; /* monotonic; what follows is of then; 0: out of date */
    struct io_space space;
    uint64_t admitted_bytes;  /* since: the log may have grown by so much */
    uint64_t reserve_bytes;   /* of the file "reserve": what it should be */
    bool reserve_given;       /* its space is in use by flush and compaction */
    bool refused;             /* a write, for want of space that is not plenty yet */
    uint64_t flush_kicked_us; /* monotonic: for deletions on a disk nearly full */
};

void admission_init(struct admissions *admission, struct engine *engine);
MUST_USE int admission_start(struct admissions *admission);
/** Parked batches are refused. */
void admission_stop(struct admissions *admission);
void admission_release(struct admissions *admission);

/** The reservation of a batch comes back: applied or discarded. */
void admission_give_back(struct admissions *admission, unsigned table, uint64_t bytes);
/** Memory was freed, or the disk may have space again. */
void admission_kick(struct admissions *admission);
/** Gives the reserve's space to whoever met -ENOSPC. True: it may be tried again at once. */
bool admission_open_reserve(struct admissions *admission);
/** Free bytes less what is not flushed yet; total. A look at most every 50 ms. */
void admission_space(struct admissions *admission, uint64_t *ret_total, uint64_t *ret_available);

/** Whether less than low mark and reserve is available: deletions are flushed and collected soon.
 */
bool admission_is_near_full(struct admissions *admission);
/** Bytes at which an SSTable is cut, so that one can be written again out of the reserve. */
uint64_t admission_piece_bytes(struct admissions *admission);

/** Makes the file "reserve" as large as the disk allows; for create. */
MUST_USE int admission_make_reserve(struct env *env);

#endif
