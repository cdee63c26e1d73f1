/*
 * How fast writers of a table may go while its memtables are flushed: so that what is left of the
 * budget lasts until the flush gives its memory back. Nobody is stopped by it, all are slowed,
 * little by little, down to what the flush can take.
 *
 *   u = bytes in use / budget;  below 0.6 nothing;  from there n bytes cost
 *
 *       n / room left  *  time the flush will still take  *  (u - 0.6) / 0.4
 *
 * Costs are lined up, so that many writers together keep to the pace of one. Thread-safe.
 */
#ifndef SSTFS_ENGINE_PACE_H
#define SSTFS_ENGINE_PACE_H

#include <stdatomic.h>
#include <stdint.h>

#define PACE_DELAY_US_MAX 50000

struct pace {
    _Atomic uint64_t bytes_per_s; /* of memtable, as the last flushes were measured */
    _Atomic uint64_t began_us;    /* monotonic: of the flush that is under way; 0: none */
    _Atomic uint64_t flushing_bytes;
    _Atomic uint64_t line_ns; /* monotonic: until then the cost of what was admitted lasts */
};

void pace_init(struct pace *pace);
/** A memtable of `bytes` begins to be flushed, or begins again. */
void pace_flush_begins(struct pace *pace, uint64_t bytes, uint64_t now_us);
/** It has been; small ones say nothing of the disk and are not measured. When it began; 0: none
 * did.
 */
uint64_t pace_flush_ends(struct pace *pace, uint64_t now_us);
/** Up to here of `budget` nobody is slowed. */
uint64_t pace_free_bytes(uint64_t budget);
/**
 * µs that who was admitted with `bytes` is to wait for, at most PACE_DELAY_US_MAX. `used`: of
 * `budget`, these bytes included.
 */
uint64_t pace_delay_us(
    struct pace *pace, uint64_t bytes, uint64_t used, uint64_t budget, uint64_t now_us);

#endif
