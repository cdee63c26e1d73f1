/*
 * Content of files: where the bytes of read(2) and write(2) lie.
 *
 *   up to FS_SMALL_BYTES_MAX   whole, in one row of `small`
 *   beyond                     pages in `blocks` (blocks.h)
 *   `allocated` absent         every page of the size is stored: no look at what was there
 *
 * A file goes to `small` with its first byte, moves to `blocks` in the batch that makes it larger,
 * and stays there until it is empty. A file whose name is not known (hard links, orphans) starts in
 * `blocks`: there is no directory beside whose files it could lie.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "core/content.h"
#include "core/info.h"
#include "core/payload.h"
#include "core/past.h"

/* ---- reading ---- */

static int content_read(
    struct fs *fs, const struct node *node, uint64_t offset, size_t size, uint8_t *to)
{
    struct small_content small;
    int r;

    memset(to, 0, size);
    if (inode_is_hollow(&node->inode))
        return 0;
    if (node->inode.small == 0) {
        r = blocks_read(fs->live, node->ino, offset, size, to);
        if (r == 0)
            cut_hide(fs, node->ino, offset, size, to);
        return r;
    }
    r = small_read(fs, node->ino, &node->inode, &small);
    if (r < 0)
        return r;
    if (offset < small.size)
        memcpy(to, small.data + offset, size < small.size - offset ? size : small.size - offset);
    return 0;
}

int fs_read(struct fs *fs, uint64_t ino, struct fs_handle *handle, uint64_t offset, size_t size,
    struct buf *to)
{
    AUTO(node_unpinp) struct node *node = NULL;
    size_t before = to->size;
    int r;

    if (ino_is_past(ino))
        return past_read(fs, ino, handle, offset, size, to);
    if (ino_is_info(ino))
        return info_read(handle, offset, size, to);
    if (ino_is_synthetic(ino))
        return snapshot_dir_read(fs, ino, handle, offset, size, to);
    r = node_pin(fs, ino, &node);
    if (r < 0)
        return r;
    if (!atomic_load(&node->was_read))
        atomic_store(&node->was_read, true);
    node_lock_shared(node);
    r = node_check_content(node);
    if (r == 0 && offset < node->inode.size && size) {
        uint64_t left = node->inode.size - offset;
        size_t count = size < left ? size : (size_t)left;
        uint8_t *space = buf_extend(to, count);

        r = space ? content_read(fs, node, offset, count, space) : -ENOMEM;
        if (r < 0 && space)
            to->size = before;
    }
    node_unlock(node);
    if (r < 0)
        return err_with(r, "read inode %" PRIu64 " at %" PRIu64, ino, offset);
    atime_read(node);
    return 0;
}

/* ---- writing ---- */

/* The first or last page of a write that keeps bytes of what was there. */
struct edge {
    uint8_t data[PAGE_BYTES];
    size_t size;
};

/* What the pages of a write hold before it. */
struct overwritten {
    uint64_t first, last;
    struct edge edges[2]; /* of pages `first` and `last`; size 0: nothing there */
    uint64_t stored;      /* pages there, when they are counted */
};

/* Of a write of [offset, end). The pages' memory is left as it is: it is large. */
static void overwritten_init(struct overwritten *old, uint64_t offset, uint64_t end)
{
    old->first = offset / PAGE_BYTES;
    old->last = (end - 1) / PAGE_BYTES;
    old->edges[0].size = old->edges[1].size = 0;
    old->stored = 0;
}

static int take_overwritten(void *arg, uint64_t page, struct bytes content)
{
    struct overwritten *old = arg;

    old->stored++;
    for (unsigned i = 0; i < 2; i++) {
        if (page != (i ? old->last : old->first) || !content.size)
            continue;
        memcpy(old->edges[i].data, content.data, content.size);
        old->edges[i].size = content.size;
    }
    return 0;
}

/*
 * Reads what a write of [offset, end) must keep or count. Full pages of a file without holes are
 * neither, so a sequential write of whole pages reads nothing.
 */
static int read_overwritten(
    const struct change *change, uint64_t offset, uint64_t end, struct overwritten *old)
{
    const struct inode *inode = change->to;
    uint64_t pages = pages_of(inode->size);
    bool head = offset % PAGE_BYTES != 0 && old->first < pages;
    bool tail = end % PAGE_BYTES != 0 && end < inode->size;
    struct source *live = change->fs->live;
    uint64_t ino = change->node->ino;
    int r = 0;

    if (inode_is_hollow(inode))
        return 0;
    if (inode->allocated != ALLOCATED_ALL)
        return blocks_each(live, ino, old->first, old->last + 1 < pages ? old->last + 1 : pages,
            take_overwritten, old);
    if (head || (tail && old->first == old->last))
        r = blocks_each(live, ino, old->first, old->first + 1, take_overwritten, old);
    if (r == 0 && tail && old->last != old->first)
        r = blocks_each(live, ino, old->last, old->last + 1, take_overwritten, old);
    return r;
}

/* As read_overwritten(), of a file that moves out of `small`: all of it is less than two pages. */
static void take_small(const struct small_content *small, struct overwritten *old)
{
    for (unsigned i = 0; i < 2; i++) {
        uint64_t start = (i ? old->last : old->first) * PAGE_BYTES;
        size_t size;

        if (start >= small->size)
            continue;
        size = small->size - start < PAGE_BYTES ? small->size - start : PAGE_BYTES;
        memcpy(old->edges[i].data, small->data + start, size);
        old->edges[i].size = size;
    }
}

static void put_pages(const struct change *change, const struct payload *payload, uint64_t offset,
    struct overwritten *old, struct blocks_writer *writer)
{
    uint64_t end = offset + payload->size;
    uint8_t scratch[PAGE_BYTES];

    for (uint64_t page = old->first; page <= old->last; page++) {
        uint64_t start = page * PAGE_BYTES;
        uint64_t from = offset > start ? offset : start;
        uint64_t to = end < start + PAGE_BYTES ? end : start + PAGE_BYTES;
        struct fs_piece part = payload_slice(payload, from - offset, to - from, scratch);
        struct edge *edge = NULL;

        if (page == old->first)
            edge = &old->edges[0];
        else if (page == old->last)
            edge = &old->edges[1];
        /* Whole, or all that the file has of this page: what was there does not matter. */
        if (!edge || (from == start && (to == start + PAGE_BYTES || to >= change->to->size))) {
            blocks_writer_put_piece(writer, page, &part);
            continue;
        }
        if (edge->size < from - start)
            memset(edge->data + edge->size, 0, from - start - edge->size);
        memcpy(edge->data + (from - start), part.bytes.data, part.bytes.size);
        if (edge->size < to - start)
            edge->size = to - start;
        blocks_writer_put(writer, page, bytes_of(edge->data, edge->size));
    }
}

/* `allocated` of a file that had the first `before` pages and got [first, last]. */
static int64_t allocated_after(uint64_t before, const struct overwritten *old)
{
    uint64_t after = old->last + 1 > before ? old->last + 1 : before;

    if (old->first <= before)
        return ALLOCATED_ALL;
    return (int64_t)((after - (old->first - before)) * PAGE_BYTES);
}

/* Memory for what is copied, with lengths of pages and keys of blocks. */
static void expect_copies(struct batch *batch, const struct payload *payload)
{
    size_t beside = payload->copied_bytes / 64;

    batch_expect(batch, payload->copied_bytes + (beside > REQUEST_BYTES ? beside : REQUEST_BYTES));
}

static int write_pages(const struct change *change, const struct payload *payload, uint64_t offset)
{
    struct inode *to = change->to;
    uint64_t end = offset + payload->size;
    struct overwritten old;
    struct small_content small;
    struct blocks_writer writer;
    int64_t allocated;
    int r;

    overwritten_init(&old, offset, end);
    small.size = 0;
    if (to->small) {
        r = small_read(change->fs, change->node->ino, to, &small);
        if (r < 0)
            return r;
        take_small(&small, &old);
        allocated = allocated_after(pages_of(small.size), &old);
        small_delete(change);
    } else {
        r = read_overwritten(change, offset, end, &old);
        if (r < 0)
            return r;
        if (to->allocated == ALLOCATED_ALL)
            allocated = allocated_after(pages_of(to->size), &old);
        else
            allocated =
                to->allocated + (int64_t)((old.last - old.first + 1 - old.stored) * PAGE_BYTES);
    }
    blocks_writer_init(&writer, change->batch, change->node->ino, old.first, old.last + 1);
    expect_copies(change->batch, payload);
    small_put_pages(&writer, &small, old.first);
    put_pages(change, payload, offset, &old, &writer);
    to->allocated = allocated;
    return 0;
}

static int write_small(const struct change *change, const struct payload *payload, uint64_t offset)
{
    uint64_t end = offset + payload->size;
    struct small_content small;
    bool whole = offset == 0 && end >= change->to->size;
    int r;

    small.size = 0;
    if (change->to->small && !whole) {
        r = small_read(change->fs, change->node->ino, change->to, &small);
        if (r < 0)
            return r;
    }
    if (small.size < offset)
        memset(small.data + small.size, 0, offset - small.size);
    payload_copy(payload, 0, payload->size, small.data + offset);
    if (small.size < end)
        small.size = end;
    small_write(
        change, change->to->small ? change->to->small : change->node->dir, small.data, small.size);
    return 0;
}

static int content_write(
    const struct change *change, const struct payload *payload, uint64_t offset)
{
    struct inode *to = change->to;
    uint64_t end, size;
    bool fits, can_be_small;
    int r;

    if (payload->size > FS_WRITE_BYTES_MAX)
        return err_new(
            -EINVAL, "a write of %zu bytes: one has at most %u", payload->size, FS_WRITE_BYTES_MAX);
    if (offset > FS_FILE_BYTES_MAX || payload->size > FS_FILE_BYTES_MAX - offset)
        return err_new(-EFBIG, "write of %zu bytes at %" PRIu64, payload->size, offset);
    end = offset + payload->size;
    size = end > to->size ? end : to->size;
    fits = size <= FS_SMALL_BYTES_MAX;
    can_be_small = to->small != 0 || (inode_is_hollow(to) && change->node->dir != 0);
    r = fits && can_be_small ? write_small(change, payload, offset)
                             : write_pages(change, payload, offset);
    if (r < 0)
        return r;
    to->size = size;
    return 0;
}

/* Times, privileges, the home row; then it is a fact. */
static int change_apply(
    const struct change *change, struct fs_request *request, struct node *node, bool kill_suid)
{
    int r;

    inode_touch(change->to, core_now_ns(change->fs));
    inode_kill_privileges(change->to, kill_suid);
    home_write(change->batch, node, change->to);
    r = core_apply(change->fs, request, &node, 1);
    if (r < 0)
        return r;
    request->killed_privileges = change->to->mode != node->inode.mode;
    node->inode = *change->to;
    return 0;
}

int fs_write(struct fs *fs, struct fs_request *request, uint64_t ino, struct bytes data,
    uint64_t offset, bool kill_suid)
{
    struct fs_piece piece = {.bytes = data};

    return fs_write_pieces(fs, request, ino, &piece, 1, offset, kill_suid);
}

int fs_write_pieces(struct fs *fs, struct fs_request *request, uint64_t ino,
    const struct fs_piece *pieces, unsigned count, uint64_t offset, bool kill_suid)
{
    struct payload payload = payload_of(pieces, count);
    AUTO(node_unpinp) struct node *node = NULL;
    struct inode to;
    int r;

    if (ino_is_synthetic(ino))
        return err_new(-EROFS, "snapshots are not written");
    if (payload.size == 0)
        return 0;
    r = node_pin(fs, ino, &node);
    if (r < 0)
        return r;
    node_lock_exclusive(node);
    r = node_check_content(node);
    if (r == 0)
        r = cut_finish(fs, ino);
    if (r == 0) {
        struct change change = {fs, node, request->batch, &to};

        to = node->inode;
        r = content_write(&change, &payload, offset);
        if (r == 0)
            r = change_apply(&change, request, node, kill_suid);
    }
    node_unlock(node);
    if (r < 0)
        return err_with(r, "write inode %" PRIu64, ino);
    return 0;
}

/* Nothing is reserved. But what a file that grows cannot get is not promised either: programs ask
 * for the size of a download or a disk image to see whether it fits. */
static int check_room(struct fs *fs, const struct node *node, uint64_t offset, uint64_t end)
{
    uint64_t from = offset > node->inode.size ? offset : node->inode.size;
    struct engine_stats stats;

    if (end <= from)
        return 0;
    engine_get_stats(fs->engine, &stats);
    if (end - from > stats.disk_available_bytes)
        return err_new(-ENOSPC, "%" PRIu64 " bytes more, of %" PRIu64 " that are available",
            end - from, stats.disk_available_bytes);
    return 0;
}

static int fallocate_locked(struct fs *fs, struct fs_request *request, struct node *node, int mode,
    uint64_t offset, uint64_t end, bool kill_suid)
{
    struct inode to = node->inode;
    struct change change = {fs, node, request->batch, &to};
    AUTO(freep) struct cut *cut = NULL;
    struct orphan range;
    bool changed;
    int r;

    r = node_check_content(node);
    if (r < 0)
        return r;
    if (!(mode & FALLOC_FL_PUNCH_HOLE))
        r = check_room(fs, node, offset, end);
    if (r == 0)
        r = cut_finish(fs, node->ino);
    if (r < 0)
        return r;
    r = content_allocate(&change, mode, offset, end, &range, &changed);
    if (r > 0)
        r = cut_begin(&range, &cut);
    if (r < 0 || !changed)
        return r;
    r = change_apply(&change, request, node, kill_suid);
    if (r < 0)
        return r;
    cut_end(fs, &cut);
    return 0;
}

int fs_fallocate(struct fs *fs, struct fs_request *request, uint64_t ino, int mode, uint64_t offset,
    uint64_t size, bool kill_suid)
{
    AUTO(node_unpinp) struct node *node = NULL;
    int r;

    if (ino_is_synthetic(ino))
        return err_new(-EROFS, "snapshots are not written");
    if (mode != 0 && mode != FALLOC_FL_KEEP_SIZE &&
        mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE) && mode != FALLOC_FL_ZERO_RANGE &&
        mode != (FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE))
        return err_new(-EOPNOTSUPP, "fallocate mode %d", mode);
    if (size == 0)
        return err_new(-EINVAL, "fallocate of nothing");
    if (offset > FS_FILE_BYTES_MAX || size > FS_FILE_BYTES_MAX - offset)
        return err_new(-EFBIG, "fallocate of %" PRIu64 " bytes at %" PRIu64, size, offset);
    r = node_pin(fs, ino, &node);
    if (r < 0)
        return r;
    node_lock_exclusive(node);
    r = fallocate_locked(fs, request, node, mode, offset, offset + size, kill_suid);
    node_unlock(node);
    if (r < 0)
        return err_with(r, "fallocate inode %" PRIu64, ino);
    return 0;
}

/* ---- seeking ---- */

/*
 * A page that a mapping has written may lie in the kernel's page cache for long, and the kernel
 * does not write it back before it asks: in what is a hole here there may be data there. Such a
 * page was read before it was written, by a handle that may do both.
 */
static bool holes_are_doubtful(const struct node *node)
{
    return atomic_load(&node->mappable) > 0 && atomic_load(&node->was_read);
}

static int seek_locked(
    struct fs *fs, const struct node *node, uint64_t offset, bool data, uint64_t *ret_offset)
{
    const struct inode *inode = &node->inode;
    uint64_t page, found;
    int r = node_check_content(node);

    if (r < 0)
        return r;
    if (offset >= inode->size)
        return err_new(-ENXIO, "seek to %" PRIu64 " of %" PRIu64, offset, inode->size);
    if (inode->allocated == ALLOCATED_ALL) {
        *ret_offset = data ? offset : inode->size;
        return 0;
    }
    if (inode_is_hollow(inode)) {
        *ret_offset = offset;
        return data ? err_new(-ENXIO, "no data after %" PRIu64, offset) : 0;
    }
    r = blocks_find(fs->live, node->ino, offset / PAGE_BYTES, pages_of(inode->size), data, &page);
    if (r < 0)
        return r;
    if (data && page == pages_of(inode->size))
        return err_new(-ENXIO, "no data after %" PRIu64, offset);
    found = page * PAGE_BYTES;
    if (found < offset)
        found = offset;
    *ret_offset = found < inode->size ? found : inode->size;
    return 0;
}

/* The hole that an answer rests on, if there is one and it is doubtful. */
static int note_hole(struct fs *fs, const struct node *node, uint64_t offset, bool data, int answer,
    uint64_t found, struct fs_hole *hole)
{
    uint64_t size = node->inode.size;
    int r = 0;

    if (offset >= size || !holes_are_doubtful(node))
        return 0;
    hole->file_size = size;
    hole->start = data ? offset : found;
    hole->end = answer == 0 ? found : size;
    if (!data && found < size)
        r = seek_locked(fs, node, found, true, &hole->end);
    if (r == -ENXIO)
        hole->end = size;
    return r == -ENXIO ? 0 : r;
}

int fs_seek(struct fs *fs, uint64_t ino, uint64_t offset, int whence, uint64_t *ret_offset,
    struct fs_hole *ret_hole)
{
    AUTO(node_unpinp) struct node *node = NULL;
    int r, noted = 0;

    *ret_hole = (struct fs_hole){0};
    if (whence != SEEK_DATA && whence != SEEK_HOLE)
        return err_new(-EINVAL, "whence %d", whence);
    if (ino_is_past(ino))
        return past_seek(fs, ino, offset, whence, ret_offset, ret_hole);
    if (ino_is_info(ino))
        return err_new(-ENXIO, "a file whose end is not known");
    if (ino_is_synthetic(ino)) {
        struct stat attributes;

        r = snapshot_dir_getattr(fs, ino, &attributes);
        if (r < 0)
            return r;
        if (offset >= (uint64_t)attributes.st_size)
            return err_new(-ENXIO, "seek past the end");
        *ret_offset = whence == SEEK_DATA ? offset : (uint64_t)attributes.st_size;
        return 0;
    }
    r = node_pin(fs, ino, &node);
    if (r < 0)
        return r;
    node_lock_shared(node);
    r = seek_locked(fs, node, offset, whence == SEEK_DATA, ret_offset);
    if (r == 0 || r == -ENXIO)
        noted = note_hole(fs, node, offset, whence == SEEK_DATA, r, *ret_offset, ret_hole);
    node_unlock(node);
    return noted < 0 ? noted : r;
}
