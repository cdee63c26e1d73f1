/*
 * Goal: a table is told as the CREATE TABLE statement that Cassandra would answer DESCRIBE with.
 * Method: tables with every kind of key, column, type and option that a schema can hold, compared
 * with the text. That servers take it is asked by interop/server.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/buf.h"
#include "engine/schema.h"

static void assert_cql(const struct table_schema *schema, const char *wanted)
{
    struct buf cql = BUF_INIT;

    table_schema_cql(schema, &cql);
    buf_append_u8(&cql, 0);
    assert_int_equal(buf_error(&cql), 0);
    assert_string_equal((const char *)cql.data, wanted);
    buf_release(&cql);
}

static void keys_statics_and_orders_are_told(void **state)
{
    static const struct type backwards = {.kind = TYPE_TIMESTAMP, .reversed = true};
    static const struct column key[] = {{"a", &type_bigint}, {"b", &type_int}};
    static const struct column clustering[] = {{"c", &type_text}, {"d", &backwards}};
    static const struct column statics[] = {{"e", &type_map_blob_blob}};
    static const struct column regulars[] = {{"f", &type_blob}};
    static const struct table_schema schema = {
        .keyspace = "k",
        .name = "t",
        .id = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 254, 255},
        .partition_key_count = 2,
        .partition_key = key,
        .clustering_count = 2,
        .clustering = clustering,
        .static_count = 1,
        .statics = statics,
        .regular_count = 1,
        .regulars = regulars,
        .chunk_bytes = 16384,
        .min_compress_ratio = 1.1,
        .gc_grace_s = 7,
    };

    (void)state;
    assert_cql(&schema, "CREATE TABLE IF NOT EXISTS k.t (\n"
                        "  a bigint,\n  b int,\n  c text,\n  d timestamp,\n"
                        "  e map<blob, blob> static,\n  f blob,\n"
                        "  PRIMARY KEY ((a, b), c, d))\n"
                        "  WITH ID = 00010203-0405-0607-0809-0a0b0c0dfeff\n"
                        "  AND CLUSTERING ORDER BY (c ASC, d DESC)\n"
                        "  AND compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': 16, "
                        "'min_compress_ratio': 1.1}\n"
                        "  AND gc_grace_seconds = 7;\n");
}

static void collections_nest_and_freeze(void **state)
{
    static const struct type ascii = {.kind = TYPE_ASCII};
    static const struct type inner = {.kind = TYPE_LIST, .frozen = true, .arguments = {&ascii}};
    static const struct type outer = {.kind = TYPE_MAP, .arguments = {&type_int, &inner}};
    static const struct type set = {.kind = TYPE_SET, .arguments = {&type_text}};
    static const struct column key[] = {{"k", &type_int}};
    static const struct column regulars[] = {{"m", &outer}, {"s", &set}};
    struct table_schema schema = {
        .keyspace = "k",
        .name = "t",
        .partition_key_count = 1,
        .partition_key = key,
        .regular_count = 2,
        .regulars = regulars,
        .chunk_bytes = 4096,
    };
#define BEGINNING                                                                                  \
    "CREATE TABLE IF NOT EXISTS k.t (\n"                                                           \
    "  k int,\n  m map<int, frozen<list<ascii>>>,\n  s set<text>,\n"                               \
    "  PRIMARY KEY ((k)))\n"                                                                       \
    "  WITH ID = 00000000-0000-0000-0000-000000000000\n"

    (void)state;
    assert_cql(&schema,
        BEGINNING "  AND compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': 4}\n"
                  "  AND gc_grace_seconds = 0;\n");
    schema.chunk_bytes = 0;
    assert_cql(
        &schema, BEGINNING "  AND compression = {'enabled': false}\n  AND gc_grace_seconds = 0;\n");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_statics_and_orders_are_told),
        cmocka_unit_test(collections_nest_and_freeze),
    };

    return cmocka_run_group_tests_name("rows/cql", tests, NULL, NULL);
}
