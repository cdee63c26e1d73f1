/*
 * Reading of encoded updates. They come from the log, so nothing in them is believed.
 */
#include <errno.h>

#include "engine/assert.h"
#include "engine/coding.h"
#include "engine/error.h"
#include "rows/type.h"
#include "rows/update.h"
#include "rows/update_format.h"

#define US_PER_S 1000000
/* Rows of more cells than that take memory from malloc for them. */
#define STACK_CELLS 32

struct visit {
    const struct table_schema *schema;
    unsigned table;
    struct decorated_key key;
    const struct update_visitor *visitor;
    void *arg;
    int64_t record_timestamp_us;
    int64_t timestamp_us; /* of the mutation at hand */
    struct deletion deletion;

    struct decoder in;
    const uint8_t *encoded;            /* where all updates begin */
    const struct shared_value *shared; /* the one that comes next */
    const struct shared_value *shared_end;
    /* Of the row being read; they grow and are used again. */
    struct cell *cells;      /* on the stack, or `more_cells` */
    struct cell *more_cells; /* from malloc */
    size_t cell_count, cell_capacity;
    struct complex_deletion *complex_deletions;
    size_t complex_deletion_count, complex_deletion_capacity;
};

static int bad(const struct visit *visit, const char *what)
{
    return err_new(-EUCLEAN, "updates of table %u: %s", visit->table, what);
}

static int32_t capped_seconds(int64_t seconds)
{
    return seconds < LOCAL_DELETION_TIME_MAX ? (int32_t)seconds : LOCAL_DELETION_TIME_MAX;
}

/* What follows was written at this time. */
static int set_timestamp(struct visit *visit, int64_t timestamp_us)
{
    int64_t seconds = timestamp_us > 0 ? timestamp_us / US_PER_S : 0;

    if (timestamp_us <= TIMESTAMP_NONE + 1)
        return bad(visit, "an impossible timestamp");
    visit->timestamp_us = timestamp_us;
    visit->deletion = (struct deletion){timestamp_us - 1, capped_seconds(seconds)};
    return 0;
}

/* Room for one more in an array that doubles. */
static int grow(void *array_pointer, size_t count, size_t *capacity, size_t size)
{
    void **array = array_pointer;
    size_t wanted = *capacity ? *capacity * 2 : 16;
    void *grown;

    if (count < *capacity)
        return 0;
    grown = realloc(*array, wanted * size);
    if (!grown)
        return -ENOMEM;
    *array = grown;
    *capacity = wanted;
    return 0;
}

static int grow_cells(struct visit *visit)
{
    size_t wanted = visit->cell_capacity * 2;
    struct cell *grown;

    if (visit->cell_count < visit->cell_capacity)
        return 0;
    grown = realloc(visit->more_cells, wanted * sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    if (!visit->more_cells)
        memcpy(grown, visit->cells, visit->cell_count * sizeof(*grown));
    visit->cells = visit->more_cells = grown;
    visit->cell_capacity = wanted;
    return 0;
}

/* `exact`: a row's, which has all columns. */
static int read_clustering(struct visit *visit, bool exact,
    struct bytes values[CLUSTERING_COLUMNS_MAX], struct clustering *ret)
{
    uint8_t count = get_u8(&visit->in);

    if (count > visit->schema->clustering_count || count > CLUSTERING_COLUMNS_MAX ||
        (exact && count != visit->schema->clustering_count))
        return bad(visit, "clustering columns that the table does not have");
    for (unsigned i = 0; i < count; i++) {
        values[i] = get_vbytes(&visit->in);
        if (values[i].size > UPDATE_CLUSTERING_BYTES_MAX ||
            !value_width_is_valid(visit->schema->clustering[i].type, values[i].size))
            return bad(visit, "a clustering value of a wrong length");
    }
    if (decoder_failed(&visit->in))
        return bad(visit, "a clustering is cut off");
    ret->values = values;
    ret->count = count;
    return 0;
}

static int visit_range(struct visit *visit)
{
    struct bytes start_values[CLUSTERING_COLUMNS_MAX], end_values[CLUSTERING_COLUMNS_MAX];
    struct slice slice;
    int r;

    slice.start.kind = get_u8(&visit->in);
    r = read_clustering(visit, false, start_values, &slice.start);
    if (r < 0)
        return r;
    slice.end.kind = get_u8(&visit->in);
    r = read_clustering(visit, false, end_values, &slice.end);
    if (r < 0)
        return r;
    if ((slice.start.kind != KIND_INCL_START && slice.start.kind != KIND_EXCL_START) ||
        (slice.end.kind != KIND_INCL_END && slice.end.kind != KIND_EXCL_END) ||
        visit->schema->clustering_count == 0 ||
        clustering_compare(visit->schema, &slice.start, &slice.end) >= 0)
        return bad(visit, "a range tombstone with impossible bounds");
    if (!visit->visitor->range_tombstone)
        return 0;
    return visit->visitor->range_tombstone(
        visit->arg, visit->table, &visit->key, &slice, visit->deletion);
}

static int visit_row_deletion(struct visit *visit)
{
    struct bytes values[CLUSTERING_COLUMNS_MAX];
    struct row row = {
        .clustering.kind = KIND_ROW, .liveness = LIVENESS_NONE, .deletion = visit->deletion};
    int r = read_clustering(visit, true, values, &row.clustering);

    if (r < 0)
        return r;
    if (!visit->visitor->row)
        return 0;
    return visit->visitor->row(visit->arg, visit->table, &visit->key, &row);
}

/* What was read last of the row, to see that the items ascend. */
struct item_place {
    bool any;
    bool had_path;
    unsigned column;
    struct bytes path;
};

static bool ascends(
    const struct item_place *last, const struct item_place *now, const struct type *type)
{
    if (!last->any || last->column < now->column)
        return true;
    /* Within a column: a complex deletion (which has no path), then paths. */
    if (last->column > now->column || !now->had_path)
        return false;
    return !last->had_path || type_compare(type_path(type), last->path, now->path) < 0;
}

/* The value's bytes, which are not in the input if they are shared. */
static struct bytes read_value(struct visit *visit)
{
    uint64_t size;

    if (visit->shared == visit->shared_end)
        return get_vbytes(&visit->in);
    size = get_uvint(&visit->in);
    if (!decoder_failed(&visit->in) &&
        (size_t)(visit->in.at - visit->encoded) == visit->shared->at) {
        ASSERT(size == visit->shared->value.size);
        return visit->shared++->value;
    }
    return get_bytes(&visit->in, (size_t)size);
}

/* How long something lives, and when it expires. */
static int read_ttl(struct visit *visit, int32_t *ret_ttl_s, int32_t *ret_expiry_s)
{
    uint64_t ttl_s = get_uvint(&visit->in);

    if (!decoder_failed(&visit->in) && (ttl_s == 0 || ttl_s > TTL_MAX_S))
        return bad(visit, "an impossible ttl");
    *ret_ttl_s = (int32_t)ttl_s;
    *ret_expiry_s = capped_seconds(visit->deletion.local_deletion_time_s + (int64_t)ttl_s);
    return 0;
}

static int read_cell(struct visit *visit, const struct type *type, unsigned column,
    enum item_type item, struct item_place *now)
{
    bool tombstone = item == ITEM_TOMBSTONE;
    struct cell *cell;
    int r = grow_cells(visit);

    if (r < 0)
        return r;
    cell = &visit->cells[visit->cell_count++];
    *cell = (struct cell){
        .timestamp_us = tombstone ? visit->deletion.marked_for_delete_at_us : visit->timestamp_us,
        .local_deletion_time_s =
            tombstone ? visit->deletion.local_deletion_time_s : LOCAL_DELETION_TIME_NONE,
        .column = (uint16_t)column,
    };
    if (item == ITEM_EXPIRING) {
        r = read_ttl(visit, &cell->ttl_s, &cell->local_deletion_time_s);
        if (r < 0)
            return r;
    }
    if (type_is_complex(type)) {
        cell->path = get_vbytes(&visit->in);
        now->had_path = true;
        now->path = cell->path;
    }
    if (tombstone)
        return 0;
    cell->value = read_value(visit);
    if (!value_width_is_valid(type, cell->value.size))
        return bad(visit, "a value of a wrong length");
    return 0;
}

static int read_item(struct visit *visit, uint64_t header, const struct column *columns,
    unsigned column_count, struct item_place *last)
{
    uint64_t column = header >> ITEM_TYPE_BITS;
    unsigned type = (unsigned)(header & ITEM_TYPE_MASK);
    struct item_place now = {.any = true};
    int r;

    if (column >= column_count || column > UINT16_MAX)
        return bad(visit, "a column that the table does not have");
    now.column = (unsigned)column;
    switch (type) {
    case ITEM_VALUE:
    case ITEM_TOMBSTONE:
    case ITEM_EXPIRING:
        r = read_cell(visit, columns[column].type, now.column, (enum item_type)type, &now);
        break;
    case ITEM_COMPLEX_DELETION:
        if (!type_is_complex(columns[column].type))
            return bad(visit, "a complex deletion of a simple column");
        r = grow(&visit->complex_deletions, visit->complex_deletion_count,
            &visit->complex_deletion_capacity, sizeof(*visit->complex_deletions));
        if (r == 0)
            visit->complex_deletions[visit->complex_deletion_count++] =
                (struct complex_deletion){now.column & UINT16_MAX, visit->deletion};
        break;
    default:
        return bad(visit, "an unknown item");
    }
    if (r < 0)
        return r;
    if (decoder_failed(&visit->in))
        return bad(visit, "a row is cut off");
    if (!ascends(last, &now, columns[column].type))
        return bad(visit, "cells out of order");
    *last = now;
    return 0;
}

static int visit_row(struct visit *visit, enum mutation_code code)
{
    bool is_static = code == MUTATION_STATIC_ROW;
    const struct column *columns = is_static ? visit->schema->statics : visit->schema->regulars;
    unsigned count = is_static ? visit->schema->static_count : visit->schema->regular_count;
    struct bytes values[CLUSTERING_COLUMNS_MAX];
    struct row row = {.clustering.kind = is_static ? KIND_STATIC : KIND_ROW,
        .liveness = LIVENESS_NONE,
        .deletion = DELETION_LIVE};
    struct item_place last = {.any = false};
    uint64_t header;
    int r;

    if (code == MUTATION_ROW_INSERT_EXPIRING) {
        r = read_ttl(visit, &row.liveness.ttl_s, &row.liveness.local_deletion_time_s);
        if (r < 0)
            return r;
    }
    if (!is_static) {
        r = read_clustering(visit, true, values, &row.clustering);
        if (r < 0)
            return r;
    }
    visit->cell_count = 0;
    visit->complex_deletion_count = 0;
    while ((header = get_uvint(&visit->in)) != 0) {
        r = read_item(visit, header - 1, columns, count, &last);
        if (r < 0)
            return r;
    }
    if (decoder_failed(&visit->in))
        return bad(visit, "a row is cut off");
    if (code == MUTATION_ROW_INSERT || code == MUTATION_ROW_INSERT_EXPIRING)
        row.liveness.timestamp_us = visit->timestamp_us;
    else if (!last.any)
        return bad(visit, "a row of nothing");
    row.cells = visit->cells;
    row.cell_count = (uint32_t)visit->cell_count;
    row.complex_deletions = visit->complex_deletions;
    row.complex_deletion_count = (uint32_t)visit->complex_deletion_count;
    if (!visit->visitor->row)
        return 0;
    return visit->visitor->row(visit->arg, visit->table, &visit->key, &row);
}

static int visit_mutation(struct visit *visit)
{
    uint8_t code = get_u8(&visit->in);

    switch (code) {
    case MUTATION_PARTITION_DELETION:
        if (!visit->visitor->partition_deletion)
            return 0;
        return visit->visitor->partition_deletion(
            visit->arg, visit->table, &visit->key, visit->deletion);
    case MUTATION_RANGE:
        return visit_range(visit);
    case MUTATION_ROW_DELETION:
        return visit_row_deletion(visit);
    case MUTATION_ROW:
    case MUTATION_ROW_INSERT:
    case MUTATION_STATIC_ROW:
    case MUTATION_ROW_INSERT_EXPIRING:
        return visit_row(visit, (enum mutation_code)code);
    case MUTATION_TIMESTAMP:
        return set_timestamp(visit, get_svint(&visit->in));
    default:
        return bad(visit, "an unknown mutation");
    }
}

static int visit_body(struct visit *visit)
{
    struct bytes key = get_vbytes(&visit->in);
    int r;

    if (decoder_failed(&visit->in) || key.size == 0 || key.size > UPDATE_KEY_BYTES_MAX)
        return bad(visit, "a partition key of a wrong length");
    if (visit->schema->partition_key_count == 1 &&
        !value_width_is_valid(visit->schema->partition_key[0].type, key.size))
        return bad(visit, "a partition key of a wrong length");
    visit->key = decorated_key_of(key);
    if (decoder_left(&visit->in) == 0)
        return bad(visit, "an update without mutations");
    r = set_timestamp(visit, visit->record_timestamp_us);
    while (r == 0 && decoder_left(&visit->in) > 0)
        r = visit_mutation(visit);
    return r;
}

/* What is encoded of a body, whose size counts the values that are shared. */
static struct bytes get_body(const struct visit *visit, struct decoder *in)
{
    size_t size = get_le32(in);
    size_t start = (size_t)(in->at - visit->encoded);

    for (const struct shared_value *each = visit->shared; each < visit->shared_end; each++) {
        if (size < each->value.size || each->at > start + size - each->value.size)
            break;
        size -= each->value.size;
    }
    return get_bytes(in, size);
}

/* Those before the end of the body, of which not all may have been looked at. */
static void pass_shared(struct visit *visit, struct bytes body)
{
    size_t end = (size_t)(body.data + body.size - visit->encoded);

    while (visit->shared < visit->shared_end && visit->shared->at < end)
        visit->shared++;
}

int batch_visit(const struct table_schema *schemas, unsigned table_count,
    const struct updates *updates, unsigned update_count, int64_t timestamp_us, uint64_t wanted,
    const struct update_visitor *visitor, void *arg)
{
    struct decoder in = decoder_of(updates->encoded);
    struct cell cells[STACK_CELLS];
    struct visit visit = {.visitor = visitor,
        .arg = arg,
        .record_timestamp_us = timestamp_us,
        .encoded = updates->encoded.data,
        .shared = updates->shared,
        .shared_end = updates->shared + updates->shared_count,
        .cells = cells,
        .cell_capacity = STACK_CELLS};
    int r = 0;

    ASSERT(table_count <= UPDATE_TABLES_MAX);
    for (unsigned i = 0; i < update_count && r == 0; i++) {
        struct bytes body;

        visit.table = get_u8(&in);
        body = get_body(&visit, &in);
        if (decoder_failed(&in))
            r = bad(&visit, "cut off");
        else if (visit.table >= table_count)
            r = bad(&visit, "there is no such table");
        else if (wanted >> visit.table & 1) {
            visit.schema = &schemas[visit.table];
            visit.in = decoder_of(body);
            r = visit_body(&visit);
        }
        if (r == 0)
            pass_shared(&visit, body);
    }
    if (r == 0 && decoder_left(&in) > 0)
        r = bad(&visit, "bytes after the last one");
    free(visit.more_cells);
    free(visit.complex_deletions);
    return r;
}
