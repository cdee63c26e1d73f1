/*
 * A run of new SSTables of one table, out of a scanner, a piece of work at a time: what flush and
 * compaction have in common.
 *
 *   run_writer_new --> run_writer_step … --> run_writer_link --> [manifest edit] -->
 * run_writer_free
 *
 * Files are written in tmp/ and synced there; run_writer_link() renames them into the table's
 * folder. Freed without run_writer_keep(), it removes all it has made.
 */
#ifndef SSTFS_ENGINE_RUN_WRITER_H
#define SSTFS_ENGINE_RUN_WRITER_H

#include "manifest.h"
#include "sstable/writer.h"

struct run_writer;

struct run_writer_options {
    unsigned table;
    uint64_t bytes_max; /* a file that has reached them is ended with its partition */
    unsigned
        range_bits; /* and so it is where the ring, in 2^range_bits equal ranges, has a bound */
    bool compacted;
    unsigned level;
    struct sstable_writer_options writer;
};

/** Takes the scanner over, also on failure. */
MUST_USE int run_writer_new(struct engine *engine, const struct run_writer_options *options,
    struct partition_scanner *scanner, struct run_writer **ret_run);
/** Some 1 MiB more. 1: there is more to do; 0: all is written and synced. */
MUST_USE int run_writer_step(struct run_writer *run);
/** Several of one table: its folder is synced once. */
MUST_USE int run_writer_link(struct run_writer *const *runs, size_t count);
/** The pieces, live, numbers and run still 0. */
struct manifest_sstable *run_writer_sstables(struct run_writer *run, size_t *ret_count);
/** The manifest names them now. */
void run_writer_keep(struct run_writer *run);
/** NULL does nothing. */
void run_writer_free(struct run_writer *run);

#endif
