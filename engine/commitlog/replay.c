/*
 * Reading the log after a restart.
 *
 *   1. From the lowest flushed position on, record after record, segment after segment: an END
 *      leads to the next one, and each header names the one before, so that none can be missing
 *      unnoticed. Cuts of earlier recoveries are jumped over.
 *   2. At the first place x where there is no good record: look ahead for good SYNC records, in
 *      this and all later segments. One that covers more than x, or a table flushed past x, proves
 *      that x had reached the device: damage, which is refused, unless a visitor steps over it.
 *      Else x is where a power cut tore the tail off, and everything from there on never counted.
 *
 * Nothing is written, but for commitlog_secure(): which writes what step 1 finds good back to where
 * it was read.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "commitlog/commitlog.h"
#include "commitlog/pool.h"
#include "commitlog/reader.h"
#include "commitlog/value_reader.h"
#include "engine/coding.h"
#include "engine/error.h"

/*
 * Bytes checked in vain while looking ahead, at most; then only SYNC records, which are what
 * counts, are looked for. Else a torn record full of what looks like headers, as any user can
 * write into a file, would keep a mount busy for hours.
 */
#define VAIN_BYTES_MAX (256u << 20)

struct replay {
    struct env *env;
    uint64_t flushed_max;
    const struct commitlog_cut *cuts;
    unsigned cut_count;
    struct segment_list segments;
    struct segment_reader reader;
    struct value_reader values;
    struct commitlog_visitor visitor;
    void *arg;

    uint64_t position;        /* where the next record should be */
    uint64_t bad_bytes;       /* of the good record there whose values are bad … */
    int64_t bad_timestamp_us; /* … and when it was written */
    uint64_t skipped_from;    /* where the cuts begin that led there; 0: a record did */
    bool from_oldest;         /* with whatever segment there is */
    struct commitlog_replay_result result;
};

enum found { FOUND_END, FOUND_GOOD, FOUND_BAD };

/* ---- from segment to segment ---- */

/* The first segment not below `id`, or NULL. */
static const struct segment_place *segment_from(const struct replay *replay, uint64_t id)
{
    for (unsigned i = 0; i < replay->segments.count; i++) {
        if (replay->segments.all[i].header.id >= id)
            return &replay->segments.all[i];
    }
    return NULL;
}

/* The cut that `position` lies in, or NULL. */
static const struct commitlog_cut *cut_of(const struct replay *replay, uint64_t position)
{
    for (unsigned i = 0; i < replay->cut_count; i++) {
        const struct commitlog_cut *cut = &replay->cuts[i];

        if (position >= cut->from_position && position < position_of(cut->to_segment, 0))
            return cut;
    }
    return NULL;
}

static void skip_cuts(struct replay *replay)
{
    const struct commitlog_cut *cut;

    while ((cut = cut_of(replay, replay->position))) {
        if (!replay->skipped_from)
            replay->skipped_from = replay->position;
        replay->position = position_of(cut->to_segment, 0);
        replay->from_oldest = false;
    }
}

/*
 * Opens the segment of the position. If there is none, the next one will do if it says that none
 * was between: numbers are skipped, by a daemon that never came to write.
 */
static int enter_segment(struct replay *replay, enum found *ret_found)
{
    uint64_t wanted = position_segment(replay->position);
    const struct segment_place *place = segment_from(replay, wanted);
    int r;

    if (!place) {
        *ret_found = FOUND_END;
        return 0;
    }
    *ret_found = FOUND_BAD;
    if (place->header.id != wanted && place->header.previous >= wanted && !replay->from_oldest)
        return 0;
    /* As nothing was flushed none was freed: the first ever came after none. */
    if (replay->from_oldest && place->header.previous != 0)
        return 0;
    r = segment_reader_open(&replay->reader, place);
    if (r < 0)
        return r;
    if (place->header.id != wanted || position_offset(replay->position) < SEGMENT_HEADER_BYTES)
        replay->position = position_of(place->header.id, SEGMENT_HEADER_BYTES);
    replay->from_oldest = false;
    *ret_found = FOUND_GOOD;
    return 0;
}

/* ---- records ---- */

/* 1; 0: a value of it is bad. */
static int hand_out(struct replay *replay, const struct record *record)
{
    struct record_memory *memory;
    int r;

    if (replay->visitor.note && !replay->visitor.batch)
        return 1;
    r = value_reader_updates(&replay->values, record, replay->position, &memory);
    if (r > 0 && replay->visitor.missing)
        *replay->visitor.missing = replay->values.missing;
    if (r > 0 && !replay->visitor.batch) {
        record_memory_unref(memory);
    } else if (r > 0) {
        r = replay->visitor.batch(replay->arg, replay->position, record->timestamp_us,
            bytes_of(memory->data, memory->size), record->update_count, memory);
        record_memory_unref(memory);
        r = r < 0 ? r : 1;
    }
    if (r < 0)
        return err_with(r, "replay segment %016" PRIx64 " at %" PRIu64,
            position_segment(replay->position), position_offset(replay->position));
    replay->result.records += r > 0;
    return r;
}

/* To a visitor: what is no batch. */
static int show(struct replay *replay, const struct record *record)
{
    const struct commitlog_visitor *visitor = &replay->visitor;
    struct segment_note note;

    if (record->type != RECORD_NOTE)
        return visitor->mark ? visitor->mark(replay->arg, replay->position, record->timestamp_us,
                                   record->type == RECORD_SYNC ? record_sync_covered(record) : 0)
                             : 0;
    return visitor->note && record_decode_note(record, &note)
               ? visitor->note(replay->arg, replay->position, note.flushed)
               : 0;
}

/* 1; 0: it is bad after all. */
static int take_record(struct replay *replay, const struct record *record)
{
    uint64_t id = position_segment(replay->position);

    if (record->type == RECORD_BATCH) {
        int r = hand_out(replay, record);

        if (r == 0) {
            replay->bad_bytes = record_aligned(record->size);
            replay->bad_timestamp_us = record->timestamp_us;
        }
        if (r <= 0)
            return r;
    } else {
        int r = show(replay, record);

        if (r < 0)
            return r;
    }
    if (record->timestamp_us > replay->result.last_timestamp_us)
        replay->result.last_timestamp_us = record->timestamp_us;
    segment_reader_note_good(&replay->reader, position_offset(replay->position) + record->size);
    replay->skipped_from = 0;
    replay->position += record_aligned(record->size);
    if (record->type == RECORD_END)
        replay->position = position_of(id + 1, 0);
    return 1;
}

/* Up to the end of the log, or to the first bad place. */
static int scan(struct replay *replay, enum found *ret_found)
{
    for (;;) {
        struct record record;
        int r;

        skip_cuts(replay);
        if (replay->reader.id != position_segment(replay->position) ||
            position_offset(replay->position) < SEGMENT_HEADER_BYTES) {
            r = enter_segment(replay, ret_found);
            if (r < 0 || *ret_found != FOUND_GOOD)
                return r;
            continue; /* its very first place may be cut */
        }
        r = segment_reader_record(&replay->reader, position_offset(replay->position), &record);
        if (r > 0)
            r = take_record(replay, &record);
        if (r < 0)
            return r;
        if (r == 0) {
            *ret_found = FOUND_BAD;
            return 0;
        }
    }
}

/* ---- judgement ---- */

struct evidence {
    uint64_t bad;        /* the position judged */
    uint64_t first_good; /* after it; 0: none */
    uint64_t covered;    /* by SYNC records after it, the most */
    uint64_t vain_bytes;
    uint64_t dropped_bytes; /* from it to the last good record of each segment */
};

/* Looks through the open segment from `offset` on. */
static int look_through(struct replay *replay, uint64_t offset, struct evidence *evidence)
{
    uint64_t id = replay->reader.id;
    uint64_t start = offset;
    uint64_t good_end = offset;

    for (;;) {
        struct record record;
        const uint8_t *bytes;
        uint32_t size;
        int r = segment_reader_get(&replay->reader, offset, RECORD_HEADER_BYTES, &bytes);

        if (r < 0)
            return r;
        if (r == 0 || cut_of(replay, position_of(id, offset)))
            break;
        size = record_plausible_size(bytes);
        if (size == 0 || (size > RECORD_SYNC_BYTES && evidence->vain_bytes > VAIN_BYTES_MAX)) {
            offset += RECORD_ALIGN;
            continue;
        }
        r = segment_reader_record(&replay->reader, offset, &record);
        if (r < 0)
            return r;
        if (r == 0) {
            evidence->vain_bytes += size;
            offset += RECORD_ALIGN;
            continue;
        }
        if (!evidence->first_good)
            evidence->first_good = position_of(id, offset);
        if (record.type == RECORD_SYNC && record_sync_covered(&record) > evidence->covered)
            evidence->covered = record_sync_covered(&record);
        offset += record_aligned(record.size);
        good_end = offset;
    }
    evidence->dropped_bytes += good_end - start;
    return 0;
}

static int look_ahead(struct replay *replay, struct evidence *evidence)
{
    uint64_t bad = evidence->bad;

    for (unsigned i = 0; i < replay->segments.count; i++) {
        const struct segment_place *place = &replay->segments.all[i];
        uint64_t id = place->header.id;
        uint64_t offset = SEGMENT_HEADER_BYTES;
        int r;

        if (id < position_segment(bad) || cut_of(replay, position_of(id, offset)))
            continue;
        if (id == position_segment(bad) && position_offset(bad) > offset)
            offset = record_aligned(position_offset(bad)) + replay->bad_bytes;
        r = segment_reader_open(&replay->reader, place);
        if (r == 0)
            r = look_through(replay, offset, evidence);
        if (r < 0)
            return r;
    }
    return 0;
}

static int refuse(const struct replay *replay, const struct evidence *evidence)
{
    uint64_t bad = evidence->bad;
    uint64_t good = evidence->first_good;

    if (!good)
        return err_new(-EUCLEAN,
            "commit log is damaged: no good record in segment %016" PRIx64 " at %" PRIu64
            ", nor after it, though it was synced (tables are flushed up to segment %016" PRIx64
            " at %" PRIu64 ")",
            position_segment(bad), position_offset(bad), position_segment(replay->flushed_max),
            position_offset(replay->flushed_max));
    if (position_segment(good) != position_segment(bad))
        return err_new(-EUCLEAN,
            "commit log is damaged: no good record in segment %016" PRIx64 " from %" PRIu64
            " to its end, though it was synced; the first good record after it is in segment "
            "%016" PRIx64 " at %" PRIu64,
            position_segment(bad), position_offset(bad), position_segment(good),
            position_offset(good));
    return err_new(-EUCLEAN,
        "commit log is damaged: no good record in segment %016" PRIx64 " at %" PRIu64
        " for %" PRIu64
        " bytes, though it was synced; the first good record after it is at %" PRIu64,
        position_segment(bad), position_offset(bad), good - bad, position_offset(good));
}

/* By their sizes, if these lead from one to the other within a segment, so that a record with a
 * flip of a bit is told from many. 0: they do not. */
static int count_records(struct replay *replay, uint64_t from, uint64_t to, unsigned *ret_records)
{
    const struct segment_place *place = segment_from(replay, position_segment(from));
    unsigned records = 0;
    int r;

    if (!place || position_segment(to) != place->header.id || from >= to)
        return 0;
    r = segment_reader_open(&replay->reader, place);
    while (r == 0 && from < to) {
        const uint8_t *header;

        r = segment_reader_get(
            &replay->reader, position_offset(from), RECORD_HEADER_BYTES, &header);
        if (r <= 0 || record_plausible_size(header) == 0)
            return r;
        from += record_aligned(record_plausible_size(header));
        records++;
        r = 0;
    }
    if (r == 0 && from == to)
        *ret_records = records;
    return r;
}

/* Whoever looks at a log with holes decides. */
static int ask(struct replay *replay, const struct evidence *evidence, bool durable)
{
    bool values = replay->bad_bytes > 0;
    int r;
    struct commitlog_hole hole = {
        .position = replay->position,
        .next = evidence->first_good,
        .durable = durable,
        .missing = values ? replay->values.missing : 0,
        .record_end = replay->position + replay->bad_bytes,
        .timestamp_us = values ? replay->bad_timestamp_us : replay->result.last_timestamp_us,
    };

    if (!replay->visitor.hole || (!durable && !values))
        return HOLE_ENDS;
    r = count_records(replay, hole.position, hole.next, &hole.records);
    return r < 0 ? r : replay->visitor.hole(replay->arg, &hole);
}

/* At the first place without a good record: 1: it goes on; 0: the end, or a torn tail; damage is an
 * error. */
static int judge(struct replay *replay, enum found found)
{
    struct evidence evidence = {.bad = replay->position, .dropped_bytes = replay->bad_bytes};
    bool durable = replay->flushed_max > replay->position;
    int verdict = HOLE_ENDS, r;

    if (found == FOUND_BAD) {
        r = look_ahead(replay, &evidence);
        if (r < 0)
            return r;
        durable |= evidence.covered > replay->position;
    }
    if (found == FOUND_BAD || durable)
        verdict = ask(replay, &evidence, durable);
    if (verdict < 0)
        return verdict;
    if (verdict == HOLE_ENDS && durable)
        return refuse(replay, &evidence);
    replay->bad_bytes = 0;
    if (verdict == HOLE_STEP && evidence.first_good)
        replay->position = evidence.first_good;
    if (verdict == HOLE_AGAIN || (verdict == HOLE_STEP && evidence.first_good))
        return 1;
    replay->result.end_position = replay->position;
    replay->result.cut_from = replay->skipped_from ? replay->skipped_from : replay->position;
    replay->result.torn = found == FOUND_BAD;
    replay->result.dropped_bytes = evidence.dropped_bytes;
    return 0;
}

static void at_least(uint64_t *value, uint64_t least)
{
    if (*value < least)
        *value = least;
}

static void find_next_segment(struct replay *replay)
{
    uint64_t *next = &replay->result.next_segment;

    *next = 1;
    if (replay->segments.count > 0)
        at_least(next, replay->segments.all[replay->segments.count - 1].header.id + 1);
    for (unsigned i = 0; i < replay->cut_count; i++)
        at_least(next, replay->cuts[i].to_segment);
    at_least(next, position_segment(replay->flushed_max) + 1);
    at_least(next, position_segment(replay->result.end_position) +
                       (position_offset(replay->result.end_position) > 0));
}

static void find_from(struct replay *replay, struct commitlog_flushed flushed)
{
    for (unsigned i = 0; i < flushed.table_count; i++) {
        uint64_t position = flushed.positions[i];

        if (i == 0 || position < replay->position)
            replay->position = position;
        at_least(&replay->flushed_max, position);
    }
    replay->from_oldest = replay->position == COMMITLOG_POSITION_NONE;
}

static int begin(struct replay *replay, struct env *env, const uint8_t *store_uuid,
    struct commitlog_flushed flushed, const struct commitlog_cut *cuts, unsigned cut_count)
{
    replay->env = env;
    replay->cuts = cuts;
    replay->cut_count = cut_count;
    replay->reader.env = replay->values.env = env;
    replay->values.flushed = flushed;
    replay->values.uses = replay->result.value_uses;
    replay->values.is_bare = replay->visitor.files;
    find_from(replay, flushed);
    return replay->visitor.files ? segment_list_files(env, replay->visitor.files, &replay->segments)
                                 : segment_list(env, store_uuid, &replay->segments);
}

static void end(struct replay *replay)
{
    segment_reader_release(&replay->reader);
    value_reader_release(&replay->values);
    segment_list_release(&replay->segments);
}

int commitlog_visit(struct env *env, const uint8_t *store_uuid, struct commitlog_flushed flushed,
    const struct commitlog_cut *cuts, unsigned cut_count, const struct commitlog_visitor *visitor,
    void *arg, struct commitlog_replay_result *ret_result)
{
    struct replay replay = {
        .visitor = *visitor, .arg = arg, .values = {.is_lenient = visitor->missing}};
    int r = begin(&replay, env, store_uuid, flushed, cuts, cut_count);

    do {
        enum found found = FOUND_END;

        if (r >= 0)
            r = scan(&replay, &found);
        if (r >= 0)
            r = judge(&replay, found);
    } while (r > 0);
    if (r == 0) {
        find_next_segment(&replay);
        *ret_result = replay.result;
    }
    end(&replay);
    return r;
}

int commitlog_replay(struct env *env, const uint8_t store_uuid[16],
    struct commitlog_flushed flushed, const struct commitlog_cut *cuts, unsigned cut_count,
    int (*each)(void *arg, uint64_t position, int64_t timestamp_us, struct bytes updates,
        unsigned update_count, struct record_memory *memory),
    void *arg, struct commitlog_replay_result *ret_result)
{
    struct commitlog_visitor visitor = {.batch = each};

    return commitlog_visit(env, store_uuid, flushed, cuts, cut_count, &visitor, arg, ret_result);
}

int commitlog_secure(struct env *env, const uint8_t store_uuid[16],
    struct commitlog_flushed flushed, const struct commitlog_cut *cuts, unsigned cut_count)
{
    struct replay replay = {.reader.writes_back = true, .values.writes_back = true};
    enum found found;
    int r = begin(&replay, env, store_uuid, flushed, cuts, cut_count);

    if (r == 0)
        r = scan(&replay, &found);
    if (r == 0)
        r = segment_reader_settle(&replay.reader);
    end(&replay);
    if (r == 0)
        r = slots_sync(env);
    return r < 0 ? err_with(r, "secure the commit log of before") : 0;
}
