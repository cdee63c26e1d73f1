/*
 * Goal: a few columns of a large row are read without the rest of it, if all its cells take as many
 * bytes, and are what the whole row has; no row is taken for such a one that is not. Method: rows
 * of pages, even ones and others of the same size; each run of columns against the whole row, and
 * the chunks that were read for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <cmocka.h>

#include "cache/chunk_cache.h"
#include "engine/coding.h"
#include "engine/engine.h"
#include "engine/error.h"
#include "io/mem.h"
#include "rows/compare.h"
#include "sstable/digest.h"
#include "sstable/row_lookup.h"
#include "sstable/writer.h"
#include "support/array_partition.h"
#include "support/random.h"
#include "support/test_tables.h"

#define ROWS 12u
#define PAGES 32u
#define PAGE_BYTES 4096u
#define CHUNK_BYTES (16u << 10)
#define CACHE_BYTES (64u << 20) /* all of it */
#define NOW_US 1763800000000000

static const struct sstable_id table_id = {"1"};

struct fixture {
    struct env *env;
    struct table_schema schema;
    struct chunk_cache *cache;
    struct sstable *sstable;
    struct decorated_key key;
    uint8_t key_bytes[32];
    uint8_t numbers[ROWS][4];
    struct bytes clusterings[ROWS];
    struct cell cells[ROWS][PAGES];
    struct unfiltered rows[ROWS];
    uint8_t pages[PAGES + 1][2 * PAGE_BYTES]; /* random */
};

static void check(int r)
{
    if (r < 0)
        fail_msg("%s", err_text(r));
}

static struct clustering clustering_of(const struct fixture *f, unsigned row)
{
    return CLUSTERING_ROW(&f->clusterings[row], 1);
}

/* Rows of whole pages: of one timestamp, or each page of its own, as small writes leave them. To be
 * changed before write_table(). */
static void fixture_begin(struct fixture *f, uint64_t seed)
{
    struct random random = {seed};

    memset(f, 0, sizeof(*f));
    check(env_mem_new(seed, &f->env));
    f->schema = test_table_blocks;
    f->schema.chunk_bytes = CHUNK_BYTES;
    for (unsigned i = 0; i <= PAGES; i++) {
        for (unsigned j = 0; j < sizeof(f->pages[i]); j++)
            f->pages[i][j] = (uint8_t)random_below(&random, 256);
    }
    memcpy(f->key_bytes, "\0\10\0\0\0\0\0\0\0\7\0\0\4\0\0\0\1", 18);
    f->key = decorated_key_of(bytes_of(f->key_bytes, 18));
    for (unsigned row = 0; row < ROWS; row++) {
        f->numbers[row][3] = (uint8_t)row;
        f->clusterings[row] = bytes_of(f->numbers[row], 4);
        for (unsigned page = 0; page < PAGES; page++)
            f->cells[row][page] = (struct cell){
                .timestamp_us = NOW_US + row,
                .local_deletion_time_s = LOCAL_DELETION_TIME_NONE,
                .column = (uint16_t)page,
                .path = BYTES_LITERAL(""),
                .value = bytes_of(f->pages[(page + row) % PAGES] + row, PAGE_BYTES),
            };
        f->rows[row].row = (struct row){
            .clustering = clustering_of(f, row),
            .liveness = {NOW_US + row, 0, LOCAL_DELETION_TIME_NONE},
            .deletion = DELETION_LIVE,
            .cells = f->cells[row],
            .cell_count = PAGES,
        };
    }
}

static void write_table(struct fixture *f)
{
    struct sstable_writer_options options = {
        .expected_partitions = 1,
        .expected_rows = ROWS,
        .min_timestamp_us = NOW_US - 1,
        .min_local_deletion_time_s = LOCAL_DELETION_TIME_NONE,
        .min_ttl_s = INT32_MAX,
    };
    struct sstable_writer *writer;
    struct sstable_facts facts;

    check(sstable_writer_open(f->env, "", &table_id, &f->schema, &options, &writer));
    check(sstable_writer_begin_partition(writer, &f->key, DELETION_LIVE, NULL));
    for (unsigned row = 0; row < ROWS; row++)
        check(sstable_writer_append(writer, &f->rows[row]));
    check(sstable_writer_end_partition(writer));
    check(sstable_writer_finish(writer, &facts));
    f->cache = chunk_cache_new(CACHE_BYTES);
    check(sstable_open(f->env, "", &table_id, &f->schema, f->cache, &f->sstable));
    check(sstable_verify(f->sstable));
}

static void fixture_end(struct fixture *f)
{
    sstable_unref(f->sstable);
    chunk_cache_free(f->cache);
    env_free(f->env);
}

static void assert_has_cell(const struct row *row, const struct cell *cell)
{
    for (uint32_t i = 0; i < row->cell_count; i++) {
        if (row->cells[i].column != cell->column)
            continue;
        assert_int_equal(row->cells[i].timestamp_us, cell->timestamp_us);
        assert_int_equal(row->cells[i].local_deletion_time_s, cell->local_deletion_time_s);
        assert_true(bytes_equal(row->cells[i].value, cell->value));
        return;
    }
    fail_msg("column %u is missing", cell->column);
}

/* Columns [first, first + count) of the row; returns how many chunks were decompressed for it. */
static uint64_t look_up(struct fixture *f, unsigned row, unsigned first, unsigned count)
{
    const struct row *expected = &f->rows[row].row;
    struct clustering clustering = clustering_of(f, row);
    struct chunk_cache_stats before, after;
    struct row_lookup lookup;

    chunk_cache_get_stats(f->cache, &before);
    assert_int_equal(sstable_lookup_row(
                         f->sstable, &f->key, &clustering, ((1ull << count) - 1) << first, &lookup),
        1);
    chunk_cache_get_stats(f->cache, &after);
    assert_non_null(lookup.row);
    assert_int_equal(lookup.row->liveness.timestamp_us, expected->liveness.timestamp_us);
    assert_true(bytes_equal(lookup.row->clustering.values[0], expected->clustering.values[0]));
    for (uint32_t i = 0; i < expected->cell_count; i++) {
        if (expected->cells[i].column >= first && expected->cells[i].column < first + count)
            assert_has_cell(lookup.row, &expected->cells[i]);
    }
    row_lookup_release(&lookup);
    return after.misses[CHUNK_DATA] - before.misses[CHUNK_DATA];
}

static void look_up_all(struct fixture *f)
{
    for (unsigned row = 0; row < ROWS; row++) {
        for (unsigned first = 0; first < PAGES; first++) {
            for (unsigned count = 1; first + count <= PAGES; count += first % 3 + 1)
                look_up(f, row, first, count);
        }
    }
}

/* As small writes leave them: each page has its own timestamp, the row has none. */
static void write_page_by_page(struct fixture *f)
{
    for (unsigned row = 0; row < ROWS; row++) {
        f->rows[row].row.liveness = LIVENESS_NONE;
        for (unsigned page = 0; page < PAGES; page++)
            f->cells[row][page].timestamp_us = NOW_US + 1000 + row + page;
    }
}

/* The chunk with its head and those with the page: either may lie in two. With one read, as the
 * block that the index tells of is the row. */
static void check_a_page_is_read_without_the_others(void (*change)(struct fixture *))
{
    static struct fixture f;
    struct sstable_read_stats before, after;
    uint64_t chunks;

    for (unsigned row = 0; row <= ROWS; row++) {
        fixture_begin(&f, random_seed(1));
        if (change)
            change(&f);
        write_table(&f);
        assert_true(f.sstable->digests.rows_are_even);
        if (row < ROWS) {
            sstable_get_read_stats(f.sstable, &before);
            chunks = look_up(&f, row, PAGES - 2, 1);
            sstable_get_read_stats(f.sstable, &after);
            assert_in_range(chunks, 2, 4);
            assert_int_equal(after.chunk_reads - before.chunk_reads, 1);
        } else {
            look_up_all(&f);
            assert_int_equal(look_up(&f, 5, 0, PAGES), 0);
        }
        fixture_end(&f);
    }
}

static void a_page_is_read_without_the_others(void **state)
{
    (void)state;
    check_a_page_is_read_without_the_others(NULL);
}

static void so_is_one_that_was_written_by_itself(void **state)
{
    (void)state;
    check_a_page_is_read_without_the_others(write_page_by_page);
}

/* Of each kind one row; the others are even. */
static void rows_of_other_kinds_are_read_as_a_whole(void **state)
{
    static struct fixture f;

    (void)state;
    fixture_begin(&f, random_seed(2));
    f.rows[1].row.cell_count = PAGES - 1;                          /* not all columns */
    f.cells[3][PAGES - 1].value.size = 17;                         /* ends within a page */
    f.cells[4][9].timestamp_us += 1000;                            /* a page was overwritten */
    f.cells[5][0].timestamp_us += 1000;                            /* the first was */
    f.rows[6].row.deletion = (struct deletion){NOW_US - 5, 17638}; /* written over a deleted one */
    f.cells[7][3].local_deletion_time_s = 1763800;                 /* a page was deleted */
    f.cells[7][3].value = BYTES_LITERAL("");
    f.rows[8].row.cell_count = 3; /* below the size */
    write_table(&f);
    assert_true(f.sstable->digests.rows_are_even);
    look_up_all(&f);
    fixture_end(&f);
}

/* As long as if it were, by its first cell: so of this SSTable nothing is known by sizes. */
static void a_row_that_only_looks_even_is_told_of(void **state)
{
    static struct fixture f;

    (void)state;
    fixture_begin(&f, random_seed(3));
    f.cells[4][7].value.size = PAGE_BYTES - 100;
    f.cells[4][20].value.size = PAGE_BYTES + 100;
    write_table(&f);
    assert_false(f.sstable->digests.rows_are_even);
    look_up_all(&f);
    fixture_end(&f);

    /* Own timestamps take bytes, which a shorter value gives back. */
    fixture_begin(&f, random_seed(4));
    f.cells[4][7].timestamp_us = f.rows[4].row.liveness.timestamp_us + 1000;
    f.cells[4][7].value.size = PAGE_BYTES - 2;
    write_table(&f);
    assert_false(f.sstable->digests.rows_are_even);
    look_up_all(&f);
    fixture_end(&f);

    /* A shorter timestamp gives back what a longer one takes. */
    fixture_begin(&f, random_seed(6));
    write_page_by_page(&f);
    f.cells[4][7].timestamp_us = NOW_US + 10;
    f.cells[4][20].timestamp_us = NOW_US + 100000;
    write_table(&f);
    assert_false(f.sstable->digests.rows_are_even);
    look_up_all(&f);
    fixture_end(&f);
}

/* Who writes what is not so is found out. */
static void verify_finds_a_false_word(void **state)
{
    static struct fixture f;
    struct component_digests digests;
    struct buf text = BUF_INIT;
    int fd;

    (void)state;
    fixture_begin(&f, random_seed(5));
    f.cells[4][7].value.size = PAGE_BYTES - 100;
    f.cells[4][20].value.size = PAGE_BYTES + 100;
    write_table(&f);
    digests = f.sstable->digests;
    digests.rows_are_even = true;
    digest_encode(&text, &digests);
    sstable_unref(f.sstable);
    check(io_open(f.env, "nb-1-big-Digest.crc32", O_RDWR, &fd));
    check(io_write(f.env, fd, text.data, text.size, 0));
    io_close(f.env, fd);
    buf_release(&text);
    check(sstable_open(f.env, "", &table_id, &f.schema, f.cache, &f.sstable));
    assert_true(f.sstable->digests.rows_are_even);
    assert_int_equal(sstable_verify(f.sstable), -EUCLEAN);
    assert_non_null(strstr(err_text(-EUCLEAN), "Digest.crc32"));
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_is_read_without_the_others),
        cmocka_unit_test(so_is_one_that_was_written_by_itself),
        cmocka_unit_test(rows_of_other_kinds_are_read_as_a_whole),
        cmocka_unit_test(a_row_that_only_looks_even_is_told_of),
        cmocka_unit_test(verify_finds_a_false_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
