/*
 * Partitions, rows and tombstones as they lie in Data.db (FORMAT.md, "Unfiltereds"; Cassandra:
 * db/rows/UnfilteredSerializer.java, Cell.java, db/ClusteringPrefix.java, db/Columns.java).
 *
 * Decoding is in two steps, as rows may be long and need not be in memory as a whole: the head
 * (kind, clustering, how many bytes follow), by which a reader can skip, then the body.
 */
#ifndef SSTFS_SSTABLE_DATA_H
#define SSTFS_SSTABLE_DATA_H

#include "engine/coding.h"
#include "rows/reconcile.h"
#include "sstable/header.h"

/** The flags byte that ends a partition. */
#define END_OF_PARTITION 0x01u

/** A row's body on disk at most: Cassandra's max_value_size. */
#define ROW_BYTES_MAX (256u << 20)
/** A head at most: 32 clustering values of 64 KiB. */
#define HEAD_BYTES_MAX (4u << 20)
#define DELETION_BYTES 12u
#define KEY_BYTES_MAX 65535u
/** Statistics.db counts the bytes of one in 16 bits. */
#define CLUSTERING_VALUE_BYTES_MAX 65535u

/* ---- writing ---- */

/**
 * A piece of the stream, encoded: the head, then the body with the large values, which stay where
 * they are, between its bytes.
 */
struct record {
    struct buf head, body;
    struct record_value {
        size_t at; /* in the body: what it comes before */
        struct bytes value;
    } * values;
    size_t value_count, value_capacity;
    size_t value_bytes;
};

void record_clear(struct record *record);
static inline size_t record_bytes(const struct record *record)
{
    return record->head.size + record->body.size + record->value_bytes;
}
/** 0, or -ENOMEM: something was not put. */
static inline int record_error(const struct record *record)
{
    return buf_error(&record->head) < 0 ? buf_error(&record->head) : buf_error(&record->body);
}

/** What is needed to encode, owned by the writer. */
struct data_encoder {
    const struct serialization_header *header;
    struct record record; /* what is put; to be taken and cleared */
    uint16_t *present;    /* columns of the row at hand, as many as the header has */
};

MUST_USE int data_encoder_init(
    struct data_encoder *encoder, const struct serialization_header *header);
void data_encoder_release(struct data_encoder *encoder);

/** 12 bytes: local deletion time, then timestamp. */
void data_put_deletion(struct buf *to, struct deletion deletion);
void data_put_partition_header(
    struct data_encoder *encoder, struct bytes key, struct deletion deletion);
/** As in IndexInfo, and behind the flags of a marker: kind, for bounds their size, values. */
void data_put_clustering_prefix(
    struct buf *to, const struct serialization_header *header, const struct clustering *clustering);
/** The static row of a header with static columns; `row` NULL: an empty one. Borrows its values. */
void data_put_static_row(struct data_encoder *encoder, const struct row *row);
/** Borrows its values. `previous_bytes`: from the start of the unfiltered before (or of the
 * partition) to this one. */
void data_put_unfiltered(
    struct data_encoder *encoder, const struct unfiltered *unfiltered, uint64_t previous_bytes);
void data_put_end_of_partition(struct data_encoder *encoder);

/* ---- reading ---- */

enum data_result {
    DATA_OK,
    DATA_MORE, /* the bytes end before what is decoded does */
    DATA_BAD,  /* no bytes behind it can make it right */
};

/** Live deletions come out as DELETION_LIVE. */
struct deletion data_get_deletion(struct decoder *d);

enum data_result data_get_partition_header(
    struct decoder *d, struct bytes *ret_key, struct deletion *ret_deletion);

/** Memory for the values of one clustering. */
struct clustering_memory {
    struct bytes values[CLUSTERING_COLUMNS_MAX];
};

enum data_result data_get_clustering_prefix(struct decoder *d,
    const struct serialization_header *header, struct clustering_memory *memory,
    struct clustering *ret_clustering);

struct unfiltered_head {
    uint8_t flags;
    bool is_end; /* of the partition; then nothing else is set */
    bool is_marker;
    bool is_static;
    struct clustering clustering; /* values are in the memory given */
    uint64_t body_bytes;
};

/** The clustering of a static row is of KIND_STATIC, without values. */
enum data_result data_get_head(struct decoder *d, const struct serialization_header *header,
    struct clustering_memory *memory, struct unfiltered_head *ret_head);

/** What the cells of one row are decoded into; reused from row to row. */
struct row_memory {
    struct cell *cells;
    uint32_t cell_count, cell_capacity;
    struct complex_deletion *complex_deletions;
    uint32_t complex_deletion_count, complex_deletion_capacity;
    const struct cell *lent; /* the caller's array, as long as `cells` is the same */
};

#define ROW_MEMORY_INIT ((struct row_memory){0})
/** Begins with `count` cells of the caller, so that no row with as few needs memory. */
static inline struct row_memory row_memory_lent(struct cell *cells, uint32_t count)
{
    return (struct row_memory){.cells = cells, .cell_capacity = count, .lent = cells};
}
void row_memory_release(struct row_memory *memory);

/**
 * The body behind `head`: all of `body`, not a byte more or less. Paths and values point into it.
 * -EUCLEAN (text says what), -ENOMEM. `ret_unfiltered->position` is left alone.
 */
MUST_USE int data_get_body(const struct serialization_header *header,
    const struct unfiltered_head *head, struct bytes body, struct row_memory *memory,
    struct unfiltered *ret_unfiltered);

/* ---- a part of a row ---- */

/**
 * An even row: all its cells take as many bytes, so each can be found without those before it. It
 * is EVEN_ROW_BYTES_MIN long or longer and has all columns, which are simple and without a fixed
 * width; no TTL, no deletion of its own, and its first cell has a value that does not expire.
 */
struct even_row {
    struct liveness liveness;
    uint64_t cells_at; /* in the body */
    uint64_t cell_bytes;
};

/** Below, a row is read as a whole. */
#define EVEN_ROW_BYTES_MIN (32u << 10)
/** What `start` must have of the body: the size of the unfiltered before, timestamp, and a cell's
 * flags, timestamp and length. */
#define EVEN_ROW_START_BYTES (9u + 9u + 1u + 9u + 9u)

/**
 * Whether, by its size and its first cell, the row may be even. Of an SSTable whose digests say so
 * (digest.h), all that may be are. `start`: what the body begins with.
 */
bool data_may_be_even(const struct serialization_header *header, const struct unfiltered_head *head,
    struct bytes start, struct even_row *ret_even);
/** Whether one that may be is. */
bool data_is_even(const struct serialization_header *header, const struct row *row);
/** Columns of a header that follow each other. */
struct column_run {
    unsigned first, count;
};
/** The cells `part` of an even row, which are all of `bytes`; as data_get_body(). The row has no
 * clustering. */
MUST_USE int data_get_part(const struct serialization_header *header, const struct even_row *even,
    const struct column_run *part, struct bytes bytes, struct row_memory *memory,
    struct row *ret_row);

#endif
