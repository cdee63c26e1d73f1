/*
 * Goal: any number of threads may write, read, flush, compact and take snapshots at once; what was
 * acknowledged is read, then and after the next open. A data race would be a finding of TSan.
 * Method: threads on a real disk, each writer with a partition of its own and a counter in each
 * row; readers check that no row goes back in time.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/assert.h"
#include "engine/coding.h"
#include "engine/error.h"
#include "engine/log.h"
#include "state.h"
#include "support/engine_model.h"

#define WRITERS 4
#define ROWS 16
#define ROUNDS 400
#define VALUE_BYTES 3000

struct world {
    struct engine *engine;
    _Atomic unsigned writing;
    _Atomic uint64_t applied[WRITERS]; /* rounds acknowledged */
};

struct writer {
    struct world *world;
    unsigned number;
};

static void check(int r)
{
    if (r < 0)
        fprintf(stderr, "%s\n", err_text(r));
    ASSERT(r >= 0);
}

static struct clustering row_name(unsigned row, char text[8], struct bytes *value)
{
    snprintf(text, 8, "row%02u", row);
    *value = bytes_of(text, 5);
    return CLUSTERING_ROW(value, 1);
}

/* Round n writes n into row n % ROWS, and into the static row; in three tables. */
static void *write_rounds(void *arg)
{
    const struct writer *writer = arg;
    struct world *world = writer->world;
    uint8_t *value = calloc(1, VALUE_BYTES);

    ASSERT(value);
    for (uint64_t n = 1; n <= ROUNDS; n++) {
        struct batch *batch = NULL;
        struct bytes name;
        char text[8];
        struct clustering clustering = row_name((unsigned)(n % ROWS), text, &name);
        uint64_t position;

        check(engine_admit(world->engine, 0, 2 * VALUE_BYTES, ADMIT_GROW, NULL, NULL, &batch));
        store_be64(value, n);
        batch_row(batch, 0, model_key(0, writer->number), &clustering, true);
        batch_cell(batch, 0, bytes_of(value, VALUE_BYTES));
        batch_static_row(batch, 0, model_key(0, writer->number));
        batch_cell(batch, 0, bytes_of(value, 8));
        batch_row(batch, 2, model_key(2, writer->number), &CLUSTERING_ROW(NULL, 0), true);
        batch_cell(batch, 0, bytes_of(value, 8));
        check(engine_apply(world->engine, batch, &position));
        atomic_store(&world->applied[writer->number], n);
        if (n % 64 == 0)
            check(engine_await(world->engine, position, true, NULL, NULL));
    }
    free(value);
    atomic_fetch_sub(&world->writing, 1);
    return NULL;
}

static uint64_t number_in(const struct row *row)
{
    const struct cell *cell = row_cell(row, 0);

    ASSERT(cell && cell->value.size >= 8);
    return load_be64(cell->value.data);
}

/* Each row is at least what was acknowledged before the read began. */
static void check_partition(struct world *world, unsigned number)
{
    uint64_t applied = atomic_load(&world->applied[number]);
    struct rowref ref = ROWREF_INIT;
    struct cursor *cursor;
    const struct row *row;
    unsigned count = 0;
    int r;

    r = engine_get(engine_live(world->engine), 0, model_key(0, number), NULL, COLUMNS_ALL, &ref);
    check(r);
    ASSERT(applied == 0 || (r == 1 && number_in(&ref.row) >= applied));
    rowref_release(&ref);
    check(engine_scan(
        engine_live(world->engine), 0, model_key(0, number), &SLICE_ALL, COLUMNS_ALL, &cursor));
    while ((r = cursor_next(cursor, &row)) > 0) {
        ASSERT(number_in(row) + ROWS > applied);
        count++;
    }
    check(r);
    ASSERT(count == ROWS || count >= applied % ROWS);
    cursor_close(cursor);
}

static void *read_on(void *arg)
{
    struct world *world = arg;

    while (atomic_load(&world->writing) > 0)
        for (unsigned i = 0; i < WRITERS; i++)
            check_partition(world, i);
    return NULL;
}

static void *disturb(void *arg)
{
    struct world *world = arg;
    unsigned n = 0;

    while (atomic_load(&world->writing) > 0) {
        char tag[32];

        check(engine_flush(world->engine, n % 2 ? TABLES_ALL : 1));
        if (n % 4 == 3)
            check(engine_compact(world->engine, TABLES_ALL));
        snprintf(tag, sizeof(tag), "t%u", n);
        if (n % 3 == 0 && n < 60) {
            check(engine_snapshot_create(world->engine, tag));
            if (n % 2 == 0)
                check(engine_snapshot_await(world->engine, tag, NULL, NULL));
            else
                check(engine_snapshot_delete(world->engine, tag));
        }
        n++;
    }
    return NULL;
}

static void check_all(struct world *world)
{
    for (unsigned i = 0; i < WRITERS; i++) {
        struct rowref ref = ROWREF_INIT;

        check_partition(world, i);
        assert_int_equal(engine_get(engine_live(world->engine), 2, model_key(2, i),
                             &CLUSTERING_ROW(NULL, 0), COLUMNS_ALL, &ref),
            1);
        assert_int_equal(number_in(&ref.row), ROUNDS);
        rowref_release(&ref);
    }
}

static void remove_folder(const char *path)
{
    char command[256];

    snprintf(command, sizeof(command), "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

static void threads_write_read_flush_compact_and_snapshot_at_once(void **state)
{
    struct engine_options options = model_options();
    struct writer writers[WRITERS];
    pthread_t threads[WRITERS + 3];
    struct world world = {.writing = WRITERS};
    char path[] = "/tmp/sstfs-threads-XXXXXX";
    struct env *env;

    (void)state;
    options.sync_mode = SYNC_GROUP;
    assert_non_null(mkdtemp(path));
    check(env_posix_new(path, &env));
    check(engine_create(env, model_tables, MODEL_TABLES));
    check(engine_open(env, &options, &world.engine));
    /* Hardly an SSTable stays open, whoever is reading it. */
    world.engine->open_sstables.bytes_max = 1;
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){&world, i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_rounds, &writers[i]), 0);
    }
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[WRITERS + i], NULL, read_on, &world), 0);
    assert_int_equal(pthread_create(&threads[WRITERS + 2], NULL, disturb, &world), 0);
    for (unsigned i = 0; i < WRITERS + 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    check_all(&world);
    check(engine_close(world.engine, 0));
    check(engine_open(env, &options, &world.engine));
    check_all(&world);
    check(engine_close(world.engine, CLOSE_FLUSH));
    env_free(env);
    remove_folder(path);
}

struct gone {
    pthread_t caller;
    _Atomic bool in_await; /* the caller is inside of the call that was given the callback */
    _Atomic unsigned calls;
};

static void count_call(void *arg, int r)
{
    struct gone *gone = arg;

    ASSERT(r == 0);
    ASSERT(!(atomic_load(&gone->in_await) && pthread_equal(gone->caller, pthread_self())));
    atomic_fetch_add(&gone->calls, 1);
}

static void go_is_called_once_and_never_from_within_the_call(void **state)
{
    struct engine_options options = model_options();
    struct gone gone = {.caller = pthread_self()};
    char path[] = "/tmp/sstfs-threads-XXXXXX";
    struct engine *engine = NULL;
    struct env *env;
    unsigned waiting = 0;

    (void)state;
    options.sync_mode = SYNC_BATCH;
    assert_non_null(mkdtemp(path));
    check(env_posix_new(path, &env));
    check(engine_create(env, model_tables, MODEL_TABLES));
    check(engine_open(env, &options, &engine));
    for (uint64_t n = 1; n <= 50; n++) {
        uint64_t position;
        int r;

        check(model_write(engine, 1, n, 100, &position));
        atomic_store(&gone.in_await, true);
        r = engine_await(engine, position, false, count_call, &gone);
        atomic_store(&gone.in_await, false);
        assert_true(r == 0 || r == -EINPROGRESS);
        waiting += r == -EINPROGRESS;
    }
    check(engine_close(engine, 0));
    assert_int_equal(gone.calls, waiting);
    env_free(env);
    remove_folder(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_write_read_flush_compact_and_snapshot_at_once),
        cmocka_unit_test(go_is_called_once_and_never_from_within_the_call),
    };

    return cmocka_run_group_tests_name("engine/threads", tests, NULL, NULL);
}
