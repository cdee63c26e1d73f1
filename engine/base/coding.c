#include "engine/coding.h"

void put_be16(struct buf *buf, uint16_t value)
{
    uint8_t *to = buf_extend(buf, 2);
    if (to)
        store_be16(to, value);
}

void put_be32(struct buf *buf, uint32_t value)
{
    uint8_t *to = buf_extend(buf, 4);
    if (to)
        store_be32(to, value);
}

void put_be64(struct buf *buf, uint64_t value)
{
    uint8_t *to = buf_extend(buf, 8);
    if (to)
        store_be64(to, value);
}

void put_le32(struct buf *buf, uint32_t value)
{
    uint8_t *to = buf_extend(buf, 4);
    if (to)
        store_le32(to, value);
}

void put_le64(struct buf *buf, uint64_t value)
{
    uint8_t *to = buf_extend(buf, 8);
    if (to)
        store_le64(to, value);
}

void put_double(struct buf *buf, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    put_be64(buf, bits);
}

unsigned uvint_size(uint64_t value)
{
    /* 7 bits fit a byte, up to 56 in 8 bytes; what is wider takes 0xff and 8 raw bytes. */
    unsigned bits = 64u - (unsigned)__builtin_clzll(value | 1);
    return bits > 56 ? 9 : (bits + 6) / 7;
}

void put_uvint(struct buf *buf, uint64_t value)
{
    unsigned size = uvint_size(value);
    uint8_t *to = buf_extend(buf, size);

    if (!to)
        return;
    if (size == 9) {
        to[0] = 0xff;
        store_be64(to + 1, value);
        return;
    }
    for (unsigned i = size; i-- > 0;) {
        to[i] = (uint8_t)value;
        value >>= 8;
    }
    /* size - 1 leading ones say how many bytes follow the first. */
    to[0] |= (uint8_t)(0xff00u >> (size - 1));
}

void put_uvint32(struct buf *buf, int32_t value)
{
    put_uvint(buf, (uint64_t)(int64_t)value);
}

void put_svint(struct buf *buf, int64_t value)
{
    put_uvint(buf, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

void put_vbytes(struct buf *buf, struct bytes bytes)
{
    put_uvint(buf, bytes.size);
    buf_append_bytes(buf, bytes);
}

void put_sbytes(struct buf *buf, struct bytes bytes)
{
    put_be16(buf, (uint16_t)bytes.size);
    buf_append_bytes(buf, bytes);
}

/* The next `size` bytes, or NULL after marking the failure. */
static const uint8_t *take(struct decoder *decoder, size_t size)
{
    const uint8_t *from = decoder->at;

    if (decoder->failed || decoder_left(decoder) < size) {
        decoder->failed = true;
        return NULL;
    }
    decoder->at += size;
    return from;
}

uint8_t get_u8(struct decoder *decoder)
{
    const uint8_t *from = take(decoder, 1);
    return from ? *from : 0;
}

uint16_t get_be16(struct decoder *decoder)
{
    const uint8_t *from = take(decoder, 2);
    return from ? load_be16(from) : 0;
}

uint32_t get_be32(struct decoder *decoder)
{
    const uint8_t *from = take(decoder, 4);
    return from ? load_be32(from) : 0;
}

uint64_t get_be64(struct decoder *decoder)
{
    const uint8_t *from = take(decoder, 8);
    return from ? load_be64(from) : 0;
}

uint32_t get_le32(struct decoder *decoder)
{
    const uint8_t *from = take(decoder, 4);
    return from ? load_le32(from) : 0;
}

uint64_t get_le64(struct decoder *decoder)
{
    const uint8_t *from = take(decoder, 8);
    return from ? load_le64(from) : 0;
}

double get_double(struct decoder *decoder)
{
    uint64_t bits = get_be64(decoder);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

uint64_t get_uvint(struct decoder *decoder)
{
    const uint8_t *first = take(decoder, 1);
    const uint8_t *rest;
    unsigned extra;
    uint64_t value;

    if (!first)
        return 0;
    if (*first < 0x80)
        return *first;
    extra = (unsigned)__builtin_clz((uint8_t) ~*first | 1u) - 24u;
    if (*first == 0xff)
        extra = 8;
    rest = take(decoder, extra);
    if (!rest)
        return 0;
    value = extra >= 7 ? 0 : *first & (0x7fu >> extra);
    for (unsigned i = 0; i < extra; i++)
        value = value << 8 | rest[i];
    return value;
}

int32_t get_uvint32(struct decoder *decoder)
{
    int64_t value = (int64_t)get_uvint(decoder);

    if (value < INT32_MIN || value > INT32_MAX) {
        decoder->failed = true;
        return 0;
    }
    return (int32_t)value;
}

int64_t get_svint(struct decoder *decoder)
{
    uint64_t value = get_uvint(decoder);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

struct bytes get_bytes(struct decoder *decoder, size_t size)
{
    const uint8_t *from = take(decoder, size);
    return from ? bytes_of(from, size) : BYTES_NONE;
}

struct bytes get_vbytes(struct decoder *decoder)
{
    uint64_t size = get_uvint(decoder);

    if (size > decoder_left(decoder)) {
        decoder->failed = true;
        return BYTES_NONE;
    }
    return get_bytes(decoder, (size_t)size);
}

struct bytes get_sbytes(struct decoder *decoder)
{
    return get_bytes(decoder, get_be16(decoder));
}
