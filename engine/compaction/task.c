#include "compaction/task.h"

#include "compaction/strategy.h"
#include "engine/error.h"
#include "engine/log.h"
#include "rows/merge.h"
#include "rows/shadow.h"
#include "run_writer.h"
#include "state.h"

#define RANGE_BITS_MAX 20

struct compaction_job {
    struct engine *engine;
    unsigned table;
    unsigned level;     /* of the outputs */
    uint64_t bytes_max; /* of an output */
    uint64_t asked;
    struct sstable_handle **inputs; /* a reference each */
    size_t count;
    uint64_t input_bytes;
    struct sstable_handle **covers; /* read only: what they delete of the input; NULL: a merge */
    size_t cover_count;
    uint64_t garbage_bytes; /* of the inputs, when it began */
    bool keeps_run;         /* the one input is rewritten, and its place taken */
    struct run_writer *run;
    struct purge_scope purge_scope; /* of the step that runs */
};

static void note_bases(struct sstable_writer_options *to, const struct sstable_facts *facts)
{
    if (facts->min_timestamp_us < to->min_timestamp_us)
        to->min_timestamp_us = facts->min_timestamp_us;
    if (facts->min_local_deletion_time_s < to->min_local_deletion_time_s)
        to->min_local_deletion_time_s = facts->min_local_deletion_time_s;
    if (facts->min_ttl_s < to->min_ttl_s)
        to->min_ttl_s = facts->min_ttl_s;
    to->expected_partitions += facts->partitions;
    to->expected_rows += facts->rows;
}

/* All inputs merged. */
static int scan_merged(struct compaction_job *job, struct partition_scanner **ret_scanner)
{
    const struct table_schema *schema = &job->engine->tables[job->table];
    struct partition_scanner **scanners = calloc(job->count, sizeof(struct partition_scanner *));
    size_t open = 0;
    int r = scanners ? 0 : -ENOMEM;

    for (; r == 0 && open < job->count; open += r == 0) {
        AUTO(sstable_unrefp) struct sstable *sstable = NULL;

        r = sstable_handle_open(job->inputs[open], &sstable);
        if (r == 0)
            r = sstable_scan(sstable, INT64_MIN, INT64_MAX, &scanners[open]);
    }
    if (r == 0) {
        r = merge_scanners(schema, scanners, (unsigned)job->count, ret_scanner);
        open = 0;
    }
    while (open > 0)
        scanner_close(scanners[--open]);
    free(scanners);
    return r;
}

static int read_cover(struct sstable_handle *cover, const struct decorated_key *key,
    struct partition_iterator **ret_iterator)
{
    const struct sstable_facts *facts = &cover->entry.facts;
    const struct slice all = SLICE_ALL;
    AUTO(sstable_unrefp) struct sstable *sstable = NULL;
    int r;

    if (key->token < facts->first_token || key->token > facts->last_token)
        return 0;
    r = sstable_handle_open(cover, &sstable);
    return r < 0 ? r : sstable_read(sstable, key, &all, ret_iterator);
}

/* What the covers have of a partition: by lookups, as they mostly have nothing of it. */
static int read_covers(
    void *arg, const struct decorated_key *key, struct partition_iterator **ret_iterator)
{
    struct compaction_job *job = arg;
    AUTO(freep) struct partition_iterator **found = calloc(job->cover_count, sizeof(*found));
    unsigned count = 0;
    int r = found ? 0 : -ENOMEM;

    for (size_t i = 0; r >= 0 && i < job->cover_count; i++) {
        r = read_cover(job->covers[i], key, &found[count]);
        count += r > 0;
    }
    if (r >= 0 && count > 1) {
        r = merge_partitions(&job->engine->tables[job->table], found, count, ret_iterator);
        return r < 0 ? r : 1;
    }
    if (r >= 0 && count == 1)
        *ret_iterator = found[0];
    while (r < 0 && count > 0)
        partition_close(found[--count]);
    return r < 0 ? r : (int)count;
}

static int scan_inputs(struct compaction_job *job, struct partition_scanner **ret_scanner)
{
    struct partition_scanner *inputs;
    int r = scan_merged(job, &inputs);

    if (r < 0 || job->cover_count == 0) {
        *ret_scanner = r < 0 ? NULL : inputs;
        return r;
    }
    return shadow_scanner(
        inputs, job->inputs[0]->entry.facts.max_timestamp_us, read_covers, job, ret_scanner);
}

/* The ring is cut where it always is, so that pieces of different jobs lie above each other, and
 * can be compacted range by range. */
static unsigned range_bits(const struct compaction_job *job)
{
    unsigned bits = 0;

    while (bits < RANGE_BITS_MAX && job->input_bytes >> bits > job->bytes_max)
        bits++;
    return bits;
}

static int begin(struct compaction_job *job)
{
    struct run_writer_options options = {
        .table = job->table,
        .level = job->level,
        /* Pieces differ in size; only what is far too large is cut elsewhere than at a bound. */
        .bytes_max = add_saturating(job->bytes_max, job->bytes_max),
        .range_bits = range_bits(job),
        .compacted = !job->keeps_run || job->inputs[0]->entry.compacted,
        .writer = {.min_timestamp_us = INT64_MAX,
            .min_local_deletion_time_s = LOCAL_DELETION_TIME_NONE,
            .min_ttl_s = INT32_MAX},
    };
    struct purge purge = {.max_purgeable = purge_scope_max_purgeable, .arg = &job->purge_scope};
    struct partition_scanner *scanner = NULL;
    int r;

    for (size_t i = 0; i < job->count; i++)
        note_bases(&options.writer, &job->inputs[i]->entry.facts);
    /* The filters of a piece need not hold what goes into the others. */
    if (job->input_bytes > job->bytes_max) {
        double share = (double)job->bytes_max / (double)job->input_bytes;

        options.writer.expected_partitions =
            (uint64_t)((double)options.writer.expected_partitions * share) + 1;
        options.writer.expected_rows = (uint64_t)((double)options.writer.expected_rows * share) + 1;
    }
    engine_purge_times(job->engine, &purge);
    r = scan_inputs(job, &scanner);
    if (r < 0)
        return r;
    r = purge_scanner(scanner, &purge, &scanner);
    if (r < 0)
        return r;
    return run_writer_new(job->engine, &options, scanner, &job->run);
}

int compaction_job_new(struct engine *engine, const struct view *view, unsigned table,
    const bool *chosen, unsigned level, uint64_t bytes_max, struct compaction_job **ret_job)
{
    const struct sstable_set *set = view->tables[table].sstables;
    struct compaction_job *job = calloc(1, sizeof(*job));

    if (!job)
        return -ENOMEM;
    job->engine = engine;
    job->table = table;
    job->level = level;
    job->bytes_max = bytes_max;
    job->inputs = calloc(set->count + 1, sizeof(struct sstable_handle *));
    if (!job->inputs) {
        free(job);
        return -ENOMEM;
    }
    for (size_t i = 0; i < set->count; i++) {
        if (!chosen[i])
            continue;
        job->inputs[job->count++] = sstable_handle_ref(set->handles[i]);
        job->input_bytes += set->handles[i]->entry.facts.data_bytes;
        job->garbage_bytes += atomic_load(&set->handles[i]->garbage_bytes);
    }
    *ret_job = job;
    return 0;
}

int compaction_job_new_single(struct engine *engine, const struct view *view, unsigned table,
    size_t place, uint64_t bytes_max, struct sstable_handle *const *covers, size_t cover_count,
    struct compaction_job **ret_job)
{
    const struct sstable_set *set = view->tables[table].sstables;
    AUTO(freep) bool *chosen = calloc(set->count, sizeof(*chosen));
    struct compaction_job *job;
    int r;

    if (!chosen)
        return -ENOMEM;
    chosen[place] = true;
    r = compaction_job_new(
        engine, view, table, chosen, set->handles[place]->entry.level, bytes_max, &job);
    if (r < 0)
        return r;
    job->keeps_run = true;
    if (cover_count > 0) {
        job->covers = calloc(cover_count, sizeof(struct sstable_handle *));
        if (!job->covers) {
            compaction_job_free(job);
            return -ENOMEM;
        }
        for (; job->cover_count < cover_count; job->cover_count++)
            job->covers[job->cover_count] = sstable_handle_ref(covers[job->cover_count]);
    }
    *ret_job = job;
    return 0;
}

/* ---- the end ---- */

static void free_handles(struct sstable_handle **handles, size_t count)
{
    for (size_t i = 0; handles && i < count; i++)
        sstable_handle_unref(handles[i]);
    free(handles);
}

/* Of the outputs: what was noted since the job began is still in them. What was known before is
 * gone where covers took it; else as much of it as they are smaller. */
static uint64_t garbage_left(
    const struct compaction_job *job, const struct manifest_sstable *outputs, size_t count)
{
    uint64_t garbage = 0, bytes_in = 0, bytes_out = 0, before = job->garbage_bytes, gone;

    for (size_t i = 0; i < job->count; i++) {
        garbage += atomic_load(&job->inputs[i]->garbage_bytes);
        bytes_in += job->inputs[i]->entry.facts.total_bytes;
    }
    for (size_t i = 0; i < count; i++)
        bytes_out += outputs[i].facts.total_bytes;
    gone = bytes_in > bytes_out && job->cover_count == 0 ? bytes_in - bytes_out : before;
    if (gone > before)
        gone = before;
    return garbage > gone ? garbage - gone : 0;
}

/* By tiers a job takes one range of several runs: what comes of each range is of one run again,
 * that of the newest, whose other pieces lie elsewhere. */
static uint64_t run_of_outputs(const struct compaction_job *job, uint64_t number)
{
    uint64_t newest = 0;

    if (!job->keeps_run && job->engine->tables[job->table].compaction != COMPACT_GARBAGE)
        return number;
    for (size_t i = 0; i < job->count; i++)
        if (job->inputs[i]->entry.run > newest)
            newest = job->inputs[i]->entry.run;
    return newest;
}

/* Numbers, handles and the edit for the outputs. */
static int add_outputs(struct compaction_job *job, struct manifest_edit *edit,
    struct sstable_handle **handles, size_t *ret_count)
{
    uint64_t first = manifest_next_number(job->engine->manifest);
    struct manifest_sstable *sstables;
    uint64_t run, garbage;
    size_t count;

    sstables = run_writer_sstables(job->run, &count);
    garbage = garbage_left(job, sstables, count);
    run = run_of_outputs(job, first);
    for (size_t i = 0; i < job->count; i++)
        job->inputs[i]->successor_run = run;
    for (*ret_count = 0; *ret_count < count; (*ret_count)++) {
        struct manifest_sstable *entry = &sstables[*ret_count];

        entry->number = first + *ret_count;
        entry->run = run;
        entry->garbage_bytes = garbage / count;
        handles[*ret_count] = engine_new_handle(job->engine, entry);
        if (!handles[*ret_count])
            return -ENOMEM;
        manifest_edit_add(edit, entry);
    }
    return 0;
}

static int commit_locked(struct compaction_job *job, struct sstable_handle **handles, size_t *count)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    AUTO(view_unrefp) struct view *view = NULL;
    struct engine *engine = job->engine;
    int r;

    view = view_copy(engine->views.current);
    if (!view)
        return -ENOMEM;
    for (size_t i = 0; i < job->count; i++)
        manifest_edit_retire(&edit, job->inputs[i]->entry.number);
    r = add_outputs(job, &edit, handles, count);
    if (r == 0)
        r = view_replace_sstables(view, job->table, job->inputs, job->count, handles, *count);
    if (r < 0)
        return r;
    engine_edit_clock(engine, &edit);
    r = engine_commit(engine, &edit, "record a compaction");
    /* Named or not, that is not known after a failure that is final: the files stay either way. */
    if (r == 0 || manifest_failure(engine->manifest) < 0)
        run_writer_keep(job->run);
    if (r < 0)
        return r;
    views_publish(&engine->views, view);
    view = NULL;
    return 0;
}

static int finish(struct compaction_job *job)
{
    struct engine *engine = job->engine;
    struct sstable_handle **handles;
    uint64_t written = 0;
    size_t count = 0;
    int r = run_writer_link(&job->run, 1);

    if (r < 0)
        return r;
    (void)run_writer_sstables(job->run, &count);
    handles = calloc(count + 1, sizeof(struct sstable_handle *));
    if (!handles)
        return -ENOMEM;
    mutex_lock(&engine->change);
    r = commit_locked(job, handles, &count);
    mutex_unlock(&engine->change);
    for (size_t i = 0; r == 0 && i < count; i++)
        written += handles[i]->entry.facts.total_bytes;
    free_handles(handles, count);
    if (r < 0)
        return r;
    sweeper_retire(&engine->sweeper, job->inputs, job->count);
    atomic_fetch_add(&engine->counters.compactions, 1);
    atomic_fetch_add(&engine->counters.compaction_bytes_read, job->input_bytes);
    atomic_fetch_add(&engine->counters.compaction_bytes_written, written);
    return 0;
}

int compaction_job_step(struct compaction_job *job)
{
    struct view *view = views_acquire(&job->engine->views);
    /* As of now in each step: a view kept from the begin would keep its memtables too. */
    int r = purge_scope_init(&job->purge_scope, view, job->table, NULL, job->inputs, job->count);

    if (r == 0 && !job->run)
        r = begin(job);
    if (r == 0)
        r = run_writer_step(job->run);
    purge_scope_release(&job->purge_scope);
    view_unref(view);
    return r == 0 ? finish(job) : r;
}

void compaction_job_has_no_room(struct compaction_job *job)
{
    for (size_t i = 0; job->cover_count > 0 && i < job->count; i++)
        atomic_store(
            &job->inputs[i]->garbage_bytes, atomic_load(&job->inputs[i]->garbage_bytes) / 2);
}

bool compaction_job_collects(const struct compaction_job *job)
{
    return job->cover_count > 0;
}

unsigned compaction_job_table(const struct compaction_job *job)
{
    return job->table;
}

void compaction_job_set_asked(struct compaction_job *job, uint64_t asked)
{
    job->asked = asked;
}

uint64_t compaction_job_asked(const struct compaction_job *job)
{
    return job->asked;
}

void compaction_job_suspect(struct compaction_job *job)
{
    for (size_t i = 0; i < job->count; i++)
        atomic_store(&job->inputs[i]->suspect, true);
}

void compaction_job_free(struct compaction_job *job)
{
    if (!job)
        return;
    run_writer_free(job->run);
    free_handles(job->inputs, job->count);
    free_handles(job->covers, job->cover_count);
    free(job);
}
