/*
 * sstfs restore --at TIME [--log FOLDER] SNAPSHOT STORE: a new store as it was at that moment, made
 * of a snapshot's folder and of the log that was archived since.
 */
#include "restore_at.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/error.h"
#include "engine/log_restore.h"
#include "fs/fs.h"
#include "json_text.h"
#include "moment.h"
#include "tools.h"

#define MEMORY_BYTES (256ull << 20)

/* ---- where the log is ---- */

/* Beside the snapshot's folder: as MNT/.snapshots and copies of it have it, or as a store does. */
static int find_log(const char *folder, char **ret_path)
{
    AUTO(freep) char *whole = NULL;
    AUTO(freep) char *path = NULL;
    char *slash;
    int r = absolute_path(folder, &whole);

    if (r < 0)
        return r;
    slash = strrchr(whole, '/');
    *slash = '\0';
    if (asprintf(&path, "%s/log", whole) < 0) {
        path = NULL;
        return -ENOMEM;
    }
    slash = strrchr(whole, '/');
    if (access(path, F_OK) < 0 && slash && strcmp(slash, "/snapshots") == 0) {
        *slash = '\0';
        if (folder_kind(whole) == FOLDER_STORE) {
            *ret_path = whole;
            whole = NULL;
            return 0;
        }
    }
    *ret_path = path;
    path = NULL;
    return 0;
}

static int open_log(const struct restore_at *plan, struct log_source *ret_source)
{
    AUTO(freep) char *path = NULL;
    int kind, r = 0;

    if (plan->log)
        r = absolute_path(plan->log, &path);
    else
        r = find_log(plan->folder, &path);
    if (r < 0)
        return r;
    kind = folder_kind(path);
    if (kind == FOLDER_MISSING)
        return err_new(-ENOENT, "there is no log in '%s': --log FOLDER names another", path);
    if (kind < 0)
        return kind;
    ret_source->is_store = kind == FOLDER_STORE;
    return env_posix_new(path, &ret_source->env);
}

/* ---- making the store ---- */

static int tell(const struct restore_at *plan, const struct log_restore_result *result)
{
    if (plan->as_json)
        return print_json(
            json_pack("{s:o, s:I, s:I}", "store", json_of_name(plan->store), "changes",
                (json_int_t)result->batches, "last_us", (json_int_t)result->last_timestamp_us),
            EXIT_DONE);
    printf("restored '%s': the snapshot, and %llu changes up to @%lld\n", plan->store,
        (unsigned long long)result->batches, (long long)result->last_timestamp_us);
    return EXIT_DONE;
}

static int make(const struct restore_at *plan, int64_t until_us, const struct log_source *source,
    struct log_restore_result *ret_result)
{
    struct engine_options options = {
        .tables = fs_tables, .table_count = FS_TABLE_COUNT, .memory_bytes = MEMORY_BYTES};
    AUTO(freep) char *way = NULL;
    struct env *env = NULL, *from = NULL;
    int r = env_posix_new(plan->store, &env);

    if (r >= 0)
        r = snapshot_env_new(plan->store, plan->folder, &from, &way);
    if (r >= 0)
        r = engine_create_at(env, from, way, &options, source, until_us, ret_result);
    env_free(from);
    env_free(env);
    return r;
}

int restore_at(const struct restore_at *plan)
{
    struct log_source source = {0};
    struct log_restore_result result = {0};
    int64_t until_us = LOG_RESTORE_LATEST;
    bool made = false;
    int r, code;

    if (strcmp(plan->moment, "latest") != 0 && !moment_parse(plan->moment, &until_us))
        return complain(EXIT_USAGE,
            "'%s' is no moment: want \"2026-11-28 14:03:05.123456\" (local time; with Z or +01:00 "
            "that of there), @ and microseconds since 1970, or latest",
            plan->moment);
    code = snapshot_folder_require(plan->folder);
    if (code != EXIT_DONE)
        return code;
    r = open_log(plan, &source);
    if (r < 0)
        return complain_of(r, "restore '%s'", plan->folder);
    code = new_store_folder(plan->store, &made);
    if (code == EXIT_DONE) {
        r = make(plan, until_us, &source, &result);
        if (r == -EBUSY)
            code = complain(EXIT_IN_USE, "the store of the log is mounted: %s", err_text(r));
        else if (r < 0)
            code = complain_of(r, "restore '%s' to %s", plan->folder, plan->moment);
        else
            code = tell(plan, &result);
        if (r < 0)
            remove_half_store(plan->store, made);
    }
    env_free(source.env);
    return code;
}
