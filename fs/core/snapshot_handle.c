/*
 * Open files and directories under .snapshots. A file is one of the store's folder, read through
 * the env; a directory is listed as a whole when it is read from its start, so a cookie is a place.
 */
#include <errno.h>
#include <inttypes.h>

#include "core/core.h"
#include "core/snapshot_node.h"

#define SUMS_NAME "SHA256SUMS"
#define LISTING_BYTES_MAX (256u << 20)

struct listed {
    size_t offset; /* in names */
    uint64_t number;
    bool is_directory;
};

struct snapshot_handle {
    struct snapshot_node *node; /* referenced */
    bool is_directory;
    int fd; /* files */
    /* Directories: what was there when it was read from its start. */
    struct buf names; /* each with its NUL */
    struct listed *entries;
    size_t count, capacity;
    uint64_t number; /* its own st_ino */
};

static struct snapshot_handle *snapshot_handle_of(const struct fs_handle *handle)
{
    return handle->synthetic;
}

/* Makes both halves of a handle and counts it in its node. Mutex held. */
static int handle_begin(struct fs *fs, struct snapshot_node *node, int flags, bool is_directory,
    struct fs_handle **ret_handle)
{
    struct snapshot_handle *own = calloc(1, sizeof(*own));
    int r;

    if (!own)
        return -ENOMEM;
    r = handle_new(fs, NULL, node->number, flags, ret_handle);
    if (r < 0) {
        free(own);
        return r;
    }
    own->node = node;
    own->is_directory = is_directory;
    own->fd = -1;
    node->refs++;
    (*ret_handle)->synthetic = own;
    return 0;
}

static void handle_end_locked(struct fs *fs, struct fs_handle *handle)
{
    struct snapshot_handle *own = snapshot_handle_of(handle);

    if (own->fd >= 0) {
        io_close(fs->env, own->fd);
        own->node->tag->open_files--;
    }
    own->node->refs--;
    snapshot_node_settle(fs->snapshots, own->node);
    buf_release(&own->names);
    free(own->entries);
    free(own);
    handle_free(fs, handle);
}

void snapshot_dir_release(struct fs *fs, struct fs_handle *handle)
{
    pthread_mutex_lock(&fs->snapshots->mutex);
    handle_end_locked(fs, handle);
    pthread_mutex_unlock(&fs->snapshots->mutex);
}

/* ---- files ---- */

static int open_file_locked(
    struct fs *fs, uint64_t nodeid, int open_flags, struct fs_handle **ret_handle)
{
    AUTO(buf_release) struct buf path = BUF_INIT;
    struct snapshot_node *node = snapshot_node_find(fs->snapshots, nodeid);
    struct fs_handle *handle = NULL;
    struct io_stat found;
    int r, fd;

    if (!node)
        return err_new(-ESTALE, "inode %#" PRIx64, nodeid);
    if (node->kind != SNAPSHOT_INSIDE)
        return err_new(-EISDIR, "a directory of snapshots");
    if (node->tag->gone)
        return err_new(-ENOENT, "snapshot '%s' was deleted", node->tag->name);
    snapshot_node_path(node, &path);
    if (buf_error(&path) < 0)
        return buf_error(&path);
    r = io_stat(fs->env, (char *)path.data, &found);
    if (r < 0)
        return r;
    if (found.is_directory)
        return err_new(-EISDIR, "'%s'", (char *)path.data);
    r = handle_begin(fs, node, open_flags, false, &handle);
    if (r < 0)
        return r;
    r = io_open(fs->env, (char *)path.data, O_RDONLY, &fd);
    if (r < 0) {
        handle_end_locked(fs, handle);
        return r;
    }
    snapshot_handle_of(handle)->fd = fd;
    node->tag->open_files++;
    /* The sums come to be after the tag; all else never changes. */
    handle->keep_cache = !bytes_equal(node->name, BYTES_LITERAL(SUMS_NAME));
    *ret_handle = handle;
    return 0;
}

int snapshot_dir_open_file(
    struct fs *fs, uint64_t nodeid, int open_flags, struct fs_handle **ret_handle)
{
    int r;

    if ((open_flags & O_ACCMODE) != O_RDONLY || open_flags & O_TRUNC)
        return err_new(-EROFS, "what is in a snapshot never changes");
    pthread_mutex_lock(&fs->snapshots->mutex);
    r = open_file_locked(fs, nodeid, open_flags, ret_handle);
    pthread_mutex_unlock(&fs->snapshots->mutex);
    return r;
}

int snapshot_dir_read(struct fs *fs, uint64_t nodeid, struct fs_handle *handle, uint64_t offset,
    size_t size, struct buf *to)
{
    size_t before = to->size;
    int64_t count;
    uint8_t *space;

    if (!handle || !handle->synthetic || snapshot_handle_of(handle)->is_directory)
        return err_new(-EBADF, "inode %#" PRIx64 " is not open for reading", nodeid);
    space = buf_extend(to, size);
    if (!space)
        return -ENOMEM;
    /* The descriptor lives as long as the handle, so no lock is needed. */
    count = io_read(fs->env, snapshot_handle_of(handle)->fd, space, size, offset);
    to->size = before + (count > 0 ? (size_t)count : 0);
    return count < 0 ? (int)count : 0;
}

/* ---- directories ---- */

int snapshot_dir_open_directory(struct fs *fs, uint64_t nodeid, struct fs_handle **ret_handle)
{
    struct snapshot_node *node;
    int r;

    pthread_mutex_lock(&fs->snapshots->mutex);
    node = snapshot_node_find(fs->snapshots, nodeid);
    if (!node)
        r = err_new(-ESTALE, "inode %#" PRIx64, nodeid);
    else if (node->tag && node->tag->gone)
        r = err_new(-ENOENT, "snapshot '%s' was deleted", node->tag->name);
    else
        r = handle_begin(fs, node, O_RDONLY | O_DIRECTORY, true, ret_handle);
    pthread_mutex_unlock(&fs->snapshots->mutex);
    return r;
}

static int add_entry(
    struct snapshot_handle *own, const char *name, uint64_t number, bool is_directory)
{
    if (own->names.size > LISTING_BYTES_MAX)
        return err_new(-EFBIG, "a directory with more than %u bytes of names", LISTING_BYTES_MAX);
    if (own->count == own->capacity) {
        size_t capacity = own->capacity ? own->capacity * 2 : 32;
        struct listed *entries = reallocarray(own->entries, capacity, sizeof(*entries));

        if (!entries)
            return -ENOMEM;
        own->entries = entries;
        own->capacity = capacity;
    }
    own->entries[own->count++] = (struct listed){own->names.size, number, is_directory};
    buf_append(&own->names, name, strlen(name) + 1);
    return buf_error(&own->names);
}

static int entry_order(const void *a, const void *b, void *names)
{
    const struct listed *left = a, *right = b;

    return strcmp((char *)names + left->offset, (char *)names + right->offset);
}

static int add_tag(void *arg, const struct snapshot_info *info)
{
    struct snapshot_tag tag = {.point_us = info->point_us, .created_us = info->created_us};

    if (!info->complete)
        return 0;
    return add_entry(arg, info->tag, snapshot_number_inside(&tag, ""), true);
}

static int add_log(struct fs *fs, struct snapshot_handle *own)
{
    struct snapshot_tag_info info;
    struct snapshot_tag tag;
    int r = snapshot_log_info(fs, &info);

    if (r <= 0)
        return r;
    tag = (struct snapshot_tag){.point_us = info.point_us, .created_us = info.created_us};
    return add_entry(own, info.name, snapshot_number_inside(&tag, ""), true);
}

static int add_tags(struct fs *fs, struct snapshot_handle *own)
{
    int r = engine_snapshot_list(fs->engine, add_tag, own);

    own->number = snapshot_number_of_name(SNAPSHOTS_NAME);
    if (r == 0 && own->count)
        r = add_entry(own, LATEST_NAME, snapshot_number_of_name(LATEST_NAME), true);
    return r < 0 ? r : add_log(fs, own);
}

struct folder_listing {
    struct fs *fs;
    struct snapshot_handle *own;
    const struct snapshot_tag *tag;
    const char *folder; /* path in the store */
};

static int add_file(void *arg, const char *name)
{
    struct folder_listing *listing = arg;
    size_t top = snapshot_tag_path_size(listing->tag) + 1;
    AUTO(buf_release) struct buf path = BUF_INIT;
    struct io_stat found;
    int r;

    buf_append(&path, listing->folder, strlen(listing->folder));
    buf_append_u8(&path, '/');
    buf_append(&path, name, strlen(name) + 1);
    if (buf_error(&path) < 0)
        return buf_error(&path);
    r = io_stat(listing->fs->env, (char *)path.data, &found);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    return add_entry(listing->own, name,
        snapshot_number_inside(listing->tag, (char *)path.data + top), found.is_directory);
}

/* The path in the store of the directory, or of what `latest` stands for. */
static void listed_folder(
    const struct snapshot_node *node, const struct snapshot_tag *tag, struct buf *to)
{
    if (node->kind != SNAPSHOT_LATEST) {
        snapshot_node_path(node, to);
        return;
    }
    snapshot_tag_path(tag, to);
    buf_append_u8(to, 0);
}

static int add_files(struct fs *fs, struct snapshot_handle *own, const struct snapshot_tag *tag)
{
    AUTO(buf_release) struct buf folder = BUF_INIT;
    struct folder_listing listing = {fs, own, tag, NULL};
    const char *inside;

    listed_folder(own->node, tag, &folder);
    if (buf_error(&folder) < 0)
        return buf_error(&folder);
    listing.folder = (char *)folder.data;
    inside = listing.folder + snapshot_tag_path_size(tag);
    own->number = own->node->kind == SNAPSHOT_LATEST
                      ? snapshot_number_of_name(LATEST_NAME)
                      : snapshot_number_inside(tag, *inside ? inside + 1 : inside);
    return io_list(fs->env, listing.folder, add_file, &listing);
}

static int list_locked(struct fs *fs, struct snapshot_handle *own)
{
    struct snapshot_tag *tag = NULL;
    int r;

    buf_clear(&own->names);
    own->count = 0;
    if (own->node->kind == SNAPSHOT_ROOT) {
        r = add_tags(fs, own);
    } else {
        r = snapshot_tag_below(fs, own->node, &tag);
        if (r < 0)
            return r;
        r = add_files(fs, own, tag);
        snapshot_tag_settle(fs->snapshots, tag);
    }
    if (r == 0 && own->count)
        qsort_r(own->entries, own->count, sizeof(*own->entries), entry_order, own->names.data);
    return r;
}

/* One entry to `each`: 1 if it did not fit. "." and ".." are never looked up. */
static int give_dirent(struct fs *fs, struct snapshot_handle *own, uint64_t place, bool plus,
    fs_dirent_each each, void *arg)
{
    struct fs_dirent dirent = {.cookie = place + 1};
    const struct listed *listed;
    int r;

    if (place < 2) {
        dirent.name = place ? BYTES_LITERAL("..") : BYTES_LITERAL(".");
        dirent.entry.attributes.st_ino = own->number;
        dirent.entry.attributes.st_mode = S_IFDIR;
        return each(arg, &dirent) != 0;
    }
    listed = &own->entries[place - 2];
    dirent.name = bytes_of_string((char *)own->names.data + listed->offset);
    if (!plus) {
        dirent.entry.attributes.st_ino = listed->number;
        dirent.entry.attributes.st_mode = listed->is_directory ? S_IFDIR : S_IFREG;
        return each(arg, &dirent) != 0;
    }
    r = snapshot_dir_lookup(fs, own->node->number, dirent.name, &dirent.entry);
    /* Deleted since the listing was made. */
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    if (each(arg, &dirent) == 0)
        return 0;
    snapshot_dir_forget(fs, dirent.entry.nodeid, 1);
    return 1;
}

int snapshot_dir_read_directory(struct fs *fs, struct fs_handle *handle, uint64_t cookie, bool plus,
    fs_dirent_each each, void *arg)
{
    struct snapshot_handle *own = snapshot_handle_of(handle);
    int r = 0;

    if (!own->is_directory)
        return err_new(-ENOTDIR, "inode %#" PRIx64, handle->ino);
    if (cookie == 0) {
        pthread_mutex_lock(&fs->snapshots->mutex);
        r = list_locked(fs, own);
        pthread_mutex_unlock(&fs->snapshots->mutex);
        if (r < 0)
            return r;
    }
    for (uint64_t place = cookie; place < own->count + 2; place++) {
        r = give_dirent(fs, own, place, plus, each, arg);
        /* Full: the rest is for the next call. */
        if (r != 0)
            return r < 0 ? r : 0;
    }
    return 0;
}
