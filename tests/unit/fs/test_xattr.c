/*
 * Goal: extended attributes are kept byte for byte wherever an inode's home is, with the error
 * codes of setxattr(2), and those that the kernel acts on (capabilities, ACLs) are acted on.
 * Method: the same steps on a file, a file of two names, a directory, a symlink and an open file
 * without a name; then limits, flags and side effects one by one.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/xattr.h>
#include <cmocka.h>

#include "core/xattr.h"
#include "engine/buf.h"
#include "support/fs_world.h"

#define NAME_MAX_BYTES 255

static int set_bytes(
    struct world *world, uint64_t ino, const char *name, struct bytes value, int flags)
{
    struct fs_request request = FS_REQUEST_INIT;
    int r;

    assert_int_equal(
        fs_begin(world->fs, &request, TABLE_DIRENTS, value.size, false, NULL, NULL), 0);
    r = fs_setxattr(world->fs, &request, &world->caller, ino, name, value, flags);
    assert_int_equal(fs_end(world->fs, &request, NULL, NULL), 0);
    return r;
}

static int set(struct world *world, uint64_t ino, const char *name, const char *value)
{
    return set_bytes(world, ino, name, bytes_of_string(value), 0);
}

static void assert_value(struct world *world, uint64_t ino, const char *name, const char *expected)
{
    AUTO(buf_release) struct buf value = BUF_INIT;
    int r = fs_getxattr(world->fs, ino, name, &value);

    if (!expected) {
        assert_int_equal(r, -ENODATA);
        return;
    }
    assert_int_equal(r, 0);
    assert_int_equal(value.size, strlen(expected));
    assert_memory_equal(value.data, expected, value.size);
}

/* `expected`: names with a '/' after each. */
static void assert_names(struct world *world, uint64_t ino, bool trusted, const char *expected)
{
    AUTO(buf_release) struct buf names = BUF_INIT;

    assert_int_equal(fs_listxattr(world->fs, ino, trusted, &names), 0);
    for (size_t i = 0; i < names.size; i++) {
        if (names.data[i] == 0)
            names.data[i] = '/';
    }
    buf_append_u8(&names, 0);
    assert_string_equal((char *)names.data, expected);
}

/* ---- every kind of home ---- */

static void check_life(struct world *world, uint64_t ino)
{
    assert_names(world, ino, true, "");
    assert_value(world, ino, "user.a", NULL);
    assert_int_equal(world_removexattr(world, ino, "user.a"), -ENODATA);
    assert_int_equal(set(world, ino, "user.a", "one"), 0);
    assert_value(world, ino, "user.a", "one");
    assert_value(world, ino, "user.b", NULL);
    assert_int_equal(set(world, ino, "user.a", ""), 0);
    assert_value(world, ino, "user.a", "");
    assert_int_equal(set_bytes(world, ino, "user.a", BYTES_LITERAL("x"), XATTR_CREATE), -EEXIST);
    assert_int_equal(set_bytes(world, ino, "user.b", BYTES_LITERAL("x"), XATTR_REPLACE), -ENODATA);
    assert_int_equal(set_bytes(world, ino, "user.a", BYTES_LITERAL("again"), XATTR_REPLACE), 0);
    assert_int_equal(set_bytes(world, ino, "user.a", BYTES_LITERAL("x"), 8), -EINVAL);
    assert_value(world, ino, "user.a", "again");
    assert_int_equal(world_removexattr(world, ino, "user.a"), 0);
    assert_value(world, ino, "user.a", NULL);
    assert_names(world, ino, true, "");
    assert_int_equal(world_removexattr(world, ino, "user.a"), -ENODATA);
}

static void check_capability(struct world *world, uint64_t ino)
{
    assert_int_equal(set(world, ino, "security.capability", "caps"), 0);
    assert_value(world, ino, "security.capability", "caps");
    assert_int_equal(world_removexattr(world, ino, "security.capability"), 0);
    assert_value(world, ino, "security.capability", NULL);
    assert_int_equal(set(world, ino, "user.a", "stays"), 0);
    assert_int_equal(set(world, ino, "security.capability", "caps"), 0);
    /* Every write takes it away, even root's. */
    assert_int_equal(world_write(world, ino, "x", 1, 0), 0);
    assert_value(world, ino, "security.capability", NULL);
    assert_names(world, ino, true, "user.a/");
    assert_int_equal(world_removexattr(world, ino, "security.capability"), -ENODATA);
    assert_int_equal(set(world, ino, "security.capability", "new"), 0);
    assert_value(world, ino, "security.capability", "new");
    assert_value(world, ino, "user.a", "stays");
}

static void a_file_has_them_in_its_names_row(void **state)
{
    struct world *world = *state;
    uint64_t ino;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    check_life(world, ino);
    check_capability(world, ino);
    world_reopen(world);
    assert_int_equal(world_lookup(world, FS_ROOT_INO, "file", &ino), 0);
    assert_value(world, ino, "user.a", "stays");
    assert_value(world, ino, "security.capability", "new");
    assert_int_equal(world_removexattr(world, ino, "user.a"), 0);
    assert_int_equal(world_removexattr(world, ino, "security.capability"), 0);
    assert_names(world, ino, true, "");
}

static void a_file_of_two_names_has_them_in_inodes(void **state)
{
    struct world *world = *state;
    uint64_t ino;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    assert_int_equal(set(world, ino, "user.before", "kept"), 0);
    assert_int_equal(world_link(world, ino, FS_ROOT_INO, "other"), 0);
    assert_value(world, ino, "user.before", "kept");
    assert_int_equal(world_removexattr(world, ino, "user.before"), 0);
    check_life(world, ino);
    check_capability(world, ino);
    world_reopen(world);
    assert_int_equal(world_lookup(world, FS_ROOT_INO, "other", &ino), 0);
    assert_value(world, ino, "user.a", "stays");
}

static void a_directory_has_them_in_its_static_row(void **state)
{
    struct world *world = *state;
    uint64_t ino;

    assert_int_equal(world_mkdir(world, FS_ROOT_INO, "dir", 0755, &ino), 0);
    check_life(world, ino);
    check_life(world, FS_ROOT_INO);
    assert_int_equal(set(world, ino, "user.a", "one"), 0);
    world_reopen(world);
    assert_int_equal(world_lookup(world, FS_ROOT_INO, "dir", &ino), 0);
    assert_value(world, ino, "user.a", "one");
}

static void a_symlink_has_them_too(void **state)
{
    struct world *world = *state;
    uint64_t ino;

    assert_int_equal(world_symlink(world, FS_ROOT_INO, "link", "target", &ino), 0);
    check_life(world, ino);
}

static void an_open_file_without_a_name_keeps_them_until_it_goes(void **state)
{
    struct world *world = *state;
    struct fs_handle *handle;
    uint64_t ino;

    assert_int_equal(world_create_open(world, FS_ROOT_INO, "file", &ino, &handle), 0);
    assert_int_equal(set(world, ino, "user.before", "kept"), 0);
    assert_int_equal(set(world, ino, "security.capability", "caps"), 0);
    assert_int_equal(world_unlink(world, FS_ROOT_INO, "file"), 0);
    assert_value(world, ino, "user.before", "kept");
    assert_value(world, ino, "security.capability", "caps");
    assert_int_equal(world_removexattr(world, ino, "security.capability"), 0);
    assert_int_equal(world_removexattr(world, ino, "user.before"), 0);
    check_life(world, ino);
    check_capability(world, ino);
    fs_release(world->fs, ino, handle);
    assert_int_equal(set(world, ino, "user.a", "late"), -ESTALE);
    world_settle(world);
    world_verify(world);
}

/* ---- limits, names, side effects ---- */

static void names_and_values_have_limits(void **state)
{
    struct world *world = *state;
    static uint8_t value[XATTR_VALUE_BYTES_MAX + 1];
    AUTO(buf_release) struct buf found = BUF_INIT;
    char name[NAME_MAX_BYTES + 2];
    uint64_t ino;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    memset(name, 'n', sizeof(name));
    memcpy(name, "user.", 5);
    name[NAME_MAX_BYTES + 1] = 0;
    assert_int_equal(set(world, ino, name, "x"), -ERANGE);
    assert_int_equal(set(world, ino, "", "x"), -ERANGE);
    assert_int_equal(fs_getxattr(world->fs, ino, name, &found), -ERANGE);
    name[NAME_MAX_BYTES] = 0;
    assert_int_equal(set(world, ino, name, "x"), 0);
    assert_value(world, ino, name, "x");
    assert_int_equal(
        set_bytes(world, ino, "user.b", bytes_of(value, XATTR_VALUE_BYTES_MAX + 1), 0), -E2BIG);
    memset(value, 0xa5, sizeof(value));
    assert_int_equal(set_bytes(world, ino, "user.b", bytes_of(value, XATTR_VALUE_BYTES_MAX), 0), 0);
    assert_int_equal(fs_getxattr(world->fs, ino, "user.b", &found), 0);
    assert_int_equal(found.size, XATTR_VALUE_BYTES_MAX);
    assert_memory_equal(found.data, value, found.size);
}

static void an_inode_takes_no_more_than_a_rename_can_move(void **state)
{
    struct world *world = *state;
    static uint8_t value[XATTR_VALUE_BYTES_MAX];
    unsigned count = 0;
    uint64_t ino, other;
    int r = 0;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    assert_int_equal(world_create(world, FS_ROOT_INO, "other", 0644, &other), 0);
    while (r == 0) {
        char name[32];

        (void)snprintf(name, sizeof(name), "user.%u", count);
        r = set_bytes(world, ino, name, bytes_of(value, sizeof(value)), 0);
        if (r == 0)
            assert_int_equal(set_bytes(world, other, name, bytes_of(value, sizeof(value)), 0), 0);
        count += r == 0;
    }
    assert_int_equal(r, -ENOSPC);
    assert_true(count >= 7);
    assert_int_equal(world_rename(world, FS_ROOT_INO, "file", FS_ROOT_INO, "moved", 0), 0);
    assert_int_equal(
        world_rename(world, FS_ROOT_INO, "moved", FS_ROOT_INO, "other", RENAME_EXCHANGE), 0);
    /* A larger value in place of a smaller one counts, too; a smaller one always fits. */
    assert_int_equal(set(world, ino, "user.0", "small"), 0);
    world_verify(world);
}

static void trusted_names_are_listed_to_the_trusted_only(void **state)
{
    struct world *world = *state;
    uint64_t ino;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    assert_int_equal(set(world, ino, "trusted.t", "x"), 0);
    assert_int_equal(set(world, ino, "user.u", "x"), 0);
    assert_names(world, ino, true, "trusted.t/user.u/");
    assert_names(world, ino, false, "user.u/");
    assert_value(world, ino, "trusted.t", "x");
}

static void each_change_moves_ctime_and_nothing_else(void **state)
{
    struct world *world = *state;
    struct stat before, after;
    uint64_t ino;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    before = world_stat(world, ino);
    world_advance(world, 1000);
    assert_int_equal(set(world, ino, "user.a", "x"), 0);
    after = world_stat(world, ino);
    assert_true(after.st_ctim.tv_nsec != before.st_ctim.tv_nsec);
    after.st_ctim = before.st_ctim;
    assert_memory_equal(&before, &after, sizeof(before));
    before = world_stat(world, ino);
    world_advance(world, 1000);
    assert_int_equal(world_removexattr(world, ino, "user.a"), 0);
    assert_true(world_stat(world, ino).st_ctim.tv_nsec != before.st_ctim.tv_nsec);
}

static void a_change_that_fails_changes_nothing(void **state)
{
    struct world *world = *state;
    uint64_t ino;

    assert_int_equal(world_create(world, FS_ROOT_INO, "file", 0644, &ino), 0);
    if (!world_fail_apply(world, -ENOSPC))
        return;
    assert_int_equal(set(world, ino, "user.a", "x"), -ENOSPC);
    assert_value(world, ino, "user.a", NULL);
    assert_int_equal(set(world, ino, "user.a", "x"), 0);
    assert_true(world_fail_apply(world, -ENOSPC));
    assert_int_equal(world_removexattr(world, ino, "user.a"), -ENOSPC);
    assert_value(world, ino, "user.a", "x");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_file_has_them_in_its_names_row),
        CASE(a_file_of_two_names_has_them_in_inodes),
        CASE(a_directory_has_them_in_its_static_row),
        CASE(a_symlink_has_them_too),
        CASE(an_open_file_without_a_name_keeps_them_until_it_goes),
        CASE(names_and_values_have_limits),
        CASE(an_inode_takes_no_more_than_a_rename_can_move),
        CASE(trusted_names_are_listed_to_the_trusted_only),
        CASE(each_change_moves_ctime_and_nothing_else),
        CASE(a_change_that_fails_changes_nothing),
    };

    return cmocka_run_group_tests_name("fs/xattr", tests, NULL, NULL);
}
