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
#include "io/mem.h"

#define TAGS 50u
#define NAMES 10000u
#define LIVE_BYTES_MAX (8u << 20)
#define PAST_BYTES_MAX (LIVE_BYTES_MAX / 4)

struct fixture {
    struct env *env;
    struct engine *engine;
    struct fs *fs;
    uint64_t directory, past; /* nodeids */
    unsigned asked;
};

static void run_tasks(struct fixture *f)
{
    unsigned steps = 0;

    /* Some tasks come back for ever, after a while. */
    for (unsigned rounds = 0; rounds < 60; rounds++) {
        while (env_run_task(f->env) && steps++ < 100000)
            continue;
        env_mem_advance(f->env, 1000000);
    }
}

/* As the kernel drops a name from its cache: whatever it has looked up of it. */
static void forget(void *arg, uint64_t parent, struct bytes name)
{
    struct fixture *f = arg;
    struct fs_entry entry;

    f->asked++;
    if (fs_lookup(f->fs, parent, name, &entry) == 0)
        fs_forget(f->fs, entry.nodeid, 2);
}

static int set_up(void **state)
{
    static const struct fs_options fs_options = {.owner = UINT64_C(1000) << 32 | 100};
    struct engine_options options = {
        .tables = fs_tables,
        .table_count = FS_TABLE_COUNT,
        .memory_bytes = 64u << 20,
        .sync_mode = SYNC_PERIODIC,
        .sync_period_us = 1000000,
    };
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(env_mem_new(1, &f->env), 0);
    env_mem_set_space(f->env, UINT64_C(1) << 30); /* small segments of the log */
    assert_int_equal(engine_create(f->env, fs_tables, FS_TABLE_COUNT), 0);
    assert_int_equal(engine_open(f->env, &options, &f->engine), 0);
    assert_int_equal(fs_open(f->engine, f->env, &fs_options, &f->fs), 0);
    assert_int_equal(fs_bound_nodes(f->fs, LIVE_BYTES_MAX, forget, f), 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    fs_unbound_nodes(f->fs);
    assert_int_equal(fs_close(f->fs), 0);
    assert_int_equal(engine_close(f->engine, 0), 0);
    env_free(f->env);
    free(f);
    return 0;
}

static void make(
    struct fixture *f, uint64_t parent, const char *name, mode_t type, struct fs_entry *ret_entry)
{
    struct fs_request request = FS_REQUEST_INIT;
    struct fs_caller caller = {.uid = 1000};
    struct bytes of_name = bytes_of_string(name);

    assert_int_equal(fs_begin(f->fs, &request, TABLE_DIRENTS, 0, false, NULL, NULL), 0);
    if (type == S_IFDIR)
        assert_int_equal(fs_mkdir(f->fs, &request, &caller, parent, of_name, 0755, ret_entry), 0);
    else
        assert_int_equal(
            fs_mknod(f->fs, &request, &caller, parent, of_name, type | 0644, 0, ret_entry), 0);
    assert_int_equal(fs_end(f->fs, &request, NULL, NULL), 0);
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
        fs_forget(f->fs, entry.nodeid, 1);
    }
    assert_int_equal(fs_lookup(f->fs, FS_ROOT_INO, BYTES_LITERAL(".snapshots"), &snapshots), 0);
    for (unsigned i = 0; i < TAGS; i++) {
        char tag[16];

        snprintf(tag, sizeof(tag), "tag%u", i);
        make(f, snapshots.nodeid, tag, S_IFDIR, &entry);
    }
    run_tasks(f);
    assert_int_equal(fs_lookup(f->fs, f->directory, BYTES_LITERAL(".past"), &entry), 0);
    f->past = entry.nodeid;
}

static void walk(struct fixture *f, unsigned number, unsigned names, uint64_t *ret_nodeid)
{
    struct fs_entry entry;
    char tag[16];

    snprintf(tag, sizeof(tag), "tag%u", number);
    assert_int_equal(fs_lookup(f->fs, f->past, bytes_of_string(tag), &entry), 0);
    *ret_nodeid = entry.nodeid;
    for (unsigned i = 0; i < names; i++) {
        char name[16];
        struct fs_entry file;

        snprintf(name, sizeof(name), "f%u", i);
        assert_int_equal(fs_lookup(f->fs, *ret_nodeid, bytes_of_string(name), &file), 0);
    }
}

static struct fs_stats stats_of(struct fixture *f)
{
    struct fs_stats stats;

    fs_get_stats(f->fs, &stats);
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
        run_tasks(f);
        assert_in_range(stats_of(f).past_node_bytes, 1, PAST_BYTES_MAX);
    }
    assert_true(f->asked > (uint64_t)TAGS * NAMES / 2);
    /* Every tag still has room, and all that was forgotten is found again. */
    assert_true(stats_of(f).past_nodes >= TAGS);
    for (unsigned i = 0; i < TAGS; i++)
        assert_int_equal(fs_lookup(f->fs, nodeids[i], BYTES_LITERAL("f77"), &entry), 0);
}

static void one_tag_alone_has_all_that_there_is_for_them(void **state)
{
    struct fixture *f = *state;
    uint64_t alone, unused;

    fill(f);
    walk(f, 0, NAMES, &alone);
    run_tasks(f);
    assert_in_range(stats_of(f).past_node_bytes, PAST_BYTES_MAX / 2, PAST_BYTES_MAX);
    /* Others come, and it gives up what is theirs now, without being walked through again. */
    for (unsigned i = 1; i < TAGS; i++)
        walk(f, i, 1, &unused);
    run_tasks(f);
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
