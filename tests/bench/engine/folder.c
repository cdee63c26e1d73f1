#include "folder.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_FOLDERS_MAX 16

/* nftw() has no argument of its callers: a run has one thread when it looks at folders. */
static uint64_t bytes_seen;

static int add_size(const char *path, const struct stat *stat, int kind, struct FTW *walk)
{
    (void)kind;
    if (strcmp(path + walk->base, "reserve") != 0)
        bytes_seen += (uint64_t)stat->st_blocks * 512;
    return 0;
}

uint64_t folder_bytes(const char *folder)
{
    bytes_seen = 0;
    if (nftw(folder, add_size, OPEN_FOLDERS_MAX, FTW_PHYS) < 0)
        die("%s: %m", folder);
    return bytes_seen;
}

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *walk)
{
    (void)stat;
    (void)kind;
    (void)walk;
    return remove(path);
}

void folder_remove(const char *folder)
{
    if (nftw(folder, remove_one, OPEN_FOLDERS_MAX, FTW_PHYS | FTW_DEPTH) < 0 && errno != ENOENT)
        die("remove %s: %m", folder);
}

void folder_make_empty(const char *folder)
{
    folder_remove(folder);
    if (mkdir(folder, 0700) < 0)
        die("%s: %m", folder);
}

static int make_cold(const char *path, const struct stat *stat, int kind, struct FTW *walk)
{
    int fd;

    (void)walk;
    if (kind != FTW_F || !S_ISREG(stat->st_mode))
        return 0;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        die("%s: %m", path);
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
    return 0;
}

void folder_make_cold(const char *folder)
{
    if (nftw(folder, make_cold, OPEN_FOLDERS_MAX, FTW_PHYS) < 0)
        die("%s: %m", folder);
}
