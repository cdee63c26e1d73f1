/*
 *   1. the mount ends a segment of its log: all that was logged by now is in .snapshots/log
 *   2. from the lowest position of the sets in DEST on, what DEST lacks is copied to DEST/log
 *   3. when sets went, what lies before all others goes too
 *
 * An archived segment never changes, and no other ever has its name.
 */
#include "backup_log.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "engine/error.h"
#include "snapshots.h"
#include "tools.h"

/* ---- what is needed ---- */

/* The first segment that something is restored over: the sets' lowest. */
static int first_needed(
    const char *destination, const struct backup_sets *sets, uint64_t *ret_segment)
{
    int r = destination_read_sets(destination, sets->list, sets->count);

    *ret_segment = UINT64_MAX;
    for (size_t i = 0; r == 0 && i < sets->count; i++) {
        uint64_t position = sets->list[i].position;

        if (position > 0 && position >> 32 < *ret_segment)
            *ret_segment = position >> 32;
    }
    return r;
}

/* ---- copying ---- */

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* The segments that the mount shows from `first` on, as words. What comes later is the next
 * backup's: a mount that is written to never has all. */
static int add_segments(struct words *words, const char *folder, uint64_t first)
{
    struct dirent **entries = NULL;
    int found = 0, count = scandir(folder, &entries, NULL, by_name);
    uint64_t segment;

    if (count < 0)
        return errno == ENOENT ? 0 : err_new(-errno, "list '%s': %s", folder, strerror(errno));
    for (int i = 0; i < count; i++) {
        if (archive_parse_name(entries[i]->d_name, &segment) && segment >= first) {
            words_add(words, "%s/%s", folder, entries[i]->d_name);
            found++;
        }
        free(entries[i]);
    }
    free(entries);
    return found;
}

static int run(const struct backup_log *log, const char *options, const char *folder,
    uint64_t first, struct buf *output)
{
    AUTO(words_release) struct words words = WORDS_INIT;
    int r;

    rsync_begin(&words, options);
    words_add(&words, "--ignore-missing-args"); /* its tag goes, and so does it */
    words_add(&words, "--fsync");
    r = add_segments(&words, folder, first);
    if (r <= 0)
        return r;
    words_add(&words, "%s/" DESTINATION_LOG "/", log->destination);
    return rsync_run(&words, true, output, "copy the log");
}

/* As all of a backup: what differs was copied before, and has rotted since. */
static int copy_all(const struct backup_log *log, const char *folder, uint64_t first)
{
    AUTO(buf_release) struct buf output = BUF_INIT;
    int r = run(log, "-tpS", folder, first, &output);

    buf_clear(&output);
    if (r == 0 && log->verifies)
        r = run(log, "-tnci", folder, first, &output);
    if (r < 0 || output.size == 0)
        return r;
    complain(EXIT_DONE, "a copy of the log differs; it is copied again");
    r = run(log, "-tpSc", folder, first, &output);
    buf_clear(&output);
    if (r == 0)
        r = run(log, "-tnci", folder, first, &output);
    return r < 0 || output.size == 0 ? r : err_new(-EUCLEAN, "the copy of the log differs");
}

int backup_log_copy(const struct backup_log *log)
{
    AUTO(freep) char *folder = NULL;
    json_t *is_archived = NULL;
    uint64_t first;
    int r = control_ask(log->path, "archive-log", &is_archived);

    if (r == 0)
        r = json_is_true(is_archived);
    json_decref(is_archived);
    if (r <= 0)
        return r;
    r = asprintf(&folder, "%.*s/log", (int)(strrchr(log->folder, '/') - log->folder), log->folder);
    if (r < 0)
        return -ENOMEM;
    r = first_needed(log->destination, log->sets, &first);
    if (r == 0)
        r = copy_all(log, folder, first);
    return r < 0 ? r : 1;
}

/* ---- what is needed no more ---- */

int backup_log_rotate(const char *destination)
{
    AUTO(backup_sets_release) struct backup_sets sets = {0};
    AUTO(freep) char(*paths)[DESTINATION_SEGMENT_BYTES] = NULL;
    AUTO(freep) const char **names = NULL;
    uint64_t first = UINT64_MAX;
    size_t count = 0;
    int r = destination_list(destination, &sets);

    if (r == 0)
        r = first_needed(destination, &sets, &first);
    if (r < 0 || first == UINT64_MAX)
        return r;
    paths = calloc(sets.segment_count + 1, sizeof(*paths));
    names = calloc(sets.segment_count + 1, sizeof(*names));
    if (!paths || !names)
        return -ENOMEM;
    for (size_t i = 0; i < sets.segment_count; i++) {
        if (sets.segments[i] >= first)
            continue;
        destination_segment(sets.segments[i], paths[count]);
        names[count] = paths[count];
        count++;
    }
    return count > 0 ? destination_run(destination, "rm", "-f", names, count, NULL) : 0;
}

/* ---- the tag that keeps the log ---- */

bool backup_log_keeps(const json_t *snapshot)
{
    const json_t *holds = json_object_get(snapshot, "holds"), *name;
    size_t i;

    json_array_foreach((json_t *)holds, i, name)
    {
        if (strcmp(json_string_value(name), BACKUP_LOG_HOLD) == 0)
            return true;
    }
    return false;
}

void backup_log_let_go(const struct backup_log *log, const char *tag)
{
    json_t *snapshots = NULL, *one;
    size_t i;
    int r = control_ask(log->path, "snapshots", &snapshots);

    if (r < 0) {
        complain_of(r, "let go of the last backup's snapshot");
        return;
    }
    json_array_foreach(snapshots, i, one)
    {
        const char *other = json_string_value(json_object_get(one, "tag"));

        if (!backup_log_keeps(one) || strcmp(other, tag) == 0 || !backup_sets_has(log->sets, other))
            continue;
        r = snapshot_release(log->path, other, BACKUP_LOG_HOLD);
        if (r >= 0)
            r = snapshot_remove(log->path, other);
        if (r < 0)
            complain_of(r, "let go of snapshot '%s'", other);
    }
    json_decref(snapshots);
}
