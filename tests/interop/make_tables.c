/*
 * Writes SSTables with content of every kind for the five tables of a store, for Cassandra to
 * judge (check-tables.sh): make_tables FOLDER.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "engine/assert.h"
#include "engine/error.h"
#include "sstable/writer.h"
#include "support/array_partition.h"
#include "support/random_partition.h"
#include "support/test_tables.h"

#define ARENA_PIECE_BYTES (1u << 20)
#define PARTITIONS_MAX 4000
#define NOW_US 1763800000000000
#define NOW_S 1763800000

struct job {
    const struct table_schema *schema;
    const char *id;
    size_t partitions;
    struct random_shape shape;
    /* Bases that are not minima give negative and long deltas. */
    int64_t base_timestamp_us;
    int32_t base_local_deletion_time_s;
    int32_t base_ttl_s;
};

#define SHAPE(rows, bytes)                                                                         \
    {                                                                                              \
        .rows_max = rows, .value_bytes_max = bytes, .timestamp_us = NOW_US,                        \
        .local_deletion_time_s = NOW_S                                                             \
    }
#define UNKNOWN_BASES INT64_MAX, LOCAL_DELETION_TIME_NONE, INT32_MAX
#define MINIMAL_BASES NOW_US - 2000, NOW_S, 1

static const struct job jobs[] = {
    {&test_table_dirents, "1", 60, SHAPE(40, 300), MINIMAL_BASES},
    {&test_table_dirents, "3gtp_1a2b_0c4d42pq1vd6vwj2g1", 2, SHAPE(6000, 60), MINIMAL_BASES},
    {&test_table_dirents, "2", 3000, SHAPE(2, 20), UNKNOWN_BASES},
    {&test_table_dirents, "3", 60, SHAPE(20, 300), NOW_US + 1000000000, NOW_S + 1800, 2500},
    {&test_table_small, "1", 40, SHAPE(60, 16384), MINIMAL_BASES},
    {&test_table_blocks, "1", 4, SHAPE(40, 4096), MINIMAL_BASES},
    {&test_table_blocks, "2", 300, SHAPE(3, 100), MINIMAL_BASES},
    {&test_table_inodes, "1", 600, SHAPE(1, 200), MINIMAL_BASES},
    {&test_table_meta, "1", 20, SHAPE(300, 500), MINIMAL_BASES},
};

static int write_job(struct env *env, const struct job *job, const char *folder)
{
    static struct array_partition partitions[PARTITIONS_MAX];
    struct random random = {random_seed(1)};
    struct sstable_writer_options options = {
        .min_timestamp_us = job->base_timestamp_us,
        .min_local_deletion_time_s = job->base_local_deletion_time_s,
        .min_ttl_s = job->base_ttl_s,
    };
    struct sstable_writer *writer;
    struct sstable_facts facts;
    struct sstable_id id;
    struct arena arena;
    size_t count;
    int r;

    ASSERT(job->partitions <= PARTITIONS_MAX);
    snprintf(id.text, sizeof(id.text), "%s", job->id);
    arena_init(&arena, ARENA_PIECE_BYTES);
    count =
        random_partitions(&random, &arena, job->schema, &job->shape, job->partitions, partitions);
    options.expected_partitions = count;
    r = sstable_writer_open(env, folder, &id, job->schema, &options, &writer);
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct partition_iterator *partition = array_partition_open(job->schema, &partitions[i]);
        bool written;

        r = sstable_writer_write(writer, partition, &written);
        partition_close(partition);
        if (r < 0)
            sstable_writer_discard(writer);
    }
    if (r == 0)
        r = sstable_writer_finish(writer, &facts);
    if (r == 0)
        printf("%s %s: %" PRIu64 " partitions, %" PRIu64 " rows, %" PRIu64 " bytes\n", folder,
            id.text, facts.partitions, facts.rows, facts.data_bytes);
    arena_release(&arena);
    return r;
}

int main(int argc, char **argv)
{
    struct env *env;
    int r;

    if (argc != 2) {
        fprintf(stderr, "usage: make_tables FOLDER\n");
        return 2;
    }
    r = env_posix_new(argv[1], &env);
    for (size_t i = 0; r == 0 && i < ARRAY_COUNT(jobs); i++) {
        const char *folder = jobs[i].schema->name;

        r = io_ensure_directory(env, folder);
        if (r == 0)
            r = write_job(env, &jobs[i], folder);
    }
    if (r < 0) {
        fprintf(stderr, "make_tables: %s\n", err_text(r));
        return 1;
    }
    env_free(env);
    return 0;
}
