#include "core/tables.h"

#include <assert.h>
#include <errno.h>

#include "engine/assert.h"
#include "engine/coding.h"
#include "engine/error.h"

/* ---- columns, in the order of their numbers ---- */

static const struct column dirents_key[] = {{"dir", &type_bigint}};
static const struct column dirents_clustering[] = {{"name", &type_blob}};
static const struct column dirents_statics[] = {
    [STATIC_DIR_ATIME] = {"dir_atime", &type_bigint},
    [STATIC_DIR_BTIME] = {"dir_btime", &type_bigint},
    [STATIC_DIR_CTIME] = {"dir_ctime", &type_bigint},
    [STATIC_DIR_GID] = {"dir_gid", &type_int},
    [STATIC_DIR_MODE] = {"dir_mode", &type_int},
    [STATIC_DIR_MTIME] = {"dir_mtime", &type_bigint},
    [STATIC_DIR_PARENT] = {"dir_parent", &type_bigint},
    [STATIC_DIR_SUBDIRS] = {"dir_subdirs", &type_int},
    [STATIC_DIR_UID] = {"dir_uid", &type_int},
    [STATIC_DIR_XATTRS] = {"dir_xattrs", &type_map_blob_blob},
};
static const struct column dirents_regulars[] = {
    [DIRENT_ALLOCATED] = {"allocated", &type_bigint},
    [DIRENT_ATIME] = {"atime", &type_bigint},
    [DIRENT_BTIME] = {"btime", &type_bigint},
    [DIRENT_CTIME] = {"ctime", &type_bigint},
    [DIRENT_GID] = {"gid", &type_int},
    [DIRENT_INO] = {"ino", &type_bigint},
    [DIRENT_MODE] = {"mode", &type_int},
    [DIRENT_MTIME] = {"mtime", &type_bigint},
    [DIRENT_NAMED] = {"named", &type_bigint},
    [DIRENT_RDEV] = {"rdev", &type_bigint},
    [DIRENT_SIZE] = {"size", &type_bigint},
    [DIRENT_SMALL] = {"small", &type_bigint},
    [DIRENT_TARGET] = {"target", &type_blob},
    [DIRENT_UID] = {"uid", &type_int},
    [DIRENT_XATTRS] = {"xattrs", &type_map_blob_blob},
};

static const struct column small_key[] = {{"dir", &type_bigint}};
static const struct column small_clustering[] = {{"ino", &type_bigint}};
static const struct column small_regulars[] = {[SMALL_DATA] = {"data", &type_blob}};

static const struct column blocks_key[] = {{"ino", &type_bigint}, {"extent", &type_int}};
static const struct column blocks_clustering[] = {{"block", &type_int}};
#define PAGE(number)                                                                               \
    {                                                                                              \
        "p" number, &type_blob                                                                     \
    }
static const struct column blocks_regulars[] = {
    PAGE("00"),
    PAGE("01"),
    PAGE("02"),
    PAGE("03"),
    PAGE("04"),
    PAGE("05"),
    PAGE("06"),
    PAGE("07"),
    PAGE("08"),
    PAGE("09"),
    PAGE("10"),
    PAGE("11"),
    PAGE("12"),
    PAGE("13"),
    PAGE("14"),
    PAGE("15"),
    PAGE("16"),
    PAGE("17"),
    PAGE("18"),
    PAGE("19"),
    PAGE("20"),
    PAGE("21"),
    PAGE("22"),
    PAGE("23"),
    PAGE("24"),
    PAGE("25"),
    PAGE("26"),
    PAGE("27"),
    PAGE("28"),
    PAGE("29"),
    PAGE("30"),
    PAGE("31"),
};

static const struct column inodes_key[] = {{"ino", &type_bigint}};
static const struct column inodes_regulars[] = {
    [INODE_ALLOCATED] = {"allocated", &type_bigint},
    [INODE_ATIME] = {"atime", &type_bigint},
    [INODE_BTIME] = {"btime", &type_bigint},
    [INODE_CTIME] = {"ctime", &type_bigint},
    [INODE_GID] = {"gid", &type_int},
    [INODE_MODE] = {"mode", &type_int},
    [INODE_MTIME] = {"mtime", &type_bigint},
    [INODE_NLINK] = {"nlink", &type_int},
    [INODE_RDEV] = {"rdev", &type_bigint},
    [INODE_SIZE] = {"size", &type_bigint},
    [INODE_SMALL] = {"small", &type_bigint},
    [INODE_TARGET] = {"target", &type_blob},
    [INODE_UID] = {"uid", &type_int},
    [INODE_XATTRS] = {"xattrs", &type_map_blob_blob},
};

static const struct column meta_key[] = {{"section", &type_text}};
static const struct column meta_clustering[] = {{"key", &type_blob}};
static const struct column meta_regulars[] = {[META_VALUE] = {"value", &type_blob}};

static_assert(ARRAY_COUNT(dirents_statics) == DIRENTS_STATIC_COUNT, "a number for each column");
static_assert(ARRAY_COUNT(dirents_regulars) == DIRENTS_COLUMN_COUNT, "a number for each column");
static_assert(ARRAY_COUNT(small_regulars) == SMALL_COLUMN_COUNT, "a number for each column");
static_assert(ARRAY_COUNT(blocks_regulars) == BLOCK_PAGES, "a column for each page");
static_assert(ARRAY_COUNT(inodes_regulars) == INODES_COLUMN_COUNT, "a number for each column");
static_assert(ARRAY_COUNT(meta_regulars) == META_COLUMN_COUNT, "a number for each column");

/* ---- tables ---- */

/* Ids of a fixed pattern that no server draws: a table's folder has one name in every store. */
#define TABLE_ID(last)                                                                             \
    {                                                                                              \
        0x5f, 0x5f, 0x6e, 0, 0, 0, 0x10, 0, 0x80, 0, 0x73, 0x73, 0x74, 0x66, 0x73, last            \
    }

/* What every table has: parameters of Cassandra's defaults, gc_grace among them: it is what a
 * cluster needs that is given our tables. The store itself purges by its own rule. */
#define TABLE_COMMON                                                                               \
    .keyspace = "sstfs", .min_compress_ratio = 1.1, .filter_fp_chance = 0.01,                      \
    .min_index_interval = 128, .column_index_bytes = 64u << 10, .gc_grace_s = 864000

#define COLUMNS(kind, list) .kind##_count = ARRAY_COUNT(list), .kind##s = (list)

const struct table_schema fs_tables[FS_TABLE_COUNT] = {
    [TABLE_DIRENTS] =
        {
            TABLE_COMMON,
            .name = "dirents",
            .id = TABLE_ID(0x0a),
            .partition_key_count = ARRAY_COUNT(dirents_key),
            .partition_key = dirents_key,
            .clustering_count = ARRAY_COUNT(dirents_clustering),
            .clustering = dirents_clustering,
            COLUMNS(static, dirents_statics),
            COLUMNS(regular, dirents_regulars),
            .chunk_bytes = 8u << 10,
            .memory_share = 8,
            .has_row_filter = true,
        },
    [TABLE_SMALL] =
        {
            TABLE_COMMON,
            .name = "small",
            .id = TABLE_ID(0x0b),
            .partition_key_count = ARRAY_COUNT(small_key),
            .partition_key = small_key,
            .clustering_count = ARRAY_COUNT(small_clustering),
            .clustering = small_clustering,
            COLUMNS(regular, small_regulars),
            .chunk_bytes = 64u << 10,
            .compaction = COMPACT_GARBAGE,
            .memory_share = 8,
        },
    [TABLE_BLOCKS] =
        {
            TABLE_COMMON,
            .name = "blocks",
            .id = TABLE_ID(0x0c),
            .partition_key_count = ARRAY_COUNT(blocks_key),
            .partition_key = blocks_key,
            .clustering_count = ARRAY_COUNT(blocks_clustering),
            .clustering = blocks_clustering,
            COLUMNS(regular, blocks_regulars),
            .chunk_bytes = 16u << 10,
            .compaction = COMPACT_GARBAGE,
            .memory_share = 16,
        },
    [TABLE_INODES] =
        {
            TABLE_COMMON,
            .name = "inodes",
            .id = TABLE_ID(0x0d),
            .partition_key_count = ARRAY_COUNT(inodes_key),
            .partition_key = inodes_key,
            COLUMNS(regular, inodes_regulars),
            .chunk_bytes = 16u << 10,
        },
    [TABLE_META] =
        {
            TABLE_COMMON,
            .name = "meta",
            .id = TABLE_ID(0x0e),
            .partition_key_count = ARRAY_COUNT(meta_key),
            .partition_key = meta_key,
            .clustering_count = ARRAY_COUNT(meta_clustering),
            .clustering = meta_clustering,
            COLUMNS(regular, meta_regulars),
            .chunk_bytes = 16u << 10,
        },
};

/* ---- keys ---- */

void row_key_directory(struct row_key *to, uint64_t dir)
{
    key_bigint(to->key_bytes, (int64_t)dir);
    to->key = bytes_of(to->key_bytes, KEY_BYTES_BIGINT);
    to->value = BYTES_NONE;
    to->clustering = CLUSTERING_ROW(NULL, 0);
}

void row_key_dirent(struct row_key *to, uint64_t dir, struct bytes name)
{
    row_key_directory(to, dir);
    to->value = name;
    to->clustering = CLUSTERING_ROW(&to->value, 1);
}

void row_key_small(struct row_key *to, uint64_t dir, uint64_t ino)
{
    row_key_directory(to, dir);
    store_be64(to->value_bytes, ino);
    to->value = bytes_of(to->value_bytes, 8);
    to->clustering = CLUSTERING_ROW(&to->value, 1);
}

void row_key_extent(struct row_key *to, uint64_t ino, uint32_t extent)
{
    key_bigint_int(to->key_bytes, (int64_t)ino, (int32_t)extent);
    to->key = bytes_of(to->key_bytes, KEY_BYTES_BIGINT_INT);
    to->value = BYTES_NONE;
    to->clustering = CLUSTERING_ROW(NULL, 0);
}

void row_key_block(struct row_key *to, uint64_t ino, uint32_t block)
{
    row_key_extent(to, ino, block / EXTENT_BLOCKS);
    store_be32(to->value_bytes, block);
    to->value = bytes_of(to->value_bytes, 4);
    to->clustering = CLUSTERING_ROW(&to->value, 1);
}

void row_key_inode(struct row_key *to, uint64_t ino)
{
    row_key_directory(to, ino);
}

void row_key_meta(struct row_key *to, const char *section, struct bytes key)
{
    to->key = bytes_of_string(section);
    to->value = key;
    to->clustering = CLUSTERING_ROW(&to->value, 1);
}

/* ---- cells ---- */

int row_bigint(const struct row *row, unsigned column, int64_t *ret)
{
    const struct cell *cell = row_cell(row, column);

    if (!cell)
        return 0;
    if (cell->value.size != 8)
        return err_new(-EUCLEAN, "a bigint of %zu bytes in column %u", cell->value.size, column);
    *ret = (int64_t)load_be64(cell->value.data);
    return 1;
}

int row_int(const struct row *row, unsigned column, int32_t *ret)
{
    const struct cell *cell = row_cell(row, column);

    if (!cell)
        return 0;
    if (cell->value.size != 4)
        return err_new(-EUCLEAN, "an int of %zu bytes in column %u", cell->value.size, column);
    *ret = (int32_t)load_be32(cell->value.data);
    return 1;
}

struct bytes row_blob(const struct row *row, unsigned column)
{
    const struct cell *cell = row_cell(row, column);

    return cell ? cell->value : BYTES_NONE;
}
