/*
 * Names of archived log segments, in the archive of a store and wherever it was copied to.
 */
#ifndef SSTFS_ENGINE_ARCHIVE_NAME_H
#define SSTFS_ENGINE_ARCHIVE_NAME_H

#include <stdbool.h>
#include <stdint.h>

/** "0123456789abcdef.log", with the NUL. */
#define ARCHIVE_NAME_BYTES sizeof("0123456789abcdef.log")

void archive_name(uint64_t segment, char to[ARCHIVE_NAME_BYTES]);
/** False: no archived segment has this name. */
bool archive_parse_name(const char *name, uint64_t *ret_segment);

#endif
