/*
 * Goal: what is remembered of the inodes of snapshots is bounded, however many tags somebody walks
 * through.
 * Method: the real engine on an env in memory; the test is the kernel, which forgets what it is
 * asked to forget.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "core/core.h"
#include "core/tables.h"
#include "engine/buf.h"
#include "support/fs_store.h"

#define TAGS 50u
#define RUN_SECONDS 60u
#define NAMES 10000u
#define LIVE_BYTES_MAX (8u << 20)
#define PAST_BYTES_MAX (LIVE_BYTES_MAX / 4)

struct fixture {
    struct fs_store store;
    uint64_t directory, past; /* nodeids */
    unsigned asked;
};

/* As the kernel drops a name from its cache: whatever it has looked up of it. */
static void forget(void *arg, uint64_t parent, struct bytes name)
{
    struct fixture *f = arg;
    struct fs_entry entry;

    f->asked++;
    if (fs_lookup(f->store.fs, parent, name, &entry) == 0)
        fs_forget(f->store.fs, entry.nodeid, 2);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    fs_store_open(&f->store);
    assert_int_equal(fs_bound_nodes(f->store.fs, LIVE_BYTES_MAX, forget, f), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    fs_unbound_nodes(f->store.fs);
    fs_store_close(&f->store);
    free(f);
    return 0;
}

static void make(
    struct fixture *f, uint64_t parent, const char *name, mode_t type, struct fs_entry *ret_entry)
{
    struct fs_request request = FS_REQUEST_INIT;
    struct fs_caller caller = {.uid = 1000};
    struct bytes of_name = bytes_of_string(name);

    assert_int_equal(fs_begin(f->store.fs, &request, TABLE_DIRENTS, 0, false, NULL, NULL), 0);
    if (type == S_IFDIR)
        assert_int_equal(
            fs_mkdir(f->store.fs, &request, &caller, parent, of_name, 0755, ret_entry), 0);
    else
        assert_int_equal(
            fs_mknod(f->store.fs, &request, &caller, parent, of_name, type | 0644, 0, ret_entry),
            0);
    assert_int_equal(fs_end(f->store.fs, &request, NULL, NULL), 0);
}

/* A directory of many names, in many tags. */
static void fill(struct fixture *f)
{
    struct fs_entry snapshots, entry;

    make(f, FS_ROOT_INO, "d", S_IFDIR, &entry);
    f->directory = entry.nodeid;
    for (unsigned i = 0; i < NAMES; i++) {
        char name[16];

        snprintf(name, sizeof(name), "f%u", i);
        make(f, f->directory, name, S_IFREG, &entry);
        fs_forget(f->store.fs, entry.nodeid, 1);
    }
    assert_int_equal(
        fs_lookup(f->store.fs, FS_ROOT_INO, BYTES_LITERAL(".snapshots"), &snapshots), 0);
    for (unsigned i = 0; i < TAGS; i++) {
        char tag[16];

        snprintf(tag, sizeof(tag), "tag%u", i);
        make(f, snapshots.nodeid, tag, S_IFDIR, &entry);
    }
    fs_store_run_tasks(&f->store, RUN_SECONDS);
    assert_int_equal(fs_lookup(f->store.fs, f->directory, BYTES_LITERAL(".past"), &entry), 0);
    f->past = entry.nodeid;
}

static void walk(struct fixture *f, unsigned number, unsigned names, uint64_t *ret_nodeid)
{
    struct fs_entry entry;
    char tag[16];

    snprintf(tag, sizeof(tag), "tag%u", number);
    assert_int_equal(fs_lookup(f->store.fs, f->past, bytes_of_string(tag), &entry), 0);
    *ret_nodeid = entry.nodeid;
    for (unsigned i = 0; i < names; i++) {
        char name[16];
        struct fs_entry file;

        snprintf(name, sizeof(name), "f%u", i);
        assert_int_equal(fs_lookup(f->store.fs, *ret_nodeid, bytes_of_string(name), &file), 0);
    }
}

static struct fs_stats stats_of(struct fixture *f)
{
    struct fs_stats stats;

    fs_get_stats(f->store.fs, &stats);
    return stats;
}

static void many_tags_take_what_is_theirs_together(void **state)
{
    struct fixture *f = *state;
    uint64_t nodeids[TAGS];
    struct fs_entry entry;

    fill(f);
    for (unsigned i = 0; i < TAGS; i++) {
        walk(f, i, NAMES, &nodeids[i]);
        fs_store_run_tasks(&f->store, RUN_SECONDS);
        assert_in_range(stats_of(f).past_node_bytes, 1, PAST_BYTES_MAX);
    }
    assert_true(f->asked > (uint64_t)TAGS * NAMES / 2);
    /* Every tag still has room, and all that was forgotten is found again. */
    assert_true(stats_of(f).past_nodes >= TAGS);
    for (unsigned i = 0; i < TAGS; i++)
        assert_int_equal(fs_lookup(f->store.fs, nodeids[i], BYTES_LITERAL("f77"), &entry), 0);
}

static void one_tag_alone_has_all_that_there_is_for_them(void **state)
{
    struct fixture *f = *state;
    uint64_t alone, unused;

    fill(f);
    walk(f, 0, NAMES, &alone);
    fs_store_run_tasks(&f->store, RUN_SECONDS);
    assert_in_range(stats_of(f).past_node_bytes, PAST_BYTES_MAX / 2, PAST_BYTES_MAX);
    /* Others come, and it gives up what is theirs now, without being walked through again. */
    for (unsigned i = 1; i < TAGS; i++)
        walk(f, i, 1, &unused);
    fs_store_run_tasks(&f->store, RUN_SECONDS);
    assert_in_range(stats_of(f).past_node_bytes, 1, PAST_BYTES_MAX / 2);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(many_tags_take_what_is_theirs_together),
        CASE(one_tag_alone_has_all_that_there_is_for_them),
    };

    return cmocka_run_group_tests_name("fs/past_node", tests, NULL, NULL);
}
