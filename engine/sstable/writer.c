#include "sstable/writer.h"

#include <errno.h>

#include "base/arena.h"
#include "base/crc32.h"
#include "engine/assert.h"
#include "engine/error.h"
#include "rows/compare.h"
#include "sstable/compression.h"
#include "sstable/descriptor.h"
#include "sstable/digest.h"
#include "sstable/filter.h"
#include "sstable/index.h"
#include "sstable/output.h"
#include "sstable/stats.h"
#include "sstable/summary.h"

/*
 *   unfiltered --data.c--> record --> chunk --compression.c--> Data.db
 *                  |                    `-- offset --> CompressionInfo.db (CRC.db)
 *                  |-- index.c, at the partition's end --> Index.db --> Summary.db
 *                  `-- stats.c -----------------------------------> Statistics.db
 *
 * finish() writes the small components, TOC.txt last, and syncs all.
 */

#define ARENA_PIECE_BYTES 4096u
/* 10 bits a row. */
#define ROW_FILTER_FP_CHANCE 0.01

struct sstable_writer {
    struct env *env;
    const struct table_schema *schema;
    struct sstable_id id;
    char *folder;
    struct arena arena;
    struct serialization_header header;
    struct data_encoder encoder;
    struct stats_collector stats;
    struct sstable_filters filters;
    struct row_filter_writer row_filter; /* fills filters.rows */
    struct summary_builder summary;
    struct index_builder index;

    struct output outputs[COMPONENT_COUNT];
    component_set components; /* whose files were made */

    size_t chunk_size; /* of the chunk that is filled, in the tail of Data.db */
    uint8_t *scratch;  /* of what a chunk takes when it is stored; NULL: not compressed */
    struct compression_info compression;
    struct buf chunk_table; /* offsets, or CRCs of uncompressed chunks */
    uint64_t position;      /* in the stream */
    uint64_t payload_bytes; /* of compressed chunks */

    struct buf component; /* an entry of Index.db; all of a small one, at the end */
    bool in_partition;
    struct buf key; /* of the partition at hand, or of the last */
    struct decorated_key decorated;
    struct deletion deletion;
    uint64_t partition_start, header_bytes;
    uint64_t previous_start;             /* of the last unfiltered, from the partition's start */
    bool has_even_rows, has_uneven_rows; /* among those that may be even by their size */
    int64_t first_token;
};

static void free_writer(struct sstable_writer *writer, bool remove)
{
    for (unsigned i = 0; i < COMPONENT_COUNT; i++)
        output_release(&writer->outputs[i], remove && (writer->components >> i & 1) != 0);
    data_encoder_release(&writer->encoder);
    stats_collector_release(&writer->stats);
    filters_release(&writer->filters);
    summary_builder_release(&writer->summary);
    index_builder_release(&writer->index);
    buf_release(&writer->component);
    buf_release(&writer->chunk_table);
    free(writer->scratch);
    buf_release(&writer->key);
    arena_release(&writer->arena);
    free(writer->folder);
    free(writer);
}

static void free_writerp(struct sstable_writer **writer)
{
    if (*writer)
        free_writer(*writer, true);
}

static int open_component(
    struct sstable_writer *writer, enum sstable_component component, size_t tail_bytes)
{
    int r = output_open(&writer->outputs[component], writer->env,
        sstable_path(writer->folder, &writer->id, component), tail_bytes);

    if (r == 0)
        writer->components |= 1u << component;
    return r;
}

static void set_bases(
    struct serialization_header *header, const struct sstable_writer_options *options)
{
    if (options->min_timestamp_us != INT64_MAX)
        header->min_timestamp_us = options->min_timestamp_us;
    if (options->min_local_deletion_time_s != LOCAL_DELETION_TIME_NONE)
        header->min_local_deletion_time_s = options->min_local_deletion_time_s;
    if (options->min_ttl_s != INT32_MAX)
        header->min_ttl_s = options->min_ttl_s;
}

static int init_writer(struct sstable_writer *writer, const struct sstable_writer_options *options)
{
    const struct table_schema *schema = writer->schema;
    size_t stored_max;
    int r;

    r = header_of_schema(&writer->arena, schema, &writer->header);
    if (r < 0)
        return r;
    set_bases(&writer->header, options);
    r = data_encoder_init(&writer->encoder, &writer->header);
    if (r < 0)
        return r;
    if (filter_is_wanted(schema->filter_fp_chance)) {
        r = filter_init(
            &writer->filters.partitions, options->expected_partitions, schema->filter_fp_chance);
        if (r == 0 && schema->has_row_filter)
            r = filter_init(&writer->filters.rows, options->expected_rows, ROW_FILTER_FP_CHANCE);
        if (r < 0)
            return r;
    }
    summary_builder_init(&writer->summary, schema->min_index_interval);
    index_builder_init(&writer->index, &writer->header, schema->column_index_bytes);
    writer->compression.chunk_bytes = schema->chunk_bytes ? schema->chunk_bytes : CRC_CHUNK_BYTES;
    writer->compression.max_compressed_bytes =
        compression_max_bytes(writer->compression.chunk_bytes, schema->min_compress_ratio);
    stored_max = compression_stored_max(&writer->compression);
    if (schema->chunk_bytes > 0) {
        writer->scratch = malloc(stored_max);
        if (!writer->scratch)
            return err_new(-ENOMEM, "%zu bytes for a compressed chunk", stored_max);
    }
    r = open_component(writer, COMPONENT_DATA, stored_max);
    return r < 0 ? r : open_component(writer, COMPONENT_INDEX, 0);
}

int sstable_writer_open(struct env *env, const char *folder, const struct sstable_id *id,
    const struct table_schema *schema, const struct sstable_writer_options *options,
    struct sstable_writer **ret_writer)
{
    AUTO(free_writerp) struct sstable_writer *writer = calloc(1, sizeof(*writer));
    int r;

    ASSERT(schema->min_index_interval > 0 && schema->column_index_bytes > 0);
    ASSERT(schema->chunk_bytes <= CHUNK_BYTES_MAX &&
           (schema->chunk_bytes & (schema->chunk_bytes - 1)) == 0);
    if (!writer)
        return err_new(-ENOMEM, "an SSTable writer");
    for (unsigned i = 0; i < COMPONENT_COUNT; i++)
        writer->outputs[i] = OUTPUT_INIT;
    writer->env = env;
    writer->schema = schema;
    writer->id = *id;
    arena_init(&writer->arena, ARENA_PIECE_BYTES);
    stats_collector_init(&writer->stats, schema);
    writer->folder = strdup(folder);
    r = writer->folder ? init_writer(writer, options) : err_new(-ENOMEM, "name of a folder");
    if (r < 0)
        return err_with(r, "write SSTable '%s'", id->text);
    *ret_writer = writer;
    writer = NULL;
    return 0;
}

/** The chunk is whole (or the last): compress it, note its place. */
static int end_chunk(struct sstable_writer *writer)
{
    struct output *data = &writer->outputs[COMPONENT_DATA];
    uint8_t *chunk = output_tail(data);
    size_t size = writer->chunk_size, payload;

    writer->chunk_size = 0;
    if (!writer->scratch) {
        put_be32(&writer->chunk_table, crc32_update(0, chunk, size));
        return output_commit(data, size);
    }
    put_be64(&writer->chunk_table, output_position(data));
    payload = compression_store_chunk(&writer->compression, chunk, size, writer->scratch);
    writer->payload_bytes += payload;
    return output_commit(data, payload + CHUNK_CRC_BYTES);
}

/** The next bytes of the stream. Here they are copied, once. */
static int put_stream(struct sstable_writer *writer, const uint8_t *data, size_t size)
{
    writer->position += size;
    while (size > 0) {
        size_t room = writer->compression.chunk_bytes - writer->chunk_size;
        size_t part = size < room ? size : room;

        memcpy(output_tail(&writer->outputs[COMPONENT_DATA]) + writer->chunk_size, data, part);
        writer->chunk_size += part;
        data += part;
        size -= part;
        if (part == room) {
            int r = end_chunk(writer);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

/** All of the encoder's record, which is emptied. */
static int put_record(struct sstable_writer *writer)
{
    struct record *record = &writer->encoder.record;
    const struct buf *body = &record->body;
    size_t done = 0;
    int r;

    if (record_error(record) < 0)
        return err_new(-ENOMEM, "an encoded row");
    r = put_stream(writer, record->head.data, record->head.size);
    for (size_t i = 0; r == 0 && i < record->value_count; i++) {
        const struct record_value *large = &record->values[i];

        r = put_stream(writer, body->data + done, large->at - done);
        if (r == 0)
            r = put_stream(writer, large->value.data, large->value.size);
        done = large->at;
    }
    if (r == 0)
        r = put_stream(writer, body->data + done, body->size - done);
    record_clear(record);
    return r;
}

/** `clustering` NULL: what deletes more than a row. */
static void note_row(struct sstable_writer *writer, const struct clustering *clustering)
{
    if (writer->filters.rows.word_count > 0)
        row_filter_add(&writer->row_filter, &writer->filters.rows, clustering);
}

int sstable_writer_begin_partition(struct sstable_writer *writer, const struct decorated_key *key,
    struct deletion deletion, const struct row *static_row)
{
    ASSERT(!writer->in_partition);
    ASSERT(key->key.size <= KEY_BYTES_MAX);
    ASSERT(writer->stats.partitions == 0 || decorated_key_compare(&writer->decorated, key) < 0);
    ASSERT(writer->header.statics.count > 0 || !static_row || row_is_empty(static_row));

    if (writer->stats.partitions == 0)
        writer->first_token = key->token;
    buf_clear(&writer->key);
    buf_append_bytes(&writer->key, key->key);
    if (buf_error(&writer->key) < 0)
        return err_new(-ENOMEM, "a key of %zu bytes", key->key.size);
    writer->decorated = (struct decorated_key){key->token, buf_bytes(&writer->key)};
    if (writer->filters.rows.word_count > 0)
        row_filter_begin_partition(&writer->row_filter, key->key);
    writer->deletion = deletion;
    writer->partition_start = writer->position;
    writer->in_partition = true;
    index_builder_begin(&writer->index);
    if (!deletion_is_live(deletion))
        note_row(writer, NULL);

    stats_add_partition(&writer->stats, key->key, deletion);
    data_put_partition_header(&writer->encoder, key->key, deletion);
    if (writer->header.statics.count > 0) {
        data_put_static_row(&writer->encoder, static_row);
        if (static_row && !row_is_empty(static_row)) {
            int r = stats_add_row(&writer->stats, static_row);
            if (r < 0)
                return r;
        }
    }
    writer->header_bytes = record_bytes(&writer->encoder.record);
    writer->previous_start = 0;
    return put_record(writer);
}

/** Of the row that is in the encoder's record. */
static void note_evenness(struct sstable_writer *writer, const struct row *row)
{
    const struct record *record = &writer->encoder.record;
    struct decoder d = decoder_of(buf_bytes(&record->head));
    struct clustering_memory memory;
    struct unfiltered_head head;
    struct even_row even;

    if (record_bytes(record) < EVEN_ROW_BYTES_MIN || record_error(record) < 0 ||
        data_get_head(&d, &writer->header, &memory, &head) != DATA_OK ||
        !data_may_be_even(&writer->header, &head, buf_bytes(&record->body), &even))
        return;
    if (data_is_even(&writer->header, row))
        writer->has_even_rows = true;
    else
        writer->has_uneven_rows = true;
}

int sstable_writer_append(struct sstable_writer *writer, const struct unfiltered *unfiltered)
{
    uint64_t start = writer->position - writer->partition_start;
    int r;

    ASSERT(writer->in_partition);
    if (!unfiltered->is_marker && row_is_empty(&unfiltered->row))
        return 0;
    data_put_unfiltered(&writer->encoder, unfiltered, start - writer->previous_start);
    if (!unfiltered->is_marker)
        note_evenness(writer, &unfiltered->row);
    r = put_record(writer);
    if (r < 0)
        return r;
    index_builder_add(
        &writer->index, unfiltered, start, writer->position - writer->partition_start);
    writer->previous_start = start;
    note_row(writer, unfiltered->is_marker ? NULL : &unfiltered->row.clustering);
    return unfiltered->is_marker ? stats_add_marker(&writer->stats, &unfiltered->marker)
                                 : stats_add_row(&writer->stats, &unfiltered->row);
}

/** All of the buffer `component`, which is emptied, to the end of a component. */
static int put_component(struct sstable_writer *writer, enum sstable_component component)
{
    int r;

    if (buf_error(&writer->component) < 0)
        return err_new(-ENOMEM, "%zu bytes of a component", writer->component.size);
    r = output_append(&writer->outputs[component], buf_bytes(&writer->component));
    buf_clear(&writer->component);
    return r;
}

int sstable_writer_end_partition(struct sstable_writer *writer)
{
    struct bytes key = buf_bytes(&writer->key);
    uint64_t entry_position = output_position(&writer->outputs[COMPONENT_INDEX]), bytes;
    int r;

    ASSERT(writer->in_partition);
    writer->in_partition = false;
    data_put_end_of_partition(&writer->encoder);
    r = put_record(writer);
    if (r < 0)
        return r;
    bytes = writer->position - writer->partition_start;
    r = index_builder_finish(&writer->index, &writer->component, key, writer->partition_start,
        writer->deletion, writer->header_bytes, bytes);
    if (r == 0)
        r = put_component(writer, COMPONENT_INDEX);
    if (r < 0)
        return r;
    summary_builder_add(&writer->summary, key, entry_position);
    if (writer->filters.partitions.word_count > 0)
        filter_add(&writer->filters.partitions, key);
    stats_end_partition(&writer->stats, bytes);
    return 0;
}

int sstable_writer_write(
    struct sstable_writer *writer, struct partition_iterator *partition, bool *ret_written)
{
    const struct unfiltered *unfiltered;
    int r, more;

    more = partition_next(partition, &unfiltered);
    if (more < 0)
        return more;
    if (more == 0 && deletion_is_live(partition->deletion) &&
        (!partition->static_row || row_is_empty(partition->static_row))) {
        *ret_written = false;
        return 0;
    }
    r = sstable_writer_begin_partition(
        writer, &partition->key, partition->deletion, partition->static_row);
    if (r < 0)
        return r;
    while (more > 0) {
        r = sstable_writer_append(writer, unfiltered);
        if (r < 0)
            return r;
        more = partition_next(partition, &unfiltered);
    }
    if (more < 0)
        return more;
    r = sstable_writer_end_partition(writer);
    if (r < 0)
        return r;
    *ret_written = true;
    return 0;
}

uint64_t sstable_writer_bytes(const struct sstable_writer *writer)
{
    return output_position(&writer->outputs[COMPONENT_DATA]);
}

uint64_t sstable_writer_stream_bytes(const struct sstable_writer *writer)
{
    return writer->position;
}

uint64_t sstable_writer_partitions(const struct sstable_writer *writer)
{
    return writer->stats.partitions;
}

/** Of the components that are written by now: all but this one and TOC.txt. */
static void encode_digests(const struct sstable_writer *writer, struct buf *to)
{
    struct component_digests digests = {.known = writer->components};

    digests.known &= ~(1u << COMPONENT_DIGEST | 1u << COMPONENT_TOC);
    for (unsigned i = 0; i < COMPONENT_COUNT; i++)
        digests.crc[i] = writer->outputs[i].crc;
    digests.rows_are_even = writer->has_even_rows && !writer->has_uneven_rows;
    digest_encode(to, &digests);
}

static void encode_component(
    struct sstable_writer *writer, enum sstable_component component, struct buf *to)
{
    bool compressed = writer->schema->chunk_bytes > 0;

    switch (component) {
    case COMPONENT_SUMMARY:
        summary_encode(to, &writer->summary);
        break;
    case COMPONENT_FILTER:
        filter_encode(to, &writer->filters.partitions);
        if (writer->filters.rows.word_count > 0) {
            row_filter_finish(&writer->row_filter, &writer->filters.rows);
            filter_encode(to, &writer->filters.rows);
        }
        break;
    case COMPONENT_STATISTICS:
        statistics_encode(to, &writer->stats, &writer->header, writer->schema->filter_fp_chance,
            compressed ? (double)writer->payload_bytes / (double)writer->position : -1.0);
        break;
    case COMPONENT_COMPRESSION_INFO:
        writer->compression.stream_bytes = writer->position;
        writer->compression.chunk_count = writer->chunk_table.size / 8;
        writer->compression.offsets = writer->chunk_table.data;
        compression_info_encode(to, &writer->compression);
        break;
    case COMPONENT_CRC:
        put_be32(to, CRC_CHUNK_BYTES);
        buf_append_bytes(to, buf_bytes(&writer->chunk_table));
        break;
    case COMPONENT_DIGEST:
        encode_digests(writer, to);
        break;
    case COMPONENT_TOC:
        toc_encode(to, writer->components);
        break;
    case COMPONENT_DATA:
    case COMPONENT_INDEX:
    case COMPONENT_COUNT:
        ASSERT(false);
    }
}

static int write_component(struct sstable_writer *writer, enum sstable_component component)
{
    int r = open_component(writer, component, 0);

    if (r < 0)
        return r;
    encode_component(writer, component, &writer->component);
    r = put_component(writer, component);
    return r < 0 ? r : output_end(&writer->outputs[component]);
}

static int write_components(struct sstable_writer *writer)
{
    static const enum sstable_component small[] = {
        COMPONENT_SUMMARY,
        COMPONENT_FILTER,
        COMPONENT_STATISTICS,
        COMPONENT_COMPRESSION_INFO,
        COMPONENT_CRC,
        COMPONENT_DIGEST,
        COMPONENT_TOC,
    };
    bool compressed = writer->schema->chunk_bytes > 0;
    int r = 0;

    if (writer->chunk_size > 0)
        r = end_chunk(writer);
    if (r == 0)
        r = buf_error(&writer->chunk_table);
    if (r == 0)
        r = output_end(&writer->outputs[COMPONENT_DATA]);
    if (r == 0)
        r = output_end(&writer->outputs[COMPONENT_INDEX]);
    for (size_t i = 0; r == 0 && i < ARRAY_COUNT(small); i++) {
        if ((small[i] == COMPONENT_FILTER && writer->filters.partitions.word_count == 0) ||
            small[i] == (compressed ? COMPONENT_CRC : COMPONENT_COMPRESSION_INFO))
            continue;
        r = write_component(writer, small[i]);
    }
    return r;
}

/* All are written before the first is waited for: the device has the rest of them meanwhile, and
 * one commit of the filesystem's journal serves all. */
static int sync_components(struct sstable_writer *writer)
{
    for (unsigned i = 0; i < COMPONENT_COUNT; i++) {
        int r = writer->components >> i & 1 ? output_sync(&writer->outputs[i]) : 0;

        if (r < 0)
            return r;
    }
    return 0;
}

static void gather_facts(const struct sstable_writer *writer, struct sstable_facts *facts)
{
    const struct stats_collector *stats = &writer->stats;

    *facts = (struct sstable_facts){
        .id = writer->id,
        .partitions = stats->partitions,
        .rows = stats->rows,
        .tombstones = stats->tombstones,
        .data_bytes = writer->outputs[COMPONENT_DATA].written,
        .stream_bytes = writer->position,
        .min_timestamp_us = stats->min_timestamp_us,
        .max_timestamp_us = stats->max_timestamp_us,
        .min_local_deletion_time_s = stats->min_local_deletion_time_s,
        .max_local_deletion_time_s = stats->max_local_deletion_time_s,
        .min_ttl_s = stats->min_ttl_s,
        .first_token = writer->first_token,
        .last_token = writer->decorated.token,
        .digest = writer->outputs[COMPONENT_DATA].crc,
    };
    for (unsigned i = 0; i < COMPONENT_COUNT; i++)
        facts->total_bytes += writer->outputs[i].written;
}

int sstable_writer_finish(struct sstable_writer *writer, struct sstable_facts *ret_facts)
{
    AUTO(free_writerp) struct sstable_writer *owned = writer;
    int r;

    ASSERT(!writer->in_partition);
    if (writer->stats.partitions == 0)
        return err_new(-EINVAL, "SSTable '%s' without partitions", writer->id.text);
    r = write_components(writer);
    if (r == 0)
        r = sync_components(writer);
    if (r < 0)
        return err_with(r, "write SSTable '%s'", writer->id.text);
    gather_facts(writer, ret_facts);
    owned = NULL;
    free_writer(writer, false);
    return 0;
}

void sstable_writer_discard(struct sstable_writer *writer)
{
    if (writer)
        free_writer(writer, true);
}
