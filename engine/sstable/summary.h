/*
 * Summary.db: each 128th partition's key and its place in Index.db, and the first and last key
 * (FORMAT.md, "Summary.db"; Cassandra: io/sstable/indexsummary/IndexSummary.java).
 */
#ifndef SSTFS_SSTABLE_SUMMARY_H
#define SSTFS_SSTABLE_SUMMARY_H

#include "engine/auto.h"
#include "engine/buf.h"
#include "engine/unfiltered.h"

/** Collects while Index.db is written. */
struct summary_builder {
    uint32_t interval;
    uint64_t partitions;
    struct buf entries;
    struct buf offsets; /* u32, as in memory: from the first entry */
    struct buf first_key, last_key;
};

void summary_builder_init(struct summary_builder *builder, uint32_t interval);
void summary_builder_release(struct summary_builder *builder);
/** The next partition, whose entry begins at `index_position` of Index.db. */
void summary_builder_add(
    struct summary_builder *builder, struct bytes key, uint64_t index_position);
void summary_encode(struct buf *to, struct summary_builder *builder);

struct summary_entry {
    int64_t token;
    struct bytes key;
    uint64_t index_position;
};

struct summary {
    uint32_t interval;
    uint32_t count; /* at least 1 */
    struct summary_entry *entries;
    struct bytes first_key, last_key;
    uint8_t *content; /* what all of it points into */
};

#define SUMMARY_INIT ((struct summary){0, 0, NULL, BYTES_NONE, BYTES_NONE, NULL})

/** Takes `content` (from malloc) over, also on failure. Entries ascend, or it is -EUCLEAN. */
MUST_USE int summary_decode(uint8_t *content, size_t size, struct summary *ret_summary);
void summary_release(struct summary *summary);

/** Interval, first and last key, borrowed from the content; the entries are not looked at. */
MUST_USE int summary_decode_ends(struct bytes content, uint32_t *ret_interval,
    struct bytes *ret_first_key, struct bytes *ret_last_key);

#endif
