/*
 * Goal: what the archive keeps of the log is whole, follows on each other, and is never written to
 * again, whatever comes between; what nothing can be restored over goes.
 * Method: numbered batches into a log on the simulated disk, read back from the archive alone.
 */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "../../support/numbered_batch.h"
#include "commitlog/archive.h"
#include "commitlog/archive_walk.h"
#include "commitlog/commitlog.h"
#include "engine/error.h"
#include "engine/log.h"
#include "io/env.h"
#include "io/fault.h"
#include "io/mem.h"
#include "support/engine_model.h"

#define SEGMENT_BYTES 8192
#define NUMBERS_MAX 4096
#define SEED 3
#define PAYLOAD_MAX 400

static const uint8_t uuid[16] = "store of a test";

static void check(int r)
{
    if (r < 0)
        fail_msg("%d: %s", r, err_text(r));
}

/* ---- a log ---- */

struct fixture {
    struct env *env;
    struct commitlog *log;
    bool archives;
    uint64_t archive_from;
    uint64_t appended, flushed;
    struct {
        uint64_t position;
        int64_t timestamp_us;
    } at[NUMBERS_MAX];
    uint64_t expected; /* the number that the walk is to give next */
};

static size_t payload_of(uint64_t number)
{
    return number % 5 == 0 ? BATCH_SPAN_BYTES_MIN + number : number * 37 % 300;
}

static void open_log(struct fixture *f)
{
    struct commitlog_options options = {.segment_bytes = SEGMENT_BYTES,
        .flushed = {&f->flushed, 1},
        .archives = f->archives,
        .archive_from = f->archive_from};
    struct commitlog_replay_result result;
    static const struct commitlog_visitor nothing;

    memcpy(options.store_uuid, uuid, sizeof(uuid));
    check(commitlog_visit(f->env, uuid, options.flushed, NULL, 0, &nothing, NULL, &result));
    options.next_segment = result.next_segment;
    options.cut_from = result.cut_from;
    options.last_timestamp_us = f->at[f->appended].timestamp_us;
    check(commitlog_open(f->env, &options, &f->log));
}

static struct fixture *fixture_new(void)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    check(env_fault_new(1, &f->env));
    f->archives = true;
    open_log(f);
    return f;
}

static void fixture_free(struct fixture *f)
{
    commitlog_abandon(f->log);
    env_free(f->env);
    free(f);
}

static void run_tasks(struct fixture *f)
{
    while (env_run_task(f->env))
        continue;
}

static int append(struct fixture *f, unsigned count)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < count; i++) {
        uint64_t number = f->appended + 1, end;
        struct batch *batch = numbered_batch(number, payload_of(number));

        r = commitlog_append(
            f->log, batch, &f->at[number].position, &end, &f->at[number].timestamp_us);
        batch_free(batch);
        if (r == 0)
            f->appended = number;
    }
    return r;
}

static int sync_log(struct fixture *f)
{
    return commitlog_sync(f->log, commitlog_end(f->log));
}

/* All before what was appended last is flushed. */
static int discard(struct fixture *f)
{
    f->flushed = f->at[f->appended].position;
    return commitlog_discard(f->log, (struct commitlog_flushed){&f->flushed, 1});
}

static void work(struct fixture *f, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        check(append(f, 20));
        check(sync_log(f));
        run_tasks(f);
        check(discard(f));
        run_tasks(f);
    }
}

static int expect_number(
    void *arg, int64_t timestamp_us, struct bytes updates, unsigned update_count)
{
    struct fixture *f = arg;
    uint64_t number = f->expected++;

    assert_true(number <= f->appended);
    assert_true(f->at[number].timestamp_us == timestamp_us);
    assert_true(numbered_batch_is(number, payload_of(number), updates, update_count));
    return 0;
}

/* Reads the archive alone, from a number on; what it came to. */
static int walk_from(
    struct fixture *f, uint64_t number, int64_t until_us, struct archive_walk_result *ret_result)
{
    struct archive_walk walk = {.env = f->env,
        .folder = ARCHIVE_FOLDER,
        .from_position = f->at[number].position,
        .until_us = until_us};

    memcpy(walk.store_uuid, uuid, sizeof(uuid));
    f->expected = number;
    return archive_walk(&walk, expect_number, f, ret_result);
}

static void expect_archived_to(struct fixture *f, uint64_t from, uint64_t to)
{
    struct archive_walk_result result;

    check(walk_from(f, from, f->at[to].timestamp_us, &result));
    assert_true(f->expected == to + 1);
}

static size_t archived_count(struct fixture *f)
{
    struct archive_list list;
    size_t count;

    check(archive_list(f->env, ARCHIVE_FOLDER, &list));
    count = list.count;
    archive_list_release(&list);
    return count;
}

static void segments_are_kept_and_follow_on_each_other(void **state)
{
    struct fixture *f = fixture_new();
    struct archive_walk_result result;
    struct commitlog_stats stats;
    uint64_t slots;

    (void)state;
    work(f, 20);
    /* All but the segment that is written to. */
    expect_archived_to(f, 1, f->appended - 20);
    expect_archived_to(f, 37, f->appended - 20);
    commitlog_get_stats(f->log, &stats);
    assert_int_equal(stats.archived, archived_count(f));
    assert_int_equal(stats.value_syncs, 0);
    check(slot_list(f->env, SLOT_VALUES, &slots));
    assert_true(slots == 0);
    check(slot_list(f->env, SLOT_RECORDS, &slots));
    assert_true(__builtin_popcountll(slots) <= POOL_SLOTS_MAX);

    check(walk_from(f, 5, f->at[60].timestamp_us, &result));
    assert_true(f->expected == 61 && result.batches == 56 && result.is_past);
    assert_true(result.last_timestamp_us == f->at[60].timestamp_us);
    fixture_free(f);
}

static void one_is_in_the_archive_before_it_is_flushed(void **state)
{
    struct fixture *f = fixture_new();

    (void)state;
    check(append(f, 60));
    run_tasks(f);
    assert_int_equal(archived_count(f), 0); /* it is not synced */
    check(sync_log(f));
    run_tasks(f);
    expect_archived_to(f, 1, 50);

    /* It is there already for the next daemon, which has not discarded it. */
    commitlog_abandon(f->log);
    f->log = NULL;
    open_log(f);
    run_tasks(f);
    work(f, 3);
    expect_archived_to(f, 1, f->appended - 20);
    fixture_free(f);
}

static void all_is_in_the_archive_when_that_is_asked_for(void **state)
{
    struct fixture *f = fixture_new();
    size_t count;

    (void)state;
    assert_int_equal(commitlog_archive_all(f->log), 1); /* of nothing */
    for (unsigned i = 0; i < 5; i++) {
        count = archived_count(f);
        check(append(f, 3));
        assert_int_equal(commitlog_archive_all(f->log), 1);
        expect_archived_to(f, 1, f->appended);
        assert_true(archived_count(f) > count);
        run_tasks(f);
    }
    work(f, 3);
    assert_int_equal(commitlog_archive_all(f->log), 1);
    expect_archived_to(f, 1, f->appended);

    /* Nothing of it is wanted, or nothing at all. */
    count = archived_count(f);
    commitlog_archive_from(f->log, COMMITLOG_ARCHIVE_NOTHING);
    check(append(f, 3));
    assert_int_equal(commitlog_archive_all(f->log), 1);
    assert_int_equal(archived_count(f), count);
    commitlog_abandon(f->log);
    f->archives = false;
    open_log(f);
    assert_int_equal(commitlog_archive_all(f->log), 0);
    fixture_free(f);
}

/* ---- with others ---- */

#define WRITERS 4
#define REQUESTS 40
#define LARGE_SEGMENT_BYTES (4u << 20)

struct writer {
    struct commitlog *log;
    _Atomic bool stops;
    _Atomic uint64_t position; /* of the newest record appended */
};

static void *write_on(void *arg)
{
    struct writer *writer = arg;

    for (uint64_t number = 1; !writer->stops; number++) {
        struct batch *batch = numbered_batch(number, number % 300);
        uint64_t position, end;
        int64_t timestamp_us;
        int r = commitlog_append(writer->log, batch, &position, &end, &timestamp_us);

        batch_free(batch);
        if (r == 0 && number % 8 == 0)
            r = commitlog_sync(writer->log, end);
        if (r < 0)
            return writer;
        writer->position = position;
    }
    return NULL;
}

static uint64_t newest_of(struct writer *writers)
{
    uint64_t newest = 0;

    for (unsigned i = 0; i < WRITERS; i++)
        if (writers[i].position > newest)
            newest = writers[i].position;
    return newest;
}

/* Wherever in a group of appends the request comes, its segment ends there. */
static void all_is_in_the_archive_while_others_write(void **state)
{
    struct writer writers[WRITERS] = {0};
    struct commitlog_options options = {
        .segment_bytes = LARGE_SEGMENT_BYTES, .next_segment = 1, .archives = true};
    char folder[] = "/tmp/sstfs-archive-XXXXXX", command[64];
    pthread_t threads[WRITERS];
    struct commitlog *log;
    struct env *env;

    (void)state;
    assert_non_null(mkdtemp(folder));
    check(env_posix_new(folder, &env));
    memcpy(options.store_uuid, uuid, sizeof(uuid));
    check(commitlog_open(env, &options, &log));
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i].log = log;
        assert_int_equal(pthread_create(&threads[i], NULL, write_on, &writers[i]), 0);
    }
    for (unsigned i = 0; i < REQUESTS; i++) {
        uint64_t before = newest_of(writers);
        struct archive_list list;

        assert_int_equal(commitlog_archive_all(log), 1);
        check(archive_list(env, ARCHIVE_FOLDER, &list));
        assert_true(list.count > 0 && list.segments[list.count - 1] >= position_segment(before));
        archive_list_release(&list);
        check(commitlog_discard(log, (struct commitlog_flushed){&before, 1}));
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        void *failed;

        writers[i].stops = true;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    check(commitlog_close(log));
    env_free(env);
    snprintf(command, sizeof(command), "rm -r '%s'", folder);
    assert_int_equal(system(command), 0);
}

/* How the space of slots was taken. */
static struct env_ops counting;
static const struct env_ops *counted;
static unsigned prewritten, allocated;

static int count_prewrite(struct env *env, int fd, uint64_t size)
{
    prewritten++;
    return counted->prewrite(env, fd, size);
}

static int count_allocate(struct env *env, int fd, uint64_t size)
{
    allocated++;
    return counted->allocate(env, fd, size);
}

static void count_slots(struct env *env)
{
    counted = env->ops;
    counting = *counted;
    counting.prewrite = count_prewrite;
    counting.allocate = count_allocate;
    env->ops = &counting;
}

/* Writing zeros is worth it when there is time for it, and not to who fills segment after segment:
 * each slot is used but once. */
static void slots_are_prewritten_while_there_is_time(void **state)
{
    struct fixture *f = fixture_new();
    unsigned large = 0;

    (void)state;
    count_slots(f->env);
    work(f, 2); /* makes those of the begin */
    prewritten = allocated = 0;
    work(f, 10);
    assert_int_equal(prewritten, 0);
    assert_true(allocated > 5);
    allocated = 0;
    for (unsigned i = 0; i < 60; i++) {
        if (i == 20) /* how long it took to fill one is known by now */
            prewritten = allocated = large = 0;
        env_mem_advance(f->env, 3000000);
        check(append(f, 1));
        check(sync_log(f));
        check(discard(f));
        run_tasks(f);
        large += payload_of(f->appended) > SEGMENT_BYTES;
    }
    assert_int_equal(allocated, large); /* a slot made longer for one record */
    assert_true(prewritten > 5);
    fixture_free(f);
}

static void large_values_stand_in_the_segments(void **state)
{
    struct fixture *f = fixture_new();
    uint64_t slots;

    (void)state;
    commitlog_abandon(f->log);
    f->archives = false;
    open_log(f);
    check(append(f, 6));
    run_tasks(f);
    commitlog_abandon(f->log);
    f->log = NULL;
    check(slot_list(f->env, SLOT_VALUES, &slots));
    assert_true(slots != 0); /* else this asks about nothing */
    f->archives = true;
    open_log(f);
    work(f, 3);
    expect_archived_to(f, 1, f->appended - 20);
    fixture_free(f);
}

static void a_log_of_many_lives_is_one(void **state)
{
    struct fixture *f = fixture_new();

    (void)state;
    for (int life = 0; life < 6; life++) {
        work(f, 2);
        check(append(f, 7));
        if (life % 2 == 0) {
            check(commitlog_close(f->log));
        } else {
            commitlog_abandon(f->log); /* as if killed: it ends without END */
        }
        f->log = NULL;
        open_log(f);
    }
    work(f, 2);
    expect_archived_to(f, 1, f->appended - 20);
    fixture_free(f);
}

static void what_is_not_wanted_is_not_kept(void **state)
{
    struct fixture *f = fixture_new();
    size_t count;

    (void)state;
    commitlog_archive_from(f->log, COMMITLOG_ARCHIVE_NOTHING);
    work(f, 10);
    assert_int_equal(archived_count(f), 0);
    commitlog_archive_from(f->log, f->at[f->appended].position);
    f->expected = f->appended;
    work(f, 5);
    count = archived_count(f);
    assert_true(count > 0);
    expect_archived_to(f, f->appended - 100, f->appended - 20);
    fixture_free(f);
}

/* The worst: the name is there, the slot too, and a log that archives nothing finds them. */
static void what_is_kept_is_not_written_to(void **state)
{
    struct fixture *f = fixture_new();
    uint64_t kept;

    (void)state;
    check(append(f, 60));
    check(sync_log(f));
    run_tasks(f); /* archived, and not yet discarded */
    kept = f->appended - 10;
    expect_archived_to(f, 1, kept);
    commitlog_abandon(f->log);
    f->log = NULL;
    f->archives = false;
    open_log(f); /* they are in use still … */
    work(f, 20);
    expect_archived_to(f, 1, kept);
    assert_int_equal(commitlog_close(f->log), 0);
    f->log = NULL;

    f->archives = true;
    open_log(f);
    check(append(f, 60));
    check(sync_log(f));
    run_tasks(f);
    commitlog_abandon(f->log);
    f->log = NULL;
    f->archives = false;
    f->flushed = f->at[f->appended].position; /* … or are not */
    open_log(f);
    work(f, 20);
    expect_archived_to(f, 1, kept);
    fixture_free(f);
}

static void flushed_ones_of_before_are_kept_at_the_open(void **state)
{
    struct fixture *f = fixture_new();

    (void)state;
    check(append(f, 60));
    check(sync_log(f));
    commitlog_abandon(f->log); /* before they were archived */
    f->log = NULL;
    f->flushed = f->at[f->appended].position;
    open_log(f);
    run_tasks(f);
    expect_archived_to(f, 1, 50);
    work(f, 5);
    expect_archived_to(f, 1, f->appended - 20);
    fixture_free(f);
}

/* Whichever call it is that finds no space. */
static void want_of_space_loses_nothing(void **state)
{
    uint64_t calls, failed = 0;
    struct fixture *f = fixture_new();

    (void)state;
    calls = env_fault_io_count(f->env);
    work(f, 6);
    calls = env_fault_io_count(f->env) - calls;
    fixture_free(f);
    for (uint64_t nth = 1; nth < calls; nth++) {
        f = fixture_new();
        env_fault_fail_at(f->env, nth, -ENOSPC);
        for (unsigned i = 0; i < 6; i++) {
            bool stays = append(f, 20) == 0 && sync_log(f) == 0;

            run_tasks(f);
            stays = stays && discard(f) == 0;
            run_tasks(f);
            failed += !stays;
        }
        env_fault_fail_at(f->env, 0, 0);
        /* Of a record that could not be written a log does not recover; of all else it does. */
        if (append(f, 20) == 0) {
            check(sync_log(f));
            check(discard(f));
            run_tasks(f);
            expect_archived_to(f, 1, f->appended - 20);
        }
        fixture_free(f);
    }
    assert_true(failed > 0);
}

static void what_is_missing_is_named(void **state)
{
    struct fixture *f = fixture_new();
    struct archive_walk_result result;
    struct archive_list list;
    char path[ARCHIVE_PATH_BYTES];
    uint64_t last = 0;

    (void)state;
    work(f, 10);
    check(archive_list(f->env, ARCHIVE_FOLDER, &list));
    assert_true(list.count > 6);
    archive_path(list.segments[list.count / 2], path);
    check(io_rename(f->env, path, "elsewhere"));
    assert_int_equal(walk_from(f, 1, INT64_MAX, &result), -EUCLEAN);
    path[ARCHIVE_PATH_BYTES - 5] = '\0';
    assert_non_null(strstr(err_text(-EUCLEAN), path + sizeof(ARCHIVE_FOLDER)));
    /* What comes before it is there. */
    assert_int_equal(walk_from(f, 1, result.last_timestamp_us - 1, &result), 0);
    assert_true(result.is_past);

    path[ARCHIVE_PATH_BYTES - 5] = '.';
    check(io_rename(f->env, "elsewhere", path));
    for (uint64_t i = 1; i < f->appended; i++)
        if (position_segment(f->at[i].position) == list.segments[list.count / 2])
            last = f->at[i].position;
    env_fault_flip_bit(f->env, path, position_offset(last), 3);
    assert_int_equal(walk_from(f, 1, INT64_MAX, &result), -EUCLEAN);
    archive_list_release(&list);
    fixture_free(f);
}

static void damage(struct fixture *f, uint64_t number)
{
    uint64_t position = f->at[number].position;
    struct segment_list list;
    int fd;

    check(segment_list(f->env, uuid, &list));
    for (unsigned i = 0; i < list.count; i++) {
        if (list.all[i].header.id != position_segment(position))
            continue;
        check(io_open(f->env, list.all[i].path, O_RDWR, &fd));
        check(io_write(f->env, fd, "damage", 6, position_offset(position) + RECORD_HEADER_BYTES));
        io_close(f->env, fd);
    }
    segment_list_release(&list);
}

/* From the first record to the end of the slots. */
static struct archive_walk whole_walk(const struct fixture *f)
{
    struct archive_walk walk = {.env = f->env,
        .folder = ARCHIVE_FOLDER,
        .with_slots = true,
        .from_position = f->at[1].position,
        .until_us = INT64_MAX};

    memcpy(walk.store_uuid, uuid, sizeof(uuid));
    return walk;
}

/* Nobody has opened it since the power was cut: what never was durable is not missed, and what was
 * is, as the next open would have it. */
static void a_torn_tail_is_the_end_and_nothing_else(void **state)
{
    struct archive_walk_result result;
    struct fixture *f = fixture_new();
    struct archive_walk walk;

    (void)state;
    check(append(f, 4));
    check(sync_log(f));
    check(append(f, 8)); /* several segments */
    assert_true(f->at[12].position >> 32 > f->at[7].position >> 32);
    walk = whole_walk(f);
    f->expected = 1;
    check(archive_walk(&walk, expect_number, f, &result));
    assert_int_equal(result.batches, 12);

    damage(f, 7);
    f->expected = 1;
    check(archive_walk(&walk, expect_number, f, &result));
    assert_int_equal(result.batches, 6);
    walk.with_slots = false; /* of what was archived nothing is torn */
    assert_int_equal(archive_walk(&walk, NULL, NULL, &result), -EUCLEAN);
    walk.with_slots = true;
    walk.flushed_max = f->at[8].position;
    assert_int_equal(archive_walk(&walk, NULL, NULL, &result), -EUCLEAN);
    walk.flushed_max = 0;
    damage(f, 2); /* which a later record says was synced */
    assert_int_equal(archive_walk(&walk, NULL, NULL, &result), -EUCLEAN);
    assert_int_equal(result.batches, 1);
    fixture_free(f);
}

static void damage_before_a_sync_record_is_no_torn_tail(void **state)
{
    struct archive_walk_result result;
    struct fixture *f = fixture_new();
    struct archive_walk walk;

    (void)state;
    check(append(f, 1));
    check(sync_log(f));
    check(append(f, 2));
    walk = whole_walk(f);
    damage(f, 3);
    check(archive_walk(&walk, NULL, NULL, &result));
    assert_int_equal(result.batches, 2);
    damage(f, 1);
    assert_int_equal(archive_walk(&walk, NULL, NULL, &result), -EUCLEAN);
    fixture_free(f);
}

/* Another daemon would not have begun behind it. */
static void damage_before_another_daemon_is_no_torn_tail(void **state)
{
    struct archive_walk_result result;
    struct fixture *f = fixture_new();
    struct archive_walk walk;

    (void)state;
    check(append(f, 4));
    commitlog_abandon(f->log);
    f->log = NULL;
    open_log(f);
    check(append(f, 1));
    walk = whole_walk(f);
    check(archive_walk(&walk, NULL, NULL, &result));
    assert_int_equal(result.batches, 5);
    damage(f, 3);
    assert_int_equal(archive_walk(&walk, NULL, NULL, &result), -EUCLEAN);
    assert_int_equal(result.batches, 2);
    fixture_free(f);
}

static void a_log_of_another_store_is_refused(void **state)
{
    struct fixture *f = fixture_new();
    struct archive_walk walk = {
        .env = f->env, .folder = ARCHIVE_FOLDER, .store_uuid = "another", .until_us = INT64_MAX};
    struct archive_walk_result result;

    (void)state;
    work(f, 5);
    walk.from_position = f->at[1].position;
    assert_int_equal(archive_walk(&walk, NULL, NULL, &result), -EPROTO);
    fixture_free(f);
}

static void without_hard_links_it_is_refused_in_time(void **state)
{
    uint64_t calls;
    struct fixture *f = fixture_new();
    struct commitlog_options options = {
        .segment_bytes = SEGMENT_BYTES, .archives = true, .store_uuid = "store of a test"};
    bool refused = false;

    (void)state;
    commitlog_abandon(f->log);
    f->log = NULL;
    calls = 40;
    for (uint64_t nth = 1; !refused && nth < calls; nth++) {
        env_fault_fail_at(f->env, nth, -EPERM);
        refused = commitlog_open(f->env, &options, &f->log) == -EOPNOTSUPP;
        commitlog_abandon(f->log);
        f->log = NULL;
    }
    assert_true(refused);
    assert_non_null(strstr(err_text(-EOPNOTSUPP), "hard links"));
    fixture_free(f);
}

/* ---- a store ---- */

static struct engine *open_store(struct env *env, bool archive)
{
    struct engine_options options = model_options();
    struct engine *engine = NULL;

    options.archive = archive;
    check(engine_open(env, &options, &engine));
    return engine;
}

static void write_batches(struct engine *engine, struct env *env, uint64_t from, uint64_t to)
{
    for (uint64_t number = from; number <= to; number++) {
        uint64_t position;

        check(model_write(engine, SEED, number, PAYLOAD_MAX, &position));
        if (number % 50 == 0)
            check(engine_await(engine, position, true, NULL, NULL));
    }
    check(engine_flush(engine, TABLES_ALL));
    while (env_run_task(env))
        continue;
}

static uint64_t archived_of(struct engine *engine, struct env *env)
{
    struct engine_stats stats;
    struct archive_list list;
    uint64_t count;

    while (env_run_task(env))
        continue;
    engine_get_stats(engine, &stats);
    check(archive_list(env, ARCHIVE_FOLDER, &list));
    count = list.count;
    archive_list_release(&list);
    assert_int_equal(stats.archive_segments, count);
    assert_int_equal(stats.archive_bytes > 0, count > 0);
    return count;
}

static void the_log_is_kept_from_the_oldest_snapshot_on(void **state)
{
    struct engine *engine;
    struct env *env;
    uint64_t with_both;

    (void)state;
    check(env_fault_new(SEED, &env));
    env_mem_set_space(env, 16 << 20); /* small segments */
    check(engine_create(env, model_tables, MODEL_TABLES));
    engine = open_store(env, true);
    write_batches(engine, env, 1, 1500);
    assert_int_equal(archived_of(engine, env), 0);

    check(engine_snapshot_create(engine, "a"));
    write_batches(engine, env, 1501, 3000);
    check(engine_snapshot_create(engine, "b"));
    write_batches(engine, env, 3001, 4500);
    with_both = archived_of(engine, env);
    assert_true(with_both > 4);
    check(engine_snapshot_delete(engine, "a"));
    assert_true(archived_of(engine, env) < with_both);
    assert_true(archived_of(engine, env) > 0);
    check(engine_close(engine, CLOSE_FLUSH));

    /* Nor does it stay when nothing more is archived. */
    engine = open_store(env, false);
    assert_true(archived_of(engine, env) > 0);
    check(engine_snapshot_delete(engine, "b"));
    assert_int_equal(archived_of(engine, env), 0);
    write_batches(engine, env, 4501, 6000);
    check(engine_snapshot_create(engine, "c"));
    write_batches(engine, env, 6001, 7500);
    assert_int_equal(archived_of(engine, env), 0);
    check(engine_close(engine, 0));
    env_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_kept_and_follow_on_each_other),
        cmocka_unit_test(one_is_in_the_archive_before_it_is_flushed),
        cmocka_unit_test(all_is_in_the_archive_when_that_is_asked_for),
        cmocka_unit_test(all_is_in_the_archive_while_others_write),
        cmocka_unit_test(slots_are_prewritten_while_there_is_time),
        cmocka_unit_test(large_values_stand_in_the_segments),
        cmocka_unit_test(a_log_of_many_lives_is_one),
        cmocka_unit_test(what_is_not_wanted_is_not_kept),
        cmocka_unit_test(what_is_kept_is_not_written_to),
        cmocka_unit_test(flushed_ones_of_before_are_kept_at_the_open),
        cmocka_unit_test(want_of_space_loses_nothing),
        cmocka_unit_test(what_is_missing_is_named),
        cmocka_unit_test(a_torn_tail_is_the_end_and_nothing_else),
        cmocka_unit_test(damage_before_a_sync_record_is_no_torn_tail),
        cmocka_unit_test(damage_before_another_daemon_is_no_torn_tail),
        cmocka_unit_test(a_log_of_another_store_is_refused),
        cmocka_unit_test(without_hard_links_it_is_refused_in_time),
        cmocka_unit_test(the_log_is_kept_from_the_oldest_snapshot_on),
    };

    log_set_level(LOG_LEVEL_ERROR);
    log_to(fopen("/dev/null", "w"));
    return cmocka_run_group_tests_name("archive", tests, NULL, NULL);
}
