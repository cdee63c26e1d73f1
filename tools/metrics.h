/*
 * What a running mount tells of itself: counters, gauges, and how long things took. One list of
 * them, told as JSON, as a table, as OpenMetrics text.
 */
#ifndef SSTFS_TOOLS_METRICS_H
#define SSTFS_TOOLS_METRICS_H

#include <jansson.h>

#include "fs/session.h"

struct metrics_sources {
    struct engine *engine;
    struct fs *fs;
    struct session *session; /* NULL: not mounted yet */
};

/** An object of numbers, and "latencies": an object for each that ever took place. NULL: no memory.
 */
json_t *metrics_to_json(const struct metrics_sources *sources);
/** What metrics_to_json() gave, as people read it. */
MUST_USE int metrics_to_table(const json_t *stats, struct buf *to);
/** OpenMetrics 1.0, names "sstfs_…", base units. */
MUST_USE int metrics_to_text(const struct metrics_sources *sources, struct buf *to);

#endif
