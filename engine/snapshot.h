/*
 * Snapshots: a point of the log, durable at once, and in the background a folder of hard links.
 *
 *   create: switch all memtables at P --> sync the log up to P --> manifest edit "tag, P, SSTables"
 *   later:  memtables below P flushed --> links, checksums in tmp/ --> rename --> edit "complete"
 *
 * The SSTables of a snapshot that is not complete are pinned: compaction may replace them, but
 * their files stay until they are linked.
 */
#ifndef SSTFS_ENGINE_SNAPSHOT_H
#define SSTFS_ENGINE_SNAPSHOT_H

#include "engine/engine.h"
#include "manifest.h"

struct snapshot_build;
struct snapshot_waiter;

/** A snapshot that is not complete. */
struct snapshot_job {
    struct snapshot_job *next;
    uint64_t number;
    uint64_t position;
    struct sstable_handle **handles; /* a reference each */
    size_t count, capacity;
    int failure;    /* of the last try */
    uint64_t tries; /* that failed */
    bool deleted;   /* nobody wants it any more */
};

struct snapshots {
    struct engine *engine;
    struct task *task;
    struct snapshot_build *build; /* the task's own: what is being linked */
    uint64_t builds;              /* its too: how many were begun */
    bool links_probed;            /* the disk is known to have hard links */

    /* With `change` held. */
    struct snapshot_job *jobs; /* oldest first */
    struct snapshot_waiter *waiters;
};

void snapshots_init(struct snapshots *snapshots, struct engine *engine);
/** Takes up what is not complete, and settles renames. Before there are tasks; with the view. */
MUST_USE int snapshots_recover(struct snapshots *snapshots);
MUST_USE int snapshots_start(struct snapshots *snapshots);
/** Waiters are told that the store closes. */
void snapshots_stop(struct snapshots *snapshots);
void snapshots_release(struct snapshots *snapshots);
void snapshots_kick(struct snapshots *snapshots);
/**
 * A flush that ends at `end_position` made this one; with `change` held. Room for it must have been
 * made before the flush was committed: what the manifest gives a snapshot, its job must pin.
 */
void snapshots_take_new(
    struct snapshots *snapshots, struct sstable_handle *handle, uint64_t end_position);
/** Room for so many more with every snapshot that is not complete: 0, -ENOMEM. */
MUST_USE int snapshots_make_room(struct snapshots *snapshots, size_t more);
/** Whether `name` in tmp/ is a folder of this process. */
bool snapshots_is_being_built(struct snapshots *snapshots, const char *name);

/** What tags and the names of holds are made of. */
bool snapshot_name_is_valid(const char *name, size_t size_max);

/* ---- between snapshot.c, snapshot_job.c and snapshot_task.c; with `change` held ---- */

/** "snapshots/" and a tag */
#define SNAPSHOT_PATH_MAX (10 + SNAPSHOT_TAG_MAX + 1)
void snapshot_tag_folder(const char *tag, char to[SNAPSHOT_PATH_MAX]);
/** Moves a folder of that name that the manifest does not know out of the way, to be removed. */
MUST_USE int snapshot_clear_place(struct engine *engine, const char *folder);
/** Makes the folder's name what the manifest says; the snapshot has a previous tag. */
MUST_USE int snapshot_settle_rename(struct engine *engine, uint64_t number);

void snapshot_job_free(struct snapshot_job *job);
MUST_USE int snapshot_job_take(struct snapshot_job *job, struct sstable_handle *handle);
/** Takes the job over. */
void snapshot_job_append(struct snapshots *snapshots, struct snapshot_job *job);
void snapshot_job_remove(struct snapshots *snapshots, struct snapshot_job *job);
struct snapshot_job *snapshot_job_find(struct snapshots *snapshots, uint64_t number);

/** Takes the waiters of a snapshot (0: of all) off the list, each to be told `r`. */
struct snapshot_waiter *snapshot_waiters_take(struct snapshots *snapshots, uint64_t number, int r);
/** Tells them; without `change`. */
void snapshot_waiters_tell(struct snapshot_waiter *waiter);

/* ---- snapshot_build.c: one folder, a piece of work at a time ---- */

/** `folder` must be new; `entry` and `job` are copied or pinned. */
#define SNAPSHOT_FOLDER_MAX 80
MUST_USE int snapshot_build_new(struct engine *engine, const char *folder,
    const struct manifest_snapshot *entry, const struct snapshot_job *job,
    struct snapshot_build **ret_build);
/** 1: there is more to do; 0: all is in the folder in tmp/, and durable. */
MUST_USE int snapshot_build_step(struct snapshot_build *build);
const char *snapshot_build_folder(const struct snapshot_build *build);
uint64_t snapshot_build_number(const struct snapshot_build *build);
/** NULL does nothing. */
void snapshot_build_free(struct snapshot_build *build);

/* ---- snapshot_json.c ---- */

/** What snapshot.json says. */
struct snapshot_facts {
    struct store_identity store;
    uint64_t log_position; /* what lies below it in the log is in it; 0: an earlier version's */
    uint64_t point_us;
    uint64_t created_us;
    struct manifest_sstable *sstables;       /* .table by number */
    uint64_t (*file_bytes)[COMPONENT_COUNT]; /* of each; as read, else NULL */
    size_t count;
};

void snapshot_facts_release(struct snapshot_facts *facts);
/** `file_bytes`: of each component of each SSTable. */
MUST_USE int snapshot_json_encode(const struct table_schema *tables, unsigned table_count,
    const struct snapshot_facts *facts, const uint64_t (*file_bytes)[COMPONENT_COUNT],
    struct buf *to);
/** Of the snapshot's folder in the env ("": the env's own). -ENOENT: there is no snapshot.json. */
MUST_USE int snapshot_json_read(struct env *env, const char *folder,
    const struct table_schema *tables, unsigned table_count, struct snapshot_facts *ret_facts);

/* ---- sstable_folder.c ---- */

/** The same of a folder without snapshot.json, for all SSTables that lie in it. -ENOTDIR: there are
 * none; -EPROTO: of another format, or not of these tables; -EUCLEAN: some are missing or damaged,
 * or of another point, as far as a manifest.json tells. */
MUST_USE int sstable_folder_read(struct engine *engine, struct snapshot_facts *ret_facts);

#endif
