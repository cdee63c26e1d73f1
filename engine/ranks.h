/*
 * The ranks of the engine's mutexes: a thread that holds one takes only higher ones. Who holds what
 * is told in README.md, "Locks".
 */
#ifndef SSTFS_ENGINE_RANKS_H
#define SSTFS_ENGINE_RANKS_H

enum {
    RANK_FLUSH = 2,       /* sealing, and which memtables are being flushed */
    RANK_CHANGE = 4,      /* manifest edits and the view that goes with each */
    RANK_SYNC_WAIT = 8,   /* who waits for a sync */
    RANK_ADMISSION = 9,   /* who waits for memory */
    RANK_DISK_SPACE = 10, /* the file "reserve" */
    /* 30: commitlog/ */
    RANK_VIEW = 32, /* the list of retired views */
    RANK_COMPACTION_TARGET = 34,
    RANK_OPEN_SSTABLES = 35, /* which are open */
    RANK_SSTABLE_HANDLE = 36,
    RANK_SWEEPER = 38,
    /* 40, 41: memtable/; 50: base/value_buffer; 60: cache/ */
};

#endif
