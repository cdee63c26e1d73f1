/*
 * Goal: one row looked up in an SSTable is what a slice of it gives, and one that is not there
 * costs no read; what look-ups have learned changes nothing. Method: random tables; rows that are
 * there and rows that are not, looked up and read as slices.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/engine.h"
#include "engine/error.h"
#include "io/mem.h"
#include "rows/compare.h"
#include "sstable/row_lookup.h"
#include "sstable/writer.h"
#include "support/random_partition.h"
#include "support/test_tables.h"

#define ARENA_PIECE_BYTES (1u << 20)
#define PARTITIONS_MAX 20u
#define ROWS_MAX 200u
#define NOW_US 1763800000000000
#define NOW_S 1763800000

static const struct sstable_id table_id = {"1"};

struct fixture {
    struct env *env;
    struct arena arena;
    struct random random;
    const struct table_schema *schema;
    struct array_partition partitions[PARTITIONS_MAX];
    size_t count;
    struct chunk_cache *cache;
    struct sstable *sstable;
};

static void check(int r)
{
    if (r < 0)
        fail_msg("%s", err_text(r));
}

/* `cache_bytes` 0: nothing is cached, nor learned. */
static void fixture_begin_sized(struct fixture *f, uint64_t seed, const struct table_schema *schema,
    bool no_tombstones, uint64_t cache_bytes, uint32_t value_bytes_max)
{
    struct sstable_writer_options options = {
        .expected_partitions = PARTITIONS_MAX,
        .expected_rows = PARTITIONS_MAX * ROWS_MAX,
        .min_timestamp_us = NOW_US - 2000,
        .min_local_deletion_time_s = NOW_S,
        .min_ttl_s = 1,
    };
    struct random_shape shape = {
        .rows_max = ROWS_MAX,
        .value_bytes_max = value_bytes_max,
        .timestamp_us = NOW_US,
        .local_deletion_time_s = NOW_S,
        .no_tombstones = no_tombstones,
    };
    struct partition_scanner *scanner;
    struct partition_iterator *partition;
    struct sstable_writer *writer;
    struct sstable_facts facts;

    *f = (struct fixture){.random = {seed}, .schema = schema};
    check(env_mem_new(seed, &f->env));
    arena_init(&f->arena, ARENA_PIECE_BYTES);
    f->count =
        random_partitions(&f->random, &f->arena, schema, &shape, PARTITIONS_MAX, f->partitions);
    check(sstable_writer_open(f->env, "", &table_id, schema, &options, &writer));
    scanner = array_scanner_open(schema, f->partitions, f->count);
    while (scanner_next(scanner, &partition) > 0) {
        bool written;

        check(sstable_writer_write(writer, partition, &written));
    }
    scanner_close(scanner);
    check(sstable_writer_finish(writer, &facts));
    if (cache_bytes > 0)
        f->cache = chunk_cache_new(cache_bytes);
    check(sstable_open(f->env, "", &table_id, schema, f->cache, &f->sstable));
}

static void fixture_begin(struct fixture *f, uint64_t seed, const struct table_schema *schema,
    bool no_tombstones, uint64_t cache_bytes)
{
    fixture_begin_sized(f, seed, schema, no_tombstones, cache_bytes, 100);
}

static void fixture_end(struct fixture *f)
{
    sstable_unref(f->sstable);
    chunk_cache_free(f->cache);
    arena_release(&f->arena);
    env_free(f->env);
}

/** What a reader of one row must know: the row as text, and the newest deletion over it. */
struct answer {
    struct buf row;
    int64_t deletion_us;
};

static struct answer answer_by_slice(
    struct fixture *f, const struct decorated_key *key, const struct clustering *clustering)
{
    struct answer answer = {BUF_INIT, TIMESTAMP_NONE};
    struct slice slice = {*clustering, *clustering};
    struct partition_iterator *partition;
    const struct unfiltered *unfiltered;
    int r;

    slice.start.kind = KIND_INCL_START;
    slice.end.kind = KIND_INCL_END;
    r = sstable_read(f->sstable, key, &slice, &partition);
    check(r);
    if (r == 0)
        return answer;
    answer.deletion_us = partition->deletion.marked_for_delete_at_us;
    while ((r = partition_next(partition, &unfiltered)) > 0) {
        if (!unfiltered->is_marker)
            row_to_text(&unfiltered->row, &answer.row);
        else if (unfiltered->marker.opens.marked_for_delete_at_us > answer.deletion_us)
            answer.deletion_us = unfiltered->marker.opens.marked_for_delete_at_us;
    }
    check(r);
    partition_close(partition);
    return answer;
}

static struct answer answer_by_lookup(
    struct fixture *f, const struct decorated_key *key, const struct clustering *clustering)
{
    struct answer answer = {BUF_INIT, TIMESTAMP_NONE};
    struct row_lookup lookup;
    int r = sstable_lookup_row(f->sstable, key, clustering, COLUMNS_ALL, &lookup);

    check(r);
    if (r == 0)
        return answer;
    answer.deletion_us = lookup.deletion.marked_for_delete_at_us;
    if (lookup.row)
        row_to_text(lookup.row, &answer.row);
    row_lookup_release(&lookup);
    return answer;
}

static void assert_same_answer(
    struct fixture *f, size_t number, const struct clustering *clustering)
{
    struct decorated_key key = decorated_key_of(f->partitions[number].key);
    struct answer expected = answer_by_slice(f, &key, clustering);
    struct answer found = answer_by_lookup(f, &key, clustering);

    assert_string_equal(text_of(&found.row), text_of(&expected.row));
    assert_int_equal(found.deletion_us, expected.deletion_us);
    buf_release(&found.row);
    buf_release(&expected.row);
}

/* Rows that are there, in random order and each `rounds` times, and clusterings of none. */
static void compare_answers(struct fixture *f, unsigned rounds)
{
    for (size_t i = 0; i < f->count; i++) {
        const struct array_partition *partition = &f->partitions[i];

        for (size_t j = 0; j < partition->count * rounds; j++) {
            size_t number = random_below(&f->random, (unsigned)partition->count);

            if (!partition->unfiltereds[number].is_marker)
                assert_same_answer(f, i, &partition->unfiltereds[number].row.clustering);
        }
        for (unsigned j = 0; j < 100; j++) {
            struct clustering clustering = random_clustering(&f->random, &f->arena, f->schema);

            assert_same_answer(f, i, &clustering);
        }
    }
}

static const struct table_schema *const schemas[] = {
    &test_table_dirents, &test_table_small, &test_table_blocks, &test_table_meta};

static void a_row_is_what_its_slice_is(void **state)
{
    static struct fixture f;
    uint64_t seed = random_seed(1);

    (void)state;
    for (size_t s = 0; s < ARRAY_COUNT(schemas); s++, seed++) {
        struct table_schema schema = *schemas[s];

        /* Blocks of a few rows, so that there are many. */
        schema.column_index_bytes = 512;
        fixture_begin(&f, seed, &schema, false, 0);
        check(sstable_verify(f.sstable));
        compare_answers(&f, 2);
        fixture_end(&f);
    }
}

/* With a cache that keeps all, and with one in which pieces come and go. */
static void what_was_learned_changes_no_answer(void **state)
{
    static const uint64_t cache_bytes[] = {16u << 20, 128u << 10};
    static const uint32_t block_bytes[] = {4096, 1u << 30};
    static struct fixture f;
    uint64_t seed = random_seed(40);

    (void)state;
    for (size_t s = 0; s < ARRAY_COUNT(schemas); s++) {
        for (size_t i = 0; i < ARRAY_COUNT(cache_bytes) * ARRAY_COUNT(block_bytes); i++, seed++) {
            struct table_schema schema = *schemas[s];

            schema.column_index_bytes = block_bytes[i / 2];
            fixture_begin(&f, seed, &schema, false, cache_bytes[i % 2]);
            compare_answers(&f, 4);
            fixture_end(&f);
        }
    }
}

/* What it said is kept. */
static void a_partition_is_asked_of_the_index_once(void **state)
{
    static struct fixture f;
    struct chunk_cache_stats before, after;

    (void)state;
    fixture_begin(&f, random_seed(50), &test_table_small, true, 16u << 20);
    compare_answers(&f, 1);
    chunk_cache_get_stats(f.cache, &before);
    for (size_t i = 0; i < f.count; i++) {
        struct decorated_key key = decorated_key_of(f.partitions[i].key);
        struct answer found =
            answer_by_lookup(&f, &key, &f.partitions[i].unfiltereds[0].row.clustering);

        assert_true(found.row.size > 0);
        buf_release(&found.row);
    }
    chunk_cache_get_stats(f.cache, &after);
    assert_int_equal(after.hits[CHUNK_INDEX], before.hits[CHUNK_INDEX]);
    assert_int_equal(after.misses[CHUNK_INDEX], before.misses[CHUNK_INDEX]);
    assert_int_equal(after.hits[CHUNK_PARTITION], before.hits[CHUNK_PARTITION] + f.count);
    fixture_end(&f);
}

static void a_static_row_is_that_of_the_partition(void **state)
{
    static struct fixture f;
    unsigned with = 0;

    (void)state;
    fixture_begin(&f, random_seed(20), &test_table_dirents, false, 0);
    for (size_t i = 0; i < f.count; i++) {
        struct decorated_key key = decorated_key_of(f.partitions[i].key);
        struct answer found = answer_by_lookup(&f, &key, NULL);
        struct buf expected = BUF_INIT;

        if (f.partitions[i].static_row) {
            row_to_text(f.partitions[i].static_row, &expected);
            with++;
        }
        assert_string_equal(text_of(&found.row), text_of(&expected));
        assert_int_equal(found.deletion_us, f.partitions[i].deletion.marked_for_delete_at_us);
        buf_release(&found.row);
        buf_release(&expected);
    }
    assert_true(with > 0);
    fixture_end(&f);
}

/* Nothing is cached: each read would be counted. */
static void a_row_that_is_not_there_is_answered_without_a_read(void **state)
{
    static struct fixture f;
    struct sstable_read_stats stats;
    unsigned lookups = 0, reads = 0;

    (void)state;
    fixture_begin(&f, random_seed(30), &test_table_dirents, true, 0);
    for (size_t i = 0; i < f.count; i++) {
        struct decorated_key key = decorated_key_of(f.partitions[i].key);

        for (unsigned j = 0; j < 500; j++, lookups++) {
            char name[32];
            struct bytes value =
                bytes_of(name, (size_t)snprintf(name, sizeof(name), "absent %u", j));
            struct clustering clustering = CLUSTERING_ROW(&value, 1);
            struct sstable_read_stats before;
            struct answer found;

            sstable_get_read_stats(f.sstable, &before);
            found = answer_by_lookup(&f, &key, &clustering);
            assert_int_equal(found.row.size, 0);
            sstable_get_read_stats(f.sstable, &stats);
            reads += stats.chunk_reads != before.chunk_reads;
        }
    }
    assert_true(lookups > 1000);
    assert_true(reads < lookups / 25);
    fixture_end(&f);
}

/* The last row of each partition; how many of them lie in another chunk than the first. */
static unsigned check_last_rows_are_one_read(const struct table_schema *schema, uint64_t seed)
{
    static struct fixture f;
    unsigned over_chunks = 0;

    fixture_begin(&f, seed, schema, true, 0);
    for (size_t i = 0; i < f.count; i++) {
        const struct array_partition *partition = &f.partitions[i];
        struct decorated_key key = decorated_key_of(partition->key);
        struct sstable_read_stats before, after;
        struct answer found;
        uint64_t bytes;

        assert_int_equal(sstable_partition_bytes(f.sstable, &key, &bytes), 1);
        over_chunks += bytes > f.sstable->chunk_bytes;
        sstable_get_read_stats(f.sstable, &before);
        found = answer_by_lookup(
            &f, &key, &partition->unfiltereds[partition->count - 1].row.clustering);
        sstable_get_read_stats(f.sstable, &after);
        assert_true(found.row.size > 0);
        assert_int_equal(after.chunk_reads, before.chunk_reads + 1);
        buf_release(&found.row);
    }
    fixture_end(&f);
    return over_chunks;
}

/* Without a promoted index the head of a partition is in its first chunk, the row in the last. */
static void a_row_of_a_small_partition_is_one_read(void **state)
{
    (void)state;
    assert_true(check_last_rows_are_one_read(&test_table_dirents, random_seed(60)) > 0);
}

/* Blocks of the promoted index that lie in several chunks each: the row is at the end of one. */
static void a_row_of_a_block_is_one_read(void **state)
{
    struct table_schema schema = test_table_dirents;

    (void)state;
    schema.column_index_bytes = 4u << 10;
    schema.chunk_bytes = 1u << 10;
    assert_true(check_last_rows_are_one_read(&schema, random_seed(61)) > 0);
}

/* All rows of the largest partition as slices give them; returns what is in the cache then. */
static uint64_t read_largest(
    const struct table_schema *schema, uint32_t value_bytes_max, uint64_t *ret_bytes)
{
    static struct fixture f;
    struct chunk_cache_stats stats;
    struct decorated_key largest = {0};

    fixture_begin_sized(&f, random_seed(62), schema, true, 64u << 20, value_bytes_max);
    *ret_bytes = 0;
    for (size_t i = 0; i < f.count; i++) {
        struct decorated_key key = decorated_key_of(f.partitions[i].key);
        uint64_t bytes;

        assert_int_equal(sstable_partition_bytes(f.sstable, &key, &bytes), 1);
        if (bytes > *ret_bytes) {
            *ret_bytes = bytes;
            largest = key;
        }
    }
    for (size_t i = 0; i < f.count; i++) {
        struct slice all = SLICE_ALL;
        struct partition_iterator *partition;
        const struct unfiltered *unfiltered;
        size_t rows = 0;
        int r;

        if (!bytes_equal(f.partitions[i].key, largest.key))
            continue;
        assert_int_equal(sstable_read(f.sstable, &largest, &all, &partition), 1);
        while ((r = partition_next(partition, &unfiltered)) > 0) {
            struct buf found = BUF_INIT, expected = BUF_INIT;

            row_to_text(&unfiltered->row, &found);
            row_to_text(&f.partitions[i].unfiltereds[rows++].row, &expected);
            assert_string_equal(text_of(&found), text_of(&expected));
            buf_release(&found);
            buf_release(&expected);
        }
        check(r);
        assert_int_equal(rows, f.partitions[i].count);
        partition_close(partition);
    }
    chunk_cache_get_stats(f.cache, &stats);
    fixture_end(&f);
    return stats.bytes;
}

/* Rows over several chunks each are file content: the kernel keeps it, the cache need not. */
static void a_slice_of_large_rows_leaves_the_cache_alone(void **state)
{
    struct table_schema schema = test_table_dirents;
    uint64_t bytes, cached;

    (void)state;
    schema.chunk_bytes = 4u << 10;
    cached = read_largest(&schema, 100, &bytes);
    assert_true(cached > bytes);
    cached = read_largest(&schema, 20000, &bytes);
    assert_true(cached < bytes / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_what_its_slice_is),
        cmocka_unit_test(what_was_learned_changes_no_answer),
        cmocka_unit_test(a_partition_is_asked_of_the_index_once),
        cmocka_unit_test(a_static_row_is_that_of_the_partition),
        cmocka_unit_test(a_row_that_is_not_there_is_answered_without_a_read),
        cmocka_unit_test(a_row_of_a_small_partition_is_one_read),
        cmocka_unit_test(a_row_of_a_block_is_one_read),
        cmocka_unit_test(a_slice_of_large_rows_leaves_the_cache_alone),
    };

    return cmocka_run_group_tests_name("row_lookup", tests, NULL, NULL);
}
