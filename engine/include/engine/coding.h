/*
 * Integers and byte runs as they lie on disk: big-endian, little-endian, Cassandra's vints
 * (sstable/FORMAT.md, "Conventions and primitives").
 *
 * Writing appends to a struct buf, whose error is sticky. Reading goes through a struct decoder,
 * whose failure is sticky too: after the first field that does not fit, all later reads give 0 and
 * decoder_failed() is true, so that a parser checks once, before it believes anything. It is
 * inline, as reads of what is in memory do little else.
 */
#ifndef SSTFS_ENGINE_CODING_H
#define SSTFS_ENGINE_CODING_H

#include "engine/buf.h"

void put_be16(struct buf *buf, uint16_t value);
void put_be32(struct buf *buf, uint32_t value);
void put_be64(struct buf *buf, uint64_t value);
void put_le32(struct buf *buf, uint32_t value);
void put_le64(struct buf *buf, uint64_t value);
void put_double(struct buf *buf, double value); /* IEEE-754 bits, big-endian */

/** put_uvint() of more than one byte. */
void put_long_uvint(struct buf *buf, uint64_t value);
/** Cassandra's unsigned vint: 1 to 9 bytes, always the shortest form. */
static inline void put_uvint(struct buf *buf, uint64_t value)
{
    if (value < 0x80)
        buf_append_u8(buf, (uint8_t)value);
    else
        put_long_uvint(buf, value);
}
/** A Java int as unsigned vint: sign-extended to 64 bits, so a negative one takes 9 bytes. */
void put_uvint32(struct buf *buf, int32_t value);
/** Zigzag, then unsigned vint. */
void put_svint(struct buf *buf, int64_t value);
/** uvint length and the bytes. */
void put_vbytes(struct buf *buf, struct bytes bytes);
/** u16 length and the bytes; the caller knows that they are at most 65535. */
void put_sbytes(struct buf *buf, struct bytes bytes);

/** Bytes that put_uvint() takes for `value`: 1 to 9. */
static inline unsigned uvint_size(uint64_t value)
{
    /* 7 bits fit a byte, up to 56 in 8 bytes; what is wider takes 0xff and 8 raw bytes. */
    unsigned bits = 64u - (unsigned)__builtin_clzll(value | 1);

    return bits > 56 ? 9 : (bits * 37 + 222) >> 8; /* (bits + 6) / 7 */
}

static inline void store_be16(uint8_t *to, uint16_t v)
{
    v = __builtin_bswap16(v);
    memcpy(to, &v, sizeof(v));
}
static inline void store_be32(uint8_t *to, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(to, &v, sizeof(v));
}
static inline void store_be64(uint8_t *to, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(to, &v, sizeof(v));
}
static inline void store_le32(uint8_t *to, uint32_t v)
{
    memcpy(to, &v, sizeof(v));
}
static inline void store_le64(uint8_t *to, uint64_t v)
{
    memcpy(to, &v, sizeof(v));
}
static inline uint16_t load_be16(const uint8_t *from)
{
    uint16_t v;
    memcpy(&v, from, sizeof(v));
    return __builtin_bswap16(v);
}
static inline uint32_t load_be32(const uint8_t *from)
{
    uint32_t v;
    memcpy(&v, from, sizeof(v));
    return __builtin_bswap32(v);
}
static inline uint64_t load_be64(const uint8_t *from)
{
    uint64_t v;
    memcpy(&v, from, sizeof(v));
    return __builtin_bswap64(v);
}
static inline uint32_t load_le32(const uint8_t *from)
{
    uint32_t v;
    memcpy(&v, from, sizeof(v));
    return v;
}
static inline uint64_t load_le64(const uint8_t *from)
{
    uint64_t v;
    memcpy(&v, from, sizeof(v));
    return v;
}

struct decoder {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static inline struct decoder decoder_of(struct bytes bytes)
{
    return (struct decoder){bytes.data, bytes.data + bytes.size, false};
}

static inline bool decoder_failed(const struct decoder *decoder)
{
    return decoder->failed;
}

static inline size_t decoder_left(const struct decoder *decoder)
{
    return (size_t)(decoder->end - decoder->at);
}

/** The next `size` bytes, or NULL after marking the failure. */
static inline const uint8_t *decoder_take(struct decoder *decoder, size_t size)
{
    const uint8_t *from = decoder->at;

    if (decoder->failed || decoder_left(decoder) < size) {
        decoder->failed = true;
        return NULL;
    }
    decoder->at += size;
    return from;
}

static inline uint8_t get_u8(struct decoder *decoder)
{
    const uint8_t *from = decoder_take(decoder, 1);
    return from ? *from : 0;
}

static inline uint16_t get_be16(struct decoder *decoder)
{
    const uint8_t *from = decoder_take(decoder, 2);
    return from ? load_be16(from) : 0;
}

static inline uint32_t get_be32(struct decoder *decoder)
{
    const uint8_t *from = decoder_take(decoder, 4);
    return from ? load_be32(from) : 0;
}

static inline uint64_t get_be64(struct decoder *decoder)
{
    const uint8_t *from = decoder_take(decoder, 8);
    return from ? load_be64(from) : 0;
}

static inline uint32_t get_le32(struct decoder *decoder)
{
    const uint8_t *from = decoder_take(decoder, 4);
    return from ? load_le32(from) : 0;
}

static inline uint64_t get_le64(struct decoder *decoder)
{
    const uint8_t *from = decoder_take(decoder, 8);
    return from ? load_le64(from) : 0;
}

static inline double get_double(struct decoder *decoder)
{
    uint64_t bits = get_be64(decoder);
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

/** get_uvint() of more than one byte. */
uint64_t get_long_uvint(struct decoder *decoder);
static inline uint64_t get_uvint(struct decoder *decoder)
{
    if (!decoder->failed && decoder->at < decoder->end && *decoder->at < 0x80)
        return *decoder->at++;
    return get_long_uvint(decoder);
}

/** A uvint that must fit a signed 32-bit int after sign extension; fails otherwise. */
static inline int32_t get_uvint32(struct decoder *decoder)
{
    int64_t value = (int64_t)get_uvint(decoder);

    if (value < INT32_MIN || value > INT32_MAX) {
        decoder->failed = true;
        return 0;
    }
    return (int32_t)value;
}

static inline int64_t get_svint(struct decoder *decoder)
{
    uint64_t value = get_uvint(decoder);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/** `size` bytes, borrowed from the input. */
static inline struct bytes get_bytes(struct decoder *decoder, size_t size)
{
    const uint8_t *from = decoder_take(decoder, size);
    return from ? bytes_of(from, size) : BYTES_NONE;
}

static inline struct bytes get_vbytes(struct decoder *decoder)
{
    uint64_t size = get_uvint(decoder);

    if (size > decoder_left(decoder)) {
        decoder->failed = true;
        return BYTES_NONE;
    }
    return get_bytes(decoder, (size_t)size);
}

static inline struct bytes get_sbytes(struct decoder *decoder)
{
    return get_bytes(decoder, get_be16(decoder));
}

#endif
