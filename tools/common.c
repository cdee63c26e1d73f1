/*
 * Messages, exit codes, sizes, names typed wrongly.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/buf.h"
#include "engine/error.h"
#include "tools.h"

#define TYPED_BYTES_MAX 64
#define COUNT_MAX 1000000ul

enum exit_code exit_code_of(int r)
{
    switch (r) {
    case -EINVAL:
        return EXIT_USAGE;
    case -ENOENT:
    case -ENODATA:
        return EXIT_NOT_FOUND;
    case -EBUSY:
    case -EEXIST:
    case -ENOTEMPTY:
        return EXIT_BUSY;
    case -ENOSPC:
    case -EDQUOT:
        return EXIT_NO_SPACE;
    case -EPERM:
    case -EACCES:
    case -EROFS:
        return EXIT_PERMISSION;
    case -ENOTDIR:
    case -EPROTO:
        return EXIT_NOT_A_STORE;
    case -EUCLEAN:
    case -EBADMSG:
        return EXIT_DAMAGE;
    default:
        return r < 0 ? EXIT_IO : EXIT_DONE;
    }
}

int complain(enum exit_code code, const char *format, ...)
{
    char text[4096];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    fprintf(stderr, "sstfs: %s\n", text);
    return (int)code;
}

int complain_of(int r, const char *format, ...)
{
    char text[2048];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return complain(exit_code_of(r), "%s: %s", text, err_text(r));
}

int flush_output(void)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    return errno == 0 ? err_new(-EIO, "write the output")
                      : err_new(-errno, "write the output: %s", strerror(errno));
}

bool confirm(const char *question)
{
    char line[16];

    if (!isatty(STDIN_FILENO))
        return false;
    fprintf(stderr, "%s [y/N] ", question);
    return fgets(line, sizeof(line), stdin) && (line[0] == 'y' || line[0] == 'Y');
}

/* Edits (insert, remove, change a letter) from one to the other. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t row[TYPED_BYTES_MAX + 1];
    size_t a_size = strlen(a), b_size = strlen(b);

    if (a_size > TYPED_BYTES_MAX || b_size > TYPED_BYTES_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_size; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_size; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[b_size];
}

const char *nearest_name(const char *typed, const void *names, size_t name_count, size_t stride)
{
    const char *best = NULL;
    size_t best_distance = strlen(typed) / 2 + 1; /* further away is not what was meant */

    for (size_t i = 0; i < name_count; i++) {
        const char *name;
        size_t distance;

        memcpy(&name, (const char *)names + i * stride, sizeof(name));
        distance = edit_distance(typed, name);
        if (distance < best_distance) {
            best = name;
            best_distance = distance;
        }
    }
    return best;
}

bool parse_size(const char *text, uint64_t *ret_bytes)
{
    static const char suffixes[] = "KMGT";
    double factor = 1;
    char *end;
    double number;

    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    number = strtod(text, &end);
    if (errno != 0)
        return false;
    for (const char *s = suffixes; *end && *s; s++) {
        factor *= 1024;
        if (toupper((unsigned char)*end) == *s) {
            end++;
            break;
        }
        if (!s[1])
            return false;
    }
    if (factor == 1 && *end)
        return false;
    if (*end && strcmp(end, "B") != 0 && strcmp(end, "iB") != 0)
        return false;
    number *= factor;
    if (number > 1e18)
        return false;
    *ret_bytes = (uint64_t)number;
    return true;
}

bool parse_duration(const char *text, uint64_t *ret_us)
{
    static const struct {
        const char *suffix;
        double us;
    } units[] = {{"", 1e6}, {"s", 1e6}, {"ms", 1e3}, {"m", 60e6}, {"h", 3600e6}, {"d", 86400e6},
        {"w", 7 * 86400e6}};
    char *end;
    double number;

    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    number = strtod(text, &end);
    if (errno != 0 || number > 1e9)
        return false;
    for (size_t i = 0; i < ARRAY_COUNT(units); i++)
        if (strcmp(end, units[i].suffix) == 0) {
            *ret_us = (uint64_t)(number * units[i].us);
            return true;
        }
    return false;
}

bool parse_count(const char *text, unsigned *ret_count)
{
    char *end;
    unsigned long number;

    if (!isdigit((unsigned char)*text))
        return false;
    number = strtoul(text, &end, 10);
    *ret_count = (unsigned)number;
    return !*end && number <= COUNT_MAX;
}

void format_size(uint64_t bytes, char to[SIZE_TEXT_MAX])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    double number = (double)bytes;
    size_t unit = 0;

    while (number >= 1024 && unit + 1 < ARRAY_COUNT(units)) {
        number /= 1024;
        unit++;
    }
    snprintf(to, SIZE_TEXT_MAX, unit == 0 ? "%.0f %s" : "%.1f %s", number, units[unit]);
}

void print_to(struct buf *to, const char *format, ...)
{
    AUTO(freep) char *text = NULL;
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (size < 0) {
        text = NULL;
        to->error = -ENOMEM;
    } else {
        buf_append(to, text, (size_t)size);
    }
}
