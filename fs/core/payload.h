/*
 * What a write brings: pieces of memory, one behind the other, of which some may stay where they
 * are (fs_write_pieces()).
 */
#ifndef SSTFS_FS_CORE_PAYLOAD_H
#define SSTFS_FS_CORE_PAYLOAD_H

#include "fs/fs.h"

struct payload {
    const struct fs_piece *pieces;
    unsigned count;
    size_t size;         /* of all */
    size_t copied_bytes; /* of those that do not stay */
};

struct payload payload_of(const struct fs_piece *pieces, unsigned count);
/**
 * The bytes [at, at + size) in one piece; with its buffer, if they may stay in it. If they lie in
 * two pieces they are copied to `scratch`, of `size` bytes.
 */
struct fs_piece payload_slice(
    const struct payload *payload, size_t at, size_t size, uint8_t *scratch);
void payload_copy(const struct payload *payload, size_t at, size_t size, uint8_t *to);

#endif
