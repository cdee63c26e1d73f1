/*
 * snapshot.json: what a snapshot's folder holds, so that it can be opened where it lies, and made
 * into a store again. It does not name its tag: that is the folder's name, which may change.
 */
#include "snapshot.h"

#include <errno.h>
#include <stdio.h>

#include "engine/error.h"
#include "identity.h"
#include "json_file.h"
#include "sstable_handle.h"

#define FILE_BYTES_MAX (64u << 20)

void snapshot_facts_release(struct snapshot_facts *facts)
{
    free(facts->sstables);
    free(facts->file_bytes);
    *facts = (struct snapshot_facts){0};
}

/* ---- writing: each gives NULL when there is no memory ---- */

static json_t *encode_file(
    const struct sstable_id *id, enum sstable_component component, uint64_t bytes, uint32_t digest)
{
    char name[SSTABLE_FILE_NAME_MAX + 1];

    sstable_file_name(id, component, name);
    if (component == COMPONENT_DATA)
        return json_pack("{s:s, s:I, s:I}", "name", name, "size", (json_int_t)bytes, "crc32",
            (json_int_t)digest);
    return json_pack("{s:s, s:I}", "name", name, "size", (json_int_t)bytes);
}

static json_t *encode_files(const struct table_schema *schema,
    const struct manifest_sstable *sstable, const uint64_t bytes[COMPONENT_COUNT])
{
    unsigned components = sstable_components(schema);
    json_t *files = json_array();

    for (unsigned c = 0; c < COMPONENT_COUNT; c++)
        if (components >> c & 1)
            files = json_appended(files, encode_file(&sstable->facts.id, (enum sstable_component)c,
                                             bytes[c], sstable->facts.digest));
    return files;
}

static json_t *encode_sstable(const struct table_schema *schema,
    const struct manifest_sstable *sstable, const uint64_t bytes[COMPONENT_COUNT])
{
    const struct sstable_facts *f = &sstable->facts;

    return json_pack(
        "{s:s, s:I, s:i, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:i, "
        "s:I, s:I, s:I, s:o}",
        "id", f->id.text, "run", (json_int_t)sstable->run, "level", (int)sstable->level,
        "compacted", sstable->compacted, "partition_tombstones",
        (json_int_t)sstable->partition_tombstones, "partitions", (json_int_t)f->partitions, "rows",
        (json_int_t)f->rows, "tombstones", (json_int_t)f->tombstones, "data_bytes",
        (json_int_t)f->data_bytes, "total_bytes", (json_int_t)f->total_bytes, "stream_bytes",
        (json_int_t)f->stream_bytes, "min_timestamp_us", (json_int_t)f->min_timestamp_us,
        "max_timestamp_us", (json_int_t)f->max_timestamp_us, "min_local_deletion_time_s",
        (int)f->min_local_deletion_time_s, "max_local_deletion_time_s",
        (int)f->max_local_deletion_time_s, "min_ttl_s", (int)f->min_ttl_s, "first_token",
        (json_int_t)f->first_token, "last_token", (json_int_t)f->last_token, "digest",
        (json_int_t)f->digest, "files", encode_files(schema, sstable, bytes));
}

static json_t *encode_table(const struct table_schema *schema, unsigned table,
    const struct snapshot_facts *facts, const uint64_t (*file_bytes)[COMPONENT_COUNT])
{
    char folder[TABLE_FOLDER_NAME_MAX + 1], id[UUID_TEXT_BYTES];
    json_t *sstables = json_array();

    for (size_t i = 0; i < facts->count; i++)
        if (facts->sstables[i].table == table)
            sstables =
                json_appended(sstables, encode_sstable(schema, &facts->sstables[i], file_bytes[i]));
    table_folder_name(schema, folder);
    uuid_text(schema->id, id);
    return json_pack("{s:s, s:s, s:s, s:s, s:o}", "keyspace", schema->keyspace, "name",
        schema->name, "id", id, "folder", folder, "sstables", sstables);
}

int snapshot_json_encode(const struct table_schema *tables, unsigned table_count,
    const struct snapshot_facts *facts, const uint64_t (*file_bytes)[COMPONENT_COUNT],
    struct buf *to)
{
    AUTO(json_freep) json_t *root = NULL;
    json_t *list = json_array();
    char uuid[UUID_TEXT_BYTES];

    for (unsigned i = 0; i < table_count; i++)
        list = json_appended(list, encode_table(&tables[i], i, facts, file_bytes));
    uuid_text(facts->store.uuid, uuid);
    root = json_pack("{s:i, s:s, s:i, s:I, s:I, s:I, s:I, s:o}", "format_version",
        (int)facts->store.format_version, "store", uuid, "node", (int)facts->store.node,
        "store_created_us", (json_int_t)facts->store.created_us, "log_position",
        (json_int_t)facts->log_position, "point_us", (json_int_t)facts->point_us, "created_us",
        (json_int_t)facts->created_us, "tables", list);
    return json_to_text(root, to);
}

/* ---- reading ---- */

static int decode_files(
    const json_t *list, const struct sstable_id *id, uint64_t to[COMPONENT_COUNT])
{
    memset(to, 0, COMPONENT_COUNT * sizeof(*to));
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct json_fields from = {json_array_get(list, i), NULL};
        const char *name = json_get_string(&from, "name");
        uint64_t bytes = json_get_integer(&from, "size");
        enum sstable_component component;
        struct sstable_id parsed;

        if (from.failed || !sstable_parse_file_name(name, &parsed, &component) ||
            strcmp(parsed.text, id->text) != 0)
            return err_new(
                -EUCLEAN, "snapshot.json: SSTable '%s': file %zu of its list", id->text, i);
        to[component] = bytes;
    }
    return 0;
}

static int decode_sstable(const json_t *object, struct manifest_sstable *to)
{
    struct json_fields from = {object, NULL};
    struct sstable_facts *f = &to->facts;
    const char *id = json_get_string(&from, "id");
    char name[SSTABLE_FILE_NAME_MAX + 1];
    enum sstable_component component;
    struct sstable_id parsed;
    json_int_t level;

    if (strlen(id) > SSTABLE_ID_TEXT_MAX)
        return err_new(-EUCLEAN, "snapshot.json: an id of %zu characters", strlen(id));
    strcpy(f->id.text, id);
    /* It becomes a part of paths: only what a file's name could have given. */
    sstable_file_name(&f->id, COMPONENT_DATA, name);
    if (!sstable_parse_file_name(name, &parsed, &component) || strcmp(parsed.text, id) != 0)
        return err_new(-EUCLEAN, "snapshot.json: '%s' is no id", id);
    to->run = json_get_integer(&from, "run");
    to->compacted = json_get_boolean(&from, "compacted");
    /* Not in the folders of earlier versions, whose SSTables were all of level 0. */
    level = json_integer_value(json_object_get(object, "level"));
    if (level < 0 || level > MANIFEST_LEVEL_MAX)
        return err_new(-EUCLEAN, "snapshot.json: SSTable '%s' is of no level", id);
    to->level = (unsigned)level;
    to->partition_tombstones = json_get_integer(&from, "partition_tombstones");
    f->partitions = json_get_integer(&from, "partitions");
    f->rows = json_get_integer(&from, "rows");
    f->tombstones = json_get_integer(&from, "tombstones");
    f->data_bytes = json_get_integer(&from, "data_bytes");
    f->total_bytes = json_get_integer(&from, "total_bytes");
    f->stream_bytes = json_get_integer(&from, "stream_bytes");
    f->min_timestamp_us = (int64_t)json_get_integer(&from, "min_timestamp_us");
    f->max_timestamp_us = (int64_t)json_get_integer(&from, "max_timestamp_us");
    f->min_local_deletion_time_s = (int32_t)json_get_integer(&from, "min_local_deletion_time_s");
    f->max_local_deletion_time_s = (int32_t)json_get_integer(&from, "max_local_deletion_time_s");
    f->min_ttl_s = (int32_t)json_get_integer(&from, "min_ttl_s");
    f->first_token = (int64_t)json_get_integer(&from, "first_token");
    f->last_token = (int64_t)json_get_integer(&from, "last_token");
    f->digest = (uint32_t)json_get_integer(&from, "digest");
    if (from.failed)
        return err_new(-EUCLEAN, "snapshot.json: SSTable '%s' has no '%s'", id, from.failed);
    to->live = true;
    return 0;
}

static int decode_table(const json_t *object, unsigned table, const struct table_schema *schema,
    struct snapshot_facts *to)
{
    struct json_fields from = {object, NULL};
    const json_t *list = json_object_get(object, "sstables");
    char id[UUID_TEXT_BYTES];
    struct manifest_sstable *grown;
    void *grown_bytes;

    uuid_text(schema->id, id);
    if (strcmp(json_get_string(&from, "id"), id) != 0 ||
        strcmp(json_get_string(&from, "name"), schema->name))
        return err_new(-EPROTO, "snapshot.json: table %u is not '%s'", table, schema->name);
    if (!json_is_array(list))
        return err_new(-EUCLEAN, "snapshot.json: table '%s' has no list", schema->name);
    grown =
        reallocarray(to->sstables, to->count + json_array_size(list) + 1, sizeof(*to->sstables));
    if (!grown)
        return -ENOMEM;
    to->sstables = grown;
    grown_bytes = reallocarray(
        to->file_bytes, to->count + json_array_size(list) + 1, sizeof(*to->file_bytes));
    if (!grown_bytes)
        return -ENOMEM;
    to->file_bytes = grown_bytes;
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct manifest_sstable sstable = {.table = table};
        const json_t *one = json_array_get(list, i);
        int r = decode_sstable(one, &sstable);

        if (r == 0)
            r = decode_files(
                json_object_get(one, "files"), &sstable.facts.id, to->file_bytes[to->count]);
        if (r < 0)
            return r;
        sstable.number = to->count + 1;
        to->sstables[to->count++] = sstable;
    }
    return 0;
}

static int decode(const json_t *root, const struct table_schema *tables, unsigned table_count,
    struct snapshot_facts *to)
{
    struct json_fields from = {root, NULL};
    const json_t *list = json_object_get(root, "tables");

    to->store.format_version = (uint32_t)json_get_integer(&from, "format_version");
    if (!from.failed && to->store.format_version > ENGINE_FORMAT_VERSION)
        return err_new(-EPROTO, "snapshot.json: format version %u, this program knows %d",
            to->store.format_version, ENGINE_FORMAT_VERSION);
    if (!uuid_parse_text(json_get_string(&from, "store"), to->store.uuid))
        return err_new(-EUCLEAN, "snapshot.json: 'store' is no UUID");
    to->store.node = (uint32_t)json_get_integer(&from, "node");
    to->store.created_us = json_get_integer(&from, "store_created_us");
    /* Not in the folders of earlier versions. */
    to->log_position = (uint64_t)json_integer_value(json_object_get(root, "log_position"));
    to->point_us = json_get_integer(&from, "point_us");
    to->created_us = json_get_integer(&from, "created_us");
    if (from.failed)
        return err_new(-EUCLEAN, "snapshot.json: no '%s'", from.failed);
    if (json_array_size(list) != table_count)
        return err_new(
            -EPROTO, "snapshot.json: of %zu tables, not %u", json_array_size(list), table_count);
    for (unsigned i = 0; i < table_count; i++) {
        int r = decode_table(json_array_get(list, i), i, &tables[i], to);

        if (r < 0)
            return r;
    }
    return 0;
}

int snapshot_json_read(struct env *env, const char *folder, const struct table_schema *tables,
    unsigned table_count, struct snapshot_facts *ret_facts)
{
    char path[SNAPSHOT_PATH_MAX + sizeof("/snapshot.json")];
    AUTO(snapshot_facts_release) struct snapshot_facts facts = {0};
    AUTO(json_freep) json_t *root = NULL;
    int r;

    snprintf(path, sizeof(path), "%s%ssnapshot.json", folder, *folder ? "/" : "");
    r = json_read_file(env, path, FILE_BYTES_MAX, &root);
    if (r < 0)
        return r;
    r = decode(root, tables, table_count, &facts);
    if (r < 0)
        return r;
    *ret_facts = facts;
    facts = (struct snapshot_facts){0};
    return 0;
}
