/*
 * Statistics.db: the facts by which reads and compactions skip a whole SSTable, estimates, and the
 * serialization header (FORMAT.md, "Statistics.db"; Cassandra:
 * io/sstable/metadata/MetadataCollector.java, StatsMetadata.java, MetadataSerializer.java).
 *
 * What the collector is told must be what was written, all of it, or reads will lose rows.
 */
#ifndef SSTFS_SSTABLE_STATS_H
#define SSTFS_SSTABLE_STATS_H

#include "sstable/estimates.h"
#include "sstable/header.h"

/** A clustering prefix with memory of its own. */
struct owned_clustering {
    struct clustering clustering; /* .values are those below */
    struct bytes values[CLUSTERING_COLUMNS_MAX];
    struct buf memory;
};

void owned_clustering_init(struct owned_clustering *owned);
void owned_clustering_release(struct owned_clustering *owned);
MUST_USE int owned_clustering_set(
    struct owned_clustering *owned, const struct clustering *clustering);

struct stats_collector {
    const struct table_schema *schema;
    struct histogram partition_sizes, cell_counts;
    struct drop_times drop_times;
    struct cardinality cardinality;
    int64_t min_timestamp_us, max_timestamp_us;
    int32_t min_local_deletion_time_s, max_local_deletion_time_s;
    int32_t min_ttl_s, max_ttl_s;
    bool has_timestamp, has_local_deletion_time, has_ttl;
    bool has_clustering;
    struct owned_clustering min_clustering, max_clustering;
    uint64_t columns_set, rows, partitions;
    uint64_t tombstones;      /* cells, rows, ranges, maps, partitions */
    uint64_t partition_cells; /* of the partition at hand */
};

void stats_collector_init(struct stats_collector *stats, const struct table_schema *schema);
void stats_collector_release(struct stats_collector *stats);

void stats_add_partition(struct stats_collector *stats, struct bytes key, struct deletion deletion);
/** Also a static row that holds anything. */
MUST_USE int stats_add_row(struct stats_collector *stats, const struct row *row);
MUST_USE int stats_add_marker(struct stats_collector *stats, const struct marker *marker);
void stats_end_partition(struct stats_collector *stats, uint64_t bytes);

/** Statistics.db. `compression_ratio`: compressed by uncompressed; -1 if it is not. */
void statistics_encode(struct buf *to, const struct stats_collector *stats,
    const struct serialization_header *header, double fp_chance, double compression_ratio);

/** What we believe of a Statistics.db that we read. Bytes point into its content. */
struct statistics {
    double fp_chance;
    uint64_t partitions;      /* sum of the histogram: exact */
    uint64_t drop_time_count; /* tombstones, both ends of ranges, expiring cells */
    int64_t min_timestamp_us, max_timestamp_us;
    int32_t min_local_deletion_time_s, max_local_deletion_time_s;
    int32_t min_ttl_s, max_ttl_s;
    double compression_ratio;
    uint32_t min_clustering_count, max_clustering_count;
    struct bytes min_clustering[CLUSTERING_COLUMNS_MAX];
    struct bytes max_clustering[CLUSTERING_COLUMNS_MAX];
    uint64_t columns_set, rows;
    struct bytes header; /* the HEADER part */
};

/** -EBADMSG, -EUCLEAN. */
MUST_USE int statistics_decode(struct bytes content, struct statistics *ret_statistics);

/** No Statistics.db is near it. */
#define STATISTICS_BYTES_MAX (64u << 20)

#endif
