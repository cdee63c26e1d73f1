/*
 * Goal: a snapshot and the log that was archived since make the store of any moment after it, which
 * then lives on as any other; and what the log does not have is not made up.
 * Method: random batches compared with a model, in a world in memory; restored into another.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "commitlog/archive.h"
#include "engine/error.h"
#include "engine/log.h"
#include "engine/log_restore.h"
#include "io/fault.h"
#include "io/mem.h"
#include "support/copy_tree.h"
#include "support/engine_model.h"
#include "support/model_expect.h"

#define SEED 11
#define PAYLOAD_MAX 900
#define NUMBERS_MAX 6000
#define BEGIN 100
#define HOUR_US 3600000000ull

struct fixture {
    struct env *env;
    struct engine *engine;
    uint64_t written;
    int64_t at_us[NUMBERS_MAX + 1]; /* when each batch was */
    struct env *restored_env;
    struct log_restore_result result;
};

static void check(int r)
{
    if (r < 0)
        fail_msg("%d: %s", r, err_text(r));
}

static struct engine *open_in(struct env *env, bool archive)
{
    struct engine_options options = model_options();
    struct engine *engine = NULL;

    options.archive = archive;
    check(engine_open(env, &options, &engine));
    return engine;
}

static void run_tasks(struct env *env)
{
    for (unsigned n = 0; n < 10000 && env_run_task(env); n++)
        continue;
}

static void write_to(struct fixture *f, uint64_t number)
{
    while (f->written < number) {
        uint64_t position;

        check(model_write(f->engine, SEED, ++f->written, PAYLOAD_MAX, &position));
        f->at_us[f->written] = engine_now(f->engine);
        if (f->written % 100 == 0)
            check(engine_await(f->engine, position, true, NULL, NULL));
        run_tasks(f->env);
    }
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    check(env_mem_new(SEED, &f->env));
    env_mem_set_space(f->env, 16 << 20); /* small segments */
    check(engine_create(f->env, model_tables, MODEL_TABLES));
    f->engine = open_in(f->env, true);
    *state = f;
    return 0;
}

static void take_snapshot(struct fixture *f)
{
    check(engine_snapshot_create(f->engine, "begin"));
    check(engine_snapshot_await(f->engine, "begin", NULL, NULL));
}

static void begin(struct fixture *f)
{
    write_to(f, BEGIN);
    take_snapshot(f);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    if (f->engine)
        (void)engine_close(f->engine, 0);
    env_free(f->restored_env);
    env_free(f->env);
    free(f);
    return 0;
}

static void close_store(struct fixture *f)
{
    check(engine_close(f->engine, 0));
    f->engine = NULL;
}

/* Into a new world, with the store itself as the source of the log. */
static int restore_from(struct fixture *f, const struct log_source *log, int64_t until_us)
{
    struct engine_options options = model_options();
    struct env *snapshot;
    int r;

    env_free(f->restored_env);
    check(env_mem_new(SEED + 1, &f->restored_env));
    env_mem_set_space(f->restored_env, 16 << 20);
    check(env_mem_new(SEED, &snapshot));
    check(copy_tree(f->env, "snapshots/begin", snapshot, ""));
    r = engine_create_at(f->restored_env, snapshot, NULL, &options, log, until_us, &f->result);
    env_free(snapshot);
    return r;
}

static int restore(struct fixture *f, int64_t until_us)
{
    struct log_source log = {f->env, true};

    return restore_from(f, &log, until_us);
}

static void expect_restored(struct fixture *f, uint64_t count)
{
    struct engine *engine = open_in(f->restored_env, false);

    model_expect(engine_live(engine), SEED, PAYLOAD_MAX, count);
    check(engine_close(engine, 0));
}

static void expect_refused(int r, int error, const char *words)
{
    assert_int_equal(r, error);
    if (!strstr(err_text(r), words))
        fail_msg("'%s', want '%s'", err_text(r), words);
}

static int any(void *arg, const char *name)
{
    (void)arg, (void)name;
    return 1;
}

static void any_moment_comes_back(void **state)
{
    static const uint64_t numbers[] = {BEGIN, BEGIN + 1, 777, 1500, 2400, 2999};
    struct fixture *f = *state;
    struct engine_stats stats;

    begin(f);
    write_to(f, 1000);
    check(engine_flush(f->engine, TABLES_ALL));
    write_to(f, 2000);
    check(engine_compact(f->engine, TABLES_ALL));
    write_to(f, 3000);
    engine_get_stats(f->engine, &stats);
    assert_true(stats.archive_segments > 2 && stats.flushes > 2);
    close_store(f);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        check(restore(f, f->at_us[numbers[i]]));
        assert_true(f->result.last_timestamp_us == f->at_us[numbers[i]]);
        expect_restored(f, numbers[i]);
    }
    check(restore(f, LOG_RESTORE_LATEST));
    assert_true(f->result.batches >= 3000 - BEGIN);
    expect_restored(f, 3000);
}

static void a_restored_store_lives_on(void **state)
{
    struct store_identity old, new;
    struct fixture *f = *state;
    struct engine *engine;

    begin(f);
    /* The clock of what is restored is ahead of the one that it is restored by. */
    env_mem_set_wall(f->env, env_wall_us(f->env) + HOUR_US);
    write_to(f, 1000);
    engine_identity(f->engine, &old);
    close_store(f);
    check(restore(f, f->at_us[900]));
    engine = open_in(f->restored_env, false);
    engine_identity(engine, &new);
    assert_memory_not_equal(old.uuid, new.uuid, 16);
    assert_true(engine_now(engine) >= f->at_us[900]);
    for (uint64_t number = 901; number <= 1400; number++) {
        uint64_t position;

        check(model_write(engine, SEED, number, PAYLOAD_MAX, &position));
        run_tasks(f->restored_env);
    }
    model_expect(engine_live(engine), SEED, PAYLOAD_MAX, 1400);
    check(engine_flush(engine, TABLES_ALL));
    check(engine_compact(engine, TABLES_ALL));
    model_expect(engine_live(engine), SEED, PAYLOAD_MAX, 1400);
    check(engine_close(engine, CLOSE_FLUSH));
    expect_restored(f, 1400);
}

struct facts {
    uint64_t tombstones;
    int64_t min_us, max_us;
};

static int sum_up(void *arg, const struct engine_sstable *sstable)
{
    struct facts *facts = arg;

    facts->tombstones += sstable->facts->tombstones;
    if (sstable->facts->min_timestamp_us < facts->min_us)
        facts->min_us = sstable->facts->min_timestamp_us;
    if (sstable->facts->max_timestamp_us > facts->max_us)
        facts->max_us = sstable->facts->max_timestamp_us;
    return 0;
}

/* Of a snapshot of nothing, so that all is of the log. What was deleted may come again in it, where
 * it was carried forward: the tombstone must still be there. */
static void all_is_as_of_when_it_was_logged(void **state)
{
    struct fixture *f = *state;
    struct facts facts = {.min_us = INT64_MAX};
    struct engine *engine;

    take_snapshot(f);
    write_to(f, 100);
    close_store(f);
    check(restore(f, f->at_us[60]));
    engine = open_in(f->restored_env, false);
    check(engine_sstables(engine, sum_up, &facts));
    check(engine_close(engine, 0));
    assert_true(facts.tombstones > 0);
    assert_true(facts.min_us >= f->at_us[1] - 1 && facts.max_us <= f->at_us[60]);
    expect_restored(f, 60);
}

/* A copy of it, with nothing of the store, gives all that there was. */
static void expect_archive_alone_has_all(struct fixture *f, uint64_t count)
{
    struct log_source folder = {NULL, false};

    check(env_mem_new(SEED, &folder.env));
    check(copy_tree(f->env, ARCHIVE_FOLDER, folder.env, ""));
    check(restore_from(f, &folder, LOG_RESTORE_LATEST));
    expect_restored(f, count);
    env_free(folder.env);
}

static void the_archive_alone_has_all_that_was_archived(void **state)
{
    struct fixture *f = *state;

    take_snapshot(f); /* of a log that nothing was appended to */
    assert_int_equal(engine_archive_log(f->engine), 1);
    expect_archive_alone_has_all(f, 0);
    write_to(f, 7);
    assert_int_equal(engine_archive_log(f->engine), 1);
    expect_archive_alone_has_all(f, 7);
    write_to(f, 700);
    assert_int_equal(engine_archive_log(f->engine), 1);
    expect_archive_alone_has_all(f, 700);
}

static void nothing_is_lost_to_a_rollback(void **state)
{
    struct engine_options options = model_options();
    struct fixture *f = *state;

    begin(f);
    write_to(f, 2000);
    close_store(f); /* what is not flushed is in the log alone */
    check(engine_rollback(f->env, &options, "begin", "kept"));
    check(restore(f, f->at_us[2000]));
    expect_restored(f, 2000);
    check(restore(f, f->at_us[1000]));
    expect_restored(f, 1000);
    check(restore(f, LOG_RESTORE_LATEST)); /* nothing came after it yet */
    expect_restored(f, 2000);
    f->engine = open_in(f->env, true);
    f->written = BEGIN;
    write_to(f, 1500);
    close_store(f);
    expect_refused(restore(f, LOG_RESTORE_LATEST), -EUCLEAN, "rolled back");
}

/* A store with some changes that are in the log alone, closed; the nth I/O from here on fails. */
static void begin_again(struct fixture *f, uint64_t nth)
{
    env_free(f->env);
    check(env_fault_new(SEED, &f->env));
    env_mem_set_space(f->env, 16 << 20);
    check(engine_create(f->env, model_tables, MODEL_TABLES));
    f->engine = open_in(f->env, true);
    f->written = 0;
    take_snapshot(f);
    write_to(f, 20);
    close_store(f);
    env_fault_fail_at(f->env, nth, -ENOSPC);
}

static void want_of_space_at_a_rollback_loses_nothing(void **state)
{
    struct engine_options options = model_options();
    struct fixture *f = *state;
    uint64_t calls, failed = 0;

    close_store(f);
    begin_again(f, 0);
    calls = env_fault_io_count(f->env);
    check(engine_rollback(f->env, &options, "begin", "kept"));
    calls = env_fault_io_count(f->env) - calls;
    for (uint64_t nth = 1; nth <= calls; nth++) {
        int r;

        begin_again(f, nth);
        r = engine_rollback(f->env, &options, "begin", "kept");
        failed += r < 0;
        env_fault_fail_at(f->env, 0, 0);
        if (r < 0)
            check(engine_rollback(f->env, &options, "begin", "again"));
        check(restore(f, f->at_us[20]));
        expect_restored(f, 20);
    }
    assert_true(failed > 0);
}

static void what_the_log_has_not_is_refused(void **state)
{
    struct fixture *f = *state;
    struct log_source log = {f->env, true}, folder = {NULL, false};
    struct archive_list list;
    char path[ARCHIVE_PATH_BYTES];

    begin(f);
    write_to(f, 2000);
    expect_refused(restore(f, LOG_RESTORE_LATEST), -EBUSY, "open");
    close_store(f);
    expect_refused(restore(f, f->at_us[BEGIN] - 1), -EINVAL, "oldest");
    expect_refused(restore(f, f->at_us[2000] + 1), -EUCLEAN, "ends too soon");
    assert_int_equal(io_list(f->restored_env, "", any, NULL), 0); /* nothing was made */
    check(restore(f, f->at_us[1999]));

    /* The archive alone, of which the end is still in the log. */
    check(env_mem_new(SEED, &folder.env));
    check(copy_tree(f->env, ARCHIVE_FOLDER, folder.env, ""));
    check(restore_from(f, &folder, f->at_us[500]));
    expect_restored(f, 500);
    expect_refused(restore_from(f, &folder, f->at_us[2000]), -EUCLEAN, "ends too soon");
    env_free(folder.env);

    check(archive_list(f->env, ARCHIVE_FOLDER, &list));
    assert_true(list.count >= 3);
    archive_path(list.segments[1], path);
    check(io_unlink(f->env, path));
    archive_list_release(&list);
    expect_refused(restore(f, f->at_us[1999]), -EUCLEAN, "is missing");
    assert_int_equal(io_list(f->restored_env, "", any, NULL), 0);

    check(env_mem_new(SEED + 2, &log.env));
    check(engine_create(log.env, model_tables, MODEL_TABLES));
    expect_refused(restore_from(f, &log, LOG_RESTORE_LATEST), -EPROTO, "another store");
    env_free(log.env);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(any_moment_comes_back),
        CASE(a_restored_store_lives_on),
        CASE(all_is_as_of_when_it_was_logged),
        CASE(the_archive_alone_has_all_that_was_archived),
        CASE(nothing_is_lost_to_a_rollback),
        CASE(want_of_space_at_a_rollback_loses_nothing),
        CASE(what_the_log_has_not_is_refused),
    };

    log_set_level(LOG_LEVEL_ERROR);
    log_to(fopen("/dev/null", "w"));
    return cmocka_run_group_tests_name("log_restore", tests, NULL, NULL);
}
