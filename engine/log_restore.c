#include "engine/log_restore.h"

#include "commitlog/archive.h"
#include "commitlog/archive_walk.h"
#include "engine/coding.h"
#include "engine/error.h"
#include "identity.h"
#include "rows/update.h"
#include "state.h"
#include "time_text.h"

#define ROLL_BYTES (1u << 20)
#define BATCH_BYTES_USUAL (1u << 20)
/* Nothing is old enough to go: what was carried forward in the log comes again, after what deleted
 * it, and only a tombstone that is still there keeps it away. */
#define GRACE_FOR_EVER_S (1ll << 40)

struct restore {
    struct archive_walk walk;
    struct manifest *manifest; /* of the store that the log is in, or NULL */
    int lock;                  /* of it; -1: none */
    int64_t point_us;

    /* Of the new store. */
    struct engine *engine;
    struct batch *batch;
};

/* ---- where to read ---- */

static int read_point(struct restore *restore, struct env *from,
    const struct engine_options *options, int64_t until_us)
{
    AUTO(snapshot_facts_release) struct snapshot_facts facts = {0};
    int r = snapshot_json_read(from, "", options->tables, options->table_count, &facts);
    char when[TIME_TEXT_BYTES];

    if (r == -ENOENT)
        return err_new(-ENOTDIR, "there is no snapshot.json: this is not the folder of a snapshot");
    if (r < 0)
        return r;
    if (facts.log_position == COMMITLOG_POSITION_NONE)
        return err_new(-EINVAL, "the snapshot does not say where in the log it is: it was taken by "
                                "an earlier version");
    time_text((int64_t)facts.point_us, when);
    if (until_us < (int64_t)facts.point_us)
        return err_new(
            -EINVAL, "the snapshot is of a later moment: the oldest over it is %s", when);
    restore->point_us = (int64_t)facts.point_us;
    restore->walk.from_position = facts.log_position;
    restore->walk.until_us = until_us;
    memcpy(restore->walk.store_uuid, facts.store.uuid, sizeof(facts.store.uuid));
    return 0;
}

/* The end of its log is cut as its manifest says, if no segment says it yet. */
static int open_source(struct restore *restore, const struct engine_options *options)
{
    struct manifest_options manifest_options = {.tables = options->tables,
        .table_count = options->table_count,
        .roll_bytes = ROLL_BYTES,
        .read_only = true};
    struct archive_walk *walk = &restore->walk;
    struct store_identity identity;
    int r = identity_read(walk->env, &identity);

    if (r == 0)
        r = lock_take(walk->env, true, &restore->lock);
    if (r < 0)
        return r;
    if (memcmp(identity.uuid, walk->store_uuid, sizeof(identity.uuid)) != 0)
        return err_new(-EPROTO, "the snapshot is of another store than the log");
    memcpy(manifest_options.store_uuid, identity.uuid, sizeof(identity.uuid));
    r = manifest_open(walk->env, &manifest_options, &restore->manifest);
    if (r < 0)
        return r;
    walk->cuts = manifest_state(restore->manifest)->cuts;
    walk->cut_count = manifest_state(restore->manifest)->cut_count;
    walk->flushed_max = manifest_flushed_max(manifest_state(restore->manifest));
    return 0;
}

static void close_source(struct restore *restore)
{
    manifest_free(restore->manifest);
    if (restore->lock >= 0)
        lock_release(restore->walk.env, true, restore->lock);
}

/* ---- looking, before anything is made ---- */

static int look(const struct restore *restore, struct log_restore_result *to)
{
    struct archive_walk_result result;
    char when[TIME_TEXT_BYTES];
    int r = archive_walk(&restore->walk, NULL, NULL, &result);

    to->batches = result.batches;
    to->last_timestamp_us = result.batches > 0 ? result.last_timestamp_us : restore->point_us;
    time_text(to->last_timestamp_us, when);
    if (r < 0)
        return err_with(r, "the log is whole up to %s", when);
    if (restore->walk.until_us != LOG_RESTORE_LATEST && !result.is_past)
        return err_new(-EUCLEAN,
            "the log ends too soon: what it has last is of %s, and whether that was all until then "
            "it does not say",
            when);
    return 0;
}

/* ---- applying ---- */

static int apply(struct restore *restore)
{
    struct batch *batch = restore->batch;
    uint64_t position;

    restore->batch = NULL;
    return batch ? engine_apply(restore->engine, batch, &position) : 0;
}

static int add_body(
    struct restore *restore, unsigned table, struct bytes body, int64_t timestamp_us)
{
    int r = 0;

    if (restore->batch && batch_bytes(restore->batch) + body.size > BATCH_BYTES_USUAL)
        r = apply(restore);
    if (r == 0 && !restore->batch)
        r = engine_admit(
            restore->engine, table, body.size, ADMIT_GROW, NULL, NULL, &restore->batch);
    if (r == 0)
        batch_body(restore->batch, table, body, timestamp_us);
    return r;
}

static int apply_updates(
    void *arg, int64_t timestamp_us, struct bytes updates, unsigned update_count)
{
    struct restore *restore = arg;
    struct decoder in = decoder_of(updates);
    int r = 0;

    /* What is written to the new store from here on counts as later. */
    commitlog_pass_timestamp(restore->engine->log, timestamp_us);
    for (unsigned i = 0; r == 0 && i < update_count; i++) {
        unsigned table = get_u8(&in);
        struct bytes body = get_bytes(&in, get_le32(&in));

        if (decoder_failed(&in) || table >= restore->engine->table_count)
            r = err_new(-EUCLEAN, "a record of updates that cannot be");
        else
            r = add_body(restore, table, body, timestamp_us);
    }
    return r == 0 ? apply(restore) : r;
}

static int replay(struct restore *restore, struct env *env, const struct engine_options *given)
{
    struct engine_options options = {.tables = given->tables,
        .table_count = given->table_count,
        .memory_bytes = given->memory_bytes,
        .sync_mode = SYNC_PERIODIC,
        .sync_period_us = 60000000,
        .gc_grace_s = GRACE_FOR_EVER_S};
    struct archive_walk_result result;
    int r = engine_open(env, &options, &restore->engine), closed;

    if (r < 0)
        return r;
    r = archive_walk(&restore->walk, apply_updates, restore, &result);
    if (restore->batch)
        engine_discard_batch(restore->engine, restore->batch);
    closed = engine_close(restore->engine, r == 0 ? CLOSE_FLUSH : 0);
    return r < 0 ? r : closed;
}

int engine_create_at(struct env *env, struct env *from, const char *link_from,
    const struct engine_options *options, const struct log_source *log, int64_t until_us,
    struct log_restore_result *ret_result)
{
    struct restore restore = {.lock = -1,
        .walk = {.env = log->env,
            .folder = log->is_store ? ARCHIVE_FOLDER : "",
            .with_slots = log->is_store}};
    int r = read_point(&restore, from, options, until_us);

    if (r == 0 && log->is_store)
        r = open_source(&restore, options);
    if (r == 0)
        r = look(&restore, ret_result);
    if (r == 0)
        r = engine_create_from(env, from, link_from, options->tables, options->table_count);
    if (r == 0)
        r = replay(&restore, env, options);
    close_source(&restore);
    return r;
}
