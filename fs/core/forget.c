#include "core/forget.h"

#include <errno.h>

#include "core/core.h"
#include "core/past.h"

#define ASKED_AT_ONCE 256u
#define CHAINS_AT_ONCE 4096u
#define WAIT_US_MIN 1000
#define WAIT_US_MAX 1000000
#define KICK_EVERY 64u

struct forgettable {
    uint64_t parent;
    size_t name_size;
    uint8_t name[FS_NAME_MAX + 1];
};

void forget_note_count(struct fs *fs, uint64_t count)
{
    uint64_t nodes_max = atomic_load_explicit(&fs->forgetter.nodes_max, memory_order_relaxed);

    if (count > nodes_max && (count - nodes_max) % KICK_EVERY == 1)
        task_kick(fs->env, fs->forgetter.task);
}

void forget_set_max(struct fs *fs, uint64_t nodes_max)
{
    atomic_store(&fs->forgetter.nodes_max, nodes_max);
    task_kick(fs->env, fs->forgetter.task);
}

/* Shard locked. Whether the kernel is to be asked for the node's name, which is copied. */
static bool is_forgettable(struct node *node, struct forgettable *to)
{
    bool is_used = node->used, found = false;

    node->used = false;
    if (is_used || node->lookups == 0 || node->pins > 0 || atomic_load(&node->handles) > 0)
        return false;
    /* Never waited for, as locks of nodes come before that of the shard. */
    if (node_try_lock_shared(node) < 0)
        return false;
    if (node->loaded && node->home == HOME_DIRENT) {
        struct bytes name = node_name(node);

        to->parent = node->dir;
        to->name_size = name.size;
        memcpy(to->name, name.data, name.size);
        to->name[name.size] = 0;
        found = true;
    }
    node_unlock(node);
    return found;
}

/* The next chain of nodes: how many names were put to `to`, at most `max`. */
static unsigned look_at_chain(struct fs *fs, struct forgettable *to, unsigned max)
{
    struct forgetter *forgetter = &fs->forgetter;
    struct node_shard *shard = &fs->shards[forgetter->shard];
    unsigned count = 0;

    pthread_mutex_lock(&shard->mutex);
    if (forgetter->chain < shard->chain_count) {
        for (struct node *node = shard->chains[forgetter->chain]; node && count < max;
             node = node->next)
            count += is_forgettable(node, &to[count]);
        forgetter->chain++;
    } else {
        forgetter->chain = 0;
        forgetter->shard = (forgetter->shard + 1) % NODE_SHARDS;
    }
    pthread_mutex_unlock(&shard->mutex);
    return count;
}

/* What the kernel does not let go of is not asked for without end: then ever more seldom. */
static int64_t next_wait_us(struct forgetter *forgetter, uint64_t count)
{
    if (count < forgetter->last_count)
        forgetter->wait_us = WAIT_US_MIN;
    else if (forgetter->wait_us < WAIT_US_MAX)
        forgetter->wait_us *= 2;
    forgetter->last_count = count;
    return forgetter->wait_us;
}

static int64_t forget_step(void *arg)
{
    struct fs *fs = arg;
    struct forgetter *forgetter = &fs->forgetter;
    struct forgettable *names;
    unsigned count = 0;

    if (node_table_count(fs) <= atomic_load(&forgetter->nodes_max)) {
        forgetter->wait_us = WAIT_US_MIN;
        return TASK_IDLE;
    }
    names = malloc(ASKED_AT_ONCE * sizeof(*names));
    if (!names)
        return WAIT_US_MAX;
    for (unsigned i = 0; i < CHAINS_AT_ONCE && count < ASKED_AT_ONCE; i++)
        count += look_at_chain(fs, names + count, ASKED_AT_ONCE - count);
    for (unsigned i = 0; i < count; i++)
        forgetter->ask(
            forgetter->arg, names[i].parent, bytes_of(names[i].name, names[i].name_size));
    free(names);
    return next_wait_us(forgetter, node_table_count(fs));
}

int fs_bound_nodes(struct fs *fs, uint64_t bytes_max, fs_ask_to_forget ask, void *arg)
{
    struct forgetter *forgetter = &fs->forgetter;
    int r;

    forgetter->ask = ask;
    forgetter->arg = arg;
    forgetter->wait_us = WAIT_US_MIN;
    r = task_start(fs->env, "forget", forget_step, fs, &forgetter->task);
    if (r == 0)
        atomic_store(&forgetter->nodes_max, bytes_max / NODE_BYTES);
    return r;
}

void fs_unbound_nodes(struct fs *fs)
{
    past_unbound_nodes(fs);
    atomic_store(&fs->forgetter.nodes_max, UINT64_MAX);
    task_stop(fs->env, fs->forgetter.task);
    fs->forgetter.task = NULL;
}
