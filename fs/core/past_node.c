#include "core/past_node.h"

#include <errno.h>
#include <inttypes.h>

#include "core/past.h"
#include "core/snapshot_node.h"
#include "engine/coding.h"

/* Of what live inodes may take of memory, so much may those of all trees together; each tree has
 * an equal part of it, but some for the way that somebody is on. */
#define NODES_SHARE 4
#define TREE_NODES_MIN 64u
/* With what the allocator needs. */
#define PAST_NODE_BYTES (sizeof(struct past_node) + 16)

#define ASKED_MAX 8u

uint64_t past_number(uint64_t point_us, uint64_t created_us, uint64_t ino)
{
    uint8_t what[24];

    store_be64(what, point_us);
    store_be64(what + 8, created_us);
    store_be64(what + 16, ino);
    return INO_SYNTHETIC_BIT |
           (snapshot_hash(3, bytes_of(what, sizeof(what))) & (INO_SYNTHETIC_BIT - 1));
}

/* ---- chains ---- */

static struct past_node **chain_by_number(struct past *past, uint64_t number)
{
    return &past->by_number[number % PAST_CHAINS];
}

static struct past_node **chain_by_inode(struct past *past, uint64_t ino)
{
    return &past->by_inode[ino % PAST_CHAINS];
}

static struct past_node *find_node(struct past *past, uint64_t number)
{
    struct past_node *node = *chain_by_number(past, number);

    while (node && node->number != number)
        node = node->next_by_number;
    return node;
}

static struct past_node *find_inode(
    struct past *past, const struct past_tree *tree, uint64_t base, uint64_t ino)
{
    struct past_node *node = *chain_by_inode(past, ino);

    while (node && (node->ino != ino || node->tree != tree || node->base != base))
        node = node->next_by_inode;
    return node;
}

static void chain_in(struct past *past, struct past_node *node)
{
    struct past_node **chain = chain_by_number(past, node->number);

    node->next_by_number = *chain;
    *chain = node;
    chain = chain_by_inode(past, node->ino);
    node->next_by_inode = *chain;
    *chain = node;
}

static void chain_out(struct past *past, struct past_node *node)
{
    struct past_node **at = chain_by_number(past, node->number);

    while (*at != node)
        at = &(*at)->next_by_number;
    *at = node->next_by_number;
    at = chain_by_inode(past, node->ino);
    while (*at != node)
        at = &(*at)->next_by_inode;
    *at = node->next_by_inode;
}

/* ---- trees ---- */

/* Without the mutex: the task that is waited for may wait for the kernel, and that for us. */
static void content_close(const struct past_tree *tree)
{
    if (tree->fs) {
        if (tree->fs->forgetter.task)
            fs_unbound_nodes(tree->fs);
        (void)fs_close(tree->fs); /* it was only read */
    }
    engine_close_snapshot(tree->source);
}

static void tree_free(struct past_tree *tree)
{
    if (!tree)
        return;
    content_close(tree);
    free(tree);
}

static bool is_bounded(const struct past_tree *tree)
{
    return tree->fs && tree->fs->forgetter.task;
}

/* The trees that are open share what there is for them. A tree's inode takes a node there and one
 * here. */
static void share_out(struct past *past)
{
    const struct forgetter *live = &past->fs->forgetter;
    uint64_t nodes_max, count = 0;

    if (!live->task)
        return;
    for (const struct past_tree *tree = past->trees; tree; tree = tree->next)
        count += is_bounded(tree);
    if (count == 0)
        return;
    nodes_max = atomic_load(&live->nodes_max) / NODES_SHARE / count * NODE_BYTES /
                (NODE_BYTES + PAST_NODE_BYTES);
    for (const struct past_tree *tree = past->trees; tree; tree = tree->next)
        if (is_bounded(tree))
            forget_set_max(tree->fs, nodes_max > TREE_NODES_MIN ? nodes_max : TREE_NODES_MIN);
}

static void tree_unlink(struct past *past, struct past_tree *tree)
{
    struct past_tree **at = &past->trees;

    while (*at != tree)
        at = &(*at)->next;
    *at = tree->next;
    share_out(past);
}

/* The tree, out of the list, if nothing needs it: to be freed without the mutex. Else NULL. */
static struct past_tree *tree_settle(struct past *past, struct past_tree *tree)
{
    if (!tree || tree->refs > 0 || tree->users > 0 || tree->closing)
        return NULL;
    tree_unlink(past, tree);
    return tree;
}

/* The kernel is asked to forget a name of a tree, under whatever `.past` it was walked to. */
static void ask_to_forget(void *arg, uint64_t parent, struct bytes name)
{
    struct past_tree *tree = arg;
    struct past *past = tree->past;
    struct fs *live = past->fs;
    uint64_t numbers[ASKED_MAX];
    unsigned count = 0;

    pthread_mutex_lock(&past->mutex);
    for (struct past_node *node = *chain_by_inode(past, parent); node && count < ASKED_MAX;
         node = node->next_by_inode)
        if (node->tree == tree && node->ino == parent)
            numbers[count++] = node->number;
    pthread_mutex_unlock(&past->mutex);
    for (unsigned i = 0; i < count; i++)
        live->forgetter.ask(live->forgetter.arg, numbers[i], name);
}

static int tree_open(
    struct past *past, const struct snapshot_tag_info *info, struct past_tree **ret_tree)
{
    struct fs *live = past->fs;
    struct past_tree *tree = calloc(1, sizeof(*tree));
    int r;

    if (!tree)
        return -ENOMEM;
    tree->past = past;
    memcpy(tree->tag, info->name, sizeof(tree->tag));
    tree->point_us = info->point_us;
    tree->created_us = info->created_us;
    r = engine_open_snapshot(live->engine, info->name, &tree->source);
    if (r == 0)
        r = core_open_source(live, tree->source, &tree->fs);
    if (r == 0 && live->forgetter.task)
        r = fs_bound_nodes(tree->fs, 0, ask_to_forget, tree);
    if (r < 0) {
        tree_free(tree);
        return err_with(r, "open snapshot '%s'", info->name);
    }
    tree->next = past->trees;
    past->trees = tree;
    share_out(past);
    *ret_tree = tree;
    return 0;
}

static struct past_tree *find_tree(struct past *past, const char *tag)
{
    struct past_tree *tree = past->trees;

    while (tree && (tree->gone || strcmp(tree->tag, tag) != 0))
        tree = tree->next;
    return tree;
}

/* ---- using ---- */

static void use_begin(struct past_node *node, struct past_tree *tree, struct past_use *to)
{
    *to = (struct past_use){.node = node, .tree = tree};
    if (node) {
        node->lookups++; /* it stays */
        to->ino = node->ino;
        to->base = node->base;
    }
    if (tree)
        tree->users++;
}

int past_enter(struct past *past, uint64_t nodeid, struct past_use *ret_use)
{
    struct past_node *node;
    int r = 0;

    pthread_mutex_lock(&past->mutex);
    while ((node = find_node(past, nodeid)) && node->tree && node->tree->closing)
        pthread_cond_wait(&past->changed, &past->mutex);
    if (node && !(node->tree && node->tree->gone))
        use_begin(node, node->tree, ret_use);
    else
        r = err_new(-ESTALE, "inode %#" PRIx64, nodeid);
    pthread_mutex_unlock(&past->mutex);
    return r;
}

int past_enter_tag(
    struct past *past, const struct snapshot_tag_info *info, struct past_use *ret_use)
{
    struct past_tree *tree;
    int r = 0;

    pthread_mutex_lock(&past->mutex);
    while ((tree = find_tree(past, info->name)) && tree->closing)
        pthread_cond_wait(&past->changed, &past->mutex);
    /* The tag may have gone and come again since it was looked up. */
    if (tree && (tree->point_us != info->point_us || tree->created_us != info->created_us))
        r = -ENOENT;
    else if (!tree)
        r = tree_open(past, info, &tree);
    if (r == 0)
        use_begin(NULL, tree, ret_use);
    pthread_mutex_unlock(&past->mutex);
    return r;
}

/* Frees the node if the kernel has forgotten it; gives the tree to be freed, or NULL. */
static struct past_tree *node_settle(struct past *past, struct past_node *node)
{
    struct past_tree *tree = node->tree;

    if (node->lookups > 0)
        return NULL;
    chain_out(past, node);
    free(node);
    if (tree)
        tree->refs--;
    return tree_settle(past, tree);
}

void past_leave(struct past *past, struct past_use *use)
{
    struct past_tree *unused = NULL;

    pthread_mutex_lock(&past->mutex);
    if (use->tree && --use->tree->users == 0)
        pthread_cond_broadcast(&past->changed);
    if (use->node) {
        use->node->lookups--;
        unused = node_settle(past, use->node);
    } else {
        unused = tree_settle(past, use->tree);
    }
    pthread_mutex_unlock(&past->mutex);
    tree_free(unused);
}

int past_node_look_up(
    struct past *past, struct past_tree *tree, uint64_t base, uint64_t ino, uint64_t *ret_nodeid)
{
    struct past_node *node;
    int r = 0;

    pthread_mutex_lock(&past->mutex);
    node = find_inode(past, tree, base, ino);
    if (!node) {
        node = calloc(1, sizeof(*node));
        if (node) {
            node->tree = tree;
            node->base = base;
            node->ino = ino;
            node->number = INO_SYNTHETIC_BIT | INO_PAST_BIT | past->next_number++;
            chain_in(past, node);
            if (tree)
                tree->refs++;
        } else {
            r = err_new(-ENOMEM, "an inode of a snapshot");
        }
    }
    if (node) {
        node->lookups++;
        *ret_nodeid = node->number;
    }
    pthread_mutex_unlock(&past->mutex);
    return r;
}

static void forget(struct past *past, uint64_t nodeid, uint64_t count, bool in_tree_too)
{
    struct past_tree *unused = NULL;
    struct past_node *node;

    pthread_mutex_lock(&past->mutex);
    node = find_node(past, nodeid);
    if (node) {
        count = count < node->lookups ? count : node->lookups;
        node->lookups -= count;
        if (in_tree_too && node->tree && !node->tree->gone)
            fs_forget(node->tree->fs, node->ino, count);
        unused = node_settle(past, node);
    }
    pthread_mutex_unlock(&past->mutex);
    tree_free(unused);
}

void past_node_forget(struct past *past, uint64_t nodeid, uint64_t count)
{
    forget(past, nodeid, count, true);
}

void past_node_take_back(struct past *past, uint64_t nodeid)
{
    forget(past, nodeid, 1, false);
}

/* ---- tags that go ---- */

int past_close_begin(struct fs *fs, const char *tag)
{
    struct past *past = fs->past;
    struct past_tree *tree;

    pthread_mutex_lock(&past->mutex);
    tree = find_tree(past, tag);
    if (!tree)
        return 0;
    if (tree->handles > 0) {
        uint64_t count = tree->handles;

        pthread_mutex_unlock(&past->mutex);
        return err_new(-EBUSY, "%" PRIu64 " files of it are open under .past", count);
    }
    tree->closing = true;
    while (tree->users > 0)
        pthread_cond_wait(&past->changed, &past->mutex);
    return 0;
}

void past_close_end(struct fs *fs, const char *tag, bool has_gone)
{
    struct past *past = fs->past;
    struct past_tree *tree = find_tree(past, tag), *unused = NULL;
    struct past_tree content = {0};

    if (tree) {
        tree->closing = false;
        tree->gone = has_gone;
        /* What nobody reads any more goes at once, the tree itself with its last node. */
        if (has_gone) {
            content = *tree;
            tree->fs = NULL;
            tree->source = NULL;
            share_out(past);
        }
        unused = tree_settle(past, tree);
        pthread_cond_broadcast(&past->changed);
    }
    pthread_mutex_unlock(&past->mutex);
    content_close(&content);
    tree_free(unused);
}

void past_unbound_nodes(struct fs *fs)
{
    if (!fs->past)
        return;
    for (struct past_tree *tree = fs->past->trees; tree; tree = tree->next)
        if (tree->fs && tree->fs->forgetter.task)
            fs_unbound_nodes(tree->fs);
}

void past_count_nodes(struct fs *fs, uint64_t *ret_nodes, uint64_t *ret_bytes)
{
    struct past *past = fs->past;
    uint64_t nodes = 0, bytes = 0;

    if (past)
        pthread_mutex_lock(&past->mutex);
    for (const struct past_tree *tree = past ? past->trees : NULL; tree; tree = tree->next) {
        nodes += tree->refs;
        bytes += tree->refs * PAST_NODE_BYTES;
        if (tree->fs)
            bytes += node_table_count(tree->fs) * NODE_BYTES;
    }
    if (past)
        pthread_mutex_unlock(&past->mutex);
    *ret_nodes = nodes;
    *ret_bytes = bytes;
}

/* ---- begin and end ---- */

int past_open(struct fs *fs)
{
    struct past *past = calloc(1, sizeof(*past));

    if (!past)
        return -ENOMEM;
    past->fs = fs;
    past->next_number = 1;
    pthread_mutex_init(&past->mutex, NULL);
    pthread_cond_init(&past->changed, NULL);
    fs->past = past;
    return 0;
}

void past_close(struct fs *fs)
{
    struct past *past = fs->past;

    if (!past)
        return;
    for (unsigned i = 0; i < PAST_CHAINS; i++) {
        while (past->by_number[i]) {
            struct past_node *node = past->by_number[i];

            past->by_number[i] = node->next_by_number;
            free(node);
        }
    }
    while (past->trees) {
        struct past_tree *tree = past->trees;

        past->trees = tree->next;
        tree_free(tree);
    }
    pthread_cond_destroy(&past->changed);
    pthread_mutex_destroy(&past->mutex);
    free(past);
    fs->past = NULL;
}
