#include "rows/type.h"

#include <ctype.h>
#include <errno.h>

#include "engine/assert.h"
#include "engine/error.h"

#define PACKAGE "org.apache.cassandra.db.marshal."

const struct type type_blob = {.kind = TYPE_BLOB};
const struct type type_text = {.kind = TYPE_TEXT};
const struct type type_ascii = {.kind = TYPE_ASCII};
const struct type type_bigint = {.kind = TYPE_BIGINT};
const struct type type_int = {.kind = TYPE_INT};
const struct type type_smallint = {.kind = TYPE_SMALLINT};
const struct type type_tinyint = {.kind = TYPE_TINYINT};
const struct type type_boolean = {.kind = TYPE_BOOLEAN};
const struct type type_float = {.kind = TYPE_FLOAT};
const struct type type_double = {.kind = TYPE_DOUBLE};
const struct type type_uuid = {.kind = TYPE_UUID};
const struct type type_timeuuid = {.kind = TYPE_TIMEUUID};
const struct type type_timestamp = {.kind = TYPE_TIMESTAMP};
const struct type type_date = {.kind = TYPE_DATE};
const struct type type_time = {.kind = TYPE_TIME};
const struct type type_varint = {.kind = TYPE_VARINT};
const struct type type_decimal = {.kind = TYPE_DECIMAL};
const struct type type_inet = {.kind = TYPE_INET};
const struct type type_duration = {.kind = TYPE_DURATION};
const struct type type_map_blob_blob = {.kind = TYPE_MAP, .arguments = {&type_blob, &type_blob}};

/* By enum type_kind. `constant` NULL: has parameters. */
static const struct {
    const char *name;
    const struct type *constant;
    unsigned parameters;
} kinds[] = {
    [TYPE_BLOB] = {"BytesType", &type_blob, 0},
    [TYPE_TEXT] = {"UTF8Type", &type_text, 0},
    [TYPE_ASCII] = {"AsciiType", &type_ascii, 0},
    [TYPE_BIGINT] = {"LongType", &type_bigint, 0},
    [TYPE_INT] = {"Int32Type", &type_int, 0},
    [TYPE_SMALLINT] = {"ShortType", &type_smallint, 0},
    [TYPE_TINYINT] = {"ByteType", &type_tinyint, 0},
    [TYPE_BOOLEAN] = {"BooleanType", &type_boolean, 0},
    [TYPE_FLOAT] = {"FloatType", &type_float, 0},
    [TYPE_DOUBLE] = {"DoubleType", &type_double, 0},
    [TYPE_UUID] = {"UUIDType", &type_uuid, 0},
    [TYPE_TIMEUUID] = {"TimeUUIDType", &type_timeuuid, 0},
    [TYPE_TIMESTAMP] = {"TimestampType", &type_timestamp, 0},
    [TYPE_DATE] = {"SimpleDateType", &type_date, 0},
    [TYPE_TIME] = {"TimeType", &type_time, 0},
    [TYPE_VARINT] = {"IntegerType", &type_varint, 0},
    [TYPE_DECIMAL] = {"DecimalType", &type_decimal, 0},
    [TYPE_INET] = {"InetAddressType", &type_inet, 0},
    [TYPE_DURATION] = {"DurationType", &type_duration, 0},
    [TYPE_MAP] = {"MapType", NULL, 2},
    [TYPE_SET] = {"SetType", NULL, 1},
    [TYPE_LIST] = {"ListType", NULL, 1},
};

struct parser {
    struct arena *arena;
    struct bytes text;
    size_t at;
};

static int bad_type(const struct parser *parser, const char *what)
{
    return err_new(-EUCLEAN, "type '%.*s', character %zu: %s",
        (int)(parser->text.size < 200 ? parser->text.size : 200), (const char *)parser->text.data,
        parser->at, what);
}

static bool take_char(struct parser *parser, char wanted)
{
    if (parser->at >= parser->text.size || parser->text.data[parser->at] != (uint8_t)wanted)
        return false;
    parser->at++;
    return true;
}

/* A class name without its package; empty: none is there. */
static struct bytes take_name(struct parser *parser)
{
    const struct bytes package = BYTES_LITERAL(PACKAGE);
    size_t start = parser->at;
    struct bytes name;

    while (parser->at < parser->text.size) {
        uint8_t c = parser->text.data[parser->at];
        if (!isalnum(c) && c != '.' && c != '_')
            break;
        parser->at++;
    }
    name = bytes_of(parser->text.data + start, parser->at - start);
    if (name.size > package.size && memcmp(name.data, package.data, package.size) == 0)
        name = bytes_of(name.data + package.size, name.size - package.size);
    return name;
}

static struct type *copy_of(struct parser *parser, const struct type *type)
{
    struct type *copy = arena_alloc(parser->arena, sizeof(*copy));

    if (copy)
        *copy = *type;
    return copy;
}

static int parse(struct parser *parser, unsigned depth, bool frozen, const struct type **ret_type);

/* The one parameter of ReversedType and FrozenType, between parentheses. */
static int parse_wrapped(
    struct parser *parser, unsigned depth, bool frozen, const struct type **ret_type)
{
    int r;

    if (!take_char(parser, '('))
        return bad_type(parser, "'(' expected");
    r = parse(parser, depth + 1, frozen, ret_type);
    if (r < 0)
        return r;
    if (!take_char(parser, ')'))
        return bad_type(parser, "')' expected");
    return 0;
}

/* Within a frozen type all is frozen, whether it says so or not. */
static int parse_collection(struct parser *parser, enum type_kind kind, unsigned depth, bool frozen,
    const struct type **ret_type)
{
    struct type type = {.kind = kind, .frozen = frozen};

    if (!take_char(parser, '('))
        return bad_type(parser, "'(' expected");
    for (unsigned i = 0; i < kinds[kind].parameters; i++) {
        int r;
        if (i > 0 && !take_char(parser, ','))
            return bad_type(parser, "',' expected");
        r = parse(parser, depth + 1, true, &type.arguments[i]);
        if (r < 0)
            return r;
    }
    if (!take_char(parser, ')'))
        return bad_type(parser, "')' expected");
    *ret_type = copy_of(parser, &type);
    return *ret_type ? 0 : -ENOMEM;
}

static int parse_reversed(struct parser *parser, unsigned depth, const struct type **ret_type)
{
    const struct type *base;
    struct type *reversed;
    int r = parse_wrapped(parser, depth, false, &base);

    if (r < 0)
        return r;
    if (base->reversed)
        return bad_type(parser, "reversed twice");
    reversed = copy_of(parser, base);
    if (!reversed)
        return -ENOMEM;
    reversed->reversed = true;
    *ret_type = reversed;
    return 0;
}

static int parse(struct parser *parser, unsigned depth, bool frozen, const struct type **ret_type)
{
    struct bytes name;

    if (depth > TYPE_DEPTH_MAX)
        return bad_type(parser, "nested too deep");
    name = take_name(parser);
    if (name.size == 0)
        return bad_type(parser, "a type's name expected");
    if (bytes_equal(name, BYTES_LITERAL("ReversedType")))
        return parse_reversed(parser, depth, ret_type);
    if (bytes_equal(name, BYTES_LITERAL("FrozenType")))
        return parse_wrapped(parser, depth, true, ret_type);
    for (unsigned kind = 0; kind < ARRAY_COUNT(kinds); kind++) {
        if (!bytes_equal(name, bytes_of_string(kinds[kind].name)))
            continue;
        if (kinds[kind].parameters > 0)
            return parse_collection(parser, (enum type_kind)kind, depth, frozen, ret_type);
        *ret_type = kinds[kind].constant;
        return 0;
    }
    return err_new(-ENOTSUP, "type '%.*s' is not supported",
        (int)(name.size < 200 ? name.size : 200), (const char *)name.data);
}

int type_parse(struct arena *arena, struct bytes text, const struct type **ret_type)
{
    struct parser parser = {.arena = arena, .text = text};
    const struct type *type;
    int r = parse(&parser, 0, false, &type);

    if (r < 0)
        return r;
    if (parser.at != text.size)
        return bad_type(&parser, "the end expected");
    *ret_type = type;
    return 0;
}

int type_parse_composite(struct arena *arena, struct bytes text, const struct type **ret_types,
    unsigned max, unsigned *ret_count)
{
    struct parser parser = {.arena = arena, .text = text};
    unsigned count = 0;

    if (!bytes_equal(take_name(&parser), BYTES_LITERAL("CompositeType"))) {
        int r =
            max < 1 ? bad_type(&parser, "no room for it") : type_parse(arena, text, &ret_types[0]);
        if (r < 0)
            return r;
        *ret_count = 1;
        return 0;
    }
    if (!take_char(&parser, '('))
        return bad_type(&parser, "'(' expected");
    do {
        int r;
        if (count == max)
            return bad_type(&parser, "too many columns");
        r = parse(&parser, 1, false, &ret_types[count]);
        if (r < 0)
            return r;
        count++;
    } while (take_char(&parser, ','));
    if (!take_char(&parser, ')'))
        return bad_type(&parser, "')' expected");
    if (parser.at != text.size)
        return bad_type(&parser, "the end expected");
    *ret_count = count;
    return 0;
}

static void append_text(struct buf *buf, const char *text)
{
    buf_append_bytes(buf, bytes_of_string(text));
}

/* `in_frozen`: within a frozen type nothing is said of it again. */
static void print(const struct type *type, bool in_frozen, struct buf *buf)
{
    bool says_frozen = type->frozen && type->kind >= TYPE_MAP && !in_frozen;

    if (type->reversed)
        append_text(buf, PACKAGE "ReversedType(");
    if (says_frozen)
        append_text(buf, PACKAGE "FrozenType(");
    append_text(buf, PACKAGE);
    append_text(buf, kinds[type->kind].name);
    for (unsigned i = 0; i < kinds[type->kind].parameters; i++) {
        append_text(buf, i == 0 ? "(" : ",");
        print(type->arguments[i], in_frozen || says_frozen, buf);
    }
    if (kinds[type->kind].parameters > 0)
        append_text(buf, ")");
    if (says_frozen)
        append_text(buf, ")");
    if (type->reversed)
        append_text(buf, ")");
}

void type_print(const struct type *type, struct buf *buf)
{
    print(type, false, buf);
}

void type_print_composite(const struct type *const *types, unsigned count, struct buf *buf)
{
    if (count == 1) {
        type_print(types[0], buf);
        return;
    }
    append_text(buf, PACKAGE "CompositeType");
    for (unsigned i = 0; i < count; i++) {
        append_text(buf, i == 0 ? "(" : ",");
        type_print(types[i], buf);
    }
    append_text(buf, ")");
}

const struct type *type_path(const struct type *type)
{
    ASSERT(type_is_complex(type));
    return type->kind == TYPE_LIST ? &type_timeuuid : type->arguments[0];
}

const struct type *type_cell_value(const struct type *type)
{
    if (!type_is_complex(type))
        return type;
    switch (type->kind) {
    case TYPE_MAP:
        return type->arguments[1];
    case TYPE_LIST:
        return type->arguments[0];
    default:
        return &type_blob;
    }
}

void table_folder_name(const struct table_schema *schema, char to[TABLE_FOLDER_NAME_MAX + 1])
{
    static const char digits[] = "0123456789abcdef";
    size_t length = strlen(schema->name);
    char *at = to + length;

    ASSERT(length > 0 && length <= 48);
    memcpy(to, schema->name, length);
    *at++ = '-';
    for (size_t i = 0; i < sizeof(schema->id); i++) {
        *at++ = digits[schema->id[i] >> 4];
        *at++ = digits[schema->id[i] & 15];
    }
    *at = '\0';
}
