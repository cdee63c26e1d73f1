/*
 * A mounted file system: the connection with the kernel, served until it is unmounted.
 *
 *   session_block_signals()      first of all, while there is one thread
 *   engine_open, fs_open         threads start
 *   session_open()               mounts; requests queue up in the kernel
 *   session_serve()              answers them until umount(8), or a signal that makes it unmount
 *   fs_close, engine_close
 *   session_close()
 *
 * SIGTERM and SIGINT unmount as umount(8) does; while files are open they detach the mount and
 * serve those that have it until the last is closed, for at most SESSION_GRACE_S; a second one ends
 * the session at once. SIGUSR1 calls `report`. SIGPIPE, SIGXFSZ and SIGHUP are ignored.
 *
 * One session in a process; all calls from the thread that opened it.
 */
#ifndef SSTFS_FS_SESSION_H
#define SSTFS_FS_SESSION_H

#include "fs/fs.h"

struct session;

#define SESSION_GRACE_S 30

/** What the kernel asks for, as far as it is timed. */
enum session_operation {
    OPERATION_COPY_FILE_RANGE,
    OPERATION_CREATE,
    OPERATION_FALLOCATE,
    OPERATION_FSYNC,
    OPERATION_GETATTR,
    OPERATION_GETXATTR,
    OPERATION_LINK,
    OPERATION_LISTXATTR,
    OPERATION_LOOKUP,
    OPERATION_LSEEK,
    OPERATION_MKDIR,
    OPERATION_MKNOD,
    OPERATION_OPEN,
    OPERATION_OPENDIR,
    OPERATION_READ,
    OPERATION_READDIR,
    OPERATION_READDIRPLUS,
    OPERATION_READLINK,
    OPERATION_REMOVEXATTR,
    OPERATION_RENAME,
    OPERATION_RMDIR,
    OPERATION_SETATTR,
    OPERATION_SETXATTR,
    OPERATION_SYMLINK,
    OPERATION_TMPFILE,
    OPERATION_UNLINK,
    OPERATION_WRITE,
    SESSION_OPERATIONS
};
const char *session_operation_name(enum session_operation operation);

struct session_options {
    const char *source;      /* what df and findmnt show: the store's absolute path */
    const char *mountpoint;  /* absolute */
    const char *mount_flags; /* for mount(2), comma separated: "ro,suid"; may be "" */
    bool allow_other;
    uint64_t node_bytes_max; /* of inodes that the kernel has cached */
    unsigned
        threads_max; /* made on demand; each has a buffer of 1 MiB, and a cold read holds one */
    bool synchronous_names;    /* dirsync: changes of names are on the disk before the reply */
    void (*ready)(void *arg);  /* the kernel has greeted us; called once, from a worker */
    void (*report)(void *arg); /* from the thread that waits for signals; may be NULL */
    void *arg;
};

void session_block_signals(void);

/** Mounts. -EPERM and the like from mount(2), with libfuse's words. Strings must outlive it. */
MUST_USE int session_open(
    const struct session_options *options, struct fs *fs, struct session **ret_session);
/** Returns 0 when all requests that were taken are answered and no more come. */
MUST_USE int session_serve(struct session *session);
/** How long requests took, from their arrival to the reply. */
void session_get_latency(const struct session *session, enum session_operation operation,
    struct latency_values *ret_values);
/** Unmounts if it still is mounted. NULL does nothing. */
void session_close(struct session *session);

/** umount(2), or for others than root fusermount3, which is set-uid. `detach`: at once, also while
 * files are open. -EBUSY, -EPERM. Any process, any thread. */
MUST_USE int session_unmount(const char *mountpoint, bool detach);

#endif
