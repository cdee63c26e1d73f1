/*
 * A store taken back to one of its snapshots.
 *
 *   opened and closed again: the log's content is in SSTables, and in a snapshot; and in the
 *                            archive, if there is one, for whoever restores to a moment before
 *     -> the SSTables of the wanted snapshot that are not live are linked back into data/
 *     -> store.json with a new node number
 *     -> one manifest edit: these are live, those of now are not
 *     -> what would bring back the rest, were the manifest ever lost, is named as released (the
 *        SSTables) or gone (the log, which is in SSTables)
 */
#include <stdio.h>

#include "commitlog/archive.h"
#include "commitlog/segment.h"
#include "engine/error.h"
#include "identity.h"
#include "released.h"
#include "state.h"

#define ROLL_BYTES (1u << 20) /* of a manifest that is written once */
#define PATH_BYTES (SNAPSHOT_PATH_MAX + DATA_FOLDER_MAX + SSTABLE_FILE_NAME_MAX + 2)

struct rollback {
    struct env *env;
    const struct table_schema *tables;
    struct manifest *manifest;
    const char *tag;
};

/* ---- before ---- */

/* Whether there is such a snapshot is asked first: else `keep_as` would be made for nothing. */
static int check_tag(struct engine *engine, const char *tag)
{
    int r = engine_snapshot_await(engine, tag, NULL, NULL);

    return r < 0 ? err_with(r, "roll back to '%s'", tag) : 0;
}

/* Whether this store ever archived: whoever mounts it says so, and that is not known here. */
static int has_archive(struct env *env, bool *ret_has)
{
    struct io_stat unused;
    int r = io_stat(env, ARCHIVE_FOLDER, &unused);

    *ret_has = r == 0;
    return r == -ENOENT ? 0 : r;
}

static int keep_now(
    struct env *env, const struct engine_options *given, const char *tag, const char *keep_as)
{
    struct engine_options options = *given;
    struct engine *engine = NULL;
    int r = has_archive(env, &options.archive), closed;

    if (r == 0)
        r = engine_open(env, &options, &engine);
    if (r < 0)
        return r;
    r = check_tag(engine, tag);
    if (r == 0)
        r = engine_snapshot_create(engine, keep_as);
    if (r == 0)
        r = engine_snapshot_await(engine, keep_as, NULL, NULL);
    if (r == 0)
        r = engine_archive_log(engine);
    closed = engine_close(engine, CLOSE_FLUSH);
    return r < 0 ? r : closed;
}

/* ---- files ---- */

static int link_back(struct rollback *rollback, const struct manifest_sstable *sstable)
{
    const struct table_schema *schema = &rollback->tables[sstable->table];
    char folder[DATA_FOLDER_MAX + 1], name[SSTABLE_FILE_NAME_MAX + 1];
    unsigned components = sstable_components(schema);

    engine_data_folder(schema, folder);
    for (unsigned c = 0; c < COMPONENT_COUNT; c++) {
        char from[PATH_BYTES], to[PATH_BYTES];
        int r;

        if (!(components >> c & 1))
            continue;
        sstable_file_name(&sstable->facts.id, (enum sstable_component)c, name);
        snprintf(from, sizeof(from), "snapshots/%s/%s/%s", rollback->tag, folder + strlen("data/"),
            name);
        snprintf(to, sizeof(to), "%s/%s", folder, name);
        r = io_link(rollback->env, from, to);
        if (r == -EEXIST) /* of an attempt before this one, or not swept yet: the same file */
            r = 0;
        if (r < 0)
            return err_with(r, "link '%s' back", from);
    }
    return 0;
}

static int sync_folders(struct rollback *rollback, unsigned table_count)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < table_count; i++) {
        char folder[DATA_FOLDER_MAX + 1];

        engine_data_folder(&rollback->tables[i], folder);
        r = io_sync_directory(rollback->env, folder);
    }
    return r;
}

/* ---- the edit ---- */

static bool holds(const struct manifest_snapshot *snapshot, uint64_t number)
{
    for (size_t i = 0; i < snapshot->sstable_count; i++)
        if (snapshot->sstables[i] == number)
            return true;
    return false;
}

static int make_edit(
    struct rollback *rollback, const struct manifest_snapshot *snapshot, struct manifest_edit *edit)
{
    const struct manifest_state *state = manifest_state(rollback->manifest);

    for (size_t i = 0; i < state->sstable_count; i++) {
        const struct manifest_sstable *sstable = &state->sstables[i];
        bool is_wanted = holds(snapshot, sstable->number);
        int r;

        if (is_wanted == sstable->live)
            continue;
        if (!is_wanted) {
            manifest_edit_retire(edit, sstable->number);
            continue;
        }
        r = link_back(rollback, sstable);
        if (r < 0)
            return r;
        manifest_edit_revive(edit, sstable->number);
    }
    return 0;
}

/* All that was logged is in SSTables: the log begins anew. A number is left out, so that whoever
 * replays the archive sees that what comes does not follow on what was. */
static void end_log(const struct manifest_state *state, struct manifest_edit *edit)
{
    uint64_t next_segment = engine_segment_after(manifest_flushed_max(state));

    if (next_segment < state->next_segment)
        next_segment = state->next_segment;
    next_segment++;
    manifest_edit_clock(edit, state->last_timestamp_us, next_segment);
    for (unsigned i = 0; i < state->table_count; i++)
        manifest_edit_flushed(edit, i, next_segment << 32);
}

/* ---- after ---- */

struct release {
    const struct manifest_state *state;
    const struct table_schema *schema;
    struct buf list;
};

static int release_unless_live(void *arg, const char *name)
{
    struct release *release = arg;
    enum sstable_component component;
    struct sstable_id id;

    if (!sstable_parse_file_name(name, &id, &component) || component != COMPONENT_TOC)
        return 0;
    for (size_t i = 0; i < release->state->sstable_count; i++)
        if (release->state->sstables[i].live &&
            strcmp(release->state->sstables[i].facts.id.text, id.text) == 0)
            return 0;
    released_add(&release->list, release->schema, &id);
    return 0;
}

static int release_others(struct rollback *rollback, unsigned table_count)
{
    struct release release = {.state = manifest_state(rollback->manifest), .list = BUF_INIT};
    int r = 0;

    for (unsigned i = 0; r == 0 && i < table_count; i++) {
        char folder[DATA_FOLDER_MAX + 1];

        release.schema = &rollback->tables[i];
        engine_data_folder(release.schema, folder);
        r = io_list(rollback->env, folder, release_unless_live, &release);
    }
    if (r == 0)
        r = released_write(rollback->env, &release.list);
    buf_release(&release.list);
    return r;
}

static int drop_slots(struct env *env, enum slot_kind kind)
{
    uint64_t slots;
    int r = slot_list(env, kind, &slots);

    for (unsigned number = 0; r == 0 && number < SLOT_NUMBERS_MAX; number++) {
        char path[SLOT_PATH_BYTES];

        if (!(slots >> number & 1))
            continue;
        slot_path(kind, number, path);
        r = io_unlink(env, path);
    }
    return r;
}

static int release_rest(struct rollback *rollback, unsigned table_count)
{
    int r = release_others(rollback, table_count);

    if (r == 0)
        r = drop_slots(rollback->env, SLOT_RECORDS);
    if (r == 0)
        r = drop_slots(rollback->env, SLOT_VALUES);
    return r < 0 ? r : io_sync_directory(rollback->env, COMMITLOG_FOLDER);
}

/* ---- all of it ---- */

static int take_new_node(struct env *env, struct store_identity *identity)
{
    struct store_identity other;
    int r;

    do
        identity_make(env, &other);
    while (other.node == identity->node);
    identity->node = other.node;
    r = identity_write(env, identity);
    return r < 0 ? r : io_sync_directory(env, "");
}

static int take_back(
    struct rollback *rollback, unsigned table_count, struct store_identity *identity)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    const struct manifest_snapshot *snapshot =
        manifest_find_tag(manifest_state(rollback->manifest), rollback->tag);
    int r;

    if (!snapshot)
        return err_new(-ENOENT, "there is no snapshot '%s'", rollback->tag);
    if (!snapshot->complete)
        return err_new(-EAGAIN, "snapshot '%s' is not complete", rollback->tag);
    r = make_edit(rollback, snapshot, &edit);
    end_log(manifest_state(rollback->manifest), &edit);
    if (r == 0)
        r = sync_folders(rollback, table_count);
    if (r == 0)
        r = take_new_node(rollback->env, identity);
    if (r == 0)
        r = manifest_commit(rollback->manifest, &edit);
    return r < 0 ? r : release_rest(rollback, table_count);
}

int engine_rollback(
    struct env *env, const struct engine_options *options, const char *tag, const char *keep_as)
{
    struct rollback rollback = {env, options->tables, NULL, tag};
    struct manifest_options manifest_options = {
        .tables = options->tables, .table_count = options->table_count, .roll_bytes = ROLL_BYTES};
    struct store_identity identity;
    int lock = -1;
    int r = keep_now(env, options, tag, keep_as);

    if (r < 0)
        return r;
    r = identity_read(env, &identity);
    if (r == 0)
        r = lock_take(env, false, &lock);
    if (r < 0)
        return r;
    memcpy(manifest_options.store_uuid, identity.uuid, sizeof(identity.uuid));
    r = manifest_open(env, &manifest_options, &rollback.manifest);
    if (r == 0)
        r = take_back(&rollback, options->table_count, &identity);
    manifest_free(rollback.manifest);
    lock_release(env, false, lock);
    return r;
}
