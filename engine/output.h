/*
 * A run of new SSTables of one table, out of a scanner, a piece of work at a time: what flush and
 * compaction have in common.
 *
 *   output_new --> output_step … --> output_link --> [manifest edit] --> output_free
 *
 * Files are written in tmp/ and synced there; output_link() renames them into the table's folder.
 * Freed without output_keep(), it removes all it has made.
 */
#ifndef SSTFS_ENGINE_OUTPUT_H
#define SSTFS_ENGINE_OUTPUT_H

#include "manifest.h"
#include "sstable/writer.h"

struct output;

struct output_options {
    unsigned table;
    uint64_t bytes_max; /* a file that has reached them is ended with its partition */
    bool compacted;
    struct sstable_writer_options writer;
};

/** Takes the scanner over, also on failure. */
MUST_USE int output_new(struct engine *engine, const struct output_options *options,
    struct partition_scanner *scanner, struct output **ret_output);
/** Some 1 MiB more. 1: there is more to do; 0: all is written and synced. */
MUST_USE int output_step(struct output *output);
MUST_USE int output_link(struct output *output);
/** The pieces, live, numbers and run still 0. */
struct manifest_sstable *output_sstables(struct output *output, size_t *ret_count);
/** The manifest names them now. */
void output_keep(struct output *output);
/** NULL does nothing. */
void output_free(struct output *output);

#endif
