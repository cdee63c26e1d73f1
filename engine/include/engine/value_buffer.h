/*
 * Memory that a value may stay in, from where it comes in until its SSTable is written: nobody
 * copies it. Counted; who adds a value of it to a batch (batch_cell_shared()) lets the batch, then
 * the memtable, hold a reference, and what they hold must not change any more.
 *
 *   device --read--> [value buffer] --> commit log        by reference
 *                                   --> memtable --> SSTable
 *
 * A memtable holds buffers whole, so a value that is much smaller than its buffer is better copied.
 */
#ifndef SSTFS_ENGINE_VALUE_BUFFER_H
#define SSTFS_ENGINE_VALUE_BUFFER_H

#include <stdint.h>

struct value_buffer;

/** A row of `blocks` at most. */
#define VALUE_BUFFER_BYTES (128u << 10)

/** VALUE_BUFFER_BYTES, page-aligned: of a kernel's copy into it no page straddles two. */
uint8_t *value_buffer_data(struct value_buffer *buffer);
struct value_buffer *value_buffer_ref(struct value_buffer *buffer);
/** Any thread; a point of cancellation in none of these. NULL does nothing. */
void value_buffer_unref(struct value_buffer *buffer);

#endif
