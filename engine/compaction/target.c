#include "compaction/target.h"

#include "ranks.h"
#include "rows/compare.h"

void target_init(struct compaction_target *target)
{
    *target = (struct compaction_target){0};
    mutex_init(&target->mutex, RANK_COMPACTION_TARGET);
}

void target_release(struct compaction_target *target)
{
    mutex_release(&target->mutex);
}

bool target_set(struct compaction_target *target, unsigned table, struct bytes key)
{
    bool set;

    mutex_lock(&target->mutex);
    set = !target->wanted && key.size <= TARGET_KEY_BYTES_MAX;
    if (set) {
        target->wanted = true;
        target->table = table;
        target->key_bytes = key.size;
        memcpy(target->key, key.data, key.size);
    }
    mutex_unlock(&target->mutex);
    return set;
}

bool target_get(struct compaction_target *target, unsigned *ret_table,
    uint8_t to[TARGET_KEY_BYTES_MAX], struct decorated_key *ret_key)
{
    size_t key_bytes;
    bool wanted;

    mutex_lock(&target->mutex);
    wanted = target->wanted;
    *ret_table = target->table;
    key_bytes = target->key_bytes;
    memcpy(to, target->key, key_bytes);
    mutex_unlock(&target->mutex);
    *ret_key = decorated_key_of(bytes_of(to, key_bytes));
    return wanted;
}

void target_done(struct compaction_target *target)
{
    mutex_lock(&target->mutex);
    target->wanted = false;
    mutex_unlock(&target->mutex);
}

bool target_is_in(struct memtable *memtable, const struct decorated_key *key)
{
    struct memtable_stats stats;

    memtable_get_stats(memtable, &stats);
    return stats.min_local_deletion_time_s != LOCAL_DELETION_TIME_NONE &&
           memtable_may_contain(memtable, key);
}

size_t target_choose(const struct sstable_set *set, const struct strategy_sstable *sstables,
    const struct decorated_key *key, uint64_t bytes_max, bool *chosen)
{
    uint64_t bytes = 0, tombstones = 0;
    size_t taken = 0;
    bool purged = true;

    for (size_t i = 0; i < set->count; i++) {
        chosen[i] = !sstables[i].skip && sstable_handle_may_contain(set->handles[i], key) > 0;
        if (!chosen[i])
            continue;
        taken++;
        bytes = add_saturating(bytes, sstables[i].bytes);
        tombstones = add_saturating(tombstones, sstables[i].tombstones);
        purged &= sstables[i].compacted;
    }
    /* What was compacted alone has lost already what could go. */
    if (tombstones == 0 || bytes > bytes_max || (taken == 1 && purged))
        return 0;
    return taken;
}
