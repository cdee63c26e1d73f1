/*
 * A real env whose table of operations is replaced by a copy with three of them changed. A process
 * has one of them.
 */
#include "slow_env.h"

#include <stdatomic.h>
#include <time.h>

#include "bench.h"
#include "engine/error.h"
#include "io/env.h"

#define DESCRIPTORS_MAX 65536

static const struct env_ops *real_ops;
static struct env_ops slow_ops;
static struct timespec delay;
static _Atomic bool is_direct[DESCRIPTORS_MAX]; /* by descriptor */

static int slow_set_direct(struct env *env, int fd, bool direct)
{
    int r = real_ops->set_direct(env, fd, direct);

    if (fd >= DESCRIPTORS_MAX)
        die("descriptor %d: too many are open", fd);
    if (r == 0)
        is_direct[fd] = direct;
    return r;
}

static void slow_close(struct env *env, int fd)
{
    is_direct[fd] = false;
    real_ops->close(env, fd);
}

static int slow_writev(
    struct env *env, int fd, const struct iovec *vector, int count, uint64_t offset)
{
    if (is_direct[fd])
        nanosleep(&delay, NULL);
    return real_ops->writev(env, fd, vector, count, offset);
}

static int slow_sync(struct env *env, int fd)
{
    nanosleep(&delay, NULL);
    return real_ops->sync(env, fd);
}

struct env *slow_env_new(const char *path, uint64_t delay_us)
{
    struct env *env;
    int r = env_posix_new(path, &env);

    if (r < 0)
        die("%s: %s", path, err_text(r));
    delay = (struct timespec){0, (long)delay_us * 1000};
    real_ops = env->ops;
    slow_ops = *real_ops;
    slow_ops.close = slow_close;
    slow_ops.set_direct = slow_set_direct;
    slow_ops.writev = slow_writev;
    slow_ops.sync = slow_sync;
    env->ops = &slow_ops;
    return env;
}
