/*
 * RocksDB. Its log is written to the kernel with each put. Values of 128 KiB go to blob files,
 * which is what it has for them: they are not rewritten by compactions.
 */
#include "bench.h"

#include <rocksdb/c.h>

#include "engine/coding.h"

#define WRITE_BUFFERS 4
#define BLOCK_BYTES (16u << 10)
#define BLOB_BYTES_MIN (32u << 10)

struct store {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *table;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
};

static void check(char *error, const char *what)
{
    if (error)
        die("rocksdb: %s: %s", what, error);
}

static void set_options(struct store *store, const struct settings *settings)
{
    bool values = settings->content == CONTENT_VALUES;

    store->cache = rocksdb_cache_create_lru(settings_cache_bytes(settings));
    store->table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(store->table, store->cache);
    rocksdb_block_based_options_set_block_size(store->table, BLOCK_BYTES);
    rocksdb_block_based_options_set_filter_policy(
        store->table, rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_block_based_options_set_format_version(store->table, 5);

    store->options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(store->options, 1);
    rocksdb_options_set_block_based_table_factory(store->options, store->table);
    rocksdb_options_set_write_buffer_size(
        store->options, settings_write_buffer_bytes(settings) / WRITE_BUFFERS);
    rocksdb_options_set_max_write_buffer_number(store->options, WRITE_BUFFERS);
    rocksdb_options_set_max_background_jobs(store->options, 2);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(store->options, 1);
    rocksdb_options_set_compression(
        store->options, values ? rocksdb_no_compression : rocksdb_lz4_compression);
    if (values) {
        rocksdb_options_set_enable_blob_files(store->options, 1);
        rocksdb_options_set_min_blob_size(store->options, BLOB_BYTES_MIN);
    }
}

static void *open_store(const char *folder, const struct settings *settings)
{
    struct store *store = calloc(1, sizeof(*store));
    char *error = NULL;

    if (!store)
        die("no memory");
    set_options(store, settings);
    store->db = rocksdb_open(store->options, folder, &error);
    check(error, "open");
    store->read = rocksdb_readoptions_create(); /* verifies checksums */
    store->write = rocksdb_writeoptions_create();
    return store;
}

static void close_store(void *of)
{
    struct store *store = of;

    rocksdb_close(store->db);
    rocksdb_options_destroy(store->options);
    rocksdb_block_based_options_destroy(store->table);
    rocksdb_cache_destroy(store->cache);
    rocksdb_readoptions_destroy(store->read);
    rocksdb_writeoptions_destroy(store->write);
    free(store);
}

static void *open_session(void *store)
{
    return store;
}

static void close_session(void *session)
{
    (void)session;
}

static void encode(char to[BENCH_KEY_BYTES], const struct bench_key *key)
{
    store_be64((uint8_t *)to, key->partition);
    store_be64((uint8_t *)to + 8, key->row);
}

static void put(void *session, const struct bench_key *key, struct bytes value)
{
    struct store *store = session;
    char encoded[BENCH_KEY_BYTES];
    char *error = NULL;

    encode(encoded, key);
    rocksdb_put(store->db, store->write, encoded, sizeof(encoded), (const char *)value.data,
        value.size, &error);
    check(error, "put");
}

static size_t get(void *session, const struct bench_key *key, uint64_t *ret_stamp)
{
    struct store *store = session;
    rocksdb_pinnableslice_t *slice;
    char encoded[BENCH_KEY_BYTES];
    char *error = NULL;
    const char *value;
    size_t size = 0;

    encode(encoded, key);
    slice = rocksdb_get_pinned(store->db, store->read, encoded, sizeof(encoded), &error);
    check(error, "get");
    if (!slice)
        return 0;
    value = rocksdb_pinnableslice_value(slice, &size);
    memcpy(ret_stamp, value, sizeof(*ret_stamp));
    rocksdb_pinnableslice_destroy(slice);
    return size;
}

static unsigned scan(void *session, uint64_t partition, uint64_t *ret_bytes)
{
    struct store *store = session;
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(store->db, store->read);
    struct bench_key first = {partition, 0};
    char encoded[BENCH_KEY_BYTES];
    unsigned rows = 0;
    char *error = NULL;

    encode(encoded, &first);
    *ret_bytes = 0;
    for (rocksdb_iter_seek(iterator, encoded, sizeof(encoded)); rocksdb_iter_valid(iterator);
         rocksdb_iter_next(iterator)) {
        size_t key_size, value_size;

        if (memcmp(rocksdb_iter_key(iterator, &key_size), encoded, 8) != 0)
            break;
        rocksdb_iter_value(iterator, &value_size);
        *ret_bytes += key_size + value_size;
        rows++;
    }
    rocksdb_iter_get_error(iterator, &error);
    check(error, "scan");
    rocksdb_iter_destroy(iterator);
    return rows;
}

static void flush(void *of)
{
    struct store *store = of;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();
    char *error = NULL;

    rocksdb_flushoptions_set_wait(options, 1);
    rocksdb_flush(store->db, options, &error);
    check(error, "flush");
    rocksdb_flushoptions_destroy(options);
}

const struct bench_engine engine_rocksdb = {
    "rocksdb",
    open_store,
    close_store,
    open_session,
    close_session,
    put,
    get,
    scan,
    flush,
};
