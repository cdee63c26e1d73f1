/*
 * Goal: hashes, vints and keys are Cassandra's to the last bit.
 * Method: the vectors that Cassandra 5.0.5's own classes made (tests/interop/golden/vectors.json).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include <jansson.h>

#include "base/murmur3.h"
#include "engine/coding.h"
#include "engine/mutation.h"
#include "rows/compare.h"

static json_t *vectors;

static int load(void **state)
{
    json_error_t error;
    (void)state;

    vectors = json_load_file(GOLDEN "/vectors.json", 0, &error);
    if (!vectors)
        fail_msg(GOLDEN "/vectors.json: %s", error.text);
    return 0;
}

static int unload(void **state)
{
    (void)state;
    json_decref(vectors);
    return 0;
}

static const json_t *list(const char *name)
{
    const json_t *found = json_object_get(vectors, name);

    assert_true(json_array_size(found) > 0);
    return found;
}

static const char *field(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    assert_non_null(text);
    return text;
}

static int64_t number(const json_t *object, const char *name)
{
    return strtoll(field(object, name), NULL, 10);
}

static void from_hex(const char *hex, struct buf *to)
{
    buf_clear(to);
    for (; *hex; hex += 2) {
        unsigned byte;
        assert_int_equal(sscanf(hex, "%2x", &byte), 1);
        buf_append_u8(to, (uint8_t)byte);
    }
}

static void keys_hash_to_their_tokens(void **state)
{
    const json_t *tokens = list("tokens"), *entry;
    struct buf key = BUF_INIT;
    size_t i;
    (void)state;

    json_array_foreach(tokens, i, entry)
    {
        struct decorated_key decorated;

        from_hex(field(entry, "key"), &key);
        assert_true(murmur3_hash(buf_bytes(&key)).h1 == number(entry, "h1"));
        assert_true(murmur3_hash(buf_bytes(&key)).h2 == number(entry, "h2"));
        assert_true((int64_t)murmur2_hash64(buf_bytes(&key)) == number(entry, "hash2_64"));
        decorated = decorated_key_of(buf_bytes(&key));
        assert_true(decorated.token == number(entry, "token"));
    }
    buf_release(&key);
}

static void vints_are_written_and_read(void **state)
{
    static const char *const names[] = {"unsigned_vint", "signed_vint_zigzag"};
    struct buf expected = BUF_INIT, written = BUF_INIT;
    (void)state;

    for (unsigned is_signed = 0; is_signed < 2; is_signed++) {
        const json_t *all = list(names[is_signed]), *entry;
        size_t i;

        json_array_foreach(all, i, entry)
        {
            const char *text = field(entry, "value");
            uint64_t value = is_signed || text[0] == '-' ? (uint64_t)strtoll(text, NULL, 10)
                                                         : strtoull(text, NULL, 10);
            struct decoder in;

            from_hex(field(entry, "hex"), &expected);
            buf_clear(&written);
            if (is_signed)
                put_svint(&written, (int64_t)value);
            else
                put_uvint(&written, value);
            assert_true(bytes_equal(buf_bytes(&written), buf_bytes(&expected)));
            in = decoder_of(buf_bytes(&expected));
            assert_true((is_signed ? (uint64_t)get_svint(&in) : get_uvint(&in)) == value);
            assert_false(decoder_failed(&in) || decoder_left(&in) > 0);
        }
    }
    buf_release(&expected);
    buf_release(&written);
}

static void composite_keys_have_their_bytes(void **state)
{
    const json_t *keys = list("composite_keys"), *entry;
    struct buf expected = BUF_INIT;
    size_t i;
    (void)state;

    json_array_foreach(keys, i, entry)
    {
        const json_t *values = json_object_get(entry, "values");
        uint8_t key[KEY_BYTES_BIGINT_INT];
        struct decorated_key decorated;

        key_bigint_int(key, json_integer_value(json_array_get(values, 0)),
            (int32_t)json_integer_value(json_array_get(values, 1)));
        from_hex(field(entry, "key"), &expected);
        assert_true(bytes_equal(bytes_of(key, sizeof(key)), buf_bytes(&expected)));
        decorated = decorated_key_of(bytes_of(key, sizeof(key)));
        assert_true(decorated.token == number(entry, "token"));
    }
    buf_release(&expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_hash_to_their_tokens),
        cmocka_unit_test(vints_are_written_and_read),
        cmocka_unit_test(composite_keys_have_their_bytes),
    };
    return cmocka_run_group_tests_name("vectors", tests, load, unload);
}
