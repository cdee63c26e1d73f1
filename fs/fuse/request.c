#include "fuse/request.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "engine/assert.h"
#include "engine/buf.h"
#include "engine/error.h"
#include "engine/log.h"

/* Who comes second, the worker that has copied the arguments or the callback, goes on. */
enum handover { HANDOVER_NONE, HANDOVER_KEPT, HANDOVER_ARRIVED };

const char *session_operation_name(enum session_operation operation)
{
    static const char *const names[] = {
        [OPERATION_COPY_FILE_RANGE] = "copy_file_range",
        [OPERATION_CREATE] = "create",
        [OPERATION_FALLOCATE] = "fallocate",
        [OPERATION_FSYNC] = "fsync",
        [OPERATION_GETATTR] = "getattr",
        [OPERATION_GETXATTR] = "getxattr",
        [OPERATION_LINK] = "link",
        [OPERATION_LISTXATTR] = "listxattr",
        [OPERATION_LOOKUP] = "lookup",
        [OPERATION_LSEEK] = "lseek",
        [OPERATION_MKDIR] = "mkdir",
        [OPERATION_MKNOD] = "mknod",
        [OPERATION_OPEN] = "open",
        [OPERATION_OPENDIR] = "opendir",
        [OPERATION_READ] = "read",
        [OPERATION_READDIR] = "readdir",
        [OPERATION_READDIRPLUS] = "readdirplus",
        [OPERATION_READLINK] = "readlink",
        [OPERATION_REMOVEXATTR] = "removexattr",
        [OPERATION_RENAME] = "rename",
        [OPERATION_RMDIR] = "rmdir",
        [OPERATION_SETATTR] = "setattr",
        [OPERATION_SETXATTR] = "setxattr",
        [OPERATION_SYMLINK] = "symlink",
        [OPERATION_TMPFILE] = "tmpfile",
        [OPERATION_UNLINK] = "unlink",
        [OPERATION_WRITE] = "write",
    };

    return names[operation];
}

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

struct request *request_new(fuse_req_t fuse, const struct request_type *type, uint64_t ino)
{
    struct session *session = fuse_req_userdata(fuse);
    const struct fuse_ctx *context = fuse_req_ctx(fuse);
    struct request *request = calloc(1, sizeof(*request));

    if (!request) {
        fuse_reply_err(fuse, ENOMEM);
        return NULL;
    }
    request->type = type;
    request->session = session;
    request->fuse = fuse;
    request->ino = ino;
    request->began_us = now_us();
    request->caller = (struct fs_caller){
        .uid = context->uid,
        .gid = context->gid,
        .umask = session->has_acls ? context->umask : 0, /* else the kernel has applied it */
        .pid = context->pid,
    };

    pthread_mutex_lock(&session->mutex);
    session->requests++;
    pthread_mutex_unlock(&session->mutex);
    return request;
}

static void request_free(struct request *request)
{
    struct session *session = request->session;

    for (unsigned i = 0; i < request->piece_count; i++)
        value_buffer_unref(request->pieces[i].buffer);
    buf_release(&request->answer);
    buf_release(&request->counted);
    free(request->kept);
    free(request);

    pthread_mutex_lock(&session->mutex);
    if (--session->requests == 0)
        pthread_cond_broadcast(&session->is_quiet);
    pthread_mutex_unlock(&session->mutex);
}

int request_errno(int r)
{
    switch (r) {
    case -EUCLEAN: /* damage has codes of its own inside; programs know only this one */
    case -EBADMSG:
    case -EPROTO:
        return EIO;
    default:
        return r > -1000 ? -r : EIO;
    }
}

/* The boundary at which a failure is logged, once. What a caller did wrong is his to know. */
static void log_failure(const struct request *request, int r)
{
    int code = request_errno(r);

    if (code == EIO || code == ENOMEM)
        log_error("op=%s ino=%llu offset=%llu: %s",
            session_operation_name(request->type->operation), (unsigned long long)request->ino,
            (unsigned long long)request->offset, err_text(r));
}

/*
 * The kernel keeps modes for ever and asks for none after a write, an O_TRUNC, a fallocate or a
 * copy: without this the next exec would still set the user id. Before the answer, as nobody can
 * execute a file before who writes it has closed it.
 */
static void drop_kept_mode(struct request *request)
{
    /* What fails, fails as the kernel does not have the inode. */
    if (request->change.killed_privileges)
        (void)fuse_lowlevel_notify_inval_inode(request->session->fuse, request->ino, -1, 0);
}

static void request_finish(struct request *request, int r, bool has_run)
{
    drop_kept_mode(request);
    /* Before the answer: who has it finds his request in the figures. */
    latency_add(
        &request->session->latencies[request->type->operation], now_us() - request->began_us);
    if (r >= 0) {
        /* -ENOENT: the caller was interrupted, or the connection is gone: nobody knows of it. */
        if (request->type->reply(request) < 0 && request->type->undo)
            request->type->undo(request);
    } else {
        log_failure(request, r);
        if (has_run && request->type->undo)
            request->type->undo(request);
        if (request->has_begun)
            fs_cancel(request->session->fs, &request->change);
        fuse_reply_err(request->fuse, request_errno(r));
    }
    request_free(request);
}

void request_resume(void *arg, int r)
{
    request_finish(arg, r, true);
}

static void request_run(struct request *request, int r)
{
    struct fs *fs = request->session->fs;

    if (r >= 0) {
        request->has_begun = request->type->changes;
        r = request->keep_error;
    }
    if (r >= 0)
        r = request->type->run(request);
    if (r == -EINPROGRESS)
        return;
    if (r < 0 || !request->type->changes) {
        request_finish(request, r, r >= 0);
        return;
    }
    r = fs_end(fs, &request->change, request_resume, request);
    if (r != -EINPROGRESS)
        request_finish(request, r, true);
}

static void request_admitted(void *arg, int r)
{
    struct request *request = arg;

    request->result = r;
    if (atomic_exchange(&request->handover, HANDOVER_ARRIVED) == HANDOVER_KEPT)
        request_run(request, r);
}

static uint8_t *keep_bytes(uint8_t *to, struct bytes *bytes)
{
    if (!bytes->data)
        return to;
    memcpy(to, bytes->data, bytes->size);
    to[bytes->size] = '\0';
    bytes->data = to;
    return to + bytes->size + 1;
}

/* Copies what points into the worker's buffer. */
static int request_keep(struct request *request)
{
    uint8_t *to = malloc(request->name.size + request->new_name.size + request->data.size + 3);

    if (!to)
        return -ENOMEM;
    request->kept = to;
    to = keep_bytes(to, &request->name);
    to = keep_bytes(to, &request->new_name);
    keep_bytes(to, &request->data);
    return 0;
}

void request_start(struct request *request)
{
    struct fs *fs = request->session->fs;
    int r;

    if (request->type->changes)
        r = fs_begin(fs, &request->change, request->type->table,
            request->name.size + request->new_name.size + request->data.size + request->payload,
            request->reclaims, request_admitted, request);
    else
        r = fs_settle(fs, request->ino, request->name, request_admitted, request);
    if (r != -EINPROGRESS) {
        request_run(request, r);
        return;
    }
    /* The callback may be here already: it leaves the rest to whoever comes second. */
    request->keep_error = request_keep(request);
    if (atomic_exchange(&request->handover, HANDOVER_KEPT) == HANDOVER_ARRIVED)
        request_run(request, request->result);
}

/* ---- replies ---- */

double attribute_timeout(uint64_t nodeid)
{
    /* Link counts of snapshot components change with every tag, behind the kernel's back. */
    bool is_synthetic = nodeid >> 62;

    return is_synthetic ? 1 : FS_TIMEOUT_FOREVER;
}

static struct fuse_entry_param entry_param(const struct fs_entry *entry)
{
    return (struct fuse_entry_param){.ino = entry->nodeid,
        .attr = entry->attributes,
        .attr_timeout = entry->attribute_timeout_s,
        .entry_timeout = entry->entry_timeout_s};
}

int reply_done(struct request *request)
{
    return fuse_reply_err(request->fuse, 0);
}

int reply_entry(struct request *request)
{
    struct fuse_entry_param entry = entry_param(&request->entry);

    if (!request->handle)
        return fuse_reply_entry(request->fuse, &entry);
    request->file.fh = (uint64_t)(uintptr_t)request->handle;
    request->file.keep_cache = fs_handle_keep_cache(request->handle);
    return fuse_reply_create(request->fuse, &entry, &request->file);
}

void undo_entry(struct request *request)
{
    /* The handle first: it may be what keeps the node of an unlinked file. */
    if (request->handle)
        fs_release(request->session->fs, request->entry.nodeid, request->handle);
    if (request->entry.nodeid)
        fs_forget(request->session->fs, request->entry.nodeid, 1);
}

int reply_attributes(struct request *request)
{
    return fuse_reply_attr(request->fuse, &request->attributes, attribute_timeout(request->ino));
}

int reply_open(struct request *request)
{
    request->file.fh = (uint64_t)(uintptr_t)request->handle;
    return fuse_reply_open(request->fuse, &request->file);
}

int reply_answer(struct request *request)
{
    return fuse_reply_buf(request->fuse, (const char *)request->answer.data, request->answer.size);
}
