/*
 * Mending a store that does not open: whose manifest is lost, whose log has a hole. In two steps,
 * so that its owner hears what would be done, and what is lost by it, before it is done:
 *
 *   begin --says what it found and would do--> commit | discard
 *
 * The store is locked from begin on. What is taken out of the way is kept in the store's folder
 * `lost`. One thread.
 */
#ifndef SSTFS_ENGINE_REPAIR_H
#define SSTFS_ENGINE_REPAIR_H

#include "engine/engine.h"

struct repair;

/** A line about the store; `is_loss`: something that was acknowledged is lost, or may come back. */
typedef void (*repair_say)(void *arg, bool is_loss, const char *text);

/**
 * Rebuilds the manifest from the folders of the tables, the log and the folders of snapshots. Never
 * taken: what lies in tmp/ and trash/, and what trash/released names. 1: there is something to
 * commit; 0: the manifest is good (`*ret_repair` is NULL). Errors as engine_open(), but for those
 * that it is to mend.
 */
MUST_USE int repair_manifest_begin(struct env *env, const struct table_schema *tables,
    unsigned table_count, repair_say say, void *arg, struct repair **ret_repair);

/**
 * Steps over the holes of a log whose manifest is good: what was logged there is lost, what comes
 * after stays. As repair_manifest_begin().
 */
MUST_USE int repair_log_begin(struct env *env, const struct table_schema *tables,
    unsigned table_count, repair_say say, void *arg, struct repair **ret_repair);

/** Does it, durably. A crash meanwhile leaves a store that can be repaired again. Then discard. */
MUST_USE int repair_commit(struct repair *repair);
/** NULL does nothing. */
void repair_discard(struct repair *repair);

#endif
