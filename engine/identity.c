#include "identity.h"

#include <inttypes.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/crc32.h"
#include "engine/buf.h"
#include "engine/coding.h"
#include "engine/error.h"
#include "engine/log.h"
#include "json_file.h"

#define FILE_BYTES_MAX (64u << 10)

/* ---- UUIDs ---- */

void uuid_text(const uint8_t uuid[16], char to[UUID_TEXT_BYTES])
{
    char *at = to;

    for (unsigned i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        snprintf(at, 3, "%02x", uuid[i]);
        at += 2;
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool uuid_parse_text(const char *text, uint8_t to[16])
{
    char again[UUID_TEXT_BYTES];
    unsigned nibble = 0;

    if (strlen(text) != UUID_TEXT_BYTES - 1)
        return false;
    memset(to, 0, 16);
    for (const char *at = text; *at && nibble < 32; at++) {
        int digit = hex_digit(*at);

        if (digit >= 0) {
            to[nibble / 2] = (uint8_t)(to[nibble / 2] << 4 | digit);
            nibble++;
        }
    }
    uuid_text(to, again);
    return strcmp(text, again) == 0;
}

/* ---- store.json ---- */

void identity_make(struct env *env, struct store_identity *to)
{
    *to = (struct store_identity){
        .format_version = ENGINE_FORMAT_VERSION, .created_us = env_wall_us(env)};
    store_be64(to->uuid, env_random(env));
    store_be64(to->uuid + 8, env_random(env));
    to->uuid[6] = (to->uuid[6] & 0x0f) | 0x40; /* RFC 9562: version 4, random */
    to->uuid[8] = (to->uuid[8] & 0x3f) | 0x80;
    to->node = 1 + (uint32_t)(env_random(env) % 16383);
}

int identity_write(struct env *env, const struct store_identity *identity)
{
    AUTO(buf_release) struct buf text = BUF_INIT;
    AUTO(json_freep) json_t *root = NULL;
    char uuid[UUID_TEXT_BYTES];
    int r;

    uuid_text(identity->uuid, uuid);
    root = json_pack("{s:i, s:s, s:i, s:I}", "format_version", (int)identity->format_version,
        "uuid", uuid, "node", (int)identity->node, "created_us", (json_int_t)identity->created_us);
    r = json_to_text(root, &text);
    if (r == 0)
        r = io_write_file(env, "store.json.new", buf_bytes(&text), true);
    return r < 0 ? r : io_rename(env, "store.json.new", "store.json");
}

int identity_read(struct env *env, struct store_identity *ret_identity)
{
    AUTO(json_freep) json_t *root = NULL;
    struct store_identity identity;
    struct json_fields from;
    uint64_t version, node;
    const char *uuid;
    int r = json_read_file(env, "store.json", FILE_BYTES_MAX, &root);

    if (r == -ENOENT)
        return err_new(-ENOTDIR, "there is no store.json: this is not a store");
    if (r < 0)
        return r;
    from = (struct json_fields){root, NULL};
    version = json_get_integer(&from, "format_version");
    if (!from.failed && version > ENGINE_FORMAT_VERSION)
        return err_new(-EPROTO, "the store has format version %" PRIu64 ", this program knows %d",
            version, ENGINE_FORMAT_VERSION);
    uuid = json_get_string(&from, "uuid");
    node = json_get_integer(&from, "node");
    identity.created_us = json_get_integer(&from, "created_us");
    if (from.failed)
        return err_new(-EUCLEAN, "store.json: no '%s'", from.failed);
    if (version < 1 || !uuid_parse_text(uuid, identity.uuid) || node < 1 || node > 16383)
        return err_new(-EUCLEAN, "store.json: version, uuid or node cannot be right");
    identity.format_version = (uint32_t)version;
    identity.node = (uint32_t)node;
    *ret_identity = identity;
    return 0;
}

/* ---- LOCK ---- */

#define LOCK_TEXT_BYTES 96

int lock_create(struct env *env)
{
    return io_write_file(env, "LOCK", bytes_of(NULL, 0), false);
}

static int busy(struct env *env)
{
    AUTO(buf_release) struct buf content = BUF_INIT;
    long pid;

    if (io_read_file(env, "LOCK", LOCK_TEXT_BYTES, &content) == 0) {
        buf_append_u8(&content, '\0');
        if (buf_error(&content) == 0 && sscanf((const char *)content.data, "pid %ld", &pid) == 1)
            return err_new(-EBUSY, "the store is open in another process: pid %ld", pid);
    }
    return err_new(-EBUSY, "the store is open in another process");
}

/*
 * A store that is open says so in its LOCK, with the inode number of that very file. In a copy that
 * was made meanwhile the number is another's: log, manifest and tables are not of one moment there.
 */
static void signature(long pid, uint64_t inode, char to[LOCK_TEXT_BYTES])
{
    int n = snprintf(to, LOCK_TEXT_BYTES, "pid %ld inode %" PRIu64, pid, inode);

    /* It is never synced: what a power loss made of it must not be believed. */
    snprintf(to + n, LOCK_TEXT_BYTES - (size_t)n, " check %08x\n", crc32_update(0, to, (size_t)n));
}

static int check_not_copied(struct env *env, int fd, uint64_t inode)
{
    char text[LOCK_TEXT_BYTES] = "", whole[LOCK_TEXT_BYTES];
    uint64_t written;
    long pid;
    int64_t n = io_read(env, fd, text, LOCK_TEXT_BYTES - 1, 0);

    if (n < 0)
        return (int)n;
    if (sscanf(text, "pid %ld inode %" SCNu64, &pid, &written) != 2 || written == inode)
        return 0;
    signature(pid, written, whole);
    if (strcmp(text, whole) != 0)
        return 0;
    return err_new(-ENOTDIR, "this is a copy of a store that was made while it was mounted, whose "
                             "files are not of one moment: copy a snapshot, MNT/.snapshots/TAG "
                             "(if nobody had it mounted then, as after a crash, empty LOCK)");
}

static int sign(struct env *env, int fd, uint64_t inode)
{
    char text[LOCK_TEXT_BYTES];
    int r = io_truncate(env, fd, 0);

    signature(getpid(), inode, text);
    if (r == 0)
        r = io_write(env, fd, text, strlen(text), 0);
    /* It only helps people; a full disk is no reason not to open. */
    return r == -ENOSPC ? 0 : r;
}

int lock_take(struct env *env, bool read_only, int *ret_fd)
{
    struct io_stat stat;
    int fd, r;

    r = io_open(env, "LOCK", read_only ? O_RDONLY : O_RDWR, &fd);
    if (r < 0)
        return r;
    r = io_lock(env, fd, read_only ? IO_LOCK_SHARED : IO_LOCK_EXCLUSIVE);
    if (r == 0)
        r = io_fstat(env, fd, &stat);
    if (r == 0)
        r = check_not_copied(env, fd, stat.inode);
    if (r == 0 && !read_only)
        r = sign(env, fd, stat.inode);
    if (r < 0) {
        io_close(env, fd);
        return r == -EWOULDBLOCK ? busy(env) : r;
    }
    *ret_fd = fd;
    return 0;
}

void lock_release(struct env *env, bool read_only, int fd)
{
    /* Left signed, it would make a copy of the closed store look like one of an open. */
    int r = read_only ? 0 : io_truncate(env, fd, 0);

    if (r < 0)
        log_warning("op=close: empty LOCK: %s", err_text(r));
    io_close(env, fd);
}
