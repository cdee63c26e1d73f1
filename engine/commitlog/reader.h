/*
 * Reading of segments, a window at a time; for replay.
 */
#ifndef SSTFS_COMMITLOG_READER_H
#define SSTFS_COMMITLOG_READER_H

#include "commitlog/segment.h"

/** The open segment, and the part of it in memory. Zero but for `env`: none. */
struct segment_reader {
    struct env *env;
    uint64_t id; /* 0: none is open */
    uint64_t salt;
    int fd;
    uint64_t file_bytes;
    uint8_t *window;
    uint64_t window_capacity;
    uint64_t window_offset;
    uint64_t window_bytes;

    /* What is good is written back, to be synced: see commitlog_secure(). */
    bool writes_back;
    uint64_t good_from, good_to; /* of the window, not written yet */
};

MUST_USE int segment_reader_open(struct segment_reader *reader, const struct segment_place *place);
void segment_reader_close(struct segment_reader *reader);
/** Everything before `offset` that was read is good: it is written back in time. */
void segment_reader_note_good(struct segment_reader *reader, uint64_t offset);
/** Writes back what is not yet; before closing. Opening another segment does it as well. */
MUST_USE int segment_reader_settle(struct segment_reader *reader);
/** Closes, and frees the window. */
void segment_reader_release(struct segment_reader *reader);
/** `size` bytes at `offset`, valid until the next call: 1; 0 if the file has not so many. */
MUST_USE int segment_reader_get(
    struct segment_reader *reader, uint64_t offset, uint64_t size, const uint8_t **ret);
/** A good record at `offset`: 1; anything else: 0. Its body is valid until the next call. */
MUST_USE int segment_reader_record(
    struct segment_reader *reader, uint64_t offset, struct record *ret_record);

#endif
