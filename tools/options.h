/*
 * Mount options: what follows -o, and what fstab's fourth field holds.
 */
#ifndef SSTFS_TOOLS_OPTIONS_H
#define SSTFS_TOOLS_OPTIONS_H

#include "engine/buf.h"
#include "engine/engine.h"

struct mount_options {
    bool read_only;
    bool all_sstables; /* of a folder that is neither store nor snapshot */
    bool allow_other;
    bool relatime;
    bool synchronous_names; /* sync, dirsync */
    bool archive;           /* keeps the log, for restore --at */
    bool lists_snapshots;   /* snapdir */
    uint32_t snapshots_gid; /* snapgid */
    enum sync_mode sync_mode;
    uint64_t sync_period_us;
    uint64_t memory_bytes;
    struct buf log;   /* path and NUL; empty: the system's log */
    struct buf flags; /* for mount(2), by libfuse: "ro,suid" and NUL */
};

/** Defaults: those of the machine, and of who calls. */
void options_init(struct mount_options *options);
void options_release(struct mount_options *options);
/**
 * Adds a comma separated list; the later option wins. -EINVAL with words: unknown (names the
 * nearest; `sloppy` drops it instead) or a value that cannot be.
 */
MUST_USE int options_parse(struct mount_options *options, const char *list, bool sloppy);
/** The options in force, one a line as -o takes it, defaults too; sealed ones. */
void options_print(const struct mount_options *options, struct buf *to);
/** Ends the parsing: `flags` and `log` are strings then. */
MUST_USE int options_seal(struct mount_options *options);

#endif
