/*
 * A snapshot to read from, beside the live store: a view of its SSTables. Those that are live too
 * are the same handles; of the others the files in the snapshot's folder are opened. All share the
 * cache, and the bound on what is open, with the live store.
 */
#include "snapshot.h"

#include <stdio.h>

#include "engine/error.h"
#include "state.h"

#define SOURCE_FOLDER_MAX (SNAPSHOT_PATH_MAX + DATA_FOLDER_MAX)

struct snapshot_source {
    struct source source;
    char folders[ENGINE_TABLES_MAX][SOURCE_FOLDER_MAX + 1];
};

static struct sstable_handle *find_live(
    const struct view *live, const struct manifest_sstable *entry)
{
    const struct sstable_set *set = live->tables[entry->table].sstables;

    for (size_t i = 0; entry->live && i < set->count; i++)
        if (set->handles[i]->entry.number == entry->number)
            return sstable_handle_ref(set->handles[i]);
    return NULL;
}

/* One that compaction has replaced. The folder is the snapshot's: nothing is ever deleted in it
 * through this handle. */
static struct sstable_handle *open_own(
    struct snapshot_source *source, const struct manifest_sstable *entry)
{
    struct engine *engine = source->source.engine;
    struct sstable_handle_options options = {
        .env = engine->env,
        .schema = &engine->tables[entry->table],
        .cache = engine->cache,
        .open_sstables = &engine->open_sstables,
        .folder = source->folders[entry->table],
    };

    return sstable_handle_new(&options, entry);
}

/* Puts the snapshot's SSTables of one table into a view that nobody reads yet. */
static int add_table(struct snapshot_source *source, struct view *view, unsigned table,
    const struct manifest_snapshot *snapshot)
{
    struct engine *engine = source->source.engine;
    struct sstable_handle **handles = calloc(snapshot->sstable_count + 1, sizeof(*handles));
    size_t count = 0;
    int r = handles ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < snapshot->sstable_count; i++) {
        const struct manifest_sstable *entry =
            manifest_find(manifest_state(engine->manifest), snapshot->sstables[i]);

        if (entry->table != table)
            continue;
        handles[count] = find_live(engine->views.current, entry);
        if (!handles[count])
            handles[count] = open_own(source, entry);
        r = handles[count] ? 0 : -ENOMEM;
        count += r == 0;
    }
    if (r == 0)
        r = view_replace_sstables(view, table, NULL, 0, handles, count);
    while (count > 0)
        sstable_handle_unref(handles[--count]);
    free(handles);
    return r;
}

static int open_locked(struct snapshot_source *source, const char *tag)
{
    static const uint64_t positions[ENGINE_TABLES_MAX];
    struct engine *engine = source->source.engine;
    const struct manifest_snapshot *snapshot =
        manifest_find_tag(manifest_state(engine->manifest), tag);
    struct view *view;
    int r = 0;

    if (!snapshot)
        return err_new(-ENOENT, "there is no snapshot '%s'", tag);
    if (!snapshot->complete)
        return err_new(-EAGAIN, "snapshot '%s' is not complete", tag);
    for (unsigned i = 0; i < engine->table_count; i++) {
        char folder[DATA_FOLDER_MAX + 1];

        engine_data_folder(&engine->tables[i], folder);
        snprintf(source->folders[i], sizeof(source->folders[i]), "snapshots/%s/%s", tag,
            folder + strlen("data/"));
    }
    view = view_new(engine->tables, engine->table_count, positions, env_monotonic_us(engine->env),
        &engine->views.readers);
    if (!view)
        return -ENOMEM;
    for (unsigned i = 0; r == 0 && i < engine->table_count; i++)
        r = add_table(source, view, i, snapshot);
    if (r < 0)
        view_unref(view);
    else
        source->source.view = view;
    return r;
}

int engine_open_snapshot(struct engine *engine, const char *tag, struct source **ret_source)
{
    struct snapshot_source *source;
    int r;

    if (!engine->manifest)
        return err_new(-ENOENT, "there is no snapshot '%s'", tag);
    source = calloc(1, sizeof(*source));
    if (!source)
        return -ENOMEM;
    source->source.engine = engine;
    mutex_lock(&engine->change);
    r = open_locked(source, tag);
    mutex_unlock(&engine->change);
    if (r < 0) {
        engine_close_snapshot(&source->source);
        return r;
    }
    *ret_source = &source->source;
    return 0;
}

void engine_close_snapshot(struct source *source)
{
    if (!source)
        return;
    view_unref(source->view);
    free(CONTAINER_OF(source, struct snapshot_source, source));
}
