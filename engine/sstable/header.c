#include "sstable/header.h"

#include <errno.h>

#include "engine/coding.h"
#include "engine/error.h"
#include "rows/compare.h"
#include "rows/type.h"

/* No table of ours or of our users is near it; it bounds what a damaged header may ask for. */
#define COLUMNS_MAX 32767u

static void describe_column(struct header_column *to, const struct type *type, unsigned number)
{
    *to = (struct header_column){
        .type = type,
        .number = (uint16_t)number,
        .fixed_width = (uint8_t)type_fixed_width(type),
        .is_complex = type_is_complex(type),
    };
}

static int describe_columns(struct arena *arena, const struct column *columns, unsigned count,
    struct header_columns *ret_columns)
{
    struct header_column *described = arena_alloc(arena, (count + 1) * sizeof(*described));
    unsigned complex_count = 0;

    if (!described)
        return err_new(-ENOMEM, "%u columns", count);
    for (unsigned i = 0; i < count; i++) {
        describe_column(&described[i], columns[i].type, i);
        complex_count += described[i].is_complex;
    }
    *ret_columns = (struct header_columns){count, complex_count, described};
    return 0;
}

int header_of_schema(
    struct arena *arena, const struct table_schema *schema, struct serialization_header *ret_header)
{
    struct serialization_header header = {
        .min_timestamp_us = HEADER_EPOCH_TIMESTAMP_US,
        .min_local_deletion_time_s = HEADER_EPOCH_LOCAL_DELETION_TIME_S,
        .schema = schema,
    };
    int r;

    r = describe_columns(arena, schema->clustering, schema->clustering_count, &header.clustering);
    if (r < 0)
        return r;
    r = describe_columns(arena, schema->statics, schema->static_count, &header.statics);
    if (r < 0)
        return r;
    r = describe_columns(arena, schema->regulars, schema->regular_count, &header.regulars);
    if (r < 0)
        return r;
    *ret_header = header;
    return 0;
}

static void put_type(struct buf *to, const struct type *type)
{
    struct buf text = BUF_INIT;

    type_print(type, &text);
    if (buf_error(&text) < 0)
        to->error = buf_error(&text);
    put_vbytes(to, buf_bytes(&text));
    buf_release(&text);
}

static void put_columns(struct buf *to, const struct column *columns, unsigned count)
{
    put_uvint32(to, (int32_t)count);
    for (unsigned i = 0; i < count; i++) {
        put_vbytes(to, bytes_of_string(columns[i].name));
        put_type(to, columns[i].type);
    }
}

void header_encode(struct buf *to, const struct serialization_header *header)
{
    const struct table_schema *schema = header->schema;
    const struct type *key_types[CLUSTERING_COLUMNS_MAX];
    struct buf key_type = BUF_INIT;
    unsigned keys = schema->partition_key_count;

    for (unsigned i = 0; i < keys && i < CLUSTERING_COLUMNS_MAX; i++)
        key_types[i] = schema->partition_key[i].type;
    type_print_composite(key_types, keys, &key_type);
    if (buf_error(&key_type) < 0)
        to->error = buf_error(&key_type);

    put_uvint(to, (uint64_t)header->min_timestamp_us - (uint64_t)HEADER_EPOCH_TIMESTAMP_US);
    put_uvint32(to, (int32_t)((uint32_t)header->min_local_deletion_time_s -
                              (uint32_t)HEADER_EPOCH_LOCAL_DELETION_TIME_S));
    put_uvint32(to, header->min_ttl_s);
    put_vbytes(to, buf_bytes(&key_type));
    put_uvint32(to, (int32_t)schema->clustering_count);
    for (unsigned i = 0; i < schema->clustering_count; i++)
        put_type(to, schema->clustering[i].type);
    put_columns(to, schema->statics, schema->static_count);
    put_columns(to, schema->regulars, schema->regular_count);
    buf_release(&key_type);
}

/** A count of things that take at least `bytes_each` of what is left. */
static int get_count(struct decoder *d, size_t bytes_each, const char *what, unsigned *ret_count)
{
    int32_t count = get_uvint32(d);

    if (decoder_failed(d) || count < 0 || (unsigned)count > COLUMNS_MAX ||
        (unsigned)count > decoder_left(d) / bytes_each)
        return err_new(-EUCLEAN, "header: %d %s", count, what);
    *ret_count = (unsigned)count;
    return 0;
}

static const char *copy_name(struct arena *arena, struct bytes name)
{
    char *text = arena_alloc(arena, name.size + 1);

    if (text) {
        memcpy(text, name.data, name.size);
        text[name.size] = '\0';
    }
    return text;
}

static struct column *new_columns(struct arena *arena, unsigned count)
{
    return arena_alloc(arena, (count + 1) * sizeof(struct column));
}

/** Simple ones first, each group by name: what data.c and all who number columns rely on. */
static bool in_order(const struct column *a, const struct column *b)
{
    if (type_is_complex(a->type) != type_is_complex(b->type))
        return type_is_complex(b->type);
    return strcmp(a->name, b->name) < 0;
}

static int get_columns(struct arena *arena, struct decoder *d, const char *what,
    unsigned *ret_count, const struct column **ret_columns)
{
    struct column *columns;
    unsigned count = 0;
    int r;

    r = get_count(d, 2, what, &count);
    if (r < 0)
        return r;
    columns = new_columns(arena, count);
    if (!columns)
        return err_new(-ENOMEM, "%u columns", count);
    for (unsigned i = 0; i < count; i++) {
        struct bytes name = get_vbytes(d);
        struct bytes type = get_vbytes(d);

        if (decoder_failed(d) || name.size == 0 || memchr(name.data, '\0', name.size))
            return err_new(-EUCLEAN, "header: name of column %u of %s", i, what);
        columns[i].name = copy_name(arena, name);
        if (!columns[i].name)
            return err_new(-ENOMEM, "name of a column");
        r = type_parse(arena, type, &columns[i].type);
        if (r < 0)
            return err_with(r, "header: column '%s'", columns[i].name);
        if (i > 0 && !in_order(&columns[i - 1], &columns[i]))
            return err_new(-EUCLEAN, "header: column '%s' is out of order", columns[i].name);
    }
    *ret_count = count;
    *ret_columns = columns;
    return 0;
}

/** Key columns have no names in a header. */
static int get_keys(struct arena *arena, struct decoder *d, struct table_schema *schema)
{
    const struct type *types[CLUSTERING_COLUMNS_MAX];
    struct bytes text = get_vbytes(d);
    struct column *columns;
    unsigned count = 0;
    int r;

    if (decoder_failed(d))
        return err_new(-EUCLEAN, "header: ends before the key's type");
    r = type_parse_composite(arena, text, types, CLUSTERING_COLUMNS_MAX, &count);
    if (r < 0)
        return err_with(r, "header: partition key");
    columns = new_columns(arena, count);
    if (!columns)
        return err_new(-ENOMEM, "%u key columns", count);
    for (unsigned i = 0; i < count; i++)
        columns[i] = (struct column){"key", types[i]};
    schema->partition_key_count = count;
    schema->partition_key = columns;

    r = get_count(d, 1, "clustering columns", &count);
    if (r < 0)
        return r;
    if (count > CLUSTERING_COLUMNS_MAX)
        return err_new(-EUCLEAN, "header: %u clustering columns", count);
    columns = new_columns(arena, count);
    if (!columns)
        return err_new(-ENOMEM, "%u clustering columns", count);
    for (unsigned i = 0; i < count; i++) {
        columns[i].name = "clustering";
        text = get_vbytes(d);
        r = decoder_failed(d) ? err_new(-EUCLEAN, "ends")
                              : type_parse(arena, text, &columns[i].type);
        if (r < 0)
            return err_with(r, "header: clustering column %u", i);
    }
    schema->clustering_count = count;
    schema->clustering = columns;
    return 0;
}

int header_decode(struct arena *arena, struct bytes content, struct table_schema *ret_schema,
    struct serialization_header *ret_header)
{
    struct decoder d = decoder_of(content);
    struct table_schema schema = {0};
    uint64_t timestamp = get_uvint(&d);
    int32_t local_deletion_time = get_uvint32(&d);
    int32_t ttl = get_uvint32(&d);
    int r;

    r = get_keys(arena, &d, &schema);
    if (r < 0)
        return r;
    r = get_columns(arena, &d, "static columns", &schema.static_count, &schema.statics);
    if (r < 0)
        return r;
    r = get_columns(arena, &d, "regular columns", &schema.regular_count, &schema.regulars);
    if (r < 0)
        return r;
    if (decoder_left(&d) != 0)
        return err_new(-EUCLEAN, "header: %zu bytes too many", decoder_left(&d));
    *ret_schema = schema;
    r = header_of_schema(arena, ret_schema, ret_header);
    if (r < 0)
        return r;
    ret_header->min_timestamp_us = (int64_t)(timestamp + (uint64_t)HEADER_EPOCH_TIMESTAMP_US);
    ret_header->min_local_deletion_time_s =
        (int32_t)((uint32_t)local_deletion_time + (uint32_t)HEADER_EPOCH_LOCAL_DELETION_TIME_S);
    ret_header->min_ttl_s = ttl;
    return 0;
}

static bool type_equal(const struct type *a, const struct type *b)
{
    if (!a || !b)
        return a == b;
    return a->kind == b->kind && a->reversed == b->reversed && a->frozen == b->frozen &&
           type_equal(a->arguments[0], b->arguments[0]) &&
           type_equal(a->arguments[1], b->arguments[1]);
}

static int adopt_keys(const struct column *own, unsigned own_count, const struct column *columns,
    unsigned count, const char *what)
{
    bool same = own_count == count;

    for (unsigned i = 0; same && i < count; i++)
        same = type_equal(own[i].type, columns[i].type);
    return same ? 0 : err_new(-EUCLEAN, "header: %s is not the table's", what);
}

static int adopt_columns(struct arena *arena, struct header_columns *columns,
    const struct column *own, const struct column *of_schema, unsigned count)
{
    struct header_column *numbered =
        arena_alloc(arena, (columns->count + 1) * sizeof(struct header_column));
    unsigned at = 0;

    if (!numbered)
        return err_new(-ENOMEM, "%u columns", columns->count);
    /* Both lists are in the same order, so one walk finds all. */
    for (unsigned i = 0; i < columns->count; i++) {
        while (at < count && strcmp(of_schema[at].name, own[i].name) != 0)
            at++;
        if (at == count)
            return err_new(-EUCLEAN, "header: the table has no column '%s' there", own[i].name);
        if (!type_equal(own[i].type, of_schema[at].type))
            return err_new(-EUCLEAN, "header: column '%s' has another type", own[i].name);
        describe_column(&numbered[i], of_schema[at].type, at);
    }
    columns->columns = numbered;
    return 0;
}

int header_adopt_schema(struct arena *arena, struct serialization_header *header,
    const struct table_schema *own, const struct table_schema *schema)
{
    int r;

    r = adopt_keys(own->partition_key, own->partition_key_count, schema->partition_key,
        schema->partition_key_count, "partition key");
    if (r < 0)
        return r;
    r = adopt_keys(own->clustering, own->clustering_count, schema->clustering,
        schema->clustering_count, "clustering");
    if (r < 0)
        return r;
    r = adopt_columns(arena, &header->statics, own->statics, schema->statics, schema->static_count);
    if (r < 0)
        return r;
    r = adopt_columns(
        arena, &header->regulars, own->regulars, schema->regulars, schema->regular_count);
    if (r < 0)
        return r;
    header->schema = schema;
    return 0;
}
