/*
 * Goal: what a batch was told is what a visit of its bytes tells; bytes that no batch wrote are
 * refused, whatever they are.
 * Method: the visitor writes what it hears as text, which is compared with the expected text; then
 * the same bytes are cut off and changed at every place.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/coding.h"
#include "engine/error.h"
#include "rows/type.h"
#include "rows/update.h"

static const struct column key_columns[] = {{"k", &type_bigint}};
static const struct column clusterings[] = {{"c1", &type_int}, {"c2", &type_blob}};
static const struct column statics[] = {{"s", &type_int}, {"t", &type_map_blob_blob}};
static const struct column regulars[] = {
    {"a", &type_bigint}, {"b", &type_blob}, {"c", &type_int}, {"m", &type_map_blob_blob}};
static const struct table_schema schemas[] = {
    {.keyspace = "ks",
        .name = "rows",
        .partition_key_count = 1,
        .partition_key = key_columns,
        .clustering_count = 2,
        .clustering = clusterings,
        .static_count = 2,
        .statics = statics,
        .regular_count = 4,
        .regulars = regulars},
    {.keyspace = "ks",
        .name = "plain",
        .partition_key_count = 1,
        .partition_key = key_columns,
        .regular_count = 1,
        .regulars = regulars},
};
#define TIMESTAMP_US 1763800000123456
#define BYTES(text) BYTES_LITERAL(text)

static void say(struct buf *to, const char *format, ...) PRINTF_LIKE(2, 3);
static void say(struct buf *to, const char *format, ...)
{
    char text[256];
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    buf_append(to, text, (size_t)n);
}

static void say_bytes(struct buf *to, struct bytes bytes)
{
    for (size_t i = 0; i < bytes.size; i++)
        say(to, "%02x", bytes.data[i]);
}

static void say_clustering(struct buf *to, const struct clustering *clustering)
{
    say(to, "%u(", clustering->kind);
    for (unsigned i = 0; i < clustering->count; i++) {
        say(to, "%s", i ? "," : "");
        say_bytes(to, clustering->values[i]);
    }
    say(to, ")");
}

/* The time as what it is of the batch's. */
static const char *time_text(int64_t timestamp_us)
{
    return timestamp_us == TIMESTAMP_US ? "T" : timestamp_us == TIMESTAMP_US - 1 ? "T-1" : "?";
}

static void say_deletion(struct buf *to, struct deletion d)
{
    say(to, "%s@%d", time_text(d.marked_for_delete_at_us), d.local_deletion_time_s);
}

static void say_head(struct buf *to, unsigned table, const struct decorated_key *key)
{
    say(to, "%u:%" PRId64, table, (int64_t)load_be64(key->key.data));
}

static int hear_partition(
    void *arg, unsigned table, const struct decorated_key *key, struct deletion deletion)
{
    say_head(arg, table, key);
    say(arg, " partition ");
    say_deletion(arg, deletion);
    say(arg, "\n");
    return 0;
}

static int hear_range(void *arg, unsigned table, const struct decorated_key *key,
    const struct slice *slice, struct deletion deletion)
{
    say_head(arg, table, key);
    say(arg, " range ");
    say_clustering(arg, &slice->start);
    say_clustering(arg, &slice->end);
    say_deletion(arg, deletion);
    say(arg, "\n");
    return 0;
}

static int hear_row(
    void *arg, unsigned table, const struct decorated_key *key, const struct row *row)
{
    say_head(arg, table, key);
    say(arg, " row ");
    say_clustering(arg, &row->clustering);
    if (row->liveness.timestamp_us != TIMESTAMP_NONE)
        say(arg, " live %s", time_text(row->liveness.timestamp_us));
    if (row->liveness.ttl_s != 0)
        say(arg, "+%d@%d", row->liveness.ttl_s, row->liveness.local_deletion_time_s);
    if (!deletion_is_live(row->deletion)) {
        say(arg, " deleted ");
        say_deletion(arg, row->deletion);
    }
    for (uint32_t i = 0; i < row->complex_deletion_count; i++) {
        say(arg, " clear%u ", row->complex_deletions[i].column);
        say_deletion(arg, row->complex_deletions[i].deletion);
    }
    for (uint32_t i = 0; i < row->cell_count; i++) {
        const struct cell *cell = &row->cells[i];
        say(arg, " %u[", cell->column);
        say_bytes(arg, cell->path);
        say(arg, "]%s", time_text(cell->timestamp_us));
        if (cell_is_tombstone(cell))
            say(arg, "@%d", cell->local_deletion_time_s);
        if (cell_is_expiring(cell))
            say(arg, "+%d@%d", cell->ttl_s, cell->local_deletion_time_s);
        say(arg, "=");
        say_bytes(arg, cell->value);
    }
    say(arg, "\n");
    return 0;
}

static const struct update_visitor hear = {
    .partition_deletion = hear_partition, .range_tombstone = hear_range, .row = hear_row};

static int visit_all(
    const struct updates *updates, unsigned count, uint64_t wanted, struct buf *heard)
{
    buf_clear(heard);
    return batch_visit(
        schemas, ARRAY_COUNT(schemas), updates, count, TIMESTAMP_US, wanted, &hear, heard);
}

static int visit(struct bytes encoded, unsigned count, uint64_t wanted, struct buf *heard)
{
    struct updates updates = updates_of(encoded);

    return visit_all(&updates, count, wanted, heard);
}

static void expect(struct batch *batch, uint64_t wanted, const char *text)
{
    struct buf heard = BUF_INIT;
    struct updates updates;

    assert_int_equal(batch_finish(batch), 0);
    updates = batch_updates(batch);
    assert_int_equal(visit_all(&updates, batch_update_count(batch), wanted, &heard), 0);
    buf_append_u8(&heard, 0);
    assert_string_equal((const char *)heard.data, text);
    buf_release(&heard);
}

static struct bytes key_of(int64_t value)
{
    static uint8_t keys[8][KEY_BYTES_BIGINT];
    static unsigned next;
    uint8_t *key = keys[next++ % 8];

    key_bigint(key, value);
    return bytes_of(key, KEY_BYTES_BIGINT);
}

#define ROW(second) CLUSTERING_ROW(((struct bytes[]){BYTES("\0\0\0\7"), BYTES(second)}), 2)

static struct batch *batch_of_everything(void)
{
    struct batch *batch = batch_new(schemas, ARRAY_COUNT(schemas));
    struct clustering row = ROW("x");
    struct bytes start[] = {BYTES("\0\0\0\1")};
    struct slice slice = {{start, 1, KIND_EXCL_START}, BOUND_END_OF_ALL};

    assert_non_null(batch);
    batch_delete_partition(batch, 0, key_of(1));
    batch_delete_range(batch, 0, key_of(1), &slice);
    batch_delete_row(batch, 0, key_of(1), &row);
    batch_row(batch, 0, key_of(1), &row, true);
    batch_map_put(batch, 3, BYTES("q"), BYTES("2"));
    batch_map_put(batch, 3, BYTES("p"), BYTES("1"));
    batch_cell_int(batch, 2, -2);
    batch_map_clear(batch, 3);
    batch_cell_bigint(batch, 0, 5);
    batch_delete_cell(batch, 1);
    batch_static_row(batch, 0, key_of(1));
    batch_cell_int(batch, 0, 3);
    batch_map_delete(batch, 1, BYTES("gone"));
    batch_set_ttl(batch, 60);
    batch_row(batch, 0, key_of(1), &ROW("y"), true);
    batch_set_ttl(batch, TTL_MAX_S);
    batch_map_put(batch, 3, BYTES("p"), BYTES("1"));
    batch_delete_cell(batch, 0);
    batch_set_ttl(batch, 0);
    batch_cell_int(batch, 2, 4);
    batch_row(batch, 1, key_of(-4), &CLUSTERING_ROW(NULL, 0), false);
    batch_cell(batch, 0, BYTES(""));
    return batch;
}

static const char everything_of_0[] =
    "0:1 partition T-1@1763800000\n"
    "0:1 range 7(00000001)6()T-1@1763800000\n"
    "0:1 row 4(00000007,78) deleted T-1@1763800000\n"
    "0:1 row 4(00000007,78) live T clear3 T-1@1763800000 0[]T=0000000000000005 "
    "1[]T-1@1763800000= 2[]T=fffffffe 3[70]T=31 3[71]T=32\n"
    "0:1 row 3() 0[]T=00000003 1[676f6e65]T-1@1763800000=\n"
    "0:1 row 4(00000007,79) live T+60@1763800060 0[]T-1@1763800000= 2[]T=00000004 "
    "3[70]T+630720000@2147483646=31\n";
static const char everything_of_1[] = "1:-4 row 4() 0[]T=\n";

static void a_visit_tells_what_the_batch_was_told(void **state)
{
    struct batch *batch = batch_of_everything();
    char text[1024];
    (void)state;

    snprintf(text, sizeof(text), "%s%s", everything_of_0, everything_of_1);
    expect(batch, 3, text);
    assert_int_equal(batch_update_count(batch), 2);
    assert_true(batch_tables(batch) == 3);
    assert_int_equal(batch_finish(batch), 0);
    batch_free(batch);
}

static void updates_of_tables_not_wanted_are_skipped(void **state)
{
    struct batch *batch = batch_of_everything();
    (void)state;

    expect(batch, 2, everything_of_1);
    expect(batch, 1, everything_of_0);
    expect(batch, 0, "");
    batch_free(batch);
}

static void what_says_nothing_is_not_encoded(void **state)
{
    struct batch *batch = batch_new(schemas, ARRAY_COUNT(schemas));
    struct clustering row = ROW("");
    struct bytes values[] = {BYTES("\0\0\0\1")};
    struct slice empty = {{values, 1, KIND_EXCL_START}, {values, 1, KIND_INCL_END}};
    (void)state;

    assert_non_null(batch);
    assert_true(batch_is_empty(batch));
    batch_row(batch, 0, key_of(1), &row, false);
    batch_static_row(batch, 0, key_of(1));
    batch_delete_range(batch, 0, key_of(2), &empty);
    batch_row(batch, 0, key_of(3), &row, false);
    assert_true(batch_is_empty(batch));
    expect(batch, 3, "");
    assert_int_equal(batch_update_count(batch), 0);
    assert_int_equal(batch_bytes(batch), 0);
    batch_free(batch);
}

static void an_inserted_row_needs_no_cell(void **state)
{
    struct batch *batch = batch_new(schemas, ARRAY_COUNT(schemas));
    (void)state;

    assert_non_null(batch);
    batch_row(batch, 0, key_of(9), &ROW(""), true);
    assert_false(batch_is_empty(batch));
    expect(batch, 3, "0:9 row 4(00000007,) live T\n");
    batch_free(batch);
}

static void a_row_may_have_any_number_of_cells(void **state)
{
    enum { ENTRIES = 200 };
    struct batch *batch = batch_new(schemas, ARRAY_COUNT(schemas));
    char text[ENTRIES * 16 + 64];
    size_t at;
    (void)state;

    assert_non_null(batch);
    batch_row(batch, 0, key_of(9), &ROW(""), false);
    /* From the last to the first: what came out of order is put in order, however much it is. */
    for (unsigned i = ENTRIES; i-- > 0;) {
        uint8_t path = (uint8_t)i;
        batch_map_put(batch, 3, bytes_of(&path, 1), BYTES("v"));
    }
    at = (size_t)snprintf(text, sizeof(text), "0:9 row 4(00000007,)");
    for (unsigned i = 0; i < ENTRIES; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, " 3[%02x]T=76", i);
    snprintf(text + at, sizeof(text) - at, "\n");
    expect(batch, 3, text);
    batch_free(batch);
}

static void mutations_of_one_partition_share_an_update(void **state)
{
    struct batch *batch = batch_new(schemas, ARRAY_COUNT(schemas));
    (void)state;

    assert_non_null(batch);
    for (int i = 0; i < 3; i++) {
        batch_delete_row(batch, 0, key_of(1), &ROW("a"));
        batch_row(batch, 0, key_of(1), &ROW("b"), true);
    }
    batch_delete_partition(batch, 1, key_of(1));
    batch_delete_partition(batch, 0, key_of(1));
    assert_int_equal(batch_finish(batch), 0);
    assert_int_equal(batch_update_count(batch), 3);
    batch_free(batch);
}

static void a_batch_that_grows_too_large_is_refused(void **state)
{
    struct batch *batch = batch_new(schemas, ARRAY_COUNT(schemas));
    uint8_t *large = calloc(1, BATCH_BYTES_MAX);
    (void)state;

    assert_non_null(batch);
    assert_non_null(large);
    batch_row(batch, 0, key_of(1), &ROW(""), true);
    batch_cell(batch, 1, bytes_of(large, BATCH_BYTES_MAX - 100));
    batch_map_put(batch, 3, BYTES("x"), bytes_of(large, 100));
    /* From here on nothing counts, and nothing goes wrong. */
    batch_cell_int(batch, 2, 1);
    batch_row(batch, 0, key_of(2), &ROW(""), true);
    batch_delete_partition(batch, 0, key_of(1));
    assert_int_equal(batch_finish(batch), -EFBIG);
    assert_int_equal(batch_finish(batch), -EFBIG);
    batch_free(batch);
    free(large);
}

static void too_many_updates_are_refused(void **state)
{
    struct batch *batch = batch_new(schemas, ARRAY_COUNT(schemas));
    (void)state;

    assert_non_null(batch);
    for (int64_t i = 0; i < 65536; i++)
        batch_delete_partition(batch, 0, key_of(i));
    assert_int_equal(batch_finish(batch), -EFBIG);
    batch_free(batch);
}

static void times_are_clamped_to_what_the_format_holds(void **state)
{
    struct buf heard = BUF_INIT;
    struct batch *batch = batch_new(schemas, ARRAY_COUNT(schemas));
    struct updates updates;
    (void)state;

    assert_non_null(batch);
    batch_delete_partition(batch, 1, key_of(1));
    assert_int_equal(batch_finish(batch), 0);
    updates = batch_updates(batch);
    assert_int_equal(batch_visit(schemas, 2, &updates, 1, 3000000000000000, 3, &hear, &heard), 0);
    buf_append_u8(&heard, 0);
    assert_string_equal((const char *)heard.data, "1:1 partition ?@2147483646\n");
    buf_release(&heard);
    batch_free(batch);
}

/* ---- rows of very many cells ---- */

#define MAPS 6
#define ENTRIES 50

static const struct column maps[MAPS] = {{"m0", &type_map_blob_blob}, {"m1", &type_map_blob_blob},
    {"m2", &type_map_blob_blob}, {"m3", &type_map_blob_blob}, {"m4", &type_map_blob_blob},
    {"m5", &type_map_blob_blob}};
static const struct table_schema table_of_maps = {.keyspace = "ks",
    .name = "maps",
    .partition_key_count = 1,
    .partition_key = key_columns,
    .regular_count = MAPS,
    .regulars = maps};

static int hear_maps(
    void *arg, unsigned table, const struct decorated_key *key, const struct row *row)
{
    unsigned *rows = arg;
    (void)table;
    (void)key;

    assert_int_equal(row->complex_deletion_count, MAPS);
    assert_int_equal(row->cell_count, MAPS * ENTRIES);
    for (unsigned i = 0; i < MAPS * ENTRIES; i++) {
        const struct cell *cell = &row->cells[i];

        assert_int_equal(cell->column, i / ENTRIES);
        assert_int_equal(cell->path.size, 1);
        assert_int_equal(cell->path.data[0], i % ENTRIES);
        assert_memory_equal(cell->value.data, "value", 5);
    }
    for (unsigned i = 0; i < MAPS; i++)
        assert_int_equal(row->complex_deletions[i].column, i);
    ++*rows;
    return 0;
}

static void rows_of_very_many_cells_come_in_order(void **state)
{
    static const struct update_visitor visitor = {.row = hear_maps};
    struct batch *batch = batch_new(&table_of_maps, 1);
    unsigned rows = 0;
    struct updates updates;
    (void)state;

    assert_non_null(batch);
    for (int64_t row = 0; row < 3; row++) {
        batch_row(batch, 0, key_of(row), &CLUSTERING_ROW(NULL, 0), false);
        for (unsigned map = MAPS; map-- > 0;) {
            for (uint8_t entry = ENTRIES; entry-- > 0;)
                batch_map_put(batch, map, bytes_of(&entry, 1), BYTES("value"));
            batch_map_clear(batch, map);
        }
    }
    assert_int_equal(batch_finish(batch), 0);
    updates = batch_updates(batch);
    assert_int_equal(
        batch_visit(&table_of_maps, 1, &updates, 3, TIMESTAMP_US, 1, &visitor, &rows), 0);
    assert_int_equal(rows, 3);
    batch_free(batch);
}

static void what_was_expected_binds_nobody(void **state)
{
    static const uint64_t expected[] = {0, 1, 100000, UINT64_MAX};
    uint8_t *value = calloc(1, 300000);
    (void)state;

    assert_non_null(value);
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        struct batch *batch = batch_new(schemas, ARRAY_COUNT(schemas));
        struct record_memory *memory;

        assert_non_null(batch);
        batch_expect(batch, expected[i]);
        for (size_t size = 1; size <= 300000; size *= 10) {
            batch_row(batch, 0, key_of((int64_t)size), &ROW("x"), true);
            batch_cell(batch, 1, bytes_of(value, size));
        }
        assert_int_equal(batch_finish(batch), 0);
        assert_in_range(batch_bytes(batch), 111111, 111111 + 200);
        memory = batch_take_memory(batch);
        assert_in_range(memory->bytes, 111111, 111111 + 200);
        record_memory_unref(memory);
        batch_free(batch);
    }
    free(value);
}

static void memory_outlives_the_batch(void **state)
{
    struct batch *batch = batch_of_everything();
    struct record_memory *memory;
    struct buf heard = BUF_INIT;
    (void)state;

    assert_int_equal(batch_finish(batch), 0);
    memory = batch_take_memory(batch);
    assert_non_null(memory);
    assert_true(batch_is_empty(batch));
    batch_free(batch);
    record_memory_ref(memory);
    record_memory_unref(memory);
    assert_int_equal(visit(bytes_of(memory->data, memory->bytes), 2, 2, &heard), 0);
    assert_int_equal(heard.size, sizeof(everything_of_1) - 1);
    record_memory_unref(memory);
    buf_release(&heard);
}

static void updates_cut_off_anywhere_are_refused(void **state)
{
    struct batch *batch = batch_of_everything();
    struct buf heard = BUF_INIT;
    struct bytes all;
    (void)state;

    assert_int_equal(batch_finish(batch), 0);
    all = batch_updates(batch).encoded;
    for (size_t size = 0; size < all.size; size++) {
        /* A copy of just that size, so that a read past it shows. */
        uint8_t *copy = malloc(size ? size : 1);
        assert_non_null(copy);
        memcpy(copy, all.data, size);
        assert_int_equal(visit(bytes_of(copy, size), 2, 3, &heard), -EUCLEAN);
        free(copy);
    }
    assert_int_equal(visit(all, 1, 3, &heard), -EUCLEAN);
    assert_int_equal(visit(all, 3, 3, &heard), -EUCLEAN);
    buf_release(&heard);
    batch_free(batch);
}

static void changed_updates_are_refused_or_mean_something(void **state)
{
    struct batch *batch = batch_of_everything();
    struct buf heard = BUF_INIT;
    struct bytes all;
    uint8_t *copy;
    (void)state;

    assert_int_equal(batch_finish(batch), 0);
    all = batch_updates(batch).encoded;
    copy = malloc(all.size);
    assert_non_null(copy);
    for (size_t at = 0; at < all.size; at++) {
        for (unsigned value = 0; value < 256; value++) {
            int r;
            memcpy(copy, all.data, all.size);
            copy[at] = (uint8_t)value;
            r = visit(bytes_of(copy, all.size), 2, 3, &heard);
            assert_true(r == 0 || r == -EUCLEAN);
        }
    }
    free(copy);
    buf_release(&heard);
    batch_free(batch);
}

static int refuse(void *arg, unsigned table, const struct decorated_key *key, const struct row *row)
{
    (void)table, (void)key, (void)row;
    ++*(int *)arg;
    return -ENOMEM;
}

static void an_error_of_the_visitor_ends_the_visit(void **state)
{
    struct batch *batch = batch_of_everything();
    const struct update_visitor refuses = {.row = refuse};
    int calls = 0;
    struct updates updates;
    (void)state;

    assert_int_equal(batch_finish(batch), 0);
    updates = batch_updates(batch);
    assert_int_equal(
        batch_visit(schemas, 2, &updates, 2, TIMESTAMP_US, 3, &refuses, &calls), -ENOMEM);
    assert_int_equal(calls, 1);
    batch_free(batch);
}

static void keys_have_the_formats_bytes(void **state)
{
    uint8_t key[KEY_BYTES_BIGINT_INT];
    static const uint8_t expected[] = {0, 8, 0, 0, 0, 0, 0, 0, 0, 100, 0, 0, 4, 0, 0, 0, 1, 0};
    (void)state;

    key_bigint_int(key, 100, 1);
    assert_memory_equal(key, expected, sizeof(key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_visit_tells_what_the_batch_was_told),
        cmocka_unit_test(updates_of_tables_not_wanted_are_skipped),
        cmocka_unit_test(what_says_nothing_is_not_encoded),
        cmocka_unit_test(an_inserted_row_needs_no_cell),
        cmocka_unit_test(a_row_may_have_any_number_of_cells),
        cmocka_unit_test(mutations_of_one_partition_share_an_update),
        cmocka_unit_test(a_batch_that_grows_too_large_is_refused),
        cmocka_unit_test(too_many_updates_are_refused),
        cmocka_unit_test(times_are_clamped_to_what_the_format_holds),
        cmocka_unit_test(rows_of_very_many_cells_come_in_order),
        cmocka_unit_test(what_was_expected_binds_nobody),
        cmocka_unit_test(memory_outlives_the_batch),
        cmocka_unit_test(updates_cut_off_anywhere_are_refused),
        cmocka_unit_test(changed_updates_are_refused_or_mean_something),
        cmocka_unit_test(an_error_of_the_visitor_ends_the_visit),
        cmocka_unit_test(keys_have_the_formats_bytes),
    };
    return cmocka_run_group_tests_name("rows/update", tests, NULL, NULL);
}
