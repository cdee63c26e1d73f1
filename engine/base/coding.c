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

void put_long_uvint(struct buf *buf, uint64_t value)
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

uint64_t get_long_uvint(struct decoder *decoder)
{
    const uint8_t *first = decoder_take(decoder, 1);
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
    rest = decoder_take(decoder, extra);
    if (!rest)
        return 0;
    value = extra >= 7 ? 0 : *first & (0x7fu >> extra);
    for (unsigned i = 0; i < extra; i++)
        value = value << 8 | rest[i];
    return value;
}
