#include "support/test_tables.h"

static const struct column dirents_keys[] = {
    {"dir", &type_bigint},
};
static const struct column dirents_clustering[] = {
    {"name", &type_blob},
};
static const struct column dirents_statics[] = {
    {"dir_atime", &type_bigint},
    {"dir_btime", &type_bigint},
    {"dir_ctime", &type_bigint},
    {"dir_gid", &type_int},
    {"dir_mode", &type_int},
    {"dir_mtime", &type_bigint},
    {"dir_parent", &type_bigint},
    {"dir_subdirs", &type_int},
    {"dir_uid", &type_int},
    {"dir_xattrs", &type_map_blob_blob},
};
static const struct column dirents_regulars[] = {
    {"allocated", &type_bigint},
    {"atime", &type_bigint},
    {"btime", &type_bigint},
    {"ctime", &type_bigint},
    {"gid", &type_int},
    {"ino", &type_bigint},
    {"mode", &type_int},
    {"mtime", &type_bigint},
    {"named", &type_bigint},
    {"rdev", &type_bigint},
    {"size", &type_bigint},
    {"small", &type_bigint},
    {"target", &type_blob},
    {"uid", &type_int},
    {"xattrs", &type_map_blob_blob},
};
const struct table_schema test_table_dirents = {
    .keyspace = "sstfs",
    .name = "dirents",
    .id = {0x5f, 0x5f, 0x6e, 0, 0, 0, 0x10, 0, 0x80, 0, 0x73, 0x73, 0x74, 0x66, 0x73, 0x0a},
    .partition_key_count = 1,
    .partition_key = dirents_keys,
    .clustering_count = 1,
    .clustering = dirents_clustering,
    .static_count = 10,
    .statics = dirents_statics,
    .regular_count = 15,
    .regulars = dirents_regulars,
    .chunk_bytes = 16 << 10,
    .min_compress_ratio = 1.1,
    .filter_fp_chance = 0.01,
    .min_index_interval = 128,
    .column_index_bytes = 64 << 10,
    .gc_grace_s = 864000,
    .memory_share = 8,
    .has_row_filter = true,
};

static const struct column small_keys[] = {
    {"dir", &type_bigint},
};
static const struct column small_clustering[] = {
    {"ino", &type_bigint},
};
static const struct column small_regulars[] = {
    {"data", &type_blob},
};
const struct table_schema test_table_small = {
    .keyspace = "sstfs",
    .name = "small",
    .id = {0x5f, 0x5f, 0x6e, 0, 0, 0, 0x10, 0, 0x80, 0, 0x73, 0x73, 0x74, 0x66, 0x73, 0x0b},
    .partition_key_count = 1,
    .partition_key = small_keys,
    .clustering_count = 1,
    .clustering = small_clustering,
    .regular_count = 1,
    .regulars = small_regulars,
    .chunk_bytes = 64 << 10,
    .min_compress_ratio = 1.1,
    .filter_fp_chance = 0.01,
    .min_index_interval = 128,
    .column_index_bytes = 64 << 10,
    .gc_grace_s = 864000,
    .compaction = COMPACT_GARBAGE,
    .memory_share = 8,
};

static const struct column blocks_keys[] = {
    {"ino", &type_bigint},
    {"extent", &type_int},
};
static const struct column blocks_clustering[] = {
    {"block", &type_int},
};
static const struct column blocks_regulars[] = {
    {"p00", &type_blob},
    {"p01", &type_blob},
    {"p02", &type_blob},
    {"p03", &type_blob},
    {"p04", &type_blob},
    {"p05", &type_blob},
    {"p06", &type_blob},
    {"p07", &type_blob},
    {"p08", &type_blob},
    {"p09", &type_blob},
    {"p10", &type_blob},
    {"p11", &type_blob},
    {"p12", &type_blob},
    {"p13", &type_blob},
    {"p14", &type_blob},
    {"p15", &type_blob},
    {"p16", &type_blob},
    {"p17", &type_blob},
    {"p18", &type_blob},
    {"p19", &type_blob},
    {"p20", &type_blob},
    {"p21", &type_blob},
    {"p22", &type_blob},
    {"p23", &type_blob},
    {"p24", &type_blob},
    {"p25", &type_blob},
    {"p26", &type_blob},
    {"p27", &type_blob},
    {"p28", &type_blob},
    {"p29", &type_blob},
    {"p30", &type_blob},
    {"p31", &type_blob},
};
const struct table_schema test_table_blocks = {
    .keyspace = "sstfs",
    .name = "blocks",
    .id = {0x5f, 0x5f, 0x6e, 0, 0, 0, 0x10, 0, 0x80, 0, 0x73, 0x73, 0x74, 0x66, 0x73, 0x0c},
    .partition_key_count = 2,
    .partition_key = blocks_keys,
    .clustering_count = 1,
    .clustering = blocks_clustering,
    .regular_count = 32,
    .regulars = blocks_regulars,
    .chunk_bytes = 64 << 10,
    .min_compress_ratio = 1.1,
    .filter_fp_chance = 0.01,
    .min_index_interval = 128,
    .column_index_bytes = 64 << 10,
    .gc_grace_s = 864000,
    .compaction = COMPACT_GARBAGE,
    .memory_share = 16,
};

static const struct column inodes_keys[] = {
    {"ino", &type_bigint},
};
static const struct column inodes_regulars[] = {
    {"allocated", &type_bigint},
    {"atime", &type_bigint},
    {"btime", &type_bigint},
    {"ctime", &type_bigint},
    {"gid", &type_int},
    {"mode", &type_int},
    {"mtime", &type_bigint},
    {"nlink", &type_int},
    {"rdev", &type_bigint},
    {"size", &type_bigint},
    {"small", &type_bigint},
    {"target", &type_blob},
    {"uid", &type_int},
    {"xattrs", &type_map_blob_blob},
};
const struct table_schema test_table_inodes = {
    .keyspace = "sstfs",
    .name = "inodes",
    .id = {0x5f, 0x5f, 0x6e, 0, 0, 0, 0x10, 0, 0x80, 0, 0x73, 0x73, 0x74, 0x66, 0x73, 0x0d},
    .partition_key_count = 1,
    .partition_key = inodes_keys,
    .regular_count = 14,
    .regulars = inodes_regulars,
    .chunk_bytes = 16 << 10,
    .min_compress_ratio = 1.1,
    .filter_fp_chance = 0.01,
    .min_index_interval = 128,
    .column_index_bytes = 64 << 10,
    .gc_grace_s = 864000,
};

static const struct column meta_keys[] = {
    {"section", &type_text},
};
static const struct column meta_clustering[] = {
    {"key", &type_blob},
};
static const struct column meta_regulars[] = {
    {"value", &type_blob},
};
const struct table_schema test_table_meta = {
    .keyspace = "sstfs",
    .name = "meta",
    .id = {0x5f, 0x5f, 0x6e, 0, 0, 0, 0x10, 0, 0x80, 0, 0x73, 0x73, 0x74, 0x66, 0x73, 0x0e},
    .partition_key_count = 1,
    .partition_key = meta_keys,
    .clustering_count = 1,
    .clustering = meta_clustering,
    .regular_count = 1,
    .regulars = meta_regulars,
    .chunk_bytes = 16 << 10,
    .min_compress_ratio = 1.1,
    .filter_fp_chance = 0.01,
    .min_index_interval = 128,
    .column_index_bytes = 64 << 10,
    .gc_grace_s = 864000,
};

const struct table_schema *const test_tables[TEST_TABLE_COUNT] = {&test_table_dirents,
    &test_table_small, &test_table_blocks, &test_table_inodes, &test_table_meta};
