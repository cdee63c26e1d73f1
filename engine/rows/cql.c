/*
 * A table as CQL: the statement that makes a Cassandra server take its SSTables.
 */
#include <stdarg.h>
#include <stdio.h>

#include "engine/assert.h"
#include "engine/auto.h"
#include "engine/buf.h"
#include "engine/schema.h"

static const char *const type_names[] = {
    [TYPE_BLOB] = "blob",
    [TYPE_TEXT] = "text",
    [TYPE_ASCII] = "ascii",
    [TYPE_BIGINT] = "bigint",
    [TYPE_INT] = "int",
    [TYPE_SMALLINT] = "smallint",
    [TYPE_TINYINT] = "tinyint",
    [TYPE_BOOLEAN] = "boolean",
    [TYPE_FLOAT] = "float",
    [TYPE_DOUBLE] = "double",
    [TYPE_UUID] = "uuid",
    [TYPE_TIMEUUID] = "timeuuid",
    [TYPE_TIMESTAMP] = "timestamp",
    [TYPE_DATE] = "date",
    [TYPE_TIME] = "time",
    [TYPE_VARINT] = "varint",
    [TYPE_DECIMAL] = "decimal",
    [TYPE_INET] = "inet",
    [TYPE_DURATION] = "duration",
    [TYPE_MAP] = "map",
    [TYPE_SET] = "set",
    [TYPE_LIST] = "list",
};

static void put_text(struct buf *to, const char *format, ...) PRINTF_LIKE(2, 3);

static void put_text(struct buf *to, const char *format, ...)
{
    char line[256];
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    ASSERT(size >= 0 && (size_t)size < sizeof(line));
    buf_append(to, line, (size_t)size);
}

static void put_type(struct buf *to, const struct type *type)
{
    put_text(to, "%s%s", type->frozen ? "frozen<" : "", type_names[type->kind]);
    if (type->kind >= TYPE_MAP) {
        put_text(to, "<");
        put_type(to, type->arguments[0]);
        if (type->kind == TYPE_MAP) {
            put_text(to, ", ");
            put_type(to, type->arguments[1]);
        }
        put_text(to, ">");
    }
    put_text(to, "%s", type->frozen ? ">" : "");
}

static void put_columns(
    struct buf *to, const struct column *columns, unsigned count, const char *suffix)
{
    for (unsigned i = 0; i < count; i++) {
        put_text(to, "  %s ", columns[i].name);
        put_type(to, columns[i].type);
        put_text(to, "%s,\n", suffix);
    }
}

static void put_primary_key(struct buf *to, const struct table_schema *schema)
{
    put_text(to, "  PRIMARY KEY ((");
    for (unsigned i = 0; i < schema->partition_key_count; i++)
        put_text(to, "%s%s", i ? ", " : "", schema->partition_key[i].name);
    put_text(to, ")");
    for (unsigned i = 0; i < schema->clustering_count; i++)
        put_text(to, ", %s", schema->clustering[i].name);
    put_text(to, "))\n");
}

static void put_id(struct buf *to, const uint8_t id[16])
{
    put_text(to, "  WITH ID = ");
    for (unsigned i = 0; i < 16; i++)
        put_text(to, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", id[i]);
    put_text(to, "\n");
}

/* DESC is said of each column that has it; the others are ASC anyway. */
static void put_order(struct buf *to, const struct table_schema *schema)
{
    unsigned reversed = 0;

    for (unsigned i = 0; i < schema->clustering_count; i++)
        reversed += schema->clustering[i].type->reversed;
    if (reversed == 0)
        return;
    put_text(to, "  AND CLUSTERING ORDER BY (");
    for (unsigned i = 0; i < schema->clustering_count; i++)
        put_text(to, "%s%s %s", i ? ", " : "", schema->clustering[i].name,
            schema->clustering[i].type->reversed ? "DESC" : "ASC");
    put_text(to, ")\n");
}

void table_schema_cql(const struct table_schema *schema, struct buf *to)
{
    put_text(to, "CREATE TABLE IF NOT EXISTS %s.%s (\n", schema->keyspace, schema->name);
    put_columns(to, schema->partition_key, schema->partition_key_count, "");
    put_columns(to, schema->clustering, schema->clustering_count, "");
    put_columns(to, schema->statics, schema->static_count, " static");
    put_columns(to, schema->regulars, schema->regular_count, "");
    put_primary_key(to, schema);
    put_id(to, schema->id);
    put_order(to, schema);
    if (schema->chunk_bytes == 0)
        put_text(to, "  AND compression = {'enabled': false}\n");
    else if (schema->min_compress_ratio > 0)
        put_text(to,
            "  AND compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': %u, "
            "'min_compress_ratio': %.1f}\n",
            schema->chunk_bytes >> 10, schema->min_compress_ratio);
    else
        put_text(to, "  AND compression = {'class': 'LZ4Compressor', 'chunk_length_in_kb': %u}\n",
            schema->chunk_bytes >> 10);
    put_text(to, "  AND gc_grace_seconds = %d;\n", schema->gc_grace_s);
}
