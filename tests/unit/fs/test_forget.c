/*
 * What is remembered of inodes is bounded by asking to forget: here the test is the kernel.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "support/fs_world.h"

#define FILES 2000u
#define BYTES_MAX (200u << 10) /* for some hundred nodes */

struct kernel {
    struct world *world;
    unsigned asked;
    bool refuses;
    uint64_t opened; /* never to be asked for */
};

static uint64_t nodes(struct world *world)
{
    struct fs_stats stats;

    fs_get_stats(world->fs, &stats);
    return stats.nodes;
}

static void forget(void *arg, uint64_t parent, struct bytes name)
{
    struct kernel *kernel = arg;
    struct fs_entry entry;

    assert_int_equal(name.data[name.size], 0);
    kernel->asked++;
    if (kernel->refuses)
        return;
    assert_int_equal(fs_lookup(kernel->world->fs, parent, name, &entry), 0);
    assert_true(entry.nodeid != kernel->opened);
    fs_forget(kernel->world->fs, entry.nodeid, 2);
}

static void make_files(struct world *world, uint64_t parent)
{
    for (unsigned i = 0; i < FILES; i++) {
        char name[16];

        snprintf(name, sizeof(name), "f%u", i);
        assert_int_equal(world_create(world, parent, name, 0644, NULL), 0);
    }
}

static void let_time_pass(struct world *world)
{
    for (unsigned i = 0; i < 40; i++) {
        world_advance(world, 1000000);
        world_settle(world);
    }
}

static void nodes_above_the_bound_are_asked_for_and_go(void **state)
{
    struct kernel kernel = {.world = *state};
    struct fs_handle *handle;
    uint64_t directory, ino;

    assert_int_equal(fs_bound_nodes(kernel.world->fs, BYTES_MAX, forget, &kernel), 0);
    assert_int_equal(world_mkdir(kernel.world, FS_ROOT_INO, "d", 0755, &directory), 0);
    assert_int_equal(
        world_create_open(kernel.world, directory, "open", &kernel.opened, &handle), 0);
    make_files(kernel.world, directory);
    let_time_pass(kernel.world);
    assert_in_range(nodes(kernel.world), 200, 1000);
    assert_in_range(kernel.asked, FILES - 1000, FILES);
    assert_int_equal(world_lookup(kernel.world, directory, "f7", &ino), 0);
    assert_int_equal(world_stat(kernel.world, ino).st_mode, S_IFREG | 0644);
    fs_release(kernel.world->fs, kernel.opened, handle);
    fs_unbound_nodes(kernel.world->fs);
}

static void below_the_bound_nobody_is_asked(void **state)
{
    struct kernel kernel = {.world = *state};

    assert_int_equal(fs_bound_nodes(kernel.world->fs, 16u << 20, forget, &kernel), 0);
    make_files(kernel.world, FS_ROOT_INO);
    let_time_pass(kernel.world);
    assert_int_equal(kernel.asked, 0);
    fs_unbound_nodes(kernel.world->fs);
}

static void who_refuses_is_asked_ever_more_seldom(void **state)
{
    struct kernel kernel = {.world = *state, .refuses = true};
    unsigned before;

    assert_int_equal(fs_bound_nodes(kernel.world->fs, BYTES_MAX, forget, &kernel), 0);
    make_files(kernel.world, FS_ROOT_INO);
    let_time_pass(kernel.world);
    before = kernel.asked;
    world_advance(kernel.world, 2000000);
    world_settle(kernel.world);
    assert_in_range(kernel.asked - before, 1, 1024);
    fs_unbound_nodes(kernel.world->fs);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            nodes_above_the_bound_are_asked_for_and_go, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(
            below_the_bound_nobody_is_asked, world_setup, world_teardown),
        cmocka_unit_test_setup_teardown(
            who_refuses_is_asked_ever_more_seldom, world_setup, world_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
