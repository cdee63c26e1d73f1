/*
 * Partitions, rows, cells and tombstones in memory: what iterators hand out and writers take in.
 *
 *   partition  = key, deletion, static row, then unfiltereds in clustering order
 *   unfiltered = row | range tombstone marker
 *   row        = clustering, liveness, deletion, cells (by column, then by path)
 *
 * All of it is borrowed: who hands it out says for how long it lives (iterators: until the next
 * call). Names and meanings are Cassandra's: db/rows, db/DeletionTime, db/LivenessInfo.
 */
#ifndef SSTFS_ENGINE_UNFILTERED_H
#define SSTFS_ENGINE_UNFILTERED_H

#include "engine/auto.h"
#include "engine/bytes.h"
#include "engine/schema.h"

#define TIMESTAMP_NONE INT64_MIN
#define LOCAL_DELETION_TIME_NONE INT32_MAX      /* live, in an nb SSTable */
#define LOCAL_DELETION_TIME_MAX (INT32_MAX - 1) /* 2038-01-19T03:14:06Z */
#define TTL_MAX_S 630720000                     /* 20 years: CQL takes no longer one */
#define CLUSTERING_COLUMNS_MAX 32

/** Everything with a timestamp at or below the first number is deleted. */
struct deletion {
    int64_t marked_for_delete_at_us;
    int32_t local_deletion_time_s; /* when it was made; decides purging only */
};
#define DELETION_LIVE ((struct deletion){TIMESTAMP_NONE, LOCAL_DELETION_TIME_NONE})

static inline bool deletion_is_live(struct deletion d)
{
    return d.marked_for_delete_at_us == TIMESTAMP_NONE;
}

/** Set by INSERT, not by UPDATE: the row exists even without cells. */
struct liveness {
    int64_t timestamp_us;          /* TIMESTAMP_NONE: no liveness */
    int32_t ttl_s;                 /* 0: does not expire */
    int32_t local_deletion_time_s; /* when it expires */
};
#define LIVENESS_NONE ((struct liveness){TIMESTAMP_NONE, 0, LOCAL_DELETION_TIME_NONE})

/** Codes of the nb format. */
enum clustering_kind {
    KIND_EXCL_END = 0,
    KIND_INCL_START = 1,
    KIND_EXCL_END_INCL_START = 2,
    KIND_STATIC = 3, /* never serialized */
    KIND_ROW = 4,
    KIND_INCL_END_EXCL_START = 5,
    KIND_INCL_END = 6,
    KIND_EXCL_START = 7,
};

/** A row's clustering, or the bound of a slice or range tombstone (which may have fewer values). */
struct clustering {
    const struct bytes *values; /* .data == NULL: null (old compact tables only) */
    uint8_t count;
    uint8_t kind; /* enum clustering_kind */
};
#define CLUSTERING_ROW(value_pointer, value_count)                                                 \
    ((struct clustering){(value_pointer), (uint8_t)(value_count), KIND_ROW})
#define BOUND_START_OF_ALL ((struct clustering){NULL, 0, KIND_INCL_START})
#define BOUND_END_OF_ALL ((struct clustering){NULL, 0, KIND_INCL_END})

/** From a start bound (INCL_START, EXCL_START) to an end bound (INCL_END, EXCL_END). */
struct slice {
    struct clustering start;
    struct clustering end;
};
#define SLICE_ALL ((struct slice){BOUND_START_OF_ALL, BOUND_END_OF_ALL})

/** A value, a tombstone (local deletion time, no ttl) or an expiring value (both). */
struct cell {
    int64_t timestamp_us;
    int32_t local_deletion_time_s; /* LOCAL_DELETION_TIME_NONE: neither deleted nor expiring */
    int32_t ttl_s;                 /* 0: does not expire */
    uint16_t column;               /* number in the list of its kind (schema.h) */
    struct bytes path;             /* complex columns: the map's key, … */
    struct bytes value;            /* empty for tombstones */
};

static inline bool cell_is_tombstone(const struct cell *cell)
{
    return cell->local_deletion_time_s != LOCAL_DELETION_TIME_NONE && cell->ttl_s == 0;
}

static inline bool cell_is_expiring(const struct cell *cell)
{
    return cell->ttl_s != 0;
}

/** A whole map (set, list) deleted: all its cells at or below the timestamp. */
struct complex_deletion {
    uint16_t column;
    struct deletion deletion;
};

struct row {
    struct clustering clustering; /* KIND_STATIC for a static row */
    struct liveness liveness;
    struct deletion deletion;
    uint32_t cell_count;
    uint32_t complex_deletion_count;
    const struct cell *cells;                         /* by column, then path */
    const struct complex_deletion *complex_deletions; /* by column; none of them live */
};

/** Bound or boundary of range tombstones; what it does not close (open) is DELETION_LIVE. */
struct marker {
    struct clustering bound;
    struct deletion closes;
    struct deletion opens;
};

struct unfiltered {
    bool is_marker;
    uint64_t position; /* in the SSTable's uncompressed stream; 0 elsewhere. For dump only */
    union {
        struct row row;
        struct marker marker;
    };
};

/** Order of partitions: by token, then by key bytes. */
struct decorated_key {
    int64_t token;
    struct bytes key;
};

/* ---- iterators ---- */

struct partition_iterator;
struct partition_iterator_ops {
    /** 1 and the next unfiltered, borrowed until the next call; 0 at the end; negative: error. */
    int (*next)(struct partition_iterator *iterator, const struct unfiltered **ret_unfiltered);
    void (*close)(struct partition_iterator *iterator);
    /**
     * Goes over what is before `bound` and cheap to pass, and sets `ret_open` to the range
     * tombstone that is open there, as no markers tell of it: for who knows that nothing there
     * counts. May do nothing. To be called between two calls of next, before the end. NULL: it
     * never can.
     */
    int (*skip)(struct partition_iterator *iterator, const struct clustering *bound,
        struct deletion *ret_open);
};

/**
 * The unfiltereds of one partition within a slice, in clustering order. A range tombstone that is
 * open where the slice begins is opened there by a marker at the slice's start, and one that is
 * open where it ends is closed at the slice's end. Key, deletion and static row live until close.
 */
struct partition_iterator {
    const struct partition_iterator_ops *ops;
    const struct table_schema *schema;
    struct decorated_key key;
    struct deletion deletion;
    const struct row *static_row; /* NULL: none */
    int64_t newest_us;            /* if it can skip: no timestamp in it is newer */
    uint64_t position;            /* of the partition in its SSTable's stream; 0 elsewhere */
    uint64_t rows_position; /* of what follows the partition's header (static row), for dump */
};

MUST_USE static inline int partition_next(
    struct partition_iterator *iterator, const struct unfiltered **ret_unfiltered)
{
    return iterator->ops->next(iterator, ret_unfiltered);
}

/** NULL does nothing. */
static inline void partition_close(struct partition_iterator *iterator)
{
    if (iterator)
        iterator->ops->close(iterator);
}

static inline void partition_closep(struct partition_iterator **iterator)
{
    partition_close(*iterator);
}

struct partition_scanner;
struct partition_scanner_ops {
    /**
     * 1 and the next partition, owned by the scanner, valid until the next call (never close it);
     * it need not have been read to its end. 0 at the end; negative: error.
     */
    int (*next)(struct partition_scanner *scanner, struct partition_iterator **ret_partition);
    void (*close)(struct partition_scanner *scanner);
};

/** Partitions of a memtable, of an SSTable, or of a merge, in the order of decorated keys. */
struct partition_scanner {
    const struct partition_scanner_ops *ops;
    const struct table_schema *schema;
};

MUST_USE static inline int scanner_next(
    struct partition_scanner *scanner, struct partition_iterator **ret_partition)
{
    return scanner->ops->next(scanner, ret_partition);
}

static inline void scanner_close(struct partition_scanner *scanner)
{
    if (scanner)
        scanner->ops->close(scanner);
}

static inline void scanner_closep(struct partition_scanner **scanner)
{
    scanner_close(*scanner);
}

#endif
