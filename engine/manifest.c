#include "manifest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/crc32.h"
#include "engine/assert.h"
#include "engine/coding.h"
#include "engine/error.h"
#include "engine/log.h"

/*
 * Layout, little endian:
 *
 *   file    magic 8 | version u32 | table count u32 | file number u64 | store uuid 16 |
 *           table ids 16 each | crc32 of all before | zeros up to a multiple of 8
 *   record  crc u32 | body bytes u32 | sequence u64 | body | zeros up to a multiple of 8
 *
 * A record's CRC covers its file's number and its offset too, so that old bytes of another file or
 * place never pass for a record. Zeros follow the last one: the space is allocated beforehand,
 * which makes commits cheap and keeps ENOSPC out of them.
 */
#define MAGIC "SSTFSMAN"
#define HEADER_FIXED_BYTES 40u
#define RECORD_HEAD_BYTES 16u
#define FILE_BYTES_MAX (256u << 20)
/* Allocated past the place where a file is rolled, for the edit that reaches over it. */
#define EDIT_ROOM_BYTES (64u << 10)
#define PATH_MAX_BYTES 64

struct manifest {
    struct env *env;
    struct manifest_options options;
    struct manifest_state state;
    int fd; /* -1: read-only */
    uint64_t file_number;
    uint64_t offset;       /* where the next record goes */
    uint64_t edits_offset; /* where the first after the full state went */
    uint64_t sequence;
    int failure;
};

static size_t round_up(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

static void file_path(uint64_t number, const char *suffix, char to[PATH_MAX_BYTES])
{
    snprintf(to, PATH_MAX_BYTES, "manifest/M-%06" PRIu64 "%s", number, suffix);
}

/* ---- encoding ---- */

static size_t header_bytes(unsigned table_count)
{
    return round_up(HEADER_FIXED_BYTES + 16u * table_count + 4);
}

static void pad(struct buf *to)
{
    while (to->size & 7 && buf_error(to) == 0)
        buf_append_u8(to, 0);
}

static void put_header(struct buf *to, const struct manifest_options *options, uint64_t file_number)
{
    buf_append(to, MAGIC, 8);
    put_le32(to, ENGINE_FORMAT_VERSION);
    put_le32(to, options->table_count);
    put_le64(to, file_number);
    buf_append(to, options->store_uuid, 16);
    for (unsigned i = 0; i < options->table_count; i++)
        buf_append(to, options->tables[i].id, 16);
    if (buf_error(to) == 0)
        put_le32(to, crc32_update(0, to->data, to->size));
    pad(to);
}

static uint32_t record_crc(
    uint64_t file_number, uint64_t offset, const uint8_t *after_crc, size_t size)
{
    uint8_t place[16];
    uint32_t crc;

    store_le64(place, file_number);
    store_le64(place + 8, offset);
    crc = crc32_update(0, place, sizeof(place));
    return crc32_update(crc, after_crc, size);
}

/* `to` is empty; `offset` is where it will lie in the file. */
static void put_record(
    struct buf *to, uint64_t file_number, uint64_t offset, uint64_t sequence, struct bytes body)
{
    size_t begin = to->size;

    put_le32(to, 0);
    put_le32(to, (uint32_t)body.size);
    put_le64(to, sequence);
    buf_append_bytes(to, body);
    if (buf_error(to) == 0)
        store_le32(to->data + begin,
            record_crc(file_number, offset, to->data + begin + 4, to->size - begin - 4));
    pad(to);
}

/* ---- rolling ---- */

/* A whole new file with the state, under its name and durable. Leaves the old one where it is. */
static int write_file(struct manifest *manifest, uint64_t file_number)
{
    AUTO(manifest_edit_release) struct manifest_edit edit = MANIFEST_EDIT_INIT;
    AUTO(buf_release) struct buf content = BUF_INIT;
    char temporary[PATH_MAX_BYTES], path[PATH_MAX_BYTES];
    struct env *env = manifest->env;
    int fd = -1, r;

    manifest_edit_state(&edit, &manifest->state);
    put_header(&content, &manifest->options, file_number);
    put_record(&content, file_number, content.size, manifest->sequence, buf_bytes(&edit.body));
    if (buf_error(&edit.body) < 0 || buf_error(&content) < 0)
        return -ENOMEM;

    file_path(file_number, ".new", temporary);
    file_path(file_number, "", path);
    r = io_open(env, temporary, O_RDWR | O_CREAT | O_TRUNC, &fd);
    if (r < 0)
        return r;
    r = io_allocate(env, fd, content.size + manifest->options.roll_bytes + EDIT_ROOM_BYTES);
    if (r == -EOPNOTSUPP)
        r = 0;
    if (r == 0)
        r = io_write(env, fd, content.data, content.size, 0);
    if (r == 0)
        r = io_sync(env, fd);
    if (r == 0)
        r = io_rename(env, temporary, path);
    if (r == 0) {
        /* Which of the two files a crash would leave is not known when this fails. */
        r = io_sync_directory(env, "manifest");
        manifest->failure = r;
    }
    if (r < 0) {
        io_close(env, fd);
        return err_with(r, "new manifest '%s'", path);
    }
    if (manifest->fd >= 0)
        io_close(env, manifest->fd);
    manifest->fd = fd;
    manifest->file_number = file_number;
    manifest->offset = content.size;
    manifest->edits_offset = content.size;
    return 0;
}

static int roll(struct manifest *manifest)
{
    char old[PATH_MAX_BYTES];
    int r;

    file_path(manifest->file_number, "", old);
    manifest->sequence++;
    r = write_file(manifest, manifest->file_number + 1);
    if (r < 0) {
        manifest->sequence--;
        return r;
    }
    /* An older file is never read when there is a newer one, so this need not succeed. */
    r = io_unlink(manifest->env, old);
    if (r < 0 && r != -ENOENT)
        log_warning("op=manifest path=%s: %s", old, err_text(r));
    return 0;
}

int manifest_create(
    struct env *env, const struct manifest_options *options, const struct manifest_state *state)
{
    struct manifest manifest = {
        .env = env, .options = *options, .state = *state, .fd = -1, .sequence = 1};
    int r = io_ensure_directory(env, "manifest");

    if (r == 0)
        r = write_file(&manifest, 1);
    if (manifest.fd >= 0)
        io_close(env, manifest.fd);
    return r;
}

/* ---- opening ---- */

struct found_files {
    uint64_t newest;
    uint64_t oldest;
};

static int note_file(void *arg, const char *name)
{
    struct found_files *found = arg;
    uint64_t number;
    char rest;

    if (sscanf(name, "M-%" SCNu64 "%c", &number, &rest) != 1)
        return 0;
    if (number > found->newest)
        found->newest = number;
    if (number < found->oldest)
        found->oldest = number;
    return 0;
}

static int check_header(struct manifest *manifest, const char *path, struct bytes content)
{
    struct decoder from = decoder_of(content);
    struct bytes magic = get_bytes(&from, 8);
    uint32_t version = get_le32(&from);
    uint32_t table_count = get_le32(&from);
    uint64_t file_number = get_le64(&from);
    struct bytes uuid = get_bytes(&from, 16);
    struct bytes ids;
    size_t covered;

    if (decoder_failed(&from) || memcmp(magic.data, MAGIC, 8) != 0)
        return err_new(-EUCLEAN, "manifest '%s': not a manifest", path);
    if (version != ENGINE_FORMAT_VERSION)
        return err_new(-EPROTO, "manifest '%s': format version %u, this program knows %u", path,
            version, ENGINE_FORMAT_VERSION);
    if (table_count > ENGINE_TABLES_MAX)
        return err_new(-EUCLEAN, "manifest '%s': %u tables", path, table_count);
    ids = get_bytes(&from, 16u * table_count);
    covered = HEADER_FIXED_BYTES + 16u * table_count;
    if (get_le32(&from) != crc32_update(0, content.data, covered) || decoder_failed(&from))
        return err_new(-EUCLEAN, "manifest '%s': bad checksum of the header", path);
    if (file_number != manifest->file_number ||
        memcmp(uuid.data, manifest->options.store_uuid, 16) != 0)
        return err_new(-EUCLEAN, "manifest '%s': belongs to another store or name", path);
    if (table_count != manifest->options.table_count)
        return err_new(-EPROTO, "manifest '%s': of %u tables, not %u", path, table_count,
            manifest->options.table_count);
    for (unsigned i = 0; i < table_count; i++)
        if (memcmp(ids.data + 16u * i, manifest->options.tables[i].id, 16) != 0)
            return err_new(-EPROTO, "manifest '%s': table %u is not '%s'", path, i,
                manifest->options.tables[i].name);
    return 0;
}

/* The body of the record at `offset` if a whole and right one is there. */
static bool record_at(const struct manifest *manifest, struct bytes content, size_t offset,
    struct bytes *ret_body, uint64_t *ret_sequence)
{
    const uint8_t *at = content.data + offset;
    uint32_t size;

    if (content.size - offset < RECORD_HEAD_BYTES)
        return false;
    size = load_le32(at + 4);
    if (size > content.size - offset - RECORD_HEAD_BYTES)
        return false;
    /* No edit is empty: zeros, which are what follows the last record, are none. */
    if (size == 0 || load_le32(at) != record_crc(manifest->file_number, offset, at + 4,
                                          RECORD_HEAD_BYTES - 4 + size))
        return false;
    *ret_sequence = load_le64(at + 8);
    *ret_body = bytes_of(at + RECORD_HEAD_BYTES, size);
    return true;
}

/* A record behind a bad place: cheap tests first, as this walks all that is left of the file. */
static bool find_later_record(
    const struct manifest *manifest, struct bytes content, size_t offset, size_t *ret_offset)
{
    struct bytes body;
    uint64_t sequence;

    for (; offset + RECORD_HEAD_BYTES <= content.size; offset += 8) {
        sequence = load_le64(content.data + offset + 8);
        if (sequence <= manifest->sequence || sequence - manifest->sequence > FILE_BYTES_MAX)
            continue;
        if (record_at(manifest, content, offset, &body, &sequence)) {
            *ret_offset = offset;
            return true;
        }
    }
    return false;
}

static int read_records(struct manifest *manifest, const char *path, struct bytes content)
{
    size_t offset = header_bytes(manifest->options.table_count);
    size_t later = 0;
    struct bytes body;
    uint64_t sequence;
    bool first = true;

    while (offset < content.size && record_at(manifest, content, offset, &body, &sequence)) {
        int r;

        if (!first && sequence != manifest->sequence + 1)
            return err_new(-EUCLEAN, "manifest '%s': offset %zu: edit %" PRIu64 " after %" PRIu64,
                path, offset, sequence, manifest->sequence);
        r = manifest_state_apply(&manifest->state, body);
        if (r < 0)
            return err_with(r, "manifest '%s': offset %zu", path, offset);
        manifest->sequence = sequence;
        offset += round_up(RECORD_HEAD_BYTES + body.size);
        first = false;
    }
    if (first)
        return err_new(-EUCLEAN, "manifest '%s': the state at its begin is damaged", path);
    if (offset < content.size && find_later_record(manifest, content, offset + 8, &later))
        return err_new(-EUCLEAN,
            "manifest '%s': damaged from offset %zu to %zu, where durable edits go on", path,
            offset, later);
    manifest->offset = offset;
    return 0;
}

static int load(struct manifest *manifest)
{
    AUTO(buf_release) struct buf content = BUF_INIT;
    char path[PATH_MAX_BYTES];
    int r;

    file_path(manifest->file_number, "", path);
    r = io_read_file(manifest->env, path, FILE_BYTES_MAX, &content);
    if (r < 0)
        return r;
    r = check_header(manifest, path, buf_bytes(&content));
    if (r < 0)
        return r;
    return read_records(manifest, path, buf_bytes(&content));
}

int manifest_open(
    struct env *env, const struct manifest_options *options, struct manifest **ret_manifest)
{
    struct found_files found = {.oldest = UINT64_MAX};
    struct manifest *manifest;
    int r = io_list(env, "manifest", note_file, &found);

    if (r < 0)
        return err_with(r, "list the manifests");
    if (found.newest == 0)
        return err_new(-EUCLEAN, "the folder 'manifest' holds none");
    manifest = calloc(1, sizeof(*manifest));
    if (!manifest)
        return -ENOMEM;
    manifest->env = env;
    manifest->options = *options;
    manifest->fd = -1;
    manifest->file_number = found.newest;
    manifest->state.table_count = options->table_count;
    manifest->state.next_number = 1;
    r = load(manifest);
    if (r == 0 && !options->read_only)
        r = roll(manifest);
    if (r < 0) {
        manifest_free(manifest);
        return r;
    }
    /* What a crash between rename and unlink left. */
    for (uint64_t n = found.oldest; !options->read_only && n < found.newest; n++) {
        char old[PATH_MAX_BYTES];

        file_path(n, "", old);
        r = io_unlink(env, old);
        if (r < 0 && r != -ENOENT)
            log_warning("op=manifest path=%s: %s", old, err_text(r));
    }
    *ret_manifest = manifest;
    return 0;
}

void manifest_free(struct manifest *manifest)
{
    if (!manifest)
        return;
    if (manifest->fd >= 0)
        io_close(manifest->env, manifest->fd);
    manifest_state_release(&manifest->state);
    free(manifest);
}

const struct manifest_state *manifest_state(const struct manifest *manifest)
{
    return &manifest->state;
}

uint64_t manifest_next_number(const struct manifest *manifest)
{
    return manifest->state.next_number;
}

/* ---- committing ---- */

static int append(struct manifest *manifest, struct bytes record)
{
    int r = io_write(manifest->env, manifest->fd, record.data, record.size, manifest->offset);

    if (r == 0)
        r = io_sync(manifest->env, manifest->fd);
    if (r < 0)
        return r;
    manifest->offset += record.size;
    manifest->sequence++;
    return 0;
}

int manifest_failure(const struct manifest *manifest)
{
    return manifest->failure;
}

int manifest_commit(struct manifest *manifest, const struct manifest_edit *edit)
{
    AUTO(buf_release) struct buf record = BUF_INIT;
    int r;

    ASSERT(manifest->fd >= 0);
    if (manifest->failure < 0)
        return err_new(manifest->failure, "the manifest took no edit since one failed");
    if (buf_error(&edit->body) < 0)
        return -ENOMEM;
    if (edit->body.size == 0)
        return 0;
    if (manifest->offset - manifest->edits_offset >= manifest->options.roll_bytes) {
        /* Without room for a new file, or memory to write it, the old one takes edits as long as it
         * can. */
        r = roll(manifest);
        if (r < 0 && r != -ENOSPC && r != -ENOMEM)
            manifest->failure = r;
        if (manifest->failure < 0)
            return manifest->failure;
    }
    put_record(&record, manifest->file_number, manifest->offset, manifest->sequence + 1,
        buf_bytes(&edit->body));
    if (buf_error(&record) < 0)
        return -ENOMEM;
    r = append(manifest, buf_bytes(&record));
    if (r == 0)
        r = manifest_state_apply(&manifest->state, buf_bytes(&edit->body));
    if (r < 0)
        manifest->failure = err_with(r, "commit to manifest M-%06" PRIu64, manifest->file_number);
    return r;
}
