/*
 * Goal: attributes are set as POSIX and the duties of HANDLE_KILLPRIV_V2 say, in one batch, and are
 * the same from memory and from the store.
 * Method: each kind of change on files, files of two names, and directories; stat before and
 * after the node was forgotten.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/tables.h"
#include "engine/buf.h"
#include "support/fs_world.h"

#define ROOT FS_ROOT_INO

static int64_t ns_of(struct timespec t)
{
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int64_t now_ns(struct world *w)
{
    return (int64_t)env_wall_us(w->env) * 1000;
}

/* The inode as the store has it: its node is forgotten and read again. */
static struct stat stat_again(struct world *w, uint64_t parent, const char *name, uint64_t ino)
{
    struct stat from_memory = world_stat(w, ino);
    struct stat from_store;
    uint64_t found;

    fs_forget(w->fs, ino, 1000);
    assert_int_equal(world_lookup(w, parent, name, &found), 0);
    assert_int_equal(found, ino);
    from_store = world_stat(w, ino);
    assert_memory_equal(&from_memory, &from_store, sizeof(from_store));
    return from_store;
}

static void set_mode(struct world *w, uint64_t ino, uint32_t mode)
{
    struct fs_setattr change = {.set = FS_SET_MODE, .mode = mode};

    assert_int_equal(world_setattr(w, ino, &change), 0);
}

static void each_attribute_can_be_set_wherever_it_lives(void **state)
{
    struct world *w = *state;
    static const char *const names[] = {"file", "two names", "dir"};
    uint64_t inos[3];

    assert_int_equal(world_create(w, ROOT, names[0], 0600, &inos[0]), 0);
    assert_int_equal(world_create(w, ROOT, names[1], 0600, &inos[1]), 0);
    assert_int_equal(world_link(w, inos[1], ROOT, "other"), 0);
    assert_int_equal(world_mkdir(w, ROOT, names[2], 0700, &inos[2]), 0);
    for (unsigned i = 0; i < 3; i++) {
        struct fs_setattr change = {
            .set = FS_SET_MODE | FS_SET_UID | FS_SET_GID | FS_SET_ATIME | FS_SET_MTIME,
            .mode = 0751,
            .uid = 0xfffffffe,
            .gid = 7,
            .atime_ns = -1,
            .mtime_ns = INT64_C(4102444800123456789),
        };
        struct stat before = world_stat(w, inos[i]);
        struct stat after;

        world_advance(w, 5);
        assert_int_equal(world_setattr(w, inos[i], &change), 0);
        after = stat_again(w, ROOT, names[i], inos[i]);
        assert_int_equal(after.st_mode, (before.st_mode & S_IFMT) | 0751);
        assert_true(after.st_uid == 0xfffffffe);
        assert_int_equal(after.st_gid, 7);
        assert_int_equal(after.st_atim.tv_sec, -1);
        assert_int_equal(after.st_atim.tv_nsec, 999999999);
        assert_true(ns_of(after.st_mtim) == change.mtime_ns);
        assert_true(ns_of(after.st_ctim) == now_ns(w));

        change = (struct fs_setattr){.set = FS_SET_ATIME_NOW | FS_SET_MTIME_NOW};
        world_advance(w, 5);
        assert_int_equal(world_setattr(w, inos[i], &change), 0);
        after = stat_again(w, ROOT, names[i], inos[i]);
        assert_true(ns_of(after.st_mtim) == now_ns(w));
        assert_true(ns_of(after.st_atim) == ns_of(after.st_ctim));
    }
    world_verify(w);
}

static void setting_nothing_changes_nothing(void **state)
{
    struct world *w = *state;
    struct fs_setattr nothing = {.set = 0};
    struct stat before, after;
    uint64_t ino;

    assert_int_equal(world_create(w, ROOT, "file", 0600, &ino), 0);
    before = world_stat(w, ino);
    world_advance(w, 5);
    assert_int_equal(world_setattr(w, ino, &nothing), 0);
    after = world_stat(w, ino);
    assert_memory_equal(&before, &after, sizeof(before));
}

static void chown_clears_suid_and_capabilities(void **state)
{
    struct world *w = *state;
    struct fs_setattr chown = {.set = FS_SET_UID, .uid = 1};
    struct fs_setattr both = {.set = FS_SET_UID | FS_SET_MODE, .uid = 1, .mode = 06755};
    struct buf value = BUF_INIT;
    uint64_t ino, dir;

    assert_int_equal(world_create(w, ROOT, "file", 0600, &ino), 0);
    assert_int_equal(world_setxattr(w, ino, "security.capability", "cap"), 0);
    set_mode(w, ino, 06755);
    assert_int_equal(world_setattr(w, ino, &chown), 0);
    assert_int_equal(stat_again(w, ROOT, "file", ino).st_mode, S_IFREG | 0755);
    assert_int_equal(fs_getxattr(w->fs, ino, "security.capability", &value), -ENODATA);
    /* Without execution for the group, S_ISGID is another thing. */
    set_mode(w, ino, 06745);
    assert_int_equal(world_setattr(w, ino, &chown), 0);
    assert_int_equal(world_stat(w, ino).st_mode, S_IFREG | 02745);
    assert_int_equal(world_setattr(w, ino, &both), 0);
    assert_int_equal(world_stat(w, ino).st_mode, S_IFREG | 06755);

    assert_int_equal(world_mkdir(w, ROOT, "dir", 0755, &dir), 0);
    set_mode(w, dir, 06755);
    assert_int_equal(world_setattr(w, dir, &chown), 0);
    assert_int_equal(world_stat(w, dir).st_mode, S_IFDIR | 06755);
    buf_release(&value);
    world_verify(w);
}

static void truncate_sets_all_times_and_clears_what_it_is_told_to(void **state)
{
    struct world *w = *state;
    struct fs_setattr cut = {.set = FS_SET_SIZE, .size = 3};
    struct stat before, after;
    uint64_t ino, dir;
    char text[8];

    assert_int_equal(world_create(w, ROOT, "file", 0600, &ino), 0);
    assert_int_equal(world_write(w, ino, "hello", 5, 0), 0);
    set_mode(w, ino, 04755);
    before = world_stat(w, ino);
    world_advance(w, 5);
    assert_int_equal(world_setattr(w, ino, &cut), 0);
    after = stat_again(w, ROOT, "file", ino);
    assert_int_equal(after.st_size, 3);
    assert_int_equal(after.st_mode, S_IFREG | 04755);
    assert_true(ns_of(after.st_mtim) == ns_of(before.st_ctim) + 5000);
    assert_true(ns_of(after.st_ctim) == ns_of(after.st_mtim));
    assert_int_equal(world_read(w, ino, text, sizeof(text)), 3);
    cut.set |= FS_SET_KILL_SUID;
    assert_int_equal(world_setattr(w, ino, &cut), 0);
    assert_int_equal(world_stat(w, ino).st_mode, S_IFREG | 0755);

    assert_int_equal(world_mkdir(w, ROOT, "dir", 0755, &dir), 0);
    assert_int_equal(world_setattr(w, dir, &cut), -EISDIR);
    cut.size = FS_FILE_BYTES_MAX + 1;
    assert_int_equal(world_setattr(w, ino, &cut), -EFBIG);
    world_verify(w);
}

static void a_cut_too_large_for_one_batch_is_finished_before_the_reply(void **state)
{
    struct world *w = *state;
    struct fs_setattr size = {.set = FS_SET_SIZE, .size = 3000 * EXTENT_BYTES};
    static uint8_t page[PAGE_BYTES];
    uint64_t ino;

    memset(page, 1, sizeof(page));
    assert_int_equal(world_create(w, ROOT, "huge", 0600, &ino), 0);
    assert_int_equal(world_setattr(w, ino, &size), 0);
    for (unsigned extent = 0; extent < 3000; extent += 500)
        assert_int_equal(world_write(w, ino, page, sizeof(page), extent * EXTENT_BYTES), 0);
    size.size = 10;
    assert_int_equal(world_setattr(w, ino, &size), 0);
    assert_int_equal(stat_again(w, ROOT, "huge", ino).st_size, 10);
    assert_int_equal(world_rows(w, TABLE_BLOCKS), 1);
    world_verify(w);
}

static void open_with_truncation_empties_a_file(void **state)
{
    struct world *w = *state;
    struct fs_request request = FS_REQUEST_INIT;
    struct fs_handle *handle;
    uint64_t ino, dir;

    assert_int_equal(world_create(w, ROOT, "file", 0600, &ino), 0);
    assert_int_equal(world_write(w, ino, "hello", 5, 0), 0);
    assert_int_equal(fs_begin(w->fs, &request, TABLE_DIRENTS, 0, true, NULL, NULL), 0);
    assert_int_equal(fs_open_file(w->fs, &request, ino, O_WRONLY | O_TRUNC, &handle), 0);
    assert_int_equal(fs_end(w->fs, &request, NULL, NULL), 0);
    assert_true(fs_handle_keep_cache(handle));
    assert_int_equal(world_stat(w, ino).st_size, 0);
    fs_release(w->fs, ino, handle);
    assert_int_equal(world_mkdir(w, ROOT, "dir", 0755, &dir), 0);
    assert_int_equal(fs_open_file(w->fs, NULL, dir, O_RDONLY, &handle), -EISDIR);
    world_verify(w);
}

static void an_inode_nobody_knows_is_stale(void **state)
{
    struct world *w = *state;
    struct fs_setattr nothing = {.set = 0};
    struct fs_handle *handle;
    struct stat attributes;
    uint64_t ino;

    assert_int_equal(world_create(w, ROOT, "file", 0600, &ino), 0);
    fs_forget(w->fs, ino, 1);
    assert_int_equal(fs_getattr(w->fs, ino, &attributes), -ESTALE);
    assert_int_equal(world_setattr(w, ino, &nothing), -ESTALE);
    assert_int_equal(fs_open_file(w->fs, NULL, ino, O_RDONLY, &handle), -ESTALE);
    assert_int_equal(world_create(w, ino, "x", 0600, NULL), -ESTALE);
    /* But what it did last can be waited for. */
    assert_int_equal(fs_sync(w->fs, ino, NULL, NULL), 0);
    fs_forget(w->fs, ino, 1);
    assert_int_equal(world_stat(w, ROOT).st_nlink, 2);
}

static void a_file_is_no_directory(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;
    uint64_t ino;

    assert_int_equal(world_create(w, ROOT, "file", 0600, &ino), 0);
    assert_int_equal(world_lookup(w, ino, "x", NULL), -ENOTDIR);
    assert_int_equal(world_create(w, ino, "x", 0600, NULL), -ENOTDIR);
    assert_int_equal(fs_open_directory(w->fs, ino, &handle), -ENOTDIR);
}

static void reads_move_the_atime_only_with_relatime(void **state)
{
    struct world *w = *state;
    int64_t before;
    uint64_t ino;
    char text[8];

    assert_int_equal(world_create(w, ROOT, "file", 0600, &ino), 0);
    assert_int_equal(world_write(w, ino, "hello", 5, 0), 0);
    before = ns_of(world_stat(w, ino).st_atim);
    world_advance(w, 1000);
    assert_int_equal(world_read(w, ino, text, sizeof(text)), 5);
    /* At once, though it is written later. */
    if (w->options.relatime)
        assert_true(ns_of(world_stat(w, ino).st_atim) == before + 1000000);
    world_settle(w);
    if (!w->options.relatime) {
        assert_true(ns_of(world_stat(w, ino).st_atim) == before);
        return;
    }
    assert_true(ns_of(world_stat(w, ino).st_atim) == before + 1000000);
    /* Once after a change is enough, until a day has passed. */
    world_advance(w, 1000);
    assert_int_equal(world_read(w, ino, text, sizeof(text)), 5);
    world_settle(w);
    assert_true(ns_of(stat_again(w, ROOT, "file", ino).st_atim) == before + 1000000);
    world_advance(w, UINT64_C(86400) * 1000000);
    assert_int_equal(world_read(w, ino, text, sizeof(text)), 5);
    /* Removed before it is written: no ghost may be left. */
    assert_int_equal(world_unlink(w, ROOT, "file"), 0);
    world_settle(w);
    world_verify(w);
}

static void a_read_only_mount_changes_nothing(void **state)
{
    struct world *w = *state;
    struct fs_request request = FS_REQUEST_INIT;
    struct fs_handle *handle;
    uint64_t ino;

    assert_int_equal(world_create(w, ROOT, "file", 0600, &ino), 0);
    w->options.read_only = true;
    world_reopen(w);
    assert_int_equal(world_lookup(w, ROOT, "file", &ino), 0);
    assert_int_equal(fs_begin(w->fs, &request, TABLE_DIRENTS, 0, true, NULL, NULL), -EROFS);
    assert_int_equal(fs_open_file(w->fs, NULL, ino, O_RDWR, &handle), -EROFS);
    assert_int_equal(fs_open_file(w->fs, NULL, ino, O_RDONLY, &handle), 0);
    fs_release(w->fs, ino, handle);
    world_verify(w);
}

static void statfs_knows_the_longest_name(void **state)
{
    struct world *w = *state;
    struct statvfs facts;

    fs_statfs(w->fs, &facts);
    assert_int_equal(facts.f_namemax, 255);
    assert_int_equal(facts.f_bsize, 4096);
    assert_true(facts.f_ffree > 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_attribute_can_be_set_wherever_it_lives),
        TEST(setting_nothing_changes_nothing),
        TEST(chown_clears_suid_and_capabilities),
        TEST(truncate_sets_all_times_and_clears_what_it_is_told_to),
        TEST(a_cut_too_large_for_one_batch_is_finished_before_the_reply),
        TEST(open_with_truncation_empties_a_file),
        TEST(an_inode_nobody_knows_is_stale),
        TEST(a_file_is_no_directory),
        TEST(reads_move_the_atime_only_with_relatime),
        {"reads_move_the_atime_with_relatime", reads_move_the_atime_only_with_relatime,
            world_setup_relatime, world_teardown, NULL},
        TEST(a_read_only_mount_changes_nothing),
        TEST(statfs_knows_the_longest_name),
    };

    return cmocka_run_group_tests_name("fs/attr", tests, NULL, NULL);
}
