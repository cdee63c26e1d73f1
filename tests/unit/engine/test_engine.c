/*
 * Goal: the engine holds what it was given: through flushes, compactions, snapshots, reopenings,
 * faults and full disks.
 * Method: random batches on three small tables, compared with a model of them, in a world in
 * memory where background steps run in an order drawn from a seed.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "engine/error.h"
#include "engine/log.h"
#include "engine/print.h"
#include "io/fault.h"
#include "state.h"
#include "support/engine_model.h"
#include "support/model_expect.h"

#define SEED 7
#define PAYLOAD_MAX 400

static struct env *new_env(uint64_t total_bytes)
{
    struct env *env;

    assert_int_equal(env_fault_new(SEED, &env), 0);
    env_mem_set_space(env, total_bytes);
    return env;
}

static void check(int r)
{
    if (r < 0)
        fail_msg("%d: %s", r, err_text(r));
}

static struct engine *open_with(struct env *env, const struct engine_options *options)
{
    struct engine *engine = NULL;

    check(engine_open(env, options, &engine));
    return engine;
}

static struct engine *open_store(struct env *env)
{
    struct engine_options options = model_options();

    return open_with(env, &options);
}

static struct engine *new_store(struct env *env)
{
    check(engine_create(env, model_tables, MODEL_TABLES));
    return open_store(env);
}

static void write_batches(struct engine *engine, uint64_t from, uint64_t to)
{
    for (uint64_t number = from; number <= to; number++) {
        uint64_t position;

        check(model_write(engine, SEED, number, PAYLOAD_MAX, &position));
    }
}

static void expect(struct engine *engine, uint64_t count)
{
    model_expect(engine_live(engine), SEED, PAYLOAD_MAX, count);
}

static void run_tasks(struct env *env)
{
    for (unsigned n = 0; n < 10000 && env_run_task(env); n++)
        continue;
}

static void what_is_applied_is_read(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);

    (void)state;
    for (uint64_t n = 1; n <= 60; n++) {
        write_batches(engine, n, n);
        expect(engine, n);
    }
    check(engine_close(engine, 0));
    env_free(env);
}

static const uint8_t shelf_key[] = {0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 4, 0, 0, 0, 2, 0};
static const uint8_t shelf_slot[4] = {0, 0, 0, 3};

/* One batch: column `column` of a row of "shelves", a tombstone if the text is NULL. */
static void put_column(struct engine *engine, bool insert, unsigned column, const char *text)
{
    struct bytes key = bytes_of(shelf_key, sizeof(shelf_key));
    struct bytes clustering = bytes_of(shelf_slot, sizeof(shelf_slot));
    struct batch *batch;
    uint64_t position;

    check(engine_admit(engine, 1, 1 << 15, ADMIT_RECLAIM, NULL, NULL, &batch));
    batch_row(batch, 1, key, &CLUSTERING_ROW(&clustering, 1), insert);
    if (text)
        batch_cell(batch, column, bytes_of_string(text));
    else
        batch_delete_cell(batch, column);
    check(engine_apply(engine, batch, &position));
}

/* Whether SSTables were asked for a column of that row; its value, "" for none, must be `expected`.
 */
static bool reads_sstables(struct engine *engine, unsigned column, const char *expected)
{
    struct bytes key = bytes_of(shelf_key, sizeof(shelf_key));
    struct bytes clustering = bytes_of(shelf_slot, sizeof(shelf_slot));
    struct engine_stats before, after;
    struct rowref row = ROWREF_INIT;
    struct bytes value = BYTES_LITERAL("");

    engine_get_stats(engine, &before);
    assert_int_equal(engine_get(engine_live(engine), 1, key, &CLUSTERING_ROW(&clustering, 1),
                         1ull << column, &row),
        1);
    engine_get_stats(engine, &after);
    if (row.row.cell_count > 0)
        value = row.row.cells[0].value;
    assert_true(bytes_equal(value, bytes_of_string(expected)));
    rowref_release(&row);
    return after.key_cache_hits + after.key_cache_misses !=
           before.key_cache_hits + before.key_cache_misses;
}

/* A value that was written over needs no look at what it was written over. */
static void a_column_that_is_known_ends_the_search(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);

    (void)state;
    put_column(engine, true, 0, "old");
    put_column(engine, false, 1, "other");
    check(engine_flush(engine, TABLES_ALL));
    assert_true(reads_sstables(engine, 0, "old"));
    put_column(engine, false, 0, "new");
    assert_false(reads_sstables(engine, 0, "new"));
    assert_true(reads_sstables(engine, 1, "other"));
    /* Without a value, whether there is a row is told by what is older. */
    put_column(engine, false, 0, NULL);
    assert_true(reads_sstables(engine, 0, ""));
    check(engine_flush(engine, TABLES_ALL));
    put_column(engine, false, 1, NULL);
    assert_true(reads_sstables(engine, 1, ""));
    check(engine_close(engine, 0));
    env_free(env);
}

/* Of a large row only the column is read, and that is deleted: the other has it exist. */
static void a_row_exists_by_columns_that_are_not_asked_for(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);
    char value[20001];

    (void)state;
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    put_column(engine, false, 0, value);
    put_column(engine, false, 1, value);
    check(engine_flush(engine, TABLES_ALL));
    assert_true(reads_sstables(engine, 0, value));
    assert_true(reads_sstables(engine, 1, value));
    put_column(engine, false, 0, NULL);
    assert_true(reads_sstables(engine, 0, ""));
    assert_true(reads_sstables(engine, 1, value));
    check(engine_close(engine, 0));
    env_free(env);
}

static void what_is_flushed_is_read_and_survives_reopening(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);

    (void)state;
    write_batches(engine, 1, 100);
    check(engine_flush(engine, TABLES_ALL));
    expect(engine, 100);
    write_batches(engine, 101, 150);
    expect(engine, 150);
    check(engine_close(engine, 0));
    engine = open_store(env);
    expect(engine, 150);
    write_batches(engine, 151, 200);
    expect(engine, 200);
    check(engine_close(engine, CLOSE_FLUSH));
    engine = open_store(env);
    expect(engine, 200);
    check(engine_close(engine, 0));
    env_free(env);
}

static void sstables_are_closed_for_memory_and_opened_when_they_are_read(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);
    struct engine_stats stats;

    (void)state;
    engine->open_sstables.bytes_max = 1;
    for (uint64_t n = 0; n < 3; n++) {
        write_batches(engine, n * 20 + 1, n * 20 + 20);
        check(engine_flush(engine, TABLES_ALL));
        expect(engine, n * 20 + 20);
    }
    run_tasks(env); /* obsolete ones stay open to their end */
    expect(engine, 60);
    engine_get_stats(engine, &stats);
    assert_true(stats.sstables > 1);
    assert_int_equal(stats.sstables_open, 1);
    assert_true(stats.sstables_closed > stats.sstables);
    assert_true(stats.sstable_memory_bytes > 0);
    /* With room for all they stay open. */
    engine->open_sstables.bytes_max = 1 << 20;
    expect(engine, 60);
    engine_get_stats(engine, &stats);
    assert_int_equal(stats.sstables_open, stats.sstables);
    check(engine_close(engine, 0));
    engine = open_store(env);
    engine_get_stats(engine, &stats);
    assert_int_equal(stats.sstables_open, 0);
    expect(engine, 60);
    check(engine_close(engine, 0));
    env_free(env);
}

static void compaction_changes_nothing_that_is_read(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);
    struct engine_stats stats;

    (void)state;
    for (uint64_t n = 0; n < 12; n++) {
        write_batches(engine, n * 20 + 1, n * 20 + 20);
        check(engine_flush(engine, TABLES_ALL));
        run_tasks(env);
        expect(engine, n * 20 + 20);
    }
    check(engine_compact(engine, TABLES_ALL));
    expect(engine, 240);
    engine_get_stats(engine, &stats);
    assert_true(stats.sstables <= MODEL_TABLES);
    assert_true(stats.compactions > 0);
    check(engine_close(engine, 0));
    engine = open_store(env);
    expect(engine, 240);
    check(engine_close(engine, 0));
    env_free(env);
}

/* ---- rows of our own ---- */

#define THINGS 0

static struct batch *admit(struct engine *engine, enum admission class)
{
    struct batch *batch = NULL;

    check(engine_admit(engine, THINGS, 4096, class, NULL, NULL, &batch));
    return batch;
}

static uint64_t apply(struct engine *engine, struct batch *batch)
{
    uint64_t position = 0;

    check(engine_apply(engine, batch, &position));
    return position;
}

static struct clustering name_of(unsigned number, char text[8], struct bytes *value)
{
    snprintf(text, 8, "n%05u", number);
    *value = bytes_of(text, 6);
    return CLUSTERING_ROW(value, 1);
}

static void put_rows(struct engine *engine, unsigned from, unsigned to, size_t value_bytes)
{
    uint8_t *value = calloc(1, value_bytes);

    for (unsigned i = from; i < to; i++) {
        struct batch *batch = admit(engine, ADMIT_GROW);
        struct bytes name;
        char text[8];
        struct clustering clustering = name_of(i, text, &name);

        memset(value, (int)i, value_bytes);
        batch_row(batch, THINGS, model_key(THINGS, 0), &clustering, true);
        batch_cell(batch, 0, bytes_of(value, value_bytes));
        batch_cell_bigint(batch, 1, i);
        apply(engine, batch);
    }
    free(value);
}

static void delete_rows(struct engine *engine, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        struct batch *batch = admit(engine, ADMIT_RECLAIM);
        struct bytes name;
        char text[8];
        struct clustering clustering = name_of(i, text, &name);

        batch_delete_row(batch, THINGS, model_key(THINGS, 0), &clustering);
        apply(engine, batch);
    }
}

static int get_row(struct engine *engine, unsigned number, uint64_t columns, struct rowref *ref)
{
    struct bytes name;
    char text[8];
    struct clustering clustering = name_of(number, text, &name);

    return engine_get(engine_live(engine), THINGS, model_key(THINGS, 0), &clustering, columns, ref);
}

static unsigned count_scanned(struct engine *engine, const struct slice *slice)
{
    struct cursor *cursor;
    const struct row *row;
    unsigned count = 0;
    int r;

    check(engine_scan(
        engine_live(engine), THINGS, model_key(THINGS, 0), slice, COLUMNS_ALL, &cursor));
    while ((r = cursor_next(cursor, &row)) > 0)
        count++;
    check(r);
    cursor_close(cursor);
    return count;
}

static struct engine_stats stats_of(struct engine *engine)
{
    struct engine_stats stats;

    engine_get_stats(engine, &stats);
    return stats;
}

/* ---- reading ---- */

static void a_scan_of_many_pages_gives_every_row_once_in_order(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);
    struct cursor *cursor;
    const struct row *row;
    unsigned count = 0;

    (void)state;
    put_rows(engine, 0, 500, 100);
    check(engine_flush(engine, TABLES_ALL));
    put_rows(engine, 500, 1000, 100);
    check(engine_scan(
        engine_live(engine), THINGS, model_key(THINGS, 0), &SLICE_ALL, 1u << 1, &cursor));
    while (cursor_next(cursor, &row) > 0) {
        struct bytes name;
        char text[8];
        struct clustering wanted = name_of(count, text, &name);

        assert_true(bytes_equal(row->clustering.values[0], wanted.values[0]));
        assert_null(row_cell(row, 0)); /* not asked for */
        assert_non_null(row_cell(row, 1));
        assert_true(row->liveness.timestamp_us > 0);
        /* Whatever happens to the store between two pages. */
        if (count == 300)
            check(engine_flush(engine, TABLES_ALL));
        if (count == 600)
            check(engine_compact(engine, TABLES_ALL));
        count++;
    }
    assert_int_equal(count, 1000);
    cursor_close(cursor);
    check(engine_close(engine, 0));
    env_free(env);
}

static void a_slice_is_kept_to_across_pages(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);
    struct bytes from, to;
    char from_text[8], to_text[8];
    struct slice slice;

    (void)state;
    put_rows(engine, 0, 600, 10);
    slice = (struct slice){name_of(100, from_text, &from), name_of(500, to_text, &to)};
    slice.start.kind = KIND_EXCL_START;
    slice.end.kind = KIND_INCL_END;
    assert_int_equal(count_scanned(engine, &slice), 400);
    slice.end.kind = KIND_EXCL_END;
    assert_int_equal(count_scanned(engine, &slice), 399);
    delete_rows(engine, 200, 300);
    assert_int_equal(count_scanned(engine, &slice), 299);
    check(engine_close(engine, 0));
    env_free(env);
}

/* All of a table, tombstones too. */
static void print_table(struct engine *engine, unsigned table, struct buf *to)
{
    struct partition_scanner *scanner;
    struct partition_iterator *partition;
    int r;

    check(engine_scan_table(engine_live(engine), table, &scanner));
    while ((r = scanner_next(scanner, &partition)) > 0)
        check(partition_print_json(partition, 0, to));
    check(r);
    scanner_close(scanner);
    assert_int_equal(buf_error(to), 0);
}

static void a_read_writes_nothing(void **state)
{
    AUTO(buf_release) struct buf before = BUF_INIT, after = BUF_INIT;
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);
    uint64_t position, bytes, changes;

    (void)state;
    write_batches(engine, 1, 80);
    check(engine_flush(engine, TABLES_ALL));
    write_batches(engine, 81, 120);
    put_rows(engine, 0, 1000, 2000);
    check(engine_flush(engine, 1 << THINGS));
    delete_rows(engine, 0, 500);
    run_tasks(env);
    print_table(engine, THINGS, &before);
    position = engine_position(engine);
    bytes = stats_of(engine).memtable_bytes;
    changes = env_fault_change_count(env);
    /* A run of dead rows, then rows that lie deep: all that a memtable would notice. */
    for (unsigned i = 0; i < 1000; i++) {
        struct rowref ref;

        assert_int_equal(get_row(engine, i, COLUMNS_ALL, &ref), i >= 500);
        if (i >= 500)
            rowref_release(&ref);
    }
    assert_true(count_scanned(engine, &SLICE_ALL) >= 500);
    assert_int_equal(engine_position(engine), position);
    assert_int_equal(stats_of(engine).memtable_bytes, bytes);
    assert_int_equal(env_fault_change_count(env), changes);
    print_table(engine, THINGS, &after);
    assert_true(bytes_equal(buf_bytes(&before), buf_bytes(&after)));
    check(engine_close(engine, 0));
    env_free(env);
}

static void may_contain_is_false_only_for_what_is_nowhere(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);
    struct source *live = engine_live(engine);

    (void)state;
    assert_int_equal(engine_may_contain(live, THINGS, model_key(THINGS, 0)), 0);
    put_rows(engine, 0, 1, 10);
    assert_int_equal(engine_may_contain(live, THINGS, model_key(THINGS, 0)), 1);
    check(engine_flush(engine, TABLES_ALL));
    assert_int_equal(engine_may_contain(live, THINGS, model_key(THINGS, 0)), 1);
    assert_int_equal(engine_may_contain(live, THINGS, model_key(THINGS, 1)), 0);
    check(engine_close(engine, 0));
    env_free(env);
}

/* Finds a file of the table `things` and component `component`. */
static int find_component(void *arg, const char *name)
{
    enum sstable_component component;
    struct sstable_id id;
    char *path = arg;
    char folder[TABLE_FOLDER_NAME_MAX + 1];

    table_folder_name(&model_tables[THINGS], folder);
    if (sstable_parse_file_name(name, &id, &component) && component == COMPONENT_DATA) {
        snprintf(path, 256, "data/model/%s/%s", folder, name);
        return 1;
    }
    return 0;
}

struct largest {
    struct env *env;
    uint64_t size;
    char path[256];
};

static void damage_fails_the_read_that_meets_it_and_no_other(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);
    char folder[TABLE_FOLDER_NAME_MAX + 1], list[256], path[256];
    struct rowref ref = ROWREF_INIT;
    struct io_stat stat;
    struct cursor *cursor;
    const struct row *row;
    unsigned bad = 0;
    int r;

    (void)state;
    put_rows(engine, 0, 2000, 100);
    check(engine_close(engine, CLOSE_FLUSH));
    table_folder_name(&model_tables[THINGS], folder);
    snprintf(list, sizeof(list), "data/model/%s", folder);
    assert_int_equal(io_list(env, list, find_component, path), 1);
    check(io_stat(env, path, &stat));
    env_fault_flip_bit(env, path, stat.size / 2, 3);

    engine = open_store(env);
    for (unsigned i = 0; i < 2000; i++) {
        r = get_row(engine, i, COLUMNS_ALL, &ref);
        assert_true(r == 1 || r == -EBADMSG || r == -EUCLEAN);
        bad += r < 0;
        rowref_release(&ref);
    }
    assert_true(bad > 0 && bad < 200);
    assert_int_equal(stats_of(engine).bad_reads, bad);
    /* A listing fails where it meets it, and goes on failing: it is never silently short. */
    check(engine_scan(
        engine_live(engine), THINGS, model_key(THINGS, 0), &SLICE_ALL, COLUMNS_ALL, &cursor));
    while ((r = cursor_next(cursor, &row)) > 0)
        continue;
    assert_true(r == -EBADMSG || r == -EUCLEAN);
    assert_int_equal(cursor_next(cursor, &row), r);
    cursor_close(cursor);
    assert_int_equal(engine_failure(engine), 0);
    put_rows(engine, 3000, 3001, 10);
    check(engine_close(engine, 0));
    env_free(env);
}

/* The Data.db that is largest: of the table flushed with the largest values. */
static int find_largest_data(void *arg, const char *name)
{
    struct largest *largest = arg;
    char path[256];
    struct io_stat stat;

    if (find_component(path, name) == 0)
        return 0;
    check(io_stat(largest->env, path, &stat));
    if (stat.size > largest->size) {
        largest->size = stat.size;
        memcpy(largest->path, path, sizeof(path));
    }
    return 0;
}

/* Of two tables the older is damaged: who meets the damage has read it. */
static void a_get_reads_no_table_that_is_older_than_what_it_knows(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);
    struct rowref ref = ROWREF_INIT;
    struct largest largest = {.env = env};
    char folder[TABLE_FOLDER_NAME_MAX + 1], list[256];
    struct batch *batch;
    struct bytes name;
    char text[8];
    struct clustering clustering = name_of(3, text, &name);

    (void)state;
    put_rows(engine, 0, 4, 300);
    check(engine_flush(engine, TABLES_ALL));
    put_rows(engine, 0, 1, 10);
    delete_rows(engine, 1, 2);
    batch = admit(engine, ADMIT_GROW);
    batch_row(batch, THINGS, model_key(THINGS, 0), &clustering, true);
    batch_cell_bigint(batch, 1, 77);
    apply(engine, batch);
    check(engine_close(engine, CLOSE_FLUSH));
    table_folder_name(&model_tables[THINGS], folder);
    snprintf(list, sizeof(list), "data/model/%s", folder);
    assert_int_equal(io_list(env, list, find_largest_data, &largest), 0);
    env_fault_flip_bit(env, largest.path, largest.size / 2, 3);

    engine = open_store(env);
    assert_int_equal(get_row(engine, 0, COLUMNS_ALL, &ref), 1);
    assert_int_equal(row_cell(&ref.row, 0)->value.size, 10);
    rowref_release(&ref);
    assert_int_equal(get_row(engine, 1, COLUMNS_ALL, &ref), 0);
    assert_true(get_row(engine, 2, COLUMNS_ALL, &ref) < 0);
    /* Of this one the first column is old, and the second new. */
    assert_true(get_row(engine, 3, COLUMNS_ALL, &ref) < 0);
    assert_int_equal(get_row(engine, 3, 1u << 1, &ref), 1);
    rowref_release(&ref);
    /* Nor does a listing of what was deleted as a whole. */
    batch = admit(engine, ADMIT_RECLAIM);
    batch_delete_partition(batch, THINGS, model_key(THINGS, 0));
    apply(engine, batch);
    assert_int_equal(count_scanned(engine, &SLICE_ALL), 0);
    check(engine_close(engine, 0));
    env_free(env);
}

/* ---- the rule of one batch ---- */

static void a_batch_deletes_first_and_then_writes(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);
    struct rowref ref = ROWREF_INIT;
    struct batch *batch;
    struct bytes name;
    char text[8];
    struct clustering clustering = name_of(0, text, &name);

    (void)state;
    put_rows(engine, 0, 1, 10);
    for (unsigned round = 0; round < 2; round++) {
        batch = admit(engine, ADMIT_GROW);
        batch_row(batch, THINGS, model_key(THINGS, 0), &clustering, true);
        batch_cell_bigint(batch, 1, 77);
        batch_delete_row(batch, THINGS, model_key(THINGS, 0), &clustering);
        apply(engine, batch);
        for (unsigned flushed = 0; flushed < 2; flushed++) {
            assert_int_equal(get_row(engine, 0, COLUMNS_ALL, &ref), 1);
            assert_null(row_cell(&ref.row, 0)); /* of the row before */
            assert_non_null(row_cell(&ref.row, 1));
            rowref_release(&ref);
            check(engine_flush(engine, TABLES_ALL));
        }
    }
    check(engine_close(engine, 0));
    env_free(env);
}

static void what_never_left_memory_leaves_no_tombstone(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);

    (void)state;
    put_rows(engine, 0, 100, 10);
    delete_rows(engine, 0, 100);
    check(engine_flush(engine, TABLES_ALL));
    assert_int_equal(stats_of(engine).sstables, 0);
    put_rows(engine, 0, 100, 10);
    check(engine_flush(engine, TABLES_ALL));
    delete_rows(engine, 0, 50);
    check(engine_flush(engine, TABLES_ALL));
    assert_int_equal(count_scanned(engine, &SLICE_ALL), 50);
    check(engine_compact(engine, TABLES_ALL));
    assert_int_equal(count_scanned(engine, &SLICE_ALL), 50);
    check(engine_close(engine, 0));
    env_free(env);
}

/* Row 1 expires whole, of row 2 one column does. */
static void put_expiring_rows(struct engine *engine, int32_t ttl_s)
{
    struct batch *batch = admit(engine, ADMIT_GROW);

    for (unsigned i = 1; i <= 2; i++) {
        struct bytes name;
        char text[8];
        struct clustering clustering = name_of(i, text, &name);

        batch_set_ttl(batch, i == 1 ? ttl_s : 0);
        batch_row(batch, THINGS, model_key(THINGS, 0), &clustering, true);
        batch_cell_bigint(batch, 0, 5);
        batch_set_ttl(batch, ttl_s);
        batch_cell_bigint(batch, 1, 6);
    }
    apply(engine, batch);
}

static void expect_expiring_rows(struct engine *engine, bool live)
{
    struct rowref ref;

    assert_int_equal(count_scanned(engine, &SLICE_ALL), live ? 2 : 1);
    assert_int_equal(get_row(engine, 1, COLUMNS_ALL, &ref), live);
    if (live)
        rowref_release(&ref);
    assert_int_equal(get_row(engine, 2, COLUMNS_ALL, &ref), 1);
    assert_int_equal(ref.row.cell_count, live ? 2 : 1);
    rowref_release(&ref);
}

static void advance_s(struct env *env, unsigned seconds)
{
    env_mem_advance(env, seconds * UINT64_C(1000000));
}

/* In memory, replayed, flushed; then compaction leaves tombstones, until their grace is over. */
static void what_expires_is_gone_and_its_tombstone_after_its_grace(void **state)
{
    struct engine_options options = model_options();
    struct env *env = new_env(64 << 20);
    struct engine *engine;

    (void)state;
    options.gc_grace_s = 1000;
    check(engine_create(env, model_tables, MODEL_TABLES));
    engine = open_with(env, &options);
    put_expiring_rows(engine, 100);
    advance_s(env, 98);
    expect_expiring_rows(engine, true);
    check(engine_close(engine, 0));
    engine = open_with(env, &options);
    expect_expiring_rows(engine, true);
    check(engine_flush(engine, TABLES_ALL));
    expect_expiring_rows(engine, true);
    advance_s(env, 3);
    expect_expiring_rows(engine, false);

    delete_rows(engine, 2, 3);
    check(engine_flush(engine, TABLES_ALL));
    check(engine_compact(engine, TABLES_ALL));
    assert_int_equal(count_scanned(engine, &SLICE_ALL), 0);
    assert_int_equal(stats_of(engine).sstables, 1);
    advance_s(env, 890); /* from the write: 991 s */
    check(engine_compact(engine, TABLES_ALL));
    assert_int_equal(stats_of(engine).sstables, 1);
    advance_s(env, 200);
    check(engine_compact(engine, TABLES_ALL));
    assert_int_equal(stats_of(engine).sstables, 0);
    check(engine_close(engine, 0));
    env_free(env);
}

/* ---- syncs ---- */

static void note_result(void *arg, int r)
{
    *(int *)arg = r;
}

static void each_sync_mode_keeps_its_promise(void **state)
{
    static const enum sync_mode modes[] = {SYNC_PERIODIC, SYNC_GROUP, SYNC_BATCH};

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(modes); i++) {
        struct env *env = new_env(64 << 20);
        struct engine_options options = model_options();
        struct engine *engine;
        uint64_t position, syncs;
        int r, result = 1;

        options.sync_mode = modes[i];
        check(engine_create(env, model_tables, MODEL_TABLES));
        engine = open_with(env, &options);
        run_tasks(env);
        check(model_write(engine, SEED, 1, PAYLOAD_MAX, &position));
        syncs = stats_of(engine).log_syncs;
        r = engine_await(engine, position, false, note_result, &result);
        if (modes[i] == SYNC_PERIODIC) {
            assert_int_equal(r, 0);
            run_tasks(env);
            assert_int_equal(stats_of(engine).log_syncs, syncs);
            env_mem_advance(env, options.sync_period_us);
            run_tasks(env);
        } else {
            assert_int_equal(r, -EINPROGRESS);
            run_tasks(env);
            if (modes[i] == SYNC_GROUP) {
                assert_int_equal(result, 1);
                env_mem_advance(env, 15000);
                run_tasks(env);
            }
            assert_int_equal(result, 0);
        }
        assert_int_equal(stats_of(engine).log_syncs, syncs + 1);
        /* And without a go, and by force. */
        check(model_write(engine, SEED, 2, PAYLOAD_MAX, &position));
        check(engine_await(engine, position, false, NULL, NULL));
        check(engine_await(engine, position, true, NULL, NULL));
        assert_int_equal(stats_of(engine).log_syncs, syncs + 2);
        check(engine_close(engine, 0));
        env_free(env);
    }
}

static void put_large_fact(struct engine *engine, unsigned partition)
{
    struct batch *batch = admit(engine, ADMIT_GROW);
    uint8_t *value = calloc(1, 100000);

    batch_row(batch, MODEL_TABLES - 1, model_key(MODEL_TABLES - 1, partition),
        &CLUSTERING_ROW(NULL, 0), true);
    batch_cell(batch, 0, bytes_of(value, 100000));
    apply(engine, batch);
    free(value);
}

/* Nor does that of another table that is sealed with it. */
static void a_flush_does_not_sync_the_values_that_it_takes(void **state)
{
    struct env *env = new_env(1ull << 30);
    struct engine *engine = new_store(env);

    (void)state;
    put_large_fact(engine, 0);
    run_tasks(env); /* the log has slots for values from now on */
    for (unsigned i = 1; i <= 5; i++) {
        if (i % 2)
            put_rows(engine, 0, 10, 100);
        put_large_fact(engine, i);
        put_large_fact(engine, i + 10);
        check(engine_flush(engine, TABLES_ALL));
    }
    assert_true(stats_of(engine).flushes >= 5);
    assert_int_equal(stats_of(engine).log_value_syncs, 0);
    put_large_fact(engine, 0);
    check(engine_await(engine, engine_position(engine), true, NULL, NULL));
    assert_int_equal(stats_of(engine).log_value_syncs, 1);
    check(engine_close(engine, 0));
    env_free(env);
}

/* At the end of a period, many values are flushed instead of synced; few are synced. */
static void a_stream_of_values_is_flushed_instead_of_synced(void **state)
{
    (void)state;
    for (unsigned megabytes = 8; megabytes <= 40; megabytes += 32) {
        struct env *env = new_env(4ull << 30);
        struct engine_options options = model_options();
        struct engine *engine;
        uint64_t flushes;

        options.memory_bytes = 1u << 30;
        check(engine_create(env, model_tables, MODEL_TABLES));
        engine = open_with(env, &options);
        put_rows(engine, 0, 1, 100000);
        run_tasks(env); /* the log has slots for values from now on */
        for (unsigned i = 1; i < megabytes * 10; i += 20) {
            put_rows(engine, i, i + 20, 100000);
            run_tasks(env);
        }
        flushes = stats_of(engine).flushes;
        env_mem_advance(env, options.sync_period_us);
        run_tasks(env);
        for (unsigned i = 0; i < 20; i++) {
            env_mem_advance(env, 20000);
            run_tasks(env);
        }
        assert_int_equal(stats_of(engine).flushes > flushes, megabytes > 32);
        check(engine_close(engine, 0));
        env_free(env);
    }
}

static void a_failed_sync_makes_the_store_read_only(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);
    struct batch *batch = NULL;
    uint64_t position;

    (void)state;
    write_batches(engine, 1, 10);
    run_tasks(env);
    env_fault_fail_at(env, 1, -EIO);
    assert_int_equal(engine_await(engine, engine_position(engine), true, NULL, NULL), -EIO);
    assert_int_equal(engine_failure(engine), -EIO);
    assert_int_equal(engine_await(engine, engine_position(engine), true, NULL, NULL), -EIO);
    assert_int_equal(model_write(engine, SEED, 11, PAYLOAD_MAX, &position), -EIO);
    assert_int_equal(engine_admit(engine, 0, 1, ADMIT_RECLAIM, NULL, NULL, &batch), -EIO);
    expect(engine, 10);
    assert_int_equal(engine_close(engine, CLOSE_FLUSH), -EIO);
    env_free(env);
}

static void a_flush_that_fails_once_is_made_again_in_a_new_file(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth <= 40; nth++) {
        struct env *env = new_env(64 << 20);
        struct engine *engine = new_store(env);
        int r;

        write_batches(engine, 1, 30);
        run_tasks(env);
        env_fault_fail_at(env, nth, -EIO);
        r = engine_flush(engine, TABLES_ALL);
        /* It may have been the log or the manifest that failed, which is final. */
        if (r < 0)
            assert_int_equal(engine_failure(engine), -EIO);
        else
            assert_int_equal(engine_failure(engine), 0);
        env_fault_fail_at(env, 0, 0);
        expect(engine, 30);
        (void)engine_close(engine, 0);
        engine = open_store(env);
        expect(engine, 30);
        check(engine_close(engine, 0));
        env_free(env);
    }
}

/* Of a compaction nothing counts before its edit: an error leaves the inputs, and it is tried anew.
 */
static void a_compaction_that_fails_leaves_its_inputs(void **state)
{
    unsigned outputs_failed = 0;

    (void)state;
    for (uint64_t nth = 1; nth <= 30; nth++) {
        struct env *env = new_env(64 << 20);
        struct engine *engine = new_store(env);

        write_batches(engine, 1, 30);
        check(engine_flush(engine, TABLES_ALL));
        write_batches(engine, 31, 60);
        check(engine_flush(engine, TABLES_ALL));
        env_fault_fail_sync_at(env, nth);
        if (engine_compact(engine, TABLES_ALL) < 0 && engine_failure(engine) == 0) {
            outputs_failed++;
            expect(engine, 60);
            check(engine_compact(engine, TABLES_ALL));
        }
        env_fault_fail_sync_at(env, 0);
        expect(engine, 60);
        (void)engine_close(engine, 0);
        engine = open_store(env);
        expect(engine, 60);
        check(engine_close(engine, 0));
        env_free(env);
    }
    assert_true(outputs_failed > 0);
}

/* ---- memory and disk ---- */

static int put_until_full(struct engine *engine, struct env *env, unsigned *count)
{
    uint8_t *value = malloc(100000);
    int r = 0;

    for (size_t i = 0; i < 100000; i++)
        value[i] = (uint8_t)(env_random(env) >> 13);
    for (; r == 0 && *count < 10000; *count += r == 0) {
        struct batch *batch = NULL;
        struct bytes name;
        char text[8];
        struct clustering clustering = name_of(*count, text, &name);
        uint64_t position;

        r = engine_admit(engine, THINGS, 100000, ADMIT_GROW, NULL, NULL, &batch);
        if (r < 0)
            break;
        batch_row(batch, THINGS, model_key(THINGS, 0), &clustering, true);
        batch_cell(batch, 0, bytes_of(value, 100000));
        r = engine_apply(engine, batch, &position);
        /* The disk is looked at every so often only. */
        env_mem_advance(env, 50000);
    }
    free(value);
    return r;
}

/* More than the reserve can take in an SSTable, in a class that is admitted all the same. */
static void put_batch_that_reclaims(struct engine *engine)
{
    uint8_t *value = malloc(20000);

    for (size_t i = 0; i < 20000; i++)
        value[i] = (uint8_t)(i * i >> 7);
    for (unsigned i = 0; i < 60; i++) {
        struct batch *batch = admit(engine, ADMIT_RECLAIM);
        struct bytes name;
        char text[8];
        struct clustering clustering = name_of(90000 + i, text, &name);

        batch_row(batch, THINGS, model_key(THINGS, 0), &clustering, true);
        batch_cell(batch, 0, bytes_of(value, 20000));
        apply(engine, batch);
    }
    free(value);
}

static void a_full_store_still_deletes_and_has_room_again_then(void **state)
{
    struct engine *engine;
    unsigned count = 0, again = 0;
    struct env *env;

    (void)state;
    /* Not the disk that loses: there the space of a file comes back with its directory's sync. */
    check(env_mem_new(SEED, &env));
    env_mem_set_space(env, 24 << 20);
    engine = new_store(env);
    assert_int_equal(put_until_full(engine, env, &count), -ENOSPC);
    assert_true(count > 80);
    assert_int_equal(engine_failure(engine), 0);
    assert_int_equal(count_scanned(engine, &SLICE_ALL), count);
    assert_true(stats_of(engine).disk_available_bytes < 200000);
    check(engine_close(engine, 0));
    engine = open_store(env);
    assert_int_equal(put_until_full(engine, env, &again), -ENOSPC);

    delete_rows(engine, 0, count);
    check(engine_flush(engine, TABLES_ALL));
    for (unsigned i = 0; i < 100; i++) {
        run_tasks(env);
        env_mem_advance(env, 1000000);
    }
    assert_int_equal(count_scanned(engine, &SLICE_ALL), 0);
    assert_true(stats_of(engine).disk_available_bytes > 10 << 20);
    again = 0;
    assert_int_equal(put_until_full(engine, env, &again), -ENOSPC);
    assert_true(again > count / 2);
    check(engine_close(engine, 0));
    env_free(env);
}

/* One row written again and again fills the log, but no memtable; and another table has a little in
 * the oldest segment. */
static void the_log_is_bounded_whatever_is_written(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);
    uint64_t segments_max = 0;
    uint64_t rows;

    (void)state;
    write_batches(engine, 1, 1);
    for (unsigned i = 0; i < 1000; i++) {
        struct engine_stats stats;

        put_rows(engine, 0, 1, 20000);
        stats = stats_of(engine);
        if (stats.log_segments > segments_max)
            segments_max = stats.log_segments;
    }
    assert_true(stats_of(engine).log_bytes > 15 << 20);
    /* Nothing but a writer that waits lets the background run here. */
    assert_int_equal(segments_max, 12);
    assert_true(stats_of(engine).flushes > 0);
    rows = count_scanned(engine, &SLICE_ALL);
    check(engine_close(engine, 0));
    engine = open_store(env);
    assert_int_equal(count_scanned(engine, &SLICE_ALL), rows);
    check(engine_close(engine, 0));
    env_free(env);
}

/* ---- opening ---- */

static void a_store_is_open_in_one_place_only(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env), *other = NULL;
    struct engine_options options = model_options();

    (void)state;
    assert_int_equal(engine_open(env, &options, &other), -EBUSY);
    options.read_only = true;
    assert_int_equal(engine_open(env, &options, &other), -EBUSY);
    check(engine_close(engine, 0));
    engine = open_with(env, &options);
    other = open_with(env, &options);
    check(engine_close(other, 0));
    check(engine_close(engine, 0));
    env_free(env);
}

static void a_read_only_open_changes_nothing(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);
    struct engine_options options = model_options();
    struct batch *batch = NULL;
    uint64_t changes;

    (void)state;
    write_batches(engine, 1, 40);
    check(engine_flush(engine, 1));
    write_batches(engine, 41, 60);
    check(engine_await(engine, engine_position(engine), true, NULL, NULL));
    env_fault_crash_at(env, 1);
    (void)engine_close(engine, 0);
    env_fault_crash(env, ENV_FAULT_TORN);
    changes = env_fault_change_count(env);
    options.read_only = true;
    engine = open_with(env, &options);
    expect(engine, 60);
    assert_int_equal(engine_admit(engine, 0, 1, ADMIT_RECLAIM, NULL, NULL, &batch), -EROFS);
    assert_int_equal(engine_flush(engine, TABLES_ALL), -EROFS);
    assert_int_equal(engine_snapshot_create(engine, "x"), -EROFS);
    assert_int_equal(engine_await(engine, 1, true, NULL, NULL), 0);
    check(engine_close(engine, CLOSE_FLUSH));
    assert_int_equal(env_fault_change_count(env), changes);
    env_free(env);
}

static void what_is_no_store_is_refused_by_name(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine_options options = model_options();
    struct engine *engine = NULL;
    static const char newer[] = "{\"format_version\": 99}";

    (void)state;
    assert_int_equal(engine_open(env, &options, &engine), -ENOTDIR);
    check(io_write_file(env, "something", BYTES_LITERAL("x"), false));
    assert_int_equal(engine_create(env, model_tables, MODEL_TABLES), -ENOTEMPTY);
    check(io_unlink(env, "something"));
    check(engine_create(env, model_tables, MODEL_TABLES));
    options.memory_bytes = 1 << 20;
    assert_int_equal(engine_open(env, &options, &engine), -EINVAL);
    options = model_options();
    options.table_count = 2;
    assert_int_equal(engine_open(env, &options, &engine), -EPROTO);
    options = model_options();
    check(io_write_file(env, "store.json", BYTES_LITERAL(newer), true));
    assert_int_equal(engine_open(env, &options, &engine), -EPROTO);
    check(io_write_file(env, "store.json", BYTES_LITERAL("{"), true));
    assert_int_equal(engine_open(env, &options, &engine), -EUCLEAN);
    env_free(env);
}

static void timestamps_rise_whatever_the_clock_does(void **state)
{
    struct env *env = new_env(64 << 20);
    struct engine *engine = new_store(env);
    int64_t before;

    (void)state;
    write_batches(engine, 1, 10);
    before = engine_now(engine);
    env_mem_set_wall(env, env_wall_us(env) - 3600000000u);
    write_batches(engine, 11, 20);
    assert_true(engine_now(engine) > before);
    before = engine_now(engine);
    check(engine_close(engine, CLOSE_FLUSH));
    engine = open_store(env);
    assert_true(engine_now(engine) >= before);
    write_batches(engine, 21, 30);
    assert_true(engine_now(engine) > before);
    expect(engine, 30);
    check(engine_close(engine, 0));
    env_free(env);
}

/* Life in a large memory, then an open in a small one. */
static void a_log_larger_than_memory_is_flushed_while_it_is_replayed(void **state)
{
    struct engine_options options = model_options();
    struct engine *engine = NULL;
    /* A memtable may grow to a 64th of the disk. */
    struct env *env = new_env(4ull << 30);
    unsigned count;

    (void)state;
    check(engine_create(env, model_tables, MODEL_TABLES));
    options.memory_bytes = 2ull << 30;
    engine = open_with(env, &options);
    write_batches(engine, 1, 50);
    put_rows(engine, 0, 1, 10);
    for (unsigned i = 0; i < 3; i++)
        put_rows(engine, i * 100, i * 100 + 100, 100000);
    check(engine_snapshot_create(engine, "half")); /* which the crash finds incomplete */
    put_rows(engine, 300, 400, 100000);
    write_batches(engine, 51, 51);
    check(engine_await(engine, engine_position(engine), true, NULL, NULL));
    env_fault_crash_at(env, 1);
    (void)engine_close(engine, 0);
    env_fault_crash(env, ENV_FAULT_LOST);

    /* Read-only nothing can be flushed: that is said, not done badly. */
    options.memory_bytes = 32 << 20;
    options.read_only = true;
    assert_int_equal(engine_open(env, &options, &engine), -ENOMEM);
    options.read_only = false;
    engine = open_with(env, &options);
    count = count_scanned(engine, &SLICE_ALL);
    assert_true(count >= 400 && count <= 400 + MODEL_ROWS);
    assert_true(stats_of(engine).memtable_bytes < 16 << 20);
    check(engine_snapshot_await(engine, "half", NULL, NULL));
    check(engine_close(engine, 0));
    engine = open_with(env, &options);
    assert_int_equal(count_scanned(engine, &SLICE_ALL), count);
    check(engine_close(engine, 0));
    env_free(env);
}

static void a_flush_without_room_on_the_disk_is_answered_not_waited_for(void **state)
{
    struct engine *engine;
    unsigned count = 0;
    struct env *env;
    struct io_space space;

    (void)state;
    check(env_mem_new(SEED, &env));
    env_mem_set_space(env, 24 << 20);
    engine = new_store(env);
    assert_int_equal(put_until_full(engine, env, &count), -ENOSPC);
    check(engine_flush(engine, TABLES_ALL));
    put_batch_that_reclaims(engine);
    /* Somebody else takes the rest of the disk. */
    check(io_space(env, &space));
    env_mem_set_space(env, (24 << 20) - space.available_bytes);
    assert_int_equal(engine_flush(engine, TABLES_ALL), -ENOSPC);
    assert_int_equal(engine_failure(engine), 0);
    assert_int_equal(engine_close(engine, CLOSE_FLUSH), -ENOSPC);
    env_mem_set_space(env, 48 << 20);
    engine = open_store(env);
    check(engine_flush(engine, TABLES_ALL));
    assert_int_equal(count_scanned(engine, &SLICE_ALL), count + 60);
    check(engine_close(engine, CLOSE_FLUSH));
    env_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_applied_is_read),
        cmocka_unit_test(a_column_that_is_known_ends_the_search),
        cmocka_unit_test(a_row_exists_by_columns_that_are_not_asked_for),
        cmocka_unit_test(what_is_flushed_is_read_and_survives_reopening),
        cmocka_unit_test(sstables_are_closed_for_memory_and_opened_when_they_are_read),
        cmocka_unit_test(compaction_changes_nothing_that_is_read),
        cmocka_unit_test(a_scan_of_many_pages_gives_every_row_once_in_order),
        cmocka_unit_test(a_slice_is_kept_to_across_pages),
        cmocka_unit_test(a_read_writes_nothing),
        cmocka_unit_test(may_contain_is_false_only_for_what_is_nowhere),
        cmocka_unit_test(damage_fails_the_read_that_meets_it_and_no_other),
        cmocka_unit_test(a_get_reads_no_table_that_is_older_than_what_it_knows),
        cmocka_unit_test(a_batch_deletes_first_and_then_writes),
        cmocka_unit_test(what_never_left_memory_leaves_no_tombstone),
        cmocka_unit_test(what_expires_is_gone_and_its_tombstone_after_its_grace),
        cmocka_unit_test(each_sync_mode_keeps_its_promise),
        cmocka_unit_test(a_flush_does_not_sync_the_values_that_it_takes),
        cmocka_unit_test(a_stream_of_values_is_flushed_instead_of_synced),
        cmocka_unit_test(a_failed_sync_makes_the_store_read_only),
        cmocka_unit_test(a_flush_that_fails_once_is_made_again_in_a_new_file),
        cmocka_unit_test(a_compaction_that_fails_leaves_its_inputs),
        cmocka_unit_test(a_full_store_still_deletes_and_has_room_again_then),
        cmocka_unit_test(the_log_is_bounded_whatever_is_written),
        cmocka_unit_test(a_store_is_open_in_one_place_only),
        cmocka_unit_test(a_read_only_open_changes_nothing),
        cmocka_unit_test(what_is_no_store_is_refused_by_name),
        cmocka_unit_test(a_log_larger_than_memory_is_flushed_while_it_is_replayed),
        cmocka_unit_test(a_flush_without_room_on_the_disk_is_answered_not_waited_for),
        cmocka_unit_test(timestamps_rise_whatever_the_clock_does),
    };

    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
