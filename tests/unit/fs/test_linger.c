/*
 * Goal: who lingers sees what comes, and who waits in vain again and again stops looking for longer
 * and longer. Method: a pipe stands for the device.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "fuse/linger.h"

static void test_sees_what_is_there_and_backs_off(void **state)
{
    bool has_processors = sysconf(_SC_NPROCESSORS_ONLN) > 1; /* with one, nobody ever looks */
    int ends[2];
    char byte = 'x';

    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], &byte, 1), 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(linger(ends[0]), has_processors);
    assert_int_equal(read(ends[0], &byte, 1), 1);

    /* In vain once: one call does not look. Twice: three do not. */
    assert_false(linger(ends[0]));
    assert_int_equal(write(ends[1], &byte, 1), 1);
    assert_false(linger(ends[0]));
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_false(linger(ends[0]));
    assert_int_equal(write(ends[1], &byte, 1), 1);
    for (int i = 0; i < 3; i++)
        assert_false(linger(ends[0]));
    assert_int_equal(linger(ends[0]), has_processors);

    /* That was not in vain: the next in vain counts as the first. */
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_false(linger(ends[0]));
    assert_int_equal(write(ends[1], &byte, 1), 1);
    assert_false(linger(ends[0]));
    assert_int_equal(linger(ends[0]), has_processors);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sees_what_is_there_and_backs_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
