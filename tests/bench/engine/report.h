/*
 * What runs measured, gathered, and printed beside each other with ratios and bars.
 */
#ifndef SSTFS_BENCH_REPORT_H
#define SSTFS_BENCH_REPORT_H

#include "bench.h"

#define RUNS_MAX 15u
#define ENGINES_MAX 4u

struct report;
struct report *report_new(const struct load *load);
void report_free(struct report *report);
/** A line "metric value" that a run of engine number `engine` printed; false: it is none. */
bool report_add_line(struct report *report, unsigned engine, const char *line);
/** The table of the load: medians; engine 0 is ours. Returns how many bars were missed. */
unsigned report_print(const struct report *report, const struct bench_engine *const *engines,
    unsigned engine_count, const struct settings *settings);

#endif
