/*
 * Index.db: where each partition begins, and for wide ones, where in it which clusterings lie: the
 * promoted index (FORMAT.md, "Index.db"; Cassandra: io/sstable/format/big/RowIndexEntry.java,
 * io/sstable/IndexInfo.java).
 *
 *   entry:  key, position | size, header length, deletion, count | IndexInfo … | offsets …
 */
#ifndef SSTFS_SSTABLE_INDEX_H
#define SSTFS_SSTABLE_INDEX_H

#include "sstable/data.h"

/* ---- writing ---- */

/** The promoted index of the partition at hand. */
struct index_builder {
    const struct serialization_header *header;
    uint32_t block_bytes;
    struct buf infos;
    struct buf offsets;     /* i32 big-endian */
    struct buf first, last; /* clustering prefixes of the block that is open */
    uint64_t block_start;   /* from the partition's start */
    bool block_is_open;
    struct deletion open; /* range tombstone open behind the last unfiltered */
};

/** Blocks of `block_bytes`. */
void index_builder_init(
    struct index_builder *builder, const struct serialization_header *header, uint32_t block_bytes);
void index_builder_release(struct index_builder *builder);
void index_builder_begin(struct index_builder *builder);
/** An unfiltered from `start` to `end`, both from the partition's start. */
void index_builder_add(struct index_builder *builder, const struct unfiltered *unfiltered,
    uint64_t start, uint64_t end);
/** The end of the partition, `end` being behind its last byte; appends the entry. */
MUST_USE int index_builder_finish(struct index_builder *builder, struct buf *to, struct bytes key,
    uint64_t position, struct deletion deletion, uint64_t header_bytes, uint64_t end);

/* ---- reading ---- */

/** The part of an entry in front of its IndexInfos. */
struct index_entry {
    struct bytes key;
    uint64_t position;      /* of the partition in the stream */
    uint32_t promoted_size; /* 0: no promoted index, and nothing below is set */
    uint64_t header_bytes;  /* of the partition's header and static row */
    struct deletion deletion;
    uint32_t block_count;
    uint32_t infos_at; /* from the start of the entry */
    uint32_t offsets_at;
    uint64_t entry_bytes; /* set for all */
};

enum data_result index_get_entry(struct decoder *d, struct index_entry *ret_entry);

struct index_info {
    struct clustering first, last;
    uint64_t offset; /* of the block from the partition's start */
    uint64_t width;
    struct deletion open; /* behind the block's last unfiltered */
    struct clustering_memory first_memory, last_memory;
};

enum data_result index_get_info(
    struct decoder *d, const struct serialization_header *header, struct index_info *ret_info);

/** An IndexInfo at most: two clusterings and some numbers. */
#define INDEX_INFO_BYTES_MAX (2 * HEAD_BYTES_MAX)

#endif
