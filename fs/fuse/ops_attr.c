/*
 * Attributes, extended ones, links' targets, and what the kernel remembers.
 */
#include "fuse/request.h"

#include <errno.h>
#include <linux/xattr.h>
#include <string.h>

#include "engine/buf.h"

/* Raw bit of the kernel's setattr that libfuse hands on without naming it. */
#define SETATTR_KILL_SUIDGID (1 << 11)

/* ---- forget: memory only, in storms ---- */

void op_forget(fuse_req_t fuse, fuse_ino_t ino, uint64_t count)
{
    struct session *session = fuse_req_userdata(fuse);

    fs_forget(session->fs, ino, count);
    fuse_reply_none(fuse);
}

void op_forget_multi(fuse_req_t fuse, size_t count, struct fuse_forget_data *forgets)
{
    struct session *session = fuse_req_userdata(fuse);

    for (size_t i = 0; i < count; i++)
        fs_forget(session->fs, forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(fuse);
}

/* ---- attributes ---- */

static int run_getattr(struct request *request)
{
    return fs_getattr(request->session->fs, request->ino, &request->attributes);
}

void op_getattr(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *file)
{
    static const struct request_type type = {
        .operation = OPERATION_GETATTR, .run = run_getattr, .reply = reply_attributes};
    struct request *request = request_new(fuse, &type, ino);

    (void)file;
    if (request)
        request_start(request);
}

/* Nanoseconds in 64 bits hold 1677 to 2262; what is beyond becomes the end. */
static int64_t nanoseconds(struct timespec time)
{
    int64_t ns;

    if (__builtin_mul_overflow((int64_t)time.tv_sec, (int64_t)1000000000, &ns) ||
        __builtin_add_overflow(ns, (int64_t)time.tv_nsec, &ns))
        return time.tv_sec < 0 ? INT64_MIN : INT64_MAX;
    return ns;
}

static struct fs_setattr setattr_of(const struct stat *attributes, int to_set)
{
    static const struct {
        int from;
        unsigned to;
    } bits[] = {
        {FUSE_SET_ATTR_MODE, FS_SET_MODE},
        {FUSE_SET_ATTR_UID, FS_SET_UID},
        {FUSE_SET_ATTR_GID, FS_SET_GID},
        {FUSE_SET_ATTR_SIZE, FS_SET_SIZE},
        {FUSE_SET_ATTR_ATIME, FS_SET_ATIME},
        {FUSE_SET_ATTR_MTIME, FS_SET_MTIME},
        {FUSE_SET_ATTR_ATIME_NOW, FS_SET_ATIME_NOW},
        {FUSE_SET_ATTR_MTIME_NOW, FS_SET_MTIME_NOW},
        {SETATTR_KILL_SUIDGID, FS_SET_KILL_SUID},
    };
    struct fs_setattr setattr = {.mode = attributes->st_mode,
        .uid = attributes->st_uid,
        .gid = attributes->st_gid,
        .size = (uint64_t)attributes->st_size,
        .atime_ns = nanoseconds(attributes->st_atim),
        .mtime_ns = nanoseconds(attributes->st_mtim)};

    for (size_t i = 0; i < ARRAY_COUNT(bits); i++)
        if (to_set & bits[i].from)
            setattr.set |= bits[i].to;
    return setattr;
}

static int run_setattr(struct request *request)
{
    return fs_setattr(request->session->fs, &request->change, request->ino, &request->setattr,
        &request->attributes);
}

void op_setattr(fuse_req_t fuse, fuse_ino_t ino, struct stat *attributes, int to_set,
    struct fuse_file_info *file)
{
    static const struct request_type type = {.operation = OPERATION_SETATTR,
        .changes = true,
        .table = TABLE_DIRENTS,
        .run = run_setattr,
        .reply = reply_attributes};
    struct request *request = request_new(fuse, &type, ino);

    (void)file;
    if (!request)
        return;
    request->setattr = setattr_of(attributes, to_set);
    /* A few cells at most, and truncation is how a full disk gets space back. */
    request->reclaims = true;
    request_start(request);
}

static int run_readlink(struct request *request)
{
    return fs_readlink(request->session->fs, request->ino, &request->answer);
}

static int reply_readlink(struct request *request)
{
    buf_append_u8(&request->answer, '\0');
    if (buf_error(&request->answer) < 0)
        return fuse_reply_err(request->fuse, ENOMEM);
    return fuse_reply_readlink(request->fuse, (const char *)request->answer.data);
}

void op_readlink(fuse_req_t fuse, fuse_ino_t ino)
{
    static const struct request_type type = {
        .operation = OPERATION_READLINK, .run = run_readlink, .reply = reply_readlink};
    struct request *request = request_new(fuse, &type, ino);

    if (request)
        request_start(request);
}

void op_statfs(fuse_req_t fuse, fuse_ino_t ino)
{
    struct session *session = fuse_req_userdata(fuse);
    struct statvfs answer = {0};

    (void)ino;
    fs_statfs(session->fs, &answer);
    fuse_reply_statfs(fuse, &answer);
}

/* ---- extended attributes ---- */

static bool is_acl(const char *name)
{
    return strcmp(name, XATTR_NAME_POSIX_ACL_ACCESS) == 0 ||
           strcmp(name, XATTR_NAME_POSIX_ACL_DEFAULT) == 0;
}

/* Of system.* there are the two ACLs, and these only where the kernel enforces them. Of what else
 * begins so, it does not ask who may set it. */
static bool is_refused(const struct session *session, const char *name)
{
    if (strncmp(name, "system.", 7) != 0)
        return false;
    return !session->has_acls || !is_acl(name);
}

/* 0 if there may be one of that name: other names no file system takes, so no copy could keep them.
 */
static int check_new_xattr(const char *name)
{
    static const char *const namespaces[] = {
        XATTR_USER_PREFIX, XATTR_TRUSTED_PREFIX, XATTR_SECURITY_PREFIX};

    if (is_acl(name))
        return 0;
    for (size_t i = 0; i < ARRAY_COUNT(namespaces); i++) {
        size_t size = strlen(namespaces[i]);

        if (strncmp(name, namespaces[i], size) == 0)
            return name[size] ? 0 : EINVAL;
    }
    return EOPNOTSUPP;
}

static struct request *request_xattr(
    fuse_req_t fuse, const struct request_type *type, fuse_ino_t ino, const char *name)
{
    struct request *request;

    if (is_refused(fuse_req_userdata(fuse), name)) {
        fuse_reply_err(fuse, EOPNOTSUPP);
        return NULL;
    }
    request = request_new(fuse, type, ino);
    if (request)
        request->name = bytes_of_string(name);
    return request;
}

/* Who is not of a file's group loses its set-group-id by setting an ACL. To ask who is reads
 * /proc, so it is asked for ACLs only. */
#define GROUPS_MAX 1024

static int run_setxattr(struct request *request)
{
    const char *name = (const char *)request->name.data;
    gid_t groups[GROUPS_MAX];

    if (request->caller.uid != 0 && is_acl(name)) {
        int count = fuse_req_getgroups(request->fuse, GROUPS_MAX, groups);

        request->caller.groups = groups;
        request->caller.group_count =
            count < 0 ? 0 : (unsigned)(count < GROUPS_MAX ? count : GROUPS_MAX);
    }
    return fs_setxattr(request->session->fs, &request->change, &request->caller, request->ino, name,
        request->data, request->flags);
}

void op_setxattr(
    fuse_req_t fuse, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
    static const struct request_type type = {.operation = OPERATION_SETXATTR,
        .changes = true,
        .table = TABLE_DIRENTS,
        .run = run_setxattr,
        .reply = reply_done};
    int code = check_new_xattr(name);
    struct request *request;

    if (code != 0) {
        fuse_reply_err(fuse, code);
        return;
    }
    request = request_xattr(fuse, &type, ino, name);
    if (!request)
        return;
    request->data = bytes_of(value, size);
    request->flags = flags;
    request_start(request);
}

static int run_removexattr(struct request *request)
{
    return fs_removexattr(
        request->session->fs, &request->change, request->ino, (const char *)request->name.data);
}

void op_removexattr(fuse_req_t fuse, fuse_ino_t ino, const char *name)
{
    static const struct request_type type = {.operation = OPERATION_REMOVEXATTR,
        .changes = true,
        .table = TABLE_DIRENTS,
        .run = run_removexattr,
        .reply = reply_done};
    struct request *request = request_xattr(fuse, &type, ino, name);

    if (!request)
        return;
    request->reclaims = true;
    request_start(request);
}

/* Size 0 asks for the size. */
static int reply_xattr(struct request *request)
{
    if (request->size == 0)
        return fuse_reply_xattr(request->fuse, request->answer.size);
    return reply_answer(request);
}

static int fits_xattr(const struct request *request)
{
    return request->size > 0 && request->answer.size > request->size ? -ERANGE : 0;
}

static int run_getxattr(struct request *request)
{
    int r = fs_getxattr(
        request->session->fs, request->ino, (const char *)request->name.data, &request->answer);

    return r < 0 ? r : fits_xattr(request);
}

void op_getxattr(fuse_req_t fuse, fuse_ino_t ino, const char *name, size_t size)
{
    static const struct request_type type = {
        .operation = OPERATION_GETXATTR, .run = run_getxattr, .reply = reply_xattr};
    struct request *request = request_xattr(fuse, &type, ino, name);

    if (!request)
        return;
    request->size = size;
    request_start(request);
}

static int run_listxattr(struct request *request)
{
    /* Uid 0 is only an approximation of the capability, which the kernel does not tell. */
    int r = fs_listxattr(
        request->session->fs, request->ino, request->caller.uid == 0, &request->answer);

    return r < 0 ? r : fits_xattr(request);
}

void op_listxattr(fuse_req_t fuse, fuse_ino_t ino, size_t size)
{
    static const struct request_type type = {
        .operation = OPERATION_LISTXATTR, .run = run_listxattr, .reply = reply_xattr};
    struct request *request = request_new(fuse, &type, ino);

    if (!request)
        return;
    request->size = size;
    request_start(request);
}
