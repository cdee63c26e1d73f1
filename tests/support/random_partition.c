#include "support/random_partition.h"

#include <stdlib.h>

#include "engine/assert.h"
#include "engine/coding.h"
#include "rows/compare.h"

#define HOUR_US 3600000000ll
#define TTL_S 5000
#define PATHS_MAX 4

static void *take(struct arena *arena, size_t size)
{
    void *memory = arena_alloc(arena, size);

    ASSERT(memory);
    return memory;
}

static bool one_in(struct random *random, unsigned n)
{
    return random_below(random, n) == 0;
}

/** Half of them noise, half of them such that LZ4 has something to do. */
static struct bytes random_blob(struct random *random, struct arena *arena, size_t size)
{
    uint8_t *data = take(arena, size + 1);
    bool noise = one_in(random, 2);

    for (size_t i = 0; i < size; i++)
        data[i] = noise ? (uint8_t)random_next(random) : (uint8_t)("sstable"[i % 7] + i / 500);
    return bytes_of(data, size);
}

static struct bytes random_integer(struct random *random, struct arena *arena, unsigned bytes)
{
    uint8_t *data = take(arena, 8);
    /* Of all magnitudes, and both signs. */
    uint64_t value = random_next(random) >> random_below(random, 64);

    if (one_in(random, 4))
        value = -value;
    if (bytes == 8)
        store_be64(data, value);
    else
        store_be32(data, (uint32_t)value);
    return bytes_of(data, bytes);
}

static struct bytes random_value(
    struct random *random, struct arena *arena, const struct type *type, unsigned bytes_max)
{
    unsigned width = type_fixed_width(type);
    uint8_t *text;
    size_t size;

    if (one_in(random, 12))
        return BYTES_LITERAL("");
    if (width > 0)
        return random_integer(random, arena, width);
    size = one_in(random, 3) ? random_below(random, bytes_max + 1) : random_below(random, 20);
    if (type->kind != TYPE_TEXT)
        return random_blob(random, arena, size);
    size = size % 40;
    text = take(arena, size + 1);
    for (size_t i = 0; i < size; i++)
        text[i] = (uint8_t)('a' + random_below(random, 26));
    return bytes_of(text, size);
}

static struct bytes random_key(
    struct random *random, struct arena *arena, const struct table_schema *schema)
{
    struct buf key = BUF_INIT;
    struct bytes copy;

    for (unsigned i = 0; i < schema->partition_key_count; i++) {
        struct bytes part;

        do {
            part = random_value(random, arena, schema->partition_key[i].type, 40);
        } while (part.size == 0);
        if (schema->partition_key_count == 1) {
            buf_append_bytes(&key, part);
        } else {
            put_sbytes(&key, part);
            buf_append_u8(&key, 0);
        }
    }
    copy = arena_copy(arena, buf_bytes(&key));
    ASSERT(copy.data);
    buf_release(&key);
    return copy;
}

struct clustering random_clustering(
    struct random *random, struct arena *arena, const struct table_schema *schema)
{
    struct bytes *values = take(arena, (schema->clustering_count + 1) * sizeof(*values));

    for (unsigned i = 0; i < schema->clustering_count; i++)
        values[i] = random_value(random, arena, schema->clustering[i].type, 255);
    return CLUSTERING_ROW(values, schema->clustering_count);
}

static int64_t random_timestamp(struct random *random, const struct random_shape *shape)
{
    /* Few distinct ones, or cells would never have that of their row. */
    return shape->timestamp_us + (int64_t)random_below(random, 1000) * (HOUR_US / 1000);
}

static int32_t random_local_deletion_time(struct random *random, const struct random_shape *shape)
{
    return shape->local_deletion_time_s + (int32_t)random_below(random, 3600);
}

static struct deletion random_deletion(struct random *random, const struct random_shape *shape)
{
    return (struct deletion){
        random_timestamp(random, shape), random_local_deletion_time(random, shape)};
}

/** Older than all that it shares a row with, as nothing is written that is deleted already. */
static struct deletion older_deletion(
    struct random *random, const struct random_shape *shape, int64_t by_us)
{
    struct deletion deletion = random_deletion(random, shape);

    deletion.marked_for_delete_at_us = shape->timestamp_us - by_us - 1 - random_below(random, 1000);
    return deletion;
}

static struct cell random_cell(struct random *random, struct arena *arena,
    const struct random_shape *shape, const struct type *type, const struct row *row)
{
    struct cell cell = {
        .timestamp_us = random_timestamp(random, shape),
        .local_deletion_time_s = LOCAL_DELETION_TIME_NONE,
        .path = BYTES_LITERAL(""),
        .value = BYTES_LITERAL(""),
    };
    bool has_liveness = row->liveness.timestamp_us != TIMESTAMP_NONE;

    if (has_liveness && !one_in(random, 4))
        cell.timestamp_us = row->liveness.timestamp_us;
    if (!shape->no_tombstones && one_in(random, 8)) {
        cell.local_deletion_time_s = random_local_deletion_time(random, shape);
        return cell;
    }
    if (has_liveness && row->liveness.ttl_s != 0 && !one_in(random, 4)) {
        cell.ttl_s = row->liveness.ttl_s;
        cell.local_deletion_time_s = row->liveness.local_deletion_time_s;
    } else if (!shape->no_tombstones && one_in(random, 10)) {
        cell.ttl_s = 1 + (int32_t)random_below(random, TTL_S);
        cell.local_deletion_time_s = random_local_deletion_time(random, shape) + cell.ttl_s;
    }
    cell.value = random_value(random, arena, type, shape->value_bytes_max);
    return cell;
}

static int compare_paths(const void *a, const void *b)
{
    return bytes_compare(((const struct cell *)a)->path, ((const struct cell *)b)->path);
}

/** Cells of a map, in the order of their distinct keys. */
static unsigned random_map(struct random *random, struct arena *arena,
    const struct random_shape *shape, const struct row *row, struct cell *cells)
{
    unsigned drawn = random_below(random, PATHS_MAX + 1), count = 0;

    for (unsigned i = 0; i < drawn; i++) {
        cells[i] = random_cell(random, arena, shape, &type_blob, row);
        cells[i].path = random_blob(random, arena, random_below(random, 3));
    }
    qsort(cells, drawn, sizeof(*cells), compare_paths);
    for (unsigned i = 0; i < drawn; i++) {
        if (count == 0 || compare_paths(&cells[count - 1], &cells[i]) != 0)
            cells[count++] = cells[i];
    }
    return count;
}

static void random_cells(struct random *random, struct arena *arena,
    const struct random_shape *shape, const struct column *columns, unsigned count, struct row *row)
{
    struct cell *cells = take(arena, (count * PATHS_MAX + 1) * sizeof(*cells));
    struct complex_deletion *deletions = take(arena, (count + 1) * sizeof(*deletions));
    unsigned keep = one_in(random, 3) ? 1 : 1 + random_below(random, 6);

    row->cells = cells;
    row->complex_deletions = deletions;
    for (unsigned i = 0; i < count; i++) {
        unsigned first = row->cell_count;

        if (!one_in(random, keep))
            continue;
        if (!type_is_complex(columns[i].type)) {
            cells[row->cell_count++] = random_cell(random, arena, shape, columns[i].type, row);
        } else {
            row->cell_count += random_map(random, arena, shape, row, cells + first);
            if (!shape->no_tombstones && one_in(random, 3))
                deletions[row->complex_deletion_count++] =
                    (struct complex_deletion){(uint16_t)i, older_deletion(random, shape, 0)};
        }
        for (; first < row->cell_count; first++)
            cells[first].column = (uint16_t)i;
    }
}

static struct row random_row(struct random *random, struct arena *arena,
    const struct table_schema *schema, const struct random_shape *shape,
    const struct clustering *clustering)
{
    struct row row = {
        .clustering = *clustering,
        .liveness = LIVENESS_NONE,
        .deletion = DELETION_LIVE,
    };

    if (!one_in(random, 3))
        row.liveness.timestamp_us = random_timestamp(random, shape);
    if (row.liveness.timestamp_us != TIMESTAMP_NONE && !shape->no_tombstones && one_in(random, 8)) {
        row.liveness.ttl_s = 1 + (int32_t)random_below(random, TTL_S);
        row.liveness.local_deletion_time_s =
            random_local_deletion_time(random, shape) + row.liveness.ttl_s;
    }
    if (!shape->no_tombstones && one_in(random, 8))
        row.deletion = older_deletion(random, shape, 1000);
    random_cells(random, arena, shape, schema->regulars, schema->regular_count, &row);
    if (row.liveness.timestamp_us == TIMESTAMP_NONE && deletion_is_live(row.deletion) &&
        row.cell_count == 0 && row.complex_deletion_count == 0)
        row.liveness.timestamp_us = shape->timestamp_us;
    return row;
}

/* ---- rows and markers ---- */

struct builder {
    struct random *random;
    const struct random_shape *shape;
    struct unfiltered *unfiltereds;
    size_t count;
    struct deletion open;
};

/** A marker beside `clustering`: before it, or after. What is open ends, or something opens. */
static void add_marker(struct builder *builder, const struct clustering *at, bool before)
{
    bool opens = deletion_is_live(builder->open) || one_in(builder->random, 3);
    bool closes = !deletion_is_live(builder->open);
    struct marker marker = {*at, builder->open, DELETION_LIVE};

    if (opens)
        marker.opens = random_deletion(builder->random, builder->shape);
    if (opens && closes)
        marker.bound.kind = before ? KIND_EXCL_END_INCL_START : KIND_INCL_END_EXCL_START;
    else if (opens)
        marker.bound.kind = before ? KIND_INCL_START : KIND_EXCL_START;
    else
        marker.bound.kind = before ? KIND_EXCL_END : KIND_INCL_END;
    builder->unfiltereds[builder->count++] =
        (struct unfiltered){.is_marker = true, .marker = marker};
    builder->open = marker.opens;
}

static void add_end(struct builder *builder)
{
    if (deletion_is_live(builder->open))
        return;
    builder->unfiltereds[builder->count++] = (struct unfiltered){
        .is_marker = true,
        .marker = {BOUND_END_OF_ALL, builder->open, DELETION_LIVE},
    };
}

struct sorted {
    const struct table_schema *schema;
    struct clustering clustering;
};

static int compare_sorted(const void *a, const void *b)
{
    const struct sorted *left = a, *right = b;

    return clustering_compare(left->schema, &left->clustering, &right->clustering);
}

static unsigned random_clusterings(struct random *random, struct arena *arena,
    const struct table_schema *schema, unsigned drawn, struct sorted *sorted)
{
    unsigned count = 0;

    if (schema->clustering_count == 0 && drawn > 1)
        drawn = 1;
    for (unsigned i = 0; i < drawn; i++)
        sorted[i] = (struct sorted){schema, random_clustering(random, arena, schema)};
    qsort(sorted, drawn, sizeof(*sorted), compare_sorted);
    for (unsigned i = 0; i < drawn; i++) {
        if (count == 0 || compare_sorted(&sorted[count - 1], &sorted[i]) != 0)
            sorted[count++] = sorted[i];
    }
    return count;
}

static void random_rows(struct random *random, struct arena *arena,
    const struct table_schema *schema, const struct random_shape *shape,
    struct array_partition *partition)
{
    unsigned drawn = random_below(random, shape->rows_max + 1);
    struct sorted *sorted = take(arena, (drawn + 1) * sizeof(*sorted));
    unsigned count = random_clusterings(random, arena, schema, drawn, sorted);
    bool has_ranges = !shape->no_tombstones && schema->clustering_count > 0 && one_in(random, 2);
    struct builder builder = {
        .random = random,
        .shape = shape,
        .unfiltereds = take(arena, (count * 3 + 2) * sizeof(struct unfiltered)),
        .open = DELETION_LIVE,
    };

    if (has_ranges && one_in(random, 10)) {
        builder.open = random_deletion(random, shape);
        builder.unfiltereds[builder.count++] = (struct unfiltered){
            .is_marker = true,
            .marker = {BOUND_START_OF_ALL, DELETION_LIVE, builder.open},
        };
    }
    for (unsigned i = 0; i < count; i++) {
        const struct clustering *at = &sorted[i].clustering;

        if (has_ranges && one_in(random, 6))
            add_marker(&builder, at, true);
        if (!one_in(random, 10))
            builder.unfiltereds[builder.count++] =
                (struct unfiltered){.row = random_row(random, arena, schema, shape, at)};
        if (has_ranges && one_in(random, 6))
            add_marker(&builder, at, false);
    }
    add_end(&builder);
    partition->unfiltereds = builder.unfiltereds;
    partition->count = builder.count;
}

void random_partition(struct random *random, struct arena *arena, const struct table_schema *schema,
    const struct random_shape *shape, struct array_partition *ret_partition)
{
    struct array_partition partition = {
        .key = random_key(random, arena, schema),
        .deletion = DELETION_LIVE,
    };

    if (!shape->no_tombstones && one_in(random, 8))
        partition.deletion = random_deletion(random, shape);
    if (schema->static_count > 0 && one_in(random, 2)) {
        struct row row = {
            .clustering = {NULL, 0, KIND_STATIC},
            .liveness = LIVENESS_NONE,
            .deletion = DELETION_LIVE,
        };
        struct row *kept = take(arena, sizeof(*kept));

        random_cells(random, arena, shape, schema->statics, schema->static_count, &row);
        *kept = row;
        if (row.cell_count > 0 || row.complex_deletion_count > 0)
            partition.static_row = kept;
    }
    random_rows(random, arena, schema, shape, &partition);
    *ret_partition = partition;
}

static int compare_partitions(const void *a, const void *b)
{
    struct decorated_key left = decorated_key_of(((const struct array_partition *)a)->key);
    struct decorated_key right = decorated_key_of(((const struct array_partition *)b)->key);

    return decorated_key_compare(&left, &right);
}

static bool is_empty(const struct array_partition *partition)
{
    return partition->count == 0 && !partition->static_row && deletion_is_live(partition->deletion);
}

size_t random_partitions(struct random *random, struct arena *arena,
    const struct table_schema *schema, const struct random_shape *shape, size_t count,
    struct array_partition *ret_partitions)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        random_partition(random, arena, schema, shape, &ret_partitions[i]);
    qsort(ret_partitions, count, sizeof(*ret_partitions), compare_partitions);
    for (size_t i = 0; i < count; i++) {
        if (is_empty(&ret_partitions[i]) ||
            (kept > 0 && compare_partitions(&ret_partitions[kept - 1], &ret_partitions[i]) == 0))
            continue;
        ret_partitions[kept++] = ret_partitions[i];
    }
    return kept;
}
