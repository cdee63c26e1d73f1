/*
 * sstfs diff MNT A [B]: what changed from snapshot A to snapshot B, or to now.
 *
 *   + path           made        M path what…      changed
 *   - path           removed     R path -> path    renamed, the same inode
 *
 * Both trees are opened side by side from the snapshots' folders, where an inode has the same
 * number in each: so a renamed directory is one line, and what changed below it is told under its
 * new name.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/buf.h"
#include "engine/error.h"
#include "mountinfo.h"
#include "snapshots.h"
#include "tools.h"
#include "tree.h"

/* A name in one of the trees. */
struct item {
    char *path;
    const char *name; /* its last part */
    uint64_t parent;
    struct stat attributes;
    bool is_paired;
};

struct items {
    const struct tree *tree;
    struct item *list;
    size_t count, capacity;
};

struct level {
    struct items *items;
    const char *path;
    uint64_t ino;
};

static void items_release(struct items *items)
{
    for (size_t i = 0; i < items->count; i++)
        free(items->list[i].path);
    free(items->list);
}

/* ---- collecting ---- */

static int collect(void *arg, struct bytes name, const struct fs_entry *entry)
{
    const struct level *level = arg;
    struct items *items = level->items;
    struct level below = {items, NULL, entry->nodeid};
    char *path;

    if (items->count == items->capacity) {
        size_t capacity = items->capacity ? items->capacity * 2 : 1024;
        struct item *grown = reallocarray(items->list, capacity, sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        items->list = grown;
        items->capacity = capacity;
    }
    if (asprintf(&path, "%s/%.*s", level->path, (int)name.size, (const char *)name.data) < 0)
        return -ENOMEM;
    items->list[items->count++] =
        (struct item){path, path + strlen(level->path) + 1, level->ino, entry->attributes, false};
    below.path = path;
    return S_ISDIR(entry->attributes.st_mode)
               ? tree_list(items->tree, entry->nodeid, collect, &below)
               : 0;
}

static int by_inode(const void *a, const void *b)
{
    const struct item *left = a, *right = b;

    if (left->attributes.st_ino != right->attributes.st_ino)
        return left->attributes.st_ino < right->attributes.st_ino ? -1 : 1;
    return strcmp(left->path, right->path);
}

static int collect_all(const struct tree *tree, struct items *to)
{
    struct level top = {to, "", FS_ROOT_INO};
    int r;

    to->tree = tree;
    r = tree_list(tree, FS_ROOT_INO, collect, &top);
    if (r == 0 && to->count > 0)
        qsort(to->list, to->count, sizeof(*to->list), by_inode);
    return r;
}

/* ---- comparing ---- */

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Every change moves the ctime, renaming too; what else moved says what it was, and if nothing did
 * it was an extended attribute, say. */
static bool print_changes(const struct item *before, const struct item *after, bool is_renamed)
{
    const struct stat *a = &before->attributes, *b = &after->attributes;
    const struct {
        bool has_changed;
        const char *what;
    } parts[] = {
        {!same_time(&a->st_mtim, &b->st_mtim), S_ISDIR(b->st_mode) ? " names" : " content"},
        {a->st_mode != b->st_mode, " mode"},
        {a->st_uid != b->st_uid || a->st_gid != b->st_gid, " owner"},
        {a->st_size != b->st_size, " size"},
        {a->st_nlink != b->st_nlink && !S_ISDIR(b->st_mode), " links"},
    };
    bool is_told = false;

    if (same_time(&a->st_ctim, &b->st_ctim))
        return false;
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++) {
        if (!parts[i].has_changed)
            continue;
        if (!is_told)
            printf("M %s", after->path);
        printf("%s", parts[i].what);
        is_told = true;
    }
    if (!is_told && !is_renamed)
        printf("M %s attributes", after->path);
    if (is_told || !is_renamed)
        putchar('\n');
    return true;
}

/* The names of one inode in one of the trees. */
struct names {
    struct item *list;
    size_t count;
};

static struct item *next_unpaired(const struct names *names, const struct item *like)
{
    for (size_t i = 0; i < names->count; i++) {
        struct item *item = &names->list[i];

        if (!item->is_paired &&
            (!like || (item->parent == like->parent && strcmp(item->name, like->name) == 0)))
            return item;
    }
    return NULL;
}

/* Names that stayed first: what is left over was renamed, made or removed. */
static bool compare_inode(const struct names *before, const struct names *after)
{
    struct item *old, *new;
    bool differs = false;

    for (size_t i = 0; i < before->count; i++) {
        old = &before->list[i];
        new = next_unpaired(after, old);
        if (!new)
            continue;
        old->is_paired = new->is_paired = true;
        differs |= print_changes(old, new, false);
    }
    while ((old = next_unpaired(before, NULL))) {
        old->is_paired = differs = true;
        new = next_unpaired(after, NULL);
        if (!new) {
            printf("- %s\n", old->path);
            continue;
        }
        new->is_paired = true;
        printf("R %s -> %s\n", old->path, new->path);
        print_changes(old, new, true);
    }
    while ((new = next_unpaired(after, NULL))) {
        new->is_paired = differs = true;
        printf("+ %s\n", new->path);
    }
    return differs;
}

static size_t end_of_inode(const struct items *items, size_t from)
{
    size_t end = from;

    while (end < items->count &&
           items->list[end].attributes.st_ino == items->list[from].attributes.st_ino)
        end++;
    return end;
}

static bool compare_all(const struct items *before, const struct items *after)
{
    bool differs = false;

    for (size_t i = 0, j = 0; i < before->count || j < after->count;) {
        uint64_t old = i < before->count ? before->list[i].attributes.st_ino : UINT64_MAX;
        uint64_t new = j < after->count ? after->list[j].attributes.st_ino : UINT64_MAX;
        size_t old_end = old <= new ? end_of_inode(before, i) : i;
        size_t new_end = new <= old ? end_of_inode(after, j) : j;
        struct names old_names = {before->list + i, old_end - i};
        struct names new_names = {after->list + j, new_end - j};

        differs |= compare_inode(&old_names, &new_names);
        i = old_end;
        j = new_end;
    }
    return differs;
}

/* ---- the command ---- */

static int open_snapshot(const char *store, const char *tag, struct tree *ret_tree)
{
    AUTO(freep) char *folder = NULL;

    if (!snapshot_tag_is_valid(tag))
        return complain(EXIT_USAGE, "'%s' is not a tag", tag);
    if (asprintf(&folder, "%s/snapshots/%s", store, tag) < 0)
        return complain_of(-ENOMEM, "diff");
    if (folder_kind(folder) == FOLDER_MISSING)
        return complain(EXIT_NOT_FOUND, "there is no snapshot '%s'", tag);
    return tree_open(folder, ret_tree);
}

static int diff(const struct tree *a, const struct tree *b)
{
    AUTO(items_release) struct items before = {0}, after = {0};
    int r = collect_all(a, &before);

    if (r == 0)
        r = collect_all(b, &after);
    if (r < 0)
        return complain_of(r, "diff");
    return compare_all(&before, &after) ? EXIT_DAMAGE : EXIT_DONE;
}

static int diff_tags(const char *store, const char *a, const char *b)
{
    struct tree before = {0}, after = {0};
    int code = open_snapshot(store, a, &before);

    if (code != EXIT_DONE)
        return code;
    code = open_snapshot(store, b, &after);
    if (code == EXIT_DONE) {
        code = diff(&before, &after);
        tree_close(&after);
    }
    tree_close(&before);
    return code;
}

/* Now is a snapshot that lasts as long as the comparison. */
static int diff_now(const char *path, const char *store, const char *tag)
{
    char now[sizeof("diff-") + SNAPSHOT_NOW_MAX] = "diff-";
    int r, code;

    snapshot_tag_of_now(now + strlen(now));
    r = snapshot_make(path, now);
    if (r < 0)
        return complain_of(r, "diff");
    r = snapshot_await(path, now);
    code = r < 0 ? complain_of(r, "diff") : diff_tags(store, tag, now);
    r = snapshot_remove(path, now);
    return r < 0 ? complain_of(r, "remove snapshot '%s'", now) : code;
}

int command_diff(int argc, char **argv)
{
    struct mount mount = {0};
    int r, code;

    if (argc < 3 || argc > 4 || argv[1][0] == '-')
        return complain_usage(argv[0]);
    r = mount_of(argv[1], &mount);
    if (r < 0)
        return complain_of(r, "diff");
    code = argc == 4 ? diff_tags(mount.source, argv[2], argv[3])
                     : diff_now(argv[1], mount.source, argv[2]);
    mount_release(&mount);
    return code;
}
