/*
 * Encoded updates (UPDATES.md) of a batch: one run of bytes, of which large values may lie
 * elsewhere.
 *
 *   encoded   | … size | … size | …         shared[0].at ----^        ^---- shared[1].at
 *   the run   | … size value | … size value | …
 */
#ifndef SSTFS_ROWS_UPDATES_H
#define SSTFS_ROWS_UPDATES_H

#include "engine/bytes.h"

/** A value that is not among the encoded bytes, but in a value buffer. */
struct shared_value {
    size_t at; /* in the encoded bytes: what follows it there */
    struct bytes value;
};

/** What the calls of mutation.h encoded: one run of bytes, as the log has it, in pieces. */
struct updates {
    struct bytes encoded;
    const struct shared_value *shared; /* ascending by `at` */
    unsigned shared_count;
    size_t bytes; /* of all */
};

static inline struct updates updates_of(struct bytes encoded)
{
    return (struct updates){.encoded = encoded, .bytes = encoded.size};
}

/** Where a reader of that run is. Begins as {.updates = …}. */
struct updates_reader {
    const struct updates *updates;
    size_t at;       /* in the encoded bytes */
    unsigned shared; /* the shared value that comes next */
    size_t skip;     /* bytes of it that were read */
};
/** What comes next, `size` bytes at most and as far as they lie together; none: the end. */
struct bytes updates_read(struct updates_reader *reader, size_t size);

#endif
