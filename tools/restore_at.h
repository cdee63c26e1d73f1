/*
 * sstfs restore --at.
 */
#ifndef SSTFS_TOOLS_RESTORE_AT_H
#define SSTFS_TOOLS_RESTORE_AT_H

#include <stdbool.h>

struct restore_at {
    const char *moment; /* "latest": the end of the log */
    const char *folder; /* of the snapshot */
    const char *log;    /* a folder of archived segments, or a store; NULL: beside the snapshot */
    const char *store;  /* to be made; in an empty folder, or none */
    bool as_json;
};

/** An exit status; what failed is said, and leaves no store. */
int restore_at(const struct restore_at *plan);

#endif
