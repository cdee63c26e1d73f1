#include "engine/error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ERROR_TEXT_BYTES 1024

static _Thread_local int current_code;
static _Thread_local char current_text[ERROR_TEXT_BYTES];

static int keep(int code, bool chain, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

static int keep(int code, bool chain, const char *format, va_list arguments)
{
    char text[ERROR_TEXT_BYTES];
    int n = vsnprintf(text, sizeof(text), format, arguments);

    if (n < 0)
        n = 0;
    if (chain && current_code == code && (size_t)n + 3 < sizeof(text))
        snprintf(text + n, sizeof(text) - (size_t)n, ": %s", current_text);
    memcpy(current_text, text, sizeof(text));
    current_code = code;
    return code;
}

int err_with(int code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    keep(code, true, format, arguments);
    va_end(arguments);
    return code;
}

int err_new(int code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    keep(code, false, format, arguments);
    va_end(arguments);
    return code;
}

const char *err_text(int code)
{
    return code == current_code && code != 0 ? current_text : strerror(-code);
}

void err_clear(void)
{
    current_code = 0;
    current_text[0] = '\0';
}
