/*
 * Goal: a store whose manifest is lost is what it was before, once it is rebuilt: all that was
 * acknowledged is there, and nothing that was deleted is back.
 * Method: lives of a store drawn from a seed, that end in every way a disk knows; the manifest is
 * deleted then, and rebuilt; the store is compared with the model. Then the rules one by one.
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
#include "engine/repair.h"
#include "support/engine_life.h"
#include "support/engine_model.h"

#define DISK_BYTES (64u << 20)
#define LIVES 2
#define STEPS 60
#define LARGE_BYTES (40u << 10) /* beside the log's records */
/* A sanitizer looks at the same code; each cut is of a disk of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CUT_STRIDE 5
#else
#define CUT_STRIDE 1
#endif

static void check(int r)
{
    if (r < 0)
        fail_msg("%d: %s", r, err_text(r));
}

static int remove_manifest(void *arg, const char *name)
{
    struct env *env = arg;
    char path[64];

    snprintf(path, sizeof(path), "manifest/%s", name);
    check(io_unlink(env, path));
    return 0;
}

struct told {
    unsigned lines, losses;
    char text[16384];
};

static void tell(void *arg, bool is_loss, const char *text)
{
    struct told *told = arg;
    size_t used = strlen(told->text);

    told->lines++;
    told->losses += is_loss;
    snprintf(told->text + used, sizeof(told->text) - used, "%s%s\n", is_loss ? "LOSS: " : "", text);
}

static int rebuild(struct env *env, struct told *told)
{
    struct repair *repair = NULL;
    int r = repair_manifest_begin(env, model_tables, MODEL_TABLES, tell, told, &repair);

    if (r == 1)
        r = repair_commit(repair);
    repair_discard(repair);
    return r;
}

/* ---- lives ---- */

static void one_life(uint64_t seed, unsigned how, size_t payload_max)
{
    struct told told = {0};
    struct life life;
    int r;

    life_init(&life, seed, DISK_BYTES, payload_max);
    for (unsigned i = 0; i < 3; i++) {
        r = life_run(&life, STEPS);
        if (r < 0)
            life_complain(&life, r, "run");
        life_die(&life, how);
        check(io_list(life.env, "manifest", remove_manifest, life.env));
        told = (struct told){0};
        r = rebuild(life.env, &told);
        if (r < 0)
            life_complain(&life, r, "rebuild");
        r = life_open(&life);
        if (r < 0)
            life_complain(&life, r, told.text);
        life_check_history(&life);
        for (unsigned n = 0; n < 100000 && env_run_task(life.env); n++)
            continue;
        life_check_history(&life);
        if (told.losses > 0)
            life_complain(&life, 0, told.text);
        /* Those that were not complete are gone. */
        life_forget_snapshots(&life);
    }
    life_release(&life);
}

/* SSTFS_SEEDS=n: so many. */
static uint64_t lives(void)
{
    const char *seeds = getenv("SSTFS_SEEDS");

    return seeds ? strtoull(seeds, NULL, 10) : LIVES;
}

static void what_was_acknowledged_is_there_without_the_manifest(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= lives(); seed++)
        for (unsigned how = 0; how <= LIFE_KILLED; how++)
            one_life(seed, how, 200);
}

static void large_values_are_there_without_the_manifest(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= lives(); seed++)
        for (unsigned how = 0; how <= LIFE_KILLED; how++)
            one_life(seed, how, LARGE_BYTES);
}

/* ---- what was deleted ---- */

#define THINGS 0
#define SEED 5

static struct engine *open_store(struct env *env)
{
    struct engine_options options = model_options();
    struct engine *engine = NULL;

    check(engine_open(env, &options, &engine));
    return engine;
}

static struct env *new_store(void)
{
    struct env *env;

    check(env_fault_new(SEED, &env));
    env_mem_set_space(env, DISK_BYTES);
    check(engine_create(env, model_tables, MODEL_TABLES));
    return env;
}

static int apply_row(struct engine *engine, unsigned row, bool there, uint64_t *ret_position)
{
    struct clustering clustering = model_clustering(THINGS, row);
    struct batch *batch = NULL;
    int r = engine_admit(engine, THINGS, 4096, ADMIT_GROW, NULL, NULL, &batch);

    if (r < 0)
        return r;
    if (there) {
        batch_row(batch, THINGS, model_key(THINGS, 1), &clustering, true);
        batch_cell(batch, 0, BYTES_LITERAL("value"));
    } else {
        batch_delete_row(batch, THINGS, model_key(THINGS, 1), &clustering);
    }
    return engine_apply(engine, batch, ret_position);
}

static void put_row(struct engine *engine, unsigned row, bool there)
{
    uint64_t position;

    check(apply_row(engine, row, there, &position));
}

static bool row_is_there(struct engine *engine, unsigned row)
{
    struct clustering clustering = model_clustering(THINGS, row);
    struct rowref ref = ROWREF_INIT;
    int r = engine_get(
        engine_live(engine), THINGS, model_key(THINGS, 1), &clustering, COLUMNS_ALL, &ref);

    check(r);
    rowref_release(&ref);
    return r == 1;
}

static void run_tasks(struct env *env)
{
    for (unsigned n = 0; n < 100000 && env_run_task(env); n++)
        continue;
}

static void flush_and_reopen(struct env *env, struct engine **engine)
{
    check(engine_close(*engine, CLOSE_FLUSH));
    *engine = open_store(env);
}

/* Rows 0 and 1 in one SSTable, the deletion of row 1 in a newer one, and both no more in the log.
 */
static struct env *new_store_with_a_tombstone(struct engine **ret_engine)
{
    struct env *env = new_store();
    struct engine *engine = open_store(env);

    put_row(engine, 0, true);
    put_row(engine, 1, true);
    flush_and_reopen(env, &engine);
    put_row(engine, 1, false);
    flush_and_reopen(env, &engine);
    put_row(engine, 2, true);
    flush_and_reopen(env, &engine);
    *ret_engine = engine;
    return env;
}

/* Compacts, which purges the tombstone, and deletes the inputs. */
static void compact_and_sweep(struct env *env, struct engine *engine)
{
    if (engine_compact(engine, 1u << THINGS) < 0)
        return;
    run_tasks(env);
}

static void lose_and_rebuild(struct env *env, struct told *told)
{
    *told = (struct told){0};
    check(io_list(env, "manifest", remove_manifest, env));
    check(rebuild(env, told));
}

static void compact_and_cut(uint64_t cut, unsigned how)
{
    struct engine *engine;
    struct env *env = new_store_with_a_tombstone(&engine);
    struct told told;

    env_fault_crash_at(env, cut);
    compact_and_sweep(env, engine);
    env_fault_stop(env);
    (void)engine_close(engine, 0);
    if (how == LIFE_KILLED)
        env_fault_restart(env);
    else
        env_fault_crash(env, how);
    lose_and_rebuild(env, &told);
    engine = open_store(env);
    if (row_is_there(engine, 1) || !row_is_there(engine, 0) || !row_is_there(engine, 2))
        fail_msg("cut %" PRIu64 " variant %u: rows %d %d %d\n%s", cut, how, row_is_there(engine, 0),
            row_is_there(engine, 1), row_is_there(engine, 2), told.text);
    run_tasks(env);
    check(engine_close(engine, 0));
    env_free(env);
}

static void nothing_deleted_comes_back_wherever_a_compaction_is_cut(void **state)
{
    struct engine *engine;
    struct env *env = new_store_with_a_tombstone(&engine);
    uint64_t before = env_fault_change_count(env), count;

    (void)state;
    compact_and_sweep(env, engine);
    count = env_fault_change_count(env) - before;
    assert_true(count > 30);
    check(engine_close(engine, 0));
    env_free(env);
    for (uint64_t cut = 1; cut <= count + 1; cut += CUT_STRIDE)
        for (unsigned how = 0; how <= LIFE_KILLED; how++)
            compact_and_cut(cut, how);
}

/* ---- half a batch ---- */

#define FACTS 2

static int apply_pair(struct engine *engine)
{
    struct clustering clustering = model_clustering(THINGS, 0);
    struct clustering none = CLUSTERING_ROW(NULL, 0);
    struct batch *batch = NULL;
    uint64_t position;
    int r = engine_admit(engine, THINGS, 4096, ADMIT_GROW, NULL, NULL, &batch);

    if (r < 0)
        return r;
    batch_row(batch, THINGS, model_key(THINGS, 1), &clustering, true);
    batch_row(batch, FACTS, model_key(FACTS, 1), &none, true);
    return engine_apply(engine, batch, &position);
}

static bool fact_is_there(struct engine *engine)
{
    struct clustering none = CLUSTERING_ROW(NULL, 0);
    struct rowref ref = ROWREF_INIT;
    int r = engine_get(engine_live(engine), FACTS, model_key(FACTS, 1), &none, COLUMNS_ALL, &ref);

    check(r);
    rowref_release(&ref);
    return r == 1;
}

/* An earlier batch is durable, the pair is in the log and not synced; one of its tables is being
 * flushed when the power goes. */
static bool flush_half_and_cut(uint64_t cut, unsigned how)
{
    struct env *env = new_store();
    struct engine *engine = open_store(env);
    struct told told;
    uint64_t position;
    bool done;

    put_row(engine, 5, true);
    check(apply_row(engine, 6, true, &position));
    check(engine_await(engine, position, true, NULL, NULL));
    check(apply_pair(engine));
    env_fault_crash_at(env, cut);
    done = engine_flush(engine, 1u << THINGS) == 0;
    env_fault_stop(env);
    (void)engine_close(engine, 0);
    env_fault_crash(env, how);
    lose_and_rebuild(env, &told);
    engine = open_store(env);
    if (row_is_there(engine, 0) != fact_is_there(engine) || !row_is_there(engine, 6))
        fail_msg("cut %" PRIu64 " variant %u: half a batch\n%s", cut, how, told.text);
    check(engine_close(engine, 0));
    env_free(env);
    return done;
}

static void no_half_of_a_batch_is_taken(void **state)
{
    (void)state;
    for (unsigned how = 0; how < ENV_FAULT_VARIANTS; how++)
        for (uint64_t cut = 1; !flush_half_and_cut(cut, how); cut++)
            continue;
}

static void a_store_taken_back_stays_so(void **state)
{
    struct engine_options options = model_options();
    struct env *env = new_store();
    struct engine *engine = open_store(env);
    struct told told;

    (void)state;
    put_row(engine, 0, true);
    put_row(engine, 1, true);
    check(engine_snapshot_create(engine, "before"));
    put_row(engine, 1, false);
    put_row(engine, 2, true);
    check(engine_close(engine, CLOSE_FLUSH));
    check(engine_rollback(env, &options, "before", "kept"));
    lose_and_rebuild(env, &told);
    assert_int_equal(told.losses, 0);
    engine = open_store(env);
    assert_true(row_is_there(engine, 0) && row_is_there(engine, 1) && !row_is_there(engine, 2));
    check(engine_snapshot_await(engine, "kept", NULL, NULL));
    check(engine_close(engine, 0));
    check(engine_rollback(env, &options, "kept", "again"));
    engine = open_store(env);
    assert_true(row_is_there(engine, 0) && !row_is_there(engine, 1) && row_is_there(engine, 2));
    check(engine_close(engine, 0));
    env_free(env);
}

/* ---- what is told ---- */

static void a_lost_manifest_is_named_with_what_helps(void **state)
{
    struct engine_options options = model_options();
    struct env *env = new_store();
    struct engine *engine = NULL;
    struct told told = {0};

    (void)state;
    assert_int_equal(rebuild(env, &told), 0);
    assert_int_equal(told.lines, 0);
    check(io_list(env, "manifest", remove_manifest, env));
    assert_int_equal(engine_open(env, &options, &engine), -EUCLEAN);
    assert_non_null(strstr(err_text(-EUCLEAN), "sstfs repair --manifest STORE"));
    check(io_rmdir(env, "manifest"));
    assert_int_equal(engine_open(env, &options, &engine), -EUCLEAN);
    assert_non_null(strstr(err_text(-EUCLEAN), "sstfs repair --manifest STORE"));
    check(rebuild(env, &told));
    check(engine_close(open_store(env), 0));
    env_free(env);
}

struct first_file {
    char path[300];
    const char *folder, *ending;
};

static int take_file(void *arg, const char *name)
{
    struct first_file *file = arg;

    if (!strstr(name, file->ending))
        return 0;
    snprintf(file->path, sizeof(file->path), "%s/%s", file->folder, name);
    return 1;
}

static void an_sstable_that_does_not_open_is_put_aside_and_told(void **state)
{
    char table[TABLE_FOLDER_NAME_MAX + 1], folder[128];
    struct first_file file = {.folder = folder, .ending = "Statistics.db"};
    struct env *env = new_store();
    struct engine *engine = open_store(env);
    struct told told;

    (void)state;
    put_row(engine, 0, true);
    check(engine_close(engine, CLOSE_FLUSH));
    table_folder_name(&model_tables[THINGS], table);
    snprintf(folder, sizeof(folder), "data/model/%s", table);
    assert_int_equal(io_list(env, folder, take_file, &file), 1);
    env_fault_flip_bit(env, file.path, 30, 1);
    lose_and_rebuild(env, &told);
    assert_int_equal(told.losses, 1);
    assert_non_null(strstr(told.text, "LOSS: things: SSTable nb-"));
    file = (struct first_file){.folder = "lost", .ending = "Statistics.db"};
    assert_int_equal(io_list(env, "lost", take_file, &file), 1);
    /* The log has it still, as it happens. */
    engine = open_store(env);
    assert_true(row_is_there(engine, 0));
    check(engine_close(engine, 0));
    env_free(env);
}

static void a_damaged_manifest_is_put_aside(void **state)
{
    struct env *env = new_store();
    struct engine *engine = open_store(env);
    struct first_file file = {.folder = "manifest", .ending = "M-"};
    struct told told = {0};

    (void)state;
    put_row(engine, 0, true);
    check(engine_snapshot_create(engine, "tag"));
    check(engine_snapshot_await(engine, "tag", NULL, NULL));
    check(engine_close(engine, 0));
    assert_int_equal(io_list(env, "manifest", take_file, &file), 1);
    env_fault_flip_bit(env, file.path, 20, 1);
    assert_int_equal(rebuild(env, &told), 0);
    assert_int_equal(told.losses, 0);
    file = (struct first_file){.folder = "lost", .ending = "manifest-M-"};
    assert_int_equal(io_list(env, "lost", take_file, &file), 1);
    engine = open_store(env);
    assert_true(row_is_there(engine, 0));
    check(engine_snapshot_await(engine, "tag", NULL, NULL));
    check(engine_close(engine, 0));
    env_free(env);
}

/* ---- holes in the log ---- */

#define ROWS 8

static int mend_log(struct env *env, struct told *told)
{
    struct repair *repair = NULL;
    int r;

    *told = (struct told){0};
    r = repair_log_begin(env, model_tables, MODEL_TABLES, tell, told, &repair);
    if (r == 1)
        r = repair_commit(repair);
    repair_discard(repair);
    return r;
}

static int put_and_await(struct engine *engine, unsigned row, uint64_t *ret_position)
{
    int r = apply_row(engine, row, true, ret_position);

    return r < 0 ? r : engine_await(engine, *ret_position, true, NULL, NULL);
}

/* All rows in the log of one store, each synced; positions of their ends. */
static struct env *new_logged_store(uint64_t ends[ROWS])
{
    struct env *env = new_store();
    struct engine *engine = open_store(env);

    for (unsigned row = 0; row < ROWS; row++)
        check(put_and_await(engine, row, &ends[row]));
    check(engine_close(engine, 0));
    return env;
}

static void expect_refusal(struct env *env)
{
    struct engine_options options = model_options();
    struct engine *engine = NULL;

    assert_int_equal(engine_open(env, &options, &engine), -EUCLEAN);
    assert_non_null(strstr(err_text(-EUCLEAN), "sstfs repair --log STORE"));
}

/* All rows are there but those from `lost` to `lost_end`. */
static void expect_rows(struct env *env, unsigned lost, unsigned lost_end)
{
    struct engine *engine = open_store(env);

    for (unsigned row = 0; row < ROWS; row++)
        assert_int_equal(row_is_there(engine, row), row < lost || row >= lost_end);
    check(engine_close(engine, 0));
}

static void a_hole_in_the_log_is_stepped_over(void **state)
{
    uint64_t ends[ROWS];
    struct env *env = new_logged_store(ends);
    struct told told;

    (void)state;
    assert_int_equal(mend_log(env, &told), 0);
    assert_int_equal(told.lines, 0);
    env_fault_flip_bit(env, "commitlog/r00", (ends[3] & UINT32_MAX) - 8, 1);
    expect_refusal(env);
    assert_int_equal(mend_log(env, &told), 0);
    assert_int_equal(told.losses, 1);
    assert_non_null(strstr(told.text, "bytes are damaged: the batches there (1, it seems)"));
    expect_rows(env, 3, 4);
    assert_int_equal(mend_log(env, &told), 0);
    assert_int_equal(told.lines, 0);
    expect_rows(env, 3, 4);
    env_free(env);
}

/* A segment for each row, as each begins with the store opened anew. */
static void a_segment_that_is_lost_is_stepped_over(void **state)
{
    struct env *env = new_store();
    struct told told;
    uint64_t position;

    (void)state;
    for (unsigned row = 0; row < ROWS; row++) {
        struct engine *engine = open_store(env);

        check(put_and_await(engine, row, &position));
        check(engine_close(engine, 0));
    }
    /* Both copies of its header. */
    env_fault_flip_bit(env, "commitlog/r02", 20, 1);
    env_fault_flip_bit(env, "commitlog/r02", 2048 + 20, 1);
    expect_refusal(env);
    assert_int_equal(mend_log(env, &told), 0);
    assert_int_equal(told.losses, 1);
    expect_rows(env, 2, 3);
    assert_int_equal(mend_log(env, &told), 0);
    assert_int_equal(told.lines, 0);
    env_free(env);
}

/* The manifest and a part of the log: what else there is stays. */
static void a_hole_is_stepped_over_without_a_manifest_too(void **state)
{
    uint64_t ends[ROWS];
    struct env *env = new_logged_store(ends);
    struct told told;

    (void)state;
    env_fault_flip_bit(env, "commitlog/r00", (ends[5] & UINT32_MAX) - 8, 1);
    lose_and_rebuild(env, &told);
    assert_int_equal(told.losses, 1);
    expect_rows(env, 5, 6);
    env_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_acknowledged_is_there_without_the_manifest),
        cmocka_unit_test(large_values_are_there_without_the_manifest),
        cmocka_unit_test(nothing_deleted_comes_back_wherever_a_compaction_is_cut),
        cmocka_unit_test(no_half_of_a_batch_is_taken),
        cmocka_unit_test(a_store_taken_back_stays_so),
        cmocka_unit_test(a_lost_manifest_is_named_with_what_helps),
        cmocka_unit_test(an_sstable_that_does_not_open_is_put_aside_and_told),
        cmocka_unit_test(a_damaged_manifest_is_put_aside),
        cmocka_unit_test(a_hole_in_the_log_is_stepped_over),
        cmocka_unit_test(a_segment_that_is_lost_is_stepped_over),
        cmocka_unit_test(a_hole_is_stepped_over_without_a_manifest_too),
    };

    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests_name("engine/repair", tests, NULL, NULL);
}
