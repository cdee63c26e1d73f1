/*
 * Goal: a batch whose values stay in their buffers means, and is to the log, byte for byte what the
 * same batch with copied values is.
 * Method: pairs of random batches, the one copied, the other shared as far as it may be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/crc32.h"
#include "base/value_buffer.h"
#include "engine/coding.h"
#include "rows/type.h"
#include "rows/update.h"
#include "support/random.h"

#define PAIRS 2000
#define BUFFERS 10 /* more than a record keeps */
#define COLUMNS 6
#define TIMESTAMP_US 1763800000123456

static const struct column key_columns[] = {{"k", &type_bigint}};
static const struct column clusterings[] = {{"c", &type_int}};
static const struct column regulars[COLUMNS] = {{"v0", &type_blob}, {"v1", &type_blob},
    {"v2", &type_blob}, {"v3", &type_blob}, {"v4", &type_blob}, {"v5", &type_blob}};
#define TABLE(table_name)                                                                          \
    {                                                                                              \
        .keyspace = "ks", .name = table_name, .partition_key_count = 1,                            \
        .partition_key = key_columns, .clustering_count = 1, .clustering = clusterings,            \
        .regular_count = COLUMNS, .regulars = regulars                                             \
    }
static const struct table_schema schemas[] = {TABLE("a"), TABLE("b"), TABLE("c")};
#define TABLES 3

struct pair {
    struct value_buffer_pool pool;
    struct value_buffer *buffers[BUFFERS];
    struct batch *copied, *shared;
    unsigned updates;
};

static void pair_begin(struct pair *pair, struct random *random)
{
    value_buffer_pool_init(&pair->pool, 0);
    for (unsigned i = 0; i < BUFFERS; i++) {
        pair->buffers[i] = value_buffer_new(&pair->pool);
        assert_non_null(pair->buffers[i]);
        for (unsigned j = 0; j < 4096; j++)
            value_buffer_data(pair->buffers[i])[j] = (uint8_t)random_next(random);
    }
    pair->copied = batch_new(schemas, TABLES);
    pair->shared = batch_new(schemas, TABLES);
    assert_non_null(pair->copied);
    assert_non_null(pair->shared);
}

static void add_cells(struct pair *pair, struct random *random, unsigned *buffer)
{
    for (unsigned column = 0; column < COLUMNS; column++) {
        static const unsigned sizes[] = {0, 1, 127, 128, 2048, 20000};
        size_t size = sizes[random_below(random, 6)];
        uint8_t *data = value_buffer_data(pair->buffers[*buffer]) + random_below(random, 2000);

        switch (random_below(random, 5)) {
        case 0:
            batch_delete_cell(pair->copied, column);
            batch_delete_cell(pair->shared, column);
            break;
        case 1:
            batch_cell(pair->copied, column, bytes_of(data, size));
            batch_cell(pair->shared, column, bytes_of(data, size));
            break;
        case 2:
            break;
        default:
            size += size == 0;
            batch_cell(pair->copied, column, bytes_of(data, size));
            batch_cell_shared(pair->shared, column, bytes_of(data, size), pair->buffers[*buffer]);
            if (random_below(random, 3) == 0 && *buffer + 1 < BUFFERS)
                ++*buffer;
        }
    }
}

static void add_rows(struct pair *pair, struct random *random)
{
    unsigned buffer = 0;

    for (unsigned rows = random_below(random, 8); rows > 0; rows--) {
        unsigned table = random_below(random, TABLES);
        uint8_t key[KEY_BYTES_BIGINT], clustering[4];
        struct bytes value = bytes_of(clustering, 4);
        struct clustering row = {&value, 1, KIND_ROW};

        key_bigint(key, random_below(random, 3));
        store_be32(clustering, rows);
        batch_row(pair->copied, table, bytes_of(key, sizeof(key)), &row, rows % 2);
        batch_row(pair->shared, table, bytes_of(key, sizeof(key)), &row, rows % 2);
        add_cells(pair, random, &buffer);
    }
    assert_int_equal(batch_finish(pair->copied), 0);
    assert_int_equal(batch_finish(pair->shared), 0);
    pair->updates = batch_update_count(pair->copied);
    assert_int_equal(batch_update_count(pair->shared), pair->updates);
}

/* Nobody else holds the buffers: what is read of them now is held by the memory. */
static void pair_drop_buffers(struct pair *pair)
{
    for (unsigned i = 0; i < BUFFERS; i++)
        value_buffer_unref(pair->buffers[i]);
}

static int sum_row(
    void *arg, unsigned table, const struct decorated_key *key, const struct row *row)
{
    uint32_t *sum = arg;
    uint64_t facts[] = {
        table, (uint64_t)key->token, row->cell_count, (uint64_t)row->liveness.timestamp_us};

    *sum = crc32_update(*sum, (const uint8_t *)facts, sizeof(facts));
    for (uint32_t i = 0; i < row->cell_count; i++) {
        const struct cell *cell = &row->cells[i];
        uint64_t of_cell[] = {cell->column, (uint64_t)cell->timestamp_us, cell->value.size,
            (uint64_t)cell->local_deletion_time_s};

        *sum = crc32_update(*sum, (const uint8_t *)of_cell, sizeof(of_cell));
        if (cell->value.size > 0)
            *sum = crc32_update(*sum, cell->value.data, cell->value.size);
    }
    return 0;
}

static uint32_t sum_of(const struct updates *updates, unsigned count, uint64_t wanted)
{
    static const struct update_visitor visitor = {.row = sum_row};
    uint32_t sum = 0;

    assert_int_equal(
        batch_visit(schemas, TABLES, updates, count, TIMESTAMP_US, wanted, &visitor, &sum), 0);
    return sum;
}

static void expect_same_run(
    const struct updates *copied, const struct updates *shared, struct random *random)
{
    struct updates_reader reader = {.updates = shared};
    size_t at = 0;

    assert_int_equal(copied->shared_count, 0);
    assert_int_equal(shared->bytes, copied->encoded.size);
    while (at < copied->encoded.size) {
        size_t size = 1 + random_below(random, 5000);
        struct bytes piece = updates_read(&reader, size);

        assert_in_range(piece.size, 1, size);
        assert_in_range(at + piece.size, 1, copied->encoded.size);
        assert_memory_equal(piece.data, copied->encoded.data + at, piece.size);
        at += piece.size;
    }
    assert_int_equal(updates_read(&reader, 1).size, 0);
}

static void expect_same_spans(const struct pair *pair)
{
    const struct batch_span *copied, *shared;
    unsigned copied_count, shared_count;

    copied = batch_spans(pair->copied, &copied_count);
    shared = batch_spans(pair->shared, &shared_count);
    assert_int_equal(copied_count, shared_count);
    for (unsigned i = 0; i < copied_count; i++) {
        assert_int_equal(copied[i].offset, shared[i].offset);
        assert_int_equal(copied[i].size, shared[i].size);
        assert_int_equal(copied[i].table, shared[i].table);
    }
}

static void shared_values_are_what_copied_ones_are(void **state)
{
    struct random random = {random_seed(1)};
    uint64_t shared_values = 0;
    (void)state;

    for (unsigned i = 0; i < PAIRS; i++) {
        struct updates copied, shared;
        struct pair pair;

        pair_begin(&pair, &random);
        add_rows(&pair, &random);
        pair_drop_buffers(&pair);
        copied = batch_updates(pair.copied);
        shared = batch_updates(pair.shared);
        shared_values += shared.shared_count;
        assert_int_equal(batch_bytes(pair.shared), batch_bytes(pair.copied));
        expect_same_run(&copied, &shared, &random);
        expect_same_spans(&pair);
        for (uint64_t wanted = 0; wanted < 1 << TABLES; wanted++)
            assert_int_equal(
                sum_of(&shared, pair.updates, wanted), sum_of(&copied, pair.updates, wanted));
        batch_free(pair.copied);
        batch_free(pair.shared);
        value_buffer_pool_release(&pair.pool);
    }
    assert_true(shared_values > PAIRS);
}

static void memory_keeps_the_buffers_that_values_lie_in(void **state)
{
    struct random random = {random_seed(2)};
    (void)state;

    for (unsigned i = 0; i < PAIRS / 10; i++) {
        struct updates copied, shared;
        struct record_memory *memory;
        struct pair pair;

        pair_begin(&pair, &random);
        add_rows(&pair, &random);
        pair_drop_buffers(&pair);
        copied = batch_updates(pair.copied);
        shared = batch_updates(pair.shared);
        memory = batch_take_memory(pair.shared);
        shared.encoded = bytes_of(memory->data, memory->size);
        assert_in_range(memory->buffer_count, 0, RECORD_BUFFERS_MAX);
        assert_int_equal(pair.pool.held, memory->buffer_count);
        assert_int_equal(memory->bytes, memory->size + memory->buffer_count * VALUE_BUFFER_BYTES);
        for (unsigned j = 0; j < shared.shared_count; j++)
            assert_true(record_memory_has(memory, shared.shared[j].value));
        assert_int_equal(sum_of(&shared, pair.updates, 7), sum_of(&copied, pair.updates, 7));
        batch_free(pair.copied);
        batch_free(pair.shared);
        record_memory_unref(memory);
        value_buffer_pool_release(&pair.pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared_values_are_what_copied_ones_are),
        cmocka_unit_test(memory_keeps_the_buffers_that_values_lie_in),
    };

    return cmocka_run_group_tests_name("rows/updates", tests, NULL, NULL);
}
