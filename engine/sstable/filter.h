/*
 * Filter.db: a bloom filter over partition keys (FORMAT.md, "Filter.db"; Cassandra:
 * utils/BloomFilter.java, utils/BloomCalculations.java). A key it does not know is surely not in
 * the table.
 */
#ifndef SSTFS_SSTABLE_FILTER_H
#define SSTFS_SSTABLE_FILTER_H

#include "engine/auto.h"
#include "engine/buf.h"

struct filter {
    uint32_t hash_count;
    uint64_t word_count; /* of 64 bits */
    uint8_t *bits;
};

#define FILTER_INIT ((struct filter){0, 0, NULL})
/** At most this much memory for one filter: 4 GiB keys at 0.01. */
#define FILTER_WORDS_MAX (1ull << 30)

/** From this chance on a filter is not worth its bytes: Cassandra writes none. */
static inline bool filter_is_wanted(double fp_chance)
{
    return fp_chance < 1.0;
}

/** Sized for `keys` keys at `fp_chance`, or the next better chance of Cassandra's table. */
MUST_USE int filter_init(struct filter *filter, uint64_t keys, double fp_chance);
void filter_release(struct filter *filter);

void filter_add(struct filter *filter, struct bytes key);
bool filter_may_contain(const struct filter *filter, struct bytes key);

void filter_encode(struct buf *to, const struct filter *filter);
/** Copies; -EUCLEAN when sizes are wrong. An empty file holds everything (word_count 0). */
MUST_USE int filter_decode(struct bytes content, struct filter *ret_filter);

#endif
