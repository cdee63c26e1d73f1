/*
 * The archived log of a store in its backups, so that `sstfs restore --at` needs nothing else.
 */
#ifndef SSTFS_TOOLS_BACKUP_LOG_H
#define SSTFS_TOOLS_BACKUP_LOG_H

#include <jansson.h>

#include "destination.h"

struct backup_log {
    const char *path;   /* in the mount */
    const char *folder; /* the tag's, beside which the log is shown */
    const char *destination;
    const struct backup_sets *sets; /* there, this one too */
    bool verifies;
};

/**
 * Has the mount archive what it logged by now, and copies what DEST lacks of that and one of its
 * sets needs. 1; 0: the store keeps no log.
 */
MUST_USE int backup_log_copy(const struct backup_log *log);
/** Removes what no set in DEST needs. */
MUST_USE int backup_log_rotate(const char *destination);

/**
 * With an archive, the tag of the newest backup stays until the next: the log is kept from the
 * oldest tag on. Keeps it, in the name BACKUP_LOG_HOLD.
 */
#define BACKUP_LOG_HOLD "backup-log"
/** Lets go of such tags that are sets in DEST too, but for `tag`; what fails is said. */
void backup_log_let_go(const struct backup_log *log, const char *tag);
/** Whether a tag, as the daemon tells of it, is kept so. */
bool backup_log_keeps(const json_t *snapshot);

#endif
