/*
 * The daemon: a store, opened, and served at its mountpoint until it is unmounted.
 */
#ifndef SSTFS_TOOLS_DAEMON_H
#define SSTFS_TOOLS_DAEMON_H

#include "options.h"

struct daemon_plan {
    const char *store;      /* absolute */
    const char *mountpoint; /* absolute */
    bool create;            /* the store is an empty folder */
    bool foreground;
    const struct mount_options *options;
    int status_fd; /* see daemon_run() */
};

/**
 * Does all of it in this process, and returns an exit code. Before it serves, or when it cannot,
 * one message is written to `status_fd`: a byte, the exit code, and the words of a failure; the
 * descriptor is closed then.
 */
int daemon_run(const struct daemon_plan *plan);

#endif
