#include "file_check.h"

#include <inttypes.h>
#include <stdio.h>

#include "engine/error.h"

#define PATH_BYTES (SSTABLE_FILE_PATH_BYTES + sizeof("data/"))

void sstable_file_path(const struct table_schema *schema, const struct sstable_id *id,
    enum sstable_component component, char path[SSTABLE_FILE_PATH_BYTES])
{
    char folder[TABLE_FOLDER_NAME_MAX + 1], name[SSTABLE_FILE_NAME_MAX + 1];

    table_folder_name(schema, folder);
    sstable_file_name(id, component, name);
    snprintf(path, SSTABLE_FILE_PATH_BYTES, "%s/%s/%s", schema->keyspace, folder, name);
}

/* ---- one SSTable ---- */

struct check {
    struct env *env;
    const struct table_schema *tables;
    const char *prefix; /* of paths: "data/" in a store */
    engine_file_finding finding;
    void *arg;
};

static int tell(const struct check *check, const char *path, const char *what)
{
    char text[PATH_BYTES + 96];

    snprintf(text, sizeof(text), "'%s' %s", path, what);
    return check->finding(check->arg, text);
}

struct found {
    uint64_t bytes; /* of all files */
    bool is_whole;
};

/* `wanted` 0: any size will do. */
static int check_file(
    const struct check *check, const char *path, uint64_t wanted, struct found *found)
{
    struct io_stat stat;
    char what[64];
    int r = io_stat(check->env, path, &stat);

    if (r < 0 && r != -ENOENT)
        return r;
    if (r == 0)
        found->bytes += stat.size;
    if (r == 0 && (wanted == 0 || stat.size == wanted))
        return 0;
    found->is_whole = false;
    if (r == -ENOENT)
        return tell(check, path, "is missing");
    snprintf(what, sizeof(what), "has %" PRIu64 " bytes, not %" PRIu64, stat.size, wanted);
    return tell(check, path, what);
}

/* `file_bytes` NULL: it is known what Data.db has, and all of them together. */
static int check_sstable(
    const struct check *check, const struct manifest_sstable *sstable, const uint64_t *file_bytes)
{
    const struct table_schema *schema = &check->tables[sstable->table];
    const struct sstable_facts *facts = &sstable->facts;
    unsigned components = sstable_components(schema);
    struct found found = {.is_whole = true};
    char path[SSTABLE_FILE_PATH_BYTES], full[PATH_BYTES], what[96];

    for (unsigned c = 0; c < COMPONENT_COUNT; c++) {
        uint64_t wanted = file_bytes ? file_bytes[c] : c == COMPONENT_DATA ? facts->data_bytes : 0;
        int r;

        if (!(components >> c & 1))
            continue;
        sstable_file_path(schema, &facts->id, (enum sstable_component)c, path);
        snprintf(full, sizeof(full), "%s%s", check->prefix, path);
        r = check_file(check, full, wanted, &found);
        if (r < 0)
            return r;
    }
    if (file_bytes || !found.is_whole || found.bytes == facts->total_bytes)
        return 0;
    snprintf(what, sizeof(what),
        "and the SSTable's other files have %" PRIu64 " bytes together, not %" PRIu64, found.bytes,
        facts->total_bytes);
    return tell(check, full, what);
}

/* ---- all of them ---- */

static int check_facts(const struct check *check, const struct snapshot_facts *facts)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < facts->count; i++)
        r = check_sstable(check, &facts->sstables[i], facts->file_bytes[i]);
    return r;
}

static int check_live(const struct check *check, struct engine *engine)
{
    struct view *view = views_acquire(&engine->views);
    int r = 0;

    for (unsigned i = 0; r == 0 && i < view->table_count; i++) {
        const struct sstable_set *set = view->tables[i].sstables;

        for (size_t j = 0; r == 0 && j < set->count; j++)
            r = check_sstable(check, &set->handles[j]->entry, NULL);
    }
    view_unref(view);
    return r;
}

int engine_check_files(struct engine *engine, engine_file_finding finding, void *arg)
{
    AUTO(snapshot_facts_release) struct snapshot_facts facts = {0};
    struct check check = {engine->env, engine->tables, "", finding, arg};
    int r;

    /* Nothing tells the sizes of Cassandra's, and that they are there was seen at the open. */
    if (engine->options.all_sstables)
        return 0;
    r = snapshot_json_read(engine->env, "", engine->tables, engine->table_count, &facts);
    if (r == 0)
        return check_facts(&check, &facts);
    if (r != -ENOENT)
        return r;
    check.prefix = "data/";
    return check_live(&check, engine);
}

static int end_with_first(void *arg, const char *text)
{
    (void)arg;
    return err_new(-EUCLEAN, "it is not whole: %s", text);
}

int snapshot_files_check(
    struct env *env, const struct table_schema *tables, const struct snapshot_facts *facts)
{
    struct check check = {env, tables, "", end_with_first, NULL};

    return check_facts(&check, facts);
}

int engine_check_snapshot_files(
    struct env *env, const struct table_schema *tables, unsigned table_count)
{
    AUTO(snapshot_facts_release) struct snapshot_facts facts = {0};
    int r = snapshot_json_read(env, "", tables, table_count, &facts);

    return r < 0 ? r : snapshot_files_check(env, tables, &facts);
}
