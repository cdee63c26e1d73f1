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

static int find(struct tree *tree)
{
    AUTO(freep) char *copy = strdup(tree->path);
    char *rest = copy, *name;
    int r = copy ? fs_getattr(tree->fs, FS_ROOT_INO, &tree->start.attributes) : -ENOMEM;

    tree->start.nodeid = FS_ROOT_INO;
    while (r == 0 && (name = strsep(&rest, "/")))
        if (*name)
            r = fs_lookup(tree->fs, tree->start.nodeid, bytes_of_string(name), &tree->start);
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
    r = find(&tree);
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

int tree_open_command(int argc, char **argv, const char **ret_argument, struct tree *ret_tree)
{
    static const struct option long_options[] = {{"all-sstables", no_argument, NULL, 'a'}, {0}};
    bool all_sstables = false;
    int option;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option != 'a')
            return complain_usage(argv[0]);
        all_sstables = true;
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

static int add_name(void *arg, const struct fs_dirent *dirent)
{
    struct buf *names = arg;

    if (bytes_equal(dirent->name, BYTES_LITERAL(".")) ||
        bytes_equal(dirent->name, BYTES_LITERAL("..")))
        return 0;
    buf_append_bytes(names, dirent->name);
    buf_append_u8(names, 0);
    return 0;
}

static int list_names(const struct tree *tree, uint64_t directory, struct buf *to)
{
    struct fs_handle *handle = NULL;
    int r = fs_open_directory(tree->fs, directory, &handle);

    if (r < 0)
        return r;
    r = fs_read_directory(tree->fs, handle, 0, false, add_name, to);
    fs_release_directory(tree->fs, handle);
    return r < 0 ? r : buf_error(to);
}

int tree_list(const struct tree *tree, uint64_t directory, tree_each each, void *arg)
{
    AUTO(buf_release) struct buf names = BUF_INIT;
    int r = list_names(tree, directory, &names);

    for (size_t at = 0; r == 0 && at < names.size;) {
        struct bytes name = bytes_of_string((const char *)names.data + at);
        struct fs_entry entry;

        at += name.size + 1;
        r = fs_lookup(tree->fs, directory, name, &entry);
        if (r < 0)
            break;
        r = each(arg, name, &entry);
        fs_forget(tree->fs, entry.nodeid, 1);
    }
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
