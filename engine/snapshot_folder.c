/*
 * A snapshot's folder, where it lies: opened read-only, or made into a store again.
 */
#include <stdio.h>

#include "engine/error.h"
#include "file_check.h"
#include "identity.h"
#include "state.h"

#define COPY_BYTES (1u << 20)
#define PATH_BYTES SSTABLE_FILE_PATH_BYTES

/* ---- opening ---- */

int engine_open_snapshot_folder(struct engine *engine)
{
    AUTO(snapshot_facts_release) struct snapshot_facts facts = {0};
    static const uint64_t positions[ENGINE_TABLES_MAX];
    struct view *view;
    int r = snapshot_json_read(engine->env, "", engine->tables, engine->table_count, &facts);

    if (r == -ENOENT && engine->options.all_sstables)
        r = sstable_folder_read(engine, &facts);
    if (r < 0)
        return r;
    engine->identity = facts.store;
    engine->recovered_timestamp_us = (int64_t)facts.point_us;
    /* "sstfs/blocks-…": as in data/, without that folder. */
    for (unsigned i = 0; i < engine->table_count; i++)
        memmove(engine->folders[i], engine->folders[i] + strlen("data/"),
            strlen(engine->folders[i]) - strlen("data/") + 1);
    view = view_new(engine->tables, engine->table_count, positions, env_monotonic_us(engine->env),
        &engine->views.readers);
    r = view ? 0 : -ENOMEM;
    for (unsigned i = 0; r == 0 && i < engine->table_count; i++)
        r = engine_add_sstables(engine, view, i, facts.sstables, facts.count);
    if (r < 0)
        view_unref(view);
    else
        views_publish(&engine->views, view);
    return r;
}

/* ---- making a store of it ---- */

struct restore {
    struct env *env;
    struct env *from;
    const char *link_from; /* NULL: copy */
    uint8_t *buffer;
};

static int copy_file(struct restore *restore, const char *from_path, const char *to_path)
{
    int from, to, r;
    int64_t n = 1;

    r = io_open(restore->from, from_path, O_RDONLY, &from);
    if (r < 0)
        return r;
    r = io_open(restore->env, to_path, O_RDWR | O_CREAT | O_EXCL, &to);
    if (r < 0) {
        io_close(restore->from, from);
        return r;
    }
    for (uint64_t at = 0; r == 0 && n > 0; at += (uint64_t)n) {
        n = io_read(restore->from, from, restore->buffer, COPY_BYTES, at);
        if (n > 0)
            r = io_write(restore->env, to, restore->buffer, (size_t)n, at);
        else if (n < 0)
            r = (int)n;
        if (r < 0)
            break;
    }
    if (r == 0)
        r = io_sync(restore->env, to);
    io_close(restore->env, to);
    io_close(restore->from, from);
    return r;
}

static int take_file(struct restore *restore, const char *from_path, const char *to_path)
{
    AUTO(freep) char *link_path = NULL;
    int r;

    if (restore->link_from) {
        if (asprintf(&link_path, "%s/%s", restore->link_from, from_path) < 0) {
            link_path = NULL;
            return -ENOMEM;
        }
        r = io_link(restore->env, link_path, to_path);
        if (r == 0)
            return 0;
        /* On another disk, or on one without links: once is enough to know. */
        restore->link_from = NULL;
    }
    return copy_file(restore, from_path, to_path);
}

static int take_sstable(struct restore *restore, const struct table_schema *schema,
    const struct manifest_sstable *sstable)
{
    unsigned components = sstable_components(schema);

    for (unsigned c = 0; c < COMPONENT_COUNT; c++) {
        char from[PATH_BYTES], to[PATH_BYTES + sizeof("data/")];
        int r;

        if (!(components >> c & 1))
            continue;
        sstable_file_path(schema, &sstable->facts.id, (enum sstable_component)c, from);
        snprintf(to, sizeof(to), "data/%s", from);
        r = take_file(restore, from, to);
        if (r < 0)
            return err_with(
                r, "take SSTable '%s' of table '%s' over", sstable->facts.id.text, schema->name);
    }
    return 0;
}

int engine_create_from(struct env *env, struct env *from, const char *link_from,
    const struct table_schema *tables, unsigned table_count)
{
    AUTO(snapshot_facts_release) struct snapshot_facts facts = {0};
    AUTO(freep) uint8_t *buffer = malloc(COPY_BYTES);
    struct restore restore = {env, from, link_from, buffer};
    struct manifest_state state = {.table_count = table_count};
    int r = engine_check_tables(tables, table_count);

    if (!buffer)
        return -ENOMEM;
    if (r == 0)
        r = snapshot_json_read(from, "", tables, table_count, &facts);
    if (r == -ENOENT)
        r = err_new(-ENOTDIR, "there is no snapshot.json: this is not the folder of a snapshot");
    if (r == 0)
        r = snapshot_files_check(from, tables, &facts);
    if (r == 0)
        r = engine_make_folders(env, tables, table_count);
    for (size_t i = 0; r == 0 && i < facts.count; i++)
        r = take_sstable(&restore, &tables[facts.sstables[i].table], &facts.sstables[i]);
    for (unsigned i = 0; r == 0 && i < table_count; i++) {
        char folder[DATA_FOLDER_MAX + 1];

        engine_data_folder(&tables[i], folder);
        r = io_sync_directory(env, folder);
    }
    if (r < 0)
        return r;
    /* Runs keep their numbers, and what comes now must not take one of them. */
    state.sstables = facts.sstables;
    state.sstable_count = facts.count;
    state.last_timestamp_us = (int64_t)facts.point_us;
    state.next_number = facts.count + 1;
    for (size_t i = 0; i < facts.count; i++) {
        if (facts.sstables[i].run >= state.next_number)
            state.next_number = facts.sstables[i].run + 1;
        if (facts.sstables[i].facts.max_timestamp_us > state.last_timestamp_us)
            state.last_timestamp_us = facts.sstables[i].facts.max_timestamp_us;
    }
    return engine_finish_create(env, tables, table_count, &state);
}
