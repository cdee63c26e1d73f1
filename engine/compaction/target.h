/*
 * A partition in which a scan met more dead rows than live ones. Those of its SSTables that may
 * have it are merged next, so that the tombstones go, and the next scan is spared.
 */
#ifndef SSTFS_COMPACTION_TARGET_H
#define SSTFS_COMPACTION_TARGET_H

#include "compaction/strategy.h"
#include "engine/mutex.h"
#include "view.h"

#define TARGET_KEY_BYTES_MAX 64

/** One at a time: who scans again will say so again. Thread-safe. */
struct compaction_target {
    struct mutex mutex;
    bool wanted;
    unsigned table;
    size_t key_bytes;
    uint8_t key[TARGET_KEY_BYTES_MAX];
};

void target_init(struct compaction_target *target);
void target_release(struct compaction_target *target);
/** False: there is one already, or the key is too long. */
bool target_set(struct compaction_target *target, unsigned table, struct bytes key);
/** The one that is wanted; its key is in `to`. */
bool target_get(struct compaction_target *target, unsigned *ret_table,
    uint8_t to[TARGET_KEY_BYTES_MAX], struct decorated_key *ret_key);
void target_done(struct compaction_target *target);

/** Whether a memtable has deletions, and may have the partition: what is not flushed yet cannot be
 * compacted. */
bool target_is_in(struct memtable *memtable, const struct decorated_key *key);
/** Sets chosen[i] for the SSTables to be merged; their number, 0: nothing would come of it. */
size_t target_choose(const struct sstable_set *set, const struct strategy_sstable *sstables,
    const struct decorated_key *key, uint64_t bytes_max, bool *chosen);

#endif
