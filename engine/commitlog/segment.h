/*
 * Segments and records of the commit log as bytes (FORMAT.md): what the writer and replay share.
 */
#ifndef SSTFS_COMMITLOG_SEGMENT_H
#define SSTFS_COMMITLOG_SEGMENT_H

#include "engine/io.h"
#include "engine/mutation.h"

#define COMMITLOG_FOLDER "commitlog"

/** What a slot is for: its name begins with it. */
enum slot_kind { SLOT_RECORDS = 'r', SLOT_VALUES = 'v' };
/** Slots are numbered from 0; a log in need may have more of them than it will keep. */
#define SLOT_NUMBERS_MAX 64
#define SLOT_PATH_BYTES sizeof(COMMITLOG_FOLDER "/r00")
/** Of a slot, an archived segment, or a file of any name in the env's folder. */
#define SEGMENT_PATH_BYTES 272

#define SEGMENT_HEADER_BYTES 4096
#define SEGMENT_BYTES_MAX (2u << 30) /* an offset is 32 bits */

/** Values lie at multiples of it. */
#define VALUE_ALIGN 4096u
/** Values of one record. */
#define VALUES_MAX 64
#define VALUE_REFERENCE_BYTES 20

#define RECORD_ALIGN 8
#define RECORD_HEADER_BYTES 24
#define RECORD_SYNC_BYTES (RECORD_HEADER_BYTES + 16)
#define RECORD_END_BYTES RECORD_HEADER_BYTES
#define RECORD_BYTES_MAX (RECORD_HEADER_BYTES + BATCH_BYTES_MAX)
/* Bytes of a record that its own checksum does not cover: crc, length, timestamp. */
#define RECORD_UNCOVERED_BYTES 16

/** The NOTE that each segment begins with, and that comes before one is freed. */
#define SEGMENT_NOTE_TABLES 16
#define SEGMENT_NOTE_BYTES (RECORD_HEADER_BYTES + 16 + 8 * SEGMENT_NOTE_TABLES)

enum record_type { RECORD_BATCH = 1, RECORD_SYNC = 2, RECORD_END = 3, RECORD_NOTE = 4 };

struct record {
    uint32_t size; /* header and body, without padding */
    int64_t timestamp_us;
    enum record_type type;
    uint32_t update_count;
    unsigned value_count;
    const uint8_t *body; /* borrowed */
};

/** A part of a record's updates that lies in a slot of values. */
struct value_reference {
    uint32_t at; /* in the updates */
    uint32_t size;
    uint32_t crc;
    uint32_t page; /* where it begins in the slot, in VALUE_ALIGN */
    uint8_t slot;
    uint8_t table; /* whose updates these are */
};

struct segment_header {
    uint64_t id;
    uint64_t previous; /* the segment before it in the log; 0: none */
    uint8_t store_uuid[16];
    uint64_t created_us;
    uint64_t nonce; /* drawn anew each time, and part of each checksum */
};

/** What the log knew when it was written: for whoever has no manifest any more. */
struct segment_note {
    bool begins;       /* the first segment of a daemon: the log before it ended … */
    uint64_t cut_from; /* … here; what comes from there up to this segment never counted */
    uint64_t
        flushed[SEGMENT_NOTE_TABLES]; /* tables are flushed so far, as a durable manifest said */
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

/** The file of a slot, "commitlog/r07". */
void slot_path(enum slot_kind kind, unsigned number, char to[SLOT_PATH_BYTES]);
/** The slots of a kind that there are, a bit each. No folder: none. */
MUST_USE int slot_list(struct env *env, enum slot_kind kind, uint64_t *ret_slots);

/** `to` is the whole header, to be written at the beginning of a slot. */
void segment_encode_header(const struct segment_header *header, uint8_t to[SEGMENT_HEADER_BYTES]);
/** 1: a good header; 0: not what a segment begins with; -EOPNOTSUPP: of another version. */
MUST_USE int segment_decode_header(
    const uint8_t bytes[SEGMENT_HEADER_BYTES], struct segment_header *ret_header);

/** The header of the segment in a file: 1; 0: there is none. */
MUST_USE int segment_read_header(
    struct env *env, const char *path, struct segment_header *ret_header);

/** A segment, and the file that holds it. */
struct segment_place {
    struct segment_header header;
    unsigned slot; /* of one in the log's folder */
    char path[SEGMENT_PATH_BYTES];
};

struct segment_list {
    struct segment_place *all; /* ids ascend; from malloc */
    unsigned count;
    uint64_t slots; /* a bit for each slot that there is, also without a segment */
};
/**
 * The segments that there are, as the headers in the slots say. No folder: none. -EUCLEAN: one is
 * of another store.
 */
MUST_USE int segment_list(
    struct env *env, const uint8_t *store_uuid, struct segment_list *ret_list);

/** Segments that are no store's any more: in the env's folder, in files of any name. */
struct segment_files {
    const char *file; /* this one alone; NULL: all that begin as segments do */
};
/** The same of these. -EUCLEAN: the one file is no segment. */
MUST_USE int segment_list_files(
    struct env *env, const struct segment_files *files, struct segment_list *ret_list);
void segment_list_release(struct segment_list *list);

/* ---- records ---- */

/** What binds checksums to the store and to this life of the slot; part of each. */
uint64_t record_salt(const struct segment_header *header);
/** Fills the header but for place, timestamp and checksum. */
void record_begin(uint8_t header[RECORD_HEADER_BYTES], enum record_type type, uint32_t size,
    uint32_t update_count, unsigned value_count);
/** The checksum of the header and body, before place and time are known. */
uint32_t record_checksum(const uint8_t header[RECORD_HEADER_BYTES], struct bytes body);
/** Fills in place and timestamp, and with them the checksum. */
void record_seal(uint8_t header[RECORD_HEADER_BYTES], uint32_t checksum, uint64_t salt,
    uint64_t position, int64_t timestamp_us);
/** Writes a whole SYNC record, which must be sealed. */
void record_encode_sync(uint8_t to[RECORD_SYNC_BYTES], uint64_t covered, uint64_t sequence);
/** Writes a whole NOTE record, which must be sealed. */
void record_encode_note(uint8_t to[SEGMENT_NOTE_BYTES], const struct segment_note *note);
/** False: it is another kind of NOTE. */
bool record_decode_note(const struct record *record, struct segment_note *ret_note);
void value_reference_encode(
    const struct value_reference *reference, uint8_t to[VALUE_REFERENCE_BYTES]);
void value_reference_decode(
    const uint8_t from[VALUE_REFERENCE_BYTES], struct value_reference *ret_reference);
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
