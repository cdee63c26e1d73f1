/*
 * What was written once, put into a batch again with the timestamps that it has.
 */
#ifndef SSTFS_ROWS_BATCH_COPY_H
#define SSTFS_ROWS_BATCH_COPY_H

#include "rows/update.h"

/**
 * Adds all of a partition, which is read to its end. 1: it holds what a batch cannot say (a range
 * tombstone; a deletion or an expiry made at another time than its timestamp tells), and the batch
 * is of no use; 0 or a negative errno else. Errors of the batch itself show in batch_finish().
 */
MUST_USE int batch_copy_partition(
    struct batch *batch, unsigned table, struct partition_iterator *partition);

#endif
