/*
 * Goal: each component alone is what Cassandra's classes make.
 * Method: filter, cardinality and histograms against vectors of Cassandra 5.0.5
 * (tests/interop/golden/vectors.json); names, lists of components and raw chunks by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <openssl/sha.h>

#include "engine/coding.h"
#include "sstable/compression.h"
#include "sstable/descriptor.h"
#include "sstable/digest.h"
#include "sstable/estimates.h"
#include "sstable/filter.h"
#include "support/random.h"

static json_t *vectors;

static int load_vectors(void **state)
{
    json_error_t error;

    (void)state;
    vectors = json_load_file(GOLDEN "/vectors.json", 0, &error);
    return vectors ? 0 : -1;
}

static int free_vectors(void **state)
{
    (void)state;
    json_decref(vectors);
    return 0;
}

static struct bytes from_hex(const char *hex, uint8_t *to)
{
    size_t size = strlen(hex) / 2;

    for (size_t i = 0; i < size; i++) {
        unsigned byte;

        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        to[i] = (uint8_t)byte;
    }
    return bytes_of(to, size);
}

static uint64_t integer_of(const json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

static double chance_of(const json_t *object)
{
    return json_number_value(json_object_get(object, "fp_chance"));
}

static void filters_have_the_size_that_cassandra_gives_them(void **state)
{
    json_t *list = json_object_get(vectors, "bloom_spec"), *vector;
    size_t i;

    (void)state;
    assert_true(json_array_size(list) > 0);
    json_array_foreach(list, i, vector)
    {
        struct filter filter = FILTER_INIT;

        assert_int_equal(filter_init(&filter, integer_of(vector, "keys"), chance_of(vector)), 0);
        assert_int_equal(filter.hash_count, integer_of(vector, "hash_count"));
        assert_int_equal(filter.word_count * 64, integer_of(vector, "capacity_bits"));
        filter_release(&filter);
    }
}

static void filters_set_the_bits_that_cassandra_sets(void **state)
{
    json_t *list = json_object_get(vectors, "bloom"), *vector, *bit;
    size_t i, j;

    (void)state;
    assert_true(json_array_size(list) > 0);
    json_array_foreach(list, i, vector)
    {
        struct filter filter = FILTER_INIT, expected = FILTER_INIT;
        uint8_t memory[256];
        struct bytes key = from_hex(json_string_value(json_object_get(vector, "key")), memory);

        assert_int_equal(filter_init(&filter, integer_of(vector, "keys"), chance_of(vector)), 0);
        assert_int_equal(filter_init(&expected, integer_of(vector, "keys"), chance_of(vector)), 0);
        json_array_foreach(json_object_get(vector, "bits"), j, bit)
        {
            uint64_t number = (uint64_t)json_integer_value(bit);

            expected.bits[number / 8] |= (uint8_t)(1u << number % 8);
        }
        assert_false(filter_may_contain(&filter, key));
        filter_add(&filter, key);
        assert_true(filter_may_contain(&filter, key));
        assert_memory_equal(filter.bits, expected.bits, filter.word_count * 8);
        filter_release(&filter);
        filter_release(&expected);
    }
}

static void histograms_have_cassandras_offsets(void **state)
{
    const char *const names[] = {"155", "118"};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        json_t *list =
            json_object_get(json_object_get(vectors, "estimated_histogram_offsets"), names[i]);
        struct histogram histogram;

        histogram_init(&histogram, (unsigned)atoi(names[i]));
        assert_int_equal(json_array_size(list), histogram.offset_count);
        for (size_t j = 0; j < json_array_size(list); j++)
            assert_int_equal(histogram.offsets[j], json_integer_value(json_array_get(list, j)));
    }
}

static void a_histogram_counts_each_value_below_its_offset(void **state)
{
    struct histogram histogram;

    (void)state;
    histogram_init(&histogram, HISTOGRAM_CELL_COUNT_OFFSETS);
    histogram_add(&histogram, 0);
    histogram_add(&histogram, 1);
    histogram_add(&histogram, 2);
    histogram_add(&histogram, 9);
    histogram_add(&histogram, 10);
    histogram_add(&histogram, UINT64_MAX);
    assert_int_equal(histogram.counts[0], 2);
    assert_int_equal(histogram.counts[1], 1);
    assert_int_equal(histogram.counts[8], 2);
    assert_int_equal(histogram.counts[HISTOGRAM_CELL_COUNT_OFFSETS], 1);
}

static void the_normal_form_of_cardinality_is_cassandras(void **state)
{
    json_t *list = json_object_get(vectors, "hll"), *vector;
    unsigned compared = 0;
    size_t i;

    (void)state;
    json_array_foreach(list, i, vector)
    {
        static struct cardinality cardinality;
        const char *keys = json_string_value(json_object_get(vector, "keys"));
        uint8_t sha[SHA256_DIGEST_LENGTH], expected[SHA256_DIGEST_LENGTH];
        struct buf encoded = BUF_INIT;
        int last;

        assert_int_equal(sscanf(keys, "bigint 0..%d", &last), 1);
        memset(&cardinality, 0, sizeof(cardinality));
        for (int key = 0; key <= last; key++) {
            uint8_t bytes[8];

            store_be64(bytes, (uint64_t)key);
            cardinality_add(&cardinality, bytes_of(bytes, 8));
        }
        cardinality_encode(&encoded, &cardinality);
        assert_int_equal(encoded.size, CARDINALITY_BYTES);
        /* With few keys Cassandra writes the sparse form, which we never do. */
        if (integer_of(vector, "length") == CARDINALITY_BYTES) {
            SHA256(encoded.data, encoded.size, sha);
            from_hex(json_string_value(json_object_get(vector, "sha256")), expected);
            assert_memory_equal(sha, expected, sizeof(sha));
            compared++;
        }
        buf_release(&encoded);
    }
    assert_true(compared > 0);
}

static void drop_times_are_rounded_up_and_never_more_than_a_hundred(void **state)
{
    static struct drop_times times;
    uint64_t sum = 0;

    (void)state;
    drop_times_add(&times, 1763800000);
    drop_times_add(&times, 1763799960);
    drop_times_add(&times, 1763800020);
    assert_int_equal(times.count, 2);
    assert_true(times.times[0].time_s == 1763799960.0 && times.times[0].count == 1);
    assert_true(times.times[1].time_s == 1763800020.0 && times.times[1].count == 2);
    for (int i = 0; i < 5000; i++)
        drop_times_add(&times, 1763800000 + i * 977 % 500000);
    assert_int_equal(times.count, DROP_TIMES_MAX);
    for (unsigned i = 0; i < times.count; i++) {
        sum += times.times[i].count;
        assert_true(i == 0 || times.times[i - 1].time_s < times.times[i].time_s);
    }
    assert_int_equal(sum, 5003);
}

static void file_names_are_parsed_as_they_are_made(void **state)
{
    struct sstable_id id = {"3gtp_1a2b_0c4d42pq1vd6vwj2g1"}, parsed;
    char name[SSTABLE_FILE_NAME_MAX + 1];
    enum sstable_component component;

    (void)state;
    for (unsigned i = 0; i < COMPONENT_COUNT; i++) {
        sstable_file_name(&id, (enum sstable_component)i, name);
        assert_true(sstable_parse_file_name(name, &parsed, &component));
        assert_string_equal(parsed.text, id.text);
        assert_int_equal(component, i);
    }
    assert_string_equal(name, "nb-3gtp_1a2b_0c4d42pq1vd6vwj2g1-big-TOC.txt");
    assert_true(sstable_parse_file_name("nb-17-big-Data.db", &parsed, &component));
    assert_false(sstable_parse_file_name("nb-17-big-Data.db.tmp", &parsed, &component));
    assert_false(sstable_parse_file_name("oa-17-big-Data.db", &parsed, &component));
    assert_false(sstable_parse_file_name("nb-17-bti-Data.db", &parsed, &component));
    assert_false(sstable_parse_file_name("nb--big-Data.db", &parsed, &component));
    assert_false(sstable_parse_file_name("nb-../x-big-Data.db", &parsed, &component));
}

static void ids_are_ordered_by_their_time(void **state)
{
    struct sstable_id id, later;

    (void)state;
    /* 2022-05-03T08:13:08.6777120 and the low bits of a UUID that Cassandra might make. */
    sstable_id_make(&id, 138709411886777120ull, 0x9ab5c4f3d2e1a0b1ull);
    assert_int_equal(strlen(id.text), 28);
    sstable_id_make(&later, 138709411886777121ull, 0);
    assert_true(strcmp(id.text, later.text) < 0);
    /* The variant is set, whatever is drawn: 2^63 in base 36. */
    assert_string_equal(later.text + 15, "1y2p0ij32e8e8");
    assert_memory_equal(id.text, "3fvj_0k1w_4199c", 15);
}

static void a_list_of_components_is_read_back(void **state)
{
    component_set set = 1u << COMPONENT_DATA | 1u << COMPONENT_TOC | 1u << COMPONENT_DIGEST;
    struct buf text = BUF_INIT;

    (void)state;
    toc_encode(&text, set);
    assert_int_equal(text.size, strlen("Data.db\nDigest.crc32\nTOC.txt\n"));
    assert_int_equal(toc_decode(buf_bytes(&text)), set);
    buf_append(&text, "Foreign.db\n", 11);
    assert_int_equal(toc_decode(buf_bytes(&text)), set);
    buf_release(&text);
}

static void assert_chunk_round_trip(const struct compression_info *info, struct bytes chunk)
{
    uint8_t *stored = malloc(compression_stored_max(info));
    uint8_t *scratch = malloc(compression_stored_max(info));
    uint8_t *back = malloc(chunk.size);
    size_t size;

    memcpy(stored, chunk.data, chunk.size);
    size = compression_store_chunk(info, stored, chunk.size, scratch) + CHUNK_CRC_BYTES;
    assert_true(size > CHUNK_CRC_BYTES && size <= compression_stored_max(info));
    assert_int_equal(compression_get_chunk(info, bytes_of(stored, size), back, chunk.size), 0);
    assert_memory_equal(back, chunk.data, chunk.size);
    stored[size / 2] ^= 1;
    assert_int_equal(
        compression_get_chunk(info, bytes_of(stored, size), back, chunk.size), -EBADMSG);
    free(stored);
    free(scratch);
    free(back);
}

static void chunks_of_any_length_come_back_compressed_or_raw(void **state)
{
    static const double ratios[] = {0, 1, 1.1, 2};
    static uint8_t noise[16384], zeros[16384];
    struct random random = {1};

    (void)state;
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (uint8_t)random_next(&random);
    for (size_t i = 0; i < ARRAY_COUNT(ratios); i++) {
        struct compression_info info = {
            .chunk_bytes = 16384,
            .max_compressed_bytes = compression_max_bytes(16384, ratios[i]),
        };

        for (size_t size = 1; size <= 16384; size = size < 16000 ? size * 3 : size + 37) {
            assert_chunk_round_trip(&info, bytes_of(noise, size));
            assert_chunk_round_trip(&info, bytes_of(zeros, size));
        }
    }
    assert_int_equal(compression_max_bytes(16384, 1.1), 14895);
    assert_int_equal(compression_max_bytes(16384, 0), CHUNK_ALWAYS_COMPRESSED);
}

/* What a server's compaction writes: each sync makes a chunk of what is left, also of nothing. */
static void empty_chunks_behind_the_last_one_are_passed_over(void **state)
{
    static const uint8_t offsets[] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 90, 0, 0, 0, 0, 0, 0, 0, 130};
    struct compression_info written = {.chunk_bytes = 512,
        .max_compressed_bytes = CHUNK_ALWAYS_COMPRESSED,
        .stream_bytes = 700,
        .chunk_count = 3,
        .offsets = offsets};
    AUTO(buf_release) struct buf content = BUF_INIT;
    struct compression_info info;
    uint64_t offset;
    uint32_t stored;

    (void)state;
    compression_info_encode(&content, &written);
    assert_int_equal(compression_info_decode(buf_bytes(&content), false, &info), 0);
    assert_int_equal(compression_chunk_place(&info, 1, 139, &offset, &stored), 0);
    assert_int_equal(offset, 90);
    assert_int_equal(stored, 40);
    /* Too few are none. */
    written.stream_bytes = 512 * 3 + 1;
    buf_clear(&content);
    compression_info_encode(&content, &written);
    assert_int_equal(compression_info_decode(buf_bytes(&content), false, &info), -EUCLEAN);
}

static void a_digest_is_decimal_digits_and_lines_of_other_components(void **state)
{
    struct component_digests written = {
        .known = 1u << COMPONENT_DATA | 1u << COMPONENT_INDEX | 1u << COMPONENT_FILTER};
    struct component_digests digests = {0};
    struct buf text = BUF_INIT;

    (void)state;
    assert_int_equal(digest_decode(BYTES_LITERAL("4294967295"), &digests), 0);
    assert_int_equal(digests.known, 1u << COMPONENT_DATA);
    assert_int_equal(digests.crc[COMPONENT_DATA], UINT32_MAX);
    assert_int_equal(digest_decode(BYTES_LITERAL("4294967296"), &digests), -EUCLEAN);
    assert_int_equal(digest_decode(BYTES_LITERAL(""), &digests), -EUCLEAN);
    assert_int_equal(digest_decode(BYTES_LITERAL("12a"), &digests), -EUCLEAN);
    assert_int_equal(digest_decode(BYTES_LITERAL("12\nIndex.db"), &digests), -EUCLEAN);
    assert_int_equal(digest_decode(BYTES_LITERAL("12\nIndey.db 3"), &digests), -EUCLEAN);
    assert_int_equal(
        digest_decode(BYTES_LITERAL("12\nIndex.db 3\nIndex.db 3"), &digests), -EUCLEAN);

    written.crc[COMPONENT_DATA] = 7;
    written.crc[COMPONENT_INDEX] = UINT32_MAX;
    digest_encode(&text, &written);
    assert_int_equal(digest_decode(buf_bytes(&text), &digests), 0);
    assert_int_equal(digests.known, written.known);
    assert_memory_equal(digests.crc, written.crc, sizeof(written.crc));
    buf_append_u8(&text, 0);
    assert_string_equal((const char *)text.data, "7\nIndex.db 4294967295\nFilter.db 0");
    buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_have_the_size_that_cassandra_gives_them),
        cmocka_unit_test(filters_set_the_bits_that_cassandra_sets),
        cmocka_unit_test(histograms_have_cassandras_offsets),
        cmocka_unit_test(a_histogram_counts_each_value_below_its_offset),
        cmocka_unit_test(the_normal_form_of_cardinality_is_cassandras),
        cmocka_unit_test(drop_times_are_rounded_up_and_never_more_than_a_hundred),
        cmocka_unit_test(file_names_are_parsed_as_they_are_made),
        cmocka_unit_test(ids_are_ordered_by_their_time),
        cmocka_unit_test(a_list_of_components_is_read_back),
        cmocka_unit_test(chunks_of_any_length_come_back_compressed_or_raw),
        cmocka_unit_test(empty_chunks_behind_the_last_one_are_passed_over),
        cmocka_unit_test(a_digest_is_decimal_digits_and_lines_of_other_components),
    };

    return cmocka_run_group_tests_name("sstable/components", tests, load_vectors, free_vectors);
}
