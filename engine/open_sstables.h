/*
 * The SSTables that are open, with what each has in memory of its filter, index and chunk table: a
 * bounded number of bytes. Above that those that nobody has asked for since the hand came by
 * (CLOCK) are closed; the next who asks opens them again. What is closed is kept until all who may
 * have borrowed it have left their epoch (sstable_handle_borrow()). Thread-safe.
 */
#ifndef SSTFS_ENGINE_OPEN_SSTABLES_H
#define SSTFS_ENGINE_OPEN_SSTABLES_H

#include <stdint.h>

#include "base/epochs.h"
#include "engine/mutex.h"

struct closed_sstable;
struct sstable_handle;

struct open_sstables {
    struct mutex mutex; /* guards what follows */
    uint64_t bytes_max;
    struct epochs *readers;
    struct closed_sstable *kept; /* newest first */
    struct sstable_handle *hand; /* in a ring; NULL: none is open */
    uint64_t count, closed;      /* now; for want of memory */
};

/** `readers`: what those are inside of who borrow; must outlive it. */
void open_sstables_init(struct open_sstables *all, uint64_t bytes_max, struct epochs *readers);
/** All must have been removed, and all readers have left. */
void open_sstables_release(struct open_sstables *all);

/** The handle, referenced by the caller, was opened just now. Closes others. */
void open_sstables_add(struct open_sstables *all, struct sstable_handle *handle);
/** It will be freed; it may never have been added. */
void open_sstables_remove(struct open_sstables *all, struct sstable_handle *handle);
/** All, so that whoever asks next opens what their names lead to then. */
void open_sstables_close_all(struct open_sstables *all);
void open_sstables_get(
    struct open_sstables *all, uint64_t *ret_count, uint64_t *ret_bytes, uint64_t *ret_closed);

#endif
