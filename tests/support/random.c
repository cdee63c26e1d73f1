#include "support/random.h"

#include <stdlib.h>

uint64_t random_seed(uint64_t otherwise)
{
    const char *text = getenv("SSTFS_SEED");

    return text ? strtoull(text, NULL, 0) : otherwise;
}

uint64_t random_next(struct random *random)
{
    /* splitmix64 */
    uint64_t z = random->state += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}
