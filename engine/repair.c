#include "repairing.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "engine/error.h"
#include "identity.h"
#include "state.h"
#include "time_text.h"

#define ROLL_BYTES (1u << 20)
#define TEXT_BYTES 1024

/* ---- speaking ---- */

void repair_tell(struct repair *repair, bool is_loss, const char *format, ...)
{
    char text[TEXT_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    repair->say(repair->arg, is_loss, text);
}

static void tell_hole(struct repair *repair, const struct commitlog_hole *hole)
{
    uint64_t segment = position_segment(hole->position);
    uint64_t next_segment = position_segment(hole->next);
    char when[TIME_TEXT_BYTES], count[32] = "";

    time_text(hole->timestamp_us, when);
    if (hole->records > 0)
        snprintf(count, sizeof(count), " (%u, it seems)", hole->records);
    if (hole->missing)
        repair_tell(repair, true,
            "log: segment %016" PRIx64 " at %" PRIu64
            ": a batch of %s whose large values are gone: it is lost",
            segment, position_offset(hole->position), when);
    else if (hole->next && next_segment == segment)
        repair_tell(repair, true,
            "log: segment %016" PRIx64 " at %" PRIu64 ": %" PRIu64
            " bytes are damaged: the batches there%s, next after %s, are lost",
            segment, position_offset(hole->position), hole->next - hole->position, count, when);
    else if (hole->next)
        repair_tell(repair, true,
            "log: damaged from segment %016" PRIx64 " at %" PRIu64 " to segment %016" PRIx64
            " at %" PRIu64 ": the batches there, next after %s, are lost",
            segment, position_offset(hole->position), next_segment, position_offset(hole->next),
            when);
    else
        repair_tell(repair, true,
            "log: damaged from segment %016" PRIx64 " at %" PRIu64
            " to its end: the batches after %s are lost",
            segment, position_offset(hole->position), when);
}

/* ---- collecting ---- */

int repair_step_over(struct repair *repair, const struct commitlog_hole *hole)
{
    struct commitlog_hole *grown =
        reallocarray(repair->holes, repair->hole_count + 1, sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    repair->holes = grown;
    grown[repair->hole_count++] = *hole;
    tell_hole(repair, hole);
    return HOLE_STEP;
}

int repair_lose(struct repair *repair, const char *path)
{
    size_t size = strlen(path) + 1;
    struct lost_path *lost = malloc(sizeof(*lost) + size);

    if (!lost)
        return -ENOMEM;
    memcpy(lost->path, path, size);
    lost->next = repair->lost;
    repair->lost = lost;
    return 0;
}

int repair_add_cut(struct repair *repair, uint64_t from_position, uint64_t to_segment)
{
    struct manifest_state *state = &repair->state;
    struct commitlog_cut *grown =
        reallocarray(state->cuts, state->cut_count + 1, sizeof(*state->cuts));

    if (!grown)
        return -ENOMEM;
    state->cuts = grown;
    grown[state->cut_count++] = (struct commitlog_cut){from_position, to_segment};
    return 0;
}

struct manifest_options repair_manifest_options(const struct repair *repair)
{
    struct manifest_options options = {.tables = repair->tables,
        .table_count = repair->table_count,
        .roll_bytes = ROLL_BYTES,
        .read_only = true};

    memcpy(options.store_uuid, repair->identity.uuid, sizeof(options.store_uuid));
    return options;
}

/* ---- begin ---- */

static int lock_store(struct repair *repair)
{
    int r = identity_read(repair->env, &repair->identity);

    if (r == 0)
        r = lock_take(repair->env, false, &repair->lock);
    if (r != -ENOENT)
        return r;
    r = lock_create(repair->env);
    return r < 0 ? r : lock_take(repair->env, false, &repair->lock);
}

static int begin(struct env *env, const struct table_schema *tables, unsigned table_count,
    repair_say say, void *arg, struct repair **ret_repair)
{
    struct repair *repair;
    int r = engine_check_tables(tables, table_count);

    *ret_repair = NULL;
    if (r < 0)
        return r;
    repair = calloc(1, sizeof(*repair));
    if (!repair)
        return -ENOMEM;
    *repair = (struct repair){.env = env,
        .tables = tables,
        .table_count = table_count,
        .lock = -1,
        .say = say,
        .arg = arg};
    r = lock_store(repair);
    if (r < 0) {
        repair_discard(repair);
        return r;
    }
    *ret_repair = repair;
    return 0;
}

/* What there is to do, or none is left. */
static int begun(int r, struct repair **repair)
{
    if (r > 0)
        return r;
    repair_discard(*repair);
    *repair = NULL;
    return r;
}

/* 1: it is lost or damaged; 0: it is good. */
static int manifest_is_lost(struct repair *repair)
{
    struct manifest_options options = repair_manifest_options(repair);
    struct manifest *manifest = NULL;
    int r = manifest_open(repair->env, &options, &manifest);

    manifest_free(manifest);
    if (r == 0)
        return 0;
    if (r != -ENOENT && !err_is_damage(r))
        return r;
    repair_tell(repair, false, "the manifest does not open: %s", err_text(r));
    return 1;
}

int repair_manifest_begin(struct env *env, const struct table_schema *tables, unsigned table_count,
    repair_say say, void *arg, struct repair **ret_repair)
{
    int r = begin(env, tables, table_count, say, arg, ret_repair);

    if (r < 0)
        return r;
    r = manifest_is_lost(*ret_repair);
    if (r > 0) {
        (*ret_repair)->rebuilds = true;
        r = manifest_rebuild(*ret_repair);
        r = r < 0 ? r : 1;
    }
    return begun(r, ret_repair);
}

static int found_hole(void *arg, const struct commitlog_hole *hole)
{
    return repair_step_over(arg, hole);
}

static int look_at_log(struct repair *repair)
{
    static const struct commitlog_visitor visitor = {.hole = found_hole};
    struct manifest_options options = repair_manifest_options(repair);
    struct commitlog_replay_result result;
    struct manifest *manifest = NULL;
    const struct manifest_state *state;
    int r = manifest_open(repair->env, &options, &manifest);

    if (r < 0)
        return err_with(r, "the log can be mended when the manifest is good");
    state = manifest_state(manifest);
    r = commitlog_visit(repair->env, repair->identity.uuid,
        (struct commitlog_flushed){state->flushed, repair->table_count}, state->cuts,
        (unsigned)state->cut_count, &visitor, repair, &result);
    manifest_free(manifest);
    if (r < 0)
        return r;
    repair->state.next_segment = result.next_segment;
    return repair->hole_count > 0;
}

int repair_log_begin(struct env *env, const struct table_schema *tables, unsigned table_count,
    repair_say say, void *arg, struct repair **ret_repair)
{
    int r = begin(env, tables, table_count, say, arg, ret_repair);

    if (r < 0)
        return r;
    return begun(look_at_log(*ret_repair), ret_repair);
}

/* ---- commit ---- */

/* Under `lost`, with a name that tells where it was and is new there. */
static int move_away(struct repair *repair, const char *path)
{
    AUTO(freep) char *to = NULL;
    int r;

    if (asprintf(&to, LOST_FOLDER "/%016" PRIx64 "-%s", env_random(repair->env), path) < 0) {
        to = NULL;
        return -ENOMEM;
    }
    for (char *at = to + strlen(LOST_FOLDER "/"); *at; at++)
        if (*at == '/')
            *at = '-';
    r = io_rename(repair->env, path, to);
    return r == -ENOENT ? 0 : r;
}

static int move_manifest(void *arg, const char *name)
{
    char path[SSTABLE_FILE_NAME_MAX];

    snprintf(path, sizeof(path), "manifest/%s", name);
    return repair_lose(arg, path);
}

static int move_lost(struct repair *repair)
{
    int r = io_ensure_directory(repair->env, LOST_FOLDER);

    if (r == 0 && repair->rebuilds) {
        r = io_list(repair->env, "manifest", move_manifest, repair);
        r = r == -ENOENT ? 0 : r;
    }
    for (struct lost_path *lost = repair->lost; r == 0 && lost; lost = lost->next)
        r = move_away(repair, lost->path);
    if (r == 0)
        r = io_sync_directory(repair->env, LOST_FOLDER);
    return r < 0 ? r : io_sync_directory(repair->env, "");
}

/* What the damaged bytes were is kept, too. */
static int fill(struct repair *repair, uint64_t from, uint64_t to, int64_t timestamp_us)
{
    AUTO(buf_release) struct buf before = BUF_INIT;
    char path[64];
    int r = commitlog_fill(repair->env, repair->identity.uuid, from, to, timestamp_us, &before);

    snprintf(path, sizeof(path), LOST_FOLDER "/log-%016" PRIx64, from);
    return r < 0 ? r : io_write_file(repair->env, path, buf_bytes(&before), true);
}

/* In a segment the hole is filled with notes; from one to another it is cut out. */
static int mend_hole(struct repair *repair, const struct commitlog_hole *hole)
{
    uint64_t from = hole->position;
    uint64_t to_segment = position_segment(hole->next);
    int r = 0;

    if (!hole->next)
        return repair_add_cut(repair, from, repair->state.next_segment);
    if (to_segment != position_segment(from)) {
        r = repair_add_cut(repair, from, to_segment);
        from = position_of(to_segment, SEGMENT_HEADER_BYTES);
    }
    if (r == 0 && from < hole->next)
        r = fill(repair, from, hole->next, hole->timestamp_us);
    return r;
}

static int add_cuts(struct repair *repair)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    struct manifest_options options = repair_manifest_options(repair);
    struct manifest *manifest;
    int r;

    if (repair->state.cut_count == 0)
        return 0;
    options.read_only = false;
    r = manifest_open(repair->env, &options, &manifest);
    if (r < 0)
        return r;
    for (size_t i = 0; i < repair->state.cut_count; i++)
        manifest_edit_cut(&edit, &repair->state.cuts[i]);
    r = manifest_commit(manifest, &edit);
    manifest_free(manifest);
    return r;
}

static int write_manifest(struct repair *repair)
{
    struct manifest_options options = repair_manifest_options(repair);
    int r;

    options.read_only = false;
    r = manifest_create(repair->env, &options, &repair->state);
    return r < 0 ? r : io_sync_directory(repair->env, "");
}

int repair_commit(struct repair *repair)
{
    int r = move_lost(repair);

    for (size_t i = 0; r == 0 && i < repair->hole_count; i++)
        r = mend_hole(repair, &repair->holes[i]);
    if (r == 0)
        r = repair->rebuilds ? write_manifest(repair) : add_cuts(repair);
    return r < 0 ? err_with(r, "repair") : 0;
}

void repair_discard(struct repair *repair)
{
    if (!repair)
        return;
    while (repair->lost) {
        struct lost_path *lost = repair->lost;

        repair->lost = lost->next;
        free(lost);
    }
    free(repair->holes);
    manifest_state_release(&repair->state);
    if (repair->lock >= 0)
        lock_release(repair->env, false, repair->lock);
    free(repair);
}
