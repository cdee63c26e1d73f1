/*
 * One new file, written from start to end in pieces of 1 MiB, with the CRC of all of it.
 */
#ifndef SSTFS_SSTABLE_OUTPUT_H
#define SSTFS_SSTABLE_OUTPUT_H

#include "engine/buf.h"
#include "engine/io.h"

struct output {
    struct env *env;
    char *path;
    int fd;            /* -1: not open */
    struct buf buffer; /* what is not yet written; append to it, then output_flush_if_full() */
    uint64_t written;
    uint32_t crc; /* of what is written */
};

#define OUTPUT_INIT ((struct output){NULL, NULL, -1, BUF_INIT, 0, 0})

/** Makes the file, which must not be there. Takes `path` (from malloc) over. */
MUST_USE int output_open(struct output *output, struct env *env, char *path);
/** Bytes so far, written or not. */
static inline uint64_t output_position(const struct output *output)
{
    return output->written + output->buffer.size;
}
/** Writes whole pieces out; the buffer's sticky error comes out here. */
MUST_USE int output_flush_if_full(struct output *output);
/** Writes what is left, syncs and closes. The CRC is then that of the file. */
MUST_USE int output_finish(struct output *output);
/** Closes and removes the file if it was made and `remove`; frees. Always legal. */
void output_release(struct output *output, bool remove);

#endif
