#include "mountinfo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/error.h"
#include "tools.h"

#define TYPE "fuse.sstfs"

void mount_release(struct mount *mount)
{
    free(mount->mountpoint);
    free(mount->source);
    *mount = (struct mount){0};
}

/* Space, tab, newline and backslash are written as \ and three octal digits. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; to++) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' &&
            from[2] <= '7' && from[3] >= '0' && from[3] <= '7') {
            *to = (char)((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
            from += 4;
        } else {
            *to = *from++;
        }
    }
    *to = '\0';
}

struct line {
    unsigned major, minor;
    char *root, *mountpoint, *type, *source;
};

/* "36 35 98:0 /root /point rw,noatime master:1 - type source options" */
static bool parse_line(char *text, struct line *ret_line)
{
    char *rest = text;
    char *words[5];

    for (size_t i = 0; i < ARRAY_COUNT(words); i++)
        if (!(words[i] = strsep(&rest, " ")))
            return false;
    if (sscanf(words[2], "%u:%u", &ret_line->major, &ret_line->minor) != 2)
        return false;
    rest = rest ? strstr(rest, " - ") : NULL;
    if (!rest)
        return false;
    rest += 3;
    ret_line->root = words[3];
    ret_line->mountpoint = words[4];
    ret_line->type = strsep(&rest, " ");
    ret_line->source = strsep(&rest, " ");
    if (!ret_line->source)
        return false;
    unescape(ret_line->mountpoint);
    unescape(ret_line->source);
    return true;
}

static bool contains(const char *mountpoint, const char *path, bool exactly)
{
    size_t size = strlen(mountpoint);

    if (exactly || strcmp(mountpoint, "/") == 0)
        return strcmp(mountpoint, path) == 0 || !exactly;
    return strncmp(mountpoint, path, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

int mount_find(const char *path, bool exactly, struct mount *ret_mount)
{
    FILE *file = fopen("/proc/self/mountinfo", "re");
    struct mount best = {0};
    bool best_is_ours = false;
    char *text = NULL;
    size_t capacity = 0;
    int r = 0;

    if (!file)
        return err_new(-errno, "open /proc/self/mountinfo: %s", strerror(errno));
    while (r == 0 && getline(&text, &capacity, file) > 0) {
        struct line line;

        text[strcspn(text, "\n")] = '\0';
        if (!parse_line(text, &line) || !contains(line.mountpoint, path, exactly))
            continue;
        /* The longest, and of those the last in the table, is what the path leads to. */
        if (best.mountpoint && strlen(line.mountpoint) < strlen(best.mountpoint))
            continue;
        mount_release(&best);
        best = (struct mount){.mountpoint = strdup(line.mountpoint),
            .source = strdup(line.source),
            .major = line.major,
            .minor = line.minor};
        best_is_ours = strcmp(line.type, TYPE) == 0;
        if (!best.mountpoint || !best.source)
            r = -ENOMEM;
    }
    free(text);
    fclose(file);
    if (r == 0 && best_is_ours) {
        *ret_mount = best;
        return 1;
    }
    mount_release(&best);
    return r;
}

int mount_of(const char *path, struct mount *ret_mount)
{
    AUTO(freep) char *absolute = NULL;
    int r = absolute_path(path, &absolute);

    if (r < 0)
        return r;
    r = mount_find(absolute, false, ret_mount);
    if (r == 0)
        r = err_new(-ENOENT, "'%s' is not in a mounted sstfs", path);
    return r < 0 ? r : 0;
}
