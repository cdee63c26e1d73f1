/*
 * A mutex with a rank: a thread that holds one may only take one of a higher rank. The order is
 * listed in engine/README.md, "Locks"; debug builds assert it.
 */
#ifndef SSTFS_ENGINE_MUTEX_H
#define SSTFS_ENGINE_MUTEX_H

#include <pthread.h>

struct mutex {
    pthread_mutex_t mutex;
    int rank;
};

void mutex_init(struct mutex *mutex, int rank);
void mutex_release(struct mutex *mutex);
void mutex_lock(struct mutex *mutex);
void mutex_unlock(struct mutex *mutex);

#endif
