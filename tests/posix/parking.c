/*
 * A daemon in which every request is parked: admission, waiting and the completion of tags always
 * answer -EINPROGRESS, and another thread calls back, sometimes at once, sometimes later. So the
 * tests on a mount run through what is rare otherwise: copied arguments, replies from other
 * threads, two of them racing.
 *
 * Linked with --wrap for the three functions (meson.build).
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "engine/assert.h"
#include "fs/fs.h"

#define PAUSE_NS_MAX 300000

int __real_engine_admit(struct engine *engine, unsigned table, uint64_t bytes,
    enum admission admission, engine_go go, void *arg, struct batch **ret_batch);
int __real_engine_await(
    struct engine *engine, uint64_t position, bool force, engine_go go, void *arg);
int __real_fs_settle(struct fs *fs, uint64_t ino, struct bytes name, engine_go go, void *arg);
int __wrap_engine_admit(struct engine *engine, unsigned table, uint64_t bytes,
    enum admission admission, engine_go go, void *arg, struct batch **ret_batch);
int __wrap_engine_await(
    struct engine *engine, uint64_t position, bool force, engine_go go, void *arg);
int __wrap_fs_settle(struct fs *fs, uint64_t ino, struct bytes name, engine_go go, void *arg);

struct parked {
    struct parked *next;
    engine_go go;
    void *arg;
    int r;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct parked *first, **last = &first;

_Noreturn static void *call_back(void *arg)
{
    unsigned seed = 1;

    (void)arg;
    for (;;) {
        struct parked *parked;
        struct timespec pause = {.tv_nsec = rand_r(&seed) % PAUSE_NS_MAX};

        pthread_mutex_lock(&mutex);
        while (!first)
            pthread_cond_wait(&changed, &mutex);
        parked = first;
        first = parked->next;
        if (!first)
            last = &first;
        pthread_mutex_unlock(&mutex);

        if (rand_r(&seed) % 4 == 0)
            nanosleep(&pause, NULL);
        parked->go(parked->arg, parked->r);
        free(parked);
    }
}

static void start(void)
{
    /* Two, so that callbacks race with each other as well. */
    for (int i = 0; i < 2; i++) {
        pthread_t thread;

        ASSERT(pthread_create(&thread, NULL, call_back, NULL) == 0);
        pthread_detach(thread);
    }
}

static int park(engine_go go, void *arg, int r)
{
    struct parked *parked = malloc(sizeof(*parked));

    ASSERT(parked);
    *parked = (struct parked){.go = go, .arg = arg, .r = r};
    pthread_once(&once, start);
    pthread_mutex_lock(&mutex);
    *last = parked;
    last = &parked->next;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&mutex);
    return -EINPROGRESS;
}

int __wrap_engine_admit(struct engine *engine, unsigned table, uint64_t bytes,
    enum admission admission, engine_go go, void *arg, struct batch **ret_batch)
{
    int r = __real_engine_admit(engine, table, bytes, admission, NULL, NULL, ret_batch);

    return go ? park(go, arg, r) : r;
}

int __wrap_engine_await(
    struct engine *engine, uint64_t position, bool force, engine_go go, void *arg)
{
    int r = __real_engine_await(engine, position, force, NULL, NULL);

    return go ? park(go, arg, r) : r;
}

int __wrap_fs_settle(struct fs *fs, uint64_t ino, struct bytes name, engine_go go, void *arg)
{
    int r = __real_fs_settle(fs, ino, name, NULL, NULL);

    return go ? park(go, arg, r) : r;
}
