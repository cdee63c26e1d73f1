/*
 * Goal: of two facts about one thing every reader chooses the same one.
 * Method: each rule with a pair that only it decides, both ways round; rows under deletions. Random
 * rows are in test_merge.c.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "rows/reconcile.h"
#include "support/array_partition.h"

#define LASTS LOCAL_DELETION_TIME_NONE

static void cells_are_decided_by_the_first_rule_that_tells_them_apart(void **state)
{
    /* The first of each pair wins. */
    const struct cell pairs[][2] = {
        /* newer */
        {{.timestamp_us = 2, .local_deletion_time_s = LASTS, .value = BYTES_LITERAL("a")},
            {.timestamp_us = 1, .local_deletion_time_s = 9}},
        /* a tombstone, an expiring one over what lasts */
        {{.timestamp_us = 1, .local_deletion_time_s = 1},
            {.timestamp_us = 1, .local_deletion_time_s = LASTS, .value = BYTES_LITERAL("z")}},
        {{.timestamp_us = 1, .local_deletion_time_s = 9, .ttl_s = 5},
            {.timestamp_us = 1, .local_deletion_time_s = LASTS, .value = BYTES_LITERAL("z")}},
        /* a tombstone over an expiring one, though it is not expired */
        {{.timestamp_us = 1, .local_deletion_time_s = 1},
            {.timestamp_us = 1, .local_deletion_time_s = 9, .ttl_s = 5}},
        /* the later local deletion time */
        {{.timestamp_us = 1, .local_deletion_time_s = 2},
            {.timestamp_us = 1, .local_deletion_time_s = 1}},
        {{.timestamp_us = 1, .local_deletion_time_s = 9, .ttl_s = 5},
            {.timestamp_us = 1, .local_deletion_time_s = 8, .ttl_s = 4}},
        /* the smaller ttl: it was written later */
        {{.timestamp_us = 1, .local_deletion_time_s = 9, .ttl_s = 4},
            {.timestamp_us = 1,
                .local_deletion_time_s = 9,
                .ttl_s = 5,
                .value = BYTES_LITERAL("z")}},
        /* the larger value, unsigned */
        {{.timestamp_us = 1, .local_deletion_time_s = LASTS, .value = BYTES_LITERAL("\xff")},
            {.timestamp_us = 1, .local_deletion_time_s = LASTS, .value = BYTES_LITERAL("\x01zz")}},
        {{.timestamp_us = 1, .local_deletion_time_s = LASTS, .value = BYTES_LITERAL("aa")},
            {.timestamp_us = 1, .local_deletion_time_s = LASTS, .value = BYTES_LITERAL("a")}},
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(pairs); i++) {
        assert_ptr_equal(cell_reconcile(&pairs[i][0], &pairs[i][1]), &pairs[i][0]);
        assert_ptr_equal(cell_reconcile(&pairs[i][1], &pairs[i][0]), &pairs[i][0]);
    }
}

static void livenesses_are_decided_by_time_then_expiry(void **state)
{
    const struct liveness pairs[][2] = {
        {{2, 0, LASTS}, {1, 5, 9}},
        {{1, 5, 9}, {1, 0, LASTS}},
        {{1, INT32_MAX, 9}, {1, 5, 99}},
        {{1, 5, 9}, {1, 4, 8}},
        {{1, 4, 9}, {1, 5, 9}},
        {{1, 0, LASTS}, LIVENESS_NONE},
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(pairs); i++) {
        for (size_t turned = 0; turned < 2; turned++) {
            struct liveness got = liveness_reconcile(pairs[i][turned], pairs[i][!turned]);
            assert_true(got.timestamp_us == pairs[i][0].timestamp_us);
            assert_int_equal(got.ttl_s, pairs[i][0].ttl_s);
            assert_int_equal(got.local_deletion_time_s, pairs[i][0].local_deletion_time_s);
        }
    }
}

static void deletions_supersede_by_timestamp_then_local_time(void **state)
{
    const struct deletion a = {2, 1}, b = {1, 9}, c = {1, 8};
    (void)state;

    assert_true(deletion_supersedes(a, b) && !deletion_supersedes(b, a));
    assert_true(deletion_supersedes(b, c) && !deletion_supersedes(c, b));
    assert_false(deletion_supersedes(a, a));
    assert_true(deletion_supersedes(c, DELETION_LIVE));
    assert_true(deletion_newest(b, a).marked_for_delete_at_us == 2);
    assert_true(deletion_deletes(a, 2) && !deletion_deletes(a, 3));
}

static const struct column columns[] = {{"a", &type_blob}, {"m", &type_map_blob_blob}};

static void expect(const struct row *rows, unsigned count, struct deletion active, const char *text)
{
    const struct row *pointers[4];
    struct buf got = BUF_INIT;
    struct arena arena;
    struct row merged;
    int r;

    arena_init(&arena, 1024);
    for (unsigned i = 0; i < count; i++)
        pointers[i] = &rows[i];
    r = row_merge(columns, pointers, count, active, &arena, &merged);
    assert_int_equal(r, text != NULL);
    if (text) {
        row_to_text(&merged, &got);
        assert_string_equal(text_of(&got), text);
    }
    buf_release(&got);
    arena_release(&arena);
}

static void a_row_recreated_shows_nothing_of_the_old_one(void **state)
{
    /* As a batch writes it: the deletion one below the values. */
    const struct cell old[] = {
        {.timestamp_us = 5, .local_deletion_time_s = LASTS}, {.timestamp_us = 5,
                                                                 .local_deletion_time_s = LASTS,
                                                                 .column = 1,
                                                                 .path = BYTES_LITERAL("p")}};
    const struct cell new = {.timestamp_us = 10, .local_deletion_time_s = LASTS};
    const struct row rows[] = {{.clustering.kind = KIND_ROW,
                                   .liveness = {5, 0, LASTS},
                                   .deletion = DELETION_LIVE,
                                   .cell_count = 2,
                                   .cells = old},
        {.clustering.kind = KIND_ROW, .liveness = LIVENESS_NONE, .deletion = {9, 90}},
        {.clustering.kind = KIND_ROW,
            .liveness = {10, 0, LASTS},
            .deletion = DELETION_LIVE,
            .cell_count = 1,
            .cells = &new}};
    (void)state;

    expect(rows, 3, DELETION_LIVE, "row 4() live 10 deleted 9@90 0[]10=\n");
    expect(rows, 2, DELETION_LIVE, "row 4() deleted 9@90\n");
    /* A deletion of the partition at the same time makes the row's superfluous. */
    expect(rows, 3, (struct deletion){9, 90}, "row 4() live 10 0[]10=\n");
    expect(rows, 2, (struct deletion){9, 90}, NULL);
    expect(rows, 3, (struct deletion){10, 0}, NULL);
}

static void a_cleared_map_keeps_what_came_later(void **state)
{
    const struct cell cells[] = {{.timestamp_us = 4, .local_deletion_time_s = LASTS},
        {.timestamp_us = 5,
            .local_deletion_time_s = LASTS,
            .column = 1,
            .path = BYTES_LITERAL("p")},
        {.timestamp_us = 6,
            .local_deletion_time_s = LASTS,
            .column = 1,
            .path = BYTES_LITERAL("q")}};
    const struct complex_deletion cleared = {1, {5, 50}};
    const struct row rows[] = {{.clustering.kind = KIND_ROW,
                                   .liveness = LIVENESS_NONE,
                                   .deletion = DELETION_LIVE,
                                   .cell_count = 3,
                                   .cells = cells},
        {.clustering.kind = KIND_ROW,
            .liveness = LIVENESS_NONE,
            .deletion = DELETION_LIVE,
            .complex_deletion_count = 1,
            .complex_deletions = &cleared}};
    (void)state;

    expect(rows, 2, DELETION_LIVE, "row 4() 1!5@50 0[]4= 1[71]6=\n");
    expect(rows, 2, (struct deletion){5, 50}, "row 4() 1[71]6=\n");
    expect(rows, 1, (struct deletion){4, 40}, "row 4() 1[70]5= 1[71]6=\n");
}

static void expiry_is_the_first_second_of_death(void **state)
{
    const struct cell expiring = {.local_deletion_time_s = 100, .ttl_s = 10};
    const struct cell tombstone = {.local_deletion_time_s = 100};
    const struct cell lasting = {.local_deletion_time_s = LASTS};
    const struct row row = {.liveness = LIVENESS_NONE, .cell_count = 1, .cells = &expiring};
    (void)state;

    assert_true(cell_is_live(&expiring, 99) && !cell_is_live(&expiring, 100));
    assert_false(cell_is_live(&tombstone, 1));
    assert_true(cell_is_live(&lasting, INT64_MAX));
    assert_true(row_is_live(&row, 99) && !row_is_live(&row, 100));
    assert_true(liveness_is_live((struct liveness){1, 10, 100}, 99));
    assert_false(liveness_is_live((struct liveness){1, 10, 100}, 100));
    assert_false(liveness_is_live((struct liveness){1, INT32_MAX, 100}, 99));
    assert_false(liveness_is_live(LIVENESS_NONE, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cells_are_decided_by_the_first_rule_that_tells_them_apart),
        cmocka_unit_test(livenesses_are_decided_by_time_then_expiry),
        cmocka_unit_test(deletions_supersede_by_timestamp_then_local_time),
        cmocka_unit_test(a_row_recreated_shows_nothing_of_the_old_one),
        cmocka_unit_test(a_cleared_map_keeps_what_came_later),
        cmocka_unit_test(expiry_is_the_first_second_of_death),
    };
    return cmocka_run_group_tests_name("rows/reconcile", tests, NULL, NULL);
}
