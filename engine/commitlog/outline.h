/*
 * What an append writes beside the record: the large parts of a batch go to slots of values, by the
 * thread that appends and beside all others, and the record names them.
 */
#ifndef SSTFS_COMMITLOG_OUTLINE_H
#define SSTFS_COMMITLOG_OUTLINE_H

#include "commitlog/log.h"

struct outline {
    struct value_reference references[VALUES_MAX];
    unsigned count;
    struct bytes body; /* of the record: in `memory`, or the batch's */
    uint8_t *memory;   /* NULL: the batch has it in one piece, and no value lies beside it */
};

/** Writes the values of a finished batch. What no slot has room for stays in the record. */
MUST_USE int outline_begin(
    struct commitlog *log, const struct batch *batch, struct outline *ret_outline);
/** Gives the places of the values back: the record got none. */
void outline_drop_values(struct commitlog *log, const struct outline *outline);
/** Frees the body. */
void outline_release(struct outline *outline);

#endif
