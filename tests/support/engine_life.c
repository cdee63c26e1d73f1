#include "support/engine_life.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/assert.h"
#include "engine/error.h"
#include "support/copy_tree.h"
#include "support/engine_model.h"

void life_complain(const struct life *life, int r, const char *what)
{
    fail_msg("payload %zu seed %" PRIu64 " cut %" PRIu64 " variant %u life %u, applied %" PRIu64
             " durable %" PRIu64 ": %s: %s",
        life->payload_max, life->seed, life->cut_at, life->variant, life->number, life->applied,
        life->durable, what, r < 0 ? err_text(r) : "");
}

static void tag_name(const struct life_tag *tag, char to[32])
{
    snprintf(to, 32, "%c%" PRIu64, tag->renamed ? 'r' : 's', tag->number);
}

/* ---- the script ---- */

static int write_batches(struct life *life)
{
    unsigned count = 1 + (unsigned)random_below(&life->random, 3);

    for (unsigned i = 0; i < count; i++) {
        uint64_t position;
        int r =
            model_write(life->engine, life->seed, life->applied + 1, life->payload_max, &position);

        if (r < 0)
            return r;
        life->applied++;
        if (random_below(&life->random, 8) == 0) {
            r = engine_await(life->engine, position, true, NULL, NULL);
            if (r < 0)
                return r;
            life->durable = life->applied;
        }
    }
    return 0;
}

static int flush(struct life *life)
{
    int r = engine_flush(life->engine, 1 + random_below(&life->random, 7));

    if (r == 0)
        life->durable = life->applied;
    return r;
}

static int make_snapshot(struct life *life)
{
    struct life_tag tag = {life->applied, false};
    char name[32];
    int r;

    for (unsigned i = 0; i < life->tag_count; i++)
        if (life->tags[i].number == tag.number)
            return 0;
    if (life->tag_count == LIFE_TAGS_MAX)
        return 0;
    tag_name(&tag, name);
    life->in_doubt = tag;
    life->doubtful = true;
    r = engine_snapshot_create(life->engine, name);
    if (r < 0)
        return r;
    life->durable = life->applied;
    life->tags[life->tag_count++] = tag;
    life->doubtful = false;
    return random_below(&life->random, 2) ? engine_snapshot_await(life->engine, name, NULL, NULL)
                                          : 0;
}

/* The tag is in doubt from here on: both names count, or none. */
static struct life_tag take_tag(struct life *life, unsigned place)
{
    struct life_tag tag = life->tags[place];

    memmove(
        &life->tags[place], &life->tags[place + 1], (life->tag_count - place - 1) * sizeof(tag));
    life->tag_count--;
    life->in_doubt = tag;
    life->doubtful = true;
    return tag;
}

static int change_snapshot(struct life *life)
{
    char name[32], to[32];
    struct life_tag tag;
    int r;

    if (life->tag_count == 0)
        return 0;
    tag = take_tag(life, (unsigned)random_below(&life->random, life->tag_count));
    tag_name(&tag, name);
    if (random_below(&life->random, 2) == 0) {
        r = engine_snapshot_delete(life->engine, name);
    } else {
        tag.renamed = !tag.renamed;
        tag_name(&tag, to);
        r = engine_snapshot_rename(life->engine, name, to);
        if (r == 0)
            life->tags[life->tag_count++] = tag;
    }
    if (r == 0)
        life->doubtful = false;
    return r;
}

int life_open(struct life *life)
{
    struct engine_options options = model_options();

    return engine_open(life->env, &options, &life->engine);
}

static int reopen(struct life *life)
{
    int r = engine_close(life->engine, random_below(&life->random, 2) ? CLOSE_FLUSH : 0);

    life->engine = NULL;
    if (r < 0)
        return r;
    life->durable = life->applied;
    return life_open(life);
}

static int run_some_tasks(struct life *life)
{
    for (uint64_t n = random_below(&life->random, 30); n > 0 && env_run_task(life->env); n--)
        continue;
    if (random_below(&life->random, 4) == 0)
        env_mem_advance(life->env, 6000000);
    return engine_failure(life->engine);
}

static int step(struct life *life)
{
    uint64_t what = random_below(&life->random, 100);

    if (what < 50)
        return write_batches(life);
    if (what < 65)
        return run_some_tasks(life);
    if (what < 77)
        return flush(life);
    if (what < 83)
        return engine_compact(life->engine, 1 + random_below(&life->random, 7));
    if (what < 90)
        return make_snapshot(life);
    if (what < 96)
        return change_snapshot(life);
    return reopen(life);
}

int life_run(struct life *life, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        int r = step(life);

        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- the judge ---- */

static void text_at(const struct life *life, uint64_t count, struct buf *to)
{
    struct model model = {0};

    for (uint64_t number = 1; number <= count; number++)
        model_batch(life->seed, number, life->payload_max, NULL, &model);
    model_print(&model, TABLES_ALL, to);
}

/* The longest prefix of the history that is in the store. */
void life_check_history(struct life *life)
{
    AUTO(buf_release) struct buf found = BUF_INIT;
    int r = model_print_store(
        engine_live(life->engine), life->seed, life->payload_max, TABLES_ALL, &found);

    if (r < 0)
        life_complain(life, r, "read");
    for (uint64_t count = life->applied + 1;
         count + 1 > life->durable + 1 || count == life->durable; count--) {
        AUTO(buf_release) struct buf expected = BUF_INIT;

        text_at(life, count, &expected);
        if (bytes_equal(buf_bytes(&expected), buf_bytes(&found))) {
            life->applied = count;
            life->durable = count;
            return;
        }
        if (count == 0)
            break;
    }
    life_complain(life, 0, "no prefix of the history is in the store");
}

/* The folder of a tag, opened where it lies, is the state at its point. */
static void check_snapshot(struct life *life, const char *name, uint64_t count)
{
    AUTO(buf_release) struct buf expected = BUF_INIT, found = BUF_INIT;
    struct engine_options options = model_options();
    struct engine *engine = NULL;
    struct env *env;
    char path[64];
    int r = engine_snapshot_await(life->engine, name, NULL, NULL);

    if (r < 0)
        life_complain(life, r, "complete a snapshot");
    assert_int_equal(env_mem_new(1, &env), 0);
    snprintf(path, sizeof(path), "snapshots/%s", name);
    r = copy_tree(life->env, path, env, "");
    if (r < 0)
        life_complain(life, r, "copy a snapshot");
    options.read_only = true;
    r = engine_open(env, &options, &engine);
    if (r < 0)
        life_complain(life, r, "open a snapshot");
    text_at(life, count, &expected);
    r = model_print_store(engine_live(engine), life->seed, life->payload_max, TABLES_ALL, &found);
    if (r < 0)
        life_complain(life, r, "read a snapshot");
    if (!bytes_equal(buf_bytes(&expected), buf_bytes(&found)))
        life_complain(life, 0, "a snapshot is not the state at its point");
    assert_int_equal(engine_close(engine, 0), 0);
    env_free(env);
}

struct seen_tags {
    struct life_tag tags[LIFE_TAGS_MAX + 1];
    unsigned count;
};

static int note_tag(void *arg, const struct snapshot_info *info)
{
    struct seen_tags *seen = arg;

    ASSERT(seen->count <= LIFE_TAGS_MAX);
    seen->tags[seen->count++] =
        (struct life_tag){strtoull(info->tag + 1, NULL, 10), info->tag[0] == 'r'};
    return 0;
}

static bool has_tag(
    const struct life_tag *tags, unsigned count, const struct life_tag *wanted, bool exactly)
{
    for (unsigned i = 0; i < count; i++)
        if (tags[i].number == wanted->number && (!exactly || tags[i].renamed == wanted->renamed))
            return true;
    return false;
}

static void check_snapshots(struct life *life)
{
    struct seen_tags seen = {.count = 0};
    char name[32];

    assert_int_equal(engine_snapshot_list(life->engine, note_tag, &seen), 0);
    for (unsigned i = 0; i < life->tag_count; i++)
        if (!has_tag(seen.tags, seen.count, &life->tags[i], true))
            life_complain(life, 0, "a snapshot is lost");
    for (unsigned i = 0; i < seen.count; i++) {
        if (!has_tag(life->tags, life->tag_count, &seen.tags[i], true) &&
            !(life->doubtful && seen.tags[i].number == life->in_doubt.number))
            life_complain(life, 0, "a snapshot that was never made, or was deleted");
        tag_name(&seen.tags[i], name);
        check_snapshot(life, name, seen.tags[i].number);
    }
    memcpy(life->tags, seen.tags, sizeof(life->tags));
    life->tag_count = seen.count < LIFE_TAGS_MAX ? seen.count : LIFE_TAGS_MAX;
    life->doubtful = false;
}

void life_forget_snapshots(struct life *life)
{
    struct seen_tags seen = {.count = 0};
    char name[32];

    assert_int_equal(engine_snapshot_list(life->engine, note_tag, &seen), 0);
    for (unsigned i = 0; i < seen.count; i++) {
        tag_name(&seen.tags[i], name);
        assert_int_equal(engine_snapshot_delete(life->engine, name), 0);
    }
    life->tag_count = 0;
    life->doubtful = false;
}

struct count_names {
    struct life *life;
    const char *folder;
    unsigned count;
};

static int count_name(void *arg, const char *name)
{
    (void)name;
    ((struct count_names *)arg)->count++;
    return 0;
}

static unsigned names_in(struct life *life, const char *folder)
{
    struct count_names names = {life, folder, 0};
    int r = io_list(life->env, folder, count_name, &names);

    if (r < 0)
        life_complain(life, r, folder);
    return names.count;
}

/* Once the background has nothing left to do, every file belongs to something. */
static void check_files(struct life *life)
{
    struct engine_stats stats;
    unsigned files = 0;

    for (unsigned n = 0; n < 100000 && env_run_task(life->env); n++)
        continue;
    if (engine_failure(life->engine) < 0)
        life_complain(life, engine_failure(life->engine), "background");
    engine_get_stats(life->engine, &stats);
    for (unsigned i = 0; i < MODEL_TABLES; i++) {
        char name[TABLE_FOLDER_NAME_MAX + 1], folder[128];

        table_folder_name(&model_tables[i], name);
        snprintf(folder, sizeof(folder), "data/model/%s", name);
        files += names_in(life, folder);
    }
    if (files != 8 * stats.sstables)
        life_complain(life, 0, "data/ has files that are not live");
    if (names_in(life, "tmp") != 0 || names_in(life, "trash") != 0)
        life_complain(life, 0, "tmp/ or trash/ is not empty");
    if (names_in(life, "manifest") != 1)
        life_complain(life, 0, "there is not one manifest");
    if (names_in(life, "snapshots") != stats.snapshots)
        life_complain(life, 0, "snapshots/ has folders that are no snapshots");
}

/* ---- from life to life ---- */

void life_die(struct life *life, unsigned how)
{
    env_fault_stop(life->env);
    if (life->engine)
        (void)engine_close(life->engine, 0);
    life->engine = NULL;
    if (how == LIFE_KILLED)
        env_fault_restart(life->env);
    else
        env_fault_crash(life->env, how);
    life->variant = how;
    life->number++;
}

void life_end(struct life *life, unsigned how)
{
    int r;

    life_die(life, how);
    r = life_open(life);
    if (r < 0)
        life_complain(life, r, "open");
    life_check_history(life);
    check_snapshots(life);
    check_files(life);
    life_check_history(life);
}

void life_init(struct life *life, uint64_t seed, uint64_t disk_bytes, size_t payload_max)
{
    *life = (struct life){.seed = seed, .payload_max = payload_max};
    assert_int_equal(env_fault_new(seed, &life->env), 0);
    env_mem_set_space(life->env, disk_bytes);
    life->random.state = seed;
    assert_int_equal(engine_create(life->env, model_tables, MODEL_TABLES), 0);
    assert_int_equal(life_open(life), 0);
}

void life_release(struct life *life)
{
    if (life->engine)
        (void)engine_close(life->engine, 0);
    env_free(life->env);
}
