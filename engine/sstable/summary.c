#include "sstable/summary.h"

#include <errno.h>

#include "engine/coding.h"
#include "engine/error.h"
#include "rows/compare.h"

/* The sampling level of a summary that leaves none of its samples out. */
#define SAMPLING_FULL 128u
#define POSITION_BYTES 8u
/* Interval, count, bytes of offsets and entries, and two more numbers. */
#define HEADER_BYTES 24u

void summary_builder_init(struct summary_builder *builder, uint32_t interval)
{
    *builder = (struct summary_builder){
        .interval = interval,
        .entries = BUF_INIT,
        .offsets = BUF_INIT,
        .first_key = BUF_INIT,
        .last_key = BUF_INIT,
    };
}

void summary_builder_release(struct summary_builder *builder)
{
    buf_release(&builder->entries);
    buf_release(&builder->offsets);
    buf_release(&builder->first_key);
    buf_release(&builder->last_key);
}

void summary_builder_add(struct summary_builder *builder, struct bytes key, uint64_t index_position)
{
    if (builder->partitions == 0)
        buf_append_bytes(&builder->first_key, key);
    buf_clear(&builder->last_key);
    buf_append_bytes(&builder->last_key, key);
    if (builder->partitions++ % builder->interval != 0)
        return;
    put_le32(&builder->offsets, (uint32_t)builder->entries.size);
    buf_append_bytes(&builder->entries, key);
    put_le64(&builder->entries, index_position);
}

static void put_ibytes(struct buf *to, struct bytes bytes)
{
    put_be32(to, (uint32_t)bytes.size);
    buf_append_bytes(to, bytes);
}

void summary_encode(struct buf *to, struct summary_builder *builder)
{
    uint32_t count = (uint32_t)(builder->offsets.size / 4);

    /* Errors of the parts are sticky: with one, what is written here does not matter. */
    if (buf_error(&builder->entries) < 0 || buf_error(&builder->offsets) < 0 ||
        buf_error(&builder->first_key) < 0 || buf_error(&builder->last_key) < 0) {
        to->error = -ENOMEM;
        return;
    }
    put_be32(to, builder->interval);
    put_be32(to, count);
    put_be64(to, builder->offsets.size + builder->entries.size);
    put_be32(to, SAMPLING_FULL);
    put_be32(to, count);
    for (uint32_t i = 0; i < count; i++)
        put_le32(to, load_le32(builder->offsets.data + i * 4) + count * 4);
    buf_append_bytes(to, buf_bytes(&builder->entries));
    put_ibytes(to, buf_bytes(&builder->first_key));
    put_ibytes(to, buf_bytes(&builder->last_key));
}

static struct bytes get_ibytes(struct decoder *d)
{
    uint32_t size = get_be32(d);

    return get_bytes(d, size);
}

static int decode_header(struct bytes header, uint32_t *ret_interval, uint64_t *ret_entries_bytes)
{
    struct decoder d = decoder_of(header);
    uint32_t interval = get_be32(&d);
    uint32_t count = get_be32(&d);
    uint64_t size = get_be64(&d);

    if (decoder_failed(&d) || interval == 0 || interval > INT32_MAX || count == 0 ||
        count > INT32_MAX || size > INT64_MAX || size / (4 + POSITION_BYTES) < count)
        return err_new(-EUCLEAN, "%u entries in %llu bytes, interval %u", count,
            (unsigned long long)size, interval);
    *ret_interval = interval;
    *ret_entries_bytes = size;
    return 0;
}

static int decode_keys(struct bytes tail, struct bytes *ret_first_key, struct bytes *ret_last_key)
{
    struct decoder d = decoder_of(tail);
    struct bytes first = get_ibytes(&d);
    struct bytes last = get_ibytes(&d);

    if (decoder_failed(&d) || first.size > UINT16_MAX || last.size > UINT16_MAX ||
        decoder_left(&d) != 0)
        return err_new(-EUCLEAN, "first and last key do not end with the file");
    *ret_first_key = first;
    *ret_last_key = last;
    return 0;
}

/** Entry `i` of the `count`, whose offsets and content are the `size` bytes at `base`. */
static int decode_entry(
    const uint8_t *base, uint64_t size, uint32_t count, uint32_t i, struct summary_entry *entry)
{
    uint64_t start = load_le32(base + (uint64_t)i * 4);
    uint64_t end = i + 1 < count ? load_le32(base + (uint64_t)(i + 1) * 4) : size;

    if (start < (uint64_t)count * 4 || end > size || start > end || end - start < POSITION_BYTES ||
        end - start > POSITION_BYTES + UINT16_MAX)
        return err_new(-EUCLEAN, "entry %u from %llu to %llu", i, (unsigned long long)start,
            (unsigned long long)end);
    entry->key = bytes_of(base + start, end - start - POSITION_BYTES);
    entry->token = decorated_key_of(entry->key).token;
    entry->index_position = load_le64(base + end - POSITION_BYTES);
    if (i > 0) {
        struct decorated_key before = {entry[-1].token, entry[-1].key};
        struct decorated_key here = {entry->token, entry->key};

        if (decorated_key_compare(&before, &here) >= 0 ||
            entry[-1].index_position >= entry->index_position)
            return err_new(-EUCLEAN, "entry %u does not come after the one before", i);
    }
    return 0;
}

/** All but the entries. */
static int decode_frame(struct bytes content, struct summary *summary, uint64_t *ret_entries_bytes)
{
    uint64_t entries_bytes = 0;
    int r = decode_header(content, &summary->interval, &entries_bytes);

    if (r < 0)
        return r;
    if (content.size < HEADER_BYTES || entries_bytes > content.size - HEADER_BYTES)
        return err_new(
            -EUCLEAN, "%llu bytes of entries do not fit in", (unsigned long long)entries_bytes);
    summary->count = load_be32(content.data + 4);
    *ret_entries_bytes = entries_bytes;
    return decode_keys(bytes_of(content.data + HEADER_BYTES + entries_bytes,
                           content.size - HEADER_BYTES - entries_bytes),
        &summary->first_key, &summary->last_key);
}

int summary_decode_ends(struct bytes content, uint32_t *ret_interval, struct bytes *ret_first_key,
    struct bytes *ret_last_key)
{
    struct summary summary = SUMMARY_INIT;
    uint64_t entries_bytes = 0;
    int r = decode_frame(content, &summary, &entries_bytes);

    *ret_interval = summary.interval;
    *ret_first_key = summary.first_key;
    *ret_last_key = summary.last_key;
    return r;
}

int summary_decode(uint8_t *content, size_t size, struct summary *ret_summary)
{
    AUTO(freep) uint8_t *owned = content;
    AUTO(freep) struct summary_entry *entries = NULL;
    struct summary summary = SUMMARY_INIT;
    uint64_t entries_bytes = 0;
    int r = decode_frame(bytes_of(content, size), &summary, &entries_bytes);

    if (r < 0)
        return r;
    entries = malloc(summary.count * sizeof(*entries));
    if (!entries)
        return err_new(-ENOMEM, "a summary of %u entries", summary.count);
    for (uint32_t i = 0; i < summary.count; i++) {
        r = decode_entry(content + HEADER_BYTES, entries_bytes, summary.count, i, &entries[i]);
        if (r < 0)
            return r;
    }
    summary.entries = entries;
    summary.content = content;
    entries = NULL;
    owned = NULL;
    *ret_summary = summary;
    return 0;
}

void summary_release(struct summary *summary)
{
    free(summary->entries);
    free(summary->content);
    *summary = SUMMARY_INIT;
}
