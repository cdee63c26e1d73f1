/*
 * One new file, written from start to end in pieces of 1 MiB that go past the kernel's cache where
 * the disk can do that, with the CRC of all of it.
 *
 *   output_open -> [output_append | output_tail, output_commit] … -> output_end -> output_sync
 *
 * What is made in the tail is never copied again: it is written from there.
 */
#ifndef SSTFS_SSTABLE_OUTPUT_H
#define SSTFS_SSTABLE_OUTPUT_H

#include "engine/io.h"

enum output_path { OUTPUT_UNTRIED, OUTPUT_DIRECT, OUTPUT_BUFFERED };

struct output {
    struct env *env;
    char *path;
    int fd;         /* -1: not open */
    uint8_t *piece; /* what is not yet written, and room for the tail behind it */
    size_t size;    /* of what is not yet written; less than a piece */
    uint64_t written;
    uint32_t crc; /* of all so far, written or not */
    enum output_path pieces;
};

#define OUTPUT_INIT ((struct output){.fd = -1})

/** Makes the file, which must not be there. Takes `path` (from malloc) over. */
MUST_USE int output_open(struct output *output, struct env *env, char *path, size_t tail_bytes);
/** Bytes so far, written or not. */
static inline uint64_t output_position(const struct output *output)
{
    return output->written + output->size;
}
MUST_USE int output_append(struct output *output, struct bytes bytes);
/** Where the next bytes of the file may be made: room for the `tail_bytes` of output_open(). */
static inline uint8_t *output_tail(const struct output *output)
{
    return output->piece + output->size;
}
/** The first `size` bytes of the tail are the file's. */
MUST_USE int output_commit(struct output *output, size_t size);
/** Writes what is left; what is then to come is output_sync(), for which the device is at work. */
MUST_USE int output_end(struct output *output);
/** Syncs and closes. */
MUST_USE int output_sync(struct output *output);
/** Closes and removes the file if it was made and `remove`; frees. Always legal. */
void output_release(struct output *output, bool remove);

#endif
