#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/buf.h"
#include "engine/error.h"
#include "engine/log.h"
#include "tools.h"

#define MEMORY_BYTES (64ull << 20)
#define PIECE_BYTES (1u << 20)
#define PAGE_BYTES 4096u

/* ---- opening ---- */

static bool is_tree(int kind, bool all_sstables)
{
    return all_sstables ? kind == FOLDER_SSTABLES : kind == FOLDER_STORE || kind == FOLDER_SNAPSHOT;
}

/* Where PATH begins in "FOLDER:PATH"; 0: it is all FOLDER. */
static size_t split(const char *argument, bool all_sstables, char **ret_folder)
{
    const char *colon = argument;

    *ret_folder = strdup(argument);
    if (!*ret_folder || folder_kind(argument) != FOLDER_MISSING)
        return 0;
    while ((colon = strchr(colon, ':'))) {
        (*ret_folder)[colon - argument] = 0;
        int kind = folder_kind(*ret_folder);

        /* A copy that has lost its snapshot.json is told as that. */
        if (is_tree(kind, all_sstables) || kind == FOLDER_SSTABLES)
            return (size_t)(colon - argument) + 1;
        (*ret_folder)[colon - argument] = ':';
        colon++;
    }
    return 0;
}

static int open_folder(const char *folder, bool all_sstables, struct tree *tree)
{
    struct engine_options engine_options = {.tables = fs_tables,
        .table_count = FS_TABLE_COUNT,
        .memory_bytes = MEMORY_BYTES,
        .read_only = true,
        .all_sstables = all_sstables};
    struct fs_options fs_options = {.read_only = true};
    int r = env_posix_new(folder, &tree->env);

    if (r == 0)
        r = engine_open(tree->env, &engine_options, &tree->engine);
    return r < 0 ? r : fs_open(tree->engine, tree->env, &fs_options, &tree->fs);
}

int tree_find(const struct tree *tree, const char *path, struct fs_entry *ret_entry)
{
    AUTO(freep) char *copy = strdup(path);
    struct fs_entry entry = {.nodeid = FS_ROOT_INO};
    char *rest = copy, *name;
    int r = copy ? fs_getattr(tree->fs, FS_ROOT_INO, &entry.attributes) : -ENOMEM;

    while (r == 0 && (name = strsep(&rest, "/"))) {
        uint64_t parent = entry.nodeid;

        if (!*name)
            continue;
        r = fs_lookup(tree->fs, parent, bytes_of_string(name), &entry);
        if (parent != FS_ROOT_INO)
            fs_forget(tree->fs, parent, 1);
    }
    if (r == 0)
        *ret_entry = entry;
    return r;
}

static int open_tree(const char *argument, bool all_sstables, struct tree *ret_tree)
{
    AUTO(freep) char *folder = NULL;
    struct tree tree = {0};
    size_t path = split(argument, all_sstables, &folder);
    int kind = folder ? folder_kind(folder) : -ENOMEM;
    int r;

    if (kind == FOLDER_MISSING)
        return complain(EXIT_NOT_FOUND, "'%s' does not exist", folder);
    if (!is_tree(kind, all_sstables))
        return all_sstables
                   ? complain(EXIT_NOT_A_STORE, "'%s' is no snapshot of Cassandra's", folder)
                   : complain_no_tree(folder, kind);
    log_set_level(LOG_LEVEL_NONE); /* all that matters here is returned */
    tree.path = strdup(path ? argument + path : "");
    r = tree.path ? open_folder(folder, all_sstables, &tree) : -ENOMEM;
    if (r < 0) {
        tree_close(&tree);
        return r == -EBUSY ? complain(EXIT_IN_USE, "'%s' is mounted: %s", folder, err_text(r))
                           : complain_of(r, "open '%s'", folder);
    }
    r = tree_find(&tree, tree.path, &tree.start);
    if (r < 0) {
        int code = r == -ENOENT || r == -ENOTDIR
                       ? complain(EXIT_NOT_FOUND, "there is no '%s' in '%s'", tree.path, folder)
                       : complain_of(r, "'%s'", argument);

        tree_close(&tree);
        return code;
    }
    *ret_tree = tree;
    return EXIT_DONE;
}

int tree_open(const char *argument, struct tree *ret_tree)
{
    return open_tree(argument, false, ret_tree);
}

int tree_open_command(
    int argc, char **argv, bool *ret_json, const char **ret_argument, struct tree *ret_tree)
{
    static const struct option long_options[] = {
        {"all-sstables", no_argument, NULL, 'a'}, {"json", no_argument, NULL, 'j'}, {0}};
    bool all_sstables = false;
    int option;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option != 'a' && (option != 'j' || !ret_json))
            return complain_usage(argv[0]);
        if (option == 'a')
            all_sstables = true;
        else
            *ret_json = true;
    }
    if (optind + 1 != argc)
        return complain_usage(argv[0]);
    *ret_argument = argv[optind];
    return open_tree(argv[optind], all_sstables, ret_tree);
}

void tree_close(struct tree *tree)
{
    if (tree->fs)
        (void)fs_close(tree->fs); /* it was only read */
    if (tree->engine)
        (void)engine_close(tree->engine, 0);
    env_free(tree->env);
    free(tree->path);
    *tree = (struct tree){0};
}

/* ---- reading ---- */

struct tree_cursor {
    const struct tree *tree;
    uint64_t directory;
    struct fs_handle *handle;
    uint64_t cookie;  /* after the page */
    struct buf names; /* a page of them, each with its NUL */
    size_t at;
};

int tree_cursor_open(const struct tree *tree, uint64_t directory, struct tree_cursor **ret_cursor)
{
    struct tree_cursor *cursor = calloc(1, sizeof(*cursor));
    int r;

    if (!cursor)
        return -ENOMEM;
    cursor->tree = tree;
    cursor->directory = directory;
    r = fs_open_directory(tree->fs, directory, &cursor->handle);
    if (r < 0)
        free(cursor);
    else
        *ret_cursor = cursor;
    return r;
}

void tree_cursor_close(struct tree_cursor *cursor)
{
    if (!cursor)
        return;
    fs_release_directory(cursor->tree->fs, cursor->handle);
    buf_release(&cursor->names);
    free(cursor);
}

static int add_name(void *arg, const struct fs_dirent *dirent)
{
    struct tree_cursor *cursor = arg;

    if (cursor->names.size >= PAGE_BYTES)
        return 1;
    cursor->cookie = dirent->cookie;
    if (bytes_equal(dirent->name, BYTES_LITERAL(".")) ||
        bytes_equal(dirent->name, BYTES_LITERAL("..")))
        return 0;
    buf_append_bytes(&cursor->names, dirent->name);
    buf_append_u8(&cursor->names, 0);
    return 0;
}

int tree_cursor_next(struct tree_cursor *cursor)
{
    int r;

    if (cursor->at < cursor->names.size)
        return 1;
    cursor->at = 0;
    buf_clear(&cursor->names);
    r = fs_read_directory(
        cursor->tree->fs, cursor->handle, cursor->cookie, false, add_name, cursor);
    if (r == 0)
        r = buf_error(&cursor->names);
    return r < 0 ? r : cursor->names.size > 0;
}

struct bytes tree_cursor_name(const struct tree_cursor *cursor)
{
    return bytes_of_string((const char *)cursor->names.data + cursor->at);
}

int tree_cursor_take(struct tree_cursor *cursor, struct fs_entry *ret_entry)
{
    struct bytes name = tree_cursor_name(cursor);
    int r = fs_lookup(cursor->tree->fs, cursor->directory, name, ret_entry);

    if (r == 0)
        cursor->at += name.size + 1;
    return r;
}

char *tree_path(const char *directory, struct bytes name)
{
    char *path;

    return asprintf(&path, "%s/%.*s", directory, (int)name.size, (const char *)name.data) < 0
               ? NULL
               : path;
}

int tree_list(const struct tree *tree, uint64_t directory, tree_each each, void *arg)
{
    struct tree_cursor *cursor = NULL;
    struct fs_entry entry;
    int r = tree_cursor_open(tree, directory, &cursor);

    if (r < 0)
        return r;
    while ((r = tree_cursor_next(cursor)) > 0) {
        struct bytes name = tree_cursor_name(cursor);

        r = tree_cursor_take(cursor, &entry);
        if (r < 0)
            break;
        r = each(arg, name, &entry);
        fs_forget(tree->fs, entry.nodeid, 1);
        if (r != 0)
            break;
    }
    tree_cursor_close(cursor);
    return r;
}

int tree_read(const struct tree *tree, const struct fs_entry *entry,
    int (*each)(void *arg, struct bytes piece), void *arg)
{
    AUTO(buf_release) struct buf piece = BUF_INIT;
    uint64_t size = (uint64_t)entry->attributes.st_size;
    struct fs_handle *handle = NULL;
    int r = fs_open_file(tree->fs, NULL, entry->nodeid, O_RDONLY, &handle);

    if (r < 0)
        return r;
    for (uint64_t at = 0; r == 0 && at < size; at += PIECE_BYTES) {
        buf_clear(&piece);
        r = fs_read(tree->fs, entry->nodeid, handle, at, PIECE_BYTES, &piece);
        if (r == 0)
            r = each(arg, buf_bytes(&piece));
    }
    fs_release(tree->fs, entry->nodeid, handle);
    return r;
}
