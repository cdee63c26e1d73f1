/*
 * Content of files, for the parts that change it: data.c (read, write, the requests), small.c (the
 * row of a small file), resize.c (sizes and holes).
 *
 * A change works on `to`, a copy of the inode, and on a batch: nothing has happened until both are
 * given to home_write() and core_apply(). Everything here is called under the file's lock.
 */
#ifndef SSTFS_FS_CORE_CONTENT_H
#define SSTFS_FS_CORE_CONTENT_H

#include "core/blocks.h"
#include "core/core.h"

struct change {
    struct fs *fs;
    const struct node *node;
    struct batch *batch;
    struct inode *to;
};

/** Nothing of it is stored anywhere. */
static inline bool inode_is_hollow(const struct inode *inode)
{
    return inode->small == 0 && (inode->size == 0 || inode->allocated == 0);
}

/* ---- small.c ---- */

struct small_content {
    uint8_t data[FS_SMALL_BYTES_MAX];
    size_t size; /* of data that is stored; what is beyond, up to the file's size, is zeros */
};

/** What is stored of a file that has `small`, never more than its size. */
MUST_USE int small_read(
    struct fs *fs, uint64_t ino, const struct inode *inode, struct small_content *to);
/** All of the content, in partition `dir`; sets `small`. */
void small_write(const struct change *change, uint64_t dir, const void *data, size_t size);
void small_delete(const struct change *change);
/** Its pages before page `end`, for a file that moves to `blocks`. */
void small_put_pages(struct blocks_writer *writer, const struct small_content *small, uint64_t end);

/* ---- resize.c: data_truncate() and ---- */

/**
 * fallocate's modes on [offset, end). As data_truncate(), and `*ret_changed` says whether anything
 * is different.
 */
MUST_USE int content_allocate(const struct change *change, int mode, uint64_t offset, uint64_t end,
    struct orphan *ret_range, bool *ret_changed);

#endif
