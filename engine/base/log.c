#include "engine/log.h"

#include <stdarg.h>

#include "engine/assert.h"

static enum log_level level_max = LOG_LEVEL_INFO;
static FILE *stream_to;

void log_set_level(enum log_level level)
{
    level_max = level;
}

void log_to(FILE *stream)
{
    stream_to = stream;
}

void log_line(enum log_level level, const char *format, ...)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    char text[2048];
    va_list arguments;

    if (level > level_max)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    /* One call a line, so that lines of several threads do not mix. */
    fprintf(stream_to ? stream_to : stderr, "sstfs: %s: %s\n", names[level], text);
    fflush(stream_to ? stream_to : stderr);
}

void assert_failed(const char *file, int line, const char *condition)
{
    fprintf(stderr, "sstfs: assertion failed at %s:%d: %s\n", file, line, condition);
    abort();
}
