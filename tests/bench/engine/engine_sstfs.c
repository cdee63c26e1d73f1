/*
 * Ours, with the tables of the file system as they are. A row of 200 bytes is a name of 8 bytes in
 * a directory, with one blob (where a symlink's target is); a value of 128 KiB is a block of a
 * file.
 */
#include "engine_sstfs.h"

#include <stdio.h>

#include "engine/coding.h"
#include "engine/error.h"

#define NAME_BYTES_MAX 24

int sstfs_check(int r, const char *what)
{
    if (r < 0)
        die("sstfs: %s: %s", what, err_text(r));
    return r;
}

/* ---- stores ---- */

struct bench_store *sstfs_open_on(struct env *env, uint64_t memory_bytes)
{
    struct engine_options options = {
        .tables = fs_tables,
        .table_count = FS_TABLE_COUNT,
        .memory_bytes = memory_bytes,
        .sync_mode = SYNC_PERIODIC,
        .sync_period_us = 5000000,
    };
    struct bench_store *store = calloc(1, sizeof(*store));
    struct io_stat stat;

    if (!store)
        die("no memory");
    store->env = env;
    if (io_stat(env, "store.json", &stat) < 0)
        sstfs_check(engine_create(env, fs_tables, FS_TABLE_COUNT), "create");
    sstfs_check(engine_open(env, &options, &store->engine), "open");
    return store;
}

struct bench_store *sstfs_open(const char *folder, uint64_t memory_bytes)
{
    struct env *env;

    sstfs_check(env_posix_new(folder, &env), "folder");
    return sstfs_open_on(env, memory_bytes);
}

void sstfs_close(struct bench_store *store)
{
    sstfs_check(engine_close(store->engine, CLOSE_FLUSH), "close");
    env_free(store->env);
    free(store);
}

/* ---- batches ---- */

struct batch *sstfs_admit(struct bench_store *store, unsigned table, uint64_t bytes)
{
    struct batch *batch = NULL;

    sstfs_check(engine_admit(store->engine, table, bytes, ADMIT_GROW, NULL, NULL, &batch), "admit");
    return batch;
}

void sstfs_apply(struct bench_store *store, struct batch *batch)
{
    uint64_t position;

    sstfs_check(engine_apply(store->engine, batch, &position), "apply");
    sstfs_check(engine_await(store->engine, position, false, NULL, NULL), "await");
}

void sstfs_put_block(struct bench_store *store, uint64_t ino, uint32_t block, struct bytes value)
{
    struct batch *batch = sstfs_admit(store, TABLE_BLOCKS, value.size + REQUEST_BYTES);
    struct row_key key;

    batch_expect(batch, value.size + REQUEST_BYTES);
    row_key_block(&key, ino, block);
    batch_row(batch, TABLE_BLOCKS, key.key, &key.clustering, false);
    for (unsigned page = 0; page < BLOCK_PAGES; page++)
        batch_cell(batch, page, bytes_of(value.data + page * PAGE_BYTES, PAGE_BYTES));
    sstfs_apply(store, batch);
}

/* ---- names ---- */

/* Names that differ at their end, as those of a directory do. */
static struct bytes name_of(char to[NAME_BYTES_MAX], uint64_t number)
{
    int size = snprintf(to, NAME_BYTES_MAX, "file-%010lu.txt", number);

    return bytes_of(to, (size_t)size);
}

void sstfs_put_name(struct bench_store *store, uint64_t dir, uint64_t number)
{
    struct batch *batch = sstfs_admit(store, TABLE_DIRENTS, REQUEST_BYTES);
    int64_t time_ns = INT64_C(1700000000000000000) + (int64_t)number;
    char name[NAME_BYTES_MAX];
    struct row_key key;

    row_key_dirent(&key, dir, name_of(name, number));
    batch_row(batch, TABLE_DIRENTS, key.key, &key.clustering, true);
    batch_cell_bigint(batch, DIRENT_ATIME, time_ns);
    batch_cell_bigint(batch, DIRENT_BTIME, time_ns);
    batch_cell_bigint(batch, DIRENT_CTIME, time_ns);
    batch_cell_int(batch, DIRENT_GID, 1000);
    batch_cell_bigint(batch, DIRENT_INO, (int64_t)((UINT64_C(1) << INO_COUNTER_BITS) + number));
    batch_cell_int(batch, DIRENT_MODE, 0100644);
    batch_cell_bigint(batch, DIRENT_MTIME, time_ns);
    batch_cell_bigint(batch, DIRENT_SIZE, (int64_t)(number & 0xffff));
    batch_cell_int(batch, DIRENT_UID, 1000);
    sstfs_apply(store, batch);
}

void sstfs_delete_name(struct bench_store *store, uint64_t dir, uint64_t number)
{
    struct batch *batch = sstfs_admit(store, TABLE_DIRENTS, REQUEST_BYTES);
    char name[NAME_BYTES_MAX];
    struct row_key key;

    row_key_dirent(&key, dir, name_of(name, number));
    batch_delete_row(batch, TABLE_DIRENTS, key.key, &key.clustering);
    sstfs_apply(store, batch);
}

bool sstfs_has_name(struct bench_store *store, uint64_t dir, uint64_t number)
{
    struct rowref row = ROWREF_INIT;
    char name[NAME_BYTES_MAX];
    struct row_key key;
    int r;

    row_key_dirent(&key, dir, name_of(name, number));
    r = sstfs_check(engine_get(engine_live(store->engine), TABLE_DIRENTS, key.key, &key.clustering,
                        COLUMNS_ALL, &row),
        "get");
    rowref_release(&row);
    return r > 0;
}

uint64_t sstfs_list(struct bench_store *store, uint64_t dir)
{
    struct cursor *cursor;
    const struct row *row;
    struct row_key key;
    uint64_t rows = 0;

    row_key_directory(&key, dir);
    sstfs_check(engine_scan(engine_live(store->engine), TABLE_DIRENTS, key.key, &SLICE_ALL,
                    COLUMNS_ALL, &cursor),
        "scan");
    while (sstfs_check(cursor_next(cursor, &row), "next row") > 0)
        rows++;
    cursor_close(cursor);
    return rows;
}

/* ---- what all engines are asked ---- */

struct session {
    struct bench_store *store;
    enum content content;
};

/* The store that the loads of all engines open, and what it holds. */
static void *open_store(const char *folder, const struct settings *settings)
{
    struct session *session = calloc(1, sizeof(*session));

    if (!session)
        die("no memory");
    session->store = sstfs_open(folder, settings->memory_bytes);
    session->content = settings->content;
    return session;
}

static void close_store(void *of)
{
    struct session *session = of;

    sstfs_close(session->store);
    free(session);
}

static void *open_session(void *store)
{
    return store;
}

static void close_session(void *session)
{
    (void)session;
}

static void row_key(struct row_key *to, uint8_t name[8], const struct bench_key *key)
{
    store_be64(name, key->row);
    row_key_dirent(to, key->partition, bytes_of(name, 8));
}

static void put(void *of, const struct bench_key *key, struct bytes value)
{
    struct session *session = of;
    struct batch *batch;
    struct row_key row;
    uint8_t name[8];

    if (session->content == CONTENT_VALUES) {
        uint64_t block = key->partition * PARTITION_ROWS + key->row;
        sstfs_put_block(session->store, block >> 16, (uint32_t)(block & 0xffff), value);
        return;
    }
    batch = sstfs_admit(session->store, TABLE_DIRENTS, REQUEST_BYTES);
    row_key(&row, name, key);
    batch_row(batch, TABLE_DIRENTS, row.key, &row.clustering, true);
    batch_cell(batch, DIRENT_TARGET, value);
    sstfs_apply(session->store, batch);
}

static size_t get(void *of, const struct bench_key *key, uint64_t *ret_stamp)
{
    struct session *session = of;
    struct rowref ref = ROWREF_INIT;
    const struct cell *cell;
    struct row_key row;
    uint8_t name[8];
    size_t size = 0;

    row_key(&row, name, key);
    if (sstfs_check(engine_get(engine_live(session->store->engine), TABLE_DIRENTS, row.key,
                        &row.clustering, COLUMNS_ALL, &ref),
            "get") == 0)
        return 0;
    cell = row_cell(&ref.row, DIRENT_TARGET);
    if (cell) {
        size = cell->value.size;
        memcpy(ret_stamp, cell->value.data, sizeof(*ret_stamp));
    }
    rowref_release(&ref);
    return size;
}

static unsigned scan(void *of, uint64_t partition, uint64_t *ret_bytes)
{
    struct session *session = of;
    struct cursor *cursor;
    const struct row *row;
    struct row_key key;
    unsigned rows = 0;

    row_key_directory(&key, partition);
    *ret_bytes = 0;
    sstfs_check(engine_scan(engine_live(session->store->engine), TABLE_DIRENTS, key.key, &SLICE_ALL,
                    COLUMNS_ALL, &cursor),
        "scan");
    while (sstfs_check(cursor_next(cursor, &row), "next row") > 0) {
        *ret_bytes += BENCH_KEY_BYTES + row_cell(row, DIRENT_TARGET)->value.size;
        rows++;
    }
    cursor_close(cursor);
    return rows;
}

static void flush(void *of)
{
    struct session *session = of;

    sstfs_check(engine_flush(session->store->engine, TABLES_ALL), "flush");
}

const struct bench_engine engine_sstfs = {
    "sstfs",
    open_store,
    close_store,
    open_session,
    close_session,
    put,
    get,
    scan,
    flush,
};
