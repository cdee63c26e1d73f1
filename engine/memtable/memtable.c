#include "memtable/memtable.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/mutex.h"
#include "memtable/clustering_copy.h"
#include "memtable/iterator.h"
#include "memtable/partitions.h"
#include "rows/compare.h"
#include "rows/reconcile.h"

#define SHARD_COUNT (1u << SHARD_BITS)

/* Ranks (engine/README.md, "Locks"). */
#define SHARD_LOCK_RANK 40
#define RECORDS_LOCK_RANK 41

/* Small, as every shard holds a piece soon: 1 MiB in all. */
#define ARENA_PIECE_BYTES (16u << 10)
#define SCRATCH_PIECE_BYTES (4u << 10)
#define SLICE_PIECE_BYTES 512u

/* A record is kept for a row that makes at least this share of it. */
#define KEPT_SHARE 16u

/* What the flush wants to know of all that was written, also of what something newer hid since. */
struct extremes {
    int64_t min_timestamp_us, max_timestamp_us;
    int32_t min_local_deletion_time_s;
    int32_t min_ttl_s;
};
#define EXTREMES_NONE ((struct extremes){INT64_MAX, INT64_MIN, LOCAL_DELETION_TIME_NONE, INT32_MAX})

struct shard {
    _Alignas(64) struct mutex lock; /* for writers; readers walk `partitions` without */
    struct partitions partitions;
    struct arena arena;
    struct arena scratch;
    struct versions versions;
    uint64_t accounted_bytes; /* of arenas and records, in memtable.bytes already */
    uint64_t row_count;
    struct extremes extremes;
};

struct memtable {
    const struct table_schema *schema;
    uint64_t first_position;
    _Atomic uint32_t references;
    _Atomic uint64_t bytes;
    _Atomic uint64_t *account; /* where they are counted together with others'; NULL: nowhere */
    struct record_set records;
    struct version_readers readers;
    struct shard shards[SHARD_COUNT];
};

static unsigned shard_index(int64_t token)
{
    /* The sign turned, tokens ascend as unsigned numbers: shards are in the order of tokens. */
    return (unsigned)(((uint64_t)token ^ (1ull << 63)) >> (64 - SHARD_BITS));
}

/* ---- life ---- */

struct memtable *memtable_new(
    const struct table_schema *schema, uint64_t first_position, struct epochs *readers)
{
    struct memtable *memtable = aligned_alloc(_Alignof(struct memtable), sizeof(*memtable));

    if (!memtable)
        return NULL;
    memtable->schema = schema;
    memtable->first_position = first_position;
    atomic_init(&memtable->references, 1);
    atomic_init(&memtable->bytes, 0);
    memtable->account = NULL;
    version_readers_init(&memtable->readers, readers);
    record_set_init(&memtable->records, RECORDS_LOCK_RANK);
    for (unsigned i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &memtable->shards[i];

        *shard = (struct shard){.extremes = EXTREMES_NONE};
        mutex_init(&shard->lock, SHARD_LOCK_RANK);
        partitions_init(&shard->partitions);
        arena_init(&shard->arena, ARENA_PIECE_BYTES);
        arena_init(&shard->scratch, SCRATCH_PIECE_BYTES);
        versions_init(&shard->versions, &shard->arena, &memtable->records, &memtable->readers);
    }
    return memtable;
}

void memtable_set_account(struct memtable *memtable, _Atomic uint64_t *account)
{
    uint64_t bytes = memtable_bytes(memtable);

    if (memtable->account)
        atomic_fetch_sub(memtable->account, bytes);
    memtable->account = account;
    if (account)
        atomic_fetch_add(account, bytes);
}

struct memtable *memtable_ref(struct memtable *memtable)
{
    atomic_fetch_add_explicit(&memtable->references, 1, memory_order_relaxed);
    return memtable;
}

void memtable_unref(struct memtable *memtable)
{
    if (!memtable || atomic_fetch_sub_explicit(&memtable->references, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &memtable->shards[i];

        arena_release(&shard->arena);
        arena_release(&shard->scratch);
        mutex_release(&shard->lock);
    }
    record_set_release(&memtable->records);
    free(memtable);
}

/* ---- writing ---- */

static void note_timestamp(struct extremes *extremes, int64_t timestamp_us)
{
    if (timestamp_us < extremes->min_timestamp_us)
        extremes->min_timestamp_us = timestamp_us;
    if (timestamp_us > extremes->max_timestamp_us)
        extremes->max_timestamp_us = timestamp_us;
}

static void note_expiry(struct extremes *extremes, int32_t local_deletion_time_s, int32_t ttl_s)
{
    if (local_deletion_time_s < extremes->min_local_deletion_time_s)
        extremes->min_local_deletion_time_s = local_deletion_time_s;
    if (ttl_s != 0 && ttl_s < extremes->min_ttl_s)
        extremes->min_ttl_s = ttl_s;
}

static void note_deletion(struct extremes *extremes, struct deletion deletion)
{
    if (deletion_is_live(deletion))
        return;
    note_timestamp(extremes, deletion.marked_for_delete_at_us);
    note_expiry(extremes, deletion.local_deletion_time_s, 0);
}

static void note_row(struct extremes *extremes, const struct row *row)
{
    if (row->liveness.timestamp_us != TIMESTAMP_NONE) {
        note_timestamp(extremes, row->liveness.timestamp_us);
        if (row->liveness.ttl_s != 0)
            note_expiry(extremes, row->liveness.local_deletion_time_s, row->liveness.ttl_s);
    }
    note_deletion(extremes, row->deletion);
    for (uint32_t i = 0; i < row->complex_deletion_count; i++)
        note_deletion(extremes, row->complex_deletions[i].deletion);
    for (uint32_t i = 0; i < row->cell_count; i++) {
        const struct cell *cell = &row->cells[i];

        note_timestamp(extremes, cell->timestamp_us);
        note_expiry(extremes, cell->local_deletion_time_s, cell->ttl_s);
    }
}

/* The shard of the key, locked, and the partition. On failure nothing is locked. */
static int begin_write(struct memtable *memtable, const struct decorated_key *key,
    struct shard **ret_shard, struct partition_writer *ret_writer,
    struct memtable_partition **ret_partition)
{
    struct shard *shard = &memtable->shards[shard_index(key->token)];
    int r;

    mutex_lock(&shard->lock);
    r = partitions_get(&shard->partitions, key, &shard->arena, ret_partition);
    if (r < 0) {
        mutex_unlock(&shard->lock);
        return r;
    }
    *ret_shard = shard;
    *ret_writer = (struct partition_writer){
        memtable->schema, &shard->arena, &shard->scratch, &shard->versions};
    return 0;
}

static void count_bytes(struct memtable *memtable, uint64_t more)
{
    atomic_fetch_add_explicit(&memtable->bytes, more, memory_order_relaxed);
    if (memtable->account)
        atomic_fetch_add_explicit(memtable->account, more, memory_order_relaxed);
}

static void end_write(struct memtable *memtable, struct shard *shard)
{
    uint64_t bytes;

    arena_reset(&shard->scratch);
    versions_reclaim(&shard->versions);
    bytes = shard->arena.total_bytes + shard->scratch.total_bytes + shard->versions.record_bytes;
    if (bytes != shard->accounted_bytes) {
        /* Unsigned: what got less wraps round, and so does the sum. */
        count_bytes(memtable, bytes - shard->accounted_bytes);
        shard->accounted_bytes = bytes;
    }
    mutex_unlock(&shard->lock);
}

int memtable_delete_partition(
    struct memtable *memtable, const struct decorated_key *key, struct deletion deletion)
{
    struct memtable_partition *partition;
    struct partition_writer writer;
    uint64_t dropped = 0;
    struct shard *shard;
    int r;

    if (deletion_is_live(deletion))
        return 0;
    r = begin_write(memtable, key, &shard, &writer, &partition);
    if (r < 0)
        return r;
    r = partition_delete(partition, &writer, deletion, &dropped);
    shard->row_count -= dropped;
    if (r == 0)
        note_deletion(&shard->extremes, deletion);
    end_write(memtable, shard);
    return r;
}

int memtable_delete_range(struct memtable *memtable, const struct decorated_key *key,
    const struct slice *slice, struct deletion deletion)
{
    struct memtable_partition *partition;
    struct partition_writer writer;
    struct shard *shard;
    int r;

    if (deletion_is_live(deletion) ||
        clustering_compare(memtable->schema, &slice->start, &slice->end) >= 0)
        return 0;
    r = begin_write(memtable, key, &shard, &writer, &partition);
    if (r < 0)
        return r;
    r = partition_delete_range(partition, &writer, slice, deletion);
    if (r == 0)
        note_deletion(&shard->extremes, deletion);
    end_write(memtable, shard);
    return r;
}

/* Whether so much of the record is large values of this row that it may be kept for them: a page is
 * not to hold the megabyte that it was written with. */
static bool is_worth_keeping(const struct record_memory *memory, const struct row *row)
{
    uint64_t large_bytes = 0;

    for (uint32_t i = 0; i < row->cell_count; i++) {
        const struct cell *cell = &row->cells[i];

        large_bytes += cell->value.size > VERSION_COPIED_BYTES_MAX ? cell->value.size : 0;
        large_bytes += cell->path.size > VERSION_COPIED_BYTES_MAX ? cell->path.size : 0;
    }
    return large_bytes >= memory->bytes / KEPT_SHARE;
}

int memtable_apply_row(struct memtable *memtable, const struct decorated_key *key,
    const struct row *row, struct record_memory *memory)
{
    struct memtable_partition *partition;
    struct partition_writer writer;
    struct shard *shard;
    int r;

    if (row_is_empty(row))
        return 0;
    if (memory && !is_worth_keeping(memory, row))
        memory = NULL;
    r = begin_write(memtable, key, &shard, &writer, &partition);
    if (r < 0)
        return r;
    r = partition_apply_row(partition, &writer, row, memory);
    if (r >= 0) {
        shard->row_count += (unsigned)r;
        note_row(&shard->extremes, row);
    }
    end_write(memtable, shard);
    return r < 0 ? r : 0;
}

void memtable_expect(const struct memtable *memtable, const struct decorated_key *key)
{
    const struct shard *shard = &memtable->shards[shard_index(key->token)];

    __builtin_prefetch(shard, 1);
    partitions_expect(&shard->partitions, key);
}

/* ---- reading ---- */

static const struct memtable_partition *find_partition(
    const struct memtable *memtable, const struct decorated_key *key)
{
    const struct memtable_partition *partition =
        partitions_find(&memtable->shards[shard_index(key->token)].partitions, key);

    return partition && !partition_is_empty(partition) ? partition : NULL;
}

bool memtable_may_contain(struct memtable *memtable, const struct decorated_key *key)
{
    return find_partition(memtable, key) != NULL;
}

bool memtable_get_row(struct memtable *memtable, const struct decorated_key *key,
    const struct clustering *clustering, const struct row **ret_row, struct deletion *ret_deletion)
{
    const struct memtable_partition *partition = find_partition(memtable, key);

    if (partition)
        partition_get_row(partition, memtable->schema, clustering, ret_row, ret_deletion);
    return partition != NULL;
}

struct read_iterator {
    struct memtable_iterator iterator;
    struct memtable *memtable;
    struct arena slice_arena; /* values of the bounds */
    struct slice slice;
};

static void read_close(struct partition_iterator *base)
{
    struct read_iterator *read = CONTAINER_OF(base, struct read_iterator, iterator.base);

    memtable_iterator_release(&read->iterator);
    arena_release(&read->slice_arena);
    memtable_unref(read->memtable);
    free(read);
}

static const struct partition_iterator_ops read_ops = {memtable_iterator_next, read_close, NULL};

int memtable_read(struct memtable *memtable, const struct decorated_key *key,
    const struct slice *slice, struct partition_iterator **ret_iterator)
{
    const struct memtable_partition *partition = find_partition(memtable, key);
    struct read_iterator *read;
    int r = -ENOMEM;

    if (!partition)
        return 0;
    read = malloc(sizeof(*read));
    if (!read)
        return -ENOMEM;
    arena_init(&read->slice_arena, SLICE_PIECE_BYTES);
    if (clustering_copy(&read->slice_arena, &slice->start, &read->slice.start) &&
        clustering_copy(&read->slice_arena, &slice->end, &read->slice.end))
        r = memtable_iterator_init(&read->iterator, memtable->schema, partition, &read->slice);
    if (r < 0) {
        arena_release(&read->slice_arena);
        free(read);
        return r;
    }
    read->memtable = memtable_ref(memtable);
    read->iterator.base.ops = &read_ops;
    *ret_iterator = &read->iterator.base;
    return 1;
}

struct memtable_scanner {
    struct partition_scanner base;
    struct memtable *memtable;
    const struct memtable_partition *next; /* or NULL: of the next shard */
    unsigned shard, last_shard;
    int64_t last_token;
    struct slice all;
    bool is_open;
    struct memtable_iterator iterator;
};

static void close_current(struct memtable_scanner *scanner)
{
    if (scanner->is_open)
        memtable_iterator_release(&scanner->iterator);
    scanner->is_open = false;
}

/* The scanner closes it, as its contract says. */
static void scanned_close(struct partition_iterator *base)
{
    (void)base;
}

static const struct partition_iterator_ops scanned_ops = {
    memtable_iterator_next, scanned_close, NULL};

static const struct memtable_partition *scan_next_partition(struct memtable_scanner *scanner)
{
    for (;;) {
        const struct memtable_partition *partition;

        while (!scanner->next) {
            if (scanner->shard >= scanner->last_shard)
                return NULL;
            scanner->shard++;
            scanner->next =
                partitions_seek(&scanner->memtable->shards[scanner->shard].partitions, INT64_MIN);
        }
        partition = scanner->next;
        if (partition->key.token > scanner->last_token)
            return NULL;
        scanner->next = partitions_next(partition);
        if (!partition_is_empty(partition))
            return partition;
    }
}

static int memtable_scanner_next(
    struct partition_scanner *base, struct partition_iterator **ret_partition)
{
    struct memtable_scanner *scanner = CONTAINER_OF(base, struct memtable_scanner, base);
    const struct memtable_partition *partition;
    int r;

    close_current(scanner);
    partition = scan_next_partition(scanner);
    if (!partition)
        return 0;
    r = memtable_iterator_init(&scanner->iterator, base->schema, partition, &scanner->all);
    if (r < 0)
        return r;
    scanner->is_open = true;
    scanner->iterator.base.ops = &scanned_ops;
    *ret_partition = &scanner->iterator.base;
    return 1;
}

static void memtable_scanner_close(struct partition_scanner *base)
{
    struct memtable_scanner *scanner = CONTAINER_OF(base, struct memtable_scanner, base);

    close_current(scanner);
    version_readers_end_scan(&scanner->memtable->readers);
    memtable_unref(scanner->memtable);
    free(scanner);
}

static const struct partition_scanner_ops scanner_ops = {
    memtable_scanner_next, memtable_scanner_close};

int memtable_scan(struct memtable *memtable, int64_t first_token, int64_t last_token,
    struct partition_scanner **ret_scanner)
{
    struct memtable_scanner *scanner = calloc(1, sizeof(*scanner));

    if (!scanner)
        return -ENOMEM;
    scanner->base = (struct partition_scanner){&scanner_ops, memtable->schema};
    scanner->memtable = memtable_ref(memtable);
    version_readers_begin_scan(&memtable->readers);
    scanner->all = SLICE_ALL;
    scanner->shard = shard_index(first_token);
    scanner->last_shard = shard_index(last_token);
    scanner->last_token = last_token;
    scanner->next = partitions_seek(&memtable->shards[scanner->shard].partitions, first_token);
    *ret_scanner = &scanner->base;
    return 0;
}

/* ---- facts ---- */

void memtable_get_stats(struct memtable *memtable, struct memtable_stats *ret_stats)
{
    struct extremes all = EXTREMES_NONE;
    struct memtable_stats stats = {.first_position = memtable->first_position};

    for (unsigned i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &memtable->shards[i];
        const struct extremes *one = &shard->extremes;

        mutex_lock(&shard->lock);
        stats.partitions += shard->partitions.count;
        stats.rows += shard->row_count;
        if (one->min_timestamp_us < all.min_timestamp_us)
            all.min_timestamp_us = one->min_timestamp_us;
        if (one->max_timestamp_us > all.max_timestamp_us)
            all.max_timestamp_us = one->max_timestamp_us;
        note_expiry(&all, one->min_local_deletion_time_s, one->min_ttl_s);
        mutex_unlock(&shard->lock);
    }
    stats.bytes = memtable_bytes(memtable);
    stats.min_timestamp_us = all.min_timestamp_us;
    stats.max_timestamp_us = all.max_timestamp_us;
    stats.min_local_deletion_time_s = all.min_local_deletion_time_s;
    stats.min_ttl_s = all.min_ttl_s;
    *ret_stats = stats;
}

uint64_t memtable_bytes(struct memtable *memtable)
{
    return atomic_load_explicit(&memtable->bytes, memory_order_relaxed);
}

uint64_t memtable_first_position(struct memtable *memtable)
{
    return memtable->first_position;
}
