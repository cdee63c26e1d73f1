#include "compaction/task.h"

#include "engine/error.h"
#include "engine/log.h"
#include "rows/merge.h"
#include "rows/shadow.h"
#include "run_writer.h"
#include "state.h"

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
    struct garbage garbage; /* what is known of the outputs then */
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
}

/* All of `handles` merged, from the first token to the last. */
static int scan_merged(struct compaction_job *job, struct sstable_handle *const *handles,
    size_t count, int64_t first_token, int64_t last_token, struct partition_scanner **ret_scanner)
{
    const struct table_schema *schema = &job->engine->tables[job->table];
    struct partition_scanner **scanners = calloc(count, sizeof(struct partition_scanner *));
    size_t open = 0;
    int r = scanners ? 0 : -ENOMEM;

    for (; r == 0 && open < count; open += r == 0) {
        struct sstable *sstable;

        r = sstable_handle_open(handles[open], &sstable);
        if (r == 0)
            r = sstable_scan(sstable, first_token, last_token, &scanners[open]);
    }
    if (r == 0) {
        r = merge_scanners(schema, scanners, (unsigned)count, ret_scanner);
        open = 0;
    }
    while (open > 0)
        scanner_close(scanners[--open]);
    free(scanners);
    return r;
}

static int scan_inputs(struct compaction_job *job, struct partition_scanner **ret_scanner)
{
    const struct sstable_facts *facts = &job->inputs[0]->entry.facts;
    struct partition_scanner *inputs, *covers;
    int r;

    r = scan_merged(job, job->inputs, job->count, INT64_MIN, INT64_MAX, &inputs);
    if (r < 0)
        return r;
    if (job->cover_count == 0) {
        *ret_scanner = inputs;
        return 0;
    }
    r = scan_merged(
        job, job->covers, job->cover_count, facts->first_token, facts->last_token, &covers);
    if (r < 0) {
        scanner_close(inputs);
        return r;
    }
    return shadow_scanner(inputs, covers, ret_scanner);
}

static int begin(struct compaction_job *job)
{
    struct run_writer_options options = {
        .table = job->table,
        .level = job->level,
        .bytes_max = job->bytes_max,
        .compacted = !job->keeps_run || job->inputs[0]->entry.compacted,
        .writer = {0, INT64_MAX, LOCAL_DELETION_TIME_NONE, INT32_MAX},
    };
    struct purge purge = {.max_purgeable = purge_scope_max_purgeable, .arg = &job->purge_scope};
    struct partition_scanner *scanner = NULL;
    int r;

    for (size_t i = 0; i < job->count; i++)
        note_bases(&options.writer, &job->inputs[i]->entry.facts);
    /* The filter of a piece need not hold what goes into the others. */
    if (job->input_bytes > job->bytes_max)
        options.writer.expected_partitions =
            (uint64_t)((double)options.writer.expected_partitions *
                       ((double)job->bytes_max / (double)job->input_bytes)) +
            1;
    engine_purge_times(job->engine, &purge);
    r = scan_inputs(job, &scanner);
    if (r < 0)
        return r;
    r = purge_scanner(scanner, &purge, &scanner);
    if (r < 0)
        return r;
    return run_writer_new(job->engine, &options, scanner, &job->run);
}

/* Of a merge nothing is known that was not of all inputs. */
static void note_garbage(struct compaction_job *job, const struct garbage *input)
{
    struct garbage *garbage = &job->garbage;

    if (input->lineage > garbage->lineage)
        garbage->lineage = input->lineage;
    if (input->surveyed < garbage->surveyed)
        garbage->surveyed = input->surveyed;
    if (input->collected < garbage->collected)
        garbage->collected = input->collected;
    garbage->bytes += input->bytes;
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
    job->garbage = (struct garbage){.surveyed = UINT64_MAX, .collected = UINT64_MAX};
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
        note_garbage(job, &set->handles[i]->garbage);
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
        job->garbage.bytes = 0;
        job->garbage.collected = job->garbage.surveyed;
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

/* Numbers, handles and the edit for the outputs. */
static int add_outputs(struct compaction_job *job, struct manifest_edit *edit,
    struct sstable_handle **handles, size_t *ret_count)
{
    uint64_t first = manifest_next_number(job->engine->manifest);
    struct manifest_sstable *sstables;
    size_t count;

    sstables = run_writer_sstables(job->run, &count);
    for (*ret_count = 0; *ret_count < count; (*ret_count)++) {
        struct manifest_sstable *entry = &sstables[*ret_count];

        entry->number = first + *ret_count;
        entry->run = job->keeps_run ? job->inputs[0]->entry.run : first;
        handles[*ret_count] = engine_new_handle(job->engine, entry);
        if (!handles[*ret_count])
            return -ENOMEM;
        handles[*ret_count]->garbage = job->garbage;
        handles[*ret_count]->garbage.bytes /= count;
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
    r = manifest_commit(engine->manifest, &edit);
    /* Named or not, that is not known after a failure: the files stay either way. */
    run_writer_keep(job->run);
    if (r < 0) {
        engine_fail(engine, r, "record a compaction");
        return r;
    }
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
    int r = run_writer_link(job->run);

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
    for (size_t i = 0; i < job->count; i++)
        sweeper_retire(&engine->sweeper, job->inputs[i]);
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
        job->inputs[i]->garbage.bytes /= 2;
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
