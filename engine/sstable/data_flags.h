/*
 * Flags of unfiltereds and cells in Data.db (FORMAT.md, "Unfiltereds"; Cassandra:
 * db/rows/UnfilteredSerializer.java, Cell.java).
 */
#ifndef SSTFS_SSTABLE_DATA_FLAGS_H
#define SSTFS_SSTABLE_DATA_FLAGS_H

enum unfiltered_flag {
    FLAG_END_OF_PARTITION = 0x01,
    FLAG_MARKER = 0x02,
    FLAG_TIMESTAMP = 0x04,
    FLAG_TTL = 0x08,
    FLAG_DELETION = 0x10,
    FLAG_ALL_COLUMNS = 0x20,
    FLAG_COMPLEX_DELETION = 0x40,
    FLAG_EXTENSION = 0x80,
};

enum extended_flag {
    EXTENDED_FLAG_STATIC = 0x01,
    EXTENDED_FLAG_SHADOWABLE = 0x02, /* of views; deletes as any other */
};

enum cell_flag {
    CELL_FLAG_DELETED = 0x01,
    CELL_FLAG_EXPIRING = 0x02,
    CELL_FLAG_EMPTY = 0x04,
    CELL_FLAG_ROW_TIMESTAMP = 0x08,
    CELL_FLAG_ROW_TTL = 0x10,
    CELL_FLAGS_ALL = 0x1f,
};

/** From so many header columns on a subset is a list, below a bitmap. */
#define SUBSET_LIST_COLUMNS 64u
/** Clustering values that share one header of empty and null bits. */
#define CLUSTERING_BATCH 32u

#endif
