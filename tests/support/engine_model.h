/*
 * A store of three small tables and what it should hold: random batches drawn from a number, the
 * state after any count of them, and the store's own state as text, to be compared.
 *
 *   things  key bigint, name blob; static and two columns      shelves  key (bigint, int), slot int
 *   facts   key bigint, no clustering
 *
 * Shelves are compacted for garbage, the others by levels.
 */
#ifndef SSTFS_TESTS_ENGINE_MODEL_H
#define SSTFS_TESTS_ENGINE_MODEL_H

#include "engine/buf.h"
#include "engine/engine.h"

#define MODEL_TABLES 3
#define MODEL_PARTITIONS 5
#define MODEL_ROWS 8
#define MODEL_COLUMNS 2

extern const struct table_schema model_tables[MODEL_TABLES];

/** Options for a store of these tables: 32 MiB, SYNC_PERIODIC, 5 s. */
struct engine_options model_options(void);

/** The partition's key and the row's clustering, in static memory of the model. */
struct bytes model_key(unsigned table, unsigned partition);
struct clustering model_clustering(unsigned table, unsigned row);

struct model_cell {
    uint64_t number; /* of the batch that wrote it; 0: none */
};
struct model_row {
    bool inserted;
    struct model_cell cells[MODEL_COLUMNS];
};
struct model_partition {
    struct model_cell fixed; /* the static column of `things` */
    struct model_row rows[MODEL_ROWS];
};
struct model {
    struct model_partition partitions[MODEL_TABLES][MODEL_PARTITIONS];
};

/**
 * Batch `number` (from 1) of the history `seed`: the same mutations each time. Adds them to `batch`
 * (if not NULL) and applies them to `model` (if not NULL). `payload_max`: bytes of a value at most.
 */
void model_batch(
    uint64_t seed, uint64_t number, size_t payload_max, struct batch *batch, struct model *model);
/** One line for each row and static row there is, of the bits in `tables`. */
void model_print(const struct model *model, uint64_t tables, struct buf *to);
/**
 * The same of a store, by scans of each partition. Checks by the way that gets, scans and the table
 * scan agree, and that each value is as its batch made it: else -EDOM, which no damage is.
 */
int model_print_store(
    struct source *source, uint64_t seed, size_t payload_max, uint64_t tables, struct buf *to);

/** From now on the values of model_write() of half a KiB and more lie in buffers of the engine. */
void model_share_values(bool share);
/** Admits, fills and applies batch `number`; `ret_position` as engine_apply() gives it. */
int model_write(struct engine *engine, uint64_t seed, uint64_t number, size_t payload_max,
    uint64_t *ret_position);

#endif
