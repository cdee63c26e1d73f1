/*
 * engine_scan_table(): whole tables, for dump, verification and counting.
 */
#include "read.h"

#include "rows/merge.h"

/* ---- everything ---- */

struct scanners {
    struct partition_scanner **all;
    unsigned count;
};

static void scanners_close(struct scanners *scanners)
{
    while (scanners->count > 0)
        scanner_close(scanners->all[--scanners->count]);
    free(scanners->all);
}

static int add_all(struct scanners *scanners, const struct table_view *table)
{
    int r = memtable_scan(table->active, INT64_MIN, INT64_MAX, &scanners->all[scanners->count]);

    scanners->count += r == 0;
    for (unsigned i = 0; r == 0 && i < table->sealed_count; i++) {
        r = memtable_scan(
            table->sealed[i].memtable, INT64_MIN, INT64_MAX, &scanners->all[scanners->count]);
        scanners->count += r == 0;
    }
    for (size_t i = 0; r == 0 && i < table->sstables->count; i++) {
        AUTO(sstable_unrefp) struct sstable *sstable = NULL;

        r = sstable_handle_open(table->sstables->handles[i], &sstable);
        if (r == 0)
            r = sstable_scan(sstable, INT64_MIN, INT64_MAX, &scanners->all[scanners->count]);
        scanners->count += r == 0;
    }
    return r;
}

int engine_scan_table(
    struct source *source, unsigned table_number, struct partition_scanner **ret_scanner)
{
    AUTO(scanners_close) struct scanners scanners = {0};
    AUTO(view_unrefp) struct view *view = NULL;
    struct engine *engine = source->engine;
    const struct table_view *table;
    unsigned count;
    int r = read_check_table(engine, table_number);

    if (r < 0)
        return r;
    view = source_acquire(source);
    table = &view->tables[table_number];
    scanners.all = calloc(
        1 + table->sealed_count + table->sstables->count, sizeof(struct partition_scanner *));
    if (!scanners.all)
        return -ENOMEM;
    r = add_all(&scanners, table);
    if (r < 0)
        return read_failed(engine, table_number, "scan-table", r);
    count = scanners.count;
    scanners.count = 0;
    return merge_scanners(&engine->tables[table_number], scanners.all, count, ret_scanner);
}

/* ---- what is live ---- */

/* The partition of another scanner, which owns it: closing this one does nothing. */
struct borrowed_partition {
    struct partition_iterator iterator;
    struct partition_iterator *owner;
};

static int borrowed_next(
    struct partition_iterator *iterator, const struct unfiltered **ret_unfiltered)
{
    return partition_next(((struct borrowed_partition *)iterator)->owner, ret_unfiltered);
}

static void borrowed_close(struct partition_iterator *iterator)
{
    (void)iterator;
}

static const struct partition_iterator_ops borrowed_ops = {borrowed_next, borrowed_close, NULL};

/* A live partition of which the first row was looked at already. */
struct live_scanner {
    struct partition_scanner scanner;
    struct partition_iterator iterator; /* what is handed out */
    struct borrowed_partition borrowed;
    struct partition_scanner *source;
    struct partition_iterator *live;
    const struct unfiltered *first; /* not handed out yet, or NULL */
    int64_t now_s;
};

static int live_next(struct partition_iterator *iterator, const struct unfiltered **ret_unfiltered)
{
    struct live_scanner *scanner = CONTAINER_OF(iterator, struct live_scanner, iterator);

    if (scanner->first) {
        *ret_unfiltered = scanner->first;
        scanner->first = NULL;
        return 1;
    }
    return partition_next(scanner->live, ret_unfiltered);
}

static const struct partition_iterator_ops live_ops = {live_next, borrowed_close, NULL};

static int live_scanner_next(
    struct partition_scanner *base, struct partition_iterator **ret_partition)
{
    struct live_scanner *scanner = (struct live_scanner *)base;

    for (;;) {
        struct partition_iterator *partition;
        int r;

        partition_close(scanner->live);
        scanner->live = NULL;
        scanner->first = NULL;
        r = scanner_next(scanner->source, &partition);
        if (r <= 0)
            return r;
        scanner->borrowed.owner = partition;
        scanner->borrowed.iterator = *partition;
        scanner->borrowed.iterator.ops = &borrowed_ops;
        r = live_partition(&scanner->borrowed.iterator, scanner->now_s, &scanner->live);
        if (r < 0)
            return r;
        r = partition_next(scanner->live, &scanner->first);
        if (r < 0)
            return r;
        if (r == 0) {
            scanner->first = NULL;
            if (!scanner->live->static_row)
                continue;
        }
        scanner->iterator = *scanner->live;
        scanner->iterator.ops = &live_ops;
        *ret_partition = &scanner->iterator;
        return 1;
    }
}

static void live_scanner_close(struct partition_scanner *base)
{
    struct live_scanner *scanner = (struct live_scanner *)base;

    partition_close(scanner->live);
    scanner_close(scanner->source);
    free(scanner);
}

static const struct partition_scanner_ops live_scanner_ops = {
    live_scanner_next, live_scanner_close};

int engine_scan_table_live(
    struct source *source, unsigned table, struct partition_scanner **ret_scanner)
{
    struct live_scanner *scanner = calloc(1, sizeof(*scanner));
    int r;

    if (!scanner)
        return -ENOMEM;
    r = engine_scan_table(source, table, &scanner->source);
    if (r < 0) {
        free(scanner);
        return r;
    }
    scanner->scanner.ops = &live_scanner_ops;
    scanner->scanner.schema = scanner->source->schema;
    scanner->now_s = read_now_s(source->engine);
    *ret_scanner = &scanner->scanner;
    return 0;
}
