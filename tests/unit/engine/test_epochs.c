/*
 * Goal: an epoch has left when all who entered in it or before have left, and not earlier.
 * Method: threads that come and go in every order of a few, as one thread that enters several
 * times; what waits is told by the one that leaves last. Then real threads, and something that is
 * taken away under them.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "engine/assert.h"
#include "base/epochs.h"

static void an_epoch_without_anybody_has_left(void **state)
{
    struct epochs epochs;

    (void)state;
    epochs_init(&epochs);
    assert_true(epochs_await(&epochs, epochs_end(&epochs)));
}

static void an_epoch_leaves_with_the_last_who_entered(void **state)
{
    struct epoch_slot *old[2], *new[2];
    struct epochs epochs;
    uint64_t epoch;

    (void)state;
    epochs_init(&epochs);
    old[0] = epochs_enter(&epochs);
    old[1] = epochs_enter(&epochs);
    epoch = epochs_end(&epochs);
    new[0] = epochs_enter(&epochs);
    assert_false(epochs_await(&epochs, epoch));
    assert_false(epochs_leave(&epochs, new[0])); /* it does not matter */
    assert_true(epochs_leave(&epochs, old[1]));  /* it was waited for, with another */
    assert_false(epochs_await(&epochs, epoch));
    new[1] = epochs_enter(&epochs);
    assert_true(epochs_leave(&epochs, old[0]));
    assert_true(epochs_await(&epochs, epoch));
    assert_false(epochs_leave(&epochs, new[1])); /* nobody asked */
}

static void older_epochs_are_waited_for_as_well(void **state)
{
    struct epoch_slot *slots[3];
    struct epochs epochs;
    uint64_t ended[3];

    (void)state;
    epochs_init(&epochs);
    for (unsigned i = 0; i < 3; i++) {
        slots[i] = epochs_enter(&epochs);
        ended[i] = epochs_end(&epochs);
    }
    /* The middle and the last leave first: the oldest holds all up. */
    assert_false(epochs_leave(&epochs, slots[1]));
    assert_false(epochs_leave(&epochs, slots[2]));
    for (unsigned i = 0; i < 3; i++)
        assert_false(epochs_await(&epochs, ended[i]));
    assert_true(epochs_leave(&epochs, slots[0]));
    for (unsigned i = 0; i < 3; i++)
        assert_true(epochs_await(&epochs, ended[i]));
}

static void every_slot_can_be_taken(void **state)
{
    struct epoch_slot *slots[EPOCH_SLOTS];
    struct epochs epochs;
    uint64_t epoch;

    (void)state;
    epochs_init(&epochs);
    for (unsigned i = 0; i < EPOCH_SLOTS; i++)
        slots[i] = epochs_enter(&epochs);
    epoch = epochs_end(&epochs);
    for (unsigned i = 0; i < EPOCH_SLOTS; i++) {
        assert_false(epochs_await(&epochs, epoch));
        assert_true(epochs_leave(&epochs, slots[i]));
    }
    assert_true(epochs_await(&epochs, epoch));
}

/* ---- threads ---- */

#define THREADS 4
#define ROUNDS 20000
#define ALIVE 0x600df00du
#define DEAD 0xdeadu

struct thing {
    unsigned is; /* ALIVE as long as anybody may look at it */
};

struct shared {
    struct epochs epochs;
    _Atomic(struct thing *) thing;
    _Atomic unsigned running;
};

static void *look(void *arg)
{
    struct shared *shared = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct epoch_slot *slot = epochs_enter(&shared->epochs);

        ASSERT(atomic_load(&shared->thing)->is == ALIVE);
        (void)!epochs_leave(&shared->epochs, slot);
    }
    atomic_fetch_sub(&shared->running, 1);
    return NULL;
}

static void what_was_taken_away_is_not_seen_after_the_epoch(void **state)
{
    struct thing things[2] = {{ALIVE}, {DEAD}};
    struct shared *shared = aligned_alloc(_Alignof(struct shared), sizeof(*shared));
    pthread_t threads[THREADS];
    unsigned at = 0;

    (void)state;
    assert_non_null(shared);
    epochs_init(&shared->epochs);
    atomic_init(&shared->thing, &things[0]);
    atomic_init(&shared->running, THREADS);
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look, shared), 0);
    while (atomic_load(&shared->running) > 0) {
        uint64_t epoch;

        things[!at].is = ALIVE;
        atomic_store(&shared->thing, &things[!at]);
        epoch = epochs_end(&shared->epochs);
        while (!epochs_await(&shared->epochs, epoch))
            ;
        things[at].is = DEAD;
        at = !at;
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    free(shared);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_epoch_without_anybody_has_left),
        cmocka_unit_test(an_epoch_leaves_with_the_last_who_entered),
        cmocka_unit_test(older_epochs_are_waited_for_as_well),
        cmocka_unit_test(every_slot_can_be_taken),
        cmocka_unit_test(what_was_taken_away_is_not_seen_after_the_epoch),
    };

    return cmocka_run_group_tests_name("base/epochs", tests, NULL, NULL);
}
