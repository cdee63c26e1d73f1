/*
 * Which of many points in time to keep: the newest ones, and of each hour, day, week or month the
 * newest, for so many hours, days, weeks or months as have one.
 */
#ifndef SSTFS_TOOLS_RETENTION_H
#define SSTFS_TOOLS_RETENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

enum retention_rule {
    KEEP_LAST,
    KEEP_HOURLY,
    KEEP_DAILY,
    KEEP_WEEKLY, /* weeks begin on Monday */
    KEEP_MONTHLY,
    RETENTION_RULES
};

/** How many each rule keeps; a point stays if any rule keeps it. */
struct retention {
    unsigned counts[RETENTION_RULES];
};

/** "keep-last", … as options are called. */
const char *retention_option(enum retention_rule rule);
bool retention_is_empty(const struct retention *retention);
/** `times`, newest first; days and hours are local ones. Sets `ret_keep[i]`. */
void retention_choose(
    const struct retention *retention, const time_t *times, size_t count, bool *ret_keep);

#endif
