/*
 * Goal: making, linking and removing names does what POSIX says: results, times, link counts, and
 * what is left in the tables.
 * Method: single operations in a fresh store, then the attributes, the rows, and fs_verify_tree().
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

static void a_new_store_has_an_empty_root(void **state)
{
    struct world *w = *state;
    struct stat root = world_stat(w, ROOT);
    char names[64];

    assert_int_equal(root.st_ino, 1);
    assert_int_equal(root.st_mode, S_IFDIR | 0755);
    assert_int_equal(root.st_nlink, 2);
    assert_int_equal(root.st_uid, 1000);
    assert_int_equal(root.st_size, 4096);
    assert_int_equal(root.st_blocks, 8);
    assert_int_equal(root.st_blksize, 1 << 20);
    world_list(w, ROOT, names, sizeof(names));
    assert_string_equal(names, "");
    world_verify(w);
}

static void create_makes_an_empty_file_and_touches_its_directory(void **state)
{
    struct world *w = *state;
    struct stat before = world_stat(w, ROOT);
    struct store_identity identity;
    struct stat file, root;
    uint64_t ino, found;

    world_advance(w, 1000);
    assert_int_equal(world_create(w, ROOT, "file", 0640, &ino), 0);
    file = world_stat(w, ino);
    root = world_stat(w, ROOT);
    assert_int_equal(file.st_ino, ino);
    engine_identity(w->engine, &identity);
    assert_int_equal(ino_node(ino), identity.node);
    assert_int_equal(file.st_mode, S_IFREG | 0640);
    assert_int_equal(file.st_nlink, 1);
    assert_int_equal(file.st_uid, 1000);
    assert_int_equal(file.st_gid, 1000);
    assert_int_equal(file.st_size, 0);
    assert_int_equal(file.st_blocks, 0);
    assert_int_equal(file.st_blksize, 128 << 10);
    assert_true(ns_of(file.st_mtim) == ns_of(before.st_mtim) + 1000000);
    assert_true(ns_of(root.st_mtim) == ns_of(file.st_mtim));
    assert_true(ns_of(root.st_ctim) == ns_of(file.st_mtim));
    assert_true(ns_of(root.st_atim) == ns_of(before.st_atim));
    assert_int_equal(world_lookup(w, ROOT, "file", &found), 0);
    assert_int_equal(found, ino);
    assert_int_equal(world_create(w, ROOT, "file", 0640, NULL), -EEXIST);
    world_verify(w);
}

static void names_are_checked(void **state)
{
    struct world *w = *state;
    char name[258];
    uint64_t ino;

    memset(name, 'n', sizeof(name));
    name[256] = 0;
    assert_int_equal(world_create(w, ROOT, name, 0644, NULL), -ENAMETOOLONG);
    assert_int_equal(world_lookup(w, ROOT, name, &ino), -ENAMETOOLONG);
    assert_int_equal(world_unlink(w, ROOT, name), -ENAMETOOLONG);
    assert_int_equal(world_rename(w, ROOT, "a", ROOT, name, 0), -ENAMETOOLONG);
    name[255] = 0;
    assert_int_equal(world_create(w, ROOT, name, 0644, NULL), 0);
    assert_int_equal(world_create(w, ROOT, "a/b", 0644, NULL), -EINVAL);
    assert_int_equal(world_create(w, ROOT, "", 0644, NULL), -ENOENT);
    assert_int_equal(world_unlink(w, ROOT, "missing"), -ENOENT);
    assert_int_equal(world_rmdir(w, ROOT, "missing"), -ENOENT);
    world_verify(w);
}

static void reserved_names_cannot_be_taken(void **state)
{
    struct world *w = *state;
    uint64_t dir, file, past;

    assert_int_equal(world_mkdir(w, ROOT, "dir", 0755, &dir), 0);
    assert_int_equal(world_create(w, ROOT, "file", 0644, &file), 0);
    assert_int_equal(world_create(w, ROOT, ".snapshots", 0644, NULL), -EEXIST);
    assert_int_equal(world_mkdir(w, ROOT, ".sstfs", 0755, NULL), -EEXIST);
    assert_int_equal(world_symlink(w, dir, ".past", "x", NULL), -EEXIST);
    assert_int_equal(world_link(w, file, ROOT, ".past"), -EEXIST);
    assert_int_equal(world_rename(w, ROOT, "file", dir, ".past", 0), -EEXIST);
    assert_int_equal(world_rename(w, ROOT, ".snapshots", ROOT, "x", 0), -EBUSY);
    assert_int_equal(world_unlink(w, ROOT, ".snapshots"), -EISDIR);
    assert_int_equal(world_rmdir(w, ROOT, ".snapshots"), -EBUSY);
    assert_int_equal(world_rename(w, dir, ".past", ROOT, "x", 0), -EBUSY);
    assert_int_equal(world_unlink(w, dir, ".past"), -EISDIR);
    assert_int_equal(world_rmdir(w, dir, ".past"), -EBUSY);
    assert_int_equal(world_lookup(w, dir, ".past", &past), 0);
    assert_int_equal(world_lookup(w, past, "tag", NULL), -ENOENT);
    assert_int_equal(world_mkdir(w, past, "tag", 0755, NULL), -EROFS);
    assert_int_equal(world_lookup(w, ROOT, ".sstfs", NULL), -ENOENT);
    assert_int_equal(world_create(w, dir, ".snapshots", 0644, NULL), 0);
    world_verify(w);
}

static void directories_count_their_subdirectories(void **state)
{
    struct world *w = *state;
    uint64_t a, b;

    assert_int_equal(world_mkdir(w, ROOT, "a", 0700, &a), 0);
    assert_int_equal(world_mkdir(w, a, "b", 0700, &b), 0);
    assert_int_equal(world_create(w, a, "file", 0644, NULL), 0);
    assert_int_equal(world_stat(w, ROOT).st_nlink, 3);
    assert_int_equal(world_stat(w, a).st_nlink, 3);
    assert_int_equal(world_stat(w, b).st_nlink, 2);
    assert_int_equal(world_rmdir(w, ROOT, "a"), -ENOTEMPTY);
    assert_int_equal(world_rmdir(w, a, "file"), -ENOTDIR);
    assert_int_equal(world_unlink(w, a, "b"), -EISDIR);
    world_verify(w);

    assert_int_equal(world_rmdir(w, a, "b"), 0);
    assert_int_equal(world_stat(w, a).st_nlink, 2);
    /* It is still known to the kernel: a working directory that was removed. */
    assert_int_equal(world_stat(w, b).st_nlink, 0);
    assert_int_equal(world_create(w, b, "x", 0644, NULL), -ENOENT);
    assert_int_equal(world_unlink(w, a, "file"), 0);
    assert_int_equal(world_rmdir(w, ROOT, "a"), 0);
    assert_int_equal(world_stat(w, ROOT).st_nlink, 2);
    assert_int_equal(world_rows(w, TABLE_DIRENTS), 0);
    world_verify(w);
}

static void a_setgid_directory_hands_its_group_down(void **state)
{
    struct world *w = *state;
    struct fs_setattr group = {.set = FS_SET_GID | FS_SET_MODE, .gid = 50, .mode = 02755};
    uint64_t dir, sub, file;

    assert_int_equal(world_mkdir(w, ROOT, "dir", 0755, &dir), 0);
    assert_int_equal(world_setattr(w, dir, &group), 0);
    assert_int_equal(world_mkdir(w, dir, "sub", 0700, &sub), 0);
    assert_int_equal(world_create(w, dir, "file", 0600, &file), 0);
    assert_int_equal(world_stat(w, sub).st_gid, 50);
    assert_int_equal(world_stat(w, sub).st_mode, S_IFDIR | 02700);
    assert_int_equal(world_stat(w, file).st_gid, 50);
    assert_int_equal(world_stat(w, file).st_mode, S_IFREG | 0600);
}

static void special_files_and_links_keep_what_they_are(void **state)
{
    struct world *w = *state;
    struct buf target = BUF_INIT;
    uint64_t fifo, device, link;

    assert_int_equal(world_mknod(w, ROOT, "fifo", S_IFIFO | 0600, 99, &fifo), 0);
    assert_int_equal(world_mknod(w, ROOT, "null", S_IFCHR | 0666, 0x103, &device), 0);
    assert_int_equal(world_symlink(w, ROOT, "link", "where/to", &link), 0);
    assert_int_equal(world_symlink(w, ROOT, "empty", "", NULL), -ENOENT);
    assert_int_equal(world_mknod(w, ROOT, "dir", S_IFDIR | 0700, 0, NULL), -EINVAL);
    world_reopen(w);
    assert_int_equal(world_lookup(w, ROOT, "fifo", &fifo), 0);
    assert_int_equal(world_lookup(w, ROOT, "null", &device), 0);
    assert_int_equal(world_lookup(w, ROOT, "link", &link), 0);
    assert_int_equal(world_stat(w, fifo).st_mode, S_IFIFO | 0600);
    assert_int_equal(world_stat(w, fifo).st_rdev, 0);
    assert_int_equal(world_stat(w, device).st_mode, S_IFCHR | 0666);
    assert_int_equal(world_stat(w, device).st_rdev, 0x103);
    assert_int_equal(world_stat(w, link).st_mode, S_IFLNK | 0777);
    assert_int_equal(world_stat(w, link).st_size, 8);
    assert_int_equal(fs_readlink(w->fs, link, &target), 0);
    assert_int_equal(target.size, 8);
    assert_memory_equal(target.data, "where/to", 8);
    assert_int_equal(fs_readlink(w->fs, fifo, &target), -EINVAL);
    buf_release(&target);
    world_verify(w);
}

static void a_second_name_moves_the_attributes_to_inodes(void **state)
{
    struct world *w = *state;
    uint64_t ino, dir, found;
    char text[8];

    assert_int_equal(world_create(w, ROOT, "one", 0600, &ino), 0);
    assert_int_equal(world_write(w, ino, "hello", 5, 0), 0);
    assert_int_equal(world_setxattr(w, ino, "user.k", "v"), 0);
    assert_int_equal(world_rows(w, TABLE_INODES), 0);
    assert_int_equal(world_mkdir(w, ROOT, "dir", 0755, &dir), 0);
    world_advance(w, 10);
    assert_int_equal(world_link(w, ino, dir, "two"), 0);
    assert_int_equal(world_link(w, ino, dir, "two"), -EEXIST);
    assert_int_equal(world_link(w, dir, ROOT, "dir2"), -EPERM);
    assert_int_equal(world_rows(w, TABLE_INODES), 1);
    assert_int_equal(world_stat(w, ino).st_nlink, 2);
    assert_true(ns_of(world_stat(w, ino).st_ctim) == ns_of(world_stat(w, dir).st_mtim));
    world_verify(w);

    world_reopen(w);
    assert_int_equal(world_lookup(w, ROOT, "dir", &dir), 0);
    assert_int_equal(world_lookup(w, dir, "two", &found), 0);
    assert_int_equal(found, ino);
    assert_int_equal(world_stat(w, ino).st_nlink, 2);
    assert_int_equal(world_stat(w, ino).st_size, 5);
    assert_int_equal(world_link(w, ino, ROOT, "three"), 0);
    assert_int_equal(world_unlink(w, ROOT, "one"), 0);
    assert_int_equal(world_stat(w, ino).st_nlink, 2);
    assert_int_equal(world_unlink(w, dir, "two"), 0);
    assert_int_equal(world_stat(w, ino).st_nlink, 1);
    assert_int_equal(world_read(w, ino, text, sizeof(text)), 5);
    assert_memory_equal(text, "hello", 5);
    world_verify(w);

    assert_int_equal(world_unlink(w, ROOT, "three"), 0);
    assert_int_equal(world_rows(w, TABLE_INODES), 0);
    assert_int_equal(world_rows(w, TABLE_SMALL), 0);
    world_verify(w);
}

static void unlink_deletes_the_content_in_the_same_batch(void **state)
{
    struct world *w = *state;
    static uint8_t big[300000];
    uint64_t small, large;
    struct fs_handle *handle;

    memset(big, 7, sizeof(big));
    assert_int_equal(world_create(w, ROOT, "small", 0600, &small), 0);
    assert_int_equal(world_create(w, ROOT, "large", 0600, &large), 0);
    assert_int_equal(world_write(w, small, "hello", 5, 0), 0);
    assert_int_equal(world_write(w, large, big, sizeof(big), 0), 0);
    assert_int_equal(world_rows(w, TABLE_SMALL), 1);
    assert_int_equal(world_rows(w, TABLE_BLOCKS), 3);
    assert_int_equal(world_unlink(w, ROOT, "small"), 0);
    assert_int_equal(world_unlink(w, ROOT, "large"), 0);
    assert_int_equal(world_rows(w, TABLE_SMALL), 0);
    assert_int_equal(world_rows(w, TABLE_BLOCKS), 0);
    assert_int_equal(world_stat(w, large).st_nlink, 0);
    assert_int_equal(fs_open_file(w->fs, NULL, large, O_RDONLY, &handle), -ESTALE);
    world_verify(w);
}

static void assert_xattr(struct world *w, uint64_t ino, const char *name, const char *wanted)
{
    struct buf value = BUF_INIT;

    assert_int_equal(fs_getxattr(w->fs, ino, name, &value), 0);
    assert_int_equal(value.size, strlen(wanted));
    assert_memory_equal(value.data, wanted, value.size);
    buf_release(&value);
}

static uint64_t orphan_count(struct world *w)
{
    struct fs_stats stats;

    fs_get_stats(w->fs, &stats);
    return stats.orphans;
}

static void an_open_file_lives_without_a_name_until_its_last_close(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle, *second;
    static uint8_t big[20000];
    uint64_t ino;
    char text[8];

    assert_int_equal(world_create_open(w, ROOT, "file", &ino, &handle), 0);
    assert_int_equal(world_write(w, ino, "hello", 5, 0), 0);
    assert_int_equal(fs_open_file(w->fs, NULL, ino, O_RDONLY, &second), 0);
    assert_int_equal(world_unlink(w, ROOT, "file"), 0);
    assert_false(world_exists(w, ROOT, "file"));
    assert_int_equal(world_stat(w, ino).st_nlink, 0);
    assert_int_equal(orphan_count(w), 1);
    assert_int_equal(world_link(w, ino, ROOT, "again"), -ENOENT);
    world_verify(w);

    assert_int_equal(world_read(w, ino, text, sizeof(text)), 5);
    assert_int_equal(world_write(w, ino, big, sizeof(big), 0), 0);
    assert_int_equal(world_stat(w, ino).st_size, sizeof(big));
    world_verify(w);
    fs_release(w->fs, ino, second);
    assert_int_equal(world_rows(w, TABLE_BLOCKS), 1);
    fs_release(w->fs, ino, handle);
    world_settle(w);
    assert_int_equal(world_rows(w, TABLE_BLOCKS), 0);
    assert_int_equal(orphan_count(w), 0);
    world_verify(w);
}

static void orphans_of_a_crash_go_at_the_next_mount(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;
    static uint8_t big[20000];
    uint64_t ino;

    assert_int_equal(world_create_open(w, ROOT, "file", &ino, &handle), 0);
    assert_int_equal(world_write(w, ino, "hello", 5, 0), 0);
    assert_int_equal(world_unlink(w, ROOT, "file"), 0);
    /* It leaves `small` for `blocks`, and the row of the orphan has to follow. */
    assert_int_equal(world_write(w, ino, big, sizeof(big), EXTENT_BYTES - 100), 0);
    fs_release(w->fs, ino, handle);
    world_crash(w);
    assert_int_equal(orphan_count(w), 1);
    assert_int_not_equal(world_rows(w, TABLE_BLOCKS), 0);
    world_verify(w);
    world_settle(w);
    assert_int_equal(orphan_count(w), 0);
    assert_int_equal(world_rows(w, TABLE_BLOCKS), 0);
    assert_int_equal(world_rows(w, TABLE_SMALL), 0);
    world_verify(w);
}

static void closing_deletes_what_was_open_without_a_name(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;
    uint64_t ino;

    assert_int_equal(world_create_open(w, ROOT, "file", &ino, &handle), 0);
    assert_int_equal(world_write(w, ino, "hello", 5, 0), 0);
    assert_int_equal(world_unlink(w, ROOT, "file"), 0);
    fs_release(w->fs, ino, handle);
    world_reopen(w);
    assert_int_equal(orphan_count(w), 0);
    assert_int_equal(world_rows(w, TABLE_SMALL), 0);
    world_verify(w);
}

static void a_file_made_without_a_name_goes_with_its_last_handle(void **state)
{
    struct world *w = *state;
    struct stat before = world_stat(w, ROOT), file, after;
    struct fs_handle *handle;
    static uint8_t big[20000];
    uint64_t ino;
    char names[8], text[8];

    world_advance(w, 1000);
    assert_int_equal(world_tmpfile(w, ROOT, &ino, &handle), 0);
    file = world_stat(w, ino);
    after = world_stat(w, ROOT);
    assert_int_equal(file.st_mode, S_IFREG | 0640);
    assert_int_equal(file.st_nlink, 0);
    assert_int_equal(file.st_uid, 1000);
    assert_true(ns_of(after.st_mtim) == ns_of(before.st_mtim));
    world_list(w, ROOT, names, sizeof(names));
    assert_string_equal(names, "");
    assert_int_equal(orphan_count(w), 1);
    world_verify(w);

    assert_int_equal(world_write(w, ino, "hello", 5, 0), 0);
    assert_int_equal(world_rows(w, TABLE_SMALL), 1);
    assert_int_equal(world_read(w, ino, text, sizeof(text)), 5);
    assert_memory_equal(text, "hello", 5);
    assert_int_equal(world_write(w, ino, big, sizeof(big), 5), 0);
    assert_int_equal(world_rows(w, TABLE_SMALL), 0);
    world_verify(w);
    fs_release(w->fs, ino, handle);
    world_settle(w);
    assert_int_equal(world_link(w, ino, ROOT, "late"), -ENOENT);
    assert_int_equal(world_rows(w, TABLE_BLOCKS), 0);
    assert_int_equal(orphan_count(w), 0);
    world_verify(w);
}

static void a_file_made_without_a_name_goes_with_a_crash(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;
    uint64_t ino, untouched;

    assert_int_equal(world_tmpfile(w, ROOT, &untouched, &handle), 0);
    fs_release(w->fs, untouched, handle);
    assert_int_equal(world_tmpfile(w, ROOT, &ino, &handle), 0);
    assert_int_equal(world_write(w, ino, "hello", 5, 0), 0);
    fs_release(w->fs, ino, handle);
    world_crash(w);
    assert_int_equal(orphan_count(w), 2);
    world_verify(w);
    world_settle(w);
    assert_int_equal(orphan_count(w), 0);
    assert_int_equal(world_rows(w, TABLE_SMALL), 0);
    world_verify(w);
}

static void a_file_made_without_a_name_can_be_given_one(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;
    uint64_t ino, other, found;
    struct stat file, root;
    char text[8];

    assert_int_equal(world_create(w, ROOT, "taken", 0600, &other), 0);
    assert_int_equal(world_tmpfile(w, ROOT, &ino, &handle), 0);
    assert_int_equal(world_write(w, ino, "hello", 5, 0), 0);
    assert_int_equal(world_setxattr(w, ino, "user.kept", "so it is"), 0);
    assert_int_equal(world_link(w, ino, ROOT, "taken"), -EEXIST);
    assert_int_equal(world_stat(w, ino).st_nlink, 0);

    world_advance(w, 1000);
    assert_int_equal(world_link(w, ino, ROOT, "named"), 0);
    file = world_stat(w, ino);
    root = world_stat(w, ROOT);
    assert_int_equal(file.st_nlink, 1);
    assert_true(ns_of(root.st_mtim) == ns_of(file.st_ctim));
    assert_true(ns_of(file.st_mtim) < ns_of(file.st_ctim));
    assert_int_equal(orphan_count(w), 0);
    world_verify(w);
    /* From here on it is a file like any other. */
    assert_int_equal(world_link(w, ino, ROOT, "second"), 0);
    assert_int_equal(world_stat(w, ino).st_nlink, 2);
    assert_int_equal(world_unlink(w, ROOT, "second"), 0);
    fs_release(w->fs, ino, handle);

    world_crash(w);
    world_settle(w);
    assert_int_equal(world_lookup(w, ROOT, "named", &found), 0);
    assert_int_equal(found, ino);
    assert_int_equal(world_read(w, ino, text, sizeof(text)), 5);
    assert_memory_equal(text, "hello", 5);
    assert_xattr(w, ino, "user.kept", "so it is");
    world_verify(w);
}

static void a_failed_link_leaves_a_file_without_a_name(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;
    uint64_t ino;

    assert_int_equal(world_tmpfile(w, ROOT, &ino, &handle), 0);
    if (world_fail_apply(w, -ENOSPC)) {
        assert_int_equal(world_link(w, ino, ROOT, "named"), -ENOSPC);
        assert_int_equal(world_stat(w, ino).st_nlink, 0);
        assert_false(world_exists(w, ROOT, "named"));
        assert_int_equal(orphan_count(w), 1);
    }
    assert_int_equal(world_link(w, ino, ROOT, "named"), 0);
    assert_int_equal(world_unlink(w, ROOT, "named"), 0);
    /* It had its name: once that is gone, no other is given. */
    assert_int_equal(orphan_count(w), 1);
    assert_int_equal(world_link(w, ino, ROOT, "again"), -ENOENT);
    fs_release(w->fs, ino, handle);
    world_settle(w);
    assert_int_equal(orphan_count(w), 0);
    world_verify(w);
}

static void a_file_too_large_for_one_batch_is_left_to_the_reclaimer(void **state)
{
    struct world *w = *state;
    struct fs_setattr grow = {.set = FS_SET_SIZE, .size = 2000 * EXTENT_BYTES};
    static uint8_t page[PAGE_BYTES];
    uint64_t ino;

    memset(page, 1, sizeof(page));
    assert_int_equal(world_create(w, ROOT, "huge", 0600, &ino), 0);
    assert_int_equal(world_setattr(w, ino, &grow), 0);
    for (unsigned extent = 0; extent < 2000; extent += 300)
        assert_int_equal(world_write(w, ino, page, sizeof(page), extent * EXTENT_BYTES), 0);
    assert_int_equal(world_unlink(w, ROOT, "huge"), 0);
    assert_int_equal(orphan_count(w), 1);
    world_verify(w);
    world_settle(w);
    assert_int_equal(orphan_count(w), 0);
    assert_int_equal(world_rows(w, TABLE_BLOCKS), 0);
    world_verify(w);
}

static void a_row_without_ino_is_no_entry(void **state)
{
    struct world *w = *state;
    struct batch *batch = world_batch(w);
    struct fs_request request = {.batch = batch};
    struct row_key key;
    char names[64];
    uint64_t dir;

    assert_int_equal(world_mkdir(w, ROOT, "dir", 0755, &dir), 0);
    row_key_dirent(&key, dir, BYTES_LITERAL("ghost"));
    batch_row(batch, TABLE_DIRENTS, key.key, &key.clustering, false);
    batch_cell_bigint(batch, DIRENT_ATIME, 1);
    assert_int_equal(engine_apply(w->engine, request.batch, &request.position), 0);

    assert_false(world_exists(w, dir, "ghost"));
    world_list(w, dir, names, sizeof(names));
    assert_string_equal(names, "");
    assert_int_equal(world_unlink(w, dir, "ghost"), -ENOENT);
    assert_int_equal(world_rmdir(w, ROOT, "dir"), 0);
    assert_int_equal(world_mkdir(w, ROOT, "dir", 0755, &dir), 0);
    world_verify(w);
}

static void a_batch_that_fails_changes_nothing(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;
    struct stat before;
    uint64_t ino;

    assert_int_equal(world_create_open(w, ROOT, "file", &ino, &handle), 0);
    assert_int_equal(world_setxattr(w, ino, "user.k", "v"), 0);
    before = world_stat(w, ROOT);
    world_advance(w, 10);
    /* Only the model fails on demand and goes on afterwards. */
    if (!world_fail_apply(w, -EIO)) {
        fs_release(w->fs, ino, handle);
        return;
    }
    assert_int_equal(world_unlink(w, ROOT, "file"), -EIO);
    assert_int_equal(world_stat(w, ino).st_nlink, 1);
    assert_true(world_fail_apply(w, -EIO));
    assert_int_equal(world_rename(w, ROOT, "file", ROOT, "other", 0), -EIO);
    assert_true(world_fail_apply(w, -EIO));
    assert_int_equal(world_link(w, ino, ROOT, "other"), -EIO);
    assert_true(world_fail_apply(w, -EIO));
    assert_int_equal(world_create(w, ROOT, "new", 0600, NULL), -EIO);
    assert_true(world_exists(w, ROOT, "file"));
    assert_false(world_exists(w, ROOT, "other"));
    assert_false(world_exists(w, ROOT, "new"));
    assert_true(ns_of(world_stat(w, ROOT).st_mtim) == ns_of(before.st_mtim));
    assert_int_equal(world_write(w, ino, "x", 1, 0), 0);
    fs_release(w->fs, ino, handle);
    world_verify(w);
}

static void inode_numbers_are_never_given_twice(void **state)
{
    struct world *w = *state;
    uint64_t last = 0;

    for (unsigned i = 0; i < 5000; i++) {
        uint64_t ino;

        assert_int_equal(world_create(w, ROOT, "file", 0600, &ino), 0);
        assert_true(ino > last);
        last = ino;
        assert_int_equal(world_unlink(w, ROOT, "file"), 0);
        fs_forget(w->fs, ino, 1);
        if (i % 1000 == 999)
            world_crash(w);
    }
    world_verify(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_store_has_an_empty_root),
        TEST(create_makes_an_empty_file_and_touches_its_directory),
        TEST(names_are_checked),
        TEST(reserved_names_cannot_be_taken),
        TEST(directories_count_their_subdirectories),
        TEST(a_setgid_directory_hands_its_group_down),
        TEST(special_files_and_links_keep_what_they_are),
        TEST(a_second_name_moves_the_attributes_to_inodes),
        TEST(unlink_deletes_the_content_in_the_same_batch),
        TEST(an_open_file_lives_without_a_name_until_its_last_close),
        TEST(orphans_of_a_crash_go_at_the_next_mount),
        TEST(a_file_made_without_a_name_goes_with_its_last_handle),
        TEST(a_file_made_without_a_name_goes_with_a_crash),
        TEST(a_file_made_without_a_name_can_be_given_one),
        TEST(a_failed_link_leaves_a_file_without_a_name),
        TEST(closing_deletes_what_was_open_without_a_name),
        TEST(a_file_too_large_for_one_batch_is_left_to_the_reclaimer),
        TEST(a_row_without_ino_is_no_entry),
        TEST(a_batch_that_fails_changes_nothing),
        TEST(inode_numbers_are_never_given_twice),
    };

    return cmocka_run_group_tests_name("fs/namespace", tests, NULL, NULL);
}
