/*
 * Goal: access and default ACLs do to modes, chmod and new inodes what acl(5) says.
 * Method: on a file system in memory, ACLs as bytes in and out, beside modes; the lists themselves
 * are written as tag, permissions, id.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/xattr.h>
#include <cmocka.h>

#include "core/acl.h"
#include "engine/buf.h"
#include "engine/coding.h"
#include "support/fs_world.h"

enum { USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32 };
#define ENTRIES_MAX 8
#define NOBODY 0xffffffffu

struct entry {
    unsigned tag, permissions;
    uint32_t id;
};

struct acl {
    uint8_t data[4 + 8 * ENTRIES_MAX];
    size_t size;
};

static struct acl acl_of(const struct entry *entries, unsigned count)
{
    struct acl acl = {.size = 4 + 8 * count};

    store_le32(acl.data, 2);
    for (unsigned i = 0; i < count; i++) {
        store_le32(acl.data + 4 + 8 * i, entries[i].permissions << 16 | entries[i].tag);
        store_le32(acl.data + 8 + 8 * i, entries[i].id);
    }
    return acl;
}

/* u::user, u:7:named, g::group, m::mask, o::other */
static struct acl acl_of_five(
    unsigned user, unsigned named, unsigned group, unsigned mask, unsigned other)
{
    const struct entry entries[] = {{USER_OBJ, user, NOBODY}, {USER, named, 7},
        {GROUP_OBJ, group, NOBODY}, {MASK, mask, NOBODY}, {OTHER, other, NOBODY}};

    return acl_of(entries, 5);
}

static struct acl acl_of_three(unsigned user, unsigned group, unsigned other)
{
    const struct entry entries[] = {
        {USER_OBJ, user, NOBODY}, {GROUP_OBJ, group, NOBODY}, {OTHER, other, NOBODY}};

    return acl_of(entries, 3);
}

static int set_as(struct world *world, const struct fs_caller *caller, uint64_t ino,
    const char *name, struct acl acl)
{
    struct fs_request request = FS_REQUEST_INIT;
    int r;

    assert_int_equal(fs_begin(world->fs, &request, TABLE_DIRENTS, acl.size, false, NULL, NULL), 0);
    r = fs_setxattr(world->fs, &request, caller, ino, name, bytes_of(acl.data, acl.size), 0);
    assert_int_equal(fs_end(world->fs, &request, NULL, NULL), 0);
    return r;
}

static int set(struct world *world, uint64_t ino, const char *name, struct acl acl)
{
    return set_as(world, &world->caller, ino, name, acl);
}

static void assert_acl(struct world *world, uint64_t ino, const char *name, struct acl want)
{
    AUTO(buf_release) struct buf value = BUF_INIT;

    assert_int_equal(fs_getxattr(world->fs, ino, name, &value), 0);
    assert_int_equal(value.size, want.size);
    assert_memory_equal(value.data, want.data, want.size);
}

static void assert_no_acl(struct world *world, uint64_t ino, const char *name)
{
    AUTO(buf_release) struct buf value = BUF_INIT;

    assert_int_equal(fs_getxattr(world->fs, ino, name, &value), -ENODATA);
}

static void assert_mode(struct world *world, uint64_t ino, unsigned want)
{
    assert_int_equal(world_stat(world, ino).st_mode & 07777, want);
}

static void change_mode(struct world *world, uint64_t ino, uint32_t mode)
{
    struct fs_setattr change = {.set = FS_SET_MODE, .mode = mode};

    assert_int_equal(world_setattr(world, ino, &change), 0);
}

static uint64_t make_file(struct world *world, uint64_t parent, const char *name, uint32_t mode)
{
    uint64_t ino;

    assert_int_equal(world_mknod(world, parent, name, S_IFREG | mode, 0, &ino), 0);
    return ino;
}

static void an_access_acl_sets_the_mode(void **state)
{
    struct world *world = *state;
    uint64_t ino = make_file(world, FS_ROOT_INO, "file", 0644);

    assert_int_equal(set(world, ino, ACL_ACCESS_NAME, acl_of_five(7, 4, 5, 6, 1)), 0);
    assert_mode(world, ino, 0761);
    assert_acl(world, ino, ACL_ACCESS_NAME, acl_of_five(7, 4, 5, 6, 1));
}

static void an_acl_that_says_no_more_than_a_mode_is_not_kept(void **state)
{
    struct world *world = *state;
    uint64_t ino = make_file(world, FS_ROOT_INO, "file", 0644);

    assert_int_equal(set(world, ino, ACL_ACCESS_NAME, acl_of_five(7, 4, 5, 6, 1)), 0);
    assert_int_equal(set(world, ino, ACL_ACCESS_NAME, acl_of_three(6, 4, 0)), 0);
    assert_mode(world, ino, 0640);
    assert_no_acl(world, ino, ACL_ACCESS_NAME);
}

static void what_is_no_acl_is_refused(void **state)
{
    struct world *world = *state;
    uint64_t ino = make_file(world, FS_ROOT_INO, "file", 0644);
    const struct entry without_mask[] = {
        {USER_OBJ, 7, NOBODY}, {USER, 7, 7}, {GROUP_OBJ, 7, NOBODY}, {OTHER, 7, NOBODY}};
    struct acl acl = acl_of_five(7, 4, 5, 6, 1);

    assert_int_equal(set(world, ino, ACL_ACCESS_NAME, acl_of(without_mask, 4)), -EINVAL);
    assert_int_equal(set(world, ino, ACL_ACCESS_NAME, acl_of(without_mask, 2)), -EINVAL);
    acl.size -= 3;
    assert_int_equal(set(world, ino, ACL_ACCESS_NAME, acl), -EINVAL);
    assert_int_equal(set(world, ino, ACL_ACCESS_NAME, acl_of_five(7, 8, 5, 6, 1)), -EINVAL);
    assert_int_equal(set(world, ino, ACL_DEFAULT_NAME, acl_of_five(7, 4, 5, 6, 1)), -EACCES);
    assert_mode(world, ino, 0644);
}

static void chmod_changes_the_acl_as_well(void **state)
{
    struct world *world = *state;
    uint64_t ino = make_file(world, FS_ROOT_INO, "file", 0644);

    assert_int_equal(set(world, ino, ACL_ACCESS_NAME, acl_of_five(7, 4, 5, 6, 1)), 0);
    change_mode(world, ino, 0520);
    assert_acl(world, ino, ACL_ACCESS_NAME, acl_of_five(5, 4, 5, 2, 0));
    assert_mode(world, ino, 0520);
}

static void chmod_of_an_open_file_without_a_name_changes_its_acl(void **state)
{
    struct world *world = *state;
    struct fs_handle *handle = NULL;
    uint64_t ino = make_file(world, FS_ROOT_INO, "file", 0644);

    assert_int_equal(set(world, ino, ACL_ACCESS_NAME, acl_of_five(7, 4, 5, 6, 1)), 0);
    assert_int_equal(fs_open_file(world->fs, NULL, ino, O_RDONLY, &handle), 0);
    assert_int_equal(world_unlink(world, FS_ROOT_INO, "file"), 0);
    change_mode(world, ino, 0520);
    assert_acl(world, ino, ACL_ACCESS_NAME, acl_of_five(5, 4, 5, 2, 0));
    fs_release(world->fs, ino, handle);
}

static void without_a_default_acl_the_umask_counts(void **state)
{
    struct world *world = *state;
    uint64_t ino;

    world->caller.umask = 027;
    assert_mode(world, make_file(world, FS_ROOT_INO, "file", 0666), 0640);
    assert_int_equal(world_mkdir(world, FS_ROOT_INO, "directory", 0777, &ino), 0);
    assert_mode(world, ino, 0750);
    assert_int_equal(world_symlink(world, FS_ROOT_INO, "link", "target", &ino), 0);
    assert_mode(world, ino, 0777);
}

static void a_default_acl_is_inherited_instead_of_the_umask(void **state)
{
    struct world *world = *state;
    uint64_t directory, file, child;

    world->caller.umask = 077;
    assert_int_equal(world_mkdir(world, FS_ROOT_INO, "directory", 0777, &directory), 0);
    assert_int_equal(set(world, directory, ACL_DEFAULT_NAME, acl_of_five(7, 6, 5, 7, 5)), 0);
    assert_mode(world, directory, 0700);

    file = make_file(world, directory, "file", 0664);
    assert_mode(world, file, 0664);
    assert_acl(world, file, ACL_ACCESS_NAME, acl_of_five(6, 6, 5, 6, 4));
    assert_no_acl(world, file, ACL_DEFAULT_NAME);

    assert_int_equal(world_mkdir(world, directory, "child", 0750, &child), 0);
    assert_mode(world, child, 0750);
    assert_acl(world, child, ACL_ACCESS_NAME, acl_of_five(7, 6, 5, 5, 0));
    assert_acl(world, child, ACL_DEFAULT_NAME, acl_of_five(7, 6, 5, 7, 5));
}

static void a_minimal_default_acl_gives_a_mode_only(void **state)
{
    struct world *world = *state;
    uint64_t directory, child;

    assert_int_equal(world_mkdir(world, FS_ROOT_INO, "directory", 0777, &directory), 0);
    assert_int_equal(set(world, directory, ACL_DEFAULT_NAME, acl_of_three(7, 5, 0)), 0);
    assert_int_equal(world_mkdir(world, directory, "child", 0777, &child), 0);
    assert_mode(world, child, 0750);
    assert_no_acl(world, child, ACL_ACCESS_NAME);
    assert_acl(world, child, ACL_DEFAULT_NAME, acl_of_three(7, 5, 0));
}

static void who_is_not_of_the_group_loses_set_group_id(void **state)
{
    struct world *world = *state;
    struct fs_caller stranger = {.uid = 1000, .gid = 5}, member = stranger;
    static const uint32_t groups[] = {9, 1000};
    uint64_t ino = make_file(world, FS_ROOT_INO, "file", 02755);

    member.groups = groups;
    member.group_count = 2;
    assert_int_equal(set_as(world, &member, ino, ACL_ACCESS_NAME, acl_of_five(7, 4, 5, 6, 1)), 0);
    assert_mode(world, ino, 02761);
    assert_int_equal(set_as(world, &stranger, ino, ACL_ACCESS_NAME, acl_of_five(7, 4, 5, 6, 1)), 0);
    assert_mode(world, ino, 0761);
}

static void to_remove_an_acl_that_is_not_there_is_no_error(void **state)
{
    struct world *world = *state;
    uint64_t ino = make_file(world, FS_ROOT_INO, "file", 0644);

    assert_int_equal(world_removexattr(world, ino, ACL_ACCESS_NAME), 0);
    assert_int_equal(set(world, ino, ACL_ACCESS_NAME, acl_of_five(7, 4, 5, 6, 1)), 0);
    assert_int_equal(world_removexattr(world, ino, ACL_ACCESS_NAME), 0);
    assert_no_acl(world, ino, ACL_ACCESS_NAME);
    assert_mode(world, ino, 0761);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(an_access_acl_sets_the_mode),
        CASE(an_acl_that_says_no_more_than_a_mode_is_not_kept),
        CASE(what_is_no_acl_is_refused),
        CASE(chmod_changes_the_acl_as_well),
        CASE(chmod_of_an_open_file_without_a_name_changes_its_acl),
        CASE(without_a_default_acl_the_umask_counts),
        CASE(a_default_acl_is_inherited_instead_of_the_umask),
        CASE(a_minimal_default_acl_gives_a_mode_only),
        CASE(who_is_not_of_the_group_loses_set_group_id),
        CASE(to_remove_an_acl_that_is_not_there_is_no_error),
    };

    return cmocka_run_group_tests_name("fs/acl", tests, NULL, NULL);
}
