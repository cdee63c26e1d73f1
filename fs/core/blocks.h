/*
 * The table `blocks`: pages of files, without knowing whose they are.
 *
 *   file     0        128 KiB                64 MiB
 *   block    |    0     |    1     | … | 511   | 512 …       one row each
 *   page     | 0 … 31   | 32 … 63  |                         one cell each: p00 … p31
 *   extent   |              0                  | 1 …         one partition each
 *
 * A missing cell is a hole; a cell shorter than a page ends in zeros. Pages are counted from the
 * start of the file. Whoever calls has the file's lock.
 */
#ifndef SSTFS_FS_CORE_BLOCKS_H
#define SSTFS_FS_CORE_BLOCKS_H

#include "core/reclaim.h"
#include "core/tables.h"

/** Pages that hold the bytes [0, size). */
static inline uint64_t pages_of(uint64_t size)
{
    return (size + PAGE_BYTES - 1) / PAGE_BYTES;
}

/** A stored page; `content` is borrowed for the call. Anything but 0 ends the walk. */
typedef int (*blocks_page)(void *arg, uint64_t page, struct bytes content);

/**
 * Each stored page of [first, end) in ascending order. 0, what `each` ended it with, or an error.
 */
MUST_USE int blocks_each(
    struct source *source, uint64_t ino, uint64_t first, uint64_t end, blocks_page each, void *arg);

/** Copies what is stored of [offset, offset + size) to `to`; does not touch the rest of it. */
MUST_USE int blocks_read(
    struct source *source, uint64_t ino, uint64_t offset, size_t size, uint8_t *to);

/** One page: 1 and its bytes (`*ret_size` of them), or 0: a hole. */
MUST_USE int blocks_read_page(
    struct source *source, uint64_t ino, uint64_t page, uint8_t to[PAGE_BYTES], size_t *ret_size);

/** Stored pages in [first, end), or `enough` as soon as there are so many. */
MUST_USE int64_t blocks_count(
    struct source *source, uint64_t ino, uint64_t first, uint64_t end, uint64_t enough);

/** First stored (`stored`) or missing page of [first, end), or `end`. */
MUST_USE int blocks_find(struct source *source, uint64_t ino, uint64_t first, uint64_t end,
    bool stored, uint64_t *ret_page);

/** Writes pages of one file, in ascending order, to a batch. Where it stays: points into itself. */
struct blocks_writer {
    struct batch *batch;
    uint64_t ino;
    uint64_t first, end; /* every page of these will be put; others may be, too */
    struct row_key key;
    uint32_t block;
    bool begun;
};
void blocks_writer_init(
    struct blocks_writer *writer, struct batch *batch, uint64_t ino, uint64_t first, uint64_t end);
/** `content`: 1 to PAGE_BYTES bytes. */
void blocks_writer_put(struct blocks_writer *writer, uint64_t page, struct bytes content);
/** The same; what lies in a buffer stays there. */
void blocks_writer_put_piece(
    struct blocks_writer *writer, uint64_t page, const struct fs_piece *piece);

/**
 * Deletes the pages [first, end): cells, ranges of rows, and as partitions the extents that it
 * covers. `to_end`: nothing is stored from `end` on, so the last extent may go whole.
 *
 * 0; or 1: more than EXTENTS_PER_BATCH_MAX extents. Then these are not deleted, a row of `orphans`
 * in the batch and `*ret_range` say which (cut.h).
 */
MUST_USE int blocks_delete(struct source *source, struct batch *batch, uint64_t ino, uint64_t first,
    uint64_t end, bool to_end, struct orphan *ret_range);

#endif
