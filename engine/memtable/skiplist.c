#include "memtable/skiplist.h"

#include <errno.h>

#include "engine/assert.h"

/* One node in two is on the level above: 2^height nodes are what a height is good for. */
#define HEIGHT_STEP 2u

struct level {
    struct skiplist_link first;
    struct skiplist_node *finger; /* the writer's: last node here up to the one located last */
};

struct skiplist_tower {
    unsigned height;
    uint64_t
        finger_prefix; /* the writer's: of levels[0].finger, which is mostly not in the cache */
    struct level levels[];
};

void skiplist_init(struct skiplist *list)
{
    atomic_init(&list->tower, NULL);
    list->count = 0;
    list->random = 2463534242u;
}

static struct skiplist_tower *writers_tower(struct skiplist *list)
{
    return atomic_load_explicit(&list->tower, memory_order_relaxed);
}

/* The writer changes links, of a list that others only read. */
static struct skiplist_link *link_of(
    const struct skiplist_tower *tower, const struct skiplist_node *node, unsigned level)
{
    const struct skiplist_link *link = node ? &node->links[level] : &tower->levels[level].first;

    return (struct skiplist_link *)(uintptr_t)link;
}

static struct skiplist_node *load_next(
    const struct skiplist_tower *tower, const struct skiplist_node *node, unsigned level)
{
    return atomic_load_explicit(&link_of(tower, node, level)->next, memory_order_acquire);
}

static void link_init(struct skiplist_link *link, const struct skiplist_link *copy)
{
    atomic_init(&link->next, copy ? atomic_load_explicit(&copy->next, memory_order_relaxed) : NULL);
    atomic_init(
        &link->prefix, copy ? atomic_load_explicit(&copy->prefix, memory_order_relaxed) : 0);
}

static int compare(const struct skiplist_key *key, const struct skiplist_node *node)
{
    if (key->prefix != node->prefix)
        return key->prefix < node->prefix ? -1 : 1;
    return key->compare(key, node);
}

/*
 * A small list has a low tower; a higher one takes its place. Readers that still hold the old one
 * miss at most what is inserted from now on before its first nodes, as if they had come earlier.
 */
static int make_room(struct skiplist *list, struct arena *arena)
{
    struct skiplist_tower *old = writers_tower(list);
    unsigned old_height = old ? old->height : 0;
    unsigned height = old_height + HEIGHT_STEP;
    struct skiplist_tower *tower;

    if (old && (old_height == SKIPLIST_HEIGHT_MAX || list->count < 1u << old_height))
        return 0;
    tower = arena_alloc(arena, sizeof(*tower) + height * sizeof(tower->levels[0]));
    if (!tower)
        return -ENOMEM;
    tower->height = height;
    tower->finger_prefix = old ? old->finger_prefix : 0;
    for (unsigned i = 0; i < height; i++) {
        link_init(&tower->levels[i].first, i < old_height ? &old->levels[i].first : NULL);
        tower->levels[i].finger = i < old_height ? old->levels[i].finger : NULL;
    }
    atomic_store_explicit(&list->tower, tower, memory_order_release);
    return 0;
}

/* Walks down from `node` on `level`; `place` may be NULL. Returns the first node not before. */
static struct skiplist_node *descend(const struct skiplist_tower *tower,
    const struct skiplist_key *key, struct skiplist_node *node, unsigned level,
    struct skiplist_place *place, bool *ret_equal)
{
    struct skiplist_node *not_before = NULL; /* compared already, on the level above */
    bool equal = false;

    for (;;) {
        const struct skiplist_link *link = link_of(tower, node, level);
        struct skiplist_node *next = atomic_load_explicit(&link->next, memory_order_acquire);

        if (next && next != not_before) {
            bool is_below = key->prefix < atomic_load_explicit(&link->prefix, memory_order_relaxed);
            int r = is_below ? -1 : compare(key, next);

            if (r > 0) {
                node = next;
                continue;
            }
            not_before = next;
            equal = r == 0;
        }
        if (place)
            place->before[level] = node;
        if (level == 0) {
            *ret_equal = next && equal;
            return next;
        }
        level--;
    }
}

/* The finger stays on what was located: the node itself on its levels, its place above them. */
static void point_finger(
    struct skiplist_tower *tower, const struct skiplist_place *place, struct skiplist_node *node)
{
    for (unsigned i = 0; i < tower->height; i++) {
        struct skiplist_node *before = place->before[i];
        tower->levels[i].finger = load_next(tower, before, i) == node ? node : before;
    }
    tower->finger_prefix = node->prefix;
}

int skiplist_locate(struct skiplist *list, struct arena *arena, const struct skiplist_key *key,
    struct skiplist_place *place, struct skiplist_node **ret_node)
{
    struct skiplist_tower *tower;
    struct skiplist_node *node, *finger;
    unsigned level;
    bool equal = false;
    int r;

    r = make_room(list, arena);
    if (r < 0)
        return r;
    tower = writers_tower(list);
    level = tower->height - 1;
    finger = tower->levels[0].finger;
    r = finger && key->prefix >= tower->finger_prefix ? compare(key, finger) : -1;
    if (r == 0) {
        *ret_node = finger;
        return 1;
    }
    if (r > 0) {
        /* Climb from the finger until a level reaches over the key; on the levels above, what is
         * next of the finger is over it as well, so the finger is the place. */
        for (level = 0; level < tower->height - 1; level++) {
            node = load_next(tower, tower->levels[level].finger, level);
            if (!node || compare(key, node) <= 0)
                break;
        }
        for (unsigned i = level + 1; i < tower->height; i++)
            place->before[i] = tower->levels[i].finger;
        finger = tower->levels[level].finger;
    } else {
        finger = NULL;
    }
    node = descend(tower, key, finger, level, place, &equal);
    if (!equal)
        return 0;
    point_finger(tower, place, node);
    *ret_node = node;
    return 1;
}

unsigned skiplist_draw_height(struct skiplist *list)
{
    unsigned height, height_max = writers_tower(list)->height;

    /* xorshift32: never 0, so there is a lowest bit. */
    list->random ^= list->random << 13;
    list->random ^= list->random >> 17;
    list->random ^= list->random << 5;
    height = 1 + (unsigned)__builtin_ctz(list->random);
    return height < height_max ? height : height_max;
}

void skiplist_insert(struct skiplist *list, const struct skiplist_place *place,
    struct skiplist_node *node, unsigned height)
{
    struct skiplist_tower *tower = writers_tower(list);

    ASSERT(height >= 1 && height <= tower->height);
    for (unsigned i = 0; i < height; i++)
        link_init(&node->links[i], link_of(tower, place->before[i], i));
    for (unsigned i = 0; i < height; i++) {
        struct skiplist_link *link = link_of(tower, place->before[i], i);

        atomic_store_explicit(&link->prefix, node->prefix, memory_order_relaxed);
        atomic_store_explicit(&link->next, node, memory_order_release);
    }
    list->count++;
    point_finger(tower, place, node);
}

struct skiplist_node *skiplist_seek(const struct skiplist *list, const struct skiplist_key *key)
{
    const struct skiplist_tower *tower = atomic_load_explicit(&list->tower, memory_order_acquire);
    bool equal;

    return tower ? descend(tower, key, NULL, tower->height - 1, NULL, &equal) : NULL;
}

struct skiplist_node *skiplist_first(const struct skiplist *list)
{
    const struct skiplist_tower *tower = atomic_load_explicit(&list->tower, memory_order_acquire);

    return tower ? load_next(tower, NULL, 0) : NULL;
}
