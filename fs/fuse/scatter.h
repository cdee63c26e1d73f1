/*
 * Requests read from the device so that the payload of a WRITE lies apart, where it can stay.
 *
 *   kernel --WRITE--> | header, arguments |   libfuse's buffer
 *                     | 128 KiB | 128 KiB | … value buffers, which become the values of rows
 *          --other--> | all of it |           libfuse's buffer: what went to the others is put back
 *
 * What comes is known only when it is there, so all are read as if they were a WRITE. A page of the
 * kernel's is one page here, too, if the write begins with a page of the file.
 *
 * One of each thread that reads requests.
 */
#ifndef SSTFS_FUSE_SCATTER_H
#define SSTFS_FUSE_SCATTER_H

#include <sys/types.h>
#include <sys/uio.h>

#include "fs/fs.h"

#define SCATTER_PIECES_MAX (FS_WRITE_BYTES_MAX / VALUE_BUFFER_BYTES)

struct scatter {
    struct fs *fs;
    struct value_buffer *buffers[SCATTER_PIECES_MAX]; /* a reference each, NULL: to be got */
    struct iovec vector[1 + SCATTER_PIECES_MAX]; /* of the head, of each buffer that is there */
    size_t payload; /* bytes of the last request in them; 0: it has all of it in one piece */
};

/**
 * As read(2) of a device that gives one request at a time, `size` bytes at most: its count, or -1
 * and errno. Without memory for buffers, or if `to` is smaller than they are, it is all in `to`.
 */
ssize_t scatter_read(struct scatter *scatter, int fd, void *to, size_t size);
/** Hands over the payload of the last request, with its buffers' references. Their count. */
unsigned scatter_take(struct scatter *scatter, struct fs_piece ret_pieces[SCATTER_PIECES_MAX]);
void scatter_release(struct scatter *scatter);

#endif
