/*
 * Goal: a node is there while somebody needs it, is forgotten at once when nobody does, and never
 * holds attributes older than its row.
 * Method: the inner functions in the orders that races would bring about.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "core/core.h"
#include "support/fs_world.h"

#define ROOT FS_ROOT_INO

static uint64_t node_count(struct world *w)
{
    struct fs_stats stats;

    fs_get_stats(w->fs, &stats);
    return stats.nodes;
}

static void lookups_and_handles_keep_a_node(void **state)
{
    struct world *w = *state;
    struct fs_handle *handle;
    uint64_t ino;

    assert_int_equal(world_create_open(w, ROOT, "file", &ino, &handle), 0);
    assert_int_equal(world_lookup(w, ROOT, "file", NULL), 0);
    assert_int_equal(node_count(w), 2);
    fs_forget(w->fs, ino, 1);
    assert_int_equal(node_count(w), 2);
    fs_forget(w->fs, ino, 1);
    assert_int_equal(node_count(w), 2);
    fs_release(w->fs, ino, handle);
    assert_int_equal(node_count(w), 1);
    /* The root is never forgotten, however often it is. */
    fs_forget(w->fs, ROOT, 1000);
    assert_int_equal(world_stat(w, ROOT).st_ino, ROOT);
}

static void many_nodes_are_found_and_forgotten(void **state)
{
    struct world *w = *state;
    enum { COUNT = 5000 };
    static uint64_t inos[COUNT];
    char name[16];

    for (unsigned i = 0; i < COUNT; i++) {
        (void)snprintf(name, sizeof(name), "%u", i);
        assert_int_equal(world_create(w, ROOT, name, 0600, &inos[i]), 0);
    }
    assert_int_equal(node_count(w), COUNT + 1);
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(world_stat(w, inos[i]).st_ino, inos[i]);
    for (unsigned i = 0; i < COUNT; i++)
        fs_forget(w->fs, inos[i], 1);
    assert_int_equal(node_count(w), 1);
}

static void a_row_read_before_a_change_is_read_again(void **state)
{
    struct world *w = *state;
    struct fs_setattr change = {.set = FS_SET_MODE, .mode = 0444};
    struct bytes name = BYTES_LITERAL("file");
    struct rowref row = ROWREF_INIT;
    struct node *node;
    uint64_t ino, found, forgotten;
    uint32_t type;
    bool created;

    assert_int_equal(world_create(w, ROOT, "file", 0600, &ino), 0);
    fs_forget(w->fs, ino, 1);

    /* One thread reads the row ... */
    forgotten = node_forgotten_changes(w->fs);
    assert_int_equal(
        dirent_get(engine_live(w->engine), ROOT, name, COLUMNS_ALL, &row, &found, &type), 1);
    /* ... another looks the file up, changes it, and the kernel forgets it ... */
    assert_int_equal(world_lookup(w, ROOT, "file", &found), 0);
    assert_int_equal(world_setattr(w, ino, &change), 0);
    fs_forget(w->fs, ino, 1);
    assert_true(node_forgotten_changes(w->fs) != forgotten);
    /* ... and the first makes a node. */
    assert_int_equal(node_find_or_create(w->fs, ino, &node, &created), 0);
    assert_true(created);
    assert_int_equal(node_load(node, ROOT, name, &row.row, forgotten), 0);
    assert_int_equal(node->inode.mode, S_IFREG | 0444);
    node_unlock(node);
    node_unpin(node);
    rowref_release(&row);
    assert_int_equal(node_count(w), 1);
}

static void a_node_whose_name_has_gone_is_not_loaded(void **state)
{
    struct world *w = *state;
    struct bytes name = BYTES_LITERAL("file");
    struct rowref row = ROWREF_INIT;
    struct node *node, *other;
    uint64_t ino, found, forgotten;
    uint32_t type;
    bool created;

    assert_int_equal(world_create(w, ROOT, "file", 0600, &ino), 0);
    fs_forget(w->fs, ino, 1);
    forgotten = node_forgotten_changes(w->fs);
    assert_int_equal(
        dirent_get(engine_live(w->engine), ROOT, name, COLUMNS_ALL, &row, &found, &type), 1);
    assert_int_equal(world_unlink(w, ROOT, "file"), 0);
    assert_int_equal(node_find_or_create(w->fs, ino, &node, &created), 0);
    /* Who waits for it meanwhile ... */
    assert_int_equal(node_pin(w->fs, ino, &other), 0);
    assert_int_equal(node_load(node, ROOT, name, &row.row, forgotten), -ESTALE);
    node_unlock(node);
    node_unpin(node);
    /* ... learns that it was not read, and it cannot be found any more. */
    node_lock_shared(other);
    assert_int_equal(node_check_content(other), -ESTALE);
    node_unlock(other);
    node_unpin(other);
    assert_int_equal(node_pin(w->fs, ino, &node), -ESTALE);
    rowref_release(&row);
}

static void locks_are_taken_by_ascending_number_and_once(void **state)
{
    struct world *w = *state;
    struct lock_set set = {.count = 0};
    struct node *nodes[3];
    uint64_t inos[3];
    char name[2] = "a";

    for (unsigned i = 0; i < 3; i++, name[0]++) {
        assert_int_equal(world_create(w, ROOT, name, 0600, &inos[i]), 0);
        assert_int_equal(node_pin(w->fs, inos[i], &nodes[i]), 0);
    }
    lock_set_add(&set, nodes[2]);
    lock_set_add(&set, nodes[0]);
    lock_set_add(&set, NULL);
    lock_set_add(&set, nodes[2]);
    lock_set_add(&set, nodes[1]);
    assert_int_equal(set.count, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_ptr_equal(set.nodes[i], nodes[i]);
    lock_set_take(&set);
    assert_int_equal(pthread_rwlock_tryrdlock(&nodes[1]->lock), EBUSY);
    lock_set_release(&set);
    for (unsigned i = 0; i < 3; i++)
        node_unpin(nodes[i]);
}

static void an_fsync_waits_for_the_last_change_of_the_inode(void **state)
{
    struct world *w = *state;
    struct node *node;
    uint64_t before, ino;

    assert_int_equal(world_create(w, ROOT, "file", 0600, &ino), 0);
    assert_int_equal(node_pin(w->fs, ino, &node), 0);
    before = atomic_load(&node->position);
    assert_true(before > 0);
    assert_int_equal(world_rename(w, ROOT, "file", ROOT, "name", 0), 0);
    assert_true(atomic_load(&node->position) > before);
    before = atomic_load(&node->position);
    assert_int_equal(world_link(w, ino, ROOT, "second"), 0);
    assert_true(atomic_load(&node->position) > before);
    node_unpin(node);
    assert_int_equal(fs_sync(w->fs, ino, NULL, NULL), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lookups_and_handles_keep_a_node),
        TEST(many_nodes_are_found_and_forgotten),
        TEST(a_row_read_before_a_change_is_read_again),
        TEST(a_node_whose_name_has_gone_is_not_loaded),
        TEST(locks_are_taken_by_ascending_number_and_once),
        TEST(an_fsync_waits_for_the_last_change_of_the_inode),
    };

    return cmocka_run_group_tests_name("fs/node", tests, NULL, NULL);
}
