/*
 * Types of columns: the constants, and the strings by which Cassandra names them in a
 * serialization header ("org.apache.cassandra.db.marshal.LongType"; sstable/FORMAT.md, "Type
 * strings"; db/marshal/TypeParser.java).
 */
#ifndef SSTFS_ROWS_TYPE_H
#define SSTFS_ROWS_TYPE_H

#include "base/arena.h"
#include "engine/auto.h"
#include "engine/buf.h"
#include "engine/schema.h"

extern const struct type type_ascii, type_smallint, type_tinyint, type_boolean, type_float,
    type_double, type_uuid, type_timeuuid, type_timestamp, type_date, type_time, type_varint,
    type_decimal, type_inet, type_duration;

/** How deep parameters may nest: map of frozen map of … */
#define TYPE_DEPTH_MAX 16

/**
 * One type out of its string; what is made for it lives in `arena`. -EUCLEAN: not a type string;
 * -ENOTSUP: one that we do not know (tuples, user types, counters); -ENOMEM.
 */
MUST_USE int type_parse(struct arena *arena, struct bytes text, const struct type **ret_type);

/**
 * The type of a partition key: its columns' types in `ret_types` (at most `max`), their count in
 * `ret_count`: the parameters of a CompositeType, or the one type that it is. Errors as type_parse.
 */
MUST_USE int type_parse_composite(struct arena *arena, struct bytes text,
    const struct type **ret_types, unsigned max, unsigned *ret_count);

/** Appends the string of one type. */
void type_print(const struct type *type, struct buf *buf);
/** Appends the string of a partition key's type: a CompositeType if `count` is over 1. */
void type_print_composite(const struct type *const *types, unsigned count, struct buf *buf);

/** By what the cells of a complex column are ordered: the map's keys, … */
const struct type *type_path(const struct type *type);
/** Of the value of a column's cell: itself, or a complex column's element (a set's: blob, empty).
 */
const struct type *type_cell_value(const struct type *type);

#endif
