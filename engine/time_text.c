#include "time_text.h"

#include <stdio.h>
#include <time.h>

void time_text(int64_t timestamp_us, char to[TIME_TEXT_BYTES])
{
    time_t seconds = (time_t)(timestamp_us / 1000000);
    char date[TIME_TEXT_BYTES / 2];
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(to, TIME_TEXT_BYTES, "%s.%06uZ", date, (unsigned)(timestamp_us % 1000000));
}
