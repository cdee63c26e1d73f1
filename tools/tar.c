/*
 * sstfs tar: a folder's tree, or a part of it, as a pax archive on stdout (POSIX.1-2001, "pax
 * Interchange Format"), with what tar --xattrs and --acls understand. Every entry has its times to
 * the nanosecond in an extended header; what does not fit into the old fields is there too.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "engine/buf.h"
#include "engine/error.h"
#include "tools.h"
#include "tree.h"

#define BLOCK_BYTES 512u
#define NAME_BYTES 100u
#define OCTAL_MAX UINT64_C(077777777777) /* of 12 bytes: eleven digits */
#define ID_MAX 07777777u                 /* of 8 bytes: seven digits */

/* The old header, as it lies in the archive. */
struct header {
    char name[NAME_BYTES], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type;
    char link_name[NAME_BYTES], magic[8], user[32], group[32], major[8], minor[8], prefix[155];
    char padding[12];
};
_Static_assert(sizeof(struct header) == BLOCK_BYTES, "a header is one block");

/* Where a file of several names was first put. */
struct seen {
    uint64_t ino;
    char *path;
};

struct archive {
    struct tree tree;
    struct seen *seen;
    size_t seen_count;
};

/* ---- blocks ---- */

static int put(const void *data, size_t size)
{
    return fwrite(data, 1, size, stdout) == size
               ? 0
               : err_new(-errno, "write the output: %s", strerror(errno));
}

static int pad(uint64_t size)
{
    static const char zeros[BLOCK_BYTES];

    return put(zeros, (size_t)(-size % BLOCK_BYTES));
}

static void put_octal(char *to, size_t size, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof(text), "%0*" PRIo64, (int)size - 1, number);
    memcpy(to, text, size - 1);
}

static int put_header(struct header *header)
{
    const uint8_t *bytes = (const uint8_t *)header;
    unsigned sum = 0;

    memcpy(header->magic, "ustar\00000", 8);
    memset(header->checksum, ' ', sizeof(header->checksum));
    for (size_t i = 0; i < BLOCK_BYTES; i++)
        sum += bytes[i];
    put_octal(header->checksum, 7, sum);
    header->checksum[6] = 0;
    return put(header, sizeof(*header));
}

/* ---- the extended header ---- */

/* "LENGTH KEY=VALUE\n", where LENGTH counts itself. */
static void add_record(struct buf *to, const char *key, struct bytes value)
{
    size_t rest = strlen(key) + value.size + 3; /* ' ', '=', '\n' */
    size_t length = rest + 1;
    char text[24];

    while ((size_t)snprintf(text, sizeof(text), "%zu", length) + rest != length)
        length = strlen(text) + rest;
    buf_append(to, text, strlen(text));
    buf_append_u8(to, ' ');
    buf_append(to, key, strlen(key));
    buf_append_u8(to, '=');
    buf_append_bytes(to, value);
    buf_append_u8(to, '\n');
}

static void add_number(struct buf *to, const char *key, uint64_t number)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRIu64, number);
    add_record(to, key, bytes_of_string(text));
}

static void add_time(struct buf *to, const char *key, const struct timespec *when)
{
    char text[40];
    bool is_negative = when->tv_sec < 0;
    intmax_t seconds = when->tv_sec;
    long ns = when->tv_nsec;

    /* -2 s and 0.999999999 s are written -1.000000001. */
    if (is_negative && ns > 0) {
        seconds++;
        ns = 1000000000 - ns;
    }
    snprintf(text, sizeof(text), "%s%jd.%09ld", is_negative ? "-" : "",
        is_negative ? -seconds : seconds, ns);
    add_record(to, key, bytes_of_string(text));
}

static int add_xattrs(struct archive *archive, uint64_t ino, struct buf *to)
{
    AUTO(buf_release) struct buf names = BUF_INIT, value = BUF_INIT;
    int r = fs_listxattr(archive->tree.fs, ino, true, &names);

    for (size_t at = 0; r == 0 && at < names.size;
         at += strlen((const char *)names.data + at) + 1) {
        const char *name = (const char *)names.data + at;
        AUTO(freep) char *key = NULL;

        buf_clear(&value);
        r = fs_getxattr(archive->tree.fs, ino, name, &value);
        if (r == 0 && asprintf(&key, "SCHILY.xattr.%s", name) < 0)
            return -ENOMEM;
        if (r == 0)
            add_record(to, key, buf_bytes(&value));
    }
    return r;
}

static int put_extended(const struct buf *records)
{
    struct header header = {.name = "././@PaxHeader", .type = 'x'};
    int r = buf_error(records);

    put_octal(header.mode, sizeof(header.mode), 0644);
    put_octal(header.size, sizeof(header.size), records->size);
    if (r == 0)
        r = put_header(&header);
    if (r == 0)
        r = put(records->data, records->size);
    return r < 0 ? r : pad(records->size);
}

/* ---- entries ---- */

static char type_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return '5';
    case S_IFLNK:
        return '2';
    case S_IFCHR:
        return '3';
    case S_IFBLK:
        return '4';
    case S_IFIFO:
        return '6';
    case S_IFREG:
        return '0';
    default:
        return 0; /* sockets are in no archive */
    }
}

/* The path under which the file is in the archive already, or NULL. */
static const char *find_seen(const struct archive *archive, uint64_t ino)
{
    for (size_t i = 0; i < archive->seen_count; i++)
        if (archive->seen[i].ino == ino)
            return archive->seen[i].path;
    return NULL;
}

static int note_seen(struct archive *archive, uint64_t ino, const char *path)
{
    struct seen *grown = reallocarray(archive->seen, archive->seen_count + 1, sizeof(*grown));
    char *copy = strdup(path);

    if (grown)
        archive->seen = grown;
    if (!grown || !copy) {
        free(copy);
        return -ENOMEM;
    }
    grown[archive->seen_count++] = (struct seen){ino, copy};
    return 0;
}

static int put_entry_header(struct archive *archive, const char *path, const struct fs_entry *entry,
    char type, const char *link, uint64_t size)
{
    AUTO(buf_release) struct buf records = BUF_INIT;
    const struct stat *a = &entry->attributes;
    struct header header = {.type = type};
    int r = 0;

    memcpy(header.name, path, strnlen(path, NAME_BYTES));
    memcpy(header.link_name, link, strnlen(link, NAME_BYTES));
    put_octal(header.mode, sizeof(header.mode), a->st_mode & 07777);
    put_octal(header.uid, sizeof(header.uid), a->st_uid <= ID_MAX ? a->st_uid : 0);
    put_octal(header.gid, sizeof(header.gid), a->st_gid <= ID_MAX ? a->st_gid : 0);
    put_octal(header.size, sizeof(header.size), size <= OCTAL_MAX ? size : 0);
    put_octal(header.mtime, sizeof(header.mtime),
        a->st_mtim.tv_sec > 0 ? (uint64_t)a->st_mtim.tv_sec : 0);
    put_octal(header.major, sizeof(header.major), major(a->st_rdev));
    put_octal(header.minor, sizeof(header.minor), minor(a->st_rdev));

    add_time(&records, "mtime", &a->st_mtim);
    if (strlen(path) > NAME_BYTES)
        add_record(&records, "path", bytes_of_string(path));
    if (strlen(link) > NAME_BYTES)
        add_record(&records, "linkpath", bytes_of_string(link));
    if (size > OCTAL_MAX)
        add_number(&records, "size", size);
    if (a->st_uid > ID_MAX)
        add_number(&records, "uid", a->st_uid);
    if (a->st_gid > ID_MAX)
        add_number(&records, "gid", a->st_gid);
    if (type != '1')
        r = add_xattrs(archive, entry->nodeid, &records);
    if (r == 0)
        r = put_extended(&records);
    return r < 0 ? r : put_header(&header);
}

static int put_piece(void *arg, struct bytes piece)
{
    (void)arg;
    return put(piece.data, piece.size);
}

static int put_file(struct archive *archive, const char *path, const struct fs_entry *entry)
{
    uint64_t size = (uint64_t)entry->attributes.st_size;
    int r = put_entry_header(archive, path, entry, '0', "", size);

    if (r == 0)
        r = tree_read(&archive->tree, entry, put_piece, NULL);
    return r < 0 ? r : pad(size);
}

static int put_symlink(struct archive *archive, const char *path, const struct fs_entry *entry)
{
    AUTO(buf_release) struct buf target = BUF_INIT;
    int r = fs_readlink(archive->tree.fs, entry->nodeid, &target);

    buf_append_u8(&target, 0);
    if (r == 0)
        r = buf_error(&target);
    return r < 0 ? r : put_entry_header(archive, path, entry, '2', (const char *)target.data, 0);
}

struct level {
    struct archive *archive;
    const char *path;
};

static int put_tree(struct archive *archive, const char *path, const struct fs_entry *entry);

static int put_child(void *arg, struct bytes name, const struct fs_entry *entry)
{
    const struct level *level = arg;
    AUTO(freep) char *path = NULL;

    if (asprintf(&path, "%s/%.*s", level->path, (int)name.size, (const char *)name.data) < 0)
        return -ENOMEM;
    return put_tree(level->archive, path, entry);
}

static int put_directory(struct archive *archive, const char *path, const struct fs_entry *entry)
{
    struct level level = {archive, path};
    AUTO(freep) char *with_slash = NULL;
    int r;

    if (asprintf(&with_slash, "%s/", path) < 0)
        return -ENOMEM;
    r = put_entry_header(archive, with_slash, entry, '5', "", 0);
    return r < 0 ? r : tree_list(&archive->tree, entry->nodeid, put_child, &level);
}

static int put_tree(struct archive *archive, const char *path, const struct fs_entry *entry)
{
    char type = type_of(entry->attributes.st_mode);
    const char *first;
    int r = 0;

    if (!type)
        return 0;
    if (type == '5')
        return put_directory(archive, path, entry);
    if (entry->attributes.st_nlink > 1) {
        first = find_seen(archive, entry->nodeid);
        if (first)
            return put_entry_header(archive, path, entry, '1', first, 0);
        r = note_seen(archive, entry->nodeid, path);
    }
    if (r < 0)
        return r;
    if (type == '0')
        return put_file(archive, path, entry);
    return type == '2' ? put_symlink(archive, path, entry)
                       : put_entry_header(archive, path, entry, type, "", 0);
}

/* "." for the root; else the last name of the path. */
static const char *name_of_start(char *path)
{
    size_t size = strlen(path);
    char *slash;

    while (size > 0 && path[size - 1] == '/')
        path[--size] = 0;
    slash = strrchr(path, '/');
    return size == 0 ? "." : slash ? slash + 1 : path;
}

int command_tar(int argc, char **argv)
{
    static const char end[2 * BLOCK_BYTES];
    struct archive archive = {0};
    const char *argument;
    int r, code;

    code = tree_open_command(argc, argv, NULL, &argument, &archive.tree);
    if (code != EXIT_DONE)
        return code;
    r = put_tree(&archive, name_of_start(archive.tree.path), &archive.tree.start);
    if (r == 0)
        r = put(end, sizeof(end));
    if (r == 0)
        r = flush_output();
    for (size_t i = 0; i < archive.seen_count; i++)
        free(archive.seen[i].path);
    free(archive.seen);
    tree_close(&archive.tree);
    return r < 0 ? complain_of(r, "tar '%s'", argument) : EXIT_DONE;
}
