#include "core/info.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#include "core/tables.h"
#include "engine/assert.h"

#define DIRECTORY_NODEID (INO_SYNTHETIC_BIT | INO_INFO_BIT)
#define DIRECTORY_MODE (S_IFDIR | 0550)
#define FILE_MODE (S_IFREG | 0440) /* names of files and of the store are not everybody's */

/* The directory's number is followed by those of its files. */
static uint64_t nodeid_of_place(unsigned place)
{
    return DIRECTORY_NODEID + 1 + place;
}

/* NULL: the directory, or no inode at all. */
static const struct fs_info_file *file_of(const struct fs *fs, uint64_t nodeid)
{
    uint64_t place = nodeid - DIRECTORY_NODEID - 1;

    return nodeid > DIRECTORY_NODEID && place < fs->info.count ? &fs->info.files[place] : NULL;
}

void fs_set_info(struct fs *fs, const struct fs_info_file *files, unsigned count, void *arg)
{
    fs->info.files = files;
    fs->info.count = count;
    fs->info.arg = arg;
}

/* ---- names and attributes ---- */

int info_getattr(struct fs *fs, uint64_t nodeid, struct stat *ret_attributes)
{
    bool is_directory = nodeid == DIRECTORY_NODEID;
    int64_t now_ns = core_now_ns(fs);
    struct stat to = {
        .st_ino = nodeid,
        .st_mode = is_directory ? DIRECTORY_MODE : FILE_MODE,
        .st_nlink = 1, /* of the directory: not counted, which find(1) understands */
        .st_uid = (uint32_t)(fs->options.owner >> 32),
        .st_gid = (uint32_t)fs->options.owner,
        .st_blksize = 1 << 20,
    };

    if (!is_directory && !file_of(fs, nodeid))
        return err_new(-ESTALE, "inode %#" PRIx64, nodeid);
    to.st_mtim.tv_sec = (time_t)(now_ns / 1000000000);
    to.st_mtim.tv_nsec = (long)(now_ns % 1000000000);
    to.st_ctim = to.st_atim = to.st_mtim;
    *ret_attributes = to;
    return 0;
}

static int look_up(struct fs *fs, uint64_t nodeid, struct fs_entry *ret_entry)
{
    *ret_entry = (struct fs_entry){
        .nodeid = nodeid, .entry_timeout_s = FS_TIMEOUT_FOREVER, .attribute_timeout_s = 1};
    return info_getattr(fs, nodeid, &ret_entry->attributes);
}

int info_lookup_root(struct fs *fs, struct fs_entry *ret_entry)
{
    return fs->info.count > 0 ? look_up(fs, DIRECTORY_NODEID, ret_entry) : -ENOENT;
}

int info_lookup(struct fs *fs, uint64_t parent, struct bytes name, struct fs_entry *ret_entry)
{
    if (parent != DIRECTORY_NODEID)
        return err_new(-ENOTDIR, "a file about the mount");
    for (unsigned i = 0; i < fs->info.count; i++)
        if (bytes_equal(name, bytes_of_string(fs->info.files[i].name)))
            return look_up(fs, nodeid_of_place(i), ret_entry);
    return -ENOENT;
}

/* ---- files ---- */

static struct buf *text_of(const struct fs_handle *handle)
{
    ASSERT(handle->synthetic);
    return handle->synthetic;
}

int info_open_file(struct fs *fs, uint64_t nodeid, int open_flags, struct fs_handle **ret_handle)
{
    const struct fs_info_file *file = file_of(fs, nodeid);
    struct fs_handle *handle;
    int r;

    if (!file)
        return err_new(-EISDIR, "no file about the mount");
    if ((open_flags & O_ACCMODE) != O_RDONLY || open_flags & O_TRUNC)
        return err_new(-EROFS, "what is told of the mount is not written");
    r = handle_new(fs, NULL, nodeid, open_flags, &handle);
    if (r < 0)
        return r;
    handle->keep_cache = false;
    handle->is_direct = true;
    handle->synthetic = calloc(1, sizeof(struct buf));
    r = handle->synthetic ? file->make(fs->info.arg, handle->synthetic) : -ENOMEM;
    if (r == 0)
        r = buf_error(handle->synthetic);
    if (r < 0) {
        info_release(fs, handle);
        return err_with(r, "make the text of '%s'", file->name);
    }
    *ret_handle = handle;
    return 0;
}

int info_read(const struct fs_handle *handle, uint64_t offset, size_t size, struct buf *to)
{
    const struct buf *text = text_of(handle);

    if (offset >= text->size)
        return 0;
    if (size > text->size - offset)
        size = text->size - offset;
    buf_append(to, text->data + offset, size);
    return buf_error(to);
}

void info_release(struct fs *fs, struct fs_handle *handle)
{
    if (handle->synthetic)
        buf_release(handle->synthetic);
    free(handle->synthetic);
    handle_free(fs, handle);
}

/* ---- the directory ---- */

int info_open_directory(struct fs *fs, uint64_t nodeid, struct fs_handle **ret_handle)
{
    if (nodeid != DIRECTORY_NODEID)
        return err_new(-ENOTDIR, "a file about the mount");
    return handle_new(fs, NULL, nodeid, O_RDONLY | O_DIRECTORY, ret_handle);
}

int info_read_directory(struct fs *fs, const struct fs_handle *handle, uint64_t cookie, bool plus,
    fs_dirent_each each, void *arg)
{
    for (uint64_t place = cookie; place < 2 + fs->info.count; place++) {
        struct fs_dirent dirent = {.cookie = place + 1};
        int r = 0;

        if (place < 2) {
            dirent.name = place ? BYTES_LITERAL("..") : BYTES_LITERAL(".");
            dirent.entry.attributes.st_mode = S_IFDIR;
            dirent.entry.attributes.st_ino = place ? FS_ROOT_INO : handle->ino;
        } else {
            unsigned file = (unsigned)place - 2;

            dirent.name = bytes_of_string(fs->info.files[file].name);
            dirent.entry.attributes.st_mode = FILE_MODE;
            dirent.entry.attributes.st_ino = nodeid_of_place(file);
            if (plus)
                r = look_up(fs, nodeid_of_place(file), &dirent.entry);
        }
        if (r < 0)
            return r;
        if (each(arg, &dirent) != 0)
            break;
    }
    return 0;
}
