/*
 * Timestamps for people.
 */
#ifndef SSTFS_ENGINE_TIME_TEXT_H
#define SSTFS_ENGINE_TIME_TEXT_H

#include <stdint.h>

/** "2026-11-28T14:03:05.123456Z" and the final zero, for all that 64 bits can say. */
#define TIME_TEXT_BYTES 48
void time_text(int64_t timestamp_us, char to[TIME_TEXT_BYTES]);

#endif
