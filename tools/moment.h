/*
 * A moment, as people write one.
 */
#ifndef SSTFS_TOOLS_MOMENT_H
#define SSTFS_TOOLS_MOMENT_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Microseconds since 1970 of "2026-11-28 14:03[:05[.123456]][Z|+01:00]" (a T may stand for the
 * space; without Z or an offset it is local time), or of "@" and that number itself. False: it is
 * neither, or no such moment is.
 */
bool moment_parse(const char *text, int64_t *ret_us);

#endif
