/*
 * An ordered list that is only ever added to: one writer at a time, any number of readers without
 * a lock.
 *
 *   tower  [2]------------------> d ----------> nil        levels above 0 skip every other node
 *          [1]---------> b -----> d ----------> nil
 *          [0]---> a --> b --> c --> d --> e -> nil
 *
 * Nodes are embedded at the end of what they order, and live as long as the arena that they come
 * from. A node is linked from below upwards with release stores, after it is complete: a reader
 * that meets it sees all of it. The writer keeps a finger, the place of its last insertion, so that
 * ascending insertions and repeated updates of one key search nothing.
 *
 * Each node has a prefix: 64 bits that never contradict the order (a < b implies prefix(a) <=
 * prefix(b)), so that most comparisons touch no key and call no function. A link knows the prefix
 * of the node it leads to: a search comes only to nodes that it goes on from, each of which is a
 * cache miss in a large memtable. The prefix is written before the link, and what comes into a link
 * is before what was there: so a reader sees the prefix of the node that it sees, or a lower one.
 */
#ifndef SSTFS_MEMTABLE_SKIPLIST_H
#define SSTFS_MEMTABLE_SKIPLIST_H

#include <stdatomic.h>

#include "base/arena.h"
#include "engine/auto.h"

#define SKIPLIST_HEIGHT_MAX 24 /* 16 million nodes before levels are missed */

struct skiplist_node;

struct skiplist_link {
    _Atomic(struct skiplist_node *) next;
    _Atomic uint64_t prefix; /* not above that of `next` */
};

/** The last member of what is ordered, allocated with skiplist_node_extra_bytes() behind it. */
struct skiplist_node {
    uint64_t prefix;
    struct skiplist_link links[];
};

/** What is sought. `compare` is asked only between equal prefixes: <0 when the key is before. */
struct skiplist_key {
    uint64_t prefix;
    int (*compare)(const struct skiplist_key *key, const struct skiplist_node *node);
    const void *value;
    const void *context;
};

struct skiplist_tower;

struct skiplist {
    _Atomic(struct skiplist_tower *) tower; /* NULL: empty; replaced by a higher one as it grows */
    /* The writer's: */
    uint32_t count;
    uint32_t random;
};

/** Where a key belongs: the last node before it on each level, NULL for the tower itself. */
struct skiplist_place {
    struct skiplist_node *before[SKIPLIST_HEIGHT_MAX];
};

void skiplist_init(struct skiplist *list);

/**
 * For the writer: 1 and the node of this key; 0 when there is none, and `place` is where it goes
 * (valid until the next locate); -ENOMEM. Towers come from `arena`.
 */
MUST_USE int skiplist_locate(struct skiplist *list, struct arena *arena,
    const struct skiplist_key *key, struct skiplist_place *place, struct skiplist_node **ret_node);

/** For the writer, after skiplist_locate() has made room: the height of the next node. */
unsigned skiplist_draw_height(struct skiplist *list);

static inline size_t skiplist_node_extra_bytes(unsigned height)
{
    return height * sizeof(struct skiplist_link);
}

/** Publishes `node` of drawn `height`, its content and prefix complete, at a place just located. */
void skiplist_insert(struct skiplist *list, const struct skiplist_place *place,
    struct skiplist_node *node, unsigned height);

/* For anybody, at any time. NULL: none. */

/** The first node that is not before the key. */
struct skiplist_node *skiplist_seek(const struct skiplist *list, const struct skiplist_key *key);
struct skiplist_node *skiplist_first(const struct skiplist *list);

static inline struct skiplist_node *skiplist_next(const struct skiplist_node *node)
{
    return atomic_load_explicit(&node->links[0].next, memory_order_acquire);
}

#endif
