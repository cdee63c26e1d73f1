#include "run_writer.h"

#include "engine/error.h"
#include "engine/log.h"
#include "state.h"

#define STEP_BYTES (1u << 20)
#define STEP_UNFILTEREDS 8192

struct run_writer {
    struct engine *engine;
    struct run_writer_options options;
    struct partition_scanner *scanner;
    struct partition_iterator *partition; /* being written: the scanner's; NULL: none */
    struct sstable_writer *writer;        /* NULL: none begun */
    struct sstable_id id;                 /* of what the writer writes */
    uint64_t range;                       /* of the ring, in which its partitions are */
    uint64_t partition_tombstones;        /* of what the writer writes */
    struct manifest_sstable *sstables;
    size_t count;
    size_t linked; /* of them in the table's folder */
    bool kept;
};

int run_writer_new(struct engine *engine, const struct run_writer_options *options,
    struct partition_scanner *scanner, struct run_writer **ret_run)
{
    struct run_writer *run = calloc(1, sizeof(*run));

    if (!run) {
        scanner_close(scanner);
        return -ENOMEM;
    }
    run->engine = engine;
    run->options = *options;
    run->scanner = scanner;
    *ret_run = run;
    return 0;
}

/* ---- writing ---- */

static int open_writer(struct run_writer *run)
{
    struct engine *engine = run->engine;

    run->id = engine_next_id(engine);
    run->partition_tombstones = 0;
    return sstable_writer_open(engine->env, "tmp", &run->id, &engine->tables[run->options.table],
        &run->options.writer, &run->writer);
}

static int finish_writer(struct run_writer *run)
{
    struct sstable_writer *writer = run->writer;
    struct manifest_sstable *grown, *entry;
    int r;

    if (!writer)
        return 0;
    run->writer = NULL;
    grown = reallocarray(run->sstables, run->count + 1, sizeof(*grown));
    if (!grown) {
        sstable_writer_discard(writer);
        return -ENOMEM;
    }
    run->sstables = grown;
    entry = &grown[run->count];
    *entry = (struct manifest_sstable){
        .table = run->options.table,
        .live = true,
        .compacted = run->options.compacted,
        .level = run->options.level,
        .partition_tombstones = run->partition_tombstones,
    };
    r = sstable_writer_finish(writer, &entry->facts);
    if (r == 0)
        run->count++;
    return r;
}

static uint64_t range_of(const struct run_writer *run, int64_t token)
{
    uint64_t place = (uint64_t)token + (1ull << 63); /* the ring begins at the lowest token */

    return run->options.range_bits == 0 ? 0 : place >> (64 - run->options.range_bits);
}

/* A writer for a partition with this token. */
static int prepare_writer(struct run_writer *run, int64_t token)
{
    uint64_t range = range_of(run, token);
    int r = 0;

    if (run->writer && range != run->range)
        r = finish_writer(run);
    if (r == 0 && !run->writer)
        r = open_writer(run);
    run->range = range;
    return r;
}

/* Begins the scanner's next partition that has anything in it. 1: begun; 0: no more. */
static int begin_partition(struct run_writer *run)
{
    const struct unfiltered *first;
    int r;

    for (;;) {
        struct partition_iterator *partition;

        r = scanner_next(run->scanner, &partition);
        if (r <= 0)
            return r;
        first = NULL;
        if (deletion_is_live(partition->deletion) && !partition->static_row) {
            r = partition_next(partition, &first);
            if (r < 0)
                return r;
            if (r == 0)
                continue;
        }
        r = prepare_writer(run, partition->key.token);
        if (r < 0)
            return r;
        r = sstable_writer_begin_partition(
            run->writer, &partition->key, partition->deletion, partition->static_row);
        if (r == 0 && first)
            r = sstable_writer_append(run->writer, first);
        if (r < 0)
            return r;
        run->partition_tombstones += !deletion_is_live(partition->deletion);
        run->partition = partition;
        return 1;
    }
}

static int end_partition(struct run_writer *run)
{
    int r = sstable_writer_end_partition(run->writer);

    run->partition = NULL;
    if (r == 0 && sstable_writer_bytes(run->writer) >= run->options.bytes_max)
        r = finish_writer(run);
    return r;
}

int run_writer_step(struct run_writer *run)
{
    uint64_t begin = run->writer ? sstable_writer_stream_bytes(run->writer) : 0;
    int r;

    for (unsigned n = 0; n < STEP_UNFILTEREDS; n++) {
        const struct unfiltered *unfiltered;

        if (!run->partition) {
            r = begin_partition(run);
            if (r == 0)
                r = finish_writer(run);
            else if (r > 0)
                continue;
            return r;
        }
        r = partition_next(run->partition, &unfiltered);
        if (r < 0)
            return r;
        r = r == 0 ? end_partition(run) : sstable_writer_append(run->writer, unfiltered);
        if (r < 0)
            return r;
        if (run->writer && sstable_writer_stream_bytes(run->writer) - begin >= STEP_BYTES)
            break;
    }
    return 1;
}

/* ---- into place, or away ---- */

static void component_path(const char *folder, const struct sstable_id *id,
    enum sstable_component component, char to[DATA_FOLDER_MAX + SSTABLE_FILE_NAME_MAX + 2])
{
    char name[SSTABLE_FILE_NAME_MAX + 1];

    sstable_file_name(id, component, name);
    snprintf(to, DATA_FOLDER_MAX + SSTABLE_FILE_NAME_MAX + 2, "%s/%s", folder, name);
}

static int rename_components(struct run_writer *run, const struct sstable_id *id)
{
    struct engine *engine = run->engine;
    const char *folder = engine->folders[run->options.table];
    unsigned components = sstable_components(&engine->tables[run->options.table]);
    char from[DATA_FOLDER_MAX + SSTABLE_FILE_NAME_MAX + 2];
    char to[DATA_FOLDER_MAX + SSTABLE_FILE_NAME_MAX + 2];

    for (unsigned c = 0; c < COMPONENT_COUNT; c++) {
        int r;

        if (!(components & 1u << c))
            continue;
        component_path("tmp", id, c, from);
        component_path(folder, id, c, to);
        r = io_rename(engine->env, from, to);
        if (r < 0)
            return r;
    }
    return 0;
}

int run_writer_link(struct run_writer *const *runs, size_t count)
{
    bool linked = false;

    for (size_t i = 0; i < count; i++) {
        struct run_writer *run = runs[i];

        while (run->linked < run->count) {
            int r = rename_components(run, &run->sstables[run->linked++].facts.id);

            if (r < 0)
                return r;
            linked = true;
        }
    }
    return linked ? io_sync_directory(
                        runs[0]->engine->env, runs[0]->engine->folders[runs[0]->options.table])
                  : 0;
}

struct manifest_sstable *run_writer_sstables(struct run_writer *run, size_t *ret_count)
{
    *ret_count = run->count;
    return run->sstables;
}

void run_writer_keep(struct run_writer *run)
{
    run->kept = true;
}

static void remove_files(struct run_writer *run, const char *folder, const struct sstable_id *id)
{
    char path[DATA_FOLDER_MAX + SSTABLE_FILE_NAME_MAX + 2];

    for (unsigned c = 0; c < COMPONENT_COUNT; c++) {
        int r;

        component_path(folder, id, c, path);
        r = io_unlink(run->engine->env, path);
        if (r < 0 && r != -ENOENT)
            log_warning("op=discard path=%s: %s", path, err_text(r));
    }
}

void run_writer_free(struct run_writer *run)
{
    if (!run)
        return;
    if (run->writer)
        sstable_writer_discard(run->writer);
    scanner_close(run->scanner);
    for (size_t i = 0; i < run->count && !run->kept; i++) {
        remove_files(run, "tmp", &run->sstables[i].facts.id);
        if (i < run->linked)
            remove_files(run, run->engine->folders[run->options.table], &run->sstables[i].facts.id);
    }
    free(run->sstables);
    free(run);
}
