#include "core/node.h"

#include <errno.h>
#include <inttypes.h>

#include "core/core.h"
#include "core/past_node.h"
#include "engine/assert.h"

/* ---- the table ---- */

#define CHAINS_MIN 16u

static uint64_t ino_hash(uint64_t ino)
{
    uint64_t h = ino * UINT64_C(0x9e3779b97f4a7c15);

    return h ^ (h >> 29);
}

static struct node_shard *shard_of(struct fs *fs, uint64_t ino)
{
    return &fs->shards[ino_hash(ino) % NODE_SHARDS];
}

static struct node **chain_of(struct node_shard *shard, uint64_t ino)
{
    return &shard->chains[(ino_hash(ino) / NODE_SHARDS) & (shard->chain_count - 1)];
}

int node_table_open(struct fs *fs)
{
    for (unsigned i = 0; i < NODE_SHARDS; i++) {
        struct node_shard *shard = &fs->shards[i];

        shard->chains = calloc(CHAINS_MIN, sizeof(*shard->chains));
        if (!shard->chains)
            return err_new(-ENOMEM, "table of nodes");
        shard->chain_count = CHAINS_MIN;
    }
    return 0;
}

/* Without memory the chains stay long, which is slow but right. */
static void shard_grow(struct node_shard *shard)
{
    struct node **old = shard->chains;
    size_t old_count = shard->chain_count;
    struct node **chains = calloc(old_count * 2, sizeof(*chains));

    if (!chains)
        return;
    shard->chains = chains;
    shard->chain_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        struct node *next;

        for (struct node *node = old[i]; node; node = next) {
            struct node **chain = chain_of(shard, node->ino);

            next = node->next;
            node->next = *chain;
            *chain = node;
        }
    }
    free(old);
}

static struct node *shard_find(struct node_shard *shard, uint64_t ino)
{
    struct node *node = *chain_of(shard, ino);

    while (node && node->ino != ino)
        node = node->next;
    return node;
}

static struct node *shard_find_and_pin(struct node_shard *shard, uint64_t ino)
{
    struct node *node = shard_find(shard, ino);

    if (node) {
        node->pins++;
        node->used = true;
    }
    return node;
}

static void shard_add(struct node_shard *shard, struct node *node)
{
    struct node **chain;

    if (shard->node_count >= shard->chain_count)
        shard_grow(shard);
    chain = chain_of(shard, node->ino);
    node->next = *chain;
    *chain = node;
    shard->node_count++;
    node->used = true;
    node->detached = false;
    forget_note_count(node->fs, atomic_fetch_add(&node->fs->node_count, 1) + 1);
}

static void shard_remove(struct node_shard *shard, struct node *node)
{
    struct node **at = chain_of(shard, node->ino);

    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    shard->node_count--;
    node->detached = true;
    atomic_fetch_sub(&node->fs->node_count, 1);
}

static void node_free(struct node *node)
{
    pthread_rwlock_destroy(&node->lock);
    xattr_list_free(node->xattrs);
    free(node->name);
    free(node);
}

/* Prefers writers: a listing in many threads would else keep a create out for ever. No thread takes
 * the lock of one node twice, so that is safe. */
/* Nodes that this thread has locked. */
static _Thread_local unsigned locked_count;

static int lock_init(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attributes;
    int r = pthread_rwlockattr_init(&attributes);

    if (r != 0)
        return -r;
    (void)pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    r = pthread_rwlock_init(lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    return -r;
}

int node_new(struct fs *fs, uint64_t ino, struct node **ret_node)
{
    struct node *node = calloc(1, sizeof(*node));
    int r;

    if (!node)
        return err_new(-ENOMEM, "node of an inode");
    r = lock_init(&node->lock);
    if (r < 0) {
        free(node);
        return err_new(r, "node of an inode");
    }
    node->fs = fs;
    node->ino = ino;
    node->pins = 1;
    node->detached = true;
    /* Changes made before it was loaded are below: an fsync waits for them too. */
    atomic_store(&node->position, engine_position(fs->engine));
    *ret_node = node;
    return 0;
}

int node_pin(struct fs *fs, uint64_t ino, struct node **ret_node)
{
    struct node_shard *shard = shard_of(fs, ino);
    struct node *node;

    pthread_mutex_lock(&shard->mutex);
    node = shard_find_and_pin(shard, ino);
    pthread_mutex_unlock(&shard->mutex);
    if (!node)
        return err_new(-ESTALE, "inode %#" PRIx64 " is not known", ino);
    *ret_node = node;
    return 0;
}

void node_pin_held(struct node *node)
{
    struct node_shard *shard = shard_of(node->fs, node->ino);

    pthread_mutex_lock(&shard->mutex);
    node->pins++;
    pthread_mutex_unlock(&shard->mutex);
}

/* Nobody knows it any more: nobody will open it. */
static void node_end(struct node *node)
{
    if (node->home == HOME_ORPHAN) {
        struct orphan orphan = orphan_of_file(node->ino, &node->inode);

        atomic_fetch_sub(&node->fs->open_orphans, 1);
        reclaim_later(node->fs, &orphan);
    }
    node_free(node);
}

/* Shard locked. Whether the node is to be ended, once the shard is unlocked. */
static bool node_settle_counts(struct node_shard *shard, struct node *node)
{
    if (node->lookups > 0 || node->pins > 0 || atomic_load(&node->handles) > 0)
        return false;
    /* Who read its row before, and finds no node now, must know that the row may have changed:
     * counted before the node can be missed (node_load()). */
    if (atomic_load(&node->changed))
        atomic_fetch_add(&node->fs->forgotten_changes, 1);
    if (!node->detached)
        shard_remove(shard, node);
    return true;
}

void node_unpin(struct node *node)
{
    struct node_shard *shard = shard_of(node->fs, node->ino);
    bool free_it;

    pthread_mutex_lock(&shard->mutex);
    ASSERT(node->pins > 0);
    node->pins--;
    free_it = node_settle_counts(shard, node);
    pthread_mutex_unlock(&shard->mutex);
    if (free_it)
        node_end(node);
}

void node_unpinp(struct node **node)
{
    if (*node)
        node_unpin(*node);
}

void node_add_lookup(struct node *node)
{
    struct node_shard *shard = shard_of(node->fs, node->ino);

    pthread_mutex_lock(&shard->mutex);
    node->lookups++;
    pthread_mutex_unlock(&shard->mutex);
}

void node_drop_lookups(struct node *node, uint64_t count)
{
    struct node_shard *shard = shard_of(node->fs, node->ino);

    pthread_mutex_lock(&shard->mutex);
    node->lookups -= count < node->lookups ? count : node->lookups;
    pthread_mutex_unlock(&shard->mutex);
}

bool node_is_looked_up(struct node *node)
{
    struct node_shard *shard = shard_of(node->fs, node->ino);
    bool is_so;

    pthread_mutex_lock(&shard->mutex);
    is_so = node->lookups > 0;
    pthread_mutex_unlock(&shard->mutex);
    return is_so;
}

void node_publish(struct node *node, uint64_t lookups)
{
    struct node_shard *shard = shard_of(node->fs, node->ino);

    pthread_mutex_lock(&shard->mutex);
    ASSERT(!shard_find(shard, node->ino));
    node->type = node->inode.mode & S_IFMT;
    atomic_store(&node->loaded, true);
    node->lookups += lookups;
    shard_add(shard, node);
    pthread_mutex_unlock(&shard->mutex);
}

int node_find_or_create(struct fs *fs, uint64_t ino, struct node **ret_node, bool *ret_created)
{
    struct node_shard *shard = shard_of(fs, ino);
    struct node *made;
    struct node *node;
    int r;

    *ret_created = false;
    pthread_mutex_lock(&shard->mutex);
    node = shard_find_and_pin(shard, ino);
    pthread_mutex_unlock(&shard->mutex);
    if (node) {
        *ret_node = node;
        return 0;
    }

    r = node_new(fs, ino, &made);
    if (r < 0)
        return r;
    /* Before anybody can know it: so this is had at once. */
    r = pthread_rwlock_trywrlock(&made->lock);
    ASSERT(r == 0);
    locked_count++;

    pthread_mutex_lock(&shard->mutex);
    node = shard_find_and_pin(shard, ino);
    if (!node)
        shard_add(shard, made);
    pthread_mutex_unlock(&shard->mutex);
    if (node) {
        node_unlock(made);
        node_free(made);
        *ret_node = node;
        return 0;
    }
    *ret_node = made;
    *ret_created = true;
    return 0;
}

uint64_t node_forgotten_changes(struct fs *fs)
{
    return atomic_load(&fs->forgotten_changes);
}

void node_each(struct fs *fs, void (*each)(struct node *node))
{
    for (unsigned i = 0; i < NODE_SHARDS; i++) {
        struct node_shard *shard = &fs->shards[i];

        for (size_t c = 0; c < shard->chain_count; c++) {
            for (struct node *node = shard->chains[c]; node; node = node->next)
                each(node);
        }
    }
}

void node_sweep(struct fs *fs)
{
    for (unsigned i = 0; i < NODE_SHARDS; i++) {
        struct node_shard *shard = &fs->shards[i];

        for (size_t c = 0; c < shard->chain_count; c++) {
            struct node *next;

            for (struct node *node = shard->chains[c]; node; node = next) {
                next = node->next;
                node_free(node);
            }
        }
        free(shard->chains);
        shard->chains = NULL;
        shard->chain_count = 0;
        shard->node_count = 0;
    }
}

uint64_t node_table_count(struct fs *fs)
{
    return atomic_load(&fs->node_count);
}

/* ---- forgetting ---- */

void fs_forget(struct fs *fs, uint64_t ino, uint64_t count)
{
    struct node_shard *shard = shard_of(fs, ino);
    struct node *node;
    bool free_it = false;

    if (ino_is_past(ino)) {
        past_node_forget(fs->past, ino, count);
        return;
    }
    if (ino_is_info(ino))
        return;
    if (ino_is_synthetic(ino)) {
        snapshot_dir_forget(fs, ino, count);
        return;
    }
    pthread_mutex_lock(&shard->mutex);
    node = shard_find(shard, ino);
    if (node) {
        node->lookups -= count < node->lookups ? count : node->lookups;
        free_it = node_settle_counts(shard, node);
    }
    pthread_mutex_unlock(&shard->mutex);
    if (free_it)
        node_end(node);
}

/* ---- locks ---- */

void node_lock_shared(struct node *node)
{
    int r = pthread_rwlock_rdlock(&node->lock);

    ASSERT(r == 0);
    locked_count++;
}

void node_lock_exclusive(struct node *node)
{
    int r = pthread_rwlock_wrlock(&node->lock);

    ASSERT(r == 0);
    locked_count++;
}

int node_try_lock_shared(struct node *node)
{
    if (pthread_rwlock_tryrdlock(&node->lock) != 0)
        return -EBUSY;
    locked_count++;
    return 0;
}

void node_unlock(struct node *node)
{
    int r = pthread_rwlock_unlock(&node->lock);

    ASSERT(r == 0);
    locked_count--;
}

void node_assert_none_locked(void)
{
    ASSERT(locked_count == 0);
}

void lock_set_add(struct lock_set *set, struct node *node)
{
    unsigned at = 0;

    if (!node)
        return;
    while (at < set->count && set->nodes[at]->ino < node->ino)
        at++;
    if (at < set->count && set->nodes[at] == node)
        return;
    ASSERT(set->count < ARRAY_COUNT(set->nodes));
    for (unsigned i = set->count; i > at; i--)
        set->nodes[i] = set->nodes[i - 1];
    set->nodes[at] = node;
    set->count++;
}

void lock_set_take(struct lock_set *set)
{
    for (unsigned i = 0; i < set->count; i++)
        node_lock_exclusive(set->nodes[i]);
}

void lock_set_release(struct lock_set *set)
{
    for (unsigned i = set->count; i-- > 0;)
        node_unlock(set->nodes[i]);
}

/* ---- state ---- */

int node_check_content(const struct node *node)
{
    if (!atomic_load(&node->loaded) || node->home == HOME_NONE)
        return err_new(-ESTALE, "inode %#" PRIx64 " was removed", node->ino);
    if (node->type == S_IFDIR)
        return err_new(-EISDIR, "inode %#" PRIx64 " is a directory", node->ino);
    if (node->type != S_IFREG)
        return err_new(-EINVAL, "inode %#" PRIx64 " has no content", node->ino);
    return 0;
}

void node_set_home(
    struct node *node, enum home_kind kind, uint64_t dir, uint8_t *name, size_t name_size)
{
    ASSERT(name_size <= FS_NAME_MAX && (kind == HOME_DIRENT) == (name != NULL));
    free(node->name);
    node->home = (uint8_t)kind;
    node->dir = dir;
    node->name = name;
    node->name_size = (uint8_t)name_size;
}

/* Shard and node locked by who made it. */
static void node_detach(struct node *node)
{
    struct node_shard *shard = shard_of(node->fs, node->ino);

    pthread_mutex_lock(&shard->mutex);
    shard_remove(shard, node);
    pthread_mutex_unlock(&shard->mutex);
}

/* 1 and the attributes of a node whose name's row says that they are elsewhere; 0: they are not. */
static int read_elsewhere(struct node *node, uint32_t type)
{
    AUTO(rowref_release) struct rowref ref = ROWREF_INIT;
    enum home_kind kind = type == S_IFDIR ? HOME_DIRECTORY : HOME_INODE;
    struct row_key key;
    int r;

    row_key_directory(&key, node->ino); /* of `inodes` too: the key of both is the number */
    r = engine_get(node->fs->live, kind == HOME_DIRECTORY ? TABLE_DIRENTS : TABLE_INODES, key.key,
        kind == HOME_DIRECTORY ? NULL : &key.clustering, COLUMNS_ALL, &ref);
    if (r < 0)
        return err_with(r, "attributes of inode %#" PRIx64, node->ino);
    if (r == 0)
        return 0;
    r = inode_decode(&ref.row, kind, &node->inode);
    if (r < 0)
        return err_with(r, "attributes of inode %#" PRIx64, node->ino);
    if ((node->inode.mode & S_IFMT) != type)
        return err_new(
            -EUCLEAN, "inode %#" PRIx64 " is of another type than its name says", node->ino);
    node_set_home(node, kind, 0, NULL, 0);
    return 1;
}

static int load_elsewhere(struct node *node, uint32_t type)
{
    int r = read_elsewhere(node, type);

    if (r == 0)
        return err_new(-EUCLEAN, "inode %#" PRIx64 " has a name and no attributes", node->ino);
    return r < 0 ? r : 0;
}

static int load_from_row(struct node *node, uint64_t dir, struct bytes name, const struct row *row)
{
    uint8_t *copy;
    uint64_t ino;
    uint32_t type;
    int r;

    r = dirent_decode(row, &ino, &type);
    if (r < 0)
        return r;
    if (r == 0 || ino != node->ino)
        return err_new(-ESTALE, "the name of inode %#" PRIx64 " has gone", node->ino);
    if (type == S_IFDIR || !dirent_is_home(row))
        return load_elsewhere(node, type);

    r = inode_decode(row, HOME_DIRENT, &node->inode);
    if (r < 0)
        return r;
    copy = malloc(name.size);
    if (!copy)
        return err_new(-ENOMEM, "node of an inode");
    memcpy(copy, name.data, name.size);
    node_set_home(node, HOME_DIRENT, dir, copy, name.size);
    return 0;
}

int node_load(struct node *node, uint64_t dir, struct bytes name, const struct row *row,
    uint64_t forgotten_changes)
{
    int r;

    if (node_forgotten_changes(node->fs) == forgotten_changes) {
        r = load_from_row(node, dir, name, row);
    } else {
        AUTO(rowref_release) struct rowref ref = ROWREF_INIT;
        uint64_t ino;
        uint32_t type;

        r = dirent_get(node->fs->live, dir, name, COLUMNS_ALL, &ref, &ino, &type);
        if (r == 0)
            r = err_new(-ESTALE, "the name of inode %#" PRIx64 " has gone", node->ino);
        if (r > 0)
            r = load_from_row(node, dir, name, &ref.row);
    }
    if (r < 0) {
        node_detach(node);
        return r;
    }
    node->type = node->inode.mode & S_IFMT;
    atomic_store(&node->loaded, true);
    return 0;
}

/* A node just created, and locked, of a directory that may not exist. */
static int load_directory(struct node *node)
{
    int r = read_elsewhere(node, S_IFDIR);

    if (r <= 0) {
        node_detach(node);
        return r < 0 ? r : -ENOENT;
    }
    node->type = S_IFDIR;
    atomic_store(&node->loaded, true);
    return 0;
}

int node_look_up_directory(struct fs *fs, uint64_t ino, struct fs_entry *ret_entry)
{
    AUTO(node_unpinp) struct node *node = NULL;
    bool is_new;
    int r = node_find_or_create(fs, ino, &node, &is_new);

    if (r < 0)
        return r;
    if (is_new) {
        r = load_directory(node);
        node_unlock(node);
    }
    if (r < 0)
        return r;
    node_lock_shared(node);
    if (atomic_load(&node->loaded) && node->home == HOME_DIRECTORY) {
        node_entry(node, ret_entry);
        node_add_lookup(node);
    } else {
        r = -ENOENT;
    }
    node_unlock(node);
    return r;
}

int node_directory_exists(struct fs *fs, uint64_t ino)
{
    struct fs_entry entry;
    int r = node_look_up_directory(fs, ino, &entry);

    if (r == 0)
        fs_forget(fs, ino, 1);
    return r == 0 ? 1 : r == -ENOENT ? 0 : r;
}

/* ---- attributes ---- */

static void timespec_of(int64_t ns, struct timespec *to)
{
    int64_t rest = ns % 1000000000;

    to->tv_sec = ns / 1000000000 - (rest < 0);
    to->tv_nsec = rest + (rest < 0 ? 1000000000 : 0);
}

void inode_stat(uint64_t ino, const struct inode *inode, struct stat *to)
{
    bool directory = (inode->mode & S_IFMT) == S_IFDIR;
    uint64_t stored = inode->allocated == ALLOCATED_ALL
                          ? (inode->size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES
                          : (uint64_t)inode->allocated;

    *to = (struct stat){
        .st_ino = ino,
        .st_mode = inode->mode,
        .st_nlink = directory ? 2 + (nlink_t)inode->subdirs : inode->nlink,
        .st_uid = inode->uid,
        .st_gid = inode->gid,
        .st_rdev = inode->rdev,
        .st_size = directory ? 4096 : (off_t)inode->size,
        .st_blksize = directory ? 1 << 20 : (blksize_t)BLOCK_BYTES,
    };
    if (directory)
        to->st_blocks = 8;
    else if ((inode->mode & S_IFMT) == S_IFREG)
        to->st_blocks = (blkcnt_t)(stored / 512);
    timespec_of(inode->atime_ns, &to->st_atim);
    timespec_of(inode->mtime_ns, &to->st_mtim);
    timespec_of(inode->ctime_ns, &to->st_ctim);
}

bool directory_lists_snapshots(const struct node *node)
{
    return node->ino == FS_ROOT_INO && node->fs->options.lists_snapshots;
}

void node_stat(const struct node *node, struct stat *to)
{
    int64_t read_ns = atomic_load(&node->read_ns);

    inode_stat(node->ino, &node->inode, to);
    to->st_nlink += directory_lists_snapshots(node);
    if (read_ns != 0)
        timespec_of(read_ns, &to->st_atim);
    if (node->home == HOME_NONE || node->home == HOME_ORPHAN)
        to->st_nlink = 0;
}

void node_entry(const struct node *node, struct fs_entry *to)
{
    to->nodeid = node->ino;
    to->attribute_timeout_s = FS_TIMEOUT_FOREVER;
    to->entry_timeout_s = FS_TIMEOUT_FOREVER;
    node_stat(node, &to->attributes);
}

void inode_kill_privileges(struct inode *inode, bool kill_suid)
{
    inode->xattr_bits &= (uint8_t)~XATTR_CAPABILITY;
    if (!kill_suid || S_ISDIR(inode->mode))
        return;
    inode->mode &= ~(uint32_t)S_ISUID;
    if (inode->mode & S_IXGRP)
        inode->mode &= ~(uint32_t)S_ISGID;
}
