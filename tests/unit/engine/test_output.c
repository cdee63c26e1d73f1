/*
 * Goal: a component holds what was put into it, past the kernel's cache or through it, and its
 * checksum is that of all of it.
 * Method: appends and commits of odd sizes over several pieces, on disks that take direct writes,
 * refuse them, or refuse them late. The disk in memory asserts that direct writes are aligned.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/crc32.h"
#include "engine/buf.h"
#include "io/mem.h"
#include "sstable/output.h"
#include "support/random.h"

#define TAIL_BYTES 70000u
#define FILE_BYTES_MAX (12u << 20)

/** A file of some `bytes`, by appends and commits of odd sizes; what it should hold. */
static void write_file(struct env *env, size_t bytes, struct buf *content)
{
    struct random random = {bytes};
    struct output output;

    assert_int_equal(output_open(&output, env, strdup("file"), TAIL_BYTES), 0);
    while (content->size < bytes) {
        size_t size = 1 + random_next(&random) % TAIL_BYTES;
        uint8_t *piece = buf_extend(content, size);

        for (size_t i = 0; i < size; i++)
            piece[i] = (uint8_t)(random.state >> i % 64);
        if (random_next(&random) % 2 == 0) {
            assert_int_equal(output_append(&output, bytes_of(piece, size)), 0);
        } else {
            memcpy(output_tail(&output), piece, size);
            assert_int_equal(output_commit(&output, size), 0);
        }
        assert_int_equal(output_position(&output), content->size);
    }
    assert_int_equal(output_end(&output), 0);
    assert_int_equal(output.crc, crc32_update(0, content->data, content->size));
    assert_int_equal(output_sync(&output), 0);
    output_release(&output, false);
}

static void assert_written(struct env *env, size_t bytes)
{
    struct buf content = BUF_INIT, back = BUF_INIT;

    write_file(env, bytes, &content);
    assert_int_equal(io_read_file(env, "file", FILE_BYTES_MAX, &back), 0);
    assert_int_equal(back.size, content.size);
    assert_memory_equal(back.data, content.data, content.size);
    assert_int_equal(io_unlink(env, "file"), 0);
    buf_release(&content);
    buf_release(&back);
}

static void a_file_is_the_same_however_the_disk_takes_it(void **state)
{
    static const enum env_direct directs[] = {
        ENV_DIRECT, ENV_DIRECT_REFUSED, ENV_DIRECT_REFUSED_LATE};
    struct env *env;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(directs); i++) {
        assert_int_equal(env_mem_new(1, &env), 0);
        env_mem_set_direct(env, directs[i]);
        assert_written(env, 0);
        assert_written(env, 1000);
        assert_written(env, 1u << 20);
        assert_written(env, 10u << 20);
        env_free(env);
    }
}

static void a_real_disk_takes_it(void **state)
{
    char folder[] = "/tmp/sstfs-output-XXXXXX";
    struct env *env;

    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(env_posix_new(folder, &env), 0);
    assert_written(env, 1000);
    assert_written(env, 10u << 20);
    env_free(env);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_the_same_however_the_disk_takes_it),
        cmocka_unit_test(a_real_disk_takes_it),
    };

    return cmocka_run_group_tests_name("output", tests, NULL, NULL);
}
