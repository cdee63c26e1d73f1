/*
 * DEST of sstfs backup, a folder here or HOST:PATH, and what is in it. All is done by rsync, and by
 * programs that run where DEST is.
 *
 *   DEST/TAG              a complete set: the folder of a snapshot
 *   DEST/log/ID.log       segments of the log that was archived behind these snapshots
 */
#ifndef SSTFS_TOOLS_DESTINATION_H
#define SSTFS_TOOLS_DESTINATION_H

#include <time.h>

#include "engine/archive_name.h"
#include "engine/engine.h"
#include "program.h"

/** What is not complete: never a set. */
#define DESTINATION_INCOMPLETE "incomplete"
#define DESTINATION_LOG "log"

struct backup_set {
    char tag[SNAPSHOT_TAG_MAX + 1];
    time_t made;
    uint64_t position; /* in the log, by destination_read_sets(); 0: it does not say */
    char store[64];    /* its UUID, by the same */
};

struct backup_sets {
    struct backup_set *list; /* newest first */
    size_t count;
    uint64_t *segments; /* of the log */
    size_t segment_count;
};
void backup_sets_release(struct backup_sets *sets);
bool backup_sets_has(const struct backup_sets *sets, const char *tag);
/** As the newest. */
MUST_USE int backup_sets_add(struct backup_sets *sets, const char *tag, time_t made);

/** What is in it. */
MUST_USE int destination_list(const char *destination, struct backup_sets *ret_sets);
/** What the snapshot.json of these sets say. -EUCLEAN: one says nothing. */
MUST_USE int destination_read_sets(const char *destination, struct backup_set *sets, size_t count);
/** The file of a segment, "log/0123456789abcdef.log". */
#define DESTINATION_SEGMENT_BYTES (sizeof(DESTINATION_LOG "/") - 1 + ARCHIVE_NAME_BYTES)
void destination_segment(uint64_t segment, char to[DESTINATION_SEGMENT_BYTES]);

/** Runs `command option -- names…`, the names in DEST, where DEST is. `output` may be NULL. */
MUST_USE int destination_run(const char *destination, const char *command, const char *option,
    const char *const *names, size_t count, struct buf *output);
/** Whether DEST is a folder here. */
bool destination_is_here(const char *destination);

/** A command line of rsync with its first options. */
void rsync_begin(struct words *words, const char *options);
/** Runs it; `what` it was to do, for the words of a failure. `output` NULL: shown on stderr.
 * `vanished_is_fine`: that files were removed meanwhile is no failure. */
MUST_USE int rsync_run(
    const struct words *words, bool vanished_is_fine, struct buf *output, const char *what);

#endif
