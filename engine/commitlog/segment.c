#include "commitlog/segment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32.h"
#include "engine/coding.h"
#include "engine/error.h"

#define HEADER_MAGIC "sstfslog"
#define HEADER_FORMAT 1
#define HEADER_KIND_RECORDS 'R'
#define HEADER_CRC_OFFSET 56
#define ZEROS_BYTES (64u << 10)

/* ---- segments ---- */

void segment_path(uint64_t id, char to[SEGMENT_PATH_BYTES])
{
    snprintf(to, SEGMENT_PATH_BYTES, COMMITLOG_FOLDER "/%016" PRIx64, id);
}

static void encode_header(const struct segment_header *header, uint8_t to[SEGMENT_HEADER_BYTES])
{
    memset(to, 0, SEGMENT_HEADER_BYTES);
    memcpy(to, HEADER_MAGIC, 8);
    store_le32(to + 8, HEADER_FORMAT);
    to[12] = HEADER_KIND_RECORDS;
    store_le64(to + 16, header->id);
    store_le64(to + 24, header->previous);
    memcpy(to + 32, header->store_uuid, sizeof(header->store_uuid));
    store_le64(to + 48, header->created_us);
    store_le32(to + HEADER_CRC_OFFSET, crc32_update(0, to, HEADER_CRC_OFFSET));
}

int segment_decode_header(
    const uint8_t bytes[SEGMENT_HEADER_BYTES], struct segment_header *ret_header)
{
    if (memcmp(bytes, HEADER_MAGIC, 8) != 0)
        return 0;
    if (load_le32(bytes + HEADER_CRC_OFFSET) != crc32_update(0, bytes, HEADER_CRC_OFFSET))
        return 0;
    if (load_le32(bytes + 8) != HEADER_FORMAT || bytes[12] != HEADER_KIND_RECORDS)
        return err_new(-EOPNOTSUPP, "commit log segment of format %" PRIu32 ", kind %u",
            load_le32(bytes + 8), bytes[12]);
    ret_header->id = load_le64(bytes + 16);
    ret_header->previous = load_le64(bytes + 24);
    memcpy(ret_header->store_uuid, bytes + 32, sizeof(ret_header->store_uuid));
    ret_header->created_us = load_le64(bytes + 48);
    return 1;
}

/* On a disk that cannot allocate, space is had by writing it. */
static int write_zeros(struct env *env, int fd, uint64_t bytes)
{
    AUTO(freep) uint8_t *zeros = calloc(1, ZEROS_BYTES);

    if (!zeros)
        return err_new(-ENOMEM, "no memory for a commit log segment");
    for (uint64_t at = 0; at < bytes; at += ZEROS_BYTES) {
        size_t size = bytes - at < ZEROS_BYTES ? (size_t)(bytes - at) : ZEROS_BYTES;
        int r = io_write(env, fd, zeros, size, at);

        if (r < 0)
            return r;
    }
    return 0;
}

static int fill_new_segment(
    struct env *env, int fd, const struct segment_header *header, uint64_t bytes)
{
    AUTO(freep) uint8_t *encoded = malloc(SEGMENT_HEADER_BYTES);
    int r;

    if (!encoded)
        return err_new(-ENOMEM, "no memory for a commit log segment");
    /* All the space now, so that no append will be the one that finds the disk full. */
    r = io_allocate(env, fd, bytes);
    if (r == -EOPNOTSUPP)
        r = write_zeros(env, fd, bytes);
    if (r < 0)
        return r;
    encode_header(header, encoded);
    return io_write(env, fd, encoded, SEGMENT_HEADER_BYTES, 0);
}

int segment_create(
    struct env *env, const struct segment_header *header, uint64_t bytes, int *ret_fd)
{
    char path[SEGMENT_PATH_BYTES];
    int fd;
    int r;

    segment_path(header->id, path);
    r = io_open(env, path, O_RDWR | O_CREAT | O_EXCL, &fd);
    if (r < 0)
        return r;
    r = fill_new_segment(env, fd, header, bytes);
    if (r < 0) {
        char cause[128];
        int unlinked;

        snprintf(cause, sizeof(cause), "%s", err_text(r));
        io_close(env, fd);
        unlinked = io_unlink(env, path);
        if (unlinked < 0)
            return err_new(
                -EIO, "half a segment '%s' is left: %s; then %s", path, cause, err_text(unlinked));
        return err_new(r, "new commit log segment '%s': %s", path, cause);
    }
    *ret_fd = fd;
    return 0;
}

/* The id that the name says; false: not the name of a segment. */
static bool parse_name(const char *name, uint64_t *ret_id)
{
    uint64_t id = 0;

    if (strlen(name) != SEGMENT_NAME_DIGITS)
        return false;
    for (const char *c = name; *c; c++) {
        if (*c >= '0' && *c <= '9')
            id = id << 4 | (uint64_t)(*c - '0');
        else if (*c >= 'a' && *c <= 'f')
            id = id << 4 | (uint64_t)(*c - 'a' + 10);
        else
            return false;
    }
    if (id == 0 || id > UINT32_MAX)
        return false; /* a position has 32 bits for it */
    *ret_id = id;
    return true;
}

static int add_name(void *arg, const char *name)
{
    struct segment_ids *ids = arg;
    uint64_t id;

    if (!parse_name(name, &id))
        return 0;
    if (ids->count == ids->capacity) {
        unsigned capacity = ids->capacity ? 2 * ids->capacity : 16;
        uint64_t *all = realloc(ids->all, capacity * sizeof(*all));

        if (!all)
            return err_new(-ENOMEM, "no memory to list %u commit log segments", capacity);
        ids->all = all;
        ids->capacity = capacity;
    }
    ids->all[ids->count++] = id;
    return 0;
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;

    return left < right ? -1 : left > right;
}

int segment_list(struct env *env, struct segment_ids *ret_ids)
{
    struct segment_ids ids = {0};
    int r = io_list(env, COMMITLOG_FOLDER, add_name, &ids);

    if (r < 0 && r != -ENOENT) {
        segment_ids_release(&ids);
        return err_with(r, "list the commit log");
    }
    if (ids.count > 0)
        qsort(ids.all, ids.count, sizeof(*ids.all), compare_ids);
    *ret_ids = ids;
    return 0;
}

void segment_ids_release(struct segment_ids *ids)
{
    free(ids->all);
    *ids = (struct segment_ids){0};
}

/* ---- records ---- */

static uint64_t mix64(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

uint64_t record_salt(const uint8_t store_uuid[16])
{
    return mix64(load_le64(store_uuid) ^ mix64(load_le64(store_uuid + 8)));
}

/* Depends on every bit of where and when, so that no record is good anywhere else. */
static uint32_t place_checksum(
    uint64_t salt, uint64_t position, uint32_t size, int64_t timestamp_us)
{
    uint64_t z = mix64(salt ^ position);

    z = mix64(z ^ size);
    z = mix64(z ^ (uint64_t)timestamp_us);
    return (uint32_t)(z >> 32);
}

void record_begin(uint8_t header[RECORD_HEADER_BYTES], enum record_type type, uint32_t size,
    uint32_t update_count)
{
    memset(header, 0, RECORD_HEADER_BYTES);
    store_le32(header + 4, size);
    header[16] = (uint8_t)type;
    store_le32(header + 20, update_count);
}

uint32_t record_checksum(const uint8_t header[RECORD_HEADER_BYTES], struct bytes body)
{
    uint32_t crc = crc32_update(
        0, header + RECORD_UNCOVERED_BYTES, RECORD_HEADER_BYTES - RECORD_UNCOVERED_BYTES);

    return crc32_update(crc, body.data, body.size);
}

void record_seal(uint8_t header[RECORD_HEADER_BYTES], uint32_t checksum, uint64_t salt,
    uint64_t position, int64_t timestamp_us)
{
    uint32_t size = load_le32(header + 4);

    store_le64(header + 8, (uint64_t)timestamp_us);
    store_le32(header, checksum ^ place_checksum(salt, position, size, timestamp_us));
}

void record_encode_sync(uint8_t to[RECORD_SYNC_BYTES], uint64_t covered, uint64_t sequence)
{
    record_begin(to, RECORD_SYNC, RECORD_SYNC_BYTES, 0);
    store_le64(to + RECORD_HEADER_BYTES, covered);
    store_le64(to + RECORD_HEADER_BYTES + 8, sequence);
}

uint64_t record_sync_covered(const struct record *record)
{
    return load_le64(record->body);
}

uint32_t record_plausible_size(const uint8_t header[RECORD_HEADER_BYTES])
{
    uint32_t size = load_le32(header + 4);
    uint32_t size_min = RECORD_HEADER_BYTES;
    uint32_t size_max = RECORD_BYTES_MAX;

    switch (header[16]) {
    case RECORD_BATCH:
    case RECORD_NOTE:
        break;
    case RECORD_SYNC:
        size_min = size_max = RECORD_SYNC_BYTES;
        break;
    case RECORD_END:
        size_min = size_max = RECORD_END_BYTES;
        break;
    default:
        return 0;
    }
    return size >= size_min && size <= size_max ? size : 0;
}

bool record_decode(const uint8_t *bytes, uint32_t size, uint64_t salt, uint64_t position,
    struct record *ret_record)
{
    int64_t timestamp_us = (int64_t)load_le64(bytes + 8);
    struct bytes body = bytes_of(bytes + RECORD_HEADER_BYTES, size - RECORD_HEADER_BYTES);
    uint32_t crc = record_checksum(bytes, body);

    if ((crc ^ place_checksum(salt, position, size, timestamp_us)) != load_le32(bytes))
        return false;
    *ret_record = (struct record){
        .size = size,
        .timestamp_us = timestamp_us,
        .type = (enum record_type)bytes[16],
        .update_count = load_le32(bytes + 20),
        .body = body.data,
    };
    return true;
}
