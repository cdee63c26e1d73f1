/*
 * One SSTable in Cassandra's nb format, open for reading. sstable/FORMAT.md has every byte.
 *
 * Thread-safe; iterators and scanners hold a reference to their table and are used by one thread
 * at a time. Damage is -EUCLEAN or -EBADMSG with file, offset and what is wrong.
 */
#ifndef SSTFS_ENGINE_SSTABLE_H
#define SSTFS_ENGINE_SSTABLE_H

#include "engine/io.h"
#include "engine/unfiltered.h"

struct chunk_cache;
struct sstable;

/** As in the names of its files: nb-<text>-big-Data.db. */
#define SSTABLE_ID_TEXT_MAX 32
struct sstable_id {
    char text[SSTABLE_ID_TEXT_MAX + 1];
};

enum sstable_component {
    COMPONENT_DATA,
    COMPONENT_INDEX,
    COMPONENT_SUMMARY,
    COMPONENT_FILTER,
    COMPONENT_STATISTICS,
    COMPONENT_COMPRESSION_INFO,
    COMPONENT_CRC,
    COMPONENT_DIGEST,
    COMPONENT_TOC,
    COMPONENT_COUNT,
};

/** "nb-<id>-big-Data.db" and so on. */
#define SSTABLE_FILE_NAME_MAX (3 + SSTABLE_ID_TEXT_MAX + 5 + 20)
void sstable_file_name(const struct sstable_id *id, enum sstable_component component,
    char to[SSTABLE_FILE_NAME_MAX + 1]);
/** The parts of a file name; false: not a component of an nb SSTable. */
bool sstable_parse_file_name(
    const char *name, struct sstable_id *ret_id, enum sstable_component *ret_component);

/** A new time-based UUID id: `tick_100ns` since 1582-10-15, strictly increasing in a store's open,
 * and 64 bits of which 62 are random at each open (the top two are set to the variant). */
void sstable_id_make(struct sstable_id *to, uint64_t tick_100ns, uint64_t low_bits);

/** What the engine needs to know of a table without opening it: kept in the manifest. */
struct sstable_facts {
    struct sstable_id id;
    uint64_t partitions, rows, tombstones; /* tombstones: cells, rows, ranges, partitions */
    uint64_t data_bytes;                   /* Data.db on disk */
    uint64_t total_bytes;                  /* all components */
    uint64_t stream_bytes;                 /* uncompressed */
    int64_t min_timestamp_us, max_timestamp_us;
    int32_t min_local_deletion_time_s, max_local_deletion_time_s;
    int32_t min_ttl_s;
    int64_t first_token, last_token;
    uint32_t digest; /* CRC-32 of Data.db */
};

/**
 * Opens the SSTable `id` in folder `folder` of the env. `schema` NULL: made from the table's own
 * serialization header, keyspace and table name from the folder's name (dump, foreign tables);
 * else its columns must be columns of the schema, and what iterators give is numbered by it.
 * `schema` and `cache` must outlive it. One reference.
 */
MUST_USE int sstable_open(struct env *env, const char *folder, const struct sstable_id *id,
    const struct table_schema *schema, struct chunk_cache *cache, struct sstable **ret_sstable);
struct sstable *sstable_ref(struct sstable *sstable);
/** The last one closes. NULL does nothing. */
void sstable_unref(struct sstable *sstable);
static inline void sstable_unrefp(struct sstable **sstable)
{
    sstable_unref(*sstable);
}
/** Memory that it takes now: more of its components are loaded when they are first needed. */
uint64_t sstable_memory_bytes(const struct sstable *sstable);

const struct table_schema *sstable_schema(const struct sstable *sstable);
const struct sstable_facts *sstable_facts(const struct sstable *sstable);

/** False only if it surely is not here: token range, bloom filter. */
bool sstable_may_contain(struct sstable *sstable, const struct decorated_key *key);

/** 1 and the partition within the slice; 0: not here (also: the slice is outside of the table's
 * clustering range and there is no static row or deletion); negative: error. */
MUST_USE int sstable_read(struct sstable *sstable, const struct decorated_key *key,
    const struct slice *slice, struct partition_iterator **ret_iterator);

/** Partitions with token in [first, last], sequentially, by-passing the chunk cache. */
MUST_USE int sstable_scan(struct sstable *sstable, int64_t first_token, int64_t last_token,
    struct partition_scanner **ret_scanner);

/** Reads everything, believes nothing: digest, chunk CRCs, key order, rows, index, summary, filter
 * and statistics agree. 0, or the first damage (text says which file and where). */
MUST_USE int sstable_verify(struct sstable *sstable);

struct sstable_read_stats {
    uint64_t filter_negatives, filter_false_positives, chunk_reads, index_reads;
};
void sstable_get_read_stats(struct sstable *sstable, struct sstable_read_stats *ret_stats);

#endif
