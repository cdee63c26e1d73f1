#include "manifest.h"

#include <errno.h>

#include "engine/coding.h"
#include "engine/error.h"

/*
 * An edit is a run of fields, each a tag byte and what belongs to it. The full state is an edit to
 * an empty state, so there is one decoder.
 */
enum field {
    FIELD_ADD = 1,
    FIELD_RETIRE = 2,
    FIELD_FLUSHED = 3,
    FIELD_CUT = 4,
    FIELD_CLOCK = 5,
    FIELD_SNAPSHOT = 6,
    FIELD_SNAPSHOT_APPEND = 7,
    FIELD_SNAPSHOT_COMPLETE = 8,
    FIELD_SNAPSHOT_REMOVE = 9,
    FIELD_SNAPSHOT_RENAME = 10,
    FIELD_NEXT_NUMBER = 11,
    FIELD_GARBAGE = 12,
    FIELD_SNAPSHOT_KEEP = 13,
    FIELD_REVIVE = 14,
};

#define SSTABLE_LIVE 1u
#define SSTABLE_COMPACTED 2u
#define SSTABLE_LEVEL_SHIFT 2 /* of what is left of the flags */

/* ---- building ---- */

void manifest_edit_release(struct manifest_edit *edit)
{
    buf_release(&edit->body);
}

static void put_text(struct buf *to, const char *text)
{
    put_vbytes(to, bytes_of_string(text));
}

static void put_facts(struct buf *to, const struct sstable_facts *facts)
{
    put_text(to, facts->id.text);
    put_uvint(to, facts->partitions);
    put_uvint(to, facts->rows);
    put_uvint(to, facts->tombstones);
    put_uvint(to, facts->data_bytes);
    put_uvint(to, facts->total_bytes);
    put_uvint(to, facts->stream_bytes);
    put_svint(to, facts->min_timestamp_us);
    put_svint(to, facts->max_timestamp_us);
    put_svint(to, facts->min_local_deletion_time_s);
    put_svint(to, facts->max_local_deletion_time_s);
    put_svint(to, facts->min_ttl_s);
    put_be64(to, (uint64_t)facts->first_token);
    put_be64(to, (uint64_t)facts->last_token);
    put_be32(to, facts->digest);
}

void manifest_edit_add(struct manifest_edit *edit, const struct manifest_sstable *sstable)
{
    struct buf *to = &edit->body;

    buf_append_u8(to, FIELD_ADD);
    put_uvint(to, sstable->number);
    put_uvint(to, sstable->run);
    put_uvint(to, sstable->table);
    put_uvint(to, (sstable->live ? SSTABLE_LIVE : 0) |
                      (sstable->compacted ? SSTABLE_COMPACTED : 0) |
                      sstable->level << SSTABLE_LEVEL_SHIFT);
    put_uvint(to, sstable->partition_tombstones);
    put_facts(to, &sstable->facts);
    if (sstable->garbage_bytes > 0)
        manifest_edit_garbage(edit, sstable->number, sstable->garbage_bytes);
}

void manifest_edit_garbage(struct manifest_edit *edit, uint64_t number, uint64_t bytes)
{
    buf_append_u8(&edit->body, FIELD_GARBAGE);
    put_uvint(&edit->body, number);
    put_uvint(&edit->body, bytes);
}

void manifest_edit_retire(struct manifest_edit *edit, uint64_t number)
{
    buf_append_u8(&edit->body, FIELD_RETIRE);
    put_uvint(&edit->body, number);
}

void manifest_edit_revive(struct manifest_edit *edit, uint64_t number)
{
    buf_append_u8(&edit->body, FIELD_REVIVE);
    put_uvint(&edit->body, number);
}

void manifest_edit_flushed(struct manifest_edit *edit, unsigned table, uint64_t position)
{
    buf_append_u8(&edit->body, FIELD_FLUSHED);
    put_uvint(&edit->body, table);
    put_uvint(&edit->body, position);
}

void manifest_edit_cut(struct manifest_edit *edit, const struct commitlog_cut *cut)
{
    buf_append_u8(&edit->body, FIELD_CUT);
    put_uvint(&edit->body, cut->from_position);
    put_uvint(&edit->body, cut->to_segment);
}

void manifest_edit_clock(
    struct manifest_edit *edit, int64_t last_timestamp_us, uint64_t next_segment)
{
    buf_append_u8(&edit->body, FIELD_CLOCK);
    put_svint(&edit->body, last_timestamp_us);
    put_uvint(&edit->body, next_segment);
}

void manifest_edit_snapshot(struct manifest_edit *edit, const struct manifest_snapshot *snapshot)
{
    struct buf *to = &edit->body;
    uint64_t before = 0;

    buf_append_u8(to, FIELD_SNAPSHOT);
    put_uvint(to, snapshot->number);
    put_text(to, snapshot->tag);
    put_text(to, snapshot->previous_tag);
    put_uvint(to, snapshot->position);
    put_uvint(to, snapshot->point_us);
    put_uvint(to, snapshot->created_us);
    put_uvint(to, snapshot->complete);
    put_uvint(to, snapshot->sstable_count);
    for (size_t i = 0; i < snapshot->sstable_count; i++) {
        put_uvint(to, snapshot->sstables[i] - before);
        before = snapshot->sstables[i];
    }
    if (snapshot->expires_us > 0 || snapshot->holds)
        manifest_edit_snapshot_keep(edit, snapshot->number, snapshot->expires_us, snapshot->holds);
}

void manifest_edit_snapshot_keep(
    struct manifest_edit *edit, uint64_t snapshot, uint64_t expires_us, const char *holds)
{
    buf_append_u8(&edit->body, FIELD_SNAPSHOT_KEEP);
    put_uvint(&edit->body, snapshot);
    put_uvint(&edit->body, expires_us);
    put_text(&edit->body, holds ? holds : "");
}

void manifest_edit_snapshot_append(
    struct manifest_edit *edit, uint64_t snapshot, uint64_t sstable_number)
{
    buf_append_u8(&edit->body, FIELD_SNAPSHOT_APPEND);
    put_uvint(&edit->body, snapshot);
    put_uvint(&edit->body, sstable_number);
}

void manifest_edit_snapshot_complete(struct manifest_edit *edit, uint64_t snapshot)
{
    buf_append_u8(&edit->body, FIELD_SNAPSHOT_COMPLETE);
    put_uvint(&edit->body, snapshot);
}

void manifest_edit_snapshot_remove(struct manifest_edit *edit, uint64_t snapshot)
{
    buf_append_u8(&edit->body, FIELD_SNAPSHOT_REMOVE);
    put_uvint(&edit->body, snapshot);
}

void manifest_edit_snapshot_rename(
    struct manifest_edit *edit, uint64_t snapshot, const char *tag, bool settled)
{
    buf_append_u8(&edit->body, FIELD_SNAPSHOT_RENAME);
    put_uvint(&edit->body, snapshot);
    put_text(&edit->body, tag);
    put_uvint(&edit->body, settled);
}

void manifest_edit_state(struct manifest_edit *edit, const struct manifest_state *state)
{
    uint64_t flushed = manifest_flushed_min(state);

    manifest_edit_clock(edit, state->last_timestamp_us, state->next_segment);
    buf_append_u8(&edit->body, FIELD_NEXT_NUMBER);
    put_uvint(&edit->body, state->next_number);
    for (unsigned i = 0; i < state->table_count; i++)
        manifest_edit_flushed(edit, i, state->flushed[i]);
    /* A cut that ends below everything that replay will read is of no more use. */
    for (size_t i = 0; i < state->cut_count; i++)
        if (state->cuts[i].to_segment << 32 > flushed)
            manifest_edit_cut(edit, &state->cuts[i]);
    for (size_t i = 0; i < state->sstable_count; i++)
        manifest_edit_add(edit, &state->sstables[i]);
    for (size_t i = 0; i < state->snapshot_count; i++)
        manifest_edit_snapshot(edit, &state->snapshots[i]);
}

/* ---- looking up ---- */

static size_t sstable_place(const struct manifest_state *state, uint64_t number)
{
    size_t low = 0, high = state->sstable_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (state->sstables[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct manifest_sstable *find_sstable(const struct manifest_state *state, uint64_t number)
{
    size_t place = sstable_place(state, number);

    if (place == state->sstable_count || state->sstables[place].number != number)
        return NULL;
    return &state->sstables[place];
}

const struct manifest_sstable *manifest_find(const struct manifest_state *state, uint64_t number)
{
    return find_sstable(state, number);
}

static struct manifest_snapshot *find_snapshot(const struct manifest_state *state, uint64_t number)
{
    for (size_t i = 0; i < state->snapshot_count; i++)
        if (state->snapshots[i].number == number)
            return &state->snapshots[i];
    return NULL;
}

const struct manifest_snapshot *manifest_find_snapshot(
    const struct manifest_state *state, uint64_t number)
{
    return find_snapshot(state, number);
}

const struct manifest_snapshot *manifest_find_tag(
    const struct manifest_state *state, const char *tag)
{
    for (size_t i = 0; i < state->snapshot_count; i++)
        if (strcmp(state->snapshots[i].tag, tag) == 0)
            return &state->snapshots[i];
    return NULL;
}

uint64_t manifest_flushed_min(const struct manifest_state *state)
{
    uint64_t min = UINT64_MAX;

    for (unsigned i = 0; i < state->table_count; i++)
        if (state->flushed[i] < min)
            min = state->flushed[i];
    return min == UINT64_MAX ? 0 : min;
}

uint64_t manifest_flushed_max(const struct manifest_state *state)
{
    uint64_t max = 0;

    for (unsigned i = 0; i < state->table_count; i++)
        if (state->flushed[i] > max)
            max = state->flushed[i];
    return max;
}

/* ---- applying ---- */

static void snapshot_release(struct manifest_snapshot *snapshot)
{
    free(snapshot->sstables);
    free(snapshot->holds);
}

void manifest_state_release(struct manifest_state *state)
{
    for (size_t i = 0; i < state->snapshot_count; i++)
        snapshot_release(&state->snapshots[i]);
    free(state->snapshots);
    free(state->sstables);
    free(state->cuts);
    *state = (struct manifest_state){0};
}

/* One more place at the end of an array that doubles. */
static void *grow(void *array, size_t count, size_t element_bytes)
{
    if (count & (count - 1))
        return array;
    return reallocarray(array, count ? count * 2 : 1, element_bytes);
}

static void take_number(struct manifest_state *state, uint64_t number)
{
    if (number >= state->next_number)
        state->next_number = number + 1;
}

static void drop_holder(struct manifest_state *state, struct manifest_sstable *sstable)
{
    size_t place;

    if (--sstable->holders > 0)
        return;
    place = (size_t)(sstable - state->sstables);
    memmove(sstable, sstable + 1, (state->sstable_count - place - 1) * sizeof(*sstable));
    state->sstable_count--;
}

static int get_text(struct decoder *from, char *to, size_t size_max)
{
    struct bytes text = get_vbytes(from);

    if (decoder_failed(from) || text.size > size_max || memchr(text.data, 0, text.size))
        return -EUCLEAN;
    memcpy(to, text.data, text.size);
    to[text.size] = 0;
    return 0;
}

static int get_facts(struct decoder *from, struct sstable_facts *to)
{
    int r = get_text(from, to->id.text, SSTABLE_ID_TEXT_MAX);

    if (r < 0)
        return r;
    to->partitions = get_uvint(from);
    to->rows = get_uvint(from);
    to->tombstones = get_uvint(from);
    to->data_bytes = get_uvint(from);
    to->total_bytes = get_uvint(from);
    to->stream_bytes = get_uvint(from);
    to->min_timestamp_us = get_svint(from);
    to->max_timestamp_us = get_svint(from);
    to->min_local_deletion_time_s = (int32_t)get_svint(from);
    to->max_local_deletion_time_s = (int32_t)get_svint(from);
    to->min_ttl_s = (int32_t)get_svint(from);
    to->first_token = (int64_t)get_be64(from);
    to->last_token = (int64_t)get_be64(from);
    to->digest = get_be32(from);
    return 0;
}

static int apply_add(struct manifest_state *state, struct decoder *from)
{
    struct manifest_sstable sstable = {0}, *grown;
    uint64_t table, flags;
    size_t place;
    int r;

    sstable.number = get_uvint(from);
    sstable.run = get_uvint(from);
    table = get_uvint(from);
    flags = get_uvint(from);
    sstable.partition_tombstones = get_uvint(from);
    r = get_facts(from, &sstable.facts);
    if (r < 0 || decoder_failed(from) || table >= state->table_count ||
        flags >> SSTABLE_LEVEL_SHIFT > MANIFEST_LEVEL_MAX || find_sstable(state, sstable.number))
        return -EUCLEAN;
    sstable.table = (unsigned)table;
    sstable.live = flags & SSTABLE_LIVE;
    sstable.compacted = flags & SSTABLE_COMPACTED;
    sstable.level = (unsigned)(flags >> SSTABLE_LEVEL_SHIFT);
    sstable.holders = sstable.live;
    grown = grow(state->sstables, state->sstable_count, sizeof(sstable));
    if (!grown)
        return -ENOMEM;
    state->sstables = grown;
    place = sstable_place(state, sstable.number);
    memmove(grown + place + 1, grown + place, (state->sstable_count - place) * sizeof(sstable));
    grown[place] = sstable;
    state->sstable_count++;
    take_number(state, sstable.number);
    return 0;
}

static int apply_retire(struct manifest_state *state, struct decoder *from)
{
    struct manifest_sstable *sstable = find_sstable(state, get_uvint(from));

    if (decoder_failed(from) || !sstable || !sstable->live)
        return -EUCLEAN;
    sstable->live = false;
    drop_holder(state, sstable);
    return 0;
}

static int apply_revive(struct manifest_state *state, struct decoder *from)
{
    struct manifest_sstable *sstable = find_sstable(state, get_uvint(from));

    if (decoder_failed(from) || !sstable || sstable->live)
        return -EUCLEAN;
    sstable->live = true;
    sstable->holders++;
    return 0;
}

static int apply_garbage(struct manifest_state *state, struct decoder *from)
{
    struct manifest_sstable *sstable = find_sstable(state, get_uvint(from));
    uint64_t bytes = get_uvint(from);

    if (decoder_failed(from) || !sstable)
        return -EUCLEAN;
    sstable->garbage_bytes = bytes;
    return 0;
}

static int apply_flushed(struct manifest_state *state, struct decoder *from)
{
    uint64_t table = get_uvint(from);
    uint64_t position = get_uvint(from);

    if (decoder_failed(from) || table >= state->table_count || position < state->flushed[table])
        return -EUCLEAN;
    state->flushed[table] = position;
    return 0;
}

static int apply_cut(struct manifest_state *state, struct decoder *from)
{
    struct commitlog_cut cut, *grown;

    cut.from_position = get_uvint(from);
    cut.to_segment = get_uvint(from);
    if (decoder_failed(from) || cut.to_segment > UINT32_MAX)
        return -EUCLEAN;
    grown = grow(state->cuts, state->cut_count, sizeof(cut));
    if (!grown)
        return -ENOMEM;
    state->cuts = grown;
    grown[state->cut_count++] = cut;
    return 0;
}

static int apply_clock(struct manifest_state *state, struct decoder *from)
{
    int64_t last_us = get_svint(from);
    uint64_t next_segment = get_uvint(from);

    if (decoder_failed(from))
        return -EUCLEAN;
    if (last_us > state->last_timestamp_us)
        state->last_timestamp_us = last_us;
    if (next_segment > state->next_segment)
        state->next_segment = next_segment;
    return 0;
}

/* The list of a snapshot being applied: each SSTable must be known, numbers ascend. */
static int get_sstables(
    struct manifest_state *state, struct decoder *from, struct manifest_snapshot *to)
{
    uint64_t count = get_uvint(from);
    uint64_t number = 0;

    /* Each takes a byte at least, so that a mad count allocates nothing. */
    if (decoder_failed(from) || count > decoder_left(from))
        return -EUCLEAN;
    to->sstables = calloc(count + 1, sizeof(*to->sstables));
    if (!to->sstables)
        return -ENOMEM;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t step = get_uvint(from);
        struct manifest_sstable *sstable;

        number += step;
        sstable = find_sstable(state, number);
        if (decoder_failed(from) || !sstable || (i > 0 && step == 0))
            return -EUCLEAN;
        sstable->holders++;
        to->sstables[to->sstable_count++] = number;
    }
    return 0;
}

static int apply_snapshot(struct manifest_state *state, struct decoder *from)
{
    struct manifest_snapshot snapshot = {0}, *grown;
    int r;

    snapshot.number = get_uvint(from);
    r = get_text(from, snapshot.tag, SNAPSHOT_TAG_MAX);
    if (r == 0)
        r = get_text(from, snapshot.previous_tag, SNAPSHOT_TAG_MAX);
    if (r < 0)
        return r;
    snapshot.position = get_uvint(from);
    snapshot.point_us = get_uvint(from);
    snapshot.created_us = get_uvint(from);
    snapshot.complete = get_uvint(from) != 0;
    if (decoder_failed(from) || find_snapshot(state, snapshot.number) ||
        manifest_find_tag(state, snapshot.tag))
        return -EUCLEAN;
    r = get_sstables(state, from, &snapshot);
    if (r == 0) {
        grown = grow(state->snapshots, state->snapshot_count, sizeof(snapshot));
        if (grown)
            state->snapshots = grown;
        else
            r = -ENOMEM;
    }
    if (r < 0) {
        free(snapshot.sstables);
        return r;
    }
    state->snapshots[state->snapshot_count++] = snapshot;
    take_number(state, snapshot.number);
    return 0;
}

static int apply_snapshot_append(struct manifest_state *state, struct decoder *from)
{
    struct manifest_snapshot *snapshot = find_snapshot(state, get_uvint(from));
    struct manifest_sstable *sstable = find_sstable(state, get_uvint(from));
    uint64_t *grown;

    if (decoder_failed(from) || !snapshot || !sstable ||
        (snapshot->sstable_count > 0 &&
            snapshot->sstables[snapshot->sstable_count - 1] >= sstable->number))
        return -EUCLEAN;
    grown = reallocarray(snapshot->sstables, snapshot->sstable_count + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    snapshot->sstables = grown;
    grown[snapshot->sstable_count++] = sstable->number;
    sstable->holders++;
    return 0;
}

static int apply_snapshot_complete(struct manifest_state *state, struct decoder *from)
{
    struct manifest_snapshot *snapshot = find_snapshot(state, get_uvint(from));

    if (decoder_failed(from) || !snapshot)
        return -EUCLEAN;
    snapshot->complete = true;
    return 0;
}

static int apply_snapshot_remove(struct manifest_state *state, struct decoder *from)
{
    struct manifest_snapshot *snapshot = find_snapshot(state, get_uvint(from));
    size_t place;

    if (decoder_failed(from) || !snapshot)
        return -EUCLEAN;
    for (size_t i = 0; i < snapshot->sstable_count; i++)
        drop_holder(state, find_sstable(state, snapshot->sstables[i]));
    snapshot_release(snapshot);
    place = (size_t)(snapshot - state->snapshots);
    memmove(snapshot, snapshot + 1, (state->snapshot_count - place - 1) * sizeof(*snapshot));
    state->snapshot_count--;
    return 0;
}

static int apply_snapshot_keep(struct manifest_state *state, struct decoder *from)
{
    struct manifest_snapshot *snapshot = find_snapshot(state, get_uvint(from));
    uint64_t expires_us = get_uvint(from);
    struct bytes holds = get_vbytes(from);
    char *text = NULL;

    if (decoder_failed(from) || !snapshot || memchr(holds.data, 0, holds.size) ||
        (holds.size > 0 && holds.data[holds.size - 1] != '\n'))
        return -EUCLEAN;
    if (holds.size > 0) {
        text = strndup((const char *)holds.data, holds.size);
        if (!text)
            return -ENOMEM;
    }
    free(snapshot->holds);
    snapshot->holds = text;
    snapshot->expires_us = expires_us;
    return 0;
}

static int apply_snapshot_rename(struct manifest_state *state, struct decoder *from)
{
    struct manifest_snapshot *snapshot = find_snapshot(state, get_uvint(from));
    const struct manifest_snapshot *other;
    char tag[SNAPSHOT_TAG_MAX + 1];
    int r = get_text(from, tag, SNAPSHOT_TAG_MAX);
    uint64_t settled = get_uvint(from);

    if (r < 0 || decoder_failed(from) || !snapshot)
        return -EUCLEAN;
    other = manifest_find_tag(state, tag);
    if (other && other != snapshot)
        return -EUCLEAN;
    if (settled)
        snapshot->previous_tag[0] = 0;
    else
        memcpy(snapshot->previous_tag, snapshot->tag, sizeof(tag));
    memcpy(snapshot->tag, tag, sizeof(tag));
    return 0;
}

static int apply_next_number(struct manifest_state *state, struct decoder *from)
{
    uint64_t next = get_uvint(from);

    if (decoder_failed(from) || next == 0)
        return -EUCLEAN;
    take_number(state, next - 1);
    return 0;
}

int manifest_state_apply(struct manifest_state *state, struct bytes edit)
{
    static int (*const appliers[])(struct manifest_state *, struct decoder *) = {
        [FIELD_ADD] = apply_add,
        [FIELD_RETIRE] = apply_retire,
        [FIELD_FLUSHED] = apply_flushed,
        [FIELD_CUT] = apply_cut,
        [FIELD_CLOCK] = apply_clock,
        [FIELD_SNAPSHOT] = apply_snapshot,
        [FIELD_SNAPSHOT_APPEND] = apply_snapshot_append,
        [FIELD_SNAPSHOT_COMPLETE] = apply_snapshot_complete,
        [FIELD_SNAPSHOT_REMOVE] = apply_snapshot_remove,
        [FIELD_SNAPSHOT_RENAME] = apply_snapshot_rename,
        [FIELD_NEXT_NUMBER] = apply_next_number,
        [FIELD_GARBAGE] = apply_garbage,
        [FIELD_REVIVE] = apply_revive,
        [FIELD_SNAPSHOT_KEEP] = apply_snapshot_keep,
    };
    struct decoder from = decoder_of(edit);

    while (decoder_left(&from) > 0) {
        uint8_t field = get_u8(&from);
        int r;

        if (field >= ARRAY_COUNT(appliers) || !appliers[field])
            return err_new(-EUCLEAN, "manifest edit with unknown field %u", field);
        r = appliers[field](state, &from);
        if (r == -EUCLEAN)
            return err_new(r, "manifest edit: field %u contradicts what came before it", field);
        if (r < 0)
            return r;
    }
    return 0;
}
