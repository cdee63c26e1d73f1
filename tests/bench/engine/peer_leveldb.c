/*
 * LevelDB. Its log is written to the kernel with each put. It has one memtable and one that is
 * being flushed: each is half of the memory that ours has. Snappy is the only codec it knows.
 */
#include "bench.h"

#include <leveldb/c.h>

#include "engine/coding.h"

struct store {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    leveldb_readoptions_t *read;
    leveldb_writeoptions_t *write;
};

static void check(char *error, const char *what)
{
    if (error)
        die("leveldb: %s: %s", what, error);
}

static void *open_store(const char *folder, const struct settings *settings)
{
    struct store *store = calloc(1, sizeof(*store));
    bool values = settings->content == CONTENT_VALUES;
    char *error = NULL;

    if (!store)
        die("no memory");
    store->cache = leveldb_cache_create_lru(settings_cache_bytes(settings));
    store->filter = leveldb_filterpolicy_create_bloom(10);
    store->options = leveldb_options_create();
    leveldb_options_set_create_if_missing(store->options, 1);
    leveldb_options_set_cache(store->options, store->cache);
    leveldb_options_set_filter_policy(store->options, store->filter);
    leveldb_options_set_write_buffer_size(
        store->options, settings_write_buffer_bytes(settings) / 2);
    leveldb_options_set_compression(
        store->options, values ? leveldb_no_compression : leveldb_snappy_compression);
    leveldb_options_set_max_file_size(store->options, (values ? 64 : 8) << 20);
    store->db = leveldb_open(store->options, folder, &error);
    check(error, "open");
    store->read = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(store->read, 1); /* as ours does, always */
    store->write = leveldb_writeoptions_create();
    return store;
}

static void close_store(void *of)
{
    struct store *store = of;

    leveldb_close(store->db);
    leveldb_options_destroy(store->options);
    leveldb_readoptions_destroy(store->read);
    leveldb_writeoptions_destroy(store->write);
    leveldb_cache_destroy(store->cache);
    leveldb_filterpolicy_destroy(store->filter);
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
    leveldb_put(store->db, store->write, encoded, sizeof(encoded), (const char *)value.data,
        value.size, &error);
    check(error, "put");
}

static size_t get(void *session, const struct bench_key *key, uint64_t *ret_stamp)
{
    struct store *store = session;
    char encoded[BENCH_KEY_BYTES];
    char *error = NULL, *value;
    size_t size;

    encode(encoded, key);
    value = leveldb_get(store->db, store->read, encoded, sizeof(encoded), &size, &error);
    check(error, "get");
    if (!value)
        return 0;
    memcpy(ret_stamp, value, sizeof(*ret_stamp));
    leveldb_free(value);
    return size;
}

static unsigned scan(void *session, uint64_t partition, uint64_t *ret_bytes)
{
    struct store *store = session;
    leveldb_iterator_t *iterator = leveldb_create_iterator(store->db, store->read);
    struct bench_key first = {partition, 0};
    char encoded[BENCH_KEY_BYTES];
    unsigned rows = 0;
    char *error = NULL;

    encode(encoded, &first);
    *ret_bytes = 0;
    for (leveldb_iter_seek(iterator, encoded, sizeof(encoded)); leveldb_iter_valid(iterator);
         leveldb_iter_next(iterator)) {
        size_t key_size, value_size;

        if (memcmp(leveldb_iter_key(iterator, &key_size), encoded, 8) != 0)
            break;
        leveldb_iter_value(iterator, &value_size);
        *ret_bytes += key_size + value_size;
        rows++;
    }
    leveldb_iter_get_error(iterator, &error);
    check(error, "scan");
    leveldb_iter_destroy(iterator);
    return rows;
}

/* Compacting a range begins with the memtable; in this one there is nothing else. */
static void flush(void *of)
{
    struct store *store = of;
    static const char last[BENCH_KEY_BYTES + 1] = {'\xff', '\xff', '\xff', '\xff'};

    leveldb_compact_range(store->db, last, sizeof(last), last, sizeof(last));
}

const struct bench_engine engine_leveldb = {
    "leveldb",
    open_store,
    close_store,
    open_session,
    close_session,
    put,
    get,
    scan,
    flush,
};
