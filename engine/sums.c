#include "sums.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/crc32.h"
#include "engine/error.h"

#define FILE_BYTES_MAX (256u << 20)
#define END_FORMAT "end %08x\n"
#define END_BYTES 13u
#define HEX_BYTES (2u * SHA256_BYTES)
#define PATH_AT (HEX_BYTES + 2)

void sums_add(struct buf *to, const uint8_t sum[SHA256_BYTES], const char *path)
{
    char hex[HEX_BYTES + 1];

    for (unsigned i = 0; i < SHA256_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    buf_append(to, hex, HEX_BYTES);
    buf_append(to, "  ", 2);
    buf_append(to, path, strlen(path));
    buf_append_u8(to, '\n');
}

int sums_write(struct env *env, struct bytes lines)
{
    AUTO(buf_release) struct buf content = BUF_INIT;
    char end[END_BYTES + 1];
    int r;

    snprintf(end, sizeof(end), END_FORMAT, crc32_update(0, lines.data, lines.size));
    buf_append_bytes(&content, lines);
    buf_append(&content, end, END_BYTES);
    r = buf_error(&content);
    if (r == 0)
        r = io_write_file(env, SUMS_PATH ".new", buf_bytes(&content), true);
    if (r == 0)
        r = io_rename(env, SUMS_PATH ".new", SUMS_PATH);
    return r < 0 ? err_with(r, "write '%s'", SUMS_PATH) : 0;
}

static int by_path(const void *a, const void *b)
{
    const char *const *left = a, *const *right = b;

    return strcmp(*left + PATH_AT, *right + PATH_AT);
}

/* Each newline becomes the end of a string. */
static int index_lines(struct sums *sums)
{
    char *rest = (char *)sums->text.data, *line;
    size_t lines = 0;

    for (const char *at = rest; (at = strchr(at, '\n')); at++)
        lines++;
    sums->lines = calloc(lines + 1, sizeof(*sums->lines));
    if (!sums->lines)
        return -ENOMEM;
    while ((line = strsep(&rest, "\n")) && *line) {
        if (strlen(line) <= PATH_AT || strspn(line, "0123456789abcdef") != HEX_BYTES)
            return err_new(-EUCLEAN, "'%s': a line without sum or path", SUMS_PATH);
        sums->lines[sums->count++] = line;
    }
    qsort(sums->lines, sums->count, sizeof(*sums->lines), by_path);
    return 0;
}

int sums_read(struct env *env, struct sums *ret_sums)
{
    AUTO(sums_release) struct sums sums = {.text = BUF_INIT};
    struct buf *text = &sums.text;
    char end[END_BYTES + 1];
    size_t size;
    int r = io_read_file(env, SUMS_PATH, FILE_BYTES_MAX, text);

    if (r < 0)
        return r;
    if (text->size < END_BYTES)
        return err_new(-EUCLEAN, "'%s' is cut short", SUMS_PATH);
    size = text->size - END_BYTES;
    snprintf(end, sizeof(end), END_FORMAT, crc32_update(0, text->data, size));
    if (memcmp(text->data + size, end, END_BYTES) != 0)
        return err_new(-EUCLEAN, "'%s': bad checksum", SUMS_PATH);
    text->data[size] = '\0';
    r = index_lines(&sums);
    if (r < 0)
        return r;
    *ret_sums = sums;
    sums = (struct sums){.text = BUF_INIT};
    return 0;
}

static uint8_t digit_of(char digit)
{
    return (uint8_t)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

bool sums_find(const struct sums *sums, const char *path, uint8_t to[SHA256_BYTES])
{
    size_t from = 0, end = sums->count;

    while (from < end) {
        size_t middle = from + (end - from) / 2;
        const char *line = sums->lines[middle];
        int order = strcmp(path, line + PATH_AT);

        if (order == 0) {
            for (unsigned i = 0; i < SHA256_BYTES; i++)
                to[i] = (uint8_t)(digit_of(line[2 * i]) << 4 | digit_of(line[2 * i + 1]));
            return true;
        }
        if (order < 0)
            end = middle;
        else
            from = middle + 1;
    }
    return false;
}

void sums_release(struct sums *sums)
{
    buf_release(&sums->text);
    free(sums->lines);
    *sums = (struct sums){.text = BUF_INIT};
}
