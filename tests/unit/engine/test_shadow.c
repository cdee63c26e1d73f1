/*
 * Goal: an SSTable rid of what newer ones delete reads with them as it did, and holds none of it.
 * Method: random partitions: the merge with the cover is the same before and after; and worked
 * cases. SSTFS_SEED replays.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rows/merge.h"
#include "rows/shadow.h"
#include "support/row_model.h"

#define KEY BYTES_LITERAL("k")

static const char *scanner_text(struct partition_scanner *scanner, struct buf *to)
{
    struct partition_iterator *partition;
    int r;

    buf_clear(to);
    while ((r = scanner_next(scanner, &partition)) > 0)
        assert_int_equal(partition_to_text(partition, to), 0);
    assert_int_equal(r, 0);
    scanner_close(scanner);
    assert_int_equal(array_partitions_open(), 0);
    return text_of(to);
}

static struct partition_scanner *opened(const struct array_partition *array)
{
    return array_scanner_open(&model_schema, array, 1);
}

static int cover_of(
    void *arg, const struct decorated_key *key, struct partition_iterator **ret_iterator)
{
    const struct array_partition *cover = arg;

    if (!bytes_equal(cover->key, key->key))
        return 0;
    *ret_iterator = array_partition_open(&model_schema, cover);
    return 1;
}

static struct partition_scanner *shadowed(
    const struct array_partition *source, struct array_partition *cover)
{
    struct partition_scanner *scanner;

    assert_int_equal(shadow_scanner(opened(source), INT64_MAX, cover_of, cover, &scanner), 0);
    return scanner;
}

/* What is live of `source` merged with the cover. */
static const char *merged_text(
    struct partition_scanner *source, const struct array_partition *cover, struct buf *to)
{
    struct partition_scanner *sources[] = {source, opened(cover)}, *merged;

    assert_int_equal(merge_scanners(&model_schema, sources, 2, &merged), 0);
    return scanner_text(merged, to);
}

static void random_partitions_read_the_same_with_their_cover(void **state)
{
    uint64_t seed = random_seed(1), shorter = 0;
    struct buf before = BUF_INIT, after = BUF_INIT;
    struct arena arena;
    (void)state;

    arena_init(&arena, 1 << 16);
    for (uint64_t round = 0; round < 20000; round++) {
        struct random random = {seed + round};
        struct array_partition source, cover;
        struct model model;

        arena_reset(&arena);
        model_random(&random, &model);
        source = model_to_array(&model, KEY, &arena);
        model_random(&random, &model);
        cover = model_to_array(&model, KEY, &arena);
        merged_text(opened(&source), &cover, &before);
        merged_text(shadowed(&source, &cover), &cover, &after);
        if (strcmp(text_of(&before), text_of(&after)) != 0)
            fail_msg("SSTFS_SEED=%" PRIu64 "\nbefore:\n%s\nafter:\n%s", seed + round,
                text_of(&before), text_of(&after));
        scanner_text(opened(&source), &before);
        scanner_text(shadowed(&source, &cover), &after);
        assert_true(after.size <= before.size);
        shorter += after.size < before.size;
    }
    assert_true(shorter > 5000);
    arena_release(&arena);
    buf_release(&before);
    buf_release(&after);
}

static void nothing_is_left_under_a_newer_partition_deletion(void **state)
{
    struct array_partition cover = {.key = KEY, .deletion = {1000, 100}}, source,
                           empty = {.key = KEY, .deletion = DELETION_LIVE};
    struct buf got = BUF_INIT, wanted = BUF_INIT;
    struct arena arena;
    (void)state;

    arena_init(&arena, 1 << 16);
    for (uint64_t round = 0; round < 1000; round++) {
        struct random random = {round};
        struct model model;

        arena_reset(&arena);
        model_random(&random, &model);
        source = model_to_array(&model, KEY, &arena);
        scanner_text(shadowed(&source, &cover), &got);
        scanner_text(opened(&empty), &wanted);
        assert_string_equal(text_of(&got), text_of(&wanted));
    }
    arena_release(&arena);
    buf_release(&got);
    buf_release(&wanted);
}

static void other_partitions_are_left_alone(void **state)
{
    struct array_partition cover = {.key = BYTES_LITERAL("other"), .deletion = {1000, 100}};
    struct array_partition source;
    struct buf got = BUF_INIT, wanted = BUF_INIT;
    struct random random = {1};
    struct model model;
    struct arena arena;
    (void)state;

    arena_init(&arena, 1 << 16);
    model_random(&random, &model);
    source = model_to_array(&model, KEY, &arena);
    scanner_text(shadowed(&source, &cover), &got);
    scanner_text(opened(&source), &wanted);
    assert_string_equal(text_of(&got), text_of(&wanted));
    arena_release(&arena);
    buf_release(&got);
    buf_release(&wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_partitions_read_the_same_with_their_cover),
        cmocka_unit_test(nothing_is_left_under_a_newer_partition_deletion),
        cmocka_unit_test(other_partitions_are_left_alone),
    };

    return cmocka_run_group_tests_name("shadow", tests, NULL, NULL);
}
