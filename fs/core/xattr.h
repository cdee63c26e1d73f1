/*
 * Extended attributes in memory: a file without a name has no row, so its node keeps them.
 */
#ifndef SSTFS_FS_CORE_XATTR_H
#define SSTFS_FS_CORE_XATTR_H

#include "engine/bytes.h"

#define XATTR_VALUE_BYTES_MAX 65536u
#define XATTR_NAMES_BYTES_MAX 65536u /* what listxattr(2) can return */
/**
 * Names and values of one inode together: a rename writes them anew, an exchange those of two
 * files, in one batch. -ENOSPC beyond, as ext4 says of what does not fit beside an inode.
 */
#define XATTRS_BYTES_MAX (512u << 10)

struct xattr_list {
    struct xattr_list *next;
    struct bytes name, value; /* point behind the struct */
    uint8_t data[];
};

/** One, of copies, in no list. NULL: no memory. */
struct xattr_list *xattr_list_new(struct bytes name, struct bytes value);

#endif
