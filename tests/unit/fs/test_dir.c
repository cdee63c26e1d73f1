/*
 * Goal: a listing shows what was there from opendir to its end exactly once, whatever is made,
 * removed and renamed meanwhile, and goes on from any cookie it gave.
 * Method: listings by buffers of a few entries, with changes between the calls.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/tables.h"
#include "support/fs_world.h"

#define ROOT FS_ROOT_INO
#define SEEN_MAX 8192

struct seen {
    char names[SEEN_MAX][16];
    uint64_t cookies[SEEN_MAX];
    struct fs_entry entries[SEEN_MAX];
    unsigned count;
    unsigned room; /* entries that fit in this call */
};
static struct seen seen;

static int see(void *arg, const struct fs_dirent *dirent)
{
    struct seen *s = arg;

    if (s->room == 0)
        return 1;
    s->room--;
    assert_true(s->count < SEEN_MAX && dirent->name.size < 16);
    memcpy(s->names[s->count], dirent->name.data, dirent->name.size);
    s->names[s->count][dirent->name.size] = 0;
    s->cookies[s->count] = dirent->cookie;
    s->entries[s->count] = dirent->entry;
    s->count++;
    return 0;
}

static struct fs_handle *open_directory(struct world *w, uint64_t ino)
{
    struct fs_handle *handle;

    assert_int_equal(fs_open_directory(w->fs, ino, &handle), 0);
    seen.count = 0;
    return handle;
}

/* One call with room for `room` entries, from behind what was seen last; how many came. */
static unsigned read_some(struct world *w, struct fs_handle *handle, bool plus, unsigned room)
{
    unsigned before = seen.count;
    uint64_t cookie = before ? seen.cookies[before - 1] : 0;

    seen.room = room;
    assert_int_equal(fs_read_directory(w->fs, handle, cookie, plus, see, &seen), 0);
    return seen.count - before;
}

static unsigned times_seen(const char *name)
{
    unsigned times = 0;

    for (unsigned i = 0; i < seen.count; i++)
        times += strcmp(seen.names[i], name) == 0;
    return times;
}

static void make_files(struct world *w, uint64_t dir, unsigned count)
{
    char name[16];
    uint64_t ino;

    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(name, sizeof(name), "f%05u", i);
        assert_int_equal(world_create(w, dir, name, 0600, &ino), 0);
        fs_forget(w->fs, ino, 1);
    }
}

static void dots_come_first_then_names_in_order(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;
    uint64_t dir, sub;

    assert_int_equal(world_mkdir(w, ROOT, "dir", 0755, &dir), 0);
    assert_int_equal(world_mkdir(w, dir, "zsub", 0755, &sub), 0);
    assert_int_equal(world_symlink(w, dir, "alink", "x", NULL), 0);
    handle = open_directory(w, dir);
    assert_int_equal(read_some(w, handle, false, 100), 4);
    assert_string_equal(seen.names[0], ".");
    assert_string_equal(seen.names[1], "..");
    assert_string_equal(seen.names[2], "alink");
    assert_string_equal(seen.names[3], "zsub");
    assert_int_equal(seen.entries[0].attributes.st_ino, dir);
    assert_int_equal(seen.entries[1].attributes.st_ino, ROOT);
    assert_int_equal(seen.entries[2].attributes.st_mode, S_IFLNK);
    assert_int_equal(seen.entries[3].attributes.st_mode, S_IFDIR);
    assert_int_equal(seen.entries[3].attributes.st_ino, sub);
    assert_int_equal(read_some(w, handle, false, 100), 0);
    fs_release_directory(w->fs, handle);
}

static void small_buffers_show_each_name_once(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;

    make_files(w, ROOT, 300);
    for (unsigned room = 1; room < 70; room = room * 2 + 1) {
        handle = open_directory(w, ROOT);
        while (read_some(w, handle, room % 3 == 0, room) > 0)
            ;
        assert_int_equal(seen.count, 302);
        for (unsigned i = 3; i < seen.count; i++)
            assert_true(strcmp(seen.names[i - 1], seen.names[i]) < 0);
        for (unsigned i = 0; i < seen.count; i++) {
            if (seen.entries[i].nodeid != 0)
                fs_forget(w->fs, seen.entries[i].nodeid, 1);
        }
        fs_release_directory(w->fs, handle);
    }
}

static void removing_while_listing_skips_nothing(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;
    unsigned removed = 0;

    make_files(w, ROOT, 200);
    handle = open_directory(w, ROOT);
    for (;;) {
        unsigned first = seen.count;
        unsigned count = read_some(w, handle, false, 7);

        if (count == 0)
            break;
        for (unsigned i = first; i < seen.count; i++) {
            if (seen.cookies[i] > 2) {
                assert_int_equal(world_unlink(w, ROOT, seen.names[i]), 0);
                removed++;
            }
        }
    }
    assert_int_equal(removed, 200);
    fs_release_directory(w->fs, handle);
    world_verify(w);
}

static void names_younger_than_opendir_are_left_out_until_rewind(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;

    make_files(w, ROOT, 10);
    handle = open_directory(w, ROOT);
    assert_int_equal(read_some(w, handle, false, 5), 5);
    assert_int_equal(world_create(w, ROOT, "young", 0600, NULL), 0);
    /* One that would be met for ever: to a later name, again and again. */
    assert_int_equal(world_rename(w, ROOT, "f00008", ROOT, "zz", 0), 0);
    while (read_some(w, handle, false, 5) > 0)
        ;
    assert_int_equal(times_seen("young"), 0);
    assert_int_equal(times_seen("zz"), 0);
    assert_int_equal(seen.count, 2 + 9);

    seen.count = 0; /* offset 0: rewinddir */
    while (read_some(w, handle, false, 5) > 0)
        ;
    assert_int_equal(times_seen("young"), 1);
    assert_int_equal(times_seen("zz"), 1);
    fs_release_directory(w->fs, handle);
}

static void a_name_that_was_replaced_or_linked_stays_in_the_listing(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;
    uint64_t ino, other;

    assert_int_equal(world_create(w, ROOT, "config", 0600, NULL), 0);
    assert_int_equal(world_create(w, ROOT, "linked", 0600, &ino), 0);
    assert_int_equal(world_create(w, ROOT, "left", 0600, NULL), 0);
    assert_int_equal(world_create(w, ROOT, "right", 0600, NULL), 0);
    handle = open_directory(w, ROOT);
    assert_int_equal(read_some(w, handle, false, 2), 2);
    assert_int_equal(world_create(w, ROOT, "tmp", 0600, &other), 0);
    assert_int_equal(world_rename(w, ROOT, "tmp", ROOT, "config", 0), 0);
    assert_int_equal(world_link(w, ino, ROOT, "linked2"), 0);
    assert_int_equal(world_rename(w, ROOT, "left", ROOT, "right", 2), 0);
    while (read_some(w, handle, false, 2) > 0)
        ;
    assert_int_equal(times_seen("config"), 1);
    assert_int_equal(times_seen("linked"), 1);
    assert_int_equal(times_seen("left"), 1);
    assert_int_equal(times_seen("right"), 1);
    assert_int_equal(times_seen("linked2"), 0);
    assert_int_equal(times_seen("tmp"), 0);
    assert_int_equal(seen.count, 2 + 4);

    /* And again after a second replacement, whose row carries `named` on. */
    assert_int_equal(world_create(w, ROOT, "tmp", 0600, &other), 0);
    assert_int_equal(world_rename(w, ROOT, "tmp", ROOT, "config", 0), 0);
    seen.count = 2;
    while (read_some(w, handle, false, 2) > 0)
        ;
    assert_int_equal(times_seen("config"), 1);
    fs_release_directory(w->fs, handle);
}

static void plus_entries_are_looked_up(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;
    struct fs_stats stats;
    uint64_t dir, sub, ino;

    assert_int_equal(world_mkdir(w, ROOT, "dir", 0755, &dir), 0);
    assert_int_equal(world_mkdir(w, dir, "sub", 0750, &sub), 0);
    assert_int_equal(world_create(w, dir, "file", 0640, &ino), 0);
    assert_int_equal(world_write(w, ino, "hello", 5, 0), 0);
    assert_int_equal(world_link(w, ino, dir, "two"), 0);
    fs_forget(w->fs, sub, 1);
    fs_forget(w->fs, ino, 2);
    fs_get_stats(w->fs, &stats);
    assert_int_equal(stats.nodes, 2);

    handle = open_directory(w, dir);
    assert_int_equal(read_some(w, handle, true, 4), 4);
    assert_int_equal(seen.entries[0].nodeid, 0);
    assert_int_equal(seen.entries[1].nodeid, 0);
    assert_int_equal(seen.entries[2].nodeid, ino);
    assert_int_equal(seen.entries[2].attributes.st_mode, S_IFREG | 0640);
    assert_int_equal(seen.entries[2].attributes.st_size, 5);
    assert_int_equal(seen.entries[2].attributes.st_nlink, 2);
    assert_int_equal(seen.entries[3].nodeid, sub);
    assert_int_equal(seen.entries[3].attributes.st_mode, S_IFDIR | 0750);
    /* "two" did not fit, and is not counted; but it is the same inode. */
    fs_get_stats(w->fs, &stats);
    assert_int_equal(stats.nodes, 4);
    fs_forget(w->fs, ino, 1);
    fs_forget(w->fs, sub, 1);
    fs_get_stats(w->fs, &stats);
    assert_int_equal(stats.nodes, 2);
    assert_int_equal(read_some(w, handle, true, 4), 1);
    assert_string_equal(seen.names[4], "two");
    fs_forget(w->fs, ino, 1);
    fs_release_directory(w->fs, handle);
}

/* Entries seen from behind entry `i` on, in a call with room for one. */
static void assert_goes_on(struct world *w, struct fs_handle *handle, unsigned i, const char *name)
{
    static struct seen next;

    next.count = 0;
    next.room = 1;
    assert_int_equal(fs_read_directory(w->fs, handle, seen.cookies[i], false, see, &next), 0);
    assert_int_equal(next.count, name ? 1 : 0);
    if (name)
        assert_string_equal(next.names[0], name);
}

static void every_cookie_can_be_gone_back_to(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;
    const unsigned count = 500;

    make_files(w, ROOT, count);
    handle = open_directory(w, ROOT);
    while (read_some(w, handle, false, 50) > 0)
        ;
    assert_int_equal(seen.count, count + 2);
    for (unsigned i = 0; i < seen.count; i += 3)
        assert_goes_on(w, handle, i, i + 1 < seen.count ? seen.names[i + 1] : NULL);

    /* Names that went, the one of the cookie among them, and names that came. */
    for (unsigned i = 2; i < seen.count; i++) {
        if (i % 5 != 1)
            assert_int_equal(world_unlink(w, ROOT, seen.names[i]), 0);
    }
    for (unsigned i = 2; i < seen.count; i += 7) {
        char name[16];

        (void)snprintf(name, sizeof(name), "%s+", seen.names[i]);
        assert_int_equal(world_create(w, ROOT, name, 0600, NULL), 0);
    }
    for (unsigned i = 2; i < seen.count; i++) {
        unsigned next = i + 1;

        while (next < seen.count && next % 5 != 1)
            next++;
        assert_goes_on(w, handle, i, next < seen.count ? seen.names[next] : NULL);
    }
    fs_release_directory(w->fs, handle);
}

static void snapshots_are_listed_once_where_they_are_to_be(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;
    uint64_t dir;

    make_files(w, ROOT, 5);
    assert_int_equal(world_mkdir(w, ROOT, "sub", 0755, &dir), 0);
    fs_forget(w->fs, dir, 1);
    w->options.lists_snapshots = true;
    world_reopen(w);
    assert_int_equal(world_stat(w, ROOT).st_nlink, 4);
    for (unsigned room = 1; room < 10; room++) {
        handle = open_directory(w, ROOT);
        while (read_some(w, handle, false, room) > 0)
            assert_true(seen.count <= 9);
        assert_int_equal(seen.count, 9);
        assert_string_equal(seen.names[2], ".snapshots");
        assert_string_equal(seen.names[3], "f00000");
        assert_int_equal(seen.entries[2].nodeid, 0);
        assert_int_equal(seen.entries[2].attributes.st_mode, S_IFDIR);
        for (unsigned i = 0; i + 1 < 9; i++)
            assert_goes_on(w, handle, i, seen.names[i + 1]);
        fs_release_directory(w->fs, handle);
    }
    assert_int_equal(world_lookup(w, ROOT, "sub", &dir), 0);
    handle = open_directory(w, dir);
    assert_int_equal(read_some(w, handle, false, 9), 2);
    fs_release_directory(w->fs, handle);
    fs_forget(w->fs, dir, 1);
}

static void a_position_never_given_is_the_end(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;

    make_files(w, ROOT, 3);
    handle = open_directory(w, ROOT);
    assert_int_equal(read_some(w, handle, false, 10), 5);
    seen.cookies[0] = UINT64_C(1) << 40;
    assert_goes_on(w, handle, 0, NULL);
    seen.cookies[0] = UINT64_MAX;
    assert_goes_on(w, handle, 0, NULL);
    fs_release_directory(w->fs, handle);
}

static void a_removed_directory_lists_nothing(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;
    uint64_t dir;

    assert_int_equal(world_mkdir(w, ROOT, "dir", 0755, &dir), 0);
    handle = open_directory(w, dir);
    assert_int_equal(world_rmdir(w, ROOT, "dir"), 0);
    assert_int_equal(read_some(w, handle, false, 10), 2);
    assert_int_equal(read_some(w, handle, false, 10), 0);
    fs_release_directory(w->fs, handle);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(dots_come_first_then_names_in_order),
        TEST(small_buffers_show_each_name_once),
        TEST(removing_while_listing_skips_nothing),
        TEST(names_younger_than_opendir_are_left_out_until_rewind),
        TEST(a_name_that_was_replaced_or_linked_stays_in_the_listing),
        TEST(plus_entries_are_looked_up),
        TEST(every_cookie_can_be_gone_back_to),
        TEST(snapshots_are_listed_once_where_they_are_to_be),
        TEST(a_position_never_given_is_the_end),
        TEST(a_removed_directory_lists_nothing),
    };

    return cmocka_run_group_tests_name("fs/dir", tests, NULL, NULL);
}
