/*
 * Goal: a batch made of what a memtable holds says the same again, each thing with the time that it
 * had, whenever it is written; and what a batch cannot say is noticed.
 * Method: random batches of several times go into a memtable, its copy into another one with a
 * record of a later time; both as text are the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "memtable/memtable.h"
#include "rows/batch_copy.h"
#include "rows/compare.h"
#include "support/array_partition.h"
#include "support/random.h"

static const struct column key_columns[] = {{"k", &type_bigint}};
static const struct column clusterings[] = {{"c", &type_int}};
static const struct column statics[] = {{"s", &type_int}, {"t", &type_map_blob_blob}};
static const struct column regulars[] = {
    {"a", &type_bigint}, {"b", &type_blob}, {"m", &type_map_blob_blob}};
static const struct table_schema schema = {.keyspace = "ks",
    .name = "rows",
    .partition_key_count = 1,
    .partition_key = key_columns,
    .clustering_count = 1,
    .clustering = clusterings,
    .static_count = 2,
    .statics = statics,
    .regular_count = 3,
    .regulars = regulars};

#define TIMESTAMP_US 1763800000123456
#define LATER_US (TIMESTAMP_US + 3600000000)
#define BATCHES 40
#define ROUNDS 200

struct world {
    struct epochs readers;
    struct memtable *memtable;
};

static void world_init(struct world *world)
{
    epochs_init(&world->readers);
    world->memtable = memtable_new(&schema, 0, &world->readers);
    assert_non_null(world->memtable);
}

static int take_partition(
    void *arg, unsigned table, const struct decorated_key *key, struct deletion deletion)
{
    (void)table;
    return memtable_delete_partition(arg, key, deletion);
}

static int take_range(void *arg, unsigned table, const struct decorated_key *key,
    const struct slice *slice, struct deletion deletion)
{
    (void)table;
    return memtable_delete_range(arg, key, slice, deletion);
}

static int take_row(
    void *arg, unsigned table, const struct decorated_key *key, const struct row *row)
{
    (void)table;
    return memtable_apply_row(arg, key, row, NULL);
}

/* As the log and the coordinator do. */
static void write_batch(struct world *world, struct batch *batch, int64_t timestamp_us)
{
    static const struct update_visitor visitor = {take_partition, take_range, take_row};
    struct updates updates;

    assert_int_equal(batch_finish(batch), 0);
    updates = batch_updates(batch);
    assert_int_equal(batch_visit(&schema, 1, &updates, batch_update_count(batch), timestamp_us, 1,
                         &visitor, world->memtable),
        0);
    batch_free(batch);
}

/* ---- random batches ---- */

static struct bytes random_text(struct random *random, char to[4])
{
    size_t size = random_below(random, 4);

    for (size_t i = 0; i < size; i++)
        to[i] = (char)('a' + random_below(random, 3));
    return bytes_of(to, size);
}

static void random_map(struct random *random, struct batch *batch, unsigned column)
{
    char path[4], value[4];

    switch (random_below(random, 4)) {
    case 0:
        batch_map_put(batch, column, random_text(random, path), random_text(random, value));
        break;
    case 1:
        batch_map_delete(batch, column, random_text(random, path));
        break;
    case 2:
        batch_map_clear(batch, column);
        break;
    default:
        break;
    }
}

static void random_row(struct random *random, struct batch *batch, struct bytes key)
{
    uint8_t at[4] = {0, 0, 0, (uint8_t)random_below(random, 4)};
    struct bytes value = bytes_of(at, sizeof(at));
    char text[4];

    if (random_below(random, 6) == 0)
        batch_delete_row(batch, 0, key, &CLUSTERING_ROW(&value, 1));
    batch_set_ttl(batch, random_below(random, 3) == 0 ? 1 + (int32_t)random_below(random, 99) : 0);
    batch_row(batch, 0, key, &CLUSTERING_ROW(&value, 1), random_below(random, 2));
    if (random_below(random, 2))
        batch_cell_bigint(batch, 0, (int64_t)random_below(random, 9));
    if (random_below(random, 3) == 0)
        batch_delete_cell(batch, 1);
    else if (random_below(random, 2))
        batch_cell(batch, 1, random_text(random, text));
    random_map(random, batch, 2);
}

static struct batch *random_batch(struct random *random)
{
    struct batch *batch = batch_new(&schema, 1);
    uint8_t key[KEY_BYTES_BIGINT];

    assert_non_null(batch);
    key_bigint(key, (int64_t)random_below(random, 3));
    if (random_below(random, 10) == 0)
        batch_delete_partition(batch, 0, bytes_of(key, sizeof(key)));
    random_row(random, batch, bytes_of(key, sizeof(key)));
    if (random_below(random, 3) == 0) {
        batch_static_row(batch, 0, bytes_of(key, sizeof(key)));
        batch_cell_int(batch, 0, (int32_t)random_below(random, 9));
        random_map(random, batch, 1);
    }
    return batch;
}

/* ---- copies ---- */

static void print(struct world *world, struct buf *to)
{
    struct partition_scanner *scanner;
    struct partition_iterator *partition;

    buf_clear(to);
    assert_int_equal(memtable_scan(world->memtable, INT64_MIN, INT64_MAX, &scanner), 0);
    while (scanner_next(scanner, &partition) > 0)
        assert_int_equal(partition_to_text(partition, to), 0);
    scanner_close(scanner);
}

/* What copying said last. */
static int copy(struct world *from, struct batch *batch)
{
    struct partition_scanner *scanner;
    struct partition_iterator *partition;
    int r = 0;

    assert_int_equal(memtable_scan(from->memtable, INT64_MIN, INT64_MAX, &scanner), 0);
    while (r == 0 && scanner_next(scanner, &partition) > 0)
        r = batch_copy_partition(batch, 0, partition);
    scanner_close(scanner);
    return r;
}

static void world_release(struct world *world)
{
    memtable_unref(world->memtable);
}

static void a_copy_is_of_the_time_of_what_it_copies(void **state)
{
    struct random random = {random_seed(1)};
    struct buf before = BUF_INIT, after = BUF_INIT;
    (void)state;

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct batch *batch = batch_new(&schema, 1);
        struct world first, second;
        int64_t now_us = TIMESTAMP_US;

        world_init(&first);
        world_init(&second);
        for (unsigned i = random_below(&random, BATCHES); i > 0; i--) {
            now_us += (int64_t)random_below(&random, 1500000);
            write_batch(&first, random_batch(&random), now_us);
        }
        assert_int_equal(copy(&first, batch), 0);
        write_batch(&second, batch, LATER_US);
        print(&first, &before);
        print(&second, &after);
        assert_string_equal(text_of(&before), text_of(&after));
        world_release(&first);
        world_release(&second);
    }
    buf_release(&before);
    buf_release(&after);
}

/* Only what says its time itself is of another than the record's. */
static void what_follows_in_the_batch_is_the_records(void **state)
{
    struct batch *batch = batch_new(&schema, 1);
    uint8_t key[KEY_BYTES_BIGINT], at[4] = {0};
    struct bytes value = bytes_of(at, sizeof(at));
    struct world world;
    struct buf text = BUF_INIT;
    (void)state;

    world_init(&world);
    key_bigint(key, 1);
    batch_set_timestamp(batch, TIMESTAMP_US);
    batch_row(batch, 0, bytes_of(key, sizeof(key)), &CLUSTERING_ROW(&value, 1), false);
    batch_cell_bigint(batch, 0, 1);
    batch_set_timestamp(batch, TIMESTAMP_NONE);
    key_bigint(key, 2);
    batch_row(batch, 0, bytes_of(key, sizeof(key)), &CLUSTERING_ROW(&value, 1), false);
    batch_cell_bigint(batch, 0, 2);
    write_batch(&world, batch, LATER_US);
    print(&world, &text);
    assert_non_null(strstr(text_of(&text), "1763800000123456"));
    assert_non_null(strstr(text_of(&text), "1763803600123456"));
    buf_release(&text);
    world_release(&world);
}

static void what_a_batch_cannot_say_is_not_copied(void **state)
{
    uint8_t key[KEY_BYTES_BIGINT] = {0}, at[4] = {0};
    struct bytes value = bytes_of(at, sizeof(at));
    struct slice slice = {{&value, 1, KIND_INCL_START}, BOUND_END_OF_ALL};
    struct row odd = {.clustering = CLUSTERING_ROW(&value, 1),
        .liveness = LIVENESS_NONE,
        .deletion = {TIMESTAMP_US, TIMESTAMP_US / 1000000 + 5}};
    struct decorated_key partition = decorated_key_of(bytes_of(key, sizeof(key)));
    struct batch *batch = batch_new(&schema, 1);
    struct world world;
    (void)state;

    world_init(&world);
    batch_delete_range(batch, 0, partition.key, &slice);
    write_batch(&world, batch, TIMESTAMP_US);
    batch = batch_new(&schema, 1);
    assert_int_equal(copy(&world, batch), 1);
    batch_free(batch);
    world_release(&world);

    world_init(&world);
    assert_int_equal(memtable_apply_row(world.memtable, &partition, &odd, NULL), 0);
    batch = batch_new(&schema, 1);
    assert_int_equal(copy(&world, batch), 1);
    batch_free(batch);
    world_release(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_is_of_the_time_of_what_it_copies),
        cmocka_unit_test(what_follows_in_the_batch_is_the_records),
        cmocka_unit_test(what_a_batch_cannot_say_is_not_copied),
    };

    return cmocka_run_group_tests_name("batch_copy", tests, NULL, NULL);
}
