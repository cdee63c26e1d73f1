/*
 * Goal: fs_verify_tree() finds every way in which the tables can fail to be a tree of files, and
 * nothing in a store that is sound.
 * Method: one tree with all there is; then, a case each, one row of it written by hand past the
 * file system, as damage would, and the finding that names it.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "core/reclaim.h"
#include "engine/buf.h"
#include "engine/coding.h"
#include "support/fs_world.h"

#define FINDINGS_BYTES_MAX 4096u

/* What the tree has: root/{dir/{sub/, small, large}, one, two (hard links), sparse, link}. */
struct tree {
    uint64_t dir, sub, small, large, linked, sparse;
};

static uint8_t data[3 * BLOCK_BYTES];

static void plant(struct world *world, struct tree *tree)
{
    assert_int_equal(world_mkdir(world, FS_ROOT_INO, "dir", 0755, &tree->dir), 0);
    assert_int_equal(world_mkdir(world, tree->dir, "sub", 0755, &tree->sub), 0);
    assert_int_equal(world_create(world, tree->dir, "small", 0644, &tree->small), 0);
    assert_int_equal(world_write(world, tree->small, "content", 7, 0), 0);
    assert_int_equal(world_create(world, tree->dir, "large", 0644, &tree->large), 0);
    assert_int_equal(world_write(world, tree->large, data, sizeof(data) - 100, 0), 0);
    assert_int_equal(world_create(world, FS_ROOT_INO, "one", 0644, &tree->linked), 0);
    assert_int_equal(world_write(world, tree->linked, data, 50000, 0), 0);
    assert_int_equal(world_link(world, tree->linked, FS_ROOT_INO, "two"), 0);
    assert_int_equal(world_create(world, FS_ROOT_INO, "sparse", 0644, &tree->sparse), 0);
    assert_int_equal(world_write(world, tree->sparse, data, 10000, EXTENT_BYTES * 3), 0);
    assert_int_equal(world_symlink(world, FS_ROOT_INO, "link", "dir/large", NULL), 0);
}

static void collect(void *arg, const char *text)
{
    char *findings = arg;
    size_t size = strlen(findings);

    (void)snprintf(findings + size, FINDINGS_BYTES_MAX - size, "%s\n", text);
}

static int64_t verify(struct world *world, char findings[FINDINGS_BYTES_MAX])
{
    struct store_identity identity;
    uint64_t files = 0, directories = 0;

    findings[0] = 0;
    engine_identity(world->engine, &identity);
    return fs_verify_tree(
        engine_live(world->engine), identity.node, collect, findings, &files, &directories);
}

static void apply(struct world *world, struct batch *batch)
{
    uint64_t position;

    assert_int_equal(engine_apply(world->engine, batch, &position), 0);
}

/* ---- ways to break it ---- */

static void set_dirent(struct world *world, uint64_t dir, const char *name, unsigned column,
    int64_t value, bool is_int)
{
    struct batch *batch = world_batch(world);
    struct row_key key;

    row_key_dirent(&key, dir, bytes_of_string(name));
    batch_row(batch, TABLE_DIRENTS, key.key, &key.clustering, false);
    if (is_int)
        batch_cell_int(batch, column, (int32_t)value);
    else
        batch_cell_bigint(batch, column, value);
    apply(world, batch);
}

static void set_static(
    struct world *world, uint64_t dir, unsigned column, int64_t value, bool is_int)
{
    struct batch *batch = world_batch(world);
    struct row_key key;

    row_key_directory(&key, dir);
    batch_static_row(batch, TABLE_DIRENTS, key.key);
    if (is_int)
        batch_cell_int(batch, column, (int32_t)value);
    else
        batch_cell_bigint(batch, column, value);
    apply(world, batch);
}

static void set_inode(
    struct world *world, uint64_t ino, unsigned column, int64_t value, bool is_int)
{
    struct batch *batch = world_batch(world);
    struct row_key key;

    row_key_inode(&key, ino);
    batch_row(batch, TABLE_INODES, key.key, &key.clustering, false);
    if (is_int)
        batch_cell_int(batch, column, (int32_t)value);
    else
        batch_cell_bigint(batch, column, value);
    apply(world, batch);
}

static void put_page(struct world *world, uint64_t ino, uint64_t page, size_t size)
{
    struct batch *batch = world_batch(world);
    struct row_key key;

    row_key_block(&key, ino, (uint32_t)(page / BLOCK_PAGES));
    batch_row(batch, TABLE_BLOCKS, key.key, &key.clustering, false);
    batch_cell(batch, (unsigned)(page % BLOCK_PAGES), bytes_of(data, size));
    apply(world, batch);
}

static void put_small(struct world *world, uint64_t dir, uint64_t ino, size_t size)
{
    struct batch *batch = world_batch(world);
    struct row_key key;

    row_key_small(&key, dir, ino);
    batch_row(batch, TABLE_SMALL, key.key, &key.clustering, true);
    batch_cell(batch, SMALL_DATA, bytes_of(data, size));
    apply(world, batch);
}

/* A name, as link() and mkdir() make it: `ino` and the type. */
static void put_name(struct world *world, uint64_t dir, const char *name, uint64_t ino, int mode)
{
    struct batch *batch = world_batch(world);
    struct row_key key;

    row_key_dirent(&key, dir, bytes_of_string(name));
    batch_row(batch, TABLE_DIRENTS, key.key, &key.clustering, true);
    batch_cell_bigint(batch, DIRENT_INO, (int64_t)ino);
    batch_cell_int(batch, DIRENT_MODE, mode);
    apply(world, batch);
}

static void delete_name(struct world *world, uint64_t dir, const char *name)
{
    struct batch *batch = world_batch(world);
    struct row_key key;

    row_key_dirent(&key, dir, bytes_of_string(name));
    batch_delete_row(batch, TABLE_DIRENTS, key.key, &key.clustering);
    apply(world, batch);
}

static void delete_partition(struct world *world, unsigned table, const struct row_key *key)
{
    struct batch *batch = world_batch(world);

    batch_delete_partition(batch, table, key->key);
    apply(world, batch);
}

static void a_second_name(struct world *world, const struct tree *tree)
{
    put_name(world, FS_ROOT_INO, "again", tree->sub, S_IFDIR);
    set_static(world, FS_ROOT_INO, STATIC_DIR_SUBDIRS, 2, true);
}

static void a_directory_without_a_name(struct world *world, const struct tree *tree)
{
    delete_name(world, tree->dir, "sub");
    set_static(world, tree->dir, STATIC_DIR_SUBDIRS, 0, true);
}

static void a_name_without_a_directory(struct world *world, const struct tree *tree)
{
    struct row_key key;

    row_key_directory(&key, tree->sub);
    delete_partition(world, TABLE_DIRENTS, &key);
}

static void a_wrong_parent(struct world *world, const struct tree *tree)
{
    set_static(world, tree->sub, STATIC_DIR_PARENT, FS_ROOT_INO, false);
}

/* dir is its own grandchild, and nobody else's. */
static void a_circle(struct world *world, const struct tree *tree)
{
    delete_name(world, FS_ROOT_INO, "dir");
    set_static(world, FS_ROOT_INO, STATIC_DIR_SUBDIRS, 0, true);
    put_name(world, tree->sub, "dir", tree->dir, S_IFDIR);
    set_static(world, tree->sub, STATIC_DIR_SUBDIRS, 1, true);
    set_static(world, tree->dir, STATIC_DIR_PARENT, (int64_t)tree->sub, false);
}

static void a_wrong_count_of_directories(struct world *world, const struct tree *tree)
{
    set_static(world, tree->dir, STATIC_DIR_SUBDIRS, 2, true);
}

static void a_wrong_count_of_links(struct world *world, const struct tree *tree)
{
    set_inode(world, tree->linked, INODE_NLINK, 3, true);
}

static void a_link_without_its_inode(struct world *world, const struct tree *tree)
{
    struct row_key key;

    row_key_inode(&key, tree->linked);
    delete_partition(world, TABLE_INODES, &key);
}

static void an_inode_without_names(struct world *world, const struct tree *tree)
{
    (void)tree;
    delete_name(world, FS_ROOT_INO, "one");
    delete_name(world, FS_ROOT_INO, "two");
}

static void attributes_twice(struct world *world, const struct tree *tree)
{
    set_dirent(world, FS_ROOT_INO, "one", DIRENT_CTIME, 5, false);
    (void)tree;
}

static void blocks_of_nobody(struct world *world, const struct tree *tree)
{
    put_page(world, tree->large + 1000, 0, 10);
}

static void blocks_of_a_small_file(struct world *world, const struct tree *tree)
{
    put_page(world, tree->small, 0, 7);
}

static void a_small_row_of_nobody(struct world *world, const struct tree *tree)
{
    put_small(world, tree->dir, tree->large + 1000, 10);
}

static void a_small_row_in_another_partition(struct world *world, const struct tree *tree)
{
    put_small(world, tree->sub, tree->small, 7);
}

static void a_small_row_missing(struct world *world, const struct tree *tree)
{
    struct row_key key;

    row_key_small(&key, tree->dir, tree->small);
    delete_partition(world, TABLE_SMALL, &key);
}

static void too_much_small_content(struct world *world, const struct tree *tree)
{
    put_small(world, tree->dir, tree->small, 8);
}

static void a_page_past_the_size(struct world *world, const struct tree *tree)
{
    put_page(world, tree->large, 3 * BLOCK_PAGES, 1);
}

static void a_last_page_too_long(struct world *world, const struct tree *tree)
{
    put_page(world, tree->large, 3 * BLOCK_PAGES - 1, PAGE_BYTES - 99);
}

static void a_page_missing(struct world *world, const struct tree *tree)
{
    struct batch *batch = world_batch(world);
    struct row_key key;

    row_key_block(&key, tree->large, 1);
    batch_row(batch, TABLE_BLOCKS, key.key, &key.clustering, false);
    batch_delete_cell(batch, 5);
    apply(world, batch);
}

static void a_wrong_count_of_pages(struct world *world, const struct tree *tree)
{
    (void)tree;
    set_dirent(world, FS_ROOT_INO, "sparse", DIRENT_ALLOCATED, 4 * PAGE_BYTES, false);
}

static void a_number_beyond_the_lease(struct world *world, const struct tree *tree)
{
    uint64_t ino = tree->small + 1000000;

    put_name(world, FS_ROOT_INO, "far", ino, S_IFREG);
}

static void a_row_without_an_inode(struct world *world, const struct tree *tree)
{
    set_dirent(world, tree->dir, "ghost", DIRENT_ATIME, 1, false);
}

static void a_name_of_no_type(struct world *world, const struct tree *tree)
{
    set_dirent(world, tree->dir, "small", DIRENT_MODE, 0644, true);
}

static void no_root(struct world *world, const struct tree *tree)
{
    struct row_key key;

    (void)tree;
    row_key_directory(&key, FS_ROOT_INO);
    delete_partition(world, TABLE_DIRENTS, &key);
}

static void an_orphan_that_is_damaged(struct world *world, const struct tree *tree)
{
    struct batch *batch = world_batch(world);
    struct row_key key;

    (void)tree;
    row_key_meta(&key, META_ORPHANS, BYTES_LITERAL("short"));
    batch_row(batch, TABLE_META, key.key, &key.clustering, true);
    batch_cell(batch, META_VALUE, BYTES_LITERAL("x"));
    apply(world, batch);
}

struct breakage {
    void (*breaks)(struct world *world, const struct tree *tree);
    const char *finding; /* a part of the text */
};

static const struct breakage breakages[] = {
    {a_second_name, "2 names"},
    {a_directory_without_a_name, "0 names"},
    {a_name_without_a_directory, "a name, but no attributes"},
    {a_wrong_parent, "dir_parent"},
    {a_circle, "not below the root"},
    {a_wrong_count_of_directories, "dir_subdirs 2, but 1"},
    {a_wrong_count_of_links, "nlink 3, but 2 names"},
    {a_link_without_its_inode, "2 names, but no attributes"},
    {an_inode_without_names, "nlink 2, but 0 names"},
    {attributes_twice, "two rows hold its attributes"},
    {blocks_of_nobody, "belongs to no file"},
    {blocks_of_a_small_file, "content in small and in blocks"},
    {a_small_row_of_nobody, "belongs to no file"},
    {a_small_row_in_another_partition, "belongs to no file"},
    {a_small_row_missing, "no row"},
    {too_much_small_content, "8 small bytes, but size 7"},
    {a_page_past_the_size, "lies past its size"},
    {a_last_page_too_long, "lies past its size"},
    {a_page_missing, "95 pages stored, but 96 said"},
    {a_wrong_count_of_pages, "3 pages stored, but 4 said"},
    {a_number_beyond_the_lease, "never leased"},
    {a_row_without_an_inode, "a row without an inode"},
    {a_name_of_no_type, "without a type"},
    {no_root, "there is no root"},
    {an_orphan_that_is_damaged, "meta: "},
};

static void each_way_to_break_it_is_found(void **state)
{
    static char findings[FINDINGS_BYTES_MAX];

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(breakages); i++) {
        void *fresh = NULL;
        struct world *world;
        struct tree tree;
        int64_t count;

        assert_int_equal(world_setup(&fresh), 0);
        world = fresh;
        plant(world, &tree);
        assert_int_equal(verify(world, findings), 0);
        breakages[i].breaks(world, &tree);
        count = verify(world, findings);
        if (count <= 0 || !strstr(findings, breakages[i].finding))
            fail_msg("'%s' is not among the %lld findings:\n%s", breakages[i].finding,
                (long long)count, findings);
        assert_int_equal(world_teardown(&fresh), 0);
    }
}

static void a_sound_tree_has_no_findings_and_is_counted(void **state)
{
    struct world *world = *state;
    static char findings[FINDINGS_BYTES_MAX];
    uint64_t files = 0, directories = 0;
    struct store_identity identity;
    struct tree tree;

    plant(world, &tree);
    engine_identity(world->engine, &identity);
    assert_int_equal(fs_verify_tree(engine_live(world->engine), identity.node, collect, findings,
                         &files, &directories),
        0);
    assert_int_equal(files, 5);
    assert_int_equal(directories, 3);
}

static void what_orphans_hold_belongs_to_them(void **state)
{
    struct world *world = *state;
    static char findings[FINDINGS_BYTES_MAX];
    struct fs_handle *small, *large;
    uint64_t small_ino, large_ino;

    assert_int_equal(world_create_open(world, FS_ROOT_INO, "small", &small_ino, &small), 0);
    assert_int_equal(world_write(world, small_ino, "content", 7, 0), 0);
    assert_int_equal(world_create_open(world, FS_ROOT_INO, "large", &large_ino, &large), 0);
    assert_int_equal(world_write(world, large_ino, data, sizeof(data), 0), 0);
    assert_int_equal(world_unlink(world, FS_ROOT_INO, "small"), 0);
    assert_int_equal(world_unlink(world, FS_ROOT_INO, "large"), 0);
    assert_int_equal(verify(world, findings), 0);
    /* Written after it lost its name, in another extent. */
    assert_int_equal(world_write(world, large_ino, data, 100, EXTENT_BYTES * 2), 0);
    assert_int_equal(verify(world, findings), 0);
    put_page(world, large_ino, EXTENT_BYTES * 5 / PAGE_BYTES, 10);
    assert_int_equal(verify(world, findings), 1);
    fs_release(world->fs, small_ino, small);
    fs_release(world->fs, large_ino, large);
    world_settle(world);
}

static void more_inodes_than_the_first_table_holds_are_told_apart(void **state)
{
    struct world *world = *state;
    static char findings[FINDINGS_BYTES_MAX];

    for (unsigned i = 0; i < 3000; i++) {
        uint64_t ino;
        char name[16];

        (void)snprintf(name, sizeof(name), "f%u", i);
        assert_int_equal(world_create(world, FS_ROOT_INO, name, 0644, &ino), 0);
        assert_int_equal(world_write(world, ino, name, 1 + i % 2, 0), 0);
    }
    assert_int_equal(verify(world, findings), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_sound_tree_has_no_findings_and_is_counted),
        cmocka_unit_test(each_way_to_break_it_is_found),
        CASE(what_orphans_hold_belongs_to_them),
        CASE(more_inodes_than_the_first_table_holds_are_told_apart),
    };

    return cmocka_run_group_tests_name("fs/verify", tests, NULL, NULL);
}
