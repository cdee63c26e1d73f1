#include "sstable/stats.h"

#include <errno.h>

#include "base/crc32.h"
#include "engine/assert.h"
#include "engine/error.h"
#include "rows/compare.h"

#define PARTITIONER "org.apache.cassandra.dht.Murmur3Partitioner"

enum metadata_type {
    METADATA_VALIDATION,
    METADATA_COMPACTION,
    METADATA_STATS,
    METADATA_HEADER,
    METADATA_COUNT,
};

void owned_clustering_init(struct owned_clustering *owned)
{
    *owned = (struct owned_clustering){.memory = BUF_INIT};
}

void owned_clustering_release(struct owned_clustering *owned)
{
    buf_release(&owned->memory);
}

int owned_clustering_set(struct owned_clustering *owned, const struct clustering *clustering)
{
    const uint8_t *at;

    buf_clear(&owned->memory);
    for (unsigned i = 0; i < clustering->count; i++)
        buf_append_bytes(&owned->memory, clustering->values[i]);
    /* So that no value, however empty, points to nothing. */
    buf_append_u8(&owned->memory, 0);
    if (buf_error(&owned->memory) < 0)
        return err_new(-ENOMEM, "copy of a clustering");
    at = owned->memory.data;
    for (unsigned i = 0; i < clustering->count; i++) {
        size_t size = clustering->values[i].size;

        owned->values[i] = clustering->values[i].data ? bytes_of(at, size) : BYTES_NONE;
        at += size;
    }
    owned->clustering = (struct clustering){owned->values, clustering->count, clustering->kind};
    return 0;
}

void stats_collector_init(struct stats_collector *stats, const struct table_schema *schema)
{
    *stats = (struct stats_collector){
        .schema = schema,
        .min_timestamp_us = INT64_MIN,
        .max_timestamp_us = INT64_MAX,
        .min_local_deletion_time_s = LOCAL_DELETION_TIME_NONE,
        .max_local_deletion_time_s = LOCAL_DELETION_TIME_NONE,
    };
    histogram_init(&stats->partition_sizes, HISTOGRAM_PARTITION_SIZE_OFFSETS);
    histogram_init(&stats->cell_counts, HISTOGRAM_CELL_COUNT_OFFSETS);
    owned_clustering_init(&stats->min_clustering);
    owned_clustering_init(&stats->max_clustering);
}

void stats_collector_release(struct stats_collector *stats)
{
    owned_clustering_release(&stats->min_clustering);
    owned_clustering_release(&stats->max_clustering);
}

static void add_timestamp(struct stats_collector *stats, int64_t us)
{
    if (!stats->has_timestamp || us < stats->min_timestamp_us)
        stats->min_timestamp_us = us;
    if (!stats->has_timestamp || us > stats->max_timestamp_us)
        stats->max_timestamp_us = us;
    stats->has_timestamp = true;
}

/** Of a live thing it is LOCAL_DELETION_TIME_NONE, which makes the maximum say "holds live data".
 */
static void add_local_deletion_time(struct stats_collector *stats, int32_t s)
{
    if (!stats->has_local_deletion_time || s < stats->min_local_deletion_time_s)
        stats->min_local_deletion_time_s = s;
    if (!stats->has_local_deletion_time || s > stats->max_local_deletion_time_s)
        stats->max_local_deletion_time_s = s;
    stats->has_local_deletion_time = true;
    if (s != LOCAL_DELETION_TIME_NONE)
        drop_times_add(&stats->drop_times, s);
}

static void add_ttl(struct stats_collector *stats, int32_t s)
{
    if (!stats->has_ttl || s < stats->min_ttl_s)
        stats->min_ttl_s = s;
    if (!stats->has_ttl || s > stats->max_ttl_s)
        stats->max_ttl_s = s;
    stats->has_ttl = true;
}

/** Live ones do not count, and deletions have no ttl. */
static void add_deletion(struct stats_collector *stats, struct deletion deletion)
{
    if (deletion_is_live(deletion))
        return;
    add_timestamp(stats, deletion.marked_for_delete_at_us);
    add_local_deletion_time(stats, deletion.local_deletion_time_s);
}

void stats_add_partition(struct stats_collector *stats, struct bytes key, struct deletion deletion)
{
    cardinality_add(&stats->cardinality, key);
    stats->partitions++;
    stats->tombstones += !deletion_is_live(deletion);
    add_deletion(stats, deletion);
}

/* Ends of ranges can only be the largest, starts only the smallest: each has its counterpart. */
static int add_clustering(
    struct stats_collector *stats, const struct clustering *clustering, bool is_min, bool is_max)
{
    struct owned_clustering *min = &stats->min_clustering, *max = &stats->max_clustering;
    int r = 0;

    if (!stats->has_clustering) {
        r = owned_clustering_set(min, clustering);
        if (r == 0)
            r = owned_clustering_set(max, clustering);
        stats->has_clustering = true;
        return r;
    }
    if (is_max && clustering_compare(stats->schema, clustering, &max->clustering) > 0)
        r = owned_clustering_set(max, clustering);
    else if (is_min && clustering_compare(stats->schema, clustering, &min->clustering) < 0)
        r = owned_clustering_set(min, clustering);
    return r;
}

static void add_cell(struct stats_collector *stats, const struct cell *cell)
{
    stats->partition_cells++;
    stats->tombstones += cell_is_tombstone(cell);
    add_timestamp(stats, cell->timestamp_us);
    add_ttl(stats, cell->ttl_s);
    add_local_deletion_time(stats, cell->local_deletion_time_s);
}

int stats_add_row(struct stats_collector *stats, const struct row *row)
{
    int r = 0;

    if (row->clustering.kind == KIND_ROW)
        r = add_clustering(stats, &row->clustering, true, true);
    if (row->liveness.timestamp_us != TIMESTAMP_NONE) {
        add_timestamp(stats, row->liveness.timestamp_us);
        add_ttl(stats, row->liveness.ttl_s);
        add_local_deletion_time(stats, row->liveness.local_deletion_time_s);
    }
    add_deletion(stats, row->deletion);
    stats->tombstones += !deletion_is_live(row->deletion);
    for (uint32_t i = 0; i < row->complex_deletion_count; i++) {
        add_deletion(stats, row->complex_deletions[i].deletion);
        stats->tombstones++;
    }
    for (uint32_t i = 0; i < row->cell_count; i++) {
        add_cell(stats, &row->cells[i]);
        if (i == 0 || row->cells[i - 1].column != row->cells[i].column)
            stats->columns_set++;
    }
    stats->rows++;
    return r;
}

int stats_add_marker(struct stats_collector *stats, const struct marker *marker)
{
    uint8_t kind = marker->bound.kind;

    add_deletion(stats, marker->closes);
    add_deletion(stats, marker->opens);
    stats->tombstones += kind_is_start(kind);
    if (kind_is_boundary(kind))
        return 0;
    return add_clustering(stats, &marker->bound, kind_is_start(kind), kind_is_end(kind));
}

void stats_end_partition(struct stats_collector *stats, uint64_t bytes)
{
    histogram_add(&stats->partition_sizes, bytes);
    histogram_add(&stats->cell_counts, stats->partition_cells);
    stats->partition_cells = 0;
}

/** Up to the first value that is missing: from there on the side is open. */
static void put_clustering(
    struct buf *to, const struct stats_collector *stats, const struct owned_clustering *owned)
{
    unsigned count = 0;

    if (stats->has_clustering) {
        while (count < owned->clustering.count && owned->values[count].data)
            count++;
    }
    put_be32(to, count);
    for (unsigned i = 0; i < count; i++)
        put_sbytes(to, owned->values[i]);
}

static void put_commit_log_position(struct buf *to)
{
    put_be64(to, (uint64_t)-1);
    put_be32(to, 0);
}

static void put_stats(struct buf *to, const struct stats_collector *stats, double compression_ratio)
{
    histogram_encode(to, &stats->partition_sizes);
    histogram_encode(to, &stats->cell_counts);
    put_commit_log_position(to); /* upper bound */
    put_be64(to, (uint64_t)stats->min_timestamp_us);
    put_be64(to, (uint64_t)stats->max_timestamp_us);
    put_be32(to, (uint32_t)stats->min_local_deletion_time_s);
    put_be32(to, (uint32_t)stats->max_local_deletion_time_s);
    put_be32(to, (uint32_t)stats->min_ttl_s);
    put_be32(to, (uint32_t)stats->max_ttl_s);
    put_double(to, compression_ratio);
    drop_times_encode(to, &stats->drop_times);
    put_be32(to, 0); /* level */
    put_be64(to, 0); /* repaired at: never */
    put_clustering(to, stats, &stats->min_clustering);
    put_clustering(to, stats, &stats->max_clustering);
    buf_append_u8(to, 0); /* legacy counter shards */
    put_be64(to, stats->columns_set);
    put_be64(to, stats->rows);
    put_commit_log_position(to); /* lower bound */
    put_be32(to, 0);             /* commit log intervals */
    buf_append_u8(to, 0);        /* pending repair */
    buf_append_u8(to, 0);        /* transient */
    buf_append_u8(to, 0);        /* originating host */
}

static void put_component(struct buf *to, enum metadata_type type,
    const struct stats_collector *stats, const struct serialization_header *header,
    double fp_chance, double compression_ratio)
{
    switch (type) {
    case METADATA_VALIDATION:
        put_sbytes(to, BYTES_LITERAL(PARTITIONER));
        put_double(to, fp_chance);
        break;
    case METADATA_COMPACTION:
        put_be32(to, CARDINALITY_BYTES);
        cardinality_encode(to, &stats->cardinality);
        break;
    case METADATA_STATS:
        put_stats(to, stats, compression_ratio);
        break;
    case METADATA_HEADER:
        header_encode(to, header);
        break;
    case METADATA_COUNT:
        break;
    }
}

void statistics_encode(struct buf *to, const struct stats_collector *stats,
    const struct serialization_header *header, double fp_chance, double compression_ratio)
{
    const size_t toc_bytes = 4 + 8 * METADATA_COUNT;
    struct buf parts = BUF_INIT, toc = BUF_INIT;

    put_be32(&toc, METADATA_COUNT);
    for (unsigned i = 0; i < METADATA_COUNT; i++) {
        size_t start = parts.size;

        put_be32(&toc, i);
        put_be32(&toc, (uint32_t)(toc_bytes + 8 + start));
        put_component(&parts, (enum metadata_type)i, stats, header, fp_chance, compression_ratio);
        if (buf_error(&parts) == 0)
            put_be32(&parts, crc32_update(0, parts.data + start, parts.size - start));
    }
    if (buf_error(&parts) < 0 || buf_error(&toc) < 0) {
        to->error = -ENOMEM;
    } else {
        buf_append(to, toc.data, 4);
        put_be32(to, crc32_update(0, toc.data, 4));
        buf_append(to, toc.data + 4, toc.size - 4);
        /* The second checksum is not fresh: it goes on over the count. */
        put_be32(to, crc32_update(0, toc.data, toc.size));
        buf_append_bytes(to, buf_bytes(&parts));
    }
    buf_release(&parts);
    buf_release(&toc);
}

static int decode_validation(struct bytes part, struct statistics *statistics)
{
    struct decoder d = decoder_of(part);

    if (!bytes_equal(get_sbytes(&d), BYTES_LITERAL(PARTITIONER)))
        return err_new(-EUCLEAN, "partitioner is not " PARTITIONER);
    statistics->fp_chance = get_double(&d);
    return decoder_failed(&d) ? err_new(-EUCLEAN, "no filter chance") : 0;
}

static int get_clustering(
    struct decoder *d, uint32_t *ret_count, struct bytes values[CLUSTERING_COLUMNS_MAX])
{
    uint32_t count = get_be32(d);

    if (decoder_failed(d) || count > CLUSTERING_COLUMNS_MAX)
        return err_new(-EUCLEAN, "%u clustering values", count);
    for (uint32_t i = 0; i < count; i++)
        values[i] = get_sbytes(d);
    *ret_count = count;
    return 0;
}

static int decode_stats(struct bytes part, struct statistics *statistics)
{
    struct decoder d = decoder_of(part);
    uint64_t cells;
    int r;

    if (!histogram_decode_sum(&d, &statistics->partitions) || !histogram_decode_sum(&d, &cells))
        return err_new(-EUCLEAN, "histogram");
    get_be64(&d); /* commit log upper bound */
    get_be32(&d);
    statistics->min_timestamp_us = (int64_t)get_be64(&d);
    statistics->max_timestamp_us = (int64_t)get_be64(&d);
    statistics->min_local_deletion_time_s = (int32_t)get_be32(&d);
    statistics->max_local_deletion_time_s = (int32_t)get_be32(&d);
    statistics->min_ttl_s = (int32_t)get_be32(&d);
    statistics->max_ttl_s = (int32_t)get_be32(&d);
    statistics->compression_ratio = get_double(&d);
    if (!drop_times_decode_sum(&d, &statistics->drop_time_count))
        return err_new(-EUCLEAN, "tombstone drop times");
    get_be32(&d); /* level */
    get_be64(&d); /* repaired at */
    r = get_clustering(&d, &statistics->min_clustering_count, statistics->min_clustering);
    if (r < 0)
        return err_with(r, "smallest clustering");
    r = get_clustering(&d, &statistics->max_clustering_count, statistics->max_clustering);
    if (r < 0)
        return err_with(r, "largest clustering");
    get_u8(&d); /* legacy counter shards */
    statistics->columns_set = get_be64(&d);
    statistics->rows = get_be64(&d);
    return decoder_failed(&d) ? err_new(-EUCLEAN, "ends within the statistics") : 0;
}

/** The bytes of one part, by the table of contents; its CRC fits, or it is an error. */
static int get_part(struct bytes content, struct decoder toc, uint32_t count, uint32_t number,
    uint32_t *ret_type, struct bytes *ret_part)
{
    uint32_t type = 0, start = 0, end = (uint32_t)content.size;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t entry_type = get_be32(&toc), offset = get_be32(&toc);

        if (i == number) {
            type = entry_type;
            start = offset;
        } else if (i == number + 1) {
            end = offset;
        }
    }
    if (end > content.size || start > end || end - start < 4)
        return err_new(-EUCLEAN, "part %u from %u to %u", number, start, end);
    if (crc32_update(0, content.data + start, end - start - 4) != load_be32(content.data + end - 4))
        return err_new(-EBADMSG, "checksum of part %u does not fit", number);
    *ret_type = type;
    *ret_part = bytes_of(content.data + start, end - start - 4);
    return 0;
}

int statistics_decode(struct bytes content, struct statistics *ret_statistics)
{
    struct decoder d = decoder_of(content);
    uint32_t count = get_be32(&d), crc = get_be32(&d), found = 0;
    struct statistics statistics = {0};
    struct decoder toc = d;
    int r;

    if (decoder_failed(&d) || content.size > STATISTICS_BYTES_MAX || count > METADATA_COUNT)
        return err_new(-EUCLEAN, "%u parts", count);
    if (crc32_update(0, content.data, 4) != crc)
        return err_new(-EBADMSG, "checksum of the count does not fit");
    get_bytes(&d, 8 * (size_t)count);
    crc = get_be32(&d);
    if (decoder_failed(&d))
        return err_new(-EUCLEAN, "ends within its table of contents");
    if (crc32_update(crc32_update(0, content.data, 4), toc.at, 8 * (size_t)count) != crc)
        return err_new(-EBADMSG, "checksum of the table of contents does not fit");

    for (uint32_t i = 0; i < count; i++) {
        struct bytes part = BYTES_NONE;
        uint32_t type = 0;

        r = get_part(content, toc, count, i, &type, &part);
        if (r < 0)
            return r;
        if (type == METADATA_VALIDATION)
            r = decode_validation(part, &statistics);
        else if (type == METADATA_STATS)
            r = decode_stats(part, &statistics);
        else if (type == METADATA_HEADER)
            statistics.header = part;
        if (r < 0)
            return r;
        if (type < METADATA_COUNT)
            found |= 1u << type;
    }
    /* COMPACTION may be left out: it only helps to guess at sizes. */
    if ((found | 1u << METADATA_COMPACTION) != (1u << METADATA_COUNT) - 1)
        return err_new(-EUCLEAN, "parts are missing (has 0x%x)", found);
    *ret_statistics = statistics;
    return 0;
}
