/*
 * The loads of the benchmark that are nothing but system calls, so that what is timed is the file
 * system and not an interpreter.
 *
 *   calls write FILE MIB          1 MiB writes, one fsync           MiB/s
 *   calls read FILE               1 MiB reads                       MiB/s
 *   calls random-read FILE N      4 KiB at random places            reads/s
 *   calls overwrite FILE N        the same written, one fsync       writes/s
 *   calls append FILE N           4 KiB and fsync, each             p50 and p99, us
 *   calls create DIR N            files of 1 KiB, 100 a directory   files/s
 *   calls read-files DIR N        those, each opened and read       files/s
 *   calls stat-files DIR N        those                             files/s
 *   calls fill DIR N              empty files in one directory      files/s
 *   calls list DIR                readdir, and lstat of each        names/s
 *   calls empty DIR N             unlinked in random order          files/s
 *   calls save DIR N              write, fsync, rename over         p50, us
 *   calls rename DIR N            within the directory              renames/s
 *   calls move DIR N              to another one and back           renames/s
 *
 * Prints one number a line. Content is half compressible: each page is half noise, half zeros. The
 * order of random places is the same in each run.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096u
#define MIB (1u << 20)
#define FILES_PER_DIRECTORY 100
#define SMALL_FILE 1024

static uint64_t random_state = 88172645463325252ull;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void die(const char *what)
{
    fprintf(stderr, "calls: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void check(int64_t result, const char *what)
{
    if (result < 0)
        die(what);
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void fill_content(uint8_t *to, size_t size)
{
    memset(to, 0, size);
    for (size_t at = 0; at < size; at += PAGE)
        for (size_t i = 0; i < PAGE / 2 && at + i + 8 <= size; i += 8)
            memcpy(to + at + i, &(uint64_t){random_next()}, 8);
}

static int open_file(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0644);

    if (fd < 0)
        die(path);
    return fd;
}

static void write_all(int fd, const void *from, size_t size, int64_t offset)
{
    int64_t n = offset < 0 ? write(fd, from, size) : pwrite(fd, from, size, offset);

    if (n != (int64_t)size)
        die("write");
}

static uint64_t pages_of(int fd)
{
    struct stat status;

    check(fstat(fd, &status), "fstat");
    return (uint64_t)status.st_size / PAGE;
}

static void rate(double begun, uint64_t count)
{
    printf("%.1f\n", (double)count / (now_s() - begun));
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void percentile_us(double *seconds, uint64_t count, double share)
{
    qsort(seconds, count, sizeof(*seconds), ascending);
    printf("%.1f\n", 1e6 * seconds[(uint64_t)((double)(count - 1) * share)]);
}

/* ---- one file ---- */

static void sequential_write(const char *path, uint64_t mib)
{
    static uint8_t piece[MIB];
    int fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC);
    double begun;

    fill_content(piece, MIB);
    begun = now_s();
    for (uint64_t i = 0; i < mib; i++) {
        memcpy(piece + PAGE / 4, &i, sizeof(i));
        write_all(fd, piece, MIB, -1);
    }
    check(fsync(fd), "fsync");
    rate(begun, mib);
    close(fd);
}

static void sequential_read(const char *path)
{
    static uint8_t piece[MIB];
    int fd = open_file(path, O_RDONLY);
    double begun = now_s();
    uint64_t bytes = 0;
    int64_t n;

    while ((n = read(fd, piece, MIB)) > 0)
        bytes += (uint64_t)n;
    check(n, "read");
    rate(begun, bytes / MIB);
    close(fd);
}

static void random_read(const char *path, uint64_t count)
{
    uint8_t page[PAGE];
    int fd = open_file(path, O_RDONLY);
    uint64_t pages = pages_of(fd);
    double begun = now_s();

    for (uint64_t i = 0; i < count; i++)
        check(pread(fd, page, PAGE, (int64_t)(random_next() % pages * PAGE)), "pread");
    rate(begun, count);
    close(fd);
}

static void overwrite(const char *path, uint64_t count)
{
    uint8_t page[PAGE];
    int fd = open_file(path, O_WRONLY);
    uint64_t pages = pages_of(fd);
    double begun;

    fill_content(page, PAGE);
    begun = now_s();
    for (uint64_t i = 0; i < count; i++) {
        memcpy(page, &i, sizeof(i));
        write_all(fd, page, PAGE, (int64_t)(random_next() % pages * PAGE));
    }
    check(fsync(fd), "fsync");
    rate(begun, count);
    close(fd);
}

static void append(const char *path, uint64_t count)
{
    uint8_t page[PAGE];
    double *seconds = calloc(count, sizeof(*seconds));
    int fd = open_file(path, O_WRONLY | O_CREAT | O_APPEND);

    if (!seconds)
        die("memory");
    fill_content(page, PAGE);
    for (uint64_t i = 0; i < count; i++) {
        double begun = now_s();

        write_all(fd, page, PAGE, -1);
        check(fsync(fd), "fsync");
        seconds[i] = now_s() - begun;
    }
    percentile_us(seconds, count, 0.5);
    percentile_us(seconds, count, 0.99);
    close(fd);
    free(seconds);
}

/* ---- many files ---- */

#define PATH_BYTES 4096

static void file_path(char to[PATH_BYTES], const char *top, uint64_t i)
{
    snprintf(to, PATH_BYTES, "%s/%05llu/file%llu.txt", top,
        (unsigned long long)(i / FILES_PER_DIRECTORY), (unsigned long long)i);
}

static void create(const char *top, uint64_t count)
{
    uint8_t content[SMALL_FILE];
    char path[PATH_BYTES];
    double begun;

    fill_content(content, sizeof(content));
    check(mkdir(top, 0755), top);
    begun = now_s();
    for (uint64_t i = 0; i < count; i++) {
        int fd;

        if (i % FILES_PER_DIRECTORY == 0) {
            snprintf(path, sizeof(path), "%s/%05llu", top,
                (unsigned long long)(i / FILES_PER_DIRECTORY));
            check(mkdir(path, 0755), path);
        }
        file_path(path, top, i);
        fd = open_file(path, O_WRONLY | O_CREAT | O_EXCL);
        write_all(fd, content, sizeof(content), -1);
        check(close(fd), "close");
    }
    rate(begun, count);
}

static void read_files(const char *top, uint64_t count)
{
    uint8_t content[SMALL_FILE];
    char path[PATH_BYTES];
    double begun = now_s();

    for (uint64_t i = 0; i < count; i++) {
        int fd;

        file_path(path, top, i);
        fd = open_file(path, O_RDONLY);
        check(read(fd, content, sizeof(content)), "read");
        close(fd);
    }
    rate(begun, count);
}

static void stat_files(const char *top, uint64_t count)
{
    char path[PATH_BYTES];
    double begun = now_s();
    struct stat status;

    for (uint64_t i = 0; i < count; i++) {
        file_path(path, top, i);
        check(lstat(path, &status), path);
    }
    rate(begun, count);
}

/* ---- one directory ---- */

static void name_path(char to[PATH_BYTES], const char *top, const char *kind, uint64_t i)
{
    snprintf(to, PATH_BYTES, "%s/%s%llu", top, kind, (unsigned long long)i);
}

static void fill(const char *top, uint64_t count)
{
    char path[PATH_BYTES];
    double begun;

    check(mkdir(top, 0755), top);
    begun = now_s();
    for (uint64_t i = 0; i < count; i++) {
        name_path(path, top, "name", i);
        close(open_file(path, O_WRONLY | O_CREAT | O_EXCL));
    }
    rate(begun, count);
}

static void list(const char *top)
{
    double begun = now_s();
    DIR *directory = opendir(top);
    struct dirent *entry;
    struct stat status;
    uint64_t count = 0;

    if (!directory)
        die(top);
    while ((entry = readdir(directory))) {
        check(fstatat(dirfd(directory), entry->d_name, &status, AT_SYMLINK_NOFOLLOW), "fstatat");
        count++;
    }
    rate(begun, count);
    closedir(directory);
}

static void empty(const char *top, uint64_t count)
{
    uint64_t *order = calloc(count, sizeof(*order));
    char path[PATH_BYTES];
    double begun;

    if (!order)
        die("memory");
    for (uint64_t i = 0; i < count; i++) {
        uint64_t j = random_next() % (i + 1);

        order[i] = order[j];
        order[j] = i;
    }
    begun = now_s();
    for (uint64_t i = 0; i < count; i++) {
        name_path(path, top, "name", order[i]);
        check(unlink(path), path);
    }
    rate(begun, count);
    free(order);
}

static void save(const char *top, uint64_t count)
{
    uint8_t content[PAGE];
    double *seconds = calloc(count, sizeof(*seconds));
    char fresh[PATH_BYTES], final[PATH_BYTES];

    if (!seconds)
        die("memory");
    check(mkdir(top, 0755), top);
    fill_content(content, sizeof(content));
    snprintf(fresh, sizeof(fresh), "%s/document.new", top);
    snprintf(final, sizeof(final), "%s/document", top);
    for (uint64_t i = 0; i < count; i++) {
        double begun = now_s();
        int fd = open_file(fresh, O_WRONLY | O_CREAT | O_EXCL);

        write_all(fd, content, sizeof(content), -1);
        check(fsync(fd), "fsync");
        close(fd);
        check(rename(fresh, final), "rename");
        seconds[i] = now_s() - begun;
    }
    percentile_us(seconds, count, 0.5);
    free(seconds);
}

static void rename_files(const char *top, uint64_t count, const char *other)
{
    char from[PATH_BYTES], to[PATH_BYTES], beside[PATH_BYTES];
    double begun;

    check(mkdir(top, 0755), top);
    snprintf(beside, sizeof(beside), "%s/%s", top, other);
    if (*other)
        check(mkdir(beside, 0755), beside);
    name_path(from, top, "name", 0);
    name_path(to, beside, "other", 0);
    close(open_file(from, O_WRONLY | O_CREAT | O_EXCL));
    begun = now_s();
    for (uint64_t i = 0; i < count; i++)
        check(i % 2 ? rename(to, from) : rename(from, to), "rename");
    rate(begun, count);
}

int main(int argc, char **argv)
{
    const char *load = argc > 1 ? argv[1] : "";
    const char *path = argc > 2 ? argv[2] : "";
    uint64_t count = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;

    if (argc < 3) {
        fprintf(stderr, "usage: calls LOAD PATH [N]\n");
        return 2;
    }
    if (strcmp(load, "write") == 0)
        sequential_write(path, count);
    else if (strcmp(load, "read") == 0)
        sequential_read(path);
    else if (strcmp(load, "random-read") == 0)
        random_read(path, count);
    else if (strcmp(load, "overwrite") == 0)
        overwrite(path, count);
    else if (strcmp(load, "append") == 0)
        append(path, count);
    else if (strcmp(load, "create") == 0)
        create(path, count);
    else if (strcmp(load, "read-files") == 0)
        read_files(path, count);
    else if (strcmp(load, "stat-files") == 0)
        stat_files(path, count);
    else if (strcmp(load, "fill") == 0)
        fill(path, count);
    else if (strcmp(load, "list") == 0)
        list(path);
    else if (strcmp(load, "empty") == 0)
        empty(path, count);
    else if (strcmp(load, "save") == 0)
        save(path, count);
    else if (strcmp(load, "rename") == 0)
        rename_files(path, count, "");
    else if (strcmp(load, "move") == 0)
        rename_files(path, count, "beside");
    else {
        fprintf(stderr, "calls: there is no load '%s'\n", load);
        return 2;
    }
    return 0;
}
