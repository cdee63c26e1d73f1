/*
 * engine_scan(): rows in pages of copies. Between two pages the cursor has only the key it came to,
 * so that who reads slowly keeps neither memtables nor replaced SSTables alive.
 */
#include "read.h"

#include "base/arena.h"
#include "engine/error.h"
#include "rows/compare.h"
#include "rows/merge.h"

#define PAGE_ROWS 128
#define PAGE_BYTES (1u << 20)
#define DEAD_ROWS_MANY 1000
#define ARENA_PIECE_BYTES (32u << 10)

/* A bound with memory of its own. */
struct own_bound {
    struct clustering bound;
    struct bytes values[CLUSTERING_COLUMNS_MAX];
    struct buf memory;
};

struct cursor {
    struct source *source;
    struct engine *engine;
    unsigned table;
    uint64_t columns;
    struct buf key;
    struct own_bound start, end; /* of what is still to be read */
    struct arena page;
    struct row rows[PAGE_ROWS];
    unsigned count, next;
    bool at_end;                   /* behind this page there is nothing */
    int failure;                   /* a listing is never silently short: it goes on failing */
    uint64_t live_rows, dead_rows; /* met so far */
};

static int own_bound_set(struct own_bound *to, const struct clustering *from, uint8_t kind)
{
    size_t at = 0;

    buf_clear(&to->memory);
    for (unsigned i = 0; i < from->count; i++)
        buf_append_bytes(&to->memory, from->values[i]);
    if (buf_error(&to->memory) < 0)
        return -ENOMEM;
    for (unsigned i = 0; i < from->count; i++) {
        /* An empty value is not NULL, even if the buffer has no memory at all. */
        to->values[i] = bytes_of(
            to->memory.data ? to->memory.data + at : (const uint8_t *)"", from->values[i].size);
        if (!from->values[i].data)
            to->values[i] = BYTES_NONE;
        at += from->values[i].size;
    }
    to->bound = (struct clustering){to->values, from->count, kind};
    return 0;
}

int engine_scan(struct source *source, unsigned table, struct bytes key, const struct slice *slice,
    uint64_t columns, struct cursor **ret_cursor)
{
    struct engine *engine = source->engine;
    struct cursor *cursor;
    int r = read_check_table(engine, table);

    if (r < 0)
        return r;
    if (slice->start.count > CLUSTERING_COLUMNS_MAX || slice->end.count > CLUSTERING_COLUMNS_MAX)
        return err_new(-EINVAL, "a bound of more than %d values", CLUSTERING_COLUMNS_MAX);
    cursor = calloc(1, sizeof(*cursor));
    if (!cursor)
        return -ENOMEM;
    cursor->source = source;
    cursor->engine = engine;
    cursor->table = table;
    cursor->columns = columns;
    arena_init(&cursor->page, ARENA_PIECE_BYTES);
    buf_append_bytes(&cursor->key, key);
    r = buf_error(&cursor->key);
    if (r == 0)
        r = own_bound_set(&cursor->start, &slice->start, slice->start.kind);
    if (r == 0)
        r = own_bound_set(&cursor->end, &slice->end, slice->end.kind);
    if (r < 0) {
        cursor_close(cursor);
        return r;
    }
    atomic_fetch_add_explicit(&engine->counters.scans, 1, memory_order_relaxed);
    *ret_cursor = cursor;
    return 0;
}

/* Copies rows until the page is full or the partition ends. */
static int fill(struct cursor *cursor, struct partition_iterator *partition)
{
    const struct unfiltered *unfiltered;
    size_t bytes = 0;
    int r;

    while (cursor->count < PAGE_ROWS && bytes < PAGE_BYTES) {
        size_t row_bytes;
        void *memory;

        r = partition_next(partition, &unfiltered);
        if (r < 0)
            return r;
        if (r == 0) {
            cursor->at_end = true;
            return 0;
        }
        row_bytes = row_flat_bytes(&unfiltered->row, cursor->columns);
        memory = arena_alloc(&cursor->page, row_bytes + 1);
        if (!memory)
            return -ENOMEM;
        cursor->rows[cursor->count++] = row_flatten(&unfiltered->row, cursor->columns, memory);
        bytes += row_bytes;
    }
    /* A table without clustering columns has one row, and no key to go on from. */
    cursor->at_end = cursor->rows[cursor->count - 1].clustering.count == 0;
    return 0;
}

/* The rows behind `start`, out of a view that stays until this returns. */
static int read_page(struct cursor *cursor, const struct view *view)
{
    AUTO(partition_closep) struct partition_iterator *partition = NULL;
    struct decorated_key key = decorated_key_of(buf_bytes(&cursor->key));
    struct slice slice = {cursor->start.bound, cursor->end.bound};
    int r;

    r = read_partition(view, cursor->table, &key, &slice, &partition);
    if (r < 0)
        return r;
    if (r == 0) {
        cursor->at_end = true;
        return 0;
    }
    r = live_partition(partition, read_now_s(cursor->engine), &partition);
    if (r < 0) {
        partition = NULL;
        return r;
    }
    r = fill(cursor, partition);
    cursor->live_rows += cursor->count;
    cursor->dead_rows += live_partition_dead_rows(partition);
    return r;
}

/* It is worth a compaction: once, as then it is known. A snapshot stays as it is. */
static void report_dead_rows(struct cursor *cursor)
{
    if (cursor->source != &cursor->engine->live)
        return;
    if (cursor->dead_rows < DEAD_ROWS_MANY || cursor->dead_rows <= cursor->live_rows)
        return;
    compaction_note_dead(&cursor->engine->compaction, cursor->table, buf_bytes(&cursor->key));
    cursor->dead_rows = 0;
}

static int next_page(struct cursor *cursor)
{
    struct engine *engine = cursor->engine;
    uint64_t began_us = env_monotonic_us(engine->env);
    struct epoch_slot *slot;
    const struct view *view;
    int r;

    if (cursor->count > 0) {
        r = own_bound_set(
            &cursor->start, &cursor->rows[cursor->count - 1].clustering, KIND_EXCL_START);
        if (r < 0)
            return r;
    }
    cursor->count = cursor->next = 0;
    arena_reset(&cursor->page);
    view = source_enter(cursor->source, &slot);
    r = read_page(cursor, view);
    source_leave(cursor->source, slot);
    engine_note_latency(engine, LATENCY_SCAN, began_us);
    report_dead_rows(cursor);
    atomic_fetch_add_explicit(&engine->counters.scan_rows, cursor->count, memory_order_relaxed);
    return r;
}

int cursor_next(struct cursor *cursor, const struct row **ret_row)
{
    if (cursor->next == cursor->count) {
        int r;

        if (cursor->failure < 0)
            return cursor->failure;
        if (cursor->at_end)
            return 0;
        r = next_page(cursor);
        if (r < 0) {
            cursor->next = cursor->count;
            cursor->failure = read_failed(cursor->engine, cursor->table, "scan", r);
            return cursor->failure;
        }
        if (cursor->count == 0)
            return 0;
    }
    *ret_row = &cursor->rows[cursor->next++];
    return 1;
}

void cursor_close(struct cursor *cursor)
{
    if (!cursor)
        return;
    buf_release(&cursor->key);
    buf_release(&cursor->start.memory);
    buf_release(&cursor->end.memory);
    arena_release(&cursor->page);
    free(cursor);
}
