/*
 * What Statistics.db only estimates: histograms of partition sizes, times at which tombstones may
 * be dropped, the number of distinct keys (FORMAT.md, "STATS", "HyperLogLog"; Cassandra:
 * utils/EstimatedHistogram.java, utils/streamhist/StreamingTombstoneHistogramBuilder.java,
 * clearspring's HyperLogLogPlus).
 */
#ifndef SSTFS_SSTABLE_ESTIMATES_H
#define SSTFS_SSTABLE_ESTIMATES_H

#include "engine/coding.h"

/* ---- histogram: counts of values between offsets that grow by a fifth ---- */

#define HISTOGRAM_OFFSETS_MAX 155u
#define HISTOGRAM_PARTITION_SIZE_OFFSETS 155u
#define HISTOGRAM_CELL_COUNT_OFFSETS 118u

struct histogram {
    unsigned offset_count;
    int64_t offsets[HISTOGRAM_OFFSETS_MAX];
    uint64_t counts[HISTOGRAM_OFFSETS_MAX + 1]; /* the last one: over all offsets */
};

void histogram_init(struct histogram *histogram, unsigned offset_count);
void histogram_add(struct histogram *histogram, uint64_t value);
void histogram_encode(struct buf *to, const struct histogram *histogram);
/** The sum of counts; false: cannot be. Other versions have other offsets. */
bool histogram_decode_sum(struct decoder *d, uint64_t *ret_sum);

/* ---- drop times: at most 100 of them, each with how many things may be dropped then ---- */

#define DROP_TIMES_MAX 100u

struct drop_time {
    double time_s;
    uint64_t count;
};

struct drop_times {
    unsigned count;
    struct drop_time times[DROP_TIMES_MAX + 1]; /* ascending; one more while one is added */
};

void drop_times_add(struct drop_times *times, int32_t local_deletion_time_s);
void drop_times_encode(struct buf *to, const struct drop_times *times);
bool drop_times_decode_sum(struct decoder *d, uint64_t *ret_sum);

/* ---- cardinality: HyperLogLog++ with 2^13 registers ---- */

#define CARDINALITY_REGISTERS 8192u
#define CARDINALITY_BYTES 5473u

struct cardinality {
    uint8_t registers[CARDINALITY_REGISTERS];
};

void cardinality_add(struct cardinality *cardinality, struct bytes key);
/** The normal form: CARDINALITY_BYTES. */
void cardinality_encode(struct buf *to, const struct cardinality *cardinality);

#endif
