#include "sstable/digest.h"

#include <errno.h>
#include <stdio.h>

#include "engine/coding.h"
#include "engine/error.h"

#define CRC_DIGITS_MAX 10u

static const char even_rows_line[] = "rows even";

void digest_encode(struct buf *to, const struct component_digests *digests)
{
    char text[64];

    buf_append(to, text, (size_t)snprintf(text, sizeof(text), "%u", digests->crc[COMPONENT_DATA]));
    for (unsigned i = 0; i < COMPONENT_COUNT; i++) {
        if (i == COMPONENT_DATA || !component_set_has(digests->known, (enum sstable_component)i))
            continue;
        buf_append(to, text,
            (size_t)snprintf(text, sizeof(text), "\n%s %u",
                component_name((enum sstable_component)i), digests->crc[i]));
    }
    if (digests->rows_are_even)
        buf_append(to, text, (size_t)snprintf(text, sizeof(text), "\n%s", even_rows_line));
}

static int decode_crc(struct bytes digits, uint32_t *ret_crc)
{
    uint64_t value = 0;

    if (digits.size == 0 || digits.size > CRC_DIGITS_MAX)
        return err_new(-EUCLEAN, "%zu bytes, want 1 to 10 digits", digits.size);
    for (size_t i = 0; i < digits.size; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return err_new(-EUCLEAN, "byte %zu is not a digit", i);
        value = value * 10 + (uint64_t)(digits.data[i] - '0');
    }
    if (value > UINT32_MAX)
        return err_new(-EUCLEAN, "%llu is over 32 bits", (unsigned long long)value);
    *ret_crc = (uint32_t)value;
    return 0;
}

/** What is before the next `end`, which is gone over, or all. */
static struct bytes take_until(struct bytes *from, char end)
{
    const uint8_t *at = memchr(from->data, end, from->size);
    size_t size = at ? (size_t)(at - from->data) : from->size, gone = at ? size + 1 : size;
    struct bytes taken = bytes_of(from->data, size);

    *from = bytes_of(from->data + gone, from->size - gone);
    return taken;
}

static int decode_line(struct bytes line, struct component_digests *digests)
{
    struct bytes name;

    if (bytes_equal(line, bytes_of_string(even_rows_line))) {
        digests->rows_are_even = true;
        return 0;
    }
    name = take_until(&line, ' ');
    for (unsigned i = 0; i < COMPONENT_COUNT; i++) {
        enum sstable_component component = (enum sstable_component)i;

        if (component == COMPONENT_DATA || component_set_has(digests->known, component) ||
            !bytes_equal(name, bytes_of_string(component_name(component))))
            continue;
        digests->known |= 1u << i;
        return decode_crc(line, &digests->crc[i]);
    }
    return err_new(-EUCLEAN, "a line that names no component, or one named before");
}

int digest_decode(struct bytes text, struct component_digests *ret_digests)
{
    struct component_digests digests = {.known = 1u << COMPONENT_DATA};
    int r;

    /* An editor's newline at the end is no damage. */
    if (text.size > 0 && text.data[text.size - 1] == '\n')
        text.size--;
    r = decode_crc(take_until(&text, '\n'), &digests.crc[COMPONENT_DATA]);
    while (r == 0 && text.size > 0)
        r = decode_line(take_until(&text, '\n'), &digests);
    if (r == 0)
        *ret_digests = digests;
    return r;
}

int crc_table_check(struct bytes content, uint64_t data_bytes, uint32_t *ret_chunk_bytes)
{
    struct decoder d = decoder_of(content);
    uint32_t chunk_bytes = get_be32(&d);
    uint64_t chunks;

    if (decoder_failed(&d) || chunk_bytes < 512 || chunk_bytes > (64u << 20))
        return err_new(-EUCLEAN, "chunk size %u", chunk_bytes);
    chunks = data_bytes / chunk_bytes + (data_bytes % chunk_bytes != 0);
    if (decoder_left(&d) / 4 != chunks || decoder_left(&d) % 4 != 0)
        return err_new(-EUCLEAN, "%zu bytes of checksums for %llu chunks", decoder_left(&d),
            (unsigned long long)chunks);
    *ret_chunk_bytes = chunk_bytes;
    return 0;
}

uint32_t crc_table_get(struct bytes content, uint64_t chunk)
{
    return load_be32(content.data + CRC_HEADER_BYTES + chunk * 4);
}
