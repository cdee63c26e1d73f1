#include "destination.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/error.h"
#include "tools.h"

void backup_sets_release(struct backup_sets *sets)
{
    free(sets->list);
    free(sets->segments);
}

bool backup_sets_has(const struct backup_sets *sets, const char *tag)
{
    for (size_t i = 0; i < sets->count; i++)
        if (strcmp(sets->list[i].tag, tag) == 0)
            return true;
    return false;
}

int backup_sets_add(struct backup_sets *sets, const char *tag, time_t made)
{
    struct backup_set *grown = reallocarray(sets->list, sets->count + 1, sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    sets->list = grown;
    memmove(grown + 1, grown, sets->count++ * sizeof(*grown));
    *grown = (struct backup_set){.made = made};
    snprintf(grown->tag, sizeof(grown->tag), "%s", tag);
    return 0;
}

/* ---- rsync ---- */

#define RSYNC_VANISHED 24
#define RSYNC_NOT_THERE 127 /* on the other host; or 12, and only the shell's words tell it */

/* What it complained of, in one line and with our code. */
static int rsync_failed(int code, struct buf *errors, const char *what)
{
    const char *text;
    int r = -EIO;

    buf_append_u8(errors, 0);
    text = buf_error(errors) == 0 ? (const char *)errors->data : "";
    if (strstr(text, "No space left on device") || strstr(text, "Disk quota exceeded"))
        r = -ENOSPC;
    else if (strstr(text, "Permission denied") || strstr(text, "Operation not permitted") ||
             strstr(text, "Read-only file system"))
        r = -EACCES;
    else if (strstr(text, "No such file or directory") || strstr(text, "not found") ||
             code == RSYNC_NOT_THERE)
        r = -ENOENT;
    else if (strstr(text, "Not a directory"))
        r = -ENOTDIR;
    return err_new(r, "%s: rsync, exit code %d: %.*s", what, code, (int)strcspn(text, "\n"), text);
}

void rsync_begin(struct words *words, const char *options)
{
    words_add(words, "rsync");
    words_add(words, "%s", options);
}

int rsync_run(
    const struct words *words, bool vanished_is_fine, struct buf *output, const char *what)
{
    AUTO(buf_release) struct buf errors = BUF_INIT;
    int code = program_run(words, output, &errors);

    if (code == RSYNC_VANISHED && vanished_is_fine)
        return 0;
    return code > 0 ? rsync_failed(code, &errors, what) : code;
}

/* ---- running programs there ---- */

/* The colon of HOST:PATH, as rsync sees it; NULL: it is a path here. */
static const char *host_end(const char *destination)
{
    const char *colon = strchr(destination, ':');

    return colon && !memchr(destination, '/', (size_t)(colon - destination)) ? colon : NULL;
}

bool destination_is_here(const char *destination)
{
    return !host_end(destination);
}

/* A word for the shell of another host. */
static void add_quoted(struct buf *to, const char *text)
{
    buf_append_u8(to, '\'');
    for (; *text; text++) {
        if (*text == '\'')
            buf_append(to, "'\\''", 4);
        else
            buf_append_u8(to, (uint8_t)*text);
    }
    buf_append(to, "' ", 2);
}

static int add_names(struct words *words, struct buf *line, const char *folder,
    const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        AUTO(freep) char *path = NULL;

        if (asprintf(&path, "%s/%s", *folder ? folder : ".", names[i]) < 0)
            return -ENOMEM;
        if (line)
            add_quoted(line, path);
        else
            words_add(words, "%s", path);
    }
    return 0;
}

int destination_run(const char *destination, const char *command, const char *option,
    const char *const *names, size_t count, struct buf *output)
{
    AUTO(words_release) struct words words = WORDS_INIT;
    AUTO(buf_release) struct buf line = BUF_INIT, unheard = BUF_INIT, errors = BUF_INIT;
    const char *colon = host_end(destination);
    int r, code;

    if (colon) {
        words_add(&words, "ssh");
        words_add(&words, "%.*s", (int)(colon - destination), destination);
        print_to(&line, "%s %s -- ", command, option);
    } else {
        words_add(&words, "%s", command);
        words_add(&words, "%s", option);
        words_add(&words, "--");
    }
    r = add_names(&words, colon ? &line : NULL, colon ? colon + 1 : destination, names, count);
    buf_append_u8(&line, 0);
    if (r == 0)
        r = buf_error(&line);
    if (r < 0)
        return r;
    if (colon)
        words_add(&words, "%s", (const char *)line.data);
    code = program_run(&words, output ? output : &unheard, &errors);
    if (code <= 0)
        return code;
    buf_append_u8(&errors, 0);
    return err_new(-EIO, "%s in the destination: %s", command,
        buf_error(&errors) == 0 ? (const char *)errors.data : "");
}

/* ---- what is there ---- */

void destination_segment(uint64_t segment, char to[DESTINATION_SEGMENT_BYTES])
{
    char name[ARCHIVE_NAME_BYTES];

    archive_name(segment, name);
    snprintf(to, DESTINATION_SEGMENT_BYTES, DESTINATION_LOG "/%s", name);
}

/* "-r--r-----          4,096 2026/11/28 07:00:00 TAG/snapshot.json": the path, and the time. NULL:
 * the line is another. */
static char *parse_line(char *line, time_t *ret_time)
{
    struct tm when = {.tm_isdst = -1};
    const char *fields[4];
    char *rest = line;

    for (int i = 0; i < 4; i++) {
        do
            fields[i] = strsep(&rest, " ");
        while (fields[i] && !*fields[i]);
        if (!fields[i])
            return NULL;
    }
    if (!strptime(fields[2], "%Y/%m/%d", &when) || !strptime(fields[3], "%H:%M:%S", &when))
        return NULL;
    *ret_time = mktime(&when);
    return rest;
}

static int add_segment(struct backup_sets *to, uint64_t segment)
{
    uint64_t *grown = reallocarray(to->segments, to->segment_count + 1, sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    to->segments = grown;
    grown[to->segment_count++] = segment;
    return 0;
}

static int take_line(struct backup_sets *to, char *line)
{
    time_t made;
    char *path = parse_line(line, &made), *slash = path ? strchr(path, '/') : NULL;
    uint64_t segment;

    if (!slash)
        return 0;
    *slash = '\0';
    if (strcmp(path, DESTINATION_LOG) == 0)
        return archive_parse_name(slash + 1, &segment) ? add_segment(to, segment) : 0;
    if (strcmp(slash + 1, "snapshot.json") != 0 || !snapshot_tag_is_valid(path) ||
        strcmp(path, DESTINATION_INCOMPLETE) == 0)
        return 0;
    return backup_sets_add(to, path, made);
}

static int newer_first(const void *a, const void *b)
{
    const struct backup_set *left = a, *right = b;

    if (left->made != right->made)
        return left->made > right->made ? -1 : 1;
    return -strcmp(left->tag, right->tag);
}

int destination_list(const char *destination, struct backup_sets *ret_sets)
{
    AUTO(words_release) struct words words = WORDS_INIT;
    AUTO(buf_release) struct buf output = BUF_INIT;
    char *rest, *line;
    int r;

    rsync_begin(&words, "--list-only");
    words_add(&words, "-r");
    words_add(&words, "--include=/*/");
    words_add(&words, "--include=/*/snapshot.json");
    words_add(&words, "--include=/" DESTINATION_LOG "/*.log");
    words_add(&words, "--exclude=*");
    words_add(&words, "%s/", destination);
    r = rsync_run(&words, false, &output, "list the destination");
    buf_append_u8(&output, 0);
    if (r == 0)
        r = buf_error(&output);
    rest = (char *)output.data;
    while (r == 0 && (line = strsep(&rest, "\n")))
        r = take_line(ret_sets, line);
    if (r == 0 && ret_sets->count > 0)
        qsort(ret_sets->list, ret_sets->count, sizeof(*ret_sets->list), newer_first);
    return r;
}

/* ---- what sets say of themselves ---- */

static int take_facts(struct backup_set *set, const json_t *root)
{
    const char *uuid = json_string_value(json_object_get(root, "store"));

    if (!uuid)
        return err_new(
            -EUCLEAN, "snapshot.json of '%s' is damaged: remove that set, or heal it", set->tag);
    snprintf(set->store, sizeof(set->store), "%s", uuid);
    set->position = (uint64_t)json_integer_value(json_object_get(root, "log_position"));
    return 0;
}

static int read_facts(
    const char *destination, struct backup_set *sets, const char **paths, size_t count)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    size_t at = 0;
    int r = destination_run(destination, "cat", "-u", paths, count, &text);

    /* One document behind the other. */
    for (size_t i = 0; r == 0 && i < count; i++) {
        json_error_t where;
        json_t *root = json_loadb(
            (const char *)text.data + at, text.size - at, JSON_DISABLE_EOF_CHECK, &where);

        at += root ? (size_t)where.position : 0;
        r = take_facts(&sets[i], root);
        json_decref(root);
    }
    return r;
}

int destination_read_sets(const char *destination, struct backup_set *sets, size_t count)
{
    AUTO(freep) const char **paths = calloc(count + 1, sizeof(*paths));
    int r = paths ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < count; i++) {
        char *path;

        if (asprintf(&path, "%s/snapshot.json", sets[i].tag) < 0)
            r = -ENOMEM;
        else
            paths[i] = path;
    }
    if (r == 0 && count > 0)
        r = read_facts(destination, sets, paths, count);
    for (size_t i = 0; paths && i < count; i++)
        free((char *)paths[i]);
    return r;
}
