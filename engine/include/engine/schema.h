/*
 * Tables: their columns and types, as Cassandra knows them. The engine is given the schemas of its
 * tables when it is opened; it knows none itself.
 */
#ifndef SSTFS_ENGINE_SCHEMA_H
#define SSTFS_ENGINE_SCHEMA_H

#include "engine/bytes.h"

enum type_kind {
    TYPE_BLOB, /* BytesType */
    TYPE_TEXT, /* UTF8Type */
    TYPE_ASCII,
    TYPE_BIGINT, /* LongType */
    TYPE_INT,    /* Int32Type */
    TYPE_SMALLINT,
    TYPE_TINYINT,
    TYPE_BOOLEAN,
    TYPE_FLOAT,
    TYPE_DOUBLE,
    TYPE_UUID,
    TYPE_TIMEUUID,
    TYPE_TIMESTAMP,
    TYPE_DATE,
    TYPE_TIME,
    TYPE_VARINT,
    TYPE_DECIMAL,
    TYPE_INET,
    TYPE_DURATION,
    TYPE_MAP,
    TYPE_SET,
    TYPE_LIST,
};

struct type {
    enum type_kind kind;
    bool reversed;                   /* CLUSTERING ORDER BY … DESC */
    bool frozen;                     /* a collection that is one value, in one cell */
    const struct type *arguments[2]; /* map: key, value; set, list: element */
};

extern const struct type type_blob, type_text, type_bigint, type_int, type_map_blob_blob;

/** A map, set or list that is not frozen: many cells, each with a path. */
static inline bool type_is_complex(const struct type *type)
{
    return type->kind >= TYPE_MAP && !type->frozen;
}

struct column {
    const char *name;
    const struct type *type;
};

/** What is merged when (compaction/strategy.h). */
enum compaction_policy {
    COMPACT_LEVELLED, /* few SSTables a lookup: what is small, changed and listed */
    COMPACT_GARBAGE,  /* nothing is written again that is live: what is large and written once */
};

/*
 * Columns of a kind are in the order of the serialization header: first the simple ones by name,
 * then the complex ones by name. A column's number is its place in its list, from 0.
 */
struct table_schema {
    const char *keyspace; /* [A-Za-z0-9_]{1,48} */
    const char *name;
    uint8_t id[16]; /* the table's UUID */

    unsigned partition_key_count;
    const struct column *partition_key;
    unsigned clustering_count;
    const struct column *clustering;
    unsigned static_count;
    const struct column *statics;
    unsigned regular_count;
    const struct column *regulars;

    /* How SSTables of it are written. */
    uint32_t chunk_bytes;        /* power of two; 0: not compressed */
    double min_compress_ratio;   /* 0: chunks are never stored raw */
    double filter_fp_chance;     /* bloom filter */
    uint32_t min_index_interval; /* partitions per summary entry: 128 */
    uint32_t column_index_bytes; /* promoted index: bytes per block */
    int32_t gc_grace_s;          /* tombstones live at least this long */

    /* How the engine treats it; no SSTable tells. */
    enum compaction_policy compaction;
    unsigned memory_share; /* of the memtables' memory, beside those of the other tables; 0: 1 */
    bool has_row_filter;   /* absent rows are known without a read: they are looked up often */
};

/** "dirents-5f5f6e0000001000800073737466730a": the table's folder, name and 32 hex digits. */
#define TABLE_FOLDER_NAME_MAX (48 + 1 + 32)
void table_folder_name(const struct table_schema *schema, char to[TABLE_FOLDER_NAME_MAX + 1]);

struct buf;
/** The CREATE TABLE statement, with the table's id, as Cassandra 4.0 to 5.0 take it. Names of
 * tables and columns are to be plain ones: none is quoted. */
void table_schema_cql(const struct table_schema *schema, struct buf *to);

#endif
