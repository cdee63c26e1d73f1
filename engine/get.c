/*
 * engine_get(): one row, newest sources first. It ends before the first SSTable that can hold
 * nothing newer than what is known already. What was found is borrowed from memtables and chunks
 * until it is copied, once, into what the caller gets.
 */
#include "read.h"

#include "base/arena.h"
#include "engine/error.h"
#include "rows/compare.h"
#include "rows/merge.h"
#include "rows/reconcile.h"
#include "sstable/row_lookup.h"

#define ARENA_PIECE_BYTES 4096u

/* What one memtable or SSTable has of the row. */
struct finding {
    struct finding *older;
    const struct row *row;
    bool is_of_sstable;
    struct row_lookup lookup; /* if it is */
};

struct get {
    const struct table_schema *schema;
    struct decorated_key key;
    const struct clustering *clustering; /* NULL: the static row */
    uint64_t columns;
    bool reads_all;           /* of each row, whatever columns are wanted */
    bool may_have_more;       /* than what was read */
    struct deletion deletion; /* the newest of those of partition and ranges */
    unsigned row_count;
    struct finding *findings;
    struct finding first; /* mostly the only one */
    bool first_is_used;
};

static const struct column *columns_of(const struct get *get)
{
    return get->clustering ? get->schema->regulars : get->schema->statics;
}

/* ---- findings ---- */

/* NULL: no memory. */
static struct finding *finding_new(struct get *get)
{
    return get->first_is_used ? malloc(sizeof(struct finding)) : &get->first;
}

static void finding_free(struct get *get, struct finding *finding)
{
    if (finding != &get->first)
        free(finding);
}

static void finding_keep(struct get *get, struct finding *finding, const struct row *row)
{
    get->first_is_used |= finding == &get->first;
    get->row_count++;
    finding->row = row;
    finding->older = get->findings;
    get->findings = finding;
}

static void get_release(struct get *get)
{
    while (get->findings) {
        struct finding *finding = get->findings;

        get->findings = finding->older;
        if (finding->is_of_sstable)
            row_lookup_release(&finding->lookup);
        finding_free(get, finding);
    }
}

/* ---- sources ---- */

static int get_from_memtable(struct get *get, struct memtable *memtable)
{
    struct finding *finding;
    struct deletion deletion;
    const struct row *row;

    if (!memtable_get_row(memtable, &get->key, get->clustering, &row, &deletion))
        return 0;
    get->deletion = deletion_newest(get->deletion, deletion);
    if (!row)
        return 0;
    finding = finding_new(get);
    if (!finding)
        return -ENOMEM;
    finding->is_of_sstable = false;
    finding_keep(get, finding, row);
    return 0;
}

static int get_from_sstable(struct get *get, struct sstable_handle *handle)
{
    struct sstable *sstable;
    struct finding *finding;
    int r = sstable_handle_borrow(handle, &sstable);

    if (r < 0)
        return r;
    finding = finding_new(get);
    if (!finding)
        return -ENOMEM;
    r = sstable_lookup_row(sstable, &get->key, get->clustering,
        get->reads_all ? COLUMNS_ALL : get->columns, &finding->lookup);
    if (r <= 0) {
        finding_free(get, finding);
        return r;
    }
    get->deletion = deletion_newest(get->deletion, finding->lookup.deletion);
    if (finding->lookup.row) {
        finding->is_of_sstable = true;
        get->may_have_more |= finding->lookup.may_have_more;
        finding_keep(get, finding, finding->lookup.row);
    } else {
        row_lookup_release(&finding->lookup);
        finding_free(get, finding);
    }
    return 0;
}

/* ---- when to stop ---- */

/* The wanted columns as bits; false: not all are simple ones among the first 64. */
static bool wanted_columns(const struct get *get, uint64_t *ret_wanted)
{
    unsigned count = get->clustering ? get->schema->regular_count : get->schema->static_count;

    *ret_wanted = count >= 64 ? get->columns : get->columns & ((1ull << count) - 1);
    if (count > 64 && get->columns == COLUMNS_ALL)
        return false;
    for (unsigned i = 0; i < count && i < 64; i++)
        if (*ret_wanted >> i & 1 && type_is_complex(columns_of(get)[i].type))
            return false;
    return true;
}

/*
 * Whether nothing up to `timestamp_us` matters any more: a newer deletion hides it, or each wanted
 * column is known from later, and that the row exists: by its own timestamp (Cassandra:
 * SinglePartitionReadCommand.java, canRemoveRow()), or by a value that does not expire.
 */
static bool is_settled(const struct get *get, int64_t timestamp_us)
{
    uint64_t wanted, known = 0, mortal = 0;
    bool exists = !get->clustering;

    if (deletion_deletes(get->deletion, timestamp_us))
        return true;
    for (const struct finding *finding = get->findings; finding; finding = finding->older) {
        const struct row *row = finding->row;

        if (deletion_deletes(row->deletion, timestamp_us))
            return true;
        exists |= row->liveness.timestamp_us > timestamp_us;
        for (uint32_t i = 0; i < row->cell_count; i++) {
            const struct cell *cell = &row->cells[i];

            if (cell->timestamp_us <= timestamp_us || cell->column >= 64)
                continue;
            known |= 1ull << cell->column;
            if (cell_is_tombstone(cell) || cell_is_expiring(cell) ||
                type_is_complex(columns_of(get)[cell->column].type))
                mortal |= 1ull << cell->column;
        }
    }
    exists |= (known & ~mortal) != 0;
    return exists && wanted_columns(get, &wanted) && (wanted & ~known) == 0;
}

static int get_from_all(struct get *get, const struct table_view *table)
{
    const struct sstable_set *set = table->sstables;
    int r = get_from_memtable(get, table->active);

    for (unsigned i = 0; r == 0 && i < table->sealed_count; i++)
        r = get_from_memtable(get, table->sealed[i].memtable);
    for (size_t i = sstable_set_find(set, get->key.token, 0); r == 0 && i < set->count;
         i = sstable_set_find(set, get->key.token, i + 1)) {
        struct sstable_handle *handle = set->handles[i];

        /* Those that follow are older still. */
        if ((get->findings || !deletion_is_live(get->deletion)) &&
            is_settled(get, handle->entry.facts.max_timestamp_us))
            return 0;
        r = get_from_sstable(get, handle);
    }
    return r;
}

/* ---- the answer ---- */

static int copy_row(const struct get *get, const struct row *row, struct rowref *ret_row)
{
    size_t bytes = row_flat_bytes(row, get->columns);

    ret_row->memory = malloc(bytes + 1);
    if (!ret_row->memory)
        return -ENOMEM;
    ret_row->row = row_flatten(row, get->columns, ret_row->memory);
    return 1;
}

static int merge_row(const struct get *get, int64_t now_s, struct arena *arena, struct row *ret_row)
{
    const struct row **rows = arena_alloc(arena, get->row_count * sizeof(*rows));
    unsigned count = 0;

    if (!rows)
        return -ENOMEM;
    for (const struct finding *finding = get->findings; finding; finding = finding->older)
        rows[count++] = finding->row;
    return live_row(columns_of(get), rows, count, get->deletion, now_s, arena, ret_row);
}

static int give_row(struct engine *engine, const struct get *get, struct rowref *ret_row)
{
    const struct finding *finding = get->findings;
    struct arena arena;
    struct row row;
    int r;

    if (get->row_count == 0)
        return 0;
    if (get->row_count == 1 && row_lives(finding->row, get->deletion))
        return copy_row(get, finding->row, ret_row);
    arena_init(&arena, ARENA_PIECE_BYTES);
    r = merge_row(get, read_now_s(engine), &arena, &row);
    if (r > 0)
        r = copy_row(get, &row, ret_row);
    arena_release(&arena);
    return r;
}

/* From the view's tables. Where all that was read of the row is deleted, whether it exists is told
 * by what was not: then all of it is read. */
static int get_row(
    struct engine *engine, struct get *get, const struct table_view *table, struct rowref *ret_row)
{
    int r;

    get->deletion = DELETION_LIVE;
    get->row_count = 0;
    get->findings = NULL;
    get->first_is_used = false;
    get->may_have_more = false;
    r = get_from_all(get, table);
    if (r == 0)
        r = give_row(engine, get, ret_row);
    get_release(get);
    if (r != 0 || get->reads_all || !get->may_have_more)
        return r;
    get->reads_all = true;
    return get_row(engine, get, table, ret_row);
}

int engine_get(struct source *source, unsigned table, struct bytes key,
    const struct clustering *clustering, uint64_t columns, struct rowref *ret_row)
{
    struct engine *engine = source->engine;
    struct epoch_slot *slot;
    const struct view *view;
    uint64_t began_us = engine_sample_us(engine);
    struct get get;
    int r = read_check_table(engine, table);

    if (r < 0)
        return r;
    atomic_fetch_add_explicit(&engine->counters.gets, 1, memory_order_relaxed);
    get.schema = &engine->tables[table];
    get.key = decorated_key_of(key);
    get.clustering = clustering;
    get.columns = columns;
    get.reads_all = false;
    view = source_enter(source, &slot);
    r = get_row(engine, &get, &view->tables[table], ret_row);
    source_leave(source, slot);
    engine_note_latency(engine, LATENCY_GET, began_us);
    return read_failed(engine, table, "get", r);
}
