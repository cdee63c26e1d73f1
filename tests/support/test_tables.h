/*
 * The five tables of a store as tests write them (tests/interop/schema.cql), independent of fs/:
 * what Cassandra judges is the format, with columns of every kind that the store uses.
 */
#ifndef SSTFS_TESTS_TEST_TABLES_H
#define SSTFS_TESTS_TEST_TABLES_H

#include "engine/schema.h"

extern const struct table_schema test_table_dirents, test_table_small, test_table_blocks,
    test_table_inodes, test_table_meta;

#define TEST_TABLE_COUNT 5
extern const struct table_schema *const test_tables[TEST_TABLE_COUNT];

#endif
