/*
 * Reading a log that was kept: archived segments, and maybe the slots of a store that nobody has
 * open, as one, from a position on. Unlike replay it may begin and end anywhere, and takes no gap:
 * what is missing or damaged before the end is an error. The end, in the slots, is where the next
 * open of the store would find it, also after a power loss that tore some of them.
 */
#ifndef SSTFS_COMMITLOG_ARCHIVE_WALK_H
#define SSTFS_COMMITLOG_ARCHIVE_WALK_H

#include "commitlog/commitlog.h"
#include "commitlog/segment.h"

struct archive_walk {
    struct env *env;
    const char *folder;               /* with archived segments: "", ARCHIVE_FOLDER */
    bool with_slots;                  /* those in commitlog/ too, which come after them */
    const struct commitlog_cut *cuts; /* with slots: what their store's manifest says of them */
    size_t cut_count;
    uint64_t flushed_max; /* … and the highest position up to which it says a table is flushed */
    uint8_t store_uuid[16];
    uint64_t from_position;
    int64_t until_us; /* the newest timestamp wanted; INT64_MAX: all there is */
};

struct archive_walk_result {
    uint64_t batches;
    int64_t last_timestamp_us; /* of them; 0: there is none */
    bool is_past; /* a record later than `until_us` was met: nothing before is missing */
};

/**
 * Hands each batch to `each` (NULL: only looks), in order. `updates` are borrowed for the call.
 * `ret_result` is set on failure too: how far it came.
 *
 * -EUCLEAN: a segment is missing, or damaged, or has large values elsewhere (the text says which);
 * -EPROTO: of another store.
 */
MUST_USE int archive_walk(const struct archive_walk *walk,
    int (*each)(void *arg, int64_t timestamp_us, struct bytes updates, unsigned update_count),
    void *arg, struct archive_walk_result *ret_result);

#endif
