/*
 * Goal: tables that Cassandra wrote read as Cassandra reads them.
 * Method: each golden table, scanned and looked up key by key, with and without a cache, printed as
 * sstabledump prints, equals expected.json, which sstabledump printed. "expired" is left out, as
 * it depends on the clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <jansson.h>

#include "cache/chunk_cache.h"
#include "engine/error.h"
#include "golden_tables.h"
#include "golden_text.h"
#include "sstable/descriptor.h"

static void check(int r)
{
    if (r < 0)
        fail_msg("%s", err_text(r));
}

static void remove_expired(json_t *json)
{
    const char *name;
    json_t *value;
    size_t i;

    json_object_del(json, "expired");
    json_object_foreach(json, name, value) remove_expired(value);
    json_array_foreach(json, i, value) remove_expired(value);
}

static bool in_number(uint8_t c)
{
    return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/** Numbers as strings: a varint or a decimal is more than jansson's numbers hold. */
static struct buf quote_numbers(struct bytes text)
{
    struct buf quoted = BUF_INIT;
    bool in_string = false;

    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool starts = !in_string && ((c >= '0' && c <= '9') || c == '-');

        if (in_string && c == '\\')
            buf_append_u8(&quoted, text.data[i++]);
        else if (c == '"')
            in_string = !in_string;
        if (starts)
            buf_append_u8(&quoted, '"');
        while (starts && i + 1 < text.size && in_number(text.data[i + 1]))
            buf_append_u8(&quoted, text.data[i++]);
        buf_append_u8(&quoted, text.data[i]);
        if (starts)
            buf_append_u8(&quoted, '"');
    }
    return quoted;
}

static json_t *parse(const char *name, struct bytes text)
{
    struct buf quoted = quote_numbers(text);
    json_error_t error;
    json_t *json = json_loadb((const char *)quoted.data, quoted.size, JSON_ALLOW_NUL, &error);

    buf_release(&quoted);
    if (!json)
        fail_msg("%s: line %d: %s", name, error.line, error.text);
    remove_expired(json);
    return json;
}

static void assert_dump(const char *name, const char *how, struct bytes text, json_t *expected)
{
    json_t *ours = parse(name, text);

    if (json_array_size(ours) != json_array_size(expected))
        fail_msg("%s %s: %zu partitions, want %zu", name, how, json_array_size(ours),
            json_array_size(expected));
    for (size_t i = 0; i < json_array_size(ours); i++) {
        json_t *a = json_array_get(ours, i), *b = json_array_get(expected, i);

        if (!json_equal(a, b))
            fail_msg("%s %s: partition %zu:\n%.1500s\nwant\n%.1500s", name, how, i,
                json_dumps(a, JSON_INDENT(1)), json_dumps(b, JSON_INDENT(1)));
    }
    json_decref(ours);
}

static void assert_reads_as_expected(const char *name, struct chunk_cache *cache)
{
    static struct golden_keys keys;
    struct buf by_scan = BUF_INIT, by_reads = BUF_INIT;
    struct sstable *sstable;
    struct golden golden;
    char path[128];
    json_t *expected;
    struct buf content;

    golden_open(&golden, name);
    snprintf(path, sizeof(path), "sstables/%s/expected.json", name);
    content = golden_source(path);
    expected = parse(path, buf_bytes(&content));
    buf_release(&content);

    check(sstable_open(golden.env, golden.folder, &golden.id, NULL, cache, &sstable));
    keys = (struct golden_keys){.bytes = BUF_INIT};
    check(text_by_scan(sstable, &by_scan, &keys));
    assert_dump(name, "scanned", buf_bytes(&by_scan), expected);
    check(text_by_reads(sstable, &keys, &by_reads));
    assert_dump(name, "looked up", buf_bytes(&by_reads), expected);
    assert_int_equal(sstable_facts(sstable)->partitions, keys.count);
    check(sstable_verify(sstable));

    sstable_unref(sstable);
    json_decref(expected);
    buf_release(&by_scan);
    buf_release(&by_reads);
    buf_release(&keys.bytes);
    golden_close(&golden);
}

static void golden_tables_read_as_cassandra_reads_them(void **state)
{
    (void)state;
    for (unsigned i = 0; i < GOLDEN_COUNT; i++)
        assert_reads_as_expected(golden_names[i], NULL);
}

static void golden_tables_read_the_same_through_a_small_cache(void **state)
{
    struct chunk_cache *cache = chunk_cache_new(2u << 20);
    struct chunk_cache_stats stats;

    (void)state;
    assert_non_null(cache);
    for (unsigned i = 0; i < GOLDEN_COUNT; i++)
        assert_reads_as_expected(golden_names[i], cache);
    chunk_cache_get_stats(cache, &stats);
    assert_true(stats.hits[CHUNK_DATA] > 0);
    assert_int_equal(stats.bytes, 0);
    chunk_cache_free(cache);
}

static void component_path(
    const struct golden *golden, enum sstable_component component, char to[256])
{
    char file[SSTABLE_FILE_NAME_MAX + 1];

    sstable_file_name(&golden->id, component, file);
    snprintf(to, 256, "%s/%s", golden->folder, file);
}

/* And of TOC.txt, which lists the rest. */
static void leave_out(
    const struct golden *golden, const enum sstable_component *components, size_t count)
{
    struct buf toc = BUF_INIT;
    component_set listed;
    char path[256];

    component_path(golden, COMPONENT_TOC, path);
    check(io_read_file(golden->env, path, 1u << 16, &toc));
    listed = toc_decode(buf_bytes(&toc));
    buf_clear(&toc);
    for (size_t i = 0; i < count; i++) {
        listed &= ~(1u << components[i]);
        component_path(golden, components[i], path);
        check(io_unlink(golden->env, path));
    }
    toc_encode(&toc, listed);
    component_path(golden, COMPONENT_TOC, path);
    check(io_unlink(golden->env, path));
    check(io_write_file(golden->env, path, buf_bytes(&toc), true));
    buf_release(&toc);
}

static void a_table_without_summary_and_filter_reads_the_same(void **state)
{
    static const enum sstable_component left_out[] = {
        COMPONENT_SUMMARY, COMPONENT_FILTER, COMPONENT_DIGEST};
    static struct golden_keys keys;

    (void)state;
    for (unsigned i = 0; i < GOLDEN_COUNT; i++) {
        struct buf by_scan = BUF_INIT, by_reads = BUF_INIT;
        struct sstable *sstable;
        struct golden golden;

        golden_open(&golden, golden_names[i]);
        leave_out(&golden, left_out, ARRAY_COUNT(left_out));
        check(sstable_open(golden.env, golden.folder, &golden.id, NULL, NULL, &sstable));
        keys = (struct golden_keys){.bytes = BUF_INIT};
        check(text_by_scan(sstable, &by_scan, &keys));
        check(text_by_reads(sstable, &keys, &by_reads));
        assert_true(bytes_equal(buf_bytes(&by_scan), buf_bytes(&by_reads)));
        check(sstable_verify(sstable));
        sstable_unref(sstable);
        buf_release(&by_scan);
        buf_release(&by_reads);
        buf_release(&keys.bytes);
        golden_close(&golden);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_tables_read_as_cassandra_reads_them),
        cmocka_unit_test(golden_tables_read_the_same_through_a_small_cache),
        cmocka_unit_test(a_table_without_summary_and_filter_reads_the_same),
    };

    return cmocka_run_group_tests_name("interop/golden read", tests, NULL, NULL);
}
