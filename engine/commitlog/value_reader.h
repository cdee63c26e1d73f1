/*
 * The updates of a record, put together again from the record and the values that lie elsewhere;
 * for replay.
 */
#ifndef SSTFS_COMMITLOG_VALUE_READER_H
#define SSTFS_COMMITLOG_VALUE_READER_H

#include "commitlog/commitlog.h"
#include "commitlog/segment.h"

struct value_reader {
    struct env *env;
    struct commitlog_flushed flushed;
    struct commitlog_value_use *uses; /* of VALUE_SLOTS_MAX slots: what was read is added */
    bool writes_back;                 /* what is good, to be synced */
    bool is_bare;                     /* slots lie in the env's folder itself */
    uint64_t open;                    /* a bit for each slot */
    int fds[VALUE_SLOTS_MAX];
    bool is_lenient;  /* a value that is not there is zeros */
    uint64_t missing; /* tables of the record's values that were not there, a bit each */
};

/**
 * The updates of a good BATCH record at `position`: 1, with one reference, and 0 if a value is not
 * what the record says. Those of tables flushed beyond it are not read: zeros.
 */
MUST_USE int value_reader_updates(struct value_reader *reader, const struct record *record,
    uint64_t position, struct record_memory **ret_memory);
void value_reader_release(struct value_reader *reader);

#endif
