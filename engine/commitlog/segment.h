/*
 * Segments and records of the commit log as bytes (FORMAT.md): what the writer and replay share.
 */
#ifndef SSTFS_COMMITLOG_SEGMENT_H
#define SSTFS_COMMITLOG_SEGMENT_H

#include "engine/io.h"
#include "engine/mutation.h"

#define COMMITLOG_FOLDER "commitlog"

#define SEGMENT_HEADER_BYTES 4096
#define SEGMENT_NAME_DIGITS 16
#define SEGMENT_PATH_BYTES (sizeof(COMMITLOG_FOLDER "/") + SEGMENT_NAME_DIGITS)
#define SEGMENT_BYTES_MAX (2u << 30) /* an offset is 32 bits */

#define RECORD_ALIGN 8
#define RECORD_HEADER_BYTES 24
#define RECORD_SYNC_BYTES (RECORD_HEADER_BYTES + 16)
#define RECORD_END_BYTES RECORD_HEADER_BYTES
#define RECORD_BYTES_MAX (RECORD_HEADER_BYTES + BATCH_BYTES_MAX)
/* Bytes of a record that its own checksum does not cover: crc, length, timestamp. */
#define RECORD_UNCOVERED_BYTES 16

enum record_type { RECORD_BATCH = 1, RECORD_SYNC = 2, RECORD_END = 3, RECORD_NOTE = 4 };

struct record {
    uint32_t size; /* header and body, without padding */
    int64_t timestamp_us;
    enum record_type type;
    uint32_t update_count;
    const uint8_t *body; /* borrowed */
};

struct segment_header {
    uint64_t id;
    uint64_t previous; /* the segment before it in the log; 0: none */
    uint8_t store_uuid[16];
    uint64_t created_us;
};

static inline uint64_t position_of(uint64_t segment, uint64_t offset)
{
    return segment << 32 | offset;
}

static inline uint64_t position_segment(uint64_t position)
{
    return position >> 32;
}

static inline uint64_t position_offset(uint64_t position)
{
    return position & UINT32_MAX;
}

static inline uint64_t record_aligned(uint64_t size)
{
    return (size + RECORD_ALIGN - 1) & ~(uint64_t)(RECORD_ALIGN - 1);
}

/* ---- segments ---- */

void segment_path(uint64_t id, char to[SEGMENT_PATH_BYTES]);
/**
 * A new file of `bytes`, its space taken, its header written; neither content nor name is synced.
 * -ENOSPC and the like leave nothing behind; -EIO may leave what could not be removed, which
 * replay must not take for a segment: no log may be written after it.
 */
MUST_USE int segment_create(
    struct env *env, const struct segment_header *header, uint64_t bytes, int *ret_fd);
/** 1: a good header; 0: not what a segment begins with; -EOPNOTSUPP: of a newer version. */
MUST_USE int segment_decode_header(
    const uint8_t bytes[SEGMENT_HEADER_BYTES], struct segment_header *ret_header);

struct segment_ids {
    uint64_t *all; /* ascending; from malloc */
    unsigned count;
    unsigned capacity;
};
/** The segments that there are. No folder: none. */
MUST_USE int segment_list(struct env *env, struct segment_ids *ret_ids);
void segment_ids_release(struct segment_ids *ids);

/* ---- records ---- */

/** What binds checksums to the store; part of each. */
uint64_t record_salt(const uint8_t store_uuid[16]);
/** Fills the header but for place, timestamp and checksum. */
void record_begin(uint8_t header[RECORD_HEADER_BYTES], enum record_type type, uint32_t size,
    uint32_t update_count);
/** The checksum of the header and body, before place and time are known. */
uint32_t record_checksum(const uint8_t header[RECORD_HEADER_BYTES], struct bytes body);
/** Fills in place and timestamp, and with them the checksum. */
void record_seal(uint8_t header[RECORD_HEADER_BYTES], uint32_t checksum, uint64_t salt,
    uint64_t position, int64_t timestamp_us);
/** Writes a whole SYNC record, which must be sealed. */
void record_encode_sync(uint8_t to[RECORD_SYNC_BYTES], uint64_t covered, uint64_t sequence);
/** The position that a SYNC record says is covered. */
uint64_t record_sync_covered(const struct record *record);

/**
 * Could a record begin here? Its size if so, else 0. Needs RECORD_HEADER_BYTES at `header`; says
 * nothing about the checksum.
 */
uint32_t record_plausible_size(const uint8_t header[RECORD_HEADER_BYTES]);
/** Checks the `size` plausible bytes that lie at `position`. */
bool record_decode(const uint8_t *bytes, uint32_t size, uint64_t salt, uint64_t position,
    struct record *ret_record);

#endif
