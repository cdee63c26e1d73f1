/*
 * Background work without threads: whoever waits runs other tasks' steps, one at a time, in an
 * order drawn from the seed, and when nothing is due moves the clock to when something is.
 */
#include "io/mem.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/assert.h"

#define DUE_NEVER UINT64_MAX

struct task {
    struct task *next;
    const char *name;
    task_step step;
    void *arg;
    uint64_t due_us;
    bool done;
};

static void run_step(struct mem_env *mem, struct task *task)
{
    int64_t next;

    ASSERT(!mem->in_step);
    mem->in_step = true;
    /* Idle before the step: a kick during it must bring another. */
    task->due_us = DUE_NEVER;
    next = task->step(task->arg);
    mem->in_step = false;
    if (next == TASK_DONE) {
        task->done = true;
        task->due_us = DUE_NEVER;
    } else if (next >= 0 && mem->monotonic_us + (uint64_t)next < task->due_us) {
        task->due_us = mem->monotonic_us + (uint64_t)next;
    }
}

bool env_run_task(struct env *env)
{
    struct mem_env *mem = mem_env_of(env);
    unsigned due = 0;
    uint64_t chosen;

    for (struct task *t = mem->tasks; t; t = t->next)
        due += t->due_us <= mem->monotonic_us;
    if (due == 0)
        return false;
    chosen = mem_random(mem) % due;
    for (struct task *t = mem->tasks; t; t = t->next) {
        if (t->due_us <= mem->monotonic_us && chosen-- == 0) {
            run_step(mem, t);
            break;
        }
    }
    return true;
}

void mem_signal(struct env *env, struct event *event)
{
    (void)env;
    event->count++;
}

void mem_wait(struct env *env, struct event *event, uint64_t ticket)
{
    struct mem_env *mem = mem_env_of(env);

    ASSERT(!mem->in_step);
    while (event->count == ticket) {
        uint64_t next_us = DUE_NEVER;

        if (env_run_task(env))
            continue;
        for (struct task *t = mem->tasks; t; t = t->next) {
            if (t->due_us < next_us)
                next_us = t->due_us;
        }
        /* Else nobody is left who could signal: a deadlock. */
        ASSERT(next_us != DUE_NEVER);
        mem->monotonic_us = next_us;
    }
}

int mem_task_start(
    struct env *env, const char *name, task_step step, void *arg, struct task **ret_task)
{
    struct mem_env *mem = mem_env_of(env);
    struct task *task = calloc(1, sizeof(*task));

    if (!task)
        return -ENOMEM;
    task->name = name;
    task->step = step;
    task->arg = arg;
    task->due_us = DUE_NEVER;
    task->next = mem->tasks;
    mem->tasks = task;
    *ret_task = task;
    return 0;
}

void mem_task_kick(struct env *env, struct task *task)
{
    (void)env;
    if (!task->done)
        task->due_us = 0;
}

void mem_task_stop(struct env *env, struct task *task)
{
    struct mem_env *mem = mem_env_of(env);
    struct task **at = &mem->tasks;

    while (*at != task) {
        ASSERT(*at);
        at = &(*at)->next;
    }
    *at = task->next;
    free(task);
}
