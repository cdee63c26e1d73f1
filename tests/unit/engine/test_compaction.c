/*
 * Goal: compaction gives back what is deleted and overwritten, leaves alone what lives, and changes
 * nothing that is read.
 * Method: a store in memory whose background steps run when the test says so; shelves of large
 * values, whose bytes are counted; and random jobs over random histories. SSTFS_SEED replays.
 */
#include <inttypes.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "compaction/task.h"
#include "engine/coding.h"
#include "engine/error.h"
#include "engine/log.h"
#include "io/mem.h"
#include "state.h"
#include "support/engine_model.h"
#include "support/model_expect.h"
#include "support/random.h"

#define SHELVES 1
#define SLOTS 16
#define VALUE_BYTES (32u << 10)
#define PAYLOAD_MAX 400

struct world {
    struct env *env;
    struct engine *engine;
};

static void check(int r)
{
    if (r < 0)
        fail_msg("%d: %s", r, err_text(r));
}

static void open_world(struct world *world, int64_t gc_grace_s)
{
    struct engine_options options = model_options();

    options.gc_grace_s = gc_grace_s;
    options.memory_bytes = 512 << 20; /* nothing is flushed but by the test */
    options.flush_tasks = 1;          /* what is garbage is asked of each flush as a whole */
    check(engine_open(world->env, &options, &world->engine));
}

static void new_world(struct world *world, uint64_t seed, int64_t gc_grace_s)
{
    check(env_mem_new(seed, &world->env));
    env_mem_set_space(world->env, 8ull << 30);
    check(engine_create(world->env, model_tables, MODEL_TABLES));
    open_world(world, gc_grace_s);
}

static void end_world(struct world *world)
{
    check(engine_close(world->engine, 0));
    env_free(world->env);
}

/* Background work that is due; fails when it does not come to rest. */
static void rest(struct world *world)
{
    unsigned steps = 0;

    while (env_run_task(world->env))
        assert_true(++steps < 100000);
}

static void flush(struct world *world)
{
    check(engine_flush(world->engine, TABLES_ALL));
    rest(world);
}

/* ---- shelves of large values ---- */

static struct bytes value_of(unsigned shelf, unsigned slot, unsigned round)
{
    static uint8_t value[VALUE_BYTES];
    struct random random = {(uint64_t)round << 32 | shelf << 16 | slot};

    for (size_t i = 0; i < VALUE_BYTES; i += 8)
        store_be64(value + i, random_next(&random));
    return bytes_of(value, VALUE_BYTES);
}

static struct bytes shelf_key(unsigned shelf, uint8_t to[KEY_BYTES_BIGINT_INT])
{
    key_bigint_int(to, shelf, 0);
    return bytes_of(to, KEY_BYTES_BIGINT_INT);
}

static struct batch *admit(struct world *world)
{
    struct batch *batch = NULL;

    check(engine_admit(world->engine, SHELVES, VALUE_BYTES + 256, ADMIT_GROW, NULL, NULL, &batch));
    return batch;
}

static void apply(struct world *world, struct batch *batch)
{
    uint64_t position;

    check(engine_apply(world->engine, batch, &position));
}

static void write_slots(
    struct world *world, unsigned shelf, unsigned first, unsigned end, unsigned round)
{
    uint8_t key[KEY_BYTES_BIGINT_INT];

    for (unsigned slot = first; slot < end; slot++) {
        struct batch *batch = admit(world);
        uint8_t number[4];
        struct bytes values[] = {bytes_of(number, 4)};
        struct clustering clustering = {values, 1, KIND_ROW};

        store_be32(number, slot);
        batch_row(batch, SHELVES, shelf_key(shelf, key), &clustering, true);
        batch_cell(batch, 0, value_of(shelf, slot, round));
        apply(world, batch);
    }
}

static void delete_shelf(struct world *world, unsigned shelf)
{
    struct batch *batch = admit(world);
    uint8_t key[KEY_BYTES_BIGINT_INT];

    batch_delete_partition(batch, SHELVES, shelf_key(shelf, key));
    apply(world, batch);
}

static void expect_shelf(struct world *world, unsigned shelf, unsigned slots, unsigned round)
{
    const struct slice all = SLICE_ALL;
    struct cursor *cursor = NULL;
    const struct row *row;
    unsigned slot = 0;
    uint8_t key[KEY_BYTES_BIGINT_INT];
    int r;

    check(engine_scan(
        engine_live(world->engine), SHELVES, shelf_key(shelf, key), &all, COLUMNS_ALL, &cursor));
    for (; (r = cursor_next(cursor, &row)) > 0; slot++)
        assert_true(bytes_equal(row_cell(row, 0)->value, value_of(shelf, slot, round)));
    check(r);
    assert_int_equal(slot, slots);
    cursor_close(cursor);
}

static struct engine_stats stats_of(struct world *world)
{
    struct engine_stats stats;

    engine_get_stats(world->engine, &stats);
    return stats;
}

static void what_is_overwritten_takes_no_more_than_half_again(void **state)
{
    struct world world;
    struct engine_stats stats;

    (void)state;
    new_world(&world, random_seed(1), 0);
    for (unsigned round = 0; round < 10; round++)
        for (unsigned part = 0; part < 4; part++) {
            for (unsigned shelf = part * 10; shelf < part * 10 + 10; shelf++)
                write_slots(&world, shelf, 0, SLOTS, round);
            flush(&world);
        }
    stats = stats_of(&world);
    assert_true(stats.sstable_bytes < 40ull * SLOTS * VALUE_BYTES * 3 / 2);
    assert_true(stats.compactions > 0);
    for (unsigned shelf = 0; shelf < 40; shelf++)
        expect_shelf(&world, shelf, SLOTS, 9);
    end_world(&world);
}

static void half_of_each_sstable_overwritten_comes_back_too(void **state)
{
    struct world world;

    (void)state;
    new_world(&world, random_seed(1), 0);
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned shelf = 0; shelf < 40; shelf++)
            if (round == 0 || shelf % 2 == round % 2)
                write_slots(&world, shelf, 0, SLOTS, round);
        flush(&world);
    }
    assert_true(stats_of(&world).sstable_bytes < 40ull * SLOTS * VALUE_BYTES * 3 / 2);
    for (unsigned shelf = 0; shelf < 40; shelf++)
        expect_shelf(&world, shelf, SLOTS, shelf % 2 ? 9 : 8);
    end_world(&world);
}

static void what_is_appended_is_written_once(void **state)
{
    struct world world;

    (void)state;
    new_world(&world, random_seed(1), 0);
    for (unsigned part = 0; part < 32; part++) {
        for (unsigned shelf = 0; shelf < 10; shelf++)
            write_slots(&world, shelf, part * SLOTS, part * SLOTS + SLOTS, 0);
        flush(&world);
    }
    assert_int_equal(stats_of(&world).compactions, 0);
    for (unsigned shelf = 0; shelf < 10; shelf++)
        expect_shelf(&world, shelf, 32 * SLOTS, 0);
    end_world(&world);
}

static uint64_t garbage_of(struct world *world, unsigned table)
{
    struct view *view = views_acquire(&world->engine->views);
    const struct sstable_set *set = view->tables[table].sstables;
    uint64_t bytes = 0;

    for (size_t i = 0; i < set->count; i++)
        bytes += atomic_load(&set->handles[i]->garbage_bytes);
    view_unref(view);
    return bytes;
}

static void rows_beside_those_of_before_are_no_garbage_of_theirs(void **state)
{
    struct world world;

    (void)state;
    new_world(&world, random_seed(1), 0);
    for (unsigned slot = 0; slot < 2; slot++) {
        for (unsigned shelf = 0; shelf < 10; shelf++)
            write_slots(&world, shelf, slot, slot + 1, 0);
        check(engine_flush(world.engine, 1ull << SHELVES));
    }
    assert_int_equal(stats_of(&world).compactions, 0);
    assert_int_equal(garbage_of(&world, SHELVES), 0);
    end_world(&world);
}

static void what_is_deleted_comes_back_and_the_tombstones_go(void **state)
{
    struct world world;
    struct engine_stats stats;

    (void)state;
    new_world(&world, random_seed(1), 0);
    for (unsigned shelf = 0; shelf < 40; shelf++) {
        write_slots(&world, shelf, 0, SLOTS, 0);
        if (shelf % 10 == 9)
            flush(&world);
    }
    for (unsigned shelf = 0; shelf < 40; shelf++)
        if (shelf >= 10 || shelf < 6)
            delete_shelf(&world, shelf);
    flush(&world);
    stats = stats_of(&world);
    assert_int_equal(stats.sstables, 1);
    assert_true(stats.sstable_bytes < 5ull * SLOTS * VALUE_BYTES);
    for (unsigned shelf = 0; shelf < 40; shelf++)
        expect_shelf(&world, shelf, shelf >= 6 && shelf < 10 ? SLOTS : 0, 0);
    end_world(&world);
}

static void garbage_is_known_after_reopening(void **state)
{
    struct world world;

    (void)state;
    new_world(&world, random_seed(1), 0);
    for (unsigned shelf = 0; shelf < 20; shelf++)
        write_slots(&world, shelf, 0, SLOTS, 0);
    flush(&world);
    for (unsigned shelf = 0; shelf < 4; shelf++)
        delete_shelf(&world, shelf);
    flush(&world);
    assert_true(stats_of(&world).sstable_bytes > 20ull * SLOTS * VALUE_BYTES);
    for (unsigned opens = 0; opens < 2; opens++) {
        check(engine_close(world.engine, 0));
        open_world(&world, 0);
    }
    for (unsigned shelf = 4; shelf < 8; shelf++)
        delete_shelf(&world, shelf);
    flush(&world);
    assert_true(stats_of(&world).sstable_bytes < 13ull * SLOTS * VALUE_BYTES);
    end_world(&world);
}

struct told {
    unsigned table, count, levelled;
    uint64_t bytes, garbage;
};

static int add_told(void *arg, const struct engine_sstable *sstable)
{
    struct told *told = arg;

    if (sstable->table != told->table)
        return 0;
    told->count++;
    told->levelled += sstable->level > 0;
    told->bytes += sstable->facts->total_bytes;
    told->garbage += sstable->garbage_bytes;
    return 0;
}

static struct told told_of(struct world *world, unsigned table)
{
    struct told told = {.table = table};

    assert_int_equal(engine_sstables(world->engine, add_told, &told), 0);
    return told;
}

static int stop_at_the_second(void *arg, const struct engine_sstable *sstable)
{
    unsigned *count = arg;

    (void)sstable;
    return ++*count == 2 ? -ECANCELED : 0;
}

static void sstables_tell_of_their_garbage(void **state)
{
    struct world world;
    struct told told;
    unsigned asked = 0;

    (void)state;
    new_world(&world, random_seed(1), 0);
    for (unsigned shelf = 0; shelf < 20; shelf++)
        write_slots(&world, shelf, 0, SLOTS, 0);
    flush(&world);
    told = told_of(&world, SHELVES);
    assert_int_equal(told.count, 1);
    assert_int_equal(told.garbage, 0);
    assert_int_equal(told.levelled, 0);
    for (unsigned shelf = 0; shelf < 2; shelf++)
        delete_shelf(&world, shelf);
    flush(&world);
    told = told_of(&world, SHELVES);
    assert_int_equal(told.count, 2);
    assert_true(told.garbage > told.bytes / 11 && told.garbage < told.bytes / 9);
    assert_int_equal(told.garbage, garbage_of(&world, SHELVES));
    assert_int_equal(engine_sstables(world.engine, stop_at_the_second, &asked), -ECANCELED);
    assert_int_equal(asked, 2);
    end_world(&world);
}

static void deletions_need_no_other_reason_to_be_flushed(void **state)
{
    struct world world;

    (void)state;
    new_world(&world, random_seed(1), 0);
    for (unsigned shelf = 0; shelf < 10; shelf++)
        write_slots(&world, shelf, 0, SLOTS, 0);
    flush(&world);
    for (unsigned shelf = 0; shelf < 8; shelf++)
        delete_shelf(&world, shelf);
    for (unsigned second = 0; second < 90; second++) {
        rest(&world);
        env_mem_advance(world.env, 1000000);
    }
    assert_true(stats_of(&world).sstable_bytes < 3ull * SLOTS * VALUE_BYTES);
    end_world(&world);
}

/* ---- many dead rows ---- */

#define THINGS 0

static void write_or_delete_things(
    struct world *world, unsigned id, unsigned first, unsigned end, bool write)
{
    for (unsigned n = first; n < end;) {
        uint8_t key[KEY_BYTES_BIGINT];
        struct batch *batch = admit(world);

        key_bigint(key, id);
        for (unsigned i = 0; i < 100 && n < end; i++, n++) {
            char name[16];
            struct bytes values[] = {bytes_of(name, 8)};
            struct clustering clustering = {values, 1, KIND_ROW};

            snprintf(name, sizeof(name), "%08u", n);
            if (write) {
                batch_row(batch, THINGS, bytes_of(key, sizeof(key)), &clustering, true);
                batch_cell(batch, 0, bytes_of(name, 8));
            } else {
                batch_delete_row(batch, THINGS, bytes_of(key, sizeof(key)), &clustering);
            }
        }
        apply(world, batch);
    }
}

static unsigned scan_things(struct world *world, unsigned id)
{
    const struct slice all = SLICE_ALL;
    struct cursor *cursor = NULL;
    uint8_t key[KEY_BYTES_BIGINT];
    const struct row *row;
    unsigned rows = 0;
    int r;

    key_bigint(key, id);
    check(engine_scan(engine_live(world->engine), THINGS, bytes_of(key, sizeof(key)), &all,
        COLUMNS_ALL, &cursor));
    while ((r = cursor_next(cursor, &row)) > 0)
        rows++;
    check(r);
    cursor_close(cursor);
    rest(world);
    return rows;
}

static uint64_t tombstones_of_things(struct world *world)
{
    struct view *view = views_acquire(&world->engine->views);
    const struct sstable_set *set = view->tables[THINGS].sstables;
    uint64_t tombstones = 0;

    for (size_t i = 0; i < set->count; i++)
        tombstones += set->handles[i]->entry.facts.tombstones;
    view_unref(view);
    return tombstones;
}

static void a_scan_over_many_dead_rows_has_them_compacted(void **state)
{
    struct world world;

    (void)state;
    new_world(&world, random_seed(1), 0);
    for (unsigned id = 0; id < 10; id++)
        write_or_delete_things(&world, id, 0, 3000, true);
    flush(&world);
    write_or_delete_things(&world, 4, 5, 3000, false);
    flush(&world);
    assert_int_equal(scan_things(&world, 3), 3000);
    assert_int_equal(tombstones_of_things(&world), 2995);
    assert_int_equal(stats_of(&world).compactions, 0);
    assert_int_equal(scan_things(&world, 4), 5);
    assert_int_equal(tombstones_of_things(&world), 0);
    assert_int_equal(stats_of(&world).compactions, 1);
    /* Deletions that are in memory yet are flushed first. */
    write_or_delete_things(&world, 5, 5, 3000, false);
    assert_int_equal(scan_things(&world, 5), 5);
    assert_int_equal(tombstones_of_things(&world), 0);
    assert_int_equal(stats_of(&world).compactions, 2);
    for (unsigned id = 0; id < 10; id++)
        assert_int_equal(scan_things(&world, id), id == 4 || id == 5 ? 5 : 3000);
    assert_int_equal(stats_of(&world).compactions, 2);
    end_world(&world);
}

static void tombstones_that_must_stay_are_not_compacted_for_nothing(void **state)
{
    struct world world;

    (void)state;
    new_world(&world, random_seed(1), 1000000);
    write_or_delete_things(&world, 1, 0, 3000, true);
    flush(&world);
    write_or_delete_things(&world, 1, 5, 3000, false);
    flush(&world);
    for (unsigned n = 0; n < 3; n++)
        assert_int_equal(scan_things(&world, 1), 5);
    assert_int_equal(stats_of(&world).compactions, 0);
    end_world(&world);
}

/* ---- pieces ---- */

static void finish_job(struct compaction_job *job)
{
    int r;

    while ((r = compaction_job_step(job)) > 0)
        ;
    check(r);
    compaction_job_free(job);
}

static void outputs_are_cut_at_fixed_bounds_of_the_ring(void **state)
{
    struct compaction_job *job = NULL;
    bool chosen[2] = {true, true};
    const struct sstable_set *set;
    struct world world;
    struct view *view;
    uint64_t run;

    (void)state;
    new_world(&world, random_seed(1), 0);
    compaction_stop(&world.engine->compaction);
    for (unsigned shelf = 0; shelf < 80; shelf++) {
        write_slots(&world, shelf, 0, 2, 0);
        if (shelf % 40 == 39)
            flush(&world);
    }
    view = views_acquire(&world.engine->views);
    run = view->tables[SHELVES].sstables->handles[0]->entry.run;
    check(compaction_job_new(world.engine, view, SHELVES, chosen, 0, 700000, &job));
    view_unref(view);
    finish_job(job);
    view = views_acquire(&world.engine->views);
    set = view->tables[SHELVES].sstables;
    assert_int_equal(set->count, 8); /* 80 * 64 KiB, in pieces of at most 700,000 on average */
    for (size_t i = 0; i < set->count; i++) {
        const struct manifest_sstable *entry = &set->handles[i]->entry;

        assert_int_equal(entry->facts.first_token >> 61, entry->facts.last_token >> 61);
        assert_int_equal(entry->run, run);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(
                entry->facts.first_token >> 61, set->handles[j]->entry.facts.first_token >> 61);
    }
    view_unref(view);
    for (unsigned shelf = 0; shelf < 80; shelf++)
        expect_shelf(&world, shelf, 2, 0);
    end_world(&world);
}

/* ---- memory ---- */

#define WIDE_ROWS 200000
#define JOB_BYTES_MAX (8u << 20)

static size_t memory_in_use(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* On a real disk, as that of the tests is in the memory that is counted. */
static void a_partition_of_any_width_is_merged_in_little_memory(void **state)
{
    char path[] = "/tmp/sstfs-compaction-XXXXXX", command[64];
    struct compaction_job *job = NULL;
    bool chosen[64];
    size_t before, most = 0;
    struct world world;
    struct view *view;
    int r;

    (void)state;
    assert_non_null(mkdtemp(path));
    check(env_posix_new(path, &world.env));
    check(engine_create(world.env, model_tables, MODEL_TABLES));
    open_world(&world, 0);
    compaction_stop(&world.engine->compaction);
    for (unsigned half = 0; half < 2; half++) {
        write_or_delete_things(
            &world, 1, half * WIDE_ROWS / 2, half * WIDE_ROWS / 2 + WIDE_ROWS, true);
        check(engine_flush(world.engine, TABLES_ALL));
    }
    view = views_acquire(&world.engine->views);
    assert_in_range(view->tables[THINGS].sstables->count, 2, 64);
    memset(chosen, true, sizeof(chosen));
    check(compaction_job_new(world.engine, view, THINGS, chosen, 0, UINT64_MAX, &job));
    view_unref(view);
    before = memory_in_use();
    while ((r = compaction_job_step(job)) > 0)
        if (memory_in_use() > most)
            most = memory_in_use();
    check(r);
    compaction_job_free(job);
    assert_true(most < before + JOB_BYTES_MAX);
    assert_int_equal(stats_of(&world).sstables, 1);
    end_world(&world);
    snprintf(command, sizeof(command), "rm -r %s", path);
    assert_int_equal(system(command), 0);
}

/* ---- random jobs ---- */

/* Any of the SSTables of a table merged, or one in view of all others. */
static void run_random_job(struct world *world, struct random *random)
{
    struct engine *engine = world->engine;
    unsigned table = random_below(random, MODEL_TABLES);
    struct view *view = views_acquire(&engine->views);
    const struct sstable_set *set = view->tables[table].sstables;
    struct compaction_job *job = NULL;
    struct sstable_handle *covers[64];
    bool chosen[64] = {false};
    size_t count = 0, place;

    assert_true(set->count < 64);
    if (set->count > 0 && random_below(random, 2) == 0) {
        place = random_below(random, (unsigned)set->count);
        for (size_t i = 0; i < set->count; i++)
            if (i != place && random_below(random, 2) == 0)
                covers[count++] = set->handles[i];
        check(compaction_job_new_single(engine, view, table, place, 1 << 20, covers, count, &job));
    } else {
        for (size_t i = 0; i < set->count; i++)
            count += chosen[i] = random_below(random, 2) == 0;
        if (count > 0)
            check(compaction_job_new(engine, view, table, chosen, 0, 1000, &job));
    }
    view_unref(view);
    if (job)
        finish_job(job);
}

static void no_choice_of_sstables_changes_what_is_read(void **state)
{
    uint64_t first = random_seed(1);

    (void)state;
    for (uint64_t seed = first; seed < first + 40; seed++) {
        struct random random = {seed};
        uint64_t written = 0;
        struct world world;

        new_world(&world, seed, seed % 4 == 0 ? 1000 : 0);
        compaction_stop(&world.engine->compaction);
        for (unsigned i = 0; i < 60; i++) {
            uint64_t position;

            switch (random_below(&random, 4)) {
            case 0:
            case 1:
                for (uint64_t n = random_below(&random, 8); n > 0; n--)
                    check(model_write(world.engine, seed, ++written, PAYLOAD_MAX, &position));
                break;
            case 2:
                check(engine_flush(world.engine, 1 + random_below(&random, 7)));
                break;
            default:
                run_random_job(&world, &random);
                model_expect(engine_live(world.engine), seed, PAYLOAD_MAX, written);
            }
        }
        model_expect(engine_live(world.engine), seed, PAYLOAD_MAX, written);
        end_world(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_overwritten_takes_no_more_than_half_again),
        cmocka_unit_test(half_of_each_sstable_overwritten_comes_back_too),
        cmocka_unit_test(what_is_appended_is_written_once),
        cmocka_unit_test(rows_beside_those_of_before_are_no_garbage_of_theirs),
        cmocka_unit_test(what_is_deleted_comes_back_and_the_tombstones_go),
        cmocka_unit_test(garbage_is_known_after_reopening),
        cmocka_unit_test(sstables_tell_of_their_garbage),
        cmocka_unit_test(deletions_need_no_other_reason_to_be_flushed),
        cmocka_unit_test(a_scan_over_many_dead_rows_has_them_compacted),
        cmocka_unit_test(tombstones_that_must_stay_are_not_compacted_for_nothing),
        cmocka_unit_test(outputs_are_cut_at_fixed_bounds_of_the_ring),
        cmocka_unit_test(a_partition_of_any_width_is_merged_in_little_memory),
        cmocka_unit_test(no_choice_of_sstables_changes_what_is_read),
    };

    log_to(fopen("/dev/null", "w"));
    return cmocka_run_group_tests_name("compaction", tests, NULL, NULL);
}
