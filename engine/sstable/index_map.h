/*
 * Index.db at a glance: from where to look for a token, and the checksum of each page. It is made
 * by reading Index.db through when it is first needed, for two reasons: Summary.db names every
 * 128th partition, and between those lie megabytes if partitions have promoted indexes; and the
 * format has no checksum of Index.db that is fit for a piece of it.
 */
#ifndef SSTFS_SSTABLE_INDEX_MAP_H
#define SSTFS_SSTABLE_INDEX_MAP_H

#include "sstable/digest.h"

struct sstable;

/** What of Index.db is read, cached and checked at a time. */
#define INDEX_PAGE_BYTES 4096u

struct index_map {
    uint32_t *page_crcs;
    /* The first entry that begins in each 1 KiB of the file, if one does. */
    size_t count, capacity;
    int64_t *tokens;
    uint64_t *positions;
    struct buf first_key, last_key;
};

#define INDEX_MAP_INIT ((struct index_map){0})

/** Reads all of Index.db: its CRC-32 is what the digest says, its entries are whole and ascend. */
MUST_USE int index_map_build(struct sstable *sstable, struct index_map *map);
void index_map_release(struct index_map *map);
/**
 * The part of Index.db in which all entries with `token` are: from an entry with a smaller one (or
 * the first) up to one with a greater one (or the end).
 */
void index_map_find(const struct index_map *map, int64_t token, uint64_t index_bytes,
    uint64_t *ret_start, uint64_t *ret_end);

#endif
