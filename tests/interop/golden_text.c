#include "golden_text.h"

#include <errno.h>

#include "rows/compare.h"
#include "engine/print.h"

static int put_partition(struct partition_iterator *partition, unsigned number, struct buf *text)
{
    buf_append(text, number == 0 ? "[\n" : ",\n", 2);
    return partition_print_json(partition, GOLDEN_NOW_S, text);
}

int text_by_scan(struct sstable *sstable, struct buf *text, struct golden_keys *keys)
{
    AUTO(scanner_closep) struct partition_scanner *scanner = NULL;
    struct partition_iterator *partition;
    unsigned count = 0;
    int r;

    r = sstable_scan(sstable, INT64_MIN, INT64_MAX, &scanner);
    if (r < 0)
        return r;
    while ((r = scanner_next(scanner, &partition)) > 0) {
        if (keys && count < GOLDEN_KEYS_MAX) {
            keys->keys[count].at = keys->bytes.size;
            keys->keys[count].size = partition->key.key.size;
            buf_append_bytes(&keys->bytes, partition->key.key);
            keys->count = count + 1;
        }
        r = put_partition(partition, count++, text);
        if (r < 0)
            return r;
    }
    buf_append(text, "\n]", 2);
    return r < 0 ? r : buf_error(text);
}

int text_by_reads(struct sstable *sstable, const struct golden_keys *keys, struct buf *text)
{
    unsigned count = 0;

    for (unsigned i = 0; i < keys->count; i++) {
        struct bytes bytes = bytes_of(keys->bytes.data + keys->keys[i].at, keys->keys[i].size);
        struct decorated_key key = decorated_key_of(bytes);
        AUTO(partition_closep) struct partition_iterator *partition = NULL;
        int r = sstable_read(sstable, &key, &SLICE_ALL, &partition);

        if (r > 0)
            r = put_partition(partition, count++, text);
        if (r < 0)
            return r;
    }
    buf_append(text, "\n]", 2);
    return buf_error(text);
}
