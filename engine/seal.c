#include "seal.h"

#include "engine/error.h"
#include "engine/log.h"
#include "state.h"

#define AGE_US (30ull * 60 * 1000000)
#define GIVE_BACK_US 60000000 /* how long deletions wait that give much back */
#define NEAR_FULL_US 1000000  /* how long deletions wait on a disk nearly full */

/* ---- switching ---- */

struct switch_over {
    struct engine *engine;
    uint64_t tables, pinning;
    struct view *view;                         /* the new one, not yet changed */
    struct memtable *fresh[ENGINE_TABLES_MAX]; /* of the tables to be switched */
    uint64_t position;
    int r;
};

/* No append gets a place while this runs, so what is published here is seen by all behind P. */
static void switch_at(void *arg, uint64_t position)
{
    struct switch_over *over = arg;
    struct engine *engine = over->engine;
    uint64_t now_us = env_monotonic_us(engine->env);
    uint64_t epoch = epochs_now(&engine->writers);

    over->position = position;
    for (unsigned i = 0; i < engine->table_count; i++) {
        struct memtable *fresh;

        if (!(over->tables & 1ull << i))
            continue;
        fresh = memtable_new(&engine->tables[i], position, &engine->views.readers);
        if (!fresh) {
            over->r = -ENOMEM;
            return;
        }
        memtable_set_account(fresh, admission_account(&engine->admission, i));
        view_seal(over->view, i, fresh, position, epoch, now_us);
        over->view->tables[i].sealed[0].pins_log = over->pinning >> i & 1;
    }
    views_publish(&engine->views, over->view);
    over->view = NULL;
}

/* `pinning`: those of the tables that are sealed for nothing but the log that they pin. */
static int switch_memtables(
    struct engine *engine, uint64_t tables, uint64_t pinning, uint64_t *ret_position)
{
    struct switch_over over = {.engine = engine, .tables = tables, .pinning = pinning};
    struct view *now = views_acquire(&engine->views);

    for (unsigned i = 0; i < engine->table_count; i++) {
        const struct table_view *table = &now->tables[i];
        struct memtable_stats stats;

        /* A table without writes comes along where it can: it costs nothing to flush, and its old
         * position would keep the log from being freed. */
        memtable_get_stats(table->active, &stats);
        if (stats.partitions == 0 && table->sealed_count == 0)
            over.tables |= 1ull << i;
        if (table->sealed_count == SEALED_MAX && over.tables & 1ull << i)
            over.r = -EAGAIN;
    }
    if (over.r == 0) {
        over.view = view_copy(now);
        if (!over.view)
            over.r = -ENOMEM;
    }
    view_unref(now);
    if (over.r < 0)
        return over.r;
    commitlog_at_next_position(engine->log, switch_at, &over);
    view_unref(over.view);
    if (over.r < 0)
        return over.r;
    (void)epochs_end(&engine->writers);
    *ret_position = over.position;
    flusher_kick(&engine->flusher);
    return 0;
}

int engine_switch_memtables(struct engine *engine, uint64_t tables, uint64_t *ret_position)
{
    return switch_memtables(engine, tables, 0, ret_position);
}

int engine_switch_and_hold(struct engine *engine, uint64_t tables, uint64_t *ret_position)
{
    uint64_t given_up = atomic_load(&engine->flusher.given_up);

    for (;;) {
        uint64_t ticket = event_ticket(&engine->progress);
        int r = flusher_check(&engine->flusher, given_up);

        if (r < 0)
            return r;
        mutex_lock(&engine->change);
        r = engine_switch_memtables(engine, tables, ret_position);
        if (r == 0)
            return 0;
        mutex_unlock(&engine->change);
        if (r != -EAGAIN)
            return r;
        env_wait(engine->env, &engine->progress, ticket);
    }
}

/* ---- what to seal ---- */

bool engine_memtable_is_full(const struct engine *engine, const struct view *view)
{
    const struct memtable_budgets *budgets = &engine->admission.budgets;
    struct memory_use use = memtable_budgets_look(budgets);

    for (unsigned i = 0; i < view->table_count; i++)
        if (memtable_bytes(view->tables[i].active) >= memtable_budget_active(budgets, &use, i))
            return true;
    return false;
}

/* What a memtable's deletions would give back lies in SSTables, and is known once it is flushed. */
static bool gives_back(const struct table_schema *schema, const struct table_view *table,
    const struct memtable_stats *stats)
{
    return schema->compaction == COMPACT_GARBAGE && table->sstables->count > 0 &&
           stats->min_local_deletion_time_s != LOCAL_DELETION_TIME_NONE;
}

static bool pins(const struct table_view *table, uint64_t segment)
{
    return segment > 0 && table->sealed_count == 0 &&
           memtable_first_position(table->active) >> 32 <= segment;
}

static bool is_due(const struct table_schema *schema, const struct table_view *table,
    uint64_t active_bytes_max, uint64_t now_us, bool near_full)
{
    struct memtable_stats stats;

    if (memtable_bytes(table->active) >= active_bytes_max)
        return table->sealed_count < SEALED_MAX;
    /* Nothing but its size has it sealed behind another that waits: a flush that is slow, or fails
     * for want of space, is not to be followed by many small ones. */
    if (table->sealed_count > 0)
        return false;
    memtable_get_stats(table->active, &stats);
    if (near_full && stats.min_local_deletion_time_s != LOCAL_DELETION_TIME_NONE &&
        now_us - table->active_since_us >= NEAR_FULL_US)
        return true;
    if (now_us - table->active_since_us >= GIVE_BACK_US && gives_back(schema, table, &stats))
        return true;
    return stats.partitions > 0 && now_us - table->active_since_us >= AGE_US;
}

/* The segment that must go soon, for the log to have room to go on; 0: none. A table that pins it
 * is sealed whatever its size. */
static uint64_t segment_due(struct engine *engine)
{
    return engine_log_is_short(engine) ? commitlog_oldest_segment(engine->log) : 0;
}

/* The tables whose memtable is large, old, or keeps much log from being freed, and those of which
 * nothing but the last is true. */
static uint64_t tables_due(struct engine *engine, uint64_t *ret_pinning)
{
    const struct memtable_budgets *budgets = &engine->admission.budgets;
    struct memory_use use = memtable_budgets_look(budgets);
    struct view *view = views_acquire(&engine->views);
    uint64_t pinned_segment = segment_due(engine);
    uint64_t now_us = env_monotonic_us(engine->env);
    bool near_full = disk_space_is_near_full(&engine->disk_space);
    uint64_t due = 0;

    *ret_pinning = 0;
    for (unsigned i = 0; i < view->table_count; i++) {
        const struct table_view *table = &view->tables[i];

        if (is_due(&engine->tables[i], table, memtable_budget_active(budgets, &use, i), now_us,
                near_full))
            due |= 1ull << i;
        else if (pins(table, pinned_segment))
            *ret_pinning |= 1ull << i;
    }
    view_unref(view);
    return due | *ret_pinning;
}

void engine_seal_due(struct engine *engine)
{
    uint64_t pinning, position;
    uint64_t due = tables_due(engine, &pinning);
    int r;

    if (due == 0)
        return;
    mutex_lock(&engine->change);
    r = switch_memtables(engine, due, pinning, &position);
    mutex_unlock(&engine->change);
    if (r < 0 && r != -EAGAIN)
        log_error("op=switch: %s", err_text(r));
}
