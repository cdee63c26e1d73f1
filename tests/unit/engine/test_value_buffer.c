/*
 * Goal: a buffer is somebody's as long as he holds it, and then the next one's; what is kept for
 * that is bounded.
 * Method: a pool that keeps two; then threads that write their own number to all they hold.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/value_buffer.h"
#include "support/random.h"

static void what_is_given_back_is_used_again(void **state)
{
    struct value_buffer_pool pool;
    struct value_buffer *first, *second;
    (void)state;

    value_buffer_pool_init(&pool, 2 * VALUE_BUFFER_BYTES);
    first = value_buffer_new(&pool);
    assert_non_null(first);
    assert_int_equal((uintptr_t)value_buffer_data(first) % 4096, 0);
    value_buffer_data(first)[VALUE_BUFFER_BYTES - 1] = 1;

    assert_ptr_equal(value_buffer_ref(first), first);
    value_buffer_unref(first);
    second = value_buffer_new(&pool);
    assert_ptr_not_equal(second, first);

    value_buffer_unref(first);
    assert_ptr_equal(value_buffer_new(&pool), first);
    value_buffer_unref(first);
    value_buffer_unref(second);
    value_buffer_pool_release(&pool);
}

static void what_is_kept_is_bounded(void **state)
{
    struct value_buffer *buffers[5];
    struct value_buffer_pool pool;
    (void)state;

    value_buffer_pool_init(&pool, 2 * VALUE_BUFFER_BYTES + 1);
    for (unsigned i = 0; i < 5; i++) {
        buffers[i] = value_buffer_new(&pool);
        assert_non_null(buffers[i]);
    }
    assert_int_equal(pool.held, 5);
    for (unsigned i = 0; i < 5; i++)
        value_buffer_unref(buffers[i]);
    assert_int_equal(pool.held, 0);
    assert_int_equal(pool.idle_bytes, 2 * VALUE_BUFFER_BYTES);
    value_buffer_pool_release(&pool);
}

#define THREADS 4
#define ROUNDS 2000
#define HELD 3

struct worker {
    struct value_buffer_pool *pool;
    uint8_t number;
    bool failed;
};

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct random random = {worker->number};

    for (unsigned round = 0; round < ROUNDS && !worker->failed; round++) {
        struct value_buffer *buffers[HELD];

        for (unsigned i = 0; i < HELD; i++) {
            buffers[i] = value_buffer_new(worker->pool);
            if (!buffers[i]) {
                worker->failed = true;
                return NULL;
            }
            value_buffer_data(buffers[i])[1 + random_below(&random, 4096)] = 0;
            value_buffer_data(buffers[i])[0] = worker->number;
        }
        for (unsigned i = 0; i < HELD; i++) {
            if (value_buffer_data(buffers[i])[0] != worker->number)
                worker->failed = true;
            value_buffer_unref(buffers[i]);
        }
    }
    return NULL;
}

static void no_two_threads_have_the_same(void **state)
{
    struct worker workers[THREADS];
    struct value_buffer_pool pool;
    pthread_t threads[THREADS];
    (void)state;

    value_buffer_pool_init(&pool, 4 * VALUE_BUFFER_BYTES);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){&pool, (uint8_t)(1 + i), false};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_false(workers[i].failed);
    }
    value_buffer_pool_release(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_given_back_is_used_again),
        cmocka_unit_test(what_is_kept_is_bounded),
        cmocka_unit_test(no_two_threads_have_the_same),
    };

    return cmocka_run_group_tests_name("base/value_buffer", tests, NULL, NULL);
}
