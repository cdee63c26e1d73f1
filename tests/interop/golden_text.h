/*
 * What a table reads as: the text of sstabledump, by scanning it, and by looking each key up.
 */
#ifndef SSTFS_TESTS_GOLDEN_TEXT_H
#define SSTFS_TESTS_GOLDEN_TEXT_H

#include "engine/buf.h"
#include "engine/sstable.h"

/** A time after which nothing of the golden tables expires: of "expired" we say what we want. */
#define GOLDEN_NOW_S 1800000000

#define GOLDEN_KEYS_MAX 4096

/** Keys in the table's order; memory is `bytes`. */
struct golden_keys {
    unsigned count;
    struct {
        size_t at, size;
    } keys[GOLDEN_KEYS_MAX];
    struct buf bytes;
};

/** Appends the dump; 0 or a negative errno. `keys` (may be NULL) is filled. */
MUST_USE int text_by_scan(struct sstable *sstable, struct buf *text, struct golden_keys *keys);
/** The same by lookups; a key that is not found leaves its partition out. */
MUST_USE int text_by_reads(
    struct sstable *sstable, const struct golden_keys *keys, struct buf *text);

#endif
