/*
 * The inside of an open SSTable, shared by opening (reader.c), lookups (lookup.c, promoted.c), one
 * row (row_lookup.c), slices (slice.c), scans (scanner.c) and verification (verify.c).
 */
#ifndef SSTFS_SSTABLE_READER_H
#define SSTFS_SSTABLE_READER_H

#include <stdatomic.h>

#include "cache/chunk_cache.h"
#include "sstable/compression.h"
#include "sstable/descriptor.h"
#include "sstable/filter.h"
#include "sstable/index.h"
#include "sstable/index_map.h"
#include "sstable/stats.h"
#include "sstable/summary.h"

/** Where the chunks of Data.db lie, or what their checksums are; loaded when first needed. */
struct chunk_table {
    struct buf
        content; /* CompressionInfo.db or CRC.db; empty: an uncompressed table without CRCs */
    struct compression_info compression; /* if it is compressed */
};

#define SUMMARY_BYTES_MAX (1ull << 32)

struct sstable {
    _Atomic uint32_t references;
    struct env *env;
    struct chunk_cache *cache;
    char *folder;
    struct sstable_id id;
    struct sstable_facts facts;
    component_set components;

    struct arena arena;             /* of header and own schema */
    struct table_schema own_schema; /* as the header has it */
    const struct table_schema *schema;
    struct serialization_header header;
    struct component_digests digests; /* what Digest.crc32 has */
    struct buf statistics_content;
    struct statistics statistics;
    struct buf keys_content; /* Summary.db */
    struct bytes first_key, last_key;

    int data_fd, index_fd;
    int lookup_fd;       /* Data.db too, for single rows: the kernel reads nothing ahead */
    uint64_t cache_file; /* its name in the chunk cache */
    uint64_t index_bytes;
    bool is_compressed;
    uint32_t chunk_bytes;
    uint32_t max_compressed_bytes;

    /* Loaded by the first who needs it; whoever comes second frees his own. */
    _Atomic(struct chunk_table *) chunks;
    _Atomic(struct index_map *) index_map;
    _Atomic(struct sstable_filters *) filters;

    _Atomic uint64_t filter_negatives, filter_false_positives, chunk_reads, index_reads;
};

/** -EUCLEAN (or `code`), with file, offset and what is wrong put in front of the thread's words. */
MUST_USE int sstable_damaged(
    const struct sstable *sstable, int code, enum sstable_component component, uint64_t offset);

MUST_USE int sstable_get_chunks(struct sstable *sstable, const struct chunk_table **ret_chunks);
MUST_USE int sstable_get_index_map(struct sstable *sstable, const struct index_map **ret_map);
MUST_USE int sstable_get_filters(
    struct sstable *sstable, const struct sstable_filters **ret_filters);
/** Frees what the above loaded; for the last unref. */
void sstable_free_loaded(struct sstable *sstable);
/** Whether all of a component, whose CRC-32 is `crc`, is as it was written: 0, if that is known. */
MUST_USE int sstable_check_digest(
    const struct sstable *sstable, enum sstable_component component, uint32_t crc);
/** The whole of a component, which is checked; not there: -ENOENT. */
MUST_USE int sstable_read_component(const struct sstable *sstable, enum sstable_component component,
    size_t size_max, struct buf *ret_content);

/* ---- streams: bytes of Data.db (uncompressed) and of Index.db by position ---- */

enum stream_kind {
    STREAM_DATA,
    STREAM_INDEX,
};

/** How it is read: what the kernel reads ahead is worth its time to a slice, not to one row. */
enum stream_use {
    STREAM_ONE_ROW,    /* pieces of the chunk cache, nothing around them */
    STREAM_SLICE,      /* pieces of the chunk cache */
    STREAM_SEQUENTIAL, /* own buffers and read-ahead */
};

struct stream {
    struct sstable *sstable;
    enum stream_kind kind;
    enum stream_use use;
    bool rows_are_large;               /* of a slice: read past the cache from then on */
    const struct index_map *index_map; /* of Index.db; NULL: not needed yet */
    uint64_t expected_end;             /* random: what is read is likely to go on up to here */
    uint64_t size;
    uint32_t piece_bytes;
    struct chunk *held; /* random: the piece that was asked for last */
    uint64_t held_number;
    struct buf window; /* contiguous bytes: of rows across pieces, or all (sequential) */
    uint64_t window_position;
    struct buf raw; /* stored bytes: of one chunk, or read ahead */
    uint64_t raw_offset;
};

void stream_init(
    struct stream *stream, struct sstable *sstable, enum stream_kind kind, enum stream_use use);
/** What will be read of a random stream of data goes on up to `end`, likely: chunks that lie
 * between come with one read. */
static inline void stream_expect(struct stream *stream, uint64_t end)
{
    stream->expected_end = end;
}
/** Always legal on a zeroed one. */
void stream_release(struct stream *stream);
/**
 * At least `want` contiguous bytes at `position`, or what is left up to the end, borrowed until
 * the next call. May be more. -EUCLEAN when `position` is behind the end.
 */
MUST_USE int stream_window(
    struct stream *stream, uint64_t position, size_t want, struct bytes *ret_window);

/** Tries a decoder on windows that grow until it has enough, at most `max` bytes. */
typedef enum data_result (*stream_decode)(struct decoder *d, void *arg);
/**
 * `ret_window` begins with the `ret_bytes` that were decoded. Damage is -EUCLEAN with `what` in its
 * words.
 */
MUST_USE int stream_get(struct stream *stream, uint64_t position, size_t max, const char *what,
    stream_decode decode, void *arg, struct bytes *ret_window, size_t *ret_bytes);

/* ---- the index ---- */

/** 1 and the entry (key borrowed from the stream), with its place in Index.db; 0: not there. */
MUST_USE int sstable_find_entry(struct sstable *sstable, struct stream *index,
    const struct decorated_key *key, struct index_entry *ret_entry, uint64_t *ret_entry_at);
/** Whether no row from `start` to `end` can be here, of any partition. */
bool sstable_rows_are_outside(
    const struct sstable *sstable, const struct clustering *start, const struct clustering *end);
/**
 * The same for readers, whom a filter told that it may be there: 0 also if nothing between `start`
 * (NULL: the static row is asked for) and `end` can be.
 */
MUST_USE int sstable_find_partition(struct sstable *sstable, struct stream *index,
    const struct decorated_key *key, const struct clustering *start, const struct clustering *end,
    struct index_entry *ret_entry, uint64_t *ret_entry_at);
/** False only if neither the row is here, nor anything that deletes it with others. */
bool sstable_may_contain_row(
    struct sstable *sstable, const struct decorated_key *key, const struct clustering *clustering);
/** The first entry with a token of at least `token`; 0: none. */
MUST_USE int sstable_find_token(
    struct sstable *sstable, struct stream *index, int64_t token, struct index_entry *ret_entry);
/** Where the partition of an entry ends in the uncompressed stream: where the next one begins. What
 * was borrowed of the index is gone then. */
MUST_USE int sstable_partition_end(
    struct stream *index, uint64_t entry_at, uint64_t entry_bytes, uint64_t *ret_end);
/** 1 and the bytes of the partition in the uncompressed stream; 0: not there. */
MUST_USE int sstable_partition_bytes(
    struct sstable *sstable, const struct decorated_key *key, uint64_t *ret_bytes);
/** The same of the blocks of its promoted index that hold anything of the slice; of a partition
 * without, all. */
MUST_USE int sstable_slice_bytes(struct sstable *sstable, const struct decorated_key *key,
    const struct slice *slice, uint64_t *ret_bytes);
/** The entry at a place in Index.db. */
MUST_USE int stream_get_entry(struct stream *index, uint64_t at, struct index_entry *ret_entry);

/** Where reading begins, and which range tombstone is open there. */
struct block_place {
    uint64_t position;
    uint64_t end; /* of the block, in the stream; what promoted_index_seek() found */
    struct deletion open;
};

/**
 * By the promoted index of `entry`, which has one: 1 and the first block that ends at or behind
 * `start`; 0: all end before it.
 */
MUST_USE int promoted_index_seek(struct stream *index, const struct index_entry *entry,
    uint64_t entry_at, const struct clustering *start, struct block_place *ret_place);

/* ---- one partition, unfiltered by unfiltered ---- */

struct partition_cursor {
    struct stream *data; /* borrowed */
    const struct serialization_header *header;
    uint64_t position; /* of the next unfiltered in the stream */
    struct decorated_key key;
    struct deletion deletion;
    struct buf key_memory, static_memory;
    struct row_memory static_row_memory, row_memory;
    struct unfiltered static_row; /* if has_static_row */
    bool has_static_row;
    bool at_end;
    uint64_t start, rows_position;

    /* The head that was looked at, and where it lies. */
    struct clustering_memory clustering_memory;
    struct unfiltered_head head;
    size_t head_bytes;
    struct bytes window; /* begins at the position; empty: nothing is at hand */
    struct unfiltered unfiltered;
    struct bytes body; /* of the unfiltered that was taken, as it is stored */
};

void partition_cursor_init(struct partition_cursor *cursor, struct stream *data);
void partition_cursor_release(struct partition_cursor *cursor);
/** Reads key, deletion and static row at `position`. */
MUST_USE int partition_cursor_open(struct partition_cursor *cursor, uint64_t position);
/**
 * As open, but for one row of the partition that is known: `key` is borrowed, and the static row is
 * still to be passed. -EUCLEAN: another partition lies there.
 */
MUST_USE int partition_cursor_enter(
    struct partition_cursor *cursor, uint64_t position, const struct decorated_key *key);
/** Goes over the static row, if the table has any; `take`: into cursor->unfiltered. */
MUST_USE int partition_cursor_pass_static_row(struct partition_cursor *cursor, bool take);
/** To an unfiltered that the promoted index told of. */
void partition_cursor_jump(struct partition_cursor *cursor, uint64_t position);
/** Looks at the next head (cursor->head), without moving: 1; 0: the end of the partition. */
MUST_USE int partition_cursor_peek(struct partition_cursor *cursor);
/** Over the head that peek gave, without looking at its body. */
void partition_cursor_skip(struct partition_cursor *cursor);
/** Decodes what peek gave into cursor->unfiltered, valid until the next call, and goes over it. */
MUST_USE int partition_cursor_take(struct partition_cursor *cursor);
/**
 * Whether all of `columns` (bits by the schema's numbers) are in a run of few, and rows may be
 * large and even: then these are read without the others.
 */
bool sstable_find_part(
    const struct sstable *sstable, uint64_t columns, struct column_run *ret_part);
/** As take, but of an even row the cells of `part` only. Its clustering is `clustering`, which is
 * equal and outlives it. */
MUST_USE int partition_cursor_take_part(struct partition_cursor *cursor,
    const struct clustering *clustering, const struct column_run *part);

/**
 * Range tombstones nest never: what a marker closes must be open, what it opens must not. Follows
 * the one that is open; -EUCLEAN.
 */
MUST_USE int partition_cursor_follow(
    struct partition_cursor *cursor, const struct unfiltered *unfiltered, struct deletion *open);
/** At the partition's end: nothing may be open. */
MUST_USE int partition_cursor_check_closed(struct partition_cursor *cursor, struct deletion open);

#endif
