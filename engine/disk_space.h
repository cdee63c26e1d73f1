/*
 * What the disk has left: looked at every 50 ms at most, and between two looks less by what was
 * admitted since. A low mark and a file "reserve" are kept back, so that a full store can go on
 * working and be emptied: deletions, their flush and their compaction are given the reserve's
 * space, which is taken again when there is room. Thread-safe; no look waits for another.
 */
#ifndef SSTFS_ENGINE_DISK_SPACE_H
#define SSTFS_ENGINE_DISK_SPACE_H

#include <stdatomic.h>

#include "engine/io.h"
#include "engine/mutex.h"

struct engine;

/** A look is as old as this at most. */
#define DISK_LOOK_US 50000

struct disk_space {
    struct engine *engine;
    _Atomic uint64_t checked_us; /* monotonic; what follows is of then; 0: out of date */
    _Atomic uint64_t total_bytes, available_bytes;
    _Atomic uint64_t admitted_bytes; /* since: the log may have grown by so much */
    _Atomic bool refused;            /* a write, for want of space that is not plenty yet */
    _Atomic bool reserve_given;      /* its space is in use by flush and compaction */
    uint64_t reserve_bytes;          /* what it should be; constant once it is started */
    struct mutex mutex;              /* guards the file */
};

void disk_space_init(struct disk_space *space, struct engine *engine);
/** Before anything is admitted. */
void disk_space_start(struct disk_space *space);
void disk_space_release(struct disk_space *space);

/** What was unflushed may be an SSTable now: the next who asks looks at the disk. */
void disk_space_look_again(struct disk_space *space);
void disk_space_note_admitted(struct disk_space *space, uint64_t bytes);
/** Whether `bytes` more cannot be promised room in the log and once more in an SSTable. */
bool disk_space_is_short(struct disk_space *space, uint64_t bytes);
/** A write was refused: until there is plenty again, deletions are not left to wait. */
void disk_space_note_refused(struct disk_space *space);
/** Free bytes less what is not flushed yet; total. */
void disk_space_get(struct disk_space *space, uint64_t *ret_total, uint64_t *ret_available);
/** Whether less than low mark and reserve is available: deletions are flushed and collected soon.
 */
bool disk_space_is_near_full(struct disk_space *space);
/** Bytes at which an SSTable is cut, so that one can be written again out of the reserve. */
uint64_t disk_space_piece_bytes(struct disk_space *space);

/** Gives the reserve's space to whoever met -ENOSPC. True: it may be tried again at once. */
bool disk_space_open_reserve(struct disk_space *space);
/** Takes it back once there is room for it without the disk being full again. */
void disk_space_retake_reserve(struct disk_space *space);
/** Makes the file "reserve" as large as the disk allows; for create. */
MUST_USE int disk_space_make_reserve(struct env *env);

#endif
