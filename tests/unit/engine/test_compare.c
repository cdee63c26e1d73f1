/*
 * Goal: keys, values, rows and bounds have Cassandra's order.
 * Method: lists of values that Cassandra 5.0.5's types sort so, each compared with each;
 * clusterings and bounds by the table of the format.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/error.h"
#include "rows/compare.h"
#include "rows/type.h"

#define MARSHAL "org.apache.cassandra.db.marshal."
#define VALUES_MAX 16

/* Ascending; after a '=' comes one that is equal to the last. */
static const struct {
    const char *type;
    const char *ascending[VALUES_MAX];
} orders[] = {
    {"BytesType", {"", "00", "0000", "01", "7f", "80", "ff", "ff00"}},
    {"UTF8Type", {"", "61", "6161", "62", "c3a9"}},
    {"AsciiType", {"", "41", "61"}},
    {"LongType", {"", "8000000000000000", "ffffffffffffffff", "0000000000000000",
                     "0000000000000001", "7fffffffffffffff"}},
    {"Int32Type", {"", "80000000", "ffffffff", "00000000", "7fffffff"}},
    {"ShortType", {"8000", "ffff", "0000", "7fff"}},
    {"ByteType", {"80", "ff", "00", "7f"}},
    {"BooleanType", {"", "00", "01", "=02"}},
    {"FloatType", {"", "ff800000", "c0200000", "80000001", "80000000", "00000000", "00000001",
                      "3f800000", "7f800000", "7fc00000", "=ffc00001"}},
    {"DoubleType",
        {"", "fff0000000000000", "c000000000000000", "8000000000000000", "0000000000000000",
            "3ff0000000000000", "7ff0000000000000", "7ff8000000000000"}},
    {"TimestampType", {"", "ffffffffffffffff", "0000000000000000"}},
    {"SimpleDateType", {"00000000", "7fffffff", "80000000", "ffffffff"}},
    {"TimeType", {"0000000000000000", "0000000000000001", "00004e94914effff"}},
    {"UUIDType", {"", "00000000000000000000000000000000", "ffffffff000010008000000000000000",
                     "00000000000110008000000000000000", "00000000000110008000000000000001",
                     "000000000001100080000000000000ff", "000000000000400080000000000000ff",
                     "ff0000000000400080000000000000ff"}},
    {"TimeUUIDType", {"", "ffffffff000010008000000000000000", "00000000000110008080808080808080",
                         "000000000001100080ff000000000000", "00000000000110008000000000000000",
                         "0000000000011000807f000000000000"}},
    {"IntegerType", {"", "ff7f", "80", "=ff80", "ff", "=ffff", "00", "=0000", "7f", "=007f", "0080",
                        "0100", "00ffff", "00ffffff"}},
    {"DecimalType", {"", "fffffffe80", "0000000180", "00000001ff", "0000000000", "=0000000500",
                        "00000001"
                        "01",
                        "0000000001", "=000000010a", "=0000000264",
                        "00000001"
                        "0b",
                        "fffffffe01", "ffffff9c01"}},
    {"InetAddressType", {"0a000001", "0a000002", "20010db8000000000000000000000001"}},
    {"DurationType", {"000000", "000002", "020000"}},
    {"ReversedType(" MARSHAL "Int32Type)", {"7fffffff", "00000000", "ffffffff", "80000000", ""}},
    {"ReversedType(" MARSHAL "BytesType)", {"ff00", "ff", "00", ""}},
    {"FrozenType(" MARSHAL "ListType(" MARSHAL "Int32Type))",
        {"", "00000000", "0000000100000004ffffffff", "000000010000000400000001",
            "00000002000000040000000100000004ffffffff", "000000010000000400000002"}},
    {"FrozenType(" MARSHAL "MapType(" MARSHAL "BytesType," MARSHAL "Int32Type))",
        {"00000000",
            "000000010000000161"
            "00000004ffffffff",
            "000000010000000161"
            "0000000400000000",
            "000000010000000162"
            "00000004ffffffff"}},
};

struct value {
    uint8_t data[64];
    size_t size;
    int rank; /* equal ones share it */
};

static void value_of_hex(const char *hex, struct value *to)
{
    to->size = strlen(hex) / 2;
    for (size_t i = 0; i < to->size; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        to->data[i] = (uint8_t)byte;
    }
}

static int sign(int r)
{
    return (r > 0) - (r < 0);
}

static const struct type *type_of(struct arena *arena, const char *name)
{
    const struct type *type;
    char text[256];

    snprintf(text, sizeof(text), MARSHAL "%s", name);
    assert_int_equal(type_parse(arena, bytes_of_string(text), &type), 0);
    return type;
}

static void values_have_the_order_of_their_type(void **state)
{
    struct arena arena;
    (void)state;

    arena_init(&arena, 4096);
    for (size_t i = 0; i < ARRAY_COUNT(orders); i++) {
        const struct type *type = type_of(&arena, orders[i].type);
        struct value values[VALUES_MAX];
        size_t count = 0;
        int rank = 0;

        for (; count < VALUES_MAX && orders[i].ascending[count]; count++) {
            const char *hex = orders[i].ascending[count];
            rank += hex[0] != '=';
            value_of_hex(hex + (hex[0] == '='), &values[count]);
            values[count].rank = rank;
        }
        for (size_t a = 0; a < count; a++) {
            for (size_t b = 0; b < count; b++) {
                int r = type_compare(type, bytes_of(values[a].data, values[a].size),
                    bytes_of(values[b].data, values[b].size));
                if (sign(r) != sign(values[a].rank - values[b].rank))
                    fail_msg("%s: %s against %s gives %d", orders[i].type, orders[i].ascending[a],
                        orders[i].ascending[b], r);
            }
        }
    }
    arena_release(&arena);
}

static void null_comes_before_all_even_reversed(void **state)
{
    const struct type reversed = {.kind = TYPE_INT, .reversed = true};
    (void)state;

    assert_true(type_compare(&type_int, BYTES_NONE, BYTES_LITERAL("")) < 0);
    assert_true(type_compare(&reversed, BYTES_NONE, BYTES_LITERAL("")) < 0);
    assert_true(type_compare(&reversed, BYTES_LITERAL("\0\0\0\1"), BYTES_NONE) > 0);
    assert_int_equal(type_compare(&reversed, BYTES_NONE, BYTES_NONE), 0);
}

/* A file may hold what no value of its type looks like; an order is all that is asked. */
static void values_of_wrong_lengths_have_an_order_too(void **state)
{
    static const uint8_t bytes[40];
    struct arena arena;
    (void)state;

    arena_init(&arena, 4096);
    for (size_t i = 0; i < ARRAY_COUNT(orders); i++) {
        const struct type *type = type_of(&arena, orders[i].type);
        for (size_t a = 0; a < sizeof(bytes); a++) {
            for (size_t b = 0; b < sizeof(bytes); b++)
                assert_int_equal(sign(type_compare(type, bytes_of(bytes, a), bytes_of(bytes, b))),
                    -sign(type_compare(type, bytes_of(bytes, b), bytes_of(bytes, a))));
        }
    }
    arena_release(&arena);
}

static const struct type descending = {.kind = TYPE_BLOB, .reversed = true};
static const struct column clusterings[] = {{"c1", &type_int}, {"c2", &descending}};
static const struct table_schema schema = {.clustering_count = 2, .clustering = clusterings};

static void bounds_lie_around_what_they_begin(void **state)
{
    const struct bytes one_a[] = {BYTES_LITERAL("\0\0\0\1"), BYTES_LITERAL("a")};
    const struct bytes one_b[] = {BYTES_LITERAL("\0\0\0\1"), BYTES_LITERAL("b")};
    const struct bytes two[] = {BYTES_LITERAL("\0\0\0\2"), BYTES_LITERAL("")};
    /* Ascending; those of one rank are equal. */
    const struct {
        int rank;
        struct clustering clustering;
    } places[] = {
        {0, {NULL, 0, KIND_INCL_START}},
        {0, {NULL, 0, KIND_EXCL_END}},
        {1, {one_a, 1, KIND_INCL_START}},
        {1, {one_a, 1, KIND_EXCL_END}},
        {1, {one_a, 1, KIND_EXCL_END_INCL_START}},
        {2, {one_b, 2, KIND_INCL_START}},
        {3, {one_b, 2, KIND_ROW}},
        {4, {one_b, 2, KIND_INCL_END}},
        {4, {one_b, 2, KIND_EXCL_START}},
        {4, {one_b, 2, KIND_INCL_END_EXCL_START}},
        {5, {one_a, 2, KIND_EXCL_END}},
        {6, {one_a, 2, KIND_ROW}},
        {7, {one_a, 2, KIND_EXCL_START}},
        {8, {one_a, 1, KIND_INCL_END}},
        {8, {one_a, 1, KIND_EXCL_START}},
        {9, {two, 1, KIND_INCL_START}},
        {10, {two, 2, KIND_ROW}},
        {11, {NULL, 0, KIND_INCL_END}},
        {11, {NULL, 0, KIND_EXCL_START}},
    };
    (void)state;

    for (size_t a = 0; a < ARRAY_COUNT(places); a++) {
        for (size_t b = 0; b < ARRAY_COUNT(places); b++)
            assert_int_equal(
                sign(clustering_compare(&schema, &places[a].clustering, &places[b].clustering)),
                sign(places[a].rank - places[b].rank));
    }
}

static void slices_contain_what_lies_between_their_bounds(void **state)
{
    const struct bytes one[] = {BYTES_LITERAL("\0\0\0\1"), BYTES_LITERAL("x")};
    const struct bytes two[] = {BYTES_LITERAL("\0\0\0\2"), BYTES_LITERAL("x")};
    const struct clustering row_one = CLUSTERING_ROW(one, 2), row_two = CLUSTERING_ROW(two, 2);
    const struct slice all = SLICE_ALL;
    const struct slice only_one = {{one, 1, KIND_INCL_START}, {one, 1, KIND_INCL_END}};
    const struct slice behind_one = {{one, 2, KIND_EXCL_START}, BOUND_END_OF_ALL};
    (void)state;

    assert_true(slice_contains(&schema, &all, &row_one));
    assert_true(slice_contains(&schema, &only_one, &row_one));
    assert_false(slice_contains(&schema, &only_one, &row_two));
    assert_false(slice_contains(&schema, &behind_one, &row_one));
    assert_true(slice_contains(&schema, &behind_one, &row_two));
}

static void kinds_know_their_sides(void **state)
{
    static const struct {
        uint8_t kind;
        bool start, end, boundary;
        uint8_t as_start, as_end;
    } kinds[] = {
        {KIND_EXCL_END, false, true, false, KIND_INCL_START, KIND_EXCL_END},
        {KIND_INCL_START, true, false, false, KIND_INCL_START, KIND_EXCL_END},
        {KIND_EXCL_END_INCL_START, true, true, true, KIND_INCL_START, KIND_EXCL_END},
        {KIND_INCL_END_EXCL_START, true, true, true, KIND_EXCL_START, KIND_INCL_END},
        {KIND_INCL_END, false, true, false, KIND_EXCL_START, KIND_INCL_END},
        {KIND_EXCL_START, true, false, false, KIND_EXCL_START, KIND_INCL_END},
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        assert_int_equal(kind_is_start(kinds[i].kind), kinds[i].start);
        assert_int_equal(kind_is_end(kinds[i].kind), kinds[i].end);
        assert_int_equal(kind_is_boundary(kinds[i].kind), kinds[i].boundary);
        assert_int_equal(kind_as_start(kinds[i].kind), kinds[i].as_start);
        assert_int_equal(kind_as_end(kinds[i].kind), kinds[i].as_end);
    }
    assert_false(kind_is_start(KIND_ROW) || kind_is_end(KIND_ROW));
}

static void partitions_go_by_token_then_bytes(void **state)
{
    struct decorated_key a = {.token = -1, .key = BYTES_LITERAL("z")};
    struct decorated_key b = {.token = 1, .key = BYTES_LITERAL("a")};
    struct decorated_key c = {.token = 1, .key = BYTES_LITERAL("aa")};
    (void)state;

    assert_true(decorated_key_compare(&a, &b) < 0);
    assert_true(decorated_key_compare(&c, &b) > 0);
    assert_int_equal(decorated_key_compare(&c, &c), 0);
}

static void types_come_back_from_their_strings(void **state)
{
    static const char *const names[] = {
        MARSHAL "BytesType",
        MARSHAL "ReversedType(" MARSHAL "TimeUUIDType)",
        MARSHAL "MapType(" MARSHAL "BytesType," MARSHAL "BytesType)",
        MARSHAL "FrozenType(" MARSHAL "MapType(" MARSHAL "UTF8Type," MARSHAL "ListType(" MARSHAL
                "Int32Type)))",
        MARSHAL "ReversedType(" MARSHAL "FrozenType(" MARSHAL "SetType(" MARSHAL "DateType)))",
    };
    struct arena arena;
    struct buf buf = BUF_INIT;
    const struct type *type;
    (void)state;

    arena_init(&arena, 4096);
    for (size_t i = 0; i < ARRAY_COUNT(names) - 1; i++) {
        struct bytes name = bytes_of_string(names[i]);
        assert_int_equal(type_parse(&arena, name, &type), 0);
        buf_clear(&buf);
        type_print(type, &buf);
        assert_true(bytes_equal(buf_bytes(&buf), name));
        assert_int_equal(type_is_complex(type), i == 2);
        /* Cut off anywhere it is no type. */
        for (size_t size = 0; size < name.size; size++)
            assert_true(type_parse(&arena, bytes_of(name.data, size), &type) < 0);
    }
    assert_int_equal(
        type_parse(&arena, bytes_of_string(names[ARRAY_COUNT(names) - 1]), &type), -ENOTSUP);
    assert_int_equal(type_parse(&arena, BYTES_LITERAL(MARSHAL "LongType)"), &type), -EUCLEAN);
    buf_release(&buf);
    arena_release(&arena);
}

static void types_do_not_nest_without_end(void **state)
{
    struct buf buf = BUF_INIT;
    struct arena arena;
    const struct type *type;
    (void)state;

    arena_init(&arena, 4096);
    for (int i = 0; i < 100000; i++)
        buf_append(&buf, "FrozenType(", 11);
    assert_int_equal(type_parse(&arena, buf_bytes(&buf), &type), -EUCLEAN);
    buf_release(&buf);
    arena_release(&arena);
}

static void partition_key_types_are_composites_of_more_than_one(void **state)
{
    const struct bytes composite =
        BYTES_LITERAL(MARSHAL "CompositeType(" MARSHAL "LongType," MARSHAL "Int32Type)");
    const struct bytes single = BYTES_LITERAL(MARSHAL "LongType");
    const struct type *types[4];
    struct buf buf = BUF_INIT;
    struct arena arena;
    unsigned count;
    (void)state;

    arena_init(&arena, 4096);
    assert_int_equal(type_parse_composite(&arena, composite, types, 4, &count), 0);
    assert_int_equal(count, 2);
    assert_ptr_equal(types[0], &type_bigint);
    assert_ptr_equal(types[1], &type_int);
    type_print_composite(types, count, &buf);
    assert_true(bytes_equal(buf_bytes(&buf), composite));
    assert_int_equal(type_parse_composite(&arena, composite, types, 1, &count), -EUCLEAN);
    assert_int_equal(type_parse_composite(&arena, single, types, 4, &count), 0);
    assert_int_equal(count, 1);
    buf_clear(&buf);
    type_print_composite(types, count, &buf);
    assert_true(bytes_equal(buf_bytes(&buf), single));
    for (size_t size = 0; size < composite.size; size++)
        assert_true(
            type_parse_composite(&arena, bytes_of(composite.data, size), types, 4, &count) < 0);
    buf_release(&buf);
    arena_release(&arena);
}

static void folders_are_named_by_table_and_id(void **state)
{
    const struct table_schema table = {.name = "dirents",
        .id = {0x5f, 0x5f, 0x6e, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 's', 's', 't', 'f', 10}};
    char name[TABLE_FOLDER_NAME_MAX + 1];
    (void)state;

    table_folder_name(&table, name);
    assert_string_equal(name, "dirents-5f5f6e0000001000800000737374660a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_have_the_order_of_their_type),
        cmocka_unit_test(null_comes_before_all_even_reversed),
        cmocka_unit_test(values_of_wrong_lengths_have_an_order_too),
        cmocka_unit_test(bounds_lie_around_what_they_begin),
        cmocka_unit_test(slices_contain_what_lies_between_their_bounds),
        cmocka_unit_test(kinds_know_their_sides),
        cmocka_unit_test(partitions_go_by_token_then_bytes),
        cmocka_unit_test(types_come_back_from_their_strings),
        cmocka_unit_test(types_do_not_nest_without_end),
        cmocka_unit_test(partition_key_types_are_composites_of_more_than_one),
        cmocka_unit_test(folders_are_named_by_table_and_id),
    };
    return cmocka_run_group_tests_name("rows/compare", tests, NULL, NULL);
}
