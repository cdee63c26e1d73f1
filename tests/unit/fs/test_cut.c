/*
 * Goal: a cut that one batch cannot hold is done whole, or not at all, wherever it fails or the
 * machine dies; and never takes what is written later.
 * Method: a sparse file with pages far apart is cut short, or has a hole punched, so that it takes
 * several batches. Over the model engine each of these fails in turn; over the engine the disk dies
 * at each of its changes in turn. Then the file is written where it was cut, dies, and is read.
 */
#include <errno.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/tables.h"
#include "engine/buf.h"
#include "io/fault.h"
#include "support/fs_world.h"

/* The extents in which the file has a page: what is probed in one step is fewer than lie between
 * some of them. */
static const uint64_t extents[] = {0, 1, 2000, 6000, 11000};
#define FILE_BYTES (UINT64_C(12000) * EXTENT_BYTES)
#define CUT_FROM EXTENT_BYTES
#define CUT_TO (FILE_BYTES - EXTENT_BYTES)
/* That of the row, and those of the extents. */
#define CUT_BATCHES 4u

enum how { TRUNCATE, PUNCH, HOWS };

static int truncate_to(struct world *world, uint64_t ino, uint64_t size)
{
    struct fs_setattr change = {.set = FS_SET_SIZE, .size = size};

    return world_setattr(world, ino, &change);
}

static int cut(struct world *world, uint64_t ino, enum how how)
{
    struct fs_request request = FS_REQUEST_INIT;
    int r, ended;

    r = fs_begin(world->fs, &request, TABLE_BLOCKS, PAGE_BYTES, true, NULL, NULL);
    if (r < 0)
        return r;
    if (how == TRUNCATE) {
        struct fs_setattr change = {.set = FS_SET_SIZE, .size = CUT_FROM};
        struct stat attributes;

        r = fs_setattr(world->fs, &request, ino, &change, &attributes);
    } else {
        r = fs_fallocate(world->fs, &request, ino, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
            CUT_FROM, CUT_TO - CUT_FROM, false);
    }
    ended = fs_end(world->fs, &request, NULL, NULL);
    return r < 0 ? r : ended;
}

static uint64_t make_file(struct world *world)
{
    uint64_t ino;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    for (unsigned i = 0; i < ARRAY_COUNT(extents); i++)
        assert_int_equal(world_write(world, ino, "old", 3, extents[i] * EXTENT_BYTES), 0);
    assert_int_equal(truncate_to(world, ino, FILE_BYTES), 0);
    return ino;
}

static uint64_t find_file(struct world *world)
{
    uint64_t ino;

    assert_int_equal(world_lookup(world, FS_ROOT_INO, "file", &ino), 0);
    return ino;
}

static void check_bytes(struct world *world, uint64_t ino, uint64_t offset, const char *expected)
{
    AUTO(buf_release) struct buf found = BUF_INIT;

    assert_int_equal(fs_read(world->fs, ino, NULL, offset, 3, &found), 0);
    assert_int_equal(found.size, 3);
    assert_memory_equal(found.data, expected, 3);
}

static uint64_t orphan_count(struct world *world)
{
    struct fs_stats stats;

    fs_get_stats(world->fs, &stats);
    return stats.orphans;
}

/* What lies in the range: zeros, or what was there. */
static void check_range(struct world *world, uint64_t ino, const char *expected)
{
    check_bytes(world, ino, 0, "old");
    for (unsigned i = 1; i < ARRAY_COUNT(extents); i++)
        check_bytes(world, ino, extents[i] * EXTENT_BYTES, expected);
}

static void check_cut(struct world *world, uint64_t ino, enum how how)
{
    struct stat attributes = world_stat(world, ino);

    assert_int_equal(attributes.st_size, how == TRUNCATE ? CUT_FROM : FILE_BYTES);
    assert_int_equal(attributes.st_blocks, PAGE_BYTES / 512);
    check_bytes(world, ino, 0, "old");
    if (how == PUNCH)
        check_range(world, ino, "\0\0\0");
    world_verify(world);
}

/* Grows again, is written in the middle, and dies: nothing old comes back, nothing new goes. */
static void check_lives_on(struct world *world, uint64_t ino)
{
    uint64_t at = extents[2] * EXTENT_BYTES;

    assert_int_equal(truncate_to(world, ino, FILE_BYTES), 0);
    check_range(world, ino, "\0\0\0");
    assert_int_equal(world_write(world, ino, "new", 3, at), 0);
    for (unsigned i = 0; i < 2; i++) {
        world_crash(world);
        ino = find_file(world);
        check_bytes(world, ino, at, "new");
        check_bytes(world, ino, extents[3] * EXTENT_BYTES, "\0\0\0");
        assert_int_equal(world_rows(world, TABLE_BLOCKS), 2);
        world_verify(world);
    }
    assert_int_equal(world_unlink(world, FS_ROOT_INO, "file"), 0);
    world_settle(world);
    assert_int_equal(world_rows(world, TABLE_BLOCKS), 0);
    assert_int_equal(orphan_count(world), 0);
}

/* ---- failures ---- */

/* The file, of whose cut batch `nth` (2: the first after that of the row) failed. 0: none can. */
static uint64_t make_unfinished(struct world *world, enum how how, unsigned nth)
{
    uint64_t ino = make_file(world);

    if (!world_fail_nth_apply(world, nth, -ENOMEM))
        return 0;
    assert_int_equal(cut(world, ino, how), 0);
    assert_int_equal(orphan_count(world), 1);
    check_cut(world, ino, how);
    return ino;
}

static void a_cut_that_fails_halfway_takes_nothing_that_is_written_later(void **state)
{
    struct world *world = *state;

    for (enum how how = 0; how < HOWS; how++) {
        for (unsigned nth = 2; nth <= CUT_BATCHES; nth++) {
            uint64_t ino = make_unfinished(world, how, nth);

            if (ino == 0)
                return;
            check_lives_on(world, ino);
        }
    }
}

static void what_writes_to_a_file_finishes_its_cut_or_fails(void **state)
{
    struct world *world = *state;
    uint64_t at = extents[2] * EXTENT_BYTES;
    uint64_t ino = make_unfinished(world, PUNCH, 2);

    if (ino == 0)
        return;
    assert_true(world_fail_apply(world, -ENOMEM));
    assert_int_equal(world_write(world, ino, "new", 3, at), -ENOMEM);
    assert_true(world_fail_apply(world, -ENOMEM));
    assert_int_equal(truncate_to(world, ino, 2 * FILE_BYTES), -ENOMEM);
    assert_true(world_fail_apply(world, -ENOMEM));
    assert_int_equal(cut(world, ino, PUNCH), -ENOMEM);
    assert_int_equal(orphan_count(world), 1);
    check_cut(world, ino, PUNCH);
    assert_int_equal(world_write(world, ino, "new", 3, at), 0);
    assert_int_equal(orphan_count(world), 0);
    check_bytes(world, ino, at, "new");
    world_verify(world);
}

static void a_cut_that_cannot_begin_changes_nothing(void **state)
{
    struct world *world = *state;

    for (enum how how = 0; how < HOWS; how++) {
        uint64_t ino = make_file(world);

        if (!world_fail_apply(world, -ENOMEM))
            return;
        assert_int_equal(cut(world, ino, how), -ENOMEM);
        assert_int_equal(orphan_count(world), 0);
        assert_int_equal(world_stat(world, ino).st_size, FILE_BYTES);
        check_range(world, ino, "old");
        world_crash(world);
        check_range(world, find_file(world), "old");
        assert_int_equal(world_unlink(world, FS_ROOT_INO, "file"), 0);
        world_settle(world);
    }
}

static void the_next_mount_finishes_a_cut(void **state)
{
    struct world *world = *state;

    if (make_unfinished(world, PUNCH, 2) == 0)
        return;
    world_reopen(world);
    assert_int_equal(orphan_count(world), 0);
    check_cut(world, find_file(world), PUNCH);
    assert_int_equal(world_rows(world, TABLE_BLOCKS), 1);
}

static void a_file_whose_cut_is_unfinished_can_be_removed(void **state)
{
    struct world *world = *state;

    for (enum how how = 0; how < HOWS; how++) {
        if (make_unfinished(world, how, 2) == 0)
            return;
        assert_int_equal(world_unlink(world, FS_ROOT_INO, "file"), 0);
        world_settle(world);
        world_crash(world);
        world_settle(world);
        assert_int_equal(world_rows(world, TABLE_BLOCKS), 0);
        world_verify(world);
    }
}

static void who_may_not_finish_a_cut_reads_it_as_done(void **state)
{
    struct world *world = *state;

    if (make_unfinished(world, PUNCH, 2) == 0)
        return;
    world->options.read_only = true;
    world_crash(world);
    assert_int_equal(orphan_count(world), 1);
    assert_int_not_equal(world_rows(world, TABLE_BLOCKS), 1);
    check_cut(world, find_file(world), PUNCH);
    world->options.read_only = false;
    world_crash(world);
    assert_int_equal(world_rows(world, TABLE_BLOCKS), 1);
    check_cut(world, find_file(world), PUNCH);
}

/* ---- deaths ---- */

static void check_after_death(struct world *world, enum how how)
{
    uint64_t ino = find_file(world);
    AUTO(buf_release) struct buf found = BUF_INIT;
    bool is_cut;

    assert_int_equal(orphan_count(world), 0);
    if (how == TRUNCATE) {
        is_cut = world_stat(world, ino).st_size == CUT_FROM;
    } else {
        assert_int_equal(fs_read(world->fs, ino, NULL, CUT_FROM, 3, &found), 0);
        is_cut = found.data[0] == 0;
    }
    if (is_cut) {
        check_cut(world, ino, how);
    } else {
        assert_int_equal(world_stat(world, ino).st_size, FILE_BYTES);
        check_range(world, ino, "old");
        world_verify(world);
        assert_int_equal(cut(world, ino, how), 0);
    }
}

static void a_cut_that_death_interrupts_is_done_whole_or_not_at_all(void **state)
{
    struct world *world = *state;

    for (enum how how = 0; how < HOWS; how++) {
        for (unsigned variant = 0; variant < ENV_FAULT_VARIANTS; variant++) {
            bool died = true;

            for (uint64_t nth = 1; died; nth++) {
                uint64_t ino = make_file(world);

                if (!world_die_at(world, nth))
                    return;
                (void)cut(world, ino, how);
                died = world_is_dead(world);
                world_rise(world, variant);
                check_after_death(world, how);
                check_lives_on(world, find_file(world));
            }
        }
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_cut_that_fails_halfway_takes_nothing_that_is_written_later),
        CASE(what_writes_to_a_file_finishes_its_cut_or_fails),
        CASE(a_cut_that_cannot_begin_changes_nothing),
        CASE(the_next_mount_finishes_a_cut),
        CASE(a_file_whose_cut_is_unfinished_can_be_removed),
        CASE(who_may_not_finish_a_cut_reads_it_as_done),
        CASE(a_cut_that_death_interrupts_is_done_whole_or_not_at_all),
    };

    return cmocka_run_group_tests_name("fs/cut", tests, NULL, NULL);
}
