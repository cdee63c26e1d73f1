#include "sstable/reader.h"

#include <errno.h>

#include "base/crc32.h"
#include "engine/error.h"
#include "rows/compare.h"
#include "sstable/digest.h"

#define ARENA_PIECE_BYTES 4096u
/* What a table that is opened without a schema is taken to want. */
#define DEFAULT_COLUMN_INDEX_BYTES 65536u
#define DEFAULT_GC_GRACE_S 864000
#define SUMMARY_INTERVAL 128u

int sstable_damaged(
    const struct sstable *sstable, int code, enum sstable_component component, uint64_t offset)
{
    char name[SSTABLE_FILE_NAME_MAX + 1];

    sstable_file_name(&sstable->id, component, name);
    return err_with(code, "%s/%s, offset %llu", sstable->folder, name, (unsigned long long)offset);
}

/* ---- opening ---- */

static int stat_components(struct sstable *sstable)
{
    for (unsigned i = 0; i < COMPONENT_COUNT; i++) {
        AUTO(freep)
        char *path = sstable_path(sstable->folder, &sstable->id, (enum sstable_component)i);
        struct io_stat stat;
        int r;

        if (!path)
            return err_new(-ENOMEM, "path of a component");
        r = io_stat(sstable->env, path, &stat);
        if (r == -ENOENT)
            continue;
        if (r < 0)
            return r;
        sstable->components |= 1u << i;
        sstable->facts.total_bytes += stat.size;
        if (i == COMPONENT_DATA)
            sstable->facts.data_bytes = stat.size;
        else if (i == COMPONENT_INDEX)
            sstable->index_bytes = stat.size;
    }
    err_clear();
    return 0;
}

int sstable_check_digest(
    const struct sstable *sstable, enum sstable_component component, uint32_t crc)
{
    uint32_t expected = sstable->digests.crc[component];

    if (!component_set_has(sstable->digests.known, component) || crc == expected)
        return 0;
    err_new(-EBADMSG, "checksum of the file is %u, Digest.crc32 has %u", crc, expected);
    return sstable_damaged(sstable, -EBADMSG, component, 0);
}

/* An SSTable that has lost a component is damaged: that is no answer to who looked for a row. */
static int or_missing(int r, const char *path)
{
    return r == -ENOENT ? err_new(-EUCLEAN, "'%s' is missing", path) : r;
}

int sstable_read_component(const struct sstable *sstable, enum sstable_component component,
    size_t size_max, struct buf *ret_content)
{
    AUTO(freep) char *path = sstable_path(sstable->folder, &sstable->id, component);
    int r;

    if (!path)
        return err_new(-ENOMEM, "path of a component");
    r = or_missing(io_read_file(sstable->env, path, size_max, ret_content), path);
    return r < 0 ? r
                 : sstable_check_digest(
                       sstable, component, crc32_update(0, ret_content->data, ret_content->size));
}

static int open_component(struct sstable *sstable, enum sstable_component component, int *ret_fd)
{
    AUTO(freep) char *path = sstable_path(sstable->folder, &sstable->id, component);

    if (!path)
        return err_new(-ENOMEM, "path of a component");
    return or_missing(io_open(sstable->env, path, O_RDONLY, ret_fd), path);
}

/** What TOC.txt lists and reading needs must be there: Cassandra, too, refuses the table else. */
static int check_components(struct sstable *sstable)
{
    static const enum sstable_component needed[] = {
        COMPONENT_DATA, COMPONENT_INDEX, COMPONENT_STATISTICS};
    struct buf toc = BUF_INIT;
    component_set listed = 0;
    int r;

    if (sstable->components == 0)
        return err_new(-ENOENT, "there is no such SSTable");
    for (size_t i = 0; i < ARRAY_COUNT(needed); i++) {
        if (!component_set_has(sstable->components, needed[i]))
            return err_new(-EUCLEAN, "component %s is missing", component_name(needed[i]));
    }
    if (component_set_has(sstable->components, COMPONENT_TOC)) {
        r = sstable_read_component(sstable, COMPONENT_TOC, 1u << 16, &toc);
        if (r < 0)
            return r;
        listed = toc_decode(buf_bytes(&toc));
        buf_release(&toc);
    }
    sstable->is_compressed = component_set_has(sstable->components, COMPONENT_COMPRESSION_INFO);
    if (!sstable->is_compressed && component_set_has(listed, COMPONENT_COMPRESSION_INFO))
        return err_new(-EUCLEAN, "CompressionInfo.db is in TOC.txt, but missing");
    if (sstable->index_bytes == 0 || sstable->facts.data_bytes == 0)
        return err_new(-EUCLEAN, "no data, or no index");
    return 0;
}

/** Up to `size` bytes of the start of a component, or of what lies at `offset`. */
static int read_part(struct sstable *sstable, enum sstable_component component, uint64_t offset,
    size_t size, struct buf *ret_part)
{
    int fd, r = open_component(sstable, component, &fd);
    int64_t count;

    if (r < 0)
        return r;
    buf_clear(ret_part);
    if (!buf_extend(ret_part, size)) {
        io_close(sstable->env, fd);
        return err_new(-ENOMEM, "%zu bytes of a component", size);
    }
    count = io_read(sstable->env, fd, ret_part->data, size, offset);
    io_close(sstable->env, fd);
    ret_part->size = count < 0 ? 0 : (size_t)count;
    return count < 0 ? sstable_damaged(sstable, (int)count, component, offset) : 0;
}

static int open_chunks(struct sstable *sstable)
{
    struct buf part = BUF_INIT;
    struct compression_info info;
    int r;

    if (!sstable->is_compressed) {
        sstable->facts.stream_bytes = sstable->facts.data_bytes;
        sstable->chunk_bytes = CRC_CHUNK_BYTES;
        if (!component_set_has(sstable->components, COMPONENT_CRC))
            return 0;
        r = read_part(sstable, COMPONENT_CRC, 0, CRC_HEADER_BYTES, &part);
        /* The rest of it is checked when it is loaded. */
        if (r == 0 && part.size == CRC_HEADER_BYTES)
            sstable->chunk_bytes = load_be32(part.data);
        buf_release(&part);
        if (r == 0 &&
            (sstable->chunk_bytes < CHUNK_BYTES_MIN || sstable->chunk_bytes > CHUNK_BYTES_MAX)) {
            err_new(-EUCLEAN, "chunk size %u", sstable->chunk_bytes);
            r = sstable_damaged(sstable, -EUCLEAN, COMPONENT_CRC, 0);
        }
        return r;
    }
    r = read_part(sstable, COMPONENT_COMPRESSION_INFO, 0, COMPRESSION_INFO_HEADER_MAX, &part);
    if (r == 0) {
        r = compression_info_decode(buf_bytes(&part), true, &info);
        if (r < 0)
            r = sstable_damaged(sstable, r, COMPONENT_COMPRESSION_INFO, 0);
    }
    buf_release(&part);
    if (r < 0)
        return r;
    sstable->facts.stream_bytes = info.stream_bytes;
    sstable->chunk_bytes = info.chunk_bytes;
    sstable->max_compressed_bytes = info.max_compressed_bytes;
    return 0;
}

/** Keyspace, name and id out of ".../KEYSPACE/TABLE-<32 hex digits>". */
static int name_own_schema(struct sstable *sstable)
{
    struct table_schema *schema = &sstable->own_schema;
    char *copy = arena_alloc(&sstable->arena, strlen(sstable->folder) + 1);
    char *table, *keyspace, *dash;

    schema->keyspace = "unknown";
    schema->name = "unknown";
    if (!copy)
        return err_new(-ENOMEM, "name of a table");
    memcpy(copy, sstable->folder, strlen(sstable->folder) + 1);
    table = strrchr(copy, '/');
    if (!table)
        return 0;
    *table++ = '\0';
    keyspace = strrchr(copy, '/');
    schema->keyspace = keyspace ? keyspace + 1 : copy;
    schema->name = table;
    dash = strrchr(table, '-');
    if (!dash)
        return 0;
    for (unsigned i = 0; i < 32 && dash[1 + i] != '\0'; i++) {
        static const char digits[] = "0123456789abcdef";
        const char *digit = strchr(digits, dash[1 + i]);

        if (!digit)
            break;
        schema->id[i / 2] = (uint8_t)(schema->id[i / 2] | (digit - digits) << (i % 2 == 0 ? 4 : 0));
    }
    *dash = '\0';
    return 0;
}

static int open_statistics(struct sstable *sstable, const struct table_schema *schema)
{
    struct table_schema *own = &sstable->own_schema;
    int r;

    r = sstable_read_component(
        sstable, COMPONENT_STATISTICS, STATISTICS_BYTES_MAX, &sstable->statistics_content);
    if (r < 0)
        return r;
    r = statistics_decode(buf_bytes(&sstable->statistics_content), &sstable->statistics);
    if (r == 0)
        r = header_decode(&sstable->arena, sstable->statistics.header, own, &sstable->header);
    if (r == 0 && schema)
        r = header_adopt_schema(&sstable->arena, &sstable->header, own, schema);
    if (r < 0)
        return sstable_damaged(sstable, r, COMPONENT_STATISTICS, 0);

    own->chunk_bytes = sstable->is_compressed ? sstable->chunk_bytes : 0;
    /* Half a byte less, so that rounding up gives the same maximum again. */
    own->min_compress_ratio =
        sstable->max_compressed_bytes == CHUNK_ALWAYS_COMPRESSED || !sstable->is_compressed
            ? 0
            : sstable->chunk_bytes / (sstable->max_compressed_bytes - 0.5);
    own->filter_fp_chance = sstable->statistics.fp_chance;
    own->column_index_bytes = DEFAULT_COLUMN_INDEX_BYTES;
    own->gc_grace_s = DEFAULT_GC_GRACE_S;
    sstable->schema = schema ? schema : own;
    return name_own_schema(sstable);
}

/** First and last key, and the interval; without Summary.db out of Index.db, as Cassandra does. */
static int open_summary(struct sstable *sstable)
{
    struct buf *content = &sstable->keys_content;
    const struct index_map *map;
    int r;

    sstable->own_schema.min_index_interval = SUMMARY_INTERVAL;
    if (!component_set_has(sstable->components, COMPONENT_SUMMARY)) {
        r = sstable_get_index_map(sstable, &map);
        if (r < 0)
            return r;
        buf_append_bytes(content, buf_bytes(&map->first_key));
        buf_append_bytes(content, buf_bytes(&map->last_key));
        if (buf_error(content) < 0)
            return err_new(-ENOMEM, "first and last key");
        sstable->first_key = bytes_of(content->data, map->first_key.size);
        sstable->last_key = bytes_of(content->data + map->first_key.size, map->last_key.size);
        return 0;
    }
    r = sstable_read_component(sstable, COMPONENT_SUMMARY, SUMMARY_BYTES_MAX, content);
    if (r == 0) {
        r = summary_decode_ends(buf_bytes(content), &sstable->own_schema.min_index_interval,
            &sstable->first_key, &sstable->last_key);
        if (r < 0)
            r = sstable_damaged(sstable, r, COMPONENT_SUMMARY, 0);
    }
    return r;
}

static int open_digest(struct sstable *sstable)
{
    struct buf text = BUF_INIT;
    int r;

    if (!component_set_has(sstable->components, COMPONENT_DIGEST))
        return 0;
    r = sstable_read_component(sstable, COMPONENT_DIGEST, 1u << 10, &text);
    if (r == 0) {
        r = digest_decode(buf_bytes(&text), &sstable->digests);
        if (r < 0)
            r = sstable_damaged(sstable, r, COMPONENT_DIGEST, 0);
        sstable->facts.digest = sstable->digests.crc[COMPONENT_DATA];
    }
    buf_release(&text);
    return r;
}

static int gather_facts(struct sstable *sstable)
{
    const struct statistics *statistics = &sstable->statistics;
    struct sstable_facts *facts = &sstable->facts;

    facts->id = sstable->id;
    facts->partitions = statistics->partitions;
    facts->rows = statistics->rows;
    facts->tombstones = statistics->drop_time_count;
    facts->min_timestamp_us = statistics->min_timestamp_us;
    facts->max_timestamp_us = statistics->max_timestamp_us;
    facts->min_local_deletion_time_s = statistics->min_local_deletion_time_s;
    facts->max_local_deletion_time_s = statistics->max_local_deletion_time_s;
    facts->min_ttl_s = statistics->min_ttl_s;
    facts->first_token = decorated_key_of(sstable->first_key).token;
    facts->last_token = decorated_key_of(sstable->last_key).token;
    if (facts->first_token > facts->last_token) {
        err_new(-EUCLEAN, "first key is behind the last");
        return sstable_damaged(sstable, -EUCLEAN, COMPONENT_SUMMARY, 0);
    }
    return 0;
}

static int open_all(struct sstable *sstable, const struct table_schema *schema)
{
    int r;

    r = stat_components(sstable);
    if (r == 0)
        r = open_digest(sstable);
    if (r == 0)
        r = check_components(sstable);
    if (r == 0)
        r = open_component(sstable, COMPONENT_DATA, &sstable->data_fd);
    if (r == 0)
        r = open_component(sstable, COMPONENT_DATA, &sstable->lookup_fd);
    if (r == 0)
        r = open_component(sstable, COMPONENT_INDEX, &sstable->index_fd);
    if (r == 0)
        r = open_chunks(sstable);
    if (r == 0)
        r = open_statistics(sstable, schema);
    if (r == 0)
        r = open_summary(sstable);
    if (r < 0)
        return r;
    io_expect_random(sstable->env, sstable->lookup_fd);
    return gather_facts(sstable);
}

int sstable_open(struct env *env, const char *folder, const struct sstable_id *id,
    const struct table_schema *schema, struct chunk_cache *cache, struct sstable **ret_sstable)
{
    struct sstable *sstable = calloc(1, sizeof(*sstable));
    int r;

    if (!sstable)
        return err_new(-ENOMEM, "an SSTable");
    atomic_init(&sstable->references, 1);
    sstable->env = env;
    sstable->cache = cache;
    sstable->id = *id;
    sstable->data_fd = sstable->lookup_fd = sstable->index_fd = -1;
    sstable->cache_file = chunk_cache_new_file(cache);
    arena_init(&sstable->arena, ARENA_PIECE_BYTES);
    sstable->folder = strdup(folder);
    r = sstable->folder ? open_all(sstable, schema) : err_new(-ENOMEM, "name of a folder");
    if (r < 0) {
        sstable_unref(sstable);
        return err_with(r, "open SSTable '%s' in '%s'", id->text, folder);
    }
    *ret_sstable = sstable;
    return 0;
}

struct sstable *sstable_ref(struct sstable *sstable)
{
    atomic_fetch_add_explicit(&sstable->references, 1, memory_order_relaxed);
    return sstable;
}

void sstable_unref(struct sstable *sstable)
{
    if (!sstable)
        return;
    if (atomic_fetch_sub_explicit(&sstable->references, 1, memory_order_acq_rel) > 1)
        return;
    chunk_cache_drop_file(sstable->cache, sstable->cache_file);
    if (sstable->data_fd >= 0)
        io_close(sstable->env, sstable->data_fd);
    if (sstable->lookup_fd >= 0)
        io_close(sstable->env, sstable->lookup_fd);
    if (sstable->index_fd >= 0)
        io_close(sstable->env, sstable->index_fd);
    sstable_free_loaded(sstable);
    buf_release(&sstable->statistics_content);
    buf_release(&sstable->keys_content);
    arena_release(&sstable->arena);
    free(sstable->folder);
    free(sstable);
}

uint64_t sstable_memory_bytes(const struct sstable *sstable)
{
    const struct chunk_table *chunks = atomic_load(&sstable->chunks);
    const struct index_map *map = atomic_load(&sstable->index_map);
    const struct sstable_filters *filters = atomic_load(&sstable->filters);
    uint64_t bytes = sizeof(*sstable) + sstable->arena.total_bytes +
                     sstable->statistics_content.size + sstable->keys_content.size;

    if (chunks)
        bytes += sizeof(*chunks) + chunks->content.size;
    if (map)
        bytes += sizeof(*map) + map->count * (sizeof(*map->tokens) + sizeof(*map->positions));
    if (filters)
        bytes += sizeof(*filters) + (filters->partitions.word_count + filters->rows.word_count) * 8;
    return bytes;
}

const struct table_schema *sstable_schema(const struct sstable *sstable)
{
    return sstable->schema;
}

const struct sstable_facts *sstable_facts(const struct sstable *sstable)
{
    return &sstable->facts;
}

void sstable_get_read_stats(struct sstable *sstable, struct sstable_read_stats *ret_stats)
{
    *ret_stats = (struct sstable_read_stats){
        .filter_negatives = atomic_load(&sstable->filter_negatives),
        .filter_false_positives = atomic_load(&sstable->filter_false_positives),
        .chunk_reads = atomic_load(&sstable->chunk_reads),
        .index_reads = atomic_load(&sstable->index_reads),
    };
}
