/*
 * trash/released: the SSTables in data/ that count no more and are being deleted, by name.
 *
 *   manifest edit "replaced by …" --> named here, durable --> their files go, one by one
 *
 * Whoever rebuilds a manifest from the folders of the tables takes none that is named here. Of a
 * compaction's inputs some are gone sooner than others, and its outputs have lost the tombstones of
 * all: an input taken for a live one would bring back what another, gone already, had deleted.
 * Before they are named here all of them are whole, and to take them all does no harm.
 *
 *   line    table folder's name, '/', id          last line   "end", and the CRC-32 of all before
 */
#ifndef SSTFS_ENGINE_RELEASED_H
#define SSTFS_ENGINE_RELEASED_H

#include "engine/buf.h"
#include "engine/schema.h"
#include "engine/sstable.h"

#define RELEASED_NAME "released"
#define RELEASED_PATH "trash/" RELEASED_NAME

/** The list, being written. */
void released_add(struct buf *list, const struct table_schema *schema, const struct sstable_id *id);
/** In one step, in place of the list before it; durable. */
MUST_USE int released_write(struct env *env, struct buf *list);

typedef int (*released_each)(void *arg, const char *table_folder, const struct sstable_id *id);
/** Those that are named; no list names none. -EUCLEAN: it is damaged. */
MUST_USE int released_read(struct env *env, released_each each, void *arg);

#endif
