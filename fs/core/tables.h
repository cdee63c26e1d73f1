/*
 * The five tables as the code sees them: column numbers, keys, and the constants of the layout
 * (SCHEMA.md).
 *
 * Column numbers are places in the lists of tables.c, which are in the order of the serialization
 * header: simple columns by name, then complex ones by name. tables.c asserts that the two agree.
 */
#ifndef SSTFS_FS_CORE_TABLES_H
#define SSTFS_FS_CORE_TABLES_H

#include "fs/fs.h"

/* ---- columns ---- */

/** Static columns of `dirents`: the directory itself. */
enum dirents_static {
    STATIC_DIR_ATIME,
    STATIC_DIR_BTIME,
    STATIC_DIR_CTIME,
    STATIC_DIR_GID,
    STATIC_DIR_MODE,
    STATIC_DIR_MTIME,
    STATIC_DIR_PARENT,
    STATIC_DIR_SUBDIRS,
    STATIC_DIR_UID,
    STATIC_DIR_XATTRS,
    DIRENTS_STATIC_COUNT
};

/** Regular columns of `dirents`: one row a name. */
enum dirents_column {
    DIRENT_ALLOCATED,
    DIRENT_ATIME,
    DIRENT_BTIME,
    DIRENT_CTIME,
    DIRENT_GID,
    DIRENT_INO,
    DIRENT_MODE,
    DIRENT_MTIME,
    DIRENT_NAMED,
    DIRENT_RDEV,
    DIRENT_SIZE,
    DIRENT_SMALL,
    DIRENT_TARGET,
    DIRENT_UID,
    DIRENT_XATTRS,
    DIRENTS_COLUMN_COUNT
};

enum small_column { SMALL_DATA, SMALL_COLUMN_COUNT };

/* Regular columns of `blocks`: p00 … p31 are 0 … 31. */

enum inodes_column {
    INODE_ALLOCATED,
    INODE_ATIME,
    INODE_BTIME,
    INODE_CTIME,
    INODE_GID,
    INODE_MODE,
    INODE_MTIME,
    INODE_NLINK,
    INODE_RDEV,
    INODE_SIZE,
    INODE_SMALL,
    INODE_TARGET,
    INODE_UID,
    INODE_XATTRS,
    INODES_COLUMN_COUNT
};

enum meta_column { META_VALUE, META_COLUMN_COUNT };

#define COLUMN_BIT(column) (UINT64_C(1) << (column))

/* ---- layout of content ---- */

#define PAGE_BYTES 4096u
#define BLOCK_PAGES 32u
#define BLOCK_BYTES (BLOCK_PAGES * PAGE_BYTES) /* 128 KiB: one row of `blocks` */
#define EXTENT_BLOCKS 512u
#define EXTENT_BYTES ((uint64_t)EXTENT_BLOCKS * BLOCK_BYTES) /* 64 MiB: one partition */
/** Up to so many extents go in the batch that unlinks or cuts a file; more, in batches later. */
#define EXTENTS_PER_BATCH_MAX 1024u

/** Extents that hold the bytes [0, size). */
static inline uint32_t extents_of(uint64_t size)
{
    return (uint32_t)((size + EXTENT_BYTES - 1) / EXTENT_BYTES);
}

/* ---- sections of `meta` ---- */

#define META_ORPHANS "orphans" /* reclaim.h */
#define META_LEASE "lease"     /* key: the node number, 4 bytes; value: first counter not leased */

/* ---- inode numbers ---- */

#define INO_SYNTHETIC_BIT (UINT64_C(1) << 62)
#define INO_COUNTER_BITS 48
#define INO_COUNTER_MASK ((UINT64_C(1) << INO_COUNTER_BITS) - 1)

/** Of .snapshots, .past, .sstfs and what is below: no row of any table. */
static inline bool ino_is_synthetic(uint64_t ino)
{
    return (ino & INO_SYNTHETIC_BIT) != 0;
}

#define INO_PAST_BIT (UINT64_C(1) << 61)
/** Of the synthetic ones, those of `.past` and what is below. */
static inline bool ino_is_past(uint64_t ino)
{
    return ino_is_synthetic(ino) && (ino & INO_PAST_BIT) != 0;
}

#define INO_INFO_BIT (UINT64_C(1) << 60)
/** Of the synthetic ones, those of `.sstfs` and what is in it. Of numbers that the kernel uses: an
 * st_ino under .snapshots may have any bit. */
static inline bool ino_is_info(uint64_t ino)
{
    return (ino & (INO_SYNTHETIC_BIT | INO_PAST_BIT | INO_INFO_BIT)) ==
           (INO_SYNTHETIC_BIT | INO_INFO_BIT);
}

/** The node number (of the store) in an inode number; 0 for the root. */
static inline uint32_t ino_node(uint64_t ino)
{
    return (uint32_t)(ino >> INO_COUNTER_BITS) & 0x3fff;
}

/* ---- keys ---- */

/**
 * Key and clustering of a row in one place. Points into itself (and at names and sections given to
 * it): fill it where it stays, never copy it.
 */
struct row_key {
    struct bytes key;
    struct clustering clustering;
    struct bytes value; /* what clustering points at */
    uint8_t key_bytes[KEY_BYTES_BIGINT_INT];
    uint8_t value_bytes[8];
};

/** The partition of a directory; its clustering is that of no row. */
void row_key_directory(struct row_key *to, uint64_t dir);
void row_key_dirent(struct row_key *to, uint64_t dir, struct bytes name);
void row_key_small(struct row_key *to, uint64_t dir, uint64_t ino);
/** The partition (ino, extent). */
void row_key_extent(struct row_key *to, uint64_t ino, uint32_t extent);
/** `block`: of the file, from 0; its extent is that of block / EXTENT_BLOCKS. */
void row_key_block(struct row_key *to, uint64_t ino, uint32_t block);
void row_key_inode(struct row_key *to, uint64_t ino);
/** `section` and `key` are borrowed. */
void row_key_meta(struct row_key *to, const char *section, struct bytes key);

/* ---- cells of rows read ---- */

/** 1 and the value; 0 (and `*ret` untouched): the row has no such cell; -EUCLEAN: of wrong size. */
MUST_USE int row_bigint(const struct row *row, unsigned column, int64_t *ret);
MUST_USE int row_int(const struct row *row, unsigned column, int32_t *ret);
/** The value, or BYTES_NONE. */
struct bytes row_blob(const struct row *row, unsigned column);

#endif
