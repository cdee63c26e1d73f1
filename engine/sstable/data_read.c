#include "sstable/data.h"

#include <errno.h>

#include "engine/error.h"
#include "rows/compare.h"
#include "sstable/data_flags.h"

#define CELLS_CAPACITY_MIN 32u

struct deletion data_get_deletion(struct decoder *d)
{
    int32_t local_deletion_time = (int32_t)get_be32(d);
    int64_t marked_for_delete_at = (int64_t)get_be64(d);

    if (marked_for_delete_at == TIMESTAMP_NONE)
        return DELETION_LIVE;
    return (struct deletion){marked_for_delete_at, local_deletion_time};
}

enum data_result data_get_partition_header(
    struct decoder *d, struct bytes *ret_key, struct deletion *ret_deletion)
{
    struct bytes key = get_sbytes(d);
    struct deletion deletion = data_get_deletion(d);

    if (decoder_failed(d))
        return DATA_MORE;
    if (deletion.local_deletion_time_s < 0)
        return DATA_BAD;
    *ret_key = key;
    *ret_deletion = deletion;
    return DATA_OK;
}

static enum data_result get_clustering_values(struct decoder *d,
    const struct serialization_header *header, struct bytes *values, unsigned count)
{
    uint64_t bits;

    if (count == 0)
        return DATA_OK;
    bits = get_uvint(d);
    if (count < CLUSTERING_BATCH && bits >> 2 * count != 0 && !decoder_failed(d))
        return DATA_BAD;
    for (unsigned i = 0; i < count; i++) {
        unsigned width = header->clustering.columns[i].fixed_width;

        switch (bits >> 2 * i & 3) {
        case 0:
            values[i] = width > 0 ? get_bytes(d, width) : get_vbytes(d);
            break;
        case 1:
            values[i] = BYTES_LITERAL("");
            break;
        case 2:
            values[i] = BYTES_NONE;
            break;
        default:
            return DATA_BAD;
        }
    }
    return decoder_failed(d) ? DATA_MORE : DATA_OK;
}

static enum data_result get_bound(struct decoder *d, const struct serialization_header *header,
    uint8_t kind, struct clustering_memory *memory, struct clustering *ret_clustering)
{
    unsigned count = get_be16(d);

    if (decoder_failed(d))
        return DATA_MORE;
    if (kind > KIND_EXCL_START || kind == KIND_STATIC || kind == KIND_ROW ||
        count > header->clustering.count)
        return DATA_BAD;
    *ret_clustering = (struct clustering){memory->values, (uint8_t)count, kind};
    return get_clustering_values(d, header, memory->values, count);
}

static enum data_result get_row_clustering(struct decoder *d,
    const struct serialization_header *header, struct clustering_memory *memory,
    struct clustering *ret_clustering)
{
    *ret_clustering = CLUSTERING_ROW(memory->values, header->clustering.count);
    return get_clustering_values(d, header, memory->values, header->clustering.count);
}

enum data_result data_get_clustering_prefix(struct decoder *d,
    const struct serialization_header *header, struct clustering_memory *memory,
    struct clustering *ret_clustering)
{
    uint8_t kind = get_u8(d);

    if (decoder_failed(d))
        return DATA_MORE;
    return kind == KIND_ROW ? get_row_clustering(d, header, memory, ret_clustering)
                            : get_bound(d, header, kind, memory, ret_clustering);
}

enum data_result data_get_head(struct decoder *d, const struct serialization_header *header,
    struct clustering_memory *memory, struct unfiltered_head *ret_head)
{
    struct unfiltered_head head = {.flags = get_u8(d)};
    uint8_t extended = 0;
    enum data_result r = DATA_OK;

    if (head.flags == FLAG_END_OF_PARTITION && !decoder_failed(d)) {
        head.is_end = true;
        *ret_head = head;
        return DATA_OK;
    }
    if (head.flags & FLAG_END_OF_PARTITION)
        return DATA_BAD;
    if (head.flags & FLAG_EXTENSION)
        extended = get_u8(d);
    if (decoder_failed(d))
        return DATA_MORE;
    if (extended & ~(EXTENDED_FLAG_STATIC | EXTENDED_FLAG_SHADOWABLE))
        return DATA_BAD;
    if (head.flags & FLAG_MARKER) {
        if (head.flags != FLAG_MARKER)
            return DATA_BAD;
        head.is_marker = true;
        r = get_bound(d, header, get_u8(d), memory, &head.clustering);
    } else if (extended & EXTENDED_FLAG_STATIC) {
        head.is_static = true;
        head.clustering = (struct clustering){NULL, 0, KIND_STATIC};
    } else {
        r = get_row_clustering(d, header, memory, &head.clustering);
    }
    if (r != DATA_OK)
        return r;
    head.body_bytes = get_uvint(d);
    if (decoder_failed(d))
        return DATA_MORE;
    if (head.body_bytes > ROW_BYTES_MAX)
        return DATA_BAD;
    *ret_head = head;
    return DATA_OK;
}

void row_memory_release(struct row_memory *memory)
{
    if (memory->cells != memory->lent)
        free(memory->cells);
    free(memory->complex_deletions);
    *memory = ROW_MEMORY_INIT;
}

/** Room for one more of `size` bytes; false: no memory. */
static bool grow(void **array, uint32_t count, uint32_t *capacity, size_t size)
{
    uint32_t wanted = *capacity ? *capacity * 2 : CELLS_CAPACITY_MIN;
    void *larger;

    if (count < *capacity)
        return true;
    larger = reallocarray(*array, wanted, size);
    if (!larger)
        return false;
    *array = larger;
    *capacity = wanted;
    return true;
}

/** Room for one more cell: those that were lent are copied into an array of our own. */
static bool grow_cells(struct row_memory *memory)
{
    const struct cell *lent = memory->lent;

    if (memory->cells == lent && lent && memory->cell_count == memory->cell_capacity) {
        struct cell *own = reallocarray(NULL, memory->cell_capacity, 2 * sizeof(*own));

        if (!own)
            return false;
        memcpy(own, lent, memory->cell_count * sizeof(*own));
        memory->cells = own;
        memory->cell_capacity *= 2;
    }
    return grow(
        (void **)&memory->cells, memory->cell_count, &memory->cell_capacity, sizeof(struct cell));
}

static int64_t get_timestamp(struct decoder *d, const struct serialization_header *header)
{
    return (int64_t)((uint64_t)header->min_timestamp_us + get_uvint(d));
}

static int32_t get_local_deletion_time(struct decoder *d, const struct serialization_header *header)
{
    return (int32_t)((uint32_t)header->min_local_deletion_time_s + (uint32_t)get_uvint32(d));
}

static int32_t get_ttl(struct decoder *d, const struct serialization_header *header)
{
    return (int32_t)((uint32_t)header->min_ttl_s + (uint32_t)get_uvint32(d));
}

/** Live by its timestamp, whatever the local deletion time: its live form differs by version. */
static int get_deletion_delta(
    struct decoder *d, const struct serialization_header *header, struct deletion *ret_deletion)
{
    struct deletion deletion;

    deletion.marked_for_delete_at_us = get_timestamp(d, header);
    deletion.local_deletion_time_s = get_local_deletion_time(d, header);
    if (deletion_is_live(deletion))
        deletion = DELETION_LIVE;
    else if (deletion.local_deletion_time_s < 0)
        return err_new(-EUCLEAN, "local deletion time %d", (int)deletion.local_deletion_time_s);
    *ret_deletion = deletion;
    return 0;
}

static int get_cell(struct decoder *d, const struct serialization_header *header,
    const struct header_column *column, const struct liveness *liveness, struct cell *cell)
{
    uint8_t flags = get_u8(d);
    bool deleted = flags & CELL_FLAG_DELETED, expiring = flags & CELL_FLAG_EXPIRING;
    bool row_ttl = flags & CELL_FLAG_ROW_TTL;

    if (flags & ~CELL_FLAGS_ALL || (deleted && (expiring || !(flags & CELL_FLAG_EMPTY))) ||
        (row_ttl && (!expiring || liveness->ttl_s == 0)) ||
        (flags & CELL_FLAG_ROW_TIMESTAMP && liveness->timestamp_us == TIMESTAMP_NONE))
        return err_new(-EUCLEAN, "cell flags 0x%02x", flags);
    *cell = (struct cell){
        .timestamp_us = liveness->timestamp_us,
        .local_deletion_time_s = LOCAL_DELETION_TIME_NONE,
        .column = column->number,
        .path = BYTES_LITERAL(""),
        .value = BYTES_LITERAL(""),
    };
    if (!(flags & CELL_FLAG_ROW_TIMESTAMP))
        cell->timestamp_us = get_timestamp(d, header);
    if (row_ttl) {
        cell->local_deletion_time_s = liveness->local_deletion_time_s;
        cell->ttl_s = liveness->ttl_s;
    } else if (deleted || expiring) {
        cell->local_deletion_time_s = get_local_deletion_time(d, header);
        if (expiring)
            cell->ttl_s = get_ttl(d, header);
        if (cell->local_deletion_time_s < 0 || cell->ttl_s < 0 ||
            cell->local_deletion_time_s == LOCAL_DELETION_TIME_NONE ||
            (expiring && cell->ttl_s == 0))
            return err_new(-EUCLEAN, "cell with local deletion time %d, ttl %d",
                (int)cell->local_deletion_time_s, (int)cell->ttl_s);
    }
    if (column->is_complex)
        cell->path = get_vbytes(d);
    if (!(flags & CELL_FLAG_EMPTY)) {
        unsigned width = column->is_complex ? 0 : column->fixed_width;
        cell->value = width > 0 ? get_bytes(d, width) : get_vbytes(d);
    }
    return decoder_failed(d) ? err_new(-EUCLEAN, "cell goes over the row's end") : 0;
}

static int add_cell(struct decoder *d, const struct serialization_header *header,
    const struct header_column *column, const struct liveness *liveness, struct row_memory *memory)
{
    int r;

    if (!grow_cells(memory))
        return err_new(-ENOMEM, "%u cells", memory->cell_count);
    r = get_cell(d, header, column, liveness, &memory->cells[memory->cell_count]);
    if (r == 0)
        memory->cell_count++;
    return r;
}

static int get_complex_column(struct decoder *d, const struct serialization_header *header,
    const struct header_column *column, const struct unfiltered_head *head,
    const struct liveness *liveness, struct row_memory *memory)
{
    struct deletion deletion = DELETION_LIVE;
    int32_t count;
    int r;

    if (head->flags & FLAG_COMPLEX_DELETION) {
        r = get_deletion_delta(d, header, &deletion);
        if (r < 0)
            return r;
    }
    if (!deletion_is_live(deletion)) {
        if (!grow((void **)&memory->complex_deletions, memory->complex_deletion_count,
                &memory->complex_deletion_capacity, sizeof(struct complex_deletion)))
            return err_new(-ENOMEM, "%u complex deletions", memory->complex_deletion_count);
        memory->complex_deletions[memory->complex_deletion_count++] =
            (struct complex_deletion){column->number, deletion};
    }
    count = get_uvint32(d);
    if (count < 0)
        return err_new(-EUCLEAN, "%d cells in a column", (int)count);
    /* Each takes two bytes or more, so a count too big ends with the bytes. */
    for (; count > 0; count--) {
        r = add_cell(d, header, column, liveness, memory);
        if (r < 0)
            return r;
    }
    return 0;
}

static int get_column(struct decoder *d, const struct serialization_header *header,
    const struct header_column *column, const struct unfiltered_head *head,
    const struct liveness *liveness, struct row_memory *memory)
{
    return column->is_complex ? get_complex_column(d, header, column, head, liveness, memory)
                              : add_cell(d, header, column, liveness, memory);
}

/**
 * A subset of 64 columns and more: the list of those that are there, or of those that are not.
 * Indexes are decoded beside the columns that they choose, so no memory is needed for them.
 */
static int get_listed_columns(struct decoder *d, const struct serialization_header *header,
    const struct header_columns *columns, const struct unfiltered_head *head,
    const struct liveness *liveness, struct row_memory *memory)
{
    int32_t missing = get_uvint32(d);
    unsigned total = columns->count, present, listed, next;
    bool lists_present;
    struct decoder list;

    if (decoder_failed(d) || missing < 0 || (unsigned)missing > total)
        return err_new(-EUCLEAN, "%d of %u columns missing", (int)missing, total);
    present = total - (unsigned)missing;
    lists_present = present < total / 2;
    listed = lists_present ? present : (unsigned)missing;
    list = *d;
    for (unsigned i = 0; i < listed; i++)
        get_uvint32(d);
    next = listed > 0 ? (unsigned)get_uvint32(&list) : total;
    for (unsigned i = 0; i < total; i++) {
        bool in_list = i == next;

        if (in_list) {
            unsigned after = --listed > 0 ? (unsigned)get_uvint32(&list) : total;

            if (after <= next)
                return err_new(-EUCLEAN, "column subset does not ascend");
            next = after;
        }
        if (in_list == lists_present) {
            int r = get_column(d, header, &columns->columns[i], head, liveness, memory);
            if (r < 0)
                return r;
        }
    }
    return listed == 0 ? 0 : err_new(-EUCLEAN, "column subset names column %u", next);
}

static int get_columns(struct decoder *d, const struct serialization_header *header,
    const struct unfiltered_head *head, const struct liveness *liveness, struct row_memory *memory)
{
    const struct header_columns *columns = header_columns_of(header, head->is_static);
    bool all = head->flags & FLAG_ALL_COLUMNS;
    uint64_t missing = 0;

    if (!all && columns->count >= SUBSET_LIST_COLUMNS)
        return get_listed_columns(d, header, columns, head, liveness, memory);
    if (!all) {
        missing = get_uvint(d);
        if (decoder_failed(d) || missing >> columns->count != 0)
            return err_new(-EUCLEAN, "column subset 0x%llx", (unsigned long long)missing);
    }
    for (unsigned i = 0; i < columns->count; i++) {
        int r;

        if (i < SUBSET_LIST_COLUMNS && missing >> i & 1)
            continue;
        r = get_column(d, header, &columns->columns[i], head, liveness, memory);
        if (r < 0)
            return r;
    }
    return 0;
}

static int get_row(struct decoder *d, const struct serialization_header *header,
    const struct unfiltered_head *head, struct row_memory *memory, struct row *ret_row)
{
    struct row row = {
        .clustering = head->clustering,
        .liveness = LIVENESS_NONE,
        .deletion = DELETION_LIVE,
    };
    int r;

    if (head->flags & FLAG_TIMESTAMP)
        row.liveness.timestamp_us = get_timestamp(d, header);
    if (head->flags & FLAG_TTL) {
        row.liveness.ttl_s = get_ttl(d, header);
        row.liveness.local_deletion_time_s = get_local_deletion_time(d, header);
        if (!(head->flags & FLAG_TIMESTAMP) || row.liveness.ttl_s <= 0 ||
            row.liveness.local_deletion_time_s < 0)
            return err_new(-EUCLEAN, "liveness with ttl %d, local deletion time %d",
                (int)row.liveness.ttl_s, (int)row.liveness.local_deletion_time_s);
    }
    if (head->flags & FLAG_DELETION) {
        r = get_deletion_delta(d, header, &row.deletion);
        if (r < 0)
            return r;
    }
    memory->cell_count = 0;
    memory->complex_deletion_count = 0;
    r = get_columns(d, header, head, &row.liveness, memory);
    if (r < 0)
        return r;
    row.cells = memory->cells;
    row.cell_count = memory->cell_count;
    row.complex_deletions = memory->complex_deletions;
    row.complex_deletion_count = memory->complex_deletion_count;
    *ret_row = row;
    return 0;
}

static int get_marker(struct decoder *d, const struct serialization_header *header,
    const struct unfiltered_head *head, struct marker *ret_marker)
{
    struct marker marker = {
        .bound = head->clustering,
        .closes = DELETION_LIVE,
        .opens = DELETION_LIVE,
    };
    uint8_t kind = head->clustering.kind;
    int r;

    if (kind_is_end(kind)) {
        r = get_deletion_delta(d, header, &marker.closes);
        if (r < 0)
            return r;
        if (deletion_is_live(marker.closes))
            return err_new(-EUCLEAN, "range tombstone without deletion");
    }
    if (kind_is_start(kind)) {
        r = get_deletion_delta(d, header, &marker.opens);
        if (r < 0)
            return r;
        if (deletion_is_live(marker.opens))
            return err_new(-EUCLEAN, "range tombstone without deletion");
    }
    *ret_marker = marker;
    return 0;
}

int data_get_body(const struct serialization_header *header, const struct unfiltered_head *head,
    struct bytes body, struct row_memory *memory, struct unfiltered *ret_unfiltered)
{
    struct decoder d = decoder_of(body);
    int r;

    get_uvint(&d); /* size of the unfiltered before: nobody uses it */
    ret_unfiltered->is_marker = head->is_marker;
    r = head->is_marker ? get_marker(&d, header, head, &ret_unfiltered->marker)
                        : get_row(&d, header, head, memory, &ret_unfiltered->row);
    if (r < 0)
        return r;
    if (decoder_failed(&d) || decoder_left(&d) != 0)
        return err_new(-EUCLEAN, "%s of %zu bytes has another size inside",
            head->is_marker ? "marker" : "row", body.size);
    return 0;
}

/* ---- a part of a row ---- */

static bool has_only_blobs(const struct header_columns *columns)
{
    for (unsigned i = 0; i < columns->count; i++) {
        if (columns->columns[i].is_complex || columns->columns[i].fixed_width > 0)
            return false;
    }
    return columns->count > 0;
}

bool data_may_be_even(const struct serialization_header *header, const struct unfiltered_head *head,
    struct bytes start, struct even_row *ret_even)
{
    bool has_timestamp = head->flags & FLAG_TIMESTAMP;
    struct decoder d = decoder_of(start);
    uint8_t cell_flags;
    int32_t value_bytes;

    if ((head->flags & ~FLAG_TIMESTAMP) != FLAG_ALL_COLUMNS ||
        head->body_bytes < EVEN_ROW_BYTES_MIN || !has_only_blobs(&header->regulars))
        return false;
    get_uvint(&d); /* size of the unfiltered before */
    ret_even->liveness = LIVENESS_NONE;
    if (has_timestamp)
        ret_even->liveness.timestamp_us = get_timestamp(&d, header);
    ret_even->cells_at = (uint64_t)(d.at - start.data);
    cell_flags = get_u8(&d);
    if (cell_flags & ~(has_timestamp ? CELL_FLAG_ROW_TIMESTAMP : 0))
        return false;
    if (!(cell_flags & CELL_FLAG_ROW_TIMESTAMP))
        get_uvint(&d);
    value_bytes = get_uvint32(&d);
    if (decoder_failed(&d) || value_bytes < 0)
        return false;
    ret_even->cell_bytes =
        (uint64_t)(d.at - start.data) - ret_even->cells_at + (uint32_t)value_bytes;
    return head->body_bytes == ret_even->cells_at + header->regulars.count * ret_even->cell_bytes;
}

/* Of a cell's own timestamp; the row's takes none. */
static unsigned timestamp_bytes(const struct serialization_header *header,
    const struct liveness *liveness, const struct cell *cell)
{
    if (liveness->timestamp_us != TIMESTAMP_NONE && cell->timestamp_us == liveness->timestamp_us)
        return 0;
    return uvint_size((uint64_t)cell->timestamp_us - (uint64_t)header->min_timestamp_us);
}

/* A deletion or expiry would take bytes that the first cell lacks: then the sum were another. */
bool data_is_even(const struct serialization_header *header, const struct row *row)
{
    const struct cell *first = &row->cells[0];
    unsigned first_bytes = timestamp_bytes(header, &row->liveness, first);

    for (uint32_t i = 1; i < row->cell_count; i++) {
        const struct cell *cell = &row->cells[i];

        if (cell->value.size != first->value.size ||
            timestamp_bytes(header, &row->liveness, cell) != first_bytes)
            return false;
    }
    return true;
}

int data_get_part(const struct serialization_header *header, const struct even_row *even,
    const struct column_run *part, struct bytes bytes, struct row_memory *memory,
    struct row *ret_row)
{
    struct decoder d = decoder_of(bytes);

    memory->cell_count = 0;
    for (unsigned i = part->first; i < part->first + part->count; i++) {
        const uint8_t *end = d.at + even->cell_bytes;
        int r = add_cell(&d, header, &header->regulars.columns[i], &even->liveness, memory);

        if (r < 0)
            return r;
        if (d.at != end)
            return err_new(-EUCLEAN, "cell %u is not as long as the first", i);
    }
    *ret_row = (struct row){
        .liveness = even->liveness,
        .deletion = DELETION_LIVE,
        .cells = memory->cells,
        .cell_count = memory->cell_count,
    };
    return 0;
}
