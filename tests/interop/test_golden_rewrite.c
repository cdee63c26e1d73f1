/*
 * Goal: what we write is byte for byte what Cassandra writes of the same rows.
 * Method: each golden table is read, and written anew with its own bases, columns and parameters;
 * the files must be the same. Two things cannot be: where Cassandra's commit log was, and the
 * sparse form of its estimate of keys, of which Statistics.db is compared without them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/coding.h"
#include "engine/error.h"
#include "golden_tables.h"
#include "sstable/reader.h"
#include "sstable/writer.h"

static void check(int r)
{
    if (r < 0)
        fail_msg("%s", err_text(r));
}

/** Not recorded anywhere: each golden table's column_index_size. */
static uint32_t block_bytes_of(const char *name)
{
    return strcmp(name, "wide4") == 0 ? 4096 : 65536;
}

static void rewrite(struct sstable *from, const struct table_schema *schema, struct env *env,
    const char *folder, const struct sstable_id *id)
{
    struct sstable_writer_options options = {
        .expected_partitions = sstable_facts(from)->partitions,
        .min_timestamp_us = from->header.min_timestamp_us,
        .min_local_deletion_time_s = from->header.min_local_deletion_time_s,
        .min_ttl_s = from->header.min_ttl_s,
    };
    AUTO(scanner_closep) struct partition_scanner *scanner = NULL;
    struct partition_iterator *partition;
    struct sstable_facts facts;
    struct sstable_writer *writer;
    bool written;
    int r;

    check(sstable_writer_open(env, folder, id, schema, &options, &writer));
    check(sstable_scan(from, INT64_MIN, INT64_MAX, &scanner));
    while ((r = scanner_next(scanner, &partition)) > 0) {
        check(sstable_writer_write(writer, partition, &written));
        assert_true(written);
    }
    check(r);
    check(sstable_writer_finish(writer, &facts));
    assert_int_equal(facts.partitions, sstable_facts(from)->partitions);
    assert_int_equal(facts.rows, sstable_facts(from)->rows);
    assert_int_equal(facts.total_bytes - facts.data_bytes > 0, 1);
}

static void assert_same(
    const struct golden *golden, const char *what, struct bytes ours, struct bytes theirs)
{
    size_t at = 0;

    if (bytes_equal(ours, theirs))
        return;
    while (at < ours.size && at < theirs.size && ours.data[at] == theirs.data[at])
        at++;
    fail_msg("%s: %s: %zu bytes, Cassandra's has %zu; first difference at %zu", golden->name, what,
        ours.size, theirs.size, at);
}

static void compare_component(
    const struct golden *golden, const struct sstable_id *id, enum sstable_component component)
{
    struct buf ours = component_content(golden->env, golden->folder, id, component);
    struct buf theirs = component_content(golden->env, golden->folder, &golden->id, component);

    assert_same(golden, component_name(component), buf_bytes(&ours), buf_bytes(&theirs));
    buf_release(&ours);
    buf_release(&theirs);
}

/** Ours has more lines, which Cassandra does not read. */
static void compare_digest(const struct golden *golden, const struct sstable_id *id)
{
    struct buf ours = component_content(golden->env, golden->folder, id, COMPONENT_DIGEST);
    struct buf theirs =
        component_content(golden->env, golden->folder, &golden->id, COMPONENT_DIGEST);
    const uint8_t *end = memchr(ours.data, '\n', ours.size);

    assert_non_null(end);
    assert_same(golden, component_name(COMPONENT_DIGEST),
        bytes_of(ours.data, (size_t)(end - ours.data)), buf_bytes(&theirs));
    buf_release(&ours);
    buf_release(&theirs);
}

struct statistics_part {
    const char *name;
    struct bytes bytes;
};

#define PARTS_MAX 24

static struct bytes run(struct decoder *d, size_t size)
{
    return get_bytes(d, size);
}

static struct bytes counted(struct decoder *d, size_t each)
{
    const uint8_t *start = d->at;
    uint32_t count = get_be32(d);

    get_bytes(d, count * each);
    return bytes_of(start, (size_t)(d->at - start));
}

static struct bytes clustering(struct decoder *d)
{
    const uint8_t *start = d->at;
    uint32_t count = get_be32(d);

    while (count-- > 0)
        get_sbytes(d);
    return bytes_of(start, (size_t)(d->at - start));
}

/** The fields of STATS that the rows decide. */
static unsigned split_statistics(struct bytes content, struct statistics_part *parts)
{
    struct decoder toc = decoder_of(bytes_of(content.data + 8, content.size - 8)), d;
    uint32_t offset[4];
    unsigned n = 0;

    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(get_be32(&toc), i);
        offset[i] = get_be32(&toc);
    }
    parts[n++] = (struct statistics_part){
        "validation", bytes_of(content.data + offset[0], offset[1] - offset[0])};
    parts[n++] = (struct statistics_part){
        "header", bytes_of(content.data + offset[3], content.size - offset[3])};
    d = decoder_of(bytes_of(content.data + offset[2], offset[3] - offset[2] - 4));
    parts[n++] = (struct statistics_part){"partition sizes", counted(&d, 16)};
    parts[n++] = (struct statistics_part){"cells", counted(&d, 16)};
    run(&d, 12);
    parts[n++] = (struct statistics_part){"timestamps", run(&d, 16)};
    parts[n++] = (struct statistics_part){"local deletion times", run(&d, 8)};
    parts[n++] = (struct statistics_part){"ttls", run(&d, 8)};
    parts[n++] = (struct statistics_part){"compression ratio", run(&d, 8)};
    run(&d, 4);
    parts[n++] = (struct statistics_part){"drop times", counted(&d, 16)};
    parts[n++] = (struct statistics_part){"level, repaired at", run(&d, 12)};
    parts[n++] = (struct statistics_part){"min clustering", clustering(&d)};
    parts[n++] = (struct statistics_part){"max clustering", clustering(&d)};
    parts[n++] = (struct statistics_part){"legacy, columns, rows", run(&d, 17)};
    assert_false(decoder_failed(&d));
    return n;
}

static void compare_statistics(const struct golden *golden, const struct sstable_id *id)
{
    struct buf ours = component_content(golden->env, golden->folder, id, COMPONENT_STATISTICS);
    struct buf theirs =
        component_content(golden->env, golden->folder, &golden->id, COMPONENT_STATISTICS);
    struct statistics_part our_parts[PARTS_MAX], their_parts[PARTS_MAX];
    unsigned count = split_statistics(buf_bytes(&ours), our_parts);

    assert_int_equal(split_statistics(buf_bytes(&theirs), their_parts), count);
    for (unsigned i = 0; i < count; i++)
        assert_same(golden, our_parts[i].name, our_parts[i].bytes, their_parts[i].bytes);
    buf_release(&ours);
    buf_release(&theirs);
}

static void every_golden_table_is_written_as_cassandra_wrote_it(void **state)
{
    static const enum sstable_component compared[] = {COMPONENT_INDEX, COMPONENT_SUMMARY,
        COMPONENT_FILTER, COMPONENT_DATA, COMPONENT_COMPRESSION_INFO, COMPONENT_CRC};

    (void)state;
    for (unsigned i = 0; i < GOLDEN_COUNT; i++) {
        struct sstable_id id = {"2"};
        struct table_schema schema;
        struct sstable *sstable;
        struct golden golden;

        golden_open(&golden, golden_names[i]);
        check(sstable_open(golden.env, golden.folder, &golden.id, NULL, NULL, &sstable));
        schema = *sstable_schema(sstable);
        schema.column_index_bytes = block_bytes_of(golden.name);
        rewrite(sstable, &schema, golden.env, golden.folder, &id);
        for (size_t j = 0; j < ARRAY_COUNT(compared); j++) {
            if (golden.has[compared[j]])
                compare_component(&golden, &id, compared[j]);
        }
        compare_digest(&golden, &id);
        compare_statistics(&golden, &id);
        sstable_unref(sstable);
        golden_close(&golden);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_golden_table_is_written_as_cassandra_wrote_it),
    };

    return cmocka_run_group_tests_name("interop/golden rewrite", tests, NULL, NULL);
}
