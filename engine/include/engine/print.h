/*
 * Values and partitions as text, exactly as sstabledump -t prints them (Cassandra 5.0.5:
 * tools/JsonTransformer.java, toJSONString() and getString() of the types), so that a diff of the
 * two says whether we and Cassandra read the same.
 *
 * What is no value of its type (bad UTF-8, a wrong length), on which sstabledump fails, is printed
 * as a hexadecimal string or with U+FFFD. Errors are the buffer's.
 */
#ifndef SSTFS_ENGINE_PRINT_H
#define SSTFS_ENGINE_PRINT_H

#include "engine/buf.h"
#include "engine/unfiltered.h"

/** As printf(), for what is surely below 128 bytes. */
void print_short(struct buf *out, const char *format, ...) PRINTF_LIKE(2, 3);

/** A JSON value: a number, a string in quotes, … */
void value_print_json(const struct type *type, struct bytes value, struct buf *out);
/** Plain text, as for keys and paths: blobs are hexadecimal without 0x. Not yet quoted. */
void value_print_text(const struct type *type, struct bytes value, struct buf *out);
/** A JSON string with quotes and escapes. */
void string_print_json(struct bytes text, struct buf *out);
/** The parts of a partition key, each as a JSON string: [ "1", "a" ]. */
void key_print_json(const struct table_schema *schema, struct bytes key, struct buf *out);

/**
 * One partition: an object, indented by two spaces, without a line end; reads it to its end. The
 * whole is "[\n", the partitions with ",\n" between, "\n]". `now_s` decides what "expired" says.
 * Errors: the iterator's, -ENOMEM.
 */
MUST_USE int partition_print_json(
    struct partition_iterator *partition, int64_t now_s, struct buf *out);

/**
 * The same in parts, for partitions of any size: begin, each unfiltered, end. `ret_rows` counts
 * what lies in "rows"; it is begun by begin.
 */
void partition_print_json_begin(
    const struct partition_iterator *partition, int64_t now_s, uint64_t *ret_rows, struct buf *out);
void partition_print_json_unfiltered(const struct table_schema *schema,
    const struct unfiltered *unfiltered, int64_t now_s, uint64_t *rows, struct buf *out);
void partition_print_json_end(uint64_t rows, struct buf *out);

#endif
