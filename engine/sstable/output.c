#include "sstable/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32.h"
#include "engine/assert.h"
#include "engine/error.h"

#define PIECE_BYTES (1u << 20)
/* Behind a buffered write: so much is left to the kernel to write out before it is to forget it. */
#define BEHIND_BYTES (8u << 20)

int output_open(struct output *output, struct env *env, char *path, size_t tail_bytes)
{
    size_t bytes = PIECE_BYTES + tail_bytes;
    int r;

    *output = OUTPUT_INIT;
    output->env = env;
    output->path = path;
    bytes += (IO_DIRECT_BYTES - bytes % IO_DIRECT_BYTES) % IO_DIRECT_BYTES;
    output->piece = path ? aligned_alloc(IO_DIRECT_BYTES, bytes) : NULL;
    if (!output->piece)
        return err_new(-ENOMEM, "a component");
    r = io_open(env, path, O_RDWR | O_CREAT | O_EXCL, &output->fd);
    if (r < 0)
        output->fd = -1;
    return r;
}

/* ---- whole pieces ---- */

static int leave_direct(struct output *output)
{
    int r = output->pieces == OUTPUT_DIRECT ? io_set_direct(output->env, output->fd, false) : 0;

    output->pieces = OUTPUT_BUFFERED;
    return r;
}

/* As large files are when they cannot go past the cache: they shall not push all else out of it. */
static void keep_cache_clean(struct output *output, size_t size)
{
    uint64_t end = output->written + size;

    io_write_behind(output->env, output->fd, output->written, size);
    if (end > BEHIND_BYTES)
        io_forget(output->env, output->fd, 0, end - BEHIND_BYTES);
}

static int write_pieces(struct output *output, size_t size)
{
    int r;

    if (output->pieces == OUTPUT_UNTRIED) {
        output->pieces = OUTPUT_DIRECT;
        if (io_set_direct(output->env, output->fd, true) < 0) {
            err_clear();
            output->pieces = OUTPUT_BUFFERED;
        }
    }
    r = io_write(output->env, output->fd, output->piece, size, output->written);
    /* Some disks refuse it only now. */
    if (r == -EINVAL && output->pieces == OUTPUT_DIRECT && output->written == 0) {
        err_clear();
        r = leave_direct(output);
        if (r == 0)
            r = io_write(output->env, output->fd, output->piece, size, output->written);
    }
    if (r == 0 && output->pieces == OUTPUT_BUFFERED)
        keep_cache_clean(output, size);
    return r;
}

int output_commit(struct output *output, size_t size)
{
    size_t whole;
    int r;

    output->crc = crc32_update(output->crc, output_tail(output), size);
    output->size += size;
    if (output->size < PIECE_BYTES)
        return 0;
    whole = output->size - output->size % PIECE_BYTES;
    r = write_pieces(output, whole);
    if (r < 0)
        return r;
    output->written += whole;
    output->size -= whole;
    memmove(output->piece, output->piece + whole, output->size);
    return 0;
}

int output_append(struct output *output, struct bytes bytes)
{
    while (bytes.size > 0) {
        size_t room = PIECE_BYTES - output->size;
        size_t part = bytes.size < room ? bytes.size : room;
        int r;

        memcpy(output_tail(output), bytes.data, part);
        r = output_commit(output, part);
        if (r < 0)
            return r;
        bytes = bytes_of(bytes.data + part, bytes.size - part);
    }
    return 0;
}

/* ---- the end ---- */

int output_end(struct output *output)
{
    int r = leave_direct(output);

    if (r == 0)
        r = io_write(output->env, output->fd, output->piece, output->size, output->written);
    if (r < 0)
        return r;
    io_write_behind(output->env, output->fd, output->written, output->size);
    output->written += output->size;
    output->size = 0;
    free(output->piece);
    output->piece = NULL;
    return 0;
}

int output_sync(struct output *output)
{
    int r = io_sync(output->env, output->fd);

    io_close(output->env, output->fd);
    output->fd = -1;
    return r;
}

void output_release(struct output *output, bool remove)
{
    if (output->fd >= 0)
        io_close(output->env, output->fd);
    /* What cannot be removed is found and removed at the next open of the store. */
    if (remove && output->path && output->env && io_unlink(output->env, output->path) < 0)
        err_clear();
    free(output->piece);
    free(output->path);
    *output = OUTPUT_INIT;
}
