#include "sstable/filter.h"

#include <errno.h>

#include "engine/assert.h"
#include "engine/coding.h"
#include "engine/error.h"

#define HASH_COUNT_MAX 64u
/* Odd and irregular: what is mixed into a hash shall change all of it. */
#define HASH_FACTOR 0x9e3779b97f4a7c15ull

/* Hashes and bits a key for a chance, as BloomCalculations.computeBloomSpec() answers. */
static const struct {
    double fp_chance;
    uint32_t hash_count;
    uint32_t bits_per_key;
} sizings[] = {
    {0.5, 2, 1},
    {0.4, 2, 1},
    {0.3, 1, 3},
    {0.2, 2, 4},
    {0.1, 3, 5},
    {0.05, 3, 7},
    {0.02, 4, 9},
    {0.01, 5, 10},
    {0.005, 5, 12},
    {0.001, 7, 15},
    {0.0005, 10, 16},
    {0.0001, 10, 20},
    {7e-05, 13, 20},
};

int filter_init(struct filter *filter, uint64_t keys, double fp_chance)
{
    size_t i = 0;
    uint64_t words;

    while (i + 1 < ARRAY_COUNT(sizings) && sizings[i].fp_chance > fp_chance)
        i++;
    if (keys > FILTER_WORDS_MAX)
        return err_new(-EFBIG, "a bloom filter for %llu keys", (unsigned long long)keys);
    words = (keys * sizings[i].bits_per_key + 20 + 63) / 64;
    filter->bits = calloc(words, 8);
    if (!filter->bits)
        return err_new(-ENOMEM, "a bloom filter of %llu words", (unsigned long long)words);
    filter->word_count = words;
    filter->hash_count = sizings[i].hash_count;
    return 0;
}

void filter_release(struct filter *filter)
{
    free(filter->bits);
    *filter = FILTER_INIT;
}

/** Java's `%` and Math.abs: remainder towards zero, then its magnitude. */
static uint64_t bit_of(uint64_t x, uint64_t capacity)
{
    int64_t remainder = (int64_t)x % (int64_t)capacity;

    return (uint64_t)(remainder < 0 ? -remainder : remainder);
}

static void find_bits(
    const struct filter *filter, struct murmur3_hash hash, uint64_t bits[FILTER_HASHES_MAX])
{
    uint64_t capacity = filter->word_count * 64, x = (uint64_t)hash.h2;

    ASSERT(filter->hash_count <= FILTER_HASHES_MAX);
    for (uint32_t i = 0; i < filter->hash_count; i++) {
        bits[i] = bit_of(x, capacity);
        x += (uint64_t)hash.h1;
    }
}

static void set_bits(struct filter *filter, const uint64_t *bits, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        filter->bits[bits[i] / 8] |= (uint8_t)(1u << bits[i] % 8);
}

static bool may_contain_hash(const struct filter *filter, struct murmur3_hash hash)
{
    uint64_t capacity = filter->word_count * 64, x = (uint64_t)hash.h2;

    if (capacity == 0)
        return true;
    for (uint32_t i = 0; i < filter->hash_count; i++) {
        uint64_t bit = bit_of(x, capacity);

        if (!(filter->bits[bit / 8] >> bit % 8 & 1))
            return false;
        x += (uint64_t)hash.h1;
    }
    return true;
}

void filter_add(struct filter *filter, struct bytes key)
{
    uint64_t bits[FILTER_HASHES_MAX];

    find_bits(filter, murmur3_hash(key), bits);
    set_bits(filter, bits, filter->hash_count);
}

bool filter_may_contain(const struct filter *filter, struct bytes key)
{
    return may_contain_hash(filter, murmur3_hash(key));
}

/* ---- rows ---- */

static struct murmur3_hash hash_of_row(
    struct murmur3_hash partition, const struct clustering *clustering)
{
    struct murmur3_hash hash = partition;

    for (unsigned i = 0; clustering && i < clustering->count; i++) {
        struct murmur3_hash value = murmur3_hash(clustering->values[i]);

        hash.h1 = (int64_t)((uint64_t)hash.h1 * HASH_FACTOR + (uint64_t)value.h1);
        hash.h2 = (int64_t)((uint64_t)hash.h2 * HASH_FACTOR + (uint64_t)value.h2);
    }
    return hash;
}

void row_filter_begin_partition(struct row_filter_writer *writer, struct bytes key)
{
    writer->partition = murmur3_hash(key);
}

void row_filter_add(
    struct row_filter_writer *writer, struct filter *filter, const struct clustering *clustering)
{
    row_filter_finish(writer, filter);
    find_bits(filter, hash_of_row(writer->partition, clustering), writer->bits);
    writer->bit_count = filter->hash_count;
    for (uint32_t i = 0; i < writer->bit_count; i++)
        __builtin_prefetch(&filter->bits[writer->bits[i] / 8], 1);
}

void row_filter_finish(struct row_filter_writer *writer, struct filter *filter)
{
    set_bits(filter, writer->bits, writer->bit_count);
    writer->bit_count = 0;
}

bool row_filter_may_contain(
    const struct filter *filter, struct bytes key, const struct clustering *clustering)
{
    return may_contain_hash(filter, hash_of_row(murmur3_hash(key), clustering));
}

/* ---- on disk ---- */

void filter_encode(struct buf *to, const struct filter *filter)
{
    put_be32(to, filter->hash_count);
    put_be32(to, (uint32_t)filter->word_count);
    buf_append(to, filter->bits, filter->word_count * 8);
}

static int decode_filter(struct decoder *d, struct filter *ret_filter)
{
    struct filter filter = FILTER_INIT;
    struct bytes bits;

    filter.hash_count = get_be32(d);
    filter.word_count = get_be32(d);
    if (decoder_failed(d) || filter.hash_count == 0 || filter.hash_count > HASH_COUNT_MAX)
        return err_new(-EUCLEAN, "hash count %u", filter.hash_count);
    bits = get_bytes(d, filter.word_count * 8);
    if (decoder_failed(d) || bits.size == 0)
        return err_new(-EUCLEAN, "%zu bytes of bits, want %llu", decoder_left(d),
            (unsigned long long)filter.word_count * 8);
    filter.bits = malloc(bits.size);
    if (!filter.bits)
        return err_new(
            -ENOMEM, "a bloom filter of %llu words", (unsigned long long)filter.word_count);
    memcpy(filter.bits, bits.data, bits.size);
    *ret_filter = filter;
    return 0;
}

int filters_decode(struct bytes content, struct sstable_filters *ret_filters)
{
    struct sstable_filters filters = {FILTER_INIT, FILTER_INIT};
    struct decoder d = decoder_of(content);
    int r = 0;

    if (content.size > 0)
        r = decode_filter(&d, &filters.partitions);
    if (r == 0 && decoder_left(&d) > 0)
        r = decode_filter(&d, &filters.rows);
    if (r == 0 && decoder_left(&d) > 0)
        r = err_new(-EUCLEAN, "%zu bytes behind all filters", decoder_left(&d));
    if (r < 0)
        filters_release(&filters);
    else
        *ret_filters = filters;
    return r;
}

void filters_release(struct sstable_filters *filters)
{
    filter_release(&filters->partitions);
    filter_release(&filters->rows);
}
