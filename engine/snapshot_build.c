/*
 * A snapshot's folder, made in tmp/ a little at a time:
 *
 *   sstfs/<table folder>/  links to all components of all SSTables, manifest.json, schema.cql
 *   snapshot.json          what is in it, and all that opening it needs
 *   SHA256SUMS             of every other file: `sha256sum -c` in the folder proves it
 */
#include "snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include <openssl/evp.h>

#include "engine/buf.h"
#include "engine/assert.h"
#include "engine/error.h"
#include "engine/log.h"
#include "state.h"
#include "sums.h"

#define STEP_LINKS 128
#define STEP_BYTES (4u << 20)
#define READ_BYTES (256u << 10)
#define PATH_BYTES                                                                                 \
    (SNAPSHOT_FOLDER_MAX + 48 + 1 + TABLE_FOLDER_NAME_MAX + 1 + SSTABLE_FILE_NAME_MAX + 1)

enum phase { PHASE_FOLDERS, PHASE_LINKS, PHASE_SUMS, PHASE_FILES, PHASE_DONE };

struct snapshot_build {
    struct engine *engine;
    uint64_t number, position, point_us, created_us;
    char folder[SNAPSHOT_FOLDER_MAX];
    struct sstable_handle **handles; /* a reference each */
    size_t count;
    uint64_t (*file_bytes)[COMPONENT_COUNT];

    enum phase phase;
    size_t at;          /* handle that is next */
    unsigned component; /* of it that is next */
    int fd;             /* being summed; -1: none */
    uint64_t offset;
    EVP_MD_CTX *digest;
    uint8_t *read_buffer;
    struct buf sums;   /* SHA256SUMS so far */
    struct sums kept;  /* of an earlier life, read when a sum is missed first */
    bool kept_is_read; /* or there is none */
    bool has_summed;   /* what `kept` has not */
};

int snapshot_build_new(struct engine *engine, const char *folder,
    const struct manifest_snapshot *entry, const struct snapshot_job *job,
    struct snapshot_build **ret_build)
{
    struct snapshot_build *build;

    ASSERT(job->count == entry->sstable_count);
    build = calloc(1, sizeof(*build));
    if (!build)
        return -ENOMEM;
    build->engine = engine;
    build->number = entry->number;
    build->position = entry->position;
    build->point_us = entry->point_us;
    build->created_us = entry->created_us;
    build->fd = -1;
    snprintf(build->folder, sizeof(build->folder), "%s", folder);
    build->handles = calloc(job->count + 1, sizeof(struct sstable_handle *));
    build->file_bytes = calloc(job->count + 1, sizeof(*build->file_bytes));
    build->digest = EVP_MD_CTX_new();
    build->read_buffer = malloc(READ_BYTES);
    if (!build->handles || !build->file_bytes || !build->digest || !build->read_buffer) {
        snapshot_build_free(build);
        return -ENOMEM;
    }
    for (size_t i = 0; i < job->count; i++) {
        sstable_handle_ref(job->handles[i]);
        build->handles[build->count++] = job->handles[i];
    }
    *ret_build = build;
    return 0;
}

const char *snapshot_build_folder(const struct snapshot_build *build)
{
    return build->folder;
}

uint64_t snapshot_build_number(const struct snapshot_build *build)
{
    return build->number;
}

void snapshot_build_free(struct snapshot_build *build)
{
    if (!build)
        return;
    if (build->fd >= 0)
        io_close(build->engine->env, build->fd);
    for (size_t i = 0; i < build->count; i++)
        sstable_handle_unref(build->handles[i]);
    free(build->handles);
    free(build->file_bytes);
    EVP_MD_CTX_free(build->digest);
    free(build->read_buffer);
    buf_release(&build->sums);
    sums_release(&build->kept);
    free(build);
}

/* ---- paths ---- */

/* "sstfs/blocks-…/" and a name, within the snapshot */
static void inner_path(const struct table_schema *schema, const char *name, char to[PATH_BYTES])
{
    char folder[TABLE_FOLDER_NAME_MAX + 1];

    table_folder_name(schema, folder);
    snprintf(to, PATH_BYTES, "%s/%s%s%s", schema->keyspace, folder, *name ? "/" : "", name);
}

static void full_path(const struct snapshot_build *build, const char *inner, char to[PATH_BYTES])
{
    snprintf(to, PATH_BYTES, "%s%s%s", build->folder, *inner ? "/" : "", inner);
}

/* ---- folders ---- */

static int make_folder(struct snapshot_build *build, const char *inner)
{
    char path[PATH_BYTES];

    full_path(build, inner, path);
    return io_ensure_directory(build->engine->env, path);
}

static int make_folders(struct snapshot_build *build)
{
    struct engine *engine = build->engine;
    int r = make_folder(build, "");

    for (unsigned i = 0; r == 0 && i < engine->table_count; i++) {
        char inner[PATH_BYTES];

        r = make_folder(build, engine->tables[i].keyspace);
        inner_path(&engine->tables[i], "", inner);
        if (r == 0)
            r = make_folder(build, inner);
    }
    return r;
}

/* ---- links ---- */

static bool has_component(const struct sstable_handle *handle, unsigned component)
{
    return sstable_components(handle->schema) >> component & 1;
}

/* The next component of the next SSTable; false: there is none. */
static bool advance(struct snapshot_build *build)
{
    for (; build->at < build->count; build->at++, build->component = 0)
        for (; build->component < COMPONENT_COUNT; build->component++)
            if (has_component(build->handles[build->at], build->component))
                return true;
    return false;
}

static void component_paths(
    const struct snapshot_build *build, char inner[PATH_BYTES], char path[PATH_BYTES])
{
    const struct sstable_handle *handle = build->handles[build->at];
    char name[SSTABLE_FILE_NAME_MAX + 1];

    sstable_file_name(&handle->entry.facts.id, (enum sstable_component)build->component, name);
    inner_path(handle->schema, name, inner);
    full_path(build, inner, path);
}

static int link_component(struct snapshot_build *build)
{
    const struct sstable_handle *handle = build->handles[build->at];
    char inner[PATH_BYTES], to[PATH_BYTES], from[DATA_FOLDER_MAX + SSTABLE_FILE_NAME_MAX + 2];
    char name[SSTABLE_FILE_NAME_MAX + 1];
    struct io_stat stat;
    int r;

    sstable_file_name(&handle->entry.facts.id, (enum sstable_component)build->component, name);
    snprintf(from, sizeof(from), "%s/%s", handle->folder, name);
    component_paths(build, inner, to);
    r = io_link(build->engine->env, from, to);
    if (r == -EEXIST) /* of a try before */
        r = 0;
    if (r == 0)
        r = io_stat(build->engine->env, to, &stat);
    if (r == 0)
        build->file_bytes[build->at][build->component] = stat.size;
    return r;
}

static int link_some(struct snapshot_build *build)
{
    for (unsigned n = 0; n < STEP_LINKS; n++, build->component++) {
        int r;

        if (!advance(build))
            return 0;
        r = link_component(build);
        if (r < 0)
            return r;
    }
    return 1;
}

/* ---- sums ---- */

static bool known_sum(struct snapshot_build *build, uint8_t to[SHA256_BYTES])
{
    struct sstable_handle *handle = build->handles[build->at];
    bool known;

    mutex_lock(&handle->mutex);
    known = handle->summed[build->component];
    memcpy(to, handle->sha256[build->component], SHA256_BYTES);
    mutex_unlock(&handle->mutex);
    return known;
}

static void keep_sum(struct snapshot_build *build, const uint8_t sum[SHA256_BYTES])
{
    struct sstable_handle *handle = build->handles[build->at];

    mutex_lock(&handle->mutex);
    memcpy(handle->sha256[build->component], sum, SHA256_BYTES);
    handle->summed[build->component] = true;
    mutex_unlock(&handle->mutex);
}

/* What an earlier life of the store has kept, as if it had been summed now. */
static bool kept_sum(struct snapshot_build *build, const char *inner, uint8_t to[SHA256_BYTES])
{
    if (!build->kept_is_read) {
        int r = sums_read(build->engine->env, &build->kept);

        if (r < 0 && r != -ENOENT)
            log_warning("op=snapshot: sums are computed again: %s", err_text(r));
        build->kept_is_read = true;
    }
    if (!sums_find(&build->kept, inner, to))
        return false;
    keep_sum(build, to);
    return true;
}

static int open_to_sum(struct snapshot_build *build, const char *path)
{
    int r = io_open(build->engine->env, path, O_RDONLY, &build->fd);

    build->offset = 0;
    if (r == 0 && EVP_DigestInit_ex(build->digest, EVP_sha256(), NULL) != 1)
        r = -ENOMEM;
    return r;
}

/* Up to STEP_BYTES of the open file. 1: more of it; 0: the sum is there. */
static int sum_some(struct snapshot_build *build, uint8_t to[SHA256_BYTES])
{
    struct env *env = build->engine->env;

    for (uint64_t end = build->offset + STEP_BYTES; build->offset < end;) {
        int64_t n = io_read(env, build->fd, build->read_buffer, READ_BYTES, build->offset);

        if (n < 0)
            return (int)n;
        if (n == 0) {
            io_forget(env, build->fd, 0, build->offset);
            io_close(env, build->fd);
            build->fd = -1;
            return EVP_DigestFinal_ex(build->digest, to, NULL) == 1 ? 0 : -ENOMEM;
        }
        if (EVP_DigestUpdate(build->digest, build->read_buffer, (size_t)n) != 1)
            return -ENOMEM;
        build->offset += (uint64_t)n;
    }
    return 1;
}

/* One file, or a part of it. SSTables never change: what was summed for one tag serves all. */
static int sum_next(struct snapshot_build *build)
{
    char inner[PATH_BYTES], path[PATH_BYTES];
    uint8_t sum[SHA256_BYTES];
    int r = 0;

    if (!advance(build))
        return 0;
    component_paths(build, inner, path);
    /* A file that is open is one that nobody knew the sum of when it was begun. */
    if (build->fd >= 0 || (!known_sum(build, sum) && !kept_sum(build, inner, sum))) {
        if (build->fd < 0)
            r = open_to_sum(build, path);
        if (r == 0)
            r = sum_some(build, sum);
        if (r != 0)
            return r;
        keep_sum(build, sum);
        build->has_summed = true;
    }
    sums_add(&build->sums, sum, inner);
    build->component++;
    return 1;
}

/* The snapshot does not need it: without, the next life of the store reads the SSTables again. */
static void keep_sums(struct snapshot_build *build)
{
    int r = sums_write(build->engine->env, buf_bytes(&build->sums));

    if (r < 0)
        log_warning("op=snapshot: %s", err_text(r));
}

/* ---- the small files ---- */

static int write_file(struct snapshot_build *build, const char *inner, struct bytes content)
{
    uint8_t sum[SHA256_BYTES];
    char path[PATH_BYTES];

    if (EVP_Digest(content.data, content.size, sum, NULL, EVP_sha256(), NULL) != 1)
        return -ENOMEM;
    sums_add(&build->sums, sum, inner);
    full_path(build, inner, path);
    return io_write_file(build->engine->env, path, content, true);
}

/* As nodetool writes it: tests/interop/golden/snapshot-layout.md. */
static void put_manifest_json(struct snapshot_build *build, unsigned table, struct buf *to)
{
    time_t seconds = (time_t)(build->created_us / 1000000);
    char line[256], name[SSTABLE_FILE_NAME_MAX + 1], date[32];
    const char *separator = " ";
    struct tm tm;

    buf_append(to, "{\n  \"files\" : [", 15);
    for (size_t i = 0; i < build->count; i++) {
        if (build->handles[i]->entry.table != table)
            continue;
        sstable_file_name(&build->handles[i]->entry.facts.id, COMPONENT_DATA, name);
        snprintf(line, sizeof(line), "%s\"%s\"", separator, name);
        buf_append(to, line, strlen(line));
        separator = ", ";
    }
    gmtime_r(&seconds, &tm);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(line, sizeof(line),
        " ],\n  \"created_at\" : \"%s.%03uZ\",\n  \"expires_at\" : null,\n"
        "  \"ephemeral\" : false\n}\n",
        date, (unsigned)(build->created_us / 1000 % 1000));
    buf_append(to, line, strlen(line));
}

static int write_table_files(struct snapshot_build *build, unsigned table)
{
    AUTO(buf_release) struct buf manifest = BUF_INIT;
    AUTO(buf_release) struct buf cql = BUF_INIT;
    const struct table_schema *schema = &build->engine->tables[table];
    char inner[PATH_BYTES], path[PATH_BYTES];
    int r;

    put_manifest_json(build, table, &manifest);
    table_schema_cql(schema, &cql);
    if (buf_error(&manifest) < 0 || buf_error(&cql) < 0)
        return -ENOMEM;
    inner_path(schema, "manifest.json", inner);
    r = write_file(build, inner, buf_bytes(&manifest));
    if (r == 0) {
        inner_path(schema, "schema.cql", inner);
        r = write_file(build, inner, buf_bytes(&cql));
    }
    if (r < 0)
        return r;
    inner_path(schema, "", inner);
    full_path(build, inner, path);
    r = io_sync_directory(build->engine->env, path);
    if (r == 0) {
        full_path(build, schema->keyspace, path);
        r = io_sync_directory(build->engine->env, path);
    }
    return r;
}

static int write_snapshot_json(struct snapshot_build *build)
{
    AUTO(snapshot_facts_release)
    struct snapshot_facts facts = {
        .store = build->engine->identity,
        .log_position = build->position,
        .point_us = build->point_us,
        .created_us = build->created_us,
    };
    AUTO(buf_release) struct buf content = BUF_INIT;
    int r;

    facts.sstables = calloc(build->count + 1, sizeof(*facts.sstables));
    if (!facts.sstables)
        return -ENOMEM;
    for (; facts.count < build->count; facts.count++)
        facts.sstables[facts.count] = build->handles[facts.count]->entry;
    r = snapshot_json_encode(build->engine->tables, build->engine->table_count, &facts,
        (const uint64_t(*)[COMPONENT_COUNT])build->file_bytes, &content);
    return r < 0 ? r : write_file(build, "snapshot.json", buf_bytes(&content));
}

static int write_files(struct snapshot_build *build)
{
    struct env *env = build->engine->env;
    char path[PATH_BYTES];
    int r = buf_error(&build->sums);

    if (r == 0 && build->has_summed)
        keep_sums(build);
    for (unsigned i = 0; r == 0 && i < build->engine->table_count; i++)
        r = write_table_files(build, i);
    if (r == 0)
        r = write_snapshot_json(build);
    if (r == 0)
        r = buf_error(&build->sums);
    full_path(build, "SHA256SUMS", path);
    if (r == 0)
        r = io_write_file(env, path, buf_bytes(&build->sums), true);
    return r < 0 ? r : io_sync_directory(env, build->folder);
}

/* ---- */

int snapshot_build_step(struct snapshot_build *build)
{
    int r = 0;

    switch (build->phase) {
    case PHASE_FOLDERS:
        r = make_folders(build);
        break;
    case PHASE_LINKS:
        r = link_some(build);
        break;
    case PHASE_SUMS:
        r = sum_next(build);
        break;
    case PHASE_FILES:
        r = write_files(build);
        break;
    case PHASE_DONE:
        return 0;
    }
    if (r < 0)
        return err_with(r, "snapshot folder '%s'", build->folder);
    if (r == 0) {
        build->phase++;
        build->at = 0;
        build->component = 0;
    }
    return build->phase != PHASE_DONE;
}
