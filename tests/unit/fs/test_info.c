/*
 * Goal: .sstfs, the directory of files about the running mount, is there when it was set, tells
 * each reader one text, and is read-only.
 * Method: files whose texts count how often they were made, by the operations a mount calls.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "engine/buf.h"
#include "support/fs_world.h"

#define ROOT FS_ROOT_INO

static int make_count(void *arg, struct buf *to)
{
    unsigned *made = arg;
    char text[32];

    snprintf(text, sizeof(text), "made %u times\n", ++*made);
    buf_append(to, text, strlen(text));
    return 0;
}

static int make_nothing(void *arg, struct buf *to)
{
    (void)arg, (void)to;
    return 0;
}

static int make_failure(void *arg, struct buf *to)
{
    (void)arg;
    buf_append(to, "half", 4);
    return -EUCLEAN;
}

static const struct fs_info_file files[] = {
    {"count", make_count}, {"nothing", make_nothing}, {"failure", make_failure}};

/* A fresh store with these files: the number of the directory. */
static uint64_t set_up(struct world *w, unsigned *made)
{
    uint64_t directory;

    *made = 0;
    fs_set_info(w->fs, files, ARRAY_COUNT(files), made);
    assert_int_equal(world_lookup(w, ROOT, ".sstfs", &directory), 0);
    return directory;
}

static struct fs_handle *open_file(struct world *w, uint64_t directory, const char *name)
{
    struct fs_handle *handle;
    uint64_t ino;

    assert_int_equal(world_lookup(w, directory, name, &ino), 0);
    assert_int_equal(fs_open_file(w->fs, NULL, ino, O_RDONLY, &handle), 0);
    return handle;
}

static void assert_reads(struct world *w, uint64_t ino, struct fs_handle *handle, uint64_t offset,
    size_t size, const char *wanted)
{
    struct buf text = BUF_INIT;

    assert_int_equal(fs_read(w->fs, ino, handle, offset, size, &text), 0);
    assert_int_equal(text.size, strlen(wanted));
    if (text.size > 0)
        assert_memory_equal(text.data, wanted, text.size);
    buf_release(&text);
}

static void without_files_there_is_no_directory(void **state)
{
    struct world *w = *state;
    uint64_t directory;
    unsigned made;

    assert_int_equal(world_lookup(w, ROOT, ".sstfs", &directory), -ENOENT);
    directory = set_up(w, &made);
    fs_set_info(w->fs, NULL, 0, NULL);
    assert_int_equal(world_lookup(w, ROOT, ".sstfs", &directory), -ENOENT);
    world_verify(w);
}

static void attributes_are_those_of_the_owner_and_of_now(void **state)
{
    struct world *w = *state;
    unsigned made;
    uint64_t directory = set_up(w, &made), file;
    struct stat about, later;

    about = world_stat(w, directory);
    assert_int_equal(about.st_mode, S_IFDIR | 0550);
    assert_int_equal(about.st_ino, directory);
    assert_int_equal(about.st_uid, 1000);
    assert_int_equal(about.st_gid, 1000);
    assert_int_equal(world_lookup(w, directory, "count", &file), 0);
    about = world_stat(w, file);
    assert_int_equal(about.st_mode, S_IFREG | 0440);
    assert_int_equal(about.st_nlink, 1);
    assert_int_equal(about.st_size, 0);
    world_advance(w, 5000000);
    later = world_stat(w, file);
    assert_int_equal(later.st_mtim.tv_sec, about.st_mtim.tv_sec + 5);
    assert_int_equal(made, 0); /* a text is made for a reader, not for whoever looks */
}

static void names_and_numbers_that_are_none_are_told_so(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;
    struct stat about;
    unsigned made;
    uint64_t directory = set_up(w, &made), file, found;

    assert_int_equal(world_lookup(w, directory, "count", &file), 0);
    assert_int_equal(world_lookup(w, directory, "coun", &found), -ENOENT);
    assert_int_equal(world_lookup(w, directory, "counts", &found), -ENOENT);
    assert_int_equal(world_lookup(w, file, "count", &found), -ENOTDIR);
    assert_int_equal(fs_getattr(w->fs, directory + 1 + ARRAY_COUNT(files), &about), -ESTALE);
    assert_int_equal(fs_open_file(w->fs, NULL, directory, O_RDONLY, &handle), -EISDIR);
    assert_int_equal(fs_open_directory(w->fs, file, &handle), -ENOTDIR);
    assert_int_equal(world_mkdir(w, ROOT, "d", 0755, &found), 0);
    assert_int_equal(world_lookup(w, found, ".sstfs", &file), -ENOENT);
}

static void a_handle_keeps_the_text_of_when_it_was_opened(void **state)
{
    struct world *w = *state;
    struct fs_handle *first, *second;
    unsigned made;
    uint64_t directory = set_up(w, &made), ino;

    assert_int_equal(world_lookup(w, directory, "count", &ino), 0);
    first = open_file(w, directory, "count");
    second = open_file(w, directory, "count");
    assert_true(fs_handle_is_direct(first));
    assert_false(fs_handle_keep_cache(first));
    assert_reads(w, ino, first, 0, 100, "made 1 times\n");
    assert_reads(w, ino, second, 0, 100, "made 2 times\n");
    assert_reads(w, ino, first, 5, 3, "1 t");
    assert_reads(w, ino, first, 12, 100, "\n");
    assert_reads(w, ino, first, 13, 100, "");
    assert_reads(w, ino, first, UINT64_MAX, 100, "");
    assert_int_equal(made, 2);
    fs_release(w->fs, ino, first);
    fs_release(w->fs, ino, second);

    assert_int_equal(world_lookup(w, directory, "nothing", &ino), 0);
    first = open_file(w, directory, "nothing");
    assert_reads(w, ino, first, 0, 100, "");
    fs_release(w->fs, ino, first);
}

static void what_cannot_be_told_fails_the_open(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;
    struct fs_stats stats;
    unsigned made;
    uint64_t directory = set_up(w, &made), ino;

    assert_int_equal(world_lookup(w, directory, "failure", &ino), 0);
    assert_int_equal(fs_open_file(w->fs, NULL, ino, O_RDONLY, &handle), -EUCLEAN);
    fs_get_stats(w->fs, &stats);
    assert_int_equal(stats.handles, 0);
}

static void nothing_in_it_can_be_changed(void **state)
{
    struct world *w = *state;
    struct fs_setattr mode = {.set = FS_SET_MODE, .mode = 0666};
    struct fs_handle *handle;
    unsigned made;
    uint64_t directory = set_up(w, &made), ino;

    assert_int_equal(world_lookup(w, directory, "count", &ino), 0);
    assert_int_equal(fs_open_file(w->fs, NULL, ino, O_WRONLY, &handle), -EROFS);
    assert_int_equal(fs_open_file(w->fs, NULL, ino, O_RDONLY | O_TRUNC, &handle), -EROFS);
    assert_int_equal(world_create_open(w, directory, "new", &ino, &handle), -EROFS);
    assert_int_equal(world_tmpfile(w, directory, &ino, &handle), -EROFS);
    assert_int_equal(world_mkdir(w, directory, "new", 0755, &ino), -EROFS);
    assert_int_equal(world_unlink(w, directory, "count"), -EROFS);
    assert_int_equal(world_lookup(w, directory, "count", &ino), 0);
    assert_int_equal(world_setattr(w, ino, &mode), -EROFS);
    assert_int_equal(world_write(w, ino, "x", 1, 0), -EROFS);
    assert_int_equal(world_link(w, ino, ROOT, "linked"), -EXDEV);
    assert_int_equal(world_rename(w, directory, "count", ROOT, "moved", 0), -EXDEV);
    assert_int_equal(world_mkdir(w, ROOT, ".sstfs", 0755, &ino), -EEXIST);
    assert_int_equal(world_rmdir(w, ROOT, ".sstfs"), -EBUSY);
    assert_int_equal(made, 0);
    world_verify(w);
}

/* As a reader whose buffer has room for one. */
struct page {
    struct fs_dirent entry;
    bool full;
};

static int take_one(void *arg, const struct fs_dirent *dirent)
{
    struct page *page = arg;

    if (page->full)
        return 1;
    page->entry = *dirent;
    page->full = true;
    return 0;
}

static void its_listing_goes_on_where_it_was(void **state)
{
    static const char *const wanted[] = {".", "..", "count", "nothing", "failure"};
    struct world *w = *state;
    struct fs_handle *handle;
    struct page page = {.full = false};
    uint64_t cookie = 0;
    char names[64];
    unsigned made;
    uint64_t directory = set_up(w, &made);

    world_list(w, directory, names, sizeof(names));
    assert_string_equal(names, "count/nothing/failure/");
    world_list(w, ROOT, names, sizeof(names));
    assert_string_equal(names, ""); /* as .snapshots it is hidden */
    assert_int_equal(fs_open_directory(w->fs, directory, &handle), 0);
    for (unsigned i = 0; i < ARRAY_COUNT(wanted); i++, cookie = page.entry.cookie) {
        page.full = false;
        assert_int_equal(fs_read_directory(w->fs, handle, cookie, true, take_one, &page), 0);
        assert_true(bytes_equal(page.entry.name, bytes_of_string(wanted[i])));
    }
    assert_int_equal(page.entry.entry.nodeid, directory + ARRAY_COUNT(files));
    page.full = false;
    assert_int_equal(fs_read_directory(w->fs, handle, cookie, true, take_one, &page), 0);
    assert_false(page.full);
    fs_release_directory(w->fs, handle);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_files_there_is_no_directory),
        TEST(attributes_are_those_of_the_owner_and_of_now),
        TEST(names_and_numbers_that_are_none_are_told_so),
        TEST(a_handle_keeps_the_text_of_when_it_was_opened),
        TEST(what_cannot_be_told_fails_the_open),
        TEST(nothing_in_it_can_be_changed),
        TEST(its_listing_goes_on_where_it_was),
    };

    return cmocka_run_group_tests_name("fs/info", tests, NULL, NULL);
}
