/*
 * What verify.c has learnt: a fact an inode, and the orphans.
 *
 * Memory: 56 bytes a fact, in a hash table that is between three eighths and three quarters full:
 * some 75 to 150 bytes an inode. Used by one thread.
 */
#ifndef SSTFS_FS_CORE_FACTS_H
#define SSTFS_FS_CORE_FACTS_H

#include "core/reclaim.h"

enum fact_flag {
    FACT_DIRECTORY = 1,  /* its type by a name, or it has a partition with attributes */
    FACT_ATTRIBUTES = 2, /* a static row, a name's row or a row of `inodes` says what it is */
    FACT_IN_INODES = 4,
    FACT_SMALL_SEEN = 8, /* the row of `small` that it names is there */
    FACT_FILE = 16,      /* regular */
    FACT_CUT = 32,       /* a range of it is an orphan: pages past the size are to go */
    FACT_BELOW_ROOT = 64,
};

struct fact {
    uint64_t ino; /* 0: free */
    union {
        struct {
            uint64_t size, small, stored_pages;
            int64_t allocated;
        } file;
        struct {
            uint64_t parent, named_in;
        } directory;
    };
    uint32_t names;    /* rows that name it */
    uint32_t expected; /* directories: dir_subdirs; `inodes`: nlink */
    uint32_t subdirs;  /* rows of its partition that are directories */
    uint8_t flags;
};

struct facts {
    struct fact *table;
    size_t capacity; /* power of two */
    size_t count;
    struct orphan *orphans; /* by ino, first extent */
    size_t orphan_count, orphan_capacity;
};

MUST_USE int facts_init(struct facts *facts);
void facts_release(struct facts *facts);

/** NULL: no table, row or name speaks of it. */
struct fact *facts_find(const struct facts *facts, uint64_t ino);
/** The fact of an inode, made (`*ret_made`) if there is none. Moves others: earlier pointers are
 * void. */
MUST_USE int facts_ensure(
    struct facts *facts, uint64_t ino, struct fact **ret_fact, bool *ret_made);

MUST_USE int facts_keep_orphan(struct facts *facts, const struct orphan *orphan);
/** After the last was kept, before the first is asked for. */
void facts_sort_orphans(struct facts *facts);
/** Whether an orphan holds this extent, this row of `small`. */
bool facts_orphan_extent(const struct facts *facts, uint64_t ino, uint32_t extent);
bool facts_orphan_small(const struct facts *facts, uint64_t ino, uint64_t small);

#endif
