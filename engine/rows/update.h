/*
 * The inside of a batch: the encoding of its mutations (UPDATES.md), which is
 * at once what the commit log stores and what memtables are filled from, in service and in replay.
 */
#ifndef SSTFS_ROWS_UPDATE_H
#define SSTFS_ROWS_UPDATE_H

#include "engine/buf.h"
#include "engine/mutation.h"
#include "rows/record_memory.h"
#include "rows/updates.h"

/** For the engine: a batch for `table_count` tables of `schemas`, without admission. */
struct batch *batch_new(const struct table_schema *schemas, unsigned table_count);
/** NULL does nothing. */
void batch_free(struct batch *batch);
/** The T of what is put from here on, in place of the log's; TIMESTAMP_NONE, as at first: the
 * log's. For what was written before, and is to count as of then. */
void batch_set_timestamp(struct batch *batch, int64_t timestamp_us);
/** Adds an update as it was encoded before (UPDATES.md: its body), to count as of then. Whether its
 * mutations can be is seen when it is applied. */
void batch_body(struct batch *batch, unsigned table, struct bytes body, int64_t timestamp_us);
/** What engine_admit() keeps with a batch: the memory set aside for it. Zero in a new one. */
struct batch_reservation {
    unsigned table;
    uint64_t bytes;
};
struct batch_reservation *batch_reservation(struct batch *batch);
/** Ends building: 0, -ENOMEM, -EFBIG. Then batch_updates() is complete; idempotent. */
MUST_USE int batch_finish(struct batch *batch);
/** The encoded updates, borrowed from the batch. */
struct updates batch_updates(const struct batch *batch);
unsigned batch_update_count(const struct batch *batch);
/** Of the first update, which there must be; borrowed from the batch. */
struct bytes batch_first_key(const struct batch *batch, unsigned *ret_table);
/** Bytes of batch_updates() that follow each other and are many: the cells of one large row. */
struct batch_span {
    uint32_t offset; /* in the run of all bytes */
    uint32_t size;   /* at least BATCH_SPAN_BYTES_MIN */
    unsigned table;
};
#define BATCH_SPAN_BYTES_MIN (32u << 10)
#define BATCH_SPANS_MAX (BATCH_BYTES_MAX / BATCH_SPAN_BYTES_MIN)
/** Borrowed from the batch, ascending; what is in none of them lies between. */
const struct batch_span *batch_spans(const struct batch *batch, unsigned *ret_count);
/** The tables touched, bit per table. */
uint64_t batch_tables(const struct batch *batch);
/** Hands over the memory that batch_updates() points into; the batch is then empty, and what it
 * had encoded, the memory's data[]; the list of shared values stays the batch's. */
struct record_memory *batch_take_memory(struct batch *batch);

/** What batch_visit() finds; each returns 0 or a negative errno, which ends the visit. */
struct update_visitor {
    int (*partition_deletion)(
        void *arg, unsigned table, const struct decorated_key *key, struct deletion deletion);
    int (*range_tombstone)(void *arg, unsigned table, const struct decorated_key *key,
        const struct slice *slice, struct deletion deletion);
    /** Row deletion, liveness and cells; clustering kind KIND_STATIC: the static row. */
    int (*row)(void *arg, unsigned table, const struct decorated_key *key, const struct row *row);
};

/**
 * Decodes encoded updates: values get timestamp `timestamp_us`, deletions one less, with local
 * deletion time timestamp / 1e6, clamped. `wanted` has a bit per table; updates of other tables
 * are skipped unread. -EUCLEAN when the bytes are not what batch_… wrote (also: a table or column
 * that `schemas` do not have). Everything handed out points into `updates`.
 */
MUST_USE int batch_visit(const struct table_schema *schemas, unsigned table_count,
    const struct updates *updates, unsigned update_count, int64_t timestamp_us, uint64_t wanted,
    const struct update_visitor *visitor, void *arg);

#endif
