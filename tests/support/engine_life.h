/*
 * Lives of a store on a disk that may fail: a script drawn from a seed (batches over several
 * tables, syncs, flushes, compactions, snapshots made, renamed and deleted, reopenings, background
 * steps), and the judge of what is found after each life.
 *
 *   life_init --> life_run --> (error, cut, end) --> life_end: the process dies, or the power goes
 *                    ^                                  |  open, compare with the model
 *                    +----------------------------------+
 *
 * All failures end the test, with what it takes to replay them.
 */
#ifndef SSTFS_TESTS_ENGINE_LIFE_H
#define SSTFS_TESTS_ENGINE_LIFE_H

#include "engine/engine.h"
#include "io/fault.h"
#include "support/random.h"

#define LIFE_TAGS_MAX 4

struct life_tag {
    uint64_t number; /* batches that are in it; also its name */
    bool renamed;    /* "r7" instead of "s7" */
};

struct life {
    struct env *env;
    struct engine *engine;
    struct random random;
    uint64_t seed;
    size_t payload_max;
    uint64_t applied; /* acknowledged by engine_apply() */
    uint64_t durable; /* of these, those that a sync, flush or snapshot covers */
    struct life_tag tags[LIFE_TAGS_MAX];
    unsigned tag_count;
    struct life_tag in_doubt; /* being made, renamed or deleted when something failed */
    bool doubtful;
    /* To replay a failure. */
    uint64_t cut_at;
    unsigned variant, number;
};

/**
 * A new store of the model's tables on a fresh disk of `disk_bytes`, open. Values that the script
 * writes have up to `payload_max` bytes.
 */
void life_init(struct life *life, uint64_t seed, uint64_t disk_bytes, size_t payload_max);
void life_release(struct life *life);
/** Opens the store that was there before. */
MUST_USE int life_open(struct life *life);
/** Up to so many steps of the script; the first error ends it, and is returned. */
int life_run(struct life *life, unsigned steps);

/** How a life ends: the power goes (enum env_fault_variant), or only the process dies. */
#define LIFE_KILLED ENV_FAULT_VARIANTS
/**
 * Ends it in that way, opens again, which must succeed, and compares: the store holds a prefix of
 * the history, not shorter than what was durable, each batch whole; each snapshot is the state at
 * its point; once the background rests, no file is left that nobody knows.
 */
void life_end(struct life *life, unsigned how);
/** Ends the process or the machine; nothing is opened. */
void life_die(struct life *life, unsigned how);
/** Of a store just opened: which prefix of the history it holds, from where the script goes on. */
void life_check_history(struct life *life);
/** Deletes all snapshots that the store has. */
void life_forget_snapshots(struct life *life);
/** Fails the test, with what it takes to replay it, and the words of `r` if it is an error. */
void life_complain(const struct life *life, int r, const char *what);

#endif
