#include "core/reclaim.h"

#include <errno.h>
#include <inttypes.h>

#include "core/attr.h"
#include "engine/assert.h"
#include "engine/coding.h"
#include "engine/log.h"

/* Extents looked at in one step of the task; of those that are there, so many go in one batch. */
#define PROBES_PER_STEP 4096u
#define RECLAIM_BATCH_BYTES (64u << 10)

/** One thing for the background to do. */
struct reclaim_work {
    struct reclaim_work *next;
    struct node *atime_of; /* NULL: the orphan */
    struct orphan orphan;
    uint32_t extent; /* the next to be looked at */
};

/* ---- rows ---- */

static void orphan_key(
    const struct orphan *orphan, uint8_t bytes[ORPHAN_KEY_BYTES], struct row_key *key)
{
    store_be64(bytes, orphan->ino);
    bytes[8] = orphan->kind;
    store_be32(bytes + 9, orphan->first_extent);
    row_key_meta(key, META_ORPHANS, bytes_of(bytes, ORPHAN_KEY_BYTES));
}

void reclaim_put(struct batch *batch, const struct orphan *orphan)
{
    uint8_t bytes[ORPHAN_KEY_BYTES], value[ORPHAN_VALUE_BYTES];
    struct row_key key;

    orphan_key(orphan, bytes, &key);
    store_be64(value, orphan->small);
    store_be32(value + 8, orphan->extent_end);
    batch_row(batch, TABLE_META, key.key, &key.clustering, true);
    batch_cell(batch, META_VALUE, bytes_of(value, sizeof(value)));
}

void reclaim_delete(struct batch *batch, const struct orphan *orphan)
{
    uint8_t bytes[ORPHAN_KEY_BYTES];
    struct row_key key;

    orphan_key(orphan, bytes, &key);
    batch_delete_row(batch, TABLE_META, key.key, &key.clustering);
}

int reclaim_decode(const struct row *row, struct orphan *ret_orphan)
{
    struct bytes value = row_blob(row, META_VALUE);
    struct bytes key = BYTES_NONE;
    struct orphan orphan;

    if (row->clustering.count == 1)
        key = row->clustering.values[0];
    if (key.size != ORPHAN_KEY_BYTES || value.size != ORPHAN_VALUE_BYTES)
        return err_new(-EUCLEAN, "a row of orphans of %zu and %zu bytes", key.size, value.size);
    orphan = (struct orphan){
        .ino = load_be64(key.data),
        .kind = key.data[8],
        .first_extent = load_be32(key.data + 9),
        .small = load_be64(value.data),
        .extent_end = load_be32(value.data + 8),
    };
    if ((orphan.kind != ORPHAN_FILE && orphan.kind != ORPHAN_RANGE) ||
        orphan.extent_end > extents_of(FS_FILE_BYTES_MAX))
        return err_new(-EUCLEAN, "orphan %#" PRIx64 " of kind %u", orphan.ino, orphan.kind);
    *ret_orphan = orphan;
    return 0;
}

/* ---- deleting content ---- */

static void delete_extent(struct batch *batch, uint64_t ino, uint32_t extent)
{
    struct row_key key;

    row_key_extent(&key, ino, extent);
    batch_delete_partition(batch, TABLE_BLOCKS, key.key);
}

static void delete_small(struct batch *batch, uint64_t ino, uint64_t small)
{
    struct row_key key;

    row_key_small(&key, small, ino);
    batch_delete_row(batch, TABLE_SMALL, key.key, &key.clustering);
}

bool reclaim_content(struct batch *batch, uint64_t ino, uint64_t small, uint64_t size)
{
    uint32_t extents = extents_of(size);

    /* Small means: nothing in `blocks`. */
    if (small != 0) {
        delete_small(batch, ino, small);
        return true;
    }
    if (extents > EXTENTS_PER_BATCH_MAX)
        return false;
    for (uint32_t i = 0; i < extents; i++)
        delete_extent(batch, ino, i);
    return true;
}

/**
 * Adds the next deletions of an orphan to the batch, and with the last that of its row. An extent
 * that no memtable and no filter knows is left out: a sparse file costs probes, not tombstones.
 * false: there is more.
 */
static bool orphan_step(
    struct fs *fs, struct batch *batch, const struct orphan *orphan, uint32_t *extent)
{
    unsigned deletions = 0;
    struct row_key key;

    for (unsigned probes = 0; *extent < orphan->extent_end; probes++, (*extent)++) {
        if (probes == PROBES_PER_STEP || deletions == EXTENTS_PER_BATCH_MAX)
            return false;
        row_key_extent(&key, orphan->ino, *extent);
        /* A probe that fails may be there. */
        if (engine_may_contain(fs->live, TABLE_BLOCKS, key.key) != 0) {
            batch_delete_partition(batch, TABLE_BLOCKS, key.key);
            deletions++;
        }
    }
    if (orphan->small != 0)
        delete_small(batch, orphan->ino, orphan->small);
    reclaim_delete(batch, orphan);
    return true;
}

int reclaim_now(struct fs *fs, const struct orphan *orphan)
{
    uint32_t extent = orphan->first_extent;
    uint64_t position;
    bool done = false;

    while (!done) {
        struct batch *batch = NULL;
        int r;

        r = engine_admit(
            fs->engine, TABLE_BLOCKS, RECLAIM_BATCH_BYTES, ADMIT_RECLAIM, NULL, NULL, &batch);
        if (r < 0)
            return err_with(r, "orphan %#" PRIx64, orphan->ino);
        done = orphan_step(fs, batch, orphan, &extent);
        r = engine_apply(fs->engine, batch, &position);
        if (r < 0)
            return err_with(r, "orphan %#" PRIx64, orphan->ino);
    }
    return 0;
}

/* ---- the queue ---- */

static void work_free(struct reclaim_work *work)
{
    if (work->atime_of)
        node_unpin(work->atime_of);
    free(work);
}

static void work_add(struct fs *fs, struct reclaim_work *work)
{
    struct reclaimer *reclaimer = &fs->reclaimer;

    pthread_mutex_lock(&reclaimer->mutex);
    if (reclaimer->last)
        reclaimer->last->next = work;
    else
        reclaimer->first = work;
    reclaimer->last = work;
    reclaimer->count += !work->atime_of;
    if (reclaimer->task && !reclaimer->closing)
        task_kick(fs->env, reclaimer->task);
    pthread_mutex_unlock(&reclaimer->mutex);
}

/* The first in the queue, left there; NULL: none, or not to be done now. */
static struct reclaim_work *work_peek(struct reclaimer *reclaimer)
{
    struct reclaim_work *work;

    pthread_mutex_lock(&reclaimer->mutex);
    work = reclaimer->pending || reclaimer->closing ? NULL : reclaimer->first;
    pthread_mutex_unlock(&reclaimer->mutex);
    return work;
}

static void work_done(struct reclaimer *reclaimer, struct reclaim_work *work)
{
    pthread_mutex_lock(&reclaimer->mutex);
    ASSERT(reclaimer->first == work);
    reclaimer->first = work->next;
    if (!reclaimer->first)
        reclaimer->last = NULL;
    reclaimer->count -= !work->atime_of;
    pthread_mutex_unlock(&reclaimer->mutex);
    work_free(work);
}

void reclaim_later(struct fs *fs, const struct orphan *orphan)
{
    struct reclaim_work *work = calloc(1, sizeof(*work));

    if (!work) {
        log_warning(
            "orphan ino=%#" PRIx64 ": no memory, its content goes at the next mount", orphan->ino);
        return;
    }
    work->orphan = *orphan;
    work->extent = orphan->first_extent;
    work_add(fs, work);
}

void reclaim_atime(struct node *node)
{
    struct reclaim_work *work = calloc(1, sizeof(*work));

    /* An atime may be lost. */
    if (!work) {
        atomic_store(&node->atime_queued, false);
        return;
    }
    node_pin_held(node);
    work->atime_of = node;
    work_add(node->fs, work);
}

/* ---- the task ---- */

static void reclaim_go(void *arg, int r)
{
    struct fs *fs = arg;
    struct reclaimer *reclaimer = &fs->reclaimer;

    pthread_mutex_lock(&reclaimer->mutex);
    reclaimer->pending = false;
    reclaimer->result = r;
    if (!reclaimer->closing)
        task_kick(fs->env, reclaimer->task);
    event_signal(fs->env, &reclaimer->event);
    pthread_mutex_unlock(&reclaimer->mutex);
}

/* 1: a batch is there; 0: it will be, and the task is kicked then (or all ends). A step never
 * waits. */
static int reclaim_admit(struct fs *fs)
{
    struct reclaimer *reclaimer = &fs->reclaimer;
    bool closing;
    int r;

    pthread_mutex_lock(&reclaimer->mutex);
    r = reclaimer->result;
    reclaimer->result = 0;
    closing = reclaimer->closing;
    if (r == 0 && !reclaimer->batch && !closing)
        reclaimer->pending = true;
    pthread_mutex_unlock(&reclaimer->mutex);
    if (r < 0)
        return r;
    if (closing || reclaimer->batch)
        return !closing;

    r = engine_admit(fs->engine, TABLE_BLOCKS, RECLAIM_BATCH_BYTES, ADMIT_RECLAIM, reclaim_go, fs,
        &reclaimer->batch);
    if (r == -EINPROGRESS)
        return 0;
    pthread_mutex_lock(&reclaimer->mutex);
    reclaimer->pending = false;
    event_signal(fs->env, &reclaimer->event);
    pthread_mutex_unlock(&reclaimer->mutex);
    return r < 0 ? r : 1;
}

/* 1: the work is done. */
static int reclaim_work_step(struct fs *fs, struct reclaim_work *work)
{
    struct batch *batch = fs->reclaimer.batch;
    uint64_t position;
    bool done;
    int r;

    if (work->atime_of) {
        fs->reclaimer.batch = NULL;
        r = atime_write(work->atime_of, batch, &position);
        return r < 0 ? r : 1;
    }
    done = orphan_step(fs, batch, &work->orphan, &work->extent);
    if (batch_is_empty(batch))
        return done;
    fs->reclaimer.batch = NULL;
    r = engine_apply(fs->engine, batch, &position);
    return r < 0 ? r : done;
}

static int64_t reclaim_task_step(void *arg)
{
    struct fs *fs = arg;
    struct reclaimer *reclaimer = &fs->reclaimer;
    struct reclaim_work *work = work_peek(reclaimer);
    int r;

    if (!work)
        return TASK_IDLE;
    r = reclaim_admit(fs);
    if (r == 0)
        return TASK_IDLE;
    if (r > 0)
        r = reclaim_work_step(fs, work);
    if (r < 0 && !work->atime_of)
        log_error("op=reclaim ino=%#" PRIx64 ": %s; its content goes at the next mount",
            work->orphan.ino, err_text(r));
    if (r != 0)
        work_done(reclaimer, work);
    return TASK_AGAIN;
}

/* ---- opening and closing ---- */

int reclaim_each(struct fs *fs, int (*each)(void *arg, const struct orphan *orphan), void *arg)
{
    const struct slice all = SLICE_ALL;
    struct cursor *cursor = NULL;
    const struct row *row;
    struct row_key key;
    struct orphan orphan;
    int r;

    row_key_meta(&key, META_ORPHANS, BYTES_NONE);
    r = engine_scan(fs->live, TABLE_META, key.key, &all, COLUMNS_ALL, &cursor);
    if (r < 0)
        return err_with(r, "orphans");
    while ((r = cursor_next(cursor, &row)) > 0) {
        r = reclaim_decode(row, &orphan);
        if (r == 0)
            r = each(arg, &orphan);
        if (r < 0)
            break;
    }
    cursor_close(cursor);
    return r < 0 ? err_with(r, "orphans") : 0;
}

/* Ranges are cut from files that anybody may open, so they do not wait. */
static int recover(void *arg, const struct orphan *orphan)
{
    struct fs *fs = arg;

    if (orphan->kind == ORPHAN_RANGE)
        return reclaim_now(fs, orphan);
    reclaim_later(fs, orphan);
    return 0;
}

int reclaimer_open(struct fs *fs)
{
    /* What a crash left. */
    int r = reclaim_each(fs, recover, fs);

    if (r < 0)
        return r;
    r = task_start(fs->env, "reclaim", reclaim_task_step, fs, &fs->reclaimer.task);
    if (r < 0)
        return r;
    task_kick(fs->env, fs->reclaimer.task);
    return 0;
}

int reclaimer_close(struct fs *fs)
{
    struct reclaimer *reclaimer = &fs->reclaimer;
    struct reclaim_work *work;
    int first = 0;

    /* The engine may still owe a batch: only when it came can nobody call us any more. */
    for (;;) {
        uint64_t ticket = event_ticket(&reclaimer->event);
        bool pending;

        pthread_mutex_lock(&reclaimer->mutex);
        reclaimer->closing = true;
        pending = reclaimer->pending;
        pthread_mutex_unlock(&reclaimer->mutex);
        if (!pending)
            break;
        env_wait(fs->env, &reclaimer->event, ticket);
    }
    if (reclaimer->task)
        task_stop(fs->env, reclaimer->task);
    reclaimer->task = NULL;
    if (reclaimer->batch)
        engine_discard_batch(fs->engine, reclaimer->batch);
    reclaimer->batch = NULL;

    while ((work = reclaimer->first)) {
        if (first == 0 && !work->atime_of)
            first = reclaim_now(fs, &work->orphan);
        work_done(reclaimer, work);
    }
    return first;
}
