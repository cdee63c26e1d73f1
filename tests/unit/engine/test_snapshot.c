/*
 * Goal: a snapshot is the store at one point, whatever the store does before it is complete and
 * after; it opens where it lies, becomes a store again, and its sums prove it.
 * Method: random batches compared with a model, in a world in memory; folders are copied into
 * another world and opened there.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <openssl/evp.h>

#include "engine/error.h"
#include "engine/log.h"
#include "io/fault.h"
#include "snapshot.h"
#include "support/copy_tree.h"
#include "support/engine_model.h"
#include "support/model_expect.h"

#define SEED 11
#define PAYLOAD_MAX 400
#define THINGS_FOLDER "data/model/things-7468696e67732e2e2e2e2e2e2e2e2e31"

static void check(int r)
{
    if (r < 0)
        fail_msg("%d: %s", r, err_text(r));
}

static struct engine *open_in(struct env *env, bool read_only)
{
    struct engine_options options = model_options();
    struct engine *engine = NULL;

    options.read_only = read_only;
    check(engine_open(env, &options, &engine));
    return engine;
}

static struct engine *new_store(struct env **ret_env)
{
    check(env_fault_new(SEED, ret_env));
    env_mem_set_space(*ret_env, 64 << 20);
    check(engine_create(*ret_env, model_tables, MODEL_TABLES));
    return open_in(*ret_env, false);
}

static void write_batches(struct engine *engine, uint64_t from, uint64_t to)
{
    for (uint64_t number = from; number <= to; number++) {
        uint64_t position;

        check(model_write(engine, SEED, number, PAYLOAD_MAX, &position));
    }
}

static void expect(struct engine *engine, uint64_t count)
{
    model_expect(engine_live(engine), SEED, PAYLOAD_MAX, count);
}

static void run_tasks(struct env *env)
{
    for (unsigned n = 0; n < 10000 && env_run_task(env); n++)
        continue;
}

/* The folder of a tag as a world of its own. */
static struct env *copy_of(struct env *env, const char *tag)
{
    char path[256];
    struct env *copy;

    check(env_mem_new(SEED, &copy));
    snprintf(path, sizeof(path), "snapshots/%s", tag);
    check(copy_tree(env, path, copy, ""));
    return copy;
}

static void expect_snapshot(struct env *env, const char *tag, uint64_t count)
{
    struct env *copy = copy_of(env, tag);
    struct engine *engine = open_in(copy, true);

    expect(engine, count);
    check(engine_close(engine, 0));
    env_free(copy);
}

/* ---- ---- */

static void a_snapshot_is_the_store_at_its_point(void **state)
{
    struct env *env;
    struct engine *engine = new_store(&env);

    (void)state;
    write_batches(engine, 1, 40);
    check(engine_flush(engine, 1));
    write_batches(engine, 41, 60);
    check(engine_snapshot_create(engine, "one"));
    write_batches(engine, 61, 100);
    check(engine_snapshot_create(engine, "two"));
    check(engine_flush(engine, TABLES_ALL));
    check(engine_compact(engine, TABLES_ALL));
    write_batches(engine, 101, 130);
    check(engine_snapshot_await(engine, "one", NULL, NULL));
    check(engine_snapshot_await(engine, "two", NULL, NULL));
    expect_snapshot(env, "one", 60);
    expect_snapshot(env, "two", 100);
    expect(engine, 130);
    check(engine_close(engine, 0));
    env_free(env);
}

static void many_snapshots_at_once_are_each_their_own(void **state)
{
    struct env *env;
    struct engine *engine = new_store(&env);

    (void)state;
    /* More than may be sealed at a time: the maker waits for the flusher, and goes on. */
    for (uint64_t i = 1; i <= 40; i++) {
        char tag[16];

        write_batches(engine, i, i);
        snprintf(tag, sizeof(tag), "t%" PRIu64, i);
        check(engine_snapshot_create(engine, tag));
    }
    for (uint64_t i = 1; i <= 40; i++) {
        char tag[16];

        snprintf(tag, sizeof(tag), "t%" PRIu64, i);
        check(engine_snapshot_await(engine, tag, NULL, NULL));
        expect_snapshot(env, tag, i);
    }
    check(engine_close(engine, 0));
    env_free(env);
}

static void a_tag_that_cannot_be_is_refused(void **state)
{
    struct env *env;
    struct engine *engine = new_store(&env);
    char tag[SNAPSHOT_TAG_MAX + 2];

    (void)state;
    memset(tag, 'a', sizeof(tag));
    tag[SNAPSHOT_TAG_MAX + 1] = 0;
    assert_int_equal(engine_snapshot_create(engine, tag), -EINVAL);
    tag[SNAPSHOT_TAG_MAX] = 0;
    check(engine_snapshot_create(engine, tag));
    assert_int_equal(engine_snapshot_create(engine, tag), -EEXIST);
    assert_int_equal(engine_snapshot_create(engine, ""), -EINVAL);
    assert_int_equal(engine_snapshot_create(engine, "latest"), -EINVAL);
    assert_int_equal(engine_snapshot_create(engine, "log"), -EINVAL);
    assert_int_equal(engine_snapshot_create(engine, "a/b"), -EINVAL);
    assert_int_equal(engine_snapshot_create(engine, ".."), -EINVAL);
    assert_int_equal(engine_snapshot_rename(engine, "none", "other"), -ENOENT);
    assert_int_equal(engine_snapshot_rename(engine, tag, "-x"), -EINVAL);
    assert_int_equal(engine_snapshot_delete(engine, "none"), -ENOENT);
    assert_int_equal(engine_snapshot_await(engine, "none", NULL, NULL), -ENOENT);
    check(engine_close(engine, 0));
    env_free(env);
}

struct listed {
    struct snapshot_info infos[8];
    char tags[8][SNAPSHOT_TAG_MAX + 1];
    char holds[8][128];
    unsigned count;
};

static int note(void *arg, const struct snapshot_info *info)
{
    struct listed *listed = arg;

    strcpy(listed->tags[listed->count], info->tag);
    snprintf(listed->holds[listed->count], sizeof(listed->holds[0]), "%s", info->holds);
    listed->infos[listed->count++] = *info;
    return 0;
}

static struct listed list(struct engine *engine)
{
    struct listed listed = {.count = 0};

    check(engine_snapshot_list(engine, note, &listed));
    return listed;
}

static void a_list_tells_what_deleting_gives_back(void **state)
{
    struct env *env;
    struct engine *engine = new_store(&env);
    struct listed listed;

    (void)state;
    write_batches(engine, 1, 60);
    check(engine_snapshot_create(engine, "old"));
    check(engine_snapshot_await(engine, "old", NULL, NULL));
    listed = list(engine);
    assert_int_equal(listed.count, 1);
    assert_true(listed.infos[0].complete);
    assert_true(listed.infos[0].total_bytes > 0);
    assert_int_equal(listed.infos[0].unique_bytes, listed.infos[0].total_bytes);
    assert_int_equal(listed.infos[0].freed_bytes, 0); /* the store has all of it too */
    assert_int_equal(listed.infos[0].point_us, engine_now(engine));

    write_batches(engine, 61, 120);
    check(engine_flush(engine, TABLES_ALL));
    check(engine_compact(engine, TABLES_ALL));
    check(engine_snapshot_create(engine, "new"));
    listed = list(engine);
    assert_int_equal(listed.count, 2);
    assert_string_equal(listed.tags[0], "old");
    assert_string_equal(listed.tags[1], "new");
    assert_int_equal(listed.infos[0].unique_bytes, listed.infos[0].total_bytes);
    assert_int_equal(listed.infos[0].freed_bytes, listed.infos[0].total_bytes);
    assert_false(listed.infos[1].complete);

    check(engine_snapshot_rename(engine, "old", "older"));
    check(engine_snapshot_delete(engine, "new"));
    assert_int_equal(engine_snapshot_await(engine, "new", NULL, NULL), -ENOENT);
    run_tasks(env);
    listed = list(engine);
    assert_int_equal(listed.count, 1);
    assert_string_equal(listed.tags[0], "older");
    check(engine_close(engine, 0));
    engine = open_in(env, false);
    expect(engine, 120);
    expect_snapshot(env, "older", 60);
    check(engine_snapshot_delete(engine, "older"));
    check(engine_snapshot_create(engine, "older"));
    check(engine_snapshot_await(engine, "older", NULL, NULL));
    expect_snapshot(env, "older", 120);
    check(engine_close(engine, 0));
    env_free(env);
}

static void a_snapshot_is_read_beside_the_store(void **state)
{
    struct env *env;
    struct engine *engine = new_store(&env);
    struct source *source = NULL;
    bool is_compacted;

    (void)state;
    write_batches(engine, 1, 60);
    check(engine_snapshot_create(engine, "old"));
    assert_int_equal(engine_open_snapshot(engine, "old", &source), -EAGAIN);
    assert_int_equal(engine_open_snapshot(engine, "none", &source), -ENOENT);
    check(engine_snapshot_await(engine, "old", NULL, NULL));
    /* First its SSTables are live, and are compacted away while it is open; then they are its own.
     */
    for (is_compacted = false;; is_compacted = true) {
        check(engine_open_snapshot(engine, "old", &source));
        write_batches(engine, is_compacted ? 121 : 61, is_compacted ? 180 : 120);
        check(engine_flush(engine, TABLES_ALL));
        check(engine_compact(engine, TABLES_ALL));
        run_tasks(env);
        model_expect(source, SEED, PAYLOAD_MAX, 60);
        expect(engine, is_compacted ? 180 : 120);
        engine_close_snapshot(source);
        if (is_compacted)
            break;
    }
    check(engine_close(engine, 0));
    env_free(env);
}

static void a_store_is_taken_back_to_a_snapshot(void **state)
{
    struct engine_options options = model_options();
    struct env *env;
    struct engine *engine = new_store(&env);
    struct store_identity before, after;
    struct listed listed;

    (void)state;
    write_batches(engine, 1, 60);
    check(engine_snapshot_create(engine, "old"));
    check(engine_snapshot_await(engine, "old", NULL, NULL));
    write_batches(engine, 61, 120);
    check(engine_flush(engine, TABLES_ALL));
    check(engine_compact(engine, TABLES_ALL));
    write_batches(engine, 121, 130);
    engine_identity(engine, &before);
    assert_int_equal(engine_rollback(env, &options, "old", "now"), -EBUSY);
    check(engine_close(engine, 0));

    assert_int_equal(engine_rollback(env, &options, "none", "now"), -ENOENT);
    assert_int_equal(engine_rollback(env, &options, "old", "old"), -EEXIST);
    check(engine_rollback(env, &options, "old", "now"));
    engine = open_in(env, false);
    expect(engine, 60);
    engine_identity(engine, &after);
    assert_memory_equal(after.uuid, before.uuid, sizeof(after.uuid));
    assert_int_not_equal(after.node, before.node);
    listed = list(engine);
    assert_int_equal(listed.count, 2);
    run_tasks(env); /* what is live no longer is swept */
    check(engine_close(engine, CLOSE_FLUSH));

    /* And forth again. */
    check(engine_rollback(env, &options, "now", "then"));
    engine = open_in(env, false);
    expect(engine, 130);
    check(engine_snapshot_delete(engine, "old"));
    check(engine_snapshot_delete(engine, "then"));
    check(engine_compact(engine, TABLES_ALL));
    run_tasks(env);
    expect(engine, 130);
    check(engine_close(engine, 0));
    env_free(env);
}

static void what_two_share_comes_back_with_both(void **state)
{
    static const char *const both[] = {"one", "two"};
    static const char *const unknown[] = {"one", "none"};
    struct env *env;
    struct engine *engine = new_store(&env);
    uint64_t one, two;
    struct listed listed;

    (void)state;
    write_batches(engine, 1, 60);
    check(engine_snapshot_create(engine, "one"));
    check(engine_snapshot_await(engine, "one", NULL, NULL));
    check(engine_snapshot_create(engine, "two"));
    check(engine_snapshot_await(engine, "two", NULL, NULL));
    write_batches(engine, 61, 120);
    check(engine_flush(engine, TABLES_ALL));
    check(engine_compact(engine, TABLES_ALL));
    listed = list(engine);
    check(engine_snapshot_freed(engine, both, 1, &one));
    check(engine_snapshot_freed(engine, both, 2, &two));
    assert_int_equal(one, 0);
    assert_int_equal(two, listed.infos[0].total_bytes);
    assert_int_equal(listed.infos[0].unique_bytes, 0);
    assert_int_equal(engine_snapshot_freed(engine, unknown, 2, &two), -ENOENT);
    check(engine_close(engine, 0));
    env_free(env);
}

static void a_held_snapshot_is_not_deleted(void **state)
{
    struct env *env;
    struct engine *engine = new_store(&env);
    struct listed listed;

    (void)state;
    check(engine_snapshot_create(engine, "kept"));
    check(engine_snapshot_hold(engine, "kept", "copy-1"));
    check(engine_snapshot_hold(engine, "kept", "copy-2"));
    assert_int_equal(engine_snapshot_hold(engine, "kept", "copy-1"), -EEXIST);
    assert_int_equal(engine_snapshot_hold(engine, "kept", "two\nlines"), -EINVAL);
    assert_int_equal(engine_snapshot_hold(engine, "none", "copy-1"), -ENOENT);
    check(engine_snapshot_set_expiry(engine, "kept", 1234567));
    check(engine_close(engine, CLOSE_FLUSH));

    engine = open_in(env, false); /* which writes a new manifest, with all of the state */
    listed = list(engine);
    assert_string_equal(listed.holds[0], "copy-1\ncopy-2\n");
    assert_int_equal(listed.infos[0].expires_us, 1234567);
    assert_int_equal(engine_snapshot_delete(engine, "kept"), -EBUSY);
    assert_int_equal(engine_snapshot_release(engine, "kept", "copy"), -ENODATA);
    check(engine_snapshot_release(engine, "kept", "copy-1"));
    assert_int_equal(engine_snapshot_delete(engine, "kept"), -EBUSY);
    check(engine_snapshot_release(engine, "kept", NULL));
    check(engine_snapshot_delete(engine, "kept"));
    check(engine_close(engine, 0));
    env_free(env);
}

static void note_result(void *arg, int r)
{
    *(int *)arg = r;
}

static void whoever_waits_for_a_tag_is_told_how_it_went(void **state)
{
    struct env *env;
    struct engine *engine = new_store(&env);
    int complete = 1, deleted = 1, closed = 1;

    (void)state;
    write_batches(engine, 1, 10);
    check(engine_snapshot_create(engine, "a"));
    check(engine_snapshot_create(engine, "b"));
    assert_int_equal(engine_snapshot_await(engine, "a", note_result, &complete), -EINPROGRESS);
    assert_int_equal(engine_snapshot_await(engine, "b", note_result, &deleted), -EINPROGRESS);
    check(engine_snapshot_delete(engine, "b"));
    assert_int_equal(deleted, -ENOENT);
    run_tasks(env);
    assert_int_equal(complete, 0);
    check(engine_snapshot_create(engine, "c"));
    assert_int_equal(engine_snapshot_await(engine, "c", note_result, &closed), -EINPROGRESS);
    check(engine_close(engine, 0));
    assert_int_equal(closed, -ESHUTDOWN);
    /* The next life completes it. */
    engine = open_in(env, false);
    check(engine_snapshot_await(engine, "c", NULL, NULL));
    expect_snapshot(env, "c", 10);
    check(engine_close(engine, 0));
    env_free(env);
}

static void a_completion_that_fails_is_tried_again(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth < 120; nth += 3) {
        struct env *env;
        struct engine *engine = new_store(&env);
        int r;

        write_batches(engine, 1, 20);
        check(engine_snapshot_create(engine, "a"));
        check(engine_flush(engine, TABLES_ALL));
        env_fault_fail_at(env, nth, -EIO);
        r = engine_snapshot_await(engine, "a", NULL, NULL);
        env_fault_fail_at(env, 0, 0);
        if (r < 0 && engine_failure(engine) == 0) {
            env_mem_advance(env, 60000000);
            run_tasks(env);
            check(engine_snapshot_await(engine, "a", NULL, NULL));
        }
        (void)engine_close(engine, 0);
        engine = open_in(env, false);
        check(engine_snapshot_await(engine, "a", NULL, NULL));
        expect_snapshot(env, "a", 20);
        check(engine_close(engine, 0));
        env_free(env);
    }
}

static int find_data_file(void *arg, const char *name)
{
    enum sstable_component component;
    struct sstable_id id;

    if (!sstable_parse_file_name(name, &id, &component) || component != COMPONENT_DATA)
        return 0;
    snprintf(arg, 256, THINGS_FOLDER "/%s", name);
    return 1;
}

static void a_tag_that_cannot_be_completed_does_not_hold_up_the_next(void **state)
{
    struct env *env;
    struct engine *engine = new_store(&env);
    char path[256];

    (void)state;
    write_batches(engine, 1, 30);
    check(engine_flush(engine, TABLES_ALL));
    expect(engine, 30); /* all SSTables are open now */
    assert_int_equal(io_list(env, THINGS_FOLDER, find_data_file, path), 1);
    check(engine_snapshot_create(engine, "a"));
    check(io_unlink(env, path));
    check(engine_compact(engine, TABLES_ALL));
    check(engine_snapshot_create(engine, "b"));
    check(engine_snapshot_await(engine, "b", NULL, NULL));
    run_tasks(env);
    assert_int_equal(engine_snapshot_await(engine, "a", NULL, NULL), -ENOENT);
    assert_int_equal(list(engine).infos[0].failure, -ENOENT);
    expect_snapshot(env, "b", 30);
    check(engine_close(engine, 0));
    env_free(env);
}

static void a_disk_without_links_has_no_snapshots_and_says_so(void **state)
{
    struct env *env;
    struct engine *engine = new_store(&env);

    (void)state;
    env_fault_fail_at(env, 1, -EPERM);
    assert_int_equal(engine_snapshot_create(engine, "a"), -EOPNOTSUPP);
    assert_int_equal(list(engine).count, 0);
    assert_int_equal(engine_failure(engine), 0);
    check(engine_close(engine, 0));
    env_free(env);
}

/* ---- the folder ---- */

static void sum_of(struct env *env, const char *path, char to[65])
{
    AUTO(buf_release) struct buf content = BUF_INIT;
    uint8_t sum[32];

    check(io_read_file(env, path, 64 << 20, &content));
    assert_int_equal(EVP_Digest(content.data, content.size, sum, NULL, EVP_sha256(), NULL), 1);
    for (unsigned i = 0; i < 32; i++)
        snprintf(to + 2 * i, 3, "%02x", sum[i]);
}

struct walk {
    struct env *env;
    const char *path;
    unsigned files;
};

static int count_files(void *arg, const char *name)
{
    struct walk *walk = arg;
    char path[512];
    struct io_stat stat;
    struct walk inner = {walk->env, path, 0};

    snprintf(path, sizeof(path), "%s%s%s", walk->path, *walk->path ? "/" : "", name);
    check(io_stat(walk->env, path, &stat));
    if (!stat.is_directory) {
        walk->files++;
        return 0;
    }
    check(io_list(walk->env, path, count_files, &inner));
    walk->files += inner.files;
    return 0;
}

static void the_sums_are_of_every_file(void **state)
{
    AUTO(buf_release) struct buf sums = BUF_INIT;
    AUTO(buf_release) struct buf written = BUF_INIT;
    AUTO(buf_release) struct buf wanted = BUF_INIT;
    struct walk walk = {NULL, "", 0};
    unsigned lines = 0;
    struct env *env, *copy;
    struct engine *engine = new_store(&env);
    struct io_stat stat;

    (void)state;
    write_batches(engine, 1, 60);
    for (unsigned i = 0; i < 2; i++) { /* the second uses sums of the first */
        check(engine_snapshot_create(engine, i ? "b" : "a"));
        check(engine_snapshot_await(engine, i ? "b" : "a", NULL, NULL));
    }
    copy = copy_of(env, "b");
    check(io_read_file(copy, "SHA256SUMS", 1 << 20, &sums));
    buf_append_u8(&sums, 0);
    for (char *line = strtok((char *)sums.data, "\n"); line; line = strtok(NULL, "\n")) {
        char sum[65];

        assert_true(strlen(line) > 66);
        sum_of(copy, line + 66, sum);
        assert_memory_equal(line, sum, 64);
        lines++;
    }
    walk.env = copy;
    check(io_list(copy, "", count_files, &walk));
    assert_int_equal(walk.files, lines + 1); /* all but SHA256SUMS itself */

    /* As nodetool lays it out. */
    check(io_stat(copy, "model/things-7468696e67732e2e2e2e2e2e2e2e2e31/manifest.json", &stat));
    check(io_read_file(
        copy, "model/things-7468696e67732e2e2e2e2e2e2e2e2e31/schema.cql", 1 << 20, &written));
    table_schema_cql(&model_tables[0], &wanted);
    assert_true(bytes_equal(buf_bytes(&written), buf_bytes(&wanted)));
    env_free(copy);
    check(engine_close(engine, 0));
    env_free(env);
}

/* What SHA256SUMS of a tag says of a file; `path` empty: of the first Data.db, whose it becomes. */
static void kept_sum(struct env *env, const char *tag, char path[256], char sum[65])
{
    AUTO(buf_release) struct buf sums = BUF_INIT;
    char name[256];

    snprintf(name, sizeof(name), "snapshots/%s/SHA256SUMS", tag);
    check(io_read_file(env, name, 1 << 20, &sums));
    buf_append_u8(&sums, 0);
    for (char *line = strtok((char *)sums.data, "\n"); line; line = strtok(NULL, "\n")) {
        if (*path ? strcmp(line + 66, path) != 0 : !strstr(line, "-Data.db"))
            continue;
        snprintf(sum, 65, "%s", line);
        snprintf(path, 256, "%s", line + 66);
        return;
    }
    fail_msg("'%s' has no '%s'", name, path);
}

static void flip_data(struct env *env, const char *path)
{
    char name[300];

    snprintf(name, sizeof(name), "data/%s", path);
    env_fault_flip_bit(env, name, 0, 0);
}

static struct engine *open_again(struct env *env, struct engine *engine)
{
    check(engine_close(engine, 0));
    return open_in(env, false);
}

/* One bit of the SSTable is not as it was: whoever reads it for its sum sees another one. */
static void sums_outlast_the_process(void **state)
{
    char before[65], after[65], path[256] = "";
    struct env *env;
    struct engine *engine = new_store(&env);

    (void)state;
    write_batches(engine, 1, 60);
    check(engine_snapshot_create(engine, "a"));
    check(engine_snapshot_await(engine, "a", NULL, NULL));
    kept_sum(env, "a", path, before);
    engine = open_again(env, engine);
    flip_data(env, path);
    write_batches(engine, 61, 90);
    check(engine_snapshot_create(engine, "b"));
    check(engine_snapshot_await(engine, "b", NULL, NULL));
    kept_sum(env, "b", path, after);
    assert_string_equal(after, before);
    flip_data(env, path);

    /* What was summed after the restart is kept too, with what was known before. */
    engine = open_again(env, engine);
    check(engine_snapshot_delete(engine, "a"));
    check(engine_snapshot_delete(engine, "b"));
    flip_data(env, path);
    check(engine_snapshot_create(engine, "c"));
    check(engine_snapshot_await(engine, "c", NULL, NULL));
    kept_sum(env, "c", path, after);
    assert_string_equal(after, before);
    check(engine_close(engine, 0));
    env_free(env);
}

/* Another sum, in form as good as the one before. */
static void falsify_sum(struct env *env, const struct buf *sums, const char *path)
{
    const uint8_t *sum = memmem(sums->data, sums->size, path, strlen(path));
    const uint8_t *digit;

    assert_non_null(sum);
    for (digit = sum - 66; *digit > '9'; digit++)
        continue;
    env_fault_flip_bit(env, "sums", (uint64_t)(digit - sums->data), 0);
}

static void sums_that_are_lost_or_damaged_are_computed_again(void **state)
{
    char before[65], after[65], path[256] = "";
    struct env *env;
    struct engine *engine = new_store(&env);
    struct io_stat stat;

    (void)state;
    write_batches(engine, 1, 60);
    check(engine_snapshot_create(engine, "a"));
    check(engine_snapshot_await(engine, "a", NULL, NULL));
    kept_sum(env, "a", path, before);
    for (unsigned i = 0; i < 3; i++) {
        const char *tag = (const char *[]){"lost", "cut", "flipped"}[i];
        AUTO(buf_release) struct buf content = BUF_INIT;

        engine = open_again(env, engine);
        check(io_read_file(env, "sums", 1 << 20, &content));
        if (i == 0)
            check(io_unlink(env, "sums"));
        else if (i == 1)
            check(io_write_file(env, "sums", bytes_of(content.data, content.size / 2), true));
        else
            falsify_sum(env, &content, path);
        check(engine_snapshot_create(engine, tag));
        check(engine_snapshot_await(engine, tag, NULL, NULL));
        kept_sum(env, tag, path, after);
        assert_string_equal(after, before);
        check(io_stat(env, "sums", &stat)); /* and kept for the next time */
        assert_int_equal(stat.size, content.size);
    }
    check(engine_close(engine, 0));
    env_free(env);
}

/* Every file of an SSTable has one more name for each tag, and is the same file. */
static int expect_links(void *arg, const char *name)
{
    static const char folder[] = "model/things-7468696e67732e2e2e2e2e2e2e2e2e31";
    struct env *env = arg;
    struct io_stat live, linked;
    char path[256];

    snprintf(path, sizeof(path), "data/%s/%s", folder, name);
    check(io_stat(env, path, &live));
    snprintf(path, sizeof(path), "snapshots/a/%s/%s", folder, name);
    check(io_stat(env, path, &linked));
    assert_int_equal(live.inode, linked.inode);
    assert_int_equal(live.links, 2);
    return 0;
}

static void components_of_a_tag_are_links(void **state)
{
    struct env *env;
    struct engine *engine = new_store(&env);

    (void)state;
    write_batches(engine, 1, 60);
    check(engine_snapshot_create(engine, "a"));
    check(engine_snapshot_await(engine, "a", NULL, NULL));
    check(io_list(env, "data/model/things-7468696e67732e2e2e2e2e2e2e2e2e31", expect_links, env));
    check(engine_close(engine, 0));
    env_free(env);
}

static void a_store_is_made_of_a_snapshot(void **state)
{
    struct store_identity old, new;
    struct env *env, *copy, *other;
    struct engine *engine = new_store(&env);
    int64_t point_us;

    (void)state;
    write_batches(engine, 1, 50);
    check(engine_flush(engine, TABLES_ALL));
    write_batches(engine, 51, 80);
    check(engine_snapshot_create(engine, "a"));
    check(engine_snapshot_await(engine, "a", NULL, NULL));
    engine_identity(engine, &old);
    point_us = engine_now(engine);
    copy = copy_of(env, "a");
    check(engine_close(engine, 0));

    check(env_mem_new(SEED + 1, &other));
    check(engine_create_from(other, copy, NULL, model_tables, MODEL_TABLES));
    assert_int_equal(engine_create_from(other, copy, NULL, model_tables, MODEL_TABLES), -ENOTEMPTY);
    engine = open_in(other, false);
    engine_identity(engine, &new);
    assert_memory_not_equal(old.uuid, new.uuid, 16);
    assert_true(engine_now(engine) >= point_us);
    expect(engine, 80);
    write_batches(engine, 81, 120);
    check(engine_flush(engine, TABLES_ALL));
    check(engine_compact(engine, TABLES_ALL));
    expect(engine, 120);
    check(engine_close(engine, 0));
    env_free(other);

    check(env_mem_new(SEED + 2, &other));
    assert_int_equal(engine_create_from(other, other, NULL, model_tables, MODEL_TABLES), -ENOTDIR);
    env_free(other);
    env_free(copy);
    env_free(env);
}

static void a_damaged_description_is_refused_not_believed(void **state)
{
    AUTO(buf_release) struct buf good = BUF_INIT;
    struct engine_options options = model_options();
    struct env *env, *copy;
    struct engine *engine = new_store(&env), *opened = NULL;

    (void)state;
    write_batches(engine, 1, 30);
    check(engine_snapshot_create(engine, "a"));
    check(engine_snapshot_await(engine, "a", NULL, NULL));
    copy = copy_of(env, "a");
    check(engine_close(engine, 0));
    options.read_only = true;
    check(io_read_file(copy, "snapshot.json", 1 << 20, &good));
    for (size_t cut = 0; cut + 1 < good.size; cut += 7) {
        int r;

        check(io_write_file(copy, "snapshot.json", bytes_of(good.data, cut), true));
        r = engine_open(copy, &options, &opened);
        assert_true(r == -EUCLEAN || r == -EPROTO);
    }
    env_free(copy);
    env_free(env);
}

static void a_description_says_where_in_the_log_it_is(void **state)
{
    AUTO(buf_release) struct buf content = BUF_INIT;
    AUTO(snapshot_facts_release) struct snapshot_facts facts = {0};
    struct env *env, *copy;
    struct engine *engine = new_store(&env);
    uint64_t position;
    char *field;

    (void)state;
    write_batches(engine, 1, 30);
    position = engine_position(engine);
    check(engine_snapshot_create(engine, "a"));
    write_batches(engine, 31, 60);
    check(engine_snapshot_await(engine, "a", NULL, NULL));
    copy = copy_of(env, "a");
    check(engine_close(engine, 0));
    check(snapshot_json_read(copy, "", model_tables, MODEL_TABLES, &facts));
    assert_true(facts.log_position == position);

    /* That of an earlier version does not. */
    check(io_read_file(copy, "snapshot.json", 1 << 20, &content));
    buf_append_u8(&content, '\0');
    field = strstr((char *)content.data, "log_position");
    assert_non_null(field);
    *field = 'x';
    check(io_write_file(copy, "snapshot.json", bytes_of(content.data, content.size - 1), true));
    snapshot_facts_release(&facts);
    check(snapshot_json_read(copy, "", model_tables, MODEL_TABLES, &facts));
    assert_true(facts.log_position == 0);
    env_free(copy);
    env_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_is_the_store_at_its_point),
        cmocka_unit_test(many_snapshots_at_once_are_each_their_own),
        cmocka_unit_test(a_tag_that_cannot_be_is_refused),
        cmocka_unit_test(a_list_tells_what_deleting_gives_back),
        cmocka_unit_test(a_snapshot_is_read_beside_the_store),
        cmocka_unit_test(a_store_is_taken_back_to_a_snapshot),
        cmocka_unit_test(what_two_share_comes_back_with_both),
        cmocka_unit_test(a_held_snapshot_is_not_deleted),
        cmocka_unit_test(whoever_waits_for_a_tag_is_told_how_it_went),
        cmocka_unit_test(a_completion_that_fails_is_tried_again),
        cmocka_unit_test(a_tag_that_cannot_be_completed_does_not_hold_up_the_next),
        cmocka_unit_test(a_disk_without_links_has_no_snapshots_and_says_so),
        cmocka_unit_test(the_sums_are_of_every_file),
        cmocka_unit_test(sums_outlast_the_process),
        cmocka_unit_test(sums_that_are_lost_or_damaged_are_computed_again),
        cmocka_unit_test(components_of_a_tag_are_links),
        cmocka_unit_test(a_store_is_made_of_a_snapshot),
        cmocka_unit_test(a_damaged_description_is_refused_not_believed),
        cmocka_unit_test(a_description_says_where_in_the_log_it_is),
    };

    log_to(fopen("/dev/null", "w"));
    return cmocka_run_group_tests_name("engine/snapshot", tests, NULL, NULL);
}
