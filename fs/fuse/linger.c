#include "fuse/linger.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#define LINGER_NS 30000
/* After so many times in vain one after the other, only each 2^6th call looks. */
#define VAIN_MAX 6

/* Of the process, which has one session. One thread lingers: two would take the processor that a
 * caller needs. */
static struct {
    atomic_flag is_taken;
    unsigned vain; /* looks in vain since the last that was not */
    unsigned skip; /* calls that will not look */
} turn = {.is_taken = ATOMIC_FLAG_INIT};

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static bool has_processors(void)
{
    static _Atomic long count;

    if (count == 0)
        count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 1;
}

/* poll(2) that may not wait does not join the sleepers, so a writer has nobody to wake. */
static bool look(int fd)
{
    struct pollfd device = {.fd = fd, .events = POLLIN};
    int64_t until_ns = now_ns() + LINGER_NS;

    do
        if (poll(&device, 1, 0) != 0)
            return true;
    while (now_ns() < until_ns);
    return false;
}

bool linger(int fd)
{
    bool is_there = false;

    if (!has_processors() || atomic_flag_test_and_set(&turn.is_taken))
        return false;
    if (turn.skip > 0) {
        turn.skip--;
    } else if (look(fd)) {
        is_there = true;
        turn.vain = 0;
    } else {
        turn.vain += turn.vain < VAIN_MAX;
        turn.skip = (1u << turn.vain) - 1;
    }
    atomic_flag_clear(&turn.is_taken);
    return is_there;
}
