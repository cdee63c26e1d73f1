#include "memtable/partition.h"

#include <errno.h>

#include "memtable/clustering_copy.h"
#include "rows/compare.h"
#include "rows/reconcile.h"

/* ---- keys ---- */

static int compare_partition(const struct skiplist_key *key, const struct skiplist_node *node)
{
    return decorated_key_compare(key->value, &partition_of(node)->key);
}

struct skiplist_key partition_key(const struct decorated_key *key)
{
    return (struct skiplist_key){
        .prefix = (uint64_t)key->token ^ (1ull << 63),
        .compare = compare_partition,
        .value = key,
    };
}

static int compare_row(const struct skiplist_key *key, const struct skiplist_node *node)
{
    return clustering_compare(key->context, key->value, &row_node_of(node)->clustering);
}

struct skiplist_key row_key(const struct table_schema *schema, const struct clustering *clustering)
{
    return (struct skiplist_key){
        .prefix = clustering_prefix(schema, clustering),
        .compare = compare_row,
        .value = clustering,
        .context = schema,
    };
}

bool row_node_is_before(const struct row_node *node, const struct skiplist_key *bound)
{
    if (node->node.prefix != bound->prefix)
        return node->node.prefix < bound->prefix;
    return compare_row(bound, &node->node) > 0;
}

int partition_get(struct skiplist *list, const struct decorated_key *key, struct arena *arena,
    struct memtable_partition **ret_partition)
{
    struct skiplist_key sought = partition_key(key);
    struct memtable_partition *partition;
    struct skiplist_place place;
    struct skiplist_node *node;
    unsigned height;
    int r;

    r = skiplist_locate(list, arena, &sought, &place, &node);
    if (r < 0)
        return r;
    if (r > 0) {
        *ret_partition = partition_of(node);
        return 0;
    }
    height = skiplist_draw_height(list);
    partition = arena_alloc(arena, sizeof(*partition) + skiplist_node_extra_bytes(height));
    if (!partition)
        return -ENOMEM;
    partition->key = (struct decorated_key){key->token, arena_copy(arena, key->key)};
    if (!partition->key.key.data)
        return -ENOMEM;
    atomic_init(&partition->deletion, NULL);
    atomic_init(&partition->static_row, NULL);
    atomic_init(&partition->ranges, NULL);
    skiplist_init(&partition->rows);
    partition->node.prefix = sought.prefix;
    skiplist_insert(list, &place, &partition->node, height);
    *ret_partition = partition;
    return 1;
}

/* ---- deletions ---- */

int partition_delete(struct memtable_partition *partition, const struct partition_writer *writer,
    struct deletion deletion)
{
    const struct deletion *old = atomic_load_explicit(&partition->deletion, memory_order_relaxed);
    struct deletion *copy;

    if (old && !deletion_supersedes(deletion, *old))
        return 0;
    copy = arena_alloc(writer->arena, sizeof(*copy));
    if (!copy)
        return -ENOMEM;
    *copy = deletion;
    atomic_store_explicit(&partition->deletion, copy, memory_order_release);
    return 0;
}

int partition_delete_range(struct memtable_partition *partition,
    const struct partition_writer *writer, const struct slice *slice, struct deletion deletion)
{
    struct range_tombstones *old = atomic_load_explicit(&partition->ranges, memory_order_relaxed);
    struct range_tombstones *list =
        range_tombstones_add(writer->schema, old, slice, deletion, writer->arena);

    if (!list)
        return -ENOMEM;
    if (list != old)
        atomic_store_explicit(&partition->ranges, list, memory_order_release);
    return 0;
}

/* ---- rows ---- */

static bool is_copied(struct bytes bytes, bool copy_all)
{
    return copy_all || bytes.size <= MEMTABLE_COPIED_BYTES_MAX;
}

static struct bytes copy_packed(struct bytes bytes, bool copy_all, uint8_t **at)
{
    uint8_t *to = *at;

    if (!bytes.data || !is_copied(bytes, copy_all))
        return bytes;
    if (bytes.size > 0)
        memcpy(to, bytes.data, bytes.size);
    *at += bytes.size;
    return bytes_of(to, bytes.size);
}

/* The row with its values where they may stay; the array of cells is in scratch. */
static bool copy_values(const struct partition_writer *writer, const struct row *row, bool copy_all,
    struct row *ret_row)
{
    struct cell *cells;
    size_t bytes = 0;
    uint8_t *at;

    *ret_row = *row;
    if (row->cell_count == 0)
        return true;
    for (uint32_t i = 0; i < row->cell_count; i++) {
        const struct cell *cell = &row->cells[i];

        bytes += is_copied(cell->path, copy_all) ? cell->path.size : 0;
        bytes += is_copied(cell->value, copy_all) ? cell->value.size : 0;
    }
    cells = arena_alloc(writer->scratch, row->cell_count * sizeof(*cells));
    at = arena_alloc(writer->arena, bytes);
    if (!cells || !at)
        return false;
    for (uint32_t i = 0; i < row->cell_count; i++) {
        cells[i] = row->cells[i];
        cells[i].path = copy_packed(cells[i].path, copy_all, &at);
        cells[i].value = copy_packed(cells[i].value, copy_all, &at);
    }
    ret_row->cells = cells;
    return true;
}

static int64_t min_timestamp(const struct row *row)
{
    int64_t min = INT64_MAX;

    if (row->liveness.timestamp_us != TIMESTAMP_NONE)
        min = row->liveness.timestamp_us;
    if (!deletion_is_live(row->deletion) && row->deletion.marked_for_delete_at_us < min)
        min = row->deletion.marked_for_delete_at_us;
    for (uint32_t i = 0; i < row->complex_deletion_count; i++) {
        int64_t timestamp_us = row->complex_deletions[i].deletion.marked_for_delete_at_us;
        min = timestamp_us < min ? timestamp_us : min;
    }
    for (uint32_t i = 0; i < row->cell_count; i++)
        min = row->cells[i].timestamp_us < min ? row->cells[i].timestamp_us : min;
    return min;
}

/* A version of its own memory, out of a row whose arrays are in scratch. */
static const struct row_version *seal(struct arena *arena, const struct row *row)
{
    size_t cells_bytes = row->cell_count * sizeof(*row->cells);
    size_t deletions_bytes = row->complex_deletion_count * sizeof(*row->complex_deletions);
    struct row_version *version =
        arena_alloc(arena, sizeof(*version) + cells_bytes + deletions_bytes);
    uint8_t *at = (uint8_t *)(version + 1);

    if (!version)
        return NULL;
    version->row = *row;
    version->row.cells = NULL;
    version->row.complex_deletions = NULL;
    if (cells_bytes > 0)
        version->row.cells = memcpy(at, row->cells, cells_bytes);
    if (deletions_bytes > 0)
        version->row.complex_deletions =
            memcpy(at + cells_bytes, row->complex_deletions, deletions_bytes);
    version->min_timestamp_us = min_timestamp(row);
    return version;
}

/* `old` (or NULL) and `row` as one sealed version: 1, or 0 when that is nothing, or -ENOMEM. */
static int make_version(const struct partition_writer *writer, const struct column *columns,
    const struct row_version *old, const struct row *row, const struct clustering *clustering,
    const struct row_version **ret_version)
{
    const struct row *versions[2] = {row, old ? &old->row : NULL};
    const struct row_version *version;
    struct row merged;
    int r;

    r = row_merge(columns, versions, old ? 2 : 1, DELETION_LIVE, writer->scratch, &merged);
    if (r <= 0)
        return r;
    merged.clustering = *clustering;
    version = seal(writer->arena, &merged);
    if (!version)
        return -ENOMEM;
    *ret_version = version;
    return 1;
}

static int apply_static(struct memtable_partition *partition, const struct partition_writer *writer,
    const struct row *row)
{
    static const struct clustering clustering = {NULL, 0, KIND_STATIC};
    const struct row_version *old =
        atomic_load_explicit(&partition->static_row, memory_order_relaxed);
    const struct row_version *version;
    int r;

    r = make_version(writer, writer->schema->statics, old, row, &clustering, &version);
    if (r <= 0)
        return r;
    atomic_store_explicit(&partition->static_row, version, memory_order_release);
    return 0;
}

static int insert_row(struct memtable_partition *partition, const struct partition_writer *writer,
    const struct row *row, uint64_t prefix, const struct skiplist_place *place)
{
    unsigned height = skiplist_draw_height(&partition->rows);
    const struct row_version *version;
    struct row_node *node;
    int r;

    node = arena_alloc(writer->arena, sizeof(*node) + skiplist_node_extra_bytes(height));
    if (!node || !clustering_copy(writer->arena, &row->clustering, &node->clustering))
        return -ENOMEM;
    r = make_version(writer, writer->schema->regulars, NULL, row, &node->clustering, &version);
    if (r <= 0)
        return r;
    atomic_init(&node->version, version);
    node->node.prefix = prefix;
    skiplist_insert(&partition->rows, place, &node->node, height);
    return 1;
}

int partition_apply_row(struct memtable_partition *partition, const struct partition_writer *writer,
    const struct row *row, bool copy_all)
{
    const struct row_version *old, *version;
    struct skiplist_place place;
    struct skiplist_node *found;
    struct skiplist_key key;
    struct row_node *node;
    struct row own;
    int r;

    if (!copy_values(writer, row, copy_all, &own))
        return -ENOMEM;
    if (row->clustering.kind == KIND_STATIC)
        return apply_static(partition, writer, &own);

    key = row_key(writer->schema, &row->clustering);
    r = skiplist_locate(&partition->rows, writer->arena, &key, &place, &found);
    if (r < 0)
        return r;
    if (r == 0)
        return insert_row(partition, writer, &own, key.prefix, &place);
    node = row_node_of(found);
    old = atomic_load_explicit(&node->version, memory_order_relaxed);
    r = make_version(writer, writer->schema->regulars, old, &own, &node->clustering, &version);
    if (r <= 0)
        return r;
    atomic_store_explicit(&node->version, version, memory_order_release);
    return 0;
}
