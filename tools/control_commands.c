/*
 * What a daemon does when a command asks it to, one function each.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "engine/buf.h"
#include "engine/error.h"

static const char *get_text(const json_t *question, const char *name)
{
    return json_string_value(json_object_get(question, name));
}

/* ---- counters ---- */

static int run_stats(
    const struct metrics_sources *sources, const json_t *question, json_t **ret_result)
{
    (void)question;
    *ret_result = metrics_to_json(sources);
    return *ret_result ? 0 : -ENOMEM;
}

static int run_metrics(
    const struct metrics_sources *sources, const json_t *question, json_t **ret_result)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    int r = metrics_to_text(sources, &text);

    (void)question;
    if (r < 0)
        return r;
    *ret_result = json_stringn((const char *)text.data, text.size);
    return *ret_result ? 0 : -ENOMEM;
}

/* ---- work ---- */

static int run_flush(
    const struct metrics_sources *sources, const json_t *question, json_t **ret_result)
{
    (void)question, (void)ret_result;
    return engine_flush(sources->engine, TABLES_ALL);
}

/* True: it is archived; false: the store has no archive. */
static int run_archive_log(
    const struct metrics_sources *sources, const json_t *question, json_t **ret_result)
{
    int r = engine_archive_log(sources->engine);

    (void)question;
    if (r >= 0)
        *ret_result = json_boolean(r > 0);
    return r < 0 ? r : 0;
}

static int run_compact(
    const struct metrics_sources *sources, const json_t *question, json_t **ret_result)
{
    (void)question, (void)ret_result;
    return engine_compact(sources->engine, TABLES_ALL);
}

static int run_reopen(
    const struct metrics_sources *sources, const json_t *question, json_t **ret_result)
{
    (void)question, (void)ret_result;
    engine_reopen_sstables(sources->engine);
    return 0;
}

/* ---- SSTables ---- */

static int add_sstable(void *arg, const struct engine_sstable *sstable)
{
    json_t *one =
        json_pack("{s:i, s:s}", "table", (int)sstable->table, "id", sstable->facts->id.text);

    return json_array_append_new(arg, one) < 0 ? -ENOMEM : 0;
}

int control_list_sstables(struct engine *engine, json_t *to)
{
    return engine_sstables(engine, add_sstable, to);
}

static int run_sstables(
    const struct metrics_sources *sources, const json_t *question, json_t **ret_result)
{
    json_t *list = json_array();
    int r = list ? control_list_sstables(sources->engine, list) : -ENOMEM;

    (void)question;
    if (r < 0)
        json_decref(list);
    else
        *ret_result = list;
    return r;
}

/* ---- snapshots ---- */

#define PUT(object, stats, field)                                                                  \
    json_object_set_new((object), #field, json_integer((json_int_t)(stats).field))

static json_t *holds_to_json(const char *holds)
{
    json_t *list = json_array();

    for (const char *end; (end = strchr(holds, '\n')); holds = end + 1)
        json_array_append_new(list, json_stringn(holds, (size_t)(end - holds)));
    return list;
}

static int add_snapshot(void *arg, const struct snapshot_info *info)
{
    json_t *to = json_object();

    json_object_set_new(to, "tag", json_string(info->tag));
    PUT(to, *info, point_us);
    PUT(to, *info, created_us);
    json_object_set_new(to, "complete", json_boolean(info->complete));
    PUT(to, *info, failure);
    PUT(to, *info, total_bytes);
    PUT(to, *info, unique_bytes);
    PUT(to, *info, freed_bytes);
    PUT(to, *info, sstables);
    PUT(to, *info, expires_us);
    json_object_set_new(to, "holds", holds_to_json(info->holds));
    return json_array_append_new(arg, to) < 0 ? -ENOMEM : 0;
}

static int run_snapshots(
    const struct metrics_sources *sources, const json_t *question, json_t **ret_result)
{
    json_t *list = json_array();
    int r = list ? engine_snapshot_list(sources->engine, add_snapshot, list) : -ENOMEM;

    (void)question;
    if (r < 0)
        json_decref(list);
    else
        *ret_result = list;
    return r;
}

static int run_hold(
    const struct metrics_sources *sources, const json_t *question, json_t **ret_result)
{
    const char *tag = get_text(question, "tag"), *name = get_text(question, "name");

    (void)ret_result;
    if (!tag || !name)
        return err_new(-EINVAL, "hold: want 'tag' and 'name'");
    return engine_snapshot_hold(sources->engine, tag, name);
}

static int run_release(
    const struct metrics_sources *sources, const json_t *question, json_t **ret_result)
{
    const char *tag = get_text(question, "tag"), *name = get_text(question, "name");

    (void)ret_result;
    if (!tag || !name)
        return err_new(-EINVAL, "release: want 'tag' and 'name'");
    return engine_snapshot_release(sources->engine, tag, name);
}

static int run_expire(
    const struct metrics_sources *sources, const json_t *question, json_t **ret_result)
{
    const char *tag = get_text(question, "tag");
    json_int_t expires_us = json_integer_value(json_object_get(question, "expires_us"));

    (void)ret_result;
    if (!tag || expires_us < 0)
        return err_new(-EINVAL, "expire: want 'tag' and 'expires_us'");
    return fs_snapshot_set_expiry(sources->fs, tag, (uint64_t)expires_us);
}

static int run_freed(
    const struct metrics_sources *sources, const json_t *question, json_t **ret_result)
{
    const json_t *tags = json_object_get(question, "tags"), *tag;
    size_t i, count = json_array_size(tags);
    AUTO(freep) const char **names = calloc(count + 1, sizeof(*names));
    uint64_t bytes;
    int r;

    if (!names)
        return -ENOMEM;
    json_array_foreach((json_t *)tags, i, tag)
    {
        names[i] = json_string_value(tag);
        if (!names[i])
            return err_new(-EINVAL, "freed: want 'tags'");
    }
    r = engine_snapshot_freed(sources->engine, names, count, &bytes);
    if (r < 0)
        return r;
    *ret_result = json_integer((json_int_t)bytes);
    return *ret_result ? 0 : -ENOMEM;
}

/* ---- all of them ---- */

int control_run(const struct metrics_sources *sources, const json_t *question, json_t **ret_result)
{
    static const struct {
        const char *name;
        int (*run)(const struct metrics_sources *, const json_t *, json_t **);
    } commands[] = {
        {"stats", run_stats},
        {"metrics", run_metrics},
        {"flush", run_flush},
        {"archive-log", run_archive_log},
        {"compact", run_compact},
        {"reopen", run_reopen},
        {"sstables", run_sstables},
        {"snapshots", run_snapshots},
        {"snapshot-hold", run_hold},
        {"snapshot-release", run_release},
        {"snapshot-expire", run_expire},
        {"snapshots-freed", run_freed},
    };
    const char *command = get_text(question, "command");

    if (!command)
        return err_new(-EINVAL, "not a command");
    *ret_result = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        if (strcmp(command, commands[i].name) == 0)
            return commands[i].run(sources, question, ret_result);
    return err_new(-EINVAL, "unknown command '%s'", command);
}
