#include "sstable/descriptor.h"

#include <stdio.h>

#include "engine/assert.h"

#define TICKS_PER_SECOND 10000000u
#define SECONDS_PER_DAY 86400u

static const char *const component_names[COMPONENT_COUNT] = {
    [COMPONENT_DATA] = "Data.db",
    [COMPONENT_INDEX] = "Index.db",
    [COMPONENT_SUMMARY] = "Summary.db",
    [COMPONENT_FILTER] = "Filter.db",
    [COMPONENT_STATISTICS] = "Statistics.db",
    [COMPONENT_COMPRESSION_INFO] = "CompressionInfo.db",
    [COMPONENT_CRC] = "CRC.db",
    [COMPONENT_DIGEST] = "Digest.crc32",
    [COMPONENT_TOC] = "TOC.txt",
};

const char *component_name(enum sstable_component component)
{
    ASSERT(component < COMPONENT_COUNT);
    return component_names[component];
}

void sstable_file_name(const struct sstable_id *id, enum sstable_component component,
    char to[SSTABLE_FILE_NAME_MAX + 1])
{
    snprintf(to, SSTABLE_FILE_NAME_MAX + 1, "nb-%s-big-%s", id->text, component_name(component));
}

static bool id_character(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '_';
}

bool sstable_parse_file_name(
    const char *name, struct sstable_id *ret_id, enum sstable_component *ret_component)
{
    struct sstable_id id;
    size_t length = 0;
    const char *rest;

    if (strncmp(name, "nb-", 3) != 0)
        return false;
    name += 3;
    while (id_character(name[length]))
        length++;
    if (length == 0 || length > SSTABLE_ID_TEXT_MAX || strncmp(name + length, "-big-", 5) != 0)
        return false;
    memcpy(id.text, name, length);
    id.text[length] = '\0';
    rest = name + length + 5;
    for (unsigned i = 0; i < COMPONENT_COUNT; i++) {
        if (strcmp(rest, component_names[i]) == 0) {
            *ret_id = id;
            *ret_component = (enum sstable_component)i;
            return true;
        }
    }
    return false;
}

/** `value` in base 36, zero-padded to `digits`. */
static char *put_base36(char *to, uint64_t value, unsigned digits)
{
    for (unsigned i = digits; i > 0; i--) {
        to[i - 1] = "0123456789abcdefghijklmnopqrstuvwxyz"[value % 36];
        value /= 36;
    }
    ASSERT(value == 0);
    return to + digits;
}

void sstable_id_make(struct sstable_id *to, uint64_t tick_100ns, uint64_t low_bits)
{
    /* Cassandra: io/sstable/UUIDBasedSSTableId.java. The UUID's variant is binary 10. */
    uint64_t seconds = tick_100ns / TICKS_PER_SECOND;
    uint64_t low = (low_bits & ~(3ULL << 62)) | 1ULL << 63;
    char *at = to->text;

    at = put_base36(at, seconds / SECONDS_PER_DAY, 4);
    *at++ = '_';
    at = put_base36(at, seconds % SECONDS_PER_DAY, 4);
    *at++ = '_';
    at = put_base36(at, tick_100ns % TICKS_PER_SECOND, 5);
    at = put_base36(at, low, 13);
    *at = '\0';
}

char *sstable_path(
    const char *folder, const struct sstable_id *id, enum sstable_component component)
{
    char name[SSTABLE_FILE_NAME_MAX + 1];
    char *path;

    sstable_file_name(id, component, name);
    if (asprintf(&path, "%s%s%s", folder, *folder ? "/" : "", name) < 0)
        return NULL;
    return path;
}

void toc_encode(struct buf *to, component_set components)
{
    for (unsigned i = 0; i < COMPONENT_COUNT; i++) {
        if (!component_set_has(components, (enum sstable_component)i))
            continue;
        buf_append(to, component_names[i], strlen(component_names[i]));
        buf_append_u8(to, '\n');
    }
}

component_set toc_decode(struct bytes text)
{
    component_set set = 0;
    const uint8_t *at = text.data, *end = text.data + text.size;

    while (at < end) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
        struct bytes line = bytes_of(at, (size_t)((newline ? newline : end) - at));

        for (unsigned i = 0; i < COMPONENT_COUNT; i++) {
            if (bytes_equal(line, bytes_of_string(component_names[i])))
                set |= 1u << i;
        }
        at = newline ? newline + 1 : end;
    }
    return set;
}
