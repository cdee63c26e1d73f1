/*
 * A batch: mutations of any partitions and tables that become facts together or not at all.
 *
 *   engine_admit() gives an empty one; batch_… fill it; engine_apply() takes it.
 *
 * It carries no timestamps: the log gives the batch its one timestamp T together with its place.
 * A batch first deletes, then writes: deletions of every kind carry T - 1, values T, whatever the
 * order of the calls. So one batch may delete a row and insert it anew.
 *
 * Mutations of one partition should follow each other: each change of partition starts a new
 * partition update in the record. Errors are sticky: a batch that found no memory is refused by
 * engine_apply() with -ENOMEM, one that grew over BATCH_BYTES_MAX with -EFBIG.
 * Not thread-safe; all inputs are copied, but for the values of batch_cell_shared().
 */
#ifndef SSTFS_ENGINE_MUTATION_H
#define SSTFS_ENGINE_MUTATION_H

#include "engine/unfiltered.h"
#include "engine/value_buffer.h"

/** Encoded size of one batch at most: a FUSE write of 1 MiB and its row fit. */
#define BATCH_BYTES_MAX (2u << 20)

struct batch;

/** Takes memory for about so many encoded bytes at once. */
void batch_expect(struct batch *batch, size_t bytes);

/** Everything in the partition, static row included. */
void batch_delete_partition(struct batch *batch, unsigned table, struct bytes key);
/** All rows of the slice (bounds may be of all, see SLICE_ALL). */
void batch_delete_range(
    struct batch *batch, unsigned table, struct bytes key, const struct slice *slice);
void batch_delete_row(
    struct batch *batch, unsigned table, struct bytes key, const struct clustering *clustering);

/**
 * Rows (their liveness) and values from here on expire so many seconds after T: 1 to TTL_MAX_S; 0,
 * as at first: never. CQL's USING TTL.
 */
void batch_set_ttl(struct batch *batch, int32_t ttl_s);

/**
 * Begins a row, to which the batch_cell… calls that follow belong. `insert` gives it liveness
 * (INSERT); without, it is an update (UPDATE), which is no row when it has no cell.
 */
void batch_row(struct batch *batch, unsigned table, struct bytes key,
    const struct clustering *clustering, bool insert);
/** Begins the static row of the partition. */
void batch_static_row(struct batch *batch, unsigned table, struct bytes key);

/** Cells of the row begun last. Columns in any order, each (with its path) once. */
void batch_cell(struct batch *batch, unsigned column, struct bytes value);
/** The same without a copy: `value` lies in `buffer`, which the batch, and then the memtable, takes
 * a reference to. Cells of such a row come in the order of their columns. */
void batch_cell_shared(
    struct batch *batch, unsigned column, struct bytes value, struct value_buffer *buffer);
void batch_cell_bigint(struct batch *batch, unsigned column, int64_t value);
void batch_cell_int(struct batch *batch, unsigned column, int32_t value);
void batch_delete_cell(struct batch *batch, unsigned column);
/** One entry of a map. */
void batch_map_put(struct batch *batch, unsigned column, struct bytes path, struct bytes value);
void batch_map_delete(struct batch *batch, unsigned column, struct bytes path);
/** The whole map as it was before this batch. */
void batch_map_clear(struct batch *batch, unsigned column);

/** Bytes encoded so far. */
size_t batch_bytes(const struct batch *batch);
bool batch_is_empty(const struct batch *batch);

/* Keys: value encodings of the types our tables use. */
#define KEY_BYTES_BIGINT 8
#define KEY_BYTES_BIGINT_INT 18
void key_bigint(uint8_t to[KEY_BYTES_BIGINT], int64_t value);
/** The composite partition key (bigint, int), FORMAT.md "Partition key bytes". */
void key_bigint_int(uint8_t to[KEY_BYTES_BIGINT_INT], int64_t first, int32_t second);

#endif
