/*
 * Damage to bytes, drawn from a seed: what disks, bugs and malice make of a file.
 */
#ifndef SSTFS_TESTS_DAMAGE_H
#define SSTFS_TESTS_DAMAGE_H

#include "engine/buf.h"
#include "support/random.h"

/**
 * Flips bits, overwrites, inserts, removes, moves or swaps runs, cuts, or takes a run of `donor`
 * (another file of its kind; may be empty). It may come out as it was.
 */
void damage_bytes(struct random *random, struct buf *content, struct bytes donor);
/** Only what keeps the size: flips, overwrites. */
void damage_in_place(struct random *random, uint8_t *content, size_t size);

#endif
