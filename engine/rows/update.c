/*
 * Building of batches. Cells are encoded as they come; where a row ends its items are looked at,
 * and only if they came out of order are they moved to their places.
 */
#include "rows/update.h"

#include <errno.h>

#include "engine/assert.h"
#include "engine/coding.h"
#include "engine/error.h"
#include "rows/type.h"
#include "rows/update_format.h"

#define NO_OFFSET SIZE_MAX
/* Memory beyond the encoded bytes that a memtable may keep alive, as a share of them. */
#define SLACK_SHARE 4
/* No memtable keeps a record that is smaller: it has no value that is large. */
#define KEPT_BYTES_MIN 1024u
/* Rows of more cells than that take memory of their own for them. */
#define OWN_ITEMS 32u

/* Offsets and sizes are in the buffer, which holds BATCH_BYTES_MAX and not much more. */
struct item {
    uint32_t start;
    uint32_t size;
    uint32_t path; /* of the path's bytes */
    uint32_t path_size;
    uint16_t column;
    uint8_t type;
};

struct batch {
    const struct table_schema *schemas;
    unsigned table_count;
    int error;
    bool finished;

    struct buf out;
    unsigned update_count; /* ended ones */
    uint64_t tables;

    /* The update being built. */
    size_t update; /* its offset, or NO_OFFSET */
    unsigned table;
    size_t key, key_size;
    unsigned mutations; /* in it, an unfinished row not counted */

    int64_t timestamp_us; /* of what is put; TIMESTAMP_NONE: the log's */
    int64_t stated_us;    /* the same, as the update says it so far */
    int32_t ttl_s;        /* of what is put; 0: none */

    /* The row being built. */
    size_t row;            /* offset of its code, or NO_OFFSET */
    bool row_stands_alone; /* is one without items */
    const struct column *columns;
    unsigned column_count;
    struct item *items; /* `own_items`, or from malloc */
    unsigned item_count, item_capacity;
    bool items_disordered;
    struct buf sorted; /* scratch */

    struct batch_span *spans; /* of large rows */
    unsigned span_count, span_capacity;

    struct shared_value *shared;
    unsigned shared_count, shared_capacity;
    /* Bytes of them: of all, and of those before the update and before the row being built. */
    size_t shared_bytes, update_shared_bytes, row_shared_bytes;

    struct record_memory *memory; /* made beforehand, so that handing over cannot fail */
    struct batch_reservation reservation;
    struct item own_items[OWN_ITEMS]; /* last: they are not zeroed */
};

struct batch_reservation *batch_reservation(struct batch *batch)
{
    return &batch->reservation;
}

void batch_expect(struct batch *batch, size_t bytes)
{
    buf_reserve(&batch->out, bytes < BATCH_BYTES_MAX ? bytes : BATCH_BYTES_MAX);
}

struct batch *batch_new(const struct table_schema *schemas, unsigned table_count)
{
    struct batch *batch;

    ASSERT(table_count <= UPDATE_TABLES_MAX);
    batch = malloc(sizeof(*batch));
    if (!batch)
        return NULL;
    memset(batch, 0, offsetof(struct batch, own_items));
    batch->memory = record_memory_new(NULL, 0);
    if (!batch->memory) {
        free(batch);
        return NULL;
    }
    batch->schemas = schemas;
    batch->table_count = table_count;
    batch->update = NO_OFFSET;
    batch->row = NO_OFFSET;
    batch->timestamp_us = TIMESTAMP_NONE;
    batch->items = batch->own_items;
    batch->item_capacity = OWN_ITEMS;
    return batch;
}

void batch_free(struct batch *batch)
{
    if (!batch)
        return;
    record_memory_unref(batch->memory);
    buf_release(&batch->out);
    buf_release(&batch->sorted);
    free(batch->spans);
    free(batch->shared);
    if (batch->items != batch->own_items)
        free(batch->items);
    free(batch);
}

/* ---- limits and errors ---- */

/* Whether `more` bytes may still be added; if not, the batch has failed. */
static bool has_room(struct batch *batch, size_t more)
{
    if (batch->error < 0)
        return false;
    if (batch->out.error < 0)
        batch->error = batch->out.error;
    else if (more > BATCH_BYTES_MAX || batch_bytes(batch) > BATCH_BYTES_MAX - more)
        batch->error = -EFBIG;
    return batch->error == 0;
}

static void put_clustering(struct batch *batch, const struct clustering *clustering)
{
    const struct table_schema *schema = &batch->schemas[batch->table];

    ASSERT(clustering->count <= schema->clustering_count);
    buf_append_u8(&batch->out, clustering->count);
    for (unsigned i = 0; i < clustering->count; i++) {
        ASSERT(clustering->values[i].size <= UPDATE_CLUSTERING_BYTES_MAX);
        ASSERT(value_width_is_valid(schema->clustering[i].type, clustering->values[i].size));
        put_vbytes(&batch->out, clustering->values[i]);
    }
}

static size_t clustering_size(const struct clustering *clustering)
{
    size_t size = 0;

    for (unsigned i = 0; i < clustering->count; i++)
        size += clustering->values[i].size;
    return size;
}

/* ---- rows ---- */

static int item_order(const struct batch *batch, const struct item *a, const struct item *b)
{
    const struct type *type;

    if (a->column != b->column)
        return a->column < b->column ? -1 : 1;
    if (a->type == ITEM_COMPLEX_DELETION || b->type == ITEM_COMPLEX_DELETION)
        return (b->type == ITEM_COMPLEX_DELETION) - (a->type == ITEM_COMPLEX_DELETION);
    type = batch->columns[a->column].type;
    if (!type_is_complex(type))
        return 0;
    return type_compare(type_path(type), bytes_of(batch->out.data + a->path, a->path_size),
        bytes_of(batch->out.data + b->path, b->path_size));
}

static int item_order_for_sort(const void *a, const void *b, void *batch)
{
    const struct item *x = a, *y = b;
    int r = item_order(batch, x, y);

    /* Twice the same cell: which of the two would be true? */
    ASSERT(r != 0 || x->start == y->start);
    return r;
}

static void sort_items(struct batch *batch)
{
    size_t first = batch->items[0].start, end = batch->out.size;

    ASSERT(batch->shared_bytes == batch->row_shared_bytes);
    qsort_r(batch->items, batch->item_count, sizeof(*batch->items), item_order_for_sort, batch);
    buf_clear(&batch->sorted);
    for (unsigned i = 0; i < batch->item_count; i++)
        buf_append(&batch->sorted, batch->out.data + batch->items[i].start, batch->items[i].size);
    if (buf_error(&batch->sorted) < 0) {
        batch->error = buf_error(&batch->sorted);
        return;
    }
    ASSERT(batch->sorted.size == end - first);
    memcpy(batch->out.data + first, batch->sorted.data, batch->sorted.size);
}

/* The cells of the row that ends, if they are large. */
static void note_span(struct batch *batch)
{
    size_t first = batch->item_count > 0 ? batch->items[0].start : batch->out.size;
    size_t size = batch->out.size - first + batch->shared_bytes - batch->row_shared_bytes;

    if (size < BATCH_SPAN_BYTES_MIN)
        return;
    if (batch->span_count == batch->span_capacity) {
        unsigned capacity = batch->span_capacity ? 2 * batch->span_capacity : 1;
        struct batch_span *spans = realloc(batch->spans, capacity * sizeof(*spans));

        if (!spans) {
            batch->error = -ENOMEM;
            return;
        }
        batch->spans = spans;
        batch->span_capacity = capacity;
    }
    batch->spans[batch->span_count++] = (struct batch_span){
        (uint32_t)(first + batch->row_shared_bytes), (uint32_t)size, batch->table};
}

static void end_row(struct batch *batch)
{
    size_t start = batch->row;

    if (start == NO_OFFSET || batch->error < 0)
        return;
    batch->row = NO_OFFSET;
    if (batch->item_count == 0 && !batch->row_stands_alone) {
        batch->out.size = start;
        return;
    }
    note_span(batch);
    if (batch->items_disordered)
        sort_items(batch);
    put_uvint(&batch->out, 0);
    batch->mutations++;
    has_room(batch, 0);
}

static void begin_row(
    struct batch *batch, enum mutation_code code, const struct clustering *clustering)
{
    const struct table_schema *schema = &batch->schemas[batch->table];
    bool is_static = code == MUTATION_STATIC_ROW;
    bool is_insert = code == MUTATION_ROW_INSERT;

    if (is_insert && batch->ttl_s > 0)
        code = MUTATION_ROW_INSERT_EXPIRING;
    batch->row = batch->out.size;
    batch->row_shared_bytes = batch->shared_bytes;
    batch->row_stands_alone = is_insert;
    batch->columns = is_static ? schema->statics : schema->regulars;
    batch->column_count = is_static ? schema->static_count : schema->regular_count;
    batch->item_count = 0;
    batch->items_disordered = false;
    buf_append_u8(&batch->out, (uint8_t)code);
    if (code == MUTATION_ROW_INSERT_EXPIRING)
        put_uvint(&batch->out, (uint64_t)batch->ttl_s);
    if (!is_static) {
        ASSERT(clustering->kind == KIND_ROW && clustering->count == schema->clustering_count);
        put_clustering(batch, clustering);
    }
}

/* ---- partition updates ---- */

static void end_update(struct batch *batch)
{
    end_row(batch);
    if (batch->update == NO_OFFSET || batch->error < 0)
        return;
    if (batch->mutations == 0) {
        batch->out.size = batch->update;
    } else {
        size_t body = batch->out.size - batch->update - UPDATE_HEADER_BYTES + batch->shared_bytes -
                      batch->update_shared_bytes;
        store_le32(batch->out.data + batch->update + 1, (uint32_t)body);
        batch->tables |= 1ull << batch->table;
        if (++batch->update_count > UPDATES_MAX)
            batch->error = -EFBIG;
    }
    batch->update = NO_OFFSET;
}

static void state_timestamp(struct batch *batch)
{
    if (batch->stated_us == batch->timestamp_us)
        return;
    buf_append_u8(&batch->out, MUTATION_TIMESTAMP);
    put_svint(&batch->out, batch->timestamp_us);
    batch->stated_us = batch->timestamp_us;
}

static bool is_in(const struct batch *batch, unsigned table, struct bytes key)
{
    return batch->update != NO_OFFSET && batch->table == table &&
           bytes_equal(bytes_of(batch->out.data + batch->key, batch->key_size), key);
}

/* Makes the partition the one that mutations go to; false if the batch has failed. */
static bool begin_update(struct batch *batch, unsigned table, struct bytes key)
{
    end_update(batch);
    if (batch->error < 0)
        return false;
    batch->update = batch->out.size;
    batch->update_shared_bytes = batch->shared_bytes;
    batch->table = table;
    batch->mutations = 0;
    batch->stated_us = TIMESTAMP_NONE;
    buf_append_u8(&batch->out, (uint8_t)table);
    put_le32(&batch->out, 0);
    put_vbytes(&batch->out, key);
    if (!has_room(batch, 0))
        return false;
    batch->key = batch->out.size - key.size;
    batch->key_size = key.size;
    return true;
}

/* The same, and ready for a mutation of it, which may take `more` bytes beside its lengths. */
static bool enter(struct batch *batch, unsigned table, struct bytes key, size_t more)
{
    ASSERT(!batch->finished && table < batch->table_count);
    ASSERT(key.size > 0 && key.size <= UPDATE_KEY_BYTES_MAX);
    if (!has_room(batch, key.size + more))
        return false;
    end_row(batch);
    if (!is_in(batch, table, key) && !begin_update(batch, table, key))
        return false;
    state_timestamp(batch);
    return batch->error == 0;
}

void batch_body(struct batch *batch, unsigned table, struct bytes body, int64_t timestamp_us)
{
    struct decoder in = decoder_of(body);
    struct bytes key = get_vbytes(&in);

    ASSERT(!batch->finished && table < batch->table_count);
    if (decoder_failed(&in) || key.size == 0 || decoder_left(&in) == 0) {
        batch->error = err_new(-EUCLEAN, "an update that cannot be");
        return;
    }
    if (!has_room(batch, body.size) || !begin_update(batch, table, key))
        return;
    batch_set_timestamp(batch, timestamp_us);
    state_timestamp(batch);
    buf_append(&batch->out, in.at, decoder_left(&in));
    batch->mutations++;
    end_update(batch);
}

void batch_delete_partition(struct batch *batch, unsigned table, struct bytes key)
{
    if (!enter(batch, table, key, 0))
        return;
    buf_append_u8(&batch->out, MUTATION_PARTITION_DELETION);
    batch->mutations++;
}

void batch_delete_range(
    struct batch *batch, unsigned table, struct bytes key, const struct slice *slice)
{
    const struct clustering *start = &slice->start, *end = &slice->end;

    if (!enter(batch, table, key, clustering_size(start) + clustering_size(end)))
        return;
    ASSERT(batch->schemas[table].clustering_count > 0);
    ASSERT(start->kind == KIND_INCL_START || start->kind == KIND_EXCL_START);
    ASSERT(end->kind == KIND_INCL_END || end->kind == KIND_EXCL_END);
    if (clustering_compare(&batch->schemas[table], start, end) >= 0)
        return; /* nothing lies within */
    buf_append_u8(&batch->out, MUTATION_RANGE);
    buf_append_u8(&batch->out, start->kind);
    put_clustering(batch, start);
    buf_append_u8(&batch->out, end->kind);
    put_clustering(batch, end);
    batch->mutations++;
}

void batch_delete_row(
    struct batch *batch, unsigned table, struct bytes key, const struct clustering *clustering)
{
    if (!enter(batch, table, key, clustering_size(clustering)))
        return;
    ASSERT(clustering->kind == KIND_ROW);
    ASSERT(clustering->count == batch->schemas[table].clustering_count);
    buf_append_u8(&batch->out, MUTATION_ROW_DELETION);
    put_clustering(batch, clustering);
    batch->mutations++;
}

void batch_set_timestamp(struct batch *batch, int64_t timestamp_us)
{
    batch->timestamp_us = timestamp_us;
}

void batch_set_ttl(struct batch *batch, int32_t ttl_s)
{
    ASSERT(ttl_s >= 0 && ttl_s <= TTL_MAX_S);
    batch->ttl_s = ttl_s;
}

void batch_row(struct batch *batch, unsigned table, struct bytes key,
    const struct clustering *clustering, bool insert)
{
    if (enter(batch, table, key, clustering_size(clustering)))
        begin_row(batch, insert ? MUTATION_ROW_INSERT : MUTATION_ROW, clustering);
}

void batch_static_row(struct batch *batch, unsigned table, struct bytes key)
{
    if (enter(batch, table, key, 0))
        begin_row(batch, MUTATION_STATIC_ROW, NULL);
}

/* ---- cells ---- */

static bool grow_items(struct batch *batch)
{
    bool is_own = batch->items == batch->own_items;
    unsigned capacity = batch->item_capacity * 2;
    struct item *items;

    if (batch->item_count < batch->item_capacity)
        return true;
    items = realloc(is_own ? NULL : batch->items, capacity * sizeof(*items));
    if (!items) {
        batch->error = -ENOMEM;
        return false;
    }
    if (is_own)
        memcpy(items, batch->own_items, sizeof(batch->own_items));
    batch->items = items;
    batch->item_capacity = capacity;
    return true;
}

/* The length of the value among what is encoded, and the value where it is. */
static void put_shared(struct batch *batch, struct bytes value)
{
    if (batch->shared_count == batch->shared_capacity) {
        unsigned capacity = batch->shared_capacity ? 2 * batch->shared_capacity : OWN_ITEMS;
        struct shared_value *shared = realloc(batch->shared, capacity * sizeof(*shared));

        if (!shared) {
            batch->error = -ENOMEM;
            return;
        }
        batch->shared = shared;
        batch->shared_capacity = capacity;
    }
    put_uvint(&batch->out, value.size);
    batch->shared[batch->shared_count++] = (struct shared_value){batch->out.size, value};
    batch->shared_bytes += value.size;
}

/* `path` and `value` as the item's type and column want them; the others are not looked at. A value
 * expires if the batch says so. */
static void add_item(struct batch *batch, unsigned column, enum item_type type, struct bytes path,
    struct bytes value, bool is_shared)
{
    bool is_value = type == ITEM_VALUE, expires = is_value && batch->ttl_s > 0;
    struct item *item;
    bool complex;

    if (expires)
        type = ITEM_EXPIRING;
    ASSERT(!batch->finished);
    if (!has_room(batch, path.size + value.size) || !grow_items(batch))
        return;
    ASSERT(batch->row != NO_OFFSET);
    ASSERT(column < batch->column_count);
    complex = type_is_complex(batch->columns[column].type);
    item = &batch->items[batch->item_count];
    *item = (struct item){
        .start = (uint32_t)batch->out.size, .column = (uint16_t)column, .type = (uint8_t)type};
    put_uvint(&batch->out, 1 + ((uint64_t)column << ITEM_TYPE_BITS | (unsigned)type));
    if (expires)
        put_uvint(&batch->out, (uint64_t)batch->ttl_s);
    if (complex && type != ITEM_COMPLEX_DELETION) {
        put_vbytes(&batch->out, path);
        item->path = (uint32_t)(batch->out.size - path.size);
        item->path_size = (uint32_t)path.size;
    }
    if (is_value && is_shared)
        put_shared(batch, value);
    else if (is_value)
        put_vbytes(&batch->out, value);
    if (!has_room(batch, 0))
        return;
    item->size = (uint32_t)batch->out.size - item->start;
    if (batch->item_count > 0) {
        int r = item_order(batch, item - 1, item);
        ASSERT(r != 0);
        batch->items_disordered |= r > 0;
    }
    batch->item_count++;
}

static void assert_column(const struct batch *batch, unsigned column, bool complex)
{
    if (batch->error < 0)
        return; /* the row may not have been begun */
    ASSERT(column < batch->column_count);
    ASSERT(type_is_complex(batch->columns[column].type) == complex);
}

void batch_cell(struct batch *batch, unsigned column, struct bytes value)
{
    assert_column(batch, column, false);
    ASSERT(batch->error < 0 || value_width_is_valid(batch->columns[column].type, value.size));
    add_item(batch, column, ITEM_VALUE, BYTES_NONE, value, false);
}

void batch_cell_shared(
    struct batch *batch, unsigned column, struct bytes value, struct value_buffer *buffer)
{
    bool is_kept;

    if (batch->error < 0)
        return;
    assert_column(batch, column, false);
    ASSERT(value.size > 0 && type_fixed_width(batch->columns[column].type) == 0);
    is_kept = record_memory_keep(batch->memory, buffer);
    ASSERT(!is_kept || record_memory_has(batch->memory, value));
    add_item(batch, column, ITEM_VALUE, BYTES_NONE, value, is_kept);
}

void batch_cell_bigint(struct batch *batch, unsigned column, int64_t value)
{
    uint8_t bytes[8];

    store_be64(bytes, (uint64_t)value);
    batch_cell(batch, column, bytes_of(bytes, sizeof(bytes)));
}

void batch_cell_int(struct batch *batch, unsigned column, int32_t value)
{
    uint8_t bytes[4];

    store_be32(bytes, (uint32_t)value);
    batch_cell(batch, column, bytes_of(bytes, sizeof(bytes)));
}

void batch_delete_cell(struct batch *batch, unsigned column)
{
    assert_column(batch, column, false);
    add_item(batch, column, ITEM_TOMBSTONE, BYTES_NONE, BYTES_NONE, false);
}

void batch_map_put(struct batch *batch, unsigned column, struct bytes path, struct bytes value)
{
    assert_column(batch, column, true);
    add_item(batch, column, ITEM_VALUE, path, value, false);
}

void batch_map_delete(struct batch *batch, unsigned column, struct bytes path)
{
    assert_column(batch, column, true);
    add_item(batch, column, ITEM_TOMBSTONE, path, BYTES_NONE, false);
}

void batch_map_clear(struct batch *batch, unsigned column)
{
    assert_column(batch, column, true);
    add_item(batch, column, ITEM_COMPLEX_DELETION, BYTES_NONE, BYTES_NONE, false);
}

/* ---- the end ---- */

int batch_finish(struct batch *batch)
{
    if (!batch->finished) {
        end_update(batch);
        has_room(batch, 0);
        batch->finished = true;
    }
    return batch->error;
}

struct updates batch_updates(const struct batch *batch)
{
    ASSERT(batch->finished && batch->error == 0);
    return (struct updates){
        buf_bytes(&batch->out), batch->shared, batch->shared_count, batch_bytes(batch)};
}

unsigned batch_update_count(const struct batch *batch)
{
    ASSERT(batch->finished);
    return batch->update_count;
}

struct bytes batch_first_key(const struct batch *batch, unsigned *ret_table)
{
    struct decoder update = decoder_of(batch_updates(batch).encoded);

    ASSERT(batch->update_count > 0);
    *ret_table = get_u8(&update);
    (void)get_le32(&update);
    return get_vbytes(&update);
}

const struct batch_span *batch_spans(const struct batch *batch, unsigned *ret_count)
{
    ASSERT(batch->finished);
    *ret_count = batch->span_count;
    return batch->spans;
}

uint64_t batch_tables(const struct batch *batch)
{
    ASSERT(batch->finished);
    return batch->tables;
}

struct record_memory *batch_take_memory(struct batch *batch)
{
    struct record_memory *memory = batch->memory;
    struct buf *out = &batch->out;

    ASSERT(batch->finished && memory);
    /* Memtables keep this alive for long: give back what is not used. It may move only if nothing
     * points into it yet, which holds, as visits come after. */
    if (out->size >= KEPT_BYTES_MIN && out->capacity - out->size > out->size / SLACK_SHARE) {
        uint8_t *data = realloc(out->data, out->size ? out->size : 1);
        if (data)
            out->data = data;
    }
    memory->data = out->data;
    memory->size = out->size;
    memory->bytes += out->size;
    batch->memory = NULL;
    *out = BUF_INIT;
    batch->update_count = 0;
    batch->span_count = 0;
    batch->tables = 0;
    return memory;
}

size_t batch_bytes(const struct batch *batch)
{
    return batch->out.size + batch->shared_bytes;
}

bool batch_is_empty(const struct batch *batch)
{
    if (batch->update_count > 0)
        return false;
    if (batch->update == NO_OFFSET)
        return true;
    return batch->mutations == 0 &&
           (batch->row == NO_OFFSET || (batch->item_count == 0 && !batch->row_stands_alone));
}

/* ---- keys ---- */

void key_bigint(uint8_t to[KEY_BYTES_BIGINT], int64_t value)
{
    store_be64(to, (uint64_t)value);
}

void key_bigint_int(uint8_t to[KEY_BYTES_BIGINT_INT], int64_t first, int32_t second)
{
    /* Each part: its length, its bytes, a zero. */
    store_be16(to, 8);
    store_be64(to + 2, (uint64_t)first);
    to[10] = 0;
    store_be16(to + 11, 4);
    store_be32(to + 13, (uint32_t)second);
    to[17] = 0;
}
