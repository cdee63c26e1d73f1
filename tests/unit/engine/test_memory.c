/*
 * Goal: when memory runs out, the call that met it says so, or succeeds all the same; nothing
 * acknowledged is lost, no batch is there in part, and the store goes on once there is memory.
 * Method: lives of a store in memory, in each of which the nth allocation of every call fails, for
 * each n that any call reaches: alone, and with a thousand after it. A call that failed is
 * made again, with memory, and must succeed. Random batches, compared with a model.
 *
 * SSTFS_STRIDE=1 tries them all, SSTFS_STRIDE=n each nth.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "engine/error.h"
#include "engine/log.h"
#include "io/mem.h"
#include "support/engine_model.h"
#include "support/failing_memory.h"

#define SEED 5
#define SMALL_PAYLOAD_MAX 400
#define LARGE_PAYLOAD_MAX 40000 /* some of these lie apart in the log */
#define DISK_BYTES (64u << 20)
#define THINNING 6
#define TASK_STEPS_MAX 100000
#define TAG "point"
#define RENAMED "renamed"
#define KEPT "kept"

struct world {
    struct env *env;
    struct engine *engine; /* NULL: the store is closed */
    size_t payload_max;
    uint64_t applied; /* batches that are in the store */
    uint64_t or_else; /* or so many, which is the same, or what the call that failed had in mind */
    uint64_t in_snapshot;
    /* To replay a failure. */
    uint64_t nth;
    enum memory_failure how;
    const char *call;
};

static void complain(const struct world *world, int r, const char *what)
{
    fail_msg("payload %zu, allocation %" PRIu64 " %s of '%s', %" PRIu64 " applied: %s: %d %s",
        world->payload_max, world->nth,
        world->how == MEMORY_FAILS_ONCE ? "alone" : "and those after it", world->call,
        world->applied, what, r, r < 0 ? err_text(r) : "");
}

/* ---- what is in the store ---- */

static bool holds(struct world *world, const struct buf *found, uint64_t count)
{
    AUTO(buf_release) struct buf expected = BUF_INIT;
    struct model model = {0};

    for (uint64_t number = 1; number <= count; number++)
        model_batch(SEED, number, world->payload_max, NULL, &model);
    model_print(&model, TABLES_ALL, &expected);
    return bytes_equal(buf_bytes(&expected), buf_bytes(found));
}

static int print_store(struct world *world, struct source *source, struct buf *to)
{
    return model_print_store(source, SEED, world->payload_max, TABLES_ALL, to);
}

static void expect_applied(struct world *world)
{
    AUTO(buf_release) struct buf found = BUF_INIT;
    int r = print_store(world, engine_live(world->engine), &found);

    if (r < 0)
        complain(world, r, "reading with memory");
    if (!holds(world, &found, world->applied)) {
        if (!holds(world, &found, world->or_else))
            complain(world, 0, "the store holds something else");
        world->applied = world->or_else;
    }
    world->or_else = world->applied;
}

/* ---- calls ---- */

static int create(struct world *world)
{
    return engine_create(world->env, model_tables, MODEL_TABLES);
}

static int open_store(struct world *world)
{
    struct engine_options options = model_options();

    return engine_open(world->env, &options, &world->engine);
}

static int close_store(struct world *world, unsigned flags)
{
    int r = engine_close(world->engine, flags);

    world->engine = NULL;
    return r;
}

static int close_only(struct world *world)
{
    return close_store(world, 0);
}

static int close_with_flush(struct world *world)
{
    return close_store(world, CLOSE_FLUSH);
}

static int write_next(struct world *world)
{
    uint64_t position;
    int r = model_write(world->engine, SEED, world->applied + 1, world->payload_max, &position);

    /* One that failed is there all the same if the store failed with it, behind the log. */
    if (r == 0 || engine_failure(world->engine) < 0)
        world->or_else = world->applied + 1;
    if (r == 0)
        world->applied = world->or_else;
    return r;
}

static int sync_log(struct world *world)
{
    return engine_await(world->engine, engine_position(world->engine), true, NULL, NULL);
}

static int read_all(struct world *world)
{
    AUTO(buf_release) struct buf found = BUF_INIT;
    int r = print_store(world, engine_live(world->engine), &found);

    /* Comparing has memory again: what it allocates is not the store's. */
    memory_recover();
    if (r == 0 && !holds(world, &found, world->applied))
        complain(world, 0, "reads something else");
    return r;
}

static int flush(struct world *world)
{
    return engine_flush(world->engine, TABLES_ALL);
}

static int compact(struct world *world)
{
    return engine_compact(world->engine, TABLES_ALL);
}

static int run_tasks(struct world *world)
{
    unsigned steps = 0;

    env_mem_advance(world->env, 2000000);
    while (env_run_task(world->env))
        if (++steps == TASK_STEPS_MAX)
            complain(world, 0, "background work comes to no rest");
    return 0;
}

static int make_snapshot(struct world *world)
{
    world->in_snapshot = world->applied;
    return engine_snapshot_create(world->engine, TAG);
}

/* Of one that failed it tells so until it is tried again, a minute later. */
static int complete_snapshot(struct world *world)
{
    int r = engine_snapshot_await(world->engine, TAG, NULL, NULL);

    if (r == 0)
        return 0;
    memory_recover();
    env_mem_advance(world->env, 61000000);
    (void)run_tasks(world);
    return engine_snapshot_await(world->engine, TAG, NULL, NULL);
}

static int read_snapshot(struct world *world)
{
    AUTO(buf_release) struct buf found = BUF_INIT;
    struct source *source;
    int r = engine_open_snapshot(world->engine, TAG, &source);

    if (r < 0)
        return r;
    r = print_store(world, source, &found);
    memory_recover();
    if (r == 0 && !holds(world, &found, world->in_snapshot))
        complain(world, 0, "a snapshot reads something else");
    engine_close_snapshot(source);
    return r;
}

static int count_snapshot(void *arg, const struct snapshot_info *info)
{
    (void)info;
    ++*(unsigned *)arg;
    return 0;
}

static int list_snapshots(struct world *world)
{
    unsigned count = 0;
    int r = engine_snapshot_list(world->engine, count_snapshot, &count);

    if (r == 0 && count != 1)
        complain(world, 0, "there is not one snapshot");
    return r;
}

static int hold_snapshot(struct world *world)
{
    return engine_snapshot_hold(world->engine, TAG, "test");
}

static int release_snapshot(struct world *world)
{
    return engine_snapshot_release(world->engine, TAG, "test");
}

static int rename_snapshot(struct world *world)
{
    return engine_snapshot_rename(world->engine, TAG, RENAMED);
}

static int delete_snapshot(struct world *world)
{
    return engine_snapshot_delete(world->engine, RENAMED);
}

static int roll_back(struct world *world)
{
    struct engine_options options = model_options();
    int r = engine_rollback(world->env, &options, RENAMED, KEPT);

    world->or_else = world->in_snapshot;
    if (r == 0)
        world->applied = world->in_snapshot;
    return r;
}

/* ---- lives ---- */

static const struct step {
    const char *name;
    int (*call)(struct world *world);
    unsigned times;
    int done; /* what it gives when it was done already, by the call that failed */
} script[] = {
    {"open", open_store, 1, 0},
    {"write", write_next, 10, 0},
    {"sync", sync_log, 1, 0},
    {"read from memtables", read_all, 1, 0},
    {"close", close_only, 1, 0},
    {"replay", open_store, 1, 0},
    {"flush", flush, 1, 0},
    {"read from SSTables", read_all, 1, 0},
    {"write", write_next, 10, 0},
    {"make a snapshot", make_snapshot, 1, -EEXIST},
    {"run tasks", run_tasks, 1, 0},
    {"write", write_next, 5, 0},
    {"complete a snapshot", complete_snapshot, 1, 0},
    {"read a snapshot", read_snapshot, 1, 0},
    {"hold a snapshot", hold_snapshot, 1, -EEXIST},
    {"list snapshots", list_snapshots, 1, 0},
    {"release a snapshot", release_snapshot, 1, -ENODATA},
    {"close with a flush", close_with_flush, 1, 0},
    {"open", open_store, 1, 0},
    {"write", write_next, 10, 0},
    {"read all", read_all, 1, 0},
    {"rename a snapshot", rename_snapshot, 1, -ENOENT},
    {"flush", flush, 1, 0},
    {"compact", compact, 1, 0},
    {"read what is compacted", read_all, 1, 0},
    {"close", close_only, 1, 0},
    {"roll back", roll_back, 1, -EEXIST},
    {"open", open_store, 1, 0},
    {"read all", read_all, 1, 0},
    {"delete a snapshot", delete_snapshot, 1, -ENOENT},
    {"run tasks", run_tasks, 1, 0},
    {"write", write_next, 1, 0},
    {"close", close_only, 1, 0},
};

/* With memory. */
static void make_open(struct world *world, bool open)
{
    int r = 0;

    if (open && !world->engine)
        r = open_store(world);
    else if (!open && world->engine)
        r = close_only(world);
    if (r < 0)
        complain(world, r, open ? "opening with memory" : "closing with memory");
}

/* A store that failed takes no writes: it is to be opened again, as its words say. Only then is it
 * known what is in it. */
static void look(struct world *world)
{
    if (world->engine && engine_failure(world->engine) < 0)
        (void)close_only(world);
    make_open(world, true);
    expect_applied(world);
}

/* What is said of a store that failed of it is -EIO. */
static bool is_want_of_memory(const struct world *world, int r)
{
    return r == -ENOMEM ||
           (r == -EIO && (!world->engine || engine_failure(world->engine) == -ENOMEM));
}

/* Returns whether memory was refused. */
static bool run_step(struct world *world, const struct step *step)
{
    uint64_t applied = world->applied;
    bool closes = step->call == close_only || step->call == close_with_flush;
    bool refused, was_open = world->engine;
    int r;

    world->call = step->name;
    memory_fail_at(world->nth, world->how);
    r = step->call(world);
    refused = memory_recover();
    if (r < 0 && !(refused && is_want_of_memory(world, r)))
        complain(world, r, "fails of something else");
    if (!refused)
        return false;
    look(world);
    /* Once more, unless it was done all the same. Of a close that failed the store is closed. */
    if (r < 0 && world->applied == applied && step->call != open_store && !closes) {
        make_open(world, was_open);
        r = step->call(world);
        if (r < 0 && r != step->done)
            complain(world, r, "fails when there is memory again");
    }
    make_open(world, step->call == open_store || (was_open && !closes));
    return true;
}

static int count_name(void *arg, const char *name)
{
    (void)name;
    ++*(unsigned *)arg;
    return 0;
}

/* Nothing that a failure left behind outlives the next open; nobody forgot to close a file. */
static void expect_nothing_left(struct world *world)
{
    const struct mem_env *mem = mem_env_of(world->env);
    unsigned names = 0;

    make_open(world, true);
    (void)run_tasks(world);
    assert_int_equal(io_list(world->env, "tmp", count_name, &names), 0);
    assert_int_equal(io_list(world->env, "trash", count_name, &names), 0);
    if (names != 0)
        complain(world, 0, "tmp/ or trash/ is not empty");
    make_open(world, false);
    for (int fd = 0; fd < mem->open_count; fd++)
        if (mem->open[fd].inode)
            complain(world, 0, "a file is still open");
}

static bool live(size_t payload_max, uint64_t nth, enum memory_failure how)
{
    struct world world = {.payload_max = payload_max, .nth = nth, .how = how};
    bool refused = false;
    int r;

    assert_int_equal(env_mem_new(SEED, &world.env), 0);
    env_mem_set_space(world.env, DISK_BYTES);
    memory_spare_files(world.env);
    world.call = "create";
    r = create(&world);
    if (r < 0)
        complain(&world, r, "create");
    for (size_t i = 0; i < ARRAY_COUNT(script); i++)
        for (unsigned n = 0; n < script[i].times; n++)
            refused |= run_step(&world, &script[i]);
    world.call = "life";
    expect_nothing_left(&world);
    memory_spare_files(NULL);
    env_free(world.env);
    return refused;
}

/* Few calls allocate as often as the busiest: the further on, the fewer are tried. */
static void live_all(size_t payload_max, enum memory_failure how)
{
    const char *text = getenv("SSTFS_STRIDE");
    uint64_t stride = text ? strtoull(text, NULL, 10) : 0;
    uint64_t nth = 1, lives = 0;

    for (; live(payload_max, nth, how); lives++)
        nth += stride ? stride : 1 + nth / THINNING;
    print_message("# %" PRIu64 " lives, up to allocation %" PRIu64 "\n", lives, nth);
}

static void memory_that_is_short_once_costs_no_more_than_a_call(void **state)
{
    (void)state;
    live_all(SMALL_PAYLOAD_MAX, MEMORY_FAILS_ONCE);
}

static void memory_that_is_short_for_a_call_costs_no_more_than_that(void **state)
{
    (void)state;
    live_all(SMALL_PAYLOAD_MAX, MEMORY_FAILS_LONG);
}

static void the_same_of_large_values(void **state)
{
    (void)state;
    live_all(LARGE_PAYLOAD_MAX, MEMORY_FAILS_LONG);
}

static void the_same_of_large_values_that_are_shared(void **state)
{
    (void)state;
    model_share_values(true);
    live_all(LARGE_PAYLOAD_MAX, MEMORY_FAILS_ONCE);
    model_share_values(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_that_is_short_once_costs_no_more_than_a_call),
        cmocka_unit_test(memory_that_is_short_for_a_call_costs_no_more_than_that),
        cmocka_unit_test(the_same_of_large_values),
        cmocka_unit_test(the_same_of_large_values_that_are_shared),
    };

    memory_of_json_too();
    log_set_level(LOG_LEVEL_ERROR);
    log_to(fopen("/dev/null", "w"));
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
