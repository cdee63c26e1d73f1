/*
 * One request of the kernel, from its arguments to its one reply.
 *
 *     worker                    pacer, log, snapshot threads
 *     ------                    ----------------------------
 *     request_new
 *     fill in arguments
 *     request_start
 *       fs_begin | fs_settle -- -EINPROGRESS --> admitted
 *       type->run  <---------------------------------'
 *       fs_end     ----------- -EINPROGRESS --> ended
 *       type->reply <---------------------------------'
 *
 * No thread sleeps in between. Arguments point into libfuse's buffer, which is the worker's next
 * request's as soon as the handler returns: they are copied only if the request has to be parked.
 * The pieces of what is written are the request's own (scatter.h).
 * Exactly one reply on all paths; who runs a stage owns the request, and a stage that returned
 * -EINPROGRESS has given it away.
 */
#ifndef SSTFS_FUSE_REQUEST_H
#define SSTFS_FUSE_REQUEST_H

#include "engine/buf.h"
#include "fuse/scatter.h"
#include "fuse/session.h"

struct request;

struct request_type {
    enum session_operation operation;
    bool changes; /* fs_begin() before run, fs_end() after it; else fs_settle() before */
    enum fs_table table;
    int (*run)(struct request *request); /* may itself answer -EINPROGRESS: then request_resume */
    int (*reply)(struct request *request);
    /** Gives back what run took (a lookup count, a handle) when nobody got it. May be NULL. */
    void (*undo)(struct request *request);
};

struct request {
    const struct request_type *type;
    struct session *session;
    fuse_req_t fuse;
    struct fs_request change;
    struct fs_caller caller;

    /* arguments */
    uint64_t began_us; /* monotonic */
    uint64_t ino, new_parent;
    struct bytes name, new_name, data;          /* names are followed by a NUL */
    struct fs_piece pieces[SCATTER_PIECES_MAX]; /* of what is written; or it is in `data` */
    unsigned piece_count;
    struct fuse_file_info file;
    struct fs_setattr setattr;
    uint64_t offset, size, rdev;
    uint64_t from_ino, from_offset; /* copy_file_range */
    uint64_t payload;               /* bytes that it will write beside those in `data` */
    uint32_t mode;
    int flags;
    bool reclaims, kills_suid;

    /* results */
    struct fs_entry entry;
    struct fs_handle *handle;
    struct stat attributes;
    struct buf answer;
    struct buf counted; /* readdirplus: node ids that were looked up */
    uint64_t position;

    /* parking */
    _Atomic int handover; /* enum handover, in request.c */
    int result;
    int keep_error;
    void *kept; /* the copied arguments */
    bool has_begun;
};

/** NULL: there was no memory, and the kernel was told. */
struct request *request_new(fuse_req_t fuse, const struct request_type *type, uint64_t ino);
/** Takes the request over. */
void request_start(struct request *request);
/** The callback (engine_go) for a run that answers -EINPROGRESS. */
void request_resume(void *arg, int r);

/** What the kernel hears for a negative errno: positive, and only codes that it expects. */
int request_errno(int r);

/* replies that several operations share */
int reply_done(struct request *request);
int reply_entry(struct request *request);
int reply_attributes(struct request *request);
int reply_open(struct request *request);
int reply_answer(struct request *request);
void undo_entry(struct request *request);
/** Seconds that the kernel may keep attributes of this node. */
double attribute_timeout(uint64_t nodeid);

/* ops_names.c */
void op_lookup(fuse_req_t fuse, fuse_ino_t parent, const char *name);
void op_mknod(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void op_mkdir(fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode);
void op_symlink(fuse_req_t fuse, const char *target, fuse_ino_t parent, const char *name);
void op_link(fuse_req_t fuse, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void op_unlink(fuse_req_t fuse, fuse_ino_t parent, const char *name);
void op_rmdir(fuse_req_t fuse, fuse_ino_t parent, const char *name);
void op_rename(fuse_req_t fuse, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
    const char *new_name, unsigned flags);
void op_create(
    fuse_req_t fuse, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *file);

/* ops_data.c */
void op_open(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *file);
void op_read(
    fuse_req_t fuse, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *file);
void op_write(fuse_req_t fuse, fuse_ino_t ino, const char *data, size_t size, off_t offset,
    struct fuse_file_info *file);
void op_fallocate(fuse_req_t fuse, fuse_ino_t ino, int mode, off_t offset, off_t size,
    struct fuse_file_info *file);
void op_copy_file_range(fuse_req_t fuse, fuse_ino_t from_ino, off_t from_offset,
    struct fuse_file_info *from_file, fuse_ino_t ino, off_t offset, struct fuse_file_info *file,
    size_t size, int flags);
void op_lseek(
    fuse_req_t fuse, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *file);
void op_fsync(fuse_req_t fuse, fuse_ino_t ino, int datasync, struct fuse_file_info *file);
void op_release(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *file);

/* ops_dir.c */
void op_opendir(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *file);
void op_readdir(
    fuse_req_t fuse, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *file);
void op_readdirplus(
    fuse_req_t fuse, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *file);
void op_releasedir(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *file);

/* ops_attr.c */
void op_forget(fuse_req_t fuse, fuse_ino_t ino, uint64_t count);
void op_forget_multi(fuse_req_t fuse, size_t count, struct fuse_forget_data *forgets);
void op_getattr(fuse_req_t fuse, fuse_ino_t ino, struct fuse_file_info *file);
void op_setattr(fuse_req_t fuse, fuse_ino_t ino, struct stat *attributes, int to_set,
    struct fuse_file_info *file);
void op_readlink(fuse_req_t fuse, fuse_ino_t ino);
void op_statfs(fuse_req_t fuse, fuse_ino_t ino);
void op_setxattr(
    fuse_req_t fuse, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags);
void op_getxattr(fuse_req_t fuse, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t fuse, fuse_ino_t ino, size_t size);
void op_removexattr(fuse_req_t fuse, fuse_ino_t ino, const char *name);

#endif
