/*
 * Goal: no damage to a table's files crashes a reader, and none that matters goes unnoticed.
 * Method: each component of golden tables cut at every byte (of large tables: at some), and single
 * bits flipped at random. Opening, scanning, looking up and verifying must give an error, or what
 * the undamaged table gives. Index.db, Summary.db and Filter.db have no checksums, so after a
 * flipped bit only a table that still verifies must read the same.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "engine/error.h"
#include "golden_tables.h"
#include "golden_text.h"
#include "support/random.h"

/** Of one component. */
#define FLIPS 300u
#define CUTS_OF_LARGE 60u

struct subject {
    struct golden golden;
    struct buf text; /* of the undamaged table */
    struct golden_keys keys;
    enum sstable_component component;
    char path[256];
    struct buf content; /* of the component, undamaged */
};

static void open_subject(struct subject *subject, const char *name)
{
    struct sstable *sstable;

    golden_open(&subject->golden, name);
    subject->text = BUF_INIT;
    subject->keys = (struct golden_keys){.bytes = BUF_INIT};
    assert_int_equal(sstable_open(subject->golden.env, subject->golden.folder, &subject->golden.id,
                         NULL, NULL, &sstable),
        0);
    assert_int_equal(text_by_scan(sstable, &subject->text, &subject->keys), 0);
    sstable_unref(sstable);
}

static void close_subject(struct subject *subject)
{
    buf_release(&subject->text);
    buf_release(&subject->keys.bytes);
    golden_close(&subject->golden);
}

static void take_component(struct subject *subject, enum sstable_component component)
{
    char file[SSTABLE_FILE_NAME_MAX + 1];

    sstable_file_name(&subject->golden.id, component, file);
    snprintf(subject->path, sizeof(subject->path), "%s/%s", subject->golden.folder, file);
    subject->component = component;
    subject->content = file_content(subject->golden.env, subject->path);
}

static void put_component_back(struct subject *subject)
{
    file_replace(subject->golden.env, subject->path, buf_bytes(&subject->content));
    buf_release(&subject->content);
}

struct outcome {
    int opened, scanned, read, verified; /* 0 or a negative errno */
    bool scan_is_right, read_is_right;
};

static struct outcome try_table(const struct subject *subject)
{
    struct outcome outcome = {0};
    struct buf by_scan = BUF_INIT, by_reads = BUF_INIT;
    struct sstable *sstable;

    outcome.opened = sstable_open(
        subject->golden.env, subject->golden.folder, &subject->golden.id, NULL, NULL, &sstable);
    if (outcome.opened < 0)
        return outcome;
    outcome.scanned = text_by_scan(sstable, &by_scan, NULL);
    outcome.scan_is_right = bytes_equal(buf_bytes(&by_scan), buf_bytes(&subject->text));
    outcome.read = text_by_reads(sstable, &subject->keys, &by_reads);
    outcome.read_is_right = bytes_equal(buf_bytes(&by_reads), buf_bytes(&subject->text));
    outcome.verified = sstable_verify(sstable);
    sstable_unref(sstable);
    buf_release(&by_scan);
    buf_release(&by_reads);
    return outcome;
}

static void assert_cut_is_noticed(const struct subject *subject, size_t size)
{
    struct outcome outcome = try_table(subject);

    if (outcome.opened < 0)
        return;
    if ((outcome.scanned == 0 && !outcome.scan_is_right) ||
        (outcome.read == 0 && !outcome.read_is_right))
        fail_msg("%s cut at %zu of %zu: reads wrong without an error (scan %d, read %d)",
            subject->path, size, subject->content.size, outcome.scanned, outcome.read);
    /* An empty filter is one that holds everything; the last line of a list needs no end. */
    if (outcome.verified == 0 && !(subject->component == COMPONENT_FILTER && size == 0) &&
        !(subject->component == COMPONENT_TOC && size == subject->content.size - 1))
        fail_msg("%s cut at %zu of %zu: verifies", subject->path, size, subject->content.size);
}

static void cut_component(struct subject *subject, size_t stride)
{
    for (size_t at = 0; at < subject->content.size; at += stride) {
        file_replace(subject->golden.env, subject->path, bytes_of(subject->content.data, at));
        assert_cut_is_noticed(subject, at);
    }
}

static void flip_component(struct subject *subject, struct random *random)
{
    for (unsigned i = 0; i < FLIPS; i++) {
        size_t bit = random_next(random) % (subject->content.size * 8);
        struct outcome outcome;

        subject->content.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        file_replace(subject->golden.env, subject->path, buf_bytes(&subject->content));
        outcome = try_table(subject);
        subject->content.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (outcome.opened < 0 || outcome.verified < 0)
            continue;
        if (!outcome.scan_is_right || !outcome.read_is_right)
            fail_msg("%s bit %zu flipped: verifies, but reads wrong (scan %d, read %d)",
                subject->path, bit, outcome.scanned, outcome.read);
    }
}

static const char *const small_tables[] = {
    "entries", "inodes", "ttl", "types", "twomaps", "manycols", "staticonly"};
static const char *const large_tables[] = {"wide", "plain", "rawchunks"};

static void cut_tables(const char *const *names, size_t count, bool every_byte)
{
    static struct subject subject;

    for (size_t i = 0; i < count; i++) {
        open_subject(&subject, names[i]);
        for (unsigned j = 0; j < COMPONENT_COUNT; j++) {
            if (!subject.golden.has[j])
                continue;
            take_component(&subject, (enum sstable_component)j);
            cut_component(&subject, every_byte ? 1 : subject.content.size / CUTS_OF_LARGE + 1);
            put_component_back(&subject);
        }
        close_subject(&subject);
    }
}

static void small_tables_cut_at_every_byte_give_an_error_or_what_is_right(void **state)
{
    (void)state;
    cut_tables(small_tables, ARRAY_COUNT(small_tables), true);
}

static void large_tables_cut_give_an_error_or_what_is_right(void **state)
{
    (void)state;
    cut_tables(large_tables, ARRAY_COUNT(large_tables), false);
}

static void a_flipped_bit_that_matters_is_found_by_verification(void **state)
{
    static struct subject subject;
    struct random random = {random_seed(1)};

    (void)state;
    print_message("# SSTFS_SEED=%" PRIu64 "\n", random.state);
    for (size_t i = 0; i < ARRAY_COUNT(small_tables); i++) {
        open_subject(&subject, small_tables[i]);
        for (unsigned j = 0; j < COMPONENT_COUNT; j++) {
            if (!subject.golden.has[j])
                continue;
            take_component(&subject, (enum sstable_component)j);
            flip_component(&subject, &random);
            put_component_back(&subject);
        }
        close_subject(&subject);
    }
}

static void flipped_bits_of_a_promoted_index_are_found_too(void **state)
{
    static struct subject subject;
    struct random random = {random_seed(2)};

    (void)state;
    open_subject(&subject, "wide");
    take_component(&subject, COMPONENT_INDEX);
    flip_component(&subject, &random);
    put_component_back(&subject);
    close_subject(&subject);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_tables_cut_at_every_byte_give_an_error_or_what_is_right),
        cmocka_unit_test(large_tables_cut_give_an_error_or_what_is_right),
        cmocka_unit_test(a_flipped_bit_that_matters_is_found_by_verification),
        cmocka_unit_test(flipped_bits_of_a_promoted_index_are_found_too),
    };

    return cmocka_run_group_tests_name("interop/golden damage", tests, NULL, NULL);
}
