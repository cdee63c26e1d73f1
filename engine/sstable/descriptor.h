/*
 * Names of an SSTable's files and the list of them, TOC.txt (FORMAT.md, "Names"). The names
 * themselves are public: engine/sstable.h.
 */
#ifndef SSTFS_SSTABLE_DESCRIPTOR_H
#define SSTFS_SSTABLE_DESCRIPTOR_H

#include "engine/buf.h"
#include "engine/sstable.h"

/** A set of components: bit 1u << enum sstable_component. */
typedef uint32_t component_set;

static inline bool component_set_has(component_set set, enum sstable_component component)
{
    return (set >> component & 1) != 0;
}

/** "Data.db" and so on. */
const char *component_name(enum sstable_component component);

/** FOLDER/nb-ID-big-COMPONENT (folder "" is the env's own); to be freed; NULL: no memory. */
char *sstable_path(
    const char *folder, const struct sstable_id *id, enum sstable_component component);

/** The content of TOC.txt. */
void toc_encode(struct buf *to, component_set components);
/** Names that no SSTable of ours has are passed over: Cassandra may have added one. */
component_set toc_decode(struct bytes text);

#endif
