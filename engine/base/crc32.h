/*
 * CRC-32 as zlib computes it (polynomial 0xEDB88320, init and final XOR 0xFFFFFFFF), by ISA-L.
 */
#ifndef SSTFS_BASE_CRC32_H
#define SSTFS_BASE_CRC32_H

#include "engine/bytes.h"

/** Continues `crc` (0 to begin) over `size` bytes. */
uint32_t crc32_update(uint32_t crc, const void *data, size_t size);

#endif
