/*
 *   1. List the segments from that of the position on, each once, and the cuts that their notes
 *      tell: where the log ended before a daemon that began a segment.
 *   2. Record after record: an END leads to the segment with the next id, a cut to the one that
 *      goes on. The first record that is too late ends it: timestamps ascend along the log, and a
 *      NOTE has one of its own.
 *   3. Where no good record is: the end, if nothing says that something was there once: a SYNC
 *      record behind it, a flush, a segment behind it that was archived, or that another daemon
 *      began; else damage. Slots behind the end are those of a daemon that the power was cut under.
 */
#include "commitlog/archive_walk.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "commitlog/archive.h"
#include "commitlog/reader.h"
#include "commitlog/survey.h"
#include "engine/error.h"

/* In the place of a slot's number. */
#define ARCHIVED UINT_MAX

struct walker {
    const struct archive_walk *plan;
    int (*each)(void *arg, int64_t timestamp_us, struct bytes updates, unsigned update_count);
    void *arg;

    struct segment_place *places; /* ids ascend */
    size_t count;
    struct commitlog_cut *cuts; /* by segment */
    size_t cut_count;
    struct segment_reader reader;
    uint64_t position;
    struct archive_walk_result result;
};

/* ---- what there is ---- */

static int add_place(struct walker *walker, const struct segment_place *place)
{
    if (memcmp(place->header.store_uuid, walker->plan->store_uuid, 16) != 0)
        return err_new(-EPROTO, "'%s' is a log of another store", place->path);
    if (place->header.id < position_segment(walker->plan->from_position))
        return 0;
    walker->places[walker->count++] = *place;
    return 0;
}

static int add_archived(struct walker *walker, uint64_t segment)
{
    const char *folder = walker->plan->folder;
    struct segment_place place = {0};
    char name[ARCHIVE_NAME_BYTES];
    int r;

    place.slot = ARCHIVED;
    archive_name(segment, name);
    snprintf(place.path, sizeof(place.path), "%s%s%s", folder, *folder ? "/" : "", name);
    r = segment_read_header(walker->plan->env, place.path, &place.header);
    if (r < 0)
        return r;
    if (r == 0 || place.header.id != segment)
        return err_new(-EUCLEAN, "'%s' does not begin as segment %016" PRIx64 " of a log",
            place.path, segment);
    return add_place(walker, &place);
}

static int compare_places(const void *a, const void *b)
{
    const struct segment_place *left = a, *right = b;

    if (left->header.id != right->header.id)
        return left->header.id < right->header.id ? -1 : 1;
    return left->slot > right->slot ? -1 : left->slot < right->slot;
}

/* Each once: in a slot and in the archive it is the same file, which counts as archived. */
static void sort_places(struct walker *walker)
{
    size_t count = 0;

    qsort(walker->places, walker->count, sizeof(*walker->places), compare_places);
    for (size_t i = 0; i < walker->count; i++)
        if (count == 0 || walker->places[count - 1].header.id != walker->places[i].header.id)
            walker->places[count++] = walker->places[i];
    walker->count = count;
}

static int list_places(struct walker *walker, const struct archive_list *archived)
{
    struct segment_list slots = {0};
    int r = 0;

    if (walker->plan->with_slots)
        r = segment_list(walker->plan->env, NULL, &slots);
    walker->places = calloc(archived->count + slots.count + 1, sizeof(*walker->places));
    if (!walker->places)
        r = -ENOMEM;
    for (size_t i = 0; r == 0 && i < archived->count; i++)
        if (archived->segments[i] >= position_segment(walker->plan->from_position))
            r = add_archived(walker, archived->segments[i]);
    for (unsigned i = 0; r == 0 && i < slots.count; i++)
        r = add_place(walker, &slots.all[i]);
    segment_list_release(&slots);
    if (r == 0)
        sort_places(walker);
    return r;
}

static int list_cuts(struct walker *walker)
{
    walker->cuts = calloc(walker->count + 1, sizeof(*walker->cuts));
    if (!walker->cuts)
        return -ENOMEM;
    for (size_t i = 0; i < walker->count; i++) {
        const struct segment_place *place = &walker->places[i];
        struct segment_note note;
        int r = commitlog_read_note(walker->plan->env, place, &note);

        if (r < 0)
            return r;
        if (r > 0 && note.begins && note.cut_from > 0 &&
            note.cut_from < position_of(place->header.id, 0))
            walker->cuts[walker->cut_count++] =
                (struct commitlog_cut){note.cut_from, place->header.id};
    }
    return 0;
}

static int look(struct walker *walker)
{
    AUTO(archive_list_release) struct archive_list archived = {0};
    int r = archive_list(walker->plan->env, walker->plan->folder, &archived);

    if (r == 0)
        r = list_places(walker, &archived);
    return r < 0 ? r : list_cuts(walker);
}

/* ---- from segment to segment ---- */

/* Where one of the cuts leads that the position lies in; 0: it lies in none. */
static uint64_t leads_to(const struct commitlog_cut *cuts, size_t count, uint64_t position)
{
    for (size_t i = 0; i < count; i++)
        if (position >= cuts[i].from_position && position < position_of(cuts[i].to_segment, 0))
            return position_of(cuts[i].to_segment, 0);
    return 0;
}

static void skip_cuts(struct walker *walker)
{
    const struct archive_walk *plan = walker->plan;
    uint64_t to;

    do {
        to = leads_to(walker->cuts, walker->cut_count, walker->position);
        if (!to)
            to = leads_to(plan->cuts, plan->cut_count, walker->position);
        if (to)
            walker->position = to;
    } while (to);
}

static bool is_last(const struct walker *walker, uint64_t segment)
{
    return walker->count == 0 || walker->places[walker->count - 1].header.id <= segment;
}

static int refuse_missing(uint64_t segment)
{
    return err_new(-EUCLEAN,
        "segment %016" PRIx64 " of the log is missing: it was removed, or logged without "
        "archive=on, or the store was rolled back then",
        segment);
}

/* 1: what comes behind the position proves that it had reached the device. */
static int was_durable(struct walker *walker);

/* 1; 0: the log ends before it. */
static int enter(struct walker *walker)
{
    uint64_t wanted = position_segment(walker->position);
    int r;

    for (size_t i = 0; i < walker->count; i++) {
        if (walker->places[i].header.id != wanted)
            continue;
        r = segment_reader_open(&walker->reader, &walker->places[i]);
        if (position_offset(walker->position) < SEGMENT_HEADER_BYTES)
            walker->position = position_of(wanted, SEGMENT_HEADER_BYTES);
        return r < 0 ? r : 1;
    }
    /* A log with nothing in it is one whose slots say so; a folder without may be any. */
    if (is_last(walker, wanted) && (walker->reader.id || walker->plan->with_slots))
        return 0;
    r = walker->plan->with_slots ? was_durable(walker) : 1;
    return r > 0 ? refuse_missing(wanted) : r;
}

/* ---- records ---- */

static int refuse(const struct walker *walker)
{
    return err_new(-EUCLEAN,
        "the log is damaged: no good record in segment %016" PRIx64 " at %" PRIu64
        ", though the log goes on behind it",
        position_segment(walker->position), position_offset(walker->position));
}

/* 1: a good SYNC record of the open segment, from the offset on, says that the position was on the
 * device: the one kind that says what had reached it. */
static int find_sync(struct walker *walker, uint64_t offset)
{
    for (;; offset += RECORD_ALIGN) {
        const uint8_t *bytes;
        struct record record;
        int r = segment_reader_get(&walker->reader, offset, RECORD_SYNC_BYTES, &bytes);

        if (r <= 0)
            return r;
        if (record_plausible_size(bytes) != RECORD_SYNC_BYTES)
            continue;
        r = segment_reader_record(&walker->reader, offset, &record);
        if (r < 0)
            return r;
        if (r > 0 && record.type == RECORD_SYNC && record_sync_covered(&record) > walker->position)
            return 1;
    }
}

/* The same of a segment behind the one of the position. */
static int proves(struct walker *walker, const struct segment_place *place)
{
    struct segment_note note;
    int r = place->slot == ARCHIVED ? 1 : commitlog_read_note(walker->plan->env, place, &note);

    if (place->slot == ARCHIVED || r < 0 || (r > 0 && note.begins))
        return r;
    r = segment_reader_open(&walker->reader, place);
    return r < 0 ? r : find_sync(walker, SEGMENT_HEADER_BYTES);
}

static int was_durable(struct walker *walker)
{
    int r = walker->plan->flushed_max > walker->position;

    for (size_t i = 0; r == 0 && i < walker->count; i++)
        if (walker->places[i].header.id > position_segment(walker->position))
            r = proves(walker, &walker->places[i]);
    return r;
}

/* 0: the log ends where no good record is. */
static int judge(struct walker *walker)
{
    bool is_torn = walker->plan->with_slots || is_last(walker, position_segment(walker->position));
    int r = is_torn ? find_sync(walker, position_offset(walker->position) + RECORD_ALIGN) : 1;

    if (r == 0)
        r = was_durable(walker);
    return r > 0 ? refuse(walker) : r;
}

static int take_batch(struct walker *walker, const struct record *record)
{
    int r = 0;

    if (record->value_count > 0)
        return err_new(-EUCLEAN,
            "segment %016" PRIx64 " of the log has large values elsewhere, at %" PRIu64
            ": it was logged without archive=on",
            position_segment(walker->position), position_offset(walker->position));
    if (walker->each)
        r = walker->each(walker->arg, record->timestamp_us,
            bytes_of(record->body, record->size - RECORD_HEADER_BYTES), record->update_count);
    if (r < 0)
        return err_with(r, "segment %016" PRIx64 " of the log at %" PRIu64,
            position_segment(walker->position), position_offset(walker->position));
    walker->result.batches++;
    walker->result.last_timestamp_us = record->timestamp_us;
    return 0;
}

/* 1: it goes on; 0: that was all. */
static int take_next(struct walker *walker)
{
    struct record record;
    int r;

    skip_cuts(walker);
    if (walker->reader.id != position_segment(walker->position) ||
        position_offset(walker->position) < SEGMENT_HEADER_BYTES) {
        r = enter(walker);
        if (r <= 0)
            return r;
        skip_cuts(walker); /* its very first place may be cut */
        if (walker->reader.id != position_segment(walker->position))
            return 1;
    }
    r = segment_reader_record(&walker->reader, position_offset(walker->position), &record);
    if (r <= 0)
        return r < 0 ? r : judge(walker);
    if (record.timestamp_us > walker->plan->until_us) {
        walker->result.is_past = true;
        return 0;
    }
    if (record.type == RECORD_BATCH) {
        r = take_batch(walker, &record);
        if (r < 0)
            return r;
    }
    walker->position = record.type == RECORD_END
                           ? position_of(position_segment(walker->position) + 1, 0)
                           : walker->position + record_aligned(record.size);
    return 1;
}

int archive_walk(const struct archive_walk *walk,
    int (*each)(void *arg, int64_t timestamp_us, struct bytes updates, unsigned update_count),
    void *arg, struct archive_walk_result *ret_result)
{
    struct walker walker = {.plan = walk,
        .each = each,
        .arg = arg,
        .reader.env = walk->env,
        .position = walk->from_position};
    int r = look(&walker);

    if (r == 0)
        do
            r = take_next(&walker);
        while (r > 0);
    segment_reader_release(&walker.reader);
    free(walker.places);
    free(walker.cuts);
    *ret_result = walker.result;
    return r;
}
