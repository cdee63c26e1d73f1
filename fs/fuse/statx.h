/*
 * STATX, which libfuse before 3.18 does not know: birth times for statx(2).
 */
#ifndef SSTFS_FUSE_STATX_H
#define SSTFS_FUSE_STATX_H

#include "fuse/session.h"

/** Answers the request on `fd` if it is a STATX; false: it is not, and libfuse may have it. */
bool statx_answer(struct session *session, int fd, const void *request, size_t size);

#endif
