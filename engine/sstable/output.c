#include "sstable/output.h"

#include <errno.h>

#include "base/crc32.h"
#include "engine/error.h"

#define PIECE_BYTES (1u << 20)

int output_open(struct output *output, struct env *env, char *path)
{
    int r;

    *output = OUTPUT_INIT;
    output->env = env;
    output->path = path;
    if (!path)
        return err_new(-ENOMEM, "path of a component");
    r = io_open(env, path, O_RDWR | O_CREAT | O_EXCL, &output->fd);
    if (r < 0)
        output->fd = -1;
    return r;
}

static int write_out(struct output *output, size_t size)
{
    uint8_t *data = output->buffer.data;
    int r;

    r = io_write(output->env, output->fd, data, size, output->written);
    if (r < 0)
        return r;
    io_write_behind(output->env, output->fd, output->written, size);
    output->crc = crc32_update(output->crc, data, size);
    output->written += size;
    output->buffer.size -= size;
    memmove(data, data + size, output->buffer.size);
    return 0;
}

int output_flush_if_full(struct output *output)
{
    if (buf_error(&output->buffer) < 0)
        return err_new(-ENOMEM, "buffer for '%s'", output->path);
    if (output->buffer.size < PIECE_BYTES)
        return 0;
    return write_out(output, output->buffer.size - output->buffer.size % PIECE_BYTES);
}

int output_finish(struct output *output)
{
    int r;

    if (buf_error(&output->buffer) < 0)
        return err_new(-ENOMEM, "buffer for '%s'", output->path);
    r = output->buffer.size > 0 ? write_out(output, output->buffer.size) : 0;
    if (r == 0)
        r = io_sync(output->env, output->fd);
    io_close(output->env, output->fd);
    output->fd = -1;
    buf_release(&output->buffer);
    return r;
}

void output_release(struct output *output, bool remove)
{
    if (output->fd >= 0)
        io_close(output->env, output->fd);
    /* What cannot be removed is found and removed at the next open of the store. */
    if (remove && output->path && output->env && io_unlink(output->env, output->path) < 0)
        err_clear();
    buf_release(&output->buffer);
    free(output->path);
    *output = OUTPUT_INIT;
}
