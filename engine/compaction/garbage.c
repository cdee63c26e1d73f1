#include "compaction/garbage.h"

#include <errno.h>

#include "engine/error.h"
#include "engine/log.h"
#include "sstable/reader.h"

/* What a partition that is flushed deletes and writes. */
struct changes {
    bool partition, range;
    int64_t partition_us;
    uint64_t rows;                       /* of which something is deleted */
    uint64_t bytes;                      /* of values written */
    struct owned_clustering first, last; /* of the rows */
    bool has_rows;
};

struct counting_scanner {
    struct partition_scanner base;
    struct partition_scanner *source;
    struct garbage_count *count;
    struct partition_iterator partition; /* the one handed out */
    struct partition_iterator *reading;  /* the source's; NULL: none, or counted */
    struct changes changes;
};

/* ---- what is seen ---- */

static bool row_deletes(const struct row *row)
{
    if (!deletion_is_live(row->deletion) || row->complex_deletion_count > 0)
        return true;
    for (uint32_t i = 0; i < row->cell_count; i++)
        if (cell_is_tombstone(&row->cells[i]))
            return true;
    return false;
}

static int note_row(struct changes *changes, const struct row *row)
{
    int r;

    changes->rows += row_deletes(row);
    for (uint32_t i = 0; i < row->cell_count; i++)
        changes->bytes += row->cells[i].path.size + row->cells[i].value.size;
    r = changes->has_rows ? 0 : owned_clustering_set(&changes->first, &row->clustering);
    changes->has_rows = true;
    return r < 0 ? r : owned_clustering_set(&changes->last, &row->clustering);
}

static void begin(struct counting_scanner *scanner, struct partition_iterator *partition)
{
    struct changes *changes = &scanner->changes;

    scanner->reading = partition;
    changes->partition = !deletion_is_live(partition->deletion);
    changes->partition_us = partition->deletion.marked_for_delete_at_us;
    changes->range = changes->has_rows = false;
    changes->rows = partition->static_row && row_deletes(partition->static_row);
    changes->bytes = 0;
}

/* ---- what it makes of an older SSTable ---- */

/* In bytes of the uncompressed stream. 0: nothing, or negative. */
static int measure(const struct garbage_count *count, struct sstable *sstable,
    const struct decorated_key *key, const struct changes *changes, uint64_t *ret_bytes)
{
    const struct sstable_facts *facts = sstable_facts(sstable);
    struct slice slice = {changes->first.clustering, changes->last.clustering};
    uint64_t wanted, lies = 0;
    int r;

    *ret_bytes = 0;
    if (changes->partition && changes->partition_us >= facts->min_timestamp_us)
        return sstable_partition_bytes(sstable, key, ret_bytes);
    if (changes->range) {
        r = sstable_partition_bytes(sstable, key, ret_bytes);
        *ret_bytes /= 2; /* more is not known of a range */
        return r;
    }
    wanted = facts->rows > 0 ? facts->stream_bytes / facts->rows * changes->rows : 0;
    if (count->overwrites)
        wanted += changes->bytes;
    if (wanted == 0 || !changes->has_rows)
        return 0;
    slice.start.kind = KIND_INCL_START;
    slice.end.kind = KIND_INCL_END;
    r = sstable_slice_bytes(sstable, key, &slice, &lies);
    *ret_bytes = wanted < lies ? wanted : lies;
    return r;
}

static int add_up(struct counting_scanner *scanner, size_t place, struct sstable_handle *handle)
{
    const struct sstable_facts *facts = &handle->entry.facts;
    const struct decorated_key *key = &scanner->partition.key;
    AUTO(sstable_unrefp) struct sstable *sstable = NULL;
    uint64_t bytes;
    int r;

    if (key->token < facts->first_token || key->token > facts->last_token ||
        atomic_load(&handle->suspect))
        return 0;
    r = sstable_handle_open(handle, &sstable);
    if (r == 0)
        r = measure(scanner->count, sstable, key, &scanner->changes, &bytes);
    if (r > 0 && facts->stream_bytes > 0)
        scanner->count->bytes[place] +=
            (uint64_t)((double)bytes * (double)facts->total_bytes / (double)facts->stream_bytes);
    return r;
}

/* That an old SSTable cannot be read is no obstacle to a flush. */
static void count_partition(struct counting_scanner *scanner)
{
    const struct garbage_count *count = scanner->count;
    const struct sstable_set *set = count->set;
    const struct changes *changes = &scanner->changes;

    scanner->reading = NULL;
    if (!changes->partition && !changes->range && changes->rows == 0 &&
        (!count->overwrites || changes->bytes == 0))
        return;
    for (size_t i = 0; i < set->count; i++) {
        int r = add_up(scanner, i, set->handles[i]);

        if (r < 0)
            log_warning("op=count-garbage sstable=%s: %s", set->handles[i]->entry.facts.id.text,
                err_text(r));
        if (err_is_damage(r))
            atomic_store(&set->handles[i]->suspect, true);
    }
}

/* ---- the scanner ---- */

static int counting_next_unfiltered(
    struct partition_iterator *iterator, const struct unfiltered **ret)
{
    struct counting_scanner *scanner = CONTAINER_OF(iterator, struct counting_scanner, partition);
    int r;

    if (!scanner->reading)
        return 0;
    r = partition_next(scanner->reading, ret);
    if (r == 0)
        count_partition(scanner);
    if (r <= 0)
        return r;
    if ((*ret)->is_marker) {
        scanner->changes.range = true;
        return 1;
    }
    r = note_row(&scanner->changes, &(*ret)->row);
    return r < 0 ? r : 1;
}

/* It is the scanner's. */
static void counting_close_partition(struct partition_iterator *iterator)
{
    (void)iterator;
}

static const struct partition_iterator_ops partition_ops = {
    counting_next_unfiltered, counting_close_partition, NULL};

static int counting_next(struct partition_scanner *base, struct partition_iterator **ret_partition)
{
    struct counting_scanner *scanner = CONTAINER_OF(base, struct counting_scanner, base);
    struct partition_iterator *source;
    int r = scanner_next(scanner->source, &source);

    if (r <= 0)
        return r;
    begin(scanner, source);
    scanner->partition = *source;
    scanner->partition.ops = &partition_ops;
    *ret_partition = &scanner->partition;
    return 1;
}

static void counting_close(struct partition_scanner *base)
{
    struct counting_scanner *scanner = CONTAINER_OF(base, struct counting_scanner, base);

    scanner_close(scanner->source);
    owned_clustering_release(&scanner->changes.first);
    owned_clustering_release(&scanner->changes.last);
    free(scanner);
}

static const struct partition_scanner_ops counting_ops = {counting_next, counting_close};

int garbage_scanner(struct partition_scanner *source, const struct view *view, unsigned table,
    struct garbage_count *count, struct partition_scanner **ret_scanner)
{
    struct counting_scanner *scanner = calloc(1, sizeof(*scanner));

    *count = (struct garbage_count){
        .set = sstable_set_ref(view->tables[table].sstables),
        .table = table,
        /* What is levelled is written again anyway. */
        .overwrites = source->schema->compaction == COMPACT_GARBAGE,
        .bytes = calloc(view->tables[table].sstables->count + 1, sizeof(*count->bytes)),
    };
    if (!scanner || !count->bytes) {
        scanner_close(source);
        free(scanner);
        return -ENOMEM;
    }
    scanner->base = (struct partition_scanner){&counting_ops, source->schema};
    scanner->source = source;
    scanner->count = count;
    owned_clustering_init(&scanner->changes.first);
    owned_clustering_init(&scanner->changes.last);
    *ret_scanner = &scanner->base;
    return 0;
}

void garbage_count_release(struct garbage_count *count)
{
    sstable_set_unref(count->set);
    free(count->bytes);
    *count = GARBAGE_COUNT_INIT;
}

/* ---- recording ---- */

static void add(struct sstable_handle *handle, uint64_t bytes, struct manifest_edit *edit)
{
    uint64_t garbage = atomic_load(&handle->garbage_bytes) + bytes;

    if (bytes == 0)
        return;
    if (garbage > handle->entry.facts.total_bytes)
        garbage = handle->entry.facts.total_bytes;
    atomic_store(&handle->garbage_bytes, garbage);
    manifest_edit_garbage(edit, handle->entry.number, garbage);
}

/* The SSTable was compacted since: to each piece of its successor its share. */
static void add_to_run(
    const struct sstable_set *set, uint64_t run, uint64_t bytes, struct manifest_edit *edit)
{
    uint64_t total = 0;

    for (size_t i = 0; i < set->count; i++)
        if (set->handles[i]->entry.run == run)
            total += set->handles[i]->entry.facts.total_bytes;
    for (size_t i = 0; i < set->count; i++)
        if (set->handles[i]->entry.run == run)
            add(set->handles[i],
                (uint64_t)((double)bytes * (double)set->handles[i]->entry.facts.total_bytes /
                           (double)total),
                edit);
}

void garbage_record(
    const struct garbage_count *count, const struct view *now, struct manifest_edit *edit)
{
    const struct sstable_set *before = count->set;

    for (size_t i = 0; i < before->count; i++) {
        if (before->handles[i]->successor_run == 0)
            add(before->handles[i], count->bytes[i], edit);
        else
            add_to_run(now->tables[count->table].sstables, before->handles[i]->successor_run,
                count->bytes[i], edit);
    }
}
