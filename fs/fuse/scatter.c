#include "fuse/scatter.h"

#include <linux/fuse.h>
#include <unistd.h>

#define HEAD_BYTES (sizeof(struct fuse_in_header) + sizeof(struct fuse_write_in))
#define READ_BYTES_MAX (HEAD_BYTES + FS_WRITE_BYTES_MAX)

static bool has_all_buffers(struct scatter *scatter)
{
    for (unsigned i = 0; i < SCATTER_PIECES_MAX; i++) {
        struct value_buffer *buffer;

        if (scatter->buffers[i])
            continue;
        buffer = fs_value_buffer(scatter->fs);
        if (!buffer)
            return false;
        scatter->buffers[i] = buffer;
        scatter->vector[1 + i] = (struct iovec){value_buffer_data(buffer), VALUE_BUFFER_BYTES};
    }
    return true;
}

static bool is_write(const void *request)
{
    struct fuse_in_header header;

    memcpy(&header, request, sizeof(header));
    return header.opcode == FUSE_WRITE;
}

/* The first `size` bytes of the buffers, in one piece. */
static void gather(const struct scatter *scatter, uint8_t *to, size_t size)
{
    for (unsigned i = 0; size > 0; i++) {
        size_t part = size < VALUE_BUFFER_BYTES ? size : VALUE_BUFFER_BYTES;

        memcpy(to, scatter->vector[1 + i].iov_base, part);
        to += part;
        size -= part;
    }
}

ssize_t scatter_read(struct scatter *scatter, int fd, void *to, size_t size)
{
    struct iovec head = {to, HEAD_BYTES}, *vector = scatter->vector;
    ssize_t count;

    scatter->payload = 0;
    if (size < READ_BYTES_MAX || !has_all_buffers(scatter))
        return read(fd, to, size);
    memcpy(vector, &head, sizeof(head));
    count = readv(fd, vector, 1 + SCATTER_PIECES_MAX);
    if (count <= (ssize_t)HEAD_BYTES)
        return count;
    if (is_write(to))
        scatter->payload = (size_t)count - HEAD_BYTES;
    else
        gather(scatter, (uint8_t *)to + HEAD_BYTES, (size_t)count - HEAD_BYTES);
    return count;
}

unsigned scatter_take(struct scatter *scatter, struct fs_piece ret_pieces[SCATTER_PIECES_MAX])
{
    unsigned count = 0;

    while (scatter->payload > 0) {
        struct value_buffer *buffer = scatter->buffers[count];
        size_t size = scatter->payload < VALUE_BUFFER_BYTES ? scatter->payload : VALUE_BUFFER_BYTES;

        ret_pieces[count] =
            (struct fs_piece){bytes_of(scatter->vector[1 + count].iov_base, size), buffer};
        scatter->buffers[count] = NULL;
        scatter->payload -= size;
        count++;
    }
    return count;
}

void scatter_release(struct scatter *scatter)
{
    for (unsigned i = 0; i < SCATTER_PIECES_MAX; i++)
        value_buffer_unref(scatter->buffers[i]);
}
