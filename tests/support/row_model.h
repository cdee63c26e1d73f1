/*
 * A naive model of a partition, for random tests of what merges and purges: a few rows, each with a
 * fixed place for every cell, and range tombstones as the deletion of each stretch between bounds.
 * Its rules are written down a second time here, as comparisons of tuples, by nobody's cleverness.
 *
 *   bounds    0      1      2      3             before row 0, after row 0, before row 1 …
 *   stretches    0      1      2                 an even one holds a row, an odd one a gap
 *   rows         0             1
 */
#ifndef SSTFS_TESTS_ROW_MODEL_H
#define SSTFS_TESTS_ROW_MODEL_H

#include "base/arena.h"
#include "support/array_partition.h"
#include "support/random.h"

#define MODEL_ROWS 5
#define MODEL_STRETCHES (2 * MODEL_ROWS - 1)
#define MODEL_COLUMNS 4 /* blob a, int b, map m, map n; the same ones as statics */
#define MODEL_PATHS 3
#define MODEL_CELLS (2 + 2 * MODEL_PATHS)

struct model_row {
    struct liveness liveness;
    struct deletion deletion;
    struct deletion maps[2];
    bool has[MODEL_CELLS];
    struct cell cells[MODEL_CELLS];
};

struct model {
    struct deletion deletion;
    struct model_row static_row;
    struct model_row rows[MODEL_ROWS];
    struct deletion stretches[MODEL_STRETCHES];
};

extern const struct table_schema model_schema;

/** Anything that a source may hold: nothing in it is covered by a deletion in it. */
void model_random(struct random *random, struct model *to);
void model_merge(const struct model *models, unsigned count, struct model *to);
/** What compaction keeps. */
void model_purge(struct model *model, int64_t now_s, int64_t gc_before_s, int64_t max_purgeable_us);
/** What a SELECT sees. */
void model_live(struct model *model, int64_t now_s);
/** Arrays in `arena`. */
struct array_partition model_to_array(
    const struct model *model, struct bytes key, struct arena *arena);

#endif
