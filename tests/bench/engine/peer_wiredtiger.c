/*
 * WiredTiger, as a B-tree, which is what it is best at. Its log is written to the kernel with each
 * put (transaction_sync with method none). Dirty and clean pages share one cache, so it is given
 * both shares. Snappy: Debian's has no LZ4.
 */
#include "bench.h"

#include <stdio.h>
#include <wiredtiger.h>

#include "engine/coding.h"

#define TABLE "table:rows"

struct session {
    WT_SESSION *session;
    WT_CURSOR *cursor;
};

static void check(int r, const char *what)
{
    if (r != 0)
        die("wiredtiger: %s: %s", what, wiredtiger_strerror(r));
}

static void *open_store(const char *folder, const struct settings *settings)
{
    bool values = settings->content == CONTENT_VALUES;
    WT_CONNECTION *connection;
    WT_SESSION *session;
    char config[512];

    snprintf(config, sizeof(config),
        "create,cache_size=%luM,log=(enabled,file_max=128M),"
        "transaction_sync=(enabled=true,method=none),checkpoint=(log_size=512M),"
        "eviction=(threads_min=1,threads_max=2),"
        "eviction_dirty_target=60,eviction_dirty_trigger=80,extensions=[libwiredtiger_snappy.so]",
        (settings_write_buffer_bytes(settings) + settings_cache_bytes(settings)) >> 20);
    check(wiredtiger_open(folder, NULL, config, &connection), "open");
    check(connection->open_session(connection, NULL, NULL, &session), "open a session");
    snprintf(config, sizeof(config), "key_format=u,value_format=u,%s",
        values ? "leaf_page_max=512K,leaf_value_max=256K,memory_page_max=10M"
               : "leaf_page_max=16K,block_compressor=snappy");
    check(session->create(session, TABLE, config), "create the table");
    check(session->close(session, NULL), "close a session");
    return connection;
}

static void close_store(void *store)
{
    WT_CONNECTION *connection = store;

    check(connection->close(connection, NULL), "close");
}

static void *open_session(void *store)
{
    WT_CONNECTION *connection = store;
    struct session *session = calloc(1, sizeof(*session));

    if (!session)
        die("no memory");
    check(connection->open_session(connection, NULL, NULL, &session->session), "open a session");
    check(session->session->open_cursor(session->session, TABLE, NULL, NULL, &session->cursor),
        "open a cursor");
    return session;
}

static void close_session(void *of)
{
    struct session *session = of;

    check(session->session->close(session->session, NULL), "close a session");
    free(session);
}

static void set_key(
    WT_CURSOR *cursor, uint8_t encoded[BENCH_KEY_BYTES], const struct bench_key *key)
{
    WT_ITEM item = {.data = encoded, .size = BENCH_KEY_BYTES};

    store_be64(encoded, key->partition);
    store_be64(encoded + 8, key->row);
    cursor->set_key(cursor, &item);
}

static void put(void *of, const struct bench_key *key, struct bytes value)
{
    struct session *session = of;
    WT_ITEM item = {.data = value.data, .size = value.size};
    uint8_t encoded[BENCH_KEY_BYTES];

    set_key(session->cursor, encoded, key);
    session->cursor->set_value(session->cursor, &item);
    check(session->cursor->insert(session->cursor), "insert");
}

static size_t get(void *of, const struct bench_key *key, uint64_t *ret_stamp)
{
    struct session *session = of;
    uint8_t encoded[BENCH_KEY_BYTES];
    WT_ITEM value;
    int r;

    set_key(session->cursor, encoded, key);
    r = session->cursor->search(session->cursor);
    if (r == WT_NOTFOUND)
        return 0;
    check(r, "search");
    check(session->cursor->get_value(session->cursor, &value), "value");
    memcpy(ret_stamp, value.data, sizeof(*ret_stamp));
    check(session->cursor->reset(session->cursor), "reset");
    return value.size;
}

static unsigned scan(void *of, uint64_t partition, uint64_t *ret_bytes)
{
    struct session *session = of;
    struct bench_key first = {partition, 0};
    uint8_t encoded[BENCH_KEY_BYTES];
    unsigned rows = 0;
    int exact, r;

    set_key(session->cursor, encoded, &first);
    *ret_bytes = 0;
    r = session->cursor->search_near(session->cursor, &exact);
    if (r == 0 && exact < 0)
        r = session->cursor->next(session->cursor);
    for (; r == 0; r = session->cursor->next(session->cursor)) {
        WT_ITEM key, value;

        check(session->cursor->get_key(session->cursor, &key), "key");
        if (memcmp(key.data, encoded, 8) != 0)
            break;
        check(session->cursor->get_value(session->cursor, &value), "value");
        *ret_bytes += key.size + value.size;
        rows++;
    }
    if (r != WT_NOTFOUND)
        check(r, "scan");
    check(session->cursor->reset(session->cursor), "reset");
    return rows;
}

static void flush(void *store)
{
    WT_CONNECTION *connection = store;
    WT_SESSION *session;

    check(connection->open_session(connection, NULL, NULL, &session), "open a session");
    check(session->checkpoint(session, NULL), "checkpoint");
    check(session->close(session, NULL), "close a session");
}

const struct bench_engine engine_wiredtiger = {
    "wiredtiger",
    open_store,
    close_store,
    open_session,
    close_session,
    put,
    get,
    scan,
    flush,
};
