/*
 * Goal: a skip list holds what was inserted, once, in order, and readers without a lock see nothing
 * else while it grows.
 * Method: insertions in every kind of order against a sorted array; then one thread that inserts
 * while others walk and seek.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "memtable/skiplist.h"

struct entry {
    uint64_t key;
    struct skiplist_node node;
};

/* With a shift the prefix decides part of the comparisons only, as for long names. */
struct list {
    struct skiplist skiplist;
    struct arena arena;
    unsigned prefix_shift;
};

static const struct entry *entry_of(const struct skiplist_node *node)
{
    return CONTAINER_OF(node, struct entry, node);
}

static int compare_entry(const struct skiplist_key *key, const struct skiplist_node *node)
{
    uint64_t a = *(const uint64_t *)key->value, b = entry_of(node)->key;
    return (a > b) - (a < b);
}

static struct skiplist_key key_of(const struct list *list, const uint64_t *key)
{
    return (struct skiplist_key){*key >> list->prefix_shift, compare_entry, key, NULL};
}

static void list_init(struct list *list, unsigned prefix_shift)
{
    skiplist_init(&list->skiplist);
    arena_init(&list->arena, 16384);
    list->prefix_shift = prefix_shift;
}

/* Whether it was not there. */
static bool insert(struct list *list, uint64_t key)
{
    struct skiplist_key sought = key_of(list, &key);
    struct skiplist_place place;
    struct skiplist_node *found;
    struct entry *entry;
    unsigned height;
    int r;

    r = skiplist_locate(&list->skiplist, &list->arena, &sought, &place, &found);
    assert_true(r >= 0);
    if (r > 0) {
        assert_true(entry_of(found)->key == key);
        return false;
    }
    height = skiplist_draw_height(&list->skiplist);
    entry = arena_alloc(&list->arena, sizeof(*entry) + skiplist_node_extra_bytes(height));
    assert_non_null(entry);
    entry->key = key;
    entry->node.prefix = sought.prefix;
    skiplist_insert(&list->skiplist, &place, &entry->node, height);
    return true;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void an_empty_list_has_nothing(void **state)
{
    struct list list;
    uint64_t key = 0;
    struct skiplist_key sought;
    (void)state;

    list_init(&list, 0);
    sought = key_of(&list, &key);
    assert_null(skiplist_first(&list.skiplist));
    assert_null(skiplist_seek(&list.skiplist, &sought));
    arena_release(&list.arena);
}

enum order { ASCENDING, DESCENDING, RANDOM, RUNS };

static uint64_t key_in_order(enum order order, unsigned i, unsigned count, uint64_t *random)
{
    switch (order) {
    case ASCENDING:
        return 2 * i;
    case DESCENDING:
        return 2 * (count - 1 - i);
    case RANDOM:
        return 2 * (next_random(random) % count);
    case RUNS:
        /* Ascending for a while, then a jump: the finger climbs and falls back. */
        if (i % 50 == 0)
            *random = *random * 6364136223846793005u + 1;
        return 2 * (((*random >> 33) + i % 50) % count);
    }
    return 0;
}

static void insert_and_compare(enum order order, unsigned count, unsigned prefix_shift)
{
    uint64_t random = 88172645463325252u;
    bool *expected = calloc(count, sizeof(*expected));
    const struct skiplist_node *node;
    struct list list;
    unsigned distinct = 0;

    assert_non_null(expected);
    list_init(&list, prefix_shift);
    for (unsigned i = 0; i < count; i++) {
        uint64_t key = key_in_order(order, i, count, &random);

        assert_true(insert(&list, key) == !expected[key / 2]);
        distinct += !expected[key / 2];
        expected[key / 2] = true;
    }
    assert_int_equal(list.skiplist.count, distinct);

    node = skiplist_first(&list.skiplist);
    for (uint64_t i = 0; i < count; i++) {
        if (!expected[i])
            continue;
        assert_non_null(node);
        assert_true(entry_of(node)->key == 2 * i);
        node = skiplist_next(node);
    }
    assert_null(node);

    /* From behind, so that the answer of each seek is known: odd keys are between entries. */
    node = NULL;
    for (uint64_t key = 2 * (uint64_t)count; key-- > 0;) {
        struct skiplist_key sought = key_of(&list, &key);
        const struct skiplist_node *found = skiplist_seek(&list.skiplist, &sought);

        if (key % 2 == 0 && expected[key / 2]) {
            assert_non_null(found);
            assert_true(entry_of(found)->key == key);
            node = found;
        }
        assert_ptr_equal(found, node);
    }
    arena_release(&list.arena);
    free(expected);
}

static void all_orders_of_insertion_give_one_order(void **state)
{
    static const unsigned counts[] = {1, 2, 15, 16, 17, 255, 257, 5000};
    (void)state;

    for (int order = ASCENDING; order <= RUNS; order++) {
        for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
            insert_and_compare((enum order)order, counts[i], 0);
            insert_and_compare((enum order)order, counts[i], 4);
            insert_and_compare((enum order)order, counts[i], 63);
        }
    }
}

static unsigned comparisons;

static int compare_and_count(const struct skiplist_key *key, const struct skiplist_node *node)
{
    comparisons++;
    return compare_entry(key, node);
}

/* How many comparisons a seek takes on average in a list of 10,000, on which all prefixes are
 * equal. */
static unsigned comparisons_per_seek(enum order order)
{
    enum { COUNT = 10000 };
    uint64_t random = 88172645463325252u;
    struct list list;

    list_init(&list, 63);
    for (unsigned i = 0; i < COUNT; i++)
        insert(&list, key_in_order(order, i, COUNT, &random));
    comparisons = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        uint64_t key = 2 * i;
        struct skiplist_key sought = {0, compare_and_count, &key, NULL};

        skiplist_seek(&list.skiplist, &sought);
    }
    arena_release(&list.arena);
    return comparisons / COUNT;
}

static void seeks_are_short_whatever_the_order_of_insertion(void **state)
{
    (void)state;
    /* log4(10,000) levels with 4 nodes to pass on each, at most, is 27. */
    for (int order = ASCENDING; order <= RUNS; order++)
        assert_in_range(comparisons_per_seek((enum order)order), 1, 27);
}

static void ascending_insertions_do_not_search(void **state)
{
    enum { COUNT = 10000 };
    struct list list;
    (void)state;

    list_init(&list, 63);
    comparisons = 0;
    for (uint64_t i = 0; i < COUNT; i++) {
        struct skiplist_key sought = {0, compare_and_count, &i, NULL};
        struct skiplist_place place;
        struct skiplist_node *found;
        struct entry *entry;
        unsigned height;

        assert_int_equal(skiplist_locate(&list.skiplist, &list.arena, &sought, &place, &found), 0);
        height = skiplist_draw_height(&list.skiplist);
        entry = arena_alloc(&list.arena, sizeof(*entry) + skiplist_node_extra_bytes(height));
        assert_non_null(entry);
        entry->key = i;
        entry->node.prefix = 0;
        skiplist_insert(&list.skiplist, &place, &entry->node, height);
    }
    assert_true(comparisons <= COUNT);
    arena_release(&list.arena);
}

/* ---- threads ---- */

enum { THREAD_KEYS = 20000 };

struct shared {
    struct list list;
    _Atomic uint64_t inserted; /* keys 0, 7, 14, … mod THREAD_KEYS: this many are there */
    _Atomic bool failed;
};

static uint64_t nth_key(uint64_t n)
{
    return n * 7 % THREAD_KEYS;
}

static void *read_while_growing(void *arg)
{
    struct shared *shared = arg;
    uint64_t inserted;

    do {
        uint64_t seen = 0, last = 0;
        bool ok = true;

        inserted = atomic_load_explicit(&shared->inserted, memory_order_acquire);
        for (const struct skiplist_node *node = skiplist_first(&shared->list.skiplist); node;
             node = skiplist_next(node)) {
            ok = ok && (seen == 0 || entry_of(node)->key > last);
            last = entry_of(node)->key;
            seen++;
        }
        ok = ok && seen >= inserted;
        for (uint64_t n = 0; n < inserted; n += 97) {
            uint64_t key = nth_key(n);
            struct skiplist_key sought = key_of(&shared->list, &key);
            const struct skiplist_node *found = skiplist_seek(&shared->list.skiplist, &sought);

            ok = ok && found && entry_of(found)->key == key;
        }
        if (!ok)
            atomic_store(&shared->failed, true);
    } while (inserted < THREAD_KEYS);
    return NULL;
}

static void readers_see_what_was_inserted_before(void **state)
{
    static struct shared shared;
    pthread_t threads[3];
    (void)state;

    list_init(&shared.list, 3);
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_while_growing, &shared), 0);
    for (uint64_t n = 0; n < THREAD_KEYS; n++) {
        assert_true(insert(&shared.list, nth_key(n)));
        atomic_store_explicit(&shared.inserted, n + 1, memory_order_release);
    }
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_false(atomic_load(&shared.failed));
    arena_release(&shared.list.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_list_has_nothing),
        cmocka_unit_test(all_orders_of_insertion_give_one_order),
        cmocka_unit_test(seeks_are_short_whatever_the_order_of_insertion),
        cmocka_unit_test(ascending_insertions_do_not_search),
        cmocka_unit_test(readers_see_what_was_inserted_before),
    };
    return cmocka_run_group_tests_name("memtable/skiplist", tests, NULL, NULL);
}
