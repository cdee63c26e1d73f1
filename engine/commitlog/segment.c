#include "commitlog/segment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32.h"
#include "engine/assert.h"
#include "engine/coding.h"
#include "engine/error.h"

#define HEADER_MAGIC "sstfslog"
#define HEADER_FORMAT 2
#define HEADER_KIND_RECORDS 'R'
#define HEADER_CRC_OFFSET 64
#define NOTE_OF_SEGMENT 1u /* kind of a NOTE: its body's first field */
/* Written twice, in two sectors: without its header all of a segment would be lost. */
#define HEADER_COPY_OFFSET (SEGMENT_HEADER_BYTES / 2)

/* ---- slots ---- */

void slot_path(enum slot_kind kind, unsigned number, char to[SLOT_PATH_BYTES])
{
    ASSERT(number < SLOT_NUMBERS_MAX);
    snprintf(to, SLOT_PATH_BYTES, COMMITLOG_FOLDER "/%c%02u", (char)kind, number);
}

struct found_slots {
    enum slot_kind kind;
    uint64_t numbers;
};

static int note_slot(void *arg, const char *name)
{
    struct found_slots *found = arg;
    unsigned number;

    if (name[0] != (char)found->kind || name[1] < '0' || name[1] > '9' || name[2] < '0' ||
        name[2] > '9' || name[3] != '\0')
        return 0;
    number = (unsigned)(name[1] - '0') * 10 + (unsigned)(name[2] - '0');
    if (number < SLOT_NUMBERS_MAX)
        found->numbers |= 1ull << number;
    return 0;
}

int slot_list(struct env *env, enum slot_kind kind, uint64_t *ret_slots)
{
    struct found_slots found = {.kind = kind};
    int r = io_list(env, COMMITLOG_FOLDER, note_slot, &found);

    if (r < 0 && r != -ENOENT)
        return r;
    *ret_slots = found.numbers;
    return 0;
}

/* ---- segments ---- */

void segment_encode_header(const struct segment_header *header, uint8_t to[SEGMENT_HEADER_BYTES])
{
    memset(to, 0, SEGMENT_HEADER_BYTES);
    memcpy(to, HEADER_MAGIC, 8);
    store_le32(to + 8, HEADER_FORMAT);
    to[12] = HEADER_KIND_RECORDS;
    store_le64(to + 16, header->id);
    store_le64(to + 24, header->previous);
    memcpy(to + 32, header->store_uuid, sizeof(header->store_uuid));
    store_le64(to + 48, header->created_us);
    store_le64(to + 56, header->nonce);
    store_le32(to + HEADER_CRC_OFFSET, crc32_update(0, to, HEADER_CRC_OFFSET));
    memcpy(to + HEADER_COPY_OFFSET, to, HEADER_CRC_OFFSET + 4);
}

/* One of the copies. */
static int decode_copy(const uint8_t *bytes, struct segment_header *ret_header)
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
    ret_header->nonce = load_le64(bytes + 56);
    /* A position has 32 bits for the id. */
    return ret_header->id > 0 && ret_header->id <= UINT32_MAX;
}

int segment_decode_header(
    const uint8_t bytes[SEGMENT_HEADER_BYTES], struct segment_header *ret_header)
{
    struct segment_header first, second;
    int first_good = decode_copy(bytes, &first);
    int second_good =
        first_good < 0 ? first_good : decode_copy(bytes + HEADER_COPY_OFFSET, &second);

    if (second_good < 0)
        return second_good;
    if (!first_good && !second_good)
        return 0;
    /* A write that was torn between them leaves two good ones: the slot was taken for the newer. */
    *ret_header = !second_good || (first_good && first.id > second.id) ? first : second;
    return 1;
}

int segment_read_header(struct env *env, const char *path, struct segment_header *ret_header)
{
    uint8_t bytes[SEGMENT_HEADER_BYTES];
    int64_t n;
    int fd, r;

    r = io_open(env, path, O_RDONLY, &fd);
    if (r < 0)
        return r;
    n = io_read(env, fd, bytes, sizeof(bytes), 0);
    io_close(env, fd);
    if (n < 0)
        return err_with((int)n, "commit log segment '%s'", path);
    r = (size_t)n < sizeof(bytes) ? 0 : segment_decode_header(bytes, ret_header);
    return r < 0 ? err_with(r, "commit log segment '%s'", path) : r;
}

static int compare_places(const void *a, const void *b)
{
    uint64_t left = ((const struct segment_place *)a)->header.id;
    uint64_t right = ((const struct segment_place *)b)->header.id;

    return left < right ? -1 : left > right;
}

static int read_headers(struct env *env, const uint8_t *store_uuid, struct segment_list *list)
{
    for (unsigned slot = 0; slot < SLOT_NUMBERS_MAX; slot++) {
        struct segment_place *place = &list->all[list->count];
        int r;

        if (!(list->slots >> slot & 1))
            continue;
        slot_path(SLOT_RECORDS, slot, place->path);
        r = segment_read_header(env, place->path, &place->header);
        if (r < 0)
            return r;
        if (r == 0)
            continue;
        if (store_uuid &&
            memcmp(place->header.store_uuid, store_uuid, sizeof(place->header.store_uuid)) != 0)
            return err_new(-EUCLEAN, "commit log slot r%02u is of another store", slot);
        place->slot = slot;
        list->count++;
    }
    return 0;
}

int segment_list(struct env *env, const uint8_t *store_uuid, struct segment_list *ret_list)
{
    struct segment_list list = {0};
    int r = slot_list(env, SLOT_RECORDS, &list.slots);

    if (r == 0) {
        list.all = calloc(SLOT_NUMBERS_MAX, sizeof(*list.all));
        r = list.all ? read_headers(env, store_uuid, &list)
                     : err_new(-ENOMEM, "no memory to list the commit log");
    }
    if (r < 0) {
        segment_list_release(&list);
        return err_with(r, "list the commit log");
    }
    qsort(list.all, list.count, sizeof(*list.all), compare_places);
    *ret_list = list;
    return 0;
}

struct files {
    struct env *env;
    struct segment_list list;
    size_t capacity;
};

/* 1; 0: it is no segment. */
static int add_file(struct files *files, const char *name)
{
    struct segment_list *list = &files->list;
    struct segment_place *place;
    int r;

    if (list->count == files->capacity) {
        size_t capacity = files->capacity ? files->capacity * 2 : SLOT_NUMBERS_MAX;
        struct segment_place *grown = reallocarray(list->all, capacity, sizeof(*grown));

        if (!grown)
            return err_new(-ENOMEM, "no memory to list log segments");
        list->all = grown;
        files->capacity = capacity;
    }
    place = &list->all[list->count];
    *place = (struct segment_place){0};
    if (strlen(name) >= sizeof(place->path))
        return 0;
    strcpy(place->path, name);
    r = segment_read_header(files->env, name, &place->header);
    if (r > 0)
        list->count++;
    return r == -EISDIR ? 0 : r;
}

static int add_any_file(void *arg, const char *name)
{
    int r = add_file(arg, name);

    return r < 0 ? r : 0;
}

int segment_list_files(
    struct env *env, const struct segment_files *names, struct segment_list *ret_list)
{
    struct files files = {.env = env};
    int r = names->file ? add_file(&files, names->file) : io_list(env, "", add_any_file, &files);

    if (r == 0 && names->file)
        r = err_new(-EUCLEAN, "it does not begin as a log segment does");
    if (r < 0) {
        segment_list_release(&files.list);
        return r;
    }
    if (files.list.count > 0)
        qsort(files.list.all, files.list.count, sizeof(*files.list.all), compare_places);
    *ret_list = files.list;
    return 0;
}

void segment_list_release(struct segment_list *list)
{
    free(list->all);
    *list = (struct segment_list){0};
}

/* ---- records ---- */

static uint64_t mix64(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

uint64_t record_salt(const struct segment_header *header)
{
    uint64_t store =
        mix64(load_le64(header->store_uuid) ^ mix64(load_le64(header->store_uuid + 8)));

    return mix64(store ^ header->nonce);
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
    uint32_t update_count, unsigned value_count)
{
    memset(header, 0, RECORD_HEADER_BYTES);
    store_le32(header + 4, size);
    header[16] = (uint8_t)type;
    header[18] = (uint8_t)value_count;
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
    record_begin(to, RECORD_SYNC, RECORD_SYNC_BYTES, 0, 0);
    store_le64(to + RECORD_HEADER_BYTES, covered);
    store_le64(to + RECORD_HEADER_BYTES + 8, sequence);
}

void record_encode_note(uint8_t to[SEGMENT_NOTE_BYTES], const struct segment_note *note)
{
    uint8_t *body = to + RECORD_HEADER_BYTES;

    record_begin(to, RECORD_NOTE, SEGMENT_NOTE_BYTES, 0, 0);
    store_le32(body, NOTE_OF_SEGMENT);
    store_le32(body + 4, note->begins);
    store_le64(body + 8, note->cut_from);
    for (unsigned i = 0; i < SEGMENT_NOTE_TABLES; i++)
        store_le64(body + 16 + 8 * i, note->flushed[i]);
}

bool record_decode_note(const struct record *record, struct segment_note *ret_note)
{
    if (record->type != RECORD_NOTE || record->size != SEGMENT_NOTE_BYTES ||
        load_le32(record->body) != NOTE_OF_SEGMENT)
        return false;
    ret_note->begins = load_le32(record->body + 4) & 1;
    ret_note->cut_from = load_le64(record->body + 8);
    for (unsigned i = 0; i < SEGMENT_NOTE_TABLES; i++)
        ret_note->flushed[i] = load_le64(record->body + 16 + 8 * i);
    return true;
}

void value_reference_encode(
    const struct value_reference *reference, uint8_t to[VALUE_REFERENCE_BYTES])
{
    store_le32(to, reference->at);
    store_le32(to + 4, reference->size);
    store_le32(to + 8, reference->crc);
    store_le32(to + 12, reference->page);
    to[16] = reference->slot;
    to[17] = reference->table;
    to[18] = to[19] = 0;
}

void value_reference_decode(
    const uint8_t from[VALUE_REFERENCE_BYTES], struct value_reference *ret_reference)
{
    *ret_reference = (struct value_reference){
        .at = load_le32(from),
        .size = load_le32(from + 4),
        .crc = load_le32(from + 8),
        .page = load_le32(from + 12),
        .slot = from[16],
        .table = from[17],
    };
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

    if ((uint64_t)bytes[18] * VALUE_REFERENCE_BYTES > body.size)
        return false;
    if ((crc ^ place_checksum(salt, position, size, timestamp_us)) != load_le32(bytes))
        return false;
    *ret_record = (struct record){
        .size = size,
        .timestamp_us = timestamp_us,
        .type = (enum record_type)bytes[16],
        .update_count = load_le32(bytes + 20),
        .value_count = bytes[18],
        .body = body.data,
    };
    return true;
}
