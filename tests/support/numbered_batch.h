/*
 * Batches that say their number, and are the same bytes each time: what a log gives back can be
 * compared with what it was given without keeping that.
 */
#ifndef SSTFS_TESTS_NUMBERED_BATCH_H
#define SSTFS_TESTS_NUMBERED_BATCH_H

#include "engine/assert.h"
#include "engine/coding.h"
#include "rows/update.h"

static const struct column numbered_key[] = {{"number", &type_bigint}};
static const struct column numbered_regulars[] = {{"payload", &type_blob}};
static const struct table_schema numbered_schemas[] = {{.keyspace = "test",
    .name = "numbered",
    .partition_key_count = 1,
    .partition_key = numbered_key,
    .regular_count = 1,
    .regulars = numbered_regulars}};

/** A batch with this number and payload size; every third also deletes another partition. */
static inline struct batch *numbered_batch(uint64_t number, size_t payload_bytes)
{
    struct batch *batch = batch_new(numbered_schemas, 1);
    uint8_t *payload = malloc(payload_bytes + 1);
    uint8_t key[KEY_BYTES_BIGINT];
    uint8_t other[KEY_BYTES_BIGINT];

    ASSERT(batch && payload);
    for (size_t i = 0; i < payload_bytes; i++)
        payload[i] = (uint8_t)(number * 131 + i * 7);
    key_bigint(key, (int64_t)number);
    key_bigint(other, -(int64_t)number);
    batch_row(batch, 0, bytes_of(key, sizeof(key)), &CLUSTERING_ROW(NULL, 0), true);
    batch_cell(batch, 0, bytes_of(payload, payload_bytes));
    if (number % 3 == 0)
        batch_delete_partition(batch, 0, bytes_of(other, sizeof(other)));
    free(payload);
    ASSERT(batch_finish(batch) == 0);
    return batch;
}

/** Are these the updates of that batch? */
static inline bool numbered_batch_is(
    uint64_t number, size_t payload_bytes, struct bytes updates, unsigned update_count)
{
    struct batch *batch = numbered_batch(number, payload_bytes);
    bool equal = bytes_equal(batch_updates(batch).encoded, updates) &&
                 batch_update_count(batch) == update_count;

    batch_free(batch);
    return equal;
}

#endif
