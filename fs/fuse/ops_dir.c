/*
 * Open directories.
 */
#include "fuse/request.h"

#include <errno.h>

#include "engine/buf.h"

static int run_opendir(struct request *request)
{
    return fs_open_directory(request->session->fs, request->ino, &request->handle);
}

static void undo_opendir(struct request *request)
{
    fs_release_directory(request->session->fs, request->handle);
}

void op_opendir(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *file)
{
    static const struct request_type type = {.operation = OPERATION_OPENDIR,
        .run = run_opendir,
        .reply = reply_open,
        .undo = undo_opendir};
    struct request *request = request_new(fuse, &type, ino);

    if (!request)
        return;
    request->file = *file;
    request_start(request);
}

void op_releasedir(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *file)
{
    struct session *session = fuse_req_userdata(fuse);

    (void)ino;
    fs_release_directory(session->fs, (struct fs_handle *)(uintptr_t)file->fh);
    fuse_reply_err(fuse, 0);
}

/* ---- listing ---- */

/* Room that is left for the entries of one reply. */
static size_t room(const struct request *request)
{
    return request->size - request->answer.size;
}

/* fuse_add_direntry() wants a terminated name. False: the name is none that we ever stored. */
static bool terminate(struct bytes name, char to[FS_NAME_MAX + 1])
{
    if (name.size > FS_NAME_MAX)
        return false;
    memcpy(to, name.data, name.size);
    to[name.size] = '\0';
    return true;
}

static int add_entry(void *arg, const struct fs_dirent *dirent)
{
    struct request *request = arg;
    char *to = (char *)request->answer.data + request->answer.size;
    char name[FS_NAME_MAX + 1];
    size_t size;

    if (!terminate(dirent->name, name))
        return -EUCLEAN;
    size = fuse_add_direntry(
        request->fuse, to, room(request), name, &dirent->entry.attributes, (off_t)dirent->cookie);
    if (size > room(request))
        return 1;
    request->answer.size += size;
    return 0;
}

static int add_entry_plus(void *arg, const struct fs_dirent *dirent)
{
    struct request *request = arg;
    const struct fs_entry *entry = &dirent->entry;
    char *to = (char *)request->answer.data + request->answer.size;
    struct fuse_entry_param param = {.ino = entry->nodeid,
        .attr = entry->attributes,
        .attr_timeout = entry->attribute_timeout_s,
        .entry_timeout = entry->entry_timeout_s};
    char name[FS_NAME_MAX + 1];
    bool is_dot;
    size_t size;

    if (!terminate(dirent->name, name))
        return -EUCLEAN;
    /* "." and "..": the kernel takes no reference, so it is given no node. */
    is_dot = strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
    if (is_dot)
        param.ino = 0;
    size = fuse_add_direntry_plus(
        request->fuse, to, room(request), name, &param, (off_t)dirent->cookie);
    if (size > room(request))
        return 1;
    if (param.ino) {
        buf_append(&request->counted, &param.ino, sizeof(param.ino));
        if (buf_error(&request->counted) < 0)
            return 1;
    }
    request->answer.size += size;
    return 0;
}

static void undo_listing(struct request *request)
{
    for (size_t i = 0; i < request->counted.size; i += sizeof(fuse_ino_t)) {
        fuse_ino_t nodeid;

        memcpy(&nodeid, request->counted.data + i, sizeof(nodeid));
        fs_forget(request->session->fs, nodeid, 1);
    }
}

static int list(struct request *request, bool plus)
{
    int r;

    if (!buf_extend(&request->answer, request->size))
        return -ENOMEM;
    request->answer.size = 0;
    r = fs_read_directory(request->session->fs, (struct fs_handle *)(uintptr_t)request->file.fh,
        request->offset, plus, plus ? add_entry_plus : add_entry, request);
    /* What was counted before the failure is known to nobody. */
    if (r < 0)
        undo_listing(request);
    return r < 0 ? r : 0;
}

static int run_readdir(struct request *request)
{
    return list(request, false);
}

static int run_readdirplus(struct request *request)
{
    return list(request, true);
}

static void start_listing(fuse_req_t fuse, const struct request_type *type, fuse_ino_t ino,
    size_t size, off_t offset, const struct fuse_file_info *file)
{
    struct request *request = request_new(fuse, type, ino);

    if (!request)
        return;
    request->file = *file;
    request->size = size;
    request->offset = (uint64_t)offset;
    request_start(request);
}

void op_readdir(
    fuse_req_t fuse, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *file)
{
    static const struct request_type type = {
        .operation = OPERATION_READDIR, .run = run_readdir, .reply = reply_answer};

    start_listing(fuse, &type, ino, size, offset, file);
}

void op_readdirplus(
    fuse_req_t fuse, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *file)
{
    static const struct request_type type = {.operation = OPERATION_READDIRPLUS,
        .run = run_readdirplus,
        .reply = reply_answer,
        .undo = undo_listing};

    start_listing(fuse, &type, ino, size, offset, file);
}
