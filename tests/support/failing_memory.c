#include "support/failing_memory.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "engine/assert.h"
#include "io/env.h"

#define LONG 1000

/* ---- the nth ---- */

static struct {
    uint64_t asked;      /* allocations since it was armed */
    uint64_t first, end; /* of those that are refused, counted from 1 */
    bool armed, refused;
    unsigned spared; /* depth of calls that are not counted */
} memory;

void memory_fail_at(uint64_t nth, enum memory_failure how)
{
    ASSERT(nth > 0 && memory.spared == 0);
    memory.asked = 0;
    memory.first = nth;
    memory.end = nth + (how == MEMORY_FAILS_ONCE ? 1 : LONG);
    memory.armed = true;
    memory.refused = false;
}

void memory_of_json_too(void)
{
    json_set_alloc_funcs(malloc, free);
}

bool memory_recover(void)
{
    memory.armed = false;
    return memory.refused;
}

static bool refuse(void)
{
    if (!memory.armed || memory.spared > 0)
        return false;
    memory.asked++;
    if (memory.asked < memory.first || memory.asked >= memory.end)
        return false;
    memory.refused = true;
    errno = ENOMEM;
    return true;
}

/* ---- what the linker puts in place of malloc() and kin ---- */

#define WRAPPED(type, name, parameters, ...)                                                       \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters                                                                  \
    {                                                                                              \
        return refuse() ? NULL : __real_##name(__VA_ARGS__);                                       \
    }

WRAPPED(void *, malloc, (size_t size), size)
WRAPPED(void *, calloc, (size_t count, size_t size), count, size)
WRAPPED(void *, realloc, (void *old, size_t size), old, size)
WRAPPED(void *, reallocarray, (void *old, size_t count, size_t size), old, count, size)
WRAPPED(void *, aligned_alloc, (size_t alignment, size_t size), alignment, size)
WRAPPED(char *, strdup, (const char *text), text)
WRAPPED(char *, strndup, (const char *text, size_t size), text, size)

int __wrap_asprintf(char **ret_text, const char *format, ...) PRINTF_LIKE(2, 3);
int __wrap_asprintf(char **ret_text, const char *format, ...)
{
    va_list arguments;
    int n;

    if (refuse())
        return -1;
    va_start(arguments, format);
    n = vasprintf(ret_text, format, arguments);
    va_end(arguments);
    return n;
}

/* Jansson's writer says when it has no memory; its reader takes the text for another then. */
json_t *__real_json_loadb(const char *text, size_t size, size_t flags, json_error_t *error);
json_t *__wrap_json_loadb(const char *text, size_t size, size_t flags, json_error_t *error);
json_t *__wrap_json_loadb(const char *text, size_t size, size_t flags, json_error_t *error)
{
    json_t *root;

    memory.spared++;
    root = __real_json_loadb(text, size, flags, error);
    memory.spared--;
    return root;
}

/* ---- files outside ---- */

static struct {
    struct env *env;
    const struct env_ops *real;
    struct env_ops ops;
    /* Of the listing at hand: each() is the engine's, and counts. */
    io_list_each each;
    void *arg;
} spared;

#define SPARED(name, parameters, ...)                                                              \
    static int spared_##name parameters                                                            \
    {                                                                                              \
        int r;                                                                                     \
                                                                                                   \
        memory.spared++;                                                                           \
        r = spared.real->name(__VA_ARGS__);                                                        \
        memory.spared--;                                                                           \
        return r;                                                                                  \
    }

SPARED(open, (struct env * env, const char *path, int flags, int *ret_fd), env, path, flags, ret_fd)
SPARED(writev, (struct env * env, int fd, const struct iovec *vector, int count, uint64_t offset),
    env, fd, vector, count, offset)
SPARED(truncate, (struct env * env, int fd, uint64_t size), env, fd, size)
SPARED(allocate, (struct env * env, int fd, uint64_t size), env, fd, size)
SPARED(prewrite, (struct env * env, int fd, uint64_t size), env, fd, size)
SPARED(rename, (struct env * env, const char *from, const char *to), env, from, to)
SPARED(link, (struct env * env, const char *from, const char *to), env, from, to)
SPARED(mkdir, (struct env * env, const char *path), env, path)

static int each_counts(void *arg, const char *name)
{
    unsigned depth = memory.spared;
    io_list_each each = spared.each;
    void *each_arg = spared.arg;
    int r;

    (void)arg;
    memory.spared = 0;
    r = each(each_arg, name);
    memory.spared = depth;
    spared.each = each;
    spared.arg = each_arg;
    return r;
}

static int spared_list(struct env *env, const char *path, io_list_each each, void *arg)
{
    int r;

    spared.each = each;
    spared.arg = arg;
    memory.spared++;
    r = spared.real->list(env, path, each_counts, NULL);
    memory.spared--;
    return r;
}

void memory_spare_files(struct env *env)
{
    if (spared.env)
        spared.env->ops = spared.real;
    spared.env = env;
    if (!env)
        return;
    spared.real = env->ops;
    spared.ops = *env->ops;
    spared.ops.open = spared_open;
    spared.ops.writev = spared_writev;
    spared.ops.truncate = spared_truncate;
    spared.ops.allocate = spared_allocate;
    spared.ops.prewrite = spared_prewrite;
    spared.ops.rename = spared_rename;
    spared.ops.link = spared_link;
    spared.ops.mkdir = spared_mkdir;
    spared.ops.list = spared_list;
    env->ops = &spared.ops;
}
