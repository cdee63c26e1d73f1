/*
 * Which segments of the log the archive keeps: those that something may be restored over, which are
 * all from the point of the oldest snapshot on. The rest goes, whether or not the archive is on.
 */
#ifndef SSTFS_ENGINE_ARCHIVE_H
#define SSTFS_ENGINE_ARCHIVE_H

#include "engine/engine.h"

/** The position from which on the log is wanted, for commitlog_archive_from(). With `change` held,
 * or before there are tasks. */
uint64_t engine_archive_from(const struct engine *engine);
/** Snapshots have come or gone: tells the log what is wanted, and has what is not removed. A
 * failure is logged, and costs space until the next time. Takes `change`. */
void engine_archive_settle(struct engine *engine);
/** Segments in the archive, and their size. Cheap. */
void engine_archive_get(struct engine *engine, uint64_t *ret_segments, uint64_t *ret_bytes);

#endif
