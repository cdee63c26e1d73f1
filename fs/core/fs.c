/*
 * The file system's life, and the frame of every change: begin, apply, end.
 */
#include <errno.h>
#include <inttypes.h>

#include "core/core.h"
#include "core/past.h"
#include "engine/assert.h"
#include "engine/log.h"

int64_t core_now_ns(struct fs *fs)
{
    return (int64_t)(env_wall_us(fs->env) * 1000);
}

/* ---- changing requests ---- */

struct value_buffer *fs_value_buffer(struct fs *fs)
{
    return engine_value_buffer(fs->engine);
}

int fs_begin(struct fs *fs, struct fs_request *request, enum fs_table table, uint64_t bytes,
    bool reclaim, engine_go go, void *arg)
{
    node_assert_none_locked();
    if (fs->options.read_only)
        return err_new(-EROFS, "mounted read-only");
    return engine_admit(fs->engine, table, bytes + REQUEST_BYTES,
        reclaim ? ADMIT_RECLAIM : ADMIT_GROW, go, arg, &request->batch);
}

void fs_cancel(struct fs *fs, struct fs_request *request)
{
    if (request->batch)
        engine_discard_batch(fs->engine, request->batch);
    request->batch = NULL;
}

int fs_end(struct fs *fs, struct fs_request *request, engine_go go, void *arg)
{
    node_assert_none_locked();
    fs_cancel(fs, request);
    if (request->position == 0)
        return 0;
    return engine_await(fs->engine, request->position, request->synchronous, go, arg);
}

int core_apply(struct fs *fs, struct fs_request *request, struct node *const *nodes, unsigned count)
{
    struct batch *batch = request->batch;
    uint64_t position = 0;
    int r;

    ASSERT(batch);
    request->batch = NULL;
    /* Before the rows change: a node that goes must be known to have changed (node_load()). */
    for (unsigned i = 0; i < count; i++)
        atomic_store(&nodes[i]->changed, true);
    r = engine_apply(fs->engine, batch, &position);
    if (r < 0)
        return r;
    /* 0: there was nothing to apply. */
    if (position == 0)
        return 0;
    request->position = position;
    for (unsigned i = 0; i < count; i++)
        atomic_store(&nodes[i]->position, position);
    return 0;
}

/* ---- open ---- */

static int make_root(struct fs *fs)
{
    struct batch *batch = NULL;
    int64_t now = core_now_ns(fs);
    struct inode root = {
        .mode = S_IFDIR | 0755,
        .uid = (uint32_t)(fs->options.owner >> 32),
        .gid = (uint32_t)fs->options.owner,
        .atime_ns = now,
        .mtime_ns = now,
        .ctime_ns = now,
        .btime_ns = now,
        .parent = FS_ROOT_INO,
        .allocated = ALLOCATED_ALL,
    };
    struct row_key key;
    uint64_t position;
    int r;

    r = engine_admit(fs->engine, TABLE_DIRENTS, REQUEST_BYTES, ADMIT_RECLAIM, NULL, NULL, &batch);
    if (r < 0)
        return err_with(r, "the root directory");
    row_key_directory(&key, FS_ROOT_INO);
    batch_static_row(batch, TABLE_DIRENTS, key.key);
    inode_put(batch, HOME_DIRECTORY, &root);
    r = engine_apply(fs->engine, batch, &position);
    return r < 0 ? err_with(r, "the root directory") : 0;
}

static int read_root(struct fs *fs, struct inode *to)
{
    AUTO(rowref_release) struct rowref ref = ROWREF_INIT;
    struct row_key key;
    int r;

    row_key_directory(&key, FS_ROOT_INO);
    r = engine_get(fs->live, TABLE_DIRENTS, key.key, NULL, COLUMNS_ALL, &ref);
    if (r <= 0)
        return r;
    r = inode_decode(&ref.row, HOME_DIRECTORY, to);
    if (r < 0)
        return r;
    return S_ISDIR(to->mode) ? 1 : err_new(-EUCLEAN, "it is no directory");
}

/* The root's node is there from the beginning to the end, as if it was looked up once. */
static int open_root(struct fs *fs)
{
    struct inode root;
    int r;

    r = read_root(fs, &root);
    if (r == 0 && !fs->options.read_only) {
        r = make_root(fs);
        if (r == 0)
            r = read_root(fs, &root);
    }
    if (r == 0)
        r = err_new(-EUCLEAN, "there is none");
    if (r < 0)
        return err_with(r, "the root directory");
    r = node_new(fs, FS_ROOT_INO, &fs->root);
    if (r < 0)
        return r;
    fs->root->inode = root;
    node_set_home(fs->root, HOME_DIRECTORY, 0, NULL, 0);
    node_publish(fs->root, 0);
    return 0;
}

static void fs_init(struct fs *fs)
{
    for (unsigned i = 0; i < NODE_SHARDS; i++)
        pthread_mutex_init(&fs->shards[i].mutex, NULL);
    atomic_init(&fs->forgetter.nodes_max, UINT64_MAX);
    pthread_mutex_init(&fs->lease_mutex, NULL);
    pthread_mutex_init(&fs->reclaimer.mutex, NULL);
    pthread_mutex_init(&fs->cuts.mutex, NULL);
}

static void orphan_closed(struct node *node)
{
    struct orphan orphan = orphan_of_file(node->ino, &node->inode);

    if (node->home == HOME_ORPHAN)
        reclaim_later(node->fs, &orphan);
}

static void fs_free(struct fs *fs)
{
    for (unsigned i = 0; i < NODE_SHARDS; i++) {
        free(fs->shards[i].chains);
        pthread_mutex_destroy(&fs->shards[i].mutex);
    }
    pthread_mutex_destroy(&fs->lease_mutex);
    pthread_mutex_destroy(&fs->reclaimer.mutex);
    pthread_mutex_destroy(&fs->cuts.mutex);
    free(fs);
}

static struct fs *fs_new(
    struct engine *engine, struct env *env, struct source *source, const struct fs_options *options)
{
    struct store_identity identity;
    struct fs *fs = calloc(1, sizeof(*fs));

    if (!fs)
        return NULL;
    fs_init(fs);
    engine_identity(engine, &identity);
    fs->engine = engine;
    fs->env = env;
    fs->live = source;
    fs->options = *options;
    fs->node = identity.node;
    return fs;
}

int fs_open(
    struct engine *engine, struct env *env, const struct fs_options *options, struct fs **ret_fs)
{
    struct fs *fs = fs_new(engine, env, engine_live(engine), options);
    int r;

    if (!fs)
        return err_new(-ENOMEM, "file system");
    r = node_table_open(fs);
    if (r == 0)
        r = open_root(fs);
    if (r == 0)
        r = past_open(fs);
    if (r == 0)
        r = snapshot_dir_open(fs);
    if (r == 0)
        r = options->read_only ? cuts_load(fs) : reclaimer_open(fs);
    if (r < 0) {
        (void)fs_close(fs);
        return err_with(r, "open the file system");
    }
    *ret_fs = fs;
    return 0;
}

int core_open_source(const struct fs *live, struct source *source, struct fs **ret_fs)
{
    struct fs_options options = {.read_only = true, .owner = live->options.owner};
    struct fs *fs = fs_new(live->engine, live->env, source, &options);
    int r;

    if (!fs)
        return err_new(-ENOMEM, "file system");
    r = node_table_open(fs);
    if (r == 0)
        r = open_root(fs);
    if (r == 0)
        r = cuts_load(fs);
    if (r < 0) {
        (void)fs_close(fs);
        return r;
    }
    *ret_fs = fs;
    return 0;
}

int fs_close(struct fs *fs)
{
    int r;

    if (fs->snapshots)
        snapshot_dir_close(fs);
    past_close(fs);
    /* The open orphans' work is queued while there are nodes, done when nobody else works. */
    node_each(fs, orphan_closed);
    r = reclaimer_close(fs);
    cuts_close(fs);
    node_sweep(fs);
    fs_free(fs);
    return r;
}

/* ---- statistics ---- */

void fs_get_stats(struct fs *fs, struct fs_stats *ret_stats)
{
    uint64_t queued;

    pthread_mutex_lock(&fs->reclaimer.mutex);
    queued = fs->reclaimer.count;
    pthread_mutex_unlock(&fs->reclaimer.mutex);
    *ret_stats = (struct fs_stats){
        .nodes = node_table_count(fs),
        .node_bytes = node_table_count(fs) * NODE_BYTES,
        .handles = atomic_load(&fs->handle_count),
        .orphans = queued + atomic_load(&fs->open_orphans) + atomic_load(&fs->cuts.count),
    };
    past_count_nodes(fs, &ret_stats->past_nodes, &ret_stats->past_node_bytes);
}
