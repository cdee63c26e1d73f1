/*
 * sstfs diff MNT A [B] [PATH]: what changed from snapshot A to snapshot B, or to now; of the whole
 * tree, or of what lies at PATH.
 *
 *   + path           made        M path what…      changed
 *   - path           removed     R path -> path    renamed, the same inode
 *
 *   1. both trees are walked side by side, a page of names of each directory at a time: a name that
 *      both have for one inode stayed, whatever else changed of it
 *   2. directories that one tree has and the other has not are told with all that is in them
 *   3. other names that one tree alone has are kept until the walk is over, and paired by inode:
 *      renamed; a pair of directories is walked as in 1, so that what changed below is told under
 *      its new name
 *
 * Memory: pages of the directories above one another, and the paths of step 3, of each side
 * UNPAIRED_BYTES_MAX at most; beyond, a renamed one is told as removed and made. An inode has the
 * same number in each tree, and none is given twice.
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/buf.h"
#include "engine/error.h"
#include "json_text.h"
#include "mountinfo.h"
#include "snapshots.h"
#include "tools.h"
#include "tree.h"

#define UNPAIRED_BYTES_MAX (64u << 20)
#define DEPTH_MAX 4096u /* of directories in one another: what the stack has room for, twice */

/* A name that one tree alone has; a directory then is one that both have, elsewhere. */
struct item {
    char *path;
    uint64_t ino;
    bool is_directory;
};

struct items {
    struct item *list; /* sorted by inode when paired */
    size_t count, capacity;
};

enum side { BEFORE, AFTER, SIDES };

struct diff {
    struct tree trees[SIDES];
    struct items unpaired[SIDES];
    size_t unpaired_bytes[SIDES]; /* those that a round has not paired too */
    const char *path;             /* within the mount; "": all */
    bool as_json;
    bool differs;
    unsigned depth;
};

static void items_release(struct items *items)
{
    for (size_t i = 0; i < items->count; i++)
        free(items->list[i].path);
    free(items->list);
    *items = (struct items){0};
}

/* ---- telling ---- */

/* Changes of M and R, the names of their columns; NULL: none. */
static void tell_json(
    struct diff *diff, const char *kind, const char *path, const char *to, json_t *columns)
{
    json_t *one = json_pack("{s:s, s:o, s:o*, s:o*}", "change", kind, "path", json_of_name(path),
        "to", to ? json_of_name(to) : NULL, "columns", columns);

    fputs(diff->differs ? ",\n" : "\n", stdout);
    json_dumpf(one, stdout, JSON_COMPACT);
    json_decref(one);
}

static void tell(struct diff *diff, const char *kind, const char *path)
{
    if (diff->as_json)
        tell_json(diff, kind, path, NULL, NULL);
    else
        printf("%s %s\n", kind, path);
    diff->differs = true;
}

static void tell_rename(struct diff *diff, const char *from, const char *to)
{
    if (diff->as_json)
        tell_json(diff, "R", from, to, NULL);
    else
        printf("R %s -> %s\n", from, to);
    diff->differs = true;
}

static void tell_columns(
    struct diff *diff, const char *path, const char *const *columns, size_t count)
{
    json_t *list = diff->as_json ? json_array() : NULL;

    if (!diff->as_json)
        printf("M %s", path);
    for (size_t i = 0; i < count; i++) {
        if (diff->as_json)
            json_array_append_new(list, json_string(columns[i]));
        else
            printf(" %s", columns[i]);
    }
    if (diff->as_json)
        tell_json(diff, "M", path, NULL, list);
    else
        putchar('\n');
    diff->differs = true;
}

/* ---- comparing one inode ---- */

static int append_xattrs(const struct tree *tree, uint64_t ino, struct buf *to)
{
    AUTO(buf_release) struct buf names = BUF_INIT;
    int r = fs_listxattr(tree->fs, ino, true, &names);

    for (size_t at = 0; r == 0 && at < names.size;) {
        const char *name = (const char *)names.data + at;
        AUTO(buf_release) struct buf value = BUF_INIT;

        at += strlen(name) + 1;
        r = fs_getxattr(tree->fs, ino, name, &value);
        print_to(to, "%s=%zu:", name, value.size);
        buf_append_bytes(to, buf_bytes(&value));
    }
    return r < 0 ? r : buf_error(to);
}

/* 1: they differ. The table has them in the order of their names. */
static int compare_xattrs(const struct diff *diff, uint64_t ino)
{
    AUTO(buf_release) struct buf before = BUF_INIT, after = BUF_INIT;
    int r = append_xattrs(&diff->trees[BEFORE], ino, &before);

    if (r == 0)
        r = append_xattrs(&diff->trees[AFTER], ino, &after);
    return r < 0 ? r : !bytes_equal(buf_bytes(&before), buf_bytes(&after));
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* Every change moves the ctime, renaming too. What both have is looked up in both. */
static int tell_changes(struct diff *diff, const char *path, const struct stat *a,
    const struct stat *b, bool is_renamed)
{
    bool is_directory = S_ISDIR(b->st_mode);
    const char *columns[8];
    size_t count = 0;
    int r;

    if (same_time(&a->st_ctim, &b->st_ctim))
        return 0;
    r = compare_xattrs(diff, b->st_ino);
    if (r < 0)
        return r;
    if (!same_time(&a->st_mtim, &b->st_mtim))
        columns[count++] = is_directory ? "names" : "content";
    if (a->st_mode != b->st_mode)
        columns[count++] = "mode";
    if (a->st_uid != b->st_uid || a->st_gid != b->st_gid)
        columns[count++] = "owner";
    if (a->st_size != b->st_size)
        columns[count++] = "size";
    if (a->st_nlink != b->st_nlink && !is_directory)
        columns[count++] = "links";
    if (r > 0)
        columns[count++] = "xattr";
    if (count == 0 && !is_renamed)
        columns[count++] = "times";
    if (count > 0)
        tell_columns(diff, path, columns, count);
    return 0;
}

static int go_down(struct diff *diff)
{
    if (diff->depth == DEPTH_MAX)
        return err_new(
            -ENAMETOOLONG, "more than %u directories lie in one another there", DEPTH_MAX);
    diff->depth++;
    return 0;
}

/* ---- names of one tree alone ---- */

/* With what malloc takes beside. */
static size_t bytes_of_item(const char *path)
{
    return sizeof(struct item) + strlen(path) + 16;
}

/* 1: there is no room. */
static int keep(struct diff *diff, enum side side, const char *path, const struct fs_entry *entry)
{
    struct items *items = &diff->unpaired[side];
    struct item item = {.ino = entry->attributes.st_ino};
    size_t bytes = bytes_of_item(path);

    item.is_directory = S_ISDIR(entry->attributes.st_mode);
    if (bytes > UNPAIRED_BYTES_MAX - diff->unpaired_bytes[side])
        return 1;
    if (items->count == items->capacity) {
        size_t capacity = items->capacity ? items->capacity * 2 : 64;
        struct item *grown = reallocarray(items->list, capacity, sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        items->list = grown;
        items->capacity = capacity;
    }
    item.path = strdup(path);
    if (!item.path)
        return -ENOMEM;
    items->list[items->count++] = item;
    diff->unpaired_bytes[side] += bytes;
    return 0;
}

struct alone {
    struct diff *diff;
    enum side side;
    const char *path;
};

static int take_alone(
    struct diff *diff, enum side side, const char *path, const struct fs_entry *entry);

static int take_child_alone(void *arg, struct bytes name, const struct fs_entry *entry)
{
    const struct alone *alone = arg;
    AUTO(freep) char *path = tree_path(alone->path, name);

    return path ? take_alone(alone->diff, alone->side, path, entry) : -ENOMEM;
}

static int tell_alone(
    struct diff *diff, enum side side, const char *path, const struct fs_entry *entry)
{
    struct alone alone = {diff, side, path};
    int r;

    if (*path)
        tell(diff, side == BEFORE ? "-" : "+", path);
    if (!S_ISDIR(entry->attributes.st_mode))
        return 0;
    r = go_down(diff);
    if (r < 0)
        return r;
    r = tree_list(&diff->trees[side], entry->nodeid, take_child_alone, &alone);
    diff->depth--;
    return r;
}

/* A directory that the other tree has not is told at once, and so is what no other name pairs with:
 * memory is for what may have been renamed. */
static int take_alone(
    struct diff *diff, enum side side, const char *path, const struct fs_entry *entry)
{
    struct fs *other = diff->trees[side == BEFORE ? AFTER : BEFORE].fs;
    struct fs_entry there;
    int r = 0;

    if (S_ISDIR(entry->attributes.st_mode)) {
        r = fs_lookup_directory(other, entry->nodeid, &there);
        if (r == 0)
            fs_forget(other, there.nodeid, 1);
    }
    if (r == 0)
        r = keep(diff, side, path, entry);
    return r == 1 || r == -ENOENT ? tell_alone(diff, side, path, entry) : r;
}

/* ---- 1. side by side ---- */

static int walk(struct diff *diff, const char *before, const char *after, uint64_t ino);

/* What both trees have at one name. */
static int take_both(struct diff *diff, const char *before, const char *after,
    const struct fs_entry *old, const struct fs_entry *new)
{
    int r;

    if (old->attributes.st_ino != new->attributes.st_ino) {
        r = take_alone(diff, BEFORE, before, old);
        return r < 0 ? r : take_alone(diff, AFTER, after, new);
    }
    r = tell_changes(diff, *after ? after : "/", &old->attributes, &new->attributes, false);
    if (r < 0 || !S_ISDIR(new->attributes.st_mode))
        return r;
    return walk(diff, before, after, new->nodeid);
}

/* The next name of either side, or of both. */
static int take_next(struct diff *diff, const char *const paths[SIDES],
    struct tree_cursor *const cursors[SIDES], const bool has[SIDES])
{
    struct bytes names[SIDES];
    struct fs_entry entries[SIDES];
    AUTO(freep) char *before = NULL;
    AUTO(freep) char *after = NULL;
    char **to[SIDES] = {&before, &after};
    bool taken[SIDES] = {has[BEFORE], has[AFTER]};
    int order, r = 0;

    for (int side = 0; side < SIDES; side++)
        names[side] = has[side] ? tree_cursor_name(cursors[side]) : BYTES_NONE;
    if (has[BEFORE] && has[AFTER]) {
        order = bytes_compare(names[BEFORE], names[AFTER]);
        taken[BEFORE] = order <= 0;
        taken[AFTER] = order >= 0;
    }
    for (int side = 0; r == 0 && side < SIDES; side++) {
        if (!taken[side])
            continue;
        *to[side] = tree_path(paths[side], names[side]);
        if (!*to[side])
            r = -ENOMEM;
        if (r == 0)
            r = tree_cursor_take(cursors[side], &entries[side]);
        taken[side] = r == 0;
    }
    if (r == 0 && taken[BEFORE] && taken[AFTER])
        r = take_both(diff, before, after, &entries[BEFORE], &entries[AFTER]);
    else if (r == 0)
        r = taken[BEFORE] ? take_alone(diff, BEFORE, before, &entries[BEFORE])
                          : take_alone(diff, AFTER, after, &entries[AFTER]);
    for (int side = 0; side < SIDES; side++)
        if (taken[side] && *to[side])
            fs_forget(diff->trees[side].fs, entries[side].nodeid, 1);
    return r;
}

/* A directory that both trees have, under these names. */
static int walk(struct diff *diff, const char *before, const char *after, uint64_t ino)
{
    const char *const paths[SIDES] = {before, after};
    struct tree_cursor *cursors[SIDES] = {NULL, NULL};
    int r = go_down(diff);

    if (r < 0)
        return r;
    for (int side = 0; r == 0 && side < SIDES; side++)
        r = tree_cursor_open(&diff->trees[side], ino, &cursors[side]);
    while (r == 0) {
        bool has[SIDES] = {false, false};

        for (int side = 0; r >= 0 && side < SIDES; side++) {
            r = tree_cursor_next(cursors[side]);
            has[side] = r > 0;
        }
        if (r < 0 || (!has[BEFORE] && !has[AFTER]))
            break;
        r = take_next(diff, paths, cursors, has);
    }
    for (int side = 0; side < SIDES; side++)
        tree_cursor_close(cursors[side]);
    diff->depth--;
    return r < 0 ? r : 0;
}

/* ---- 3. pairs ---- */

static int by_inode(const void *a, const void *b)
{
    const struct item *left = a, *right = b;

    if (left->ino != right->ino)
        return left->ino < right->ino ? -1 : 1;
    return strcmp(left->path, right->path);
}

static void sort(struct items *items)
{
    if (items->count > 0)
        qsort(items->list, items->count, sizeof(*items->list), by_inode);
}

static int take_pair(struct diff *diff, const struct item *old, const struct item *new)
{
    const struct item *const items[SIDES] = {old, new};
    struct fs_entry entries[SIDES];
    int r = 0, found = 0;

    tell_rename(diff, old->path, new->path);
    for (int side = 0; side < SIDES; side++) {
        r = tree_find(&diff->trees[side], items[side]->path, &entries[side]);
        if (r < 0)
            break;
        found++;
    }
    if (r == 0)
        r = tell_changes(
            diff, new->path, &entries[BEFORE].attributes, &entries[AFTER].attributes, true);
    if (r == 0 && new->is_directory)
        r = walk(diff, old->path, new->path, new->ino);
    for (int side = 0; side < found; side++)
        fs_forget(diff->trees[side].fs, entries[side].nodeid, 1);
    return r;
}

/* A directory found through the walk's PATH alone: the other tree has it outside of PATH. */
static int tell_unpaired(struct diff *diff, enum side side, const struct item *item)
{
    struct fs *fs = diff->trees[side].fs;
    struct fs_entry entry;
    int r;

    if (!item->is_directory) {
        tell(diff, side == BEFORE ? "-" : "+", item->path);
        return 0;
    }
    r = fs_lookup_directory(fs, item->ino, &entry);
    if (r < 0)
        return r;
    r = tell_alone(diff, side, item->path, &entry);
    fs_forget(fs, entry.nodeid, 1);
    return r;
}

/* Pairs what can be, and hands back what is left; what walks below find is kept anew meanwhile. */
static int pair_once(struct diff *diff, struct items left[SIDES])
{
    struct items *old = &left[BEFORE], *new = &left[AFTER];
    size_t rests[SIDES] = {0, 0}, i = 0, j = 0;
    int r = 0;

    sort(old);
    sort(new);
    while (r == 0 && i < old->count && j < new->count) {
        struct item *a = &old->list[i], *b = &new->list[j];

        if (a->ino == b->ino) {
            r = take_pair(diff, a, b);
            diff->unpaired_bytes[BEFORE] -= bytes_of_item(a->path);
            diff->unpaired_bytes[AFTER] -= bytes_of_item(b->path);
            free(a->path);
            free(b->path);
            i++, j++;
        } else if (a->ino < b->ino) {
            old->list[rests[BEFORE]++] = old->list[i++];
        } else {
            new->list[rests[AFTER]++] = new->list[j++];
        }
    }
    while (i < old->count)
        old->list[rests[BEFORE]++] = old->list[i++];
    while (j < new->count)
        new->list[rests[AFTER]++] = new->list[j++];
    old->count = rests[BEFORE];
    new->count = rests[AFTER];
    return r;
}

static int append(struct items *to, struct items *from)
{
    struct item *grown;

    if (from->count == 0)
        return 0;
    grown = reallocarray(to->list, to->count + from->count, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    memcpy(grown + to->count, from->list, from->count * sizeof(*grown));
    to->list = grown;
    to->count += from->count;
    to->capacity = to->count;
    from->count = 0;
    return 0;
}

/* Until walks below renamed directories find no more; then what has no other half. */
static int pair_all(struct diff *diff, struct items left[SIDES])
{
    int r = 0;

    while (r == 0 && diff->unpaired[BEFORE].count + diff->unpaired[AFTER].count > 0) {
        for (int side = 0; r == 0 && side < SIDES; side++)
            r = append(&left[side], &diff->unpaired[side]);
        if (r == 0)
            r = pair_once(diff, left);
        if (r < 0 || diff->unpaired[BEFORE].count + diff->unpaired[AFTER].count > 0)
            continue;
        for (int side = 0; side < SIDES; side++) {
            for (size_t i = 0; r == 0 && i < left[side].count; i++)
                r = tell_unpaired(diff, (enum side)side, &left[side].list[i]);
            items_release(&left[side]);
        }
    }
    return r;
}

/* ---- the command ---- */

static int compare_at_path(struct diff *diff)
{
    AUTO(freep) char *path = NULL;
    struct fs_entry entries[SIDES];
    int found[SIDES];

    if (asprintf(&path, "%s%s", *diff->path ? "/" : "", diff->path) < 0)
        return -ENOMEM;
    for (int side = 0; side < SIDES; side++) {
        found[side] = tree_find(&diff->trees[side], diff->path, &entries[side]);
        if (found[side] < 0 && found[side] != -ENOENT && found[side] != -ENOTDIR)
            return found[side];
    }
    if (found[BEFORE] == 0 && found[AFTER] == 0)
        return take_both(diff, path, path, &entries[BEFORE], &entries[AFTER]);
    if (found[BEFORE] < 0 && found[AFTER] < 0)
        return err_new(-ENOENT, "there is no '%s' in either", diff->path);
    return found[BEFORE] == 0 ? tell_alone(diff, BEFORE, path, &entries[BEFORE])
                              : tell_alone(diff, AFTER, path, &entries[AFTER]);
}

static int compare(struct diff *diff)
{
    struct items left[SIDES] = {{0}, {0}};
    int r;

    if (diff->as_json)
        putchar('[');
    r = compare_at_path(diff);
    if (r == 0)
        r = pair_all(diff, left);
    if (diff->as_json)
        puts(diff->differs ? "\n]" : "]");
    for (int side = 0; side < SIDES; side++) {
        items_release(&left[side]);
        items_release(&diff->unpaired[side]);
    }
    if (r == 0)
        r = flush_output();
    if (r < 0)
        return complain_of(r, "diff");
    return diff->differs ? EXIT_DAMAGE : EXIT_DONE;
}

static char *folder_of(const char *store, const char *tag)
{
    char *folder;

    return asprintf(&folder, "%s/snapshots/%s", store, tag) < 0 ? NULL : folder;
}

static bool is_snapshot(const char *store, const char *tag)
{
    AUTO(freep) char *folder = snapshot_tag_is_valid(tag) ? folder_of(store, tag) : NULL;

    return folder && folder_kind(folder) == FOLDER_SNAPSHOT;
}

static int open_snapshot(const char *store, const char *tag, struct tree *ret_tree)
{
    AUTO(freep) char *folder = NULL;

    if (!snapshot_tag_is_valid(tag))
        return complain(EXIT_USAGE, "'%s' is not a tag", tag);
    folder = folder_of(store, tag);
    if (!folder)
        return complain_of(-ENOMEM, "diff");
    if (folder_kind(folder) == FOLDER_MISSING)
        return complain(EXIT_NOT_FOUND, "there is no snapshot '%s'", tag);
    return tree_open(folder, ret_tree);
}

static int diff_tags(struct diff *diff, const char *store, const char *a, const char *b)
{
    int code = open_snapshot(store, a, &diff->trees[BEFORE]);

    if (code != EXIT_DONE)
        return code;
    code = open_snapshot(store, b, &diff->trees[AFTER]);
    if (code == EXIT_DONE) {
        code = compare(diff);
        tree_close(&diff->trees[AFTER]);
    }
    tree_close(&diff->trees[BEFORE]);
    return code;
}

/* Now is a snapshot that lasts as long as the comparison. */
static int diff_now(struct diff *diff, const char *path, const char *store, const char *tag)
{
    char now[sizeof("diff-") + SNAPSHOT_NOW_MAX] = "diff-";
    int r, code;

    snapshot_tag_of_now(now + strlen(now));
    r = snapshot_make(path, now);
    if (r < 0)
        return complain_of(r, "diff");
    r = snapshot_await(path, now);
    code = r < 0 ? complain_of(r, "diff") : diff_tags(diff, store, tag, now);
    r = snapshot_remove(path, now);
    return r < 0 ? complain_of(r, "remove snapshot '%s'", now) : code;
}

/* As the user names it: from the mountpoint on, or absolute. */
static const char *path_inside(const struct mount *mount, const char *path)
{
    size_t size = strlen(mount->mountpoint);

    if (strncmp(path, mount->mountpoint, size) == 0 && (path[size] == '/' || !path[size]))
        path += size;
    while (*path == '/')
        path++;
    return path;
}

/* MNT A [B] [PATH]: what follows A is a tag if there is such a snapshot. */
static int run(struct diff *diff, char *const *words, int count)
{
    struct mount mount = {0};
    const char *tag = NULL, *path = NULL;
    AUTO(freep) char *trimmed = NULL;
    int r = mount_of(words[0], &mount), code;

    if (r < 0)
        return complain_of(r, "diff");
    if (count == 4 || (count == 3 && is_snapshot(mount.source, words[2])))
        tag = words[2];
    else if (count == 3)
        path = words[2];
    if (count == 4)
        path = words[3];
    trimmed = strdup(path ? path_inside(&mount, path) : "");
    if (!trimmed) {
        mount_release(&mount);
        return complain_of(-ENOMEM, "diff");
    }
    for (size_t size = strlen(trimmed); size > 0 && trimmed[size - 1] == '/'; size--)
        trimmed[size - 1] = '\0';
    diff->path = trimmed;
    code = tag ? diff_tags(diff, mount.source, words[1], tag)
               : diff_now(diff, words[0], mount.source, words[1]);
    mount_release(&mount);
    return code;
}

int command_diff(int argc, char **argv)
{
    static const struct option long_options[] = {{"json", no_argument, NULL, 'j'}, {0}};
    struct diff diff = {0};
    int option, count;

    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option != 'j')
            return complain_usage(argv[0]);
        diff.as_json = true;
    }
    count = argc - optind;
    if (count < 2 || count > 4)
        return complain_usage(argv[0]);
    return run(&diff, argv + optind, count);
}
