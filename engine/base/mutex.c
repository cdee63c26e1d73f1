#include "engine/mutex.h"

#include "engine/assert.h"

#ifndef NDEBUG
/* Ranks held by this thread, one bit each; a lock of equal rank may be held twice by none. */
#define RANK_MAX 63
static _Thread_local unsigned long long ranks_held;
#endif

void mutex_init(struct mutex *mutex, int rank)
{
    int r = pthread_mutex_init(&mutex->mutex, NULL);
    ASSERT(r == 0);
    mutex->rank = rank;
}

void mutex_release(struct mutex *mutex)
{
    int r = pthread_mutex_destroy(&mutex->mutex);
    ASSERT(r == 0);
}

void mutex_lock(struct mutex *mutex)
{
#ifndef NDEBUG
    ASSERT(mutex->rank >= 0 && mutex->rank <= RANK_MAX);
    ASSERT(ranks_held >> mutex->rank == 0);
#endif
    pthread_mutex_lock(&mutex->mutex);
#ifndef NDEBUG
    ranks_held |= 1ull << mutex->rank;
#endif
}

void mutex_unlock(struct mutex *mutex)
{
#ifndef NDEBUG
    ranks_held &= ~(1ull << mutex->rank);
#endif
    pthread_mutex_unlock(&mutex->mutex);
}
