/*
 * Memory that runs out: the nth allocation from now fails, alone or with those after it.
 *
 *   memory_fail_at(n, MEMORY_FAILS_ONCE);
 *   r = engine_…();                       0, or -ENOMEM
 *   if (!memory_recover()) …              it made fewer than n: the last n for this call
 *
 * For programs linked with failing_memory (meson.build), where malloc() and its kin, called from
 * the program itself, are those here. Shared libraries keep the C library's. One thread.
 */
#ifndef SSTFS_TESTS_FAILING_MEMORY_H
#define SSTFS_TESTS_FAILING_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/io.h"

enum memory_failure {
    MEMORY_FAILS_ONCE,
    MEMORY_FAILS_LONG, /* a thousand times on end, as who waits for others waits for ever else */
};

/** Arms: the nth allocation from now (1: the next) fails. */
void memory_fail_at(uint64_t nth, enum memory_failure how);
/** Disarms: from now on there is memory again. Returns whether any was refused. */
bool memory_recover(void);

/** Jansson takes its memory here too, but for its reader. Before it has taken any. */
void memory_of_json_too(void);

/**
 * Makes the files of a world of env_mem_new() live outside: what they take is neither counted nor
 * refused, as it would be a disk's. Undone by memory_spare_files(NULL), before the env is freed.
 */
void memory_spare_files(struct env *env);

#endif
