#include "retention.h"

#include <string.h>

#define SECONDS_A_DAY 86400
#define MONDAY_BEFORE_1970 3 /* days: 1 January 1970 was a Thursday */

const char *retention_option(enum retention_rule rule)
{
    static const char *const names[] = {
        "keep-last", "keep-hourly", "keep-daily", "keep-weekly", "keep-monthly"};

    return names[rule];
}

bool retention_is_empty(const struct retention *retention)
{
    for (int rule = 0; rule < RETENTION_RULES; rule++)
        if (retention->counts[rule] > 0)
            return false;
    return true;
}

/* The number of the hour, day, … that the time lies in; for KEEP_LAST each has its own. */
static long period_of(enum retention_rule rule, time_t when, size_t place)
{
    struct tm local;
    long day;

    localtime_r(&when, &local);
    day = (long)((when + local.tm_gmtoff) / SECONDS_A_DAY);
    switch (rule) {
    case KEEP_HOURLY:
        return day * 24 + local.tm_hour;
    case KEEP_DAILY:
        return day;
    case KEEP_WEEKLY:
        return (day + MONDAY_BEFORE_1970) / 7;
    case KEEP_MONTHLY:
        return (long)local.tm_year * 12 + local.tm_mon;
    default:
        return -(long)place;
    }
}

void retention_choose(
    const struct retention *retention, const time_t *times, size_t count, bool *ret_keep)
{
    memset(ret_keep, 0, count * sizeof(*ret_keep));
    for (int rule = 0; rule < RETENTION_RULES; rule++) {
        unsigned left = retention->counts[rule];
        long before = 0;

        for (size_t i = 0; i < count && left > 0; i++) {
            long period = period_of((enum retention_rule)rule, times[i], i);

            if (i > 0 && period == before)
                continue;
            before = period;
            ret_keep[i] = true;
            left--;
        }
    }
}
