#include "rows/decimal.h"

#include <inttypes.h>
#include <stdio.h>

#include "engine/coding.h"

#define DIGITS_MAX (NUMBER_BYTES_MAX * 5 / 2)

/* Without the bytes that only repeat the sign. */
static struct bytes significant(struct bytes value)
{
    while (value.size > 1) {
        uint8_t sign = value.data[0];
        if ((sign != 0x00 && sign != 0xff) || ((sign ^ value.data[1]) & 0x80) != 0)
            break;
        value.data++;
        value.size--;
    }
    return value;
}

int varint_compare(struct bytes a, struct bytes b)
{
    bool negative_a = a.data[0] & 0x80, negative_b = b.data[0] & 0x80;

    if (negative_a != negative_b)
        return negative_a ? -1 : 1;
    a = significant(a);
    b = significant(b);
    if (a.size != b.size)
        return (a.size < b.size) != negative_a ? -1 : 1;
    return memcmp(a.data, b.data, a.size);
}

struct digits {
    bool negative;
    unsigned count;            /* 0: the number is zero */
    char text[DIGITS_MAX + 1]; /* most significant first */
};

/* False: too large. */
static bool digits_of(struct bytes value, struct digits *to)
{
    uint8_t magnitude[NUMBER_BYTES_MAX];
    unsigned start = 0, at = DIGITS_MAX;

    value = significant(value);
    if (value.size > sizeof(magnitude))
        return false;
    memcpy(magnitude, value.data, value.size);
    to->negative = magnitude[0] & 0x80;
    if (to->negative) {
        unsigned carry = 1;
        for (size_t i = value.size; i-- > 0;) {
            unsigned byte = (uint8_t)~magnitude[i] + carry;
            magnitude[i] = (uint8_t)byte;
            carry = byte >> 8;
        }
        /* -(256^n / 2) keeps its top bit, which is right for a magnitude. */
    }
    for (;;) {
        unsigned rest = 0;
        while (start < value.size && magnitude[start] == 0)
            start++;
        if (start == value.size)
            break;
        for (size_t i = start; i < value.size; i++) {
            unsigned part = rest << 8 | magnitude[i];
            magnitude[i] = (uint8_t)(part / 10);
            rest = part % 10;
        }
        to->text[--at] = (char)('0' + rest);
    }
    to->count = DIGITS_MAX - at;
    memmove(to->text, to->text + at, to->count);
    return true;
}

/* Two digit strings that begin at the same power of ten. */
static int compare_digits(const struct digits *a, const struct digits *b)
{
    unsigned longest = a->count > b->count ? a->count : b->count;

    for (unsigned i = 0; i < longest; i++) {
        char x = i < a->count ? a->text[i] : '0';
        char y = i < b->count ? b->text[i] : '0';
        if (x != y)
            return x < y ? -1 : 1;
    }
    return 0;
}

int decimal_compare(struct bytes a, struct bytes b)
{
    struct digits x, y;
    int64_t scale_a, scale_b, top_a, top_b;
    int r;

    if (a.size < 5 || b.size < 5)
        return bytes_compare(a, b);
    scale_a = (int32_t)load_be32(a.data);
    scale_b = (int32_t)load_be32(b.data);
    if (scale_a == scale_b)
        return varint_compare(bytes_of(a.data + 4, a.size - 4), bytes_of(b.data + 4, b.size - 4));
    if (!digits_of(bytes_of(a.data + 4, a.size - 4), &x) ||
        !digits_of(bytes_of(b.data + 4, b.size - 4), &y))
        return bytes_compare(a, b);
    if (x.count == 0 || y.count == 0)
        return (x.count > 0) * (x.negative ? -1 : 1) - (y.count > 0) * (y.negative ? -1 : 1);
    if (x.negative != y.negative)
        return x.negative ? -1 : 1;
    top_a = (int64_t)x.count - scale_a;
    top_b = (int64_t)y.count - scale_b;
    r = top_a != top_b ? (top_a < top_b ? -1 : 1) : compare_digits(&x, &y);
    return x.negative ? -r : r;
}

static void print_hexadecimal(struct bytes value, struct buf *buf)
{
    buf_append(buf, "0x", 2);
    for (size_t i = 0; i < value.size; i++) {
        char text[3];
        snprintf(text, sizeof(text), "%02x", value.data[i]);
        buf_append(buf, text, 2);
    }
}

void varint_print(struct bytes value, struct buf *buf)
{
    struct digits digits;

    if (value.size == 0 || !digits_of(value, &digits)) {
        print_hexadecimal(value, buf);
        return;
    }
    if (digits.negative)
        buf_append_u8(buf, '-');
    buf_append(buf, digits.count ? digits.text : "0", digits.count ? digits.count : 1);
}

static void append_zeroes(struct buf *buf, int64_t count)
{
    while (count-- > 0)
        buf_append_u8(buf, '0');
}

/* Digits with a point, which stands `scale` (positive) digits before the end. */
static void print_with_point(const struct digits *digits, int64_t scale, struct buf *buf)
{
    int64_t whole = (int64_t)digits->count - scale;

    if (whole > 0) {
        buf_append(buf, digits->text, (size_t)whole);
        buf_append_u8(buf, '.');
        buf_append(buf, digits->text + whole, (size_t)scale);
        return;
    }
    buf_append(buf, "0.", 2);
    append_zeroes(buf, -whole);
    buf_append(buf, digits->text, digits->count);
}

/* As BigDecimal's toString() does with an exponent: d.ddddE+n. */
static void print_with_exponent(const struct digits *digits, int64_t adjusted, struct buf *buf)
{
    char exponent[32];
    int n = snprintf(exponent, sizeof(exponent), "E%+" PRId64, adjusted);

    buf_append_u8(buf, (uint8_t)digits->text[0]);
    if (digits->count > 1) {
        buf_append_u8(buf, '.');
        buf_append(buf, digits->text + 1, digits->count - 1);
    }
    if (adjusted != 0)
        buf_append(buf, exponent, (size_t)n);
}

bool decimal_print(struct bytes value, struct buf *buf)
{
    struct digits digits;
    int64_t scale, adjusted;

    if (value.size < 5)
        return false;
    if (!digits_of(bytes_of(value.data + 4, value.size - 4), &digits)) {
        print_hexadecimal(value, buf);
        return true;
    }
    if (digits.count == 0) {
        digits.text[0] = '0';
        digits.count = 1;
    }
    scale = (int32_t)load_be32(value.data);
    adjusted = (int64_t)digits.count - 1 - scale;
    if (digits.negative)
        buf_append_u8(buf, '-');
    if (scale == 0)
        buf_append(buf, digits.text, digits.count);
    else if (scale > 0 && adjusted >= -6)
        print_with_point(&digits, scale, buf);
    else
        print_with_exponent(&digits, adjusted, buf);
    return true;
}
