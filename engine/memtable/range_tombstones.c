#include "memtable/range_tombstones.h"

#include <stdlib.h>

#include "memtable/clustering_copy.h"
#include "rows/compare.h"
#include "rows/reconcile.h"

/* A list under construction, in memory of its own. */
struct builder {
    const struct table_schema *schema;
    struct range_piece *pieces;
    uint32_t count;
};

static bool deletion_equal(struct deletion a, struct deletion b)
{
    return a.marked_for_delete_at_us == b.marked_for_delete_at_us &&
           a.local_deletion_time_s == b.local_deletion_time_s;
}

/* Bounds are places between rows, whichever way they look: a start and an end may be the same. */
static int place_compare(
    const struct table_schema *schema, const struct clustering *a, const struct clustering *b)
{
    return clustering_compare(schema, a, b);
}

static struct clustering as_start(struct clustering place)
{
    place.kind = kind_as_start(place.kind);
    return place;
}

static struct clustering as_end(struct clustering place)
{
    place.kind = kind_as_end(place.kind);
    return place;
}

/* Adds from `start` to `end` unless that is empty, as part of the last piece if it continues it. */
static void emit(struct builder *to, const struct clustering *start, const struct clustering *end,
    struct deletion deletion)
{
    struct range_piece *last = to->count > 0 ? &to->pieces[to->count - 1] : NULL;

    if (place_compare(to->schema, start, end) >= 0)
        return;
    if (last && deletion_equal(last->deletion, deletion) &&
        place_compare(to->schema, &last->slice.end, start) == 0) {
        last->slice.end = as_end(*end);
        return;
    }
    to->pieces[to->count++] = (struct range_piece){{as_start(*start), as_end(*end)}, deletion};
}

static const struct clustering *earlier(
    const struct table_schema *schema, const struct clustering *a, const struct clustering *b)
{
    return place_compare(schema, a, b) <= 0 ? a : b;
}

static const struct clustering *later(
    const struct table_schema *schema, const struct clustering *a, const struct clustering *b)
{
    return place_compare(schema, a, b) >= 0 ? a : b;
}

/*
 * Every old piece is cut where the new slice begins and ends; the part inside goes to the newer
 * deletion, the gaps inside to the new one. emit() joins again what was cut for nothing.
 */
static void build(struct builder *to, const struct range_piece *pieces, uint32_t count,
    const struct slice *slice, struct deletion deletion)
{
    const struct table_schema *schema = to->schema;
    const struct clustering *done = &slice->start; /* the new slice is laid out up to here */

    for (uint32_t i = 0; i < count; i++) {
        const struct range_piece *piece = &pieces[i];
        const struct clustering *start = &piece->slice.start, *end = &piece->slice.end;
        struct deletion winner =
            deletion_supersedes(deletion, piece->deletion) ? deletion : piece->deletion;

        emit(to, start, earlier(schema, end, &slice->start), piece->deletion);
        emit(to, done, earlier(schema, start, &slice->end), deletion);
        emit(to, later(schema, start, &slice->start), earlier(schema, end, &slice->end), winner);
        done = later(schema, done, earlier(schema, end, &slice->end));
        emit(to, later(schema, start, &slice->end), end, piece->deletion);
    }
    emit(to, done, &slice->end, deletion);
}

/* What comes behind all others is added in place, so that ascending tombstones copy no list. */
static bool append(const struct table_schema *schema, struct range_tombstones *list,
    const struct slice *slice, struct deletion deletion)
{
    uint32_t count = list ? atomic_load_explicit(&list->count, memory_order_relaxed) : 0;
    int r;

    if (count == 0 || count == list->capacity)
        return false;
    r = place_compare(schema, &slice->start, &list->pieces[count - 1].slice.end);
    if (r < 0 || (r == 0 && deletion_equal(deletion, list->pieces[count - 1].deletion)))
        return false;
    list->pieces[count] = (struct range_piece){*slice, deletion};
    atomic_store_explicit(&list->count, count + 1, memory_order_release);
    return true;
}

struct range_tombstones *range_tombstones_add(const struct table_schema *schema,
    struct range_tombstones *list, const struct slice *slice, struct deletion deletion,
    struct arena *arena)
{
    uint32_t count = list ? atomic_load_explicit(&list->count, memory_order_relaxed) : 0;
    struct builder builder = {.schema = schema};
    AUTO(freep) struct range_piece *pieces = NULL;
    struct range_tombstones *added;
    struct slice copy;
    uint32_t capacity;

    if (!clustering_copy(arena, &slice->start, &copy.start) ||
        !clustering_copy(arena, &slice->end, &copy.end))
        return NULL;
    if (append(schema, list, &copy, deletion))
        return list;

    /* Each old piece brings itself and the gap before it, the two ends cut one in two each. */
    pieces = calloc(2 * (size_t)count + 3, sizeof(*pieces));
    if (!pieces)
        return NULL;
    builder.pieces = pieces;
    build(&builder, list ? list->pieces : NULL, count, &copy, deletion);

    capacity = builder.count + builder.count / 2 + 1;
    added = arena_alloc(arena, sizeof(*added) + capacity * sizeof(added->pieces[0]));
    if (!added)
        return NULL;
    atomic_init(&added->count, builder.count);
    added->capacity = capacity;
    memcpy(added->pieces, builder.pieces, builder.count * sizeof(added->pieces[0]));
    return added;
}

uint32_t range_tombstones_seek(const struct table_schema *schema, const struct range_piece *pieces,
    uint32_t count, const struct clustering *bound)
{
    uint32_t low = 0, high = count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (place_compare(schema, &pieces[middle].slice.end, bound) > 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}
