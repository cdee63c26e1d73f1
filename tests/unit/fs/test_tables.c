/*
 * Goal: the tables are those of fs/SCHEMA.md, and Cassandra would number their columns as we do.
 * Method: check the order of the lists, and compare the CQL of two tables with what it must be.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/tables.h"
#include "engine/buf.h"

static void assert_in_header_order(const struct column *columns, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        bool complex_before = type_is_complex(columns[i - 1].type);
        bool complex_here = type_is_complex(columns[i].type);

        assert_true(complex_before <= complex_here);
        if (complex_before == complex_here)
            assert_true(strcmp(columns[i - 1].name, columns[i].name) < 0);
    }
}

static void columns_are_in_the_order_of_the_serialization_header(void **state)
{
    (void)state;
    for (unsigned i = 0; i < FS_TABLE_COUNT; i++) {
        assert_in_header_order(fs_tables[i].statics, fs_tables[i].static_count);
        assert_in_header_order(fs_tables[i].regulars, fs_tables[i].regular_count);
    }
}

static void a_table_is_told_as_cql(void **state)
{
    static const char small[] =
        "CREATE TABLE IF NOT EXISTS sstfs.small (\n  dir bigint,\n  ino bigint,\n  data blob,\n"
        "  PRIMARY KEY ((dir), ino))\n  WITH ID = 5f5f6e00-0000-1000-8000-73737466730b\n"
        "  AND compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': 64, "
        "'min_compress_ratio': 1.1}\n  AND gc_grace_seconds = 864000;\n";
    struct buf cql = BUF_INIT;

    (void)state;
    table_schema_cql(&fs_tables[TABLE_SMALL], &cql);
    assert_int_equal(buf_error(&cql), 0);
    assert_int_equal(cql.size, sizeof(small) - 1);
    assert_memory_equal(cql.data, small, cql.size);

    buf_clear(&cql);
    table_schema_cql(&fs_tables[TABLE_DIRENTS], &cql);
    buf_append_u8(&cql, 0);
    assert_int_equal(buf_error(&cql), 0);
    assert_non_null(strstr((const char *)cql.data, "  dir_xattrs map<blob, blob> static,\n"));
    assert_non_null(strstr((const char *)cql.data, "  dir_mode int static,\n"));
    assert_non_null(strstr((const char *)cql.data, "  PRIMARY KEY ((dir), name))\n"));
    buf_release(&cql);
}

static void a_block_lies_in_the_partition_of_its_extent(void **state)
{
    static const uint8_t key[KEY_BYTES_BIGINT_INT] = {
        0, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 4, 0, 0, 0, 2, 0};
    static const uint8_t block[4] = {0, 0, 4, 1};
    struct row_key k;

    (void)state;
    row_key_block(&k, 7, 2 * EXTENT_BLOCKS + 1);
    assert_int_equal(k.key.size, sizeof(key));
    assert_memory_equal(k.key.data, key, sizeof(key));
    assert_int_equal(k.clustering.count, 1);
    assert_memory_equal(k.clustering.values[0].data, block, sizeof(block));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_in_the_order_of_the_serialization_header),
        cmocka_unit_test(a_table_is_told_as_cql),
        cmocka_unit_test(a_block_lies_in_the_partition_of_its_extent),
    };

    return cmocka_run_group_tests_name("fs/tables", tests, NULL, NULL);
}
