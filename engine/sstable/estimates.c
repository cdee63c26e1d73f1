#include "sstable/estimates.h"

#include "base/murmur3.h"
#include "engine/unfiltered.h"

#define DROP_TIME_ROUND_S 60
#define CARDINALITY_BITS 13u
#define CARDINALITY_SPARSE_BITS 25u
#define REGISTERS_PER_WORD 6u
#define REGISTER_BITS 5u

void histogram_init(struct histogram *histogram, unsigned offset_count)
{
    int64_t last = 1;

    *histogram = (struct histogram){.offset_count = offset_count};
    histogram->offsets[0] = last;
    for (unsigned i = 1; i < offset_count; i++) {
        /* Math.round(): half up. */
        int64_t next = (int64_t)((double)last * 1.2 + 0.5);

        if (next == last)
            next++;
        histogram->offsets[i] = next;
        last = next;
    }
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    unsigned low = 0, high = histogram->offset_count;

    /* The first offset that is not below the value. */
    while (low < high) {
        unsigned middle = (low + high) / 2;

        if ((uint64_t)histogram->offsets[middle] < value)
            low = middle + 1;
        else
            high = middle;
    }
    histogram->counts[low]++;
}

void histogram_encode(struct buf *to, const struct histogram *histogram)
{
    put_be32(to, histogram->offset_count + 1);
    for (unsigned i = 0; i <= histogram->offset_count; i++) {
        put_be64(to, (uint64_t)histogram->offsets[i == 0 ? 0 : i - 1]);
        put_be64(to, histogram->counts[i]);
    }
}

bool histogram_decode_sum(struct decoder *d, uint64_t *ret_sum)
{
    uint32_t buckets = get_be32(d);
    uint64_t sum = 0;

    if (decoder_failed(d) || buckets < 2 || buckets > decoder_left(d) / 16)
        return false;
    for (uint32_t i = 0; i < buckets; i++) {
        get_be64(d);
        sum += get_be64(d);
    }
    *ret_sum = sum;
    return true;
}

/** The two nearest become one, at their weighted mean. */
static void merge_nearest(struct drop_times *times)
{
    struct drop_time *nearest = times->times;
    double count;

    for (unsigned i = 1; i + 1 < times->count; i++) {
        if (times->times[i + 1].time_s - times->times[i].time_s <
            nearest[1].time_s - nearest[0].time_s)
            nearest = &times->times[i];
    }
    count = (double)(nearest[0].count + nearest[1].count);
    nearest[0].time_s = (nearest[0].time_s * (double)nearest[0].count +
                            nearest[1].time_s * (double)nearest[1].count) /
                        count;
    nearest[0].count += nearest[1].count;
    times->count--;
    memmove(&nearest[1], &nearest[2],
        (size_t)(&times->times[times->count] - &nearest[1]) * sizeof(*nearest));
}

void drop_times_add(struct drop_times *times, int32_t local_deletion_time_s)
{
    int64_t rounded = ((int64_t)local_deletion_time_s + DROP_TIME_ROUND_S - 1) / DROP_TIME_ROUND_S *
                      DROP_TIME_ROUND_S;
    double time_s = (double)(rounded < LOCAL_DELETION_TIME_MAX ? rounded : LOCAL_DELETION_TIME_MAX);
    unsigned low = 0, high = times->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (times->times[middle].time_s < time_s)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < times->count && times->times[low].time_s == time_s) {
        times->times[low].count++;
        return;
    }
    memmove(
        &times->times[low + 1], &times->times[low], (times->count - low) * sizeof(times->times[0]));
    times->times[low] = (struct drop_time){time_s, 1};
    times->count++;
    if (times->count > DROP_TIMES_MAX)
        merge_nearest(times);
}

void drop_times_encode(struct buf *to, const struct drop_times *times)
{
    put_be32(to, times->count);
    put_be32(to, times->count);
    for (unsigned i = 0; i < times->count; i++) {
        put_double(to, times->times[i].time_s);
        put_be64(to, times->times[i].count);
    }
}

bool drop_times_decode_sum(struct decoder *d, uint64_t *ret_sum)
{
    uint64_t sum = 0;
    uint32_t count;

    get_be32(d);
    count = get_be32(d);
    if (decoder_failed(d) || count > decoder_left(d) / 16)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        get_double(d);
        sum += get_be64(d);
    }
    *ret_sum = sum;
    return true;
}

void cardinality_add(struct cardinality *cardinality, struct bytes key)
{
    uint64_t hash = murmur2_hash64(key);
    uint64_t rest = hash << CARDINALITY_BITS | 1ull << (CARDINALITY_BITS - 1);
    uint8_t rank = (uint8_t)(__builtin_clzll(rest) + 1);
    uint8_t *reg = &cardinality->registers[hash >> (64 - CARDINALITY_BITS)];

    /* Five bits hold it but for one key in 2^31. */
    if (rank >= 1u << REGISTER_BITS)
        rank = (1u << REGISTER_BITS) - 1;
    if (rank > *reg)
        *reg = rank;
}

/** Seven bits a byte, low ones first. */
static void put_leb128(struct buf *to, uint32_t value)
{
    for (; value >= 0x80; value >>= 7)
        buf_append_u8(to, (uint8_t)(value | 0x80));
    buf_append_u8(to, (uint8_t)value);
}

void cardinality_encode(struct buf *to, const struct cardinality *cardinality)
{
    const uint32_t words = (CARDINALITY_REGISTERS + REGISTERS_PER_WORD - 1) / REGISTERS_PER_WORD;

    put_be32(to, (uint32_t)-2); /* version */
    put_leb128(to, CARDINALITY_BITS);
    put_leb128(to, CARDINALITY_SPARSE_BITS);
    put_leb128(to, 0); /* normal form */
    put_leb128(to, words * 4);
    for (uint32_t i = 0; i < words; i++) {
        uint32_t word = 0;

        for (uint32_t j = 0; j < REGISTERS_PER_WORD; j++) {
            uint32_t number = i * REGISTERS_PER_WORD + j;

            if (number < CARDINALITY_REGISTERS)
                word |= (uint32_t)cardinality->registers[number] << REGISTER_BITS * j;
        }
        put_be32(to, word);
    }
}
