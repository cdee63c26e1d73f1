/*
 * Goal: whatever a power cut leaves, the store opens by itself and holds a prefix of the history
 * that was acknowledged, not shorter than what was acknowledged as durable, each batch whole; each
 * snapshot is the state at its point; and no file is left that nobody knows.
 * Method: run a script (batches over several tables, syncs, flushes, compactions, snapshots made,
 * renamed and deleted, reopenings, background steps) once to count its changing I/O calls; then,
 * for each of them and each variant of the disk, cut the power there, open, compare with the model,
 * and go on into a second life with a cut drawn from the seed, and a third.
 */
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
#include "engine/log.h"
#include "io/fault.h"
#include "support/copy_tree.h"
#include "support/engine_model.h"
#include "support/random.h"

#define DISK_BYTES (16u << 20)
#define PAYLOAD_MAX 3000
/* Rows of which many are large enough for the log to keep them beside its records. */
#define LARGE_PAYLOAD_MAX 40000
#define LARGE_STRIDE 25
#define STEPS 60
#define LIVES 3
#define TAGS_MAX 4
/* Every call; with a sanitizer, which is ten times as slow, some of them. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STRIDE 20
#else
#define STRIDE 1
#endif

struct tag {
    uint64_t number; /* batches that are in it; also its name */
    bool renamed;    /* "r7" instead of "s7" */
};

struct store {
    struct env *env;
    struct engine *engine;
    struct random random;
    uint64_t seed;
    size_t payload_max;
    uint64_t applied; /* acknowledged by engine_apply() */
    uint64_t durable; /* of these, those that a sync, flush or snapshot covers */
    struct tag tags[TAGS_MAX];
    unsigned tag_count;
    struct tag in_doubt; /* being made, renamed or deleted when the power went */
    bool doubtful;
    /* To replay a failure. */
    uint64_t cut_at;
    unsigned variant, life;
};

static void complain(const struct store *s, int r, const char *what)
{
    fail_msg("payload %zu seed %" PRIu64 " cut %" PRIu64 " variant %u life %u, applied %" PRIu64
             " durable %" PRIu64 ": %s: %s",
        s->payload_max, s->seed, s->cut_at, s->variant, s->life, s->applied, s->durable, what,
        r < 0 ? err_text(r) : "");
}

static void tag_name(const struct tag *tag, char to[32])
{
    snprintf(to, 32, "%c%" PRIu64, tag->renamed ? 'r' : 's', tag->number);
}

/* ---- the script ---- */

static int write_batches(struct store *s)
{
    unsigned count = 1 + (unsigned)random_below(&s->random, 3);

    for (unsigned i = 0; i < count; i++) {
        uint64_t position;
        int r = model_write(s->engine, s->seed, s->applied + 1, s->payload_max, &position);

        if (r < 0)
            return r;
        s->applied++;
        if (random_below(&s->random, 8) == 0) {
            r = engine_await(s->engine, position, true, NULL, NULL);
            if (r < 0)
                return r;
            s->durable = s->applied;
        }
    }
    return 0;
}

static int flush(struct store *s)
{
    int r = engine_flush(s->engine, 1 + random_below(&s->random, 7));

    if (r == 0)
        s->durable = s->applied;
    return r;
}

static int make_snapshot(struct store *s)
{
    struct tag tag = {s->applied, false};
    char name[32];
    int r;

    for (unsigned i = 0; i < s->tag_count; i++)
        if (s->tags[i].number == tag.number)
            return 0;
    if (s->tag_count == TAGS_MAX)
        return 0;
    tag_name(&tag, name);
    s->in_doubt = tag;
    s->doubtful = true;
    r = engine_snapshot_create(s->engine, name);
    if (r < 0)
        return r;
    s->durable = s->applied;
    s->tags[s->tag_count++] = tag;
    s->doubtful = false;
    return random_below(&s->random, 2) ? engine_snapshot_await(s->engine, name, NULL, NULL) : 0;
}

/* The tag is in doubt from here on: both names count, or none. */
static struct tag take_tag(struct store *s, unsigned place)
{
    struct tag tag = s->tags[place];

    memmove(&s->tags[place], &s->tags[place + 1], (s->tag_count - place - 1) * sizeof(tag));
    s->tag_count--;
    s->in_doubt = tag;
    s->doubtful = true;
    return tag;
}

static int change_snapshot(struct store *s)
{
    char name[32], to[32];
    struct tag tag;
    int r;

    if (s->tag_count == 0)
        return 0;
    tag = take_tag(s, (unsigned)random_below(&s->random, s->tag_count));
    tag_name(&tag, name);
    if (random_below(&s->random, 2) == 0) {
        r = engine_snapshot_delete(s->engine, name);
    } else {
        tag.renamed = !tag.renamed;
        tag_name(&tag, to);
        r = engine_snapshot_rename(s->engine, name, to);
        if (r == 0)
            s->tags[s->tag_count++] = tag;
    }
    if (r == 0)
        s->doubtful = false;
    return r;
}

static int open_store(struct store *s)
{
    struct engine_options options = model_options();

    return engine_open(s->env, &options, &s->engine);
}

static int reopen(struct store *s)
{
    int r = engine_close(s->engine, random_below(&s->random, 2) ? CLOSE_FLUSH : 0);

    s->engine = NULL;
    if (r < 0)
        return r;
    s->durable = s->applied;
    return open_store(s);
}

static int run_some_tasks(struct store *s)
{
    for (uint64_t n = random_below(&s->random, 30); n > 0 && env_run_task(s->env); n--)
        continue;
    if (random_below(&s->random, 4) == 0)
        env_mem_advance(s->env, 6000000);
    return engine_failure(s->engine);
}

static int step(struct store *s)
{
    uint64_t what = random_below(&s->random, 100);

    if (what < 50)
        return write_batches(s);
    if (what < 65)
        return run_some_tasks(s);
    if (what < 77)
        return flush(s);
    if (what < 83)
        return engine_compact(s->engine, 1 + random_below(&s->random, 7));
    if (what < 90)
        return make_snapshot(s);
    if (what < 96)
        return change_snapshot(s);
    return reopen(s);
}

static int run(struct store *s, unsigned steps)
{
    for (unsigned i = 0; i < steps; i++) {
        int r = step(s);

        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- the judge ---- */

static void text_at(const struct store *s, uint64_t count, struct buf *to)
{
    struct model model = {0};

    for (uint64_t number = 1; number <= count; number++)
        model_batch(s->seed, number, s->payload_max, NULL, &model);
    model_print(&model, TABLES_ALL, to);
}

/* The longest prefix of the history that is in the store. */
static void check_history(struct store *s)
{
    AUTO(buf_release) struct buf found = BUF_INIT;
    int r = model_print_store(engine_live(s->engine), s->seed, s->payload_max, TABLES_ALL, &found);

    if (r < 0)
        complain(s, r, "read");
    for (uint64_t count = s->applied + 1; count + 1 > s->durable + 1 || count == s->durable;
         count--) {
        AUTO(buf_release) struct buf expected = BUF_INIT;

        text_at(s, count, &expected);
        if (bytes_equal(buf_bytes(&expected), buf_bytes(&found))) {
            s->applied = count;
            s->durable = count;
            return;
        }
        if (count == 0)
            break;
    }
    complain(s, 0, "no prefix of the history is in the store");
}

/* The folder of a tag, opened where it lies, is the state at its point. */
static void check_snapshot(struct store *s, const char *name, uint64_t count)
{
    AUTO(buf_release) struct buf expected = BUF_INIT, found = BUF_INIT;
    struct engine_options options = model_options();
    struct engine *engine = NULL;
    struct env *env;
    char path[64];
    int r = engine_snapshot_await(s->engine, name, NULL, NULL);

    if (r < 0)
        complain(s, r, "complete a snapshot");
    assert_int_equal(env_mem_new(1, &env), 0);
    snprintf(path, sizeof(path), "snapshots/%s", name);
    r = copy_tree(s->env, path, env, "");
    if (r < 0)
        complain(s, r, "copy a snapshot");
    options.read_only = true;
    r = engine_open(env, &options, &engine);
    if (r < 0)
        complain(s, r, "open a snapshot");
    text_at(s, count, &expected);
    r = model_print_store(engine_live(engine), s->seed, s->payload_max, TABLES_ALL, &found);
    if (r < 0)
        complain(s, r, "read a snapshot");
    if (!bytes_equal(buf_bytes(&expected), buf_bytes(&found)))
        complain(s, 0, "a snapshot is not the state at its point");
    assert_int_equal(engine_close(engine, 0), 0);
    env_free(env);
}

struct seen_tags {
    struct tag tags[TAGS_MAX + 1];
    unsigned count;
};

static int note_tag(void *arg, const struct snapshot_info *info)
{
    struct seen_tags *seen = arg;

    ASSERT(seen->count <= TAGS_MAX);
    seen->tags[seen->count++] =
        (struct tag){strtoull(info->tag + 1, NULL, 10), info->tag[0] == 'r'};
    return 0;
}

static bool has_tag(const struct tag *tags, unsigned count, const struct tag *wanted, bool exactly)
{
    for (unsigned i = 0; i < count; i++)
        if (tags[i].number == wanted->number && (!exactly || tags[i].renamed == wanted->renamed))
            return true;
    return false;
}

static void check_snapshots(struct store *s)
{
    struct seen_tags seen = {.count = 0};
    char name[32];

    assert_int_equal(engine_snapshot_list(s->engine, note_tag, &seen), 0);
    for (unsigned i = 0; i < s->tag_count; i++)
        if (!has_tag(seen.tags, seen.count, &s->tags[i], true))
            complain(s, 0, "a snapshot is lost");
    for (unsigned i = 0; i < seen.count; i++) {
        if (!has_tag(s->tags, s->tag_count, &seen.tags[i], true) &&
            !(s->doubtful && seen.tags[i].number == s->in_doubt.number))
            complain(s, 0, "a snapshot that was never made, or was deleted");
        tag_name(&seen.tags[i], name);
        check_snapshot(s, name, seen.tags[i].number);
    }
    memcpy(s->tags, seen.tags, sizeof(s->tags));
    s->tag_count = seen.count < TAGS_MAX ? seen.count : TAGS_MAX;
    s->doubtful = false;
}

struct count_names {
    struct store *store;
    const char *folder;
    unsigned count;
};

static int count_name(void *arg, const char *name)
{
    (void)name;
    ((struct count_names *)arg)->count++;
    return 0;
}

static unsigned names_in(struct store *s, const char *folder)
{
    struct count_names names = {s, folder, 0};
    int r = io_list(s->env, folder, count_name, &names);

    if (r < 0)
        complain(s, r, folder);
    return names.count;
}

/* Once the background has nothing left to do, every file belongs to something. */
static void check_files(struct store *s)
{
    struct engine_stats stats;
    unsigned files = 0;

    for (unsigned n = 0; n < 100000 && env_run_task(s->env); n++)
        continue;
    if (engine_failure(s->engine) < 0)
        complain(s, engine_failure(s->engine), "background");
    engine_get_stats(s->engine, &stats);
    for (unsigned i = 0; i < MODEL_TABLES; i++) {
        char name[TABLE_FOLDER_NAME_MAX + 1], folder[128];

        table_folder_name(&model_tables[i], name);
        snprintf(folder, sizeof(folder), "data/model/%s", name);
        files += names_in(s, folder);
    }
    if (files != 8 * stats.sstables)
        complain(s, 0, "data/ has files that are not live");
    if (names_in(s, "tmp") != 0 || names_in(s, "trash") != 0)
        complain(s, 0, "tmp/ or trash/ is not empty");
    if (names_in(s, "manifest") != 1)
        complain(s, 0, "there is not one manifest");
    if (names_in(s, "snapshots") != stats.snapshots)
        complain(s, 0, "snapshots/ has folders that are no snapshots");
}

static void crash_and_check(struct store *s)
{
    int r;

    if (s->engine)
        (void)engine_close(s->engine, 0);
    s->engine = NULL;
    env_fault_crash(s->env, s->variant);
    s->life++;
    r = open_store(s);
    if (r < 0)
        complain(s, r, "open");
    check_history(s);
    check_snapshots(s);
    check_files(s);
    check_history(s);
}

/* ---- ---- */

static void store_init(struct store *s, uint64_t seed, size_t payload_max)
{
    *s = (struct store){.seed = seed, .payload_max = payload_max};
    assert_int_equal(env_fault_new(seed, &s->env), 0);
    env_mem_set_space(s->env, DISK_BYTES);
    s->random.state = seed;
    assert_int_equal(engine_create(s->env, model_tables, MODEL_TABLES), 0);
    assert_int_equal(open_store(s), 0);
}

static void store_release(struct store *s)
{
    if (s->engine)
        (void)engine_close(s->engine, 0);
    env_free(s->env);
}

static uint64_t count_changes(uint64_t seed, size_t payload_max)
{
    struct store s;
    uint64_t before, count;
    int r;

    store_init(&s, seed, payload_max);
    before = env_fault_change_count(s.env);
    r = run(&s, STEPS);
    if (r < 0)
        complain(&s, r, "the script without a crash");
    count = env_fault_change_count(s.env) - before;
    store_release(&s);
    return count;
}

static void live_and_die(uint64_t seed, size_t payload_max, uint64_t cut_at, unsigned variant)
{
    struct store s;

    store_init(&s, seed, payload_max);
    s.cut_at = cut_at;
    s.variant = variant;
    env_fault_crash_at(s.env, cut_at);
    (void)run(&s, STEPS);
    crash_and_check(&s);
    for (unsigned life = 1; life < LIVES; life++) {
        env_fault_crash_at(s.env, 1 + random_below(&s.random, 150));
        (void)run(&s, STEPS);
        crash_and_check(&s);
    }
    store_release(&s);
}

/* A number of the environment, to look at one failure, or at fewer cuts. */
static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

static void cut_everywhere(size_t payload_max, uint64_t stride)
{
    uint64_t seed = random_seed(1);
    uint64_t first = number_of("SSTFS_CUT", 1);
    uint64_t last = number_of("SSTFS_CUT", count_changes(seed, payload_max));
    uint64_t variant_only = number_of("SSTFS_VARIANT", ENV_FAULT_VARIANTS);

    for (uint64_t cut_at = first; cut_at <= last; cut_at += stride)
        for (unsigned variant = 0; variant < ENV_FAULT_VARIANTS; variant++)
            if (variant == variant_only || variant_only == ENV_FAULT_VARIANTS)
                live_and_die(seed, payload_max, cut_at, variant);
}

static void every_cut_leaves_a_prefix(void **state)
{
    (void)state;
    cut_everywhere(PAYLOAD_MAX, number_of("SSTFS_STRIDE", STRIDE));
}

static void every_cut_leaves_a_prefix_of_large_rows(void **state)
{
    (void)state;
    cut_everywhere(LARGE_PAYLOAD_MAX, LARGE_STRIDE * number_of("SSTFS_STRIDE", STRIDE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_leaves_a_prefix),
        cmocka_unit_test(every_cut_leaves_a_prefix_of_large_rows),
    };

    log_set_level(LOG_LEVEL_ERROR);
    log_to(fopen("/dev/null", "w"));
    return cmocka_run_group_tests_name("crash/engine", tests, NULL, NULL);
}
