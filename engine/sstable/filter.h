/*
 * Filter.db: a bloom filter over partition keys (FORMAT.md, "Filter.db"; Cassandra:
 * utils/BloomFilter.java, utils/BloomCalculations.java). A key it does not know is surely not in
 * the table. Behind it, where Cassandra does not look, may be one over rows.
 */
#ifndef SSTFS_SSTABLE_FILTER_H
#define SSTFS_SSTABLE_FILTER_H

#include "base/murmur3.h"
#include "engine/auto.h"
#include "engine/buf.h"
#include "engine/unfiltered.h"

struct filter {
    uint32_t hash_count;
    uint64_t word_count; /* of 64 bits */
    uint8_t *bits;
};

#define FILTER_INIT ((struct filter){0, 0, NULL})
/** At most this much memory for one filter: 4 GiB keys at 0.01. */
#define FILTER_WORDS_MAX (1ull << 30)

/** Of those that are made here. */
#define FILTER_HASHES_MAX 13

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

/**
 * What adds rows to a filter. The bits of each are set with the next: a large filter is not in the
 * cache, and its memory comes meanwhile.
 */
struct row_filter_writer {
    struct murmur3_hash partition;
    uint32_t bit_count;
    uint64_t bits[FILTER_HASHES_MAX]; /* to be set */
};

/** The rows to come are of this partition. */
void row_filter_begin_partition(struct row_filter_writer *writer, struct bytes key);
/**
 * `clustering` NULL: what deletes more than a row of the partition (its own deletion, a range
 * tombstone), which a reader of any of its rows must know.
 */
void row_filter_add(
    struct row_filter_writer *writer, struct filter *filter, const struct clustering *clustering);
/** After the last row: the filter is complete. */
void row_filter_finish(struct row_filter_writer *writer, struct filter *filter);
bool row_filter_may_contain(
    const struct filter *filter, struct bytes key, const struct clustering *clustering);

void filter_encode(struct buf *to, const struct filter *filter);

/** What Filter.db holds. A filter of no words holds everything. */
struct sstable_filters {
    struct filter partitions, rows;
};

/** Copies; -EUCLEAN when sizes are wrong. An empty file has no filter. */
MUST_USE int filters_decode(struct bytes content, struct sstable_filters *ret_filters);
void filters_release(struct sstable_filters *filters);

#endif
