#include "sweeper.h"

#include <stdio.h>

#include "engine/assert.h"
#include "engine/error.h"
#include "engine/log.h"
#include "ranks.h"
#include "released.h"
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

void sweeper_retire(struct sweeper *sweeper, struct sstable_handle *const *handles, size_t count)
{
    /* Together, so that one list names all of a job's inputs, or none. */
    mutex_lock(&sweeper->mutex);
    for (size_t i = 0; i < count; i++) {
        sstable_handle_ref(handles[i]);
        handles[i]->next_obsolete = sweeper->obsolete;
        sweeper->obsolete = handles[i];
    }
    mutex_unlock(&sweeper->mutex);
    for (size_t i = 0; i < count; i++)
        atomic_store(&handles[i]->obsolete, true);
    sweeper_kick(sweeper);
}

static void component_path(
    const struct sstable_handle *handle, enum sstable_component component, char to[PATH_BYTES])
{
    char name[SSTABLE_FILE_NAME_MAX + 1];

    sstable_file_name(&handle->entry.facts.id, component, name);
    snprintf(to, PATH_BYTES, "%s/%s", handle->folder, name);
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
        component_path(handle, (enum sstable_component)c, path);
        remove_file(handle->env, path);
    }
}

/* One that may go and whose last reader has left, or NULL. */
static struct sstable_handle *take_unread(struct sweeper *sweeper)
{
    struct sstable_handle *handle;

    mutex_lock(&sweeper->mutex);
    for (struct sstable_handle **at = &sweeper->obsolete; (handle = *at);
         at = &handle->next_obsolete) {
        if (handle->released && atomic_load(&handle->references) == 1) {
            *at = handle->next_obsolete;
            break;
        }
    }
    mutex_unlock(&sweeper->mutex);
    return handle;
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
    const struct table_schema *schema; /* of the folder, if it is a table's */
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
    struct walk walk = {.sweeper = sweeper, .folder = leftover->path};
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
    /* Without TOC.txt it is not whole, and nobody takes it. */
    if (component == COMPONENT_TOC)
        released_add(&sweeper->unnamed, walk->schema, &id);
    if (buf_error(&sweeper->unnamed) < 0)
        return -ENOMEM;
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
    if (strcmp(name, RELEASED_NAME) == 0)
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

static void scan(struct sweeper *sweeper, struct walk *walk, io_list_each each)
{
    int r = io_list(sweeper->env, walk->folder, each, walk);

    if (r < 0)
        log_warning("op=sweep path=%s: %s", walk->folder, err_text(r));
}

/* At once and first: until what an earlier life left is named in the list, none may go. */
static void scan_tables(struct sweeper *sweeper)
{
    struct engine *engine = sweeper->engine;

    for (unsigned i = 0; i < engine->table_count; i++) {
        struct walk walk = {
            .sweeper = sweeper, .schema = &engine->tables[i], .folder = engine->folders[i]};

        scan(sweeper, &walk, push_unnamed_component);
    }
    sweeper->list_is_due = sweeper->unnamed.size > 0;
}

/* Looks through the next place; false: all have been. */
static bool scan_next(struct sweeper *sweeper)
{
    static const struct {
        const char *folder;
        io_list_each each;
    } places[] = {
        {"tmp", push_old_build}, {"trash", push_old_build}, {"snapshots", push_unnamed_snapshot}};
    unsigned place = sweeper->scan_next++;
    struct walk walk = {.sweeper = sweeper};

    if (place >= ARRAY_COUNT(places))
        return false;
    walk.folder = places[place].folder;
    scan(sweeper, &walk, places[place].each);
    return true;
}

/* ---- the list of those that may go ---- */

/* Obsolete ones and what was found unnamed; 1: there are some that the list has not yet. */
static bool gather_list(struct sweeper *sweeper, struct buf *list)
{
    bool is_due = sweeper->list_is_due;

    buf_append_bytes(list, buf_bytes(&sweeper->unnamed));
    mutex_lock(&sweeper->mutex);
    for (struct sstable_handle *h = sweeper->obsolete; h; h = h->next_obsolete) {
        is_due |= !h->released;
        h->listed = true;
        released_add(list, h->schema, &h->entry.facts.id);
    }
    mutex_unlock(&sweeper->mutex);
    return is_due;
}

/* New ones come in at the front, and only this task takes any out. */
static void note_listed(struct sweeper *sweeper)
{
    mutex_lock(&sweeper->mutex);
    for (struct sstable_handle *h = sweeper->obsolete; h; h = h->next_obsolete)
        h->released = h->listed;
    mutex_unlock(&sweeper->mutex);
    sweeper->list_is_due = false;
    sweeper->has_list = true;
}

static int sync_tables(struct sweeper *sweeper)
{
    struct engine *engine = sweeper->engine;
    int r = 0;

    for (unsigned i = 0; r == 0 && i < engine->table_count; i++)
        r = io_sync_directory(sweeper->env, engine->folders[i]);
    return r;
}

/* Names what is to go, before any of it goes. */
static int write_list(struct sweeper *sweeper)
{
    AUTO(buf_release) struct buf list = BUF_INIT;
    int r;

    if (!gather_list(sweeper, &list))
        return 0;
    /* The new list has no more what went since the last: that must be gone for good. */
    r = sweeper->has_list ? sync_tables(sweeper) : 0;
    if (r == 0)
        r = released_write(sweeper->env, &list);
    /* A full store is emptied all the same: what would be at stake without the list is only how
     * well a lost manifest could be made up for. */
    if (r == -ENOSPC) {
        log_warning("op=sweep: %s", err_text(r));
        r = 0;
    }
    if (r == 0)
        note_listed(sweeper);
    return r;
}

/* Nothing is left to go. */
static int drop_list(struct sweeper *sweeper)
{
    bool is_needed;
    int r;

    mutex_lock(&sweeper->mutex);
    is_needed = sweeper->obsolete || sweeper->leftovers;
    mutex_unlock(&sweeper->mutex);
    if (!sweeper->has_list || is_needed)
        return 0;
    r = sync_tables(sweeper);
    if (r == 0)
        r = io_unlink(sweeper->env, RELEASED_PATH);
    if (r < 0 && r != -ENOENT)
        return r;
    sweeper->has_list = false;
    buf_clear(&sweeper->unnamed);
    return 0;
}

/* ---- */

static int64_t give_up(int r)
{
    log_warning("op=sweep: %s: nothing is deleted for now", err_text(r));
    return TASK_IDLE;
}

static int64_t step(void *arg)
{
    struct sweeper *sweeper = arg;
    struct sstable_handle *handle;
    struct leftover *leftover;
    int r;

    if (engine_failure(sweeper->engine) < 0)
        return TASK_IDLE;
    if (!sweeper->tables_scanned)
        scan_tables(sweeper);
    sweeper->tables_scanned = true;
    r = write_list(sweeper);
    if (r < 0)
        return give_up(r);
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
    if (scan_next(sweeper))
        return TASK_AGAIN;
    r = drop_list(sweeper);
    return r < 0 ? give_up(r) : TASK_IDLE;
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
    /* One of an earlier life: this one's is to take its place, or it goes. */
    sweeper->has_list = true;
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
    buf_release(&sweeper->unnamed);
    free(sweeper->known);
    mutex_release(&sweeper->mutex);
}
