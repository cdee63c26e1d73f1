/*
 * What snapshots cost, and what keeps them: sizes, expiry, holds.
 */
#include "snapshot.h"

#include <stdio.h>

#include "engine/error.h"
#include "state.h"

#define HOLDS_BYTES_MAX (64u << 10)

/* ---- list ---- */

static struct snapshot_info describe_locked(
    struct engine *engine, const struct manifest_snapshot *entry)
{
    const struct snapshot_job *job = snapshot_job_find(&engine->snapshots, entry->number);
    struct snapshot_info info = {
        .point_us = entry->point_us,
        .created_us = entry->created_us,
        .complete = entry->complete,
        .failure = job ? job->failure : 0,
        .sstables = entry->sstable_count,
        .expires_us = entry->expires_us,
    };

    for (size_t i = 0; i < entry->sstable_count; i++) {
        const struct manifest_sstable *sstable =
            manifest_find(manifest_state(engine->manifest), entry->sstables[i]);

        info.total_bytes += sstable->facts.total_bytes;
        if (sstable->holders - sstable->live == 1)
            info.unique_bytes += sstable->facts.total_bytes;
        if (sstable->holders == 1)
            info.freed_bytes += sstable->facts.total_bytes;
    }
    return info;
}

struct listed {
    struct snapshot_info info;
    char tag[SNAPSHOT_TAG_MAX + 1];
    char *holds;
};

static int listed_take(
    struct engine *engine, const struct manifest_snapshot *entry, struct listed *to)
{
    to->info = describe_locked(engine, entry);
    strcpy(to->tag, entry->tag);
    to->info.tag = to->tag;
    if (entry->holds)
        to->holds = strdup(entry->holds);
    to->info.holds = to->holds ? to->holds : "";
    return entry->holds && !to->holds ? -ENOMEM : 0;
}

int engine_snapshot_list(struct engine *engine, snapshot_each each, void *arg)
{
    const struct manifest_state *state;
    struct listed *all;
    size_t count;
    int r = 0;

    if (!engine->manifest)
        return 0;
    /* Copied first: `each` may take its time, and may call the engine. */
    mutex_lock(&engine->change);
    state = manifest_state(engine->manifest);
    count = state->snapshot_count;
    all = calloc(count + 1, sizeof(*all));
    if (!all)
        r = -ENOMEM;
    for (size_t i = 0; r == 0 && i < count; i++)
        r = listed_take(engine, &state->snapshots[i], &all[i]);
    mutex_unlock(&engine->change);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = each(arg, &all[i].info);
    for (size_t i = 0; all && i < count; i++)
        free(all[i].holds);
    free(all);
    return r;
}

/* ---- what deleting several gives back ---- */

/* One more of the snapshots to be deleted holds each of these. */
static void count_held(
    const struct manifest_state *state, const struct manifest_snapshot *entry, unsigned *counts)
{
    for (size_t i = 0; i < entry->sstable_count; i++)
        counts[manifest_find(state, entry->sstables[i]) - state->sstables]++;
}

static int freed_locked(
    struct engine *engine, const char *const *tags, size_t count, uint64_t *ret_bytes)
{
    const struct manifest_state *state = manifest_state(engine->manifest);
    AUTO(freep) unsigned *counts = calloc(state->sstable_count + 1, sizeof(*counts));
    uint64_t bytes = 0;

    if (!counts)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct manifest_snapshot *entry = manifest_find_tag(state, tags[i]);

        if (!entry)
            return err_new(-ENOENT, "there is no snapshot '%s'", tags[i]);
        count_held(state, entry, counts);
    }
    for (size_t i = 0; i < state->sstable_count; i++)
        if (counts[i] > 0 && counts[i] == state->sstables[i].holders)
            bytes += state->sstables[i].facts.total_bytes;
    *ret_bytes = bytes;
    return 0;
}

int engine_snapshot_freed(
    struct engine *engine, const char *const *tags, size_t count, uint64_t *ret_bytes)
{
    int r;

    if (!engine->manifest)
        return err_new(-ENOENT, "a snapshot's folder has no snapshots");
    mutex_lock(&engine->change);
    r = freed_locked(engine, tags, count, ret_bytes);
    mutex_unlock(&engine->change);
    return r;
}

/* ---- expiry and holds ---- */

/* Where a hold of that name begins in the list, or NULL. */
static const char *find_hold(const char *holds, const char *name)
{
    size_t size = strlen(name);

    while (holds && *holds) {
        const char *end = strchr(holds, '\n');

        if ((size_t)(end - holds) == size && memcmp(holds, name, size) == 0)
            return holds;
        holds = end + 1;
    }
    return NULL;
}

static int add_hold(const char *holds, const char *name, struct buf *to)
{
    if (!snapshot_name_is_valid(name, SNAPSHOT_HOLD_MAX))
        return err_new(-EINVAL,
            "hold '%s': want 1 to %d of [A-Za-z0-9._:+-], a letter or digit first", name,
            SNAPSHOT_HOLD_MAX);
    if (find_hold(holds, name))
        return err_new(-EEXIST, "there is a hold '%s' already", name);
    if (holds)
        buf_append(to, holds, strlen(holds));
    buf_append(to, name, strlen(name));
    buf_append_u8(to, '\n');
    return to->size > HOLDS_BYTES_MAX ? err_new(-E2BIG, "too many holds") : 0;
}

static int remove_hold(const char *holds, const char *name, struct buf *to)
{
    const char *found = name ? find_hold(holds, name) : NULL;
    const char *rest;

    if (!name)
        return 0;
    if (!found)
        return err_new(-ENODATA, "there is no hold '%s'", name);
    rest = found + strlen(name) + 1;
    buf_append(to, holds, (size_t)(found - holds));
    buf_append(to, rest, strlen(rest));
    return 0;
}

struct keep_change {
    bool sets_expiry;
    uint64_t expires_us;
    int (*change_holds)(
        const char *holds, const char *name, struct buf *to); /* NULL: as they are */
    const char *name;
};

static int change_keep_locked(
    struct engine *engine, const char *tag, const struct keep_change *change)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    AUTO(buf_release) struct buf holds = BUF_INIT;
    const struct manifest_snapshot *entry =
        manifest_find_tag(manifest_state(engine->manifest), tag);
    int r = 0;

    if (!entry)
        return err_new(-ENOENT, "there is no snapshot '%s'", tag);
    if (change->change_holds)
        r = change->change_holds(entry->holds, change->name, &holds);
    else if (entry->holds)
        buf_append(&holds, entry->holds, strlen(entry->holds));
    buf_append_u8(&holds, 0);
    if (r == 0)
        r = buf_error(&holds);
    if (r < 0)
        return r;
    manifest_edit_snapshot_keep(&edit, entry->number,
        change->sets_expiry ? change->expires_us : entry->expires_us, (const char *)holds.data);
    return engine_commit(engine, &edit, "record what keeps a snapshot");
}

static int change_keep(struct engine *engine, const char *tag, const struct keep_change *change)
{
    int r = engine_check_writable(engine);

    if (r < 0)
        return r;
    mutex_lock(&engine->change);
    r = change_keep_locked(engine, tag, change);
    mutex_unlock(&engine->change);
    return r;
}

int engine_snapshot_set_expiry(struct engine *engine, const char *tag, uint64_t expires_us)
{
    return change_keep(
        engine, tag, &(struct keep_change){.sets_expiry = true, .expires_us = expires_us});
}

int engine_snapshot_hold(struct engine *engine, const char *tag, const char *name)
{
    return change_keep(engine, tag, &(struct keep_change){.change_holds = add_hold, .name = name});
}

int engine_snapshot_release(struct engine *engine, const char *tag, const char *name)
{
    return change_keep(
        engine, tag, &(struct keep_change){.change_holds = remove_hold, .name = name});
}
