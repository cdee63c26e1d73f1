/*
 * The serialization header: which columns an SSTable's rows have, and from which bases its
 * timestamps, deletion times and ttls are counted (FORMAT.md, "Serialization header"; Cassandra:
 * db/SerializationHeader.java). The HEADER part of Statistics.db.
 */
#ifndef SSTFS_SSTABLE_HEADER_H
#define SSTFS_SSTABLE_HEADER_H

#include "base/arena.h"
#include "engine/auto.h"
#include "engine/buf.h"
#include "engine/unfiltered.h"

/** A column as data.c needs it. */
struct header_column {
    const struct type *type;
    uint16_t number;     /* in the schema's list of its kind */
    uint8_t fixed_width; /* bytes of a value; 0: prefixed by their count */
    bool is_complex;
};

struct header_columns {
    unsigned count;
    unsigned complex_count; /* the last ones */
    const struct header_column *columns;
};

struct serialization_header {
    int64_t min_timestamp_us;
    int32_t min_local_deletion_time_s;
    int32_t min_ttl_s;
    const struct table_schema *schema; /* by which columns are numbered; for comparisons */
    struct header_columns clustering, statics, regulars;
};

/** Cassandra's epoch of 2015-09-22, from which the bases themselves are counted. */
#define HEADER_EPOCH_TIMESTAMP_US 1442880000000000
#define HEADER_EPOCH_LOCAL_DELETION_TIME_S 1442880000

static inline const struct header_columns *header_columns_of(
    const struct serialization_header *header, bool is_static)
{
    return is_static ? &header->statics : &header->regulars;
}

/** All columns of `schema`, in its order; bases are the epochs. Memory is the arena's. */
MUST_USE int header_of_schema(struct arena *arena, const struct table_schema *schema,
    struct serialization_header *ret_header);

void header_encode(struct buf *to, const struct serialization_header *header);

/**
 * Decodes; `ret_schema` gets keys and columns as the header lists them, and nothing else; the
 * columns of `ret_header` are numbered by it. -EUCLEAN: cannot be; -ENOTSUP: types we do not know.
 */
MUST_USE int header_decode(struct arena *arena, struct bytes content,
    struct table_schema *ret_schema, struct serialization_header *ret_header);

/**
 * Numbers the columns of a decoded header by `schema`. -EUCLEAN if it lacks one, or has it with
 * another type.
 */
MUST_USE int header_adopt_schema(struct arena *arena, struct serialization_header *header,
    const struct table_schema *own, const struct table_schema *schema);

#endif
