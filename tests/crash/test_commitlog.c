/*
 * Goal: whatever the power cut leaves, replay finds a prefix of what was appended, not shorter than
 * the last successful commitlog_sync(), nothing altered; and so does every later recovery.
 * Method: run a workload (appends of many sizes, syncs, flushes after which slots are used again,
 * the background that makes slots, closing and opening) once to count its changing I/O calls; then,
 * for each of them and each variant of the disk, cut the power there, recover, go on with the
 * workload, and cut it again at a place drawn from the seed, some lives long. The manifest (flushed
 * position, cuts) is a few variables here, which never lose anything.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "../support/numbered_batch.h"
#include "commitlog/commitlog.h"
#include "engine/error.h"
#include "io/fault.h"

#define NUMBERS_MAX 1024
#define CUTS_MAX 16
#define SEGMENT_BYTES 8192
/* Of the seeds with large values: a slot has room for one. */
#define SEGMENT_BYTES_LARGE (64 << 10)
#define STEPS 45
#define LIVES 4
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SEEDS 5
#else
#define SEEDS 15
#endif

static const uint8_t uuid[16] = "store of a test";

struct store {
    struct env *env;
    struct commitlog *log;
    /* The manifest. */
    uint64_t flushed;
    uint64_t flushed_number; /* batches before this need not come back */
    struct commitlog_cut cuts[CUTS_MAX];
    unsigned cut_count;
    /* What was said. Batches are numbered from 1. */
    uint64_t appended; /* acknowledged by commitlog_append() */
    uint64_t durable;  /* of these, covered by a successful commitlog_sync() */
    uint64_t ends[NUMBERS_MAX];
    int64_t timestamps[NUMBERS_MAX];
    /* Of the last recovery. */
    struct commitlog_replay_result result;
    uint64_t replayed;
    /* To replay a failure. */
    uint64_t seed, cut_at;
    unsigned variant, life;
};

static bool has_large_values(uint64_t seed)
{
    return seed % 5 == 0;
}

static size_t payload_of(const struct store *s, uint64_t number)
{
    if (has_large_values(s->seed) && number % 3 == 0)
        return BATCH_SPAN_BYTES_MIN + number * 97 % 1400;
    return number * 97 % 1400;
}

static void complain(const struct store *s, const char *what)
{
    fail_msg("%s: seed %" PRIu64 ", power cut at change %" PRIu64 ", variant %u, life %u: "
             "appended %" PRIu64 ", durable %" PRIu64 ", flushed %" PRIu64 ", replayed %" PRIu64,
        what, s->seed, s->cut_at, s->variant, s->life, s->appended, s->durable, s->flushed_number,
        s->replayed);
}

static int check_record(void *arg, uint64_t position, int64_t timestamp_us, struct bytes updates,
    unsigned update_count, struct record_memory *memory)
{
    struct store *s = arg;
    uint64_t number = s->replayed + 1;

    (void)memory;
    if (!numbered_batch_is(number, payload_of(s, number), updates, update_count))
        complain(s, "another batch than was appended");
    /* One more than acknowledged may be there: the cut came before we could say so. */
    if (number > s->appended + 1)
        complain(s, "a batch that was never appended");
    if (number <= s->appended && timestamp_us != s->timestamps[number])
        complain(s, "another timestamp than was given");
    if (number > 1 && timestamp_us <= s->timestamps[number - 1])
        complain(s, "timestamps out of order");
    s->ends[number] = position;
    s->timestamps[number] = timestamp_us;
    s->replayed = number;
    return 0;
}

/* What a mount does; an error is of the power. */
static int recover(struct store *s)
{
    struct commitlog_flushed flushed = {&s->flushed, 1};
    int r = commitlog_secure(s->env, uuid, flushed, s->cuts, s->cut_count);

    if (r < 0)
        return r;
    s->replayed = s->flushed_number > 0 ? s->flushed_number - 1 : 0;
    r = commitlog_replay(s->env, uuid, flushed, s->cuts, s->cut_count, check_record, s, &s->result);
    if (r == -EUCLEAN)
        complain(s, err_text(r));
    if (r < 0)
        return r;
    if (s->replayed < s->durable)
        complain(s, "durable batches are lost");
    s->appended = s->durable = s->replayed;
    if (s->result.torn) {
        assert_true(s->cut_count < CUTS_MAX);
        s->cuts[s->cut_count++] =
            (struct commitlog_cut){s->result.end_position, s->result.next_segment};
    }
    return 0;
}

static int open_log(struct store *s)
{
    struct commitlog_options options = {
        .segment_bytes = has_large_values(s->seed) ? SEGMENT_BYTES_LARGE : SEGMENT_BYTES,
        .last_timestamp_us = s->appended ? s->timestamps[s->appended] : 0,
        .next_segment = s->result.next_segment,
        .flushed = {&s->flushed, 1},
        .value_uses = s->result.value_uses,
    };

    memcpy(options.store_uuid, uuid, sizeof(uuid));
    return commitlog_open(s->env, &options, &s->log);
}

static int append_one(struct store *s)
{
    uint64_t number = s->appended + 1;
    struct batch *batch = numbered_batch(number, payload_of(s, number));
    uint64_t position;
    int r;

    assert_true(number + 1 < NUMBERS_MAX);
    r = commitlog_append(s->log, batch, &position, &s->ends[number], &s->timestamps[number]);
    batch_free(batch);
    if (r == 0)
        s->appended = number;
    return r;
}

static void hear_position(void *arg, uint64_t position)
{
    *(uint64_t *)arg = position;
}

/* All tables flushed up to now: log before table, then the segments may go. */
static int flush(struct store *s)
{
    uint64_t position = 0;
    int r;

    commitlog_at_next_position(s->log, hear_position, &position);
    r = commitlog_sync_before_flushed(s->log, position, 1);
    if (r < 0)
        return r;
    s->durable = s->appended;
    s->flushed = position;
    s->flushed_number = s->appended + 1;
    return commitlog_discard(s->log, (struct commitlog_flushed){&position, 1});
}

static int close_and_open(struct store *s)
{
    int r = commitlog_close(s->log);

    s->log = NULL;
    if (r < 0)
        return r;
    s->durable = s->appended;
    r = recover(s);
    if (r < 0)
        return r;
    if (s->result.torn)
        complain(s, "a tail is torn after a clean close");
    return open_log(s);
}

/* Until the power goes, or the end. The steps are drawn from the seed, not from the env's. */
static int work(struct store *s)
{
    uint64_t dice = s->seed * 77 + s->life;
    int r = recover(s);

    if (r == 0)
        r = open_log(s);
    for (int i = 0; r == 0 && i < STEPS; i++) {
        dice = dice * 6364136223846793005ull + 1442695040888963407ull;
        switch ((dice >> 33) % 12) {
        case 0:
        case 1:
            r = commitlog_sync(s->log, commitlog_end(s->log));
            if (r == 0)
                s->durable = s->appended;
            break;
        case 2:
            r = i % 2 ? flush(s) : 0;
            break;
        case 3:
            r = i % 4 == 0 ? close_and_open(s) : 0;
            break;
        case 4:
            (void)env_run_task(s->env); /* a failure is the log's from then on */
            break;
        default:
            r = append_one(s);
            break;
        }
    }
    return r;
}

static void start(struct store *s, uint64_t seed)
{
    memset(s, 0, sizeof(*s));
    s->seed = seed;
    assert_int_equal(env_fault_new(seed, &s->env), 0);
}

static uint64_t changes_of_workload(uint64_t seed)
{
    struct store s;
    uint64_t count;

    start(&s, seed);
    assert_int_equal(work(&s), 0);
    commitlog_abandon(s.log);
    count = env_fault_change_count(s.env);
    env_free(s.env);
    return count;
}

/* The first cut at `cut_at`, the later ones anywhere; then a whole life without. */
static void survive(uint64_t seed, uint64_t changes, uint64_t cut_at, unsigned variant)
{
    struct store s;

    start(&s, seed);
    s.cut_at = cut_at;
    s.variant = variant;
    for (s.life = 0; s.life <= LIVES; s.life++) {
        uint64_t nth = s.life == 0 ? cut_at : 1 + env_random(s.env) % changes;
        int r;

        if (s.life < LIVES)
            env_fault_crash_at(s.env, nth);
        r = work(&s);
        if (r != 0 && r != -EIO)
            complain(&s, err_text(r));
        if (r != 0 && s.life == LIVES)
            complain(&s, "an error without a cut");
        commitlog_abandon(s.log);
        s.log = NULL;
        env_fault_crash(s.env, s.life == 0 ? variant : env_random(s.env) % ENV_FAULT_VARIANTS);
    }
    if (recover(&s) < 0)
        complain(&s, err_text(-EIO));
    env_free(s.env);
}

static void what_is_durable_survives_power_cuts_at_every_operation(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t changes = changes_of_workload(seed);

        assert_true(changes > STEPS);
        for (uint64_t cut_at = 1; cut_at <= changes; cut_at++) {
            for (unsigned variant = 0; variant < ENV_FAULT_VARIANTS; variant++)
                survive(seed, changes, cut_at, variant);
        }
    }
}

/*
 * A failed sync may have dropped pages, and the next one may call that a success. So at each call
 * an error: what was said to be durable is there after the crash, or was never said. Also when the
 * log was opened again before the crash, which says that all that is there is durable.
 */
static void an_error_at_any_call_never_makes_a_false_promise(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct store s;
        uint64_t calls;

        start(&s, seed);
        assert_int_equal(work(&s), 0);
        commitlog_abandon(s.log);
        calls = env_fault_io_count(s.env);
        env_free(s.env);
        for (uint64_t nth = 1; nth <= calls; nth++) {
            start(&s, seed);
            s.cut_at = nth;
            env_fault_fail_at(s.env, nth, nth % 2 ? -EIO : -ENOSPC);
            (void)!work(&s);
            commitlog_abandon(s.log);
            s.log = NULL;
            if (nth % 3) {
                s.life = 1;
                assert_int_equal(work(&s), 0);
                commitlog_abandon(s.log);
                s.log = NULL;
            }
            env_fault_crash(s.env, nth % ENV_FAULT_VARIANTS);
            assert_int_equal(recover(&s), 0);
            env_free(s.env);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_durable_survives_power_cuts_at_every_operation),
        cmocka_unit_test(an_error_at_any_call_never_makes_a_false_promise),
    };
    return cmocka_run_group_tests_name("crash/commitlog", tests, NULL, NULL);
}
