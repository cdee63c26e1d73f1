/*
 * Goal: the cache gives back what was put in, keeps within its bytes, and never frees what is held.
 * Method: single steps, then four threads that get and put pieces whose content tells their key.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "cache/chunk_cache.h"
#include "support/random.h"

#define PIECE_BYTES 1000u

static void fill(struct chunk *chunk, struct chunk_key key)
{
    uint8_t *data = (uint8_t *)(uintptr_t)chunk->content.data;

    memset(data, (int)(key.number ^ key.file), chunk->content.size);
}

static bool holds(const struct chunk *chunk, struct chunk_key key)
{
    for (size_t i = 0; i < chunk->content.size; i++) {
        if (chunk->content.data[i] != (uint8_t)(key.number ^ key.file))
            return false;
    }
    return true;
}

static struct chunk *put(struct chunk_cache *cache, struct chunk_key key)
{
    struct chunk *chunk = chunk_new(cache, PIECE_BYTES);

    assert_non_null(chunk);
    fill(chunk, key);
    return chunk_cache_put(cache, key, chunk);
}

static uint64_t bytes_of_cache(struct chunk_cache *cache)
{
    struct chunk_cache_stats stats;

    chunk_cache_get_stats(cache, &stats);
    return stats.bytes;
}

static void what_was_put_in_is_found_until_its_file_is_dropped(void **state)
{
    struct chunk_cache *cache = chunk_cache_new(1u << 20);
    uint64_t file = chunk_cache_new_file(cache), other = chunk_cache_new_file(cache);
    struct chunk_cache_stats stats;

    (void)state;
    assert_true(file != other);
    for (uint64_t i = 0; i < 100; i++) {
        chunk_release(cache, put(cache, (struct chunk_key){file, i, CHUNK_DATA}));
        chunk_release(cache, put(cache, (struct chunk_key){other, i, CHUNK_DATA}));
    }
    for (uint64_t i = 0; i < 100; i++) {
        struct chunk *chunk = chunk_cache_get(cache, (struct chunk_key){file, i, CHUNK_DATA});

        assert_non_null(chunk);
        assert_true(holds(chunk, (struct chunk_key){file, i, CHUNK_DATA}));
        chunk_release(cache, chunk);
    }
    chunk_cache_drop_file(cache, file);
    for (uint64_t i = 0; i < 100; i++) {
        assert_null(chunk_cache_get(cache, (struct chunk_key){file, i, CHUNK_DATA}));
        chunk_release(cache, chunk_cache_get(cache, (struct chunk_key){other, i, CHUNK_DATA}));
    }
    chunk_cache_get_stats(cache, &stats);
    assert_int_equal(stats.hits[CHUNK_DATA], 200);
    assert_int_equal(stats.misses[CHUNK_DATA], 100);
    chunk_cache_drop_file(cache, other);
    assert_int_equal(bytes_of_cache(cache), 0);
    chunk_cache_free(cache);
}

static void kinds_of_one_number_are_told_apart_and_go_together(void **state)
{
    struct chunk_cache *cache = chunk_cache_new(1u << 20);
    struct chunk_key data = {chunk_cache_new_file(cache), 3, CHUNK_DATA};
    struct chunk_key landmarks = {data.file, 3, CHUNK_LANDMARKS};
    struct chunk_cache_stats stats;
    struct chunk *chunk = put(cache, data);

    (void)state;
    assert_null(chunk_cache_get(cache, landmarks));
    chunk_release(cache, put(cache, landmarks));
    assert_ptr_equal(chunk_cache_get(cache, data), chunk);
    chunk_cache_get_stats(cache, &stats);
    assert_int_equal(stats.misses[CHUNK_LANDMARKS], 1);
    assert_int_equal(stats.hits[CHUNK_LANDMARKS], 0);
    assert_int_equal(stats.hits[CHUNK_DATA], 1);
    chunk_cache_drop_file(cache, data.file);
    assert_int_equal(bytes_of_cache(cache), 0);
    chunk_release(cache, chunk);
    chunk_release(cache, chunk);
    chunk_cache_free(cache);
}

static void the_second_of_two_that_put_the_same_gets_the_first_ones(void **state)
{
    struct chunk_cache *cache = chunk_cache_new(1u << 20);
    struct chunk_key key = {chunk_cache_new_file(cache), 7, CHUNK_DATA};
    struct chunk *first = put(cache, key), *second = put(cache, key);

    (void)state;
    assert_ptr_equal(first, second);
    chunk_release(cache, first);
    chunk_release(cache, second);
    chunk_cache_free(cache);
}

static void a_full_cache_evicts_but_never_what_is_held(void **state)
{
    struct chunk_cache *cache = chunk_cache_new(16 * 8 * PIECE_BYTES);
    uint64_t file = chunk_cache_new_file(cache);
    struct chunk_key held_key = {file, 0, CHUNK_DATA};
    struct chunk *held = put(cache, held_key);
    struct chunk_cache_stats stats;

    (void)state;
    for (uint64_t i = 1; i < 2000; i++)
        chunk_release(cache, put(cache, (struct chunk_key){file, i, CHUNK_DATA}));
    chunk_cache_get_stats(cache, &stats);
    assert_true(stats.bytes <= stats.bytes_max);
    assert_true(stats.evictions > 1000);
    chunk_release(cache, held);
    held = chunk_cache_get(cache, held_key);
    assert_non_null(held);
    assert_true(holds(held, held_key));

    /* Its file may go while it is held. */
    chunk_cache_drop_file(cache, file);
    assert_int_equal(bytes_of_cache(cache), 0);
    assert_true(holds(held, held_key));
    chunk_release(cache, held);
    chunk_cache_free(cache);
}

static void what_is_used_again_outlives_what_is_not(void **state)
{
    struct chunk_cache *cache = chunk_cache_new(16 * 20 * PIECE_BYTES);
    uint64_t file = chunk_cache_new_file(cache);
    unsigned found = 0;

    (void)state;
    for (uint64_t i = 0; i < 5000; i++) {
        chunk_release(cache, put(cache, (struct chunk_key){file, i, CHUNK_DATA}));
        for (uint64_t hot = 0; hot < 16; hot++)
            chunk_release(cache, chunk_cache_get(cache, (struct chunk_key){file, hot, CHUNK_DATA}));
    }
    for (uint64_t hot = 0; hot < 16; hot++) {
        struct chunk *chunk = chunk_cache_get(cache, (struct chunk_key){file, hot, CHUNK_DATA});

        found += chunk != NULL;
        chunk_release(cache, chunk);
    }
    assert_int_equal(found, 16);
    chunk_cache_free(cache);
}

static void a_piece_larger_than_the_cache_is_given_back_and_not_kept(void **state)
{
    struct chunk_cache *cache = chunk_cache_new(4096);
    struct chunk_key key = {chunk_cache_new_file(cache), 1, CHUNK_DATA};
    struct chunk *chunk = put(cache, key);

    (void)state;
    assert_true(holds(chunk, key));
    chunk_release(cache, chunk);
    assert_null(chunk_cache_get(cache, key));
    chunk_cache_free(cache);
}

struct worker {
    pthread_t thread;
    struct chunk_cache *cache;
    uint64_t file;
    uint64_t seed;
    bool is_right;
};

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct random random = {worker->seed};

    worker->is_right = true;
    for (unsigned i = 0; i < 20000; i++) {
        struct chunk_key key = {worker->file, random_below(&random, 300), CHUNK_DATA};
        struct chunk *chunk = chunk_cache_get(worker->cache, key);

        if (!chunk) {
            chunk = chunk_new(worker->cache, PIECE_BYTES);
            fill(chunk, key);
            chunk = chunk_cache_put(worker->cache, key, chunk);
        }
        worker->is_right &= holds(chunk, key);
        chunk_release(worker->cache, chunk);
    }
    return NULL;
}

static void threads_share_it(void **state)
{
    struct chunk_cache *cache = chunk_cache_new(16 * 10 * PIECE_BYTES);
    uint64_t file = chunk_cache_new_file(cache);
    struct worker workers[4];

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        workers[i] = (struct worker){.cache = cache, .file = file, .seed = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_true(workers[i].is_right);
    }
    chunk_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_in_is_found_until_its_file_is_dropped),
        cmocka_unit_test(kinds_of_one_number_are_told_apart_and_go_together),
        cmocka_unit_test(the_second_of_two_that_put_the_same_gets_the_first_ones),
        cmocka_unit_test(a_full_cache_evicts_but_never_what_is_held),
        cmocka_unit_test(what_is_used_again_outlives_what_is_not),
        cmocka_unit_test(a_piece_larger_than_the_cache_is_given_back_and_not_kept),
        cmocka_unit_test(threads_share_it),
    };

    return cmocka_run_group_tests_name("cache/chunk_cache", tests, NULL, NULL);
}
