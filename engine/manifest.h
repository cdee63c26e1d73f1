/*
 * The manifest: which SSTables are live, how far each table is flushed, which snapshots exist. A
 * file that it does not name does not exist.
 *
 *   manifest/M-000007   header | full state | edit | edit | …          one edit = one commit point
 *                       rolled at some MiB: full state to M-000008, sync, rename, directory sync
 *
 * An edit is durable when manifest_commit() returns, and whole or absent after a crash. A torn last
 * edit is dropped; a bad one with a good one behind it is damage, as each was synced before the
 * next was written. Every open for writing rolls, so nothing is ever appended behind a torn tail.
 *
 * Not thread-safe: the engine calls it with its `change` mutex held (engine/README.md, "Locks").
 */
#ifndef SSTFS_ENGINE_MANIFEST_H
#define SSTFS_ENGINE_MANIFEST_H

#include "commitlog/commitlog.h"
#include "engine/engine.h"

#define MANIFEST_LEVEL_MAX 15

/** Pieces of one compaction's output have one run: they are chosen and replaced together. */
struct manifest_sstable {
    uint64_t number; /* never given twice in a store; rises */
    uint64_t run;    /* number of the first piece */
    unsigned table;
    bool live;
    bool compacted;                /* the output of a compaction, not of a flush */
    unsigned level;                /* COMPACT_LEVELLED: from 1 on those of a level do not overlap */
    uint64_t partition_tombstones; /* a part of facts.tombstones */
    uint64_t garbage_bytes; /* about so many of facts.total_bytes are deleted by newer ones */
    struct sstable_facts facts;
    unsigned holders; /* live, and each snapshot; at 0 it is forgotten. Not stored */
};

struct manifest_snapshot {
    uint64_t number;
    char tag[SNAPSHOT_TAG_MAX + 1];
    char
        previous_tag[SNAPSHOT_TAG_MAX + 1]; /* its folder's name until a rename is settled; or "" */
    uint64_t position;                      /* of the log: what lies below is in it */
    uint64_t point_us;
    uint64_t created_us;
    bool complete;
    uint64_t expires_us; /* when it may go by itself, since 1970; 0: never */
    char *holds;         /* names of who keeps it, a newline after each; NULL: nobody */
    uint64_t *sstables;  /* numbers, ascending */
    size_t sstable_count;
};

struct manifest_state {
    unsigned table_count;
    uint64_t flushed[ENGINE_TABLES_MAX]; /* everything below is in SSTables */
    int64_t last_timestamp_us;           /* at least of all that is in SSTables */
    uint64_t next_segment;               /* at least the first log segment id never used */
    uint64_t next_number;                /* of SSTables and snapshots */
    struct commitlog_cut *cuts;
    size_t cut_count;
    struct manifest_sstable *sstables; /* by number */
    size_t sstable_count;
    struct manifest_snapshot *snapshots; /* by number: oldest first */
    size_t snapshot_count;
};

struct manifest;

struct manifest_options {
    uint8_t store_uuid[16];
    const struct table_schema *tables;
    unsigned table_count;
    uint64_t roll_bytes;
    bool read_only;
};

/** Makes folder and first file, with `state`; durable on return. */
MUST_USE int manifest_create(
    struct env *env, const struct manifest_options *options, const struct manifest_state *state);
/** -EUCLEAN: durable edits are damaged. -EPROTO: of other tables, or of a newer format. */
MUST_USE int manifest_open(
    struct env *env, const struct manifest_options *options, struct manifest **ret_manifest);
/** NULL does nothing. Writes nothing. */
void manifest_free(struct manifest *manifest);
const struct manifest_state *manifest_state(const struct manifest *manifest);

/* An edit is built and then committed, or released; errors in building are sticky. */
struct manifest_edit {
    struct buf body;
};
#define MANIFEST_EDIT_INIT ((struct manifest_edit){BUF_INIT})
void manifest_edit_release(struct manifest_edit *edit);

/** The next number; it is taken when an edit that uses it is committed. */
uint64_t manifest_next_number(const struct manifest *manifest);
void manifest_edit_add(struct manifest_edit *edit, const struct manifest_sstable *sstable);
void manifest_edit_retire(struct manifest_edit *edit, uint64_t number);
/** One that only snapshots hold is live again: its files are back in data/. */
void manifest_edit_revive(struct manifest_edit *edit, uint64_t number);
/** The SSTable's garbage is `bytes` now, in all. */
void manifest_edit_garbage(struct manifest_edit *edit, uint64_t number, uint64_t bytes);
void manifest_edit_flushed(struct manifest_edit *edit, unsigned table, uint64_t position);
void manifest_edit_cut(struct manifest_edit *edit, const struct commitlog_cut *cut);
void manifest_edit_clock(
    struct manifest_edit *edit, int64_t last_timestamp_us, uint64_t next_segment);
/** All that is in `snapshot` but `holders`. */
void manifest_edit_snapshot(struct manifest_edit *edit, const struct manifest_snapshot *snapshot);
void manifest_edit_snapshot_append(
    struct manifest_edit *edit, uint64_t snapshot, uint64_t sstable_number);
void manifest_edit_snapshot_complete(struct manifest_edit *edit, uint64_t snapshot);
void manifest_edit_snapshot_remove(struct manifest_edit *edit, uint64_t snapshot);
/** Until when it is kept, and by whom: as in struct manifest_snapshot, `holds` NULL or "": nobody.
 */
void manifest_edit_snapshot_keep(
    struct manifest_edit *edit, uint64_t snapshot, uint64_t expires_us, const char *holds);
/** `settled`: the folder has the new name. */
void manifest_edit_snapshot_rename(
    struct manifest_edit *edit, uint64_t snapshot, const char *tag, bool settled);

/**
 * Writes and syncs the edit and applies it to the state. A failure is final, all later ones give it
 * too: whether the edit is on the disk is not known. But -ENOMEM before anything was written, when
 * manifest_failure() stays 0: then nothing was changed.
 */
MUST_USE int manifest_commit(struct manifest *manifest, const struct manifest_edit *edit);
/** 0, or the final failure. */
int manifest_failure(const struct manifest *manifest);

/** NULL if there is none. Valid until the next commit. */
const struct manifest_sstable *manifest_find(const struct manifest_state *state, uint64_t number);
const struct manifest_snapshot *manifest_find_snapshot(
    const struct manifest_state *state, uint64_t number);
const struct manifest_snapshot *manifest_find_tag(
    const struct manifest_state *state, const char *tag);
/** The lowest flushed position: where replay begins. */
uint64_t manifest_flushed_min(const struct manifest_state *state);
uint64_t manifest_flushed_max(const struct manifest_state *state);

/* ---- manifest_edit.c, for manifest.c ---- */

void manifest_state_release(struct manifest_state *state);
/** The whole state as one edit. */
void manifest_edit_state(struct manifest_edit *edit, const struct manifest_state *state);
/** -EUCLEAN: not what was written by the functions above. The state may then be half changed. */
MUST_USE int manifest_state_apply(struct manifest_state *state, struct bytes edit);

#endif
