/*
 * Pacing, against a clock of the test's own: a writer that never rests beside a flush of a given
 * speed, as admission and flush go together.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pace.h"

#define BUDGET (16u << 20)
#define WRITE_BYTES (128u << 10)
#define SECOND 1000000u

/* ---- the rule ---- */

static void below_six_tenths_of_the_budget_nobody_is_paced(void **state)
{
    struct pace pace;

    (void)state;
    pace_init(&pace);
    pace_flush_begins(&pace, BUDGET / 2, 1);
    for (uint64_t now = 1; now < SECOND; now += 1000)
        assert_int_equal(pace_delay_us(&pace, WRITE_BYTES, BUDGET / 10 * 6, BUDGET, now), 0);
}

static void the_fuller_the_slower(void **state)
{
    uint64_t before = 0;

    (void)state;
    for (unsigned tenth = 8; tenth <= 10; tenth++) {
        struct pace pace;
        uint64_t delay;

        pace_init(&pace);
        pace_flush_begins(&pace, BUDGET / 2, 1);
        delay = pace_delay_us(&pace, WRITE_BYTES, BUDGET / 10 * tenth, BUDGET, 1);
        assert_true(delay > before);
        assert_true(delay <= PACE_DELAY_US_MAX);
        before = delay;
    }
    assert_int_equal(before, PACE_DELAY_US_MAX);
}

static void many_writers_together_keep_to_the_pace_of_one(void **state)
{
    struct pace pace;
    uint64_t one, last = 0;

    (void)state;
    pace_init(&pace);
    pace_flush_begins(&pace, BUDGET / 2, 1);
    one = pace_delay_us(&pace, WRITE_BYTES, BUDGET / 10 * 7, BUDGET, 1);
    for (unsigned writer = 2; writer <= 10; writer++)
        last = pace_delay_us(&pace, WRITE_BYTES, BUDGET / 10 * 7, BUDGET, 1);
    assert_in_range(last, 10 * one - 10, 10 * one + 10);
}

static void small_costs_are_gathered(void **state)
{
    struct pace pace;
    unsigned waits = 0;
    uint64_t waited = 0;

    (void)state;
    pace_init(&pace);
    pace_flush_begins(&pace, BUDGET / 2, 1);
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t delay = pace_delay_us(&pace, 200, BUDGET / 10 * 8, BUDGET, 1 + waited);

        waits += delay > 0;
        waited += delay;
    }
    assert_true(waited > SECOND / 100);
    assert_true(waits <= waited / 1000);
}

/* ---- beside a flush ---- */

struct world {
    struct pace pace;
    uint64_t now_us, bytes_per_s;
    uint64_t active, sealed, flush_ends_us;
    uint64_t longest_us, written;
};

static void seal_and_flush(struct world *world)
{
    if (world->sealed && world->now_us >= world->flush_ends_us) {
        pace_flush_ends(&world->pace, world->flush_ends_us);
        world->sealed = 0;
    }
    if (!world->sealed && world->active >= BUDGET / 2) {
        world->sealed = world->active;
        world->active = 0;
        world->flush_ends_us = world->now_us + world->sealed * SECOND / world->bytes_per_s;
        pace_flush_begins(&world->pace, world->sealed, world->now_us);
    }
}

static void put(struct world *world)
{
    uint64_t began_us = world->now_us;

    seal_and_flush(world);
    while (world->active + world->sealed + WRITE_BYTES > BUDGET) {
        world->now_us += 100;
        seal_and_flush(world);
    }
    world->active += WRITE_BYTES;
    world->written += WRITE_BYTES;
    world->now_us += pace_delay_us(
        &world->pace, WRITE_BYTES, world->active + world->sealed, BUDGET, world->now_us);
    world->now_us += 50;
    if (world->now_us - began_us > world->longest_us)
        world->longest_us = world->now_us - began_us;
}

static void write_for(struct world *world, uint64_t us)
{
    uint64_t until_us = world->now_us + us;

    world->longest_us = world->written = 0;
    while (world->now_us < until_us)
        put(world);
}

static void a_writer_glides_to_what_the_disk_takes(void **state)
{
    (void)state;
    for (uint64_t rate = 10u << 20; rate <= 80u << 20; rate *= 2) {
        struct world world = {.now_us = SECOND, .bytes_per_s = rate};

        pace_init(&world.pace);
        write_for(&world, 20ull * SECOND); /* it learns */
        assert_true(world.longest_us < SECOND / 4);
        write_for(&world, 60ull * SECOND);
        assert_true(world.longest_us < SECOND / 10);
        assert_true(world.written > 60 * rate / 10 * 9);
    }
}

static void a_disk_that_gets_slower_stops_nobody(void **state)
{
    struct world world = {.now_us = SECOND, .bytes_per_s = 80u << 20};

    (void)state;
    pace_init(&world.pace);
    write_for(&world, 20ull * SECOND);
    world.bytes_per_s = 20u << 20;
    write_for(&world, 20ull * SECOND);
    assert_true(world.longest_us < SECOND / 4);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(below_six_tenths_of_the_budget_nobody_is_paced),
        cmocka_unit_test(the_fuller_the_slower),
        cmocka_unit_test(many_writers_together_keep_to_the_pace_of_one),
        cmocka_unit_test(small_costs_are_gathered),
        cmocka_unit_test(a_writer_glides_to_what_the_disk_takes),
        cmocka_unit_test(a_disk_that_gets_slower_stops_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
