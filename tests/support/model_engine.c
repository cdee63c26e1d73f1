#include "support/model_engine.h"

#include <errno.h>
#include <stdio.h>

#include "base/value_buffer.h"
#include "engine/assert.h"
#include "engine/error.h"
#include "engine/mutex.h"
#include "rows/compare.h"
#include "rows/reconcile.h"
#include "rows/update.h"

#define MODEL_IDLE_BYTES (1u << 20)

/* A cell, a clustering value or a key: one allocation with its bytes behind it. */
struct model_cell {
    struct cell cell;
    uint8_t data[];
};

struct model_row {
    struct bytes *values; /* clustering; with their bytes in one allocation; NULL: static row */
    uint8_t value_count;
    struct liveness liveness;
    struct model_cell **cells; /* by cell_order() */
    size_t cell_count, cell_capacity;
};

struct model_partition {
    struct decorated_key key; /* its bytes are an allocation of its own */
    struct model_row *static_row;
    struct model_row **rows; /* by clustering */
    size_t row_count, row_capacity;
};

struct model_table {
    struct model_partition **partitions; /* by decorated key */
    size_t count, capacity;
};

struct source {
    struct engine *engine;
};

struct engine {
    struct mutex mutex; /* guards all below */
    const struct table_schema *schemas;
    unsigned table_count;
    struct model_table tables[ENGINE_TABLES_MAX];
    int64_t timestamp_us;
    uint64_t position;
    int refusal;
    unsigned fail_countdown;
    int fail_code;
    struct engine_stats stats;
    struct source live;
    struct value_buffer_pool value_buffers;
};

static void *model_alloc(size_t size)
{
    void *memory = calloc(1, size ? size : 1);

    ASSERT(memory);
    return memory;
}

static void model_reserve(void *array, size_t *capacity, size_t count, size_t element_bytes)
{
    void **to = (void **)array;

    if (count < *capacity)
        return;
    *capacity = *capacity ? *capacity * 2 : 8;
    *to = realloc(*to, *capacity * element_bytes);
    ASSERT(*to);
}

/* ---- rows ---- */

static const struct column *columns_of(const struct table_schema *schema, bool is_static)
{
    return is_static ? schema->statics : schema->regulars;
}

static void model_row_free(struct model_row *row)
{
    if (!row)
        return;
    for (size_t i = 0; i < row->cell_count; i++)
        free(row->cells[i]);
    free(row->cells);
    free(row->values);
    free(row);
}

static struct model_row *model_row_new(const struct clustering *clustering)
{
    struct model_row *row = model_alloc(sizeof(*row));
    size_t bytes = 0;
    uint8_t *at;

    row->liveness = LIVENESS_NONE;
    if (clustering->kind == KIND_STATIC)
        return row;
    for (unsigned i = 0; i < clustering->count; i++)
        bytes += clustering->values[i].size;
    row->values = model_alloc(clustering->count * sizeof(struct bytes) + bytes);
    row->value_count = clustering->count;
    at = (uint8_t *)(row->values + clustering->count);
    for (unsigned i = 0; i < clustering->count; i++) {
        struct bytes value = clustering->values[i];

        if (value.size)
            memcpy(at, value.data, value.size);
        row->values[i] = bytes_of(at, value.size);
        at += value.size;
    }
    return row;
}

static struct clustering model_clustering(const struct model_row *row)
{
    if (!row->values)
        return (struct clustering){NULL, 0, KIND_STATIC};
    return CLUSTERING_ROW(row->values, row->value_count);
}

static bool model_row_is_empty(const struct model_row *row)
{
    return row->cell_count == 0 && row->liveness.timestamp_us == TIMESTAMP_NONE;
}

static size_t model_row_find(const struct column *columns, const struct model_row *row,
    const struct cell *cell, bool *ret_found)
{
    size_t low = 0, high = row->cell_count;

    *ret_found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = cell_order(columns, &row->cells[middle]->cell, cell);

        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void model_row_remove(struct model_row *row, size_t at)
{
    free(row->cells[at]);
    row->cell_count--;
    memmove(row->cells + at, row->cells + at + 1, (row->cell_count - at) * sizeof(*row->cells));
}

static void model_row_delete_column(struct model_row *row, unsigned column)
{
    for (size_t i = row->cell_count; i-- > 0;) {
        if (row->cells[i]->cell.column == column)
            model_row_remove(row, i);
    }
}

static void model_row_put(
    const struct column *columns, struct model_row *row, const struct cell *cell)
{
    struct model_cell *copy = model_alloc(sizeof(*copy) + cell->path.size + cell->value.size);
    bool found;
    size_t at = model_row_find(columns, row, cell, &found);

    copy->cell = *cell;
    if (cell->path.size)
        memcpy(copy->data, cell->path.data, cell->path.size);
    if (cell->value.size)
        memcpy(copy->data + cell->path.size, cell->value.data, cell->value.size);
    copy->cell.path = bytes_of(copy->data, cell->path.size);
    copy->cell.value = bytes_of(copy->data + cell->path.size, cell->value.size);
    if (found) {
        free(row->cells[at]);
        row->cells[at] = copy;
        return;
    }
    model_reserve(&row->cells, &row->cell_capacity, row->cell_count, sizeof(*row->cells));
    memmove(row->cells + at + 1, row->cells + at, (row->cell_count - at) * sizeof(*row->cells));
    row->cells[at] = copy;
    row->cell_count++;
}

/* ---- partitions ---- */

static void model_partition_free(struct model_partition *partition)
{
    for (size_t i = 0; i < partition->row_count; i++)
        model_row_free(partition->rows[i]);
    free(partition->rows);
    model_row_free(partition->static_row);
    free((void *)partition->key.key.data);
    free(partition);
}

/** First row at or after the clustering. */
static size_t model_partition_seek(const struct table_schema *schema,
    const struct model_partition *partition, const struct clustering *clustering)
{
    size_t low = 0, high = partition->row_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct clustering at = model_clustering(partition->rows[middle]);

        if (clustering_compare(schema, &at, clustering) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct model_row *model_partition_find(const struct table_schema *schema,
    const struct model_partition *partition, const struct clustering *clustering)
{
    size_t at = model_partition_seek(schema, partition, clustering);
    struct clustering found;

    if (at == partition->row_count)
        return NULL;
    found = model_clustering(partition->rows[at]);
    return clustering_compare(schema, &found, clustering) == 0 ? partition->rows[at] : NULL;
}

static void model_partition_remove(struct model_partition *partition, size_t at, size_t count)
{
    if (count == 0)
        return;
    for (size_t i = at; i < at + count; i++)
        model_row_free(partition->rows[i]);
    partition->row_count -= count;
    memmove(partition->rows + at, partition->rows + at + count,
        (partition->row_count - at) * sizeof(*partition->rows));
}

static size_t model_table_seek(const struct model_table *table, const struct decorated_key *key)
{
    size_t low = 0, high = table->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (decorated_key_compare(&table->partitions[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct model_partition *model_table_find(
    const struct model_table *table, const struct decorated_key *key)
{
    size_t at = model_table_seek(table, key);

    if (at == table->count || decorated_key_compare(&table->partitions[at]->key, key) != 0)
        return NULL;
    return table->partitions[at];
}

static struct model_partition *model_table_ensure(
    struct model_table *table, const struct decorated_key *key)
{
    struct model_partition *partition = model_table_find(table, key);
    size_t at = model_table_seek(table, key);
    uint8_t *copy;

    if (partition)
        return partition;
    partition = model_alloc(sizeof(*partition));
    copy = model_alloc(key->key.size);
    memcpy(copy, key->key.data, key->key.size);
    partition->key = (struct decorated_key){key->token, bytes_of(copy, key->key.size)};
    model_reserve(&table->partitions, &table->capacity, table->count, sizeof(*table->partitions));
    memmove(table->partitions + at + 1, table->partitions + at,
        (table->count - at) * sizeof(*table->partitions));
    table->partitions[at] = partition;
    table->count++;
    return partition;
}

static void model_table_drop_if_empty(struct model_table *table, const struct decorated_key *key)
{
    size_t at = model_table_seek(table, key);
    struct model_partition *partition = model_table_find(table, key);

    if (!partition || partition->row_count || partition->static_row)
        return;
    model_partition_free(partition);
    table->count--;
    memmove(table->partitions + at, table->partitions + at + 1,
        (table->count - at) * sizeof(*table->partitions));
}

/* ---- applying ---- */

static int delete_partition(
    void *arg, unsigned table, const struct decorated_key *key, struct deletion deletion)
{
    struct engine *engine = arg;
    struct model_partition *partition = model_table_find(&engine->tables[table], key);

    (void)deletion;
    if (!partition)
        return 0;
    model_partition_remove(partition, 0, partition->row_count);
    model_row_free(partition->static_row);
    partition->static_row = NULL;
    model_table_drop_if_empty(&engine->tables[table], key);
    return 0;
}

static int delete_range(void *arg, unsigned table, const struct decorated_key *key,
    const struct slice *slice, struct deletion deletion)
{
    struct engine *engine = arg;
    const struct table_schema *schema = &engine->schemas[table];
    struct model_partition *partition = model_table_find(&engine->tables[table], key);
    size_t at;

    (void)deletion;
    if (!partition)
        return 0;
    at = model_partition_seek(schema, partition, &slice->start);
    while (at < partition->row_count) {
        struct clustering clustering = model_clustering(partition->rows[at]);

        if (!slice_contains(schema, slice, &clustering))
            break;
        model_partition_remove(partition, at, 1);
    }
    model_table_drop_if_empty(&engine->tables[table], key);
    return 0;
}

static void delete_cells(
    const struct column *columns, struct model_row *row, const struct row *change)
{
    if (!deletion_is_live(change->deletion)) {
        for (size_t i = 0; i < row->cell_count; i++)
            free(row->cells[i]);
        row->cell_count = 0;
        row->liveness = LIVENESS_NONE;
    }
    for (unsigned i = 0; i < change->complex_deletion_count; i++)
        model_row_delete_column(row, change->complex_deletions[i].column);
    for (unsigned i = 0; i < change->cell_count; i++) {
        bool found;
        size_t at = model_row_find(columns, row, &change->cells[i], &found);

        if (found && cell_is_tombstone(&change->cells[i]))
            model_row_remove(row, at);
    }
}

static int delete_of_row(
    void *arg, unsigned table, const struct decorated_key *key, const struct row *change)
{
    struct engine *engine = arg;
    const struct table_schema *schema = &engine->schemas[table];
    struct model_partition *partition = model_table_find(&engine->tables[table], key);
    bool is_static = change->clustering.kind == KIND_STATIC;
    struct model_row *row;

    if (!partition)
        return 0;
    row = is_static ? partition->static_row
                    : model_partition_find(schema, partition, &change->clustering);
    if (!row)
        return 0;
    delete_cells(columns_of(schema, is_static), row, change);
    if (!model_row_is_empty(row))
        return 0;
    if (is_static) {
        model_row_free(row);
        partition->static_row = NULL;
    } else {
        size_t at = model_partition_seek(schema, partition, &change->clustering);

        model_partition_remove(partition, at, 1);
    }
    model_table_drop_if_empty(&engine->tables[table], key);
    return 0;
}

static struct model_row *ensure_row(const struct table_schema *schema,
    struct model_partition *partition, const struct clustering *clustering)
{
    struct model_row *row;
    size_t at;

    if (clustering->kind == KIND_STATIC) {
        if (!partition->static_row)
            partition->static_row = model_row_new(clustering);
        return partition->static_row;
    }
    row = model_partition_find(schema, partition, clustering);
    if (row)
        return row;
    at = model_partition_seek(schema, partition, clustering);
    row = model_row_new(clustering);
    model_reserve(
        &partition->rows, &partition->row_capacity, partition->row_count, sizeof(*partition->rows));
    memmove(partition->rows + at + 1, partition->rows + at,
        (partition->row_count - at) * sizeof(*partition->rows));
    partition->rows[at] = row;
    partition->row_count++;
    return row;
}

static int write_of_row(
    void *arg, unsigned table, const struct decorated_key *key, const struct row *change)
{
    struct engine *engine = arg;
    const struct table_schema *schema = &engine->schemas[table];
    bool is_static = change->clustering.kind == KIND_STATIC;
    bool has_liveness = change->liveness.timestamp_us != TIMESTAMP_NONE;
    struct model_partition *partition;
    struct model_row *row;
    unsigned values = 0;

    for (unsigned i = 0; i < change->cell_count; i++)
        values += !cell_is_tombstone(&change->cells[i]);
    if (!values && !has_liveness)
        return 0;
    partition = model_table_ensure(&engine->tables[table], key);
    row = ensure_row(schema, partition, &change->clustering);
    if (has_liveness)
        row->liveness = change->liveness;
    for (unsigned i = 0; i < change->cell_count; i++) {
        if (!cell_is_tombstone(&change->cells[i]))
            model_row_put(columns_of(schema, is_static), row, &change->cells[i]);
    }
    return 0;
}

static const struct update_visitor delete_visitor = {delete_partition, delete_range, delete_of_row};

static int ignore_partition(
    void *arg, unsigned table, const struct decorated_key *key, struct deletion deletion)
{
    (void)arg, (void)table, (void)key, (void)deletion;
    return 0;
}

static int ignore_range(void *arg, unsigned table, const struct decorated_key *key,
    const struct slice *slice, struct deletion deletion)
{
    (void)arg, (void)table, (void)key, (void)slice, (void)deletion;
    return 0;
}

static const struct update_visitor write_visitor = {ignore_partition, ignore_range, write_of_row};

static int apply_locked(struct engine *engine, struct batch *batch)
{
    struct updates updates;
    int r;

    if (engine->fail_countdown && --engine->fail_countdown == 0)
        return err_new(engine->fail_code, "injected failure of a batch");
    r = batch_finish(batch);
    if (r < 0)
        return err_new(r, "build a batch of %zu bytes", batch_bytes(batch));
    if (batch_update_count(batch) == 0)
        return 0;
    engine->timestamp_us += 10;
    updates = batch_updates(batch);
    r = batch_visit(engine->schemas, engine->table_count, &updates, batch_update_count(batch),
        engine->timestamp_us, TABLES_ALL, &delete_visitor, engine);
    if (r < 0)
        return r;
    r = batch_visit(engine->schemas, engine->table_count, &updates, batch_update_count(batch),
        engine->timestamp_us, TABLES_ALL, &write_visitor, engine);
    if (r < 0)
        return r;
    engine->stats.batches++;
    engine->stats.batch_bytes += batch_bytes(batch);
    engine->position++;
    return 1;
}

int engine_apply(struct engine *engine, struct batch *batch, uint64_t *ret_position)
{
    int r;

    mutex_lock(&engine->mutex);
    r = apply_locked(engine, batch);
    if (r >= 0)
        *ret_position = r ? engine->position : 0;
    mutex_unlock(&engine->mutex);
    batch_free(batch);
    return r < 0 ? r : 0;
}

/* ---- reading ---- */

static bool cell_is_wanted(const struct cell *cell, uint64_t columns)
{
    return columns == COLUMNS_ALL || (cell->column < 64 && (columns >> cell->column & 1));
}

/** A copy of the row's wanted columns in one allocation; NULL: nothing is left of it. */
static void *copy_row(const struct model_row *from, uint64_t columns, struct row *to)
{
    size_t bytes = sizeof(struct bytes) * from->value_count, cell_count = 0;
    struct bytes *values;
    struct cell *cells;
    uint8_t *memory, *at;

    for (unsigned i = 0; i < from->value_count; i++)
        bytes += from->values[i].size;
    for (size_t i = 0; i < from->cell_count; i++) {
        const struct cell *cell = &from->cells[i]->cell;

        if (!cell_is_wanted(cell, columns))
            continue;
        bytes += sizeof(*cell) + cell->path.size + cell->value.size;
        cell_count++;
    }
    if (!cell_count && from->liveness.timestamp_us == TIMESTAMP_NONE)
        return NULL;
    memory = model_alloc(bytes);
    values = (struct bytes *)(void *)memory;
    cells = (struct cell *)(void *)(values + from->value_count);
    at = (uint8_t *)(cells + cell_count);
    for (unsigned i = 0; i < from->value_count; i++) {
        memcpy(at, from->values[i].data, from->values[i].size);
        values[i] = bytes_of(at, from->values[i].size);
        at += from->values[i].size;
    }
    cell_count = 0;
    for (size_t i = 0; i < from->cell_count; i++) {
        struct cell cell = from->cells[i]->cell;

        if (!cell_is_wanted(&cell, columns))
            continue;
        memcpy(at, from->cells[i]->data, cell.path.size + cell.value.size);
        cell.path = bytes_of(at, cell.path.size);
        cell.value = bytes_of(at + cell.path.size, cell.value.size);
        at += cell.path.size + cell.value.size;
        cells[cell_count++] = cell;
    }
    *to = (struct row){
        .clustering = from->values ? CLUSTERING_ROW(values, from->value_count)
                                   : (struct clustering){NULL, 0, KIND_STATIC},
        .liveness = from->liveness,
        .deletion = DELETION_LIVE,
        .cell_count = (uint32_t)cell_count,
        .cells = cells,
    };
    return memory;
}

int engine_get(struct source *source, unsigned table, struct bytes key,
    const struct clustering *clustering, uint64_t columns, struct rowref *ret_row)
{
    struct engine *engine = source->engine;
    struct decorated_key decorated = decorated_key_of(key);
    struct model_partition *partition;
    struct model_row *row = NULL;
    struct rowref found = ROWREF_INIT;

    ASSERT(table < engine->table_count);
    mutex_lock(&engine->mutex);
    engine->stats.gets++;
    partition = model_table_find(&engine->tables[table], &decorated);
    if (partition)
        row = clustering ? model_partition_find(&engine->schemas[table], partition, clustering)
                         : partition->static_row;
    if (row)
        found.memory = copy_row(row, columns, &found.row);
    mutex_unlock(&engine->mutex);
    if (!found.memory)
        return 0;
    *ret_row = found;
    return 1;
}

void rowref_release(struct rowref *ref)
{
    free(ref->memory);
    *ref = ROWREF_INIT;
}

const struct cell *row_cell(const struct row *row, unsigned column)
{
    for (uint32_t i = 0; i < row->cell_count; i++) {
        if (row->cells[i].column == column)
            return &row->cells[i];
    }
    return NULL;
}

/* Between calls only the last clustering is kept: rows may come and go, as with the engine. */
struct cursor {
    struct engine *engine;
    unsigned table;
    struct decorated_key key;
    uint64_t columns;
    struct model_row *start, *end; /* the bounds' values */
    struct slice slice;
    struct rowref row;
    bool begun;
};

static struct model_row *copy_bound(const struct clustering *bound, struct clustering *to)
{
    struct model_row *row = model_row_new(bound);

    *to = (struct clustering){row->values, bound->count, bound->kind};
    return row;
}

int engine_scan(struct source *source, unsigned table, struct bytes key, const struct slice *slice,
    uint64_t columns, struct cursor **ret_cursor)
{
    struct cursor *cursor = model_alloc(sizeof(*cursor));
    uint8_t *copy = model_alloc(key.size);

    ASSERT(table < source->engine->table_count);
    memcpy(copy, key.data, key.size);
    cursor->engine = source->engine;
    cursor->table = table;
    cursor->key = decorated_key_of(bytes_of(copy, key.size));
    cursor->columns = columns;
    cursor->start = copy_bound(&slice->start, &cursor->slice.start);
    cursor->end = copy_bound(&slice->end, &cursor->slice.end);
    mutex_lock(&cursor->engine->mutex);
    cursor->engine->stats.scans++;
    mutex_unlock(&cursor->engine->mutex);
    *ret_cursor = cursor;
    return 0;
}

static bool cursor_find_locked(struct cursor *cursor, struct rowref *to)
{
    struct engine *engine = cursor->engine;
    const struct table_schema *schema = &engine->schemas[cursor->table];
    struct model_partition *partition =
        model_table_find(&engine->tables[cursor->table], &cursor->key);
    struct clustering from = cursor->begun ? cursor->row.row.clustering : cursor->slice.start;
    size_t at;

    if (!partition)
        return false;
    if (cursor->begun && !cursor->row.memory)
        return false;
    for (at = model_partition_seek(schema, partition, &from); at < partition->row_count; at++) {
        struct clustering clustering = model_clustering(partition->rows[at]);

        if (cursor->begun && clustering_compare(schema, &clustering, &from) == 0)
            continue;
        if (!slice_contains(schema, &cursor->slice, &clustering))
            return false;
        to->memory = copy_row(partition->rows[at], cursor->columns, &to->row);
        if (to->memory)
            return true;
    }
    return false;
}

int cursor_next(struct cursor *cursor, const struct row **ret_row)
{
    struct rowref next = ROWREF_INIT;
    bool found;

    mutex_lock(&cursor->engine->mutex);
    found = cursor_find_locked(cursor, &next);
    cursor->engine->stats.scan_rows += found;
    mutex_unlock(&cursor->engine->mutex);
    rowref_release(&cursor->row);
    cursor->begun = true;
    if (!found)
        return 0;
    cursor->row = next;
    *ret_row = &cursor->row.row;
    return 1;
}

void cursor_close(struct cursor *cursor)
{
    if (!cursor)
        return;
    rowref_release(&cursor->row);
    model_row_free(cursor->start);
    model_row_free(cursor->end);
    free((void *)cursor->key.key.data);
    free(cursor);
}

int engine_may_contain(struct source *source, unsigned table, struct bytes key)
{
    struct engine *engine = source->engine;
    struct decorated_key decorated = decorated_key_of(key);
    bool found;

    mutex_lock(&engine->mutex);
    found = model_table_find(&engine->tables[table], &decorated);
    mutex_unlock(&engine->mutex);
    return found;
}

/* ---- whole tables ---- */

struct model_scanner {
    struct partition_scanner scanner;
    struct partition_iterator iterator;
    struct engine *engine;
    unsigned table;
    bool begun;
    struct decorated_key last; /* its bytes are the scanner's */
    struct rowref static_row;
    struct rowref *rows;
    size_t row_count, row_at;
    struct unfiltered unfiltered;
};

static int model_iterator_next(
    struct partition_iterator *iterator, const struct unfiltered **ret_unfiltered)
{
    struct model_scanner *scanner = CONTAINER_OF(iterator, struct model_scanner, iterator);

    if (scanner->row_at == scanner->row_count)
        return 0;
    scanner->unfiltered = (struct unfiltered){.row = scanner->rows[scanner->row_at++].row};
    *ret_unfiltered = &scanner->unfiltered;
    return 1;
}

static void model_iterator_close(struct partition_iterator *iterator)
{
    (void)iterator;
}

static const struct partition_iterator_ops model_iterator_ops = {
    model_iterator_next, model_iterator_close, NULL};

static void model_scanner_forget(struct model_scanner *scanner)
{
    for (size_t i = 0; i < scanner->row_count; i++)
        rowref_release(&scanner->rows[i]);
    free(scanner->rows);
    rowref_release(&scanner->static_row);
    scanner->rows = NULL;
    scanner->row_count = scanner->row_at = 0;
}

static void model_scanner_take(
    struct model_scanner *scanner, const struct model_partition *partition)
{
    uint8_t *key = model_alloc(partition->key.key.size);

    memcpy(key, partition->key.key.data, partition->key.key.size);
    free((void *)scanner->last.key.data);
    scanner->last =
        (struct decorated_key){partition->key.token, bytes_of(key, partition->key.key.size)};
    scanner->begun = true;
    if (partition->static_row)
        scanner->static_row.memory =
            copy_row(partition->static_row, COLUMNS_ALL, &scanner->static_row.row);
    scanner->rows = model_alloc(partition->row_count * sizeof(*scanner->rows));
    for (size_t i = 0; i < partition->row_count; i++) {
        struct rowref *to = &scanner->rows[i];

        to->memory = copy_row(partition->rows[i], COLUMNS_ALL, &to->row);
    }
    scanner->row_count = partition->row_count;
}

static int model_scanner_next(
    struct partition_scanner *base, struct partition_iterator **ret_partition)
{
    struct model_scanner *scanner = CONTAINER_OF(base, struct model_scanner, scanner);
    struct model_table *table = &scanner->engine->tables[scanner->table];
    size_t at = 0;

    model_scanner_forget(scanner);
    mutex_lock(&scanner->engine->mutex);
    if (scanner->begun) {
        at = model_table_seek(table, &scanner->last);
        if (at < table->count &&
            decorated_key_compare(&table->partitions[at]->key, &scanner->last) == 0)
            at++;
    }
    if (at == table->count) {
        mutex_unlock(&scanner->engine->mutex);
        return 0;
    }
    model_scanner_take(scanner, table->partitions[at]);
    mutex_unlock(&scanner->engine->mutex);
    scanner->iterator = (struct partition_iterator){
        .ops = &model_iterator_ops,
        .schema = scanner->scanner.schema,
        .key = scanner->last,
        .deletion = DELETION_LIVE,
        .static_row = scanner->static_row.memory ? &scanner->static_row.row : NULL,
    };
    *ret_partition = &scanner->iterator;
    return 1;
}

static void model_scanner_close(struct partition_scanner *base)
{
    struct model_scanner *scanner = CONTAINER_OF(base, struct model_scanner, scanner);

    model_scanner_forget(scanner);
    free((void *)scanner->last.key.data);
    free(scanner);
}

static const struct partition_scanner_ops model_scanner_ops = {
    model_scanner_next, model_scanner_close};

int engine_scan_table(struct source *source, unsigned table, struct partition_scanner **ret_scanner)
{
    struct model_scanner *scanner = model_alloc(sizeof(*scanner));

    ASSERT(table < source->engine->table_count);
    scanner->scanner.ops = &model_scanner_ops;
    scanner->scanner.schema = &source->engine->schemas[table];
    scanner->engine = source->engine;
    scanner->table = table;
    *ret_scanner = &scanner->scanner;
    return 0;
}

int engine_scan_table_live(
    struct source *source, unsigned table, struct partition_scanner **ret_scanner)
{
    return engine_scan_table(source, table, ret_scanner);
}

/* ---- a store's life, admission ---- */

struct engine *model_engine_new(const struct table_schema *tables, unsigned table_count)
{
    struct engine *engine = model_alloc(sizeof(*engine));

    ASSERT(table_count <= ENGINE_TABLES_MAX);
    mutex_init(&engine->mutex, 1);
    value_buffer_pool_init(&engine->value_buffers, MODEL_IDLE_BYTES);
    engine->schemas = tables;
    engine->table_count = table_count;
    engine->timestamp_us = 1700000000000000;
    engine->live.engine = engine;
    return engine;
}

int engine_create(struct env *env, const struct table_schema *tables, unsigned table_count)
{
    (void)env, (void)tables, (void)table_count;
    return 0;
}

int engine_create_from(struct env *env, struct env *from, const char *link_from,
    const struct table_schema *tables, unsigned table_count)
{
    (void)env, (void)from, (void)link_from, (void)tables, (void)table_count;
    return err_new(-EOPNOTSUPP, "the model engine copies no stores");
}

int engine_open(struct env *env, const struct engine_options *options, struct engine **ret_engine)
{
    (void)env;
    *ret_engine = model_engine_new(options->tables, options->table_count);
    return 0;
}

struct value_buffer *engine_value_buffer(struct engine *engine)
{
    return value_buffer_new(&engine->value_buffers);
}

int engine_close(struct engine *engine, unsigned flags)
{
    (void)flags;
    for (unsigned i = 0; i < engine->table_count; i++) {
        for (size_t j = 0; j < engine->tables[i].count; j++)
            model_partition_free(engine->tables[i].partitions[j]);
        free(engine->tables[i].partitions);
    }
    mutex_release(&engine->mutex);
    value_buffer_pool_release(&engine->value_buffers);
    free(engine);
    return 0;
}

void engine_identity(const struct engine *engine, struct store_identity *ret_identity)
{
    (void)engine;
    *ret_identity = (struct store_identity){
        .uuid = {0x5f}, .node = 77, .format_version = ENGINE_FORMAT_VERSION};
}

int engine_failure(const struct engine *engine)
{
    (void)engine;
    return 0;
}

int engine_admit(struct engine *engine, unsigned table, uint64_t bytes, enum admission admission,
    engine_go go, void *arg, struct batch **ret_batch)
{
    int refusal;

    (void)table, (void)bytes, (void)go, (void)arg;
    mutex_lock(&engine->mutex);
    refusal = engine->refusal;
    mutex_unlock(&engine->mutex);
    if (refusal < 0 && admission != ADMIT_RECLAIM)
        return err_new(refusal, "the model engine was told to refuse");
    *ret_batch = model_engine_batch(engine);
    return 0;
}

void engine_discard_batch(struct engine *engine, struct batch *batch)
{
    (void)engine;
    batch_free(batch);
}

int engine_await(struct engine *engine, uint64_t position, bool force, engine_go go, void *arg)
{
    (void)engine, (void)position, (void)force, (void)go, (void)arg;
    return 0;
}

uint64_t engine_position(struct engine *engine)
{
    uint64_t position;

    mutex_lock(&engine->mutex);
    position = engine->position + 1;
    mutex_unlock(&engine->mutex);
    return position;
}

int64_t engine_now(struct engine *engine)
{
    int64_t now;

    mutex_lock(&engine->mutex);
    now = engine->timestamp_us;
    mutex_unlock(&engine->mutex);
    return now;
}

struct source *engine_live(struct engine *engine)
{
    return &engine->live;
}

struct batch *model_engine_batch(struct engine *engine)
{
    struct batch *batch = batch_new(engine->schemas, engine->table_count);

    ASSERT(batch);
    return batch;
}

void model_engine_refuse(struct engine *engine, int r)
{
    mutex_lock(&engine->mutex);
    engine->refusal = r;
    mutex_unlock(&engine->mutex);
}

void model_engine_fail_apply(struct engine *engine, unsigned nth, int r)
{
    mutex_lock(&engine->mutex);
    engine->fail_countdown = nth;
    engine->fail_code = r;
    mutex_unlock(&engine->mutex);
}

uint64_t model_engine_rows(struct engine *engine, unsigned table)
{
    uint64_t rows = 0;

    mutex_lock(&engine->mutex);
    for (size_t i = 0; i < engine->tables[table].count; i++)
        rows += engine->tables[table].partitions[i]->row_count;
    mutex_unlock(&engine->mutex);
    return rows;
}

uint64_t model_engine_partitions(struct engine *engine, unsigned table)
{
    uint64_t count;

    mutex_lock(&engine->mutex);
    count = engine->tables[table].count;
    mutex_unlock(&engine->mutex);
    return count;
}

/* ---- what only a local store has ---- */

int engine_flush(struct engine *engine, uint64_t tables)
{
    (void)engine, (void)tables;
    return 0;
}

int engine_compact(struct engine *engine, uint64_t tables)
{
    (void)engine, (void)tables;
    return 0;
}

bool snapshot_tag_is_valid(const char *tag)
{
    (void)tag;
    return false;
}

static int no_snapshots(void)
{
    return err_new(-EOPNOTSUPP, "the model engine has no snapshots");
}

int engine_snapshot_create(struct engine *engine, const char *tag)
{
    (void)engine, (void)tag;
    return no_snapshots();
}

int engine_snapshot_list(struct engine *engine, snapshot_each each, void *arg)
{
    (void)engine, (void)each, (void)arg;
    return 0;
}

int engine_snapshot_await(struct engine *engine, const char *tag, engine_go go, void *arg)
{
    (void)engine, (void)go, (void)arg;
    return err_new(-ENOENT, "snapshot '%s'", tag);
}

int engine_snapshot_rename(struct engine *engine, const char *tag, const char *to)
{
    (void)engine, (void)tag, (void)to;
    return no_snapshots();
}

int engine_snapshot_delete(struct engine *engine, const char *tag)
{
    (void)engine, (void)tag;
    return no_snapshots();
}

int engine_open_snapshot(struct engine *engine, const char *tag, struct source **ret_source)
{
    (void)engine, (void)tag, (void)ret_source;
    return no_snapshots();
}

void engine_close_snapshot(struct source *source)
{
    (void)source;
}

int engine_snapshot_set_expiry(struct engine *engine, const char *tag, uint64_t expires_us)
{
    (void)engine, (void)tag, (void)expires_us;
    return no_snapshots();
}

int engine_snapshot_hold(struct engine *engine, const char *tag, const char *name)
{
    (void)engine, (void)tag, (void)name;
    return no_snapshots();
}

int engine_snapshot_release(struct engine *engine, const char *tag, const char *name)
{
    (void)engine, (void)tag, (void)name;
    return no_snapshots();
}

int engine_sstables(struct engine *engine, sstable_each each, void *arg)
{
    (void)engine, (void)each, (void)arg;
    return 0;
}

void engine_get_stats(struct engine *engine, struct engine_stats *ret_stats)
{
    mutex_lock(&engine->mutex);
    *ret_stats = engine->stats;
    ret_stats->disk_total_bytes = 1ull << 40;
    ret_stats->disk_available_bytes = 1ull << 39;
    mutex_unlock(&engine->mutex);
}
