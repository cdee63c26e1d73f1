#include "sstable/data.h"

#include <errno.h>

#include "engine/assert.h"
#include "engine/error.h"
#include "rows/compare.h"
#include "sstable/data_flags.h"

/* A value is copied into the record below this: then it costs less than to go on behind it. */
#define VALUE_BYTES_MIN 512u

int data_encoder_init(struct data_encoder *encoder, const struct serialization_header *header)
{
    unsigned most = header->statics.count > header->regulars.count ? header->statics.count
                                                                   : header->regulars.count;

    *encoder = (struct data_encoder){.header = header};
    encoder->present = calloc(most + 1, sizeof(*encoder->present));
    return encoder->present ? 0 : err_new(-ENOMEM, "%u columns", most);
}

void data_encoder_release(struct data_encoder *encoder)
{
    buf_release(&encoder->record.head);
    buf_release(&encoder->record.body);
    free(encoder->record.values);
    free(encoder->present);
    *encoder = (struct data_encoder){0};
}

void record_clear(struct record *record)
{
    buf_clear(&record->head);
    buf_clear(&record->body);
    record->value_count = 0;
    record->value_bytes = 0;
}

/** The next bytes of the body: small ones are copied, large ones are noted. */
static void put_body_value(struct record *record, struct bytes value)
{
    if (value.size < VALUE_BYTES_MIN) {
        buf_append_bytes(&record->body, value);
        return;
    }
    if (record->value_count == record->value_capacity) {
        size_t capacity = record->value_capacity ? record->value_capacity * 2 : 32;
        struct record_value *grown = reallocarray(record->values, capacity, sizeof(*grown));

        if (!grown) {
            record->body.error = -ENOMEM;
            return;
        }
        record->values = grown;
        record->value_capacity = capacity;
    }
    record->values[record->value_count++] = (struct record_value){record->body.size, value};
    record->value_bytes += value.size;
}

void data_put_deletion(struct buf *to, struct deletion deletion)
{
    put_be32(to, (uint32_t)deletion.local_deletion_time_s);
    put_be64(to, (uint64_t)deletion.marked_for_delete_at_us);
}

void data_put_partition_header(
    struct data_encoder *encoder, struct bytes key, struct deletion deletion)
{
    put_sbytes(&encoder->record.head, key);
    data_put_deletion(&encoder->record.head, deletion);
}

void data_put_end_of_partition(struct data_encoder *encoder)
{
    buf_append_u8(&encoder->record.head, END_OF_PARTITION);
}

static void put_timestamp(struct buf *to, const struct serialization_header *header, int64_t us)
{
    put_uvint(to, (uint64_t)us - (uint64_t)header->min_timestamp_us);
}

static void put_local_deletion_time(
    struct buf *to, const struct serialization_header *header, int32_t s)
{
    put_uvint32(to, (int32_t)((uint32_t)s - (uint32_t)header->min_local_deletion_time_s));
}

static void put_ttl(struct buf *to, const struct serialization_header *header, int32_t s)
{
    put_uvint32(to, (int32_t)((uint32_t)s - (uint32_t)header->min_ttl_s));
}

static void put_deletion_delta(
    struct buf *to, const struct serialization_header *header, struct deletion deletion)
{
    put_timestamp(to, header, deletion.marked_for_delete_at_us);
    put_local_deletion_time(to, header, deletion.local_deletion_time_s);
}

/** Raw when the type says how long it is, else with its length. Never an empty one. */
static void put_value(struct buf *to, unsigned fixed_width, struct bytes value)
{
    if (fixed_width == 0) {
        put_vbytes(to, value);
        return;
    }
    ASSERT(value.size == fixed_width);
    buf_append_bytes(to, value);
}

static void put_clustering_values(struct buf *to, const struct serialization_header *header,
    const struct bytes *values, unsigned count)
{
    _Static_assert(CLUSTERING_COLUMNS_MAX <= CLUSTERING_BATCH, "one batch holds a clustering");
    uint64_t bits = 0;

    if (count == 0)
        return;
    for (unsigned i = 0; i < count; i++) {
        ASSERT(values[i].size <= CLUSTERING_VALUE_BYTES_MAX);
        if (!values[i].data)
            bits |= 2ull << 2 * i;
        else if (values[i].size == 0)
            bits |= 1ull << 2 * i;
    }
    put_uvint(to, bits);
    for (unsigned i = 0; i < count; i++) {
        if (values[i].size > 0)
            put_value(to, header->clustering.columns[i].fixed_width, values[i]);
    }
}

void data_put_clustering_prefix(
    struct buf *to, const struct serialization_header *header, const struct clustering *clustering)
{
    ASSERT(clustering->count <= header->clustering.count);
    buf_append_u8(to, clustering->kind);
    if (clustering->kind != KIND_ROW)
        put_be16(to, clustering->count);
    put_clustering_values(to, header, clustering->values, clustering->count);
}

/** Fills encoder->present with the columns that have a cell or a deletion; returns their count. */
static unsigned find_present(
    struct data_encoder *encoder, const struct header_columns *columns, const struct row *row)
{
    uint32_t cell = 0, deletion = 0;
    unsigned count = 0;

    while (cell < row->cell_count || deletion < row->complex_deletion_count) {
        unsigned column = UINT16_MAX + 1u;

        if (cell < row->cell_count)
            column = row->cells[cell].column;
        if (deletion < row->complex_deletion_count &&
            row->complex_deletions[deletion].column < column)
            column = row->complex_deletions[deletion].column;
        ASSERT(column < columns->count);
        ASSERT(count == 0 || encoder->present[count - 1] < column);
        encoder->present[count++] = (uint16_t)column;
        while (cell < row->cell_count && row->cells[cell].column == column)
            cell++;
        if (deletion < row->complex_deletion_count &&
            row->complex_deletions[deletion].column == column)
            deletion++;
    }
    return count;
}

/** Which of `total` columns are there; only for rows that lack some. */
static void put_subset(struct buf *to, const uint16_t *present, unsigned count, unsigned total)
{
    unsigned at = 0;

    if (total < SUBSET_LIST_COLUMNS) {
        uint64_t missing = (1ull << total) - 1;

        for (unsigned i = 0; i < count; i++)
            missing &= ~(1ull << present[i]);
        put_uvint(to, missing);
        return;
    }
    put_uvint32(to, (int32_t)(total - count));
    if (count < total / 2) {
        for (unsigned i = 0; i < count; i++)
            put_uvint32(to, present[i]);
        return;
    }
    for (unsigned i = 0; i < total; i++) {
        if (at < count && present[at] == i)
            at++;
        else
            put_uvint32(to, (int32_t)i);
    }
}

static void put_cell(struct record *record, const struct serialization_header *header,
    const struct header_column *column, const struct liveness *liveness, const struct cell *cell)
{
    struct buf *to = &record->body;
    bool tombstone = cell_is_tombstone(cell), expiring = cell_is_expiring(cell);
    bool empty = tombstone || cell->value.size == 0;
    bool row_timestamp =
        liveness->timestamp_us != TIMESTAMP_NONE && liveness->timestamp_us == cell->timestamp_us;
    bool row_ttl = liveness->timestamp_us != TIMESTAMP_NONE && expiring && liveness->ttl_s != 0 &&
                   cell->ttl_s == liveness->ttl_s &&
                   cell->local_deletion_time_s == liveness->local_deletion_time_s;

    buf_append_u8(to,
        (uint8_t)((tombstone ? CELL_FLAG_DELETED : 0) | (expiring ? CELL_FLAG_EXPIRING : 0) |
                  (empty ? CELL_FLAG_EMPTY : 0) | (row_timestamp ? CELL_FLAG_ROW_TIMESTAMP : 0) |
                  (row_ttl ? CELL_FLAG_ROW_TTL : 0)));
    if (!row_timestamp)
        put_timestamp(to, header, cell->timestamp_us);
    if ((tombstone || expiring) && !row_ttl)
        put_local_deletion_time(to, header, cell->local_deletion_time_s);
    if (expiring && !row_ttl)
        put_ttl(to, header, cell->ttl_s);
    if (column->is_complex)
        put_vbytes(to, cell->path);
    if (empty)
        return;
    if (column->is_complex || column->fixed_width == 0)
        put_uvint32(to, (int32_t)cell->value.size);
    else
        ASSERT(cell->value.size == column->fixed_width);
    put_body_value(record, cell->value);
}

/**
 * Every complex column of a row with a complex deletion carries one, live where there is none.
 * Cassandra 5.0 takes the live one's local deletion time from its 64-bit form, cut to 32: -1.
 */
static void put_complex_deletion(struct buf *to, const struct serialization_header *header,
    const struct row *row, unsigned column)
{
    struct deletion deletion = {TIMESTAMP_NONE, -1};

    for (uint32_t i = 0; i < row->complex_deletion_count; i++) {
        if (row->complex_deletions[i].column == column)
            deletion = row->complex_deletions[i].deletion;
    }
    put_deletion_delta(to, header, deletion);
}

static void put_columns(struct data_encoder *encoder, const struct header_columns *columns,
    const struct row *row, unsigned present_count)
{
    struct record *record = &encoder->record;
    uint32_t cell = 0;

    for (unsigned i = 0; i < present_count; i++) {
        const struct header_column *column = &columns->columns[encoder->present[i]];
        uint32_t end = cell;

        while (end < row->cell_count && row->cells[end].column == encoder->present[i])
            end++;
        if (column->is_complex) {
            if (row->complex_deletion_count > 0)
                put_complex_deletion(&record->body, encoder->header, row, encoder->present[i]);
            put_uvint32(&record->body, (int32_t)(end - cell));
        } else {
            ASSERT(end == cell + 1);
        }
        for (; cell < end; cell++)
            put_cell(record, encoder->header, column, &row->liveness, &row->cells[cell]);
    }
}

static void put_row(
    struct data_encoder *encoder, const struct row *row, bool is_static, uint64_t previous_bytes)
{
    const struct serialization_header *header = encoder->header;
    const struct header_columns *columns = header_columns_of(header, is_static);
    unsigned present = find_present(encoder, columns, row);
    const struct liveness *liveness = &row->liveness;
    bool has_liveness = liveness->timestamp_us != TIMESTAMP_NONE;
    bool has_ttl = has_liveness && liveness->ttl_s != 0;
    bool has_deletion = !deletion_is_live(row->deletion);
    bool all = present == columns->count;
    struct buf *to = &encoder->record.head, *body = &encoder->record.body;

    ASSERT(!is_static || (!has_liveness && !has_deletion));
    put_uvint(body, previous_bytes);
    if (has_liveness)
        put_timestamp(body, header, liveness->timestamp_us);
    if (has_ttl) {
        put_ttl(body, header, liveness->ttl_s);
        put_local_deletion_time(body, header, liveness->local_deletion_time_s);
    }
    if (has_deletion)
        put_deletion_delta(body, header, row->deletion);
    if (!all)
        put_subset(body, encoder->present, present, columns->count);
    put_columns(encoder, columns, row, present);

    buf_append_u8(to, (uint8_t)((has_liveness ? FLAG_TIMESTAMP : 0) | (has_ttl ? FLAG_TTL : 0) |
                                (has_deletion ? FLAG_DELETION : 0) | (all ? FLAG_ALL_COLUMNS : 0) |
                                (row->complex_deletion_count > 0 ? FLAG_COMPLEX_DELETION : 0) |
                                (is_static ? FLAG_EXTENSION : 0)));
    if (is_static) {
        buf_append_u8(to, EXTENDED_FLAG_STATIC);
    } else {
        ASSERT(row->clustering.count == header->clustering.count);
        put_clustering_values(to, header, row->clustering.values, row->clustering.count);
    }
    put_uvint(to, body->size + encoder->record.value_bytes);
}

void data_put_static_row(struct data_encoder *encoder, const struct row *row)
{
    static const struct row none = {
        .clustering = {NULL, 0, KIND_STATIC},
        .liveness = {TIMESTAMP_NONE, 0, LOCAL_DELETION_TIME_NONE},
        .deletion = {TIMESTAMP_NONE, LOCAL_DELETION_TIME_NONE},
    };

    put_row(encoder, row ? row : &none, true, 0);
}

static void put_marker(
    struct data_encoder *encoder, const struct marker *marker, uint64_t previous_bytes)
{
    const struct serialization_header *header = encoder->header;
    uint8_t kind = marker->bound.kind;
    struct buf *to = &encoder->record.head, *body = &encoder->record.body;

    put_uvint(body, previous_bytes);
    if (kind_is_end(kind))
        put_deletion_delta(body, header, marker->closes);
    if (kind_is_start(kind))
        put_deletion_delta(body, header, marker->opens);

    buf_append_u8(to, FLAG_MARKER);
    data_put_clustering_prefix(to, header, &marker->bound);
    put_uvint(to, body->size);
}

void data_put_unfiltered(
    struct data_encoder *encoder, const struct unfiltered *unfiltered, uint64_t previous_bytes)
{
    if (unfiltered->is_marker)
        put_marker(encoder, &unfiltered->marker, previous_bytes);
    else
        put_row(encoder, &unfiltered->row, false, previous_bytes);
}
