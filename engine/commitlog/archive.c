#include "commitlog/archive.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/buf.h"
#include "engine/error.h"

#define PROBE_PATH COMMITLOG_FOLDER "/link-probe"
#define PROBE_LINK_PATH ARCHIVE_FOLDER "/link-probe"

/* ---- names ---- */

void archive_name(uint64_t segment, char to[ARCHIVE_NAME_BYTES])
{
    snprintf(to, ARCHIVE_NAME_BYTES, "%016" PRIx64 ".log", segment);
}

void archive_path(uint64_t segment, char to[ARCHIVE_PATH_BYTES])
{
    snprintf(to, ARCHIVE_PATH_BYTES, ARCHIVE_FOLDER "/%016" PRIx64 ".log", segment);
}

bool archive_parse_name(const char *name, uint64_t *ret_segment)
{
    char again[ARCHIVE_NAME_BYTES];
    uint64_t segment;

    if (strlen(name) != ARCHIVE_NAME_BYTES - 1 || sscanf(name, "%16" SCNx64, &segment) != 1)
        return false;
    archive_name(segment, again);
    if (strcmp(name, again) != 0 || segment == 0 || segment > UINT32_MAX)
        return false;
    *ret_segment = segment;
    return true;
}

/* ---- keeping ---- */

static int remove_if_there(struct env *env, const char *path)
{
    int r = io_unlink(env, path);

    return r == -ENOENT ? 0 : r;
}

/* Asked before anything is promised: not every disk has hard links. */
static int probe_links(struct env *env)
{
    int r = remove_if_there(env, PROBE_LINK_PATH);

    if (r == 0)
        r = io_write_file(env, PROBE_PATH, bytes_of(NULL, 0), true);
    if (r < 0)
        return r;
    r = io_link(env, PROBE_PATH, PROBE_LINK_PATH);
    if (r == -EPERM || r == -EOPNOTSUPP || r == -ENOSYS || r == -EMLINK || r == -EXDEV)
        r = err_new(-EOPNOTSUPP, "archive=on needs hard links, which this disk does not have");
    else if (r == 0)
        r = io_unlink(env, PROBE_LINK_PATH);
    if (r == 0)
        r = remove_if_there(env, PROBE_PATH);
    return r;
}

int archive_prepare(struct env *env)
{
    int r = io_ensure_directory(env, ARCHIVE_FOLDER);

    if (r == 0)
        r = io_sync_directory(env, "");
    if (r == 0)
        r = probe_links(env);
    return r < 0 ? err_with(r, "prepare the archive of the log") : 0;
}

int archive_link(struct env *env, struct slot *slot, uint64_t segment)
{
    char from[SLOT_PATH_BYTES], to[ARCHIVE_PATH_BYTES];
    int r;

    slot_path(slot->kind, slot->number, from);
    archive_path(segment, to);
    r = io_link(env, from, to);
    /* Of a daemon that died between this and the drop of the slot. */
    if (r < 0 && r != -EEXIST)
        return err_with(r, "keep segment %016" PRIx64 " of the commit log", segment);
    slot->is_shared = true;
    r = io_sync_directory(env, ARCHIVE_FOLDER);
    return r < 0 ? err_new(-EIO, "sync the archive of the log: %s", err_text(r)) : 0;
}

/* ---- looking ---- */

static int add_segment(void *arg, const char *name)
{
    struct buf *found = arg;
    uint64_t segment;

    if (archive_parse_name(name, &segment))
        buf_append(found, &segment, sizeof(segment));
    return buf_error(found);
}

static int compare_segments(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

int archive_list(struct env *env, const char *folder, struct archive_list *ret_list)
{
    AUTO(buf_release) struct buf found = BUF_INIT;
    struct archive_list list;
    int r = io_list(env, folder, add_segment, &found);

    if (r < 0 && r != -ENOENT)
        return err_with(r, "list the archive of the log");
    list.count = found.size / sizeof(*list.segments);
    list.segments = malloc(found.size + 1);
    if (!list.segments)
        return err_new(-ENOMEM, "no memory to list the archive of the log");
    if (found.size > 0)
        memcpy(list.segments, found.data, found.size);
    qsort(list.segments, list.count, sizeof(*list.segments), compare_segments);
    *ret_list = list;
    return 0;
}

void archive_list_release(struct archive_list *list)
{
    free(list->segments);
    *list = (struct archive_list){0};
}
