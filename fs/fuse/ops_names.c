/*
 * Names: lookup, and what makes, moves and removes them.
 */
#include "fuse/request.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>

static struct request *request_named(
    fuse_req_t fuse, const struct request_type *type, fuse_ino_t parent, const char *name)
{
    struct request *request = request_new(fuse, type, parent);

    if (request) {
        request->name = bytes_of_string(name);
        request->change.synchronous = type->changes && request->session->options.synchronous_names;
    }
    return request;
}

/* ---- lookup ---- */

static int run_lookup(struct request *request)
{
    int r = fs_lookup(request->session->fs, request->ino, request->name, &request->entry);

    if (r == -ENOENT && request->entry.entry_timeout_s > 0) {
        /* Node 0: the kernel remembers that there is none, and does not ask again. */
        request->entry.nodeid = 0;
        return 0;
    }
    return r;
}

void op_lookup(fuse_req_t fuse, fuse_ino_t parent, const char *name)
{
    static const struct request_type type = {
        .operation = OPERATION_LOOKUP, .run = run_lookup, .reply = reply_entry, .undo = undo_entry};
    struct request *request = request_named(fuse, &type, parent, name);

    if (request)
        request_start(request);
}

/* ---- making ---- */

static int run_mknod(struct request *request)
{
    return fs_mknod(request->session->fs, &request->change, &request->caller, request->ino,
        request->name, request->mode, request->rdev, &request->entry);
}

void op_mknod(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    static const struct request_type type = {.operation = OPERATION_MKNOD,
        .changes = true,
        .table = TABLE_DIRENTS,
        .run = run_mknod,
        .reply = reply_entry,
        .undo = undo_entry};
    struct request *request = request_named(fuse, &type, parent, name);

    if (!request)
        return;
    request->mode = mode;
    request->rdev = rdev;
    request_start(request);
}

static int run_mkdir(struct request *request)
{
    return fs_mkdir(request->session->fs, &request->change, &request->caller, request->ino,
        request->name, request->mode, &request->entry);
}

void op_mkdir(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode)
{
    static const struct request_type type = {.operation = OPERATION_MKDIR,
        .changes = true,
        .table = TABLE_DIRENTS,
        .run = run_mkdir,
        .reply = reply_entry,
        .undo = undo_entry};
    struct request *request = request_named(fuse, &type, parent, name);

    if (!request)
        return;
    request->mode = mode;
    request_start(request);
}

static int run_symlink(struct request *request)
{
    return fs_symlink(request->session->fs, &request->change, &request->caller, request->ino,
        request->name, request->data, &request->entry);
}

void op_symlink(fuse_req_t fuse, const char *target, fuse_ino_t parent, const char *name)
{
    static const struct request_type type = {.operation = OPERATION_SYMLINK,
        .changes = true,
        .table = TABLE_DIRENTS,
        .run = run_symlink,
        .reply = reply_entry,
        .undo = undo_entry};
    struct request *request = request_named(fuse, &type, parent, name);

    if (!request)
        return;
    request->data = bytes_of_string(target);
    request_start(request);
}

static int run_link(struct request *request)
{
    return fs_link(request->session->fs, &request->change, request->ino, request->new_parent,
        request->name, &request->entry);
}

void op_link(fuse_req_t fuse, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    static const struct request_type type = {.operation = OPERATION_LINK,
        .changes = true,
        .table = TABLE_DIRENTS,
        .run = run_link,
        .reply = reply_entry,
        .undo = undo_entry};
    struct request *request = request_named(fuse, &type, ino, name);

    if (!request)
        return;
    request->new_parent = parent;
    request_start(request);
}

static int run_create(struct request *request)
{
    return fs_create(request->session->fs, &request->change, &request->caller, request->ino,
        request->name, request->mode, request->file.flags, &request->entry, &request->handle);
}

static int run_tmpfile(struct request *request)
{
    return fs_tmpfile(request->session->fs, &request->change, &request->caller, request->ino,
        request->mode, request->file.flags, &request->entry, &request->handle);
}

/* TMPFILE comes as a CREATE, too (shim.c), and its name means nothing. */
void op_create(
    fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *file)
{
    static const struct request_type type = {.operation = OPERATION_CREATE,
        .changes = true,
        .table = TABLE_DIRENTS,
        .run = run_create,
        .reply = reply_entry,
        .undo = undo_entry};
    static const struct request_type without_name = {.operation = OPERATION_TMPFILE,
        .changes = true,
        .table = TABLE_META,
        .run = run_tmpfile,
        .reply = reply_entry,
        .undo = undo_entry};
    bool is_named = (file->flags & O_TMPFILE) != O_TMPFILE;
    struct request *request = request_named(fuse, is_named ? &type : &without_name, parent, name);

    if (!request)
        return;
    request->mode = mode;
    request->file = *file;
    request_start(request);
}

/* ---- removing and moving ---- */

static int run_unlink(struct request *request)
{
    return fs_unlink(request->session->fs, &request->change, request->ino, request->name);
}

void op_unlink(fuse_req_t fuse, fuse_ino_t parent, const char *name)
{
    static const struct request_type type = {.operation = OPERATION_UNLINK,
        .changes = true,
        .table = TABLE_DIRENTS,
        .run = run_unlink,
        .reply = reply_done};
    struct request *request = request_named(fuse, &type, parent, name);

    if (!request)
        return;
    request->reclaims = true;
    request_start(request);
}

static int run_rmdir(struct request *request)
{
    return fs_rmdir(request->session->fs, &request->change, request->ino, request->name);
}

void op_rmdir(fuse_req_t fuse, fuse_ino_t parent, const char *name)
{
    static const struct request_type type = {.operation = OPERATION_RMDIR,
        .changes = true,
        .table = TABLE_DIRENTS,
        .run = run_rmdir,
        .reply = reply_done};
    struct request *request = request_named(fuse, &type, parent, name);

    if (!request)
        return;
    request->reclaims = true;
    request_start(request);
}

static int run_rename(struct request *request)
{
    return fs_rename(request->session->fs, &request->change, request->ino, request->name,
        request->new_parent, request->new_name, (unsigned)request->flags);
}

void op_rename(fuse_req_t fuse, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
    const char *new_name, unsigned flags)
{
    static const struct request_type type = {.operation = OPERATION_RENAME,
        .changes = true,
        .table = TABLE_DIRENTS,
        .run = run_rename,
        .reply = reply_done};
    struct request *request = request_named(fuse, &type, parent, name);

    if (!request)
        return;
    request->new_parent = new_parent;
    request->new_name = bytes_of_string(new_name);
    request->flags = (int)flags;
    request_start(request);
}
