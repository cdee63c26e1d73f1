#include "support/row_model.h"

#include <stdlib.h>

#include "engine/coding.h"

static const struct column key_columns[] = {{"k", &type_blob}};
static const struct column clusterings[] = {{"c", &type_int}};
static const struct column columns[] = {
    {"a", &type_blob}, {"b", &type_int}, {"m", &type_map_blob_blob}, {"n", &type_map_blob_blob}};

const struct table_schema model_schema = {
    .keyspace = "ks",
    .name = "model",
    .partition_key_count = 1,
    .partition_key = key_columns,
    .clustering_count = 1,
    .clustering = clusterings,
    .static_count = MODEL_COLUMNS,
    .statics = columns,
    .regular_count = MODEL_COLUMNS,
    .regulars = columns,
};

static const uint8_t paths[MODEL_PATHS][1] = {{0x01}, {0x70}, {0xff}};

static uint16_t column_of(unsigned cell)
{
    return (uint16_t)(cell < 2 ? cell : 2 + (cell - 2) / MODEL_PATHS);
}

/* ---- at random ---- */

static int64_t random_time(struct random *random)
{
    return 1 + random_below(random, 8);
}

static struct deletion random_deletion(struct random *random, unsigned one_in)
{
    if (random_below(random, one_in) > 0)
        return DELETION_LIVE;
    return (struct deletion){random_time(random), 100 + (int32_t)random_below(random, 4) * 10};
}

static struct cell random_cell(struct random *random, unsigned number)
{
    static const uint8_t values[][4] = {"\0\0\0\1", "\0\0\0\2", "\xff\xff\xff\xff"};
    struct cell cell = {.timestamp_us = random_time(random),
        .local_deletion_time_s = LOCAL_DELETION_TIME_NONE,
        .column = column_of(number),
        .value = bytes_of(values[random_below(random, 3)], random_below(random, 3) ? 4 : 0)};

    if (number >= 2)
        cell.path = bytes_of(paths[(number - 2) % MODEL_PATHS], 1);
    switch (random_below(random, 4)) {
    case 0:
        cell.local_deletion_time_s = 100 + (int32_t)random_below(random, 4) * 10;
        cell.value = bytes_of("", 0);
        break;
    case 1:
        cell.ttl_s = 10 + (int32_t)random_below(random, 2) * 10;
        cell.local_deletion_time_s = 110 + (int32_t)random_below(random, 4) * 10;
        break;
    default:
        break;
    }
    return cell;
}

static void random_row(struct random *random, bool is_static, struct model_row *row)
{
    *row = (struct model_row){.liveness = LIVENESS_NONE,
        .deletion = DELETION_LIVE,
        .maps = {DELETION_LIVE, DELETION_LIVE}};
    if (random_below(random, 3) == 0)
        return;
    if (!is_static) {
        row->deletion = random_deletion(random, 4);
        if (random_below(random, 2)) {
            row->liveness.timestamp_us = random_time(random);
            if (random_below(random, 3) == 0) {
                row->liveness.ttl_s = 10 + (int32_t)random_below(random, 2) * 10;
                row->liveness.local_deletion_time_s = 110 + (int32_t)random_below(random, 4) * 10;
            }
        }
    }
    for (unsigned i = 0; i < 2; i++)
        row->maps[i] = random_deletion(random, 4);
    for (unsigned i = 0; i < MODEL_CELLS; i++) {
        row->has[i] = random_below(random, 3) == 0;
        row->cells[i] = random_cell(random, i);
    }
}

void model_random(struct random *random, struct model *to)
{
    struct model raw = {.deletion = random_deletion(random, 4)};

    random_row(random, true, &raw.static_row);
    for (unsigned i = 0; i < MODEL_ROWS; i++)
        random_row(random, false, &raw.rows[i]);
    for (unsigned i = 0; i < MODEL_STRETCHES; i++)
        raw.stretches[i] =
            i > 0 && random_below(random, 2) ? raw.stretches[i - 1] : random_deletion(random, 2);
    model_merge(&raw, 1, to);
}

/* ---- rules ---- */

static bool newer(struct deletion a, struct deletion b)
{
    return a.marked_for_delete_at_us > b.marked_for_delete_at_us ||
           (a.marked_for_delete_at_us == b.marked_for_delete_at_us &&
               a.local_deletion_time_s > b.local_deletion_time_s);
}

static struct deletion newest(struct deletion a, struct deletion b)
{
    return newer(b, a) ? b : a;
}

/* Tuples of six, the greater wins; the value is the last. */
static bool cell_beats(const struct cell *a, const struct cell *b)
{
    const struct cell *cells[] = {a, b};
    int64_t ranks[2][5];

    for (unsigned i = 0; i < 2; i++) {
        const struct cell *c = cells[i];
        bool ends = c->local_deletion_time_s != LOCAL_DELETION_TIME_NONE;
        ranks[i][0] = c->timestamp_us;
        ranks[i][1] = ends;
        ranks[i][2] = ends && c->ttl_s == 0;
        ranks[i][3] = ends ? c->local_deletion_time_s : 0;
        ranks[i][4] = -c->ttl_s;
    }
    for (unsigned i = 0; i < 5; i++) {
        if (ranks[0][i] != ranks[1][i])
            return ranks[0][i] > ranks[1][i];
    }
    return bytes_compare(a->value, b->value) > 0;
}

static bool liveness_beats(struct liveness a, struct liveness b)
{
    if (a.timestamp_us != b.timestamp_us)
        return a.timestamp_us > b.timestamp_us;
    if (!a.ttl_s != !b.ttl_s)
        return a.ttl_s;
    if (a.local_deletion_time_s != b.local_deletion_time_s)
        return a.local_deletion_time_s > b.local_deletion_time_s;
    return a.ttl_s < b.ttl_s;
}

/* What `row`, which is of the first model, and its like in the others make under `active`. */
static void merge_row(const struct model *first, const struct model_row *row, unsigned count,
    struct deletion active, struct model_row *to)
{
    size_t offset = (size_t)((const char *)row - (const char *)first);
    struct model_row out = {.liveness = LIVENESS_NONE,
        .deletion = DELETION_LIVE,
        .maps = {DELETION_LIVE, DELETION_LIVE}};

    for (unsigned i = 0; i < count; i++) {
        const struct model_row *version =
            (const struct model_row *)(const void *)((const char *)&first[i] + offset);
        if (liveness_beats(version->liveness, out.liveness))
            out.liveness = version->liveness;
        out.deletion = newest(out.deletion, version->deletion);
        for (unsigned map = 0; map < 2; map++)
            out.maps[map] = newest(out.maps[map], version->maps[map]);
        for (unsigned cell = 0; cell < MODEL_CELLS; cell++) {
            if (version->has[cell] &&
                (!out.has[cell] || cell_beats(&version->cells[cell], &out.cells[cell]))) {
                out.has[cell] = true;
                out.cells[cell] = version->cells[cell];
            }
        }
    }
    if (!newer(out.deletion, active))
        out.deletion = DELETION_LIVE;
    active = newest(active, out.deletion);
    if (out.liveness.timestamp_us <= active.marked_for_delete_at_us)
        out.liveness = LIVENESS_NONE;
    for (unsigned map = 0; map < 2; map++) {
        if (!newer(out.maps[map], active))
            out.maps[map] = DELETION_LIVE;
    }
    for (unsigned cell = 0; cell < MODEL_CELLS; cell++) {
        struct deletion deletion = active;
        if (column_of(cell) >= 2)
            deletion = newest(active, out.maps[column_of(cell) - 2]);
        if (out.cells[cell].timestamp_us <= deletion.marked_for_delete_at_us)
            out.has[cell] = false;
    }
    *to = out;
}

void model_merge(const struct model *models, unsigned count, struct model *to)
{
    struct model out = {.deletion = DELETION_LIVE};

    for (unsigned i = 0; i < count; i++)
        out.deletion = newest(out.deletion, models[i].deletion);
    for (unsigned stretch = 0; stretch < MODEL_STRETCHES; stretch++) {
        out.stretches[stretch] = DELETION_LIVE;
        for (unsigned i = 0; i < count; i++)
            out.stretches[stretch] = newest(out.stretches[stretch], models[i].stretches[stretch]);
        if (!newer(out.stretches[stretch], out.deletion))
            out.stretches[stretch] = DELETION_LIVE;
    }
    merge_row(models, &models[0].static_row, count, out.deletion, &out.static_row);
    for (unsigned row = 0; row < MODEL_ROWS; row++)
        merge_row(models, &models[0].rows[row], count, newest(out.deletion, out.stretches[2 * row]),
            &out.rows[row]);
    *to = out;
}

static bool lives(int32_t local_deletion_time_s, int32_t ttl_s, int64_t now_s)
{
    return local_deletion_time_s == LOCAL_DELETION_TIME_NONE ||
           (ttl_s && now_s < local_deletion_time_s);
}

struct limits {
    int64_t now_s, gc_before_s, max_purgeable_us;
};

static bool goes(const struct limits *limits, int64_t timestamp_us, int32_t local_deletion_time_s)
{
    return local_deletion_time_s < limits->gc_before_s && timestamp_us < limits->max_purgeable_us;
}

static void purge_deletion(const struct limits *limits, struct deletion *deletion)
{
    if (!deletion_is_live(*deletion) &&
        goes(limits, deletion->marked_for_delete_at_us, deletion->local_deletion_time_s))
        *deletion = DELETION_LIVE;
}

static void purge_row(const struct limits *limits, struct model_row *row)
{
    purge_deletion(limits, &row->deletion);
    purge_deletion(limits, &row->maps[0]);
    purge_deletion(limits, &row->maps[1]);
    if (row->liveness.ttl_s && limits->now_s >= row->liveness.local_deletion_time_s &&
        goes(limits, row->liveness.timestamp_us, row->liveness.local_deletion_time_s))
        row->liveness = LIVENESS_NONE;
    for (unsigned i = 0; i < MODEL_CELLS; i++) {
        struct cell *cell = &row->cells[i];
        if (!row->has[i] || lives(cell->local_deletion_time_s, cell->ttl_s, limits->now_s))
            continue;
        cell->local_deletion_time_s -= cell->ttl_s;
        /* Whether as what it was or as a tombstone from the time of the write: the latter is the
         * earlier one, so it alone decides. */
        if (goes(limits, cell->timestamp_us, cell->local_deletion_time_s))
            row->has[i] = false;
        cell->ttl_s = 0;
        cell->value = bytes_of("", 0);
    }
}

void model_purge(struct model *model, int64_t now_s, int64_t gc_before_s, int64_t max_purgeable_us)
{
    const struct limits limits = {now_s, gc_before_s, max_purgeable_us};

    purge_deletion(&limits, &model->deletion);
    purge_row(&limits, &model->static_row);
    for (unsigned i = 0; i < MODEL_ROWS; i++)
        purge_row(&limits, &model->rows[i]);
    for (unsigned i = 0; i < MODEL_STRETCHES; i++)
        purge_deletion(&limits, &model->stretches[i]);
}

static void live_row(struct model_row *row, int64_t now_s)
{
    row->deletion = row->maps[0] = row->maps[1] = DELETION_LIVE;
    if (row->liveness.ttl_s && now_s >= row->liveness.local_deletion_time_s)
        row->liveness = LIVENESS_NONE;
    for (unsigned i = 0; i < MODEL_CELLS; i++)
        row->has[i] =
            row->has[i] && lives(row->cells[i].local_deletion_time_s, row->cells[i].ttl_s, now_s);
}

void model_live(struct model *model, int64_t now_s)
{
    model->deletion = DELETION_LIVE;
    live_row(&model->static_row, now_s);
    for (unsigned i = 0; i < MODEL_ROWS; i++)
        live_row(&model->rows[i], now_s);
    for (unsigned i = 0; i < MODEL_STRETCHES; i++)
        model->stretches[i] = DELETION_LIVE;
}

/* ---- as arrays ---- */

static void *room(struct arena *arena, size_t bytes)
{
    void *memory = arena_alloc(arena, bytes);

    if (!memory)
        abort();
    return memory;
}

static const struct bytes *clustering_value(unsigned row, struct arena *arena)
{
    struct bytes *value = room(arena, sizeof(*value));
    uint8_t *bytes = room(arena, 4);

    /* From below zero on: the order is the type's, not that of the bytes. */
    store_be32(bytes, row - 2);
    *value = bytes_of(bytes, 4);
    return value;
}

/* False: there is nothing in it. */
static bool row_to_array(const struct model_row *row, struct arena *arena, struct row *to)
{
    struct complex_deletion *maps = room(arena, 2 * sizeof(*maps));
    struct cell *cells = room(arena, MODEL_CELLS * sizeof(*cells));

    *to = (struct row){.clustering.kind = KIND_STATIC,
        .liveness = row->liveness,
        .deletion = row->deletion,
        .cells = cells,
        .complex_deletions = maps};
    for (unsigned i = 0; i < 2; i++) {
        if (!deletion_is_live(row->maps[i]))
            maps[to->complex_deletion_count++] =
                (struct complex_deletion){(uint16_t)(2 + i), row->maps[i]};
    }
    for (unsigned i = 0; i < MODEL_CELLS; i++) {
        if (row->has[i])
            cells[to->cell_count++] = row->cells[i];
    }
    return to->cell_count > 0 || to->complex_deletion_count > 0 ||
           row->liveness.timestamp_us != TIMESTAMP_NONE || !deletion_is_live(row->deletion);
}

/* The marker at a bound, before which `closes` is deleted and behind which `opens` is. */
static struct unfiltered marker_at(
    unsigned bound, struct deletion closes, struct deletion opens, struct arena *arena)
{
    static const uint8_t kinds[2][3] = {{KIND_INCL_START, KIND_EXCL_END, KIND_EXCL_END_INCL_START},
        {KIND_EXCL_START, KIND_INCL_END, KIND_INCL_END_EXCL_START}};
    unsigned what = deletion_is_live(closes) ? 0 : deletion_is_live(opens) ? 1 : 2;

    return (struct unfiltered){.is_marker = true,
        .marker = {.bound = {clustering_value(bound / 2, arena), 1, kinds[bound % 2][what]},
            .closes = closes,
            .opens = opens}};
}

struct array_partition model_to_array(
    const struct model *model, struct bytes key, struct arena *arena)
{
    struct unfiltered *unfiltereds =
        room(arena, (MODEL_ROWS + MODEL_STRETCHES + 1) * sizeof(*unfiltereds));
    struct array_partition to = {
        .key = key, .deletion = model->deletion, .unfiltereds = unfiltereds};
    struct row *static_row = room(arena, sizeof(*static_row));
    struct deletion open = DELETION_LIVE;

    if (row_to_array(&model->static_row, arena, static_row))
        to.static_row = static_row;
    for (unsigned stretch = 0; stretch <= MODEL_STRETCHES; stretch++) {
        struct deletion here =
            stretch < MODEL_STRETCHES ? model->stretches[stretch] : DELETION_LIVE;
        struct row row;

        if (newer(here, open) || newer(open, here))
            unfiltereds[to.count++] = marker_at(stretch, open, here, arena);
        open = here;
        if (stretch % 2 == 0 && row_to_array(&model->rows[stretch / 2], arena, &row)) {
            row.clustering = (struct clustering){clustering_value(stretch / 2, arena), 1, KIND_ROW};
            unfiltereds[to.count++] = (struct unfiltered){.row = row};
        }
    }
    return to;
}
