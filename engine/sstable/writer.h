/*
 * Writes one SSTable: partitions in, all eight components out. Streams: memory does not grow with
 * a partition (the promoted index of the current one, the offsets and the filter are what it
 * keeps).
 *
 *   open -> [begin_partition -> append … -> end_partition] … -> finish | discard
 *
 * One thread. The files are in `folder`, synced by finish(); it is the caller who moves or names
 * them and syncs the folder (a table is live only by the manifest).
 */
#ifndef SSTFS_SSTABLE_WRITER_H
#define SSTFS_SSTABLE_WRITER_H

#include "engine/sstable.h"

struct sstable_writer;

struct sstable_writer_options {
    uint64_t expected_partitions; /* sizes the bloom filter; more may come */
    /* Bases of the deltas: any are right, minima make it small (FORMAT.md, "Bases"). */
    int64_t min_timestamp_us;          /* INT64_MAX: nothing known */
    int32_t min_local_deletion_time_s; /* LOCAL_DELETION_TIME_NONE: none */
    int32_t min_ttl_s;                 /* INT32_MAX: none */
    uint64_t expected_rows; /* sizes the filter of rows, if the table has one; more may come */
};

/** `schema` (its columns become the header's) must outlive the writer. */
MUST_USE int sstable_writer_open(struct env *env, const char *folder, const struct sstable_id *id,
    const struct table_schema *schema, const struct sstable_writer_options *options,
    struct sstable_writer **ret_writer);

/** Keys strictly ascend (asserted). `static_row` NULL: none. */
MUST_USE int sstable_writer_begin_partition(struct sstable_writer *writer,
    const struct decorated_key *key, struct deletion deletion, const struct row *static_row);
MUST_USE int sstable_writer_append(
    struct sstable_writer *writer, const struct unfiltered *unfiltered);
MUST_USE int sstable_writer_end_partition(struct sstable_writer *writer);

/** All of a partition: begin, append each, end. `ret_written`: false if it was wholly empty. */
MUST_USE int sstable_writer_write(
    struct sstable_writer *writer, struct partition_iterator *partition, bool *ret_written);

uint64_t sstable_writer_bytes(const struct sstable_writer *writer); /* of Data.db so far */
/** Of what has been put, before it was compressed. */
uint64_t sstable_writer_stream_bytes(const struct sstable_writer *writer);
uint64_t sstable_writer_partitions(const struct sstable_writer *writer);

/** Completes and syncs all components; frees the writer, also on failure. */
MUST_USE int sstable_writer_finish(struct sstable_writer *writer, struct sstable_facts *ret_facts);
/** Removes what was written and frees. NULL does nothing. */
void sstable_writer_discard(struct sstable_writer *writer);

#endif
