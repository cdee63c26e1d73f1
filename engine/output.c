#include "output.h"

#include "engine/error.h"
#include "engine/log.h"
#include "state.h"

#define STEP_BYTES (1u << 20)
#define STEP_UNFILTEREDS 8192

struct output {
    struct engine *engine;
    struct output_options options;
    struct partition_scanner *scanner;
    struct partition_iterator *partition; /* being written: the scanner's; NULL: none */
    struct sstable_writer *writer;        /* NULL: none begun */
    struct sstable_id id;                 /* of what the writer writes */
    uint64_t partition_tombstones;        /* of what the writer writes */
    struct manifest_sstable *sstables;
    size_t count;
    size_t linked; /* of them in the table's folder */
    bool kept;
};

int output_new(struct engine *engine, const struct output_options *options,
    struct partition_scanner *scanner, struct output **ret_output)
{
    struct output *output = calloc(1, sizeof(*output));

    if (!output) {
        scanner_close(scanner);
        return -ENOMEM;
    }
    output->engine = engine;
    output->options = *options;
    output->scanner = scanner;
    *ret_output = output;
    return 0;
}

/* ---- writing ---- */

static int open_writer(struct output *output)
{
    struct engine *engine = output->engine;

    output->id = engine_next_id(engine);
    output->partition_tombstones = 0;
    return sstable_writer_open(engine->env, "tmp", &output->id,
        &engine->tables[output->options.table], &output->options.writer, &output->writer);
}

static int finish_writer(struct output *output)
{
    struct sstable_writer *writer = output->writer;
    struct manifest_sstable *grown, *entry;
    int r;

    if (!writer)
        return 0;
    output->writer = NULL;
    grown = reallocarray(output->sstables, output->count + 1, sizeof(*grown));
    if (!grown) {
        sstable_writer_discard(writer);
        return -ENOMEM;
    }
    output->sstables = grown;
    entry = &grown[output->count];
    *entry = (struct manifest_sstable){
        .table = output->options.table,
        .live = true,
        .compacted = output->options.compacted,
        .partition_tombstones = output->partition_tombstones,
    };
    r = sstable_writer_finish(writer, &entry->facts);
    if (r == 0)
        output->count++;
    return r;
}

/* Begins the scanner's next partition that has anything in it. 1: begun; 0: no more. */
static int begin_partition(struct output *output)
{
    const struct unfiltered *first;
    int r;

    for (;;) {
        struct partition_iterator *partition;

        r = scanner_next(output->scanner, &partition);
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
        if (!output->writer) {
            r = open_writer(output);
            if (r < 0)
                return r;
        }
        r = sstable_writer_begin_partition(
            output->writer, &partition->key, partition->deletion, partition->static_row);
        if (r == 0 && first)
            r = sstable_writer_append(output->writer, first);
        if (r < 0)
            return r;
        output->partition_tombstones += !deletion_is_live(partition->deletion);
        output->partition = partition;
        return 1;
    }
}

static int end_partition(struct output *output)
{
    int r = sstable_writer_end_partition(output->writer);

    output->partition = NULL;
    if (r == 0 && sstable_writer_bytes(output->writer) >= output->options.bytes_max)
        r = finish_writer(output);
    return r;
}

int output_step(struct output *output)
{
    uint64_t begin = output->writer ? sstable_writer_bytes(output->writer) : 0;
    int r;

    for (unsigned n = 0; n < STEP_UNFILTEREDS; n++) {
        const struct unfiltered *unfiltered;

        if (!output->partition) {
            r = begin_partition(output);
            if (r == 0)
                r = finish_writer(output);
            else if (r > 0)
                continue;
            return r;
        }
        r = partition_next(output->partition, &unfiltered);
        if (r < 0)
            return r;
        r = r == 0 ? end_partition(output) : sstable_writer_append(output->writer, unfiltered);
        if (r < 0)
            return r;
        if (output->writer && sstable_writer_bytes(output->writer) - begin >= STEP_BYTES)
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

int output_link(struct output *output)
{
    struct engine *engine = output->engine;
    const char *folder = engine->folders[output->options.table];
    unsigned components = sstable_components(&engine->tables[output->options.table]);
    char from[DATA_FOLDER_MAX + SSTABLE_FILE_NAME_MAX + 2];
    char to[DATA_FOLDER_MAX + SSTABLE_FILE_NAME_MAX + 2];

    if (output->count == 0)
        return 0;
    for (size_t i = 0; i < output->count; i++) {
        output->linked++;
        for (unsigned c = 0; c < COMPONENT_COUNT; c++) {
            int r;

            if (!(components & 1u << c))
                continue;
            component_path("tmp", &output->sstables[i].facts.id, c, from);
            component_path(folder, &output->sstables[i].facts.id, c, to);
            r = io_rename(engine->env, from, to);
            if (r < 0)
                return r;
        }
    }
    return io_sync_directory(engine->env, folder);
}

struct manifest_sstable *output_sstables(struct output *output, size_t *ret_count)
{
    *ret_count = output->count;
    return output->sstables;
}

void output_keep(struct output *output)
{
    output->kept = true;
}

static void remove_files(struct output *output, const char *folder, const struct sstable_id *id)
{
    char path[DATA_FOLDER_MAX + SSTABLE_FILE_NAME_MAX + 2];

    for (unsigned c = 0; c < COMPONENT_COUNT; c++) {
        int r;

        component_path(folder, id, c, path);
        r = io_unlink(output->engine->env, path);
        if (r < 0 && r != -ENOENT)
            log_warning("op=discard path=%s: %s", path, err_text(r));
    }
}

void output_free(struct output *output)
{
    if (!output)
        return;
    if (output->writer)
        sstable_writer_discard(output->writer);
    scanner_close(output->scanner);
    for (size_t i = 0; i < output->count && !output->kept; i++) {
        remove_files(output, "tmp", &output->sstables[i].facts.id);
        if (i < output->linked)
            remove_files(output, output->engine->folders[output->options.table],
                &output->sstables[i].facts.id);
    }
    free(output->sstables);
    free(output);
}
