#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "engine/latency.h"

#define THREADS 4
#define EACH 10000u

static struct latency_histogram shared;

static void buckets_are_powers_of_two(void **state)
{
    static struct latency_histogram histogram;
    struct latency_values values;

    (void)state;
    latency_add(&histogram, 0);
    latency_add(&histogram, 1);
    latency_add(&histogram, 2);
    latency_add(&histogram, 3);
    latency_add(&histogram, 4);
    latency_add(&histogram, UINT64_MAX / 2);
    latency_get(&histogram, &values);
    assert_int_equal(values.count, 6);
    assert_int_equal(values.sum_us, 10 + UINT64_MAX / 2);
    assert_int_equal(values.buckets[0], 1);
    assert_int_equal(values.buckets[1], 1);
    assert_int_equal(values.buckets[2], 2);
    assert_int_equal(values.buckets[3], 1);
    assert_int_equal(values.buckets[LATENCY_BUCKETS - 1], 1);
}

static void quantiles_are_the_ends_of_buckets(void **state)
{
    static struct latency_histogram histogram;
    struct latency_values values;

    (void)state;
    latency_get(&histogram, &values);
    assert_int_equal(latency_quantile_us(&values, 500), 0);
    for (unsigned i = 0; i < 990; i++)
        latency_add(&histogram, 10);
    for (unsigned i = 0; i < 10; i++)
        latency_add(&histogram, 1000);
    latency_get(&histogram, &values);
    assert_int_equal(latency_quantile_us(&values, 500), 16);
    assert_int_equal(latency_quantile_us(&values, 990), 16);
    assert_int_equal(latency_quantile_us(&values, 991), 1024);
    assert_int_equal(latency_quantile_us(&values, 1000), 1024);
}

static void *add_many(void *arg)
{
    for (unsigned i = 0; i < EACH; i++)
        latency_add(&shared, 5);
    return arg;
}

static void threads_lose_nothing(void **state)
{
    pthread_t threads[THREADS];
    struct latency_values values;

    (void)state;
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    latency_get(&shared, &values);
    assert_int_equal(values.count, THREADS * EACH);
    assert_int_equal(values.sum_us, THREADS * EACH * 5);
    assert_int_equal(values.buckets[3], THREADS * EACH);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_are_powers_of_two),
        cmocka_unit_test(quantiles_are_the_ends_of_buckets),
        cmocka_unit_test(threads_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
