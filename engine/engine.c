#include "state.h"

#include <inttypes.h>
#include <stdio.h>

#include "archive.h"
#include "engine/assert.h"
#include "engine/error.h"
#include "engine/log.h"
#include "identity.h"
#include "rows/merge.h"

#define MEMORY_BYTES_MIN (32ull << 20)
#define SEGMENT_BYTES_MIN (64u << 10)
#define SEGMENT_BYTES_MAX (32u << 20)
#define SEGMENT_BYTES_USUAL (1u << 20)
#define LOG_SEGMENTS_LEFT_MIN 3
#define FLUSH_PART_BYTES_USUAL (8u << 20)
#define ROLL_BYTES_MAX (4u << 20)
#define ERROR_TEXT_BYTES 1024
#define CLOCK_AHEAD_US (24ll * 3600 * 1000000)
/* 100 ns steps between 1582-10-15, where UUIDs of time count from, and 1970. */
#define UUID_EPOCH_TICKS 0x01b21dd213814000ull

/* ---- what the parts share ---- */

int engine_failure(const struct engine *engine)
{
    return atomic_load(&((struct engine *)(uintptr_t)engine)->failure);
}

void engine_fail(struct engine *engine, int r, const char *what)
{
    int none = 0;

    if (!atomic_compare_exchange_strong(&engine->failure, &none, r))
        return;
    log_error(
        "op=engine: %s: %s: the store takes no writes until it is opened again", what, err_text(r));
    /* Who waits for something that will not come is to hear of it. */
    admission_kick(&engine->admission);
    snapshots_kick(&engine->snapshots);
    event_signal(engine->env, &engine->progress);
}

int engine_commit(struct engine *engine, const struct manifest_edit *edit, const char *what)
{
    int r = manifest_commit(engine->manifest, edit);

    if (r < 0 && manifest_failure(engine->manifest) < 0)
        engine_fail(engine, r, what);
    return r;
}

int engine_tell_remedy(int r, const char *repair)
{
    char text[ERROR_TEXT_BYTES];

    snprintf(text, sizeof(text), "%s", err_text(r));
    return err_new(r, "%s (sstfs repair %s STORE helps)", text, repair);
}

int engine_check_writable(struct engine *engine)
{
    int r = engine_failure(engine);

    if (r < 0)
        return err_new(-EIO, "the store takes no writes since it failed: %s", strerror(-r));
    return engine->options.read_only ? err_new(-EROFS, "the store is open read-only") : 0;
}

struct sstable_id engine_next_id(struct engine *engine)
{
    uint64_t tick = env_wall_us(engine->env) * 10 + UUID_EPOCH_TICKS;
    uint64_t last = atomic_load(&engine->last_id_tick);
    struct sstable_id id;

    do {
        if (tick <= last)
            tick = last + 1;
    } while (!atomic_compare_exchange_weak(&engine->last_id_tick, &last, tick));
    sstable_id_make(&id, tick, engine->id_low_bits);
    return id;
}

struct sstable_handle *engine_new_handle(
    struct engine *engine, const struct manifest_sstable *entry)
{
    struct sstable_handle_options options = {
        .env = engine->env,
        .sweeper = engine->options.read_only ? NULL : &engine->sweeper,
        .schema = &engine->tables[entry->table],
        .cache = engine->cache,
        .open_sstables = &engine->open_sstables,
        .folder = engine->folders[entry->table],
    };

    return sstable_handle_new(&options, entry);
}

int engine_add_sstables(struct engine *engine, struct view *view, unsigned table,
    const struct manifest_sstable *entries, size_t entry_count)
{
    struct sstable_handle **handles = calloc(entry_count + 1, sizeof(*handles));
    size_t count = 0;
    int r = handles ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < entry_count; i++) {
        if (!entries[i].live || entries[i].table != table)
            continue;
        handles[count] = engine_new_handle(engine, &entries[i]);
        r = handles[count] ? 0 : -ENOMEM;
        count += r == 0;
    }
    if (r == 0)
        r = view_replace_sstables(view, table, NULL, 0, handles, count);
    while (count > 0)
        sstable_handle_unref(handles[--count]);
    free(handles);
    return r;
}

uint64_t engine_segment_after(uint64_t position)
{
    return (position >> 32) + ((position & UINT32_MAX) != 0);
}

void engine_edit_clock(struct engine *engine, struct manifest_edit *edit)
{
    if (engine->log)
        manifest_edit_clock(
            edit, commitlog_last_timestamp_us(engine->log), (commitlog_end(engine->log) >> 32) + 1);
    else
        manifest_edit_clock(edit, engine->recovered_timestamp_us, engine->replay.next_segment);
}

bool engine_log_is_short(struct engine *engine)
{
    return commitlog_segments_left(engine->log) < LOG_SEGMENTS_LEFT_MIN;
}

void engine_purge_times(struct engine *engine, struct purge *purge)
{
    purge->now_s = (int64_t)(env_wall_us(engine->env) / 1000000);
    purge->gc_before_s = engine->options.gc_grace_s > 0 ? purge->now_s - engine->options.gc_grace_s
                                                        : LOCAL_DELETION_TIME_NONE;
    /* While the log is replayed none goes: what was carried forward comes again in it, behind what
     * deleted it. */
    if (!engine->log)
        purge->gc_before_s = INT64_MIN;
}

/* ---- making a store ---- */

int engine_check_tables(const struct table_schema *tables, unsigned table_count)
{
    if (table_count == 0 || table_count > ENGINE_TABLES_MAX)
        return err_new(-EINVAL, "%u tables: want 1 to %d", table_count, ENGINE_TABLES_MAX);
    for (unsigned i = 0; i < table_count; i++)
        if (strlen(tables[i].keyspace) > 48 || strlen(tables[i].name) > 48)
            return err_new(-EINVAL, "table '%s': keyspace and name have 48 characters at most",
                tables[i].name);
    return 0;
}

void engine_data_folder(const struct table_schema *schema, char to[DATA_FOLDER_MAX + 1])
{
    char name[TABLE_FOLDER_NAME_MAX + 1];

    table_folder_name(schema, name);
    snprintf(to, DATA_FOLDER_MAX + 1, "data/%s/%s", schema->keyspace, name);
}

static int not_empty(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "lost+found") == 0 ? 0 : 1;
}

int engine_make_folders(struct env *env, const struct table_schema *tables, unsigned table_count)
{
    static const char *const folders[] = {
        "manifest", "commitlog", "data", "snapshots", "tmp", "trash"};
    int r = io_list(env, "", not_empty, NULL);

    if (r > 0)
        return err_new(-ENOTEMPTY, "the folder for the store is not empty");
    for (size_t i = 0; r == 0 && i < ARRAY_COUNT(folders); i++)
        r = io_mkdir(env, folders[i]);
    for (unsigned i = 0; r == 0 && i < table_count; i++) {
        char folder[DATA_FOLDER_MAX + 1], keyspace[64];

        snprintf(keyspace, sizeof(keyspace), "data/%s", tables[i].keyspace);
        engine_data_folder(&tables[i], folder);
        r = io_ensure_directory(env, keyspace);
        if (r == 0)
            r = io_mkdir(env, folder);
        if (r == 0)
            r = io_sync_directory(env, keyspace);
    }
    return r < 0 ? r : io_sync_directory(env, "data");
}

int engine_finish_create(struct env *env, const struct table_schema *tables, unsigned table_count,
    const struct manifest_state *state)
{
    struct store_identity identity;
    struct manifest_options options = {
        .tables = tables, .table_count = table_count, .roll_bytes = SEGMENT_BYTES_MIN};
    int r;

    identity_make(env, &identity);
    memcpy(options.store_uuid, identity.uuid, sizeof(options.store_uuid));
    r = manifest_create(env, &options, state);
    if (r == 0)
        r = lock_create(env);
    if (r == 0)
        r = disk_space_make_reserve(env);
    /* Last, as it is what makes the folder a store. */
    if (r == 0)
        r = identity_write(env, &identity);
    return r < 0 ? r : io_sync_directory(env, "");
}

int engine_create(struct env *env, const struct table_schema *tables, unsigned table_count)
{
    struct manifest_state state = {.table_count = table_count, .next_number = 1};
    int r = engine_check_tables(tables, table_count);

    if (r == 0)
        r = engine_make_folders(env, tables, table_count);
    return r < 0 ? r : engine_finish_create(env, tables, table_count, &state);
}

/* ---- opening ---- */

/* 1/512 of the disk, and not less than 1 MiB unless even that is much of it: a store must live on
 * small disks too. */
static uint64_t choose_segment_bytes(struct env *env)
{
    uint64_t bytes = SEGMENT_BYTES_MIN;
    struct io_space space;

    if (io_space(env, &space) < 0)
        return SEGMENT_BYTES_MAX;
    while (bytes < SEGMENT_BYTES_USUAL && bytes * 2 <= space.total_bytes / 256)
        bytes *= 2;
    while (bytes < SEGMENT_BYTES_MAX && bytes * 2 <= space.total_bytes / 512)
        bytes *= 2;
    return bytes;
}

static int check_options(const struct engine_options *options)
{
    int r = engine_check_tables(options->tables, options->table_count);

    if (r < 0)
        return r;
    if (options->memory_bytes < MEMORY_BYTES_MIN)
        return err_new(-EINVAL, "memory of %" PRIu64 " bytes: want at least %llu",
            options->memory_bytes, MEMORY_BYTES_MIN);
    if (options->all_sstables && !options->read_only)
        return err_new(-EINVAL, "all SSTables of a folder are to be read only");
    if (options->sync_mode == SYNC_PERIODIC && !options->read_only &&
        (options->sync_period_us < 1000000 || options->sync_period_us > 60000000))
        return err_new(
            -EINVAL, "a sync period of %" PRIu64 " us: want 1 to 60 s", options->sync_period_us);
    return 0;
}

/* What was left to us. */
static void fill_in_options(struct engine_options *options, struct env *env)
{
    if (options->flush_tasks == 0)
        options->flush_tasks = env_processors(env) / 2;
    if (options->flush_tasks < 1)
        options->flush_tasks = 1;
    if (options->flush_tasks > FLUSH_TASKS_MAX)
        options->flush_tasks = FLUSH_TASKS_MAX;
    if (options->flush_part_bytes == 0)
        options->flush_part_bytes = FLUSH_PART_BYTES_USUAL;
}

static struct engine *engine_new(struct env *env, const struct engine_options *options)
{
    struct engine *engine = aligned_alloc(_Alignof(struct engine), sizeof(*engine));

    if (!engine)
        return NULL;
    memset(engine, 0, sizeof(*engine));
    engine->env = env;
    engine->tables = options->tables;
    engine->table_count = options->table_count;
    engine->options = *options;
    fill_in_options(&engine->options, env);
    engine->lock_fd = -1;
    engine->segment_bytes = choose_segment_bytes(env);
    engine->live = (struct source){engine, NULL};
    engine->id_low_bits = env_random(env);
    memory_plan_init(&engine->memory, options->memory_bytes, options->tables, options->table_count);
    engine->cache = chunk_cache_new(engine->memory.chunks + engine->memory.index_pages);
    if (!engine->cache) {
        free(engine);
        return NULL;
    }
    for (unsigned i = 0; i < engine->table_count; i++)
        engine_data_folder(&engine->tables[i], engine->folders[i]);
    value_buffer_pool_init(&engine->value_buffers, engine->memory.idle_value_buffers);
    views_init(&engine->views);
    open_sstables_init(&engine->open_sstables, engine->memory.filters, &engine->views.readers);
    epochs_init(&engine->writers);
    mutex_init(&engine->change, RANK_CHANGE);
    disk_space_init(&engine->disk_space, engine);
    admission_init(&engine->admission, engine);
    sync_queue_init(&engine->sync_queue, engine);
    flusher_init(&engine->flusher, engine);
    compaction_init(&engine->compaction, engine);
    snapshots_init(&engine->snapshots, engine);
    sweeper_init(&engine->sweeper, engine);
    return engine;
}

static void engine_free(struct engine *engine)
{
    /* References to SSTables first, then the sweeper's own, then what they lean on. */
    flusher_release(&engine->flusher);
    snapshots_release(&engine->snapshots);
    views_release(&engine->views);
    sweeper_release(&engine->sweeper);
    open_sstables_release(&engine->open_sstables);
    admission_release(&engine->admission);
    compaction_release(&engine->compaction);
    disk_space_release(&engine->disk_space);
    sync_queue_release(&engine->sync_queue);
    manifest_free(engine->manifest);
    mutex_release(&engine->change);
    value_buffer_pool_release(&engine->value_buffers);
    chunk_cache_free(engine->cache);
    if (engine->lock_fd >= 0)
        lock_release(engine->env, engine->options.read_only, engine->lock_fd);
    free(engine);
}

static int open_manifest(struct engine *engine)
{
    struct manifest_options options = {
        .tables = engine->tables,
        .table_count = engine->table_count,
        .roll_bytes =
            engine->segment_bytes < ROLL_BYTES_MAX ? engine->segment_bytes : ROLL_BYTES_MAX,
        .read_only = engine->options.read_only,
    };
    int r;

    memcpy(options.store_uuid, engine->identity.uuid, sizeof(options.store_uuid));
    r = manifest_open(engine->env, &options, &engine->manifest);
    /* A full store must open, or it could never be emptied. */
    if (r == -ENOSPC && disk_space_open_reserve(&engine->disk_space))
        r = manifest_open(engine->env, &options, &engine->manifest);
    if (r == -ENOENT)
        r = err_new(-EUCLEAN, "the manifest is lost");
    return err_is_damage(r) ? engine_tell_remedy(r, "--manifest") : r;
}

static int open_store(struct engine *engine)
{
    int r = identity_read(engine->env, &engine->identity);

    if (r == -ENOTDIR) {
        r = engine->options.read_only ? engine_open_snapshot_folder(engine) : -ENOENT;
        engine->is_snapshot = r == 0;
        return r == -ENOENT
                   ? err_new(-ENOTDIR, "there is no store.json: this folder is not a store")
                   : r;
    }
    if (r == 0)
        r = lock_take(engine->env, engine->options.read_only, &engine->lock_fd);
    if (r == 0)
        r = open_manifest(engine);
    return r < 0 ? r : engine_recover(engine);
}

static int start_tasks(struct engine *engine)
{
    int r = sync_queue_start(&engine->sync_queue);

    if (r == 0)
        r = admission_start(&engine->admission);
    if (r == 0)
        r = sweeper_start(&engine->sweeper);
    if (r == 0)
        r = compaction_start(&engine->compaction);
    if (r == 0)
        r = snapshots_start(&engine->snapshots);
    if (r == 0)
        r = flusher_start(&engine->flusher);
    return r;
}

/*
 * In the order in which one kicks the next, so that none is kicked that has gone: a flush kicks
 * compaction, snapshots and admission, a compaction admission and the sweeper, and whatever fails
 * for good (engine_fail(): also a sync) snapshots and admission. Callers, who kick any, have gone.
 */
static void stop_tasks(struct engine *engine)
{
    flusher_stop(&engine->flusher);
    compaction_stop(&engine->compaction);
    sync_queue_stop(&engine->sync_queue);
    snapshots_stop(&engine->snapshots);
    admission_stop(&engine->admission);
    sweeper_stop(&engine->sweeper);
}

/* Timestamps go on from there all the same; in a cluster they would shadow later writes. */
static void warn_of_clock(struct engine *engine)
{
    int64_t ahead_us = engine->recovered_timestamp_us - (int64_t)env_wall_us(engine->env);

    if (ahead_us > CLOCK_AHEAD_US)
        log_warning("op=open: the newest timestamp of the store is %" PRId64
                    " hours ahead of this machine's clock",
            ahead_us / 3600000000);
}

int engine_open(struct env *env, const struct engine_options *options, struct engine **ret_engine)
{
    struct engine *engine;
    int r = check_options(options);

    if (r < 0)
        return r;
    engine = engine_new(env, options);
    if (!engine)
        return -ENOMEM;
    r = open_store(engine);
    if (r == 0)
        warn_of_clock(engine);
    if (r == 0 && !options->read_only)
        r = start_tasks(engine);
    if (r < 0) {
        stop_tasks(engine);
        commitlog_abandon(engine->log);
        engine_free(engine);
        return r;
    }
    if (!options->read_only)
        engine_archive_settle(engine);
    *ret_engine = engine;
    return 0;
}

int engine_close(struct engine *engine, unsigned flags)
{
    int first = engine_failure(engine), r;

    if (first == 0 && flags & CLOSE_FLUSH && engine->log)
        first = engine_flush(engine, TABLES_ALL);
    stop_tasks(engine);
    if (first == 0)
        first = engine_failure(engine);
    /* Also when a full disk kept memtables from being flushed: the log has all of it. */
    if (engine->log && engine_failure(engine) == 0) {
        r = commitlog_close(engine->log);
        engine->log = NULL;
        if (first == 0)
            first = r;
    }
    commitlog_abandon(engine->log);
    engine_free(engine);
    return first;
}

/* ---- what it is and does ---- */

void engine_identity(const struct engine *engine, struct store_identity *ret_identity)
{
    *ret_identity = engine->identity;
}

struct value_buffer *engine_value_buffer(struct engine *engine)
{
    return value_buffer_new(&engine->value_buffers);
}

uint64_t engine_memory_for_callers(const struct engine *engine)
{
    return engine->memory.callers;
}

struct source *engine_live(struct engine *engine)
{
    return &engine->live;
}

void engine_reopen_sstables(struct engine *engine)
{
    struct view *view = views_acquire(&engine->views);

    open_sstables_close_all(&engine->open_sstables);
    for (unsigned i = 0; i < view->table_count; i++) {
        const struct sstable_set *set = view->tables[i].sstables;

        for (size_t j = 0; j < set->count; j++)
            atomic_store(&set->handles[j]->suspect, false);
    }
    view_unref(view);
}

int engine_sstables(struct engine *engine, sstable_each each, void *arg)
{
    struct view *view = views_acquire(&engine->views);
    int r = 0;

    for (unsigned i = 0; i < view->table_count && r == 0; i++) {
        const struct sstable_set *set = view->tables[i].sstables;

        for (size_t j = 0; j < set->count && r == 0; j++) {
            const struct sstable_handle *handle = set->handles[j];

            r = each(arg, &(struct engine_sstable){
                              .table = i,
                              .level = handle->entry.level,
                              .garbage_bytes = atomic_load(&handle->garbage_bytes),
                              .facts = &handle->entry.facts,
                          });
        }
    }
    view_unref(view);
    return r;
}
