#include "core/blocks.h"

#include <errno.h>
#include <inttypes.h>

#include "engine/coding.h"
#include "engine/error.h"

#define EXTENT_PAGES (EXTENT_BLOCKS * BLOCK_PAGES)

/* ---- reading ---- */

/* The pages of one row that lie in [first, end). */
static int each_of_row(const struct row *row, uint64_t ino, uint32_t block, uint64_t first,
    uint64_t end, blocks_page each, void *arg)
{
    for (uint32_t i = 0; i < row->cell_count; i++) {
        const struct cell *cell = &row->cells[i];
        uint64_t page = (uint64_t)block * BLOCK_PAGES + cell->column;
        int r;

        if (page < first || page >= end)
            continue;
        if (cell->value.size > PAGE_BYTES)
            return err_new(-EUCLEAN, "page %" PRIu64 " of inode %" PRIu64 " has %zu bytes", page,
                ino, cell->value.size);
        r = each(arg, page, cell->value);
        if (r != 0)
            return r;
    }
    return 0;
}

static int each_of_block(struct source *source, uint64_t ino, uint32_t block, uint64_t first,
    uint64_t end, blocks_page each, void *arg)
{
    uint64_t base = (uint64_t)block * BLOCK_PAGES;
    uint64_t columns = 0;
    struct rowref row = ROWREF_INIT;
    struct row_key key;
    int r;

    for (unsigned i = 0; i < BLOCK_PAGES; i++) {
        if (base + i >= first && base + i < end)
            columns |= COLUMN_BIT(i);
    }
    row_key_block(&key, ino, block);
    r = engine_get(source, TABLE_BLOCKS, key.key, &key.clustering, columns, &row);
    if (r <= 0)
        return r;
    r = each_of_row(&row.row, ino, block, first, end, each, arg);
    rowref_release(&row);
    return r;
}

/* Rows [block, last] of one extent. */
static int each_of_extent(struct source *source, uint64_t ino, uint32_t block, uint32_t last,
    uint64_t first, uint64_t end, blocks_page each, void *arg)
{
    struct cursor *cursor = NULL;
    const struct row *row;
    struct row_key from, to;
    struct slice slice;
    int r;

    row_key_block(&from, ino, block);
    row_key_block(&to, ino, last);
    slice.start = from.clustering;
    slice.start.kind = KIND_INCL_START;
    slice.end = to.clustering;
    slice.end.kind = KIND_INCL_END;
    r = engine_scan(source, TABLE_BLOCKS, from.key, &slice, COLUMNS_ALL, &cursor);
    if (r < 0)
        return r;
    while ((r = cursor_next(cursor, &row)) > 0) {
        if (row->clustering.count != 1 || row->clustering.values[0].size != 4) {
            r = err_new(-EUCLEAN, "a block of inode %" PRIu64 " has no number", ino);
            break;
        }
        r = each_of_row(row, ino, load_be32(row->clustering.values[0].data), first, end, each, arg);
        if (r != 0)
            break;
    }
    cursor_close(cursor);
    return r;
}

int blocks_each(
    struct source *source, uint64_t ino, uint64_t first, uint64_t end, blocks_page each, void *arg)
{
    uint64_t extent, extent_last;

    if (first >= end)
        return 0;
    extent_last = (end - 1) / EXTENT_PAGES;
    for (extent = first / EXTENT_PAGES; extent <= extent_last; extent++) {
        uint64_t from = extent * EXTENT_PAGES, to = from + EXTENT_PAGES;
        uint32_t block, last;
        int r;

        /* Sparse files have far more extents than data: a probe costs less than a cursor. */
        if (extent != first / EXTENT_PAGES) {
            struct row_key key;

            row_key_extent(&key, ino, (uint32_t)extent);
            r = engine_may_contain(source, TABLE_BLOCKS, key.key);
            if (r < 0)
                return r;
            if (r == 0)
                continue;
        }
        block = (uint32_t)((first > from ? first : from) / BLOCK_PAGES);
        last = (uint32_t)(((end < to ? end : to) - 1) / BLOCK_PAGES);
        if (block == last)
            r = each_of_block(source, ino, block, first, end, each, arg);
        else
            r = each_of_extent(source, ino, block, last, first, end, each, arg);
        if (r != 0)
            return r;
    }
    return 0;
}

struct read_state {
    uint64_t offset;
    size_t size;
    uint8_t *to;
};

static int read_page(void *arg, uint64_t page, struct bytes content)
{
    const struct read_state *state = arg;
    uint64_t start = page * PAGE_BYTES, end = start + content.size;
    uint64_t from = start > state->offset ? start : state->offset;
    uint64_t limit = state->offset + state->size;
    uint64_t to = end < limit ? end : limit;

    if (from < to)
        memcpy(state->to + (from - state->offset), content.data + (from - start), to - from);
    return 0;
}

int blocks_read(struct source *source, uint64_t ino, uint64_t offset, size_t size, uint8_t *to)
{
    struct read_state state = {offset, size, to};

    return blocks_each(
        source, ino, offset / PAGE_BYTES, pages_of(offset + size), read_page, &state);
}

struct page_state {
    uint8_t *to;
    size_t size;
};

static int copy_page(void *arg, uint64_t page, struct bytes content)
{
    struct page_state *state = arg;

    (void)page;
    if (content.size)
        memcpy(state->to, content.data, content.size);
    state->size = content.size;
    return 1;
}

int blocks_read_page(
    struct source *source, uint64_t ino, uint64_t page, uint8_t to[PAGE_BYTES], size_t *ret_size)
{
    struct page_state state = {to, 0};
    int r = blocks_each(source, ino, page, page + 1, copy_page, &state);

    if (r > 0)
        *ret_size = state.size;
    return r;
}

struct count_state {
    uint64_t count, enough;
};

static int count_page(void *arg, uint64_t page, struct bytes content)
{
    struct count_state *state = arg;

    (void)page, (void)content;
    return ++state->count >= state->enough;
}

int64_t blocks_count(
    struct source *source, uint64_t ino, uint64_t first, uint64_t end, uint64_t enough)
{
    struct count_state state = {0, enough};
    int r;

    if (enough == 0)
        return 0;
    r = blocks_each(source, ino, first, end, count_page, &state);
    return r < 0 ? r : (int64_t)state.count;
}

static int find_stored(void *arg, uint64_t page, struct bytes content)
{
    uint64_t *found = arg;

    (void)content;
    *found = page;
    return 1;
}

/* `*next` is the page that comes next if there is no gap. */
static int find_missing(void *arg, uint64_t page, struct bytes content)
{
    uint64_t *next = arg;

    (void)content;
    if (page != *next)
        return 1;
    (*next)++;
    return 0;
}

int blocks_find(struct source *source, uint64_t ino, uint64_t first, uint64_t end, bool stored,
    uint64_t *ret_page)
{
    uint64_t page = stored ? end : first;
    int r = blocks_each(source, ino, first, end, stored ? find_stored : find_missing, &page);

    if (r < 0)
        return r;
    *ret_page = page;
    return 0;
}

/* ---- writing ---- */

void blocks_writer_init(
    struct blocks_writer *writer, struct batch *batch, uint64_t ino, uint64_t first, uint64_t end)
{
    *writer = (struct blocks_writer){.batch = batch, .ino = ino, .first = first, .end = end};
}

/* Begins the row of the page, if that is another one. */
static void enter_block(struct blocks_writer *writer, uint64_t page)
{
    uint32_t block = (uint32_t)(page / BLOCK_PAGES);

    if (!writer->begun || writer->block != block) {
        uint64_t base = (uint64_t)block * BLOCK_PAGES;
        /* A whole block is an INSERT: then its cells share the row's timestamp on disk. */
        bool whole = writer->first <= base && base + BLOCK_PAGES <= writer->end;

        row_key_block(&writer->key, writer->ino, block);
        batch_row(writer->batch, TABLE_BLOCKS, writer->key.key, &writer->key.clustering, whole);
        writer->block = block;
        writer->begun = true;
    }
}

void blocks_writer_put(struct blocks_writer *writer, uint64_t page, struct bytes content)
{
    enter_block(writer, page);
    batch_cell(writer->batch, (unsigned)(page % BLOCK_PAGES), content);
}

void blocks_writer_put_piece(
    struct blocks_writer *writer, uint64_t page, const struct fs_piece *piece)
{
    if (!piece->buffer) {
        blocks_writer_put(writer, page, piece->bytes);
        return;
    }
    enter_block(writer, page);
    batch_cell_shared(writer->batch, (unsigned)(page % BLOCK_PAGES), piece->bytes, piece->buffer);
}

/* ---- deleting ---- */

/* Cells [first, end) of one block, or its row when that is all of them. */
static void delete_in_block(struct batch *batch, uint64_t ino, uint64_t first, uint64_t end)
{
    struct row_key key;

    row_key_block(&key, ino, (uint32_t)(first / BLOCK_PAGES));
    if (end - first == BLOCK_PAGES) {
        batch_delete_row(batch, TABLE_BLOCKS, key.key, &key.clustering);
        return;
    }
    batch_row(batch, TABLE_BLOCKS, key.key, &key.clustering, false);
    for (uint64_t page = first; page < end; page++)
        batch_delete_cell(batch, (unsigned)(page % BLOCK_PAGES));
}

/* Rows of the blocks [first, end) of one extent; `to_end`: and all that follow. */
static void delete_blocks(
    struct batch *batch, uint64_t ino, uint32_t first, uint32_t end, bool to_end)
{
    struct row_key from, to;
    struct slice slice;

    row_key_block(&from, ino, first);
    slice.start = from.clustering;
    slice.start.kind = KIND_INCL_START;
    if (to_end) {
        slice.end = BOUND_END_OF_ALL;
    } else {
        row_key_block(&to, ino, end - 1);
        slice.end = to.clustering;
        slice.end.kind = KIND_INCL_END;
    }
    batch_delete_range(batch, TABLE_BLOCKS, from.key, &slice);
}

/* Pages [first, end) of one extent, which they do not fill. `to_end`: nothing is stored after. */
static void delete_in_extent(
    struct batch *batch, uint64_t ino, uint64_t first, uint64_t end, bool to_end)
{
    uint64_t block_start = (first + BLOCK_PAGES - 1) / BLOCK_PAGES * BLOCK_PAGES;
    uint64_t block_end = to_end ? (end + BLOCK_PAGES - 1) / BLOCK_PAGES * BLOCK_PAGES
                                : end / BLOCK_PAGES * BLOCK_PAGES;

    if (first < block_start) {
        uint64_t limit = end < block_start ? end : block_start;

        delete_in_block(batch, ino, first, limit);
        first = limit;
    }
    if (block_start < block_end) {
        delete_blocks(batch, ino, (uint32_t)(block_start / BLOCK_PAGES),
            (uint32_t)(block_end / BLOCK_PAGES), to_end);
        first = block_end;
    }
    if (first < end)
        delete_in_block(batch, ino, first, end);
}

static void delete_extent(struct source *source, struct batch *batch, uint64_t ino, uint32_t extent)
{
    struct row_key key;

    /* What surely is not there needs no tombstone. A probe that fails may be there. */
    row_key_extent(&key, ino, extent);
    if (engine_may_contain(source, TABLE_BLOCKS, key.key) != 0)
        batch_delete_partition(batch, TABLE_BLOCKS, key.key);
}

int blocks_delete(struct source *source, struct batch *batch, uint64_t ino, uint64_t first,
    uint64_t end, bool to_end, struct orphan *ret_range)
{
    uint64_t whole = (first + EXTENT_PAGES - 1) / EXTENT_PAGES;
    uint64_t whole_end = to_end ? (end + EXTENT_PAGES - 1) / EXTENT_PAGES : end / EXTENT_PAGES;

    if (first >= end)
        return 0;
    if (first < whole * EXTENT_PAGES) {
        uint64_t limit = end < whole * EXTENT_PAGES ? end : whole * EXTENT_PAGES;

        delete_in_extent(batch, ino, first, limit, to_end || limit == whole * EXTENT_PAGES);
    }
    if (!to_end && end % EXTENT_PAGES && whole_end >= whole)
        delete_in_extent(batch, ino, whole_end * EXTENT_PAGES, end, false);
    if (whole_end <= whole)
        return 0;
    if (whole_end - whole > EXTENTS_PER_BATCH_MAX) {
        struct orphan range = {
            .ino = ino,
            .first_extent = (uint32_t)whole,
            .extent_end = (uint32_t)whole_end,
            .kind = ORPHAN_RANGE,
        };

        reclaim_put(batch, &range);
        *ret_range = range;
        return 1;
    }
    for (; whole < whole_end; whole++)
        delete_extent(source, batch, ino, (uint32_t)whole);
    return 0;
}
