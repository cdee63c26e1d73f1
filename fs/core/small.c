/*
 * The content of a small file: one row of `small`, read and written whole.
 */
#include <errno.h>
#include <inttypes.h>

#include "core/content.h"

int small_read(struct fs *fs, uint64_t ino, const struct inode *inode, struct small_content *to)
{
    struct rowref row = ROWREF_INIT;
    struct row_key key;
    struct bytes data;
    int r;

    row_key_small(&key, inode->small, ino);
    r = engine_get(fs->live, TABLE_SMALL, key.key, &key.clustering, COLUMNS_ALL, &row);
    if (r < 0)
        return r;
    if (r == 0)
        return err_new(-EUCLEAN, "content of inode %" PRIu64 " is not in partition %" PRIu64, ino,
            inode->small);
    data = row_blob(&row.row, SMALL_DATA);
    if (data.size > FS_SMALL_BYTES_MAX) {
        rowref_release(&row);
        return err_new(-EUCLEAN, "small content of inode %" PRIu64 " is too large", ino);
    }
    to->size = data.size < inode->size ? data.size : inode->size;
    if (to->size)
        memcpy(to->data, data.data, to->size);
    rowref_release(&row);
    return 0;
}

void small_write(const struct change *change, uint64_t dir, const void *data, size_t size)
{
    struct row_key key;

    row_key_small(&key, dir, change->node->ino);
    batch_row(change->batch, TABLE_SMALL, key.key, &key.clustering, true);
    batch_cell(change->batch, SMALL_DATA, bytes_of(data, size));
    change->to->small = dir;
    change->to->allocated = ALLOCATED_ALL;
}

void small_delete(const struct change *change)
{
    struct row_key key;

    row_key_small(&key, change->to->small, change->node->ino);
    batch_delete_row(change->batch, TABLE_SMALL, key.key, &key.clustering);
    change->to->small = 0;
}

void small_put_pages(struct blocks_writer *writer, const struct small_content *small, uint64_t end)
{
    for (uint64_t page = 0; page < end && page * PAGE_BYTES < small->size; page++) {
        size_t start = (size_t)page * PAGE_BYTES;
        size_t left = small->size - start;

        blocks_writer_put(
            writer, page, bytes_of(small->data + start, left < PAGE_BYTES ? left : PAGE_BYTES));
    }
}
