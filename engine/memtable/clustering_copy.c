#include "memtable/clustering_copy.h"

#include "engine/coding.h"

bool clustering_copy(
    struct arena *arena, const struct clustering *from, struct clustering *ret_copy)
{
    size_t bytes = from->count * sizeof(struct bytes);
    struct bytes *values;
    uint8_t *at;

    *ret_copy = *from;
    if (from->count == 0) {
        ret_copy->values = NULL;
        return true;
    }
    for (unsigned i = 0; i < from->count; i++)
        bytes += from->values[i].size;
    values = arena_alloc(arena, bytes);
    if (!values)
        return false;
    at = (uint8_t *)(values + from->count);
    for (unsigned i = 0; i < from->count; i++) {
        struct bytes value = from->values[i];

        values[i] = value.data ? bytes_of(at, value.size) : BYTES_NONE;
        if (value.size > 0)
            memcpy(at, value.data, value.size);
        at += value.size;
    }
    ret_copy->values = values;
    return true;
}

static uint64_t bytes_prefix(struct bytes value)
{
    uint8_t first[8] = {0};

    memcpy(first, value.data, value.size < sizeof(first) ? value.size : sizeof(first));
    return load_be64(first);
}

/* Sign-extended, as type_compare() takes it, then the sign turned. */
static uint64_t integer_prefix(struct bytes value)
{
    uint64_t integer = (uint64_t)(int64_t)(int8_t)value.data[0];

    for (size_t i = 1; i < value.size && i < 8; i++)
        integer = integer << 8 | value.data[i];
    return integer ^ (1ull << 63);
}

static uint64_t value_prefix(enum type_kind kind, struct bytes value)
{
    if (value.size == 0)
        return 0;
    switch (kind) {
    case TYPE_BLOB:
    case TYPE_TEXT:
    case TYPE_ASCII:
        return bytes_prefix(value);
    case TYPE_BIGINT:
    case TYPE_TIMESTAMP:
    case TYPE_INT:
    case TYPE_SMALLINT:
    case TYPE_TINYINT:
        return integer_prefix(value);
    default:
        return 0;
    }
}

uint64_t clustering_prefix(const struct table_schema *schema, const struct clustering *clustering)
{
    const struct type *type;
    uint64_t prefix;

    if (clustering->count == 0) {
        /* Before everything, after everything, or the only row of a table without columns. */
        bool after = clustering->kind == KIND_INCL_END || clustering->kind == KIND_EXCL_START ||
                     clustering->kind == KIND_INCL_END_EXCL_START;
        return after ? UINT64_MAX : 0;
    }
    type = schema->clustering[0].type;
    /* Null is first in either direction (db/ClusteringComparator.java, compareComponent). */
    if (!clustering->values[0].data)
        return 0;
    prefix = value_prefix(type->kind, clustering->values[0]);
    return type->reversed ? ~prefix : prefix;
}
