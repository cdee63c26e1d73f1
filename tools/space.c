/*
 * sstfs space: who holds the bytes that a store takes of its disk, counted as du(1) counts, each
 * file once: what is live belongs to the tree, also if snapshots link it.
 */
#include <errno.h>
#include <fts.h>
#include <getopt.h>
#include <jansson.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/error.h"
#include "mountinfo.h"
#include "tools.h"

enum holder {
    HOLDER_LIVE,
    HOLDER_SNAPSHOTS,
    HOLDER_LOG,
    HOLDER_ARCHIVE,
    HOLDER_RESERVE,
    HOLDER_OTHER,
    HOLDERS
};

static const char *const holder_names[HOLDERS] = {
    "live", "snapshots", "log", "archive", "reserve", "other"};

struct space {
    uint64_t bytes[HOLDERS];
    void *inodes; /* counted already, of files of several names: tsearch(3) */
};

static int compare_inodes(const void *a, const void *b)
{
    ino_t left = *(const ino_t *)a, right = *(const ino_t *)b;

    return (left > right) - (left < right);
}

/* 1: it is new; 0: counted before. */
static int note_inode(struct space *space, ino_t ino)
{
    ino_t *own = malloc(sizeof(*own)), **found;

    if (!own)
        return -ENOMEM;
    *own = ino;
    found = tsearch(own, &space->inodes, compare_inodes);
    if (found && *found == own)
        return 1;
    free(own);
    return found ? 0 : -ENOMEM;
}

static int count(struct space *space, enum holder holder, const struct stat *file)
{
    int r = S_ISREG(file->st_mode) && file->st_nlink > 1 ? note_inode(space, file->st_ino) : 1;

    if (r > 0)
        space->bytes[holder] += (uint64_t)file->st_blocks * 512;
    return r < 0 ? r : 0;
}

/* Files come and go meanwhile: what is not there any more takes no space. */
static int walk(struct space *space, enum holder holder, const char *store, const char *name)
{
    AUTO(freep) char *path = NULL;
    char *paths[2] = {NULL, NULL};
    const FTSENT *entry;
    FTS *fts;
    int r = 0;

    if (asprintf(&path, "%s/%s", store, name) < 0)
        return -ENOMEM;
    paths[0] = path;
    fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
    if (!fts)
        return -errno;
    while (r == 0 && (entry = fts_read(fts))) {
        bool was_seen = entry->fts_info != FTS_DNR && entry->fts_info != FTS_NS;

        if (entry->fts_info == FTS_DP || entry->fts_info == FTS_ERR)
            continue;
        if (was_seen)
            r = count(space, holder, entry->fts_statp);
        else if (entry->fts_errno != ENOENT)
            r = err_new(-entry->fts_errno, "'%s': %s", entry->fts_path, strerror(entry->fts_errno));
    }
    fts_close(fts);
    return r;
}

static int measure(struct space *space, const char *store)
{
    /* data/ first: a file that it names is live, whatever else names it. */
    static const struct {
        enum holder holder;
        const char *name;
    } parts[] = {
        {HOLDER_LIVE, "data"},
        {HOLDER_SNAPSHOTS, "snapshots"},
        {HOLDER_LOG, "commitlog"},
        {HOLDER_ARCHIVE, "archive"},
        {HOLDER_RESERVE, "reserve"},
        {HOLDER_OTHER, "manifest"},
        {HOLDER_OTHER, "sums"},
        {HOLDER_OTHER, "tmp"},
        {HOLDER_OTHER, "trash"},
    };
    int r = 0;

    for (size_t i = 0; r == 0 && i < ARRAY_COUNT(parts); i++)
        r = walk(space, parts[i].holder, store, parts[i].name);
    tdestroy(space->inodes, free);
    return r;
}

static void print_space(const struct space *space, bool as_json)
{
    json_t *object = json_object();
    uint64_t total = 0;

    for (int i = 0; i < HOLDERS; i++) {
        char size[SIZE_TEXT_MAX];

        total += space->bytes[i];
        json_object_set_new(object, holder_names[i], json_integer((json_int_t)space->bytes[i]));
        format_size(space->bytes[i], size);
        if (!as_json)
            printf("%-12s %12s\n", holder_names[i], size);
    }
    json_object_set_new(object, "total", json_integer((json_int_t)total));
    if (as_json) {
        json_dumpf(object, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        char size[SIZE_TEXT_MAX];

        format_size(total, size);
        printf("%-12s %12s\n", "total", size);
    }
    json_decref(object);
}

int command_space(int argc, char **argv)
{
    static const struct option long_options[] = {{"json", no_argument, NULL, 'j'}, {0}};
    struct space space = {0};
    struct mount mount = {0};
    const char *store;
    bool as_json = false;
    int option, r, code;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option != 'j')
            return complain_usage(argv[0]);
        as_json = true;
    }
    if (optind + 1 != argc)
        return complain_usage(argv[0]);
    store = argv[optind];
    r = folder_kind(store);
    if (r == -EACCES)
        return complain_of(r, "space");
    if (r != FOLDER_STORE) {
        r = mount_of(store, &mount);
        if (r < 0)
            return complain_of(r, "space");
        store = mount.source;
    }
    code = folder_require_store(store);
    r = code == EXIT_DONE ? measure(&space, store) : 0;
    mount_release(&mount);
    if (code != EXIT_DONE)
        return code;
    if (r < 0)
        return complain_of(r, "space");
    print_space(&space, as_json);
    return EXIT_DONE;
}
