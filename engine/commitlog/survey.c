#include "commitlog/survey.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "commitlog/reader.h"
#include "engine/error.h"

int commitlog_read_note(
    struct env *env, const struct segment_place *place, struct segment_note *ret_note)
{
    struct segment_reader reader = {.env = env};
    struct record record;
    int r = segment_reader_open(&reader, place);

    if (r == 0)
        r = segment_reader_record(&reader, SEGMENT_HEADER_BYTES, &record);
    if (r > 0)
        r = record_decode_note(&record, ret_note);
    segment_reader_release(&reader);
    return r;
}

static void take_note(struct commitlog_survey *survey, uint64_t id, const struct segment_note *note)
{
    if (note->begins && note->cut_from > 0 && note->cut_from < position_of(id, 0))
        survey->cuts[survey->cut_count++] = (struct commitlog_cut){note->cut_from, id};
    survey->has_note = true;
}

/* Which is the first that counts. Those of earlier versions left segments that were flushed in
 * their slots, until these were written over, in no certain order: what is behind a gap is old. */
static unsigned first_of(const struct segment_list *list, bool has_note)
{
    unsigned first = has_note ? 0 : list->count - 1;

    while (first > 0 && list->all[first].header.previous == list->all[first - 1].header.id)
        first--;
    return first;
}

static int survey_list(
    struct env *env, const struct segment_list *list, struct commitlog_survey *survey)
{
    unsigned first;

    survey->cuts = calloc(list->count, sizeof(*survey->cuts));
    if (!survey->cuts)
        return -ENOMEM;
    for (unsigned i = 0; i < list->count; i++) {
        struct segment_note note;
        int r = commitlog_read_note(env, &list->all[i], &note);

        if (r < 0)
            return r;
        if (r > 0)
            take_note(survey, list->all[i].header.id, &note);
    }
    first = first_of(list, survey->has_note);
    survey->segments = list->count - first;
    survey->from = position_of(list->all[first].header.id, 0);
    for (unsigned i = 0; i < COMMITLOG_TABLES_MAX; i++)
        survey->flushed[i] = survey->from;
    return 0;
}

/* The newest tells most: positions only rise. */
static int take_flushed(void *arg, uint64_t position, const uint64_t flushed[COMMITLOG_TABLES_MAX])
{
    struct commitlog_survey *survey = arg;

    (void)position;
    for (unsigned i = 0; i < COMMITLOG_TABLES_MAX; i++)
        if (flushed[i] > survey->flushed[i])
            survey->flushed[i] = flushed[i];
    return 0;
}

static int step_over(void *arg, const struct commitlog_hole *hole)
{
    (void)arg, (void)hole;
    return HOLE_STEP;
}

static int read_notes(struct env *env, const uint8_t *store_uuid, const struct segment_files *files,
    struct commitlog_survey *survey)
{
    struct commitlog_visitor visitor = {.note = take_flushed, .hole = step_over, .files = files};
    uint64_t from[COMMITLOG_TABLES_MAX];
    struct commitlog_replay_result result;

    memcpy(from, survey->flushed, sizeof(from));
    return commitlog_visit(env, store_uuid, (struct commitlog_flushed){from, COMMITLOG_TABLES_MAX},
        survey->cuts, survey->cut_count, &visitor, survey, &result);
}

void commitlog_survey_release(struct commitlog_survey *survey)
{
    free(survey->cuts);
    *survey = (struct commitlog_survey){0};
}

int commitlog_survey(struct env *env, const uint8_t *store_uuid, const struct segment_files *files,
    struct commitlog_survey *ret_survey)
{
    struct commitlog_survey survey = {0};
    struct segment_list list;
    int r = files ? segment_list_files(env, files, &list) : segment_list(env, store_uuid, &list);

    if (r < 0)
        return r;
    if (list.count > 0)
        r = survey_list(env, &list, &survey);
    segment_list_release(&list);
    if (r == 0 && survey.has_note)
        r = read_notes(env, store_uuid, files, &survey);
    if (r < 0) {
        commitlog_survey_release(&survey);
        return err_with(r, "look at the commit log");
    }
    *ret_survey = survey;
    return 0;
}

/* ---- stepping over what is damaged, for good ---- */

/* NOTE records that take up exactly `size` bytes. */
static int put_notes(
    struct buf *to, uint64_t salt, uint64_t position, uint64_t size, int64_t timestamp_us)
{
    while (size > 0) {
        uint64_t piece = size < RECORD_BYTES_MAX ? size : RECORD_BYTES_MAX / 2 & ~7ull;
        uint8_t *at = buf_extend(to, piece);

        if (!at)
            return -ENOMEM;
        memset(at, 0, piece);
        record_begin(at, RECORD_NOTE, (uint32_t)piece, 0, 0);
        record_seal(at,
            record_checksum(at, bytes_of(at + RECORD_HEADER_BYTES, piece - RECORD_HEADER_BYTES)),
            salt, position, timestamp_us);
        position += piece;
        size -= piece;
    }
    return 0;
}

static int fill_file(
    struct env *env, int fd, uint64_t offset, struct bytes notes, struct buf *before)
{
    uint8_t *to = buf_extend(before, notes.size);
    int64_t n = to ? io_read(env, fd, to, notes.size, offset) : -ENOMEM;
    int r;

    if (n < 0)
        return (int)n;
    r = io_write(env, fd, notes.data, notes.size, offset);
    return r < 0 ? r : io_sync(env, fd);
}

static int fill_segment(struct env *env, const struct segment_place *place, uint64_t from,
    uint64_t to, int64_t timestamp_us, struct buf *before)
{
    AUTO(buf_release) struct buf notes = BUF_INIT;
    int fd;
    int r = put_notes(&notes, record_salt(&place->header), from, to - from, timestamp_us);

    if (r == 0)
        r = io_open(env, place->path, O_RDWR, &fd);
    if (r < 0)
        return r;
    r = fill_file(env, fd, position_offset(from), buf_bytes(&notes), before);
    io_close(env, fd);
    return r;
}

int commitlog_fill(struct env *env, const uint8_t *store_uuid, uint64_t from, uint64_t to,
    int64_t timestamp_us, struct buf *ret_before)
{
    struct segment_list list;
    int r = segment_list(env, store_uuid, &list);

    if (r < 0)
        return r;
    r = -EUCLEAN;
    for (unsigned i = 0; i < list.count; i++)
        if (list.all[i].header.id == position_segment(from) && to - from >= RECORD_HEADER_BYTES &&
            position_segment(to) == position_segment(from))
            r = fill_segment(env, &list.all[i], from, to, timestamp_us, ret_before);
    segment_list_release(&list);
    return r < 0 ? err_with(r, "step over %" PRIu64 " bytes of commit log segment %016" PRIx64,
                       to - from, position_segment(from))
                 : 0;
}
