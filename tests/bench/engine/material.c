#include "material.h"

#include <pthread.h>

#define NOISE_BYTES (4u << 20)
#define ROW_NOISE_BYTES (256u << 10) /* of it, for rows: it stays in the CPU's cache */
#define ROUNDS 4

/* ---- permutations: a Feistel network over the next even number of bits, walked until within ----
 */

void permutation_init(struct permutation *permutation, uint64_t count)
{
    unsigned bits = count > 1 ? 64 - (unsigned)__builtin_clzll(count - 1) : 1;

    *permutation = (struct permutation){count, (bits + 1) / 2};
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 31) * UINT64_C(0xbf58476d1ce4e5b9);
    return x ^ x >> 29;
}

uint64_t permutation_at(const struct permutation *permutation, uint64_t i)
{
    unsigned bits = permutation->half_bits;
    uint64_t mask = (UINT64_C(1) << bits) - 1;

    do {
        uint64_t left = i >> bits, right = i & mask;

        for (uint64_t round = 1; round <= ROUNDS; round++) {
            uint64_t next = left ^ (mix(right + round * UINT64_C(0x9e3779b97f4a7c15)) & mask);
            left = right;
            right = next;
        }
        i = left << bits | right;
    } while (i >= permutation->count);
    return i;
}

/* ---- bytes ---- */

static uint8_t noise[NOISE_BYTES + VALUE_BYTES];
static pthread_once_t noise_once = PTHREAD_ONCE_INIT;

static void make_noise(void)
{
    uint64_t state = UINT64_C(88172645463325252);

    for (size_t i = 0; i < sizeof(noise); i += 8) {
        uint64_t word = random_next(&state);
        memcpy(noise + i, &word, 8);
    }
}

static struct bytes noise_within(uint64_t number, size_t within, size_t size)
{
    pthread_once(&noise_once, make_noise);
    return bytes_of(noise + mix(number + 1) % within, size);
}

struct bytes material_noise(uint64_t number, size_t size)
{
    return noise_within(number, NOISE_BYTES, size);
}

struct bytes material_row(uint8_t to[ROW_VALUE_BYTES], uint64_t number)
{
    memset(to, 0, ROW_VALUE_BYTES);
    memcpy(
        to, noise_within(number, ROW_NOISE_BYTES, ROW_VALUE_BYTES / 2).data, ROW_VALUE_BYTES / 2);
    memcpy(to, &number, 8);
    return bytes_of(to, ROW_VALUE_BYTES);
}
