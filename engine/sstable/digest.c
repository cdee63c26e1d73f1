#include "sstable/digest.h"

#include <errno.h>
#include <stdio.h>

#include "engine/coding.h"
#include "engine/error.h"

void digest_encode(struct buf *to, uint32_t crc)
{
    char text[16];
    int length = snprintf(text, sizeof(text), "%u", crc);

    buf_append(to, text, (size_t)length);
}

int digest_decode(struct bytes text, uint32_t *ret_crc)
{
    uint64_t value = 0;

    /* An editor's newline at the end is no damage. */
    if (text.size > 0 && text.data[text.size - 1] == '\n')
        text.size--;
    if (text.size == 0 || text.size > 10)
        return err_new(-EUCLEAN, "%zu bytes, want 1 to 10 digits", text.size);
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return err_new(-EUCLEAN, "byte %zu is not a digit", i);
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    if (value > UINT32_MAX)
        return err_new(-EUCLEAN, "%llu is over 32 bits", (unsigned long long)value);
    *ret_crc = (uint32_t)value;
    return 0;
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
