#include "disk_space.h"

#include <inttypes.h>

#include "engine/error.h"
#include "engine/log.h"
#include "ranks.h"
#include "state.h"

#define RESERVE_BYTES_USUAL (8u << 20)
#define RESERVE_BYTES_MAX (1u << 30)
#define PIECE_BYTES_MIN (4u << 20)
#define PIECE_BYTES_MAX (1u << 30)
#define NEAR_FULL_BYTES_MAX (1u << 30)
#define RESERVE_FILE "reserve"

/* ---- the reserve's file ---- */

static uint64_t reserve_bytes_of(uint64_t total_bytes)
{
    uint64_t bytes = total_bytes / 100;

    if (bytes < RESERVE_BYTES_USUAL)
        bytes = RESERVE_BYTES_USUAL;
    if (bytes > total_bytes / 32)
        bytes = total_bytes / 32;
    return bytes > RESERVE_BYTES_MAX ? RESERVE_BYTES_MAX : bytes;
}

static int fill_reserve(struct env *env, uint64_t bytes)
{
    int fd, r;

    r = io_open(env, RESERVE_FILE, O_RDWR | O_CREAT, &fd);
    if (r < 0)
        return r;
    r = io_allocate(env, fd, bytes);
    if (r == -EOPNOTSUPP) {
        static const uint8_t zeros[64 << 10];

        r = 0;
        for (uint64_t at = 0; at < bytes && r == 0; at += sizeof(zeros))
            r = io_write(env, fd, zeros, sizeof(zeros), at);
    }
    if (r < 0 && io_truncate(env, fd, 0) < 0)
        log_warning("op=reserve: the part that was taken is not given back");
    io_close(env, fd);
    return r;
}

int disk_space_make_reserve(struct env *env)
{
    struct io_space space;
    int r = io_space(env, &space);

    return r < 0 ? r : fill_reserve(env, reserve_bytes_of(space.total_bytes));
}

/* ---- looking ---- */

static void look(struct disk_space *space)
{
    struct env *env = space->engine->env;
    uint64_t now_us = env_monotonic_us(env);
    uint64_t checked_us = atomic_load(&space->checked_us);
    uint64_t admitted;
    struct io_space now;

    if (checked_us && now_us - checked_us < DISK_LOOK_US)
        return;
    /* Whoever comes meanwhile goes by the look before. */
    if (!atomic_compare_exchange_strong(&space->checked_us, &checked_us, now_us ? now_us : 1))
        return;
    admitted = atomic_load(&space->admitted_bytes);
    /* What cannot be known counts as no obstacle: the writes themselves will tell. */
    if (io_space(env, &now) < 0)
        now = (struct io_space){UINT64_MAX / 2, UINT64_MAX / 2};
    atomic_store(&space->total_bytes, now.total_bytes);
    atomic_store(&space->available_bytes, now.available_bytes);
    atomic_fetch_sub(&space->admitted_bytes, admitted);
}

void disk_space_look_again(struct disk_space *space)
{
    atomic_store(&space->checked_us, 0);
}

void disk_space_note_admitted(struct disk_space *space, uint64_t bytes)
{
    atomic_fetch_add_explicit(&space->admitted_bytes, bytes, memory_order_relaxed);
}

/* What the store needs for itself to go on working: log segments, the manifest. */
static uint64_t low_mark(const struct disk_space *space)
{
    return 4 * space->engine->segment_bytes;
}

/* What is not free for new data, of the bytes that the last look found: what will be written of
 * what was admitted, and what is kept back. */
static uint64_t spoken_for(struct disk_space *space)
{
    uint64_t bytes = low_mark(space) + admission_bytes(&space->engine->admission) +
                     atomic_load_explicit(&space->admitted_bytes, memory_order_relaxed);

    /* Space that was reserved is for what frees space, also while it is given out. */
    if (atomic_load_explicit(&space->reserve_given, memory_order_relaxed))
        bytes += space->reserve_bytes;
    return bytes;
}

static uint64_t available(struct disk_space *space)
{
    uint64_t found, taken;

    look(space);
    found = atomic_load(&space->available_bytes);
    taken = spoken_for(space);
    return found > taken ? found - taken : 0;
}

bool disk_space_is_short(struct disk_space *space, uint64_t bytes)
{
    return available(space) < 2 * bytes;
}

void disk_space_note_refused(struct disk_space *space)
{
    atomic_store(&space->refused, true);
}

void disk_space_get(struct disk_space *space, uint64_t *ret_total, uint64_t *ret_available)
{
    *ret_available = available(space);
    *ret_total = atomic_load(&space->total_bytes);
}

bool disk_space_is_near_full(struct disk_space *space)
{
    uint64_t left = available(space);
    uint64_t plenty = atomic_load(&space->total_bytes) / 4;

    /* Compactions take space for a while, up to as much as they merge: after a write was refused
     * for it, what is available may be much again, and yet the next writes will be refused. */
    if (left >= plenty)
        atomic_store(&space->refused, false);
    else if (atomic_load(&space->refused))
        return true;
    return left < low_mark(space) + space->reserve_bytes +
                      (plenty < NEAR_FULL_BYTES_MAX ? plenty : NEAR_FULL_BYTES_MAX);
}

uint64_t disk_space_piece_bytes(struct disk_space *space)
{
    uint64_t bytes;

    look(space);
    bytes = atomic_load(&space->total_bytes) / 128;
    if (bytes < PIECE_BYTES_MIN)
        return PIECE_BYTES_MIN;
    return bytes > PIECE_BYTES_MAX ? PIECE_BYTES_MAX : bytes;
}

/* ---- giving the reserve, and taking it back ---- */

bool disk_space_open_reserve(struct disk_space *space)
{
    struct env *env = space->engine->env;
    bool given = false;
    int fd;

    mutex_lock(&space->mutex);
    if (!atomic_load(&space->reserve_given) && io_open(env, RESERVE_FILE, O_RDWR, &fd) == 0) {
        given = io_truncate(env, fd, 0) == 0;
        io_close(env, fd);
        atomic_store(&space->reserve_given, true);
    }
    mutex_unlock(&space->mutex);
    if (given) {
        log_warning("op=reserve: the disk is full, %" PRIu64 " reserved bytes are in use",
            space->reserve_bytes);
        admission_kick(&space->engine->admission);
    }
    return given;
}

void disk_space_retake_reserve(struct disk_space *space)
{
    int r = 0;

    mutex_lock(&space->mutex);
    if (atomic_load(&space->reserve_given) && !disk_space_is_short(space, space->reserve_bytes)) {
        r = fill_reserve(space->engine->env, space->reserve_bytes);
        atomic_store(&space->reserve_given, r < 0);
        disk_space_look_again(space);
    }
    mutex_unlock(&space->mutex);
    if (r < 0 && r != -ENOSPC)
        log_warning("op=reserve: %s", err_text(r));
}

/* ---- life ---- */

void disk_space_init(struct disk_space *space, struct engine *engine)
{
    *space = (struct disk_space){.engine = engine};
    mutex_init(&space->mutex, RANK_DISK_SPACE);
}

void disk_space_start(struct disk_space *space)
{
    struct io_stat stat;

    look(space);
    space->reserve_bytes = reserve_bytes_of(atomic_load(&space->total_bytes));
    atomic_store(&space->reserve_given,
        io_stat(space->engine->env, RESERVE_FILE, &stat) < 0 || stat.size == 0);
}

void disk_space_release(struct disk_space *space)
{
    mutex_release(&space->mutex);
}
