#include "engine/log_dump.h"

#include <inttypes.h>

#include "commitlog/survey.h"
#include "engine/error.h"
#include "engine/print.h"
#include "identity.h"
#include "manifest.h"
#include "rows/update.h"
#include "time_text.h"

#define SINK_BYTES (1u << 20)
#define ROLL_BYTES (1u << 20)

struct dump {
    struct env *env;
    const struct table_schema *tables;
    unsigned table_count;
    log_dump_sink sink;
    void *arg;
    uint64_t missing; /* of the batch: tables whose values are gone, a bit each: not to be read */

    struct store_identity identity;
    const uint8_t *store_uuid;         /* NULL: of whatever store */
    const struct segment_files *files; /* NULL: the store's */
    struct commitlog_survey survey;
    struct commitlog_cut *cuts;
    unsigned cut_count;

    struct buf text;
    int64_t now_s;
    uint64_t objects, updates, holes;
};

/* ---- pieces ---- */

static int hand_on(struct dump *dump, size_t at_least)
{
    int r = buf_error(&dump->text);

    return r < 0 || dump->text.size < at_least ? r : dump->sink(dump->arg, &dump->text);
}

static void begin_object(struct dump *dump, uint64_t position)
{
    print_short(&dump->text, "%s\n{\"segment\":%" PRIu64 ",\"offset\":%" PRIu64,
        dump->objects++ ? "," : "[", position_segment(position), position_offset(position));
}

static void print_time(struct buf *to, int64_t timestamp_us)
{
    char when[TIME_TEXT_BYTES];

    time_text(timestamp_us, when);
    print_short(to, ",\"timestamp\":%" PRId64 ",\"time\":\"%s\"", timestamp_us, when);
}

/* ---- updates ---- */

/* A partition with one thing in it. */
static void print_update(struct dump *dump, unsigned table,
    const struct partition_iterator *partition, const struct unfiltered *unfiltereds,
    unsigned count)
{
    struct buf *text = &dump->text;
    uint64_t rows;

    print_short(text, "%s\n{\"table\":", dump->updates++ ? "," : "");
    string_print_json(bytes_of_string(dump->tables[table].name), text);
    print_short(text, ",\"update\":\n");
    partition_print_json_begin(partition, dump->now_s, &rows, text);
    for (unsigned i = 0; i < count; i++)
        partition_print_json_unfiltered(
            partition->schema, &unfiltereds[i], dump->now_s, &rows, text);
    partition_print_json_end(rows, text);
    print_short(text, "}");
}

static struct partition_iterator partition_of(
    const struct dump *dump, unsigned table, const struct decorated_key *key)
{
    return (struct partition_iterator){
        .schema = &dump->tables[table], .key = *key, .deletion = DELETION_LIVE};
}

static int print_partition_deletion(
    void *arg, unsigned table, const struct decorated_key *key, struct deletion deletion)
{
    struct dump *dump = arg;
    struct partition_iterator partition = partition_of(dump, table, key);

    partition.deletion = deletion;
    print_update(dump, table, &partition, NULL, 0);
    return hand_on(dump, SINK_BYTES);
}

static int print_range_tombstone(void *arg, unsigned table, const struct decorated_key *key,
    const struct slice *slice, struct deletion deletion)
{
    struct dump *dump = arg;
    struct partition_iterator partition = partition_of(dump, table, key);
    struct unfiltered markers[] = {
        {.is_marker = true,
            .marker = {.bound = slice->start, .closes = DELETION_LIVE, .opens = deletion}},
        {.is_marker = true,
            .marker = {.bound = slice->end, .closes = deletion, .opens = DELETION_LIVE}},
    };

    print_update(dump, table, &partition, markers, 2);
    return hand_on(dump, SINK_BYTES);
}

static int print_row_update(
    void *arg, unsigned table, const struct decorated_key *key, const struct row *row)
{
    struct dump *dump = arg;
    struct partition_iterator partition = partition_of(dump, table, key);
    struct unfiltered unfiltered = {.row = *row};

    if (row->clustering.kind == KIND_STATIC) {
        partition.static_row = row;
        print_update(dump, table, &partition, NULL, 0);
    } else {
        print_update(dump, table, &partition, &unfiltered, 1);
    }
    return hand_on(dump, SINK_BYTES);
}

/* ---- records ---- */

static void print_missing(struct dump *dump)
{
    const char *separator = "";

    print_short(&dump->text, ",\"missing_values\":[");
    for (unsigned i = 0; i < dump->table_count; i++) {
        if (!(dump->missing >> i & 1))
            continue;
        print_short(&dump->text, "%s", separator);
        string_print_json(bytes_of_string(dump->tables[i].name), &dump->text);
        separator = ",";
    }
    print_short(&dump->text, "]");
}

static int print_batch(void *arg, uint64_t position, int64_t timestamp_us, struct bytes updates,
    unsigned update_count, struct record_memory *memory)
{
    static const struct update_visitor visitor = {.partition_deletion = print_partition_deletion,
        .range_tombstone = print_range_tombstone,
        .row = print_row_update};
    struct dump *dump = arg;
    struct updates whole = updates_of(updates);
    int r;

    (void)memory;
    begin_object(dump, position);
    print_time(&dump->text, timestamp_us);
    if (dump->missing)
        print_missing(dump);
    print_short(&dump->text, ",\"updates\":[");
    dump->updates = 0;
    r = batch_visit(dump->tables, dump->table_count, &whole, update_count, timestamp_us,
        ~dump->missing, &visitor, dump);
    print_short(&dump->text, "]}");
    return r < 0 ? r : hand_on(dump, SINK_BYTES);
}

static int print_hole(void *arg, const struct commitlog_hole *hole)
{
    struct dump *dump = arg;

    dump->holes++;
    begin_object(dump, hole->position);
    print_time(&dump->text, hole->timestamp_us);
    print_short(&dump->text, ",\"hole\":");
    if (hole->next)
        print_short(&dump->text, "{\"next_segment\":%" PRIu64 ",\"next_offset\":%" PRIu64 "}}",
            position_segment(hole->next), position_offset(hole->next));
    else
        print_short(&dump->text, "\"to the end\"}");
    return HOLE_STEP;
}

static void print_end(struct dump *dump, const struct commitlog_replay_result *result)
{
    begin_object(dump, result->end_position);
    print_short(&dump->text,
        ",\"end\":true,\"batches\":%" PRIu64 ",\"dropped_bytes\":%" PRIu64 "}\n]\n",
        result->records, result->dropped_bytes);
}

/* ---- all of it ---- */

static int add_cuts(struct dump *dump, const struct commitlog_cut *cuts, size_t count)
{
    struct commitlog_cut *grown =
        reallocarray(dump->cuts, dump->cut_count + count + 1, sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    dump->cuts = grown;
    for (size_t i = 0; i < count; i++)
        grown[dump->cut_count++] = cuts[i];
    return 0;
}

/* Those of a manifest, if there is a good one: a log of an earlier version does not say them. */
static int read_cuts(struct dump *dump)
{
    struct manifest_options options = {.tables = dump->tables,
        .table_count = dump->table_count,
        .roll_bytes = ROLL_BYTES,
        .read_only = true};
    struct manifest *manifest;
    int r;

    memcpy(options.store_uuid, dump->identity.uuid, sizeof(options.store_uuid));
    r = manifest_open(dump->env, &options, &manifest);
    if (r < 0)
        return r == -ENOMEM ? r : 0;
    r = add_cuts(dump, manifest_state(manifest)->cuts, manifest_state(manifest)->cut_count);
    manifest_free(manifest);
    return r;
}

static int dump_records(struct dump *dump)
{
    struct commitlog_visitor visitor = {
        .batch = print_batch, .hole = print_hole, .missing = &dump->missing, .files = dump->files};
    uint64_t from[COMMITLOG_TABLES_MAX];
    struct commitlog_replay_result result;
    int r = commitlog_survey(dump->env, dump->store_uuid, dump->files, &dump->survey);

    if (r == 0)
        r = add_cuts(dump, dump->survey.cuts, dump->survey.cut_count);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < COMMITLOG_TABLES_MAX; i++)
        from[i] = dump->survey.from;
    r = commitlog_visit(dump->env, dump->store_uuid,
        (struct commitlog_flushed){from, dump->table_count}, dump->cuts, dump->cut_count, &visitor,
        dump, &result);
    if (r < 0)
        return r;
    print_end(dump, &result);
    return hand_on(dump, 0);
}

static int dump_store(struct dump *dump)
{
    int lock;
    int r = identity_read(dump->env, &dump->identity);

    if (r == 0)
        r = lock_take(dump->env, true, &lock);
    if (r < 0)
        return r;
    dump->store_uuid = dump->identity.uuid;
    r = read_cuts(dump);
    if (r == 0)
        r = dump_records(dump);
    lock_release(dump->env, true, lock);
    return r;
}

static int dump_all(struct dump *dump, uint64_t *ret_holes)
{
    int r = dump->files ? dump_records(dump) : dump_store(dump);

    buf_release(&dump->text);
    free(dump->cuts);
    commitlog_survey_release(&dump->survey);
    if (r == 0)
        *ret_holes = dump->holes;
    return r;
}

static struct dump dump_of(struct env *env, const struct table_schema *tables, unsigned table_count,
    log_dump_sink sink, void *arg)
{
    return (struct dump){.env = env,
        .tables = tables,
        .table_count = table_count,
        .sink = sink,
        .arg = arg,
        .text = BUF_INIT,
        .now_s = (int64_t)(env_wall_us(env) / 1000000)};
}

int engine_dump_log(struct env *env, const struct table_schema *tables, unsigned table_count,
    log_dump_sink sink, void *arg, uint64_t *ret_holes)
{
    struct dump dump = dump_of(env, tables, table_count, sink, arg);

    return dump_all(&dump, ret_holes);
}

int engine_dump_segments(struct env *env, const char *file, const struct table_schema *tables,
    unsigned table_count, log_dump_sink sink, void *arg, uint64_t *ret_holes)
{
    const struct segment_files files = {file};
    struct dump dump = dump_of(env, tables, table_count, sink, arg);

    dump.files = &files;
    return dump_all(&dump, ret_holes);
}
