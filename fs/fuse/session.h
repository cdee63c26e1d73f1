/*
 * What the files of fs/fuse share about the session. See fs/include/fs/session.h.
 */
#ifndef SSTFS_FUSE_SESSION_H
#define SSTFS_FUSE_SESSION_H

#define FUSE_USE_VERSION 312

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>

#include "fs/session.h"
#include "fuse/mounted.h"

struct session {
    struct session_options options;
    struct fs *fs;
    struct fuse_session *fuse;
    struct mounted mounted;
    pthread_t main_thread;

    pthread_t signal_thread;
    bool has_signal_thread;
    bool has_acls;                /* the kernel checks access by ACLs, and leaves the umask to us */
    _Atomic bool is_over;         /* the loop has ended: nobody needs to be woken */
    _Atomic bool is_writing_back; /* a worker waits for the kernel, which waits for others */

    struct latency_histogram latencies[SESSION_OPERATIONS];

    /* Requests taken and not yet answered. The last one out says so. */
    pthread_mutex_t mutex;
    pthread_cond_t is_quiet;
    uint64_t requests;
};

extern const struct fuse_lowlevel_ops session_operations;

/** The kernel's greeting: what we want of it. ops table: init. */
void session_init(void *userdata, struct fuse_conn_info *connection);

/* signals.c */
MUST_USE int signals_start(struct session *session);
void signals_stop(struct session *session);

#endif
