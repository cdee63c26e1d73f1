/*
 * Goal: whatever a power cut leaves, the store opens by itself and holds a prefix of the history
 * that was acknowledged, not shorter than what was acknowledged as durable, each batch whole; each
 * snapshot is the state at its point; and no file is left that nobody knows.
 * Method: run a script (support/engine_life.h) once to count its changing I/O calls; then, for each
 * of them and each variant of the disk, cut the power there, open, compare with the model, and go
 * on into a second life with a cut drawn from the seed, and a third.
 */
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
/* Rows of which many are large enough for the log to keep them beside its records. */
#define LARGE_PAYLOAD_MAX 40000
#define LARGE_STRIDE 25
#define STEPS 60
#define LIVES 3
/* Every call; with a sanitizer, which is ten times as slow, some of them. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STRIDE 20
#else
#define STRIDE 1
#endif

static uint64_t count_changes(uint64_t seed, size_t payload_max)
{
    struct life s;
    uint64_t before, count;
    int r;

    life_init(&s, seed, DISK_BYTES, payload_max);
    before = env_fault_change_count(s.env);
    r = life_run(&s, STEPS);
    if (r < 0)
        life_complain(&s, r, "the script without a crash");
    count = env_fault_change_count(s.env) - before;
    life_release(&s);
    return count;
}

static void live_and_die(uint64_t seed, size_t payload_max, uint64_t cut_at, unsigned variant)
{
    struct life s;

    life_init(&s, seed, DISK_BYTES, payload_max);
    s.cut_at = cut_at;
    env_fault_crash_at(s.env, cut_at);
    (void)life_run(&s, STEPS);
    life_end(&s, variant);
    for (unsigned life = 1; life < LIVES; life++) {
        env_fault_crash_at(s.env, 1 + random_below(&s.random, 150));
        (void)life_run(&s, STEPS);
        life_end(&s, variant);
    }
    life_release(&s);
}

/* A number of the environment, to look at one failure, or at fewer cuts. */
static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

/* SSTFS_PARTS processes share the cuts, each has every so manyth from SSTFS_PART on: one program
 * keeps one processor busy. */
static void cut_everywhere(size_t payload_max, uint64_t every)
{
    uint64_t seed = random_seed(1);
    uint64_t first = number_of("SSTFS_CUT", 1 + every * number_of("SSTFS_PART", 0));
    uint64_t stride = every * number_of("SSTFS_PARTS", 1);
    uint64_t last = number_of("SSTFS_CUT", count_changes(seed, payload_max));
    uint64_t variant_only = number_of("SSTFS_VARIANT", ENV_FAULT_VARIANTS);

    for (uint64_t cut_at = first; cut_at <= last; cut_at += stride)
        for (unsigned variant = 0; variant < ENV_FAULT_VARIANTS; variant++)
            if (variant == variant_only || variant_only == ENV_FAULT_VARIANTS)
                live_and_die(seed, payload_max, cut_at, variant);
}

static void every_cut_leaves_a_prefix(void **state)
{
    (void)state;
    cut_everywhere(PAYLOAD_MAX, number_of("SSTFS_STRIDE", STRIDE));
}

static void every_cut_leaves_a_prefix_of_large_rows(void **state)
{
    (void)state;
    cut_everywhere(LARGE_PAYLOAD_MAX, LARGE_STRIDE * number_of("SSTFS_STRIDE", STRIDE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_leaves_a_prefix),
        cmocka_unit_test(every_cut_leaves_a_prefix_of_large_rows),
    };

    log_set_level(LOG_LEVEL_ERROR);
    log_to(fopen("/dev/null", "w"));
    return cmocka_run_group_tests_name("crash/engine", tests, NULL, NULL);
}
