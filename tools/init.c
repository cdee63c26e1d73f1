/*
 * sstfs init: an empty store, or one made from a snapshot.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/error.h"
#include "fs/fs.h"
#include "tools.h"

#define MEMORY_BYTES (64ull << 20)

int snapshot_env_new(const char *store, const char *folder, struct env **ret_env, char **ret_way)
{
    AUTO(freep) char *to = NULL;
    AUTO(freep) char *from = NULL;
    AUTO(freep) char *way = NULL;
    int r = absolute_path(store, &to);

    if (r >= 0)
        r = absolute_path(folder, &from);
    if (r >= 0)
        r = relative_path(to, from, &way);
    if (r >= 0)
        r = env_posix_new(from, ret_env);
    if (r < 0)
        return r;
    *ret_way = way;
    way = NULL;
    return 0;
}

static int make_from(struct env *env, const char *store, const char *folder)
{
    AUTO(freep) char *way = NULL;
    struct env *from = NULL;
    int r = snapshot_env_new(store, folder, &from, &way);

    if (r >= 0)
        r = engine_create_from(env, from, way, fs_tables, FS_TABLE_COUNT);
    env_free(from);
    return r;
}

void remove_half_store(const char *store, bool with_folder)
{
    if (folder_clear(store) < 0 || (with_folder && rmdir(store) < 0))
        fprintf(stderr, "sstfs: half of a store is left in '%s': remove it\n", store);
}

/* A file system, not only a store: its root, which is the first thing that readers look for. */
static int make_empty(struct env *env)
{
    struct engine_options engine_options = {.tables = fs_tables,
        .table_count = FS_TABLE_COUNT,
        .memory_bytes = MEMORY_BYTES,
        .sync_mode = SYNC_GROUP};
    struct fs_options fs_options = {.owner = (uint64_t)getuid() << 32 | getgid()};
    struct engine *engine;
    struct fs *fs;
    int r, closed;

    r = engine_create(env, fs_tables, FS_TABLE_COUNT);
    if (r == 0)
        r = engine_open(env, &engine_options, &engine);
    if (r < 0)
        return r;
    r = fs_open(engine, env, &fs_options, &fs);
    if (r == 0)
        r = fs_close(fs);
    closed = engine_close(engine, CLOSE_FLUSH);
    return r < 0 ? r : closed;
}

static int make(const char *store, const char *folder, bool made)
{
    struct env *env = NULL;
    int r = env_posix_new(store, &env);

    if (r < 0)
        return complain_of(r, "open '%s'", store);
    r = folder ? make_from(env, store, folder) : make_empty(env);
    env_free(env);
    if (r == -ENOTEMPTY)
        return complain(EXIT_BUSY, "'%s' is not empty", store);
    if (r == 0)
        return EXIT_DONE;
    remove_half_store(store, made);
    return folder ? complain_of(r, "make the store '%s' from '%s'", store, folder)
                  : complain_of(r, "make the store '%s'", store);
}

int snapshot_folder_require(const char *folder)
{
    int kind = folder_kind(folder);

    if (kind == FOLDER_SNAPSHOT)
        return EXIT_DONE;
    if (kind == FOLDER_MISSING)
        return complain(EXIT_NOT_FOUND, "'%s' does not exist", folder);
    if (kind == FOLDER_STORE)
        return complain(EXIT_NOT_A_STORE,
            "'%s' is a store, not a snapshot: take one, or copy the store while it is not mounted",
            folder);
    if (kind < 0)
        return complain_of(kind, "'%s'", folder);
    if (kind == FOLDER_SSTABLES)
        return complain(EXIT_NOT_A_STORE,
            "'%s' has SSTables but no snapshot.json: a copy that is not whole; or, if it is a "
            "snapshot of Cassandra's, mount it with -o ro --all-sstables, and copy the tree",
            folder);
    return complain(EXIT_NOT_A_STORE, "'%s' is not a snapshot: it has no snapshot.json", folder);
}

int new_store_folder(const char *store, bool *ret_made)
{
    int kind = folder_kind(store);

    if (kind == FOLDER_STORE)
        return complain(EXIT_BUSY, "'%s' is a store already", store);
    if (kind == FOLDER_SNAPSHOT || kind == FOLDER_SSTABLES || kind == FOLDER_OTHER)
        return complain(EXIT_BUSY, "'%s' is not empty", store);
    if (kind < 0)
        return complain_of(kind, "'%s'", store);
    if (kind == FOLDER_MISSING && mkdir(store, 0700) < 0)
        return complain_of(err_new(-errno, "%s", strerror(errno)), "make '%s'", store);
    *ret_made = kind == FOLDER_MISSING;
    return EXIT_DONE;
}

int command_init(int argc, char **argv)
{
    static const struct option long_options[] = {{"from", required_argument, NULL, 'f'}, {0}};
    const char *folder = NULL, *store;
    int option, code;
    bool made;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option != 'f')
            return complain_usage(argv[0]);
        folder = optarg;
    }
    if (optind + 1 != argc)
        return complain_usage(argv[0]);
    store = argv[optind];
    code = folder ? snapshot_folder_require(folder) : EXIT_DONE;
    if (code == EXIT_DONE)
        code = new_store_folder(store, &made);
    return code == EXIT_DONE ? make(store, folder, made) : code;
}
