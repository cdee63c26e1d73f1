/*
 * Goal: what everything else rests on is right: buffers, vints, arenas, error texts.
 * Method: worked examples of the format, and sizes around each boundary.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/crc32.h"
#include "base/murmur3.h"
#include "engine/coding.h"
#include "engine/error.h"

static void vints_have_the_formats_bytes(void **state)
{
    static const struct {
        uint64_t value;
        size_t size;
        uint8_t bytes[9];
    } cases[] = {
        {0, 1, {0x00}},
        {127, 1, {0x7f}},
        {128, 2, {0x80, 0x80}},
        {16383, 2, {0xbf, 0xff}},
        {16384, 3, {0xc0, 0x40, 0x00}},
        {0xffffffffu, 5, {0xf0, 0xff, 0xff, 0xff, 0xff}},
        {(1ull << 56) - 1, 8, {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
        {UINT64_MAX, 9, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct buf buf = BUF_INIT;
        struct decoder decoder;

        put_uvint(&buf, cases[i].value);
        assert_int_equal(buf.size, cases[i].size);
        assert_int_equal(uvint_size(cases[i].value), cases[i].size);
        assert_memory_equal(buf.data, cases[i].bytes, buf.size);
        decoder = decoder_of(buf_bytes(&buf));
        assert_true(get_uvint(&decoder) == cases[i].value);
        assert_false(decoder_failed(&decoder));
        buf_release(&buf);
    }
}

static void vints_of_every_width_come_back(void **state)
{
    (void)state;
    for (unsigned shift = 0; shift < 64; shift++) {
        for (int delta = -1; delta <= 1; delta++) {
            uint64_t value = (1ull << shift) + (uint64_t)(int64_t)delta;
            struct buf buf = BUF_INIT;
            struct decoder decoder;

            put_uvint(&buf, value);
            put_svint(&buf, (int64_t)value);
            decoder = decoder_of(buf_bytes(&buf));
            assert_true(get_uvint(&decoder) == value);
            assert_true(get_svint(&decoder) == (int64_t)value);
            assert_int_equal(decoder_left(&decoder), 0);
            buf_release(&buf);
        }
    }
}

static void a_decoder_fails_once_and_stays_failed(void **state)
{
    const uint8_t bytes[] = {0x80};
    struct decoder decoder = decoder_of(bytes_of(bytes, sizeof(bytes)));
    (void)state;

    assert_int_equal(get_uvint(&decoder), 0);
    assert_true(decoder_failed(&decoder));
    assert_int_equal(get_u8(&decoder), 0);
    assert_true(decoder_failed(&decoder));
}

static void negative_ints_take_nine_bytes(void **state)
{
    struct buf buf = BUF_INIT;
    struct decoder decoder;
    (void)state;

    put_uvint32(&buf, -5);
    assert_int_equal(buf.size, 9);
    decoder = decoder_of(buf_bytes(&buf));
    assert_int_equal(get_uvint32(&decoder), -5);
    buf_clear(&buf);
    put_uvint(&buf, 1ull << 31);
    decoder = decoder_of(buf_bytes(&buf));
    get_uvint32(&decoder);
    assert_true(decoder_failed(&decoder));
    buf_release(&buf);
}

static void arenas_align_and_keep_what_they_gave(void **state)
{
    struct arena arena;
    uint8_t *given[200];
    (void)state;

    arena_init(&arena, 1024);
    for (size_t i = 0; i < ARRAY_COUNT(given); i++) {
        size_t size = i * 7 % 600 + 1;
        given[i] = arena_alloc(&arena, size);
        assert_non_null(given[i]);
        assert_int_equal((uintptr_t)given[i] % 8, 0);
        memset(given[i], (int)i, size);
    }
    for (size_t i = 0; i < ARRAY_COUNT(given); i++)
        assert_int_equal(given[i][i * 7 % 600], (uint8_t)i);
    arena_reset(&arena);
    assert_non_null(arena_alloc(&arena, 10));
    arena_release(&arena);
}

static void error_texts_belong_to_their_code(void **state)
{
    (void)state;
    err_new(-EIO, "disk %d", 7);
    err_with(-EIO, "flush");
    assert_string_equal(err_text(-EIO), "flush: disk 7");
    assert_string_equal(err_text(-ENOENT), "No such file or directory");
    err_with(-ENOENT, "other");
    assert_string_equal(err_text(-ENOENT), "other");
}

static void checksums_are_zlibs(void **state)
{
    (void)state;
    assert_true(crc32_update(0, "123456789", 9) == 0xcbf43926u);
    assert_true(crc32_update(crc32_update(0, "1234", 4), "56789", 5) == 0xcbf43926u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vints_have_the_formats_bytes),
        cmocka_unit_test(vints_of_every_width_come_back),
        cmocka_unit_test(a_decoder_fails_once_and_stays_failed),
        cmocka_unit_test(negative_ints_take_nine_bytes),
        cmocka_unit_test(arenas_align_and_keep_what_they_gave),
        cmocka_unit_test(error_texts_belong_to_their_code),
        cmocka_unit_test(checksums_are_zlibs),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
