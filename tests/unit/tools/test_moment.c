/*
 * Goal: a moment is what people mean by what they write, and what is none is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "moment.h"

static void is(const char *text, int64_t us)
{
    int64_t found = -1;

    if (!moment_parse(text, &found) || found != us)
        fail_msg("'%s': %lld, want %lld", text, (long long)found, (long long)us);
}

static void moments_are_understood(void **state)
{
    (void)state;
    is("@1795876985123456", 1795876985123456);
    is("@0", 0);
    is("2026-11-28T14:03:05.123456Z", 1795874585123456);
    is("2026-11-28 14:03:05.5Z", 1795874585500000);
    is("2026-11-28 14:03:05.1234567Z", 1795874585123456);
    is("2026-11-28 14:03Z", 1795874580000000);
    is("2026-11-28 15:03:05+01:00", 1795874585000000);
    is("2026-11-28 09:33:05-0430", 1795874585000000);
    is("2026-11-28 15:03:05+01", 1795874585000000);
    is("2028-02-29 00:00Z", 1835395200000000);
}

static void without_an_offset_it_is_local_time(void **state)
{
    (void)state;
    setenv("TZ", "Europe/Vienna", 1);
    tzset();
    is("2026-11-28 15:03:05", 1795874585000000);
    is("2026-07-28 15:03:05", 1785243785000000); /* in summer an hour more */
    setenv("TZ", "UTC", 1);
    tzset();
    is("2026-11-28 14:03:05", 1795874585000000);
}

static void what_is_no_moment_is_refused(void **state)
{
    static const char *const texts[] = {"", "@", "@x", "@-5", "@1 ", "@99999999999999999999", "now",
        "2026-11-28", "2026-11-28T", "2026-11-28 14", "2026-11-28 14:3",
        "2026-11-28 14:03:", "2026-11-28 14:03:05.", "2026-11-28 14:03:05 Z",
        "2026-11-28 14:03:05Zx", "2026-11-28 14:03:05+",
        "2026-11-28 14:03:05+01:", "2026-13-28 14:03", "2026-11-31 14:03", "2027-02-29 14:03Z",
        "2026-11-28 24:03", "2026-11-28 14:60", "2026-11-28 14:03:60", "26-11-28 14:03",
        "2026-11-28 14:03:05+25:00"};
    int64_t us = 7;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (moment_parse(texts[i], &us) || us != 7)
            fail_msg("'%s' was taken", texts[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_are_understood),
        cmocka_unit_test(without_an_offset_it_is_local_time),
        cmocka_unit_test(what_is_no_moment_is_refused),
    };

    return cmocka_run_group_tests_name("tools/moment", tests, NULL, NULL);
}
