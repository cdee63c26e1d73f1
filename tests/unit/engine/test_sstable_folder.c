/*
 * Goal: a folder of SSTables without snapshot.json is the store that they make, if the caller says
 * so and all of them fit; what can be told to be wrong is refused, in words that name it.
 * Method: a snapshot of random batches, copied without its snapshot.json, compared with the model;
 * then with one thing wrong at a time.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "engine/error.h"
#include "support/copy_tree.h"
#include "support/engine_model.h"
#include "support/model_expect.h"

#define SEED 5
#define PAYLOAD_MAX 400
#define BATCHES 60
#define THINGS "model/things-7468696e67732e2e2e2e2e2e2e2e2e31"

static void check(int r)
{
    if (r < 0)
        fail_msg("%d: %s", r, err_text(r));
}

/* Two SSTables a table, in a world of their own. */
static struct env *new_folder(void)
{
    struct engine_options options = model_options();
    struct engine *engine = NULL;
    struct env *env, *folder;

    check(env_mem_new(SEED, &env));
    check(engine_create(env, model_tables, MODEL_TABLES));
    check(engine_open(env, &options, &engine));
    for (uint64_t number = 1; number <= BATCHES; number++) {
        uint64_t position;

        check(model_write(engine, SEED, number, PAYLOAD_MAX, &position));
        if (number == BATCHES / 2)
            check(engine_flush(engine, TABLES_ALL));
    }
    check(engine_snapshot_create(engine, "a"));
    check(engine_snapshot_await(engine, "a", NULL, NULL));
    check(env_mem_new(SEED, &folder));
    check(copy_tree(env, "snapshots/a", folder, ""));
    check(io_unlink(folder, "snapshot.json"));
    check(engine_close(engine, 0));
    env_free(env);
    return folder;
}

static int open_all(struct env *env, const struct table_schema *tables, struct engine **ret_engine)
{
    struct engine_options options = model_options();

    options.tables = tables;
    options.read_only = true;
    options.all_sstables = true;
    return engine_open(env, &options, ret_engine);
}

static void refused(struct env *env, int code, const char *words)
{
    struct engine *engine = NULL;
    int r = open_all(env, model_tables, &engine);

    if (r != code || !strstr(err_text(r), words))
        fail_msg("want %d with '%s', got %d: %s", code, words, r, err_text(r));
}

static int keep_name(void *arg, const char *name)
{
    char *path = arg;

    if (strstr(name, "-Data.db"))
        snprintf(path, 256, THINGS "/%s", name);
    return 0;
}

/* The path of a Data.db of `things`. */
static void find_data(struct env *env, char to[256])
{
    to[0] = '\0';
    check(io_list(env, THINGS, keep_name, to));
    assert_true(to[0] != '\0');
}

static void all_that_lies_there_is_the_store(void **state)
{
    struct engine_options options = model_options();
    struct env *env = new_folder();
    struct engine *engine = NULL;
    struct store_identity identity;

    (void)state;
    options.read_only = true;
    assert_int_equal(engine_open(env, &options, &engine), -ENOTDIR); /* nobody said so */
    check(open_all(env, model_tables, &engine));
    model_expect(engine_live(engine), SEED, PAYLOAD_MAX, BATCHES);
    engine_identity(engine, &identity);
    assert_int_equal(identity.node, 0);
    check(engine_close(engine, 0));

    options.all_sstables = true;
    options.read_only = false;
    assert_int_equal(engine_open(env, &options, &engine), -EINVAL);
    env_free(env);
}

static void an_sstable_that_is_not_whole_is_refused(void **state)
{
    struct env *env = new_folder();
    char path[256], index[280];

    (void)state;
    find_data(env, path);
    snprintf(index, sizeof(index), "%.*sIndex.db", (int)(strlen(path) - strlen("Data.db")), path);
    check(io_rename(env, index, "elsewhere"));
    refused(env, -EUCLEAN, "Index.db is missing");
    check(io_rename(env, "elsewhere", index));
    check(io_unlink(env, path));
    refused(env, -EUCLEAN, "Data.db is missing");
    env_free(env);
}

static void a_manifest_names_what_lies_there(void **state)
{
    static const char extra[] = "{\"files\": [\"nb-77-big-Data.db\"]}";
    struct env *env = new_folder();
    struct engine *engine = NULL;

    (void)state;
    check(io_write_file(env, THINGS "/manifest.json", bytes_of_string(extra), true));
    refused(env, -EUCLEAN, "nb-77-big-Data.db' is missing");
    check(io_write_file(env, THINGS "/manifest.json", bytes_of_string("{\"files\": []}"), true));
    refused(env, -EUCLEAN, "two snapshots are mixed");
    check(io_write_file(env, THINGS "/manifest.json", bytes_of_string("{\"files\": [7]}"), true));
    refused(env, -EUCLEAN, "no file of an SSTable");
    check(io_write_file(env, THINGS "/manifest.json", bytes_of_string("{"), true));
    refused(env, -EUCLEAN, "has no list of files");
    /* Nobody has to have one. */
    check(io_unlink(env, THINGS "/manifest.json"));
    check(open_all(env, model_tables, &engine));
    check(engine_close(engine, 0));
    env_free(env);
}

static void other_formats_and_tables_are_refused(void **state)
{
    struct env *env = new_folder();

    (void)state;
    check(io_write_file(env, THINGS "/oa-1-big-Data.db", bytes_of_string("x"), true));
    refused(env, -EPROTO, "oa-1-big-Data.db' is of another format");
    check(io_unlink(env, THINGS "/oa-1-big-Data.db"));
    check(io_mkdir(env, "model/things-00000000000000000000000000000000"));
    refused(env, -EPROTO, "is of a table with another id: name the folder 'things-7468");
    check(io_rmdir(env, "model/things-00000000000000000000000000000000"));
    env_free(env);

    check(env_mem_new(SEED, &env));
    refused(env, -ENOTDIR, "there is no folder 'model'");
    check(io_mkdir(env, "model"));
    refused(env, -ENOTDIR, "there is no SSTable");
    env_free(env);
}

static void other_columns_are_refused(void **state)
{
    static const struct column other_type[] = {{"c0", &type_text}, {"c1", &type_blob}};
    static const struct column other_name[] = {{"b0", &type_blob}, {"c1", &type_blob}};
    static const struct {
        const struct column *columns;
        const char *words;
    } wrong[] = {{other_type, "column 'c0' has another type"},
        {other_name, "the table has no column 'c0' there"}};
    struct env *env = new_folder();

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        struct table_schema tables[MODEL_TABLES];
        struct engine *engine = NULL;
        int r;

        memcpy(tables, model_tables, sizeof(tables));
        tables[0].regulars = wrong[i].columns;
        r = open_all(env, tables, &engine);
        assert_int_equal(r, -EPROTO);
        if (!strstr(err_text(r), wrong[i].words))
            fail_msg("want '%s', got '%s'", wrong[i].words, err_text(r));
    }
    env_free(env);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_lies_there_is_the_store),
        cmocka_unit_test(an_sstable_that_is_not_whole_is_refused),
        cmocka_unit_test(a_manifest_names_what_lies_there),
        cmocka_unit_test(other_formats_and_tables_are_refused),
        cmocka_unit_test(other_columns_are_refused),
    };

    return cmocka_run_group_tests_name("sstable_folder", tests, NULL, NULL);
}
