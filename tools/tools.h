/*
 * What the commands share: exit codes, messages, sizes, and finding out what a folder is.
 */
#ifndef SSTFS_TOOLS_TOOLS_H
#define SSTFS_TOOLS_TOOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/auto.h"

/* As mount.sstfs those of mount(8) instead: mount.c. */
enum exit_code {
    EXIT_DONE = 0,
    EXIT_DAMAGE = 1, /* damage or difference found */
    EXIT_USAGE = 2,
    EXIT_PART = 3,
    EXIT_NOT_FOUND = 4,
    EXIT_BUSY = 5, /* or held */
    EXIT_NO_SPACE = 6,
    EXIT_PERMISSION = 7,
    EXIT_NOT_A_STORE = 8, /* or a version it does not know */
    EXIT_IN_USE = 9,      /* by another process */
    EXIT_IO = 10,
};

enum exit_code exit_code_of(int r);
/** Prints "sstfs: " and the message to stderr, and returns `code`. */
int complain(enum exit_code code, const char *format, ...) PRINTF_LIKE(2, 3);
/** The words of a failed call (engine/error.h), with its exit code. */
int complain_of(int r, const char *format, ...) PRINTF_LIKE(2, 3);
/** Flushes stdout: an error if any of what was printed could not be written. */
MUST_USE int flush_output(void);
/** How the command is to be called, and EXIT_USAGE. */
int complain_usage(const char *command);

/** Asks on the terminal; false: the answer is not yes, or there is no terminal. */
bool confirm(const char *question);

/** The known name nearest to what was typed, or NULL if none is near. `stride`: between names. */
const char *nearest_name(const char *typed, const void *names, size_t name_count, size_t stride);

/** "64M", "1.5G", "4096": bytes, powers of 1024. False: not a size. */
bool parse_size(const char *text, uint64_t *ret_bytes);
/** "5", "5s", "500ms", "2m", "3h", "7d", "2w": microseconds, plain numbers are seconds. */
bool parse_duration(const char *text, uint64_t *ret_us);
/** "12", at most a million. */
bool parse_count(const char *text, unsigned *ret_count);
/** "1.2 GiB". */
#define SIZE_TEXT_MAX 32
void format_size(uint64_t bytes, char to[SIZE_TEXT_MAX]);

struct buf;
/** printf at the end of `to`, which keeps a failure: buf_error(). */
void print_to(struct buf *to, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- folders ---- */

enum folder_kind {
    FOLDER_MISSING,
    FOLDER_EMPTY,
    FOLDER_STORE,
    FOLDER_SNAPSHOT, /* or a copy of one */
    FOLDER_SSTABLES, /* neither, but it has a folder "sstfs": a copy of Cassandra's own snapshot */
    FOLDER_OTHER,
};
/** What `path` is; a negative errno if it cannot be looked at (-ENOTDIR: no folder). */
MUST_USE int folder_kind(const char *path);
/** A file, or a folder and all in it; one that is not there is no error. Without words: these are
 * of what it is removed for. */
MUST_USE int folder_remove(const char *path);
/** The same of all that is in a folder but lost+found, which does not make it other than empty. */
MUST_USE int folder_clear(const char *path);
/** EXIT_DONE: it is a store. Else the exit status; why is said. */
MUST_USE int folder_require_store(const char *path);
/** The exit status, and why the folder of that kind, or that error of folder_kind(), is neither a
 * store nor a snapshot of ours. */
int complain_no_tree(const char *path, int kind);
/** EXIT_DONE: it is the folder of a snapshot, of ours. Else the exit status; why is said. */
MUST_USE int snapshot_folder_require(const char *folder);
/** EXIT_DONE: there is an empty folder now, `*ret_made` if there was none. Else the exit status;
 * why is said. */
MUST_USE int new_store_folder(const char *store, bool *ret_made);
/** What came to be in it of a store that failed; what cannot be removed is said. */
void remove_half_store(const char *store, bool with_folder);
struct env;
/** A snapshot's folder as an env, and the way to it from the store (which is there): malloc. */
MUST_USE int snapshot_env_new(
    const char *store, const char *folder, struct env **ret_env, char **ret_way);
/** The absolute path, without symbolic links; its last component need not exist. malloc. */
MUST_USE int absolute_path(const char *path, char **ret_path);
/** The way from the folder `from` to `to`, both absolute and resolved: "../../x". malloc. */
MUST_USE int relative_path(const char *from, const char *to, char **ret_path);
/** Whether this errno is what calls on a mount whose daemon has died fail with. */
bool errno_is_of_dead_mount(int code);
/** Whether the folder `inner` is `outer` or lies below it, also through bind mounts. */
MUST_USE int folder_is_within(const char *inner, const char *outer);

/* ---- commands: argv[0] is the command's name; they return an exit code ---- */

int command_mount(int argc, char **argv);
/** As mount(8) calls it: mount.sstfs SOURCE DIR [-sfnv] [-o …]. */
int command_mount_helper(int argc, char **argv);
int command_umount(int argc, char **argv);
int command_init(int argc, char **argv);
int command_snapshot(int argc, char **argv);
int command_backup(int argc, char **argv);
int command_restore(int argc, char **argv);
int command_rollback(int argc, char **argv);
int command_repair(int argc, char **argv);
int command_check(int argc, char **argv);
/** As fsck(8) calls it: fsck.sstfs [-a|-p|-y|-n] [-f] STORE, with its exit codes. */
int command_fsck(int argc, char **argv);
int command_scrub(int argc, char **argv);
int command_ls(int argc, char **argv);
int command_cat(int argc, char **argv);
int command_tar(int argc, char **argv);
int command_space(int argc, char **argv);
int command_diff(int argc, char **argv);
int command_verify(int argc, char **argv);
int command_dump(int argc, char **argv);
int command_log(int argc, char **argv);
int command_schema(int argc, char **argv);
int command_flush(int argc, char **argv);
int command_compact(int argc, char **argv);
int command_stats(int argc, char **argv);

#endif
