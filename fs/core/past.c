/*
 * .past: in every directory, one read-only directory per tag that holds the directory's files as
 * they were. Each request is handed to the tree of its tag, a file system over the tag's SSTables
 * (past_node.h), and what comes back gets numbers of its own.
 *
 * Which directory: that of the same inode number, so it may have had another name then. Where it
 * did not exist yet, its .past does not show the tag.
 */
#include "core/past.h"

#include <errno.h>
#include <inttypes.h>

#include "core/past_node.h"
#include "core/snapshot_node.h"

#define PAST_MODE (S_IFDIR | 0555)
#define TIMEOUT_S 1u /* of what goes when its tag is deleted or renamed */

static uint64_t number_in(const struct past_tree *tree, uint64_t ino)
{
    return past_number(tree->point_us, tree->created_us, ino);
}

/* ---- the directory .past ---- */

/* What it has of the live directory is its number alone. */
static int stat_list(struct fs *fs, uint64_t base, struct stat *to)
{
    struct snapshot_tag_info newest;
    int r = snapshot_tag_search(fs, NULL, &newest);

    if (r < 0)
        return r;
    *to = (struct stat){
        .st_ino = past_number(0, 0, base),
        .st_mode = PAST_MODE,
        .st_nlink = 1, /* not counted, which find(1) understands */
        .st_uid = (uint32_t)(fs->options.owner >> 32),
        .st_gid = (uint32_t)fs->options.owner,
        .st_size = 4096,
        .st_blocks = 8,
        .st_blksize = 1 << 20,
    };
    if (r > 0) {
        to->st_mtim.tv_sec = (time_t)(newest.created_us / 1000000);
        to->st_mtim.tv_nsec = (long)(newest.created_us % 1000000 * 1000);
        to->st_ctim = to->st_atim = to->st_mtim;
    }
    return 0;
}

int past_lookup_list(struct fs *fs, uint64_t base, struct fs_entry *ret_entry)
{
    struct fs_entry entry = {.entry_timeout_s = FS_TIMEOUT_FOREVER, .attribute_timeout_s = 1};
    struct node *node = NULL;
    int r =
        node_pin(fs, base, &node); /* a directory, as the kernel looks names up in nothing else */

    if (r < 0)
        return r;
    node_unpin(node);
    r = stat_list(fs, base, &entry.attributes);
    if (r == 0)
        r = past_node_look_up(fs->past, NULL, base, base, &entry.nodeid);
    if (r == 0)
        *ret_entry = entry;
    return r;
}

/* ---- lookup ---- */

/* An entry of the tree, looked up there once, as the kernel is to know it. */
static int translate(struct fs *fs, const struct past_use *use, struct fs_entry *entry)
{
    uint64_t ino = entry->nodeid;
    int r = past_node_look_up(fs->past, use->tree, use->base, ino, &entry->nodeid);

    if (r < 0) {
        fs_forget(use->tree->fs, ino, 1);
        return r;
    }
    entry->attributes.st_ino = number_in(use->tree, ino);
    return 0;
}

/* The directory `base` as it was in the tag. */
static int look_up_tag(struct fs *fs, uint64_t base, struct bytes name, struct fs_entry *ret_entry)
{
    char text[SNAPSHOT_TAG_MAX + 1];
    struct snapshot_tag_info info;
    struct past_use use;
    int r;

    if (!snapshot_tag_of_name(name, text))
        return -ENOENT;
    r = snapshot_tag_search(fs, text, &info);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    if (!info.complete)
        return -ENOENT;
    r = past_enter_tag(fs->past, &info, &use);
    if (r < 0)
        return r;
    use.base = base;
    r = node_look_up_directory(use.tree->fs, base, ret_entry);
    if (r == 0)
        r = translate(fs, &use, ret_entry);
    if (r == 0)
        ret_entry->entry_timeout_s = ret_entry->attribute_timeout_s = TIMEOUT_S;
    past_leave(fs->past, &use);
    return r;
}

int past_settle(struct fs *fs, uint64_t nodeid, struct bytes name, engine_go go, void *arg)
{
    char text[SNAPSHOT_TAG_MAX + 1];
    struct snapshot_tag_info info;
    struct past_use use;
    bool is_list;
    int r;

    if (name.size == 0)
        return 0;
    r = past_enter(fs->past, nodeid, &use);
    if (r < 0)
        return r;
    is_list = !use.tree;
    past_leave(fs->past, &use);
    if (!is_list || !snapshot_tag_of_name(name, text))
        return 0;
    r = snapshot_tag_search(fs, text, &info);
    if (r <= 0 || info.complete)
        return r < 0 ? r : 0;
    return engine_snapshot_await(fs->engine, text, go, arg);
}

int past_lookup(struct fs *fs, uint64_t parent, struct bytes name, struct fs_entry *ret_entry)
{
    struct past_use use;
    int r = past_enter(fs->past, parent, &use);

    if (r < 0)
        return r;
    if (use.tree) {
        r = fs_lookup(use.tree->fs, use.ino, name, ret_entry);
        if (r == 0)
            r = translate(fs, &use, ret_entry);
    } else {
        r = look_up_tag(fs, use.base, name, ret_entry);
        if (r == -ENOENT)
            *ret_entry = (struct fs_entry){0}; /* a tag may come */
    }
    past_leave(fs->past, &use);
    return r;
}

/* ---- attributes ---- */

int past_statx(struct fs *fs, uint64_t nodeid, struct stat *ret_attributes, int64_t *ret_birth_ns)
{
    struct past_use use;
    int r = past_enter(fs->past, nodeid, &use);

    if (r < 0)
        return r;
    if (use.tree) {
        r = fs_statx(use.tree->fs, use.ino, ret_attributes, ret_birth_ns);
        if (r >= 0)
            ret_attributes->st_ino = number_in(use.tree, use.ino);
    } else {
        r = stat_list(fs, use.base, ret_attributes);
    }
    past_leave(fs->past, &use);
    return r;
}

int past_readlink(struct fs *fs, uint64_t nodeid, struct buf *ret_target)
{
    struct past_use use;
    int r = past_enter(fs->past, nodeid, &use);

    if (r < 0)
        return r;
    r = use.tree ? fs_readlink(use.tree->fs, use.ino, ret_target) : err_new(-EINVAL, "no link");
    past_leave(fs->past, &use);
    return r;
}

int past_getxattr(struct fs *fs, uint64_t nodeid, const char *name, struct buf *ret_value)
{
    struct past_use use;
    int r = past_enter(fs->past, nodeid, &use);

    if (r < 0)
        return r;
    r = use.tree ? fs_getxattr(use.tree->fs, use.ino, name, ret_value) : -ENODATA;
    past_leave(fs->past, &use);
    return r;
}

int past_listxattr(struct fs *fs, uint64_t nodeid, bool trusted, struct buf *ret_names)
{
    struct past_use use;
    int r = past_enter(fs->past, nodeid, &use);

    if (r < 0)
        return r;
    r = use.tree ? fs_listxattr(use.tree->fs, use.ino, trusted, ret_names) : 0;
    past_leave(fs->past, &use);
    return r;
}

/* ---- files ---- */

static void count_handles(struct past *past, struct past_tree *tree, int change)
{
    pthread_mutex_lock(&past->mutex);
    tree->handles += (uint64_t)change;
    pthread_mutex_unlock(&past->mutex);
}

int past_open_file(struct fs *fs, uint64_t nodeid, int open_flags, struct fs_handle **ret_handle)
{
    struct past_use use;
    int r = past_enter(fs->past, nodeid, &use);

    if (r < 0)
        return r;
    r = use.tree ? fs_open_file(use.tree->fs, NULL, use.ino, open_flags, ret_handle)
                 : err_new(-EISDIR, "a directory of snapshots");
    if (r == 0)
        count_handles(fs->past, use.tree, 1);
    past_leave(fs->past, &use);
    return r;
}

int past_read(struct fs *fs, uint64_t nodeid, struct fs_handle *handle, uint64_t offset,
    size_t size, struct buf *to)
{
    struct past_use use;
    int r = past_enter(fs->past, nodeid, &use);

    if (r < 0)
        return r;
    r = use.tree ? fs_read(use.tree->fs, use.ino, handle, offset, size, to)
                 : err_new(-EISDIR, "a directory of snapshots");
    past_leave(fs->past, &use);
    return r;
}

int past_seek(struct fs *fs, uint64_t nodeid, uint64_t offset, int whence, uint64_t *ret_offset,
    struct fs_hole *ret_hole)
{
    struct past_use use;
    int r = past_enter(fs->past, nodeid, &use);

    if (r < 0)
        return r;
    r = use.tree ? fs_seek(use.tree->fs, use.ino, offset, whence, ret_offset, ret_hole)
                 : err_new(-EISDIR, "a directory of snapshots");
    past_leave(fs->past, &use);
    return r;
}

void past_release(struct fs *fs, uint64_t nodeid, struct fs_handle *handle)
{
    struct past_use use;

    /* It cannot fail: the kernel keeps what is open, and a tag with an open file stays. */
    if (past_enter(fs->past, nodeid, &use) < 0)
        return;
    fs_release(use.tree->fs, use.ino, handle);
    count_handles(fs->past, use.tree, -1);
    past_leave(fs->past, &use);
}

/* ---- directories ---- */

struct listed_tag {
    size_t offset; /* in names */
    uint64_t number;
};

/* What is open: a directory of a tree, or the tags as they were when it was read from its start. */
struct past_directory {
    struct fs_handle *inner; /* NULL: a `.past` */
    struct buf names;        /* each with its NUL */
    struct buf tags;         /* struct listed_tag each */
};

int past_open_directory(struct fs *fs, uint64_t nodeid, struct fs_handle **ret_handle)
{
    struct past_directory *own = calloc(1, sizeof(*own));
    struct past_use use;
    int r = own ? past_enter(fs->past, nodeid, &use) : -ENOMEM;

    if (r < 0) {
        free(own);
        return r;
    }
    r = handle_new(fs, NULL, nodeid, O_RDONLY | O_DIRECTORY, ret_handle);
    if (r == 0 && use.tree) {
        r = fs_open_directory(use.tree->fs, use.ino, &own->inner);
        if (r < 0)
            handle_free(fs, *ret_handle);
        else
            count_handles(fs->past, use.tree, 1);
    }
    if (r == 0)
        (*ret_handle)->synthetic = own;
    else
        free(own);
    past_leave(fs->past, &use);
    return r;
}

void past_release_directory(struct fs *fs, struct fs_handle *handle)
{
    struct past_directory *own = handle->synthetic;
    struct past_use use;

    if (own->inner && past_enter(fs->past, handle->ino, &use) == 0) {
        fs_release_directory(use.tree->fs, own->inner);
        count_handles(fs->past, use.tree, -1);
        past_leave(fs->past, &use);
    }
    buf_release(&own->names);
    buf_release(&own->tags);
    free(own);
    handle_free(fs, handle);
}

struct tag_listing {
    struct fs *fs;
    struct past_directory *own;
    uint64_t base;
};

static int base_exists(const struct tag_listing *listing, const struct snapshot_tag_info *info)
{
    struct past_use use;
    int r;

    if (listing->base == FS_ROOT_INO)
        return 1;
    r = past_enter_tag(listing->fs->past, info, &use);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    r = node_directory_exists(use.tree->fs, listing->base);
    past_leave(listing->fs->past, &use);
    return r;
}

static int list_tag(void *arg, const struct snapshot_info *from)
{
    struct tag_listing *listing = arg;
    struct past_directory *own = listing->own;
    struct snapshot_tag_info info;
    struct listed_tag tag = {.offset = own->names.size};
    int r;

    snapshot_tag_info_take(&info, from);
    r = info.complete ? base_exists(listing, &info) : 0;
    if (r <= 0)
        return r;
    tag.number = past_number(info.point_us, info.created_us, listing->base);
    buf_append(&own->names, info.name, strlen(info.name) + 1);
    buf_append(&own->tags, &tag, sizeof(tag));
    return buf_error(&own->names) < 0 ? buf_error(&own->names) : buf_error(&own->tags);
}

/* One of ".", ".." and the tags; 1: it did not fit. */
static int give_tag(struct tag_listing *listing, uint64_t nodeid, uint64_t place, bool plus,
    fs_dirent_each each, void *arg)
{
    struct past_directory *own = listing->own;
    struct fs_dirent dirent = {.cookie = place + 1};
    struct listed_tag tag;
    int r;

    dirent.entry.attributes.st_mode = S_IFDIR;
    if (place < 2) {
        dirent.name = place ? BYTES_LITERAL("..") : BYTES_LITERAL(".");
        dirent.entry.attributes.st_ino = place ? listing->base : past_number(0, 0, listing->base);
        return each(arg, &dirent) != 0;
    }
    memcpy(&tag, own->tags.data + (place - 2) * sizeof(tag), sizeof(tag));
    dirent.name = bytes_of_string((char *)own->names.data + tag.offset);
    dirent.entry.attributes.st_ino = tag.number;
    if (!plus)
        return each(arg, &dirent) != 0;
    r = past_lookup(listing->fs, nodeid, dirent.name, &dirent.entry);
    if (r < 0)
        return r == -ENOENT ? 0 : r; /* deleted since the listing was made */
    if (each(arg, &dirent) == 0)
        return 0;
    past_node_forget(listing->fs->past, dirent.entry.nodeid, 1);
    return 1;
}

static int read_tags(struct fs *fs, struct fs_handle *handle, uint64_t base, uint64_t cookie,
    bool plus, fs_dirent_each each, void *arg)
{
    struct past_directory *own = handle->synthetic;
    struct tag_listing listing = {fs, own, base};
    int r = 0;

    if (cookie == 0) {
        buf_clear(&own->names);
        buf_clear(&own->tags);
        r = engine_snapshot_list(fs->engine, list_tag, &listing);
    }
    for (uint64_t place = cookie; r == 0 && place < 2 + own->tags.size / sizeof(struct listed_tag);
         place++)
        r = give_tag(&listing, handle->ino, place, plus, each, arg);
    return r < 0 ? r : 0;
}

struct past_listing {
    struct fs *fs;
    const struct past_use *use;
    fs_dirent_each each;
    void *arg;
};

static int give_dirent(void *arg, const struct fs_dirent *from)
{
    struct past_listing *listing = arg;
    struct past_tree *tree = listing->use->tree;
    struct past *past = listing->fs->past;
    struct fs_dirent dirent = *from;
    uint64_t ino = from->entry.nodeid; /* 0: by number and type alone */
    int r;

    if (ino != 0 &&
        past_node_look_up(past, tree, listing->use->base, ino, &dirent.entry.nodeid) < 0)
        dirent.entry.nodeid = 0;
    dirent.entry.attributes.st_ino = number_in(tree, from->entry.attributes.st_ino);
    r = listing->each(listing->arg, &dirent);
    /* The tree has counted a lookup of what was taken, and takes back that of what was not. */
    if (r != 0 && dirent.entry.nodeid != 0)
        past_node_take_back(past, dirent.entry.nodeid);
    else if (r == 0 && dirent.entry.nodeid == 0 && ino != 0)
        fs_forget(tree->fs, ino, 1);
    return r;
}

int past_read_directory(struct fs *fs, struct fs_handle *handle, uint64_t cookie, bool plus,
    fs_dirent_each each, void *arg)
{
    struct past_directory *own = handle->synthetic;
    struct past_use use;
    struct past_listing listing = {fs, &use, each, arg};
    int r = past_enter(fs->past, handle->ino, &use);

    if (r < 0)
        return r;
    if (own->inner)
        r = fs_read_directory(use.tree->fs, own->inner, cookie, plus, give_dirent, &listing);
    else
        r = read_tags(fs, handle, use.base, cookie, plus, each, arg);
    past_leave(fs->past, &use);
    return r;
}
