/*
 * Goal: rename is one change, whatever moves over whatever, and POSIX's errors are told first.
 * Method: every pair of kinds of inode, in one directory and across two, with each flag; then
 * link counts, times and content, and fs_verify_tree().
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/tables.h"
#include "engine/buf.h"
#include "support/fs_world.h"

#define ROOT FS_ROOT_INO
#define NOREPLACE 1u
#define EXCHANGE 2u

enum kind { NOTHING, EMPTY, SMALL, LARGE, LINKED, SYMLINK, DIRECTORY, FULL_DIRECTORY, KINDS };

static bool is_directory(enum kind kind)
{
    return kind == DIRECTORY || kind == FULL_DIRECTORY;
}

static uint64_t make(struct world *w, uint64_t dir, const char *name, enum kind kind)
{
    static uint8_t big[20000];
    char other[16];
    uint64_t ino = 0;

    switch (kind) {
    case NOTHING:
        break;
    case EMPTY:
        assert_int_equal(world_create(w, dir, name, 0600, &ino), 0);
        break;
    case SMALL:
        assert_int_equal(world_create(w, dir, name, 0600, &ino), 0);
        assert_int_equal(world_write(w, ino, name, strlen(name), 0), 0);
        assert_int_equal(world_setxattr(w, ino, "user.name", name), 0);
        break;
    case LARGE:
        assert_int_equal(world_create(w, dir, name, 0600, &ino), 0);
        assert_int_equal(world_write(w, ino, big, sizeof(big), 0), 0);
        break;
    case LINKED:
        assert_int_equal(world_create(w, dir, name, 0600, &ino), 0);
        (void)snprintf(other, sizeof(other), "%s-too", name);
        assert_int_equal(world_link(w, ino, dir, other), 0);
        break;
    case SYMLINK:
        assert_int_equal(world_symlink(w, dir, name, name, &ino), 0);
        break;
    case DIRECTORY:
        assert_int_equal(world_mkdir(w, dir, name, 0700, &ino), 0);
        break;
    default:
        assert_int_equal(world_mkdir(w, dir, name, 0700, &ino), 0);
        assert_int_equal(world_mkdir(w, ino, "inner", 0700, NULL), 0);
        break;
    }
    return ino;
}

/* That what was made under `name` is all there under another one. */
static void assert_is(struct world *w, uint64_t ino, const char *name, enum kind kind)
{
    struct buf buf = BUF_INIT;
    char text[16];

    switch (kind) {
    case SMALL:
        assert_int_equal(world_read(w, ino, text, sizeof(text)), strlen(name));
        assert_memory_equal(text, name, strlen(name));
        assert_int_equal(fs_getxattr(w->fs, ino, "user.name", &buf), 0);
        assert_int_equal(buf.size, strlen(name));
        assert_memory_equal(buf.data, name, buf.size);
        break;
    case LARGE:
        assert_int_equal(world_stat(w, ino).st_size, 20000);
        break;
    case LINKED:
        assert_int_equal(world_stat(w, ino).st_nlink, 2);
        break;
    case SYMLINK:
        assert_int_equal(fs_readlink(w->fs, ino, &buf), 0);
        assert_int_equal(buf.size, strlen(name));
        assert_memory_equal(buf.data, name, buf.size);
        break;
    case FULL_DIRECTORY:
        assert_true(world_exists(w, ino, "inner"));
        break;
    default:
        break;
    }
    buf_release(&buf);
}

static int expected(enum kind from, enum kind to, unsigned flags)
{
    if (from == NOTHING)
        return -ENOENT;
    if (flags == EXCHANGE)
        return to == NOTHING ? -ENOENT : 0;
    if (to == NOTHING)
        return 0;
    if (flags == NOREPLACE)
        return -EEXIST;
    if (is_directory(to) && !is_directory(from))
        return -EISDIR;
    if (!is_directory(to) && is_directory(from))
        return -ENOTDIR;
    return to == FULL_DIRECTORY ? -ENOTEMPTY : 0;
}

static bool same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static void try_pair(
    struct world *w, enum kind from, enum kind to, unsigned flags, bool across, unsigned number)
{
    char first[16], second[16];
    uint64_t one, two, moved, replaced, found;
    struct stat before, after;
    int r;

    (void)snprintf(first, sizeof(first), "a%u", number);
    (void)snprintf(second, sizeof(second), "b%u", number);
    assert_int_equal(world_mkdir(w, ROOT, first, 0755, &one), 0);
    two = one;
    if (across)
        assert_int_equal(world_mkdir(w, ROOT, second, 0755, &two), 0);
    moved = make(w, one, "from", from);
    replaced = make(w, two, "to", to);
    before = world_stat(w, two);
    world_advance(w, 10);

    r = world_rename(w, one, "from", two, "to", flags);
    if (r != expected(from, to, flags))
        fail_msg("%d over %d, flags %u, across %d: %d, not %d", from, to, flags, across, r,
            expected(from, to, flags));
    if (r < 0) {
        after = world_stat(w, two);
        assert_true(same_time(before.st_mtim, after.st_mtim));
        assert_int_equal(world_exists(w, one, "from"), from != NOTHING);
        assert_int_equal(world_exists(w, two, "to"), to != NOTHING);
        return;
    }
    assert_int_equal(world_lookup(w, two, "to", &found), 0);
    assert_int_equal(found, moved);
    assert_is(w, moved, "from", from);
    after = world_stat(w, two);
    assert_true(same_time(after.st_mtim, world_stat(w, one).st_mtim));
    assert_true(same_time(after.st_mtim, world_stat(w, moved).st_ctim));
    assert_false(same_time(after.st_mtim, before.st_mtim));
    assert_false(same_time(after.st_mtim, world_stat(w, moved).st_mtim));
    if (flags == EXCHANGE) {
        assert_int_equal(world_lookup(w, one, "from", &found), 0);
        assert_int_equal(found, replaced);
        assert_is(w, replaced, "to", to);
    } else {
        assert_false(world_exists(w, one, "from"));
        if (to != NOTHING)
            assert_int_equal(world_stat(w, replaced).st_nlink, to == LINKED ? 1 : 0);
    }
    /* Changes made now must find the rows where they are now. */
    assert_int_equal(world_setxattr(w, moved, "trusted.after", "x"), 0);
}

static void try_all(struct world *w, unsigned flags)
{
    unsigned number = 0;

    for (unsigned from = NOTHING; from < KINDS; from++) {
        for (unsigned to = NOTHING; to < KINDS; to++) {
            try_pair(w, (enum kind)from, (enum kind)to, flags, false, number++);
            try_pair(w, (enum kind)from, (enum kind)to, flags, true, number++);
        }
    }
    world_verify(w);
    world_reopen(w);
    world_verify(w);
}

static void rename_moves_and_replaces_every_kind(void **state)
{
    try_all(*state, 0);
}

static void noreplace_never_replaces(void **state)
{
    try_all(*state, NOREPLACE);
}

static void exchange_swaps_every_kind(void **state)
{
    try_all(*state, EXCHANGE);
}

static void other_flags_are_refused(void **state)
{
    struct world *w = *state;

    assert_int_equal(world_create(w, ROOT, "a", 0600, NULL), 0);
    assert_int_equal(world_create(w, ROOT, "b", 0600, NULL), 0);
    assert_int_equal(world_rename(w, ROOT, "a", ROOT, "b", 4), -EINVAL);
    assert_int_equal(world_rename(w, ROOT, "a", ROOT, "b", NOREPLACE | EXCHANGE), -EINVAL);
}

static void a_moved_directory_counts_in_its_new_parent(void **state)
{
    struct world *w = *state;
    uint64_t a, b, moving;

    assert_int_equal(world_mkdir(w, ROOT, "a", 0755, &a), 0);
    assert_int_equal(world_mkdir(w, ROOT, "b", 0755, &b), 0);
    assert_int_equal(world_mkdir(w, a, "moving", 0755, &moving), 0);
    assert_int_equal(world_create(w, moving, "inside", 0600, NULL), 0);
    assert_int_equal(world_rename(w, a, "moving", b, "moved", 0), 0);
    assert_int_equal(world_stat(w, a).st_nlink, 2);
    assert_int_equal(world_stat(w, b).st_nlink, 3);
    assert_true(world_exists(w, moving, "inside"));
    assert_int_equal(world_rename(w, b, "moved", moving, "in itself", 0), -EINVAL);
    assert_int_equal(world_rename(w, ROOT, "b", b, "b", 0), -EINVAL);
    world_verify(w);
    /* Over the directory that it lies in. */
    assert_int_equal(world_rename(w, b, "moved", ROOT, "b", 0), -ENOTEMPTY);
    world_verify(w);
}

static void two_names_of_one_file_both_stay(void **state)
{
    struct world *w = *state;
    uint64_t ino;

    assert_int_equal(world_create(w, ROOT, "a", 0600, &ino), 0);
    assert_int_equal(world_link(w, ino, ROOT, "b"), 0);
    assert_int_equal(world_rename(w, ROOT, "a", ROOT, "b", 0), 0);
    assert_true(world_exists(w, ROOT, "a"));
    assert_true(world_exists(w, ROOT, "b"));
    assert_int_equal(world_rename(w, ROOT, "a", ROOT, "a", 0), 0);
    assert_int_equal(world_stat(w, ino).st_nlink, 2);
    world_verify(w);
}

static void what_an_open_file_held_outlives_its_replacement(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;
    uint64_t open, other;
    char text[8];

    assert_int_equal(world_create_open(w, ROOT, "config", &open, &handle), 0);
    assert_int_equal(world_write(w, open, "old", 3, 0), 0);
    assert_int_equal(world_setxattr(w, open, "user.k", "v"), 0);
    assert_int_equal(world_create(w, ROOT, "tmp", 0600, &other), 0);
    assert_int_equal(world_write(w, other, "new", 3, 0), 0);
    assert_int_equal(world_rename(w, ROOT, "tmp", ROOT, "config", 0), 0);
    assert_int_equal(world_read(w, open, text, sizeof(text)), 3);
    assert_memory_equal(text, "old", 3);
    assert_int_equal(world_read(w, other, text, sizeof(text)), 3);
    assert_memory_equal(text, "new", 3);
    assert_int_equal(world_stat(w, open).st_nlink, 0);
    world_verify(w);
    fs_release(w->fs, open, handle);
    fs_forget(w->fs, open, 1);
    world_settle(w);
    assert_int_equal(world_rows(w, TABLE_SMALL), 1);
    world_verify(w);
}

static void what_was_looked_up_can_be_opened_after_its_replacement(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;
    uint64_t old, new;
    char text[8];

    assert_int_equal(world_create(w, ROOT, "name", 0644, &old), 0);
    assert_int_equal(world_write(w, old, "old", 3, 0), 0);
    assert_int_equal(world_create(w, ROOT, "new", 0644, &new), 0);
    assert_int_equal(world_rename(w, ROOT, "new", ROOT, "name", 0), 0);
    world_settle(w);
    world_verify(w);
    /* More than once: each of several may have looked the name up before. */
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(fs_open_file(w->fs, NULL, old, O_RDONLY, &handle), 0);
        assert_int_equal(world_read(w, old, text, sizeof(text)), 3);
        assert_memory_equal(text, "old", 3);
        fs_release(w->fs, old, handle);
        world_settle(w);
    }
    assert_int_equal(world_stat(w, old).st_nlink, 0);
    assert_int_equal(world_link(w, old, ROOT, "again"), -ENOENT);
    fs_forget(w->fs, old, 1);
    world_settle(w);
    assert_int_equal(fs_open_file(w->fs, NULL, old, O_RDONLY, &handle), -ESTALE);
    assert_int_equal(world_rows(w, TABLE_SMALL), 0);
    world_verify(w);
}

static void what_nobody_knows_goes_when_it_is_replaced(void **state)
{
    struct world *w = *state;
    struct fs_stats stats;
    uint64_t old, new;

    assert_int_equal(world_create(w, ROOT, "name", 0644, &old), 0);
    assert_int_equal(world_write(w, old, "old", 3, 0), 0);
    fs_forget(w->fs, old, 1);
    assert_int_equal(world_create(w, ROOT, "new", 0644, &new), 0);
    assert_int_equal(world_rename(w, ROOT, "new", ROOT, "name", 0), 0);
    fs_get_stats(w->fs, &stats);
    assert_int_equal(stats.orphans, 0);
    assert_int_equal(world_rows(w, TABLE_SMALL), 0);
    world_verify(w);
}

static void a_replaced_rows_cells_do_not_show_through(void **state)
{
    struct world *w = *state;
    struct buf value = BUF_INIT;
    uint64_t full, bare;

    full = make(w, ROOT, "to", SMALL);
    bare = make(w, ROOT, "from", EMPTY);
    assert_int_equal(world_rename(w, ROOT, "from", ROOT, "to", 0), 0);
    fs_forget(w->fs, full, 1);
    fs_forget(w->fs, bare, 1);
    world_reopen(w);
    assert_int_equal(world_lookup(w, ROOT, "to", &bare), 0);
    assert_int_equal(world_stat(w, bare).st_size, 0);
    assert_int_equal(fs_getxattr(w->fs, bare, "user.name", &value), -ENODATA);
    buf_release(&value);
    world_verify(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rename_moves_and_replaces_every_kind),
        TEST(noreplace_never_replaces),
        TEST(exchange_swaps_every_kind),
        TEST(other_flags_are_refused),
        TEST(a_moved_directory_counts_in_its_new_parent),
        TEST(two_names_of_one_file_both_stay),
        TEST(what_an_open_file_held_outlives_its_replacement),
        TEST(what_was_looked_up_can_be_opened_after_its_replacement),
        TEST(what_nobody_knows_goes_when_it_is_replaced),
        TEST(a_replaced_rows_cells_do_not_show_through),
    };

    return cmocka_run_group_tests_name("fs/rename", tests, NULL, NULL);
}
