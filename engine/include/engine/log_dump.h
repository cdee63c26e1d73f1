/*
 * The commit log as text, for people: every mutation that is in it, and every hole. Of a store that
 * nobody has open, or of a folder with segments of one. Nothing is written.
 */
#ifndef SSTFS_ENGINE_LOG_DUMP_H
#define SSTFS_ENGINE_LOG_DUMP_H

#include "engine/buf.h"
#include "engine/engine.h"

/** Takes what is in the buffer, and clears it. */
typedef int (*log_dump_sink)(void *arg, struct buf *text);

/**
 * A JSON array with an object for each batch, in the order of the log: where it lies, its
 * timestamp, its partition updates, each as an SSTable of it alone would be printed
 * (engine/print.h), and the tables whose large values are gone, as they are when they were flushed.
 * One for each hole, and a last one that says where the log ends.
 *
 * The env's folder is a store. `ret_holes`: how many holes there are. -EBUSY: somebody has the
 * store open.
 */
MUST_USE int engine_dump_log(struct env *env, const struct table_schema *tables,
    unsigned table_count, log_dump_sink sink, void *arg, uint64_t *ret_holes);
/** The same of segments in files of any name in the env's folder, of whatever store: a copy of its
 * folder `commitlog`, an archive. `file` not NULL: of this one alone; -EUCLEAN: it is none. */
MUST_USE int engine_dump_segments(struct env *env, const char *file,
    const struct table_schema *tables, unsigned table_count, log_dump_sink sink, void *arg,
    uint64_t *ret_holes);

#endif
