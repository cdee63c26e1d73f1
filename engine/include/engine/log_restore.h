/*
 * A store as it was at any moment: a snapshot, and what was logged from its point on.
 *
 *   snapshot's folder --------> new store --- batch after batch, each as of when it was ---> at T
 *   archive/ (and commitlog/) ------------------^
 */
#ifndef SSTFS_ENGINE_LOG_RESTORE_H
#define SSTFS_ENGINE_LOG_RESTORE_H

#include "engine/engine.h"

/** Not a moment, but the end of the log. */
#define LOG_RESTORE_LATEST INT64_MAX

/** Where the log is: in a folder of archived segments, or, `is_store`, in the archive and the log
 * of a store that nobody has open. */
struct log_source {
    struct env *env;
    bool is_store;
};

struct log_restore_result {
    uint64_t batches;          /* that came after the snapshot's point */
    int64_t last_timestamp_us; /* of the newest of them, else the point's */
};

/**
 * Makes a store from the snapshot folder of `from`, as engine_create_from(), that is as of
 * `until_us` (the newest timestamp that counts). The log is read to its end twice, the first time
 * before anything is made; on failure what was made stays, for the caller to remove. Of `options`
 * tables and memory_bytes count.
 *
 * -EINVAL: it is before the snapshot's point, or the snapshot does not say where in the log it is;
 * -EUCLEAN: the log has a gap, damage, or ends too soon (the text says where); -EPROTO: it is of
 * another store; -EBUSY: the store is open; else as engine_create_from() and engine_open().
 */
MUST_USE int engine_create_at(struct env *env, struct env *from, const char *link_from,
    const struct engine_options *options, const struct log_source *log, int64_t until_us,
    struct log_restore_result *ret_result);

#endif
