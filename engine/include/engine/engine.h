/*
 * The storage engine: tables of partitions of rows, written as timestamped mutations, read by key
 * and slice. It knows nothing of files.
 *
 *   admit --> (caller's locks) --> apply: commit log + timestamp, memtable --> await --> ack
 *   get, scan: memtables + SSTables, merged by timestamp
 *   background: flush, compaction, snapshot completion, freeing of log
 *
 * Nothing up to "what only a local store has" assumes local files: a second library with the same
 * functions can hand the same mutations to a Cassandra cluster.
 *
 * All functions return 0 (or a result) or a negative errno, with words in engine/error.h. All are
 * thread-safe unless they say otherwise.
 */
#ifndef SSTFS_ENGINE_ENGINE_H
#define SSTFS_ENGINE_ENGINE_H

#include "engine/latency.h"
#include "engine/io.h"
#include "engine/mutation.h"
#include "engine/schema.h"
#include "engine/sstable.h"
#include "engine/unfiltered.h"

struct engine;
struct source; /* what get and scan read: the live store, or one snapshot */
struct cursor;

#define ENGINE_TABLES_MAX 16
#define ENGINE_FORMAT_VERSION 1

enum sync_mode {
    SYNC_PERIODIC, /* acknowledge at once, sync every period */
    SYNC_GROUP,    /* wait for a shared sync, at most some 15 ms away */
    SYNC_BATCH,    /* sync before every acknowledgement */
};

struct engine_options {
    const struct table_schema *tables; /* must outlive the engine; table numbers are places here */
    unsigned table_count;
    uint64_t memory_bytes; /* memtables, caches and buffers together; at least 32 MiB */
    enum sync_mode sync_mode;
    uint64_t sync_period_us;   /* SYNC_PERIODIC; 1 to 60 s */
    bool read_only;            /* not a byte is written; needed for a snapshot's folder */
    bool all_sstables;         /* read_only: a folder without store.json and snapshot.json is opened
                                  too, with all SSTables that lie in it, as those of Cassandra's
                                  snapshots; its node number is 0 */
    unsigned flush_tasks;      /* that write memtables out; 0: half of the processors, at most 8 */
    uint64_t flush_part_bytes; /* a memtable is split among them in parts not smaller; 0: 8 MiB */
    bool archive;              /* segments of the log from the oldest snapshot's point on are kept
                                  in archive/, for engine/log_restore.h. -EOPNOTSUPP: the disk has
                                  no hard links */
    int64_t gc_grace_s;        /* 0: tombstones go as soon as nothing lies below them */
};

/** The facts of store.json (of a snapshot folder: of its snapshot.json). */
struct store_identity {
    uint8_t uuid[16];
    uint32_t node; /* 14 bits, never 0: top bits of the inode numbers made here */
    uint32_t format_version;
    uint64_t created_us;
};

/* ---- a store's life ---- */

/** Makes an empty store in the env's folder, which must be empty (-ENOTEMPTY) and writable. */
MUST_USE int engine_create(
    struct env *env, const struct table_schema *tables, unsigned table_count);
/**
 * Whether the env's folder, of a snapshot or a copy of one, has all files of SSTables that its
 * snapshot.json names, in their sizes; no content is read. -EUCLEAN: it has not, the words name the
 * first. -ENOENT: there is no snapshot.json.
 */
MUST_USE int engine_check_snapshot_files(
    struct env *env, const struct table_schema *tables, unsigned table_count);
/**
 * Makes a store from the snapshot folder of `from` (another env; files are linked when `link_from`,
 * the path of that folder seen from `env`, is given and can be linked, else copied): the same rows,
 * a new uuid and node number. -EUCLEAN: files are missing or cut short; nothing was made.
 */
MUST_USE int engine_create_from(struct env *env, struct env *from, const char *link_from,
    const struct table_schema *tables, unsigned table_count);

/**
 * Makes a store that nobody has open what it was at a snapshot. What it is now stays as the
 * snapshot `keep_as`; the other snapshots stay too. One edit: a crash leaves the one state or the
 * other. It gets a new node number, as later snapshots have inode numbers that will be given again.
 * -ENOENT; -EAGAIN: the snapshot is not complete; else as engine_open() and
 * engine_snapshot_create().
 */
MUST_USE int engine_rollback(
    struct env *env, const struct engine_options *options, const char *tag, const char *keep_as);

/**
 * Opens a store, or (read_only) a snapshot's folder: recovers from whatever happened before.
 * -ENOTDIR: not a store; -EPROTO: of a newer format version; -EBUSY: another process has it open
 * (text says which); -EUCLEAN: durable data is damaged (text says segment, offset and remedy).
 */
MUST_USE int engine_open(
    struct env *env, const struct engine_options *options, struct engine **ret_engine);
#define CLOSE_FLUSH 1u /* memtables to SSTables first, so that the next open replays nothing */
/** Ends background work, syncs the log, frees. The first failure is returned, all is freed. */
int engine_close(struct engine *engine, unsigned flags);
/** The share of memory_bytes that is left to the caller. */
uint64_t engine_memory_for_callers(const struct engine *engine);
void engine_identity(const struct engine *engine, struct store_identity *ret_identity);
/** 0, or the negative errno of the failure that made the store read-only. */
int engine_failure(const struct engine *engine);

/* ---- writing ---- */

/** How a mutation is admitted when memory or disk run short. */
enum admission {
    ADMIT_GROW,    /* may meet -ENOSPC and waits for memory */
    ADMIT_RECLAIM, /* gives space back (unlink, truncate down, small attributes): admitted when full
                    */
};

/** Called once, from another thread (the last by that of engine_close()), never from within the
 * call that was given it. */
typedef void (*engine_go)(void *arg, int r);

/**
 * Space in memory (and on disk) for about `bytes` of mutations of `table`; outside all locks of the
 * caller. Gives an empty batch (to engine_apply() or batch_free(), which give the space back).
 * 0; -ENOSPC; -EROFS, -EIO: the store takes no writes; -EINPROGRESS: `*ret_batch` will be set and
 * go(arg, r) called when it may go on (r as above). `go` NULL: waits instead.
 */
MUST_USE int engine_admit(struct engine *engine, unsigned table, uint64_t bytes,
    enum admission admission, engine_go go, void *arg, struct batch **ret_batch);
void engine_discard_batch(struct engine *engine, struct batch *batch);

/** Memory for a value that is to come, for batch_cell_shared(): with one reference, to be given
 * back before engine_close(). It is counted where it is held: ask engine_admit() for all of it.
 * NULL: no memory. */
struct value_buffer *engine_value_buffer(struct engine *engine);

/**
 * Log and memtables: after it the batch is a fact that survives the daemon. Takes the batch over,
 * also on failure. `ret_position`: for engine_await(). An empty batch is no error: position 0.
 */
MUST_USE int engine_apply(struct engine *engine, struct batch *batch, uint64_t *ret_position);

/**
 * Waits for what the sync mode asks before acknowledging what was applied at `position` (which
 * SYNC_PERIODIC answers at once), or with `force` for a sync of everything up to there, as fsync
 * does. 0, -EIO, or -EINPROGRESS if go() will be called. `go` NULL: waits.
 */
MUST_USE int engine_await(
    struct engine *engine, uint64_t position, bool force, engine_go go, void *arg);

/** Just past the newest batch applied: what fsync of a file that was forgotten awaits. */
uint64_t engine_position(struct engine *engine);
/** Newest timestamp given, µs. */
int64_t engine_now(struct engine *engine);

/* ---- reading ---- */

/** The live store. Lives as long as the engine; never closed. */
struct source *engine_live(struct engine *engine);

/** A row read: tombstones applied and gone, expired cells gone. Release it (ROWREF_INIT: legal). */
struct rowref {
    struct row row;
    void *memory; /* private */
};
#define ROWREF_INIT ((struct rowref){0})
void rowref_release(struct rowref *ref);
/** The row's cell of a simple column, or NULL. */
const struct cell *row_cell(const struct row *row, unsigned column);

#define COLUMNS_ALL UINT64_MAX
/** 1 and the row (`clustering` NULL: the static row); 0: there is none. `columns`: a bit each. When
 * all of these are simple and were written after the row was inserted, its liveness may be missing
 * or one from before.
 */
MUST_USE int engine_get(struct source *source, unsigned table, struct bytes key,
    const struct clustering *clustering, uint64_t columns, struct rowref *ret_row);

/** Live rows of a slice in clustering order. Between calls it holds neither lock nor view. */
MUST_USE int engine_scan(struct source *source, unsigned table, struct bytes key,
    const struct slice *slice, uint64_t columns, struct cursor **ret_cursor);
/** 1 and the next row, borrowed until the next call; 0 at the end. One thread at a time. */
MUST_USE int cursor_next(struct cursor *cursor, const struct row **ret_row);
/** NULL does nothing. */
void cursor_close(struct cursor *cursor);

/** False (0) only if the partition surely has no data: memtables, ranges, filters. */
MUST_USE int engine_may_contain(struct source *source, unsigned table, struct bytes key);

/** All partitions of a table, merged, tombstones included (as an SSTable of all would hold). */
MUST_USE int engine_scan_table(
    struct source *source, unsigned table, struct partition_scanner **ret_scanner);
/** The same with live rows only; partitions without any are left out. */
MUST_USE int engine_scan_table_live(
    struct source *source, unsigned table, struct partition_scanner **ret_scanner);

/* ---- what only a local store has ---- */

#define TABLES_ALL UINT64_MAX
/** Memtables of `tables` (a bit each) to SSTables; returns when they are live. */
MUST_USE int engine_flush(struct engine *engine, uint64_t tables);
/**
 * All that was applied by now to archive/, as far as it lies behind the oldest snapshot's point: a
 * segment of the log is ended for it. 1; 0: the store is open without an archive. -ENOSPC and the
 * like: it comes there when there is space.
 */
MUST_USE int engine_archive_log(struct engine *engine);
/** Merges all SSTables of each table into one (size-capped); returns when done. */
MUST_USE int engine_compact(struct engine *engine, uint64_t tables);

/** [A-Za-z0-9][A-Za-z0-9._:+-]{0,199}, not "latest", not "log". */
#define SNAPSHOT_TAG_MAX 200
bool snapshot_tag_is_valid(const char *tag);

struct snapshot_info {
    const char *tag;   /* borrowed for the call */
    uint64_t point_us; /* newest timestamp in it */
    uint64_t created_us;
    bool complete;
    int failure;           /* negative errno of the last try to complete it, 0 */
    uint64_t total_bytes;  /* of its SSTables */
    uint64_t unique_bytes; /* of these, those of no other tag */
    uint64_t freed_bytes;  /* of these, those not live either: what deleting it gives back */
    uint64_t sstables;
    uint64_t expires_us; /* when whoever cleans up may delete it, since 1970; 0: never */
    const char *holds;   /* borrowed: names of who keeps it, a newline after each; "": nobody */
};

/** One consistent point over all tables, durable on return; completed in the background. -EEXIST,
 * -EINVAL (tag), -EOPNOTSUPP (no hard links here). */
MUST_USE int engine_snapshot_create(struct engine *engine, const char *tag);
typedef int (*snapshot_each)(void *arg, const struct snapshot_info *info);
/** Oldest first. */
MUST_USE int engine_snapshot_list(struct engine *engine, snapshot_each each, void *arg);
/** 0 when its folder snapshots/TAG is complete and durable; -ENOENT; else as engine_await(). */
MUST_USE int engine_snapshot_await(struct engine *engine, const char *tag, engine_go go, void *arg);
MUST_USE int engine_snapshot_rename(struct engine *engine, const char *tag, const char *to);
/** -EBUSY: somebody holds it. */
MUST_USE int engine_snapshot_delete(struct engine *engine, const char *tag);
/**
 * The store at the snapshot's point, to be read as engine_live(). Close it before the snapshot is
 * deleted or renamed, as its files are opened when they are first read; and before the engine.
 * -ENOENT; -EAGAIN: it is not complete.
 */
MUST_USE int engine_open_snapshot(
    struct engine *engine, const char *tag, struct source **ret_source);
/** NULL does nothing. */
void engine_close_snapshot(struct source *source);
/** Only a note: the engine itself deletes no snapshot. `expires_us` since 1970; 0: never. */
MUST_USE int engine_snapshot_set_expiry(
    struct engine *engine, const char *tag, uint64_t expires_us);
/** [A-Za-z0-9][A-Za-z0-9._:+-]{0,63} */
#define SNAPSHOT_HOLD_MAX 64
/** While it has a hold it is not deleted. -EEXIST: one of that name; -EINVAL. */
MUST_USE int engine_snapshot_hold(struct engine *engine, const char *tag, const char *name);
/** `name` NULL: all of them, there may be none. -ENODATA: no hold of that name. */
MUST_USE int engine_snapshot_release(struct engine *engine, const char *tag, const char *name);
/** What deleting all of `tags` gives back: more than the sum, if they share what no other has. */
MUST_USE int engine_snapshot_freed(
    struct engine *engine, const char *const *tags, size_t count, uint64_t *ret_bytes);

/** An SSTable that is live (or belongs to the snapshot folder opened). */
struct engine_sstable {
    unsigned table;
    unsigned level;         /* COMPACT_LEVELLED: 0 as flushed, from 1 on none overlaps another */
    uint64_t garbage_bytes; /* about so many of total_bytes newer ones delete or replace */
    const struct sstable_facts *facts; /* for the call */
};
/** Each of them, by table. What `each` returns other than 0 ends it, and is returned. */
typedef int (*sstable_each)(void *arg, const struct engine_sstable *sstable);
MUST_USE int engine_sstables(struct engine *engine, sstable_each each, void *arg);

/** What is wrong with a file, in words that name it. A negative answer ends the search. */
typedef int (*engine_file_finding)(void *arg, const char *text);
/**
 * Whether all their files are there, in the sizes that snapshot.json or the manifest knows (of a
 * store: of Data.db, and of all of an SSTable together). No content is read. Of `all_sstables`
 * nothing is known. 0, however much is found; what `finding` returned; or a negative errno.
 */
MUST_USE int engine_check_files(struct engine *engine, engine_file_finding finding, void *arg);

/** Their files were replaced by whole ones of the same names (scrub): those that are open are
 * closed, to be opened again on demand, and what was suspect is so no longer. */
void engine_reopen_sstables(struct engine *engine);

/** What is timed. */
enum engine_latency {
    LATENCY_ADMISSION, /* of who was paced or had to wait */
    LATENCY_APPLY,     /* log and memtables; every 16th */
    LATENCY_SYNC,      /* of the log */
    LATENCY_GET,       /* every 16th */
    LATENCY_SCAN,      /* one page of a cursor */
    LATENCY_FLUSH,     /* of one memtable */
    ENGINE_LATENCIES
};
const char *engine_latency_name(enum engine_latency latency);

struct engine_stats {
    uint64_t batches, batch_bytes, gets, scans, scan_rows;
    uint64_t log_records, log_bytes, log_syncs, log_segments;
    uint64_t log_value_syncs; /* files of large values that were synced: in no SSTable in time */
    uint64_t archive_segments, archive_bytes;
    uint64_t memtable_bytes, memtable_bytes_max;
    uint64_t carries; /* memtables written to the log again, and not to SSTables */
    uint64_t flushes, flush_bytes, compactions, compaction_bytes_read, compaction_bytes_written;
    uint64_t sstables, sstable_bytes;
    uint64_t sstables_open, sstable_memory_bytes, sstables_closed; /* closed for want of memory */
    uint64_t cache_hits, cache_misses, cache_bytes;
    uint64_t key_cache_hits, key_cache_misses; /* where partitions lie */
    uint64_t landmark_hits, landmark_misses;   /* where rows lie in blocks of an index */
    uint64_t admissions_paced, admissions_parked;
    uint64_t filter_negatives, filter_false_positives;
    uint64_t replayed_records, replay_dropped_bytes;
    uint64_t snapshots;
    uint64_t bad_reads; /* checksum failures and the like met by reads */
    uint64_t disk_total_bytes, disk_available_bytes; /* less reserve and unflushed bytes */
    struct latency_values latencies[ENGINE_LATENCIES];
};
void engine_get_stats(struct engine *engine, struct engine_stats *ret_stats);

#endif
