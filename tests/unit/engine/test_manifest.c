/*
 * Goal: the manifest gives back what was committed, whatever tail a crash leaves; a damaged middle
 * is refused; no input makes it abort.
 * Method: commits of all kinds compared with the state read back; files cut at every byte, flipped
 * at every byte; rolling.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/buf.h"
#include "engine/error.h"
#include "engine/log.h"
#include "io/fault.h"
#include "manifest.h"
#include "support/engine_model.h"

static struct manifest_options options_of(bool read_only)
{
    return (struct manifest_options){
        .store_uuid = "a store of tests",
        .tables = model_tables,
        .table_count = MODEL_TABLES,
        .roll_bytes = 4096,
        .read_only = read_only,
    };
}

static void check(int r)
{
    if (r < 0)
        fail_msg("%d: %s", r, err_text(r));
}

static struct manifest *open_manifest(struct env *env, bool read_only)
{
    struct manifest_options options = options_of(read_only);
    struct manifest *manifest = NULL;

    check(manifest_open(env, &options, &manifest));
    return manifest;
}

static struct env *new_env(void)
{
    struct manifest_state state = {.table_count = MODEL_TABLES, .next_number = 1};
    struct manifest_options options = options_of(false);
    struct env *env;

    check(env_fault_new(3, &env));
    check(manifest_create(env, &options, &state));
    return env;
}

static struct manifest_sstable sstable_of(uint64_t number, unsigned table)
{
    struct manifest_sstable sstable = {
        .number = number,
        .run = number,
        .table = table,
        .live = true,
        .level = number % (MANIFEST_LEVEL_MAX + 1),
        .partition_tombstones = number * 3,
        .facts = {.partitions = 5,
            .rows = 1000 + number,
            .tombstones = 4,
            .data_bytes = 1 << 20,
            .total_bytes = 2 << 20,
            .min_timestamp_us = -5,
            .max_timestamp_us = 1700000000000000 + (int64_t)number,
            .min_local_deletion_time_s = LOCAL_DELETION_TIME_NONE,
            .max_local_deletion_time_s = LOCAL_DELETION_TIME_NONE,
            .min_ttl_s = INT32_MAX,
            .first_token = INT64_MIN + 1,
            .last_token = INT64_MAX,
            .digest = 0xdeadbeef},
    };

    sstable_id_make(&sstable.facts.id, 1000000 + number, 77);
    return sstable;
}

/* A history of edits of all kinds. Step n adds SSTable 2n + 1 and snapshot 2n + 2, and more. */
static int commit_step(struct manifest *manifest, unsigned n)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    const struct manifest_state *state = manifest_state(manifest);
    uint64_t number = manifest_next_number(manifest);
    struct manifest_sstable sstable = sstable_of(number, n % MODEL_TABLES);

    manifest_edit_add(&edit, &sstable);
    manifest_edit_flushed(&edit, n % MODEL_TABLES, (n + 1) * 1000);
    manifest_edit_clock(&edit, 5000 + n, n);
    if (n % 4 == 1)
        manifest_edit_cut(&edit, &(struct commitlog_cut){n * 1000ull, n + 1000});
    if (n % 3 == 2) {
        struct manifest_snapshot snapshot = {.number = number + 1,
            .position = n,
            .point_us = n * 10,
            .sstables = &number,
            .sstable_count = 1};

        snprintf(snapshot.tag, sizeof(snapshot.tag), "tag%u", n);
        manifest_edit_snapshot(&edit, &snapshot);
    }
    if (n % 6 == 5) {
        uint64_t first = state->snapshots[0].number;

        manifest_edit_snapshot_append(&edit, first, number);
        manifest_edit_snapshot_complete(&edit, first);
    }
    if (n % 7 == 6)
        manifest_edit_snapshot_remove(&edit, state->snapshots[0].number);
    if (n % 5 == 4)
        manifest_edit_retire(&edit, state->sstables[state->sstable_count - 1].number);
    return manifest_commit(manifest, &edit);
}

/* The state as bytes, to be compared. */
static void encode(const struct manifest *manifest, struct buf *to)
{
    struct manifest_edit edit = MANIFEST_EDIT_INIT;

    manifest_edit_state(&edit, manifest_state(manifest));
    buf_append_bytes(to, buf_bytes(&edit.body));
    manifest_edit_release(&edit);
}

static void expect_same(const struct manifest *manifest, const struct buf *expected)
{
    AUTO(buf_release) struct buf found = BUF_INIT;

    encode(manifest, &found);
    assert_true(bytes_equal(buf_bytes(&found), buf_bytes(expected)));
}

static void expect_levels(const struct manifest_state *state)
{
    for (size_t i = 0; i < state->sstable_count; i++)
        assert_int_equal(
            state->sstables[i].level, state->sstables[i].number % (MANIFEST_LEVEL_MAX + 1));
}

static void what_is_committed_is_read_back(void **state)
{
    struct env *env = new_env();
    struct manifest *manifest = open_manifest(env, false);

    (void)state;
    for (unsigned n = 0; n < 100; n++) { /* it rolls several times */
        AUTO(buf_release) struct buf expected = BUF_INIT;
        struct manifest *reader;

        check(commit_step(manifest, n));
        encode(manifest, &expected);
        reader = open_manifest(env, true);
        expect_same(reader, &expected);
        expect_levels(manifest_state(reader));
        manifest_free(reader);
        if (n % 10 == 9) {
            manifest_free(manifest);
            manifest = open_manifest(env, false);
            expect_same(manifest, &expected);
        }
    }
    manifest_free(manifest);
    env_free(env);
}

static void holders_are_counted(void **state)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    struct env *env = new_env();
    struct manifest *manifest = open_manifest(env, false);
    const struct manifest_state *now = manifest_state(manifest);

    (void)state;
    for (unsigned n = 0; n < 3; n++)
        check(commit_step(manifest, n));
    assert_int_equal(now->sstable_count, 3);
    assert_int_equal(now->sstables[2].holders, 2);
    manifest_edit_retire(&edit, now->sstables[2].number);
    manifest_edit_retire(&edit, now->sstables[0].number);
    check(manifest_commit(manifest, &edit));
    assert_int_equal(now->sstable_count, 2);
    assert_false(now->sstables[1].live);
    assert_int_equal(now->sstables[1].holders, 1);
    manifest_edit_release(&edit);
    manifest_edit_snapshot_remove(&edit, now->snapshots[0].number);
    check(manifest_commit(manifest, &edit));
    assert_int_equal(now->sstable_count, 1);
    manifest_free(manifest);
    env_free(env);
}

static int only_name(void *arg, const char *name)
{
    snprintf(arg, 64, "manifest/%s", name);
    return 0;
}

/* The file of a manifest with some edits; offsets at which each edit ended. */
#define EDITS 6

static void write_edits(struct env *env, struct buf *ret_content, struct buf *states)
{
    struct manifest *manifest = open_manifest(env, false);
    char path[64];

    encode(manifest, &states[0]);
    for (unsigned n = 0; n < EDITS; n++) {
        check(commit_step(manifest, n));
        encode(manifest, &states[n + 1]);
    }
    manifest_free(manifest);
    check(io_list(env, "manifest", only_name, path));
    check(io_read_file(env, path, 1 << 20, ret_content));
}

static void release_all(struct buf *states)
{
    for (unsigned n = 0; n <= EDITS; n++)
        buf_release(&states[n]);
}

/* Which of the states it is; fails if none. */
static unsigned state_of(const struct manifest *manifest, const struct buf *states)
{
    AUTO(buf_release) struct buf found = BUF_INIT;

    encode(manifest, &found);
    for (unsigned n = 0; n <= EDITS; n++)
        if (bytes_equal(buf_bytes(&found), buf_bytes(&states[n])))
            return n;
    fail_msg("a state that never was");
    return 0;
}

static void a_file_cut_anywhere_gives_a_prefix_of_the_edits(void **state)
{
    AUTO(buf_release) struct buf content = BUF_INIT;
    struct buf states[EDITS + 1] = {BUF_INIT};
    struct manifest_options options = options_of(true);
    struct env *env = new_env();
    unsigned newest = 0;
    char path[64];

    (void)state;
    write_edits(env, &content, states);
    check(io_list(env, "manifest", only_name, path));
    for (size_t cut = 0; cut <= content.size; cut += cut < 4096 ? 1 : 997) {
        struct manifest *manifest = NULL;
        int r;

        check(io_write_file(env, path, bytes_of(content.data, cut), true));
        r = manifest_open(env, &options, &manifest);
        if (r < 0) {
            assert_true(r == -EUCLEAN || r == -EPROTO);
            assert_int_equal(newest, 0);
            continue;
        }
        assert_true(state_of(manifest, states) >= newest);
        newest = state_of(manifest, states);
        manifest_free(manifest);
    }
    assert_int_equal(newest, EDITS);
    release_all(states);
    env_free(env);
}

static void a_flipped_byte_is_noticed_and_a_damaged_middle_refused(void **state)
{
    AUTO(buf_release) struct buf content = BUF_INIT;
    struct buf states[EDITS + 1] = {BUF_INIT};
    struct manifest_options options = options_of(true);
    struct env *env = new_env();
    unsigned refused = 0, shorter = 0;
    size_t used;
    char path[64];

    (void)state;
    write_edits(env, &content, states);
    check(io_list(env, "manifest", only_name, path));
    for (used = content.size; used > 0 && content.data[used - 1] == 0; used--)
        continue;
    for (size_t at = 0; at < used; at++) {
        struct manifest *manifest = NULL;
        int r;

        content.data[at] ^= 0x10;
        check(io_write_file(env, path, buf_bytes(&content), true));
        content.data[at] ^= 0x10;
        r = manifest_open(env, &options, &manifest);
        if (r < 0) {
            assert_true(r == -EUCLEAN || r == -EPROTO);
            refused++;
            continue;
        }
        /* Only the last edit can be a torn tail; padding between edits counts for nothing. */
        assert_true(state_of(manifest, states) >= EDITS - 1);
        shorter += state_of(manifest, states) == EDITS - 1;
        manifest_free(manifest);
    }
    assert_true(refused > shorter && shorter > 16);
    release_all(states);
    env_free(env);
}

static void a_manifest_of_other_tables_or_another_store_is_refused(void **state)
{
    struct env *env = new_env();
    struct manifest_options options = options_of(true);
    struct manifest *manifest = NULL;

    (void)state;
    options.table_count = 2;
    assert_int_equal(manifest_open(env, &options, &manifest), -EPROTO);
    options = options_of(true);
    options.tables = model_tables + 1;
    options.table_count = 2;
    assert_int_equal(manifest_open(env, &options, &manifest), -EPROTO);
    options = options_of(true);
    options.store_uuid[3] ^= 1;
    assert_int_equal(manifest_open(env, &options, &manifest), -EUCLEAN);
    env_free(env);
}

static void after_a_failed_commit_none_is_taken(void **state)
{
    struct env *env = new_env();
    struct manifest *manifest = open_manifest(env, false);

    (void)state;
    check(commit_step(manifest, 0));
    env_fault_fail_at(env, 2, -EIO); /* the sync */
    assert_int_equal(commit_step(manifest, 1), -EIO);
    assert_int_equal(commit_step(manifest, 2), -EIO);
    assert_int_equal(manifest_state(manifest)->sstable_count, 1);
    manifest_free(manifest);
    env_free(env);
}

static void a_cut_that_replay_cannot_meet_is_forgotten(void **state)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    struct env *env = new_env();
    struct manifest *manifest = open_manifest(env, false);

    (void)state;
    manifest_edit_cut(&edit, &(struct commitlog_cut){1ull << 32 | 500, 2});
    manifest_edit_cut(&edit, &(struct commitlog_cut){5ull << 32 | 500, 6});
    for (unsigned i = 0; i < MODEL_TABLES; i++)
        manifest_edit_flushed(&edit, i, 3ull << 32);
    check(manifest_commit(manifest, &edit));
    manifest_free(manifest);
    manifest = open_manifest(env, false); /* rolls */
    manifest_free(manifest);
    manifest = open_manifest(env, true);
    assert_int_equal(manifest_state(manifest)->cut_count, 1);
    assert_int_equal(manifest_state(manifest)->cuts[0].to_segment, 6);
    manifest_free(manifest);
    env_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_committed_is_read_back),
        cmocka_unit_test(holders_are_counted),
        cmocka_unit_test(a_file_cut_anywhere_gives_a_prefix_of_the_edits),
        cmocka_unit_test(a_flipped_byte_is_noticed_and_a_damaged_middle_refused),
        cmocka_unit_test(a_manifest_of_other_tables_or_another_store_is_refused),
        cmocka_unit_test(after_a_failed_commit_none_is_taken),
        cmocka_unit_test(a_cut_that_replay_cannot_meet_is_forgotten),
    };

    log_to(fopen("/dev/null", "w"));
    return cmocka_run_group_tests_name("engine/manifest", tests, NULL, NULL);
}
