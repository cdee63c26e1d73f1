/*
 * Merging (Cassandra: db/rows/UnfilteredRowIterators.java, db/rows/RangeTombstoneMarker.java).
 *
 * 1. The sources' next unfiltereds lie in a heap. All that are first alike are taken together.
 * 2. Rows among themselves are reconciled under the active deletion: the merged open range's, or
 *    the partition's.
 * 3. Markers change what is open in their source. When the newest of what is open changes by that,
 *    one marker says so.
 *    What lies under it and is older, whole files of it, need not be looked at.
 * 4. What was taken is asked for its next only with the next call, as what is handed out may be
 *    borrowed from it.
 */
#include "rows/merge.h"

#include <errno.h>

#include "engine/assert.h"
#include "rows/compare.h"
#include "rows/heap.h"
#include "rows/reconcile.h"

#define ROW_ARENA_BYTES 8192
#define STATIC_ARENA_BYTES 2048

struct source {
    struct partition_iterator *iterator;
    const struct unfiltered *current; /* NULL: at its end */
    struct deletion open;
};

struct merged_partition {
    struct partition_iterator base;
    bool owned; /* closing closes the sources and frees this */
    bool begun;
    int failed; /* 0, or the error, after which there is nothing */
    unsigned count;
    struct source *sources;
    struct heap heap;
    unsigned *taken;
    unsigned taken_count;
    const struct row **rows;
    struct deletion open; /* what is open in the merge */
    struct arena row_arena;
    struct arena static_arena;
    struct row static_row;
    struct unfiltered out;
};

static const struct clustering *clustering_of(const struct unfiltered *unfiltered)
{
    return unfiltered->is_marker ? &unfiltered->marker.bound : &unfiltered->row.clustering;
}

static int order_of_sources(const void *arg, unsigned a, unsigned b)
{
    const struct merged_partition *merged = arg;

    return clustering_compare(merged->base.schema, clustering_of(merged->sources[a].current),
        clustering_of(merged->sources[b].current));
}

/* A range tombstone reaches at least to what comes next in its source: up to there nothing counts
 * of a source that has only older things. */
static int skip_deleted(struct merged_partition *merged, struct source *source)
{
    int r = 0;

    if (deletion_is_live(merged->open) || !source->current || !source->iterator->ops->skip)
        return 0;
    for (unsigned i = 0; i < merged->count && r == 0; i++) {
        const struct source *other = &merged->sources[i];

        if (other != source && other->current &&
            deletion_deletes(other->open, source->iterator->newest_us))
            r = source->iterator->ops->skip(
                source->iterator, clustering_of(other->current), &source->open);
    }
    return r;
}

static int advance(struct merged_partition *merged, unsigned number)
{
    struct source *source = &merged->sources[number];
    int r = skip_deleted(merged, source);

    if (r == 0)
        r = partition_next(source->iterator, &source->current);
    if (r > 0) {
        heap_push(&merged->heap, number);
        return 0;
    }
    source->current = NULL;
    return r;
}

static int advance_taken(struct merged_partition *merged)
{
    if (!merged->begun) {
        merged->begun = true;
        for (unsigned i = 0; i < merged->count; i++)
            merged->taken[i] = i;
        merged->taken_count = merged->count;
    }
    for (unsigned i = 0; i < merged->taken_count; i++) {
        int r = advance(merged, merged->taken[i]);
        if (r < 0)
            return r;
    }
    merged->taken_count = 0;
    return 0;
}

static struct deletion newest_open(const struct merged_partition *merged)
{
    struct deletion newest = DELETION_LIVE;

    for (unsigned i = 0; i < merged->count; i++)
        newest = deletion_newest(newest, merged->sources[i].open);
    return deletion_supersedes(newest, merged->base.deletion) ? newest : DELETION_LIVE;
}

/* 1: `out` is a marker; 0: the newest of what is open is what it was. */
static int merge_markers(struct merged_partition *merged)
{
    const struct marker *first = &merged->sources[merged->taken[0]].current->marker;
    struct marker *out = &merged->out.marker;
    struct deletion before = merged->open;
    bool at_start = kind_as_start(first->bound.kind) == KIND_INCL_START;

    for (unsigned i = 0; i < merged->taken_count; i++) {
        struct source *source = &merged->sources[merged->taken[i]];
        source->open = source->current->marker.opens;
    }
    merged->open = newest_open(merged);
    if (before.marked_for_delete_at_us == merged->open.marked_for_delete_at_us &&
        before.local_deletion_time_s == merged->open.local_deletion_time_s)
        return 0;

    merged->out = (struct unfiltered){.is_marker = true};
    *out = (struct marker){.bound = first->bound, .closes = before, .opens = merged->open};
    if (deletion_is_live(before))
        out->bound.kind = at_start ? KIND_INCL_START : KIND_EXCL_START;
    else if (deletion_is_live(merged->open))
        out->bound.kind = at_start ? KIND_EXCL_END : KIND_INCL_END;
    else
        out->bound.kind = at_start ? KIND_EXCL_END_INCL_START : KIND_INCL_END_EXCL_START;
    return 1;
}

/* 1: `ret` is a row; 0: nothing is left of it. */
static int merge_rows(struct merged_partition *merged, const struct unfiltered **ret)
{
    struct deletion active = deletion_is_live(merged->open) ? merged->base.deletion : merged->open;
    int r;

    if (merged->taken_count == 1 && deletion_is_live(active)) {
        *ret = merged->sources[merged->taken[0]].current;
        return 1;
    }
    for (unsigned i = 0; i < merged->taken_count; i++)
        merged->rows[i] = &merged->sources[merged->taken[i]].current->row;
    arena_reset(&merged->row_arena);
    merged->out = (struct unfiltered){.is_marker = false};
    r = row_merge(merged->base.schema->regulars, merged->rows, merged->taken_count, active,
        &merged->row_arena, &merged->out.row);
    *ret = &merged->out;
    return r;
}

static int merged_next(struct partition_iterator *iterator, const struct unfiltered **ret)
{
    struct merged_partition *merged = CONTAINER_OF(iterator, struct merged_partition, base);
    const struct unfiltered *unfiltered = &merged->out;
    int r = merged->failed;

    while (r == 0) {
        r = advance_taken(merged);
        if (r < 0)
            break;
        merged->taken_count = heap_pop_equal(&merged->heap, merged->taken);
        if (merged->taken_count == 0)
            return 0;
        if (merged->sources[merged->taken[0]].current->is_marker) {
            unfiltered = &merged->out;
            r = merge_markers(merged);
        } else {
            r = merge_rows(merged, &unfiltered);
        }
    }
    if (r < 0) {
        merged->failed = r;
        return r;
    }
    *ret = unfiltered;
    return 1;
}

static void merged_release(struct merged_partition *merged)
{
    arena_release(&merged->row_arena);
    arena_release(&merged->static_arena);
    free(merged->sources);
    free(merged->heap.sources);
    free(merged->taken);
    free(merged->rows);
}

static void merged_close(struct partition_iterator *iterator)
{
    struct merged_partition *merged = CONTAINER_OF(iterator, struct merged_partition, base);

    if (!merged->owned)
        return;
    for (unsigned i = 0; i < merged->count; i++)
        partition_close(merged->sources[i].iterator);
    merged_release(merged);
    free(merged);
}

static const struct partition_iterator_ops merged_ops = {merged_next, merged_close, NULL};

/* Storage for merges of up to `count` sources. */
static int merged_init(struct merged_partition *merged, unsigned count)
{
    *merged = (struct merged_partition){.base.ops = &merged_ops};
    arena_init(&merged->row_arena, ROW_ARENA_BYTES);
    arena_init(&merged->static_arena, STATIC_ARENA_BYTES);
    merged->sources = calloc(count, sizeof(*merged->sources));
    merged->heap.sources = calloc(count, sizeof(*merged->heap.sources));
    merged->taken = calloc(count, sizeof(*merged->taken));
    merged->rows = calloc(count, sizeof(const struct row *));
    if (merged->sources && merged->heap.sources && merged->taken && merged->rows)
        return 0;
    merged_release(merged);
    return -ENOMEM;
}

/* A new merge; the sources of the last one are forgotten. */
static int merged_begin(struct merged_partition *merged, const struct table_schema *schema,
    struct partition_iterator *const *sources, unsigned count)
{
    unsigned static_count = 0;
    int r;

    merged->base.schema = schema;
    merged->base.key = sources[0]->key;
    merged->base.deletion = DELETION_LIVE;
    merged->base.static_row = NULL;
    merged->begun = false;
    merged->failed = 0;
    merged->count = count;
    merged->taken_count = 0;
    merged->open = DELETION_LIVE;
    merged->heap.count = 0;
    merged->heap.order = order_of_sources;
    merged->heap.arg = merged;
    for (unsigned i = 0; i < count; i++) {
        ASSERT(bytes_equal(sources[i]->key.key, merged->base.key.key));
        merged->sources[i] = (struct source){.iterator = sources[i], .open = DELETION_LIVE};
        merged->base.deletion = deletion_newest(merged->base.deletion, sources[i]->deletion);
        if (sources[i]->static_row)
            merged->rows[static_count++] = sources[i]->static_row;
    }
    if (static_count == 0)
        return 0;
    arena_reset(&merged->static_arena);
    r = row_merge(schema->statics, merged->rows, static_count, merged->base.deletion,
        &merged->static_arena, &merged->static_row);
    if (r > 0)
        merged->base.static_row = &merged->static_row;
    return r < 0 ? r : 0;
}

int merge_partitions(const struct table_schema *schema, struct partition_iterator **sources,
    unsigned count, struct partition_iterator **ret_iterator)
{
    struct merged_partition *merged;
    int r = -ENOMEM;

    ASSERT(count > 0);
    if (count == 1) {
        *ret_iterator = sources[0];
        return 0;
    }
    merged = malloc(sizeof(*merged));
    if (merged)
        r = merged_init(merged, count);
    if (r == 0) {
        r = merged_begin(merged, schema, sources, count);
        if (r < 0)
            merged_release(merged);
    }
    if (r < 0) {
        free(merged);
        for (unsigned i = 0; i < count; i++)
            partition_close(sources[i]);
        return r;
    }
    merged->owned = true;
    *ret_iterator = &merged->base;
    return 0;
}

/* ---- scanners ---- */

struct merged_scanner {
    struct partition_scanner base;
    unsigned count;
    int failed;
    struct partition_scanner **sources;
    struct partition_iterator **current; /* by source */
    struct heap heap;
    unsigned *taken;
    unsigned taken_count;
    struct partition_iterator **equal; /* those of one partition */
    struct merged_partition merged;
};

static int order_of_partitions(const void *arg, unsigned a, unsigned b)
{
    const struct merged_scanner *scanner = arg;

    return decorated_key_compare(&scanner->current[a]->key, &scanner->current[b]->key);
}

static int scanner_advance_taken(struct merged_scanner *scanner)
{
    for (unsigned i = 0; i < scanner->taken_count; i++) {
        unsigned number = scanner->taken[i];
        int r = scanner_next(scanner->sources[number], &scanner->current[number]);
        if (r < 0)
            return r;
        if (r > 0)
            heap_push(&scanner->heap, number);
    }
    scanner->taken_count = 0;
    return 0;
}

static int merged_scanner_next(
    struct partition_scanner *base, struct partition_iterator **ret_partition)
{
    struct merged_scanner *scanner = CONTAINER_OF(base, struct merged_scanner, base);
    int r = scanner->failed;

    if (r == 0)
        r = scanner_advance_taken(scanner);
    if (r < 0) {
        scanner->failed = r;
        return r;
    }
    scanner->taken_count = heap_pop_equal(&scanner->heap, scanner->taken);
    if (scanner->taken_count == 0)
        return 0;
    if (scanner->taken_count == 1) {
        *ret_partition = scanner->current[scanner->taken[0]];
        return 1;
    }
    for (unsigned i = 0; i < scanner->taken_count; i++)
        scanner->equal[i] = scanner->current[scanner->taken[i]];
    r = merged_begin(&scanner->merged, base->schema, scanner->equal, scanner->taken_count);
    if (r < 0) {
        scanner->failed = r;
        return r;
    }
    *ret_partition = &scanner->merged.base;
    return 1;
}

static void merged_scanner_close(struct partition_scanner *base)
{
    struct merged_scanner *scanner = CONTAINER_OF(base, struct merged_scanner, base);

    merged_release(&scanner->merged);
    for (unsigned i = 0; scanner->sources && i < scanner->count; i++)
        scanner_close(scanner->sources[i]);
    free(scanner->sources);
    free(scanner->current);
    free(scanner->heap.sources);
    free(scanner->taken);
    free(scanner->equal);
    free(scanner);
}

static const struct partition_scanner_ops merged_scanner_ops = {
    merged_scanner_next, merged_scanner_close};

static struct merged_scanner *merged_scanner_new(const struct table_schema *schema, unsigned count)
{
    struct merged_scanner *scanner = calloc(1, sizeof(*scanner));

    if (!scanner)
        return NULL;
    if (merged_init(&scanner->merged, count) < 0) {
        free(scanner);
        return NULL;
    }
    scanner->base = (struct partition_scanner){&merged_scanner_ops, schema};
    scanner->current = calloc(count, sizeof(struct partition_iterator *));
    scanner->equal = calloc(count, sizeof(struct partition_iterator *));
    scanner->taken = calloc(count, sizeof(*scanner->taken));
    scanner->heap = (struct heap){.sources = calloc(count, sizeof(*scanner->heap.sources)),
        .order = order_of_partitions,
        .arg = scanner};
    scanner->sources = calloc(count, sizeof(struct partition_scanner *));
    if (scanner->current && scanner->equal && scanner->taken && scanner->heap.sources &&
        scanner->sources)
        return scanner;
    merged_scanner_close(&scanner->base);
    return NULL;
}

int merge_scanners(const struct table_schema *schema, struct partition_scanner **sources,
    unsigned count, struct partition_scanner **ret_scanner)
{
    struct merged_scanner *scanner;

    ASSERT(count > 0);
    if (count == 1) {
        *ret_scanner = sources[0];
        return 0;
    }
    scanner = merged_scanner_new(schema, count);
    if (!scanner) {
        for (unsigned i = 0; i < count; i++)
            scanner_close(sources[i]);
        return -ENOMEM;
    }
    scanner->count = count;
    /* The first call of next finds all of them taken. */
    scanner->taken_count = count;
    for (unsigned i = 0; i < count; i++) {
        scanner->sources[i] = sources[i];
        scanner->taken[i] = i;
    }
    *ret_scanner = &scanner->base;
    return 0;
}
