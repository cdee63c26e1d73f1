/*
 * What the repairs (engine/repair.h) share: repair.c locks, speaks, mends the log and writes;
 * manifest_rebuild.c finds out what a manifest should say.
 */
#ifndef SSTFS_ENGINE_REPAIRING_H
#define SSTFS_ENGINE_REPAIRING_H

#include "commitlog/survey.h"
#include "engine/repair.h"
#include "manifest.h"

#define LOST_FOLDER "lost"

/** To be renamed into `lost`. */
struct lost_path {
    struct lost_path *next;
    char path[];
};

struct repair {
    struct env *env;
    const struct table_schema *tables;
    unsigned table_count;
    struct store_identity identity;
    int lock;
    repair_say say;
    void *arg;

    bool rebuilds; /* the manifest, from `state`; else only the cuts are added to it */
    struct manifest_state state;
    struct commitlog_hole *holes;
    size_t hole_count;
    struct lost_path *lost;
};

void repair_tell(struct repair *repair, bool is_loss, const char *format, ...) PRINTF_LIKE(3, 4);
/** Of the visit of a log: steps over damage, and keeps it to be mended. An enum commitlog_verdict.
 */
MUST_USE int repair_step_over(struct repair *repair, const struct commitlog_hole *hole);
/** Has the path moved out of the way. */
MUST_USE int repair_lose(struct repair *repair, const char *path);
MUST_USE int repair_add_cut(struct repair *repair, uint64_t from_position, uint64_t to_segment);
struct manifest_options repair_manifest_options(const struct repair *repair);

/** Fills repair->state. */
MUST_USE int manifest_rebuild(struct repair *repair);

#endif
