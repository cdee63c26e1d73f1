/*
 * Mending a store that does not open, for the commands that do it.
 */
#ifndef SSTFS_TOOLS_REPAIR_H
#define SSTFS_TOOLS_REPAIR_H

#include <stdbool.h>

enum consent {
    CONSENT_ASK, /* on the terminal */
    CONSENT_YES,
    CONSENT_IF_LOSSLESS,
    CONSENT_NO, /* only look */
};

/**
 * Repairs the manifest, or the log; says first what it would do. An exit code: EXIT_DAMAGE if there
 * is something to repair and it was not to be; EXIT_DONE also when all was good.
 */
int repair_run(const char *store, bool manifest, enum consent consent, bool *ret_was_good);

#endif
