#include "memtable/partition.h"

#include <errno.h>

#include "memtable/clustering_copy.h"
#include "rows/compare.h"
#include "rows/reconcile.h"

/* ---- keys ---- */

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

struct memtable_partition *partition_new(const struct decorated_key *key, struct arena *arena)
{
    struct memtable_partition *partition = arena_alloc(arena, sizeof(*partition) + key->key.size);

    if (!partition)
        return NULL;
    memcpy(partition + 1, key->key.data, key->key.size);
    partition->key = (struct decorated_key){key->token, bytes_of(partition + 1, key->key.size)};
    atomic_init(&partition->deletion, NULL);
    atomic_init(&partition->static_row, NULL);
    atomic_init(&partition->ranges, NULL);
    atomic_init(&partition->next, NULL);
    skiplist_init(&partition->rows);
    return partition;
}

bool partition_is_empty(const struct memtable_partition *partition)
{
    return !atomic_load_explicit(&partition->deletion, memory_order_acquire) &&
           !atomic_load_explicit(&partition->static_row, memory_order_acquire) &&
           !atomic_load_explicit(&partition->ranges, memory_order_acquire) &&
           !skiplist_first(&partition->rows);
}

/* ---- deletions ---- */

/*
 * Rows that the deletion hides whole. A reader that came before the deletion was published finds no
 * version, and then the deletion (iterator.c): what lies below in SSTables never shows through.
 */
static uint64_t drop_rows(const struct memtable_partition *partition,
    const struct partition_writer *writer, struct deletion deletion)
{
    uint64_t dropped = 0;

    for (struct skiplist_node *at = skiplist_first(&partition->rows); at; at = skiplist_next(at)) {
        struct row_node *node = row_node_of(at);
        const struct row_version *version =
            atomic_load_explicit(&node->version, memory_order_relaxed);

        if (!version || version->max_timestamp_us >= deletion.marked_for_delete_at_us)
            continue;
        atomic_store_explicit(&node->version, NULL, memory_order_release);
        version_retire(writer->versions, version);
        dropped++;
    }
    return dropped;
}

int partition_delete(struct memtable_partition *partition, const struct partition_writer *writer,
    struct deletion deletion, uint64_t *ret_dropped)
{
    const struct deletion *old = atomic_load_explicit(&partition->deletion, memory_order_relaxed);
    struct deletion *copy;

    *ret_dropped = 0;
    if (old && !deletion_supersedes(deletion, *old))
        return 0;
    copy = arena_alloc(writer->arena, sizeof(*copy));
    if (!copy)
        return -ENOMEM;
    *copy = deletion;
    atomic_store_explicit(&partition->deletion, copy, memory_order_release);
    *ret_dropped = drop_rows(partition, writer, deletion);
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

/* What a writer makes a version of. */
struct change {
    const struct column *columns;
    const struct row *row;
    struct record_memory *memory;
    const struct row_version *old; /* NULL: there is none */
};

/* Old and new as one version: 1, or 0 when that is nothing, or -ENOMEM. Its clustering is still to
 * be set. */
static int make_version(const struct partition_writer *writer, const struct change *change,
    struct row_version **ret_version)
{
    const struct row *rows[2] = {change->row, change->old ? &change->old->row : NULL};
    struct row merged;
    int r;

    r = row_merge(
        change->columns, rows, change->old ? 2 : 1, DELETION_LIVE, writer->scratch, &merged);
    if (r <= 0)
        return r;
    *ret_version =
        version_new(writer->versions, &merged, change->memory, change->old, writer->scratch);
    return *ret_version ? 1 : -ENOMEM;
}

/* Makes the version of what is at `at` now with the change in it, and publishes it: 1 if nothing
 * was there, 0, -ENOMEM. */
static int replace(const struct partition_writer *writer, _Atomic(const struct row_version *) *at,
    struct change *change, const struct clustering *clustering)
{
    struct row_version *version;
    int r;

    change->old = atomic_load_explicit(at, memory_order_relaxed);
    r = make_version(writer, change, &version);
    if (r <= 0)
        return r;
    version->row.clustering = *clustering;
    atomic_store_explicit(at, version, memory_order_release);
    version_retire(writer->versions, change->old);
    return change->old ? 0 : 1;
}

static int insert_row(struct memtable_partition *partition, const struct partition_writer *writer,
    const struct change *change, uint64_t prefix, const struct skiplist_place *place)
{
    unsigned height = skiplist_draw_height(&partition->rows);
    struct row_version *version;
    struct row_node *node;
    int r;

    r = make_version(writer, change, &version);
    if (r <= 0)
        return r;
    node = arena_alloc(writer->arena, sizeof(*node) + skiplist_node_extra_bytes(height));
    if (!node || !clustering_copy(writer->arena, &change->row->clustering, &node->clustering)) {
        version_retire(writer->versions, version);
        return -ENOMEM;
    }
    version->row.clustering = node->clustering;
    atomic_init(&node->version, version);
    node->node.prefix = prefix;
    skiplist_insert(&partition->rows, place, &node->node, height);
    return 1;
}

/* A row that was there. One that the partition's deletion took brings that along, for readers who
 * came before it. */
static int replace_row(const struct memtable_partition *partition,
    const struct partition_writer *writer, struct change *change, struct row_node *node)
{
    struct row row = *change->row;

    if (!atomic_load_explicit(&node->version, memory_order_relaxed)) {
        row.deletion = deletion_newest(
            row.deletion, *atomic_load_explicit(&partition->deletion, memory_order_relaxed));
        change->row = &row;
    }
    return replace(writer, &node->version, change, &node->clustering);
}

int partition_apply_row(struct memtable_partition *partition, const struct partition_writer *writer,
    const struct row *row, struct record_memory *memory)
{
    static const struct clustering static_clustering = {NULL, 0, KIND_STATIC};
    struct change change = {writer->schema->regulars, row, memory, NULL};
    struct skiplist_place place;
    struct skiplist_node *found;
    struct skiplist_key key;
    int r;

    if (row->clustering.kind == KIND_STATIC) {
        change.columns = writer->schema->statics;
        r = replace(writer, &partition->static_row, &change, &static_clustering);
        return r < 0 ? r : 0;
    }
    key = row_key(writer->schema, &row->clustering);
    r = skiplist_locate(&partition->rows, writer->arena, &key, &place, &found);
    if (r < 0)
        return r;
    if (r == 0)
        return insert_row(partition, writer, &change, key.prefix, &place);
    return replace_row(partition, writer, &change, row_node_of(found));
}

/* ---- one row ---- */

static struct deletion deletion_of(const struct memtable_partition *partition)
{
    const struct deletion *deletion =
        atomic_load_explicit(&partition->deletion, memory_order_acquire);

    return deletion ? *deletion : DELETION_LIVE;
}

/* That of the range tombstone which the row lies in. */
static struct deletion deletion_at(const struct memtable_partition *partition,
    const struct table_schema *schema, const struct clustering *clustering)
{
    struct range_tombstones *ranges =
        atomic_load_explicit(&partition->ranges, memory_order_acquire);
    uint32_t count, place;

    if (!ranges)
        return DELETION_LIVE;
    count = atomic_load_explicit(&ranges->count, memory_order_acquire);
    place = range_tombstones_seek(schema, ranges->pieces, count, clustering);
    if (place == count ||
        clustering_compare(schema, &ranges->pieces[place].slice.start, clustering) > 0)
        return DELETION_LIVE;
    return ranges->pieces[place].deletion;
}

static const struct row_node *find_node(const struct memtable_partition *partition,
    const struct table_schema *schema, const struct clustering *clustering)
{
    struct skiplist_key key = row_key(schema, clustering);
    const struct skiplist_node *node = skiplist_seek(&partition->rows, &key);

    if (!node || clustering_compare(schema, &row_node_of(node)->clustering, clustering) != 0)
        return NULL;
    return row_node_of(node);
}

void partition_get_row(const struct memtable_partition *partition,
    const struct table_schema *schema, const struct clustering *clustering,
    const struct row **ret_row, struct deletion *ret_deletion)
{
    const struct row_version *version = NULL;
    const struct row_node *node = NULL;

    *ret_deletion = deletion_of(partition);
    if (clustering) {
        *ret_deletion = deletion_newest(*ret_deletion, deletion_at(partition, schema, clustering));
        node = find_node(partition, schema, clustering);
        if (node)
            version = atomic_load_explicit(&node->version, memory_order_acquire);
    } else {
        version = atomic_load_explicit(&partition->static_row, memory_order_acquire);
    }
    /* A deletion of the partition took it, maybe after this reader had asked for that. */
    if (node && !version)
        *ret_deletion = deletion_newest(*ret_deletion, deletion_of(partition));
    *ret_row = version ? &version->row : NULL;
}
