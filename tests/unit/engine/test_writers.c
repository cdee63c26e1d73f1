/*
 * Goal: an epoch has ended when all who entered in it or before have left, and not earlier.
 * Method: writers that come and go in every order of a few; what waits is told by the one that
 * leaves last.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "writers.h"

static void an_epoch_without_writers_has_ended(void **state)
{
    struct writers writers;

    (void)state;
    writers_init(&writers);
    assert_true(writers_left(&writers, writers_end_epoch(&writers)));
    writers_release(&writers);
}

static void an_epoch_ends_with_the_last_of_its_writers(void **state)
{
    struct writer old[2], new[2];
    struct writers writers;
    uint64_t epoch;

    (void)state;
    writers_init(&writers);
    writers_enter(&writers, &old[0]);
    writers_enter(&writers, &old[1]);
    epoch = writers_end_epoch(&writers);
    writers_enter(&writers, &new[0]);
    assert_false(writers_left(&writers, epoch));
    assert_false(writers_leave(&writers, &old[1]));
    assert_false(writers_left(&writers, epoch));
    assert_false(writers_leave(&writers, &new[0])); /* it does not matter */
    writers_enter(&writers, &new[1]);
    assert_true(writers_leave(&writers, &old[0])); /* it was waited for */
    assert_true(writers_left(&writers, epoch));
    assert_false(writers_leave(&writers, &new[1])); /* nobody asked */
    writers_release(&writers);
}

static void epochs_end_in_their_order(void **state)
{
    struct writer w[3];
    struct writers writers;
    uint64_t epochs[3];

    (void)state;
    writers_init(&writers);
    for (unsigned i = 0; i < 3; i++) {
        writers_enter(&writers, &w[i]);
        epochs[i] = writers_end_epoch(&writers);
    }
    assert_true(epochs[0] < epochs[1] && epochs[1] < epochs[2]);
    (void)!writers_leave(&writers, &w[1]);
    (void)!writers_leave(&writers, &w[2]);
    for (unsigned i = 0; i < 3; i++)
        assert_false(writers_left(&writers, epochs[i]));
    assert_true(writers_leave(&writers, &w[0]));
    for (unsigned i = 0; i < 3; i++)
        assert_true(writers_left(&writers, epochs[i]));
    writers_release(&writers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_epoch_without_writers_has_ended),
        cmocka_unit_test(an_epoch_ends_with_the_last_of_its_writers),
        cmocka_unit_test(epochs_end_in_their_order),
    };

    return cmocka_run_group_tests_name("engine/writers", tests, NULL, NULL);
}
