/*
 * Messages of the program: one line each, `level key=value … : text`, to stderr (or where
 * log_to() says). The engine returns errors; they are logged once, at the boundary: a FUSE reply, a
 * tool's main, a background task.
 */
#ifndef SSTFS_ENGINE_LOG_H
#define SSTFS_ENGINE_LOG_H

#include <stdio.h>

#include "engine/auto.h"

enum log_level {
    LOG_LEVEL_NONE = -1, /* for log_set_level(): all is dropped */
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
};

/** What is above `level` is dropped. Default: LOG_LEVEL_INFO. Call before threads start. */
void log_set_level(enum log_level level);
/** Where lines go; default stderr. Call before threads start. */
void log_to(FILE *stream);
void log_line(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
