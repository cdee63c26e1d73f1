#include "core/payload.h"

/* Memtables hold buffers whole: one that is half empty or more is not worth its memory. */
static bool stays(const struct fs_piece *piece)
{
    return piece->buffer && piece->bytes.size > VALUE_BUFFER_BYTES / 2;
}

uint64_t fs_pieces_memory(const struct fs_piece *pieces, unsigned count)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < count; i++)
        bytes += stays(&pieces[i]) ? VALUE_BUFFER_BYTES : pieces[i].bytes.size;
    return bytes;
}

struct payload payload_of(const struct fs_piece *pieces, unsigned count)
{
    struct payload payload = {.pieces = pieces, .count = count};

    for (unsigned i = 0; i < count; i++) {
        payload.size += pieces[i].bytes.size;
        payload.copied_bytes += stays(&pieces[i]) ? 0 : pieces[i].bytes.size;
    }
    return payload;
}

/* The piece in which byte `*at` lies; `*at` then counts from its begin. */
static const struct fs_piece *find(const struct payload *payload, size_t *at)
{
    const struct fs_piece *piece = payload->pieces;

    while (*at >= piece->bytes.size) {
        *at -= piece->bytes.size;
        piece++;
    }
    return piece;
}

void payload_copy(const struct payload *payload, size_t at, size_t size, uint8_t *to)
{
    while (size > 0) {
        size_t from = at;
        const struct fs_piece *piece = find(payload, &from);
        size_t left = piece->bytes.size - from;
        size_t part = size < left ? size : left;

        memcpy(to, piece->bytes.data + from, part);
        to += part;
        at += part;
        size -= part;
    }
}

struct fs_piece payload_slice(
    const struct payload *payload, size_t at, size_t size, uint8_t *scratch)
{
    size_t from = at;
    const struct fs_piece *piece = find(payload, &from);

    if (size > piece->bytes.size - from) {
        payload_copy(payload, at, size, scratch);
        return (struct fs_piece){bytes_of(scratch, size), NULL};
    }
    return (struct fs_piece){
        bytes_of(piece->bytes.data + from, size), stays(piece) ? piece->buffer : NULL};
}
