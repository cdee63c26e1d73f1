/*
 * What a manifest should say, from what is there:
 *
 *   1. data/      each SSTable that is whole and that trash/released does not name
 *   2. snapshots/ each folder with a good snapshot.json; what only it names is not live
 *   3. the log    how far tables are flushed, as its notes and its missing values tell, and where
 *                 earlier recoveries cut it. Less than was flushed is no harm: replay is idempotent
 *
 * An SSTable that goes beyond the log was being flushed when the power failed: half a batch. It is
 * left out, as all it has that counts is in the log.
 *
 * Levels are not known: all begin at level 0. Nor are expiry and holds of snapshots.
 */
#include "repairing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "engine/error.h"
#include "released.h"
#include "state.h"

#define PATH_BYTES (DATA_FOLDER_MAX + SSTABLE_FILE_NAME_MAX + SNAPSHOT_TAG_MAX + 16)

/* One that lies in data/. */
struct candidate {
    unsigned table;
    struct sstable_id id;
    unsigned components; /* a bit each */
    bool released;
    bool taken;
    struct sstable_facts facts;
};

struct rebuild {
    struct repair *repair;
    struct env *env;
    unsigned table; /* being listed */
    struct candidate *candidates;
    size_t count;
    int64_t newest_us[ENGINE_TABLES_MAX]; /* of the tables' SSTables */

    struct commitlog_survey survey;
    struct commitlog_replay_result log;
    int64_t log_first_us, log_last_us; /* of its batches */
    uint64_t batches;

    struct manifest_snapshot *snapshots; /* their lists: places in the state, plus 1 */
    size_t snapshot_count;
};

/* ---- data/ ---- */

static struct candidate *candidate_of(
    struct rebuild *rebuild, unsigned table, const struct sstable_id *id)
{
    for (size_t i = 0; i < rebuild->count; i++)
        if (rebuild->candidates[i].table == table &&
            strcmp(rebuild->candidates[i].id.text, id->text) == 0)
            return &rebuild->candidates[i];
    return NULL;
}

static int note_component(void *arg, const char *name)
{
    struct rebuild *rebuild = arg;
    enum sstable_component component;
    struct candidate *candidate, *grown;
    struct sstable_id id;

    if (!sstable_parse_file_name(name, &id, &component))
        return 0;
    candidate = candidate_of(rebuild, rebuild->table, &id);
    if (!candidate) {
        grown = reallocarray(rebuild->candidates, rebuild->count + 1, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        rebuild->candidates = grown;
        candidate = &grown[rebuild->count++];
        *candidate = (struct candidate){.table = rebuild->table, .id = id};
    }
    candidate->components |= 1u << component;
    return 0;
}

static int note_released(void *arg, const char *table_folder, const struct sstable_id *id)
{
    struct rebuild *rebuild = arg;
    struct repair *repair = rebuild->repair;

    for (unsigned i = 0; i < repair->table_count; i++) {
        char folder[TABLE_FOLDER_NAME_MAX + 1];
        struct candidate *candidate;

        table_folder_name(&repair->tables[i], folder);
        candidate = strcmp(folder, table_folder) == 0 ? candidate_of(rebuild, i, id) : NULL;
        if (candidate)
            candidate->released = true;
    }
    return 0;
}

static int list_tables(struct rebuild *rebuild)
{
    struct repair *repair = rebuild->repair;
    int r = 0;

    for (unsigned i = 0; r == 0 && i < repair->table_count; i++) {
        char folder[DATA_FOLDER_MAX + 1];

        rebuild->table = i;
        engine_data_folder(&repair->tables[i], folder);
        r = io_list(rebuild->env, folder, note_component, rebuild);
        if (r < 0)
            return err_with(r, "list '%s'", folder);
    }
    if (r == 0)
        r = released_read(rebuild->env, note_released, rebuild);
    if (!err_is_damage(r))
        return r;
    repair_tell(
        repair, true, "%s: what it named may be taken: deleted rows may come back", err_text(r));
    return 0;
}

static bool is_whole(const struct candidate *candidate)
{
    return candidate->components >> COMPONENT_TOC & 1;
}

/* Its files, to be moved out of the way. */
static int lose_sstable(struct rebuild *rebuild, const struct candidate *candidate)
{
    char folder[DATA_FOLDER_MAX + 1];
    int r = 0;

    engine_data_folder(&rebuild->repair->tables[candidate->table], folder);
    for (unsigned c = 0; r == 0 && c < COMPONENT_COUNT; c++) {
        char name[SSTABLE_FILE_NAME_MAX + 1], path[PATH_BYTES];

        if (!(candidate->components >> c & 1))
            continue;
        sstable_file_name(&candidate->id, (enum sstable_component)c, name);
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        r = repair_lose(rebuild->repair, path);
    }
    return r;
}

static int open_candidate(struct rebuild *rebuild, struct candidate *candidate)
{
    const struct table_schema *schema = &rebuild->repair->tables[candidate->table];
    int64_t *newest_us = &rebuild->newest_us[candidate->table];
    struct sstable *sstable = NULL;
    char folder[DATA_FOLDER_MAX + 1];
    int r;

    engine_data_folder(schema, folder);
    r = sstable_open(rebuild->env, folder, &candidate->id, schema, NULL, &sstable);
    if (err_is_damage(r)) {
        repair_tell(rebuild->repair, true,
            "%s: SSTable nb-%s-big does not open, and is left out: its rows are lost, and what it "
            "deleted may come back: %s",
            schema->name, candidate->id.text, err_text(r));
        return lose_sstable(rebuild, candidate);
    }
    if (r < 0)
        return r;
    candidate->facts = *sstable_facts(sstable);
    candidate->taken = true;
    if (candidate->facts.max_timestamp_us > *newest_us)
        *newest_us = candidate->facts.max_timestamp_us;
    sstable_unref(sstable);
    return 0;
}

static int open_candidates(struct rebuild *rebuild)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < rebuild->count; i++)
        if (is_whole(&rebuild->candidates[i]) && !rebuild->candidates[i].released)
            r = open_candidate(rebuild, &rebuild->candidates[i]);
    return r;
}

/* ---- the log ---- */

static int note_batch(void *arg, uint64_t position, int64_t timestamp_us, struct bytes updates,
    unsigned update_count, struct record_memory *memory)
{
    struct rebuild *rebuild = arg;

    (void)position, (void)updates, (void)update_count, (void)memory;
    if (rebuild->batches++ == 0)
        rebuild->log_first_us = timestamp_us;
    rebuild->log_last_us = timestamp_us;
    return 0;
}

/* The log ends there, so nothing is flushed beyond: whatever table seemed to be, when it was asked
 * for its values of the same record, was only about to be. */
static int end_at(struct rebuild *rebuild, uint64_t position)
{
    for (unsigned i = 0; i < rebuild->repair->table_count; i++)
        if (rebuild->survey.flushed[i] > position)
            rebuild->survey.flushed[i] = position;
    return HOLE_ENDS;
}

/* The large values of a table are written over when it is flushed beyond their record. */
static int take_as_flushed(struct rebuild *rebuild, const struct commitlog_hole *hole)
{
    unsigned table = (unsigned)__builtin_ctzll(hole->missing);

    if (table >= rebuild->repair->table_count)
        return repair_step_over(rebuild->repair, hole);
    if (rebuild->newest_us[table] < hole->timestamp_us) {
        if (!hole->durable)
            return end_at(rebuild, hole->position);
        repair_tell(rebuild->repair, true,
            "log: large values of '%s' are in no segment, and no SSTable is so new: they were "
            "deleted since, or are lost",
            rebuild->repair->tables[table].name);
    }
    rebuild->survey.flushed[table] = hole->record_end;
    return HOLE_AGAIN;
}

static int judge_hole(void *arg, const struct commitlog_hole *hole)
{
    struct rebuild *rebuild = arg;

    return hole->missing ? take_as_flushed(rebuild, hole) : repair_step_over(rebuild->repair, hole);
}

static int read_log(struct rebuild *rebuild)
{
    static const struct commitlog_visitor visitor = {.batch = note_batch, .hole = judge_hole};
    struct commitlog_survey *survey = &rebuild->survey;
    struct repair *repair = rebuild->repair;
    struct manifest_state *state = &repair->state;
    int r = commitlog_survey(rebuild->env, repair->identity.uuid, NULL, survey);

    for (unsigned i = 0; r == 0 && i < survey->cut_count; i++)
        r = repair_add_cut(repair, survey->cuts[i].from_position, survey->cuts[i].to_segment);
    if (r == 0)
        r = commitlog_visit(rebuild->env, repair->identity.uuid,
            (struct commitlog_flushed){survey->flushed, repair->table_count}, survey->cuts,
            survey->cut_count, &visitor, rebuild, &rebuild->log);
    if (r < 0)
        return r;
    memcpy(state->flushed, survey->flushed, sizeof(state->flushed));
    state->next_segment = rebuild->log.next_segment;
    state->last_timestamp_us = rebuild->log.last_timestamp_us;
    repair_tell(repair, false, "log: %" PRIu64 " batches in %u segments are replayed",
        rebuild->batches, survey->segments);
    if (survey->segments > 0 && !survey->has_note)
        repair_tell(repair, false,
            "log: of an earlier version, which does not tell how far it is flushed: all of it is");
    if (rebuild->log.dropped_bytes > 0)
        repair_tell(repair, false, "log: %" PRIu64 " bytes at its end were never synced",
            rebuild->log.dropped_bytes);
    return 0;
}

/* ---- which are live ---- */

/* All it has that counts is in the log, and it has something that does not. */
static bool goes_beyond_log(const struct rebuild *rebuild, const struct sstable_facts *facts)
{
    return rebuild->batches > 0 && facts->max_timestamp_us > rebuild->log.last_timestamp_us &&
           facts->min_timestamp_us >= rebuild->log_first_us - 1;
}

static int append_sstable(struct rebuild *rebuild, const struct manifest_sstable *sstable)
{
    struct manifest_state *state = &rebuild->repair->state;
    struct manifest_sstable *grown =
        reallocarray(state->sstables, state->sstable_count + 1, sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    state->sstables = grown;
    grown[state->sstable_count++] = *sstable;
    if (sstable->facts.max_timestamp_us > state->last_timestamp_us)
        state->last_timestamp_us = sstable->facts.max_timestamp_us;
    return 0;
}

struct table_count {
    uint64_t taken, bytes, released, partial;
};

static int take_candidate(
    struct rebuild *rebuild, struct candidate *candidate, struct table_count *count)
{
    const char *table = rebuild->repair->tables[candidate->table].name;
    struct manifest_sstable sstable = {.table = candidate->table, .live = true};

    count->released += candidate->released;
    count->partial += !candidate->released && !is_whole(candidate);
    if (!candidate->taken)
        return 0;
    if (goes_beyond_log(rebuild, &candidate->facts)) {
        repair_tell(rebuild->repair, false,
            "%s: SSTable nb-%s-big was being made when the log ended, and is left out", table,
            candidate->id.text);
        return lose_sstable(rebuild, candidate);
    }
    count->taken++;
    count->bytes += candidate->facts.total_bytes;
    sstable.facts = candidate->facts;
    return append_sstable(rebuild, &sstable);
}

static int take_table(struct rebuild *rebuild, unsigned table)
{
    const char *name = rebuild->repair->tables[table].name;
    struct table_count count = {0};
    int r = 0;

    for (size_t i = 0; r == 0 && i < rebuild->count; i++)
        if (rebuild->candidates[i].table == table)
            r = take_candidate(rebuild, &rebuild->candidates[i], &count);
    repair_tell(rebuild->repair, false, "%s: %" PRIu64 " SSTables, %" PRIu64 " bytes", name,
        count.taken, count.bytes);
    if (count.released > 0)
        repair_tell(rebuild->repair, false,
            "%s: %" PRIu64 " SSTables that were replaced, and being deleted, are left out", name,
            count.released);
    if (count.partial > 0)
        repair_tell(rebuild->repair, false,
            "%s: %" PRIu64 " SSTables that are not whole are left out", name, count.partial);
    return r;
}

/* ---- snapshots/ ---- */

/* The place in the state of one that a snapshot names; it becomes one that is not live if new. */
static int place_of(
    struct rebuild *rebuild, const struct manifest_sstable *wanted, uint64_t *ret_place)
{
    struct manifest_state *state = &rebuild->repair->state;
    struct manifest_sstable sstable = {.table = wanted->table, .facts = wanted->facts};
    int r;

    for (size_t i = 0; i < state->sstable_count; i++) {
        if (state->sstables[i].table != wanted->table ||
            strcmp(state->sstables[i].facts.id.text, wanted->facts.id.text) != 0)
            continue;
        *ret_place = i + 1;
        return 0;
    }
    r = append_sstable(rebuild, &sstable);
    *ret_place = state->sstable_count;
    return r;
}

static int append_snapshot(
    struct rebuild *rebuild, const char *tag, const struct snapshot_facts *facts)
{
    struct manifest_snapshot snapshot = {.position = facts->log_position,
        .point_us = facts->point_us,
        .created_us = facts->created_us,
        .complete = true};
    struct manifest_snapshot *grown =
        reallocarray(rebuild->snapshots, rebuild->snapshot_count + 1, sizeof(*grown));
    int r = 0;

    if (!grown)
        return -ENOMEM;
    rebuild->snapshots = grown;
    strcpy(snapshot.tag, tag);
    snapshot.sstables = calloc(facts->count + 1, sizeof(*snapshot.sstables));
    if (!snapshot.sstables)
        return -ENOMEM;
    for (; r == 0 && snapshot.sstable_count < facts->count; snapshot.sstable_count++)
        r = place_of(rebuild, &facts->sstables[snapshot.sstable_count],
            &snapshot.sstables[snapshot.sstable_count]);
    grown[rebuild->snapshot_count++] = snapshot;
    return r;
}

static int take_snapshot(void *arg, const char *tag)
{
    AUTO(snapshot_facts_release) struct snapshot_facts facts = {0};
    struct rebuild *rebuild = arg;
    struct repair *repair = rebuild->repair;
    char folder[SNAPSHOT_PATH_MAX];
    int r;

    if (!snapshot_tag_is_valid(tag))
        return 0;
    snapshot_tag_folder(tag, folder);
    r = snapshot_json_read(rebuild->env, folder, repair->tables, repair->table_count, &facts);
    if (r == 0 && memcmp(facts.store.uuid, repair->identity.uuid, sizeof(facts.store.uuid)) != 0)
        r = err_new(-EUCLEAN, "it is of another store");
    if (r == -ENOENT || err_is_damage(r)) {
        repair_tell(repair, true, "snapshot '%s' is put aside: %s", tag, err_text(r));
        return repair_lose(repair, folder);
    }
    if (r < 0)
        return r;
    if ((int64_t)facts.point_us > repair->state.last_timestamp_us)
        repair->state.last_timestamp_us = (int64_t)facts.point_us;
    repair_tell(
        repair, false, "snapshot '%s' stays; until when, and held by whom, is not known", tag);
    return append_snapshot(rebuild, tag, &facts);
}

/* ---- numbers ---- */

struct order {
    const struct sstable_id *id; /* begins with when it was made */
    size_t place;
};

static int compare_orders(const void *a, const void *b)
{
    return strcmp(((const struct order *)a)->id->text, ((const struct order *)b)->id->text);
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;

    return *left < *right ? -1 : *left > *right;
}

static int compare_sstables(const void *a, const void *b)
{
    const struct manifest_sstable *left = a, *right = b;

    return compare_numbers(&left->number, &right->number);
}

static int compare_snapshots(const void *a, const void *b)
{
    const struct manifest_snapshot *left = a, *right = b;

    return compare_numbers(&left->created_us, &right->created_us);
}

/* Numbers rise with age, as in service: SSTables first, then snapshots. */
static int give_numbers(struct rebuild *rebuild)
{
    struct manifest_state *state = &rebuild->repair->state;
    AUTO(freep) struct order *orders = calloc(state->sstable_count + 1, sizeof(*orders));

    if (!orders)
        return -ENOMEM;
    for (size_t i = 0; i < state->sstable_count; i++)
        orders[i] = (struct order){&state->sstables[i].facts.id, i};
    qsort(orders, state->sstable_count, sizeof(*orders), compare_orders);
    for (size_t i = 0; i < state->sstable_count; i++)
        state->sstables[orders[i].place].number = state->sstables[orders[i].place].run = i + 1;
    state->next_number = state->sstable_count + 1;

    if (rebuild->snapshot_count > 0)
        qsort(rebuild->snapshots, rebuild->snapshot_count, sizeof(*rebuild->snapshots),
            compare_snapshots);
    for (size_t i = 0; i < rebuild->snapshot_count; i++) {
        struct manifest_snapshot *snapshot = &rebuild->snapshots[i];

        snapshot->number = state->next_number++;
        for (size_t j = 0; j < snapshot->sstable_count; j++)
            snapshot->sstables[j] = state->sstables[snapshot->sstables[j] - 1].number;
        qsort(snapshot->sstables, snapshot->sstable_count, sizeof(*snapshot->sstables),
            compare_numbers);
    }
    if (state->sstable_count > 0)
        qsort(state->sstables, state->sstable_count, sizeof(*state->sstables), compare_sstables);
    return 0;
}

/* ---- */

static int rebuild_all(struct rebuild *rebuild)
{
    struct repair *repair = rebuild->repair;
    int r = list_tables(rebuild);

    if (r == 0)
        r = open_candidates(rebuild);
    if (r == 0)
        r = read_log(rebuild);
    for (unsigned i = 0; r == 0 && i < repair->table_count; i++)
        r = take_table(rebuild, i);
    if (r == 0)
        r = io_list(rebuild->env, "snapshots", take_snapshot, rebuild);
    if (r == -ENOENT)
        r = 0;
    return r < 0 ? r : give_numbers(rebuild);
}

int manifest_rebuild(struct repair *repair)
{
    struct rebuild rebuild = {.repair = repair, .env = repair->env};
    int r;

    repair->state.table_count = repair->table_count;
    for (unsigned i = 0; i < ENGINE_TABLES_MAX; i++)
        rebuild.newest_us[i] = INT64_MIN;
    r = rebuild_all(&rebuild);
    repair->state.snapshots = rebuild.snapshots;
    repair->state.snapshot_count = rebuild.snapshot_count;
    free(rebuild.candidates);
    commitlog_survey_release(&rebuild.survey);
    return r < 0 ? err_with(r, "rebuild the manifest") : 0;
}
