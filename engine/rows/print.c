#include "engine/print.h"

#include <errno.h>
#include <inttypes.h>

#include "rows/compare.h"
#include "rows/reconcile.h"
#include "rows/type.h"

/* Names that need quotes in CQL, and so have them here (cql3/reserved_keywords.txt). */
static const char *const reserved[] = {"add", "allow", "alter", "and", "apply", "asc", "authorize",
    "batch", "begin", "by", "columnfamily", "create", "delete", "desc", "describe", "drop",
    "entries", "execute", "from", "full", "grant", "if", "in", "index", "infinity", "insert",
    "into", "is", "keyspace", "limit", "materialized", "modify", "nan", "norecursive", "not",
    "null", "of", "on", "or", "order", "primary", "rename", "revoke", "schema", "select", "set",
    "table", "to", "token", "truncate", "unlogged", "update", "use", "using", "view", "where",
    "with"};

static bool name_needs_quotes(const char *name)
{
    if (name[0] < 'a' || name[0] > 'z')
        return true;
    for (const char *at = name; *at; at++) {
        if ((*at < 'a' || *at > 'z') && (*at < '0' || *at > '9') && *at != '_')
            return true;
    }
    for (size_t i = 0; i < ARRAY_COUNT(reserved); i++) {
        if (strcmp(name, reserved[i]) == 0)
            return true;
    }
    return false;
}

/* As CQL writes it, then as a JSON string. */
static void print_name(const char *name, struct buf *out)
{
    struct buf text = BUF_INIT;

    if (!name_needs_quotes(name)) {
        string_print_json(bytes_of_string(name), out);
        return;
    }
    buf_append_u8(&text, '"');
    for (const char *at = name; *at; at++) {
        if (*at == '"')
            buf_append_u8(&text, '"');
        buf_append_u8(&text, (uint8_t)*at);
    }
    buf_append_u8(&text, '"');
    string_print_json(buf_bytes(&text), out);
    if (buf_error(&text) < 0)
        out->error = buf_error(&text);
    buf_release(&text);
}

static void print_deletion(struct deletion deletion, struct buf *out)
{
    print_short(out,
        "\"deletion_info\" : { \"marked_deleted\" : \"%" PRId64
        "\", \"local_delete_time\" : \"%d\" }",
        deletion.marked_for_delete_at_us, deletion.local_deletion_time_s);
}

static void print_expiry(int32_t ttl_s, int32_t expiry_s, bool expired, struct buf *out)
{
    print_short(out, ", \"ttl\" : %d, \"expires_at\" : \"%d\", \"expired\" : %s", ttl_s, expiry_s,
        expired ? "true" : "false");
}

/* What a bound does not say is a star. Nothing if it says nothing. */
static void print_clustering(const struct table_schema *schema, const struct clustering *clustering,
    const char *before, struct buf *out)
{
    if (clustering->count == 0)
        return;
    print_short(out, "%s\"clustering\" : [ ", before);
    for (unsigned i = 0; i < schema->clustering_count; i++) {
        print_short(out, "%s", i ? ", " : "");
        if (i >= clustering->count)
            print_short(out, "\"*\"");
        else if (!clustering->values[i].data)
            print_short(out, "null");
        else
            value_print_json(schema->clustering[i].type, clustering->values[i], out);
    }
    print_short(out, " ]");
}

static void print_cell(const struct column *columns, const struct cell *cell,
    struct liveness liveness, int64_t now_s, struct buf *out)
{
    const struct type *type = columns[cell->column].type;
    bool has_liveness = liveness.timestamp_us != TIMESTAMP_NONE;
    bool compact = true;

    print_short(out, "{ \"name\" : ");
    print_name(columns[cell->column].name, out);
    if (type_is_complex(type)) {
        struct buf path = BUF_INIT;
        value_print_text(type_path(type), cell->path, &path);
        print_short(out, ", \"path\" : [ ");
        string_print_json(buf_bytes(&path), out);
        print_short(out, " ]");
        if (buf_error(&path) < 0)
            out->error = buf_error(&path);
        buf_release(&path);
    }
    if (cell_is_tombstone(cell)) {
        print_short(out, ", \"deletion_info\" : { \"local_delete_time\" : \"%d\" }",
            cell->local_deletion_time_s);
        compact = false;
    } else {
        print_short(out, ", \"value\" : ");
        if (type_is_complex(type) && type->kind == TYPE_SET)
            string_print_json(cell->value, out);
        else
            value_print_json(type_cell_value(type), cell->value, out);
    }
    if (!has_liveness || cell->timestamp_us != liveness.timestamp_us)
        print_short(out, ",%s\"tstamp\" : \"%" PRId64 "\"", compact ? " " : "\n            ",
            cell->timestamp_us);
    if (cell_is_expiring(cell) && (!has_liveness || cell->ttl_s != liveness.ttl_s))
        print_expiry(cell->ttl_s, cell->local_deletion_time_s, !cell_is_live(cell, now_s), out);
    print_short(out, compact ? " }" : "\n          }");
}

static void print_cells(
    const struct column *columns, const struct row *row, int64_t now_s, struct buf *out)
{
    uint32_t cell = 0, complex = 0;
    bool any = false;

    print_short(out, "        \"cells\" : [");
    while (cell < row->cell_count || complex < row->complex_deletion_count) {
        const struct complex_deletion *next = row->complex_deletions + complex;

        print_short(out, "%s\n          ", any ? "," : "");
        any = true;
        if (complex < row->complex_deletion_count &&
            (cell == row->cell_count || next->column <= row->cells[cell].column)) {
            print_short(out, "{ \"name\" : ");
            print_name(columns[next->column].name, out);
            print_short(out, ", ");
            print_deletion(next->deletion, out);
            print_short(out, " }");
            complex++;
        } else {
            print_cell(columns, &row->cells[cell++], row->liveness, now_s, out);
        }
    }
    print_short(out, any ? "\n        ]" : " ]");
}

static void print_row(const struct table_schema *schema, const struct row *row, uint64_t position,
    int64_t now_s, struct buf *out)
{
    bool is_static = row->clustering.kind == KIND_STATIC;

    print_short(out, "      {\n        \"type\" : \"%s\",\n        \"position\" : %" PRIu64,
        is_static ? "static_block" : "row", position);
    print_clustering(schema, &row->clustering, ",\n        ", out);
    if (row->liveness.timestamp_us != TIMESTAMP_NONE) {
        print_short(out, ",\n        \"liveness_info\" : { \"tstamp\" : \"%" PRId64 "\"",
            row->liveness.timestamp_us);
        if (row->liveness.ttl_s)
            print_expiry(row->liveness.ttl_s, row->liveness.local_deletion_time_s,
                row->liveness.local_deletion_time_s < now_s, out);
        print_short(out, " }");
    }
    if (!deletion_is_live(row->deletion)) {
        print_short(out, ",\n        ");
        print_deletion(row->deletion, out);
    }
    print_short(out, ",\n");
    print_cells(is_static ? schema->statics : schema->regulars, row, now_s, out);
    print_short(out, "\n      }");
}

/* One side of a marker: the bound of `kind` that it is. */
static void print_side(const struct table_schema *schema, const struct clustering *bound,
    uint8_t kind, struct deletion deletion, struct buf *out)
{
    bool inclusive = kind == KIND_INCL_START || kind == KIND_INCL_END;

    print_short(out, ",\n        \"%s\" : {\n          \"type\" : \"%s\"",
        kind_is_start(kind) ? "start" : "end", inclusive ? "inclusive" : "exclusive");
    print_clustering(schema, bound, ",\n          ", out);
    print_short(out, ",\n          ");
    print_deletion(deletion, out);
    print_short(out, "\n        }");
}

static void print_marker(
    const struct table_schema *schema, const struct marker *marker, struct buf *out)
{
    const struct clustering *bound = &marker->bound;

    print_short(out, "      {\n        \"type\" : \"range_tombstone_%s\"",
        kind_is_boundary(bound->kind) ? "boundary" : "bound");
    if (kind_is_start(bound->kind))
        print_side(schema, bound, kind_as_start(bound->kind), marker->opens, out);
    if (kind_is_end(bound->kind))
        print_side(schema, bound, kind_as_end(bound->kind), marker->closes, out);
    print_short(out, "\n      }");
}

void partition_print_json_begin(
    const struct partition_iterator *partition, int64_t now_s, uint64_t *ret_rows, struct buf *out)
{
    *ret_rows = 0;
    print_short(
        out, "  {\n    \"table kind\" : \"REGULAR\",\n    \"partition\" : {\n      \"key\" : ");
    key_print_json(partition->schema, partition->key.key, out);
    /* Where sstabledump stands when it prints this: behind the partition's header. */
    print_short(out, ",\n      \"position\" : %" PRIu64, partition->rows_position);
    if (!deletion_is_live(partition->deletion)) {
        print_short(out, ",\n      ");
        print_deletion(partition->deletion, out);
    }
    print_short(out, "\n    },\n    \"rows\" : [");
    if (partition->static_row && !row_is_empty(partition->static_row)) {
        print_short(out, "\n");
        print_row(partition->schema, partition->static_row, partition->rows_position, now_s, out);
        ++*ret_rows;
    }
}

void partition_print_json_unfiltered(const struct table_schema *schema,
    const struct unfiltered *unfiltered, int64_t now_s, uint64_t *rows, struct buf *out)
{
    print_short(out, "%s\n", (*rows)++ ? "," : "");
    if (unfiltered->is_marker)
        print_marker(schema, &unfiltered->marker, out);
    else
        print_row(schema, &unfiltered->row, unfiltered->position, now_s, out);
}

void partition_print_json_end(uint64_t rows, struct buf *out)
{
    print_short(out, rows ? "\n    ]\n  }" : " ]\n  }");
}

int partition_print_json(struct partition_iterator *partition, int64_t now_s, struct buf *out)
{
    const struct unfiltered *unfiltered;
    uint64_t rows;
    int r;

    partition_print_json_begin(partition, now_s, &rows, out);
    while ((r = partition_next(partition, &unfiltered)) > 0)
        partition_print_json_unfiltered(partition->schema, unfiltered, now_s, &rows, out);
    if (r < 0)
        return r;
    partition_print_json_end(rows, out);
    return buf_error(out);
}
