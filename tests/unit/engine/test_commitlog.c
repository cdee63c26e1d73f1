/*
 * Goal: what was appended is replayed, exactly and in order; damage is told from a torn tail.
 * Method: numbered batches into a log in memory or on the simulated disk, then single changes to
 * what lies there; and many threads on the real disk.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../support/numbered_batch.h"
#include "commitlog/commitlog.h"
#include "commitlog/pool.h"
#include "commitlog/survey.h"
#include "engine/error.h"
#include "io/fault.h"

#define SEGMENT_BYTES 8192
#define NUMBERS_MAX 4096
#define NOTHING_FLUSHED ((struct commitlog_flushed){0})

static const uint8_t uuid[16] = "store of a test";

struct fixture {
    struct env *env;
    struct commitlog *log;
    uint64_t segment_bytes;
    bool large;        /* every other payload is */
    uint64_t appended; /* batches 1 to this */
    struct {
        uint64_t position, end;
        int64_t timestamp_us;
    } at[NUMBERS_MAX];
    /* Of the last recovery. */
    struct commitlog_replay_result result;
    uint64_t flushed[2]; /* by the table of the batches, and by another */
    struct commitlog_cut cuts[4];
    unsigned cut_count;
    uint64_t first, replayed; /* numbers found: first to replayed */
};

static size_t payload_of(uint64_t number)
{
    return number * 37 % 300;
}

static size_t payload_in(const struct fixture *f, uint64_t number)
{
    return f->large && number % 2 ? BATCH_SPAN_BYTES_MIN + number * 977 % 9000 : payload_of(number);
}

static struct fixture *fixture_new(void)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(env_fault_new(1, &f->env), 0);
    f->segment_bytes = SEGMENT_BYTES;
    return f;
}

static void fixture_free(struct fixture *f)
{
    commitlog_abandon(f->log);
    env_free(f->env);
    free(f);
}

static void open_log(struct fixture *f)
{
    struct commitlog_options options = {
        .segment_bytes = f->segment_bytes,
        .last_timestamp_us = f->result.last_timestamp_us,
        .next_segment = f->result.next_segment,
        .flushed = {f->flushed, 1},
        .value_uses = f->result.value_uses,
    };

    memcpy(options.store_uuid, uuid, sizeof(uuid));
    assert_int_equal(commitlog_secure(f->env, uuid, options.flushed, f->cuts, f->cut_count), 0);
    assert_int_equal(commitlog_open(f->env, &options, &f->log), 0);
}

static void close_log(struct fixture *f)
{
    assert_int_equal(commitlog_close(f->log), 0);
    f->log = NULL;
}

static void abandon_log(struct fixture *f)
{
    commitlog_abandon(f->log);
    f->log = NULL;
}

static int append_sized(struct fixture *f, size_t payload_bytes)
{
    uint64_t number = f->appended + 1;
    struct batch *batch = numbered_batch(number, payload_bytes);
    int r;

    assert_true(number < NUMBERS_MAX);
    r = commitlog_append(
        f->log, batch, &f->at[number].position, &f->at[number].end, &f->at[number].timestamp_us);
    if (r == 0)
        f->appended = number;
    batch_free(batch);
    return r;
}

static void append(struct fixture *f, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(append_sized(f, payload_in(f, f->appended + 1)), 0);
}

static void sync_log(struct fixture *f)
{
    assert_int_equal(commitlog_sync(f->log, commitlog_end(f->log)), 0);
}

static int discard(struct fixture *f, uint64_t position)
{
    return commitlog_discard(f->log, (struct commitlog_flushed){&position, 1});
}

static int check_record(void *arg, uint64_t position, int64_t timestamp_us, struct bytes updates,
    unsigned update_count, struct record_memory *memory)
{
    struct fixture *f = arg;
    uint64_t number = f->replayed + 1;

    if (f->replayed == 0) {
        /* The first one says where it begins. */
        for (number = 1; number <= f->appended && f->at[number].position != position;)
            number++;
        f->first = number;
    }
    assert_true(number <= f->appended);
    assert_true(f->at[number].position == position);
    assert_true(f->at[number].timestamp_us == timestamp_us);
    if (f->flushed[0] <= position)
        assert_true(numbered_batch_is(number, payload_in(f, number), updates, update_count));
    assert_true(updates.data == memory->data);
    f->replayed = number;
    return 0;
}

static int replay(struct fixture *f)
{
    f->first = 0;
    f->replayed = 0;
    return commitlog_replay(f->env, uuid, (struct commitlog_flushed){f->flushed, 2}, f->cuts,
        f->cut_count, check_record, f, &f->result);
}

/* As a recovery does: replays and, if the tail is torn, cuts it. */
static void recover(struct fixture *f)
{
    assert_int_equal(replay(f), 0);
    if (f->result.torn)
        f->cuts[f->cut_count++] =
            (struct commitlog_cut){f->result.end_position, f->result.next_segment};
}

/* Batches after `number` never were, as far as numbering goes. */
static void forget_after(struct fixture *f, uint64_t number)
{
    f->appended = number;
}

/* The slot that holds the segment of the position; -1: none does. */
static int slot_of(struct fixture *f, uint64_t position)
{
    struct segment_list list;
    int slot = -1;

    assert_int_equal(segment_list(f->env, uuid, &list), 0);
    for (unsigned i = 0; i < list.count; i++)
        if (list.all[i].header.id == position_segment(position))
            slot = (int)list.all[i].slot;
    segment_list_release(&list);
    return slot;
}

static void path_of(struct fixture *f, uint64_t position, char path[SLOT_PATH_BYTES])
{
    int slot = slot_of(f, position);

    assert_true(slot >= 0);
    slot_path(SLOT_RECORDS, (unsigned)slot, path);
}

static unsigned slot_count(struct fixture *f, enum slot_kind kind)
{
    uint64_t slots;

    assert_int_equal(slot_list(f->env, kind, &slots), 0);
    return (unsigned)__builtin_popcountll(slots);
}

/* What the background has to do for the log. */
static void run_tasks(struct fixture *f)
{
    while (env_run_task(f->env))
        continue;
}

static void flip_at(struct fixture *f, uint64_t position)
{
    char path[SLOT_PATH_BYTES];

    path_of(f, position, path);
    env_fault_flip_bit(f->env, path, position_offset(position), 3);
}

/* ---- the good days ---- */

static void nothing_is_replayed_from_nothing(void **state)
{
    struct fixture *f = fixture_new();

    (void)state;
    recover(f);
    assert_int_equal(f->replayed, 0);
    assert_false(f->result.torn);
    assert_int_equal(f->result.next_segment, 1);
    open_log(f);
    close_log(f); /* without an append: no segment */
    recover(f);
    assert_int_equal(f->result.next_segment, 1);
    fixture_free(f);
}

static void what_was_appended_is_replayed_in_order(void **state)
{
    struct fixture *f = fixture_new();
    struct commitlog_stats stats;

    (void)state;
    open_log(f);
    append(f, 200);
    for (uint64_t i = 2; i <= f->appended; i++) {
        assert_true(f->at[i].position >= f->at[i - 1].end);
        assert_true(f->at[i].timestamp_us > f->at[i - 1].timestamp_us);
    }
    assert_true(f->at[200].end == commitlog_end(f->log));
    assert_true(f->at[200].timestamp_us == commitlog_last_timestamp_us(f->log));
    commitlog_get_stats(f->log, &stats);
    assert_int_equal(stats.records, 200);
    assert_true(stats.segments > 5);
    close_log(f);
    recover(f);
    assert_int_equal(f->first, 1);
    assert_int_equal(f->replayed, 200);
    assert_int_equal(f->result.records, 200);
    assert_false(f->result.torn);
    assert_int_equal(f->result.dropped_bytes, 0);
    assert_true(f->result.last_timestamp_us == f->at[200].timestamp_us);
    fixture_free(f);
}

static void logs_of_many_lives_are_replayed_as_one(void **state)
{
    struct fixture *f = fixture_new();

    (void)state;
    for (int life = 0; life < 5; life++) {
        recover(f);
        assert_int_equal(f->replayed, f->appended);
        open_log(f);
        append(f, 30);
        close_log(f);
    }
    recover(f);
    assert_int_equal(f->replayed, 150);
    assert_int_equal(f->cut_count, 0);
    for (uint64_t i = 2; i <= f->appended; i++)
        assert_true(f->at[i].timestamp_us > f->at[i - 1].timestamp_us);
    fixture_free(f);
}

static void a_clock_that_steps_back_leaves_timestamps_counting(void **state)
{
    struct fixture *f = fixture_new();
    uint64_t now = env_wall_us(f->env);

    (void)state;
    open_log(f);
    append(f, 1);
    assert_true(f->at[1].timestamp_us == (int64_t)now);
    append(f, 1);
    assert_true(f->at[2].timestamp_us == (int64_t)now + 1);
    env_mem_set_wall(f->env, now - 3600000000u);
    append(f, 1);
    assert_true(f->at[3].timestamp_us == (int64_t)now + 2);
    env_mem_set_wall(f->env, now + 1000000);
    append(f, 1);
    assert_true(f->at[4].timestamp_us == (int64_t)now + 1000000);
    close_log(f);
    env_mem_set_wall(f->env, now);
    recover(f);
    open_log(f);
    append(f, 1);
    assert_true(f->at[5].timestamp_us == (int64_t)now + 1000001);
    fixture_free(f);
}

static void a_record_larger_than_a_segment_gets_a_larger_one(void **state)
{
    struct fixture *f = fixture_new();
    struct batch *batch = batch_new(numbered_schemas, 1);
    uint8_t *payload = calloc(1, BATCH_BYTES_MAX);
    uint8_t key[KEY_BYTES_BIGINT] = {0};
    uint64_t position, end;
    int64_t timestamp_us;

    (void)state;
    assert_non_null(payload);
    open_log(f);
    append(f, 3);
    batch_row(batch, 0, bytes_of(key, sizeof(key)), &CLUSTERING_ROW(NULL, 0), true);
    batch_cell(batch, 0, bytes_of(payload, BATCH_BYTES_MAX - 64));
    assert_int_equal(batch_finish(batch), 0);
    assert_int_equal(commitlog_append(f->log, batch, &position, &end, &timestamp_us), 0);
    assert_true(position_segment(position) > position_segment(f->at[3].position));
    assert_int_equal(position_offset(position), SEGMENT_HEADER_BYTES + SEGMENT_NOTE_BYTES);
    /* The next ones go on behind, and soon in a segment of the usual size. */
    append(f, 40);
    assert_true(f->at[4].position >= end);
    assert_true(position_segment(f->at[43].position) > position_segment(position));
    close_log(f);
    batch_free(batch);
    free(payload);
    fixture_free(f);
}

static int count_record(void *arg, uint64_t position, int64_t timestamp_us, struct bytes updates,
    unsigned update_count, struct record_memory *memory)
{
    (void)position;
    (void)timestamp_us;
    (void)update_count;
    (void)memory;
    *(uint64_t *)arg += 1 + updates.size;
    return updates.size > 1000 ? err_new(-EDOM, "too big for the test") : 0;
}

static void an_error_of_the_taker_ends_replay(void **state)
{
    struct fixture *f = fixture_new();
    uint64_t bytes = 0;

    (void)state;
    open_log(f);
    assert_int_equal(append_sized(f, 1), 0);
    assert_int_equal(append_sized(f, 2000), 0);
    assert_int_equal(append_sized(f, 1), 0);
    close_log(f);
    assert_int_equal(
        commitlog_replay(f->env, uuid, NOTHING_FLUSHED, NULL, 0, count_record, &bytes, &f->result),
        -EDOM);
    assert_non_null(strstr(err_text(-EDOM), "too big for the test"));
    assert_true(bytes > 2000 && bytes < 2200);
    fixture_free(f);
}

static void hear_position(void *arg, uint64_t position)
{
    *(uint64_t *)arg = position;
}

static void the_next_record_is_not_before_the_next_position(void **state)
{
    struct fixture *f = fixture_new();

    (void)state;
    open_log(f);
    for (int i = 0; i < 100; i++) {
        uint64_t next = 0;

        commitlog_at_next_position(f->log, hear_position, &next);
        assert_true(i == 0 || next == f->at[f->appended].end);
        append(f, 1);
        assert_true(f->at[f->appended].position >= next);
    }
    fixture_free(f);
}

static void what_is_flushed_is_discarded_and_not_missed(void **state)
{
    struct fixture *f = fixture_new();
    struct commitlog_stats stats;
    uint64_t segments;

    (void)state;
    open_log(f);
    append(f, 100);
    f->flushed[0] = f->flushed[1] = f->at[60].position;
    commitlog_get_stats(f->log, &stats);
    segments = stats.segments;
    /* Not synced: may not go. */
    assert_int_equal(discard(f, f->flushed[0]), 0);
    commitlog_get_stats(f->log, &stats);
    assert_true(stats.segments == segments);
    sync_log(f);
    assert_int_equal(discard(f, f->flushed[0]), 0);
    commitlog_get_stats(f->log, &stats);
    assert_true(segments - stats.segments ==
                position_segment(f->flushed[0]) - position_segment(f->at[1].position));
    append(f, 10);
    /* Never the active one. */
    assert_int_equal(discard(f, UINT64_MAX), 0);
    commitlog_get_stats(f->log, &stats);
    assert_true(stats.segments >= 1);
    append(f, 1);
    f->flushed[0] = f->flushed[1] = f->at[111].position;
    close_log(f);
    recover(f);
    assert_int_equal(f->first, 111);
    assert_int_equal(f->replayed, 111);
    /* The next life knows them, and may discard them. */
    open_log(f);
    append(f, 1);
    sync_log(f);
    f->flushed[0] = f->flushed[1] = f->at[112].position;
    assert_int_equal(discard(f, f->flushed[0]), 0);
    commitlog_get_stats(f->log, &stats);
    assert_int_equal(stats.segments, 1);
    close_log(f);
    recover(f);
    assert_int_equal(f->first, 112);
    fixture_free(f);
}

/* A log that is flushed in time: after some rounds nothing is made or deleted any more. */
static void slots_are_used_again_and_again(void **state)
{
    struct fixture *f = fixture_new();
    unsigned slots = 0;

    (void)state;
    open_log(f);
    run_tasks(f);
    assert_int_equal(slot_count(f, SLOT_RECORDS), POOL_SLOTS_MIN);
    for (unsigned round = 0; round < 60; round++) {
        append(f, 50); /* some two segments */
        run_tasks(f);
        sync_log(f);
        f->flushed[0] = f->flushed[1] = f->at[f->appended - 5].end;
        assert_int_equal(discard(f, f->flushed[0]), 0);
        if (round == 30)
            slots = slot_count(f, SLOT_RECORDS);
    }
    assert_true(position_segment(f->at[f->appended].position) > 80);
    assert_int_equal(slot_count(f, SLOT_RECORDS), slots);
    assert_true(slots <= 6);
    /* Whatever the older segments left in them. */
    abandon_log(f);
    recover(f);
    assert_int_equal(f->first, f->appended - 4);
    assert_int_equal(f->replayed, f->appended);
    assert_true(f->result.torn);
    assert_int_equal(f->result.dropped_bytes, 0);
    fixture_free(f);
}

/* What is freed may have what deleted a row that was written again behind it: whoever has lost the
 * manifest must know that it was flushed. */
static void before_a_segment_is_cleared_the_log_says_what_is_flushed(void **state)
{
    struct fixture *f = fixture_new();
    struct commitlog_survey survey;
    uint64_t flushed;

    (void)state;
    open_log(f);
    append(f, 100);
    sync_log(f);
    flushed = f->at[95].position;
    f->flushed[0] = f->flushed[1] = flushed;
    assert_int_equal(discard(f, flushed), 0);
    abandon_log(f);
    env_fault_crash(f->env, ENV_FAULT_LOST);
    assert_int_equal(commitlog_survey(f->env, uuid, NULL, &survey), 0);
    assert_true(survey.has_note);
    assert_int_equal(survey.flushed[0], flushed);
    assert_int_equal(position_segment(survey.from), position_segment(flushed));
    commitlog_survey_release(&survey);
    fixture_free(f);
}

/* The payload with which a record ends where a page does. */
static size_t payload_to_end_of_page(uint64_t number)
{
    size_t payload_bytes = 0, updates_bytes;

    do {
        struct batch *batch = numbered_batch(number, ++payload_bytes);

        updates_bytes = batch_updates(batch).bytes;
        batch_free(batch);
    } while (updates_bytes < 4096 - SEGMENT_NOTE_BYTES - RECORD_HEADER_BYTES);
    return payload_bytes;
}

static int take_record(void *arg, uint64_t position, int64_t timestamp_us, struct bytes updates,
    unsigned update_count, struct record_memory *memory)
{
    (void)arg;
    (void)position;
    (void)timestamp_us;
    (void)updates;
    (void)update_count;
    (void)memory;
    return 0;
}

/* What a slot held for an older segment of the same number is not taken for the new one's, though
 * nothing but chance lies between. */
static void a_segment_lost_with_its_header_is_never_seen_again(void **state)
{
    struct fixture *f = fixture_new();
    uint8_t zeros[SEGMENT_HEADER_BYTES] = {0};
    char path[SLOT_PATH_BYTES];
    int fd;

    (void)state;
    f->segment_bytes = 64 << 10;
    open_log(f);
    assert_int_equal(append_sized(f, payload_to_end_of_page(1)), 0);
    append(f, 10);
    abandon_log(f);
    path_of(f, f->at[1].position, path);
    /* The header did not reach the disk, all the rest did. */
    assert_int_equal(io_open(f->env, path, O_RDWR, &fd), 0);
    assert_int_equal(io_write(f->env, fd, zeros, sizeof(zeros), 0), 0);
    io_close(f->env, fd);
    recover(f);
    assert_int_equal(f->replayed, 0);
    assert_int_equal(f->result.next_segment, 1);
    /* The same number, slot, timestamp and record once more. */
    forget_after(f, 0);
    open_log(f);
    assert_int_equal(append_sized(f, payload_to_end_of_page(1)), 0);
    assert_int_equal(position_offset(f->at[1].end), 8192);
    assert_int_equal(slot_of(f, f->at[1].position), 0);
    abandon_log(f);
    assert_int_equal(
        commitlog_replay(f->env, uuid, NOTHING_FLUSHED, NULL, 0, take_record, NULL, &f->result), 0);
    assert_int_equal(f->result.records, 1);
    fixture_free(f);
}

static void more_slots_than_usual_go_when_they_are_free(void **state)
{
    struct fixture *f = fixture_new();

    (void)state;
    open_log(f);
    while (slot_count(f, SLOT_RECORDS) < POOL_SLOTS_MAX + 5)
        append(f, 10);
    sync_log(f);
    f->flushed[0] = f->flushed[1] = f->at[f->appended].position;
    assert_int_equal(discard(f, f->flushed[0]), 0);
    assert_int_equal(slot_count(f, SLOT_RECORDS), POOL_SLOTS_MAX);
    append(f, 500);
    close_log(f);
    recover(f);
    assert_int_equal(f->replayed, f->appended);
    fixture_free(f);
}

static void a_flush_before_the_first_append_leaves_nothing_missing(void **state)
{
    struct fixture *f = fixture_new();

    (void)state;
    open_log(f);
    append(f, 40);
    close_log(f);
    recover(f);
    open_log(f);
    /* All flushed, up to a segment that never came to be. */
    commitlog_at_next_position(f->log, hear_position, &f->flushed[1]);
    f->flushed[0] = f->flushed[1];
    assert_int_equal(discard(f, f->flushed[0]), 0);
    close_log(f);
    recover(f);
    assert_int_equal(f->replayed, 0);
    assert_false(f->result.torn);
    open_log(f);
    append(f, 40);
    sync_log(f);
    append(f, 1);
    close_log(f);
    recover(f);
    assert_int_equal(f->first, 41);
    assert_int_equal(f->replayed, 81);
    fixture_free(f);
}

/* ---- large values ---- */

/* A log that has slots for them, and `count` batches, every other one large. */
static struct fixture *large_log(unsigned count)
{
    struct fixture *f = fixture_new();

    f->segment_bytes = 128 << 10;
    f->large = true;
    open_log(f);
    append(f, 1); /* there is no slot yet: in the record */
    assert_true(f->at[1].end - f->at[1].position > BATCH_SPAN_BYTES_MIN);
    run_tasks(f);
    append(f, count - 1);
    return f;
}

static void flip_value(struct fixture *f, unsigned slot, uint64_t offset)
{
    char path[SLOT_PATH_BYTES];

    slot_path(SLOT_VALUES, slot, path);
    env_fault_flip_bit(f->env, path, offset, 3);
}

static void large_values_lie_beside_the_records(void **state)
{
    struct fixture *f = large_log(8);

    (void)state;
    assert_int_equal(slot_count(f, SLOT_VALUES), 3);
    assert_true(f->at[3].end - f->at[3].position < 200);
    assert_true(f->at[5].end - f->at[5].position < 200);
    run_tasks(f);
    append(f, 60);
    sync_log(f);
    abandon_log(f);
    env_fault_crash(f->env, ENV_FAULT_LOST);
    recover(f);
    assert_int_equal(f->replayed, 68);
    /* What is needed of them is not written over in the next life. */
    open_log(f);
    run_tasks(f);
    append(f, 60);
    close_log(f);
    recover(f);
    assert_int_equal(f->replayed, 128);
    fixture_free(f);
}

static void values_are_written_over_once_they_are_flushed(void **state)
{
    struct fixture *f = large_log(2);
    unsigned slots = 0;

    (void)state;
    for (unsigned round = 0; round < 30; round++) {
        append(f, 16);
        run_tasks(f);
        if (round == 5)
            slots = slot_count(f, SLOT_VALUES);
        f->flushed[0] = f->flushed[1] = f->at[f->appended - 2].end;
        assert_int_equal(commitlog_sync_before_flushed(f->log, f->flushed[0], 1), 0);
        assert_int_equal(discard(f, f->flushed[0]), 0);
    }
    assert_int_equal(slot_count(f, SLOT_VALUES), slots);
    assert_true(slots < 8);
    assert_true(f->at[f->appended].end - f->at[f->appended - 1].position < 600);
    sync_log(f);
    abandon_log(f);
    env_fault_crash(f->env, ENV_FAULT_LOST);
    recover(f);
    assert_int_equal(f->first, f->appended - 1);
    assert_int_equal(f->replayed, f->appended);
    fixture_free(f);
}

static void more_values_than_slots_go_into_records(void **state)
{
    struct fixture *f = large_log(2);

    (void)state;
    for (unsigned i = 0; i < 60; i++) {
        append(f, 2);
        run_tasks(f);
    }
    assert_int_equal(slot_count(f, SLOT_VALUES), VALUE_SLOTS_MAX);
    assert_true(f->at[f->appended].end - f->at[f->appended - 1].position > BATCH_SPAN_BYTES_MIN);
    close_log(f);
    recover(f);
    assert_int_equal(f->replayed, f->appended);
    fixture_free(f);
}

static void a_value_in_an_sstable_is_never_synced(void **state)
{
    (void)state;
    for (int named = 0; named < 2; named++) {
        struct fixture *f = large_log(10);

        assert_int_equal(commitlog_sync_before_flushed(f->log, f->at[8].end, 1), 0);
        if (named) {
            /* The manifest says so: everything up to there is as good as synced. */
            assert_int_equal(discard(f, f->at[8].end), 0);
            assert_true(commitlog_synced(f->log) >= f->at[8].end);
            f->flushed[0] = f->at[8].end;
            append(f, 1);
            sync_log(f);
        } else {
            /* The power goes before: nothing had been promised. */
            assert_true(commitlog_synced(f->log) <= f->at[3].position);
            append(f, 1);
            assert_int_equal(commitlog_sync_before_flushed(f->log, f->at[11].end, 1), 0);
            append(f, 1);
            assert_int_equal(commitlog_sync_before_flushed(f->log, f->at[12].end, 1), 0);
        }
        abandon_log(f);
        env_fault_crash(f->env, ENV_FAULT_LOST);
        recover(f);
        assert_int_equal(f->first, 1);
        assert_int_equal(f->replayed, named ? 11 : 2);
        assert_true(f->result.torn);
        fixture_free(f);
    }
}

static void values_of_other_tables_are_synced_before_a_flush(void **state)
{
    struct fixture *f = large_log(10);

    (void)state;
    assert_int_equal(commitlog_sync_before_flushed(f->log, f->at[10].end, 2), 0);
    abandon_log(f);
    env_fault_crash(f->env, ENV_FAULT_LOST);
    f->flushed[1] = f->at[10].end;
    recover(f);
    assert_int_equal(f->replayed, 10);
    fixture_free(f);
}

static void a_damaged_value_is_a_damaged_record(void **state)
{
    (void)state;
    for (int synced = 0; synced < 2; synced++) {
        struct fixture *f = large_log(10);

        if (synced) {
            sync_log(f);
            append(f, 1);
        }
        abandon_log(f);
        flip_value(f, 0, 40000); /* of the second, which is batch 5's */
        if (synced) {
            assert_int_equal(replay(f), -EUCLEAN);
        } else {
            recover(f);
            assert_true(f->result.torn);
            assert_true(f->result.end_position == f->at[5].position);
            assert_true(f->result.dropped_bytes > 0);
        }
        assert_int_equal(f->replayed, 4);
        /* Nobody asks for it when its table is flushed. */
        f->cut_count = 0;
        f->flushed[0] = f->at[6].position;
        assert_int_equal(replay(f), 0);
        assert_int_equal(f->replayed, f->appended);
        fixture_free(f);
    }
}

/* ---- torn tails and damage ---- */

static void a_daemon_killed_loses_nothing_then_or_later(void **state)
{
    struct fixture *f = fixture_new();

    (void)state;
    open_log(f);
    append(f, 50); /* not synced */
    abandon_log(f);
    recover(f);
    assert_int_equal(f->replayed, 50);
    assert_true(f->result.torn); /* no END: must be cut, though nothing is dropped */
    assert_int_equal(f->result.dropped_bytes, 0);
    open_log(f);
    append(f, 5);
    sync_log(f);
    append(f, 1);
    sync_log(f);
    abandon_log(f);
    env_fault_crash(f->env, ENV_FAULT_LOST);
    recover(f);
    assert_int_equal(f->first, 1);
    assert_int_equal(f->replayed, 56);
    fixture_free(f);
}

static void a_torn_tail_is_dropped_and_cut_for_ever(void **state)
{
    struct fixture *f = fixture_new();

    (void)state;
    open_log(f);
    append(f, 20);
    sync_log(f);
    append(f, 30);
    abandon_log(f);
    flip_at(f, f->at[40].position + 30);
    recover(f);
    assert_int_equal(f->replayed, 39);
    assert_true(f->result.torn);
    assert_true(f->result.end_position == f->at[40].position);
    assert_true(f->result.dropped_bytes > 0);
    assert_true(f->result.next_segment > position_segment(f->at[50].position));
    assert_int_equal(f->cut_count, 1);
    forget_after(f, 39);
    /* New life behind the cut, itself torn, and so on. */
    for (int life = 0; life < 3; life++) {
        uint64_t before = f->appended;

        open_log(f);
        append(f, 20);
        sync_log(f);
        append(f, 2);
        sync_log(f);
        append(f, 1);
        abandon_log(f);
        env_fault_crash(f->env, ENV_FAULT_LOST);
        recover(f);
        assert_int_equal(f->first, 1);
        assert_int_equal(f->replayed, before + 22);
        forget_after(f, before + 22);
    }
    /* Without the first cut the hole would be taken for damage. */
    f->cuts[0] = f->cuts[1];
    assert_int_equal(replay(f), -EUCLEAN);
    fixture_free(f);
}

static void damage_before_a_sync_is_refused_with_its_place(void **state)
{
    struct fixture *f = fixture_new();
    char words[64];

    (void)state;
    open_log(f);
    append(f, 20);
    sync_log(f);
    append(f, 1); /* carries the SYNC record */
    abandon_log(f);
    flip_at(f, f->at[10].position + 26);
    assert_int_equal(replay(f), -EUCLEAN);
    assert_int_equal(f->replayed, 9);
    snprintf(words, sizeof(words), "segment %016" PRIx64 " at %" PRIu64 " ",
        position_segment(f->at[10].position), position_offset(f->at[10].position));
    assert_non_null(strstr(err_text(-EUCLEAN), words));
    snprintf(
        words, sizeof(words), "for %" PRIu64 " bytes", f->at[11].position - f->at[10].position);
    assert_non_null(strstr(err_text(-EUCLEAN), words));
    snprintf(words, sizeof(words), "at %" PRIu64, position_offset(f->at[11].position));
    assert_non_null(strstr(err_text(-EUCLEAN), words));
    fixture_free(f);
}

static void damage_below_a_flushed_position_is_refused(void **state)
{
    struct fixture *f = fixture_new();

    (void)state;
    open_log(f);
    append(f, 20);
    abandon_log(f);
    flip_at(f, f->at[10].position + 26);
    f->flushed[0] = f->at[5].position;
    f->flushed[1] = f->at[10].position;
    assert_int_equal(replay(f), 0);
    f->flushed[1] = f->at[10].end;
    assert_int_equal(replay(f), -EUCLEAN);
    /* What all tables have flushed is not even read. */
    f->flushed[0] = f->at[11].position;
    recover(f);
    assert_int_equal(f->first, 11);
    assert_int_equal(f->replayed, 20);
    fixture_free(f);
}

static void a_clean_close_leaves_no_place_for_unseen_rot(void **state)
{
    struct fixture *f = fixture_new();

    (void)state;
    open_log(f);
    append(f, 20);
    close_log(f);
    flip_at(f, f->at[20].position);
    assert_int_equal(replay(f), -EUCLEAN);
    fixture_free(f);
}

static void a_missing_segment_is_refused_if_it_was_synced(void **state)
{
    (void)state;
    for (int synced = 0; synced < 2; synced++) {
        struct fixture *f = fixture_new();
        char path[SLOT_PATH_BYTES];
        uint64_t lost;

        open_log(f);
        append(f, 100);
        if (synced)
            sync_log(f);
        append(f, 1);
        abandon_log(f);
        lost = position_segment(f->at[50].position);
        path_of(f, f->at[50].position, path);
        assert_int_equal(io_unlink(f->env, path), 0);
        if (synced) {
            assert_int_equal(replay(f), -EUCLEAN);
        } else {
            recover(f);
            assert_true(f->result.torn);
            assert_true(f->result.end_position == position_of(lost, 0));
            assert_true(f->replayed < 50);
            forget_after(f, f->replayed);
            open_log(f);
            append(f, 5);
            sync_log(f);
            append(f, 1);
            close_log(f);
            recover(f);
            assert_int_equal(f->replayed, f->appended);
        }
        fixture_free(f);
    }
}

static void a_log_of_another_store_is_refused(void **state)
{
    static const uint8_t other[16] = "another store .";
    struct fixture *f = fixture_new();

    (void)state;
    open_log(f);
    append(f, 1);
    close_log(f);
    assert_int_equal(
        commitlog_replay(f->env, other, NOTHING_FLUSHED, NULL, 0, check_record, f, &f->result),
        -EUCLEAN);
    assert_non_null(strstr(err_text(-EUCLEAN), "another store"));
    fixture_free(f);
}

/* A log of 12 batches in one segment: 6, a sync, 6 more. */
static struct fixture *small_log(void)
{
    struct fixture *f = fixture_new();

    open_log(f);
    append(f, 6);
    sync_log(f);
    append(f, 6);
    abandon_log(f);
    assert_int_equal(position_segment(f->at[1].position), position_segment(f->at[12].position));
    return f;
}

static void every_bit_flip_is_found(void **state)
{
    struct fixture *f = small_log();
    uint64_t end = position_offset(f->at[12].end);
    char path[SLOT_PATH_BYTES];

    (void)state;
    path_of(f, f->at[1].position, path);
    for (uint64_t offset = 0; offset < end; offset++) {
        int r;

        env_fault_flip_bit(f->env, path, offset, (unsigned)(offset % 8));
        r = replay(f);
        assert_true(r == 0 || r == -EUCLEAN);
        if (r == 0 && offset >= position_offset(f->at[7].position) - RECORD_SYNC_BYTES)
            assert_true(f->replayed >= 6);
        if (offset < SEGMENT_HEADER_BYTES)
            assert_int_equal(r, 0); /* there are two of it */
        if (r == 0 && offset < position_offset(f->at[7].position) - RECORD_SYNC_BYTES)
            assert_int_equal(f->replayed, 12); /* or a byte of padding */
        env_fault_flip_bit(f->env, path, offset, (unsigned)(offset % 8));
    }
    assert_int_equal(replay(f), 0);
    assert_int_equal(f->replayed, 12);
    fixture_free(f);
}

static void a_log_cut_off_anywhere_gives_a_prefix(void **state)
{
    struct fixture *f = small_log();
    uint64_t end = position_offset(f->at[12].end);
    char path[SLOT_PATH_BYTES];
    int fd;

    (void)state;
    path_of(f, f->at[1].position, path);
    assert_int_equal(io_open(f->env, path, O_RDWR, &fd), 0);
    for (uint64_t size = end; size > 0; size--) {
        uint64_t whole = 0;

        assert_int_equal(io_truncate(f->env, fd, size - 1), 0);
        assert_int_equal(replay(f), 0);
        for (uint64_t i = 1; i <= 12; i++) {
            const uint64_t offset = position_offset(f->at[i].position);
            struct batch *batch = numbered_batch(i, payload_of(i));

            whole += offset + RECORD_HEADER_BYTES + batch_updates(batch).bytes <= size - 1;
            batch_free(batch);
        }
        assert_int_equal(f->replayed, whole);
        /* Without its header it is none. */
        assert_true(f->result.torn == (size - 1 >= SEGMENT_HEADER_BYTES));
    }
    io_close(f->env, fd);
    fixture_free(f);
}

/* ---- bad days of the disk ---- */

static void a_full_disk_refuses_and_may_be_tried_again(void **state)
{
    struct fixture *f = fixture_new();
    uint64_t number = 0;
    int r;

    (void)state;
    open_log(f);
    append(f, 10);
    sync_log(f);
    env_mem_set_space(f->env, 2 * SEGMENT_BYTES);
    while ((r = append_sized(f, payload_of(f->appended + 1))) == 0)
        number = f->appended;
    assert_int_equal(r, -ENOSPC);
    assert_true(number > 10);
    assert_int_equal(append_sized(f, payload_of(number + 1)), -ENOSPC);
    sync_log(f);
    env_mem_set_space(f->env, 1 << 20);
    append(f, 30);
    close_log(f);
    recover(f);
    assert_int_equal(f->replayed, number + 30);
    fixture_free(f);
}

static void a_disk_that_cannot_allocate_is_written_instead(void **state)
{
    struct fixture *f = fixture_new();
    struct io_stat stat;
    char path[SLOT_PATH_BYTES];

    (void)state;
    open_log(f);
    append(f, 1);
    while (position_segment(f->at[f->appended].position) == 1) {
        env_fault_fail_at(f->env, 2, -EOPNOTSUPP); /* of a new slot: open, allocate */
        append(f, 1);
    }
    path_of(f, f->at[f->appended].position, path);
    assert_int_equal(io_stat(f->env, path, &stat), 0);
    assert_int_equal(stat.size, SEGMENT_BYTES);
    close_log(f);
    recover(f);
    assert_int_equal(f->replayed, f->appended);
    fixture_free(f);
}

static void a_failed_write_is_final(void **state)
{
    struct fixture *f = fixture_new();

    (void)state;
    open_log(f);
    append(f, 5);
    sync_log(f);
    /* Not even this may be tried again, once it left a hole. */
    env_fault_fail_at(f->env, 1, -ENOSPC);
    assert_int_equal(append_sized(f, 10), -EIO);
    assert_int_equal(append_sized(f, 10), -EIO);
    assert_non_null(strstr(err_text(-EIO), "has failed"));
    assert_int_equal(commitlog_sync(f->log, f->at[5].end), -EIO);
    assert_int_equal(commitlog_close(f->log), -EIO);
    f->log = NULL;
    recover(f);
    assert_int_equal(f->replayed, 5);
    fixture_free(f);
}

static void a_failed_sync_is_final(void **state)
{
    struct fixture *f = fixture_new();

    (void)state;
    open_log(f);
    append(f, 5);
    sync_log(f);
    append(f, 5);
    env_fault_fail_at(f->env, 1, -EIO);
    assert_int_equal(commitlog_sync(f->log, f->at[10].end), -EIO);
    /* The disk would now say yes: it must not be asked. */
    assert_int_equal(commitlog_sync(f->log, f->at[10].end), -EIO);
    assert_int_equal(append_sized(f, 10), -EIO);
    assert_true(commitlog_synced(f->log) == f->at[5].end);
    abandon_log(f);
    env_fault_crash(f->env, ENV_FAULT_KEPT);
    recover(f);
    assert_true(f->replayed >= 5 && f->replayed <= 10);
    fixture_free(f);
}

static void a_sync_of_what_is_synced_does_nothing(void **state)
{
    struct fixture *f = fixture_new();
    uint64_t count;

    (void)state;
    open_log(f);
    append(f, 5);
    assert_int_equal(commitlog_sync(f->log, f->at[3].end), 0);
    assert_true(commitlog_synced(f->log) >= f->at[5].end);
    count = env_fault_io_count(f->env);
    assert_int_equal(commitlog_sync(f->log, f->at[5].end), 0);
    assert_int_equal(commitlog_sync(f->log, UINT64_MAX), 0);
    assert_true(env_fault_io_count(f->env) == count);
    fixture_free(f);
}

/* ---- many threads ---- */

enum { THREADS = 6, PER_THREAD = 400 };

struct writer {
    struct commitlog *log;
    unsigned index;
    uint64_t ends[PER_THREAD];
    int64_t timestamps[PER_THREAD];
};

static uint64_t writer_number(unsigned index, unsigned i)
{
    return (uint64_t)index * PER_THREAD + i;
}

static size_t writer_payload(uint64_t number)
{
    return number % 8 ? payload_of(number) : BATCH_SPAN_BYTES_MIN + number;
}

static void *write_many(void *arg)
{
    struct writer *writer = arg;

    for (unsigned i = 0; i < PER_THREAD; i++) {
        uint64_t number = writer_number(writer->index, i);
        struct batch *batch = numbered_batch(number, writer_payload(number));
        uint64_t position;

        if (commitlog_append(
                writer->log, batch, &position, &writer->ends[i], &writer->timestamps[i]) < 0)
            return writer;
        batch_free(batch);
        if (i % 32 == writer->index) {
            if (commitlog_sync(writer->log, writer->ends[i]) < 0)
                return writer;
            if (commitlog_synced(writer->log) < writer->ends[i])
                return writer;
        }
    }
    return NULL;
}

struct audit {
    unsigned next[THREADS]; /* of each writer, what should come next */
    struct writer *writers;
    int64_t last_us;
    uint64_t last_position;
};

static int audit_record(void *arg, uint64_t position, int64_t timestamp_us, struct bytes updates,
    unsigned update_count, struct record_memory *memory)
{
    struct audit *audit = arg;

    (void)memory;
    assert_true(position > audit->last_position);
    assert_true(timestamp_us > audit->last_us);
    audit->last_position = position;
    audit->last_us = timestamp_us;
    for (unsigned t = 0; t < THREADS; t++) {
        unsigned i = audit->next[t];
        uint64_t number = writer_number(t, i);

        if (i == PER_THREAD || audit->writers[t].timestamps[i] != timestamp_us)
            continue;
        assert_true(numbered_batch_is(number, writer_payload(number), updates, update_count));
        assert_true(updates.size >= BATCH_SPAN_BYTES_MIN ||
                    record_aligned(position + RECORD_HEADER_BYTES + updates.size) ==
                        audit->writers[t].ends[i]);
        audit->next[t]++;
        return 0;
    }
    fail_msg("a record with a timestamp that nobody was given");
    return -EINVAL;
}

static int remove_name(void *arg, const char *name)
{
    char path[64];

    snprintf(path, sizeof(path), COMMITLOG_FOLDER "/%s", name);
    return io_unlink(arg, path);
}

static void many_threads_share_one_order(void **state)
{
    char folder[] = "/tmp/sstfs-log-XXXXXX";
    struct commitlog_options options = {.segment_bytes = 256 << 10, .next_segment = 1};
    struct writer *writers = calloc(THREADS, sizeof(*writers));
    struct audit audit = {.writers = writers};
    struct commitlog_replay_result result;
    pthread_t threads[THREADS];
    struct commitlog *log;
    struct env *env;

    (void)state;
    assert_non_null(writers);
    assert_non_null(mkdtemp(folder));
    assert_int_equal(env_posix_new(folder, &env), 0);
    memcpy(options.store_uuid, uuid, sizeof(uuid));
    assert_int_equal(commitlog_open(env, &options, &log), 0);
    for (unsigned t = 0; t < THREADS; t++) {
        writers[t].log = log;
        writers[t].index = t;
        assert_int_equal(pthread_create(&threads[t], NULL, write_many, &writers[t]), 0);
    }
    for (unsigned t = 0; t < THREADS; t++) {
        void *failed;

        assert_int_equal(pthread_join(threads[t], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(commitlog_close(log), 0);
    assert_int_equal(
        commitlog_replay(env, uuid, NOTHING_FLUSHED, NULL, 0, audit_record, &audit, &result), 0);
    assert_false(result.torn);
    assert_int_equal(result.records, THREADS * PER_THREAD);
    for (unsigned t = 0; t < THREADS; t++)
        assert_int_equal(audit.next[t], PER_THREAD);
    assert_int_equal(io_list(env, COMMITLOG_FOLDER, remove_name, env), 0);
    assert_int_equal(io_rmdir(env, COMMITLOG_FOLDER), 0);
    env_free(env);
    assert_int_equal(rmdir(folder), 0);
    free(writers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_replayed_from_nothing),
        cmocka_unit_test(what_was_appended_is_replayed_in_order),
        cmocka_unit_test(logs_of_many_lives_are_replayed_as_one),
        cmocka_unit_test(a_clock_that_steps_back_leaves_timestamps_counting),
        cmocka_unit_test(a_record_larger_than_a_segment_gets_a_larger_one),
        cmocka_unit_test(an_error_of_the_taker_ends_replay),
        cmocka_unit_test(the_next_record_is_not_before_the_next_position),
        cmocka_unit_test(what_is_flushed_is_discarded_and_not_missed),
        cmocka_unit_test(slots_are_used_again_and_again),
        cmocka_unit_test(before_a_segment_is_cleared_the_log_says_what_is_flushed),
        cmocka_unit_test(a_segment_lost_with_its_header_is_never_seen_again),
        cmocka_unit_test(more_slots_than_usual_go_when_they_are_free),
        cmocka_unit_test(a_flush_before_the_first_append_leaves_nothing_missing),
        cmocka_unit_test(large_values_lie_beside_the_records),
        cmocka_unit_test(values_are_written_over_once_they_are_flushed),
        cmocka_unit_test(more_values_than_slots_go_into_records),
        cmocka_unit_test(a_value_in_an_sstable_is_never_synced),
        cmocka_unit_test(values_of_other_tables_are_synced_before_a_flush),
        cmocka_unit_test(a_damaged_value_is_a_damaged_record),
        cmocka_unit_test(a_daemon_killed_loses_nothing_then_or_later),
        cmocka_unit_test(a_torn_tail_is_dropped_and_cut_for_ever),
        cmocka_unit_test(damage_before_a_sync_is_refused_with_its_place),
        cmocka_unit_test(damage_below_a_flushed_position_is_refused),
        cmocka_unit_test(a_clean_close_leaves_no_place_for_unseen_rot),
        cmocka_unit_test(a_missing_segment_is_refused_if_it_was_synced),
        cmocka_unit_test(a_log_of_another_store_is_refused),
        cmocka_unit_test(every_bit_flip_is_found),
        cmocka_unit_test(a_log_cut_off_anywhere_gives_a_prefix),
        cmocka_unit_test(a_full_disk_refuses_and_may_be_tried_again),
        cmocka_unit_test(a_disk_that_cannot_allocate_is_written_instead),
        cmocka_unit_test(a_failed_write_is_final),
        cmocka_unit_test(a_failed_sync_is_final),
        cmocka_unit_test(a_sync_of_what_is_synced_does_nothing),
        cmocka_unit_test(many_threads_share_one_order),
    };
    return cmocka_run_group_tests_name("commitlog", tests, NULL, NULL);
}
