/*
 * What a folder is, and where it lies.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/buf.h"
#include "engine/error.h"
#include "tools.h"

#define FOLDER_DEPTH_MAX 4096
#define REMOVE_FOLDERS_MAX 16 /* open at once */

/* What the root of a filesystem of its own has, and nobody else may remove. */
static bool belongs_to_disk(const char *name)
{
    return strcmp(name, "lost+found") == 0;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int folder_is_empty(int fd)
{
    DIR *directory = fdopendir(fd);
    const struct dirent *entry;
    int is_empty = 1;

    if (!directory) {
        int r = -errno;

        close(fd);
        return r;
    }
    errno = 0;
    while (is_empty && (entry = readdir(directory)))
        if (!is_dots(entry->d_name) && !belongs_to_disk(entry->d_name))
            is_empty = 0;
    if (is_empty && errno != 0)
        is_empty = -errno;
    closedir(directory);
    return is_empty;
}

/* 1: it is there, 0: it is not. Of one that may be listed only nobody can tell. */
static int folder_has(int fd, const char *path, const char *name, struct stat *ret_status)
{
    if (fstatat(fd, name, ret_status, 0) == 0)
        return 1;
    return errno == ENOENT ? 0
                           : err_new(-errno, "look for '%s/%s': %s", path, name, strerror(errno));
}

/* Closes `fd`. */
static int kind_of_other(int fd, const char *path)
{
    int r = folder_is_empty(fd);

    if (r < 0)
        return err_new(r, "list '%s': %s", path, strerror(-r));
    return r ? FOLDER_EMPTY : FOLDER_OTHER;
}

int folder_kind(const char *path)
{
    static const struct {
        const char *name;
        enum folder_kind kind;
    } signs[] = {{"store.json", FOLDER_STORE}, {"snapshot.json", FOLDER_SNAPSHOT},
        {"sstfs", FOLDER_SSTABLES}};
    struct stat status;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return FOLDER_MISSING;
    if (fd < 0)
        return err_new(-errno, "open '%s': %s", path, strerror(errno));
    for (size_t i = 0; i < ARRAY_COUNT(signs); i++) {
        int r = folder_has(fd, path, signs[i].name, &status);

        if (r > 0 && signs[i].kind == FOLDER_SSTABLES && !S_ISDIR(status.st_mode))
            r = 0;
        if (r == 0)
            continue;
        close(fd);
        return r < 0 ? r : (int)signs[i].kind;
    }
    return kind_of_other(fd, path);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status, (void)kind, (void)where;
    return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

int folder_remove(const char *path)
{
    if (nftw(path, remove_one, REMOVE_FOLDERS_MAX, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT)
        return -errno;
    return 0;
}

int folder_clear(const char *path)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    int r = 0;

    if (!directory)
        return -errno;
    while (r == 0 && (entry = readdir(directory))) {
        AUTO(freep) char *inside = NULL;

        if (is_dots(entry->d_name) || belongs_to_disk(entry->d_name))
            continue;
        r = asprintf(&inside, "%s/%s", path, entry->d_name) < 0 ? -ENOMEM : folder_remove(inside);
    }
    closedir(directory);
    return r;
}

int folder_require_store(const char *path)
{
    int kind = folder_kind(path);

    if (kind == FOLDER_MISSING)
        return complain(EXIT_NOT_FOUND, "'%s' does not exist", path);
    if (kind < 0 && kind != -ENOTDIR)
        return complain_of(kind, "'%s'", path);
    if (kind != FOLDER_STORE)
        return complain(EXIT_NOT_A_STORE, "'%s' is not a store", path);
    return EXIT_DONE;
}

int complain_no_tree(const char *path, int kind)
{
    if (kind < 0 && kind != -ENOTDIR)
        return complain_of(kind, "'%s'", path);
    if (kind != FOLDER_SSTABLES)
        return complain(EXIT_NOT_A_STORE, "'%s' is neither a store nor a snapshot", path);
    return complain(EXIT_NOT_A_STORE,
        "'%s' has SSTables but no snapshot.json: a copy that is not whole; or, if it is a snapshot "
        "of Cassandra's, name it with --all-sstables",
        path);
}

/* The parent's path and the last component of one that cannot be resolved as a whole. */
static int resolve_parent(const char *path, char **ret_path)
{
    AUTO(freep) char *copy = strdup(path);
    AUTO(freep) char *parent = NULL;
    char *slash, *last;

    if (!copy)
        return -ENOMEM;
    for (size_t size = strlen(copy); size > 1 && copy[size - 1] == '/'; size--)
        copy[size - 1] = '\0';
    slash = strrchr(copy, '/');
    last = slash ? slash + 1 : copy;
    if (*last == '\0' || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
        return -ENOENT;
    if (slash && slash > copy) {
        *slash = '\0';
        parent = realpath(copy, NULL);
    } else {
        parent = realpath(slash ? "/" : ".", NULL);
    }
    if (!parent)
        return -errno;
    if (asprintf(ret_path, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, last) < 0)
        return -ENOMEM;
    return 0;
}

bool errno_is_of_dead_mount(int code)
{
    return code == ENOTCONN || code == ECONNABORTED;
}

int absolute_path(const char *path, char **ret_path)
{
    char *resolved = realpath(path, NULL);
    int r;

    if (resolved) {
        *ret_path = resolved;
        return 0;
    }
    /* The last component is to be made, or it is a dead mountpoint. */
    r = errno == ENOENT || errno_is_of_dead_mount(errno) ? resolve_parent(path, ret_path) : -errno;
    if (r < 0)
        return err_new(r, "'%s': %s", path, strerror(-r));
    return 0;
}

int relative_path(const char *from, const char *to, char **ret_path)
{
    struct buf path = BUF_INIT;
    size_t common = 0; /* of both, up to and with a slash, or the whole of one */

    for (size_t i = 0;; i++) {
        bool from_ends = from[i] == '/' || from[i] == '\0';
        bool to_ends = to[i] == '/' || to[i] == '\0';

        if (from_ends && to_ends)
            common = i;
        if (from[i] != to[i] || from[i] == '\0')
            break;
    }
    for (const char *rest = from + common; *rest; rest++)
        if (*rest == '/' && rest[1])
            buf_append(&path, "../", 3);
    to += common + (to[common] == '/');
    buf_append(&path, to, strlen(to) + 1);
    *ret_path = (char *)path.data;
    return buf_error(&path);
}

int folder_is_within(const char *inner, const char *outer)
{
    struct stat wanted, here, above;
    int fd, r = 0;

    if (stat(outer, &wanted) < 0)
        return errno == ENOENT ? 0 : err_new(-errno, "'%s': %s", outer, strerror(errno));
    fd = open(inner, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? 0
                   : err_new(-errno, "'%s': %s", inner, strerror(errno));
    if (fstat(fd, &here) < 0)
        r = -errno;
    for (int depth = 0; r == 0 && depth < FOLDER_DEPTH_MAX; depth++) {
        int up;

        if (here.st_dev == wanted.st_dev && here.st_ino == wanted.st_ino) {
            r = 1;
            break;
        }
        up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (up < 0 || fstat(up, &above) < 0) {
            r = -errno;
            if (up >= 0)
                close(up);
            break;
        }
        close(fd);
        fd = up;
        if (above.st_dev == here.st_dev && above.st_ino == here.st_ino)
            break;
        here = above;
    }
    close(fd);
    return r < 0 ? err_new(r, "look above '%s': %s", inner, strerror(-r)) : r;
}
