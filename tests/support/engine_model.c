#include "support/engine_model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "engine/assert.h"
#include "engine/coding.h"
#include "engine/error.h"
#include "rows/update.h"

/* ---- tables ---- */

static const struct column things_key[] = {{"id", &type_bigint}};
static const struct column things_clustering[] = {{"name", &type_blob}};
static const struct column things_statics[] = {{"fixed", &type_blob}};
static const struct column shelves_key[] = {{"a", &type_bigint}, {"b", &type_int}};
static const struct column shelves_clustering[] = {{"slot", &type_int}};
static const struct column value_columns[] = {{"c0", &type_blob}, {"c1", &type_blob}};

#define COMMON                                                                                     \
    .keyspace = "model", .regular_count = 2, .regulars = value_columns, .chunk_bytes = 4096,       \
    .min_compress_ratio = 1.1, .filter_fp_chance = 0.01, .min_index_interval = 128,                \
    .column_index_bytes = 4096

const struct table_schema model_tables[MODEL_TABLES] = {
    {COMMON, .name = "things", .id = "things.........1", .partition_key_count = 1,
        .partition_key = things_key, .clustering_count = 1, .clustering = things_clustering,
        .static_count = 1, .statics = things_statics, .has_row_filter = true},
    {COMMON, .name = "shelves", .id = "shelves........2", .partition_key_count = 2,
        .partition_key = shelves_key, .clustering_count = 1, .clustering = shelves_clustering,
        .compaction = COMPACT_GARBAGE},
    {COMMON, .name = "facts", .id = "facts..........3", .partition_key_count = 1,
        .partition_key = things_key},
};

struct engine_options model_options(void)
{
    return (struct engine_options){
        .tables = model_tables,
        .table_count = MODEL_TABLES,
        .memory_bytes = 32 << 20,
        .sync_mode = SYNC_PERIODIC,
        .sync_period_us = 5000000,
        /* So that what is small here as well is flushed in parts. */
        .flush_tasks = 2,
        .flush_part_bytes = 1,
    };
}

static unsigned rows_of(unsigned table)
{
    return model_tables[table].clustering_count ? MODEL_ROWS : 1;
}

struct bytes model_key(unsigned table, unsigned partition)
{
    static _Thread_local uint8_t key[KEY_BYTES_BIGINT_INT];

    if (model_tables[table].partition_key_count == 2) {
        key_bigint_int(key, partition / 2, (int32_t)(partition % 2));
        return bytes_of(key, KEY_BYTES_BIGINT_INT);
    }
    key_bigint(key, (int64_t)partition + 1);
    return bytes_of(key, KEY_BYTES_BIGINT);
}

struct clustering model_clustering(unsigned table, unsigned row)
{
    static _Thread_local uint8_t texts[4][8];
    static _Thread_local struct bytes values[4];
    static _Thread_local unsigned next;
    unsigned at = next++ % 4;

    if (model_tables[table].clustering_count == 0)
        return CLUSTERING_ROW(NULL, 0);
    if (model_tables[table].clustering[0].type == &type_int) {
        store_be32(texts[at], row * 10);
        values[at] = bytes_of(texts[at], 4);
    } else {
        snprintf((char *)texts[at], sizeof(texts[at]), "row%u", row);
        values[at] = bytes_of(texts[at], 4);
    }
    return CLUSTERING_ROW(&values[at], 1);
}

/* ---- history ---- */

#define PAYLOAD_BYTES_MAX (64u << 10)

static uint64_t mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static uint64_t draw(uint64_t *state, uint64_t below)
{
    *state = mix(*state);
    return (*state >> 16) % below;
}

static size_t payload_bytes(uint64_t seed, uint64_t number, size_t payload_max)
{
    return 8 + (payload_max > 8 ? mix(seed ^ number * 77) % (payload_max - 8) : 0);
}

#define SHARED_BYTES_MIN 512

static bool share_values;
static _Thread_local struct engine *writing; /* whose buffers values may lie in; NULL: none */

void model_share_values(bool share)
{
    share_values = share;
}

static void put_value(
    struct batch *batch, unsigned column, uint64_t seed, uint64_t number, size_t payload_max)
{
    static _Thread_local uint8_t memory[PAYLOAD_BYTES_MAX];
    size_t size = payload_bytes(seed, number, payload_max);
    struct value_buffer *buffer =
        writing && size >= SHARED_BYTES_MIN ? engine_value_buffer(writing) : NULL;
    uint8_t *value = buffer ? value_buffer_data(buffer) : memory;

    ASSERT(size <= PAYLOAD_BYTES_MAX);
    for (size_t i = 8; i < size; i++)
        value[i] = (uint8_t)mix(number + i / 4);
    store_be64(value, number);
    if (buffer)
        batch_cell_shared(batch, column, bytes_of(value, size), buffer);
    else
        batch_cell(batch, column, bytes_of(value, size));
    value_buffer_unref(buffer);
}

/* What the mutations of a batch do; deletions first, whatever the order of the calls. */
enum action {
    ACTION_INSERT,
    ACTION_UPDATE,
    ACTION_STATIC,
    ACTION_DELETE_CELL,
    ACTION_DELETE_ROW,
    ACTION_DELETE_RANGE,
    ACTION_DELETE_PARTITION,
    ACTION_REPLACE, /* delete the row and insert it anew */
};

struct mutation {
    enum action action;
    unsigned table, partition, row, row_end, column;
};

#define MUTATIONS_MAX 4

static unsigned draw_mutations(uint64_t seed, uint64_t number, struct mutation *to)
{
    static const enum action actions[] = {ACTION_INSERT, ACTION_INSERT, ACTION_INSERT,
        ACTION_UPDATE, ACTION_UPDATE, ACTION_STATIC, ACTION_DELETE_CELL, ACTION_DELETE_ROW,
        ACTION_DELETE_ROW, ACTION_DELETE_RANGE, ACTION_DELETE_PARTITION, ACTION_REPLACE,
        ACTION_REPLACE};
    uint64_t state = mix(seed * 1000003 + number);
    unsigned count = 1 + (unsigned)draw(&state, MUTATIONS_MAX);

    for (unsigned i = 0; i < count; i++) {
        struct mutation *m = &to[i];
        bool again = false;

        m->action = actions[draw(&state, ARRAY_COUNT(actions))];
        m->table = (unsigned)draw(&state, MODEL_TABLES);
        m->partition = (unsigned)draw(&state, MODEL_PARTITIONS);
        m->row = (unsigned)draw(&state, rows_of(m->table));
        m->row_end = m->row + (unsigned)draw(&state, rows_of(m->table) - m->row);
        m->column = (unsigned)draw(&state, MODEL_COLUMNS);
        if (m->action == ACTION_STATIC && m->table != 0)
            m->action = ACTION_INSERT;
        if (m->action == ACTION_DELETE_RANGE && rows_of(m->table) == 1)
            m->action = ACTION_DELETE_ROW;
        /* A batch says one thing of a row: what two would mean is not what is tested. */
        for (unsigned j = 0; j < i; j++)
            again |= to[j].table == m->table && to[j].partition == m->partition;
        if (again) {
            count = i;
            break;
        }
    }
    return count;
}

static void put_mutation(struct batch *batch, const struct mutation *m, uint64_t seed,
    uint64_t number, size_t payload_max)
{
    struct bytes key = model_key(m->table, m->partition);
    struct clustering clustering = model_clustering(m->table, m->row);
    struct slice slice;

    switch (m->action) {
    case ACTION_INSERT:
    case ACTION_UPDATE:
        batch_row(batch, m->table, key, &clustering, m->action == ACTION_INSERT);
        put_value(batch, m->column, seed, number, payload_max);
        break;
    case ACTION_STATIC:
        batch_static_row(batch, m->table, key);
        put_value(batch, 0, seed, number, payload_max);
        break;
    case ACTION_DELETE_CELL:
        batch_row(batch, m->table, key, &clustering, false);
        batch_delete_cell(batch, m->column);
        break;
    case ACTION_DELETE_ROW:
        batch_delete_row(batch, m->table, key, &clustering);
        break;
    case ACTION_DELETE_RANGE:
        slice = (struct slice){clustering, model_clustering(m->table, m->row_end)};
        slice.start.kind = KIND_INCL_START;
        slice.end.kind = KIND_INCL_END;
        batch_delete_range(batch, m->table, key, &slice);
        break;
    case ACTION_DELETE_PARTITION:
        batch_delete_partition(batch, m->table, key);
        break;
    case ACTION_REPLACE:
        /* Insert before delete: the order of the calls must not matter. */
        batch_row(batch, m->table, key, &clustering, true);
        put_value(batch, m->column, seed, number, payload_max);
        batch_delete_row(batch, m->table, key, &clustering);
        break;
    }
}

static void model_apply(struct model *model, const struct mutation *m, uint64_t number)
{
    struct model_partition *partition = &model->partitions[m->table][m->partition];
    struct model_row *row = &partition->rows[m->row];

    switch (m->action) {
    case ACTION_REPLACE:
        *row = (struct model_row){0};
        /* fall through */
    case ACTION_INSERT:
        row->inserted = true;
        row->cells[m->column].number = number;
        break;
    case ACTION_UPDATE:
        row->cells[m->column].number = number;
        break;
    case ACTION_STATIC:
        partition->fixed.number = number;
        break;
    case ACTION_DELETE_CELL:
        row->cells[m->column].number = 0;
        break;
    case ACTION_DELETE_ROW:
        *row = (struct model_row){0};
        break;
    case ACTION_DELETE_RANGE:
        for (unsigned r = m->row; r <= m->row_end; r++)
            partition->rows[r] = (struct model_row){0};
        break;
    case ACTION_DELETE_PARTITION:
        *partition = (struct model_partition){0};
        break;
    }
}

void model_batch(
    uint64_t seed, uint64_t number, size_t payload_max, struct batch *batch, struct model *model)
{
    struct mutation mutations[MUTATIONS_MAX];
    unsigned count = draw_mutations(seed, number, mutations);

    for (unsigned i = 0; i < count; i++) {
        if (batch)
            put_mutation(batch, &mutations[i], seed, number, payload_max);
        if (model)
            model_apply(model, &mutations[i], number);
    }
}

int model_write(struct engine *engine, uint64_t seed, uint64_t number, size_t payload_max,
    uint64_t *ret_position)
{
    struct batch *batch = NULL;
    uint64_t bytes = MUTATIONS_MAX * (share_values ? VALUE_BUFFER_BYTES : payload_max) + 256;
    int r = engine_admit(engine, 0, bytes, ADMIT_GROW, NULL, NULL, &batch);

    if (r < 0)
        return r;
    writing = share_values ? engine : NULL;
    model_batch(seed, number, payload_max, batch, NULL);
    writing = NULL;
    return engine_apply(engine, batch, ret_position);
}

/* ---- text ---- */

static void print(struct buf *to, const char *format, ...) PRINTF_LIKE(2, 3);
static void print(struct buf *to, const char *format, ...)
{
    va_list arguments;
    char line[160];

    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    buf_append(to, line, strlen(line));
}

static void print_row(
    struct buf *to, unsigned table, unsigned partition, unsigned row, const uint64_t *cells)
{
    print(to, "%s %u %u: %" PRIu64 " %" PRIu64 "\n", model_tables[table].name, partition, row,
        cells[0], cells[1]);
}

void model_print(const struct model *model, uint64_t tables, struct buf *to)
{
    for (unsigned t = 0; t < MODEL_TABLES; t++) {
        for (unsigned p = 0; tables >> t & 1 && p < MODEL_PARTITIONS; p++) {
            const struct model_partition *partition = &model->partitions[t][p];

            if (partition->fixed.number)
                print(to, "%s %u fixed: %" PRIu64 "\n", model_tables[t].name, p,
                    partition->fixed.number);
            for (unsigned r = 0; r < rows_of(t); r++) {
                const struct model_row *row = &partition->rows[r];
                uint64_t cells[] = {row->cells[0].number, row->cells[1].number};

                if (row->inserted || cells[0] || cells[1])
                    print_row(to, t, p, r, cells);
            }
        }
    }
}

/* The number that a value begins with, if all of it is as the batch made it. */
static int value_number(
    const struct cell *cell, uint64_t seed, size_t payload_max, uint64_t *ret_number)
{
    uint64_t number;

    *ret_number = 0;
    if (!cell)
        return 0;
    if (cell->value.size < 8)
        return err_new(-EDOM, "a value of %zu bytes", cell->value.size);
    number = load_be64(cell->value.data);
    if (cell->value.size != payload_bytes(seed, number, payload_max))
        return err_new(-EDOM, "batch %" PRIu64 ": a value of %zu bytes", number, cell->value.size);
    for (size_t i = 8; i < cell->value.size; i++)
        if (cell->value.data[i] != (uint8_t)mix(number + i / 4))
            return err_new(-EDOM, "batch %" PRIu64 ": byte %zu is wrong", number, i);
    *ret_number = number;
    return 0;
}

static int row_number(unsigned table, const struct clustering *clustering, unsigned *ret_row)
{
    if (rows_of(table) == 1) {
        *ret_row = 0;
        return 0;
    }
    for (unsigned r = 0; r < rows_of(table); r++) {
        struct clustering wanted = model_clustering(table, r);

        if (clustering->count == 1 && bytes_equal(wanted.values[0], clustering->values[0])) {
            *ret_row = r;
            return 0;
        }
    }
    return err_new(-EDOM, "table %u: a row that was never written", table);
}

static int read_row(unsigned table, const struct row *row, uint64_t seed, size_t payload_max,
    unsigned *ret_number, uint64_t *ret_cells)
{
    int r = row_number(table, &row->clustering, ret_number);

    for (unsigned c = 0; c < MODEL_COLUMNS && r == 0; c++)
        r = value_number(row_cell(row, c), seed, payload_max, &ret_cells[c]);
    return r;
}

/* A get of one column: of the row if `found`, with the same cell or none. */
static int check_get_column(struct source *source, unsigned table, unsigned partition,
    unsigned number, unsigned column, bool found, uint64_t seed, size_t payload_max,
    uint64_t expected)
{
    struct clustering clustering = model_clustering(table, number);
    struct rowref ref = ROWREF_INIT;
    uint64_t cell = 0;
    int r =
        engine_get(source, table, model_key(table, partition), &clustering, 1ull << column, &ref);

    if (r < 0)
        return r;
    if (r == 1)
        r = value_number(row_cell(&ref.row, column), seed, payload_max, &cell);
    else if (found)
        r = err_new(-EDOM, "the row is gone when one column is asked for");
    rowref_release(&ref);
    if (r >= 0 && cell != expected)
        r = err_new(-EDOM, "table %u partition %u row %u: column %u alone is another", table,
            partition, number, column);
    return r < 0 ? r : 0;
}

/* The same row by engine_get(). */
static int check_get(struct source *source, unsigned table, unsigned partition, unsigned number,
    uint64_t seed, size_t payload_max, const uint64_t *expected)
{
    struct clustering clustering = model_clustering(table, number);
    struct rowref ref = ROWREF_INIT;
    uint64_t cells[MODEL_COLUMNS] = {0};
    unsigned found = 0;
    int r = engine_get(source, table, model_key(table, partition), &clustering, COLUMNS_ALL, &ref);

    if (r == 1) {
        r = read_row(table, &ref.row, seed, payload_max, &found, cells);
        rowref_release(&ref);
        if (r == 0 && expected && (memcmp(cells, expected, sizeof(cells)) || found != number))
            r = err_new(
                -EDOM, "table %u partition %u row %u: get is not scan", table, partition, number);
        if (r == 0 && !expected)
            r = err_new(
                -EDOM, "table %u partition %u row %u: only get has it", table, partition, number);
        for (unsigned c = 0; c < MODEL_COLUMNS && r == 0; c++)
            r = check_get_column(
                source, table, partition, number, c, true, seed, payload_max, cells[c]);
        return r;
    }
    if (r == 0 && expected)
        r = err_new(
            -EDOM, "table %u partition %u row %u: get has it not", table, partition, number);
    return r;
}

static int print_partition(struct source *source, unsigned table, unsigned partition, uint64_t seed,
    size_t payload_max, struct buf *to)
{
    bool seen[MODEL_ROWS] = {false};
    struct rowref ref = ROWREF_INIT;
    struct cursor *cursor;
    const struct row *row;
    uint64_t fixed;
    int r = engine_get(source, table, model_key(table, partition), NULL, COLUMNS_ALL, &ref);

    if (r == 1) {
        r = value_number(row_cell(&ref.row, 0), seed, payload_max, &fixed);
        print(to, "%s %u fixed: %" PRIu64 "\n", model_tables[table].name, partition, fixed);
        rowref_release(&ref);
    }
    if (r == 0)
        r = engine_scan(
            source, table, model_key(table, partition), &SLICE_ALL, COLUMNS_ALL, &cursor);
    if (r < 0)
        return r;
    while ((r = cursor_next(cursor, &row)) > 0) {
        uint64_t cells[MODEL_COLUMNS];
        unsigned number;

        r = read_row(table, row, seed, payload_max, &number, cells);
        if (r == 0)
            r = check_get(source, table, partition, number, seed, payload_max, cells);
        if (r < 0)
            break;
        print_row(to, table, partition, number, cells);
        seen[number] = true;
    }
    cursor_close(cursor);
    for (unsigned i = 0; i < rows_of(table) && r == 0; i++)
        if (!seen[i])
            r = check_get(source, table, partition, i, seed, payload_max, NULL);
    return r;
}

/* Lines of the table, out of one scan of all of it: in the order of tokens. */
static int count_table(struct source *source, unsigned table, size_t *ret_lines)
{
    struct partition_scanner *scanner;
    struct partition_iterator *partition;
    const struct unfiltered *unfiltered;
    int r = engine_scan_table_live(source, table, &scanner);

    *ret_lines = 0;
    if (r < 0)
        return r;
    while ((r = scanner_next(scanner, &partition)) > 0) {
        *ret_lines += partition->static_row != NULL;
        while ((r = partition_next(partition, &unfiltered)) > 0)
            (*ret_lines)++;
        if (r < 0)
            break;
    }
    scanner_close(scanner);
    return r;
}

static size_t count_lines(const struct buf *text, size_t from)
{
    size_t lines = 0;

    for (size_t i = from; i < text->size; i++)
        lines += text->data[i] == '\n';
    return lines;
}

int model_print_store(
    struct source *source, uint64_t seed, size_t payload_max, uint64_t tables, struct buf *to)
{
    for (unsigned t = 0; t < MODEL_TABLES; t++) {
        size_t from = to->size, lines;
        int r = 0;

        if (!(tables >> t & 1))
            continue;
        for (unsigned p = 0; p < MODEL_PARTITIONS && r == 0; p++)
            r = print_partition(source, t, p, seed, payload_max, to);
        if (r == 0)
            r = buf_error(to);
        if (r == 0)
            r = count_table(source, t, &lines);
        if (r == 0 && lines != count_lines(to, from))
            r = err_new(-EDOM, "table %u: %zu lines by partitions, %zu by the table", t,
                count_lines(to, from), lines);
        if (r < 0)
            return r;
    }
    return buf_error(to);
}
