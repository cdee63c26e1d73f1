/*
 * Sizes and holes: truncation, punching, zeroing.
 *
 * Whole extents go as partitions, whole blocks as ranges of rows, whole pages as cells; the pages
 * at the edges are read and written anew. A batch's deletions are older than its values, so all of
 * it is one batch. No page is left past the size: what comes back when the file grows is zeros.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/falloc.h>

#include "core/content.h"

/* A file in `small` keeps its first `keep` bytes and gets a size that still fits there. */
static int resize_small(const struct change *change, uint64_t keep)
{
    struct small_content small;
    int r = small_read(change->fs, change->node->ino, change->to, &small);

    if (r < 0)
        return r;
    if (small.size > keep)
        small_write(change, change->to->small, small.data, keep);
    return 0;
}

/* … and gets one that does not. */
static int resize_out_of_small(const struct change *change, uint64_t keep, uint64_t size)
{
    struct small_content small;
    struct blocks_writer writer;
    int r = small_read(change->fs, change->node->ino, change->to, &small);

    if (r < 0)
        return r;
    if (small.size > keep)
        small.size = keep;
    small_delete(change);
    blocks_writer_init(&writer, change->batch, change->node->ino, 0, pages_of(small.size));
    small_put_pages(&writer, &small, pages_of(small.size));
    if (pages_of(small.size) < pages_of(size))
        change->to->allocated = (int64_t)(pages_of(small.size) * PAGE_BYTES);
    return 0;
}

/* Bytes of stored pages when those of [first, end) of `pages` have gone; counts the smaller side.
 */
static int64_t allocated_without(
    const struct change *change, uint64_t first, uint64_t end, uint64_t pages)
{
    struct source *live = change->fs->live;
    uint64_t ino = change->node->ino;
    uint64_t stored = (uint64_t)change->to->allocated / PAGE_BYTES;
    int64_t count, more;

    if (end - first <= pages - (end - first)) {
        count = blocks_count(live, ino, first, end, stored);
        return count < 0 ? count : (int64_t)(stored - (uint64_t)count) * PAGE_BYTES;
    }
    count = blocks_count(live, ino, 0, first, stored);
    if (count < 0)
        return count;
    more = blocks_count(live, ino, end, pages, stored - (uint64_t)count);
    return more < 0 ? more : (count + more) * PAGE_BYTES;
}

/* Rewrites one page with the bytes [from, to) zeroed, or cut off when nothing follows. */
static int zero_in_page(const struct change *change, uint64_t page, size_t from, size_t to)
{
    struct blocks_writer writer;
    uint8_t data[PAGE_BYTES];
    size_t size = 0;
    int r = blocks_read_page(change->fs->live, change->node->ino, page, data, &size);

    if (r <= 0 || size <= from)
        return r < 0 ? r : 0;
    if (to >= size && from > 0)
        size = from;
    else
        memset(data + from, 0, (to < size ? to : size) - from);
    blocks_writer_init(&writer, change->batch, change->node->ino, page, page + 1);
    blocks_writer_put(&writer, page, bytes_of(data, size));
    return 0;
}

/* Takes away all that is stored in `blocks` from byte `keep` on. Returns 0 or 1 (data_truncate). */
static int cut_blocks(const struct change *change, uint64_t keep, struct orphan *ret_range)
{
    struct inode *to = change->to;
    uint64_t pages = pages_of(to->size), kept = pages_of(keep);
    int r;

    if (inode_is_hollow(to))
        return 0;
    if (to->allocated != ALLOCATED_ALL && kept < pages) {
        int64_t allocated = allocated_without(change, kept, pages, pages);

        if (allocated < 0)
            return (int)allocated;
        to->allocated = allocated;
    }
    if (keep % PAGE_BYTES) {
        r = zero_in_page(change, kept - 1, keep % PAGE_BYTES, PAGE_BYTES);
        if (r < 0)
            return r;
    }
    return blocks_delete(
        change->fs->live, change->batch, change->node->ino, kept, pages, true, ret_range);
}

/*
 * Keeps the first `keep` bytes, which are not more than there were nor than `size`, and makes the
 * rest of `size` a hole. Returns 0 or 1 (data_truncate).
 */
static int content_resize(
    const struct change *change, uint64_t keep, uint64_t size, struct orphan *ret_range)
{
    struct inode *to = change->to;
    int r = 0;

    if (size > FS_FILE_BYTES_MAX)
        return err_new(-EFBIG, "size %" PRIu64, size);
    if (to->small && keep == 0) {
        small_delete(change);
    } else if (to->small) {
        r = size <= FS_SMALL_BYTES_MAX ? resize_small(change, keep)
                                       : resize_out_of_small(change, keep, size);
    } else if (keep < to->size) {
        r = cut_blocks(change, keep, ret_range);
    }
    if (r < 0)
        return r;
    if (keep == 0)
        to->allocated = size ? 0 : ALLOCATED_ALL;
    else if (!to->small && to->allocated == ALLOCATED_ALL && pages_of(size) > pages_of(keep))
        to->allocated = (int64_t)(pages_of(keep) * PAGE_BYTES);
    to->size = size;
    return r;
}

int data_truncate(struct fs *fs, const struct node *node, struct batch *batch, struct inode *to,
    uint64_t size, struct orphan *ret_range)
{
    struct change change = {fs, node, batch, to};

    if (size == to->size)
        return 0;
    return content_resize(&change, size < to->size ? size : to->size, size, ret_range);
}

/* Zeros in [offset, end), of which the end lies before the file's. Returns 0 or 1. */
static int zero_inside(
    const struct change *change, uint64_t offset, uint64_t end, struct orphan *ret_range)
{
    struct inode *to = change->to;
    uint64_t first = pages_of(offset), limit = end / PAGE_BYTES, pages = pages_of(to->size);
    size_t head = offset % PAGE_BYTES, tail = end % PAGE_BYTES;
    int64_t allocated;
    int r;

    if (inode_is_hollow(to))
        return 0;
    if (first > limit)
        return zero_in_page(change, limit, head, tail);
    if (head) {
        r = zero_in_page(change, first - 1, head, PAGE_BYTES);
        if (r < 0)
            return r;
    }
    if (tail) {
        r = zero_in_page(change, limit, 0, tail);
        if (r < 0)
            return r;
    }
    if (first == limit)
        return 0;
    if (to->allocated == ALLOCATED_ALL)
        to->allocated = (int64_t)(pages * PAGE_BYTES);
    allocated = allocated_without(change, first, limit, pages);
    if (allocated < 0)
        return (int)allocated;
    to->allocated = allocated;
    return blocks_delete(
        change->fs->live, change->batch, change->node->ino, first, limit, false, ret_range);
}

static int zero_inside_small(const struct change *change, uint64_t offset, uint64_t end)
{
    struct small_content small;
    int r = small_read(change->fs, change->node->ino, change->to, &small);

    if (r < 0 || offset >= small.size)
        return r;
    memset(small.data + offset, 0, (end < small.size ? end : small.size) - offset);
    small_write(change, change->to->small, small.data, small.size);
    return 0;
}

int content_allocate(const struct change *change, int mode, uint64_t offset, uint64_t end,
    struct orphan *ret_range, bool *ret_changed)
{
    uint64_t size = change->to->size;
    uint64_t keep = offset < size ? offset : size;
    bool grows = !(mode & FALLOC_FL_KEEP_SIZE) && end > size;

    *ret_changed = grows || (mode & ~FALLOC_FL_KEEP_SIZE && offset < size);
    if (!*ret_changed)
        return 0;
    if (!(mode & ~FALLOC_FL_KEEP_SIZE))
        return content_resize(change, size, end, ret_range);
    if (end >= size)
        return content_resize(change, keep, grows ? end : size, ret_range);
    if (change->to->small)
        return zero_inside_small(change, offset, end);
    return zero_inside(change, offset, end, ret_range);
}
