/*
 * A folder of SSTables that no snapshot.json speaks of, as copies of Cassandra's own snapshots are:
 *
 *   sstfs/dirents-5f5f…/   nb-1-big-Data.db, …; manifest.json, if nodetool made it
 *
 * On the user's word all of them are taken to be one point. What can be told to be wrong is: a file
 * of an SSTable that is missing, an SSTable that manifest.json lacks or has alone, one of another
 * format, columns that are not ours, a folder of a table that only has the name.
 */
#include <errno.h>
#include <stdio.h>

#include <jansson.h>

#include "engine/error.h"
#include "state.h"

#define MANIFEST_BYTES_MAX (64u << 20)

struct collection {
    struct engine *engine;
    unsigned table;
    const char *folder; /* "sstfs/dirents-5f5f…" */
    struct sstable_id *ids;
    size_t count, capacity;
    struct snapshot_facts *facts; /* SSTables of the tables so far */
};

/* ---- what lies there ---- */

static int add_id(struct collection *collection, const struct sstable_id *id)
{
    if (collection->count == collection->capacity) {
        size_t capacity = collection->capacity ? collection->capacity * 2 : 64;
        struct sstable_id *ids = reallocarray(collection->ids, capacity, sizeof(*ids));

        if (!ids)
            return -ENOMEM;
        collection->ids = ids;
        collection->capacity = capacity;
    }
    collection->ids[collection->count++] = *id;
    return 0;
}

/* Any component makes an SSTable: opening it tells which one is missing. */
static int collect(void *arg, const char *name)
{
    static const char data[] = "-Data.db";
    struct collection *collection = arg;
    enum sstable_component component;
    struct sstable_id id;
    size_t size = strlen(name);

    if (sstable_parse_file_name(name, &id, &component))
        return add_id(collection, &id);
    if (size >= sizeof(data) && strcmp(name + size - (sizeof(data) - 1), data) == 0)
        return err_new(
            -EPROTO, "'%s/%s' is of another format than nb, big", collection->folder, name);
    return 0;
}

static int compare_ids(const void *a, const void *b)
{
    return strcmp(((const struct sstable_id *)a)->text, ((const struct sstable_id *)b)->text);
}

static void sort_ids(struct collection *collection)
{
    size_t kept = 0;

    if (collection->count == 0)
        return;
    qsort(collection->ids, collection->count, sizeof(*collection->ids), compare_ids);
    for (size_t i = 0; i < collection->count; i++)
        if (kept == 0 || compare_ids(&collection->ids[kept - 1], &collection->ids[i]) != 0)
            collection->ids[kept++] = collection->ids[i];
    collection->count = kept;
}

/* ---- what should lie there ---- */

static void json_freep(json_t **json)
{
    json_decref(*json);
}

static int check_listed(const struct collection *collection, const json_t *files)
{
    size_t listed = json_array_size(files);

    for (size_t i = 0; i < listed; i++) {
        const char *name = json_string_value(json_array_get(files, i));
        enum sstable_component component;
        struct sstable_id id;

        if (!name || !sstable_parse_file_name(name, &id, &component))
            return err_new(-EUCLEAN,
                "'%s/manifest.json' lists '%s', which is no file of an SSTable", collection->folder,
                name ? name : "");
        if (collection->count == 0 ||
            !bsearch(&id, collection->ids, collection->count, sizeof(id), compare_ids))
            return err_new(
                -EUCLEAN, "'%s/%s' is missing: manifest.json lists it", collection->folder, name);
    }
    return 0;
}

static bool is_listed(const json_t *files, const struct sstable_id *id)
{
    char name[SSTABLE_FILE_NAME_MAX + 1];

    sstable_file_name(id, COMPONENT_DATA, name);
    for (size_t i = 0; i < json_array_size(files); i++)
        if (strcmp(json_string_value(json_array_get(files, i)), name) == 0)
            return true;
    return false;
}

/* Tombstones that one point has purged, with older SSTables of another: the deleted would be back.
 */
static int check_manifest(const struct collection *collection)
{
    AUTO(freep) char *path = NULL;
    AUTO(buf_release) struct buf content = BUF_INIT;
    AUTO(json_freep) json_t *root = NULL;
    const json_t *files;
    json_error_t error;
    int r;

    if (asprintf(&path, "%s/manifest.json", collection->folder) < 0)
        return -ENOMEM;
    r = io_read_file(collection->engine->env, path, MANIFEST_BYTES_MAX, &content);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    root = json_loadb((const char *)content.data, content.size, 0, &error);
    files = json_object_get(root, "files");
    if (!json_is_array(files))
        return err_new(-EUCLEAN, "'%s' has no list of files", path);
    r = check_listed(collection, files);
    for (size_t i = 0; r == 0 && i < collection->count; i++)
        if (!is_listed(files, &collection->ids[i]))
            r = err_new(-EUCLEAN,
                "'%s/nb-%s-big' is not in manifest.json: two snapshots are mixed; copy one into an "
                "empty folder",
                collection->folder, collection->ids[i].text);
    return r;
}

/* ---- SSTables ---- */

/* That the columns are not the table's is told from damage: the file opens by its own header. */
static int open_checked(
    const struct collection *collection, const struct sstable_id *id, struct sstable **ret_sstable)
{
    const struct engine *engine = collection->engine;
    struct sstable *sstable = NULL;
    int r = sstable_open(engine->env, collection->folder, id, NULL, NULL, &sstable);

    sstable_unref(sstable);
    if (r < 0)
        return r;
    r = sstable_open(
        engine->env, collection->folder, id, &engine->tables[collection->table], NULL, ret_sstable);
    if (r == -EUCLEAN) {
        char text[512];

        snprintf(text, sizeof(text), "%s", err_text(r));
        r = err_new(-EPROTO, "%s", text);
    }
    return r;
}

static int take_sstables(const struct collection *collection)
{
    struct snapshot_facts *facts = collection->facts;
    struct manifest_sstable *grown = reallocarray(
        facts->sstables, facts->count + collection->count + 1, sizeof(*facts->sstables));

    if (!grown)
        return -ENOMEM;
    facts->sstables = grown;
    for (size_t i = 0; i < collection->count; i++) {
        struct sstable *sstable;
        int r = open_checked(collection, &collection->ids[i], &sstable);

        if (r < 0)
            return r;
        facts->sstables[facts->count] = (struct manifest_sstable){
            .number = facts->count + 1,
            .run = facts->count + 1,
            .table = collection->table,
            .live = true,
            .facts = *sstable_facts(sstable),
        };
        facts->count++;
        sstable_unref(sstable);
    }
    return 0;
}

/* ---- folders ---- */

/* A table that was made without our id has another folder; to miss its rows would be no error. */
static int refuse_namesake(void *arg, const char *name)
{
    const struct engine *engine = arg;

    for (unsigned i = 0; i < engine->table_count; i++) {
        const struct table_schema *schema = &engine->tables[i];
        size_t size = strlen(schema->name);
        char wanted[TABLE_FOLDER_NAME_MAX + 1];

        table_folder_name(schema, wanted);
        if (strncmp(name, schema->name, size) == 0 && (name[size] == '-' || name[size] == '\0') &&
            strcmp(name, wanted) != 0)
            return err_new(-EPROTO, "'%s/%s' is of a table with another id: name the folder '%s'",
                schema->keyspace, name, wanted);
    }
    return 0;
}

static int read_table(struct engine *engine, unsigned table, struct snapshot_facts *facts)
{
    char name[TABLE_FOLDER_NAME_MAX + 1], folder[DATA_FOLDER_MAX + 1];
    struct collection collection = {engine, table, folder, .facts = facts};
    int r;

    table_folder_name(&engine->tables[table], name);
    snprintf(folder, sizeof(folder), "%s/%s", engine->tables[table].keyspace, name);
    r = io_list(engine->env, folder, collect, &collection);
    if (r == -ENOENT) /* of a table without rows */
        return 0;
    sort_ids(&collection);
    if (r == 0)
        r = check_manifest(&collection);
    if (r == 0)
        r = take_sstables(&collection);
    free(collection.ids);
    return r;
}

int sstable_folder_read(struct engine *engine, struct snapshot_facts *ret_facts)
{
    AUTO(snapshot_facts_release)
    struct snapshot_facts facts = {.store.format_version = ENGINE_FORMAT_VERSION};
    const char *keyspace = engine->tables[0].keyspace;
    int r = io_list(engine->env, keyspace, refuse_namesake, engine);

    if (r == -ENOENT)
        return err_new(-ENOTDIR, "there is no folder '%s' in it", keyspace);
    for (unsigned i = 0; r == 0 && i < engine->table_count; i++)
        r = read_table(engine, i, &facts);
    if (r == 0 && facts.count == 0)
        r = err_new(-ENOTDIR, "there is no SSTable in its folder '%s'", keyspace);
    if (r < 0)
        return r;
    for (size_t i = 0; i < facts.count; i++)
        if (facts.sstables[i].facts.max_timestamp_us > (int64_t)facts.point_us)
            facts.point_us = (uint64_t)facts.sstables[i].facts.max_timestamp_us;
    *ret_facts = facts;
    facts = (struct snapshot_facts){0};
    return 0;
}
