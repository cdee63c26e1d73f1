#include "moment.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* Exactly `digits` of them. */
static bool take_number(const char **at, int digits, int least, int most, int *ret)
{
    int value = 0;

    for (int i = 0; i < digits; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        value = value * 10 + (**at - '0');
    }
    *ret = value;
    return value >= least && value <= most;
}

static bool take(const char **at, char c)
{
    bool is_there = **at == c;

    *at += is_there;
    return is_there;
}

static bool take_date(const char **at, struct tm *tm)
{
    int year, month;
    bool good = take_number(at, 4, 1970, 9999, &year) && take(at, '-') &&
                take_number(at, 2, 1, 12, &month) && take(at, '-') &&
                take_number(at, 2, 1, 31, &tm->tm_mday);

    if (good) {
        tm->tm_year = year - 1900;
        tm->tm_mon = month - 1;
    }
    return good;
}

/* Seconds, and what follows a point. */
static bool take_seconds(const char **at, struct tm *tm, int *ret_us)
{
    int unit = 100000;

    if (!take_number(at, 2, 0, 59, &tm->tm_sec))
        return false;
    if (!take(at, '.'))
        return true;
    if (**at < '0' || **at > '9')
        return false;
    for (; **at >= '0' && **at <= '9'; (*at)++, unit /= 10)
        *ret_us += (**at - '0') * unit;
    return true;
}

static bool take_time(const char **at, struct tm *tm, int *ret_us)
{
    if (!take_number(at, 2, 0, 23, &tm->tm_hour) || !take(at, ':') ||
        !take_number(at, 2, 0, 59, &tm->tm_min))
        return false;
    return !take(at, ':') || take_seconds(at, tm, ret_us);
}

/* "Z", "+01:00", "+0100", "+01". */
static bool take_offset(const char **at, int *ret_s)
{
    int sign = **at == '-' ? -1 : 1, hours, minutes = 0;

    *ret_s = 0;
    if (take(at, 'Z'))
        return true;
    if (!take(at, '+') && !take(at, '-'))
        return false;
    if (!take_number(at, 2, 0, 14, &hours))
        return false;
    if ((take(at, ':') || **at) && !take_number(at, 2, 0, 59, &minutes))
        return false;
    *ret_s = sign * (hours * 3600 + minutes * 60);
    return true;
}

static bool parse_number(const char *text, int64_t *ret_us)
{
    char *end;
    long long us;

    errno = 0;
    us = strtoll(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno)
        return false;
    *ret_us = us;
    return true;
}

bool moment_parse(const char *text, int64_t *ret_us)
{
    struct tm tm = {.tm_isdst = -1};
    int us = 0, offset_s = 0, day;
    time_t seconds;

    if (*text == '@')
        return parse_number(text + 1, ret_us);
    if (!take_date(&text, &tm) || (!take(&text, 'T') && !take(&text, ' ')) ||
        !take_time(&text, &tm, &us))
        return false;
    day = tm.tm_mday;
    if (*text) {
        if (!take_offset(&text, &offset_s) || *text)
            return false;
        seconds = timegm(&tm) - offset_s;
    } else {
        seconds = mktime(&tm);
    }
    /* The 31st of a month of 30 days has become another. */
    if (tm.tm_mday != day || seconds < 0)
        return false;
    *ret_us = (int64_t)seconds * 1000000 + us;
    return true;
}
