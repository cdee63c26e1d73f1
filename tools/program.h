/*
 * Running another program, and hearing what it says.
 */
#ifndef SSTFS_TOOLS_PROGRAM_H
#define SSTFS_TOOLS_PROGRAM_H

#include "engine/auto.h"
#include "engine/buf.h"

/** Words of a command line, ended by a NULL; errors are sticky until program_run(). */
struct words {
    char **list;
    size_t count;
    int failure;
};
#define WORDS_INIT ((struct words){NULL, 0, 0})
void words_add(struct words *words, const char *format, ...) PRINTF_LIKE(2, 3);
void words_release(struct words *words);

/**
 * From now on SIGINT, SIGTERM and SIGHUP end the program that runs, not us: program_run() gives
 * -EINTR then, and whenever it is called again; so the caller can set right what it has begun.
 */
void program_take_signals(void);

/**
 * Runs it to its end, found along PATH. `output` NULL: its output goes to our stderr. `errors`:
 * what it wrote to stderr. Returns its exit code, 128 + signal; -ENOENT: it is not installed.
 */
MUST_USE int program_run(const struct words *words, struct buf *output, struct buf *errors);

#endif
