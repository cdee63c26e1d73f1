/*
 * Goal: a file holds exactly what was written to it, whatever was cut, punched and grown between,
 * and the tables hold no page more than that.
 * Method: random operations against an array of bytes, in windows around the places where the
 * layout changes (small to blocks, block, extent, 4 GiB, the end); the tree is verified all along.
 * Then the promises about reads, batches and failures, one by one.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/tables.h"
#include "engine/buf.h"
#include "support/fs_world.h"
#include "support/random.h"

#define WINDOW_BYTES (64u << 10)
#define STEPS 1500u
#define CHECK_EVERY 25u

/* Bytes outside of the windows are never written, so they are zeros. */
static const uint64_t window_bases[] = {
    0,
    BLOCK_BYTES - WINDOW_BYTES / 2,
    EXTENT_BYTES - WINDOW_BYTES / 2,
    (UINT64_C(4) << 30) - WINDOW_BYTES / 2,
    (UINT64_C(70) << 30) + 4096,
};
#define WINDOWS ARRAY_COUNT(window_bases)

struct model {
    uint64_t size;
    uint8_t bytes[WINDOWS][WINDOW_BYTES];
};

static uint8_t scratch[FS_WRITE_BYTES_MAX];

static int begin(struct world *world, struct fs_request *request)
{
    return fs_begin(world->fs, request, TABLE_BLOCKS, FS_WRITE_BYTES_MAX, false, NULL, NULL);
}

static int allocate(struct world *world, uint64_t ino, int mode, uint64_t offset, uint64_t size)
{
    struct fs_request request = FS_REQUEST_INIT;
    int r;

    assert_int_equal(begin(world, &request), 0);
    r = fs_fallocate(world->fs, &request, ino, mode, offset, size, false);
    assert_int_equal(fs_end(world->fs, &request, NULL, NULL), 0);
    return r;
}

static int truncate_to(struct world *world, uint64_t ino, uint64_t size)
{
    struct fs_setattr change = {.set = FS_SET_SIZE, .size = size};

    return world_setattr(world, ino, &change);
}

static uint64_t seek(struct world *world, uint64_t ino, uint64_t offset, int whence)
{
    uint64_t found = 0;
    struct fs_hole hole;
    int r = fs_seek(world->fs, ino, offset, whence, &found, &hole);

    if (r == -ENXIO)
        return UINT64_MAX;
    assert_int_equal(r, 0);
    return found;
}

static void fill(struct random *random, uint8_t *to, size_t size)
{
    uint8_t byte = (uint8_t)(1 + random_below(random, 255));

    for (size_t i = 0; i < size; i++)
        to[i] = (uint8_t)(byte + i / 512);
}

/* ---- the model ---- */

/* The part of [offset, end) that lies in a window. */
static uint8_t *window_part(
    struct model *model, unsigned window, uint64_t offset, uint64_t end, size_t *ret_size)
{
    uint64_t base = window_bases[window];
    uint64_t from = offset > base ? offset : base;
    uint64_t to = end < base + WINDOW_BYTES ? end : base + WINDOW_BYTES;

    if (from >= to)
        return NULL;
    *ret_size = to - from;
    return model->bytes[window] + (from - base);
}

static void model_zero(struct model *model, uint64_t offset, uint64_t end)
{
    for (unsigned i = 0; i < WINDOWS; i++) {
        size_t size;
        uint8_t *part = window_part(model, i, offset, end, &size);

        if (part)
            memset(part, 0, size);
    }
}

/* Any place, near an edge more often than not. */
static uint64_t some_offset(struct random *random, unsigned windows)
{
    uint64_t offset = window_bases[random_below(random, windows)];
    unsigned within = random_below(random, WINDOW_BYTES - 20000);

    switch (random_below(random, 4)) {
    case 0:
        return offset + within / PAGE_BYTES * PAGE_BYTES;
    case 1:
        return offset + WINDOW_BYTES / 2 - 4096 + random_below(random, 3) * 4096;
    case 2:
        return offset + within % 9000;
    default:
        return offset + within;
    }
}

static void check_window(
    struct world *world, const struct model *model, uint64_t ino, unsigned window)
{
    AUTO(buf_release) struct buf found = BUF_INIT;
    uint64_t base = window_bases[window];
    size_t expected = model->size <= base                 ? 0
                      : model->size - base < WINDOW_BYTES ? model->size - base
                                                          : WINDOW_BYTES;

    assert_int_equal(fs_read(world->fs, ino, NULL, base, WINDOW_BYTES, &found), 0);
    assert_int_equal(found.size, expected);
    for (size_t i = 0; i < expected; i++) {
        if (found.data[i] != model->bytes[window][i])
            fail_msg("seed %" PRIu64 ": byte %" PRIu64 " of inode %#" PRIx64 " is %u, not %u",
                world->seed, base + i, ino, found.data[i], model->bytes[window][i]);
    }
}

static void check_all(struct world *world, const struct model *model, uint64_t ino)
{
    struct stat attributes = world_stat(world, ino);

    assert_true((uint64_t)attributes.st_size == model->size);
    for (unsigned i = 0; i < WINDOWS; i++)
        check_window(world, model, ino, i);
    world_verify(world);
}

/* Data that is not zero lies where SEEK_DATA says, and holes are zeros. */
static void check_seek(struct world *world, struct model *model, uint64_t ino, uint64_t offset)
{
    static const uint8_t zeros[WINDOW_BYTES];
    uint64_t data = seek(world, ino, offset, SEEK_DATA);
    uint64_t hole = seek(world, ino, offset, SEEK_HOLE);

    if (offset >= model->size) {
        assert_true(data == UINT64_MAX && hole == UINT64_MAX);
        return;
    }
    assert_true(hole >= offset && hole <= model->size);
    assert_true(data == offset || hole == offset);
    for (unsigned i = 0; i < WINDOWS; i++) {
        uint64_t end = data < model->size ? data : model->size;
        size_t size;
        uint8_t *part = window_part(model, i, offset, end, &size);

        if (part)
            assert_memory_equal(part, zeros, size);
        part = window_part(model, i, hole, (hole / PAGE_BYTES + 1) * PAGE_BYTES, &size);
        if (part && hole < model->size)
            assert_memory_equal(part, zeros, size);
    }
}

/* ---- random operations ---- */

static void step_write(
    struct world *world, struct model *model, uint64_t ino, struct random *random, unsigned windows)
{
    uint64_t offset = some_offset(random, windows);
    size_t size = 1 + random_below(random, random_below(random, 2) ? 20000 : 300), part_size;

    if (random_below(random, 4) == 0 && offset % PAGE_BYTES == 0)
        size = (1 + random_below(random, 4)) * PAGE_BYTES;
    fill(random, scratch, size);
    assert_int_equal(world_write(world, ino, scratch, size, offset), 0);
    for (unsigned i = 0; i < WINDOWS; i++) {
        uint8_t *part = window_part(model, i, offset, offset + size, &part_size);

        if (part)
            memcpy(part, scratch + (window_bases[i] > offset ? window_bases[i] - offset : 0),
                part_size);
    }
    if (model->size < offset + size)
        model->size = offset + size;
}

/* Windows are near each other, or gigabytes apart: what is available counts roughly. */
static bool is_beyond_the_disk(
    struct world *world, const struct model *model, uint64_t offset, uint64_t end)
{
    uint64_t from = offset > model->size ? offset : model->size;
    struct engine_stats stats;

    engine_get_stats(world->engine, &stats);
    return end > from && end - from > stats.disk_available_bytes;
}

static void step_allocate(
    struct world *world, struct model *model, uint64_t ino, struct random *random, unsigned windows)
{
    static const int modes[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
        FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    int mode = modes[random_below(random, ARRAY_COUNT(modes))];
    uint64_t offset = some_offset(random, windows);
    uint64_t end = random_below(random, 3) ? offset + 1 + random_below(random, 20000)
                                           : some_offset(random, windows);

    if (end <= offset)
        end = offset + PAGE_BYTES;
    if (!(mode & FALLOC_FL_PUNCH_HOLE) && is_beyond_the_disk(world, model, offset, end)) {
        assert_int_equal(allocate(world, ino, mode, offset, end - offset), -ENOSPC);
        return;
    }
    assert_int_equal(allocate(world, ino, mode, offset, end - offset), 0);
    if (mode & ~FALLOC_FL_KEEP_SIZE)
        model_zero(model, offset, end);
    if (!(mode & FALLOC_FL_KEEP_SIZE) && end > model->size)
        model->size = end;
}

static void step(
    struct world *world, struct model *model, uint64_t ino, struct random *random, unsigned windows)
{
    uint64_t size;

    switch (random_below(random, 8)) {
    case 0:
        size = random_below(random, 6) ? some_offset(random, windows) : 0;
        assert_int_equal(truncate_to(world, ino, size), 0);
        model_zero(model, size, UINT64_MAX);
        model->size = size;
        break;
    case 1:
    case 2:
        step_allocate(world, model, ino, random, windows);
        break;
    case 3:
        check_seek(world, model, ino, some_offset(random, windows));
        break;
    default:
        step_write(world, model, ino, random, windows);
        break;
    }
    check_window(world, model, ino, random_below(random, windows));
}

static void run(struct world *world, uint64_t ino, unsigned windows, unsigned salt, bool reopens)
{
    struct random random = {random_seed(1) * 1000 + salt};
    struct model *model = calloc(1, sizeof(*model));

    assert_non_null(model);
    world->seed = random_seed(1);
    for (unsigned i = 0; i < STEPS; i++) {
        step(world, model, ino, &random, windows);
        if (i % CHECK_EVERY)
            continue;
        check_all(world, model, ino);
        if (reopens && i % (CHECK_EVERY * 4) == 0) {
            world_reopen(world);
            assert_int_equal(world_lookup(world, FS_ROOT_INO, "file", &ino), 0);
        }
    }
    check_all(world, model, ino);
    free(model);
}

static void a_small_file_holds_what_was_written(void **state)
{
    struct world *world = *state;
    uint64_t ino;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    run(world, ino, 1, 1, true);
}

static void a_file_across_blocks_and_extents_holds_what_was_written(void **state)
{
    struct world *world = *state;
    uint64_t ino;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    run(world, ino, 3, 2, true);
}

static void a_sparse_file_of_many_gigabytes_holds_what_was_written(void **state)
{
    struct world *world = *state;
    uint64_t ino;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    run(world, ino, WINDOWS, 3, true);
}

static void a_file_of_two_names_holds_what_was_written(void **state)
{
    struct world *world = *state;
    uint64_t ino;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    assert_int_equal(world_link(world, ino, FS_ROOT_INO, "other"), 0);
    run(world, ino, 3, 4, true);
}

static void an_open_file_without_a_name_holds_what_was_written(void **state)
{
    struct world *world = *state;
    struct fs_handle *handle;
    uint64_t ino;

    assert_int_equal(world_create_open(world, FS_ROOT_INO, "file", &ino, &handle), 0);
    assert_int_equal(world_write(world, ino, "small", 5, 0), 0);
    assert_int_equal(world_unlink(world, FS_ROOT_INO, "file"), 0);
    assert_int_equal(truncate_to(world, ino, 0), 0);
    run(world, ino, WINDOWS, 5, false);
    fs_release(world->fs, ino, handle);
    world_settle(world);
    assert_int_equal(world_rows(world, TABLE_BLOCKS), 0);
    assert_int_equal(world_rows(world, TABLE_SMALL), 0);
    world_verify(world);
}

/* ---- space ---- */

static void what_the_disk_cannot_hold_is_not_allocated(void **state)
{
    struct world *world = *state;
    struct random random = {3};
    struct engine_stats stats;
    uint64_t ino, left;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    fill(&random, scratch, BLOCK_BYTES);
    assert_int_equal(world_write(world, ino, scratch, BLOCK_BYTES, 0), 0);
    engine_get_stats(world->engine, &stats);
    /* Twice: what is available may change meanwhile by what is flushed. */
    left = 2 * stats.disk_available_bytes;
    assert_int_equal(allocate(world, ino, 0, 0, BLOCK_BYTES + left), -ENOSPC);
    assert_int_equal(allocate(world, ino, FALLOC_FL_KEEP_SIZE, BLOCK_BYTES, left), -ENOSPC);
    assert_int_equal(world_stat(world, ino).st_size, BLOCK_BYTES);
    /* What is there, or goes, needs none. */
    assert_int_equal(allocate(world, ino, 0, 0, BLOCK_BYTES), 0);
    assert_int_equal(allocate(world, ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, left), 0);
    world_verify(world);
}

/* ---- promises ---- */

static uint64_t engine_reads(struct world *world)
{
    struct engine_stats stats;

    engine_get_stats(world->engine, &stats);
    return stats.gets + stats.scans;
}

static void writing_whole_pages_in_sequence_reads_nothing(void **state)
{
    struct world *world = *state;
    struct random random = {1};
    uint64_t ino, before;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    fill(&random, scratch, BLOCK_BYTES);
    before = engine_reads(world);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(
            world_write(world, ino, scratch, BLOCK_BYTES, (uint64_t)i * BLOCK_BYTES), 0);
    /* Over what is there, and a last page that is not whole. */
    assert_int_equal(world_write(world, ino, scratch, BLOCK_BYTES, BLOCK_BYTES), 0);
    assert_int_equal(world_write(world, ino, scratch, 5000, 16 * BLOCK_BYTES), 0);
    assert_int_equal(world_write(world, ino, scratch, 5000, 16 * BLOCK_BYTES), 0);
    assert_int_equal(engine_reads(world), before);
    world_verify(world);
}

static void the_largest_write_is_one_batch_wherever_it_begins(void **state)
{
    struct world *world = *state;
    static const uint64_t offsets[] = {0, 1, 4095, BLOCK_BYTES - 1, EXTENT_BYTES - 12345};
    struct random random = {2};
    struct engine_stats before, after;
    uint64_t ino;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    fill(&random, scratch, sizeof(scratch));
    for (unsigned i = 0; i < ARRAY_COUNT(offsets); i++) {
        AUTO(buf_release) struct buf found = BUF_INIT;

        engine_get_stats(world->engine, &before);
        assert_int_equal(world_write(world, ino, scratch, sizeof(scratch), offsets[i]), 0);
        engine_get_stats(world->engine, &after);
        assert_int_equal(after.batches, before.batches + 1);
        assert_int_equal(fs_read(world->fs, ino, NULL, offsets[i], sizeof(scratch) + 1, &found), 0);
        assert_int_equal(found.size, sizeof(scratch));
        assert_memory_equal(found.data, scratch, sizeof(scratch));
    }
    world_verify(world);
}

static void a_file_goes_from_small_to_blocks_when_it_outgrows_it(void **state)
{
    struct world *world = *state;
    uint64_t ino;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    memset(scratch, 'a', sizeof(scratch));
    assert_int_equal(world_write(world, ino, scratch, FS_SMALL_BYTES_MAX, 0), 0);
    assert_int_equal(world_rows(world, TABLE_SMALL), 1);
    assert_int_equal(world_rows(world, TABLE_BLOCKS), 0);
    assert_int_equal(world_write(world, ino, scratch, 1, FS_SMALL_BYTES_MAX), 0);
    assert_int_equal(world_rows(world, TABLE_SMALL), 0);
    assert_int_equal(world_rows(world, TABLE_BLOCKS), 1);
    world_verify(world);
    /* Never back, but for the empty file, which has neither. */
    assert_int_equal(truncate_to(world, ino, 10), 0);
    assert_int_equal(world_rows(world, TABLE_SMALL), 0);
    assert_int_equal(truncate_to(world, ino, 0), 0);
    assert_int_equal(world_rows(world, TABLE_BLOCKS), 0);
    assert_int_equal(world_write(world, ino, scratch, 1, 0), 0);
    assert_int_equal(world_rows(world, TABLE_SMALL), 1);
    world_verify(world);
}

static void holes_are_counted_and_found(void **state)
{
    struct world *world = *state;
    struct stat attributes;
    uint64_t ino;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    memset(scratch, 'a', sizeof(scratch));
    assert_int_equal(truncate_to(world, ino, 1 << 20), 0);
    attributes = world_stat(world, ino);
    assert_int_equal(attributes.st_blocks, 0);
    assert_true(seek(world, ino, 5, SEEK_HOLE) == 5);
    assert_true(seek(world, ino, 5, SEEK_DATA) == UINT64_MAX);
    assert_int_equal(world_write(world, ino, scratch, 8192, 65536), 0);
    attributes = world_stat(world, ino);
    assert_int_equal(attributes.st_blocks, 16);
    assert_true(seek(world, ino, 0, SEEK_DATA) == 65536);
    assert_true(seek(world, ino, 65537, SEEK_DATA) == 65537);
    assert_true(seek(world, ino, 65537, SEEK_HOLE) == 65536 + 8192);
    assert_true(seek(world, ino, 1 << 20, SEEK_HOLE) == UINT64_MAX);
    /* Written again: still the same pages. */
    assert_int_equal(world_write(world, ino, scratch, 4096, 65536), 0);
    assert_int_equal(world_stat(world, ino).st_blocks, 16);
    assert_int_equal(
        allocate(world, ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 65536, 4096), 0);
    assert_int_equal(world_stat(world, ino).st_blocks, 8);
    assert_true(seek(world, ino, 0, SEEK_DATA) == 65536 + 4096);
    world_verify(world);
}

static void what_was_cut_off_is_zeros_when_the_file_grows_again(void **state)
{
    struct world *world = *state;
    static const uint8_t zeros[20000];
    static const uint64_t sizes[] = {6000, 20000};
    uint8_t found[20000];
    uint64_t ino;

    for (unsigned i = 0; i < ARRAY_COUNT(sizes); i++) {
        char name[] = {'f', (char)('0' + i), 0};

        assert_int_equal(world_create(world, FS_ROOT_INO, name, 0644, &ino), 0);
        memset(scratch, 'a', sizes[i]);
        assert_int_equal(world_write(world, ino, scratch, sizes[i], 0), 0);
        assert_int_equal(truncate_to(world, ino, 10), 0);
        world_verify(world);
        assert_int_equal(truncate_to(world, ino, sizes[i]), 0);
        world_verify(world);
        assert_true(world_read(world, ino, found, sizeof(found)) == (int64_t)sizes[i]);
        assert_memory_equal(found, scratch, 10);
        assert_memory_equal(found + 10, zeros, sizes[i] - 10);
    }
}

static void a_cut_of_more_extents_than_fit_a_batch_is_done_when_it_returns(void **state)
{
    struct world *world = *state;
    uint64_t ino, last = UINT64_C(3000) * EXTENT_BYTES;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    for (uint64_t at = 0; at <= last; at += EXTENT_BYTES * 2)
        assert_int_equal(world_write(world, ino, "data", 4, at), 0);
    assert_int_equal(world_rows(world, TABLE_BLOCKS), 1501);
    assert_int_equal(allocate(world, ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         EXTENT_BYTES * 2, last - EXTENT_BYTES * 2),
        0);
    assert_int_equal(world_rows(world, TABLE_BLOCKS), 2);
    world_verify(world);
    for (uint64_t at = 0; at <= last; at += EXTENT_BYTES * 2)
        assert_int_equal(world_write(world, ino, "data", 4, at), 0);
    assert_int_equal(truncate_to(world, ino, 2), 0);
    assert_int_equal(world_rows(world, TABLE_BLOCKS), 1);
    world_verify(world);
}

static void the_largest_file_ends_where_it_is_said_to(void **state)
{
    struct world *world = *state;
    AUTO(buf_release) struct buf found = BUF_INIT;
    uint64_t ino;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    assert_int_equal(world_write(world, ino, "ab", 2, FS_FILE_BYTES_MAX - 2), 0);
    assert_int_equal(world_write(world, ino, "ab", 2, FS_FILE_BYTES_MAX - 1), -EFBIG);
    assert_int_equal(world_write(world, ino, "ab", 2, UINT64_MAX - 1), -EFBIG);
    assert_int_equal(truncate_to(world, ino, FS_FILE_BYTES_MAX + 1), -EFBIG);
    assert_int_equal(allocate(world, ino, 0, FS_FILE_BYTES_MAX, 1), -EFBIG);
    assert_int_equal(allocate(world, ino, 0, UINT64_MAX - 1, 1), -EFBIG);
    assert_int_equal(fs_read(world->fs, ino, NULL, FS_FILE_BYTES_MAX - 3, 10, &found), 0);
    assert_int_equal(found.size, 3);
    assert_memory_equal(found.data, "\0ab", 3);
    assert_true(seek(world, ino, 0, SEEK_DATA) == FS_FILE_BYTES_MAX - PAGE_BYTES);
    assert_int_equal(world_stat(world, ino).st_blocks, 8);
    world_verify(world);
}

static void a_change_that_fails_leaves_the_file_as_it_was(void **state)
{
    struct world *world = *state;
    uint8_t found[16];
    struct stat before, after;
    uint64_t ino;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    assert_int_equal(world_write(world, ino, "before", 6, 0), 0);
    before = world_stat(world, ino);
    if (!world_fail_apply(world, -ENOSPC))
        return;
    assert_int_equal(world_write(world, ino, "after, and longer", 17, 0), -ENOSPC);
    after = world_stat(world, ino);
    assert_memory_equal(&before, &after, sizeof(before));
    assert_int_equal(world_read(world, ino, found, sizeof(found)), 6);
    assert_memory_equal(found, "before", 6);
    assert_true(world_fail_apply(world, -ENOSPC));
    assert_int_equal(truncate_to(world, ino, 0), -ENOSPC);
    assert_int_equal(world_read(world, ino, found, sizeof(found)), 6);
    world_verify(world);
}

static void modes_that_are_not_there_are_refused(void **state)
{
    struct world *world = *state;
    uint64_t ino, dir;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    assert_int_equal(world_mkdir(world, FS_ROOT_INO, "dir", 0755, &dir), 0);
    assert_int_equal(allocate(world, ino, FALLOC_FL_COLLAPSE_RANGE, 0, 4096), -EOPNOTSUPP);
    assert_int_equal(allocate(world, ino, FALLOC_FL_PUNCH_HOLE, 0, 4096), -EOPNOTSUPP);
    assert_int_equal(allocate(world, ino, 0, 0, 0), -EINVAL);
    assert_int_equal(allocate(world, dir, 0, 0, 1), -EISDIR);
    assert_int_equal(world_write(world, dir, "a", 1, 0), -EISDIR);
}

/* ---- pieces ---- */

#define PIECES_MAX 8
#define PIECES_FILE_BYTES (3u << 20)
#define PIECES_ROUNDS 120u

/* Pieces of `size` bytes in all, as the device gives them. */
static unsigned make_pieces(
    struct world *world, struct random *random, size_t size, struct fs_piece pieces[PIECES_MAX])
{
    unsigned count = 0;

    for (size_t left = size; left > 0; count++) {
        size_t part = left < VALUE_BUFFER_BYTES ? left : VALUE_BUFFER_BYTES;
        struct value_buffer *buffer = fs_value_buffer(world->fs);
        uint64_t *words;

        assert_non_null(buffer);
        words = (uint64_t *)(void *)value_buffer_data(buffer);
        for (size_t i = 0; i < VALUE_BUFFER_BYTES / 8; i++)
            words[i] = random_next(random);
        pieces[count].bytes = bytes_of(value_buffer_data(buffer), part);
        pieces[count].buffer = buffer;
        left -= part;
    }
    return count;
}

static void write_pieces(struct world *world, struct random *random, uint64_t ino, uint8_t *model,
    uint64_t offset, size_t size)
{
    struct fs_request request = FS_REQUEST_INIT;
    struct fs_piece pieces[PIECES_MAX];
    unsigned count = make_pieces(world, random, size, pieces);

    assert_int_equal(fs_begin(world->fs, &request, TABLE_BLOCKS, fs_pieces_memory(pieces, count),
                         false, NULL, NULL),
        0);
    assert_int_equal(fs_write_pieces(world->fs, &request, ino, pieces, count, offset, false), 0);
    assert_int_equal(fs_end(world->fs, &request, NULL, NULL), 0);
    for (unsigned i = 0; i < count; i++) {
        memcpy(model + offset, pieces[i].bytes.data, pieces[i].bytes.size);
        offset += pieces[i].bytes.size;
        value_buffer_unref(pieces[i].buffer);
    }
}

/* Sizes and offsets at which pages, pieces and blocks meet in all ways. */
static size_t some_place(struct random *random, unsigned max)
{
    static const unsigned grains[] = {1, PAGE_BYTES, VALUE_BUFFER_BYTES / 2, VALUE_BUFFER_BYTES};
    unsigned grain = grains[random_below(random, ARRAY_COUNT(grains))];
    unsigned place = random_below(random, max / grain + 1) * grain;

    if (random_below(random, 2) && place > 0)
        place--;
    else if (random_below(random, 2) && place < max)
        place++;
    return place;
}

static void pieces_that_stay_in_their_buffers_are_what_was_written(void **state)
{
    struct world *world = *state;
    struct random random = {random_seed(world->seed)};
    uint8_t *model = calloc(1, PIECES_FILE_BYTES), *found = malloc(PIECES_FILE_BYTES);
    uint64_t ino;

    assert_non_null(model);
    assert_non_null(found);
    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    assert_int_equal(truncate_to(world, ino, PIECES_FILE_BYTES), 0);
    for (unsigned round = 0; round < PIECES_ROUNDS; round++) {
        size_t size = some_place(&random, FS_WRITE_BYTES_MAX);
        uint64_t offset = some_place(&random, PIECES_FILE_BYTES - FS_WRITE_BYTES_MAX);

        write_pieces(world, &random, ino, model, offset, size);
        if (round % 4 == 3)
            world_settle(world);
        if (round % 12 == 11) {
            world_crash(world);
            assert_int_equal(world_lookup(world, FS_ROOT_INO, "file", &ino), 0);
        }
        if (round % 3 == 2) {
            assert_int_equal(world_read(world, ino, found, PIECES_FILE_BYTES), PIECES_FILE_BYTES);
            assert_memory_equal(found, model, PIECES_FILE_BYTES);
        }
    }
    world_verify(world);
    free(model);
    free(found);
}

static void a_piece_counts_whole_only_if_it_stays(void **state)
{
    struct world *world = *state;
    struct value_buffer *buffer = fs_value_buffer(world->fs);
    struct fs_piece pieces[2];

    assert_non_null(buffer);
    pieces[0] =
        (struct fs_piece){bytes_of(value_buffer_data(buffer), VALUE_BUFFER_BYTES / 2 + 1), buffer};
    pieces[1] =
        (struct fs_piece){bytes_of(value_buffer_data(buffer), VALUE_BUFFER_BYTES / 2), buffer};
    assert_int_equal(fs_pieces_memory(pieces, 1), VALUE_BUFFER_BYTES);
    assert_int_equal(fs_pieces_memory(pieces + 1, 1), VALUE_BUFFER_BYTES / 2);
    pieces[0].buffer = NULL;
    assert_int_equal(fs_pieces_memory(pieces, 2), VALUE_BUFFER_BYTES + 1);
    value_buffer_unref(buffer);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_small_file_holds_what_was_written),
        CASE(a_file_across_blocks_and_extents_holds_what_was_written),
        CASE(a_sparse_file_of_many_gigabytes_holds_what_was_written),
        CASE(a_file_of_two_names_holds_what_was_written),
        CASE(an_open_file_without_a_name_holds_what_was_written),
        CASE(what_the_disk_cannot_hold_is_not_allocated),
        CASE(writing_whole_pages_in_sequence_reads_nothing),
        CASE(the_largest_write_is_one_batch_wherever_it_begins),
        CASE(a_file_goes_from_small_to_blocks_when_it_outgrows_it),
        CASE(holes_are_counted_and_found),
        CASE(what_was_cut_off_is_zeros_when_the_file_grows_again),
        CASE(a_cut_of_more_extents_than_fit_a_batch_is_done_when_it_returns),
        CASE(the_largest_file_ends_where_it_is_said_to),
        CASE(a_change_that_fails_leaves_the_file_as_it_was),
        CASE(modes_that_are_not_there_are_refused),
        CASE(pieces_that_stay_in_their_buffers_are_what_was_written),
        CASE(a_piece_counts_whole_only_if_it_stays),
    };

    return cmocka_run_group_tests_name("fs/data", tests, NULL, NULL);
}
