/*
 * Goal: what a damaged SSTable answers is right or an error: never that a row is not there, nor an
 * error that means something else.
 * Method: a flushed table of a few rows; each of its components is lost in turn.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/error.h"
#include "engine/log.h"
#include "io/fault.h"
#include "support/engine_model.h"

#define THINGS 0
#define SEED 3
#define PAYLOAD_MAX 200
#define BATCHES 40

static void check(int r)
{
    if (r < 0)
        fail_msg("%d: %s", r, err_text(r));
}

static struct engine *open_store(struct env *env)
{
    struct engine_options options = model_options();
    struct engine *engine = NULL;

    check(engine_open(env, &options, &engine));
    return engine;
}

static struct env *new_flushed_store(void)
{
    struct env *env;
    struct engine *engine;

    check(env_fault_new(SEED, &env));
    env_mem_set_space(env, 64 << 20);
    check(engine_create(env, model_tables, MODEL_TABLES));
    engine = open_store(env);
    for (uint64_t number = 1; number <= BATCHES; number++) {
        uint64_t position;

        check(model_write(engine, SEED, number, PAYLOAD_MAX, &position));
    }
    check(engine_compact(engine, TABLES_ALL));
    check(engine_close(engine, CLOSE_FLUSH));
    return env;
}

struct found {
    char folder[128];
    enum sstable_component component;
    char path[256];
};

static int take_component(void *arg, const char *name)
{
    struct found *found = arg;
    enum sstable_component component;
    struct sstable_id id;

    if (!sstable_parse_file_name(name, &id, &component) || component != found->component)
        return 0;
    snprintf(found->path, sizeof(found->path), "%s/%s", found->folder, name);
    return 1;
}

/* The file of the component of `things`; false: there is none. */
static bool find(struct env *env, enum sstable_component component, struct found *found)
{
    char folder[TABLE_FOLDER_NAME_MAX + 1];
    int r;

    table_folder_name(&model_tables[THINGS], folder);
    *found = (struct found){.component = component};
    snprintf(found->folder, sizeof(found->folder), "data/model/%s", folder);
    r = io_list(env, found->folder, take_component, found);
    check(r);
    return r == 1;
}

/* Of each row that the whole store has: the row, or damage. Returns how many were damaged. */
static unsigned look_at_all(struct engine *engine, const struct model *model)
{
    unsigned damaged = 0;

    for (unsigned partition = 0; partition < MODEL_PARTITIONS; partition++) {
        for (unsigned i = 0; i < MODEL_ROWS; i++) {
            const struct model_row *expected = &model->partitions[THINGS][partition].rows[i];
            struct clustering clustering = model_clustering(THINGS, i);
            struct rowref ref = ROWREF_INIT;
            int r = engine_get(engine_live(engine), THINGS, model_key(THINGS, partition),
                &clustering, COLUMNS_ALL, &ref);
            bool is_there =
                expected->inserted || expected->cells[0].number || expected->cells[1].number;

            if (r < 0 && !err_is_damage(r))
                fail_msg("%d is no word for damage: %s", r, err_text(r));
            if (r >= 0)
                assert_int_equal(r, is_there);
            damaged += r < 0;
            rowref_release(&ref);
        }
    }
    return damaged;
}

static void a_lost_component_is_never_taken_for_an_absent_row(void **state)
{
    struct env *env = new_flushed_store();
    struct model model = {0};

    (void)state;
    for (uint64_t number = 1; number <= BATCHES; number++)
        model_batch(SEED, number, PAYLOAD_MAX, NULL, &model);
    for (unsigned i = 0; i < COMPONENT_COUNT; i++) {
        bool is_needed = i == COMPONENT_DATA || i == COMPONENT_INDEX || i == COMPONENT_STATISTICS ||
                         i == COMPONENT_COMPRESSION_INFO;
        struct engine *engine;
        struct found found;
        unsigned damaged;

        if (!find(env, (enum sstable_component)i, &found))
            continue;
        check(io_rename(env, found.path, "elsewhere"));
        engine = open_store(env);
        damaged = look_at_all(engine, &model);
        assert_int_equal(damaged > 0, is_needed);
        assert_int_equal(engine_failure(engine), 0);
        check(engine_close(engine, 0));
        check(io_rename(env, "elsewhere", found.path));
    }
    env_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lost_component_is_never_taken_for_an_absent_row),
    };

    log_set_level(LOG_LEVEL_ERROR);
    log_to(fopen("/dev/null", "w"));
    return cmocka_run_group_tests_name("damage", tests, NULL, NULL);
}
