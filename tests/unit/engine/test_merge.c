/*
 * Goal: a merge says what all of its sources together say, in the fewest words.
 * Method: worked cases, and random partitions against the naive model (SSTFS_SEED replays).
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/error.h"
#include "rows/compare.h"
#include "rows/merge.h"
#include "support/row_model.h"

#define SOURCES_MAX 5

static const char *partition_text(struct partition_iterator *partition, struct buf *buf)
{
    buf_clear(buf);
    assert_int_equal(partition_to_text(partition, buf), 0);
    return text_of(buf);
}

static void random_partitions_merge_as_the_model_does(void **state)
{
    uint64_t seed = random_seed(1);
    struct buf merged_text = BUF_INIT, model_text = BUF_INIT;
    struct arena arena;
    (void)state;

    arena_init(&arena, 1 << 16);
    for (uint64_t round = 0; round < 20000; round++) {
        struct random random = {seed + round};
        unsigned count = 1 + random_below(&random, SOURCES_MAX);
        struct model models[SOURCES_MAX], expected;
        struct array_partition arrays[SOURCES_MAX], array;
        struct partition_iterator *sources[SOURCES_MAX], *merged, *iterator;
        const char *got, *wanted;

        arena_reset(&arena);
        for (unsigned i = 0; i < count; i++) {
            model_random(&random, &models[i]);
            arrays[i] = model_to_array(&models[i], BYTES_LITERAL("k"), &arena);
            sources[i] = array_partition_open(&model_schema, &arrays[i]);
        }
        model_merge(models, count, &expected);
        array = model_to_array(&expected, BYTES_LITERAL("k"), &arena);
        iterator = array_partition_open(&model_schema, &array);
        assert_int_equal(merge_partitions(&model_schema, sources, count, &merged), 0);
        got = partition_text(merged, &merged_text);
        wanted = partition_text(iterator, &model_text);
        partition_close(merged);
        partition_close(iterator);
        if (strcmp(got, wanted) != 0)
            fail_msg(
                "SSTFS_SEED=%" PRIu64 "\nmerged:\n%s\nexpected:\n%s", seed + round, got, wanted);
        assert_int_equal(array_partitions_open(), 0);
    }
    arena_release(&arena);
    buf_release(&merged_text);
    buf_release(&model_text);
}

#define KEYS 6

/* Which source holds which key, and what. */
struct store {
    bool has[SOURCES_MAX][KEYS];
    struct model models[SOURCES_MAX][KEYS];
};

static struct bytes nth_key(unsigned n)
{
    /* In the order of their tokens. */
    static uint8_t keys[KEYS];
    static bool sorted;

    for (unsigned i = 0; !sorted && i < KEYS; i++)
        keys[i] = (uint8_t)(i * 31 + 7);
    for (unsigned i = 0; !sorted && i < KEYS; i++) {
        for (unsigned j = i + 1; j < KEYS; j++) {
            struct decorated_key a = decorated_key_of(bytes_of(&keys[i], 1));
            struct decorated_key b = decorated_key_of(bytes_of(&keys[j], 1));
            if (decorated_key_compare(&a, &b) > 0) {
                uint8_t key = keys[i];
                keys[i] = keys[j];
                keys[j] = key;
            }
        }
    }
    sorted = true;
    return bytes_of(&keys[n], 1);
}

static void expected_of_store(
    const struct store *store, unsigned count, struct arena *arena, struct buf *to)
{
    buf_clear(to);
    for (unsigned key = 0; key < KEYS; key++) {
        struct model versions[SOURCES_MAX], merged;
        unsigned found = 0;
        struct array_partition array;
        struct partition_iterator *iterator;

        for (unsigned i = 0; i < count; i++) {
            if (store->has[i][key])
                versions[found++] = store->models[i][key];
        }
        if (found == 0)
            continue;
        model_merge(versions, found, &merged);
        array = model_to_array(&merged, nth_key(key), arena);
        iterator = array_partition_open(&model_schema, &array);
        assert_int_equal(partition_to_text(iterator, to), 0);
        partition_close(iterator);
    }
}

static void scanners_merge_partition_by_partition(void **state)
{
    uint64_t seed = random_seed(1);
    struct buf got = BUF_INIT, wanted = BUF_INIT;
    struct arena arena;
    (void)state;

    arena_init(&arena, 1 << 16);
    for (uint64_t round = 0; round < 1000; round++) {
        struct random random = {seed + round};
        unsigned count = 1 + random_below(&random, SOURCES_MAX);
        struct array_partition arrays[SOURCES_MAX][KEYS];
        struct partition_scanner *sources[SOURCES_MAX], *merged;
        struct partition_iterator *partition;
        struct store store;
        int r;

        arena_reset(&arena);
        for (unsigned i = 0; i < count; i++) {
            size_t partitions = 0;
            for (unsigned key = 0; key < KEYS; key++) {
                store.has[i][key] = random_below(&random, 2);
                model_random(&random, &store.models[i][key]);
                if (store.has[i][key])
                    arrays[i][partitions++] =
                        model_to_array(&store.models[i][key], nth_key(key), &arena);
            }
            sources[i] = array_scanner_open(&model_schema, arrays[i], partitions);
        }
        expected_of_store(&store, count, &arena, &wanted);
        assert_int_equal(merge_scanners(&model_schema, sources, count, &merged), 0);
        buf_clear(&got);
        while ((r = scanner_next(merged, &partition)) > 0)
            assert_int_equal(partition_to_text(partition, &got), 0);
        assert_int_equal(r, 0);
        scanner_close(merged);
        if (strcmp(text_of(&got), text_of(&wanted)) != 0)
            fail_msg("SSTFS_SEED=%" PRIu64 "\nmerged:\n%s\nexpected:\n%s", seed + round,
                text_of(&got), text_of(&wanted));
        assert_int_equal(array_partitions_open(), 0);
    }
    arena_release(&arena);
    buf_release(&got);
    buf_release(&wanted);
}

static void partitions_need_not_be_read_to_their_end(void **state)
{
    struct random random = {7};
    struct arena arena;
    struct array_partition arrays[2][KEYS];
    struct partition_scanner *sources[2], *merged;
    struct partition_iterator *partition;
    const struct unfiltered *unfiltered;
    unsigned count = 0;
    (void)state;

    arena_init(&arena, 1 << 16);
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned key = 0; key < KEYS; key++) {
            struct model model;
            model_random(&random, &model);
            arrays[i][key] = model_to_array(&model, nth_key(key), &arena);
        }
        sources[i] = array_scanner_open(&model_schema, arrays[i], KEYS);
    }
    assert_int_equal(merge_scanners(&model_schema, sources, 2, &merged), 0);
    while (scanner_next(merged, &partition) > 0) {
        assert_true(bytes_equal(partition->key.key, nth_key(count)));
        if (count++ % 2)
            assert_true(partition_next(partition, &unfiltered) >= 0);
    }
    assert_int_equal(count, KEYS);
    scanner_close(merged);
    assert_int_equal(array_partitions_open(), 0);
    arena_release(&arena);
}

static void a_failing_source_fails_the_merge_for_good(void **state)
{
    struct array_partition arrays[2] = {
        {.key = BYTES_LITERAL("k"), .deletion = DELETION_LIVE, .failure = -EBADMSG},
        {.key = BYTES_LITERAL("k"), .deletion = DELETION_LIVE}};
    struct partition_iterator *sources[2], *merged;
    const struct unfiltered *unfiltered;
    (void)state;

    for (unsigned i = 0; i < 2; i++)
        sources[i] = array_partition_open(&model_schema, &arrays[i]);
    assert_int_equal(merge_partitions(&model_schema, sources, 2, &merged), 0);
    assert_int_equal(partition_next(merged, &unfiltered), -EBADMSG);
    assert_int_equal(partition_next(merged, &unfiltered), -EBADMSG);
    partition_close(merged);
    assert_int_equal(array_partitions_open(), 0);
}

/* Bounds of different lengths, and of all. */
static void ranges_that_overlap_become_boundaries(void **state)
{
    const struct bytes one = BYTES_LITERAL("\0\0\0\1"), two = BYTES_LITERAL("\0\0\0\2");
    const struct deletion old = {5, 50}, new = {7, 70};
    const struct unfiltered first[] = {
        {.is_marker = true, .marker = {BOUND_START_OF_ALL, DELETION_LIVE, old}},
        {.is_marker = true, .marker = {{&two, 1, KIND_INCL_END}, old, DELETION_LIVE}}};
    const struct unfiltered second[] = {
        {.is_marker = true, .marker = {{&one, 1, KIND_EXCL_START}, DELETION_LIVE, new}},
        {.is_marker = true, .marker = {BOUND_END_OF_ALL, new, DELETION_LIVE}}};
    const struct array_partition arrays[] = {
        {.key = BYTES_LITERAL("k"), .deletion = DELETION_LIVE, .unfiltereds = first, .count = 2},
        {.key = BYTES_LITERAL("k"), .deletion = DELETION_LIVE, .unfiltereds = second, .count = 2}};
    struct partition_iterator *sources[2], *merged;
    struct buf text = BUF_INIT;
    (void)state;

    for (unsigned i = 0; i < 2; i++)
        sources[i] = array_partition_open(&model_schema, &arrays[i]);
    assert_int_equal(merge_partitions(&model_schema, sources, 2, &merged), 0);
    assert_string_equal(partition_text(merged, &text), "partition 6b -\n"
                                                       "marker 1() - 5@50\n"
                                                       "marker 5(00000001) 5@50 7@70\n"
                                                       "marker 6() 7@70 -\n");
    partition_close(merged);
    buf_release(&text);
}

static void one_source_is_passed_through(void **state)
{
    const struct array_partition array = {.key = BYTES_LITERAL("k"), .deletion = DELETION_LIVE};
    struct partition_iterator *source = array_partition_open(&model_schema, &array), *merged;
    struct partition_scanner *scanner = array_scanner_open(&model_schema, &array, 1),
                             *merged_scanner;
    (void)state;

    assert_int_equal(merge_partitions(&model_schema, &source, 1, &merged), 0);
    assert_ptr_equal(merged, source);
    partition_close(merged);
    assert_int_equal(merge_scanners(&model_schema, &scanner, 1, &merged_scanner), 0);
    assert_ptr_equal(merged_scanner, scanner);
    scanner_close(merged_scanner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_partitions_merge_as_the_model_does),
        cmocka_unit_test(scanners_merge_partition_by_partition),
        cmocka_unit_test(partitions_need_not_be_read_to_their_end),
        cmocka_unit_test(a_failing_source_fails_the_merge_for_good),
        cmocka_unit_test(ranges_that_overlap_become_boundaries),
        cmocka_unit_test(one_source_is_passed_through),
    };
    return cmocka_run_group_tests_name("rows/merge", tests, NULL, NULL);
}
