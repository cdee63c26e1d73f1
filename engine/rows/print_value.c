#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/assert.h"
#include "engine/coding.h"
#include "rows/compare.h"
#include "rows/decimal.h"
#include "engine/print.h"

#define MS_PER_DAY 86400000
#define NS_PER_S 1000000000
/* Days from 1970-01-01 back to 0000-03-01, where the leap day is a year's last. */
#define DAYS_TO_ERA 719468
#define DAYS_PER_400_YEARS 146097

void print_short(struct buf *out, const char *format, ...)
{
    char text[128];
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    ASSERT(n >= 0 && (size_t)n < sizeof(text));
    buf_append(out, text, (size_t)n);
}

static void add_hexadecimal(struct buf *out, struct bytes bytes)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t *to = bytes.size > SIZE_MAX / 2 ? NULL : buf_extend(out, bytes.size * 2);

    for (size_t i = 0; to && i < bytes.size; i++) {
        to[2 * i] = (uint8_t)digits[bytes.data[i] >> 4];
        to[2 * i + 1] = (uint8_t)digits[bytes.data[i] & 15];
    }
}

/* ---- strings ---- */

/* Bytes of the UTF-8 character that `text` begins with; 0: it is none. */
static size_t utf8_size(struct bytes text)
{
    uint8_t first = text.data[0];
    size_t size = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (size == 0 || first > 0xf4 || size > text.size)
        return 0;
    for (size_t i = 1; i < size; i++) {
        if ((text.data[i] & 0xc0) != 0x80)
            return 0;
    }
    /* Too long for what they say, surrogates, beyond the last. */
    if ((first == 0xe0 && text.data[1] < 0xa0) || (first == 0xed && text.data[1] > 0x9f) ||
        (first == 0xf0 && text.data[1] < 0x90) || (first == 0xf4 && text.data[1] > 0x8f))
        return 0;
    return size;
}

void string_print_json(struct bytes text, struct buf *out)
{
    static const char escaped[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";

    buf_append_u8(out, '"');
    while (text.size > 0) {
        uint8_t c = text.data[0];
        const char *found = c ? strchr(escaped, c) : NULL;
        size_t size = utf8_size(text);

        if (found)
            print_short(out, "\\%c", names[found - escaped]);
        else if (c < 0x20)
            print_short(out, "\\u%04X", c);
        else if (size == 0)
            print_short(out, "\xef\xbf\xbd");
        else
            buf_append(out, text.data, size);
        size = size ? size : 1;
        text = bytes_of(text.data + size, text.size - size);
    }
    buf_append_u8(out, '"');
}

/* ---- numbers ---- */

/* As Java's toString(): the fewest digits that give the number again, at least two of them. */
static void add_floating(double value, bool is_float, struct buf *out)
{
    char text[64];
    char digits[32];
    unsigned count = 0;
    int exponent;

    if (value != value) {
        print_short(out, "NaN");
        return;
    }
    if (value > 1.7976931348623157e308 || value < -1.7976931348623157e308) {
        print_short(out, value < 0 ? "-Infinity" : "Infinity");
        return;
    }
    for (int precision = 1; precision < 17; precision++) {
        snprintf(text, sizeof(text), "%.*e", precision, value);
        if (is_float ? strtof(text, NULL) == (float)value : strtod(text, NULL) == value)
            break;
    }
    exponent = atoi(strchr(text, 'e') + 1);
    for (const char *at = text; *at != 'e'; at++) {
        if (*at >= '0' && *at <= '9')
            digits[count++] = *at;
    }
    while (count > 1 && digits[count - 1] == '0')
        count--;
    if (text[0] == '-')
        buf_append_u8(out, '-');
    if (value == 0) {
        print_short(out, "0.0");
    } else if (exponent < -3 || exponent >= 7) {
        print_short(out, "%c.%.*sE%d", digits[0], count > 1 ? (int)count - 1 : 1,
            count > 1 ? digits + 1 : "0", exponent);
    } else if (exponent < 0) {
        print_short(out, "0.%.*s%.*s", -exponent - 1, "00", (int)count, digits);
    } else {
        unsigned whole = (unsigned)exponent + 1;
        for (unsigned i = 0; i < whole; i++)
            buf_append_u8(out, (uint8_t)(i < count ? digits[i] : '0'));
        print_short(out, ".%.*s", count > whole ? (int)(count - whole) : 1,
            count > whole ? digits + whole : "0");
    }
}

static double floating_of(const struct type *type, struct bytes value)
{
    double number;

    if (type->kind == TYPE_FLOAT) {
        uint32_t bits = load_be32(value.data);
        float single;
        memcpy(&single, &bits, sizeof(single));
        return (double)single;
    } else {
        uint64_t bits = load_be64(value.data);
        memcpy(&number, &bits, sizeof(number));
        return number;
    }
}

static int64_t integer_of(struct bytes value)
{
    int64_t integer = (int8_t)value.data[0];

    for (size_t i = 1; i < value.size; i++)
        integer = (int64_t)((uint64_t)integer << 8 | value.data[i]);
    return integer;
}

/* ---- times ---- */

/* Proleptic Gregorian, as java.time. `of_era`: years before 1 count back from 1. */
static void add_date(int64_t days, bool of_era, struct buf *out)
{
    int64_t shifted = days + DAYS_TO_ERA;
    int64_t cycle =
        (shifted >= 0 ? shifted : shifted - (DAYS_PER_400_YEARS - 1)) / DAYS_PER_400_YEARS;
    int64_t day = shifted - cycle * DAYS_PER_400_YEARS;
    int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    int64_t of_year = day - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    int64_t of_month = of_year - (153 * month + 2) / 5 + 1;

    month = month < 10 ? month + 3 : month - 9;
    year += cycle * 400 + (month <= 2);
    if (of_era && year < 1)
        year = 1 - year;
    print_short(out, "%s%04" PRId64 "-%02" PRId64 "-%02" PRId64,
        year > 9999 ? "+"
        : year < 0  ? "-"
                    : "",
        year < 0 ? -year : year, month, of_month);
}

static void add_timestamp(int64_t ms, char between, struct buf *out)
{
    bool floors = ms % MS_PER_DAY < 0; /* division cuts towards zero */
    int64_t days = ms / MS_PER_DAY - floors;
    int64_t rest = ms % MS_PER_DAY + (floors ? MS_PER_DAY : 0);

    add_date(days, true, out);
    print_short(out, "%c%02d:%02d:%02d.%03dZ", between, (int)(rest / 3600000),
        (int)(rest / 60000 % 60), (int)(rest / 1000 % 60), (int)(rest % 1000));
}

static void add_time(int64_t ns, struct buf *out)
{
    int64_t seconds = ns / NS_PER_S;

    print_short(out, "%02d:%02d:%02d.%09d", (int)(seconds / 3600), (int)(seconds / 60 % 60),
        (int)(seconds % 60), (int)(ns % NS_PER_S));
}

static uint64_t magnitude(int64_t value)
{
    return value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

/* Three zigzag vints: months, days, nanoseconds. False: not a duration. */
static bool add_duration(struct bytes value, struct buf *out)
{
    static const struct {
        uint64_t ns;
        const char *name;
    } units[] = {{3600ull * NS_PER_S, "h"}, {60ull * NS_PER_S, "m"}, {NS_PER_S, "s"},
        {1000000, "ms"}, {1000, "us"}, {1, "ns"}};
    struct decoder in = decoder_of(value);
    int64_t months = get_svint(&in), days = get_svint(&in), ns = get_svint(&in);
    uint64_t rest = magnitude(ns);

    if (decoder_failed(&in) || decoder_left(&in) > 0)
        return false;
    if (months < 0 || days < 0 || ns < 0)
        buf_append_u8(out, '-');
    if (magnitude(months) >= 12)
        print_short(out, "%" PRIu64 "y", magnitude(months) / 12);
    if (magnitude(months) % 12)
        print_short(out, "%" PRIu64 "mo", magnitude(months) % 12);
    if (days)
        print_short(out, "%" PRIu64 "d", magnitude(days));
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (rest >= units[i].ns)
            print_short(out, "%" PRIu64 "%s", rest / units[i].ns, units[i].name);
        rest %= units[i].ns;
    }
    return true;
}

/* ---- others ---- */

static void add_uuid(struct bytes value, struct buf *out)
{
    for (unsigned i = 0; i < 16; i++)
        print_short(out, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", value.data[i]);
}

static bool add_inet(struct bytes value, struct buf *out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    if (value.size == 16 && memcmp(value.data, mapped, sizeof(mapped)) == 0)
        value = bytes_of(value.data + 12, 4);
    if (value.size == 4) {
        print_short(out, "%u.%u.%u.%u", value.data[0], value.data[1], value.data[2], value.data[3]);
        return true;
    }
    if (value.size != 16)
        return false;
    for (unsigned i = 0; i < 16; i += 2)
        print_short(out, "%s%x", i ? ":" : "", load_be16(value.data + i));
    return true;
}

/* Bytes of a value of the type, if it has no choice; else 0. */
static size_t only_size(const struct type *type)
{
    switch (type->kind) {
    case TYPE_TINYINT:
        return 1;
    case TYPE_SMALLINT:
        return 2;
    case TYPE_DATE:
        return 4;
    case TYPE_TIME:
        return 8;
    default:
        return type_fixed_width(type);
    }
}

/* What is neither text, blob nor collection, and not empty; false: it is no value of the type. */
static bool add_scalar(const struct type *type, struct bytes value, bool json, struct buf *out)
{
    if (only_size(type) > 0 && value.size != only_size(type))
        return false;
    switch (type->kind) {
    case TYPE_BIGINT:
    case TYPE_INT:
    case TYPE_SMALLINT:
    case TYPE_TINYINT:
        print_short(out, "%" PRId64, integer_of(value));
        return true;
    case TYPE_BOOLEAN:
        print_short(out, "%s", value.data[0] ? "true" : "false");
        return true;
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        add_floating(floating_of(type, value), type->kind == TYPE_FLOAT, out);
        return true;
    case TYPE_UUID:
    case TYPE_TIMEUUID:
        add_uuid(value, out);
        return true;
    case TYPE_TIMESTAMP:
        add_timestamp(integer_of(value), json ? ' ' : 'T', out);
        return true;
    case TYPE_DATE:
        /* Unsigned, the epoch in the middle. */
        add_date((int64_t)load_be32(value.data) - 0x80000000ll, false, out);
        return true;
    case TYPE_TIME:
        if (integer_of(value) < 0 || integer_of(value) >= 86400ll * NS_PER_S)
            return false;
        add_time(integer_of(value), out);
        return true;
    case TYPE_VARINT:
        varint_print(value, out);
        return true;
    case TYPE_DECIMAL:
        return decimal_print(value, out);
    case TYPE_INET:
        return add_inet(value, out);
    case TYPE_DURATION:
        return add_duration(value, out);
    default:
        return false;
    }
}

void value_print_text(const struct type *type, struct bytes value, struct buf *out)
{
    size_t start = out->size;

    if (type->kind == TYPE_TEXT || type->kind == TYPE_ASCII) {
        buf_append_bytes(out, value);
    } else if (value.size > 0 && (type->kind == TYPE_BLOB || type->kind >= TYPE_MAP ||
                                     !add_scalar(type, value, false, out))) {
        out->size = start;
        add_hexadecimal(out, value);
    }
}

/* ---- JSON ---- */

static void print_blob(struct bytes value, struct buf *out)
{
    print_short(out, "\"0x");
    add_hexadecimal(out, value);
    print_short(out, "\"");
}

/* JSON wants strings as keys. */
static void print_map_key(const struct type *type, struct bytes key, struct buf *out)
{
    struct buf text = BUF_INIT;

    value_print_json(type, key, &text);
    if (text.size > 0 && text.data[0] == '"')
        buf_append_bytes(out, buf_bytes(&text));
    else
        string_print_json(buf_bytes(&text), out);
    if (buf_error(&text) < 0)
        out->error = buf_error(&text);
    buf_release(&text);
}

/* False: it is no collection of the type. */
static bool print_collection(const struct type *type, struct bytes value, struct buf *out)
{
    unsigned parts = type->kind == TYPE_MAP ? 2 : 1;
    struct decoder in = decoder_of(value);
    int32_t count = value.size ? (int32_t)get_be32(&in) : 0;

    print_short(out, type->kind == TYPE_MAP ? "{" : "[");
    for (int32_t i = 0; i < count && !decoder_failed(&in); i++) {
        for (unsigned part = 0; part < parts; part++) {
            int32_t size = (int32_t)get_be32(&in);
            struct bytes element = size < 0 ? BYTES_NONE : get_bytes(&in, (size_t)size);

            print_short(out, "%s", part ? ": " : i ? ", " : "");
            if (size < 0)
                print_short(out, "null");
            else if (decoder_failed(&in))
                break;
            else if (part == 0 && parts == 2)
                print_map_key(type->arguments[0], element, out);
            else
                value_print_json(type->arguments[part], element, out);
        }
    }
    print_short(out, type->kind == TYPE_MAP ? "}" : "]");
    return !decoder_failed(&in) && decoder_left(&in) == 0;
}

void value_print_json(const struct type *type, struct bytes value, struct buf *out)
{
    size_t start = out->size;
    bool quoted = true, right;

    switch (type->kind) {
    case TYPE_BLOB:
        print_blob(value, out);
        return;
    case TYPE_TEXT:
    case TYPE_ASCII:
        string_print_json(value, out);
        return;
    case TYPE_MAP:
    case TYPE_SET:
    case TYPE_LIST:
        if (!print_collection(type, value, out)) {
            out->size = start;
            print_blob(value, out);
        }
        return;
    case TYPE_BIGINT:
    case TYPE_INT:
    case TYPE_SMALLINT:
    case TYPE_TINYINT:
    case TYPE_BOOLEAN:
    case TYPE_VARINT:
    case TYPE_DECIMAL:
        quoted = false;
        break;
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        quoted = false;
        /* No JSON number says these. */
        if (value.size == type_fixed_width(type)) {
            double number = floating_of(type, value);
            if (number - number != 0) {
                print_short(out, "null");
                return;
            }
        }
        break;
    default:
        break;
    }
    if (value.size == 0) {
        print_short(out, "\"\"");
        return;
    }
    /* Numbers too large for us are hexadecimal, which JSON knows as strings only. */
    if ((type->kind == TYPE_VARINT || type->kind == TYPE_DECIMAL) &&
        value.size > NUMBER_BYTES_MAX) {
        print_blob(value, out);
        return;
    }
    if (quoted)
        print_short(out, "\"");
    right = add_scalar(type, value, true, out);
    if (quoted)
        print_short(out, "\"");
    if (!right) {
        out->size = start;
        print_blob(value, out);
    }
}

static void print_key_part(const struct type *type, struct bytes value, struct buf *out)
{
    struct buf text = BUF_INIT;

    value_print_text(type, value, &text);
    string_print_json(buf_bytes(&text), out);
    if (buf_error(&text) < 0)
        out->error = buf_error(&text);
    buf_release(&text);
}

void key_print_json(const struct table_schema *schema, struct bytes key, struct buf *out)
{
    struct decoder in = decoder_of(key);

    print_short(out, "[ ");
    if (schema->partition_key_count == 1)
        print_key_part(schema->partition_key[0].type, key, out);
    for (unsigned i = 0; schema->partition_key_count > 1 && i < schema->partition_key_count; i++) {
        struct bytes part = get_sbytes(&in);
        get_u8(&in);
        if (decoder_failed(&in))
            break;
        print_short(out, "%s", i ? ", " : "");
        print_key_part(schema->partition_key[i].type, part, out);
    }
    print_short(out, " ]");
}
