/*
 * Open files and their data.
 */
#include "fuse/request.h"
#include "fuse/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

static struct fs_handle *handle_of(const struct fuse_file_info *file)
{
    return file ? (struct fs_handle *)(uintptr_t)file->fh : NULL;
}

static struct request *request_on_file(
    fuse_req_t fuse, const struct request_type *type, fuse_ino_t ino, struct fuse_file_info *file)
{
    struct request *request = request_new(fuse, type, ino);

    if (request && file)
        request->file = *file;
    return request;
}

/* ---- open, release ---- */

static int run_open(struct request *request)
{
    int flags = request->file.flags | (request->kills_suid ? FS_OPEN_KILL_SUID : 0);
    int r = fs_open_file(request->session->fs, request->type->changes ? &request->change : NULL,
        request->ino, flags, &request->handle);

    if (r >= 0) {
        request->file.keep_cache = fs_handle_keep_cache(request->handle);
        request->file.direct_io = fs_handle_is_direct(request->handle);
    }
    return r;
}

static void undo_open(struct request *request)
{
    fs_release(request->session->fs, request->ino, request->handle);
}

void op_open(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *file)
{
    static const struct request_type open_type = {
        .operation = OPERATION_OPEN, .run = run_open, .reply = reply_open, .undo = undo_open};
    static const struct request_type truncate_type = {.operation = OPERATION_OPEN,
        .changes = true,
        .table = TABLE_DIRENTS,
        .run = run_open,
        .reply = reply_open,
        .undo = undo_open};
    bool truncates = file->flags & O_TRUNC;
    struct request *request =
        request_on_file(fuse, truncates ? &truncate_type : &open_type, ino, file);

    if (!request)
        return;
    request->reclaims = truncates;
    request->kills_suid = truncates && shim_kills_suid();
    request_start(request);
}

void op_release(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *file)
{
    struct session *session = fuse_req_userdata(fuse);

    fs_release(session->fs, ino, handle_of(file));
    fuse_reply_err(fuse, 0);
}

/* ---- data ---- */

static int run_read(struct request *request)
{
    return fs_read(request->session->fs, request->ino, handle_of(&request->file), request->offset,
        request->size, &request->answer);
}

void op_read(
    fuse_req_t fuse, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *file)
{
    static const struct request_type type = {
        .operation = OPERATION_READ, .run = run_read, .reply = reply_answer};
    struct request *request = request_on_file(fuse, &type, ino, file);

    if (!request)
        return;
    request->size = size;
    request->offset = (uint64_t)offset;
    request_start(request);
}

static int run_write(struct request *request)
{
    struct fs *fs = request->session->fs;

    /* By inode, not by handle: pages of a mapping are written back after its close, too. */
    if (request->piece_count == 0)
        return fs_write(fs, &request->change, request->ino, request->data, request->offset,
            request->kills_suid);
    return fs_write_pieces(fs, &request->change, request->ino, request->pieces,
        request->piece_count, request->offset, request->kills_suid);
}

static int reply_written(struct request *request)
{
    return fuse_reply_write(request->fuse, request->size);
}

void op_write(fuse_req_t fuse, fuse_ino_t ino, const char *data, size_t size, off_t offset,
    struct fuse_file_info *file)
{
    static const struct request_type small_type = {.operation = OPERATION_WRITE,
        .changes = true,
        .table = TABLE_SMALL,
        .run = run_write,
        .reply = reply_written};
    static const struct request_type blocks_type = {.operation = OPERATION_WRITE,
        .changes = true,
        .table = TABLE_BLOCKS,
        .run = run_write,
        .reply = reply_written};
    bool is_small = (uint64_t)offset + size <= FS_SMALL_BYTES_MAX;
    struct request *request =
        request_on_file(fuse, is_small ? &small_type : &blocks_type, ino, file);

    if (!request)
        return;
    request->piece_count = shim_take_payload(request->pieces);
    request->payload = fs_pieces_memory(request->pieces, request->piece_count);
    if (request->piece_count == 0)
        request->data = bytes_of(data, size);
    request->size = size;
    request->offset = (uint64_t)offset;
    request->kills_suid = shim_kills_suid();
    request_start(request);
}

/* Of these requests the kernel does not tell, as of a write, whether the caller may keep the bits
 * (CAP_FSETID): that it is root is an approximation. */
static bool caller_loses_suid(const struct request *request)
{
    return request->caller.uid != 0;
}

/* Read and written here, so that the payload does not go through the kernel. As a copy that the
 * kernel makes it is no snapshot of the source; and as any write(2) it may be short. */
static int run_copy(struct request *request)
{
    struct fs *fs = request->session->fs;
    int r = fs_read(fs, request->from_ino, request->handle, request->from_offset, request->payload,
        &request->answer);

    if (r < 0)
        return r;
    request->data = buf_bytes(&request->answer);
    request->size = request->data.size;
    return fs_write(
        fs, &request->change, request->ino, request->data, request->offset, request->kills_suid);
}

void op_copy_file_range(fuse_req_t fuse, fuse_ino_t from_ino, off_t from_offset,
    struct fuse_file_info *from_file, fuse_ino_t ino, off_t offset, struct fuse_file_info *file,
    size_t size, int flags)
{
    static const struct request_type type = {.operation = OPERATION_COPY_FILE_RANGE,
        .changes = true,
        .table = TABLE_BLOCKS,
        .run = run_copy,
        .reply = reply_written};
    struct request *request;

    (void)flags; /* none is defined */
    request = request_on_file(fuse, &type, ino, file);
    if (!request)
        return;
    request->from_ino = from_ino;
    request->from_offset = (uint64_t)from_offset;
    request->handle = handle_of(from_file);
    request->offset = (uint64_t)offset;
    request->payload = size < FS_WRITE_BYTES_MAX ? size : FS_WRITE_BYTES_MAX;
    request->kills_suid = caller_loses_suid(request);
    request_start(request);
}

static int run_fallocate(struct request *request)
{
    return fs_fallocate(request->session->fs, &request->change, request->ino, (int)request->mode,
        request->offset, request->size, request->kills_suid);
}

void op_fallocate(fuse_req_t fuse, fuse_ino_t ino, int mode, off_t offset, off_t size,
    struct fuse_file_info *file)
{
    static const struct request_type type = {.operation = OPERATION_FALLOCATE,
        .changes = true,
        .table = TABLE_BLOCKS,
        .run = run_fallocate,
        .reply = reply_done};
    struct request *request = request_on_file(fuse, &type, ino, file);

    if (!request)
        return;
    request->mode = (uint32_t)mode;
    request->offset = (uint64_t)offset;
    request->size = (uint64_t)size;
    request->reclaims = mode & FALLOC_FL_PUNCH_HOLE;
    request->kills_suid = caller_loses_suid(request);
    request_start(request);
}

/* Holes that are doubtful are data. */
static int answer_without_holes(struct request *request, const struct fs_hole *hole)
{
    request->position = request->flags == SEEK_DATA ? request->offset : hole->file_size;
    return 0;
}

/*
 * Has the kernel write back what mappings have put into the hole, and forget its pages, so that
 * nobody writes there again without a READ. It waits for WRITE requests of its own, which the other
 * workers serve: so this is done by one at a time.
 */
static bool write_back(struct session *session, uint64_t ino, const struct fs_hole *hole)
{
    int r;

    if (atomic_exchange(&session->is_writing_back, true))
        return false;
    r = fuse_lowlevel_notify_inval_inode(
        session->fuse, ino, (off_t)hole->start, (off_t)(hole->end - hole->start));
    atomic_store(&session->is_writing_back, false);
    return r == 0;
}

/* Asks again after each hole that was written back; what is found then is true, or lies behind. */
static int run_lseek(struct request *request)
{
    struct session *session = request->session;
    uint64_t certain = 0; /* there is no doubt of holes before this */
    struct fs_hole hole;
    bool is_certain;
    int r;

    for (;;) {
        r = fs_seek(
            session->fs, request->ino, request->offset, request->flags, &request->position, &hole);
        is_certain = request->flags == SEEK_DATA ? hole.end <= certain : hole.start < certain;
        if (hole.start == hole.end || is_certain)
            return r;
        if (!write_back(session, request->ino, &hole))
            return answer_without_holes(request, &hole);
        certain = hole.end;
    }
}

static int reply_lseek(struct request *request)
{
    return fuse_reply_lseek(request->fuse, (off_t)request->position);
}

void op_lseek(
    fuse_req_t fuse, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *file)
{
    static const struct request_type type = {
        .operation = OPERATION_LSEEK, .run = run_lseek, .reply = reply_lseek};
    struct request *request;

    if (offset < 0) {
        fuse_reply_err(fuse, ENXIO);
        return;
    }
    request = request_on_file(fuse, &type, ino, file);
    if (!request)
        return;
    request->offset = (uint64_t)offset;
    request->flags = whence;
    request_start(request);
}

/* ---- fsync, of files and of directories ---- */

static int run_fsync(struct request *request)
{
    return fs_sync(request->session->fs, request->ino, request_resume, request);
}

void op_fsync(fuse_req_t fuse, fuse_ino_t ino, int datasync, struct fuse_file_info *file)
{
    static const struct request_type type = {
        .operation = OPERATION_FSYNC, .run = run_fsync, .reply = reply_done};
    struct request *request = request_on_file(fuse, &type, ino, file);

    /* The log has data and attributes in one record: there is no cheaper half. */
    (void)datasync;
    if (request)
        request_start(request);
}
