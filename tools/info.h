/*
 * The texts of MNT/.sstfs: what a running mount tells to whoever reads a file.
 *
 *   stats     as `sstfs stats MNT`             config    the store, the options in force
 *   metrics   as `sstfs stats --metrics MNT`   version   as `sstfs --version`
 *   sstables  the live SSTables, a line each
 */
#ifndef SSTFS_TOOLS_INFO_H
#define SSTFS_TOOLS_INFO_H

#include "daemon.h"
#include "metrics.h"

struct info {
    struct metrics_sources sources;
    const struct daemon_plan *plan;
};

/** Has `fs` show the files; `info` is to be filled in before the first request, and outlive it. */
void info_offer(struct info *info, struct fs *fs);

#endif
