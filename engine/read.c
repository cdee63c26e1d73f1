#include "read.h"

#include "engine/error.h"
#include "engine/log.h"
#include "rows/compare.h"
#include "rows/merge.h"
#include "rows/reconcile.h"

/* ---- the view ---- */

const struct view *source_enter(const struct source *source, struct epoch_slot **ret_slot)
{
    const struct view *live = views_enter(&source->engine->views, ret_slot);

    return source->view ? source->view : live;
}

void source_leave(const struct source *source, struct epoch_slot *slot)
{
    views_leave(&source->engine->views, slot);
}

struct view *source_acquire(const struct source *source)
{
    return source->view ? view_ref(source->view) : views_acquire(&source->engine->views);
}

/* ---- one partition out of many places ---- */

struct sources {
    struct partition_iterator **iterators;
    unsigned count;
};

static void sources_close(struct sources *sources)
{
    while (sources->count > 0)
        partition_close(sources->iterators[--sources->count]);
    free(sources->iterators);
}

static int add_memtable(struct sources *sources, struct memtable *memtable,
    const struct decorated_key *key, const struct slice *slice)
{
    int r = memtable_read(memtable, key, slice, &sources->iterators[sources->count]);

    sources->count += r > 0;
    return r;
}

static int add_sstable(struct sources *sources, struct sstable_handle *handle,
    const struct decorated_key *key, const struct slice *slice)
{
    AUTO(sstable_unrefp) struct sstable *sstable = NULL;
    int r = sstable_handle_open(handle, &sstable);

    if (r == 0)
        r = sstable_read(sstable, key, slice, &sources->iterators[sources->count]);
    sources->count += r > 0;
    return r;
}

/* Whether a deletion of the whole partition hides all that is not newer than `timestamp_us`. */
static bool is_deleted(const struct sources *sources, int64_t timestamp_us)
{
    for (unsigned i = 0; i < sources->count; i++)
        if (deletion_deletes(sources->iterators[i]->deletion, timestamp_us))
            return true;
    return false;
}

static int add_all(struct sources *sources, const struct table_view *table,
    const struct decorated_key *key, const struct slice *slice)
{
    const struct sstable_set *set = table->sstables;
    int r = add_memtable(sources, table->active, key, slice);

    for (unsigned i = 0; r >= 0 && i < table->sealed_count; i++)
        r = add_memtable(sources, table->sealed[i].memtable, key, slice);
    for (size_t i = sstable_set_find(set, key->token, 0); r >= 0 && i < set->count;
         i = sstable_set_find(set, key->token, i + 1)) {
        /* Those that follow are older still. */
        if (is_deleted(sources, set->handles[i]->entry.facts.max_timestamp_us))
            return 0;
        r = add_sstable(sources, set->handles[i], key, slice);
    }
    return r;
}

int read_partition(const struct view *view, unsigned table_number, const struct decorated_key *key,
    const struct slice *slice, struct partition_iterator **ret_iterator)
{
    AUTO(sources_close) struct sources sources = {0};
    const struct table_view *table = &view->tables[table_number];
    unsigned count;
    int r;

    sources.iterators = calloc(
        1 + table->sealed_count + table->sstables->count, sizeof(struct partition_iterator *));
    if (!sources.iterators)
        return -ENOMEM;
    r = add_all(&sources, table, key, slice);
    if (r < 0)
        return r;
    count = sources.count;
    sources.count = 0;
    if (count == 0)
        return 0;
    if (count == 1) {
        *ret_iterator = sources.iterators[0];
        return 1;
    }
    r = merge_partitions(sources.iterators[0]->schema, sources.iterators, count, ret_iterator);
    return r < 0 ? r : 1;
}

/* ---- copies of rows ---- */

static bool is_wanted(const struct cell *cell, uint64_t columns)
{
    return cell->column >= 64 ? columns == COLUMNS_ALL : columns >> cell->column & 1;
}

size_t row_flat_bytes(const struct row *row, uint64_t columns)
{
    size_t bytes = row->clustering.count * sizeof(struct bytes);

    for (unsigned i = 0; i < row->clustering.count; i++)
        bytes += row->clustering.values[i].size;
    for (uint32_t i = 0; i < row->cell_count; i++)
        if (is_wanted(&row->cells[i], columns))
            bytes += sizeof(struct cell) + row->cells[i].path.size + row->cells[i].value.size;
    return bytes;
}

static struct bytes place_bytes(uint8_t **at, struct bytes bytes)
{
    struct bytes placed = {*at, bytes.size};

    if (!bytes.data)
        return BYTES_NONE;
    if (bytes.size > 0)
        memcpy(*at, bytes.data, bytes.size);
    *at += bytes.size;
    return placed;
}

struct row row_flatten(const struct row *row, uint64_t columns, void *memory)
{
    struct cell *cells = memory;
    struct bytes *values;
    uint32_t count = 0;
    struct row flat = *row;
    uint8_t *at;

    for (uint32_t i = 0; i < row->cell_count; i++)
        if (is_wanted(&row->cells[i], columns))
            cells[count++] = row->cells[i];
    values = (struct bytes *)(void *)(cells + count);
    at = (uint8_t *)(values + row->clustering.count);
    for (uint32_t i = 0; i < count; i++) {
        cells[i].path = place_bytes(&at, cells[i].path);
        cells[i].value = place_bytes(&at, cells[i].value);
    }
    for (unsigned i = 0; i < row->clustering.count; i++)
        values[i] = place_bytes(&at, row->clustering.values[i]);
    flat.clustering.values = values;
    flat.cells = cells;
    flat.cell_count = count;
    flat.complex_deletions = NULL;
    flat.complex_deletion_count = 0;
    return flat;
}

void rowref_release(struct rowref *ref)
{
    free(ref->memory);
    *ref = ROWREF_INIT;
}

const struct cell *row_cell(const struct row *row, unsigned column)
{
    uint32_t low = 0, high = row->cell_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (row->cells[middle].column < column)
            low = middle + 1;
        else
            high = middle;
    }
    return low < row->cell_count && row->cells[low].column == column ? &row->cells[low] : NULL;
}

/* ---- what all reads do ---- */

int64_t read_now_s(struct engine *engine)
{
    return (int64_t)(env_wall_us(engine->env) / 1000000);
}

int read_failed(struct engine *engine, unsigned table, const char *what, int r)
{
    if (err_is_damage(r)) {
        atomic_fetch_add(&engine->counters.bad_reads, 1);
        log_error("op=%s table=%s: %s", what, engine->tables[table].name, err_text(r));
    }
    return r;
}

int read_check_table(const struct engine *engine, unsigned table)
{
    return table < engine->table_count ? 0 : err_new(-EINVAL, "there is no table %u", table);
}

int engine_may_contain(struct source *source, unsigned table, struct bytes key_bytes)
{
    struct engine *engine = source->engine;
    struct decorated_key key = decorated_key_of(key_bytes);
    const struct table_view *of;
    struct epoch_slot *slot;
    int r = read_check_table(engine, table);

    if (r < 0)
        return r;
    of = &source_enter(source, &slot)->tables[table];
    r = memtable_may_contain(of->active, &key);
    for (unsigned i = 0; r == 0 && i < of->sealed_count; i++)
        r = memtable_may_contain(of->sealed[i].memtable, &key);
    for (size_t i = sstable_set_find(of->sstables, key.token, 0); r == 0 && i < of->sstables->count;
         i = sstable_set_find(of->sstables, key.token, i + 1))
        r = sstable_handle_may_contain(of->sstables->handles[i], &key);
    source_leave(source, slot);
    return read_failed(engine, table, "may-contain", r);
}
