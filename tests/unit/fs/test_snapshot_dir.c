/*
 * Goal: .snapshots shows each complete tag as a directory of its files that never change, under
 * numbers a backup program can trust, and mkdir, rmdir and mv there do what they say.
 * Method: the real engine on an env in memory, whose background tasks run only when the test lets
 * them: so a tag can be looked at before it is complete.
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
#include "support/fs_store.h"

#define PATH_BYTES_MAX 512u
#define RUN_SECONDS 20u

struct fixture {
    struct fs_store store;
    uint64_t snapshots; /* nodeid of .snapshots */
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct fs_entry entry;

    assert_non_null(f);
    fs_store_open(&f->store);
    assert_int_equal(fs_lookup(f->store.fs, FS_ROOT_INO, BYTES_LITERAL(".snapshots"), &entry), 0);
    f->snapshots = entry.nodeid;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    fs_store_close(&f->store);
    free(f);
    return 0;
}

/* ---- operations ---- */

static void write_file(struct fixture *f, const char *name, const char *content)
{
    struct fs_request request = FS_REQUEST_INIT;
    struct fs_caller caller = {.uid = 1000};
    struct fs_handle *handle;
    struct fs_entry entry;

    assert_int_equal(fs_begin(f->store.fs, &request, TABLE_DIRENTS, 0, false, NULL, NULL), 0);
    assert_int_equal(fs_create(f->store.fs, &request, &caller, FS_ROOT_INO, bytes_of_string(name),
                         0644, O_RDWR, &entry, &handle),
        0);
    assert_int_equal(fs_end(f->store.fs, &request, NULL, NULL), 0);
    fs_release(f->store.fs, entry.nodeid, handle);
    request = FS_REQUEST_INIT;
    assert_int_equal(fs_begin(f->store.fs, &request, TABLE_SMALL, 100, false, NULL, NULL), 0);
    assert_int_equal(
        fs_write(f->store.fs, &request, entry.nodeid, bytes_of_string(content), 0, false), 0);
    assert_int_equal(fs_end(f->store.fs, &request, NULL, NULL), 0);
}

static int make_tag_in(
    struct fixture *f, uint64_t parent, const char *tag, struct fs_entry *ret_entry)
{
    struct fs_request request = FS_REQUEST_INIT;
    struct fs_caller caller = {.uid = 1000};
    int r;

    assert_int_equal(fs_begin(f->store.fs, &request, TABLE_DIRENTS, 0, false, NULL, NULL), 0);
    r = fs_mkdir(f->store.fs, &request, &caller, parent, bytes_of_string(tag), 0755, ret_entry);
    assert_int_equal(fs_end(f->store.fs, &request, NULL, NULL), 0);
    return r;
}

static int make_tag(struct fixture *f, const char *tag)
{
    struct fs_entry entry;

    return make_tag_in(f, f->snapshots, tag, &entry);
}

static int remove_tag(struct fixture *f, const char *tag)
{
    struct fs_request request = FS_REQUEST_INIT;
    int r;

    assert_int_equal(fs_begin(f->store.fs, &request, TABLE_DIRENTS, 0, true, NULL, NULL), 0);
    r = fs_rmdir(f->store.fs, &request, f->snapshots, bytes_of_string(tag));
    assert_int_equal(fs_end(f->store.fs, &request, NULL, NULL), 0);
    return r;
}

static int rename_tag(struct fixture *f, const char *tag, const char *to)
{
    struct fs_request request = FS_REQUEST_INIT;
    int r;

    assert_int_equal(fs_begin(f->store.fs, &request, TABLE_DIRENTS, 0, true, NULL, NULL), 0);
    r = fs_rename(f->store.fs, &request, f->snapshots, bytes_of_string(tag), f->snapshots,
        bytes_of_string(to), 0);
    assert_int_equal(fs_end(f->store.fs, &request, NULL, NULL), 0);
    return r;
}

/* `path` below .snapshots. */
static int walk(struct fixture *f, const char *path, struct fs_entry *ret_entry)
{
    uint64_t at = f->snapshots;

    for (;;) {
        size_t size = strcspn(path, "/");
        int r = fs_lookup(f->store.fs, at, bytes_of(path, size), ret_entry);

        if (r < 0 || path[size] == 0)
            return r;
        at = ret_entry->nodeid;
        path += size + 1;
    }
}

static struct fs_entry walked(struct fixture *f, const char *path)
{
    struct fs_entry entry = {.nodeid = 0};

    if (walk(f, path, &entry) != 0)
        fail_msg("no '%s'", path);
    return entry;
}

struct listing {
    char names[32][256];
    struct stat attributes[32];
    uint64_t nodeids[32];
    unsigned count;
    uint64_t cookie;
    unsigned fit; /* entries a call; 0: all */
    unsigned left;
};

static int take_dirent(void *arg, const struct fs_dirent *dirent)
{
    struct listing *listing = arg;

    if (listing->fit && listing->left-- == 0)
        return 1;
    assert_true(listing->count < 32 && dirent->name.size < 256);
    memcpy(listing->names[listing->count], dirent->name.data, dirent->name.size);
    listing->names[listing->count][dirent->name.size] = 0;
    listing->attributes[listing->count] = dirent->entry.attributes;
    listing->nodeids[listing->count] = dirent->entry.nodeid;
    listing->count++;
    listing->cookie = dirent->cookie;
    return 0;
}

static void list(struct fixture *f, uint64_t nodeid, bool plus, unsigned fit, struct listing *to)
{
    struct fs_handle *handle;
    unsigned before;

    memset(to, 0, sizeof(*to));
    to->fit = fit;
    assert_int_equal(fs_open_directory(f->store.fs, nodeid, &handle), 0);
    do {
        before = to->count;
        to->left = fit;
        assert_int_equal(
            fs_read_directory(f->store.fs, handle, to->cookie, plus, take_dirent, to), 0);
    } while (to->count > before);
    fs_release_directory(f->store.fs, handle);
}

static void assert_listed(struct fixture *f, uint64_t nodeid, const char *expected)
{
    struct listing listing;
    char names[2048] = "";

    list(f, nodeid, false, 0, &listing);
    for (unsigned i = 2; i < listing.count; i++) {
        size_t size = strlen(names);

        (void)snprintf(names + size, sizeof(names) - size, "%s/", listing.names[i]);
    }
    assert_string_equal(names, expected);
}

/* The path of some Data.db of `dirents` in a tag. */
static void data_path(struct fixture *f, const char *tag, char to[PATH_BYTES_MAX])
{
    char folder[TABLE_FOLDER_NAME_MAX + 1], path[PATH_BYTES_MAX];
    struct listing listing;

    table_folder_name(&fs_tables[TABLE_DIRENTS], folder);
    (void)snprintf(path, sizeof(path), "%s/sstfs/%s", tag, folder);
    list(f, walked(f, path).nodeid, false, 0, &listing);
    for (unsigned i = 0; i < listing.count; i++) {
        if (strstr(listing.names[i], "-Data.db")) {
            (void)snprintf(
                to, PATH_BYTES_MAX, "%.*s/%s", PATH_BYTES_MAX - 260, path, listing.names[i]);
            return;
        }
    }
    fail_msg("no Data.db in '%s'", path);
}

/* ---- tests ---- */

static void an_empty_store_has_no_tags_and_no_latest(void **state)
{
    struct fixture *f = *state;
    struct fs_entry entry;
    struct stat attributes;

    assert_int_equal(fs_getattr(f->store.fs, f->snapshots, &attributes), 0);
    assert_int_equal(attributes.st_mode, S_IFDIR | 0750);
    assert_int_equal(attributes.st_uid, 1000);
    assert_int_equal(attributes.st_gid, 100);
    assert_listed(f, f->snapshots, "");
    memset(&entry, 0xff, sizeof(entry));
    assert_int_equal(walk(f, "monday", &entry), -ENOENT);
    assert_int_equal(entry.entry_timeout_s, 0);
    assert_int_equal(walk(f, "latest", &entry), -ENOENT);
    assert_int_equal(entry.entry_timeout_s, 0);
    assert_int_equal(walk(f, "no such/tag", &entry), -ENOENT);
}

static void a_tag_is_listed_when_it_is_complete(void **state)
{
    struct fixture *f = *state;
    struct listing listing;
    struct fs_entry tag;

    write_file(f, "file", "content");
    assert_int_equal(make_tag_in(f, f->snapshots, "monday", &tag), 0);
    assert_int_equal(make_tag(f, "monday"), -EEXIST);
    assert_listed(f, f->snapshots, "");
    /* Its maker may go in at once, and waits. */
    assert_int_equal(fs_settle(f->store.fs, f->snapshots, BYTES_NONE, NULL, NULL), 0);
    assert_int_equal(fs_settle(f->store.fs, tag.nodeid, BYTES_NONE, NULL, NULL), 0);
    assert_listed(f, f->snapshots, "latest/monday/");
    assert_listed(f, tag.nodeid, "SHA256SUMS/snapshot.json/sstfs/");
    assert_int_equal(tag.attributes.st_mode, S_IFDIR | 0550);
    list(f, f->snapshots, false, 1, &listing);
    assert_int_equal(listing.count, 4);
    assert_string_equal(listing.names[0], ".");
    assert_string_equal(listing.names[1], "..");
    assert_true(listing.attributes[3].st_ino == tag.attributes.st_ino);
    assert_true(S_ISDIR(listing.attributes[3].st_mode));
}

static void files_of_a_tag_are_read_and_never_written(void **state)
{
    struct fixture *f = *state;
    AUTO(buf_release) struct buf content = BUF_INIT;
    struct fs_request request = FS_REQUEST_INIT;
    struct fs_setattr change = {.set = FS_SET_MODE, .mode = 0777};
    struct fs_handle *handle;
    struct stat attributes;
    struct fs_entry entry;

    write_file(f, "file", "content");
    assert_int_equal(make_tag(f, "monday"), 0);
    fs_store_run_tasks(&f->store, RUN_SECONDS);
    entry = walked(f, "monday/snapshot.json");
    assert_int_equal(entry.attributes.st_mode, S_IFREG | 0440);
    assert_int_equal(entry.attributes.st_nlink, 1);
    assert_int_equal(fs_open_file(f->store.fs, NULL, entry.nodeid, O_RDWR, &handle), -EROFS);
    assert_int_equal(fs_open_file(f->store.fs, NULL, entry.nodeid, O_RDONLY, &handle), 0);
    assert_int_equal(fs_read(f->store.fs, entry.nodeid, handle, 0, 1 << 20, &content), 0);
    assert_int_equal(content.size, entry.attributes.st_size);
    assert_int_equal(content.data[0], '{');
    buf_clear(&content);
    assert_int_equal(fs_read(f->store.fs, entry.nodeid, handle, 1, 3, &content), 0);
    assert_int_equal(content.size, 3);
    fs_release(f->store.fs, entry.nodeid, handle);

    assert_int_equal(fs_begin(f->store.fs, &request, TABLE_DIRENTS, 0, false, NULL, NULL), 0);
    assert_int_equal(fs_setattr(f->store.fs, &request, entry.nodeid, &change, &attributes), -EROFS);
    assert_int_equal(
        fs_write(f->store.fs, &request, entry.nodeid, BYTES_LITERAL("x"), 0, false), -EROFS);
    assert_int_equal(fs_unlink(f->store.fs, &request, walked(f, "monday").nodeid,
                         BYTES_LITERAL("snapshot.json")),
        -EROFS);
    fs_cancel(f->store.fs, &request);
    assert_int_equal(make_tag_in(f, walked(f, "monday").nodeid, "in", &entry), -EROFS);
    assert_int_equal(walk(f, "monday/absent", &entry), -ENOENT);
    assert_int_equal(walk(f, "monday/..", &entry), -ENOENT);
    assert_int_equal(walk(f, "monday/sstfs/../../..", &entry), -ENOENT);
}

static void an_sstable_is_one_file_in_all_tags(void **state)
{
    struct fixture *f = *state;
    char first_path[PATH_BYTES_MAX], second_path[PATH_BYTES_MAX];
    struct fs_entry first, second;
    struct stat attributes;

    write_file(f, "file", "content");
    assert_int_equal(make_tag(f, "monday"), 0);
    fs_store_run_tasks(&f->store, RUN_SECONDS);
    data_path(f, "monday", first_path);
    first = walked(f, first_path);
    assert_int_equal(first.attributes.st_nlink, 1);
    assert_int_equal(make_tag(f, "tuesday"), 0);
    fs_store_run_tasks(&f->store, RUN_SECONDS);
    (void)snprintf(second_path, sizeof(second_path), "tuesday%s", strchr(first_path, '/'));
    second = walked(f, second_path);
    assert_int_equal(second.attributes.st_nlink, 2);
    assert_int_equal(second.attribute_timeout_s, 1);
    assert_true(first.attributes.st_ino == second.attributes.st_ino);
    assert_true(first.nodeid != second.nodeid);
    assert_memory_equal(
        &first.attributes.st_mtim, &second.attributes.st_mtim, sizeof(struct timespec));
    assert_int_equal(fs_getattr(f->store.fs, first.nodeid, &attributes), 0);
    assert_int_equal(attributes.st_nlink, 2);
    /* Other components, other tables' folders and the tags themselves have other numbers. */
    assert_true(walked(f, "monday").attributes.st_ino != walked(f, "tuesday").attributes.st_ino);
    assert_true(walked(f, "monday/snapshot.json").attributes.st_ino !=
                walked(f, "tuesday/snapshot.json").attributes.st_ino);
    assert_int_equal(remove_tag(f, "monday"), 0);
    assert_int_equal(walked(f, second_path).attributes.st_nlink, 1);
}

static void latest_is_the_newest_complete_tag(void **state)
{
    struct fixture *f = *state;
    struct fs_entry before, after, latest;

    write_file(f, "a", "content");
    assert_int_equal(make_tag(f, "monday"), 0);
    fs_store_run_tasks(&f->store, RUN_SECONDS);
    latest = walked(f, "latest");
    assert_int_equal(latest.entry_timeout_s, 0);
    before = walked(f, "latest/snapshot.json");
    assert_int_equal(before.entry_timeout_s, 0);
    assert_true(before.attributes.st_ino == walked(f, "monday/snapshot.json").attributes.st_ino);
    assert_true(before.nodeid != walked(f, "monday/snapshot.json").nodeid);
    write_file(f, "b", "content");
    assert_int_equal(make_tag(f, "tuesday"), 0);
    assert_true(walked(f, "latest/snapshot.json").nodeid == before.nodeid);
    fs_store_run_tasks(&f->store, RUN_SECONDS);
    after = walked(f, "latest/snapshot.json");
    assert_true(after.nodeid != before.nodeid);
    assert_true(after.attributes.st_ino == walked(f, "tuesday/snapshot.json").attributes.st_ino);
    assert_true(walked(f, "latest").nodeid == latest.nodeid);
    assert_listed(f, latest.nodeid, "SHA256SUMS/snapshot.json/sstfs/");
    assert_int_equal(make_tag(f, "latest"), -EEXIST);
    assert_int_equal(remove_tag(f, "latest"), -EPERM);
}

static void a_tag_with_an_open_file_stays(void **state)
{
    struct fixture *f = *state;
    struct fs_entry entry, tag;
    struct fs_handle *handle;
    struct stat attributes;

    write_file(f, "a", "content");
    assert_int_equal(make_tag(f, "monday"), 0);
    fs_store_run_tasks(&f->store, RUN_SECONDS);
    tag = walked(f, "monday");
    entry = walked(f, "monday/snapshot.json");
    assert_int_equal(fs_open_file(f->store.fs, NULL, entry.nodeid, O_RDONLY, &handle), 0);
    assert_int_equal(remove_tag(f, "monday"), -EBUSY);
    fs_release(f->store.fs, entry.nodeid, handle);
    assert_int_equal(remove_tag(f, "monday"), 0);
    assert_int_equal(remove_tag(f, "monday"), -ENOENT);
    /* What the kernel still knows below it is gone. */
    assert_int_equal(fs_getattr(f->store.fs, entry.nodeid, &attributes), -ENOENT);
    assert_int_equal(fs_open_file(f->store.fs, NULL, entry.nodeid, O_RDONLY, &handle), -ENOENT);
    assert_int_equal(walk(f, "monday", &entry), -ENOENT);
    /* The same name again is another directory. */
    write_file(f, "b", "content");
    assert_int_equal(make_tag(f, "monday"), 0);
    fs_store_run_tasks(&f->store, RUN_SECONDS);
    entry = walked(f, "monday");
    assert_true(entry.nodeid != tag.nodeid);
    assert_true(entry.attributes.st_ino != tag.attributes.st_ino);
}

static void a_tag_renamed_keeps_its_numbers(void **state)
{
    struct fixture *f = *state;
    struct fs_entry before, inside, entry;
    struct stat attributes;

    write_file(f, "a", "content");
    assert_int_equal(make_tag(f, "monday"), 0);
    assert_int_equal(make_tag(f, "tuesday"), 0);
    fs_store_run_tasks(&f->store, RUN_SECONDS);
    before = walked(f, "monday");
    inside = walked(f, "monday/sstfs");
    assert_int_equal(rename_tag(f, "monday", "tuesday"), -EEXIST);
    assert_int_equal(rename_tag(f, "absent", "other"), -ENOENT);
    assert_int_equal(rename_tag(f, "monday", "not a tag"), -EINVAL);
    assert_int_equal(rename_tag(f, "monday", "latest"), -EPERM);
    assert_int_equal(rename_tag(f, "monday", "sunday"), 0);
    fs_store_run_tasks(&f->store, RUN_SECONDS);
    assert_int_equal(walk(f, "monday", &entry), -ENOENT);
    entry = walked(f, "sunday");
    assert_true(entry.nodeid == before.nodeid);
    assert_true(entry.attributes.st_ino == before.attributes.st_ino);
    assert_int_equal(fs_getattr(f->store.fs, inside.nodeid, &attributes), 0);
    assert_true(walked(f, "sunday/sstfs").nodeid == inside.nodeid);
    assert_listed(f, f->snapshots, "latest/sunday/tuesday/");
}

static void names_that_are_no_tags_are_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(make_tag(f, "with space"), -EINVAL);
    assert_int_equal(make_tag(f, ".hidden"), -EINVAL);
    assert_int_equal(make_tag(f, "log"), -EINVAL);
    assert_int_equal(remove_tag(f, "with space"), -ENOENT);
}

static void the_archive_of_the_log_is_shown(void **state)
{
    static const char name[] = "000000000000002a.log", later[] = "000000000000002b.log";
    struct fixture *f = *state;
    AUTO(buf_release) struct buf content = BUF_INIT;
    struct fs_handle *handle;
    struct fs_entry entry, again;
    struct listing listing;

    assert_int_equal(walk(f, "log", &entry), -ENOENT);
    assert_int_equal(io_mkdir(f->store.env, "archive"), 0);
    assert_int_equal(io_write_file(f->store.env, "archive/000000000000002a.log",
                         BYTES_LITERAL("segment"), false),
        0);
    assert_listed(f, f->snapshots, "log/");
    entry = walked(f, "log");
    assert_int_equal(entry.attributes.st_mode, S_IFDIR | 0550);
    list(f, f->snapshots, false, 0, &listing);
    assert_true(listing.attributes[2].st_ino == entry.attributes.st_ino);
    assert_listed(f, entry.nodeid, "000000000000002a.log/");

    assert_int_equal(fs_lookup(f->store.fs, entry.nodeid, bytes_of_string(name), &again), 0);
    assert_int_equal(again.attributes.st_mode, S_IFREG | 0440);
    assert_int_equal(again.attributes.st_size, 7);
    list(f, entry.nodeid, false, 0, &listing);
    assert_true(listing.attributes[2].st_ino == again.attributes.st_ino);
    /* It may be gone at the next look. */
    assert_true(again.entry_timeout_s <= 1);
    assert_int_equal(fs_open_file(f->store.fs, NULL, again.nodeid, O_RDWR, &handle), -EROFS);
    assert_int_equal(fs_open_file(f->store.fs, NULL, again.nodeid, O_RDONLY, &handle), 0);
    assert_int_equal(fs_read(f->store.fs, again.nodeid, handle, 0, 100, &content), 0);
    assert_true(bytes_equal(buf_bytes(&content), BYTES_LITERAL("segment")));
    fs_release(f->store.fs, again.nodeid, handle);

    assert_int_equal(fs_lookup(f->store.fs, entry.nodeid, bytes_of_string(later), &again), -ENOENT);
    assert_int_equal(
        io_write_file(f->store.env, "archive/000000000000002b.log", BYTES_LITERAL("next"), false),
        0);
    assert_int_equal(fs_lookup(f->store.fs, entry.nodeid, bytes_of_string(later), &again), 0);
    assert_listed(f, entry.nodeid, "000000000000002a.log/000000000000002b.log/");

    /* Beside tags, and none itself. */
    write_file(f, "file", "content");
    assert_int_equal(make_tag(f, "monday"), 0);
    fs_store_run_tasks(&f->store, RUN_SECONDS);
    assert_listed(f, f->snapshots, "latest/log/monday/");
    assert_int_equal(walk(f, "latest/log", &again), -ENOENT);
    assert_int_equal(make_tag(f, "log"), -EINVAL);
    assert_int_equal(rename_tag(f, "monday", "log"), -EINVAL);
    assert_int_equal(make_tag_in(f, entry.nodeid, "in", &again), -EROFS);
    assert_true(remove_tag(f, "log") < 0);
    assert_true(rename_tag(f, "log", "friday") < 0);
}

static void lookups_are_given_back(void **state)
{
    struct fixture *f = *state;
    struct listing listing;
    struct fs_entry tag, sstfs;
    struct stat attributes;

    write_file(f, "a", "content");
    assert_int_equal(make_tag(f, "monday"), 0);
    fs_store_run_tasks(&f->store, RUN_SECONDS);
    tag = walked(f, "monday");
    sstfs = walked(f, "monday/sstfs");
    list(f, tag.nodeid, true, 2, &listing);
    assert_int_equal(listing.count, 5);
    for (unsigned i = 2; i < listing.count; i++) {
        assert_true(listing.attributes[i].st_size > 0);
        fs_forget(f->store.fs, listing.nodeids[i], 1);
    }
    assert_int_equal(fs_getattr(f->store.fs, sstfs.nodeid, &attributes), 0);
    fs_forget(f->store.fs, sstfs.nodeid, 1);
    assert_int_equal(fs_getattr(f->store.fs, sstfs.nodeid, &attributes), -ESTALE);
    /* Looked up thrice: by mkdir, here, and on the way to sstfs. */
    fs_forget(f->store.fs, tag.nodeid, 2);
    assert_int_equal(fs_getattr(f->store.fs, tag.nodeid, &attributes), 0);
    fs_forget(f->store.fs, tag.nodeid, 1);
    assert_int_equal(fs_getattr(f->store.fs, tag.nodeid, &attributes), -ESTALE);
    /* .snapshots stays for as long as the mount. */
    fs_forget(f->store.fs, f->snapshots, 1);
    assert_int_equal(fs_getattr(f->store.fs, f->snapshots, &attributes), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_empty_store_has_no_tags_and_no_latest),
        CASE(a_tag_is_listed_when_it_is_complete),
        CASE(files_of_a_tag_are_read_and_never_written),
        CASE(an_sstable_is_one_file_in_all_tags),
        CASE(latest_is_the_newest_complete_tag),
        CASE(a_tag_with_an_open_file_stays),
        CASE(a_tag_renamed_keeps_its_numbers),
        CASE(names_that_are_no_tags_are_refused),
        CASE(the_archive_of_the_log_is_shown),
        CASE(lookups_are_given_back),
    };

    return cmocka_run_group_tests_name("fs/snapshot_dir", tests, NULL, NULL);
}
