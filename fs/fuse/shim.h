/*
 * What libfuse 3.14 does not hand on, read and written at the device itself.
 *
 *   kernel --INIT------------> read hook   remembers what is offered
 *   kernel <-reply to INIT---- writev hook adds PARALLEL_DIROPS and HANDLE_KILLPRIV_V2
 *   kernel --STATX-----------> read hook   answers it (statx.h): libfuse does not know it
 *   kernel --TMPFILE---------> read hook   makes a CREATE of it, which libfuse does know
 *   kernel --WRITE, OPEN-----> read hook   keeps the flags that libfuse drops, for the handler
 *   kernel --WRITE-----------> read hook   puts the payload where it can stay (scatter.h)
 *
 * PARALLEL_DIROPS: lookups in one directory do not wait for each other (libfuse before 3.17 wants
 * it and forgets to say so). HANDLE_KILLPRIV_V2: the kernel no longer asks for security.capability
 * before each write; set-user-id bits and capabilities are then the daemon's to take away.
 *
 * Only bits that leave the layout of requests as libfuse parses it may be added here.
 */
#ifndef SSTFS_FUSE_SHIM_H
#define SSTFS_FUSE_SHIM_H

#include "fuse/scatter.h"
#include "fuse/session.h"

/** After fuse_session_mount(). */
MUST_USE int shim_install(struct session *session);
/** In a handler, for its request: the payload, if it lies apart (else 0), to be given back. */
unsigned shim_take_payload(struct fs_piece ret_pieces[SCATTER_PIECES_MAX]);
/** In a handler, for its request: whether the kernel asks for set-user-id bits to be cleared. */
bool shim_kills_suid(void);

#endif
