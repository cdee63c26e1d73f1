/*
 * Goal: partitions are found by their key, and walked in order from any token, however many there
 * are and while more come.
 * Method: random keys, some with tokens side by side or the same, beside a sorted array of them;
 * then a writer, and readers that know how many keys are in.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "engine/assert.h"
#include "engine/coding.h"
#include "memtable/partitions.h"
#include "rows/compare.h"
#include "support/random.h"

enum { KEYS = 20000, READERS = 2 };

struct world {
    struct partitions partitions;
    struct arena arena;
    uint8_t bytes[KEYS][8];
    struct decorated_key keys[KEYS]; /* as they come */
    _Atomic unsigned inserted;
};

/* Of the shard whose tokens begin with zeros, the lowest. */
static int64_t token_of(uint64_t random)
{
    return (int64_t)(random >> SHARD_BITS) + INT64_MIN;
}

/* Most anywhere; some close together; some share a token, and differ in their bytes. */
static struct world *world_new(uint64_t seed)
{
    struct world *world = calloc(1, sizeof(*world));
    struct random random = {seed};

    assert_non_null(world);
    partitions_init(&world->partitions);
    arena_init(&world->arena, 16 << 10);
    for (unsigned i = 0; i < KEYS; i++) {
        uint64_t drawn = random_next(&random);

        if (i % 5 == 0)
            drawn = 0x1234567800000000u + i;
        if (i % 5 == 1)
            drawn = 0xfedcba9800000000u;
        store_be64(world->bytes[i], (uint64_t)i * 0x9e3779b97f4a7c15u);
        world->keys[i] = (struct decorated_key){token_of(drawn), bytes_of(world->bytes[i], 8)};
    }
    return world;
}

static void world_free(struct world *world)
{
    arena_release(&world->arena);
    free(world);
}

static int add(struct world *world, unsigned i, struct memtable_partition **ret_partition)
{
    return partitions_get(&world->partitions, &world->keys[i], &world->arena, ret_partition);
}

static int compare(const void *a, const void *b)
{
    return decorated_key_compare(a, b);
}

static void keys_are_found_and_walked_in_order(void **state)
{
    struct world *world = world_new(1);
    struct memtable_partition *partition, *again;
    (void)state;

    assert_null(partitions_seek(&world->partitions, INT64_MIN));
    assert_null(partitions_find(&world->partitions, &world->keys[0]));
    for (unsigned i = 0; i < KEYS; i++) {
        assert_null(partitions_find(&world->partitions, &world->keys[i]));
        assert_int_equal(add(world, i, &partition), 1);
        assert_int_equal(add(world, i, &again), 0);
        assert_ptr_equal(partition, again);
        assert_ptr_equal(partitions_find(&world->partitions, &world->keys[i]), partition);
        assert_non_null(partitions_find(&world->partitions, &world->keys[i / 2]));
    }
    assert_int_equal(world->partitions.count, KEYS);

    qsort(world->keys, KEYS, sizeof(world->keys[0]), compare);
    partition = partitions_seek(&world->partitions, INT64_MIN);
    for (unsigned i = 0; i < KEYS; i++) {
        assert_non_null(partition);
        assert_int_equal(decorated_key_compare(&partition->key, &world->keys[i]), 0);
        partition = partitions_next(partition);
    }
    assert_null(partition);
    world_free(world);
}

static void a_walk_begins_at_any_token(void **state)
{
    enum { SEEKS = 2000 };
    struct world *world = world_new(2);
    struct memtable_partition *partition;
    struct random random = {3};
    (void)state;

    for (unsigned i = 0; i < KEYS; i++)
        assert_int_equal(add(world, i, &partition), 1);
    qsort(world->keys, KEYS, sizeof(world->keys[0]), compare);
    for (unsigned n = 0; n < SEEKS; n++) {
        int64_t token = n % 2 ? token_of(random_next(&random)) : world->keys[n % KEYS].token;
        unsigned at = 0;

        while (at < KEYS && world->keys[at].token < token)
            at++;
        partition = partitions_seek(&world->partitions, token);
        assert_int_equal(partition != NULL, at < KEYS);
        if (partition)
            assert_int_equal(decorated_key_compare(&partition->key, &world->keys[at]), 0);
    }
    world_free(world);
}

/* ---- threads ---- */

static void *look(void *arg)
{
    struct world *world = arg;
    unsigned inserted, next = 0;

    do {
        const struct memtable_partition *partition, *before = NULL;
        unsigned count = 0;

        inserted = atomic_load(&world->inserted);
        for (unsigned i = 0; i < inserted; i += 97)
            ASSERT(partitions_find(&world->partitions, &world->keys[i]));
        /* Each time from another token on. */
        next = (next + 7919) % KEYS;
        partition = partitions_seek(&world->partitions, world->keys[next].token);
        ASSERT(next >= inserted || partition);
        for (; partition && count < KEYS / 8; partition = partitions_next(partition), count++) {
            ASSERT(!before || decorated_key_compare(&before->key, &partition->key) < 0);
            before = partition;
        }
    } while (inserted < KEYS);
    return NULL;
}

static void readers_beside_a_writer_find_what_is_in(void **state)
{
    struct world *world = world_new(4);
    struct memtable_partition *partition;
    pthread_t readers[READERS];
    (void)state;

    for (unsigned i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, look, world), 0);
    for (unsigned i = 0; i < KEYS; i++) {
        assert_int_equal(add(world, i, &partition), 1);
        atomic_store(&world->inserted, i + 1);
    }
    for (unsigned i = 0; i < READERS; i++)
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_found_and_walked_in_order),
        cmocka_unit_test(a_walk_begins_at_any_token),
        cmocka_unit_test(readers_beside_a_writer_find_what_is_in),
    };
    return cmocka_run_group_tests_name("memtable/partitions", tests, NULL, NULL);
}
