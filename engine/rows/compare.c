#include "rows/compare.h"

#include "base/murmur3.h"
#include "engine/assert.h"
#include "engine/coding.h"
#include "rows/decimal.h"

struct decorated_key decorated_key_of(struct bytes key)
{
    return (struct decorated_key){.token = murmur3_token(key), .key = key};
}

int decorated_key_compare(const struct decorated_key *a, const struct decorated_key *b)
{
    if (a->token != b->token)
        return a->token < b->token ? -1 : 1;
    return bytes_compare(a->key, b->key);
}

unsigned type_fixed_width(const struct type *type)
{
    switch (type->kind) {
    case TYPE_BIGINT:
    case TYPE_TIMESTAMP:
    case TYPE_DOUBLE:
        return 8;
    case TYPE_INT:
    case TYPE_FLOAT:
        return 4;
    case TYPE_BOOLEAN:
        return 1;
    case TYPE_UUID:
    case TYPE_TIMEUUID:
        return 16;
    default:
        return 0;
    }
}

static int order(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int order_unsigned(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* Sign-extended from up to 8 bytes. A value of a foreign length still has a place in the order. */
static int64_t integer_of(struct bytes value)
{
    int64_t integer = (int8_t)value.data[0];

    for (size_t i = 1; i < value.size && i < 8; i++)
        integer = (int64_t)((uint64_t)integer << 8 | value.data[i]);
    return integer;
}

/* Java's Double.compare on the bits: -0.0 before 0.0, NaN last and equal to itself. A double's or a
 * widened float's bits order as integers once those of negative numbers are turned round. */
static int64_t floating_order(double value)
{
    int64_t bits;

    if (value != value)
        return INT64_MAX;
    memcpy(&bits, &value, sizeof(bits));
    return bits < 0 ? INT64_MIN - bits - 1 : bits;
}

static int compare_floating(struct bytes a, struct bytes b, unsigned width)
{
    double x, y;

    if (a.size < width || b.size < width)
        return bytes_compare(a, b);
    if (width == 4) {
        uint32_t bits[2] = {load_be32(a.data), load_be32(b.data)};
        float values[2];
        memcpy(values, bits, sizeof(values));
        x = (double)values[0];
        y = (double)values[1];
    } else {
        uint64_t bits[2] = {load_be64(a.data), load_be64(b.data)};
        memcpy(&x, &bits[0], sizeof(x));
        memcpy(&y, &bits[1], sizeof(y));
    }
    return order(floating_order(x), floating_order(y));
}

/* Version nibble and time, most significant first (AbstractTimeUUIDType.reorderTimestampBytes). */
static int64_t uuid_time(uint64_t msb)
{
    return (int64_t)(msb << 48 | (msb << 16 & 0xffff00000000ull) | msb >> 32);
}

static int compare_uuid(const struct type *type, struct bytes a, struct bytes b)
{
    /* Bytes of the lower half of a time UUID compare signed, for which it is enough to flip the
     * sign of all but the first. */
    const uint64_t signs = 0x0080808080808080ull;
    uint64_t msb[2], lsb[2];
    unsigned version[2];

    if (a.size < 16 || b.size < 16)
        return (a.size >= 16) - (b.size >= 16);
    for (int i = 0; i < 2; i++) {
        const uint8_t *data = i == 0 ? a.data : b.data;
        msb[i] = load_be64(data);
        lsb[i] = load_be64(data + 8);
        version[i] = (unsigned)(msb[i] >> 12 & 15);
    }
    if (type->kind == TYPE_TIMEUUID) {
        int r = order(uuid_time(msb[0]), uuid_time(msb[1]));
        return r ? r : order((int64_t)(lsb[0] ^ signs), (int64_t)(lsb[1] ^ signs));
    }
    if (version[0] != version[1])
        return version[0] < version[1] ? -1 : 1;
    if (version[0] == 1 && msb[0] != msb[1])
        return order(uuid_time(msb[0]), uuid_time(msb[1]));
    if (msb[0] != msb[1])
        return order_unsigned(msb[0], msb[1]);
    return order_unsigned(lsb[0], lsb[1]);
}

/* An element of a frozen collection: i32 length, negative for null, and the bytes. */
static struct bytes get_element(struct decoder *decoder)
{
    int32_t size = (int32_t)get_be32(decoder);

    return size < 0 ? BYTES_NONE : get_bytes(decoder, (size_t)size);
}

static int compare_frozen(const struct type *type, struct bytes a, struct bytes b)
{
    unsigned parts = type->kind == TYPE_MAP ? 2 : 1;
    struct decoder x = decoder_of(a), y = decoder_of(b);
    int32_t count_x = (int32_t)get_be32(&x), count_y = (int32_t)get_be32(&y);

    for (int32_t i = 0; i < count_x && i < count_y; i++) {
        for (unsigned part = 0; part < parts; part++) {
            struct bytes of_x = get_element(&x), of_y = get_element(&y);
            int r;
            if (decoder_failed(&x) || decoder_failed(&y))
                return bytes_compare(a, b);
            r = type_compare(type->arguments[part], of_x, of_y);
            if (r != 0)
                return r;
        }
    }
    return order(count_x, count_y);
}

static int compare_forward(const struct type *type, struct bytes a, struct bytes b)
{
    /* All but raw bytes: empty before anything. */
    if (a.size == 0 || b.size == 0)
        return (a.size > 0) - (b.size > 0);
    switch (type->kind) {
    case TYPE_BIGINT:
    case TYPE_TIMESTAMP:
    case TYPE_INT:
    case TYPE_SMALLINT:
    case TYPE_TINYINT:
        return order(integer_of(a), integer_of(b));
    case TYPE_BOOLEAN:
        return (a.data[0] != 0) - (b.data[0] != 0);
    case TYPE_FLOAT:
        return compare_floating(a, b, 4);
    case TYPE_DOUBLE:
        return compare_floating(a, b, 8);
    case TYPE_UUID:
    case TYPE_TIMEUUID:
        return compare_uuid(type, a, b);
    case TYPE_VARINT:
        return varint_compare(a, b);
    case TYPE_DECIMAL:
        return decimal_compare(a, b);
    case TYPE_MAP:
    case TYPE_SET:
    case TYPE_LIST:
        return compare_frozen(type, a, b);
    case TYPE_BLOB:
    case TYPE_TEXT:
    case TYPE_ASCII:
    case TYPE_DATE:
    case TYPE_TIME:
    case TYPE_INET:
    case TYPE_DURATION:
        break;
    }
    return bytes_compare(a, b);
}

int type_compare(const struct type *type, struct bytes a, struct bytes b)
{
    int r;

    /* Null is least whichever way the type goes (ClusteringComparator.compareComponent). */
    if (!a.data || !b.data)
        return (a.data != NULL) - (b.data != NULL);
    r = type->kind <= TYPE_ASCII ? bytes_compare(a, b) : compare_forward(type, a, b);
    if (!type->reversed)
        return r;
    return (r < 0) - (r > 0);
}

static const uint8_t kind_ranks[] = {
    [KIND_EXCL_END] = 0,
    [KIND_INCL_START] = 0,
    [KIND_EXCL_END_INCL_START] = 0,
    [KIND_STATIC] = 1,
    [KIND_ROW] = 2,
    [KIND_INCL_END_EXCL_START] = 3,
    [KIND_INCL_END] = 3,
    [KIND_EXCL_START] = 3,
};

/* Where a shorter prefix lies as to what it begins: before (-1) or after (1) all of it. */
static int side_of(uint8_t kind)
{
    return (kind_ranks[kind] > 2) - (kind_ranks[kind] < 2);
}

int clustering_compare(
    const struct table_schema *schema, const struct clustering *a, const struct clustering *b)
{
    unsigned common = a->count < b->count ? a->count : b->count;

    ASSERT(a->kind <= KIND_EXCL_START && b->kind <= KIND_EXCL_START);
    ASSERT(common <= schema->clustering_count);
    for (unsigned i = 0; i < common; i++) {
        int r = type_compare(schema->clustering[i].type, a->values[i], b->values[i]);
        if (r != 0)
            return r;
    }
    if (a->count == b->count)
        return (int)kind_ranks[a->kind] - (int)kind_ranks[b->kind];
    return a->count < b->count ? side_of(a->kind) : -side_of(b->kind);
}

bool kind_is_start(uint8_t kind)
{
    return kind == KIND_INCL_START || kind == KIND_EXCL_START || kind_is_boundary(kind);
}

bool kind_is_end(uint8_t kind)
{
    return kind == KIND_EXCL_END || kind == KIND_INCL_END || kind_is_boundary(kind);
}

bool kind_is_boundary(uint8_t kind)
{
    return kind == KIND_EXCL_END_INCL_START || kind == KIND_INCL_END_EXCL_START;
}

uint8_t kind_as_end(uint8_t kind)
{
    ASSERT(kind <= KIND_EXCL_START && kind != KIND_ROW && kind != KIND_STATIC);
    return kind_ranks[kind] < 2 ? KIND_EXCL_END : KIND_INCL_END;
}

uint8_t kind_as_start(uint8_t kind)
{
    ASSERT(kind <= KIND_EXCL_START && kind != KIND_ROW && kind != KIND_STATIC);
    return kind_ranks[kind] < 2 ? KIND_INCL_START : KIND_EXCL_START;
}

bool slice_contains(const struct table_schema *schema, const struct slice *slice,
    const struct clustering *clustering)
{
    return clustering_compare(schema, &slice->start, clustering) < 0 &&
           clustering_compare(schema, clustering, &slice->end) < 0;
}
