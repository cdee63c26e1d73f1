/*
 * Goal: what is written into an SSTable is what is read from it: by a scan, by key, by any slice.
 * Method: random partitions of the five tables with content of every kind, written and read in a
 * world in memory; slices against a naive model that clips a list of rows and a list of ranges.
 */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#include "cache/chunk_cache.h"
#include "engine/coding.h"
#include "engine/error.h"
#include "io/mem.h"
#include "rows/compare.h"
#include "sstable/writer.h"
#include "support/random_partition.h"
#include "support/test_tables.h"

#define ARENA_PIECE_BYTES (1u << 20)
#define PARTITIONS_MAX 400u
#define NOW_US 1763800000000000
#define NOW_S 1763800000

static const struct sstable_id table_id = {"1"};

struct fixture {
    struct env *env;
    struct chunk_cache *cache;
    struct arena arena;
    struct random random;
    const struct table_schema *schema;
    struct array_partition partitions[PARTITIONS_MAX];
    size_t count;
    struct sstable_facts facts; /* as the writer tells them */
    struct sstable *sstable;
};

static void check(int r)
{
    if (r < 0)
        fail_msg("%s", err_text(r));
}

static void fixture_begin(struct fixture *f, uint64_t seed)
{
    *f = (struct fixture){.random = {seed}};
    check(env_mem_new(seed, &f->env));
    f->cache = chunk_cache_new(4u << 20);
    assert_non_null(f->cache);
    arena_init(&f->arena, ARENA_PIECE_BYTES);
}

static void fixture_end(struct fixture *f)
{
    sstable_unref(f->sstable);
    arena_release(&f->arena);
    chunk_cache_free(f->cache);
    env_free(f->env);
}

static int write_partitions(struct fixture *f, const struct sstable_id *id)
{
    struct sstable_writer_options options = {
        .expected_partitions = f->count,
        .min_timestamp_us = NOW_US - 2000,
        .min_local_deletion_time_s = NOW_S,
        .min_ttl_s = 1,
    };
    struct sstable_writer *writer;
    int r = sstable_writer_open(f->env, "", id, f->schema, &options, &writer);

    if (r < 0)
        return r;
    for (size_t i = 0; i < f->count; i++) {
        struct partition_iterator *partition = array_partition_open(f->schema, &f->partitions[i]);
        bool written = false;

        r = sstable_writer_write(writer, partition, &written);
        partition_close(partition);
        if (r < 0) {
            sstable_writer_discard(writer);
            return r;
        }
        assert_true(written);
    }
    assert_int_equal(sstable_writer_partitions(writer), f->count);
    return sstable_writer_finish(writer, &f->facts);
}

/** A table of up to `count` random partitions, open with its schema. */
static void fixture_table(struct fixture *f, const struct table_schema *schema, size_t count,
    unsigned rows_max, unsigned value_bytes_max)
{
    struct random_shape shape = {
        .rows_max = rows_max,
        .value_bytes_max = value_bytes_max,
        .timestamp_us = NOW_US,
        .local_deletion_time_s = NOW_S,
    };

    f->schema = schema;
    do {
        f->count = random_partitions(&f->random, &f->arena, schema, &shape, count, f->partitions);
    } while (f->count == 0);
    check(write_partitions(f, &table_id));
    check(sstable_open(f->env, "", &table_id, schema, f->cache, &f->sstable));
}

static struct decorated_key key_of(const struct fixture *f, size_t i)
{
    return decorated_key_of(f->partitions[i].key);
}

static void expected_text(const struct fixture *f, size_t i, struct buf *to)
{
    struct partition_iterator *partition = array_partition_open(f->schema, &f->partitions[i]);

    assert_int_equal(partition_to_text(partition, to), 0);
    partition_close(partition);
}

static void assert_same_text(uint64_t seed, size_t i, struct buf *ours, struct buf *expected)
{
    if (!bytes_equal(buf_bytes(ours), buf_bytes(expected)))
        fail_msg("SSTFS_SEED=%" PRIu64 " partition %zu:\n%.1000s\nwant\n%.1000s", seed, i,
            text_of(ours), text_of(expected));
    buf_release(ours);
    buf_release(expected);
}

static void assert_scan(struct fixture *f, uint64_t seed, int64_t first, int64_t last)
{
    AUTO(scanner_closep) struct partition_scanner *scanner = NULL;
    struct partition_iterator *partition;
    size_t i = 0;

    check(sstable_scan(f->sstable, first, last, &scanner));
    while (i < f->count && key_of(f, i).token < first)
        i++;
    for (; i < f->count && key_of(f, i).token <= last; i++) {
        struct buf ours = BUF_INIT, expected = BUF_INIT;
        int r = scanner_next(scanner, &partition);

        check(r);
        assert_int_equal(r, 1);
        /* One in five is left unread. */
        if (i % 5 == 4)
            continue;
        assert_int_equal(partition_to_text(partition, &ours), 0);
        expected_text(f, i, &expected);
        assert_same_text(seed, i, &ours, &expected);
    }
    assert_int_equal(scanner_next(scanner, &partition), 0);
    assert_int_equal(scanner_next(scanner, &partition), 0);
}

static void assert_lookups(struct fixture *f, uint64_t seed)
{
    for (size_t i = 0; i < f->count; i++) {
        struct decorated_key key = key_of(f, i);
        struct partition_iterator *partition;
        struct buf ours = BUF_INIT, expected = BUF_INIT;
        int r = sstable_read(f->sstable, &key, &SLICE_ALL, &partition);

        check(r);
        assert_int_equal(r, 1);
        assert_int_equal(partition_to_text(partition, &ours), 0);
        partition_close(partition);
        expected_text(f, i, &expected);
        assert_same_text(seed, i, &ours, &expected);
    }
}

static void assert_facts(struct fixture *f)
{
    const struct sstable_facts *facts = sstable_facts(f->sstable);

    assert_int_equal(facts->partitions, f->count);
    assert_int_equal(facts->partitions, f->facts.partitions);
    assert_int_equal(facts->rows, f->facts.rows);
    assert_int_equal(facts->data_bytes, f->facts.data_bytes);
    assert_int_equal(facts->total_bytes, f->facts.total_bytes);
    assert_int_equal(facts->stream_bytes, f->facts.stream_bytes);
    assert_int_equal(facts->digest, f->facts.digest);
    assert_int_equal(facts->min_timestamp_us, f->facts.min_timestamp_us);
    assert_int_equal(facts->max_timestamp_us, f->facts.max_timestamp_us);
    assert_int_equal(facts->min_local_deletion_time_s, f->facts.min_local_deletion_time_s);
    assert_int_equal(facts->max_local_deletion_time_s, f->facts.max_local_deletion_time_s);
    assert_int_equal(facts->first_token, key_of(f, 0).token);
    assert_int_equal(facts->last_token, key_of(f, f->count - 1).token);
    assert_int_equal(facts->first_token, f->facts.first_token);
    assert_int_equal(facts->last_token, f->facts.last_token);
    assert_string_equal(facts->id.text, table_id.text);
}

static void tables_of_all_schemas_read_back(void **state)
{
    uint64_t seed = random_seed(1);
    static struct fixture f;

    (void)state;
    for (unsigned round = 0; round < 2; round++, seed++) {
        for (unsigned i = 0; i < TEST_TABLE_COUNT; i++) {
            fixture_begin(&f, seed);
            fixture_table(&f, test_tables[i], 60, 60, 2000);
            assert_scan(&f, seed, INT64_MIN, INT64_MAX);
            assert_lookups(&f, seed);
            assert_facts(&f);
            check(sstable_verify(f.sstable));
            fixture_end(&f);
        }
    }
}

static void uncompressed_tables_and_odd_parameters_read_back(void **state)
{
    uint64_t seed = random_seed(100);
    static struct fixture f;

    (void)state;
    for (unsigned i = 0; i < 12; i++, seed++) {
        struct table_schema schema = test_table_dirents;

        schema.chunk_bytes = i % 3 == 0 ? 0 : i % 3 == 1 ? 512 : 4096;
        schema.min_compress_ratio = i % 2 == 0 ? 0 : 1.1;
        schema.filter_fp_chance = i % 4 == 0 ? 1.0 : i % 4 == 1 ? 0.1 : 0.0001;
        schema.min_index_interval = 1 + i;
        schema.column_index_bytes = 1u << (i + 1);
        fixture_begin(&f, seed);
        fixture_table(&f, &schema, 100, 30, 1000);
        assert_scan(&f, seed, INT64_MIN, INT64_MAX);
        assert_lookups(&f, seed);
        assert_facts(&f);
        check(sstable_verify(f.sstable));
        fixture_end(&f);
    }
}

static void a_scan_of_a_token_range_gives_its_partitions(void **state)
{
    uint64_t seed = random_seed(200);
    static struct fixture f;

    (void)state;
    fixture_begin(&f, seed);
    fixture_table(&f, &test_table_inodes, PARTITIONS_MAX, 1, 50);
    for (unsigned i = 0; i < 60; i++) {
        int64_t a = key_of(&f, random_below(&f.random, (unsigned)f.count)).token;
        int64_t b = key_of(&f, random_below(&f.random, (unsigned)f.count)).token;

        a += (int64_t)random_below(&f.random, 3) - 1;
        b += (int64_t)random_below(&f.random, 3) - 1;
        assert_scan(&f, seed, a < b ? a : b, a < b ? b : a);
    }
    assert_scan(&f, seed, INT64_MIN, key_of(&f, 0).token - 1);
    assert_scan(&f, seed, key_of(&f, f.count - 1).token + 1, INT64_MAX);
    fixture_end(&f);
}

/* ---- slices ---- */

struct range {
    struct clustering start, end;
    struct deletion deletion;
};

static void range_to_text(struct range range, struct buf *to)
{
    struct unfiltered start = {
        .is_marker = true, .marker = {range.start, DELETION_LIVE, range.deletion}};
    struct unfiltered end = {
        .is_marker = true, .marker = {range.end, range.deletion, DELETION_LIVE}};

    unfiltered_to_text(&start, to);
    unfiltered_to_text(&end, to);
}

static struct clustering with_kind(struct clustering clustering, uint8_t kind)
{
    clustering.kind = kind;
    return clustering;
}

/** Rows of the slice, then its ranges, each cut to the slice. */
static void naive_slice(
    const struct fixture *f, size_t number, const struct slice *slice, struct buf *to)
{
    const struct array_partition *partition = &f->partitions[number];
    struct range range = {.deletion = DELETION_LIVE};
    struct buf ranges = BUF_INIT;

    for (size_t i = 0; i < partition->count; i++) {
        const struct unfiltered *unfiltered = &partition->unfiltereds[i];
        const struct marker *marker = &unfiltered->marker;

        if (!unfiltered->is_marker) {
            if (slice_contains(f->schema, slice, &unfiltered->row.clustering))
                unfiltered_to_text(unfiltered, to);
            continue;
        }
        if (!deletion_is_live(range.deletion)) {
            range.end = with_kind(marker->bound, kind_as_end(marker->bound.kind));
            if (clustering_compare(f->schema, &range.start, &slice->start) < 0)
                range.start = slice->start;
            if (clustering_compare(f->schema, &range.end, &slice->end) > 0)
                range.end = slice->end;
            if (clustering_compare(f->schema, &range.start, &range.end) < 0)
                range_to_text(range, &ranges);
        }
        range.deletion = marker->opens;
        if (!deletion_is_live(range.deletion))
            range.start = with_kind(marker->bound, kind_as_start(marker->bound.kind));
    }
    buf_append_bytes(to, buf_bytes(&ranges));
    buf_release(&ranges);
}

static struct clustering copy_clustering(struct arena *arena, struct clustering clustering)
{
    struct bytes *values = arena_alloc(arena, (clustering.count + 1) * sizeof(*values));

    for (unsigned i = 0; i < clustering.count; i++)
        values[i] = arena_copy(arena, clustering.values[i]);
    clustering.values = values;
    return clustering;
}

/** The same of what the iterator gives; it must be well formed as well. */
static void slice_to_text(struct fixture *f, struct partition_iterator *iterator, struct buf *to)
{
    struct range range = {.deletion = DELETION_LIVE};
    struct buf ranges = BUF_INIT;
    const struct unfiltered *unfiltered;
    int r;

    while ((r = partition_next(iterator, &unfiltered)) > 0) {
        const struct marker *marker = &unfiltered->marker;

        if (!unfiltered->is_marker) {
            unfiltered_to_text(unfiltered, to);
            continue;
        }
        assert_int_equal(
            marker->closes.marked_for_delete_at_us, range.deletion.marked_for_delete_at_us);
        if (!deletion_is_live(range.deletion)) {
            range.end = with_kind(marker->bound, kind_as_end(marker->bound.kind));
            range_to_text(range, &ranges);
        }
        range.deletion = marker->opens;
        if (!deletion_is_live(range.deletion))
            range.start = copy_clustering(
                &f->arena, with_kind(marker->bound, kind_as_start(marker->bound.kind)));
    }
    check(r);
    assert_true(deletion_is_live(range.deletion));
    buf_append_bytes(to, buf_bytes(&ranges));
    buf_release(&ranges);
}

/** Near a clustering of the partition as often as anywhere. */
static struct clustering random_bound(struct fixture *f, size_t number, bool is_start)
{
    const struct array_partition *partition = &f->partitions[number];
    struct clustering bound = random_clustering(&f->random, &f->arena, f->schema);
    static const uint8_t kinds[2][2] = {
        {KIND_INCL_END, KIND_EXCL_END}, {KIND_INCL_START, KIND_EXCL_START}};

    if (random_below(&f->random, 12) == 0)
        return is_start ? BOUND_START_OF_ALL : BOUND_END_OF_ALL;
    if (partition->count > 0 && random_below(&f->random, 3) > 0) {
        const struct unfiltered *near =
            &partition->unfiltereds[random_below(&f->random, (unsigned)partition->count)];

        bound = near->is_marker ? near->marker.bound : near->row.clustering;
        if (bound.count == 0)
            return is_start ? BOUND_START_OF_ALL : BOUND_END_OF_ALL;
    }
    bound.kind = kinds[is_start][random_below(&f->random, 2)];
    return bound;
}

static void assert_slice(struct fixture *f, uint64_t seed, size_t number)
{
    struct slice slice = {random_bound(f, number, true), random_bound(f, number, false)};
    struct decorated_key key = key_of(f, number);
    struct buf ours = BUF_INIT, expected = BUF_INIT;
    struct partition_iterator *partition;
    int r;

    if (clustering_compare(f->schema, &slice.start, &slice.end) >= 0)
        return;
    naive_slice(f, number, &slice, &expected);
    r = sstable_read(f->sstable, &key, &slice, &partition);
    check(r);
    if (r > 0) {
        const struct array_partition *from = &f->partitions[number];

        assert_true(bytes_equal(partition->key.key, key.key));
        assert_int_equal(
            partition->deletion.marked_for_delete_at_us, from->deletion.marked_for_delete_at_us);
        assert_int_equal(partition->static_row != NULL, from->static_row != NULL);
        slice_to_text(f, partition, &ours);
        partition_close(partition);
    }
    assert_same_text(seed, number, &ours, &expected);
}

static void slices_are_what_a_naive_filter_gives(void **state)
{
    static const struct table_schema *const schemas[] = {
        &test_table_dirents, &test_table_small, &test_table_blocks, &test_table_meta};
    uint64_t seed = random_seed(300);
    static struct fixture f;

    (void)state;
    for (unsigned i = 0; i < 24; i++, seed++) {
        struct table_schema schema = *schemas[i % ARRAY_COUNT(schemas)];

        /* Many blocks of one row, some of some rows, or none. */
        schema.column_index_bytes = i % 3 == 0 ? 64 : i % 3 == 1 ? 4096 : 65536;
        schema.chunk_bytes = i % 2 == 0 ? 4096 : 16384;
        fixture_begin(&f, seed);
        fixture_table(&f, &schema, 12, 200, 300);
        for (unsigned j = 0; j < 150; j++)
            assert_slice(&f, seed, random_below(&f.random, (unsigned)f.count));
        fixture_end(&f);
    }
}

/* ---- lookups that find nothing ---- */

static void keys_that_are_not_there_are_not_found(void **state)
{
    uint64_t seed = random_seed(400);
    struct sstable_read_stats stats;
    unsigned absent = 0;
    static struct fixture f;

    (void)state;
    fixture_begin(&f, seed);
    fixture_table(&f, &test_table_inodes, PARTITIONS_MAX, 1, 50);
    for (int64_t i = 0; i < 5000; i++) {
        struct partition_iterator *partition;
        uint8_t bytes[8];
        struct decorated_key key;
        bool is_there = false;

        store_be64(bytes, (uint64_t)i * 0x123456789abcull);
        key = decorated_key_of(bytes_of(bytes, 8));
        for (size_t j = 0; j < f.count; j++)
            is_there |= bytes_equal(f.partitions[j].key, key.key);
        if (is_there)
            continue;
        assert_int_equal(sstable_read(f.sstable, &key, &SLICE_ALL, &partition), 0);
        absent++;
    }
    sstable_get_read_stats(f.sstable, &stats);
    assert_true(stats.filter_negatives > absent * 9 / 10);
    assert_true(stats.filter_false_positives < absent / 20);
    fixture_end(&f);
}

static void a_slice_outside_of_the_tables_clusterings_is_answered_unread(void **state)
{
    static struct fixture f;
    struct random_shape shape = {.rows_max = 50,
        .value_bytes_max = 100,
        .timestamp_us = NOW_US,
        .local_deletion_time_s = NOW_S,
        .no_tombstones = true};
    struct bytes low = BYTES_LITERAL("\x80\x00\x00\x00\x00\x00\x00\x00");
    struct slice slice = {{&low, 1, KIND_INCL_START}, {&low, 1, KIND_INCL_END}};
    struct partition_iterator *partition;
    struct sstable_read_stats stats;

    (void)state;
    fixture_begin(&f, random_seed(500));
    f.schema = &test_table_small;
    f.count = random_partitions(&f.random, &f.arena, f.schema, &shape, 50, f.partitions);
    check(write_partitions(&f, &table_id));
    check(sstable_open(f.env, "", &table_id, f.schema, f.cache, &f.sstable));
    for (size_t i = 0; i < f.count; i++) {
        struct decorated_key key = key_of(&f, i);
        int r = sstable_read(f.sstable, &key, &slice, &partition);

        /* An empty value is below every number: with one of them the slice is not outside. */
        check(r);
        if (r > 0)
            partition_close(partition);
    }
    low = BYTES_LITERAL("\x7f\xff\xff\xff\xff\xff\xff\xff");
    sstable_get_read_stats(f.sstable, &stats);
    for (size_t i = 0; i < f.count; i++) {
        struct decorated_key key = key_of(&f, i);

        assert_int_equal(sstable_read(f.sstable, &key, &slice, &partition), 0);
    }
    {
        struct sstable_read_stats after;

        sstable_get_read_stats(f.sstable, &after);
        assert_int_equal(after.chunk_reads, stats.chunk_reads);
        assert_int_equal(after.index_reads, stats.index_reads);
    }
    fixture_end(&f);
}

/* ---- schemas ---- */

static void columns_are_numbered_by_the_schema_that_reads(void **state)
{
    static const struct column older_regulars[] = {
        {"mode", &type_int}, {"size", &type_bigint}, {"xattrs", &type_map_blob_blob}};
    struct table_schema older = test_table_inodes;
    struct cell cells[] = {
        {.timestamp_us = NOW_US,
            .local_deletion_time_s = LOCAL_DELETION_TIME_NONE,
            .column = 0,
            .path = BYTES_LITERAL(""),
            .value = BYTES_LITERAL("\0\0\1\2")},
        {.timestamp_us = NOW_US,
            .local_deletion_time_s = LOCAL_DELETION_TIME_NONE,
            .column = 2,
            .path = BYTES_LITERAL("user.x"),
            .value = BYTES_LITERAL("1")},
    };
    struct unfiltered unfiltered = {.row = {.clustering = CLUSTERING_ROW(NULL, 0),
                                        .liveness = LIVENESS_NONE,
                                        .deletion = DELETION_LIVE,
                                        .cell_count = 2,
                                        .cells = cells}};
    const struct unfiltered *read;
    struct partition_iterator *partition;
    struct decorated_key key;
    struct fixture *f = calloc(1, sizeof(*f));

    (void)state;
    older.regulars = older_regulars;
    older.regular_count = ARRAY_COUNT(older_regulars);
    fixture_begin(f, 1);
    f->schema = &older;
    f->partitions[0] = (struct array_partition){.key = BYTES_LITERAL("\0\0\0\0\0\0\0\7"),
        .deletion = DELETION_LIVE,
        .unfiltereds = &unfiltered,
        .count = 1};
    f->count = 1;
    check(write_partitions(f, &table_id));

    check(sstable_open(f->env, "", &table_id, &test_table_inodes, f->cache, &f->sstable));
    key = key_of(f, 0);
    assert_int_equal(sstable_read(f->sstable, &key, &SLICE_ALL, &partition), 1);
    assert_int_equal(partition_next(partition, &read), 1);
    assert_int_equal(read->row.cell_count, 2);
    assert_string_equal(test_table_inodes.regulars[read->row.cells[0].column].name, "mode");
    assert_string_equal(test_table_inodes.regulars[read->row.cells[1].column].name, "xattrs");
    partition_close(partition);
    sstable_unref(f->sstable);
    f->sstable = NULL;

    /* A table that lacks the columns cannot hold the rows. */
    assert_int_equal(
        sstable_open(f->env, "", &table_id, &test_table_meta, f->cache, &f->sstable), -EUCLEAN);
    f->sstable = NULL;
    fixture_end(f);
    free(f);
}

/* ---- failures ---- */

static int count_name(void *arg, const char *name)
{
    (void)name;
    ++*(unsigned *)arg;
    return 0;
}

static unsigned file_count(struct env *env)
{
    unsigned count = 0;

    check(io_list(env, "", count_name, &count));
    return count;
}

static void a_writer_that_fails_or_is_discarded_leaves_no_files(void **state)
{
    static struct fixture f;
    struct random_shape shape = {.rows_max = 50,
        .value_bytes_max = 1000,
        .timestamp_us = NOW_US,
        .local_deletion_time_s = NOW_S};
    unsigned failed = 0;

    (void)state;
    fixture_begin(&f, 1);
    f.schema = &test_table_dirents;
    f.count = random_partitions(&f.random, &f.arena, f.schema, &shape, 30, f.partitions);
    for (uint64_t space = 0; space < 400000; space += 3000) {
        int r;

        env_mem_set_space(f.env, space);
        r = write_partitions(&f, &table_id);
        if (r == 0)
            break;
        assert_int_equal(r, -ENOSPC);
        assert_int_equal(file_count(f.env), 0);
        failed++;
    }
    assert_true(failed > 10);
    assert_int_equal(file_count(f.env), 8);
    fixture_end(&f);
}

static void a_flipped_byte_of_data_names_its_file_and_place(void **state)
{
    static struct fixture f;
    struct decorated_key key;
    struct partition_iterator *partition = NULL;
    const struct unfiltered *unfiltered;
    uint8_t byte;
    int fd, r;

    (void)state;
    fixture_begin(&f, 1);
    fixture_table(&f, &test_table_blocks, 4, 20, 4096);
    check(io_open(f.env, "nb-1-big-Data.db", O_RDWR, &fd));
    assert_int_equal(io_read(f.env, fd, &byte, 1, 100), 1);
    byte ^= 0x10;
    check(io_write(f.env, fd, &byte, 1, 100));
    io_close(f.env, fd);

    key = key_of(&f, 0);
    r = sstable_read(f.sstable, &key, &SLICE_ALL, &partition);
    while (r > 0)
        r = partition_next(partition, &unfiltered);
    partition_close(partition);
    assert_int_equal(r, -EBADMSG);
    assert_non_null(strstr(err_text(r), "nb-1-big-Data.db, offset 0"));
    assert_int_equal(sstable_verify(f.sstable), -EBADMSG);
    fixture_end(&f);
}

static void remove_and_open_again(struct fixture *f, const char *file)
{
    sstable_unref(f->sstable);
    check(io_unlink(f->env, file));
    check(sstable_open(f->env, "", &table_id, f->schema, f->cache, &f->sstable));
}

/* One that a server was streamed has neither. */
static void a_lost_list_is_damage_where_a_digest_is(void **state)
{
    static struct fixture f;

    (void)state;
    fixture_begin(&f, 2);
    fixture_table(&f, &test_table_small, 4, 20, 100);
    check(sstable_verify(f.sstable));
    remove_and_open_again(&f, "nb-1-big-TOC.txt");
    assert_int_equal(sstable_verify(f.sstable), -EUCLEAN);
    assert_non_null(strstr(err_text(-EUCLEAN), "TOC.txt"));
    remove_and_open_again(&f, "nb-1-big-Digest.crc32");
    check(sstable_verify(f.sstable));
    fixture_end(&f);
}

/** 1: all is read as it was written; 0: damage was met. Anything else fails the test. */
static int read_all(struct fixture *f, const struct buf *expected, const char *where)
{
    struct sstable *sstable = NULL;
    int r = sstable_open(f->env, "", &table_id, f->schema, NULL, &sstable);

    for (size_t i = 0; r >= 0 && i < f->count; i++) {
        struct decorated_key key = key_of(f, i);
        struct partition_iterator *partition = NULL;
        struct buf text = BUF_INIT;

        r = sstable_read(sstable, &key, &SLICE_ALL, &partition);
        if (r == 0)
            fail_msg("%s: partition %zu is gone", where, i);
        if (r > 0)
            r = partition_to_text(partition, &text);
        partition_close(partition);
        if (r >= 0 && !bytes_equal(buf_bytes(&text), buf_bytes(&expected[i])))
            fail_msg("%s: partition %zu is another", where, i);
        buf_release(&text);
    }
    sstable_unref(sstable);
    if (r < 0 && !err_is_damage(r))
        fail_msg("%s: %s", where, err_text(r));
    return r >= 0;
}

static void flip_bit(struct env *env, int fd, uint64_t bit)
{
    uint8_t byte;

    assert_int_equal(io_read(env, fd, &byte, 1, bit / 8), 1);
    byte ^= (uint8_t)(1u << bit % 8);
    check(io_write(env, fd, &byte, 1, bit / 8));
}

static void no_flipped_bit_is_believed(void **state)
{
    static const enum sstable_component components[] = {COMPONENT_DATA, COMPONENT_INDEX,
        COMPONENT_SUMMARY, COMPONENT_FILTER, COMPONENT_STATISTICS, COMPONENT_COMPRESSION_INFO,
        COMPONENT_CRC, COMPONENT_DIGEST};
    uint64_t seed = random_seed(7);
    static struct fixture f;

    (void)state;
    for (unsigned compressed = 0; compressed < 2; compressed++) {
        struct table_schema schema = test_table_small;
        struct buf expected[8] = {BUF_INIT};

        schema.chunk_bytes = compressed ? 512 : 0;
        schema.column_index_bytes = 64;
        fixture_begin(&f, seed);
        fixture_table(&f, &schema, ARRAY_COUNT(expected), 6, 30);
        for (size_t i = 0; i < f.count; i++)
            expected_text(&f, i, &expected[i]);
        assert_int_equal(read_all(&f, expected, "undamaged"), 1);
        for (size_t i = 0; i < ARRAY_COUNT(components); i++) {
            char name[SSTABLE_FILE_NAME_MAX + 1], where[100];
            struct io_stat stat;
            int fd;

            sstable_file_name(&table_id, components[i], name);
            if (io_open(f.env, name, O_RDWR, &fd) < 0)
                continue;
            check(io_stat(f.env, name, &stat));
            for (uint64_t bit = 0; bit < stat.size * 8; bit++) {
                snprintf(
                    where, sizeof(where), "seed %" PRIu64 ", %s, bit %" PRIu64, seed, name, bit);
                flip_bit(f.env, fd, bit);
                /* Reads need neither what the digest says of Data.db, nor the filter. */
                if (read_all(&f, expected, where))
                    assert_true(
                        components[i] == COMPONENT_DIGEST || components[i] == COMPONENT_FILTER);
                flip_bit(f.env, fd, bit);
            }
            io_close(f.env, fd);
        }
        for (size_t i = 0; i < f.count; i++)
            buf_release(&expected[i]);
        fixture_end(&f);
    }
}

/* ---- memory ---- */

static size_t memory_in_use(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

#define WIDE_ROWS 40000
#define WIDE_VALUE_BYTES 1024

/** One partition of 40 MiB, written and scanned; returns the most memory in use meanwhile. */
static size_t write_wide_partition(struct env *env, struct sstable_facts *facts)
{
    struct sstable_writer_options options = {.expected_partitions = 1,
        .min_timestamp_us = NOW_US,
        .min_local_deletion_time_s = LOCAL_DELETION_TIME_NONE,
        .min_ttl_s = INT32_MAX};
    uint8_t key_bytes[8] = {1}, value[WIDE_VALUE_BYTES], ino[8];
    struct decorated_key key = decorated_key_of(bytes_of(key_bytes, 8));
    struct random random = {1};
    struct sstable_writer *writer;
    size_t most = 0;

    check(sstable_writer_open(env, "", &table_id, &test_table_small, &options, &writer));
    check(sstable_writer_begin_partition(writer, &key, DELETION_LIVE, NULL));
    for (uint64_t i = 0; i < WIDE_ROWS; i++) {
        struct bytes clustering = bytes_of(ino, 8);
        struct cell cell = {.timestamp_us = NOW_US,
            .local_deletion_time_s = LOCAL_DELETION_TIME_NONE,
            .value = bytes_of(value, sizeof(value))};
        struct unfiltered unfiltered = {.row = {.clustering = CLUSTERING_ROW(&clustering, 1),
                                            .liveness = {NOW_US, 0, LOCAL_DELETION_TIME_NONE},
                                            .deletion = DELETION_LIVE,
                                            .cell_count = 1,
                                            .cells = &cell}};

        store_be64(ino, i);
        for (size_t j = 0; j < sizeof(value); j += 8)
            store_be64(value + j, random_next(&random));
        check(sstable_writer_append(writer, &unfiltered));
        if (i % 1000 == 0 && memory_in_use() > most)
            most = memory_in_use();
    }
    check(sstable_writer_end_partition(writer));
    check(sstable_writer_finish(writer, facts));
    return most;
}

static size_t scan_wide_partition(struct env *env)
{
    struct partition_scanner *scanner;
    struct partition_iterator *partition;
    const struct unfiltered *unfiltered;
    struct sstable *sstable;
    size_t most = 0;
    uint64_t rows = 0;

    check(sstable_open(env, "", &table_id, &test_table_small, NULL, &sstable));
    check(sstable_scan(sstable, INT64_MIN, INT64_MAX, &scanner));
    assert_int_equal(scanner_next(scanner, &partition), 1);
    while (partition_next(partition, &unfiltered) > 0) {
        if (rows++ % 1000 == 0 && memory_in_use() > most)
            most = memory_in_use();
    }
    scanner_close(scanner);
    check(sstable_verify(sstable));
    sstable_unref(sstable);
    assert_int_equal(rows, WIDE_ROWS);
    return most;
}

static void a_partition_of_any_size_takes_bounded_memory(void **state)
{
    char folder[] = "/tmp/sstfs-sstable-XXXXXX", command[128];
    size_t before, most;
    struct sstable_facts facts;
    struct env *env;

    (void)state;
    assert_non_null(mkdtemp(folder));
    check(env_posix_new(folder, &env));
    before = memory_in_use();
    most = write_wide_partition(env, &facts);
    assert_true(facts.stream_bytes > (uint64_t)WIDE_ROWS * WIDE_VALUE_BYTES);
    assert_true(most < before + (6u << 20));
    most = scan_wide_partition(env);
    assert_true(most < before + (4u << 20));
    env_free(env);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_of_all_schemas_read_back),
        cmocka_unit_test(uncompressed_tables_and_odd_parameters_read_back),
        cmocka_unit_test(a_scan_of_a_token_range_gives_its_partitions),
        cmocka_unit_test(slices_are_what_a_naive_filter_gives),
        cmocka_unit_test(keys_that_are_not_there_are_not_found),
        cmocka_unit_test(a_slice_outside_of_the_tables_clusterings_is_answered_unread),
        cmocka_unit_test(columns_are_numbered_by_the_schema_that_reads),
        cmocka_unit_test(a_writer_that_fails_or_is_discarded_leaves_no_files),
        cmocka_unit_test(a_flipped_byte_of_data_names_its_file_and_place),
        cmocka_unit_test(a_lost_list_is_damage_where_a_digest_is),
        cmocka_unit_test(no_flipped_bit_is_believed),
        cmocka_unit_test(a_partition_of_any_size_takes_bounded_memory),
    };

    return cmocka_run_group_tests_name("sstable", tests, NULL, NULL);
}
