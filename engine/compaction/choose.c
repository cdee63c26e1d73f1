#include "compaction/choose.h"

#include "compaction/pace.h"
#include "compaction/strategy.h"
#include "compaction/task.h"
#include "rows/update.h"
#include "state.h"

#define SSTABLE_BYTES_MAX (128u << 20)
#define INPUT_BYTES (512u << 10) /* of memory, that an input takes */
#define INPUTS_MIN 8
/* Of what is flushed, at most a half is what the collecting of held ones adds to backups. */
#define HELD_REST 2

/* The SSTables of the table as the strategy sees them. NULL: no memory. */
static struct strategy_sstable *describe(
    const struct compaction *compaction, const struct view *view, unsigned table)
{
    const struct sstable_set *set = view->tables[table].sstables;
    struct strategy_sstable *sstables = calloc(set->count + 1, sizeof(*sstables));

    for (size_t i = 0; sstables && i < set->count; i++) {
        const struct sstable_handle *handle = set->handles[i];
        const struct manifest_sstable *entry = &handle->entry;

        sstables[i] = (struct strategy_sstable){
            .run = entry->run,
            .level = entry->level,
            .bytes = entry->facts.total_bytes,
            .garbage_bytes = atomic_load(&handle->garbage_bytes),
            .rows = entry->facts.rows,
            .partitions = entry->facts.partitions,
            .tombstones = entry->facts.tombstones,
            .partition_tombstones = entry->partition_tombstones,
            .first_token = entry->facts.first_token,
            .last_token = entry->facts.last_token,
            .compacted = entry->compacted,
            .outdated = entry->number < compaction->collected[table],
            .skip = atomic_load(&handle->suspect),
        };
    }
    return sstables;
}

/* Which of them snapshots hold, as of now. */
static void note_held(
    struct engine *engine, const struct sstable_set *set, struct strategy_sstable *sstables)
{
    mutex_lock(&engine->change);
    for (size_t i = 0; i < set->count; i++) {
        const struct manifest_sstable *entry =
            manifest_find(manifest_state(engine->manifest), set->handles[i]->entry.number);

        sstables[i].held = entry && entry->holders > entry->live;
    }
    mutex_unlock(&engine->change);
}

static uint64_t flushed_bytes(struct engine *engine)
{
    return atomic_load(&engine->counters.flush_bytes);
}

/* It is collected; if it is held, the next that is has to wait. */
static void note_collected(struct compaction *compaction, const struct strategy_sstable *sstable)
{
    if (sstable->held && sstable->bytes > sstable->garbage_bytes)
        compaction->held_rest_until = flushed_bytes(compaction->engine) +
                                      HELD_REST * (sstable->bytes - sstable->garbage_bytes);
}

/* Small enough to be one of several on this disk, and in this memory. */
static uint64_t sstable_bytes(struct engine *engine, uint64_t piece_bytes)
{
    uint64_t bytes = piece_bytes;

    if (bytes > engine->options.memory_bytes / 8)
        bytes = engine->options.memory_bytes / 8;
    return bytes < SSTABLE_BYTES_MAX ? bytes : SSTABLE_BYTES_MAX;
}

static struct strategy_limits limits_now(struct engine *engine)
{
    uint64_t piece_bytes = disk_space_piece_bytes(&engine->disk_space);
    struct strategy_limits limits = {
        .piece_bytes = piece_bytes,
        .sstable_bytes = sstable_bytes(engine, piece_bytes),
        .inputs_max = engine->memory.background / INPUT_BYTES,
        .tombstones_stay = engine->options.gc_grace_s > 0,
    };
    uint64_t total_bytes;

    if (limits.inputs_max < INPUTS_MIN)
        limits.inputs_max = INPUTS_MIN;
    disk_space_get(&engine->disk_space, &total_bytes, &limits.bytes_max);
    limits.short_of_space = limits.bytes_max < total_bytes / 10;
    limits.full = limits.bytes_max < BATCH_BYTES_MAX;
    limits.near_full = disk_space_is_near_full(&engine->disk_space);
    /* What merges take for a while is missed by writers. */
    limits.merge_bytes_max = limits.bytes_max / (limits.near_full ? 4 : 1);
    /* The reserve is there for what gives space back. */
    limits.merge_bytes_max += engine->disk_space.reserve_bytes;
    limits.bytes_max += engine->disk_space.reserve_bytes;
    return limits;
}

static void note_need(struct compaction *compaction, unsigned table,
    const struct strategy_sstable *sstables, size_t count, const struct strategy_limits *limits)
{
    compaction->debt = pace_debt(compaction->engine->tables[table].compaction, sstables, count);
    compaction->in_haste = limits->near_full || limits->short_of_space;
}

/* ---- garbage ---- */

/* Whether there may be rows in `handle` that `cover` deletes or replaces, as far as numbers tell.
 */
static bool may_cover(const struct sstable_handle *cover, const struct sstable_handle *handle)
{
    const struct sstable_facts *above = &cover->entry.facts, *below = &handle->entry.facts;

    return cover != handle && !atomic_load(&cover->suspect) &&
           above->max_timestamp_us >= below->min_timestamp_us &&
           above->first_token <= below->last_token && above->last_token >= below->first_token;
}

/* A job for the SSTable at `place` in view of all that may cover it. 0: nothing does. */
static int collect(struct compaction *compaction, const struct view *view, unsigned table,
    size_t place, uint64_t bytes_max)
{
    const struct sstable_set *set = view->tables[table].sstables;
    struct sstable_handle *handle = set->handles[place];
    AUTO(freep) struct sstable_handle **covers = calloc(set->count, sizeof(*covers));
    size_t count = 0;
    int r;

    if (!covers)
        return -ENOMEM;
    for (size_t i = 0; i < set->count; i++)
        if (may_cover(set->handles[i], handle))
            covers[count++] = set->handles[i];
    /* Those that deleted were purged since, as something else holds them now; or are damaged. */
    if (count == 0) {
        atomic_store(&handle->garbage_bytes, 0);
        return 0;
    }
    r = compaction_job_new_single(
        compaction->engine, view, table, place, bytes_max, covers, count, &compaction->job);
    return r < 0 ? r : 1;
}

int choose_garbage(struct compaction *compaction, const struct view *view, unsigned table)
{
    AUTO(freep) struct strategy_sstable *sstables = describe(compaction, view, table);
    struct engine *engine = compaction->engine;
    struct strategy_limits limits = limits_now(engine);
    size_t count = view->tables[table].sstables->count, place;
    int r = 0;

    if (!sstables)
        return -ENOMEM;
    note_need(compaction, table, sstables, count, &limits);
    note_held(engine, view->tables[table].sstables, sstables);
    limits.held_rest = flushed_bytes(engine) < compaction->held_rest_until;
    while (r == 0 && strategy_choose_collection(
                         engine->tables[table].compaction, sstables, count, &limits, &place)) {
        r = collect(compaction, view, table, place, limits.piece_bytes);
        if (r > 0)
            note_collected(compaction, &sstables[place]);
        sstables[place].skip = true;
    }
    if (r != 0 || !strategy_choose_outdated(sstables, count, &limits, &place))
        return r;
    r = compaction_job_new_single(
        engine, view, table, place, limits.piece_bytes, NULL, 0, &compaction->job);
    return r < 0 ? r : 1;
}

/* ---- a target ---- */

/* What is to be compacted must be in SSTables: 1 once it is, 0: the flush kicks us again. */
static int flush_target(struct compaction *compaction, const struct table_view *view,
    unsigned table, const struct decorated_key *key)
{
    struct engine *engine = compaction->engine;
    uint64_t position;
    int r;

    if (view->sealed_count > 0)
        return 0;
    if (!target_is_in(view->active, key))
        return 1;
    mutex_lock(&engine->change);
    r = engine_switch_memtables(engine, 1ull << table, &position);
    mutex_unlock(&engine->change);
    return r == -EAGAIN ? 0 : r;
}

/* Where the output of a target's merge belongs: among what was flushed it is always right. */
static unsigned target_level(enum compaction_policy policy, const struct strategy_sstable *sstables,
    size_t count, const bool *chosen, size_t taken, const struct strategy_limits *limits)
{
    uint64_t bytes = 0;
    unsigned level = 0;

    for (size_t i = 0; i < count; i++) {
        bytes = add_saturating(bytes, sstables[i].bytes);
        if (chosen[i])
            level = sstables[i].level;
    }
    if (taken == 1)
        return level;
    return taken == count ? strategy_level_of_all(policy, bytes, limits) : 0;
}

int choose_target(struct compaction *compaction, const struct view *view)
{
    AUTO(freep) struct strategy_sstable *sstables = NULL;
    AUTO(freep) bool *chosen = NULL;
    struct engine *engine = compaction->engine;
    uint8_t memory[TARGET_KEY_BYTES_MAX];
    struct strategy_limits limits;
    struct decorated_key key;
    size_t count, taken;
    unsigned table, level;
    int r;

    if (!target_get(&compaction->target, &table, memory, &key))
        return 0;
    r = flush_target(compaction, &view->tables[table], table, &key);
    if (r <= 0)
        return r;
    target_done(&compaction->target);
    count = view->tables[table].sstables->count;
    limits = limits_now(engine);
    sstables = describe(compaction, view, table);
    chosen = calloc(count + 1, sizeof(*chosen));
    if (!sstables || !chosen)
        return -ENOMEM;
    taken =
        target_choose(view->tables[table].sstables, sstables, &key, limits.merge_bytes_max, chosen);
    if (taken == 0 || limits.tombstones_stay)
        return 0;
    note_need(compaction, table, sstables, count, &limits);
    level = target_level(engine->tables[table].compaction, sstables, count, chosen, taken, &limits);
    r = compaction_job_new(engine, view, table, chosen, level,
        level > 0 ? limits.sstable_bytes : limits.piece_bytes, &compaction->job);
    return r < 0 ? r : 1;
}

/* ---- a merge ---- */

static size_t take_all(enum compaction_policy policy, const struct strategy_sstable *sstables,
    size_t count, const struct strategy_limits *limits, bool *chosen, unsigned *ret_level)
{
    uint64_t bytes = 0;
    size_t taken = 0;

    for (size_t i = 0; i < count; i++) {
        chosen[i] = !sstables[i].skip;
        taken += chosen[i];
        if (chosen[i])
            bytes = add_saturating(bytes, sstables[i].bytes);
    }
    *ret_level = strategy_level_of_all(policy, bytes, limits);
    return taken;
}

int choose_merge(struct compaction *compaction, const struct view *view, unsigned table, bool all)
{
    AUTO(freep) struct strategy_sstable *sstables = describe(compaction, view, table);
    AUTO(freep) bool *chosen = NULL;
    struct engine *engine = compaction->engine;
    enum compaction_policy policy = engine->tables[table].compaction;
    struct strategy_limits limits = limits_now(engine);
    size_t count = view->tables[table].sstables->count;
    unsigned level;
    int r;

    chosen = calloc(count + 1, sizeof(*chosen));
    if (!sstables || !chosen)
        return -ENOMEM;
    note_need(compaction, table, sstables, count, &limits);
    if ((all ? take_all : strategy_choose)(policy, sstables, count, &limits, chosen, &level) == 0)
        return 0;
    r = compaction_job_new(engine, view, table, chosen, level,
        level > 0 ? limits.sstable_bytes : limits.piece_bytes, &compaction->job);
    return r < 0 ? r : 1;
}
