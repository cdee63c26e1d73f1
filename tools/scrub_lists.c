/*
 *   1. SHA256SUMS   against that of the other copy, if that is of the same snapshot: where they
 *                   differ, the file itself says who is right
 *   2. each other   against its sum; one of the other copy that has that sum takes its place
 *
 * SSTables prove themselves (scrub.c): of them it is only looked here whether all files are there.
 */
#include "scrub_lists.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/buf.h"
#include "engine/error.h"
#include "sha256.h"

#define SUMS_NAME "SHA256SUMS"
#define FILE_BYTES_MAX (1u << 30)
#define PATH_BYTES 1024

struct lists {
    const struct lists_place *place, *from;
    lists_each each;
    void *arg;
    struct buf ours, theirs; /* SHA256SUMS, with a NUL; of theirs maybe none */
};

static void path_in(const struct lists_place *place, const char *name, char to[PATH_BYTES])
{
    snprintf(to, PATH_BYTES, "%s%s%s", place->folder, *place->folder ? "/" : "", name);
}

static int sum_in(const struct lists_place *place, const char *name, char to[SHA256_HEX + 1])
{
    char path[PATH_BYTES];

    path_in(place, name, path);
    return sha256_of_file(place->env, path, to);
}

static int read_in(const struct lists_place *place, const char *name, struct buf *to)
{
    char path[PATH_BYTES];

    path_in(place, name, path);
    return io_read_file(place->env, path, FILE_BYTES_MAX, to);
}

/* The line of that path in a SHA256SUMS, NULL if there is none. */
static const char *find_line(const struct buf *sums, const char *path)
{
    const char *text = (const char *)sums->data, *at = text;
    size_t size = strlen(path);

    while (at && (at = strstr(at, path))) {
        const char *line = at - SHA256_HEX - 2;

        if (line >= text && (line == text || line[-1] == '\n') &&
            (at[size] == '\n' || at[size] == '\0'))
            return line;
        at += size;
    }
    return NULL;
}

/* By a file in the place of the old one, in one step. */
static int replace(struct lists *lists, const char *name)
{
    AUTO(buf_release) struct buf content = BUF_INIT;
    char path[PATH_BYTES], fresh[PATH_BYTES + sizeof(".repair")];
    char *slash;
    int r = read_in(lists->from, name, &content);

    if (r < 0)
        return r;
    path_in(lists->place, name, path);
    snprintf(fresh, sizeof(fresh), "%s.repair", path);
    r = io_write_file(lists->place->env, fresh, buf_bytes(&content), true);
    if (r == 0)
        r = io_rename(lists->place->env, fresh, path);
    slash = strrchr(path, '/');
    path[slash ? slash - path : 0] = '\0';
    return r < 0 ? r : io_sync_directory(lists->place->env, path);
}

/* ---- 1. SHA256SUMS ---- */

static bool is_same_snapshot(const struct lists *lists)
{
    const char *theirs = find_line(&lists->theirs, "snapshot.json");
    const char *ours = find_line(&lists->ours, "snapshot.json");
    char sum[SHA256_HEX + 1];

    if (!theirs)
        return false;
    if (ours && strncmp(ours, theirs, SHA256_HEX) == 0)
        return true;
    return sum_in(lists->place, "snapshot.json", sum) == 0 && strncmp(sum, theirs, SHA256_HEX) == 0;
}

/* Whether all lines of theirs that ours has not, fit to what lies here. */
static bool are_theirs_right(const struct lists *lists)
{
    AUTO(freep) char *copy = strdup((const char *)lists->theirs.data);
    char *rest = copy, *line;

    while (rest && (line = strsep(&rest, "\n"))) {
        const char *path = sha256_line_path(line), *ours;
        char sum[SHA256_HEX + 1];

        if (!*line)
            continue;
        ours = path ? find_line(&lists->ours, path) : NULL;
        if (!path)
            return false;
        if (ours && strncmp(ours, line, SHA256_HEX) == 0)
            continue;
        if (sum_in(lists->place, path, sum) < 0 || strncmp(sum, line, SHA256_HEX) != 0)
            return false;
    }
    return copy != NULL;
}

static int scrub_sums(struct lists *lists)
{
    bool is_missing = read_in(lists->place, SUMS_NAME, &lists->ours) == -ENOENT;
    bool is_known, differs;
    int r;

    buf_append_u8(&lists->ours, 0);
    if (lists->from->env && read_in(lists->from, SUMS_NAME, &lists->theirs) < 0)
        buf_clear(&lists->theirs);
    buf_append_u8(&lists->theirs, 0);
    if (buf_error(&lists->ours) < 0 || buf_error(&lists->theirs) < 0)
        return -ENOMEM;
    is_known = lists->theirs.size > 1 && is_same_snapshot(lists) && are_theirs_right(lists);
    differs = !bytes_equal(buf_bytes(&lists->ours), buf_bytes(&lists->theirs));
    if (!is_missing && !(is_known && differs))
        return 0;
    r = is_known ? replace(lists, SUMS_NAME) : err_new(-ENOENT, "no copy of it is known");
    lists->each(lists->arg, SUMS_NAME,
        is_missing ? "it is missing" : "it is not that of the other copy, which fits", r);
    if (r == 0) {
        buf_clear(&lists->ours);
        buf_append_bytes(&lists->ours, buf_bytes(&lists->theirs));
        r = buf_error(&lists->ours);
    }
    return r == -ENOMEM ? r : 0;
}

/* ---- 2. what it lists ---- */

static bool is_of_sstable(const char *path)
{
    const char *slash = strrchr(path, '/');

    return strncmp(slash ? slash + 1 : path, "nb-", 3) == 0;
}

static int look_for(struct lists *lists, const char *name)
{
    struct io_stat unused;
    char path[PATH_BYTES];

    path_in(lists->place, name, path);
    return io_stat(lists->place->env, path, &unused);
}

static void scrub_line(struct lists *lists, const char *line)
{
    const char *path = sha256_line_path(line);
    char sum[SHA256_HEX + 1], theirs[SHA256_HEX + 1];
    int found, r;

    if (!path) {
        lists->each(lists->arg, SUMS_NAME, "a line that sha256sum would not write", -ENOENT);
        return;
    }
    found = is_of_sstable(path) ? look_for(lists, path) : sum_in(lists->place, path, sum);
    if (is_of_sstable(path) && found != -ENOENT)
        return;
    if (found == 0 && strncasecmp(sum, line, SHA256_HEX) == 0)
        return;
    r = lists->from->env ? sum_in(lists->from, path, theirs) : -ENOENT;
    if (r == 0 && strncasecmp(theirs, line, SHA256_HEX) == 0)
        r = replace(lists, path);
    else
        r = err_new(-ENOENT, "no copy with its sum is known");
    lists->each(lists->arg, path,
        found == 0         ? "its SHA-256 is not that of SHA256SUMS"
        : found == -ENOENT ? "it is missing"
                           : "it cannot be read",
        r);
}

int scrub_lists(
    const struct lists_place *place, const struct lists_place *from, lists_each each, void *arg)
{
    struct lists lists = {.place = place,
        .from = from,
        .each = each,
        .arg = arg,
        .ours = BUF_INIT,
        .theirs = BUF_INIT};
    int r = scrub_sums(&lists);
    char *rest = r == 0 ? (char *)lists.ours.data : NULL, *line;

    while (rest && (line = strsep(&rest, "\n")))
        if (*line)
            scrub_line(&lists, line);
    buf_release(&lists.ours);
    buf_release(&lists.theirs);
    return r;
}
