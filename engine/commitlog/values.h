/*
 * Which slots hold large values of records, and who still needs them. Pure bookkeeping, under the
 * mutex of the log; the values themselves are written by whoever appends (outline.c).
 *
 *   free --take--> active: values one behind the other --full--> in use --all flushed--> free
 *
 * A value is needed as long as its table is not flushed beyond the record that names it: what is in
 * an SSTable is in no need of the log. So most values never come to the device from here: their
 * pages in the page cache are written over before the kernel or a sync writes them out.
 */
#ifndef SSTFS_COMMITLOG_VALUES_H
#define SSTFS_COMMITLOG_VALUES_H

#include "commitlog/commitlog.h"
#include "commitlog/pool.h"

struct value_slot {
    struct slot *slot; /* NULL: there is none of this number */
    bool in_use;
    uint64_t end;     /* bytes given out */
    unsigned writers; /* who was given a place, and whose record has none yet */
    struct commitlog_value_use use;
    uint64_t synced; /* values of records before this position are on the device */
    uint64_t unsynced_bytes;
};

struct values {
    struct value_slot slots[VALUE_SLOTS_MAX];
    struct value_slot *active; /* or NULL */
    bool wanted;               /* one was, and none was free */
    uint64_t flushed[COMMITLOG_TABLES_MAX];
};

/** A slot that was made, or (`use` not NULL) was there with values that are needed, and synced. */
void values_add_slot(
    struct values *values, struct slot *slot, const struct commitlog_value_use *use);
/** A number that no slot has and should have, for there to be a free one; -1: none is wanted. */
int values_new_number(struct values *values);
void values_close(struct values *values, struct env *env);

/** A place for `bytes` (a multiple of VALUE_ALIGN): true; false: in no slot. */
bool values_take(struct values *values, uint64_t bytes, struct value_reference *ret_reference);
/** The value of the place is named by a record at `position`. */
void values_named(
    struct values *values, const struct value_reference *reference, uint64_t position);
/** It came to no record. */
void values_dropped(struct values *values, const struct value_reference *reference);

/** Tables are flushed so far, durably: slots that nobody needs are free. */
void values_flushed(struct values *values, const uint64_t *flushed, unsigned table_count);
/** Are values of records before `position`, and of none of the tables `but`, neither in an SSTable
 * nor on the device? */
bool values_slot_needs_sync(
    const struct values *values, const struct value_slot *slot, uint64_t position, uint64_t but);
bool values_need_sync(const struct values *values, uint64_t position);
/** Bytes that a sync of everything would write, and whose they are. */
uint64_t values_unsynced(const struct values *values, uint64_t *ret_tables);

#endif
