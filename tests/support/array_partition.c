#include "support/array_partition.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "rows/compare.h"

static unsigned open_count;

struct array_iterator {
    struct partition_iterator base;
    const struct array_partition *partition;
    size_t next;
    struct unfiltered *given;
    struct row *static_row;
};

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

/* An array of its own, so that each is freed by itself. */
static void *copy_of(const void *from, size_t bytes)
{
    void *to = must(malloc(bytes ? bytes : 1));

    if (bytes)
        memcpy(to, from, bytes);
    return to;
}

static void copy_clustering(struct clustering *clustering)
{
    clustering->values =
        copy_of(clustering->values, clustering->count * sizeof(*clustering->values));
}

static void copy_row(struct row *row)
{
    copy_clustering(&row->clustering);
    row->cells = copy_of(row->cells, row->cell_count * sizeof(*row->cells));
    row->complex_deletions = copy_of(
        row->complex_deletions, row->complex_deletion_count * sizeof(*row->complex_deletions));
}

static void free_row(struct row *row)
{
    free((void *)row->clustering.values);
    free((void *)row->cells);
    free((void *)row->complex_deletions);
}

static void take_back(struct array_iterator *iterator)
{
    if (!iterator->given)
        return;
    if (iterator->given->is_marker)
        free((void *)iterator->given->marker.bound.values);
    else
        free_row(&iterator->given->row);
    free(iterator->given);
    iterator->given = NULL;
}

static int array_next(struct partition_iterator *base, const struct unfiltered **ret)
{
    struct array_iterator *iterator = CONTAINER_OF(base, struct array_iterator, base);

    take_back(iterator);
    if (iterator->next == iterator->partition->count)
        return iterator->partition->failure;
    iterator->given =
        copy_of(&iterator->partition->unfiltereds[iterator->next++], sizeof(*iterator->given));
    if (iterator->given->is_marker)
        copy_clustering(&iterator->given->marker.bound);
    else
        copy_row(&iterator->given->row);
    *ret = iterator->given;
    return 1;
}

static void array_close(struct partition_iterator *base)
{
    struct array_iterator *iterator = CONTAINER_OF(base, struct array_iterator, base);

    take_back(iterator);
    if (iterator->static_row) {
        free_row(iterator->static_row);
        free(iterator->static_row);
    }
    free((void *)iterator->base.key.key.data);
    free(iterator);
    open_count--;
}

static const struct partition_iterator_ops array_ops = {array_next, array_close, NULL};

struct partition_iterator *array_partition_open(
    const struct table_schema *schema, const struct array_partition *partition)
{
    struct array_iterator *iterator = must(calloc(1, sizeof(*iterator)));

    iterator->partition = partition;
    iterator->base = (struct partition_iterator){
        .ops = &array_ops,
        .schema = schema,
        .key = decorated_key_of(
            bytes_of(copy_of(partition->key.data, partition->key.size), partition->key.size)),
        .deletion = partition->deletion,
    };
    if (partition->static_row) {
        iterator->static_row = copy_of(partition->static_row, sizeof(struct row));
        copy_row(iterator->static_row);
        iterator->base.static_row = iterator->static_row;
    }
    open_count++;
    return &iterator->base;
}

unsigned array_partitions_open(void)
{
    return open_count;
}

struct array_scanner {
    struct partition_scanner base;
    const struct array_partition *partitions;
    size_t count, next;
    struct partition_iterator *given;
};

static int array_scanner_next(struct partition_scanner *base, struct partition_iterator **ret)
{
    struct array_scanner *scanner = CONTAINER_OF(base, struct array_scanner, base);

    partition_close(scanner->given);
    scanner->given = NULL;
    if (scanner->next == scanner->count)
        return 0;
    scanner->given = array_partition_open(base->schema, &scanner->partitions[scanner->next++]);
    *ret = scanner->given;
    return 1;
}

static void array_scanner_close(struct partition_scanner *base)
{
    struct array_scanner *scanner = CONTAINER_OF(base, struct array_scanner, base);

    partition_close(scanner->given);
    free(scanner);
}

static const struct partition_scanner_ops array_scanner_ops = {
    array_scanner_next, array_scanner_close};

struct partition_scanner *array_scanner_open(
    const struct table_schema *schema, const struct array_partition *partitions, size_t count)
{
    struct array_scanner *scanner = must(calloc(1, sizeof(*scanner)));

    scanner->base = (struct partition_scanner){&array_scanner_ops, schema};
    scanner->partitions = partitions;
    scanner->count = count;
    return &scanner->base;
}

/* ---- as text ---- */

void text_add(struct buf *to, const char *format, ...)
{
    char text[256];
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    buf_append(to, text, (size_t)n);
}

static void add_bytes(struct buf *to, struct bytes bytes)
{
    for (size_t i = 0; i < bytes.size; i++)
        text_add(to, "%02x", bytes.data[i]);
}

static void add_clustering(struct buf *to, const struct clustering *clustering)
{
    text_add(to, "%u(", clustering->kind);
    for (unsigned i = 0; i < clustering->count; i++) {
        text_add(to, "%s", i ? "," : "");
        add_bytes(to, clustering->values[i]);
    }
    text_add(to, ")");
}

static void add_deletion(struct buf *to, struct deletion deletion)
{
    if (deletion_is_live(deletion))
        text_add(to, "-");
    else
        text_add(
            to, "%" PRId64 "@%d", deletion.marked_for_delete_at_us, deletion.local_deletion_time_s);
}

void row_to_text(const struct row *row, struct buf *to)
{
    text_add(to, "row ");
    add_clustering(to, &row->clustering);
    if (row->liveness.timestamp_us != TIMESTAMP_NONE) {
        text_add(to, " live %" PRId64, row->liveness.timestamp_us);
        if (row->liveness.ttl_s)
            text_add(to, "+%d@%d", row->liveness.ttl_s, row->liveness.local_deletion_time_s);
    }
    if (!deletion_is_live(row->deletion)) {
        text_add(to, " deleted ");
        add_deletion(to, row->deletion);
    }
    for (uint32_t i = 0; i < row->complex_deletion_count; i++) {
        text_add(to, " %u!", row->complex_deletions[i].column);
        add_deletion(to, row->complex_deletions[i].deletion);
    }
    for (uint32_t i = 0; i < row->cell_count; i++) {
        const struct cell *cell = &row->cells[i];
        text_add(to, " %u[", cell->column);
        add_bytes(to, cell->path);
        text_add(to, "]%" PRId64, cell->timestamp_us);
        if (cell->ttl_s)
            text_add(to, "+%d", cell->ttl_s);
        if (cell->local_deletion_time_s != LOCAL_DELETION_TIME_NONE)
            text_add(to, "@%d", cell->local_deletion_time_s);
        text_add(to, "=");
        add_bytes(to, cell->value);
    }
    text_add(to, "\n");
}

void unfiltered_to_text(const struct unfiltered *unfiltered, struct buf *to)
{
    if (!unfiltered->is_marker) {
        row_to_text(&unfiltered->row, to);
        return;
    }
    text_add(to, "marker ");
    add_clustering(to, &unfiltered->marker.bound);
    text_add(to, " ");
    add_deletion(to, unfiltered->marker.closes);
    text_add(to, " ");
    add_deletion(to, unfiltered->marker.opens);
    text_add(to, "\n");
}

int partition_to_text(struct partition_iterator *partition, struct buf *to)
{
    const struct unfiltered *unfiltered;
    int r;

    text_add(to, "partition ");
    add_bytes(to, partition->key.key);
    text_add(to, " ");
    add_deletion(to, partition->deletion);
    text_add(to, "\n");
    if (partition->static_row)
        row_to_text(partition->static_row, to);
    while ((r = partition_next(partition, &unfiltered)) > 0)
        unfiltered_to_text(unfiltered, to);
    return r;
}

const char *text_of(struct buf *buf)
{
    buf_append_u8(buf, 0);
    if (buf_error(buf) < 0)
        abort();
    buf->size--;
    return (const char *)buf->data;
}
