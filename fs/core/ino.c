/*
 * Inode numbers: the store's node number over a counter that never goes back. Runs of it are
 * leased by a row of `meta`, written before the first number of the run is used; the log keeps
 * order, so no crash can know a number and not its lease. What is left of a run is skipped.
 */
#include <errno.h>
#include <inttypes.h>

#include "core/core.h"
#include "engine/coding.h"

#define LEASE_RUN 4096u

static void lease_key(struct fs *fs, uint8_t bytes[4], struct row_key *key)
{
    store_be32(bytes, fs->node);
    row_key_meta(key, META_LEASE, bytes_of(bytes, 4));
}

static int lease_read(struct fs *fs, uint64_t *ret_next)
{
    AUTO(rowref_release) struct rowref ref = ROWREF_INIT;
    struct bytes value;
    struct row_key key;
    uint8_t bytes[4];
    int r;

    lease_key(fs, bytes, &key);
    r = engine_get(fs->live, TABLE_META, key.key, &key.clustering, COLUMNS_ALL, &ref);
    if (r < 0)
        return err_with(r, "lease of inode numbers");
    if (r == 0) {
        *ret_next = 1; /* of this node number, there is none yet */
        return 0;
    }
    value = row_blob(&ref.row, META_VALUE);
    if (value.size != 8 || load_be64(value.data) > INO_COUNTER_MASK)
        return err_new(-EUCLEAN, "lease of inode numbers is damaged");
    *ret_next = load_be64(value.data);
    return 0;
}

/* lease_mutex held. Takes the batch over. */
static int lease_renew(struct fs *fs, struct batch *batch)
{
    uint8_t bytes[4], value[8];
    struct row_key key;
    uint64_t position;
    uint64_t next = 0;
    int r;

    /* Read again for each run: that costs a lookup in 4096 creates, and no state is kept. */
    r = lease_read(fs, &next);
    if (r == 0 && next + LEASE_RUN > INO_COUNTER_MASK)
        r = err_new(-ENOSPC, "inode numbers are used up");
    if (r < 0) {
        engine_discard_batch(fs->engine, batch);
        return r;
    }
    lease_key(fs, bytes, &key);
    store_be64(value, next + LEASE_RUN);
    batch_row(batch, TABLE_META, key.key, &key.clustering, true);
    batch_cell(batch, META_VALUE, bytes_of(value, 8));
    r = engine_apply(fs->engine, batch, &position);
    if (r < 0)
        return err_with(r, "lease of inode numbers");
    fs->lease_next = next;
    fs->lease_end = next + LEASE_RUN;
    return 0;
}

int ino_new(struct fs *fs, uint64_t *ret_ino)
{
    struct batch *batch = NULL;
    bool taken = false;
    int r = 0;

    while (!taken && r == 0) {
        pthread_mutex_lock(&fs->lease_mutex);
        if (fs->lease_next == fs->lease_end && batch) {
            r = lease_renew(fs, batch);
            batch = NULL;
        }
        if (fs->lease_next != fs->lease_end) {
            *ret_ino = ((uint64_t)fs->node << INO_COUNTER_BITS) | fs->lease_next++;
            taken = true;
        }
        pthread_mutex_unlock(&fs->lease_mutex);
        /* Once in 4096 creates, each of which was admitted itself just now, so that this one
         * hardly ever waits; and if it does, then not under the mutex. */
        node_assert_none_locked();
        if (!taken && r == 0)
            r = engine_admit(fs->engine, TABLE_META, 256, ADMIT_RECLAIM, NULL, NULL, &batch);
    }
    /* Another thread renewed it first. */
    if (batch)
        engine_discard_batch(fs->engine, batch);
    return r < 0 ? err_with(r, "a new inode number") : 0;
}
