/*
 * Goal: compaction forgets what may be forgotten and nothing else; a SELECT sees what lives.
 * Method: random partitions against the naive model (SSTFS_SEED replays), and worked cases.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/error.h"
#include "rows/merge.h"
#include "rows/reconcile.h"
#include "support/row_model.h"

#define KEY BYTES_LITERAL("k")

struct asked {
    int64_t answer_us;
    unsigned times;
};

static int64_t answer(void *arg, const struct decorated_key *key)
{
    struct asked *asked = arg;

    assert_true(bytes_equal(key->key, KEY));
    asked->times++;
    return asked->answer_us;
}

/* The text of what is left of the partition, "" if nothing is. */
static const char *purged_text(
    const struct array_partition *array, const struct purge *purge, struct buf *to)
{
    struct partition_scanner *scanner;
    struct partition_iterator *partition;

    buf_clear(to);
    assert_int_equal(
        purge_scanner(array_scanner_open(&model_schema, array, 1), purge, &scanner), 0);
    while (scanner_next(scanner, &partition) > 0)
        assert_int_equal(partition_to_text(partition, to), 0);
    scanner_close(scanner);
    assert_int_equal(array_partitions_open(), 0);
    return text_of(to);
}

static const char *array_text(const struct array_partition *array, struct buf *to)
{
    struct partition_iterator *partition = array_partition_open(&model_schema, array);

    buf_clear(to);
    assert_int_equal(partition_to_text(partition, to), 0);
    partition_close(partition);
    return text_of(to);
}

static void random_partitions_purge_as_the_model_does(void **state)
{
    uint64_t seed = random_seed(1);
    struct buf got = BUF_INIT, wanted = BUF_INIT;
    struct arena arena;
    unsigned dropped = 0;
    (void)state;

    arena_init(&arena, 1 << 16);
    for (uint64_t round = 0; round < 20000; round++) {
        struct random random = {seed + round};
        struct asked asked = {
            .answer_us = random_below(&random, 2) ? 1 + random_below(&random, 9) : INT64_MAX};
        int64_t now_s = 95 + random_below(&random, 60);
        struct purge purge = {.now_s = now_s,
            .gc_before_s = random_below(&random, 2) ? now_s - random_below(&random, 20) : now_s + 1,
            .max_purgeable = answer,
            .arg = &asked};
        struct array_partition array, expected;
        struct model model;

        arena_reset(&arena);
        model_random(&random, &model);
        array = model_to_array(&model, KEY, &arena);
        model_purge(&model, purge.now_s, purge.gc_before_s, asked.answer_us);
        expected = model_to_array(&model, KEY, &arena);
        purged_text(&array, &purge, &got);
        if (!expected.static_row && expected.count == 0 && deletion_is_live(expected.deletion)) {
            assert_string_equal(text_of(&got), "");
            dropped++;
        } else if (strcmp(text_of(&got), array_text(&expected, &wanted)) != 0) {
            fail_msg("SSTFS_SEED=%" PRIu64 "\npurged:\n%s\nexpected:\n%s", seed + round,
                text_of(&got), text_of(&wanted));
        }
        assert_true(asked.times <= 1);
    }
    assert_true(dropped > 0);
    arena_release(&arena);
    buf_release(&got);
    buf_release(&wanted);
}

static void random_partitions_live_as_the_model_does(void **state)
{
    uint64_t seed = random_seed(1);
    struct buf got = BUF_INIT, wanted = BUF_INIT;
    struct arena arena;
    (void)state;

    arena_init(&arena, 1 << 16);
    for (uint64_t round = 0; round < 20000; round++) {
        struct random random = {seed + round};
        int64_t now_s = 95 + random_below(&random, 60);
        struct array_partition array, expected;
        struct partition_iterator *live;
        struct model model;

        arena_reset(&arena);
        model_random(&random, &model);
        array = model_to_array(&model, KEY, &arena);
        model_live(&model, now_s);
        expected = model_to_array(&model, KEY, &arena);
        assert_int_equal(
            live_partition(array_partition_open(&model_schema, &array), now_s, &live), 0);
        buf_clear(&got);
        assert_int_equal(partition_to_text(live, &got), 0);
        partition_close(live);
        assert_int_equal(array_partitions_open(), 0);
        if (strcmp(text_of(&got), array_text(&expected, &wanted)) != 0)
            fail_msg("SSTFS_SEED=%" PRIu64 "\nlive:\n%s\nexpected:\n%s", seed + round,
                text_of(&got), text_of(&wanted));
    }
    arena_release(&arena);
    buf_release(&got);
    buf_release(&wanted);
}

static struct cell cell_at(int64_t timestamp_us, int32_t ttl_s, int32_t local_deletion_time_s)
{
    return (struct cell){.timestamp_us = timestamp_us,
        .ttl_s = ttl_s,
        .local_deletion_time_s = local_deletion_time_s,
        .value = bytes_of("v", ttl_s || local_deletion_time_s == LOCAL_DELETION_TIME_NONE)};
}

static struct unfiltered row_of(const struct bytes *clustering, const struct cell *cell)
{
    return (struct unfiltered){.row = {.clustering = CLUSTERING_ROW(clustering, 1),
                                   .liveness = LIVENESS_NONE,
                                   .deletion = DELETION_LIVE,
                                   .cells = cell,
                                   .cell_count = 1}};
}

static void rows_beside_a_forgotten_deletion_do_not_rise_again(void **state)
{
    const struct bytes one = BYTES_LITERAL("\0\0\0\1"), two = BYTES_LITERAL("\0\0\0\2");
    const struct cell covered = cell_at(5, 0, LOCAL_DELETION_TIME_NONE);
    const struct cell newer = cell_at(9, 0, LOCAL_DELETION_TIME_NONE);
    const struct deletion deletion = {7, 70};
    const struct unfiltered unfiltereds[] = {
        {.is_marker = true, .marker = {BOUND_START_OF_ALL, DELETION_LIVE, deletion}},
        row_of(&one, &covered), row_of(&two, &newer),
        {.is_marker = true, .marker = {BOUND_END_OF_ALL, deletion, DELETION_LIVE}}};
    const struct unfiltered only_rows[] = {unfiltereds[1], unfiltereds[2]};
    const struct array_partition by_range = {
        .key = KEY, .deletion = DELETION_LIVE, .unfiltereds = unfiltereds, .count = 4};
    const struct array_partition by_partition = {
        .key = KEY, .deletion = deletion, .unfiltereds = only_rows, .count = 2};
    struct asked asked = {.answer_us = INT64_MAX};
    const struct purge purge = {100, 101, answer, &asked};
    struct buf text = BUF_INIT;
    (void)state;

    assert_string_equal(
        purged_text(&by_range, &purge, &text), "partition 6b -\nrow 4(00000002) 0[]9=76\n");
    assert_string_equal(
        purged_text(&by_partition, &purge, &text), "partition 6b -\nrow 4(00000002) 0[]9=76\n");
    buf_release(&text);
}

static void an_expired_cell_becomes_a_tombstone_of_its_writing(void **state)
{
    const struct bytes one = BYTES_LITERAL("\0\0\0\1");
    const struct cell expired = cell_at(5, 30, 90);
    const struct unfiltered unfiltered = row_of(&one, &expired);
    const struct array_partition array = {
        .key = KEY, .deletion = DELETION_LIVE, .unfiltereds = &unfiltered, .count = 1};
    struct asked asked = {.answer_us = INT64_MAX};
    struct purge purge = {.now_s = 90, .gc_before_s = 60, .max_purgeable = answer, .arg = &asked};
    struct buf text = BUF_INIT;
    (void)state;

    assert_string_equal(
        purged_text(&array, &purge, &text), "partition 6b -\nrow 4(00000001) 0[]5@60=\n");
    assert_int_equal(asked.times, 0);
    /* A second before its end it lives. */
    purge.now_s = 89;
    assert_string_equal(
        purged_text(&array, &purge, &text), "partition 6b -\nrow 4(00000001) 0[]5+30@90=76\n");
    /* The tombstone may go at once when the write is old enough. */
    purge.now_s = 91;
    purge.gc_before_s = 61;
    assert_string_equal(purged_text(&array, &purge, &text), "");
    buf_release(&text);
}

static void a_tombstone_over_data_outside_stays(void **state)
{
    const struct array_partition array = {.key = KEY, .deletion = {7, 70}};
    struct asked asked = {.answer_us = 7};
    const struct purge purge = {100, 101, answer, &asked};
    struct buf text = BUF_INIT;
    (void)state;

    assert_string_equal(purged_text(&array, &purge, &text), "partition 6b 7@70\n");
    asked.answer_us = 8;
    assert_string_equal(purged_text(&array, &purge, &text), "");
    buf_release(&text);
}

static void failures_of_the_source_are_passed_on(void **state)
{
    const struct array_partition array = {
        .key = KEY, .deletion = DELETION_LIVE, .failure = -EBADMSG};
    struct asked asked = {.answer_us = INT64_MAX};
    const struct purge purge = {100, 101, answer, &asked};
    struct partition_scanner *scanner;
    struct partition_iterator *partition;
    const struct unfiltered *unfiltered;
    (void)state;

    assert_int_equal(
        purge_scanner(array_scanner_open(&model_schema, &array, 1), &purge, &scanner), 0);
    assert_int_equal(scanner_next(scanner, &partition), -EBADMSG);
    scanner_close(scanner);
    assert_int_equal(
        live_partition(array_partition_open(&model_schema, &array), 100, &partition), 0);
    assert_int_equal(partition_next(partition, &unfiltered), -EBADMSG);
    partition_close(partition);
    assert_int_equal(array_partitions_open(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_partitions_purge_as_the_model_does),
        cmocka_unit_test(random_partitions_live_as_the_model_does),
        cmocka_unit_test(rows_beside_a_forgotten_deletion_do_not_rise_again),
        cmocka_unit_test(an_expired_cell_becomes_a_tombstone_of_its_writing),
        cmocka_unit_test(a_tombstone_over_data_outside_stays),
        cmocka_unit_test(failures_of_the_source_are_passed_on),
    };
    return cmocka_run_group_tests_name("rows/purge", tests, NULL, NULL);
}
