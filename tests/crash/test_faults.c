/*
 * Goal: whatever fails, and in whatever order (power cuts, the death of the process, errors of the
 * disk, a full disk, failed syncs that lose pages), nothing that was acknowledged as durable is
 * lost, no batch is there in part, and the store opens by itself.
 * Method: lives of the script (support/engine_life.h), in each something that goes wrong at a call
 * drawn from the seed, also while the store is opened again; the judge after each. Without a reboot
 * in between the page cache lies about what a failed sync lost: the next power cut tells.
 *
 * SSTFS_SEED=n runs one seed, SSTFS_SEEDS=n so many.
 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "engine/log.h"
#include "support/engine_life.h"

#define DISK_BYTES (16u << 20)
#define PAYLOAD_MAX 3000
#define STEPS_MAX 80
#define SHORT_STEPS_MAX 6
#define LIVES 12
#define CALLS_MAX 600 /* of a life, about */
#define SYNCS_MAX 25
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SEEDS 15
#else
#define SEEDS 150
#endif

static void arm(struct life *life, unsigned calls_max)
{
    static const int errors[] = {-EIO, -EIO, -ENOSPC};
    uint64_t at = 1 + random_below(&life->random, calls_max);

    life->cut_at = at;
    switch (random_below(&life->random, 5)) {
    case 0:
        env_fault_crash_at(life->env, at);
        break;
    case 1:
        env_fault_fail_sync_at(life->env, 1 + random_below(&life->random, SYNCS_MAX));
        break;
    case 2:
        break;
    default:
        env_fault_fail_at(life->env, at, errors[random_below(&life->random, 3)]);
    }
}

static unsigned some_end(struct life *life)
{
    return random_below(&life->random, 3) == 0
               ? LIFE_KILLED
               : (unsigned)random_below(&life->random, ENV_FAULT_VARIANTS);
}

/* Short lives too: what the one before left behind is not flushed yet when they end. */
static unsigned some_steps(struct life *life)
{
    unsigned steps_max = random_below(&life->random, 2) == 0 ? SHORT_STEPS_MAX : STEPS_MAX;

    return 1 + (unsigned)random_below(&life->random, steps_max);
}

/* Opens with something armed. What is found must be right, whether or not that came to pass. */
static void try_to_open(struct life *life)
{
    arm(life, 100);
    if (life_open(life) == 0) {
        env_fault_fail_at(life->env, 0, 0);
        env_fault_crash_at(life->env, 0);
        env_fault_fail_sync_at(life->env, 0);
        if (!env_fault_is_stopped(life->env) && engine_failure(life->engine) == 0)
            life_check_history(life);
    }
    life_die(life, some_end(life));
}

static void lives_of(uint64_t seed)
{
    struct life life;

    life_init(&life, seed, DISK_BYTES, PAYLOAD_MAX);
    for (unsigned i = 0; i < LIVES; i++) {
        arm(&life, CALLS_MAX);
        (void)life_run(&life, some_steps(&life));
        while (random_below(&life.random, 3) == 0) {
            life_die(&life, some_end(&life));
            try_to_open(&life);
        }
        life_end(&life, some_end(&life));
    }
    life_release(&life);
}

static void nothing_durable_is_lost_whatever_fails(void **state)
{
    const char *only = getenv("SSTFS_SEED"), *count = getenv("SSTFS_SEEDS");
    uint64_t first = only ? strtoull(only, NULL, 10) : 1;
    uint64_t seeds = only ? 1 : count ? strtoull(count, NULL, 10) : SEEDS;

    (void)state;
    for (uint64_t seed = first; seed < first + seeds; seed++)
        lives_of(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_durable_is_lost_whatever_fails),
    };

    log_set_level(LOG_LEVEL_ERROR);
    log_to(fopen("/dev/null", "w"));
    return cmocka_run_group_tests_name("crash/faults", tests, NULL, NULL);
}
