#include "compaction/manager.h"

#include "compaction/strategy.h"
#include "compaction/task.h"
#include "engine/error.h"
#include "engine/log.h"
#include "rows/update.h"
#include "state.h"

#define FULL_DISK_US 5000000
#define SWEEP_US 1000000 /* how long those who wait for space wait for the sweeper */

/* ---- choosing ---- */

#define SSTABLE_BYTES_MAX (128u << 20)
#define INPUT_BYTES (512u << 10) /* of memory, that an input takes */
#define INPUTS_MIN 8

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

/* A job that gives space back: 1; 0: there is none. */
static int choose_garbage(struct compaction *compaction, const struct view *view, unsigned table)
{
    AUTO(freep) struct strategy_sstable *sstables = describe(compaction, view, table);
    struct engine *engine = compaction->engine;
    struct strategy_limits limits = limits_now(engine);
    size_t count = view->tables[table].sstables->count, place;
    int r = 0;

    if (!sstables)
        return -ENOMEM;
    while (r == 0 && strategy_choose_collection(
                         engine->tables[table].compaction, sstables, count, &limits, &place)) {
        r = collect(compaction, view, table, place, limits.piece_bytes);
        sstables[place].skip = true;
    }
    if (r != 0 || !strategy_choose_outdated(sstables, count, &limits, &place))
        return r;
    r = compaction_job_new_single(
        engine, view, table, place, limits.piece_bytes, NULL, 0, &compaction->job);
    return r < 0 ? r : 1;
}

static size_t choose_all(enum compaction_policy policy, const struct strategy_sstable *sstables,
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

/* A job for the table, or none (0). `all`: of all its SSTables, whatever the strategy says. */
static int choose(struct compaction *compaction, const struct view *view, unsigned table, bool all)
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
    if ((all ? choose_all : strategy_choose)(policy, sstables, count, &limits, chosen, &level) == 0)
        return 0;
    r = compaction_job_new(engine, view, table, chosen, level,
        level > 0 ? limits.sstable_bytes : limits.piece_bytes, &compaction->job);
    return r < 0 ? r : 1;
}

static uint64_t asked_for(struct compaction *compaction, unsigned table)
{
    struct engine *engine = compaction->engine;
    uint64_t asked;

    mutex_lock(&engine->change);
    asked = compaction->asked[table] > compaction->done[table] ? compaction->asked[table] : 0;
    mutex_unlock(&engine->change);
    return asked;
}

static void answer(struct compaction *compaction, unsigned table, uint64_t asked, int r)
{
    struct engine *engine = compaction->engine;

    if (asked == 0)
        return;
    mutex_lock(&engine->change);
    compaction->done[table] = asked;
    compaction->results[table] = r;
    mutex_unlock(&engine->change);
    event_signal(engine->env, &engine->progress);
}

/* 1: there is more to do; 0: there is nothing to do. What was asked for goes first. */
static int next_job(struct compaction *compaction)
{
    AUTO(view_unrefp) struct view *view = views_acquire(&compaction->engine->views);
    int r = 0;

    for (unsigned i = 0; i < view->table_count && r == 0; i++) {
        uint64_t asked = asked_for(compaction, i);

        if (asked == 0)
            continue;
        r = choose(compaction, view, i, true);
        if (r == 1)
            compaction_job_set_asked(compaction->job, asked);
        else
            answer(compaction, i, asked, r);
    }
    for (unsigned i = 0; i < view->table_count && r == 0; i++) {
        r = choose_garbage(compaction, view, i);
        if (r == 0) {
            r = choose(compaction, view, i, false);
            atomic_store(&compaction->yields, false);
            atomic_store(&compaction->merging, r == 1);
        }
    }
    return r;
}

/* ---- the task ---- */

static void end_job(struct compaction *compaction)
{
    atomic_store(&compaction->merging, false);
    atomic_store(&compaction->yields, false);
    atomic_store(&compaction->space_comes_us, env_monotonic_us(compaction->engine->env) + SWEEP_US);
    compaction_job_free(compaction->job);
    compaction->job = NULL;
    admission_kick(&compaction->engine->admission);
}

static int64_t failed(struct compaction *compaction, int r)
{
    struct engine *engine = compaction->engine;
    bool reserve_given;

    log_error("op=compaction table=%s: %s",
        engine->tables[compaction_job_table(compaction->job)].name, err_text(r));
    answer(compaction, compaction_job_table(compaction->job), compaction_job_asked(compaction->job),
        r);
    if (err_is_damage(r))
        compaction_job_suspect(compaction->job);
    reserve_given = r == -ENOSPC && disk_space_open_reserve(&engine->disk_space);
    if (r == -ENOSPC && !reserve_given)
        compaction_job_has_no_room(compaction->job);
    end_job(compaction);
    if (engine_failure(engine) < 0)
        return TASK_IDLE;
    return reserve_given ? TASK_AGAIN : FULL_DISK_US;
}

/* What its tombstones deleted is gone: those of older SSTables may be able to go. */
static void note_collection(struct compaction *compaction)
{
    struct engine *engine = compaction->engine;

    if (!compaction_job_collects(compaction->job))
        return;
    mutex_lock(&engine->change);
    compaction->collected[compaction_job_table(compaction->job)] =
        manifest_next_number(engine->manifest);
    mutex_unlock(&engine->change);
}

static int64_t step(void *arg)
{
    struct compaction *compaction = arg;
    struct engine *engine = compaction->engine;
    int r;

    if (engine_failure(engine) < 0)
        return TASK_IDLE;
    if (!compaction->job) {
        r = next_job(compaction);
        if (r < 0) {
            log_error("op=compaction: %s", err_text(r));
            return FULL_DISK_US;
        }
        return r == 1 ? TASK_AGAIN : TASK_IDLE;
    }
    if (atomic_load(&compaction->merging) && atomic_load(&compaction->yields)) {
        end_job(compaction);
        return FULL_DISK_US;
    }
    r = compaction_job_step(compaction->job);
    if (r < 0)
        return failed(compaction, r);
    if (r == 0) {
        answer(compaction, compaction_job_table(compaction->job),
            compaction_job_asked(compaction->job), 0);
        note_collection(compaction);
        end_job(compaction);
    }
    return TASK_AGAIN;
}

void compaction_init(struct compaction *compaction, struct engine *engine)
{
    *compaction = (struct compaction){.engine = engine};
}

int compaction_start(struct compaction *compaction)
{
    struct env *env = compaction->engine->env;
    int r = task_start(env, "compact", step, compaction, &compaction->task);

    if (r == 0)
        task_kick(env, compaction->task);
    return r;
}

void compaction_stop(struct compaction *compaction)
{
    if (compaction->task)
        task_stop(compaction->engine->env, compaction->task);
    compaction->task = NULL;
    atomic_store(&compaction->merging, false);
    compaction_job_free(compaction->job);
    compaction->job = NULL;
}

void compaction_kick(struct compaction *compaction)
{
    if (compaction->task)
        task_kick(compaction->engine->env, compaction->task);
}

bool compaction_gives_space(struct compaction *compaction)
{
    if (atomic_load(&compaction->merging)) {
        atomic_store(&compaction->yields, true);
        return true;
    }
    return env_monotonic_us(compaction->engine->env) < atomic_load(&compaction->space_comes_us);
}

/* ---- on demand ---- */

static bool is_answered(struct engine *engine, unsigned table, uint64_t asked, int *ret_result)
{
    bool answered;

    mutex_lock(&engine->change);
    answered = engine->compaction.done[table] >= asked;
    *ret_result = engine->compaction.results[table];
    mutex_unlock(&engine->change);
    return answered;
}

static int await_answer(struct engine *engine, unsigned table, uint64_t asked)
{
    for (;;) {
        uint64_t ticket = event_ticket(&engine->progress);
        int result, r;

        if (is_answered(engine, table, asked, &result))
            return result;
        r = engine_check_writable(engine);
        if (r < 0)
            return r;
        env_wait(engine->env, &engine->progress, ticket);
    }
}

int engine_compact(struct engine *engine, uint64_t tables)
{
    uint64_t asked[ENGINE_TABLES_MAX] = {0};
    int first = 0, r = engine_check_writable(engine);

    if (r < 0)
        return r;
    mutex_lock(&engine->change);
    for (unsigned i = 0; i < engine->table_count; i++)
        if (tables & 1ull << i)
            asked[i] = ++engine->compaction.asked[i];
    mutex_unlock(&engine->change);
    compaction_kick(&engine->compaction);
    for (unsigned i = 0; i < engine->table_count; i++) {
        if (asked[i] == 0)
            continue;
        r = await_answer(engine, i, asked[i]);
        if (r < 0 && first == 0)
            first = r;
    }
    return first;
}
