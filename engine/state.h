/*
 * struct engine: what its parts share, and what each part offers to the others. The parts are in
 * files of their own; README.md tells who does what on which thread.
 */
#ifndef SSTFS_ENGINE_STATE_H
#define SSTFS_ENGINE_STATE_H

#include <errno.h>
#include <stdatomic.h>

#include "admission.h"
#include "base/value_buffer.h"
#include "cache/chunk_cache.h"
#include "compaction/manager.h"
#include "disk_space.h"
#include "engine/engine.h"
#include "flush.h"
#include "manifest.h"
#include "memory_plan.h"
#include "ranks.h"
#include "seal.h"
#include "snapshot.h"
#include "sweeper.h"
#include "sync_queue.h"
#include "view.h"

struct purge;

_Static_assert(ENGINE_TABLES_MAX <= COMMITLOG_TABLES_MAX, "each table has a bit in the log");

/** "data/<keyspace>/<table>-<id>" */
#define DATA_FOLDER_MAX (5 + 48 + 1 + TABLE_FOLDER_NAME_MAX)

struct source {
    struct engine *engine;
    struct view *view; /* a snapshot's own, which never changes; NULL: the live one of the moment */
};

struct counters {
    _Atomic uint64_t batches, batch_bytes, gets, scans, scan_rows, bad_reads;
    _Atomic uint64_t flushes, flush_bytes, carries;
    _Atomic uint64_t compactions, compaction_bytes_read, compaction_bytes_written;
    _Atomic uint64_t archive_segments, archive_bytes; /* less what the log has archived by itself */
    _Atomic uint64_t admissions_paced, admissions_parked, memtable_bytes_max;
};

struct engine {
    /* Constant once it is open. */
    struct env *env;
    const struct table_schema *tables;
    unsigned table_count;
    struct engine_options options;
    struct memory_plan memory;
    struct store_identity identity;
    bool is_snapshot; /* a snapshot's folder: no log, no manifest, no lock */
    int lock_fd;      /* -1: none */
    uint64_t segment_bytes;
    char folders[ENGINE_TABLES_MAX][DATA_FOLDER_MAX + 1];
    struct source live;
    struct chunk_cache *cache;
    uint64_t id_low_bits;
    struct commitlog_replay_result replay;
    int64_t recovered_timestamp_us;

    /* Thread-safe by themselves. */
    struct commitlog *log; /* NULL: read-only */
    struct views views;
    struct open_sstables open_sstables;
    struct value_buffer_pool value_buffers;
    struct epochs writers; /* who is between log and memtable (README.md, "Switching memtables") */
    struct counters counters;
    struct latency_histogram latencies[ENGINE_LATENCIES];
    _Atomic int failure; /* negative errno that made it read-only, or 0 */
    _Atomic uint64_t last_id_tick;
    struct event progress; /* signalled when something in the background got done */

    /* `change` guards the manifest, and which view goes with it: flush, compaction and snapshots
     * each commit an edit and publish its view under it. Held across the manifest's I/O. */
    struct mutex change;
    struct manifest *manifest; /* NULL: a snapshot's folder */

    /* The parts with threads of their own. */
    struct admissions admission;
    struct disk_space disk_space;
    struct sync_queue sync_queue;
    struct flusher flusher;
    struct compaction compaction;
    struct snapshots snapshots;
    struct sweeper sweeper;
};

/* ---- engine.c ---- */

/** The first failure stays, and makes the store read-only; it is logged. */
void engine_fail(struct engine *engine, int r, const char *what);
/** manifest_commit() of the open store; a failure that is final makes it read-only. */
MUST_USE int engine_commit(
    struct engine *engine, const struct manifest_edit *edit, const char *what);
/** Adds to the words of damage `r` that `sstfs repair` with this option helps. Returns `r`. */
int engine_tell_remedy(int r, const char *repair);
/** 0, or why no write is possible. */
MUST_USE int engine_check_writable(struct engine *engine);
/** A fresh id; strictly rising. Any thread. */
struct sstable_id engine_next_id(struct engine *engine);
/** One reference. NULL: no memory. */
struct sstable_handle *engine_new_handle(
    struct engine *engine, const struct manifest_sstable *entry);
/** Puts the live ones of the table into a view that nobody reads yet: when a store is opened. */
MUST_USE int engine_add_sstables(struct engine *engine, struct view *view, unsigned table,
    const struct manifest_sstable *entries, size_t entry_count);
/** The first segment id that a log which came to `position` has not used: at the very begin of a
 * segment, that one was not begun. */
uint64_t engine_segment_after(uint64_t position);
/** Newest timestamp given or recovered, and the first segment id that is surely not used. */
void engine_edit_clock(struct engine *engine, struct manifest_edit *edit);
/** Is the log near its bounds, so that what keeps it from being freed is to be flushed? Cheap. */
bool engine_log_is_short(struct engine *engine);
/** Where tombstones begin that may go for their age, for `gc_grace`; and now, in seconds. */
void engine_purge_times(struct engine *engine, struct purge *purge);
/** Folders of the data of all tables, and the empty ones beside; for create and create_from. */
MUST_USE int engine_make_folders(
    struct env *env, const struct table_schema *tables, unsigned table_count);
void engine_data_folder(const struct table_schema *schema, char to[DATA_FOLDER_MAX + 1]);
/** The manifest with `state`, and last what makes the folder a store. */
MUST_USE int engine_finish_create(struct env *env, const struct table_schema *tables,
    unsigned table_count, const struct manifest_state *state);
MUST_USE int engine_check_tables(const struct table_schema *tables, unsigned table_count);

/* ---- stats.c ---- */

/** When it began, for one call in 16, else 0: of what is too short to be timed always. */
uint64_t engine_sample_us(struct engine *engine);
/** It has lasted until now since `began_us` (monotonic; 0: it is not timed). */
void engine_note_latency(struct engine *engine, enum engine_latency latency, uint64_t began_us);

/* ---- coordinator.c ---- */

/** A finished batch into log and memtables; `ret_end`: just past it in the log. It is emptied. */
MUST_USE int engine_write_batch(struct engine *engine, struct batch *batch, uint64_t *ret_end);

/** Applies encoded updates to the memtables of `view` that `position` belongs to. */
MUST_USE int engine_apply_updates(struct engine *engine, const struct view *view, uint64_t position,
    int64_t timestamp_us, const struct updates *updates, unsigned update_count, uint64_t wanted,
    struct record_memory *memory);

/* ---- recovery.c ---- */

/** From manifest and log to a view and an open log. The manifest is open. */
MUST_USE int engine_recover(struct engine *engine);

/* ---- snapshot_folder.c ---- */

/** Reads snapshot.json: identity, and a view of the SSTables that it names; without one, and if the
 * options say so, a view of all that lie there. */
MUST_USE int engine_open_snapshot_folder(struct engine *engine);

#endif
