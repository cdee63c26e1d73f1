/*
 * A world with a disk that may fail: as env_mem_new(), and each file has, beside what readers see,
 * what is on the disk, in sectors of 512 bytes; each directory has the names on the disk and the
 * changes not there yet.
 *
 *   struct env *env;
 *   env_fault_new(seed, &env);           run once, ask env_fault_change_count(): n
 *   env_fault_crash_at(env, k);          for k in 1..n, in a fresh env: run until -EIO
 *   … free the engine …                  its descriptors are dead, closing them is harmless
 *   env_fault_crash(env, variant);       now the files are what a reboot finds
 *   … open again, compare …
 *
 * The same seed and the same calls give the same results. One thread. env_run_task(),
 * env_mem_advance(), env_mem_set_wall() and env_mem_set_space() of mem.h work here too.
 */
#ifndef SSTFS_IO_FAULT_H
#define SSTFS_IO_FAULT_H

#include "io/mem.h"

/**
 * What a crash makes of what was not synced. Names made, renamed or removed in a directory survive
 * in their order: a prefix of them. A file renamed to another directory may be found under both
 * names, never under neither; a directory so moved is found in one place.
 */
enum env_fault_variant {
    ENV_FAULT_LOST,    /* gets lost: contents and names */
    ENV_FAULT_KEPT,    /* is there all the same */
    ENV_FAULT_RANDOM,  /* each sector old or new, new space zero; a prefix of each directory */
    ENV_FAULT_GARBAGE, /* as RANDOM, but new space that was not written holds what lay there */
    ENV_FAULT_NAMES,   /* names and sizes survive, contents do not */
    ENV_FAULT_CONTENT, /* contents survive, names do not */
    ENV_FAULT_TORN,    /* all survives, but of the last write only some first sectors */
    ENV_FAULT_ORDERED, /* a prefix of all names; of each file its first changed sectors */
    ENV_FAULT_VARIANTS
};

MUST_USE int env_fault_new(uint64_t seed, struct env **ret_env);

/**
 * The power goes, and comes back: files and names are what the disk has, by the variant. All open
 * descriptors are dead and their locks gone; tasks are left to whoever started them, to be stopped.
 * What was armed is disarmed.
 */
void env_fault_crash(struct env *env, enum env_fault_variant variant);

/** From now on all calls fail with -EIO: the process that made them is to be freed. */
void env_fault_stop(struct env *env);
/** Whether they do: it was stopped, or what env_fault_crash_at() armed has come to pass. */
bool env_fault_is_stopped(struct env *env);
/**
 * The process died, and another begins; the machine went on. Files and names are as they were read
 * and written last, what was not synced still is not, and what a failed sync lost is lost at the
 * next crash. Descriptors, locks and what was armed as for env_fault_crash().
 */
void env_fault_restart(struct env *env);

/**
 * The nth I/O call from now (1: the next) fails with `error` (negative errno), once; 0 disarms. A
 * failed write leaves some first part; a failed sync loses pages as Linux does: they read as
 * written, never reach the disk, and the next sync reports success.
 */
void env_fault_fail_at(struct env *env, uint64_t nth, int error);
/** The nth sync of a file from now fails with -EIO, once, as above; 0 disarms. */
void env_fault_fail_sync_at(struct env *env, uint64_t nth);
/**
 * From the nth changing call from now on (1: the next) all calls fail with -EIO until
 * env_fault_crash(); that call itself takes effect if it is no sync, and may so survive. 0 disarms.
 */
void env_fault_crash_at(struct env *env, uint64_t nth);

/** I/O calls so far, all but close and advice: what env_fault_fail_at() counts. */
uint64_t env_fault_io_count(struct env *env);
/** Calls so far that change or sync something: what env_fault_crash_at() counts. */
uint64_t env_fault_change_count(struct env *env);

/**
 * From now on I/O calls take time, of the virtual clock: up to `us_max`, drawn for each; most take
 * little of it. 0, as at first: none. What is delayed so comes due between other calls.
 */
void env_fault_set_latency(struct env *env, uint64_t us_max);
/**
 * A hash of all I/O calls so far: which, when, of what file, where, how much and, of what is
 * written or read, the bytes. The same seed and the same calls give the same.
 */
uint64_t env_fault_trace(struct env *env);
/**
 * The nth sync of a file from now, or the first after it that has what it takes, puts one sector
 * in the place of another of the file, and says nothing. Readers go on to see what they wrote; the
 * next crash tells. 0 disarms.
 */
void env_fault_misdirect_at(struct env *env, uint64_t nth);

/** Turns one bit of the file, on the disk too, as rot does. Aborts if there is no such byte. */
void env_fault_flip_bit(struct env *env, const char *path, uint64_t offset, unsigned bit);

/* ---- between fault.c, fault_crash.c and fault_trace.c ---- */

#define FAULT_SECTOR_BYTES 512

enum fault_sector {
    FAULT_SECTOR_CLEAN,
    FAULT_SECTOR_DIRTY,
    FAULT_SECTOR_DROPPED, /* by a failed sync: never to reach the disk */
};

/* A change of a directory that is not on the disk. */
struct fault_change {
    uint64_t sequence;       /* over all directories */
    char *remove;            /* a name that goes, or NULL */
    char *set;               /* a name that comes or is replaced, or NULL */
    struct mem_inode *inode; /* what `set` names */
    struct mem_inode *needs; /* directory whose changes up to `sequence` must be there before */
};

/* What is on the disk of an inode. */
struct fault_disk {
    uint8_t *data; /* of a file */
    uint64_t size;
    uint8_t *sectors; /* enum fault_sector: of what readers see against data[] */
    uint64_t sector_count;
    struct mem_names names; /* of a directory */
    struct fault_change *changes;
    unsigned change_count;
    unsigned change_capacity;
};

struct fault_env {
    struct mem_env mem;
    uint64_t io_count;
    uint64_t change_count;
    uint64_t fail_at; /* by io_count; 0: not armed */
    int fail_error;
    uint64_t sync_count;
    uint64_t fail_sync_at; /* by sync_count; 0: not armed */
    uint64_t crash_at;     /* by change_count; 0: not armed */
    bool dead;
    uint64_t misdirect_in; /* syncs that write until one goes astray; 0: not armed */
    uint64_t latency_us_max;
    uint64_t trace;
    uint64_t sequence;    /* of the last change of a directory */
    uint64_t last_number; /* inode, place and size of the last write: the one that tears */
    uint64_t last_offset;
    uint64_t last_bytes;
};

struct fault_env *fault_env_of(struct env *env);
struct fault_disk *fault_disk_of(struct mem_inode *inode);
/** Marks what lies in [from, to) as not on the disk. */
void fault_mark(struct mem_inode *inode, uint64_t from, uint64_t to);
/** All that is dirty to the disk. */
void fault_sync_file(struct mem_inode *inode);
/** The same, but one dirty sector lands in the place of another; false, and nothing is done: there
 * is none, or no other place. */
bool fault_misdirect_file(struct mem_inode *inode);
/** As a failed sync: some of it to the disk, the rest never. */
void fault_drop_file(struct mem_inode *inode);
/** Appends a change; sequences are given by the caller, ascending. Names may be NULL. */
void fault_change_add(struct mem_inode *directory, uint64_t sequence, const char *remove,
    const char *set, struct mem_inode *inode, struct mem_inode *needs);
/** Changes up to `sequence` to the disk, and what they need. */
void fault_settle(struct mem_inode *directory, uint64_t sequence);
/** Frees all that is known of the disk. */
void fault_disk_free(struct mem_inode *inode);

/* fault_trace.c */

enum fault_call {
    FAULT_OPEN,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_SYNC,
    FAULT_TRUNCATE,
    FAULT_ALLOCATE,
    FAULT_PREWRITE,
    FAULT_FSTAT,
    FAULT_LOCK,
    FAULT_STAT,
    FAULT_RENAME,
    FAULT_LINK,
    FAULT_UNLINK,
    FAULT_MKDIR,
    FAULT_RMDIR,
    FAULT_SYNC_DIRECTORY,
    FAULT_LIST,
    FAULT_SPACE,
};

void fault_trace_init(struct fault_env *fault);
void fault_trace_path(struct fault_env *fault, enum fault_call call, const char *path);
void fault_trace_paths(
    struct fault_env *fault, enum fault_call call, const char *from, const char *to);
void fault_trace_file(
    struct fault_env *fault, enum fault_call call, int fd, uint64_t offset, uint64_t size);
/** Of the call traced last. */
void fault_trace_data(struct fault_env *fault, const struct iovec *vector, int count);
/** Lets pass what one call takes. */
void fault_take_time(struct fault_env *fault);

#endif
