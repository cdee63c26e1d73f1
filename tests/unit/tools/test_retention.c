/*
 * Goal: keep-rules keep what they say, and a point that any rule keeps stays.
 * Method: points at chosen local times, in UTC; what is kept, as a string of letters.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "retention.h"

#define POINTS_MAX 64

static time_t at(int month, int day, int hour, int minute)
{
    struct tm utc = {
        .tm_year = 126, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute};

    return timegm(&utc);
}

static void expect(struct retention rules, const time_t *times, size_t count, const char *expected)
{
    bool keep[POINTS_MAX];
    char text[POINTS_MAX + 1] = "";

    retention_choose(&rules, times, count, keep);
    for (size_t i = 0; i < count; i++)
        text[i] = keep[i] ? 'K' : '.';
    assert_string_equal(text, expected);
}

static void the_newest_are_kept(void **state)
{
    const time_t times[] = {at(6, 1, 9, 0), at(6, 1, 9, 0), at(6, 1, 8, 0), at(5, 1, 0, 0)};

    (void)state;
    expect((struct retention){{[KEEP_LAST] = 2}}, times, 4, "KK..");
    expect((struct retention){{[KEEP_LAST] = 9}}, times, 4, "KKKK");
    expect((struct retention){{0}}, times, 4, "....");
    expect((struct retention){{[KEEP_LAST] = 2}}, times, 0, "");
}

static void of_each_period_the_newest_is_kept(void **state)
{
    const time_t times[] = {at(6, 2, 9, 59), at(6, 2, 9, 0), at(6, 2, 8, 59), at(6, 1, 9, 30),
        at(6, 1, 0, 0), at(5, 31, 23, 59), at(5, 30, 12, 0), at(4, 30, 12, 0)};

    (void)state;
    expect((struct retention){{[KEEP_HOURLY] = 3}}, times, 8, "K.KK....");
    expect((struct retention){{[KEEP_DAILY] = 3}}, times, 8, "K..K.K..");
    /* 1 June 2026 is a Monday. */
    expect((struct retention){{[KEEP_WEEKLY] = 2}}, times, 8, "K....K..");
    expect((struct retention){{[KEEP_MONTHLY] = 3}}, times, 8, "K....K.K");
}

static void periods_without_a_point_do_not_count(void **state)
{
    const time_t times[] = {at(6, 2, 9, 0), at(3, 2, 9, 0), at(1, 2, 9, 0)};

    (void)state;
    expect((struct retention){{[KEEP_DAILY] = 2}}, times, 3, "KK.");
}

static void what_any_rule_keeps_stays(void **state)
{
    const time_t times[] = {at(6, 2, 9, 0), at(6, 2, 8, 0), at(6, 1, 9, 0), at(5, 2, 9, 0)};

    (void)state;
    expect((struct retention){{[KEEP_LAST] = 2, [KEEP_MONTHLY] = 2}}, times, 4, "KK.K");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_are_kept),
        cmocka_unit_test(of_each_period_the_newest_is_kept),
        cmocka_unit_test(periods_without_a_point_do_not_count),
        cmocka_unit_test(what_any_rule_keeps_stays),
    };

    setenv("TZ", "UTC", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
