/*
 * Partitions out of arrays, for tests of what reads iterators; and partitions as text, to compare.
 *
 * The iterators hand out copies that are freed with the next call, so that whoever uses what was
 * borrowed for too long is found (AddressSanitizer).
 */
#ifndef SSTFS_TESTS_ARRAY_PARTITION_H
#define SSTFS_TESTS_ARRAY_PARTITION_H

#include "engine/buf.h"
#include "engine/unfiltered.h"

struct array_partition {
    struct bytes key;
    struct deletion deletion;
    const struct row *static_row; /* NULL: none */
    const struct unfiltered *unfiltereds;
    size_t count;
    int failure; /* negative: what next() returns after the last unfiltered */
};

/** The array must outlive the iterator. */
struct partition_iterator *array_partition_open(
    const struct table_schema *schema, const struct array_partition *partition);
/** Partitions in the order of decorated keys. */
struct partition_scanner *array_scanner_open(
    const struct table_schema *schema, const struct array_partition *partitions, size_t count);
/** Iterators that were opened and not closed. */
unsigned array_partitions_open(void);

/** One line a part, values as hexadecimal. */
void row_to_text(const struct row *row, struct buf *to);
void unfiltered_to_text(const struct unfiltered *unfiltered, struct buf *to);
/** Key, deletion, static row and all unfiltereds; returns what next() returned last. */
int partition_to_text(struct partition_iterator *partition, struct buf *to);
/** The buffer as a string, valid until it changes. */
const char *text_of(struct buf *buf);
void text_add(struct buf *to, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
