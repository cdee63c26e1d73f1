/*
 * The ranks of the engine's mutexes: a thread that holds one takes only higher ones. Who holds what
 * is told in README.md, "Locks".
 */
#ifndef SSTFS_ENGINE_RANKS_H
#define SSTFS_ENGINE_RANKS_H

enum {
    RANK_CHANGE = 4,         /* manifest edits and the view that goes with each */
    RANK_SNAPSHOT_WAIT = 6,  /* who waits for a tag */
    RANK_SYNC_WAIT = 8,      /* who waits for a sync */
    RANK_ADMISSION = 9,      /* who waits for memory */
    /* 10 to 29: commitlog/ */
    RANK_VIEW = 30,          /* the pointer to the current view */
    RANK_WRITERS = 32,       /* who is between log and memtable */
    RANK_SSTABLE_HANDLE = 34,
    RANK_SWEEPER = 36,
    /* 40, 41: memtable/; 42 and up: sstable/, cache/ */
};

#endif
