/*
 * sstfs ls, cat: a look into a folder that nobody has mounted.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/buf.h"
#include "engine/error.h"
#include "json_text.h"
#include "tools.h"
#include "tree.h"

#define MODE_TEXT_MAX 11

static void format_mode(mode_t mode, char to[MODE_TEXT_MAX])
{
    static const char types[] = "?pc?d?b?-?l?s???";
    static const char bits[] = "rwxrwxrwx";

    to[0] = types[(mode & S_IFMT) >> 12];
    for (int i = 0; i < 9; i++)
        to[i + 1] = mode & (0400u >> i) ? bits[i] : '-';
    if (mode & S_ISUID)
        to[3] = mode & S_IXUSR ? 's' : 'S';
    if (mode & S_ISGID)
        to[6] = mode & S_IXGRP ? 's' : 'S';
    if (mode & S_ISVTX)
        to[9] = mode & S_IXOTH ? 't' : 'T';
    to[10] = 0;
}

static int print_entry(void *arg, struct bytes name, const struct fs_entry *entry)
{
    const struct tree *tree = arg;
    const struct stat *a = &entry->attributes;
    AUTO(buf_release) struct buf target = BUF_INIT;
    char mode[MODE_TEXT_MAX], when[32];
    struct tm local;
    int r = S_ISLNK(a->st_mode) ? fs_readlink(tree->fs, entry->nodeid, &target) : 0;

    if (r < 0)
        return r;
    format_mode(a->st_mode, mode);
    localtime_r(&a->st_mtim.tv_sec, &local);
    strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &local);
    printf("%s %3ju %8u %8u %12jd %s %.*s", mode, (uintmax_t)a->st_nlink, a->st_uid, a->st_gid,
        (intmax_t)a->st_size, when, (int)name.size, (const char *)name.data);
    if (target.size > 0)
        printf(" -> %.*s", (int)target.size, (const char *)target.data);
    putchar('\n');
    return ferror(stdout) ? flush_output() : 0;
}

struct listing {
    const struct tree *tree;
    json_t *list;
};

static int list_entry(void *arg, struct bytes name, const struct fs_entry *entry)
{
    const struct listing *listing = arg;
    const struct stat *a = &entry->attributes;
    AUTO(buf_release) struct buf target = BUF_INIT;
    char mode[MODE_TEXT_MAX];
    json_t *one;
    int r = S_ISLNK(a->st_mode) ? fs_readlink(listing->tree->fs, entry->nodeid, &target) : 0;

    if (r < 0)
        return r;
    format_mode(a->st_mode, mode);
    one = json_pack("{s:o, s:I, s:s, s:I, s:I, s:I, s:I, s:I}", "name",
        json_of_name((const char *)name.data), "inode", (json_int_t)a->st_ino, "mode", mode,
        "links", (json_int_t)a->st_nlink, "uid", (json_int_t)a->st_uid, "gid",
        (json_int_t)a->st_gid, "size", (json_int_t)a->st_size, "mtime_ns",
        (json_int_t)a->st_mtim.tv_sec * 1000000000 + a->st_mtim.tv_nsec);
    if (target.size > 0) {
        buf_append_u8(&target, 0);
        if (buf_error(&target) == 0)
            json_object_set_new(one, "target", json_of_name((const char *)target.data));
    }
    return json_array_append_new(listing->list, one) < 0 ? -ENOMEM : 0;
}

static int print_piece(void *arg, struct bytes piece)
{
    (void)arg;
    return fwrite(piece.data, 1, piece.size, stdout) == piece.size ? 0 : -errno;
}

int command_ls(int argc, char **argv)
{
    const char *argument;
    struct tree tree;
    struct listing listing = {&tree, NULL};
    tree_each each = print_entry;
    bool as_json = false;
    void *arg = &tree;
    int r, code;

    code = tree_open_command(argc, argv, &as_json, &argument, &tree);
    if (code != EXIT_DONE)
        return code;
    if (as_json) {
        listing.list = json_array();
        each = list_entry;
        arg = &listing;
    }
    if (S_ISDIR(tree.start.attributes.st_mode))
        r = tree_list(&tree, tree.start.nodeid, each, arg);
    else
        r = each(arg, bytes_of_string(tree.path), &tree.start);
    code = r < 0 ? complain_of(r, "ls '%s'", argument) : EXIT_DONE;
    if (as_json && code == EXIT_DONE)
        code = print_json(json_incref(listing.list), code);
    json_decref(listing.list);
    tree_close(&tree);
    return code;
}

int command_cat(int argc, char **argv)
{
    const char *argument;
    struct tree tree;
    int r, code;

    code = tree_open_command(argc, argv, NULL, &argument, &tree);
    if (code != EXIT_DONE)
        return code;
    r = tree_read(&tree, &tree.start, print_piece, NULL);
    if (r == 0)
        r = flush_output();
    tree_close(&tree);
    if (r == -EISDIR || r == -EINVAL)
        return complain(EXIT_USAGE, "'%s' is no file", argument);
    return r < 0 ? complain_of(r, "cat '%s'", argument) : EXIT_DONE;
}
