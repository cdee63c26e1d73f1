/*
 * .snapshots: each tag a directory that holds the files of the store's folder snapshots/TAG, as
 * they are, read-only. Its name is reserved (entry.h).
 *
 * Numbers that programs see are hashes of what a file is: an SSTable's component of its id and
 * kind, so it has the same number in every tag, and rsync -H copies it once; anything else of its
 * tag's point, when it was made, and the path, so a tag renamed keeps its numbers.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "core/core.h"
#include "core/past.h"
#include "core/snapshot_node.h"
#include "engine/coding.h"

#define SNAPSHOTS_MODE (S_IFDIR | 0750)
#define DIRECTORY_MODE (S_IFDIR | 0550)
#define FILE_MODE (S_IFREG | 0440)
#define TIMEOUT_S 1u /* of attributes: link counts change with every tag */

/* ---- what the engine says of tags ---- */

void snapshot_tag_info_take(struct snapshot_tag_info *to, const struct snapshot_info *from)
{
    (void)snprintf(to->name, sizeof(to->name), "%s", from->tag);
    to->point_us = from->point_us;
    to->created_us = from->created_us;
    to->complete = from->complete;
}

struct tag_search {
    const char *name; /* NULL: the newest that is complete */
    struct snapshot_tag_info info;
    bool found;
};

static int search_one(void *arg, const struct snapshot_info *info)
{
    struct tag_search *search = arg;

    if (search->name ? strcmp(search->name, info->tag) == 0 : info->complete) {
        snapshot_tag_info_take(&search->info, info);
        search->found = true;
    }
    return 0;
}

int snapshot_tag_search(struct fs *fs, const char *name, struct snapshot_tag_info *ret_info)
{
    struct tag_search search = {.name = name};
    int r = engine_snapshot_list(fs->engine, search_one, &search);

    if (r < 0)
        return r;
    *ret_info = search.info;
    return search.found;
}

int snapshot_log_info(struct fs *fs, struct snapshot_tag_info *ret_info)
{
    struct store_identity identity;
    struct io_stat found;
    int r = io_stat(fs->env, LOG_FOLDER, &found);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    engine_identity(fs->engine, &identity);
    *ret_info = (struct snapshot_tag_info){.name = LOG_NAME,
        .point_us = identity.created_us,
        .created_us = identity.created_us,
        .complete = true};
    return 1;
}

/* Names of complete tags, each with its NUL. */
static int collect_one(void *arg, const struct snapshot_info *info)
{
    struct buf *names = arg;

    if (info->complete)
        buf_append(names, info->tag, strlen(info->tag) + 1);
    return buf_error(names);
}

/* A name as a tag; false: it cannot be one. */
bool snapshot_tag_of_name(struct bytes name, char to[SNAPSHOT_TAG_MAX + 1])
{
    if (name.size > SNAPSHOT_TAG_MAX || memchr(name.data, 0, name.size))
        return false;
    memcpy(to, name.data, name.size);
    to[name.size] = 0;
    return snapshot_tag_is_valid(to);
}

/* ---- attributes ---- */

static uint64_t stable_number(uint64_t hash)
{
    return INO_SYNTHETIC_BIT | (hash & (INO_SYNTHETIC_BIT - 1));
}

/* `path` within the tag's folder, "" for itself. */
uint64_t snapshot_number_inside(const struct snapshot_tag *tag, const char *path)
{
    const char *slash = strrchr(path, '/');
    enum sstable_component component;
    struct sstable_id id;
    uint8_t salt[16];

    if (sstable_parse_file_name(slash ? slash + 1 : path, &id, &component)) {
        store_be64(salt, (uint64_t)component);
        return stable_number(
            snapshot_hash(snapshot_hash(0, bytes_of_string(id.text)), bytes_of(salt, 8)));
    }
    store_be64(salt, tag->point_us);
    store_be64(salt + 8, tag->created_us);
    return stable_number(
        snapshot_hash(snapshot_hash(1, bytes_of(salt, 16)), bytes_of_string(path)));
}

uint64_t snapshot_number_of_name(const char *name)
{
    return stable_number(snapshot_hash(2, bytes_of_string(name)));
}

static void set_times(struct stat *to, int64_t ns)
{
    to->st_mtim.tv_sec = ns / 1000000000;
    to->st_mtim.tv_nsec = ns % 1000000000;
    to->st_ctim = to->st_mtim;
    to->st_atim = to->st_mtim;
}

static void fill_stat(struct fs *fs, uint64_t number, uint32_t mode, uint64_t us, struct stat *to)
{
    *to = (struct stat){
        .st_ino = number,
        .st_mode = mode,
        .st_nlink = 1, /* not counted, which find(1) understands */
        .st_uid = (uint32_t)(fs->options.owner >> 32),
        .st_gid = fs->options.snapshots_gid,
        .st_size = 4096,
        .st_blocks = 8,
        .st_blksize = 1 << 20,
    };
    set_times(to, (int64_t)us * 1000);
}

/* In how many tags a component is. `path` within a tag's folder. */
static int count_tags(struct fs *fs, const char *path, nlink_t *ret_count)
{
    AUTO(buf_release) struct buf names = BUF_INIT;
    AUTO(buf_release) struct buf full = BUF_INIT;
    struct io_stat found;
    nlink_t count = 0;
    int r = engine_snapshot_list(fs->engine, collect_one, &names);

    if (r < 0)
        return r;
    for (size_t at = 0; at < names.size; at += strlen((char *)names.data + at) + 1) {
        buf_clear(&full);
        buf_append_bytes(&full, BYTES_LITERAL(SNAPSHOTS_FOLDER "/"));
        buf_append_bytes(&full, bytes_of_string((char *)names.data + at));
        buf_append_u8(&full, '/');
        buf_append(&full, path, strlen(path) + 1);
        if (buf_error(&full) < 0)
            return buf_error(&full);
        r = io_stat(fs->env, (char *)full.data, &found);
        if (r < 0 && r != -ENOENT)
            return r;
        count += r == 0;
    }
    *ret_count = count ? count : 1;
    return 0;
}

/* What of a path in the store lies within the tag's folder. */
static const char *path_inside(const struct snapshot_tag *tag, const char *full)
{
    full += snapshot_tag_path_size(tag);
    return *full == '/' ? full + 1 : full;
}

static int stat_inside(
    struct fs *fs, const struct snapshot_tag *tag, const char *full, struct stat *to)
{
    const char *path = path_inside(tag, full);
    uint64_t number = snapshot_number_inside(tag, path);
    const char *slash = strrchr(path, '/');
    enum sstable_component component;
    struct sstable_id id;
    struct io_stat found;
    int r = io_stat(fs->env, full, &found);

    if (r < 0)
        return r;
    if (found.is_directory) {
        fill_stat(fs, number, DIRECTORY_MODE, tag->point_us, to);
        return 0;
    }
    fill_stat(fs, number, FILE_MODE, tag->point_us, to);
    to->st_size = (off_t)found.size;
    to->st_blocks = (blkcnt_t)((found.size + 511) / 512);
    to->st_blksize = 128 << 10;
    /* When it was sealed. Of an SSTable's file that is the same in every tag, as a hard link keeps
     * its time. Others are made for each tag, and may differ where the points do not (a compaction
     * lies between): with the point's time rsync would take them for equal. */
    set_times(to, found.mtime_ns);
    if (!sstable_parse_file_name(slash ? slash + 1 : path, &id, &component))
        return 0;
    return found.links > 1 ? count_tags(fs, path, &to->st_nlink) : 0;
}

static int stat_node(struct fs *fs, const struct snapshot_node *node, struct stat *to)
{
    AUTO(buf_release) struct buf full = BUF_INIT;
    struct store_identity identity;
    struct snapshot_tag_info newest;
    int r;

    if (node->tag && node->tag->gone)
        return err_new(-ENOENT, "snapshot '%s' was deleted", node->tag->name);
    switch (node->kind) {
    case SNAPSHOT_ROOT:
    case SNAPSHOT_LATEST:
        r = snapshot_tag_search(fs, NULL, &newest);
        if (r < 0)
            return r;
        if (node->kind == SNAPSHOT_LATEST && !r)
            return err_new(-ENOENT, "there is no complete snapshot");
        engine_identity(fs->engine, &identity);
        if (node->kind == SNAPSHOT_LATEST)
            fill_stat(
                fs, snapshot_number_of_name(LATEST_NAME), DIRECTORY_MODE, newest.point_us, to);
        else
            fill_stat(fs, snapshot_number_of_name(SNAPSHOTS_NAME), SNAPSHOTS_MODE,
                r ? newest.created_us : identity.created_us, to);
        return 0;
    case SNAPSHOT_TAG:
        fill_stat(
            fs, snapshot_number_inside(node->tag, ""), DIRECTORY_MODE, node->tag->point_us, to);
        return 0;
    default:
        snapshot_node_path(node, &full);
        if (buf_error(&full) < 0)
            return buf_error(&full);
        return stat_inside(fs, node->tag, (char *)full.data, to);
    }
}

int snapshot_dir_getattr(struct fs *fs, uint64_t nodeid, struct stat *ret_attributes)
{
    struct snapshot_dir *dir = fs->snapshots;
    struct snapshot_node *node;
    struct stat attributes;
    int r;

    pthread_mutex_lock(&dir->mutex);
    node = snapshot_node_find(dir, nodeid);
    r = node ? stat_node(fs, node, &attributes) : err_new(-ESTALE, "inode %#" PRIx64, nodeid);
    pthread_mutex_unlock(&dir->mutex);
    if (r == 0)
        *ret_attributes = attributes;
    return r;
}

/* ---- walking ---- */

/* Fills the entry and counts a lookup; on failure the node goes if nothing else holds it. */
static int give_entry(struct fs *fs, struct snapshot_node *node, struct fs_entry *ret_entry)
{
    struct fs_entry entry = {.nodeid = node->number, .attribute_timeout_s = TIMEOUT_S};
    int r = stat_node(fs, node, &entry.attributes);

    if (r < 0) {
        snapshot_node_settle(fs->snapshots, node);
        return r;
    }
    /* What may be another directory at the next look is not kept by the kernel. */
    if (node->kind == SNAPSHOT_LATEST || (node->parent && node->parent->kind == SNAPSHOT_LATEST))
        entry.entry_timeout_s = 0;
    else if (node->kind == SNAPSHOT_TAG || (node->tag && snapshot_tag_is_log(node->tag)))
        entry.entry_timeout_s = TIMEOUT_S;
    else
        entry.entry_timeout_s = FS_TIMEOUT_FOREVER;
    node->lookups++;
    *ret_entry = entry;
    return 0;
}

static int tag_of_info(
    struct fs *fs, const struct snapshot_tag_info *info, struct snapshot_tag **ret_tag)
{
    int r =
        snapshot_tag_ensure(fs->snapshots, info->name, info->point_us, info->created_us, ret_tag);

    if (r == 0 && info->complete)
        (*ret_tag)->complete = true;
    return r;
}

/* A name in .snapshots. */
static int walk_to_tag(
    struct fs *fs, struct snapshot_node *root, struct bytes name, struct fs_entry *ret_entry)
{
    char text[SNAPSHOT_TAG_MAX + 1];
    struct snapshot_tag *tag = NULL;
    struct snapshot_node *node;
    struct snapshot_tag_info info;
    int r;

    if (bytes_equal(name, BYTES_LITERAL(LATEST_NAME))) {
        r = snapshot_node_ensure(fs->snapshots, root, SNAPSHOT_LATEST, name, NULL, &node);
        return r < 0 ? r : give_entry(fs, node, ret_entry);
    }
    if (bytes_equal(name, BYTES_LITERAL(LOG_NAME)))
        r = snapshot_log_info(fs, &info);
    else if (snapshot_tag_of_name(name, text))
        r = snapshot_tag_search(fs, text, &info);
    else
        return -ENOENT;
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    r = tag_of_info(fs, &info, &tag);
    if (r < 0)
        return r;
    r = snapshot_node_ensure(fs->snapshots, root, SNAPSHOT_TAG, name, tag, &node);
    if (r < 0) {
        snapshot_tag_settle(fs->snapshots, tag);
        return r;
    }
    return give_entry(fs, node, ret_entry);
}

/* The tag that a directory's content is of; of `latest`, the newest now. Settle it if unused. */
int snapshot_tag_below(
    struct fs *fs, const struct snapshot_node *node, struct snapshot_tag **ret_tag)
{
    struct snapshot_tag_info info;
    int r;

    if (node->kind != SNAPSHOT_LATEST) {
        *ret_tag = node->tag;
        return node->tag->gone ? -ENOENT : 0;
    }
    r = snapshot_tag_search(fs, NULL, &info);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    return tag_of_info(fs, &info, ret_tag);
}

static int walk_inside(
    struct fs *fs, struct snapshot_node *parent, struct bytes name, struct fs_entry *ret_entry)
{
    struct snapshot_tag *tag = NULL;
    struct snapshot_node *node;
    int r;

    if (parent->depth >= SNAPSHOT_DEPTH_MAX || name.size == 0 || memchr(name.data, 0, name.size) ||
        memchr(name.data, '/', name.size) || bytes_equal(name, BYTES_LITERAL(".")) ||
        bytes_equal(name, BYTES_LITERAL("..")))
        return -ENOENT;
    r = snapshot_tag_below(fs, parent, &tag);
    if (r < 0)
        return r;
    r = snapshot_node_ensure(fs->snapshots, parent, SNAPSHOT_INSIDE, name, tag, &node);
    if (r < 0) {
        snapshot_tag_settle(fs->snapshots, tag);
        return r;
    }
    return give_entry(fs, node, ret_entry);
}

static int walk_locked(
    struct fs *fs, uint64_t parent, struct bytes name, struct fs_entry *ret_entry)
{
    struct snapshot_dir *dir = fs->snapshots;
    struct snapshot_node *node;

    if (parent == FS_ROOT_INO)
        return give_entry(fs, dir->root, ret_entry);
    node = snapshot_node_find(dir, parent);
    if (!node)
        return err_new(-ESTALE, "inode %#" PRIx64, parent);
    return node->kind == SNAPSHOT_ROOT ? walk_to_tag(fs, node, name, ret_entry)
                                       : walk_inside(fs, node, name, ret_entry);
}

int snapshot_dir_lookup(
    struct fs *fs, uint64_t parent, struct bytes name, struct fs_entry *ret_entry)
{
    int r;

    if (name.size > FS_NAME_MAX)
        return err_new(-ENAMETOOLONG, "a name of %zu bytes", name.size);
    pthread_mutex_lock(&fs->snapshots->mutex);
    r = walk_locked(fs, parent, name, ret_entry);
    pthread_mutex_unlock(&fs->snapshots->mutex);
    /* A tag looked for too early must be found later. */
    if (r == -ENOENT)
        *ret_entry = (struct fs_entry){.entry_timeout_s = 0};
    return r;
}

void snapshot_dir_forget(struct fs *fs, uint64_t nodeid, uint64_t count)
{
    struct snapshot_dir *dir = fs->snapshots;
    struct snapshot_node *node;

    pthread_mutex_lock(&dir->mutex);
    node = snapshot_node_find(dir, nodeid);
    if (node) {
        node->lookups -= count < node->lookups ? count : node->lookups;
        snapshot_node_settle(dir, node);
    }
    pthread_mutex_unlock(&dir->mutex);
}

int fs_settle(struct fs *fs, uint64_t ino, struct bytes name_looked_up, engine_go go, void *arg)
{
    struct snapshot_dir *dir = fs->snapshots;
    char name[SNAPSHOT_TAG_MAX + 1];
    struct snapshot_node *node;
    struct snapshot_tag *tag;
    bool waits;
    int r;

    if (!ino_is_synthetic(ino))
        return 0;
    if (ino_is_past(ino))
        return past_settle(fs, ino, name_looked_up, go, arg);
    pthread_mutex_lock(&dir->mutex);
    node = snapshot_node_find(dir, ino);
    tag = node ? node->tag : NULL;
    waits = tag && !tag->complete && !tag->gone;
    if (waits)
        memcpy(name, tag->name, sizeof(name));
    pthread_mutex_unlock(&dir->mutex);
    if (!waits)
        return 0;
    r = engine_snapshot_await(fs->engine, name, go, arg);
    if (r < 0)
        return r;
    pthread_mutex_lock(&dir->mutex);
    tag = snapshot_tag_find(dir, name);
    if (tag)
        tag->complete = true;
    pthread_mutex_unlock(&dir->mutex);
    return 0;
}

/* ---- tags: create, delete, rename ---- */

/* The directory of tags, and the tag's name: where a user may change anything at all. */
static int check_tag(
    struct fs *fs, uint64_t parent, struct bytes name, char to[SNAPSHOT_TAG_MAX + 1])
{
    if (fs->options.read_only)
        return err_new(-EROFS, "the file system is mounted read-only");
    if (parent != fs->snapshots->root->number)
        return err_new(-EROFS, "what is in a snapshot never changes");
    if (bytes_equal(name, BYTES_LITERAL(LATEST_NAME)))
        return err_new(-EPERM, "'%s' is always the newest snapshot", LATEST_NAME);
    if (!snapshot_tag_of_name(name, to))
        return err_new(-EINVAL,
            "a tag has 1 to %d of [A-Za-z0-9._:+-], the first a letter or digit", SNAPSHOT_TAG_MAX);
    return 0;
}

int snapshot_dir_mkdir(struct fs *fs, const struct fs_caller *caller, uint64_t parent,
    struct bytes name, struct fs_entry *ret_entry)
{
    char tag[SNAPSHOT_TAG_MAX + 1];
    int r = check_tag(fs, parent, name, tag);

    (void)caller; /* the kernel has checked the mode of .snapshots */
    if (r == -EPERM)
        return err_new(-EEXIST, "'%s' is always there", LATEST_NAME);
    if (r < 0)
        return r;
    r = engine_snapshot_create(fs->engine, tag);
    if (r < 0)
        return r;
    return snapshot_dir_lookup(fs, parent, name, ret_entry);
}

int snapshot_delete_locked(struct fs *fs, const char *name)
{
    struct snapshot_tag *tag = snapshot_tag_find(fs->snapshots, name);
    int r;

    if (tag && tag->open_files)
        return err_new(-EBUSY, "%" PRIu64 " files of it are open", tag->open_files);
    r = past_close_begin(fs, name);
    if (r < 0)
        return r;
    r = engine_snapshot_delete(fs->engine, name);
    past_close_end(fs, name, r == 0);
    if (r == 0 && tag)
        tag->gone = true;
    return r;
}

int snapshot_dir_rmdir(struct fs *fs, uint64_t parent, struct bytes name)
{
    char tag[SNAPSHOT_TAG_MAX + 1];
    int r = check_tag(fs, parent, name, tag);

    if (r == -EINVAL)
        return err_new(-ENOENT, "no snapshot has that name");
    if (r < 0)
        return r;
    pthread_mutex_lock(&fs->snapshots->mutex);
    r = snapshot_delete_locked(fs, tag);
    pthread_mutex_unlock(&fs->snapshots->mutex);
    return r < 0 ? err_with(r, "delete snapshot '%s'", tag) : 0;
}

int snapshot_dir_rename(struct fs *fs, uint64_t parent, struct bytes name, uint64_t new_parent,
    struct bytes new_name, unsigned flags)
{
    char from[SNAPSHOT_TAG_MAX + 1], to[SNAPSHOT_TAG_MAX + 1];
    struct snapshot_tag *tag;
    int r = check_tag(fs, parent, name, from);

    if (r == -EINVAL)
        return err_new(-ENOENT, "no snapshot has that name");
    if (r == 0)
        r = check_tag(fs, new_parent, new_name, to);
    if (r < 0)
        return r;
    if (flags & ~(unsigned)RENAME_NOREPLACE)
        return err_new(-EINVAL, "rename flags %u", flags);
    if (strcmp(from, to) == 0)
        return 0;
    pthread_mutex_lock(&fs->snapshots->mutex);
    r = past_close_begin(fs, from);
    if (r == 0) {
        r = engine_snapshot_rename(fs->engine, from, to);
        past_close_end(fs, from, r == 0);
    }
    tag = snapshot_tag_find(fs->snapshots, from);
    if (r == 0 && tag)
        snapshot_tag_rename(fs->snapshots, tag, to);
    pthread_mutex_unlock(&fs->snapshots->mutex);
    return r < 0 ? err_with(r, "rename snapshot '%s'", from) : 0;
}

/* ---- begin and end ---- */

int snapshot_dir_open(struct fs *fs)
{
    int r = snapshot_nodes_open(&fs->snapshots);

    return r < 0 || fs->options.read_only ? r : snapshot_expiry_start(fs);
}

void snapshot_dir_close(struct fs *fs)
{
    snapshot_expiry_stop(fs);
    snapshot_nodes_close(fs->snapshots);
    fs->snapshots = NULL;
}
