/*
 * Errors: every function that can fail returns 0 (or a result) or a negative errno. Words about it
 * are kept per thread together with the code, so that a stale text never explains another failure.
 *
 *   -EUCLEAN  bytes on disk that cannot be right      -EBADMSG  a checksum that does not fit
 *   -EIO      the disk said no                        -ENOSPC, -ENOMEM, -EROFS … as errno(3)
 */
#ifndef SSTFS_ENGINE_ERROR_H
#define SSTFS_ENGINE_ERROR_H

#include <errno.h>
#include <stdbool.h>

#include "engine/auto.h"

/**
 * Keeps the words for `code` (negative errno) in this thread and returns `code`. If there are words
 * for the same code already, the new ones come before them: "link 'x': no space in 'tmp'".
 */
int err_with(int code, const char *format, ...) PRINTF_LIKE(2, 3);

/** As err_with(), but forgets older words first: where an error begins. */
int err_new(int code, const char *format, ...) PRINTF_LIKE(2, 3);

/** Whether a read failed for what lies on the disk: damage, or the disk said no. */
static inline bool err_is_damage(int code)
{
    return code == -EUCLEAN || code == -EBADMSG || code == -EIO;
}

/** The words for `code`, or strerror's. Valid until this thread's next err_ call. */
const char *err_text(int code);

/** Forgets the words of this thread. */
void err_clear(void);

#endif
