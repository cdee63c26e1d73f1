/*
 * Goal: whatever became of an SSTable's bytes, reading it never crashes, hangs or reads out of
 * bounds; it gives what is right or an error that means damage. A table that verifies reads right.
 * Method: tables of ours and of Cassandra's (golden/), of which one or two components are damaged
 * as a seed draws it; then opened, scanned, looked up by key and slice, and verified. Half of the
 * time the checksums are made to fit again, so that decoders and searches meet the damage, whose
 * answers may then be wrong, but not more than that. Cuts at every byte and single bits, one by
 * one, are golden_damage's (tests/interop).
 *
 * SSTFS_SEED=n runs one seed, SSTFS_SEEDS=n so many.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/arena.h"
#include "engine/error.h"
#include "interop/golden_tables.h"
#include "interop/golden_text.h"
#include "io/mem.h"
#include "rows/compare.h"
#include "sstable/reader.h"
#include "sstable/writer.h"
#include "support/damage.h"
#include "support/random_partition.h"
#include "support/reseal.h"
#include "support/test_tables.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SEEDS 1500
#else
#define SEEDS 4000
#endif
#define HANG_S 60
#define SLICES 4
#define NOW_US 1763800000000000
#define NOW_S 1763800000
#define PARTITIONS_MAX 12
#define ROWS_MAX 24
#define VALUE_BYTES_MAX 60
#define OURS (2 * TEST_TABLE_COUNT)
#define SUBJECTS_MAX 32

struct subject {
    const char *name;
    struct golden table;
    struct table_schema schema; /* of ours */
    bool is_ours;
    struct buf contents[COMPONENT_COUNT]; /* undamaged */
    struct buf text;                      /* what it reads as */
    struct golden_keys keys;
};

static struct subject *subjects;
static unsigned subject_count;
static struct arena arena; /* of what our tables were made from */

/* ---- what a failure that leaves no time for words says ---- */

static uint64_t current_seed;

static void tell_seed(void)
{
    char text[64];
    int size = snprintf(text, sizeof(text), "# SSTFS_SEED=%" PRIu64 "\n", current_seed);

    (void)!write(STDERR_FILENO, text, (size_t)size);
}

static void on_signal(int number)
{
    tell_seed();
    signal(number, SIG_DFL);
    raise(number);
}

#ifdef __SANITIZE_ADDRESS__
void __sanitizer_set_death_callback(void (*callback)(void));
#endif

static void tell_seed_of_death(void)
{
    signal(SIGALRM, on_signal);
    signal(SIGABRT, on_signal);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_set_death_callback(tell_seed);
#else
    signal(SIGSEGV, on_signal);
#endif
}

/* ---- tables ---- */

static void check(int r)
{
    if (r < 0)
        fail_msg("%s", err_text(r));
}

static void component_path(
    const struct subject *subject, enum sstable_component component, char to[256])
{
    char name[SSTABLE_FILE_NAME_MAX + 1];

    sstable_file_name(&subject->table.id, component, name);
    snprintf(to, 256, "%s/%s", subject->table.folder, name);
}

static int open_table(struct subject *subject, struct sstable **ret_sstable)
{
    return sstable_open(subject->table.env, subject->table.folder, &subject->table.id,
        subject->is_ours ? &subject->schema : NULL, NULL, ret_sstable);
}

/* Contents, text and keys of a table just made. */
static void take_subject(struct subject *subject)
{
    struct sstable *sstable;

    for (unsigned i = 0; i < COMPONENT_COUNT; i++)
        if (subject->table.has[i])
            subject->contents[i] = component_content(subject->table.env, subject->table.folder,
                &subject->table.id, (enum sstable_component)i);
    check(open_table(subject, &sstable));
    check(text_by_scan(sstable, &subject->text, &subject->keys));
    check(sstable_verify(sstable));
    sstable_unref(sstable);
    subject_count++;
}

static void write_table(struct subject *subject, struct random *random)
{
    static struct array_partition partitions[PARTITIONS_MAX];
    struct random_shape shape = {.rows_max = ROWS_MAX,
        .value_bytes_max = VALUE_BYTES_MAX,
        .timestamp_us = NOW_US,
        .local_deletion_time_s = NOW_S};
    struct sstable_writer_options options = {.expected_partitions = PARTITIONS_MAX,
        .expected_rows = PARTITIONS_MAX * ROWS_MAX,
        .min_timestamp_us = NOW_US - 2000,
        .min_local_deletion_time_s = NOW_S,
        .min_ttl_s = 1};
    struct sstable_writer *writer;
    struct sstable_facts facts;
    size_t count = 0;

    while (count == 0)
        count =
            random_partitions(random, &arena, &subject->schema, &shape, PARTITIONS_MAX, partitions);
    check(sstable_writer_open(subject->table.env, subject->table.folder, &subject->table.id,
        &subject->schema, &options, &writer));
    for (size_t i = 0; i < count; i++) {
        AUTO(partition_closep)
        struct partition_iterator *partition =
            array_partition_open(&subject->schema, &partitions[i]);
        bool written;

        check(sstable_writer_write(writer, partition, &written));
    }
    check(sstable_writer_finish(writer, &facts));
}

/* Small chunks and blocks, so that there are many; every other one is not compressed. */
static void make_ours(unsigned number)
{
    struct subject *subject = &subjects[subject_count];
    struct random random = {number};
    char name[TABLE_FOLDER_NAME_MAX + 1];

    *subject = (struct subject){
        .name = "ours", .is_ours = true, .schema = *test_tables[number % TEST_TABLE_COUNT]};
    subject->schema.chunk_bytes = number < TEST_TABLE_COUNT ? 0 : 512;
    subject->schema.column_index_bytes = 256;
    subject->schema.min_index_interval = 2;
    subject->schema.has_row_filter = subject->schema.clustering_count > 0;
    subject->table.id = (struct sstable_id){"1"};
    check(env_mem_new(number, &subject->table.env));
    table_folder_name(&subject->schema, name);
    snprintf(subject->table.folder, sizeof(subject->table.folder), "%s", name);
    check(io_mkdir(subject->table.env, subject->table.folder));
    write_table(subject, &random);
    for (unsigned i = 0; i < COMPONENT_COUNT; i++) {
        struct io_stat stat;
        char path[256];

        component_path(subject, (enum sstable_component)i, path);
        subject->table.has[i] = io_stat(subject->table.env, path, &stat) == 0;
    }
    take_subject(subject);
}

static int make_subjects(void **state)
{
    /* Of the large ones one with blocks: the others only cost time. */
    static const char *const golden[] = {
        "entries", "inodes", "ttl", "types", "twomaps", "manycols", "staticonly", "wide"};

    (void)state;
    arena_init(&arena, 1u << 16);
    subjects = calloc(SUBJECTS_MAX, sizeof(*subjects));
    if (!subjects)
        return -1;
    for (unsigned i = 0; i < OURS; i++)
        make_ours(i);
    for (size_t i = 0; i < ARRAY_COUNT(golden); i++) {
        struct subject *subject = &subjects[subject_count];

        subject->name = golden[i];
        golden_open(&subject->table, golden[i]);
        take_subject(subject);
    }
    return 0;
}

static int free_subjects(void **state)
{
    (void)state;
    for (size_t i = 0; i < subject_count; i++) {
        for (unsigned c = 0; c < COMPONENT_COUNT; c++)
            buf_release(&subjects[i].contents[c]);
        buf_release(&subjects[i].text);
        buf_release(&subjects[i].keys.bytes);
        golden_close(&subjects[i].table);
    }
    free(subjects);
    arena_release(&arena);
    return 0;
}

/* ---- damage ---- */

struct attempt {
    uint64_t seed;
    struct random random;
    struct subject *subject;
    struct buf contents[COMPONENT_COUNT];
    bool damaged[COMPONENT_COUNT];
    bool resealed;
};

static void damage_one(struct attempt *attempt)
{
    const struct subject *donor = &subjects[random_below(&attempt->random, subject_count)];
    unsigned component;

    /* Most of what there is to decode is in the first three. */
    do {
        component =
            random_below(&attempt->random, random_below(&attempt->random, 2) ? 3 : COMPONENT_COUNT);
    } while (!attempt->subject->table.has[component]);
    for (unsigned n = 1 + random_below(&attempt->random, 3); n > 0; n--)
        damage_bytes(&attempt->random, &attempt->contents[component],
            buf_bytes(&donor->contents[component]));
    attempt->damaged[component] = true;
}

static void write_back(struct attempt *attempt, bool pristine)
{
    for (unsigned i = 0; i < COMPONENT_COUNT; i++) {
        const struct buf *content =
            pristine ? &attempt->subject->contents[i] : &attempt->contents[i];
        char path[256];

        if (!attempt->subject->table.has[i])
            continue;
        component_path(attempt->subject, (enum sstable_component)i, path);
        file_replace(attempt->subject->table.env, path, buf_bytes(content));
    }
}

static void complain(const struct attempt *attempt, const char *what, int r)
{
    char names[128] = "";

    for (unsigned i = 0; i < COMPONENT_COUNT; i++)
        if (attempt->damaged[i])
            snprintf(names + strlen(names), sizeof(names) - strlen(names), " %s",
                component_name((enum sstable_component)i));
    fail_msg("SSTFS_SEED=%" PRIu64 " table '%s' %s%s damaged%s: %s: %d %s", attempt->seed,
        attempt->subject->name,
        attempt->subject->contents[COMPONENT_CRC].size ? "(not compressed)" : "", names,
        attempt->resealed ? " and sealed again" : "", what, r, r < 0 ? err_text(r) : "");
}

/* Damage, or a format that is not ours; never a want of memory, which would be a size believed. */
static void expect_word_for_damage(const struct attempt *attempt, int r, const char *what)
{
    if (r < 0 && r != -EUCLEAN && r != -EBADMSG && r != -EPROTO && r != -ENOTSUP)
        complain(attempt, what, r);
}

static void read_slices(struct attempt *attempt, struct sstable *sstable)
{
    const struct golden_keys *keys = &attempt->subject->keys;

    for (unsigned n = 0; n < SLICES; n++) {
        unsigned i = random_below(&attempt->random, keys->count);
        struct decorated_key key =
            decorated_key_of(bytes_of(keys->bytes.data + keys->keys[i].at, keys->keys[i].size));
        AUTO(partition_closep) struct partition_iterator *partition = NULL;
        AUTO(buf_release) struct buf text = BUF_INIT;
        struct slice slice = SLICE_ALL;
        uint64_t bytes;
        int r;

        if (attempt->subject->schema.clustering_count > 0) {
            slice.start = random_clustering(&attempt->random, &arena, &attempt->subject->schema);
            slice.start.kind = KIND_INCL_START;
        }
        r = sstable_read(sstable, &key, &slice, &partition);
        if (r > 0)
            r = partition_to_text(partition, &text);
        expect_word_for_damage(attempt, r, "a slice");
        expect_word_for_damage(
            attempt, sstable_slice_bytes(sstable, &key, &slice, &bytes), "bytes of a slice");
        (void)sstable_may_contain(sstable, &key);
    }
}

static bool is_right(const struct attempt *attempt, const struct buf *text)
{
    return bytes_equal(buf_bytes(text), buf_bytes(&attempt->subject->text));
}

/* Whether all that was damaged has a checksum that every read looks at. */
static bool is_checked(const struct attempt *attempt)
{
    static const enum sstable_component unchecked[] = {COMPONENT_INDEX, COMPONENT_SUMMARY,
        COMPONENT_FILTER, COMPONENT_COMPRESSION_INFO, COMPONENT_DIGEST, COMPONENT_TOC,
        COMPONENT_CRC};

    for (size_t i = 0; i < ARRAY_COUNT(unchecked); i++)
        if (attempt->damaged[unchecked[i]])
            return false;
    return true;
}

static void read_damaged(struct attempt *attempt)
{
    AUTO(buf_release) struct buf by_scan = BUF_INIT, by_reads = BUF_INIT;
    AUTO(sstable_unrefp) struct sstable *sstable = NULL;
    int r = open_table(attempt->subject, &sstable), scanned, read, verified;

    expect_word_for_damage(attempt, r, "open");
    if (r < 0)
        return;
    scanned = text_by_scan(sstable, &by_scan, NULL);
    expect_word_for_damage(attempt, scanned, "scan");
    read = text_by_reads(sstable, &attempt->subject->keys, &by_reads);
    expect_word_for_damage(attempt, read, "reads");
    read_slices(attempt, sstable);
    verified = sstable_verify(sstable);
    expect_word_for_damage(attempt, verified, "verification");
    if (attempt->resealed || (verified < 0 && !is_checked(attempt)))
        return;
    if (scanned == 0 && !is_right(attempt, &by_scan))
        complain(attempt, "a scan is wrong without an error", verified);
    if (read == 0 && !is_right(attempt, &by_reads))
        complain(attempt, "reads are wrong without an error", verified);
}

static void try_seed(uint64_t seed)
{
    struct attempt attempt = {.seed = seed, .random = {seed}};

    current_seed = seed;
    alarm(HANG_S);
    attempt.subject = &subjects[random_below(&attempt.random, subject_count)];
    for (unsigned i = 0; i < COMPONENT_COUNT; i++)
        buf_append_bytes(&attempt.contents[i], buf_bytes(&attempt.subject->contents[i]));
    for (unsigned n = 1 + random_below(&attempt.random, 2); n > 0; n--)
        damage_one(&attempt);
    attempt.resealed = random_below(&attempt.random, 2);
    if (attempt.resealed)
        sstable_reseal(attempt.contents);
    write_back(&attempt, false);
    read_damaged(&attempt);
    write_back(&attempt, true);
    for (unsigned i = 0; i < COMPONENT_COUNT; i++)
        buf_release(&attempt.contents[i]);
    alarm(0);
}

static void a_damaged_table_reads_right_or_gives_an_error(void **state)
{
    const char *only = getenv("SSTFS_SEED"), *count = getenv("SSTFS_SEEDS");
    uint64_t first = only ? strtoull(only, NULL, 10) : 1;
    uint64_t seeds = only ? 1 : count ? strtoull(count, NULL, 10) : SEEDS;

    (void)state;
    for (uint64_t seed = first; seed < first + seeds; seed++)
        try_seed(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_damaged_table_reads_right_or_gives_an_error),
    };

    tell_seed_of_death();
    return cmocka_run_group_tests_name("sstable fuzz", tests, make_subjects, free_subjects);
}
