/*
 * Mending a store that does not open, for the commands that do it.
 */
#ifndef SSTFS_TOOLS_REPAIR_H
#define SSTFS_TOOLS_REPAIR_H

#include <jansson.h>
#include <stdbool.h>

enum consent {
    CONSENT_ASK, /* on the terminal */
    CONSENT_YES,
    CONSENT_IF_LOSSLESS,
    CONSENT_NO, /* only look */
};

/** What is said of it, instead of words. */
struct repair_report {
    json_t *found;  /* array: what it found and would do */
    json_t *losses; /* array: what is lost by it */
    bool is_repaired;
};

/**
 * Repairs the manifest, or the log; says first what it would do. An exit code: EXIT_DAMAGE if there
 * is something to repair and it was not to be; EXIT_DONE also when all was good. `report` NULL: in
 * words.
 */
int repair_run(const char *store, bool manifest, enum consent consent, struct repair_report *report,
    bool *ret_was_good);

#endif
