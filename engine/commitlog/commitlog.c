/*
 * Writing the log.
 *
 *   append: lock, join the queue --+-- first in line: take the group, give places and timestamps,
 *                                  |   unlock, one write, lock, tell the group and the next leader
 *                                  +-- else: spin, then sleep, until done, or first in line
 *
 * What is written and what is given out is under one mutex, which nobody holds during I/O. In a
 * world of one thread the queue is empty at each call, so nothing here ever sleeps.
 */
#include "commitlog/outline.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/assert.h"
#include "engine/error.h"

/* Some microseconds: a few writes of a record. */
#define SPINS_MAX 200

static const uint8_t zeros[PAGE_BYTES];

/* ---- failure ---- */

/* From now on nothing is believed: after a failed write the log has a hole, after a failed sync the
 * kernel may have dropped pages and call the next sync a success. Only a reopen can tell. Always
 * -EIO, whatever it was: -ENOSPC would say that it may be tried again. */
void commitlog_fail_locked(struct commitlog *log, int error)
{
    if (log->failed)
        return;
    log->failed = -EIO;
    snprintf(log->failed_text, sizeof(log->failed_text), "%s", err_text(error));
}

int commitlog_failure_locked(const struct commitlog *log)
{
    if (log->failed)
        return err_new(log->failed, "the commit log has failed: %s", log->failed_text);
    return 0;
}

bool commitlog_may_try_again(int error)
{
    return error == -ENOSPC || error == -EDQUOT || error == -ENOMEM || error == -EMFILE ||
           error == -ENFILE;
}

/* ---- segments ---- */

struct segment *commitlog_segment_new(uint64_t id, struct slot *slot)
{
    struct segment *segment = calloc(1, sizeof(*segment));

    if (segment) {
        segment->id = id;
        segment->slot = slot;
    }
    return segment;
}

/* As the newest. */
void commitlog_add_segment_locked(struct commitlog *log, struct segment *segment)
{
    struct segment **at = &log->segments;

    while (*at)
        at = &(*at)->next;
    *at = segment;
    log->stats.segments++;
}

/* Writes a last SYNC (if `covered` is not 0) and END into the active segment. The leader's. */
int commitlog_write_end(
    struct commitlog *log, uint64_t position, int64_t timestamp_us, uint64_t covered, uint64_t *end)
{
    uint8_t bytes[RECORD_SYNC_BYTES + RECORD_END_BYTES];
    uint8_t *at = bytes;
    uint64_t offset = position_offset(position);

    if (covered > 0) {
        record_encode_sync(at, covered, log->stats.syncs);
        record_seal(at, record_checksum(at, bytes_of(at + RECORD_HEADER_BYTES, 16)), log->salt,
            position, timestamp_us);
        at += RECORD_SYNC_BYTES;
        position += RECORD_SYNC_BYTES;
    }
    record_begin(at, RECORD_END, RECORD_END_BYTES, 0, 0);
    record_seal(at, record_checksum(at, BYTES_NONE), log->salt, position, timestamp_us);
    at += RECORD_END_BYTES;
    *end = position + RECORD_END_BYTES;
    return io_write(log->env, log->active->slot->fd, bytes, (size_t)(at - bytes), offset);
}

/* Room for a record of this many bytes, and for the SYNC before and the END after it? */
static bool has_room_locked(const struct commitlog *log, uint64_t bytes)
{
    return log->active &&
           position_offset(log->next_position) + RECORD_SYNC_BYTES + bytes + ROOM_FOR_END <=
               log->active->slot->bytes;
}

/* The NOTE that the segment begins with. */
static void put_note(uint8_t *to, const struct segment_note *note,
    const struct segment_header *header, int64_t timestamp_us)
{
    struct bytes body =
        bytes_of(to + RECORD_HEADER_BYTES, SEGMENT_NOTE_BYTES - RECORD_HEADER_BYTES);

    record_encode_note(to, note);
    record_seal(to, record_checksum(to, body), record_salt(header),
        position_of(header->id, SEGMENT_HEADER_BYTES), timestamp_us);
}

/* The first bytes of a new segment, in whole pages, then the last of the active one. No mutex: the
 * leader's. */
static int begin_and_end(struct commitlog *log, const struct slot *slot, uint64_t id,
    const struct segment_note *note, uint64_t position, int64_t timestamp_us)
{
    struct segment_header header = {
        .id = id,
        .previous = log->previous_segment,
        .created_us = env_wall_us(log->env),
        .nonce = env_random(log->env),
    };
    uint8_t bytes[SEGMENT_HEADER_BYTES + PAGE_BYTES] = {0};
    uint64_t end;
    int r;

    memcpy(header.store_uuid, log->store_uuid, sizeof(header.store_uuid));
    segment_encode_header(&header, bytes);
    put_note(bytes + SEGMENT_HEADER_BYTES, note, &header, timestamp_us);
    r = io_write(log->env, slot->fd, bytes, sizeof(bytes), 0);
    if (r == 0 && log->active)
        r = commitlog_write_end(log, position, timestamp_us, 0, &end);
    log->salt = record_salt(&header);
    return r;
}

/* A slot of at least so many bytes, on success. One is made here only if none is free: what the
 * background did not come to. The mutex is let go meanwhile. */
static int take_slot_locked(struct commitlog *log, uint64_t bytes, struct slot **ret_slot)
{
    struct slot *slot = pool_take(&log->pool);
    int number = slot ? 0 : pool_new_number(&log->pool);
    int r;

    if (number < 0)
        return number;
    mutex_unlock(&log->mutex);
    r = slot ? slot_extend(log->env, slot, bytes)
             : slot_make(log->env, SLOT_RECORDS, (unsigned)number, bytes, false, &slot);
    mutex_lock(&log->mutex);
    if (r < 0 && slot)
        pool_give(&log->pool, slot);
    else if (r < 0)
        pool_drop_number(&log->pool, (unsigned)number);
    *ret_slot = slot;
    return r;
}

/* The next segment is `slot`'s. What fails here leaves a log that nobody can go on with. */
static int enter_slot_locked(struct commitlog *log, struct slot *slot)
{
    uint64_t position = log->next_position;
    int64_t timestamp_us = log->last_timestamp_us;
    struct segment *segment = commitlog_segment_new(log->next_segment, slot);
    struct segment_note note = {.begins = !log->active, .cut_from = log->cut_from};
    int r;

    if (!segment) {
        pool_give(&log->pool, slot);
        return err_new(-ENOMEM, "no memory for a commit log segment");
    }
    memcpy(note.flushed, log->values.flushed, sizeof(note.flushed));
    log->filled_us = log->active ? env_monotonic_us(log->env) - log->begun_us : UINT64_MAX;
    log->begun_us = env_monotonic_us(log->env);
    mutex_unlock(&log->mutex);
    r = begin_and_end(log, slot, segment->id, &note, position, timestamp_us);
    mutex_lock(&log->mutex);
    if (log->active)
        log->active->sealed = true;
    commitlog_add_segment_locked(log, segment);
    log->active = segment;
    log->next_segment++;
    log->previous_segment = segment->id;
    log->next_position = position_of(segment->id, SEGMENT_HEADER_BYTES + SEGMENT_NOTE_BYTES);
    log->written = log->next_position;
    if (r < 0)
        commitlog_fail_locked(log, r);
    return r;
}

/*
 * Goes on in a new segment. The leader calls it, so no other append is under way. The slot comes
 * first: when there is no space for it, the log is as before.
 */
static int rotate_locked(struct commitlog *log, uint64_t bytes)
{
    uint64_t needed =
        SEGMENT_HEADER_BYTES + SEGMENT_NOTE_BYTES + RECORD_SYNC_BYTES + bytes + ROOM_FOR_END;
    struct slot *slot = NULL;
    int r;

    needed = (needed + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    if (needed < log->segment_bytes)
        needed = log->segment_bytes;
    if (log->next_segment > UINT32_MAX) {
        r = err_new(-EOVERFLOW, "the commit log has used up its segment numbers");
        commitlog_fail_locked(log, r);
        return r;
    }
    r = take_slot_locked(log, needed, &slot);
    if (r < 0) {
        if (!commitlog_may_try_again(r))
            commitlog_fail_locked(log, r);
        log->pool.disk_is_full = r == -ENOSPC;
        commitlog_note_pool_locked(log);
        return r;
    }
    r = enter_slot_locked(log, slot);
    commitlog_note_pool_locked(log);
    if (pool_wants_more(&log->pool))
        task_kick(log->env, log->grower);
    return r;
}

/* ---- appending ---- */

struct group {
    uint64_t position; /* of the first byte */
    unsigned count;
    unsigned vector_count;
    bool with_sync;
};

static void add_to_vector(struct commitlog *log, struct group *group, const void *data, size_t size)
{
    if (size > 0)
        log->vector[group->vector_count++] =
            (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = size};
}

/* Takes what is queued, as far as it fits, and gives it places and timestamps, together. */
static struct group gather_locked(struct commitlog *log)
{
    struct group group = {.position = log->next_position};
    int64_t now_us = (int64_t)env_wall_us(log->env);
    uint64_t bytes = 0;

    if (log->sync_untold) {
        record_encode_sync(log->sync_record, log->synced, log->stats.syncs);
        group.with_sync = true;
        log->sync_untold = false;
        log->next_position += RECORD_SYNC_BYTES;
    }
    for (struct request *q = log->queue; q && group.count < GROUP_COUNT_MAX; q = q->next) {
        uint64_t size = record_aligned(q->size);

        if (group.count > 0 &&
            (q->begins_segment || bytes + size > GROUP_BYTES_MAX || !has_room_locked(log, size)))
            break;
        q->position = log->next_position;
        q->timestamp_us = now_us > log->last_timestamp_us ? now_us : log->last_timestamp_us + 1;
        log->last_timestamp_us = q->timestamp_us;
        log->next_position += size;
        for (unsigned i = 0; i < q->outline->count; i++)
            values_named(&log->values, &q->outline->references[i], q->position);
        bytes += size;
        group.count++;
    }
    return group;
}

/* The last page, if nothing was written to it before, is written whole: else the kernel would read
 * it from the device first, when it is not in the page cache. */
static void fill_page(struct commitlog *log, struct group *group, uint64_t end)
{
    uint64_t used = end % PAGE_BYTES;

    if (used > 0 && (group->position % PAGE_BYTES == 0 || end - group->position > used))
        add_to_vector(log, group, zeros, PAGE_BYTES - used);
}

/* One write for all of the group, up to `end`. No mutex: what it touches is the leader's. */
static int write_group(struct commitlog *log, struct group *group, struct request *first, int fd,
    uint64_t end, int64_t before_us)
{
    struct request *q = first;

    if (group->with_sync) {
        uint8_t *sync = log->sync_record;

        record_seal(sync, record_checksum(sync, bytes_of(sync + RECORD_HEADER_BYTES, 16)),
            log->salt, group->position, before_us);
        add_to_vector(log, group, sync, RECORD_SYNC_BYTES);
    }
    for (unsigned i = 0; i < group->count; i++) {
        record_seal(q->header, q->checksum, log->salt, q->position, q->timestamp_us);
        add_to_vector(log, group, q->header, RECORD_HEADER_BYTES);
        add_to_vector(log, group, q->outline->body.data, q->outline->body.size);
        add_to_vector(log, group, zeros, record_aligned(q->size) - q->size);
        if (i + 1 < group->count)
            q = q->next; /* of the last, others are setting it just now */
    }
    fill_page(log, group, end);
    return io_writev(
        log->env, fd, log->vector, (int)group->vector_count, position_offset(group->position));
}

/* Unless it sleeps, its owner may leave, and its stack go, as soon as it sees the turn. */
static void give_turn_locked(struct request *request, enum turn turn)
{
    if (atomic_exchange_explicit(&request->turn, turn, memory_order_acq_rel) == TURN_SLEEP)
        pthread_cond_signal(&request->wake);
}

/* Ends the first `count` requests of the queue and lets the next in line lead. */
static void finish_locked(struct commitlog *log, unsigned count, int result)
{
    for (unsigned i = 0; i < count; i++) {
        struct request *q = log->queue;

        log->queue = q->next;
        if (result == 0) {
            log->stats.records++;
            log->stats.bytes += q->size;
        }
        q->result = result;
        give_turn_locked(q, TURN_DONE); /* the last touch */
    }
    if (log->queue)
        give_turn_locked(log->queue, TURN_LEAD);
    else
        log->queue_last = NULL;
}

static void lead_locked(struct commitlog *log)
{
    struct request *first = log->queue;
    int64_t before_us;
    struct group group;
    uint64_t end;
    int fd;
    int r;

    r = commitlog_failure_locked(log);
    if (r == 0 && (first->begins_segment || !has_room_locked(log, record_aligned(first->size))))
        r = rotate_locked(log, record_aligned(first->size));
    if (r < 0) {
        finish_locked(log, 1, r);
        return;
    }
    before_us = log->last_timestamp_us;
    group = gather_locked(log);
    end = log->next_position;
    fd = log->active->slot->fd;
    mutex_unlock(&log->mutex);
    r = write_group(log, &group, first, fd, end, before_us);
    mutex_lock(&log->mutex);
    if (r < 0)
        commitlog_fail_locked(log, r);
    else
        log->written = end;
    finish_locked(log, group.count, r);
    pthread_cond_broadcast(&log->progress);
}

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* A write into the page cache is over sooner than a thread falls asleep and is woken. */
static enum turn spin(struct request *request)
{
    enum turn turn = TURN_WAIT;

    for (unsigned i = 0; i < SPINS_MAX && turn == TURN_WAIT; i++) {
        relax();
        turn = atomic_load_explicit(&request->turn, memory_order_acquire);
    }
    return turn;
}

static enum turn sleep_locked(struct commitlog *log, struct request *request)
{
    enum turn turn = TURN_WAIT;

    if (atomic_compare_exchange_strong(&request->turn, &turn, TURN_SLEEP))
        while ((turn = atomic_load(&request->turn)) == TURN_SLEEP)
            pthread_cond_wait(&request->wake, &log->mutex.mutex);
    return turn;
}

/* Into the queue, and out of it with a place. */
static int append_record(struct commitlog *log, struct request *request)
{
    enum turn turn = TURN_LEAD;
    int r;

    mutex_lock(&log->mutex);
    if (log->queue) {
        log->queue_last->next = request;
        turn = TURN_WAIT;
    } else {
        log->queue = request;
    }
    log->queue_last = request;
    if (turn == TURN_WAIT) {
        mutex_unlock(&log->mutex);
        turn = spin(request);
        if (turn == TURN_DONE && request->result == 0)
            return 0;
        mutex_lock(&log->mutex);
    }
    if (turn == TURN_WAIT)
        turn = sleep_locked(log, request);
    if (turn == TURN_LEAD)
        lead_locked(log);
    /* The leader's words are the leader's thread's: others find their own. */
    r = request->result;
    if (r < 0 && log->failed)
        r = commitlog_failure_locked(log);
    mutex_unlock(&log->mutex);
    return r;
}

int commitlog_append(struct commitlog *log, const struct batch *batch, uint64_t *ret_position,
    uint64_t *ret_end, int64_t *ret_timestamp_us)
{
    size_t bytes = batch_updates(batch).bytes;
    struct outline outline;
    struct request request = {.outline = &outline, .wake = PTHREAD_COND_INITIALIZER};
    int r;

    if (bytes > BATCH_BYTES_MAX)
        return err_new(
            -EFBIG, "a batch of %zu bytes; the log takes %u at most", bytes, BATCH_BYTES_MAX);
    r = outline_begin(log, batch, &outline);
    if (r < 0)
        return err_with(r, "append to the commit log");
    request.size = RECORD_HEADER_BYTES + (uint32_t)outline.body.size;
    record_begin(
        request.header, RECORD_BATCH, request.size, batch_update_count(batch), outline.count);
    request.checksum = record_checksum(request.header, outline.body);
    r = append_record(log, &request);
    if (request.position == COMMITLOG_POSITION_NONE)
        outline_drop_values(log, &outline);
    outline_release(&outline);
    pthread_cond_destroy(&request.wake);
    if (r < 0)
        return err_with(r, "append to the commit log");
    *ret_position = request.position;
    *ret_end = request.position + record_aligned(request.size);
    *ret_timestamp_us = request.timestamp_us;
    return 0;
}

int commitlog_append_note(struct commitlog *log, bool begins_segment, uint64_t *ret_end)
{
    uint8_t bytes[SEGMENT_NOTE_BYTES];
    struct segment_note note = {0};
    struct outline outline = {
        .body = bytes_of(bytes + RECORD_HEADER_BYTES, sizeof(bytes) - RECORD_HEADER_BYTES)};
    struct request request = {.outline = &outline,
        .begins_segment = begins_segment,
        .size = sizeof(bytes),
        .wake = PTHREAD_COND_INITIALIZER};
    int r;

    mutex_lock(&log->mutex);
    memcpy(note.flushed, log->values.flushed, sizeof(note.flushed));
    mutex_unlock(&log->mutex);
    record_encode_note(bytes, &note);
    memcpy(request.header, bytes, RECORD_HEADER_BYTES);
    request.checksum = record_checksum(request.header, outline.body);
    r = append_record(log, &request);
    pthread_cond_destroy(&request.wake);
    if (r == 0)
        *ret_end = request.position + record_aligned(request.size);
    return r;
}

void commitlog_at_next_position(
    struct commitlog *log, void (*at_position)(void *arg, uint64_t position), void *arg)
{
    mutex_lock(&log->mutex);
    at_position(arg, log->next_position);
    mutex_unlock(&log->mutex);
}
