/*
 * STORE/control: how commands speak to the daemon that has the store mounted.
 *
 * A Unix socket, 0600, for the daemon's user and root. A line of JSON each way:
 *
 *   {"command":"stats"}             -> {"result":{…}}
 *   {"command":"metrics"}           -> {"result":"…"}   as OpenMetrics text
 *   {"command":"snapshots"}         -> {"result":[{"tag":…},…]}
 *   {"command":"flush"|"compact"}   -> {"result":null}   when done
 *   … what a command needs beside its name are further members: control_commands.c
 *                                   -> {"error":-28,"text":"…"}
 *
 * A connection may ask several times. The path of a socket holds 107 bytes, that of a store more:
 * both sides go through /proc/self/fd/N/control, N being the store's open folder.
 */
#ifndef SSTFS_TOOLS_CONTROL_H
#define SSTFS_TOOLS_CONTROL_H

#include <jansson.h>

#include "metrics.h"

#define CONTROL_NAME "control"
#define CONTROL_LINE_BYTES_MAX (1u << 20)

/* ---- the daemon's side ---- */

struct control;

/** `store` is the store's path. Starts a thread; what `sources` point to must outlive it. */
MUST_USE int control_start(
    const char *store, const struct metrics_sources *sources, struct control **ret_control);
/** Ends when running commands have. Removes the socket. NULL does nothing. */
void control_stop(struct control *control);

/** Runs the command of a question, for control.c. `ret_result` may become NULL. */
MUST_USE int control_run(
    const struct metrics_sources *sources, const json_t *question, json_t **ret_result);

/** What `{"command":"sstables"}` answers: appends each that is live, as {"table":…,"id":…}. */
MUST_USE int control_list_sstables(struct engine *engine, json_t *to);

/* ---- the commands' side ---- */

/** Asks the daemon of the mount that `path` lies in (or of the store that it is). `ret_result`
 * is the caller's to json_decref(). -ENOENT: not mounted; else what the daemon answered. */
MUST_USE int control_ask(const char *path, const char *command, json_t **ret_result);
/** The same for a command that has arguments; `question` (NULL: no memory) is taken over. */
MUST_USE int control_ask_with(const char *path, json_t *question, json_t **ret_result);

/* ---- both ---- */

/** Address of the socket in the folder `fd`. */
struct sockaddr_un;
void control_address(int fd, struct sockaddr_un *to);
/** One line, without its newline. 1; 0: the other side closed; else negative errno. */
MUST_USE int control_read_line(int fd, struct buf *to);
MUST_USE int control_write_line(int fd, const json_t *message);

#endif
