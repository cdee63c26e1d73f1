#include "sweeper.h"

#include <stdio.h>

#include "engine/assert.h"
#include "engine/error.h"
#include "engine/log.h"
#include "ranks.h"
#include "state.h"

#define PATH_BYTES (DATA_FOLDER_MAX + SSTABLE_FILE_NAME_MAX + SNAPSHOT_TAG_MAX + 16)
#define STEP_UNLINKS 64

void sweeper_init(struct sweeper *sweeper, struct engine *engine)
{
    *sweeper = (struct sweeper){.engine = engine, .env = engine->env};
    mutex_init(&sweeper->mutex, RANK_SWEEPER);
}

void sweeper_kick(struct sweeper *sweeper)
{
    if (sweeper && sweeper->task)
        task_kick(sweeper->env, sweeper->task);
}

/* ---- obsolete SSTables ---- */

void sweeper_retire(struct sweeper *sweeper, struct sstable_handle *handle)
{
    sstable_handle_ref(handle);
    mutex_lock(&sweeper->mutex);
    handle->next_obsolete = sweeper->obsolete;
    sweeper->obsolete = handle;
    mutex_unlock(&sweeper->mutex);
    atomic_store(&handle->obsolete, true);
    sweeper_kick(sweeper);
}

static void component_path(const struct sstable_handle *handle, const char *folder,
    enum sstable_component component, char to[PATH_BYTES])
{
    char name[SSTABLE_FILE_NAME_MAX + 1];

    sstable_file_name(&handle->entry.facts.id, component, name);
    snprintf(to, PATH_BYTES, "%s/%s", folder, name);
}

/* After this a directory walk no longer takes it for a whole SSTable. */
static void unseal(struct sstable_handle *handle)
{
    AUTO(sstable_unrefp) struct sstable *sstable = NULL;
    char from[PATH_BYTES], to[PATH_BYTES];

    /* Readers may open it as long as they have a view with it, and that wants the TOC. */
    if (sstable_handle_open(handle, &sstable) < 0)
        return;
    mutex_lock(&handle->mutex);
    if (handle->pins == 0 && !handle->unsealed) {
        int r;

        component_path(handle, handle->folder, COMPONENT_TOC, from);
        component_path(handle, "trash", COMPONENT_TOC, to);
        r = io_rename(handle->env, from, to);
        if (r < 0)
            log_warning("op=retire path=%s: %s", from, err_text(r));
        handle->unsealed = r == 0;
    }
    mutex_unlock(&handle->mutex);
}

static void remove_file(struct env *env, const char *path)
{
    int r = io_unlink(env, path);

    if (r < 0 && r != -ENOENT)
        log_warning("op=sweep path=%s: %s", path, err_text(r));
}

static void delete_sstable(struct sstable_handle *handle)
{
    unsigned components = sstable_components(handle->schema);
    char path[PATH_BYTES];

    /* TOC first: what is left of an SSTable is never taken for a whole one. */
    for (int c = COMPONENT_COUNT - 1; c >= 0; c--) {
        if (!(components & 1u << c))
            continue;
        component_path(handle, handle->folder, (enum sstable_component)c, path);
        remove_file(handle->env, path);
    }
    if (handle->unsealed) {
        component_path(handle, "trash", COMPONENT_TOC, path);
        remove_file(handle->env, path);
    }
}

/* One whose last reader has left, or NULL. */
static struct sstable_handle *take_unread(struct sweeper *sweeper)
{
    struct sstable_handle *handle;

    mutex_lock(&sweeper->mutex);
    for (struct sstable_handle **at = &sweeper->obsolete; (handle = *at);
         at = &handle->next_obsolete) {
        if (atomic_load(&handle->references) == 1) {
            *at = handle->next_obsolete;
            break;
        }
    }
    mutex_unlock(&sweeper->mutex);
    return handle;
}

static void unseal_all(struct sweeper *sweeper)
{
    struct sstable_handle *handle;

    mutex_lock(&sweeper->mutex);
    handle = sweeper->obsolete;
    mutex_unlock(&sweeper->mutex);
    /* New ones come in at the front, and only this task takes any out. */
    for (; handle; handle = handle->next_obsolete)
        if (!handle->unsealed)
            unseal(handle);
}

/* ---- folders and files ---- */

static bool push(struct sweeper *sweeper, const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    struct leftover *leftover = malloc(sizeof(*leftover) + size);

    if (!leftover)
        return false;
    leftover->is_directory = false;
    snprintf(leftover->path, size, "%s%s%s", folder, *name && *folder ? "/" : "", name);
    mutex_lock(&sweeper->mutex);
    leftover->next = sweeper->leftovers;
    sweeper->leftovers = leftover;
    mutex_unlock(&sweeper->mutex);
    return true;
}

void sweeper_remove(struct sweeper *sweeper, const char *path)
{
    (void)push(sweeper, path, "");
    sweeper_kick(sweeper);
}

struct walk {
    struct sweeper *sweeper;
    const char *folder;
    unsigned pushed;
};

static int push_child(void *arg, const char *name)
{
    struct walk *walk = arg;

    /* A folder is come back to when these are gone, so that a step stays small. */
    if (walk->pushed >= STEP_UNLINKS || !push(walk->sweeper, walk->folder, name))
        return 1;
    walk->pushed++;
    return 0;
}

/* Others may have put theirs before it. */
static void take_out(struct sweeper *sweeper, const struct leftover *leftover)
{
    struct leftover **at = &sweeper->leftovers;

    mutex_lock(&sweeper->mutex);
    while (*at != leftover)
        at = &(*at)->next;
    *at = leftover->next;
    mutex_unlock(&sweeper->mutex);
}

/* Removes one, or puts what is in it before it. */
static void remove_leftover(struct sweeper *sweeper, struct leftover *leftover)
{
    struct walk walk = {sweeper, leftover->path, 0};
    struct env *env = sweeper->env;
    struct io_stat stat;
    int r = io_stat(env, leftover->path, &stat);

    if (r == 0 && !stat.is_directory) {
        remove_file(env, leftover->path);
    } else if (r == 0) {
        r = io_rmdir(env, leftover->path);
        if (r == -ENOTEMPTY || r == -EEXIST) {
            mutex_lock(&sweeper->mutex);
            leftover->next = sweeper->leftovers;
            sweeper->leftovers = leftover;
            mutex_unlock(&sweeper->mutex);
            r = io_list(env, leftover->path, push_child, &walk);
            if (r >= 0 && walk.pushed > 0)
                return;
            take_out(sweeper, leftover);
        }
    }
    if (r < 0 && r != -ENOENT)
        log_warning("op=sweep path=%s: %s", leftover->path, err_text(r));
    free(leftover);
}

static struct leftover *pop(struct sweeper *sweeper)
{
    struct leftover *leftover;

    mutex_lock(&sweeper->mutex);
    leftover = sweeper->leftovers;
    if (leftover)
        sweeper->leftovers = leftover->next;
    mutex_unlock(&sweeper->mutex);
    return leftover;
}

/* ---- what an earlier life left ---- */

static int compare_ids(const void *a, const void *b)
{
    return strcmp(((const struct sstable_id *)a)->text, ((const struct sstable_id *)b)->text);
}

/* Made by this process: it may be linked and not yet named by the manifest. */
static bool is_own(const struct sweeper *sweeper, const struct sstable_id *id)
{
    size_t size = strlen(id->text), tail = strlen(sweeper->own_id_tail);

    return size >= tail && strcmp(id->text + size - tail, sweeper->own_id_tail) == 0;
}

static int push_unnamed_component(void *arg, const char *name)
{
    struct walk *walk = arg;
    struct sweeper *sweeper = walk->sweeper;
    enum sstable_component component;
    struct sstable_id id;

    /* What is no component of an SSTable is somebody else's. */
    if (!sstable_parse_file_name(name, &id, &component) || is_own(sweeper, &id))
        return 0;
    if (sweeper->known_count > 0 &&
        bsearch(&id, sweeper->known, sweeper->known_count, sizeof(*sweeper->known), compare_ids))
        return 0;
    (void)push(sweeper, walk->folder, name);
    return 0;
}

static int push_old_build(void *arg, const char *name)
{
    struct walk *walk = arg;
    enum sstable_component component;
    struct sstable_id id;

    if (sstable_parse_file_name(name, &id, &component) && is_own(walk->sweeper, &id))
        return 0;
    if (snapshots_is_being_built(&walk->sweeper->engine->snapshots, name))
        return 0;
    (void)push(walk->sweeper, walk->folder, name);
    return 0;
}

static int push_unnamed_snapshot(void *arg, const char *name)
{
    struct walk *walk = arg;
    struct engine *engine = walk->sweeper->engine;
    bool known;

    mutex_lock(&engine->change);
    known = manifest_find_tag(manifest_state(engine->manifest), name) != NULL;
    mutex_unlock(&engine->change);
    if (!known)
        (void)push(walk->sweeper, walk->folder, name);
    return 0;
}

/* Looks through the next place; false: all have been. */
static bool scan_next(struct sweeper *sweeper)
{
    struct engine *engine = sweeper->engine;
    struct walk walk = {sweeper, NULL, 0};
    unsigned place = sweeper->scan_next++;
    int r;

    if (place < engine->table_count) {
        walk.folder = engine->folders[place];
        r = io_list(sweeper->env, walk.folder, push_unnamed_component, &walk);
    } else if (place == engine->table_count) {
        walk.folder = "tmp";
        r = io_list(sweeper->env, walk.folder, push_old_build, &walk);
    } else if (place == engine->table_count + 1) {
        walk.folder = "trash";
        r = io_list(sweeper->env, walk.folder, push_old_build, &walk);
    } else if (place == engine->table_count + 2) {
        walk.folder = "snapshots";
        r = io_list(sweeper->env, walk.folder, push_unnamed_snapshot, &walk);
    } else {
        return false;
    }
    if (r < 0)
        log_warning("op=sweep path=%s: %s", walk.folder, err_text(r));
    return true;
}

static int64_t step(void *arg)
{
    struct sweeper *sweeper = arg;
    struct sstable_handle *handle;
    struct leftover *leftover;

    if (engine_failure(sweeper->engine) < 0)
        return TASK_IDLE;
    unseal_all(sweeper);
    handle = take_unread(sweeper);
    if (handle) {
        delete_sstable(handle);
        sstable_handle_unref(handle);
        return TASK_AGAIN;
    }
    leftover = pop(sweeper);
    if (leftover) {
        remove_leftover(sweeper, leftover);
        return TASK_AGAIN;
    }
    return scan_next(sweeper) ? TASK_AGAIN : TASK_IDLE;
}

/* ---- life ---- */

/* By a snapshot that is not complete: it was retired when the store was opened. */
static bool is_pinned(const struct manifest_state *state, uint64_t number)
{
    for (size_t i = 0; i < state->snapshot_count; i++) {
        const struct manifest_snapshot *snapshot = &state->snapshots[i];

        for (size_t j = 0; !snapshot->complete && j < snapshot->sstable_count; j++)
            if (snapshot->sstables[j] == number)
                return true;
    }
    return false;
}

int sweeper_start(struct sweeper *sweeper)
{
    const struct manifest_state *state = manifest_state(sweeper->engine->manifest);
    struct sstable_id own;
    int r;

    sstable_id_make(&own, 0, sweeper->engine->id_low_bits);
    ASSERT(strlen(own.text) > 13);
    strcpy(sweeper->own_id_tail, own.text + strlen(own.text) - 13);
    sweeper->known = calloc(state->sstable_count + 1, sizeof(*sweeper->known));
    if (!sweeper->known)
        return -ENOMEM;
    /* What complete snapshots hold they hold by links of their own. */
    for (size_t i = 0; i < state->sstable_count; i++)
        if (state->sstables[i].live || is_pinned(state, state->sstables[i].number))
            sweeper->known[sweeper->known_count++] = state->sstables[i].facts.id;
    qsort(sweeper->known, sweeper->known_count, sizeof(*sweeper->known), compare_ids);
    r = task_start(sweeper->env, "sweep", step, sweeper, &sweeper->task);
    if (r == 0)
        sweeper_kick(sweeper);
    return r;
}

void sweeper_stop(struct sweeper *sweeper)
{
    if (sweeper->task)
        task_stop(sweeper->env, sweeper->task);
    sweeper->task = NULL;
}

void sweeper_release(struct sweeper *sweeper)
{
    while (sweeper->obsolete) {
        struct sstable_handle *handle = sweeper->obsolete;

        sweeper->obsolete = handle->next_obsolete;
        sstable_handle_unref(handle);
    }
    while (sweeper->leftovers)
        free(pop(sweeper));
    free(sweeper->known);
    mutex_release(&sweeper->mutex);
}
