#include "rows/updates.h"

struct bytes updates_read(struct updates_reader *reader, size_t size)
{
    const struct updates *updates = reader->updates;
    size_t end = updates->encoded.size;
    struct bytes piece;

    if (reader->shared < updates->shared_count) {
        const struct shared_value *next = &updates->shared[reader->shared];

        if (reader->at == next->at) {
            size_t left = next->value.size - reader->skip;

            piece = bytes_of(next->value.data + reader->skip, size < left ? size : left);
            reader->skip += piece.size;
            if (reader->skip == next->value.size) {
                reader->shared++;
                reader->skip = 0;
            }
            return piece;
        }
        end = next->at;
    }
    if (size > end - reader->at)
        size = end - reader->at;
    piece = bytes_of(updates->encoded.data + reader->at, size);
    reader->at += size;
    return piece;
}
