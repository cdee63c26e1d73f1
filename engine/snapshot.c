#include "snapshot.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "archive.h"
#include "engine/error.h"
#include "state.h"

bool snapshot_name_is_valid(const char *name, size_t size_max)
{
    size_t size = strlen(name);

    if (size == 0 || size > size_max || !isalnum((unsigned char)name[0]))
        return false;
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr("._:+-", name[i]))
            return false;
    return true;
}

bool snapshot_tag_is_valid(const char *tag)
{
    return snapshot_name_is_valid(tag, SNAPSHOT_TAG_MAX) && strcmp(tag, "latest") != 0 &&
           strcmp(tag, "log") != 0;
}

void snapshot_tag_folder(const char *tag, char to[SNAPSHOT_PATH_MAX])
{
    snprintf(to, SNAPSHOT_PATH_MAX, "snapshots/%s", tag);
}

/* ---- create ---- */

/* Asked once, and before anything is promised: not every disk has hard links. */
static int probe_links(struct snapshots *snapshots)
{
    struct env *env = snapshots->engine->env;
    int r;

    if (snapshots->links_probed)
        return 0;
    r = io_link(env, "store.json", "tmp/link-probe");
    if (r == -EEXIST)
        r = 0;
    if (r < 0)
        return r == -EPERM || r == -EOPNOTSUPP || r == -ENOSYS || r == -EMLINK
                   ? err_new(
                         -EOPNOTSUPP, "snapshots need hard links, which this disk does not have")
                   : r;
    r = io_unlink(env, "tmp/link-probe");
    snapshots->links_probed = r == 0;
    return r;
}

/* All SSTables of now, in the order of their numbers as the manifest wants them. */
static int pin_live(struct engine *engine, struct snapshot_job *job)
{
    const struct view *view = engine->views.current;

    for (unsigned i = 0; i < view->table_count; i++) {
        const struct sstable_set *set = view->tables[i].sstables;

        for (size_t j = 0; j < set->count; j++) {
            int r = snapshot_job_take(job, set->handles[j]);

            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int record(struct engine *engine, const char *tag, uint64_t position)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    const struct manifest_state *state = manifest_state(engine->manifest);
    struct manifest_snapshot entry = {
        .number = manifest_next_number(engine->manifest),
        .position = position,
        .point_us = (uint64_t)engine_now(engine),
        .created_us = env_wall_us(engine->env),
    };
    struct snapshot_job *job = calloc(1, sizeof(*job));
    int r = job ? pin_live(engine, job) : -ENOMEM;

    entry.sstables = calloc(state->sstable_count + 1, sizeof(*entry.sstables));
    if (!entry.sstables)
        r = -ENOMEM;
    if (r == 0) {
        job->number = entry.number;
        job->position = position;
        strcpy(entry.tag, tag);
        for (size_t i = 0; i < state->sstable_count; i++)
            if (state->sstables[i].live)
                entry.sstables[entry.sstable_count++] = state->sstables[i].number;
        manifest_edit_snapshot(&edit, &entry);
        engine_edit_clock(engine, &edit);
        r = engine_commit(engine, &edit, "record a snapshot");
    }
    free(entry.sstables);
    if (r == 0) {
        snapshot_job_append(&engine->snapshots, job);
        commitlog_archive_from(engine->log, engine_archive_from(engine));
    } else if (job) {
        snapshot_job_free(job);
    }
    return r;
}

static int check_new_tag(struct engine *engine, const char *tag)
{
    if (!snapshot_tag_is_valid(tag))
        return err_new(-EINVAL,
            "snapshot tag '%s': want 1 to %d of [A-Za-z0-9._:+-], a letter or digit first", tag,
            SNAPSHOT_TAG_MAX);
    if (manifest_find_tag(manifest_state(engine->manifest), tag))
        return err_new(-EEXIST, "there is a snapshot '%s' already", tag);
    return 0;
}

int engine_snapshot_create(struct engine *engine, const char *tag)
{
    uint64_t position;
    int r = engine_check_writable(engine);

    if (r < 0)
        return r;
    mutex_lock(&engine->change);
    r = check_new_tag(engine, tag);
    if (r == 0)
        r = probe_links(&engine->snapshots);
    mutex_unlock(&engine->change);
    if (r < 0)
        return r;

    /* One position for all tables: what is below it is in, what is above it is not. From here on
     * no SSTable comes or goes until the snapshot is recorded. */
    r = engine_switch_and_hold(engine, TABLES_ALL, &position);
    if (r < 0)
        return err_with(r, "switch memtables for snapshot '%s'", tag);
    r = check_new_tag(engine, tag); /* again: somebody else may have made it */

    /* Sync, then name: a name that power loss can outlive its content is a lie. */
    if (r == 0) {
        r = commitlog_sync(engine->log, position);
        if (r < 0)
            engine_fail(engine, r, "sync the commit log before a snapshot");
    }
    /* From here on the snapshot is a fact. Flush and links follow in the background, and after a
     * crash recovery sees to them. */
    if (r == 0)
        r = record(engine, tag, position);
    mutex_unlock(&engine->change);
    if (r < 0)
        return err_with(r, "snapshot '%s'", tag);
    flusher_kick(&engine->flusher);
    snapshots_kick(&engine->snapshots);
    return 0;
}

/* ---- rename, delete ---- */

int snapshot_clear_place(struct engine *engine, const char *folder)
{
    char away[SNAPSHOT_FOLDER_MAX];
    struct io_stat stat;
    int r = io_stat(engine->env, folder, &stat);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    snprintf(away, sizeof(away), "trash/snapshot-%" PRIx64, env_random(engine->env));
    r = io_rename(engine->env, folder, away);
    if (r == 0)
        sweeper_remove(&engine->sweeper, away);
    return r;
}

int snapshot_settle_rename(struct engine *engine, uint64_t number)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    const struct manifest_snapshot *entry =
        manifest_find_snapshot(manifest_state(engine->manifest), number);
    char from[SNAPSHOT_PATH_MAX], to[SNAPSHOT_PATH_MAX];
    struct io_stat stat;
    int r = 0;

    snapshot_tag_folder(entry->previous_tag, from);
    snapshot_tag_folder(entry->tag, to);
    if (entry->complete) {
        /* Not there under the old name: a crash came between the rename and its record. */
        r = io_stat(engine->env, from, &stat);
        if (r == 0)
            r = snapshot_clear_place(engine, to);
        if (r == 0)
            r = io_rename(engine->env, from, to);
        if (r == 0 || r == -ENOENT)
            r = io_sync_directory(engine->env, "snapshots");
    }
    if (r < 0)
        return err_with(r, "rename folder '%s' to '%s'", from, to);
    manifest_edit_snapshot_rename(&edit, number, entry->tag, true);
    return engine_commit(engine, &edit, "record that a snapshot is renamed");
}

int engine_snapshot_rename(struct engine *engine, const char *tag, const char *to)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    const struct manifest_snapshot *entry;
    int r = engine_check_writable(engine);

    if (r < 0)
        return r;
    mutex_lock(&engine->change);
    entry = manifest_find_tag(manifest_state(engine->manifest), tag);
    r = entry ? check_new_tag(engine, to) : err_new(-ENOENT, "there is no snapshot '%s'", tag);
    if (r == 0 && entry->previous_tag[0])
        r = snapshot_settle_rename(engine, entry->number);
    if (r == 0) {
        uint64_t number = entry->number;

        /* The manifest first: from its edit on, recovery makes the folder follow. */
        manifest_edit_snapshot_rename(&edit, number, to, false);
        r = engine_commit(engine, &edit, "record that a snapshot is to be renamed");
        if (r == 0)
            r = snapshot_settle_rename(engine, number);
    }
    mutex_unlock(&engine->change);
    return r;
}

int engine_snapshot_delete(struct engine *engine, const char *tag)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    struct snapshot_waiter *told = NULL;
    const struct manifest_snapshot *entry;
    char folder[SNAPSHOT_PATH_MAX];
    int r = engine_check_writable(engine);

    if (r < 0)
        return r;
    mutex_lock(&engine->change);
    entry = manifest_find_tag(manifest_state(engine->manifest), tag);
    r = entry ? 0 : err_new(-ENOENT, "there is no snapshot '%s'", tag);
    if (r == 0 && entry->holds)
        r = err_new(-EBUSY, "snapshot '%s' is held by '%.*s'", tag,
            (int)strcspn(entry->holds, "\n"), entry->holds);
    if (r == 0 && entry->previous_tag[0])
        r = snapshot_settle_rename(engine, entry->number);
    if (r == 0) {
        struct snapshot_job *job = snapshot_job_find(&engine->snapshots, entry->number);
        uint64_t number = entry->number;

        manifest_edit_snapshot_remove(&edit, number);
        r = engine_commit(engine, &edit, "record that a snapshot is deleted");
        if (r == 0 && job)
            job->deleted = true;
        if (r == 0)
            told = snapshot_waiters_take(&engine->snapshots, number, -ENOENT);
    }
    if (r == 0) {
        /* Out of the way at once, as the tag may be used again; gone a little later. */
        snapshot_tag_folder(tag, folder);
        r = snapshot_clear_place(engine, folder);
    }
    mutex_unlock(&engine->change);
    snapshot_waiters_tell(told);
    snapshots_kick(&engine->snapshots);
    if (r == 0)
        engine_archive_settle(engine);
    return r;
}
