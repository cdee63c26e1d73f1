#include "memtable/iterator.h"

#include <errno.h>

#include "rows/compare.h"
#include "rows/reconcile.h"

#define ARENA_PIECE_BYTES 4096u
#define CACHE_LINE_BYTES 64
#define FETCHED_BYTES (4 * CACHE_LINE_BYTES) /* of a row: most are no larger */

/* ---- range tombstones ---- */

/* Where the marker of the current piece goes that comes next. */
static void place_marker(struct memtable_iterator *it)
{
    it->marker_bound = it->in_piece ? it->piece.slice.end : it->piece.slice.start;
    it->marker_key = row_key(it->base.schema, &it->marker_bound);
}

/* The next piece that reaches into the slice and says more than the partition's deletion. */
static void take_piece(struct memtable_iterator *it)
{
    const struct table_schema *schema = it->base.schema;

    it->has_piece = false;
    while (it->next_piece < it->piece_count) {
        const struct range_piece *piece = &it->pieces[it->next_piece];

        if (clustering_compare(schema, &piece->slice.start, &it->slice.end) >= 0)
            return;
        it->next_piece++;
        if (!deletion_supersedes(piece->deletion, it->partition_deletion))
            continue;
        it->piece = *piece;
        if (clustering_compare(schema, &it->piece.slice.start, &it->slice.start) < 0)
            it->piece.slice.start = it->slice.start;
        if (clustering_compare(schema, &it->piece.slice.end, &it->slice.end) > 0)
            it->piece.slice.end = it->slice.end;
        it->has_piece = true;
        return;
    }
}

/* Opens the piece, or closes it, or closes it where the next one opens. */
static void emit_marker(struct memtable_iterator *it)
{
    struct marker *marker = &it->current.marker;
    struct range_piece closed = it->piece;

    it->current.is_marker = true;
    *marker = (struct marker){it->marker_bound, DELETION_LIVE, DELETION_LIVE};
    if (!it->in_piece) {
        marker->opens = it->piece.deletion;
        it->in_piece = true;
        place_marker(it);
        return;
    }
    marker->closes = closed.deletion;
    take_piece(it);
    it->in_piece = it->has_piece && clustering_compare(it->base.schema, &it->piece.slice.start,
                                        &closed.slice.end) == 0;
    if (it->in_piece) {
        marker->opens = it->piece.deletion;
        marker->bound.kind = closed.slice.end.kind == KIND_EXCL_END ? KIND_EXCL_END_INCL_START
                                                                    : KIND_INCL_END_EXCL_START;
    }
    if (it->has_piece)
        place_marker(it);
}

/* ---- rows ---- */

/* The row without what `active` hides: 1, 0 when that is all of it, -ENOMEM. */
static int filter(const struct column *columns, const struct row_version *version,
    struct deletion active, struct arena *arena, struct row *ret_row)
{
    const struct row *row = &version->row;
    int r;

    if (active.marked_for_delete_at_us < version->min_timestamp_us) {
        *ret_row = *row;
        return 1;
    }
    r = row_merge(columns, &row, 1, active, arena, ret_row);
    if (r > 0)
        ret_row->clustering = row->clustering;
    return r;
}

/* The row at a node, without what hides it: 1, 0 when that is all of it, -ENOMEM. */
static int take_row(struct memtable_iterator *it, const struct row_node *node)
{
    const struct row_version *version = atomic_load_explicit(&node->version, memory_order_acquire);
    struct deletion active = it->in_piece ? it->piece.deletion : it->partition_deletion;
    const struct deletion *taken_by;

    if (version)
        return filter(
            it->base.schema->regulars, version, active, &it->next_arena, &it->current.row);
    /* A deletion of the partition took it. If that came after this reader had asked for it, it is
     * told here what became of the row: else what the row hid in SSTables would show through. */
    taken_by = atomic_load_explicit(&it->partition->deletion, memory_order_acquire);
    it->current.row = (struct row){
        .clustering = node->clustering, .liveness = LIVENESS_NONE, .deletion = *taken_by};
    return deletion_supersedes(*taken_by, active);
}

/* Nodes lie in memory as they were inserted, not in the order of their keys: each is a cache miss,
 * and so is its row. What the next two steps read is fetched while the caller works on this one. */
static void fetch_ahead(const struct skiplist_node *node)
{
    const struct skiplist_node *next;
    const uint8_t *version;

    if (!node)
        return;
    version =
        (const uint8_t *)atomic_load_explicit(&row_node_of(node)->version, memory_order_relaxed);
    for (size_t at = 0; at < FETCHED_BYTES; at += CACHE_LINE_BYTES)
        __builtin_prefetch(version + at);
    next = skiplist_next(node);
    if (next)
        __builtin_prefetch(row_node_of(next));
}

int memtable_iterator_next(
    struct partition_iterator *base, const struct unfiltered **ret_unfiltered)
{
    struct memtable_iterator *it = CONTAINER_OF(base, struct memtable_iterator, base);

    for (;;) {
        const struct row_node *node = it->row ? row_node_of(it->row) : NULL;
        int r;

        if (node && !row_node_is_before(node, &it->end))
            node = NULL;
        if (it->has_piece && (!node || !row_node_is_before(node, &it->marker_key))) {
            emit_marker(it);
            *ret_unfiltered = &it->current;
            return 1;
        }
        if (!node)
            return 0;
        it->row = skiplist_next(it->row);
        fetch_ahead(it->row);
        arena_reset(&it->next_arena);
        r = take_row(it, node);
        if (r < 0)
            return r;
        if (r > 0) {
            it->current.is_marker = false;
            *ret_unfiltered = &it->current;
            return 1;
        }
    }
}

/* ---- the partition ---- */

static int take_static_row(struct memtable_iterator *it, const struct memtable_partition *partition)
{
    const struct row_version *version =
        atomic_load_explicit(&partition->static_row, memory_order_acquire);
    int r;

    if (!version)
        return 0;
    r = filter(
        it->base.schema->statics, version, it->partition_deletion, &it->arena, &it->static_row);
    if (r > 0)
        it->base.static_row = &it->static_row;
    return r < 0 ? r : 0;
}

int memtable_iterator_init(struct memtable_iterator *it, const struct table_schema *schema,
    const struct memtable_partition *partition, const struct slice *slice)
{
    const struct deletion *deletion =
        atomic_load_explicit(&partition->deletion, memory_order_acquire);
    struct range_tombstones *ranges =
        atomic_load_explicit(&partition->ranges, memory_order_acquire);
    struct skiplist_key start;
    int r;

    *it = (struct memtable_iterator){
        .base = {.schema = schema, .key = partition->key},
        .partition = partition,
        .partition_deletion = deletion ? *deletion : DELETION_LIVE,
        .slice = *slice,
    };
    it->base.deletion = it->partition_deletion;
    arena_init(&it->arena, ARENA_PIECE_BYTES);
    arena_init(&it->next_arena, ARENA_PIECE_BYTES);
    r = take_static_row(it, partition);
    if (r < 0) {
        memtable_iterator_release(it);
        return r;
    }
    it->end = row_key(schema, &it->slice.end);
    if (ranges && clustering_compare(schema, &it->slice.start, &it->slice.end) < 0) {
        it->pieces = ranges->pieces;
        it->piece_count = atomic_load_explicit(&ranges->count, memory_order_acquire);
        it->next_piece =
            range_tombstones_seek(schema, it->pieces, it->piece_count, &it->slice.start);
        take_piece(it);
        if (it->has_piece)
            place_marker(it);
    }
    start = row_key(schema, &it->slice.start);
    it->row = skiplist_seek(&partition->rows, &start);
    return 0;
}

void memtable_iterator_release(struct memtable_iterator *it)
{
    arena_release(&it->arena);
    arena_release(&it->next_arena);
}
