#include "compaction/garbage.h"

#include "compaction/task.h"
#include "engine/error.h"
#include "engine/log.h"
#include "sstable/reader.h"
#include "state.h"

static bool is_suspect(const struct sstable_handle *handle)
{
    return atomic_load(&handle->suspect);
}

/* Whether tombstones of `cover` may delete rows of `handle`, as far as numbers can tell. */
static bool may_cover(const struct sstable_handle *cover, const struct sstable_handle *handle)
{
    const struct sstable_facts *above = &cover->entry.facts, *below = &handle->entry.facts;

    return cover != handle && !is_suspect(cover) && !is_suspect(handle) && above->tombstones > 0 &&
           above->max_timestamp_us >= below->min_timestamp_us &&
           above->first_token <= below->last_token && above->last_token >= below->first_token;
}

/* ---- the survey ---- */

/* What a partition deletes elsewhere. */
struct deletes {
    bool partition;
    bool range;
    int64_t partition_us;
    uint64_t rows; /* of which something is deleted */
};

static bool row_deletes(const struct row *row)
{
    if (!deletion_is_live(row->deletion) || row->complex_deletion_count > 0)
        return true;
    for (uint32_t i = 0; i < row->cell_count; i++)
        if (cell_is_tombstone(&row->cells[i]))
            return true;
    return false;
}

static int look_at_partition(struct partition_iterator *partition, struct deletes *deletes)
{
    const struct unfiltered *next;
    int r;

    *deletes = (struct deletes){
        .partition = !deletion_is_live(partition->deletion),
        .partition_us = partition->deletion.marked_for_delete_at_us,
        .rows = partition->static_row && row_deletes(partition->static_row),
    };
    while ((r = partition_next(partition, &next)) > 0) {
        if (next->is_marker)
            deletes->range = true;
        else
            deletes->rows += row_deletes(&next->row);
    }
    return r;
}

/* About the bytes of `handle` that go by it. */
static int count_garbage(
    struct sstable_handle *handle, const struct decorated_key *key, const struct deletes *deletes)
{
    const struct sstable_facts *facts = &handle->entry.facts;
    uint64_t bytes, of_rows;
    struct sstable *sstable;
    int r;

    if (key->token < facts->first_token || key->token > facts->last_token)
        return 0;
    r = sstable_handle_open(handle, &sstable);
    if (r == 0)
        r = sstable_partition_bytes(sstable, key, &bytes);
    if (r <= 0)
        return r;
    if (!deletes->partition || deletes->partition_us < facts->min_timestamp_us) {
        of_rows = facts->rows > 0 ? facts->stream_bytes / facts->rows * deletes->rows : 0;
        if (deletes->range)
            bytes /= 2; /* more is not known of a range */
        else if (bytes > of_rows)
            bytes = of_rows;
    }
    if (facts->stream_bytes > 0)
        bytes =
            (uint64_t)((double)bytes * (double)facts->total_bytes / (double)facts->stream_bytes);
    handle->garbage.bytes += bytes;
    if (handle->garbage.bytes > facts->total_bytes)
        handle->garbage.bytes = facts->total_bytes;
    return 0;
}

static bool is_to_survey(const struct sstable_handle *cover, const struct sstable_handle *handle)
{
    return handle->garbage.surveyed < cover->garbage.lineage && may_cover(cover, handle);
}

/* What cannot be read is left alone by all that follows. */
static void met(struct sstable_handle *handle, int r)
{
    if (!err_is_damage(r))
        return;
    log_error("op=survey sstable=%s: %s", handle->entry.facts.id.text, err_text(r));
    atomic_store(&handle->suspect, true);
}

static int survey_partition(const struct sstable_set *set, struct sstable_handle *cover,
    struct partition_iterator *partition)
{
    struct deletes deletes;
    int r = look_at_partition(partition, &deletes);

    if (r < 0) {
        met(cover, r);
        return r;
    }
    if (!deletes.partition && !deletes.range && deletes.rows == 0)
        return 0;
    for (size_t i = 0; i < set->count; i++) {
        struct sstable_handle *handle = set->handles[i];

        if (!is_to_survey(cover, handle))
            continue;
        r = count_garbage(handle, &partition->key, &deletes);
        if (r < 0)
            met(handle, r);
        if (r == -ENOMEM)
            return r;
    }
    return 0;
}

static int survey_one(const struct sstable_set *set, struct sstable_handle *cover)
{
    AUTO(scanner_closep) struct partition_scanner *scanner = NULL;
    struct partition_iterator *partition;
    struct sstable *sstable;
    int r = sstable_handle_open(cover, &sstable);

    if (r == 0)
        r = sstable_scan(sstable, INT64_MIN, INT64_MAX, &scanner);
    if (r < 0) {
        met(cover, r);
        return r;
    }
    for (;;) {
        r = scanner_next(scanner, &partition);
        if (r < 0)
            met(cover, r);
        if (r <= 0)
            return r;
        r = survey_partition(set, cover, partition);
        if (r < 0)
            return r;
    }
}

/* The lowest lineage of tombstones that some SSTable was not surveyed against; 0: none. */
static uint64_t next_lineage(const struct sstable_set *set)
{
    uint64_t lowest = 0;

    for (size_t i = 0; i < set->count; i++) {
        uint64_t lineage = set->handles[i]->garbage.lineage;

        for (size_t j = 0; j < set->count && (lowest == 0 || lineage < lowest); j++)
            if (is_to_survey(set->handles[i], set->handles[j]))
                lowest = lineage;
    }
    return lowest;
}

int garbage_survey(const struct view *view, unsigned table)
{
    const struct sstable_set *set = view->tables[table].sstables;
    uint64_t lineage = next_lineage(set);

    if (lineage == 0)
        return 0;
    for (size_t i = 0; i < set->count; i++) {
        struct sstable_handle *cover = set->handles[i];

        if (cover->garbage.lineage == lineage && cover->entry.facts.tombstones > 0 &&
            !is_suspect(cover) && survey_one(set, cover) == -ENOMEM)
            return -ENOMEM;
    }
    for (size_t i = 0; i < set->count; i++)
        if (set->handles[i]->garbage.surveyed < lineage)
            set->handles[i]->garbage.surveyed = lineage;
    return 1;
}

/* ---- jobs ---- */

static int collect(struct compaction *compaction, const struct view *view, unsigned table,
    size_t place, uint64_t bytes_max)
{
    const struct sstable_set *set = view->tables[table].sstables;
    struct sstable_handle *handle = set->handles[place];
    AUTO(freep) struct sstable_handle **covers = calloc(set->count, sizeof(*covers));
    size_t count = 0;
    int r;

    if (!covers)
        return -ENOMEM;
    for (size_t i = 0; i < set->count; i++)
        if (set->handles[i]->garbage.lineage > handle->garbage.collected &&
            may_cover(set->handles[i], handle))
            covers[count++] = set->handles[i];
    /* Those that deleted were purged since, as something else holds them now; or are damaged. */
    if (count == 0) {
        handle->garbage.bytes = 0;
        return 0;
    }
    r = compaction_job_new_single(
        compaction->engine, view, table, place, bytes_max, covers, count, &compaction->job);
    return r < 0 ? r : 1;
}

int garbage_choose(struct compaction *compaction, const struct view *view, unsigned table,
    struct strategy_sstable *sstables, const struct strategy_limits *limits)
{
    size_t count = view->tables[table].sstables->count, place;
    int r = 0;

    while (r == 0 && strategy_choose_collection(sstables, count, limits, &place)) {
        r = collect(compaction, view, table, place, limits->piece_bytes);
        sstables[place].skip = true;
    }
    if (r != 0 || !strategy_choose_outdated(sstables, count, limits, &place))
        return r;
    r = compaction_job_new_single(
        compaction->engine, view, table, place, limits->piece_bytes, NULL, 0, &compaction->job);
    return r < 0 ? r : 1;
}
