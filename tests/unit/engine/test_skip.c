/*
 * Goal: a merge reads nothing of a file that lies under a newer range tombstone, and gives what it
 * would give if it had. Method: random partitions in three layers, each newer than the last, two of
 * them SSTables with a promoted index; random slices merged with and without skipping.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/error.h"
#include "rows/compare.h"
#include "rows/merge.h"
#include "sstable/reader.h"
#include "sstable/writer.h"
#include "support/random_partition.h"
#include "support/test_tables.h"

#define ARENA_PIECE_BYTES (1u << 20)
#define NOW_US 1763800000000000
#define NOW_S 1763800000
#define HOUR_US 3600000000ll
#define LAYERS 3u
#define ROUNDS 300u
#define SLICES 8u

struct world {
    struct env *env;
    struct arena arena;
    struct random random;
    struct table_schema schema;
    struct array_partition partitions[LAYERS]; /* of one key, the newest last */
    struct sstable *sstables[LAYERS];
};

static void check(int r)
{
    if (r < 0)
        fail_msg("%s", err_text(r));
}

static void world_begin(struct world *w, uint64_t seed)
{
    *w = (struct world){.random = {seed}, .schema = test_table_dirents};
    w->schema.column_index_bytes = 512;
    w->schema.chunk_bytes = 1u << 10;
    check(env_mem_new(seed, &w->env));
    arena_init(&w->arena, ARENA_PIECE_BYTES);
}

/* A layer as an SSTable of its own. */
static void write_layer(struct world *w, unsigned layer)
{
    struct sstable_writer_options options = {
        .expected_partitions = 1,
        .expected_rows = 100,
        .min_timestamp_us = NOW_US - 2000,
        .min_local_deletion_time_s = NOW_S,
        .min_ttl_s = 1,
    };
    struct sstable_id id = {{(char)('1' + layer)}};
    struct partition_iterator *partition = array_partition_open(&w->schema, &w->partitions[layer]);
    struct sstable_writer *writer;
    struct sstable_facts facts;
    bool written;

    check(sstable_writer_open(w->env, "", &id, &w->schema, &options, &writer));
    check(sstable_writer_write(writer, partition, &written));
    check(sstable_writer_finish(writer, &facts));
    partition_close(partition);
    check(sstable_open(w->env, "", &id, &w->schema, NULL, &w->sstables[layer]));
}

static void world_end(struct world *w)
{
    for (unsigned i = 0; i < LAYERS; i++)
        sstable_unref(w->sstables[i]);
    arena_release(&w->arena);
    env_free(w->env);
}

/* What the layers' slices merge to, as text; without skipping as if no iterator could. */
static struct buf merged_text(struct world *w, const struct slice *slice, bool skipping)
{
    static struct partition_iterator_ops without;
    struct decorated_key key = decorated_key_of(w->partitions[0].key);
    struct partition_iterator *sources[LAYERS], *merged;
    struct buf text = BUF_INIT;
    unsigned count = 0;

    for (unsigned i = 0; i < LAYERS; i++) {
        int r = sstable_read(w->sstables[i], &key, slice, &sources[count]);

        check(r);
        if (r == 0)
            continue;
        if (!skipping) {
            without = *sources[count]->ops;
            without.skip = NULL;
            sources[count]->ops = &without;
        }
        count++;
    }
    if (count == 0)
        return text;
    check(merge_partitions(&w->schema, sources, count, &merged));
    check(partition_to_text(merged, &text));
    partition_close(merged);
    return text;
}

static uint64_t reads_of(const struct world *w)
{
    struct sstable_read_stats stats;
    uint64_t reads = 0;

    for (unsigned i = 0; i < LAYERS; i++) {
        sstable_get_read_stats(w->sstables[i], &stats);
        reads += stats.chunk_reads;
    }
    return reads;
}

static struct slice random_slice(struct world *w)
{
    struct slice slice = SLICE_ALL;

    if (random_below(&w->random, 3) > 0) {
        slice.start = random_clustering(&w->random, &w->arena, &w->schema);
        slice.start.kind = random_below(&w->random, 2) ? KIND_INCL_START : KIND_EXCL_START;
    }
    if (random_below(&w->random, 3) > 0) {
        slice.end = random_clustering(&w->random, &w->arena, &w->schema);
        slice.end.kind = random_below(&w->random, 2) ? KIND_INCL_END : KIND_EXCL_END;
    }
    return slice;
}

static void skipping_changes_nothing_but_the_reads(void **state)
{
    uint64_t with = 0, without = 0;

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct world w;

        world_begin(&w, random_seed(70) + round);
        for (unsigned i = 0; i < LAYERS; i++) {
            struct random_shape shape = {
                .rows_max = i == LAYERS - 1 ? 10 : 100,
                .value_bytes_max = 100,
                .timestamp_us = NOW_US + i * 2 * HOUR_US,
                .local_deletion_time_s = NOW_S,
            };

            do {
                random_partition(&w.random, &w.arena, &w.schema, &shape, &w.partitions[i]);
            } while (w.partitions[i].count == 0);
            w.partitions[i].key = w.partitions[0].key;
            write_layer(&w, i);
        }
        for (unsigned i = 0; i < SLICES; i++) {
            struct slice slice = random_slice(&w);
            uint64_t before = reads_of(&w), between;
            struct buf found, expected;

            if (clustering_compare(&w.schema, &slice.start, &slice.end) > 0)
                continue;
            found = merged_text(&w, &slice, true);
            between = reads_of(&w);
            expected = merged_text(&w, &slice, false);
            assert_string_equal(text_of(&found), text_of(&expected));
            with += between - before;
            without += reads_of(&w) - between;
            buf_release(&found);
            buf_release(&expected);
        }
        world_end(&w);
    }
    assert_true(with < without);
}

/* The content of a file before it was cut to nothing: some hundred chunks, of which the first is
 * read, as nobody has seen the tombstone then. */
static void rows_under_a_range_tombstone_are_not_read(void **state)
{
    struct unfiltered cut[2] = {
        {.is_marker = true, .marker = {BOUND_START_OF_ALL, DELETION_LIVE, {0, NOW_S}}},
        {.is_marker = true, .marker = {BOUND_END_OF_ALL, {0, NOW_S}, DELETION_LIVE}},
    };
    struct random_shape shape = {
        .rows_max = 2000,
        .value_bytes_max = 100,
        .timestamp_us = NOW_US,
        .local_deletion_time_s = NOW_S,
        .no_tombstones = true,
    };
    struct slice all = SLICE_ALL;
    struct buf with, without;
    uint64_t reads;
    struct world w;

    (void)state;
    world_begin(&w, random_seed(71));
    do {
        random_partition(&w.random, &w.arena, &w.schema, &shape, &w.partitions[0]);
    } while (w.partitions[0].count < 500);
    cut[0].marker.opens.marked_for_delete_at_us = NOW_US + 2 * HOUR_US;
    cut[1].marker.closes.marked_for_delete_at_us = NOW_US + 2 * HOUR_US;
    w.partitions[0].deletion = DELETION_LIVE;
    w.partitions[1] = (struct array_partition){w.partitions[0].key, DELETION_LIVE, NULL, cut, 2, 0};
    w.partitions[2] = w.partitions[1];
    for (unsigned i = 0; i < LAYERS; i++)
        write_layer(&w, i);
    with = merged_text(&w, &all, true);
    reads = reads_of(&w);
    without = merged_text(&w, &all, false);
    assert_string_equal(text_of(&with), text_of(&without));
    assert_true(reads_of(&w) - reads > 50);
    assert_true(reads <= 5);
    buf_release(&with);
    buf_release(&without);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(skipping_changes_nothing_but_the_reads),
        cmocka_unit_test(rows_under_a_range_tombstone_are_not_read),
    };

    return cmocka_run_group_tests_name("skip", tests, NULL, NULL);
}
