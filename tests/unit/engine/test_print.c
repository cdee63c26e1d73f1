/*
 * Goal: values and partitions look as sstabledump -t prints them.
 * Method: what Cassandra 5.0.5's types print of the same bytes (toJSONString and getString), and a
 * partition made by hand in the layout of the golden dumps.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/arena.h"
#include "engine/error.h"
#include "engine/print.h"
#include "rows/type.h"
#include "support/array_partition.h"

#define MARSHAL "org.apache.cassandra.db.marshal."

/* Bytes of a hexadecimal string, in a buffer of the test's. */
static struct bytes bytes_of_hex(const char *hex)
{
    static uint8_t bytes[64];
    size_t size = strlen(hex) / 2;

    assert_true(size <= sizeof(bytes));
    for (size_t i = 0; i < size; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        bytes[i] = (uint8_t)byte;
    }
    return bytes_of(bytes, size);
}

static const struct {
    const char *type; /* without the package */
    const char *hex;
    const char *json;
    const char *text;
} values[] = {
    {"FloatType", "00000000", "0.0", "0.0"},
    {"FloatType", "80000000", "-0.0", "-0.0"},
    {"FloatType", "3fc00000", "1.5", "1.5"},
    {"FloatType", "4b18967f", "9999999.0", "9999999.0"},
    {"FloatType", "4b189680", "1.0E7", "1.0E7"},
    {"FloatType", "3a83126f", "0.001", "0.001"},
    {"FloatType", "3a831270", "0.0010000002", "0.0010000002"},
    {"FloatType", "7f7fffff", "3.4028235E38", "3.4028235E38"},
    {"FloatType", "00000001", "1.4E-45", "1.4E-45"},
    {"FloatType", "7fc00000", "null", "NaN"},
    {"FloatType", "7f800000", "null", "Infinity"},
    {"FloatType", "ff800000", "null", "-Infinity"},
    {"FloatType", "", "\"\"", ""},
    {"DoubleType", "3fb999999999999a", "0.1", "0.1"},
    {"DoubleType", "416312d000000000", "1.0E7", "1.0E7"},
    {"DoubleType", "41cdcd64ff800000", "9.99999999E8", "9.99999999E8"},
    {"DoubleType", "3f50624dd2f1a9fb", "9.999999999999998E-4", "9.999999999999998E-4"},
    {"DoubleType", "7fefffffffffffff", "1.7976931348623157E308", "1.7976931348623157E308"},
    {"DoubleType", "0000000000000001", "4.9E-324", "4.9E-324"},
    {"DoubleType", "40934a456d5cfaad", "1234.5678", "1234.5678"},
    {"DoubleType", "fff0000000000000", "null", "-Infinity"},
    {"TimestampType", "ffffffffffffd8f1", "\"1969-12-31 23:59:50.001Z\"",
        "1969-12-31T23:59:50.001Z"},
    {"TimestampType", "0000018bcfe56800", "\"2023-11-14 22:13:20.000Z\"",
        "2023-11-14T22:13:20.000Z"},
    {"TimestampType", "7fffffffffffffff", "\"+292278994-08-17 07:12:55.807Z\"",
        "+292278994-08-17T07:12:55.807Z"},
    {"TimestampType", "8000000000000000", "\"+292275056-05-16 16:47:04.192Z\"",
        "+292275056-05-16T16:47:04.192Z"},
    {"SimpleDateType", "80004d77", "\"2024-04-18\"", "2024-04-18"},
    {"SimpleDateType", "7fffffff", "\"1969-12-31\"", "1969-12-31"},
    {"SimpleDateType", "00000000", "\"-5877641-06-23\"", "-5877641-06-23"},
    {"SimpleDateType", "ffffffff", "\"+5881580-07-11\"", "+5881580-07-11"},
    {"TimeType", "00000363ae5dda04", "\"01:02:06.662031876\"", "01:02:06.662031876"},
    {"TimeType", "00004e94914effff", "\"23:59:59.999999999\"", "23:59:59.999999999"},
    {"IntegerType", "00", "0", "0"},
    {"IntegerType", "ff", "-1", "-1"},
    {"IntegerType", "80", "-128", "-128"},
    {"IntegerType", "0080", "128", "128"},
    {"IntegerType", "ab54a98ceb1f0ad2", "-6101065172474983726", "-6101065172474983726"},
    {"IntegerType", "00ab54a98ceb1f0ad2", "12345678901234567890", "12345678901234567890"},
    {"IntegerType", "", "\"\"", ""},
    {"DecimalType", "000000027d", "1.25", "1.25"},
    {"DecimalType", "fffffffe7d", "1.25E+4", "1.25E+4"},
    {"DecimalType", "0000000000", "0", "0"},
    {"DecimalType", "0000000200", "0.00", "0.00"},
    {"DecimalType", "0000000a7d", "1.25E-8", "1.25E-8"},
    {"DecimalType", "000000087d", "0.00000125", "0.00000125"},
    {"DecimalType", "00000003ff", "-0.001", "-0.001"},
    {"DecimalType", "fffffffeff", "-1E+2", "-1E+2"},
    {"DecimalType", "000027100a", "1.0E-9999", "1.0E-9999"},
    {"DecimalType", "0000000601", "0.000001", "0.000001"},
    {"DecimalType", "0000000701", "1E-7", "1E-7"},
    {"InetAddressType", "0a000001", "\"10.0.0.1\"", "10.0.0.1"},
    {"InetAddressType", "20010db8000000000000000000000001", "\"2001:db8:0:0:0:0:0:1\"",
        "2001:db8:0:0:0:0:0:1"},
    {"InetAddressType", "00000000000000000000ffff01020304", "\"1.2.3.4\"", "1.2.3.4"},
    {"DurationType", "000000", "\"\"", ""},
    {"DurationType", "020406", "\"1mo2d3ns\"", "1mo2d3ns"},
    {"DurationType", "1b4f01", "\"-1y2mo40d1ns\"", "-1y2mo40d1ns"},
    {"DurationType", "0000fca3b5840f4000", "\"25h\"", "25h"},
    {"DurationType", "0000f81c67c44400", "\"1m1s\"", "1m1s"},
    {"DurationType", "3000fc9d29229dfffe", "\"2y23h59m59s999ms999us999ns\"",
        "2y23h59m59s999ms999us999ns"},
    {"UTF8Type", "61220a5c09010d08", "\"a\\\"\\n\\\\\\t\\u0001\\r\\b\"", "a\"\n\\\t\1\r\b"},
    {"UTF8Type", "c3a9e282acf09f9880", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
        "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
    {"UTF8Type", "7f2f1f", "\"\x7f/\\u001F\"", "\x7f/\x1f"},
    {"BooleanType", "00", "false", "false"},
    {"BooleanType", "02", "true", "true"},
    {"ByteType", "ff", "-1", "-1"},
    {"ShortType", "fed4", "-300", "-300"},
    {"Int32Type", "fffffed4", "-300", "-300"},
    {"Int32Type", "", "\"\"", ""},
    {"LongType", "8000000000000000", "-9223372036854775808", "-9223372036854775808"},
    {"BytesType", "", "\"0x\"", ""},
    {"BytesType", "ff00", "\"0xff00\"", "ff00"},
    {"UUIDType", "123e4567e89b12d3a456426614174000", "\"123e4567-e89b-12d3-a456-426614174000\"",
        "123e4567-e89b-12d3-a456-426614174000"},
    {"FrozenType(" MARSHAL "MapType(" MARSHAL "Int32Type," MARSHAL "UTF8Type))",
        "000000020000000400000001000000016100000004000000020000000122",
        "{\"1\": \"a\", \"2\": \"\\\"\"}",
        "000000020000000400000001000000016100000004000000020000000122"},
    {"FrozenType(" MARSHAL "SetType(" MARSHAL "Int32Type))",
        "0000000200000004000000010000000400000002", "[1, 2]",
        "0000000200000004000000010000000400000002"},
    {"FrozenType(" MARSHAL "ListType(" MARSHAL "UTF8Type))", "00000000", "[]", "00000000"},
    {"ReversedType(" MARSHAL "Int32Type)", "00000001", "1", "1"},
    /* No values of their types: Cassandra gives up on these. */
    {"Int32Type", "0102", "\"0x0102\"", "0102"},
    {"UUIDType", "0102", "\"0x0102\"", "0102"},
    {"InetAddressType", "0a0000", "\"0x0a0000\"", "0a0000"},
    {"DurationType", "02", "\"0x02\"", "02"},
    {"DecimalType", "00000002", "\"0x00000002\"", "00000002"},
    {"TimeType", "ffffffffffffffff", "\"0xffffffffffffffff\"", "ffffffffffffffff"},
    {"UTF8Type", "61ff62",
        "\"a\xef\xbf\xbd"
        "b\"",
        "a\xff"
        "b"},
    {"UTF8Type", "eda080", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", "\xed\xa0\x80"},
    {"FrozenType(" MARSHAL "ListType(" MARSHAL "UTF8Type))", "000000020000000161",
        "\"0x000000020000000161\"", "000000020000000161"},
};

static void values_look_as_cassandra_prints_them(void **state)
{
    struct arena arena;
    struct buf out = BUF_INIT, name = BUF_INIT;
    (void)state;

    arena_init(&arena, 4096);
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        const struct type *type;

        buf_clear(&name);
        text_add(&name, MARSHAL "%s", values[i].type);
        assert_int_equal(type_parse(&arena, buf_bytes(&name), &type), 0);
        buf_clear(&out);
        value_print_json(type, bytes_of_hex(values[i].hex), &out);
        assert_string_equal(text_of(&out), values[i].json);
        buf_clear(&out);
        value_print_text(type, bytes_of_hex(values[i].hex), &out);
        assert_string_equal(text_of(&out), values[i].text);
    }
    buf_release(&out);
    buf_release(&name);
    arena_release(&arena);
}

static void huge_numbers_are_hexadecimal(void **state)
{
    static uint8_t huge[600] = {1};
    struct buf out = BUF_INIT;
    (void)state;

    value_print_json(&type_varint, bytes_of(huge, sizeof(huge)), &out);
    assert_memory_equal(text_of(&out), "\"0x0100", 7);
    assert_int_equal(out.size, 2 * sizeof(huge) + 4);
    buf_release(&out);
}

static const struct column keys[] = {{"p1", &type_bigint}, {"p2", &type_text}};
static const struct column clusterings[] = {{"c1", &type_blob}, {"c2", &type_int}};
static const struct column statics[] = {{"s", &type_int}};
static const struct column regulars[] = {
    {"Data", &type_blob}, {"table", &type_int}, {"m", &type_map_blob_blob}};
static const struct table_schema schema = {
    .partition_key_count = 2,
    .partition_key = keys,
    .clustering_count = 2,
    .clustering = clusterings,
    .static_count = 1,
    .statics = statics,
    .regular_count = 3,
    .regulars = regulars,
};
#define KEY BYTES_LITERAL("\0\10\0\0\0\0\0\0\0\5\0\0\2p\"\0")

static const char everything[] =
    "  {\n"
    "    \"table kind\" : \"REGULAR\",\n"
    "    \"partition\" : {\n"
    "      \"key\" : [ \"5\", \"p\\\"\" ],\n"
    "      \"position\" : 0,\n"
    "      \"deletion_info\" : { \"marked_deleted\" : \"3\", \"local_delete_time\" : \"30\" }\n"
    "    },\n"
    "    \"rows\" : [\n"
    "      {\n"
    "        \"type\" : \"static_block\",\n"
    "        \"position\" : 0,\n"
    "        \"cells\" : [\n"
    "          { \"name\" : \"s\", \"deletion_info\" : { \"local_delete_time\" : \"40\" },\n"
    "            \"tstamp\" : \"4\"\n"
    "          }\n"
    "        ]\n"
    "      },\n"
    "      {\n"
    "        \"type\" : \"range_tombstone_bound\",\n"
    "        \"start\" : {\n"
    "          \"type\" : \"exclusive\",\n"
    "          \"clustering\" : [ \"0x61\", \"*\" ],\n"
    "          \"deletion_info\" : { \"marked_deleted\" : \"5\", \"local_delete_time\" : \"50\" }\n"
    "        }\n"
    "      },\n"
    "      {\n"
    "        \"type\" : \"row\",\n"
    "        \"position\" : 77,\n"
    "        \"clustering\" : [ \"0x62\", 7 ],\n"
    "        \"liveness_info\" : { \"tstamp\" : \"9\", \"ttl\" : 10, \"expires_at\" : \"100\", "
    "\"expired\" : false },\n"
    "        \"deletion_info\" : { \"marked_deleted\" : \"6\", \"local_delete_time\" : \"60\" },\n"
    "        \"cells\" : [\n"
    "          { \"name\" : \"\\\"Data\\\"\", \"value\" : \"0x76\" },\n"
    "          { \"name\" : \"\\\"table\\\"\", \"value\" : 8, \"tstamp\" : \"10\", \"ttl\" : 20, "
    "\"expires_at\" : \"100\", \"expired\" : true },\n"
    "          { \"name\" : \"m\", \"deletion_info\" : { \"marked_deleted\" : \"8\", "
    "\"local_delete_time\" : \"80\" } },\n"
    "          { \"name\" : \"m\", \"path\" : [ \"70\" ], \"value\" : \"0x\", \"tstamp\" : \"11\" "
    "}\n"
    "        ]\n"
    "      },\n"
    "      {\n"
    "        \"type\" : \"range_tombstone_boundary\",\n"
    "        \"start\" : {\n"
    "          \"type\" : \"inclusive\",\n"
    "          \"clustering\" : [ \"0x62\", 7 ],\n"
    "          \"deletion_info\" : { \"marked_deleted\" : \"12\", \"local_delete_time\" : \"120\" "
    "}\n"
    "        },\n"
    "        \"end\" : {\n"
    "          \"type\" : \"exclusive\",\n"
    "          \"clustering\" : [ \"0x62\", 7 ],\n"
    "          \"deletion_info\" : { \"marked_deleted\" : \"5\", \"local_delete_time\" : \"50\" }\n"
    "        }\n"
    "      },\n"
    "      {\n"
    "        \"type\" : \"range_tombstone_bound\",\n"
    "        \"end\" : {\n"
    "          \"type\" : \"inclusive\",\n"
    "          \"deletion_info\" : { \"marked_deleted\" : \"12\", \"local_delete_time\" : \"120\" "
    "}\n"
    "        }\n"
    "      },\n"
    "      {\n"
    "        \"type\" : \"row\",\n"
    "        \"position\" : 99,\n"
    "        \"clustering\" : [ \"0x\", \"\" ],\n"
    "        \"deletion_info\" : { \"marked_deleted\" : \"13\", \"local_delete_time\" : \"130\" "
    "},\n"
    "        \"cells\" : [ ]\n"
    "      }\n"
    "    ]\n"
    "  }";

static void a_partition_is_laid_out_as_sstabledump_does(void **state)
{
    const struct bytes a[] = {BYTES_LITERAL("a")};
    const struct bytes b[] = {BYTES_LITERAL("b"), BYTES_LITERAL("\0\0\0\7")};
    const struct bytes none[] = {BYTES_LITERAL(""), BYTES_LITERAL("")};
    const struct cell static_cell = {.timestamp_us = 4, .local_deletion_time_s = 40};
    const struct cell cells[] = {
        {9, LOCAL_DELETION_TIME_NONE, 0, 0, BYTES_NONE, BYTES_LITERAL("v")},
        {10, 100, 20, 1, BYTES_NONE, BYTES_LITERAL("\0\0\0\10")},
        {11, LOCAL_DELETION_TIME_NONE, 0, 2, BYTES_LITERAL("p"), BYTES_LITERAL("")}};
    const struct complex_deletion complex = {2, {8, 80}};
    const struct row static_row = {.clustering.kind = KIND_STATIC,
        .liveness = LIVENESS_NONE,
        .deletion = DELETION_LIVE,
        .cell_count = 1,
        .cells = &static_cell};
    const struct deletion first = {5, 50}, second = {12, 120};
    const struct unfiltered unfiltereds[] = {
        {.is_marker = true, .marker = {{a, 1, KIND_EXCL_START}, DELETION_LIVE, first}},
        {.position = 77,
            .row = {.clustering = CLUSTERING_ROW(b, 2),
                .liveness = {9, 10, 100},
                .deletion = {6, 60},
                .cell_count = 3,
                .cells = cells,
                .complex_deletion_count = 1,
                .complex_deletions = &complex}},
        {.is_marker = true, .marker = {{b, 2, KIND_EXCL_END_INCL_START}, first, second}},
        {.is_marker = true, .marker = {BOUND_END_OF_ALL, second, DELETION_LIVE}},
        {.position = 99,
            .row = {.clustering = CLUSTERING_ROW(none, 2),
                .liveness = LIVENESS_NONE,
                .deletion = {13, 130}}}};
    const struct array_partition array = {.key = KEY,
        .deletion = {3, 30},
        .static_row = &static_row,
        .unfiltereds = unfiltereds,
        .count = ARRAY_COUNT(unfiltereds)};
    struct partition_iterator *partition = array_partition_open(&schema, &array);
    struct buf out = BUF_INIT;
    (void)state;

    assert_int_equal(partition_print_json(partition, 100, &out), 0);
    assert_string_equal(text_of(&out), everything);
    partition_close(partition);
    buf_release(&out);
}

static void an_empty_partition_has_no_rows(void **state)
{
    const struct array_partition array = {.key = KEY, .deletion = DELETION_LIVE};
    struct partition_iterator *partition = array_partition_open(&schema, &array);
    struct buf out = BUF_INIT;
    (void)state;

    partition->rows_position = 32;
    assert_int_equal(partition_print_json(partition, 100, &out), 0);
    assert_string_equal(text_of(&out),
        "  {\n    \"table kind\" : \"REGULAR\",\n    \"partition\" : {\n"
        "      \"key\" : [ \"5\", \"p\\\"\" ],\n      \"position\" : 32\n    },\n"
        "    \"rows\" : [ ]\n  }");
    partition_close(partition);
    buf_release(&out);
}

static void a_failure_of_the_iterator_is_passed_on(void **state)
{
    const struct array_partition array = {
        .key = KEY, .deletion = DELETION_LIVE, .failure = -EUCLEAN};
    struct partition_iterator *partition = array_partition_open(&schema, &array);
    struct buf out = BUF_INIT;
    (void)state;

    assert_int_equal(partition_print_json(partition, 100, &out), -EUCLEAN);
    partition_close(partition);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_look_as_cassandra_prints_them),
        cmocka_unit_test(huge_numbers_are_hexadecimal),
        cmocka_unit_test(a_partition_is_laid_out_as_sstabledump_does),
        cmocka_unit_test(an_empty_partition_has_no_rows),
        cmocka_unit_test(a_failure_of_the_iterator_is_passed_on),
    };
    return cmocka_run_group_tests_name("rows/print", tests, NULL, NULL);
}
