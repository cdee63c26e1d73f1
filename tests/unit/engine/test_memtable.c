/*
 * Goal: a memtable says what was written into it, whatever the order, the mixture of deletions and
 * the slice that is asked for.
 * Method: random mutations go into the memtable and into a model that keeps each of them in a list.
 * The model cuts the clusterings of the test into the intervals between all places where a bound
 * may be, and answers for each interval by asking every mutation; rows are merged at once from all
 * their versions. Both must give the same unfiltereds. SSTFS_SEED=… repeats a run.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "engine/coding.h"
#include "memtable/memtable.h"
#include "rows/compare.h"
#include "rows/reconcile.h"

enum {
    PARTITIONS = 5,
    CLUSTERINGS_MAX = 24,
    PLACES_MAX = 4 * CLUSTERINGS_MAX + 2,
    OPERATIONS_MAX = 600,
    MAP_COLUMN = 2,
    LARGE_BYTES = 1500,
};

/* ---- tables ---- */

static const struct type type_bigint_reversed = {.kind = TYPE_BIGINT, .reversed = true};
static const struct type type_blob_reversed = {.kind = TYPE_BLOB, .reversed = true};

static const struct column key_columns[] = {{"k", &type_bigint}};
static const struct column values[] = {
    {"a", &type_bigint}, {"b", &type_blob}, {"m", &type_map_blob_blob}};
static const struct column by_int[] = {{"c", &type_int}};
static const struct column by_bigint_reversed[] = {{"c", &type_bigint_reversed}};
static const struct column by_blob[] = {{"c", &type_blob}};
static const struct column by_two[] = {{"c", &type_int}, {"d", &type_blob_reversed}};

#define TABLE(name_text, clustering_columns, count)                                                \
    {                                                                                              \
        .keyspace = "ks", .name = (name_text), .partition_key_count = 1,                           \
        .partition_key = key_columns, .clustering_count = (count),                                 \
        .clustering = (clustering_columns), .static_count = ARRAY_COUNT(values),                   \
        .statics = values, .regular_count = ARRAY_COUNT(values), .regulars = values                \
    }

static const struct table_schema tables[] = {
    TABLE("by_int", by_int, 1),
    TABLE("by_bigint_reversed", by_bigint_reversed, 1),
    TABLE("by_blob", by_blob, 1),
    TABLE("by_two", by_two, 2),
    TABLE("single", NULL, 0),
};
enum { BY_INT, BY_BIGINT_REVERSED, BY_BLOB, BY_TWO, SINGLE };

/* ---- the world of one test: clusterings, places, what was done ---- */

struct operation {
    enum { DELETE_PARTITION, DELETE_RANGE, APPLY_ROW } kind;
    unsigned partition;
    struct deletion deletion;
    unsigned first_place, last_place; /* of a range */
    struct row row;                   /* its arrays and values in the world's arena */
};

struct world {
    const struct table_schema *schema;
    struct epochs readers;
    struct memtable *memtable;
    struct arena arena;
    uint64_t random;

    uint8_t key_bytes[PARTITIONS][8];
    struct decorated_key keys[PARTITIONS]; /* in order */
    struct clustering rows[CLUSTERINGS_MAX];
    unsigned row_count;
    struct clustering places[PLACES_MAX]; /* bounds, each place once, in order */
    unsigned place_count;

    struct operation operations[OPERATIONS_MAX];
    unsigned operation_count;
};

static uint64_t draw(struct world *world, uint64_t below)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return (world->random >> 11) % below;
}

static void *world_alloc(struct world *world, size_t size)
{
    void *memory = arena_alloc(&world->arena, size ? size : 1);
    assert_non_null(memory);
    return memory;
}

static struct bytes int_bytes(struct world *world, int32_t value)
{
    uint8_t *to = world_alloc(world, 4);
    store_be32(to, (uint32_t)value);
    return bytes_of(to, 4);
}

static struct bytes bigint_bytes(struct world *world, int64_t value)
{
    uint8_t *to = world_alloc(world, 8);
    store_be64(to, (uint64_t)value);
    return bytes_of(to, 8);
}

static struct bytes text_bytes(struct world *world, const char *text)
{
    return arena_copy(&world->arena, bytes_of_string(text));
}

/* Values on both sides of what the 64-bit prefixes can tell apart. */
static struct bytes nth_value(struct world *world, const struct type *type, unsigned n)
{
    static const int64_t integers[] = {
        INT64_MIN, -70000, -1, 0, 1, 2, 255, 256, 70000, INT32_MAX, 1ll << 40, INT64_MAX};
    static const char *const texts[] = {"", "a", "a b", "abcdefgh", "abcdefgha", "abcdefghb",
        "abcdefghb0", "abcdefgi", "b", "some-longer-name", "some-longer-name-2", "z\xff\xff"};
    n %= ARRAY_COUNT(texts);

    if (type->kind == TYPE_BLOB)
        return text_bytes(world, texts[n]);
    if (n == 0)
        return text_bytes(world, "");
    if (type->kind == TYPE_INT)
        return int_bytes(world, n == 11 ? INT32_MIN : (int32_t)integers[n]);
    return bigint_bytes(world, integers[n == 2 ? 0 : n]);
}

static int compare_keys(const void *a, const void *b)
{
    return decorated_key_compare(a, b);
}

static const struct table_schema *sorted_schema; /* of the sort that runs */

static int compare_clusterings(const void *a, const void *b)
{
    return clustering_compare(sorted_schema, a, b);
}

static unsigned sort_unique(
    const struct table_schema *schema, struct clustering *clusterings, unsigned count)
{
    unsigned kept = 0;

    sorted_schema = schema;
    qsort(clusterings, count, sizeof(*clusterings), compare_clusterings);
    for (unsigned i = 0; i < count; i++) {
        if (kept == 0 || clustering_compare(schema, &clusterings[kept - 1], &clusterings[i]) != 0)
            clusterings[kept++] = clusterings[i];
    }
    return kept;
}

static void make_places(struct world *world)
{
    world->places[world->place_count++] = BOUND_START_OF_ALL;
    world->places[world->place_count++] = BOUND_END_OF_ALL;
    for (unsigned i = 0; i < world->row_count; i++) {
        for (uint8_t count = 1; count <= world->schema->clustering_count; count++) {
            struct clustering bound = {world->rows[i].values, count, KIND_INCL_START};

            world->places[world->place_count++] = bound;
            bound.kind = KIND_EXCL_START;
            world->places[world->place_count++] = bound;
        }
    }
    world->place_count = sort_unique(world->schema, world->places, world->place_count);
}

static void make_clusterings(struct world *world)
{
    unsigned columns = world->schema->clustering_count;

    world->row_count = columns == 0 ? 1 : CLUSTERINGS_MAX;
    for (unsigned i = 0; i < world->row_count; i++) {
        struct bytes *clustering = world_alloc(world, columns * sizeof(*clustering));

        /* Two columns: few first values, so that a prefix covers several rows. */
        for (unsigned c = 0; c < columns; c++) {
            unsigned n = columns == 2 && c == 0 ? 3 * (i % 4) : i / (columns == 2 ? 4 : 1);
            clustering[c] = nth_value(world, world->schema->clustering[c].type, n);
        }
        world->rows[i] = CLUSTERING_ROW(columns ? clustering : NULL, columns);
    }
    world->row_count = sort_unique(world->schema, world->rows, world->row_count);
    make_places(world);
}

static void world_init(struct world *world, const struct table_schema *schema, uint64_t seed)
{
    memset(world, 0, sizeof(*world));
    world->schema = schema;
    world->random = seed * 0x9e3779b97f4a7c15u + 88172645463325252u;
    arena_init(&world->arena, 65536);
    epochs_init(&world->readers);
    world->memtable = memtable_new(schema, 4096, &world->readers);
    assert_non_null(world->memtable);
    for (unsigned i = 0; i < PARTITIONS; i++) {
        store_be64(world->key_bytes[i], draw(world, UINT32_MAX));
        world->keys[i] = decorated_key_of(bytes_of(world->key_bytes[i], 8));
    }
    qsort(world->keys, PARTITIONS, sizeof(world->keys[0]), compare_keys);
    make_clusterings(world);
}

static void world_release(struct world *world)
{
    memtable_unref(world->memtable);
    arena_release(&world->arena);
}

/* ---- mutations ---- */

static struct deletion random_deletion(struct world *world)
{
    int64_t timestamp_us = (int64_t)draw(world, 300) - 20;
    return (struct deletion){timestamp_us, (int32_t)draw(world, 4) + 1000};
}

static struct bytes random_value(struct world *world)
{
    size_t size = draw(world, 8) == 0 ? 1000 + draw(world, LARGE_BYTES - 1000) : draw(world, 12);
    uint8_t *to = world_alloc(world, size);

    memset(to, (int)draw(world, 256), size);
    return bytes_of(to, size);
}

static struct cell random_cell(struct world *world, unsigned column)
{
    struct cell cell = {.timestamp_us = (int64_t)draw(world, 300) - 20,
        .local_deletion_time_s = LOCAL_DELETION_TIME_NONE,
        .column = (uint16_t)column,
        .value = bytes_of("", 0)};

    switch (draw(world, 4)) {
    case 0:
        cell.local_deletion_time_s = 1000 + (int32_t)draw(world, 3);
        break;
    case 1:
        cell.ttl_s = 10 + (int32_t)draw(world, 3);
        cell.local_deletion_time_s = 2000 + (int32_t)draw(world, 3);
        cell.value = random_value(world);
        break;
    default:
        cell.value = random_value(world);
        break;
    }
    return cell;
}

static struct row random_row(struct world *world, struct clustering clustering)
{
    struct cell *cells = world_alloc(world, 8 * sizeof(*cells));
    struct complex_deletion *deletion = world_alloc(world, sizeof(*deletion));
    struct row row = {.clustering = clustering,
        .liveness = LIVENESS_NONE,
        .deletion = DELETION_LIVE,
        .cells = cells,
        .complex_deletions = deletion};
    bool is_static = clustering.kind == KIND_STATIC;

    if (!is_static && draw(world, 3) == 0)
        row.liveness.timestamp_us = (int64_t)draw(world, 300);
    if (row.liveness.timestamp_us != TIMESTAMP_NONE && draw(world, 4) == 0) {
        row.liveness.ttl_s = 7;
        row.liveness.local_deletion_time_s = 3000;
    }
    if (!is_static && draw(world, 6) == 0)
        row.deletion = random_deletion(world);
    for (unsigned column = 0; column < MAP_COLUMN; column++) {
        if (draw(world, 2) == 0)
            cells[row.cell_count++] = random_cell(world, column);
    }
    for (unsigned path = 0; path < 4; path++) {
        static const char *const paths[] = {"", "user.a", "user.aa", "user.b"};
        if (draw(world, 5) != 0)
            continue;
        cells[row.cell_count] = random_cell(world, MAP_COLUMN);
        cells[row.cell_count++].path = text_bytes(world, paths[path]);
    }
    if (draw(world, 6) == 0) {
        *deletion = (struct complex_deletion){MAP_COLUMN, random_deletion(world)};
        row.complex_deletion_count = 1;
    }
    return row;
}

/* The row with all it points to moved into one piece of malloc's, which is what a record is. */
static struct row pack_row(const struct row *row, uint8_t **ret_data, size_t *ret_bytes)
{
    size_t bytes = 1 + row->cell_count * sizeof(struct cell);
    struct row packed = *row;
    struct cell *cells;
    uint8_t *at;

    for (uint32_t i = 0; i < row->cell_count; i++)
        bytes += row->cells[i].path.size + row->cells[i].value.size;
    *ret_data = malloc(bytes);
    assert_non_null(*ret_data);
    cells = (struct cell *)(void *)*ret_data;
    at = *ret_data + row->cell_count * sizeof(struct cell);
    for (uint32_t i = 0; i < row->cell_count; i++) {
        struct bytes *parts[2];

        cells[i] = row->cells[i];
        parts[0] = &cells[i].path;
        parts[1] = &cells[i].value;
        for (int part = 0; part < 2; part++) {
            if (parts[part]->size > 0)
                memcpy(at, parts[part]->data, parts[part]->size);
            if (parts[part]->data)
                *parts[part] = bytes_of(at, parts[part]->size);
            at += parts[part]->size;
        }
    }
    packed.cells = cells;
    *ret_bytes = bytes;
    return packed;
}

/* What the row points to is gone after the call, unless the memtable keeps the record. */
static void apply_row(struct world *world, const struct decorated_key *key, const struct row *row)
{
    uint8_t *data;
    size_t bytes;
    struct row packed = pack_row(row, &data, &bytes);
    struct record_memory *memory = NULL;

    if (draw(world, 2) == 0) {
        memory = record_memory_new(data, bytes);
        assert_non_null(memory);
    }
    assert_int_equal(memtable_apply_row(world->memtable, key, &packed, memory), 0);
    if (memory)
        record_memory_unref(memory);
    else
        free(data);
}

static void mutate(struct world *world)
{
    struct operation *operation = &world->operations[world->operation_count++];
    unsigned dice = (unsigned)draw(world, 100);
    const struct decorated_key *key;

    *operation = (struct operation){.partition = (unsigned)draw(world, PARTITIONS)};
    key = &world->keys[operation->partition];
    if (dice < 2) {
        operation->kind = DELETE_PARTITION;
        operation->deletion = random_deletion(world);
        assert_int_equal(memtable_delete_partition(world->memtable, key, operation->deletion), 0);
    } else if (dice < 25) {
        struct slice slice;

        operation->kind = DELETE_RANGE;
        operation->deletion = random_deletion(world);
        operation->first_place = (unsigned)draw(world, world->place_count);
        operation->last_place = (unsigned)draw(world, world->place_count);
        slice.start = world->places[operation->first_place];
        slice.start.kind = kind_as_start(slice.start.kind);
        slice.end = world->places[operation->last_place];
        slice.end.kind = kind_as_end(slice.end.kind);
        assert_int_equal(
            memtable_delete_range(world->memtable, key, &slice, operation->deletion), 0);
    } else {
        struct clustering clustering = world->rows[draw(world, world->row_count)];

        if (dice < 32)
            clustering = (struct clustering){NULL, 0, KIND_STATIC};
        operation->kind = APPLY_ROW;
        operation->row = random_row(world, clustering);
        apply_row(world, key, &operation->row);
    }
}

/* ---- what the model expects ---- */

struct expected {
    struct unfiltered unfiltereds[CLUSTERINGS_MAX + PLACES_MAX];
    unsigned count;
    struct deletion deletion;
    bool has_static;
    struct row static_row;
    bool exists;
};

static bool same_clustering(
    const struct world *world, const struct clustering *a, const struct clustering *b)
{
    return a->kind == b->kind && clustering_compare(world->schema, a, b) == 0;
}

/* The row out of all its versions ever: 1, or 0 when nothing is left. */
static int merge_all(struct world *world, unsigned partition, const struct clustering *clustering,
    struct deletion active, struct row *ret_row)
{
    static const struct row *versions[OPERATIONS_MAX];
    unsigned count = 0;
    int r;

    for (unsigned i = 0; i < world->operation_count; i++) {
        const struct operation *operation = &world->operations[i];
        if (operation->kind == APPLY_ROW && operation->partition == partition &&
            same_clustering(world, &operation->row.clustering, clustering))
            versions[count++] = &operation->row;
    }
    if (count == 0)
        return 0;
    r = row_merge(world->schema->regulars, versions, count, active, &world->arena, ret_row);
    assert_true(r >= 0);
    ret_row->clustering = *clustering;
    return r;
}

/* What is open between a place and the next, or the partition's deletion. */
static struct deletion active_after(
    const struct world *world, unsigned partition, unsigned place, struct deletion deletion)
{
    for (unsigned i = 0; i < world->operation_count; i++) {
        const struct operation *operation = &world->operations[i];
        if (operation->kind == DELETE_RANGE && operation->partition == partition &&
            operation->first_place <= place && place < operation->last_place)
            deletion = deletion_newest(deletion, operation->deletion);
    }
    return deletion;
}

static bool deletions_equal(struct deletion a, struct deletion b)
{
    return a.marked_for_delete_at_us == b.marked_for_delete_at_us &&
           a.local_deletion_time_s == b.local_deletion_time_s;
}

static void expect_marker(
    struct expected *expected, struct clustering place, struct deletion was, struct deletion is)
{
    bool before = place.kind == KIND_INCL_START;
    struct marker marker = {place, was, is};

    if (deletions_equal(was, is))
        return;
    if (deletion_is_live(was))
        marker.bound.kind = before ? KIND_INCL_START : KIND_EXCL_START;
    else if (deletion_is_live(is))
        marker.bound.kind = before ? KIND_EXCL_END : KIND_INCL_END;
    else
        marker.bound.kind = before ? KIND_EXCL_END_INCL_START : KIND_INCL_END_EXCL_START;
    expected->unfiltereds[expected->count++] =
        (struct unfiltered){.is_marker = true, .marker = marker};
}

static void expect_partition(struct world *world, unsigned partition, unsigned first_place,
    unsigned last_place, struct expected *expected)
{
    const struct clustering static_clustering = {NULL, 0, KIND_STATIC};
    struct deletion open = DELETION_LIVE;
    unsigned row = 0;

    *expected = (struct expected){.deletion = DELETION_LIVE};
    for (unsigned i = 0; i < world->operation_count; i++) {
        const struct operation *operation = &world->operations[i];
        if (operation->partition != partition)
            continue;
        if (operation->kind == DELETE_PARTITION)
            expected->deletion = deletion_newest(expected->deletion, operation->deletion);
        expected->exists |=
            operation->kind == DELETE_PARTITION ||
            (operation->kind == DELETE_RANGE && operation->first_place < operation->last_place) ||
            (operation->kind == APPLY_ROW &&
                (operation->row.cell_count || operation->row.complex_deletion_count ||
                    operation->row.liveness.timestamp_us != TIMESTAMP_NONE ||
                    !deletion_is_live(operation->row.deletion)));
    }
    expected->has_static = merge_all(world, partition, &static_clustering, expected->deletion,
                               &expected->static_row) > 0;

    for (unsigned place = first_place; place < last_place; place++) {
        struct deletion active = active_after(world, partition, place, expected->deletion);
        struct deletion opens =
            deletions_equal(active, expected->deletion) ? DELETION_LIVE : active;

        expect_marker(expected, world->places[place], open, opens);
        open = opens;
        for (; row < world->row_count &&
               clustering_compare(world->schema, &world->rows[row], &world->places[place + 1]) < 0;
             row++) {
            struct unfiltered *to = &expected->unfiltereds[expected->count];

            if (clustering_compare(world->schema, &world->rows[row], &world->places[place]) < 0)
                continue;
            *to = (struct unfiltered){.is_marker = false};
            if (merge_all(world, partition, &world->rows[row], active, &to->row) > 0)
                expected->count++;
        }
    }
    if (first_place < last_place)
        expect_marker(expected, world->places[last_place], open, DELETION_LIVE);
}

/* ---- comparing ---- */

static void assert_deletions_equal(struct deletion a, struct deletion b)
{
    assert_int_equal(a.marked_for_delete_at_us, b.marked_for_delete_at_us);
    assert_int_equal(a.local_deletion_time_s, b.local_deletion_time_s);
}

static void assert_rows_equal(const struct world *world, const struct row *a, const struct row *b)
{
    assert_true(same_clustering(world, &a->clustering, &b->clustering));
    assert_int_equal(a->liveness.timestamp_us, b->liveness.timestamp_us);
    assert_int_equal(a->liveness.ttl_s, b->liveness.ttl_s);
    assert_int_equal(a->liveness.local_deletion_time_s, b->liveness.local_deletion_time_s);
    assert_deletions_equal(a->deletion, b->deletion);
    assert_int_equal(a->cell_count, b->cell_count);
    for (uint32_t i = 0; i < a->cell_count; i++) {
        const struct cell *x = &a->cells[i], *y = &b->cells[i];
        assert_int_equal(x->timestamp_us, y->timestamp_us);
        assert_int_equal(x->local_deletion_time_s, y->local_deletion_time_s);
        assert_int_equal(x->ttl_s, y->ttl_s);
        assert_int_equal(x->column, y->column);
        assert_true(bytes_equal(x->path, y->path));
        assert_true(bytes_equal(x->value, y->value));
    }
    assert_int_equal(a->complex_deletion_count, b->complex_deletion_count);
    for (uint32_t i = 0; i < a->complex_deletion_count; i++) {
        assert_int_equal(a->complex_deletions[i].column, b->complex_deletions[i].column);
        assert_deletions_equal(a->complex_deletions[i].deletion, b->complex_deletions[i].deletion);
    }
}

static void assert_partition(
    const struct world *world, struct partition_iterator *iterator, const struct expected *expected)
{
    const struct unfiltered *unfiltered;

    assert_deletions_equal(iterator->deletion, expected->deletion);
    assert_int_equal(iterator->static_row != NULL, expected->has_static);
    if (expected->has_static)
        assert_rows_equal(world, iterator->static_row, &expected->static_row);
    for (unsigned i = 0; i < expected->count; i++) {
        const struct unfiltered *want = &expected->unfiltereds[i];

        assert_int_equal(partition_next(iterator, &unfiltered), 1);
        assert_int_equal(unfiltered->is_marker, want->is_marker);
        if (want->is_marker) {
            assert_true(same_clustering(world, &unfiltered->marker.bound, &want->marker.bound));
            assert_deletions_equal(unfiltered->marker.closes, want->marker.closes);
            assert_deletions_equal(unfiltered->marker.opens, want->marker.opens);
        } else {
            assert_rows_equal(world, &unfiltered->row, &want->row);
        }
    }
    assert_int_equal(partition_next(iterator, &unfiltered), 0);
    if (expected->has_static)
        assert_rows_equal(world, iterator->static_row, &expected->static_row);
}

static void check_slice(
    struct world *world, unsigned partition, unsigned first_place, unsigned last_place)
{
    const struct decorated_key *key = &world->keys[partition];
    struct slice slice = {world->places[first_place], world->places[last_place]};
    struct partition_iterator *iterator;
    static struct expected expected;
    int r;

    slice.start.kind = kind_as_start(slice.start.kind);
    slice.end.kind = kind_as_end(slice.end.kind);
    expect_partition(world, partition, first_place, last_place, &expected);
    r = memtable_read(world->memtable, key, &slice, &iterator);
    assert_int_equal(r, expected.exists);
    assert_int_equal(memtable_may_contain(world->memtable, key), expected.exists);
    if (r == 0)
        return;
    assert_int_equal(decorated_key_compare(&iterator->key, key), 0);
    assert_partition(world, iterator, &expected);
    partition_close(iterator);
}

/* One row is what a slice of it has, which hides what is deleted. */
static void check_row(struct world *world, unsigned partition, const struct clustering *clustering)
{
    const struct decorated_key *key = &world->keys[partition];
    struct slice slice = {*clustering, *clustering};
    struct partition_iterator *iterator;
    const struct unfiltered *unfiltered;
    struct deletion deletion, hiding;
    const struct row *row;
    bool has_row = false;
    struct arena arena;
    struct row merged;
    int r;

    slice.start.kind = KIND_INCL_START;
    slice.end.kind = KIND_INCL_END;
    r = memtable_read(world->memtable, key, &slice, &iterator);
    assert_int_equal(memtable_get_row(world->memtable, key, clustering, &row, &deletion), r);
    if (r == 0)
        return;
    arena_init(&arena, 4096);
    hiding = iterator->deletion;
    while (partition_next(iterator, &unfiltered) > 0) {
        if (unfiltered->is_marker) {
            hiding = deletion_newest(hiding, unfiltered->marker.opens);
            continue;
        }
        has_row = true;
        assert_non_null(row);
        assert_int_equal(row_merge(world->schema->regulars, &row, 1, deletion, &arena, &merged), 1);
        merged.clustering = row->clustering;
        assert_rows_equal(world, &merged, &unfiltered->row);
    }
    assert_deletions_equal(deletion, hiding);
    if (row && !has_row)
        assert_int_equal(row_merge(world->schema->regulars, &row, 1, deletion, &arena, &merged), 0);
    arena_release(&arena);
    partition_close(iterator);
}

static void check_scan(struct world *world, int64_t first_token, int64_t last_token)
{
    struct partition_scanner *scanner;
    struct partition_iterator *iterator;
    static struct expected expected;

    assert_int_equal(memtable_scan(world->memtable, first_token, last_token, &scanner), 0);
    for (unsigned i = 0; i < PARTITIONS; i++) {
        int64_t token = world->keys[i].token;

        expect_partition(world, i, 0, world->place_count - 1, &expected);
        if (token < first_token || token > last_token || !expected.exists)
            continue;
        assert_int_equal(scanner_next(scanner, &iterator), 1);
        assert_int_equal(decorated_key_compare(&iterator->key, &world->keys[i]), 0);
        /* Now and then a partition is left in the middle. */
        if (draw(world, 4) != 0)
            assert_partition(world, iterator, &expected);
    }
    assert_int_equal(scanner_next(scanner, &iterator), 0);
    scanner_close(scanner);
}

static void check(struct world *world)
{
    for (unsigned i = 0; i < PARTITIONS; i++) {
        check_slice(world, i, 0, world->place_count - 1);
        for (int n = 0; n < 4; n++) {
            unsigned first = (unsigned)draw(world, world->place_count);
            unsigned last = (unsigned)draw(world, world->place_count);
            check_slice(world, i, first, last);
        }
        for (unsigned n = 0; n < world->row_count; n++)
            check_row(world, i, &world->rows[n]);
    }
    check_scan(world, INT64_MIN, INT64_MAX);
    check_scan(world, world->keys[1].token, world->keys[3].token);
    check_scan(world, world->keys[1].token + 1, world->keys[3].token - 1);
}

static void run_random(unsigned table)
{
    const char *given = getenv("SSTFS_SEED");
    uint64_t first_seed = given ? strtoull(given, NULL, 0) : 1, seeds = given ? 1 : 12;
    static struct world world;

    for (uint64_t seed = first_seed; seed < first_seed + seeds; seed++) {
        print_message("# SSTFS_SEED=%" PRIu64 "\n", seed);
        world_init(&world, &tables[table], seed);
        check(&world);
        while (world.operation_count < OPERATIONS_MAX) {
            mutate(&world);
            if (world.operation_count % 60 == 0 || world.operation_count < 10)
                check(&world);
        }
        world_release(&world);
    }
}

static void mutations_by_int_read_as_the_model_says(void **state)
{
    (void)state;
    run_random(BY_INT);
}

static void mutations_by_reversed_bigint_read_as_the_model_says(void **state)
{
    (void)state;
    run_random(BY_BIGINT_REVERSED);
}

static void mutations_by_name_read_as_the_model_says(void **state)
{
    (void)state;
    run_random(BY_BLOB);
}

static void mutations_by_two_columns_read_as_the_model_says(void **state)
{
    (void)state;
    run_random(BY_TWO);
}

static void mutations_of_single_rows_read_as_the_model_says(void **state)
{
    (void)state;
    run_random(SINGLE);
}

/* ---- single facts ---- */

static struct row one_cell_row(struct clustering clustering, struct cell *cell)
{
    return (struct row){.clustering = clustering,
        .liveness = LIVENESS_NONE,
        .deletion = DELETION_LIVE,
        .cell_count = 1,
        .cells = cell};
}

static struct cell blob_cell(int64_t timestamp_us, struct bytes value)
{
    return (struct cell){.timestamp_us = timestamp_us,
        .local_deletion_time_s = LOCAL_DELETION_TIME_NONE,
        .column = 1,
        .value = value};
}

static void a_record_is_held_and_counted_once(void **state)
{
    enum { BYTES = 1 << 20, ROWS = 8 };
    uint8_t *data = calloc(1, BYTES);
    struct record_memory *memory = record_memory_new(data, BYTES);
    static struct world world;
    uint64_t bytes;
    (void)state;

    assert_non_null(memory);
    world_init(&world, &tables[BY_INT], 1);
    assert_int_equal(memtable_bytes(world.memtable), 0);
    for (unsigned i = 0; i < ROWS; i++) {
        struct cell cell = blob_cell(10, bytes_of(data + i * (BYTES / ROWS), BYTES / ROWS));
        struct row row = one_cell_row(world.rows[i], &cell);

        assert_int_equal(
            memtable_apply_row(world.memtable, &world.keys[i % PARTITIONS], &row, memory), 0);
    }
    assert_int_equal(memory->references, 2);
    bytes = memtable_bytes(world.memtable);
    assert_true(bytes >= BYTES && bytes < BYTES + BYTES / 4);
    world_release(&world);
    assert_int_equal(memory->references, 1);
    record_memory_unref(memory);
}

static void small_values_leave_their_record(void **state)
{
    uint8_t data[1023] = {1, 2, 3};
    struct record_memory memory = {
        .references = 1, .bytes = sizeof(data), .size = sizeof(data), .data = data};
    struct cell cell = blob_cell(10, bytes_of(data, sizeof(data)));
    struct partition_iterator *iterator;
    const struct unfiltered *unfiltered;
    static struct world world;
    struct slice all = SLICE_ALL;
    struct row row;
    (void)state;

    world_init(&world, &tables[BY_INT], 1);
    row = one_cell_row(world.rows[0], &cell);
    assert_int_equal(memtable_apply_row(world.memtable, &world.keys[0], &row, &memory), 0);
    assert_int_equal(memory.references, 1);
    assert_int_equal(memtable_read(world.memtable, &world.keys[0], &all, &iterator), 1);
    assert_int_equal(partition_next(iterator, &unfiltered), 1);
    assert_true(unfiltered->row.cells[0].value.data != data);
    assert_true(bytes_equal(unfiltered->row.cells[0].value, cell.value));
    partition_close(iterator);
    world_release(&world);
}

static void a_small_part_of_a_record_does_not_keep_it(void **state)
{
    enum { BYTES = 1 << 20, PART = 4096 };
    uint8_t *data = calloc(1, BYTES);
    struct record_memory *memory = record_memory_new(data, BYTES);
    struct cell cell = blob_cell(10, bytes_of(data, PART));
    static struct world world;
    struct row row;
    (void)state;

    assert_non_null(memory);
    world_init(&world, &tables[BY_INT], 1);
    row = one_cell_row(world.rows[0], &cell);
    assert_int_equal(memtable_apply_row(world.memtable, &world.keys[0], &row, memory), 0);
    assert_int_equal(memory->references, 1);
    assert_true(memtable_bytes(world.memtable) < BYTES / 4);
    world_release(&world);
    record_memory_unref(memory);
}

static void an_iterator_keeps_the_memtable(void **state)
{
    struct bytes values_of_slice[2];
    struct partition_iterator *iterator;
    struct partition_scanner *scanner;
    const struct unfiltered *unfiltered;
    static struct world world;
    struct slice slice = SLICE_ALL;
    struct cell cell = blob_cell(10, BYTES_LITERAL("value"));
    uint8_t bound[4] = {0, 0, 0, 0};
    struct row row;
    (void)state;

    world_init(&world, &tables[BY_INT], 1);
    row = one_cell_row(world.rows[world.row_count - 1], &cell);
    assert_int_equal(memtable_apply_row(world.memtable, &world.keys[0], &row, NULL), 0);
    values_of_slice[0] = bytes_of(bound, sizeof(bound));
    slice.start = (struct clustering){values_of_slice, 1, KIND_INCL_START};
    assert_int_equal(memtable_read(world.memtable, &world.keys[0], &slice, &iterator), 1);
    assert_int_equal(memtable_scan(world.memtable, INT64_MIN, INT64_MAX, &scanner), 0);
    memtable_unref(world.memtable);

    /* Nor does it need the slice that it was asked for with. */
    memset(bound, 0xff, sizeof(bound));
    values_of_slice[0] = BYTES_NONE;
    assert_int_equal(partition_next(iterator, &unfiltered), 1);
    assert_true(bytes_equal(unfiltered->row.cells[0].value, cell.value));
    assert_int_equal(partition_next(iterator, &unfiltered), 0);
    partition_close(iterator);
    assert_int_equal(scanner_next(scanner, &iterator), 1);
    assert_int_equal(partition_next(iterator, &unfiltered), 1);
    scanner_close(scanner);
    arena_release(&world.arena);
}

static void mutations_of_nothing_leave_no_partition(void **state)
{
    struct memtable_stats stats;
    static struct world world;
    struct slice empty;
    struct row row;
    (void)state;

    world_init(&world, &tables[BY_INT], 1);
    row = (struct row){
        .clustering = world.rows[0], .liveness = LIVENESS_NONE, .deletion = DELETION_LIVE};
    empty = (struct slice){world.places[1], world.places[1]};
    empty.start.kind = kind_as_start(empty.start.kind);
    empty.end.kind = kind_as_end(empty.end.kind);
    assert_int_equal(memtable_apply_row(world.memtable, &world.keys[0], &row, NULL), 0);
    assert_int_equal(
        memtable_delete_range(world.memtable, &world.keys[0], &empty, (struct deletion){5, 5}), 0);
    assert_int_equal(memtable_delete_partition(world.memtable, &world.keys[0], DELETION_LIVE), 0);
    memtable_get_stats(world.memtable, &stats);
    assert_int_equal(stats.partitions, 0);
    assert_false(memtable_may_contain(world.memtable, &world.keys[0]));
    check_scan(&world, INT64_MIN, INT64_MAX);
    world_release(&world);
}

static void stats_cover_all_that_was_written(void **state)
{
    struct memtable_stats stats;
    static struct world world;
    struct slice all = SLICE_ALL;
    struct cell cell = blob_cell(50, BYTES_LITERAL("v"));
    struct row row;
    (void)state;

    world_init(&world, &tables[BY_INT], 1);
    memtable_get_stats(world.memtable, &stats);
    assert_true(stats.min_timestamp_us == INT64_MAX && stats.max_timestamp_us == INT64_MIN);
    assert_int_equal(stats.min_local_deletion_time_s, LOCAL_DELETION_TIME_NONE);
    assert_int_equal(stats.min_ttl_s, INT32_MAX);
    assert_int_equal(stats.first_position, 4096);
    assert_int_equal(memtable_first_position(world.memtable), 4096);

    row = one_cell_row(world.rows[0], &cell);
    row.liveness.timestamp_us = 60;
    assert_int_equal(memtable_apply_row(world.memtable, &world.keys[0], &row, NULL), 0);
    assert_int_equal(memtable_apply_row(world.memtable, &world.keys[0], &row, NULL), 0);
    memtable_get_stats(world.memtable, &stats);
    assert_int_equal(stats.min_timestamp_us, 50);
    assert_int_equal(stats.max_timestamp_us, 60);
    assert_int_equal(stats.min_local_deletion_time_s, LOCAL_DELETION_TIME_NONE);
    assert_int_equal(stats.partitions, 1);
    assert_int_equal(stats.rows, 1);

    cell.ttl_s = 30;
    cell.local_deletion_time_s = 2000;
    row.clustering = world.rows[1];
    assert_int_equal(memtable_apply_row(world.memtable, &world.keys[0], &row, NULL), 0);
    assert_int_equal(
        memtable_delete_range(world.memtable, &world.keys[1], &all, (struct deletion){40, 1900}),
        0);
    assert_int_equal(
        memtable_delete_partition(world.memtable, &world.keys[2], (struct deletion){70, 1950}), 0);
    memtable_get_stats(world.memtable, &stats);
    assert_int_equal(stats.min_timestamp_us, 40);
    assert_int_equal(stats.max_timestamp_us, 70);
    assert_int_equal(stats.min_local_deletion_time_s, 1900);
    assert_int_equal(stats.min_ttl_s, 30);
    assert_int_equal(stats.partitions, 3);
    assert_int_equal(stats.rows, 2);
    assert_int_equal(stats.bytes, memtable_bytes(world.memtable));
    world_release(&world);
}

static void many_ascending_range_tombstones_take_memory_in_proportion(void **state)
{
    enum { COUNT = 20000 };
    struct partition_iterator *iterator;
    const struct unfiltered *unfiltered;
    static struct world world;
    struct slice all = SLICE_ALL;
    unsigned markers = 0;
    (void)state;

    world_init(&world, &tables[BY_INT], 1);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint8_t from[4], to[4];
        struct bytes start = bytes_of(from, 4), end = bytes_of(to, 4);
        struct slice slice = {{&start, 1, KIND_INCL_START}, {&end, 1, KIND_EXCL_END}};

        store_be32(from, i);
        store_be32(to, i + 1);
        assert_int_equal(memtable_delete_range(world.memtable, &world.keys[0], &slice,
                             (struct deletion){100 + i, 1000}),
            0);
    }
    assert_true(memtable_bytes(world.memtable) < COUNT * 400);
    assert_int_equal(memtable_read(world.memtable, &world.keys[0], &all, &iterator), 1);
    while (partition_next(iterator, &unfiltered) > 0) {
        assert_true(unfiltered->is_marker);
        markers++;
    }
    assert_int_equal(markers, COUNT + 1);
    partition_close(iterator);
    world_release(&world);
}

static void tombstones_side_by_side_of_one_deletion_are_one(void **state)
{
    struct partition_iterator *iterator;
    const struct unfiltered *unfiltered;
    static struct world world;
    struct slice all = SLICE_ALL;
    (void)state;

    world_init(&world, &tables[BY_INT], 1);
    for (unsigned place = 0; place + 1 < world.place_count; place++) {
        struct slice slice = {world.places[place], world.places[place + 1]};

        slice.start.kind = kind_as_start(slice.start.kind);
        slice.end.kind = kind_as_end(slice.end.kind);
        assert_int_equal(
            memtable_delete_range(world.memtable, &world.keys[0], &slice, (struct deletion){5, 5}),
            0);

        /* After each one: some are added in place, some make a new list. */
        assert_int_equal(memtable_read(world.memtable, &world.keys[0], &all, &iterator), 1);
        assert_int_equal(partition_next(iterator, &unfiltered), 1);
        assert_true(same_clustering(&world, &unfiltered->marker.bound, &all.start));
        assert_int_equal(partition_next(iterator, &unfiltered), 1);
        assert_true(same_clustering(&world, &unfiltered->marker.bound, &slice.end));
        assert_int_equal(partition_next(iterator, &unfiltered), 0);
        partition_close(iterator);
    }
    world_release(&world);
}

/* ---- replaced versions ---- */

/* Memory that the two batches of versions take which wait for readers, and the classes of sizes. */
enum { WAITING_BYTES = 192 << 10 };

static void put_number(struct world *world, struct clustering clustering, uint64_t number)
{
    uint8_t value[40];
    struct cell cell = blob_cell((int64_t)number, bytes_of(value, sizeof(value)));
    struct row row = one_cell_row(clustering, &cell);

    memset(value, 0, sizeof(value));
    store_be64(value, number);
    assert_int_equal(memtable_apply_row(world->memtable, &world->keys[0], &row, NULL), 0);
}

static void put_buffer(
    struct world *world, unsigned column, int64_t timestamp_us, size_t bytes, uint8_t byte)
{
    uint8_t *data = malloc(bytes);
    struct record_memory *memory = record_memory_new(data, bytes);
    struct cell cell = blob_cell(timestamp_us, bytes_of(data, bytes));
    struct row row = one_cell_row(world->rows[0], &cell);

    assert_true(data && memory);
    memset(data, byte, bytes);
    cell.column = (uint16_t)column;
    assert_int_equal(memtable_apply_row(world->memtable, &world->keys[0], &row, memory), 0);
    record_memory_unref(memory);
}

static uint64_t number_of(const struct row *row)
{
    assert_int_equal(row->cell_count, 1);
    return load_be64(row->cells[0].value.data);
}

static void overwrites_of_a_row_take_no_memory(void **state)
{
    static struct world world;
    (void)state;

    world_init(&world, &tables[BY_INT], 1);
    for (uint64_t i = 1; i <= 1000000; i++)
        put_number(&world, world.rows[0], i);
    assert_true(memtable_bytes(world.memtable) < WAITING_BYTES);
    world_release(&world);
}

static void overwrites_of_a_large_value_give_the_old_one_back(void **state)
{
    enum { BLOCK = 128 << 10, PAGE = 4096 };
    static struct world world;
    (void)state;

    world_init(&world, &tables[BY_INT], 1);
    for (int64_t i = 1; i <= 1000; i++) {
        put_buffer(&world, 1, i, BLOCK, (uint8_t)i);
        assert_true(memtable_bytes(world.memtable) < 4 * BLOCK);
    }
    for (int64_t i = 1001; i <= 1000000; i++)
        put_buffer(&world, 1, i, PAGE, (uint8_t)i);
    assert_true(memtable_bytes(world.memtable) < WAITING_BYTES);
    world_release(&world);
}

static void creates_in_a_directory_take_what_their_rows_take(void **state)
{
    enum { CREATES = 1000000 };
    const struct clustering static_clustering = {NULL, 0, KIND_STATIC};
    uint64_t bytes[2];
    (void)state;

    for (int with_static = 0; with_static < 2; with_static++) {
        static struct world world;

        world_init(&world, &tables[BY_INT], 1);
        for (uint32_t i = 0; i < CREATES; i++) {
            uint8_t name[4];
            struct bytes value = bytes_of(name, sizeof(name));

            store_be32(name, i);
            put_number(&world, CLUSTERING_ROW(&value, 1), i);
            if (with_static)
                put_number(&world, static_clustering, i);
        }
        bytes[with_static] = memtable_bytes(world.memtable);
        world_release(&world);
    }
    assert_true(bytes[1] < bytes[0] + WAITING_BYTES);
}

static void pages_of_a_row_stay_in_their_own_records(void **state)
{
    enum { PAGE = 4096, ROUNDS_OF_PAGES = 500 };
    static struct world world;
    const struct unfiltered *unfiltered;
    struct partition_iterator *iterator;
    struct slice all = SLICE_ALL;
    (void)state;

    world_init(&world, &tables[BY_INT], 1);
    put_buffer(&world, 0, 1, PAGE, 0xaa);
    for (int64_t i = 2; i <= ROUNDS_OF_PAGES; i++)
        put_buffer(&world, 1, i, PAGE, (uint8_t)i);
    assert_true(memtable_bytes(world.memtable) < WAITING_BYTES);
    assert_int_equal(memtable_read(world.memtable, &world.keys[0], &all, &iterator), 1);
    assert_int_equal(partition_next(iterator, &unfiltered), 1);
    assert_int_equal(unfiltered->row.cell_count, 2);
    for (unsigned i = 0; i < PAGE; i++) {
        assert_int_equal(unfiltered->row.cells[0].value.data[i], 0xaa);
        assert_int_equal(unfiltered->row.cells[1].value.data[i], (uint8_t)ROUNDS_OF_PAGES);
    }
    partition_close(iterator);
    world_release(&world);
}

static void what_a_reader_has_is_not_used_again_before_it_leaves(void **state)
{
    enum { OVERWRITES = 10000 };
    static struct world world;
    const struct unfiltered *unfiltered;
    struct partition_iterator *iterator;
    struct epoch_slot *slot;
    struct slice all = SLICE_ALL;
    uint64_t bytes;
    (void)state;

    world_init(&world, &tables[BY_INT], 1);
    put_number(&world, world.rows[0], 1);
    slot = epochs_enter(&world.readers);
    assert_int_equal(memtable_read(world.memtable, &world.keys[0], &all, &iterator), 1);
    assert_int_equal(partition_next(iterator, &unfiltered), 1);
    for (uint64_t i = 2; i <= OVERWRITES; i++) {
        put_number(&world, world.rows[0], i);
        assert_int_equal(number_of(&unfiltered->row), 1);
    }
    partition_close(iterator);
    (void)!epochs_leave(&world.readers, slot);
    bytes = memtable_bytes(world.memtable);
    for (uint64_t i = 2; i <= OVERWRITES; i++)
        put_number(&world, world.rows[0], OVERWRITES + i);
    assert_true(memtable_bytes(world.memtable) < bytes + WAITING_BYTES);
    world_release(&world);
}

static void what_a_scan_has_is_not_used_again_before_it_ends(void **state)
{
    enum { OVERWRITES = 10000 };
    static struct world world;
    const struct unfiltered *unfiltered;
    struct partition_scanner *scanner;
    struct partition_iterator *iterator;
    uint64_t bytes;
    (void)state;

    world_init(&world, &tables[BY_INT], 1);
    put_number(&world, world.rows[0], 1);
    assert_int_equal(memtable_scan(world.memtable, INT64_MIN, INT64_MAX, &scanner), 0);
    assert_int_equal(scanner_next(scanner, &iterator), 1);
    assert_int_equal(partition_next(iterator, &unfiltered), 1);
    for (uint64_t i = 2; i <= OVERWRITES; i++) {
        put_number(&world, world.rows[0], i);
        assert_int_equal(number_of(&unfiltered->row), 1);
    }
    scanner_close(scanner);
    bytes = memtable_bytes(world.memtable);
    for (uint64_t i = 2; i <= OVERWRITES; i++)
        put_number(&world, world.rows[0], OVERWRITES + i);
    assert_true(memtable_bytes(world.memtable) < bytes + WAITING_BYTES);
    world_release(&world);
}

/* ---- partitions that are deleted ---- */

static void a_deleted_partition_gives_its_rows_back(void **state)
{
    enum { BLOCK = 128 << 10, BLOCKS = 100 };
    static struct world world;
    struct memtable_stats stats;
    (void)state;

    world_init(&world, &tables[BY_INT], 1);
    for (int round = 0; round < 10; round++) {
        for (int64_t i = 0; i < BLOCKS; i++) {
            uint8_t number[4], *data = calloc(1, BLOCK);
            struct record_memory *memory = record_memory_new(data, BLOCK);
            struct bytes clustering = bytes_of(number, 4);
            struct cell cell = blob_cell(1000 * round + i, bytes_of(data, BLOCK));
            struct row row = one_cell_row(CLUSTERING_ROW(&clustering, 1), &cell);

            assert_true(data && memory);
            store_be32(number, (uint32_t)i);
            assert_int_equal(memtable_apply_row(world.memtable, &world.keys[0], &row, memory), 0);
            record_memory_unref(memory);
        }
        memtable_get_stats(world.memtable, &stats);
        assert_int_equal(stats.rows, BLOCKS);
        assert_int_equal(memtable_delete_partition(world.memtable, &world.keys[0],
                             (struct deletion){1000 * round + BLOCKS, 1000}),
            0);
        memtable_get_stats(world.memtable, &stats);
        assert_int_equal(stats.rows, 0);
        assert_int_equal(stats.partitions, 1);
        /* The next write finds that nobody reads. */
        put_number(&world, (struct clustering){NULL, 0, KIND_STATIC}, 1);
        assert_true(memtable_bytes(world.memtable) < WAITING_BYTES);
    }
    world_release(&world);
}

/* The reader began before the deletion: it is told of each row what the deletion did. */
static void a_reader_beside_a_deletion_sees_it_row_by_row(void **state)
{
    static struct world world;
    const struct unfiltered *unfiltered;
    struct partition_iterator *iterator;
    struct epoch_slot *slot;
    struct deletion deletion = {100, 1000};
    struct slice all = SLICE_ALL;
    (void)state;

    world_init(&world, &tables[BY_INT], 1);
    for (unsigned i = 0; i < 4; i++)
        put_number(&world, world.rows[i], 1);
    slot = epochs_enter(&world.readers);
    assert_int_equal(memtable_read(world.memtable, &world.keys[0], &all, &iterator), 1);
    assert_true(deletion_is_live(iterator->deletion));
    assert_int_equal(partition_next(iterator, &unfiltered), 1);
    assert_int_equal(number_of(&unfiltered->row), 1);
    assert_int_equal(memtable_delete_partition(world.memtable, &world.keys[0], deletion), 0);
    put_number(&world, world.rows[2], 200);

    assert_int_equal(partition_next(iterator, &unfiltered), 1);
    assert_true(same_clustering(&world, &unfiltered->row.clustering, &world.rows[1]));
    assert_deletions_equal(unfiltered->row.deletion, deletion);
    assert_int_equal(unfiltered->row.cell_count, 0);
    assert_int_equal(partition_next(iterator, &unfiltered), 1);
    assert_deletions_equal(unfiltered->row.deletion, deletion);
    assert_int_equal(number_of(&unfiltered->row), 200);
    assert_int_equal(partition_next(iterator, &unfiltered), 1);
    assert_deletions_equal(unfiltered->row.deletion, deletion);
    assert_int_equal(partition_next(iterator, &unfiltered), 0);
    partition_close(iterator);
    (void)!epochs_leave(&world.readers, slot);

    /* Who comes later has it from the partition. */
    assert_int_equal(memtable_read(world.memtable, &world.keys[0], &all, &iterator), 1);
    assert_deletions_equal(iterator->deletion, deletion);
    assert_int_equal(partition_next(iterator, &unfiltered), 1);
    assert_true(deletion_is_live(unfiltered->row.deletion));
    assert_int_equal(number_of(&unfiltered->row), 200);
    assert_int_equal(partition_next(iterator, &unfiltered), 0);
    partition_close(iterator);
    world_release(&world);
}

/* ---- threads ---- */

/*
 * Writers count: writer w writes n to column a and the same n to column b of each of its rows, with
 * timestamp n, and deletes ranges with timestamp 0, which hide nothing; the first deletes
 * partitions as they were some rounds ago, which hides what slower writers wrote. A reader must
 * never see a row whose two cells differ, one that went back, rows out of order, or markers that do
 * not pair.
 */
enum { WRITERS = 3, ROUNDS = 300, ROWS_EACH = 40 };

struct threaded {
    struct world world;
    struct memtable *memtable;
    _Atomic unsigned writers_done;
    _Atomic bool failed;
};

struct writer {
    struct threaded *threaded;
    unsigned number;
};

static void *write_rounds(void *arg)
{
    struct writer *writer = arg;
    struct threaded *threaded = writer->threaded;
    bool ok = true;

    for (uint32_t round = 1; round <= ROUNDS; round++) {
        for (unsigned i = 0; i < ROWS_EACH; i++) {
            uint8_t clustering_bytes[4], next_bytes[4], value[8];
            struct bytes clustering = bytes_of(clustering_bytes, 4), next = bytes_of(next_bytes, 4);
            struct cell cells[2];
            struct slice slice = {{&clustering, 1, KIND_INCL_START}, {&next, 1, KIND_EXCL_END}};
            struct row row;
            const struct decorated_key *key = &threaded->world.keys[i % PARTITIONS];

            store_be32(clustering_bytes, i * WRITERS + writer->number);
            store_be32(next_bytes, i * WRITERS + writer->number + 1);
            store_be64(value, round);
            cells[1] = blob_cell(round, bytes_of(value, 8));
            cells[0] = cells[1];
            cells[0].column = 0;
            row = one_cell_row(CLUSTERING_ROW(&clustering, 1), cells);
            row.cell_count = 2;
            ok = ok && memtable_apply_row(threaded->memtable, key, &row, NULL) == 0;
            if (round == 10)
                ok = ok && memtable_delete_range(threaded->memtable, key, &slice,
                               (struct deletion){0, (int32_t)(1000 + writer->number)}) == 0;
            if (round % 20 == 0 && writer->number == 0)
                ok = ok && memtable_delete_partition(
                               threaded->memtable, key, (struct deletion){round - 15, 1000}) == 0;
        }
    }
    if (!ok)
        atomic_store(&threaded->failed, true);
    atomic_fetch_add(&threaded->writers_done, 1);
    return NULL;
}

static bool partition_is_sound(
    const struct table_schema *schema, struct partition_iterator *iterator, uint64_t *seen)
{
    const struct unfiltered *unfiltered;
    uint8_t last_bytes[4] = {0};
    struct bytes last_value = bytes_of(last_bytes, 4);
    struct clustering last = {&last_value, 0, KIND_INCL_START};
    struct deletion open = DELETION_LIVE;

    while (partition_next(iterator, &unfiltered) > 0) {
        const struct clustering *at =
            unfiltered->is_marker ? &unfiltered->marker.bound : &unfiltered->row.clustering;
        const struct row *row = &unfiltered->row;
        uint32_t number = load_be32(at->values[0].data);

        if (clustering_compare(schema, &last, at) >= 0)
            return false;
        last = (struct clustering){&last_value, 1, at->kind};
        memcpy(last_bytes, at->values[0].data, 4);
        if (unfiltered->is_marker) {
            if (!deletions_equal(unfiltered->marker.closes, open))
                return false;
            open = unfiltered->marker.opens;
            continue;
        }
        if (row->cell_count == 0 && !deletion_is_live(row->deletion))
            continue;
        if (row->cell_count != 2 || !bytes_equal(row->cells[0].value, row->cells[1].value) ||
            load_be64(row->cells[0].value.data) != (uint64_t)row->cells[0].timestamp_us ||
            load_be64(row->cells[0].value.data) < seen[number])
            return false;
        seen[number] = load_be64(row->cells[0].value.data);
    }
    return deletion_is_live(open);
}

static void *read_rounds(void *arg)
{
    struct threaded *threaded = arg;
    const struct table_schema *schema = threaded->world.schema;
    uint64_t seen[ROWS_EACH * WRITERS] = {0};
    struct slice all = SLICE_ALL;
    bool done;

    do {
        struct partition_scanner *scanner;
        struct partition_iterator *iterator;
        bool ok = true;

        done = atomic_load(&threaded->writers_done) == WRITERS;
        for (unsigned i = 0; i < PARTITIONS; i++) {
            struct epoch_slot *slot = epochs_enter(&threaded->world.readers);
            int r = memtable_read(threaded->memtable, &threaded->world.keys[i], &all, &iterator);
            ok = ok && r >= 0 && (r == 0 || partition_is_sound(schema, iterator, seen));
            if (r > 0)
                partition_close(iterator);
            (void)!epochs_leave(&threaded->world.readers, slot);
        }
        ok = ok && memtable_scan(threaded->memtable, INT64_MIN, INT64_MAX, &scanner) == 0;
        if (ok) {
            while (scanner_next(scanner, &iterator) > 0)
                ok = ok && partition_is_sound(schema, iterator, seen);
            scanner_close(scanner);
        }
        for (unsigned i = 0; done && i < ROWS_EACH * WRITERS; i++)
            ok = ok && seen[i] == ROUNDS;
        if (!ok)
            atomic_store(&threaded->failed, true);
    } while (!done && !atomic_load(&threaded->failed));
    return NULL;
}

static void readers_beside_writers_see_whole_rows(void **state)
{
    static struct threaded threaded;
    struct writer writers[WRITERS];
    pthread_t writing[WRITERS], reading[2];
    (void)state;

    world_init(&threaded.world, &tables[BY_INT], 1);
    threaded.memtable = threaded.world.memtable;
    for (size_t i = 0; i < ARRAY_COUNT(reading); i++)
        assert_int_equal(pthread_create(&reading[i], NULL, read_rounds, &threaded), 0);
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){&threaded, i};
        assert_int_equal(pthread_create(&writing[i], NULL, write_rounds, &writers[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_join(writing[i], NULL), 0);
    for (size_t i = 0; i < ARRAY_COUNT(reading); i++)
        assert_int_equal(pthread_join(reading[i], NULL), 0);
    assert_false(atomic_load(&threaded.failed));
    world_release(&threaded.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutations_by_int_read_as_the_model_says),
        cmocka_unit_test(mutations_by_reversed_bigint_read_as_the_model_says),
        cmocka_unit_test(mutations_by_name_read_as_the_model_says),
        cmocka_unit_test(mutations_by_two_columns_read_as_the_model_says),
        cmocka_unit_test(mutations_of_single_rows_read_as_the_model_says),
        cmocka_unit_test(a_record_is_held_and_counted_once),
        cmocka_unit_test(small_values_leave_their_record),
        cmocka_unit_test(a_small_part_of_a_record_does_not_keep_it),
        cmocka_unit_test(an_iterator_keeps_the_memtable),
        cmocka_unit_test(mutations_of_nothing_leave_no_partition),
        cmocka_unit_test(stats_cover_all_that_was_written),
        cmocka_unit_test(many_ascending_range_tombstones_take_memory_in_proportion),
        cmocka_unit_test(tombstones_side_by_side_of_one_deletion_are_one),
        cmocka_unit_test(overwrites_of_a_row_take_no_memory),
        cmocka_unit_test(overwrites_of_a_large_value_give_the_old_one_back),
        cmocka_unit_test(creates_in_a_directory_take_what_their_rows_take),
        cmocka_unit_test(pages_of_a_row_stay_in_their_own_records),
        cmocka_unit_test(what_a_reader_has_is_not_used_again_before_it_leaves),
        cmocka_unit_test(what_a_scan_has_is_not_used_again_before_it_ends),
        cmocka_unit_test(a_deleted_partition_gives_its_rows_back),
        cmocka_unit_test(a_reader_beside_a_deletion_sees_it_row_by_row),
        cmocka_unit_test(readers_beside_writers_see_whole_rows),
    };
    return cmocka_run_group_tests_name("memtable/memtable", tests, NULL, NULL);
}
