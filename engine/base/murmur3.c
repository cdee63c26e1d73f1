#include "base/murmur3.h"

#include "engine/coding.h"

static uint64_t rotate_left(uint64_t v, unsigned n)
{
    return v << n | v >> (64 - n);
}

static uint64_t mix(uint64_t k)
{
    k ^= k >> 33;
    k *= 0xff51afd7ed558ccdULL;
    k ^= k >> 33;
    k *= 0xc4ceb9fe1a85ec53ULL;
    k ^= k >> 33;
    return k;
}

/* Java's bytes are signed: the deviation from the published algorithm that all tokens carry. */
static uint64_t sign_extended(uint8_t byte)
{
    return (uint64_t)(int64_t)(int8_t)byte;
}

struct murmur3_hash murmur3_hash(struct bytes key)
{
    const uint64_t c1 = 0x87c37b91114253d5ULL;
    const uint64_t c2 = 0x4cf5ad432745937fULL;
    size_t blocks = key.size / 16;
    const uint8_t *tail = key.data + blocks * 16;
    size_t left = key.size & 15;
    uint64_t h1 = 0, h2 = 0, k1, k2;

    for (size_t i = 0; i < blocks; i++) {
        k1 = load_le64(key.data + i * 16);
        k2 = load_le64(key.data + i * 16 + 8);
        h1 ^= rotate_left(k1 * c1, 31) * c2;
        h1 = rotate_left(h1, 27) + h2;
        h1 = h1 * 5 + 0x52dce729;
        h2 ^= rotate_left(k2 * c2, 33) * c1;
        h2 = rotate_left(h2, 31) + h1;
        h2 = h2 * 5 + 0x38495ab5;
    }
    k1 = k2 = 0;
    for (size_t i = left; i > 8; i--)
        k2 ^= sign_extended(tail[i - 1]) << (8 * (i - 9));
    for (size_t i = left < 8 ? left : 8; i > 0; i--)
        k1 ^= sign_extended(tail[i - 1]) << (8 * (i - 1));
    if (left > 8)
        h2 ^= rotate_left(k2 * c2, 33) * c1;
    if (left > 0)
        h1 ^= rotate_left(k1 * c1, 31) * c2;
    h1 ^= key.size;
    h2 ^= key.size;
    h1 += h2;
    h2 += h1;
    h1 = mix(h1);
    h2 = mix(h2);
    h1 += h2;
    h2 += h1;
    return (struct murmur3_hash){(int64_t)h1, (int64_t)h2};
}

int64_t murmur3_token(struct bytes key)
{
    int64_t h1;

    if (key.size == 0)
        return INT64_MIN;
    h1 = murmur3_hash(key).h1;
    return h1 == INT64_MIN ? INT64_MAX : h1;
}

uint64_t murmur2_hash64(struct bytes key)
{
    const uint64_t m = 0xc6a4a7935bd1e995ULL;
    size_t blocks = key.size / 8;
    const uint8_t *tail = key.data + blocks * 8;
    size_t left = key.size & 7;
    uint64_t h = key.size * m;

    for (size_t i = 0; i < blocks; i++) {
        uint64_t k = load_le64(key.data + i * 8) * m;
        k ^= k >> 47;
        h = (h ^ k * m) * m;
    }
    if (left > 0) {
        for (size_t i = left; i > 0; i--)
            h ^= sign_extended(tail[i - 1]) << (8 * (i - 1));
        h *= m;
    }
    h ^= h >> 47;
    h *= m;
    h ^= h >> 47;
    return h;
}
