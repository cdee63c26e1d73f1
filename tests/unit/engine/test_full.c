/*
 * Goal: a full disk is no trap: what is deleted gives its space back, all else stays.
 * Method: a small disk in memory, filled with partitions until -ENOSPC; some are deleted, time
 * passes, and as much is written again. SSTFS_SEED replays.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "engine/error.h"
#include "io/mem.h"
#include "support/engine_model.h"
#include "support/random.h"

#define DISK_BYTES (64u << 20)
#define MEMORY_BYTES (32u << 20)
#define VALUE_BYTES (32u << 10)
#define NUMBERS_MAX 16384

struct world {
    struct env *env;
    struct engine *engine;
    uint64_t memory_bytes;
    bool there[NUMBERS_MAX];
    uint64_t end; /* no number from here on was written */
};

static void check(int r)
{
    if (r < 0)
        fail_msg("%d: %s", r, err_text(r));
}

static struct bytes value_of(uint64_t number)
{
    static uint8_t value[VALUE_BYTES];
    struct random random = {number + 1};

    for (size_t i = 0; i < VALUE_BYTES; i++)
        value[i] = (uint8_t)random_below(&random, 256);
    return bytes_of(value, VALUE_BYTES);
}

static void open_world(struct world *world)
{
    struct engine_options options = model_options();

    options.memory_bytes = world->memory_bytes;
    check(engine_open(world->env, &options, &world->engine));
}

/* Not the world of faults, in which what was unlinked takes space until its folder is synced. */
static void new_world(struct world *world, uint64_t disk_bytes, uint64_t memory_bytes)
{
    *world = (struct world){.memory_bytes = memory_bytes};
    assert_int_equal(env_mem_new(random_seed(1), &world->env), 0);
    env_mem_set_space(world->env, disk_bytes);
    check(engine_create(world->env, model_tables, MODEL_TABLES));
    open_world(world);
}

static void end_world(struct world *world)
{
    check(engine_close(world->engine, 0));
    env_free(world->env);
}

static int write_next(struct world *world)
{
    uint8_t key[KEY_BYTES_BIGINT];
    struct batch *batch = NULL;
    struct clustering clustering = model_clustering(0, 0);
    uint64_t position;
    int r;

    assert_true(world->end < NUMBERS_MAX);
    r = engine_admit(world->engine, 0, VALUE_BYTES + 256, ADMIT_GROW, NULL, NULL, &batch);
    if (r < 0)
        return r;
    key_bigint(key, (int64_t)world->end);
    batch_row(batch, 0, bytes_of(key, sizeof(key)), &clustering, true);
    batch_cell(batch, 0, value_of(world->end));
    check(engine_apply(world->engine, batch, &position));
    world->there[world->end++] = true;
    return 0;
}

static uint64_t fill(struct world *world)
{
    uint64_t written = 0;
    int r;

    while ((r = write_next(world)) == 0)
        written++;
    assert_int_equal(r, -ENOSPC);
    return written;
}

static void delete (struct world *world, uint64_t number)
{
    uint8_t key[KEY_BYTES_BIGINT];
    struct batch *batch = NULL;
    uint64_t position;

    check(engine_admit(world->engine, 0, 64, ADMIT_RECLAIM, NULL, NULL, &batch));
    key_bigint(key, (int64_t)number);
    batch_delete_partition(batch, 0, bytes_of(key, sizeof(key)));
    check(engine_apply(world->engine, batch, &position));
    world->there[number] = false;
}

/* Background work that is due; fails when it does not come to rest. */
static void rest(struct world *world)
{
    unsigned steps = 0;

    while (env_run_task(world->env))
        assert_true(++steps < 100000);
}

static void pass(struct world *world, unsigned seconds)
{
    for (unsigned n = 0; n < seconds * 4; n++) {
        rest(world);
        env_mem_advance(world->env, 250000);
    }
}

static void expect(struct world *world)
{
    struct clustering clustering = model_clustering(0, 0);

    for (uint64_t number = 0; number < world->end; number++) {
        AUTO(rowref_release) struct rowref ref = ROWREF_INIT;
        uint8_t key[KEY_BYTES_BIGINT];
        int r;

        key_bigint(key, (int64_t)number);
        r = engine_get(engine_live(world->engine), 0, bytes_of(key, sizeof(key)), &clustering,
            COLUMNS_ALL, &ref);
        check(r);
        assert_int_equal(r, world->there[number]);
        if (r > 0)
            assert_true(bytes_equal(row_cell(&ref.row, 0)->value, value_of(number)));
    }
}

/* Deletes one in `one_in` of the partitions of a full store and writes nearly as many again. */
static void gives_back(uint64_t disk_bytes, uint64_t memory_bytes, uint64_t one_in)
{
    struct world *world = calloc(1, sizeof(*world));
    struct engine_stats before, after;
    uint64_t written, deleted = 0;

    assert_non_null(world);
    new_world(world, disk_bytes, memory_bytes);
    written = fill(world);
    assert_true(written * VALUE_BYTES > disk_bytes / 2);
    for (uint64_t number = 0; number < written; number += one_in, deleted++)
        delete (world, number);
    pass(world, 20);
    expect(world);
    for (uint64_t n = 0; n < deleted * 8 / 10; n++) {
        check(write_next(world));
        if (n % 16 == 0)
            rest(world);
    }
    expect(world);
    pass(world, 60);
    engine_get_stats(world->engine, &before);
    pass(world, 600);
    engine_get_stats(world->engine, &after);
    assert_int_equal(after.compactions, before.compactions);
    expect(world);
    check(engine_close(world->engine, 0));
    open_world(world);
    expect(world);
    end_world(world);
    free(world);
}

static void half_of_a_full_store_deleted_can_be_written_again(void **state)
{
    (void)state;
    gives_back(DISK_BYTES, MEMORY_BYTES, 2);
}

static void all_of_a_full_store_deleted_can_be_written_again(void **state)
{
    (void)state;
    gives_back(DISK_BYTES, MEMORY_BYTES, 1);
}

/* Memtables are no larger for it than what the reserve can write again. */
static void so_it_can_with_more_memory_than_disk(void **state)
{
    (void)state;
    gives_back(DISK_BYTES, 1u << 30, 1);
}

static void a_fifth_of_a_full_store_deleted_can_be_written_again(void **state)
{
    (void)state;
    gives_back(4 * DISK_BYTES, MEMORY_BYTES, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(half_of_a_full_store_deleted_can_be_written_again),
        cmocka_unit_test(all_of_a_full_store_deleted_can_be_written_again),
        cmocka_unit_test(so_it_can_with_more_memory_than_disk),
        cmocka_unit_test(a_fifth_of_a_full_store_deleted_can_be_written_again),
    };

    return cmocka_run_group_tests_name("full", tests, NULL, NULL);
}
